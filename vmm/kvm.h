/* The VM that KVM keeps, and its interrupt controllers. Raising interrupts is in vmm.h. */
#ifndef VMM_KVM_H
#define VMM_KVM_H

#include "vmm.h"

/*
 * /dev/kvm, the VM, its interrupt controllers. After the memory: when the process dies with a fault
 * unanswered, its files are closed in order of their numbers, and KVM's wait for asynchronous
 * faults that sleep in the userfaultfd ends only once that one is closed.
 */
int vmm_kvm_create(struct vmm *vmm, struct gmig_error *err);

/* Interrupt controllers back to power-on. vCPUs are parked. */
int vmm_kvm_power_on(struct vmm *vmm, struct gmig_error *err);
/* Close the VM and /dev/kvm; vCPUs' descriptors are closed already. */
void vmm_kvm_destroy(struct vmm *vmm);

#endif
