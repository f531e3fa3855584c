/*
 * Model-specific registers of a vCPU: as firmware leaves them, and back again at a reset.
 *
 * Hosts differ in what they accept: an MSR that cannot be read or set is left alone (a paravirtual
 * KVM refuses some that it lists). One that cannot be read for want of memory is an error. Main thread; the vCPU is not started, or parked.
 *
 * Source: Intel SDM 3A, 12.11 (MTRRs), 4, chapter 2 (MSRs); Documentation/virt/kvm/api.rst, 4.3
 * (KVM_GET_MSR_INDEX_LIST, which leaves the MTRRs out).
 */
#ifndef VMM_MSR_H
#define VMM_MSR_H

#include "../migrate/gmig.h"

#include <linux/kvm.h>
#include <stdbool.h>

#define MSR_MISC_ENABLE	     0x1a0
#define MSR_MISC_FAST_STRING (1ull << 0)
#define MSR_MTRR_DEF_TYPE    0x2ff
#define MSR_MTRR_ENABLE	     (1ull << 11)
#define MSR_MTRR_WRITE_BACK  6ull

#define MSR_MAX 640

struct msr_set {
	unsigned int count;
	struct kvm_msr_entry entry[MSR_MAX];
};

/* What a kernel expects firmware to have done: fast string operations on, MTRRs on with all memory
 * write-back. Without, Linux switches PAT off (6.1) or reports MTRRs disabled by the BIOS. -ENOMEM and the like. */
int msr_set_firmware(int vcpu_fd, struct gmig_error *err);
/* All that KVM lists and those that it does not. The TSC is not among them: it runs on. -errno. */
int msr_save(int kvm_fd, int vcpu_fd, struct msr_set *set, struct gmig_error *err);
/* What a host refuses stays. -ENOMEM and the like: not all were tried. */
int msr_restore(int vcpu_fd, const struct msr_set *set);

/* One of them. 0; -ENXIO the host does not have it; else -errno. */
int msr_look(int vcpu_fd, uint32_t index, uint64_t *value);
/* False: the host does not have it, or refuses the value. */
bool msr_get(int vcpu_fd, uint32_t index, uint64_t *value);
bool msr_put(int vcpu_fd, uint32_t index, uint64_t value);

#endif
