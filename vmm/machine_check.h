/*
 * Memory that a vCPU cannot read, told to the guest as hardware tells it: by a machine check of that vCPU. A kernel that recovers
 * from one ends who needs the page, and takes the page out of use; a process elsewhere is not hurt.
 *
 * Source: QEMU's kvm_mce_inject(); Intel SDM 3B, chapter 17 (software recoverable action required errors); AMD APM 2, chapter 9 (MCA
 * recovery, poisoned data).
 */
#ifndef VMM_MACHINE_CHECK_H
#define VMM_MACHINE_CHECK_H

#include <linux/kvm.h>
#include <stdbool.h>
#include <stdint.h>

/* Whose machine checks the guest expects. */
enum machine_check_vendor { MACHINE_CHECK_AMD, MACHINE_CHECK_INTEL };

/* The vCPU says that it can tell of memory to recover from. At its creation. false: KVM has no machine checks. */
bool machine_check_enable(int kvm_fd, int vcpu_fd);

/*
 * The vCPU has read what is broken, at the guest-physical address: it takes a machine check as the next thing that it does. On its own
 * thread, outside KVM_RUN. false: the guest takes none now (CR4.MCE off, one is being handled, its bank switched off), or for 2 s KVM had no memory to tell:
 * nothing has changed.
 */
bool machine_check_raise(int vcpu_fd, enum machine_check_vendor vendor, uint64_t gpa);
/* On Intel's, every vCPU takes part in a machine check, or the guest's kernel waits for it in vain. As above. */
bool machine_check_join(int vcpu_fd);

#endif
