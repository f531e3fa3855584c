/*
 * Kicking vCPUs out of the guest, and holding them for moments, so that memory moves without interrupts
 * to their CPUs. A hold is for speed alone: unlike a stop, it tells nobody, not the guest's clocks, no
 * device, no client. Any thread that is no vCPU's.
 */
#ifndef VMM_HOLD_H
#define VMM_HOLD_H

#include "internal.h"

#define VMM_KICK_SIGNAL SIGUSR1

/* Make a vCPU leave KVM_RUN. */
void vmm_vcpu_kick(struct vmm_vcpu *vcpu);

/* A vCPU that has not come by then is busy in the host, or asleep on a fault. */
#define HOLD_WAIT_MS 5

/*
 * Bring all vCPUs to the gate, at most HOLD_WAIT_MS, and keep them there until vmm_vcpus_release().
 * Waits for another thread's hold to end, and until the guest has run for as long as it was held last. A guest that is
 * stopped, or that ends, is left alone.
 */
void vmm_vcpus_hold(struct vmm *vmm);
void vmm_vcpus_release(struct vmm *vmm);

#endif
