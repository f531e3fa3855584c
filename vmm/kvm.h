/* The VM that KVM keeps, and its interrupt controllers. Raising interrupts is in vmm.h. */
#ifndef VMM_KVM_H
#define VMM_KVM_H

#include "vmm.h"

/*
 * Open /dev/kvm, create the VM and its interrupt controllers. After the memory: when the process
 * dies with an unanswered fault, its files are closed in the order of their numbers. KVM then waits
 * for asynchronous faults that sleep in the userfaultfd, and these end only when that one is
 * closed.
 */
int vmm_kvm_create(struct vmm *vmm, struct gmig_error *err);

/* Interrupt controllers back to power-on. vCPUs are parked. */
int vmm_kvm_power_on(struct vmm *vmm, struct gmig_error *err);
/* Close the VM and /dev/kvm; vCPUs' descriptors are closed already. */
void vmm_kvm_destroy(struct vmm *vmm);

#endif
