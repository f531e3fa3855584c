/*
 * CPUID as the guest sees it: what KVM supports, less nested virtualization, with the topology of
 * cpu_topology.h, and consistent in itself: what is not offered is not enumerated elsewhere. Pure;
 * cpuid_kvm.c reads it from KVM and sets it.
 *
 * Source: Intel SDM 2A, CPUID (leaves 4, 0bh, 0dh); AMD APM 3, appendix E (8000001dh, 8000001eh).
 */
#ifndef VMM_CPUID_H
#define VMM_CPUID_H

#include "cpu_topology.h"

#include <linux/kvm.h>

#define CPUID_MAX_ENTRIES 256

/* NULL: there is none. */
struct kvm_cpuid_entry2 *cpuid_find(struct kvm_cpuid2 *cpuid, uint32_t function, uint32_t index);

/* *cpuid has room for CPUID_MAX_ENTRIES. -E2BIG: there is no room for the topology's leaves. */
int cpuid_adjust(struct kvm_cpuid2 *cpuid, const struct cpu_place *place, bool tsc_deadline);

/* By leaf 0: AMD's, or Hygon's, which are alike. */
bool cpuid_is_amd(struct kvm_cpuid2 *cpuid);
/* The guest can be told of broken memory and go on (machine_check.h): AMD's have features for that. */
void cpuid_offer_recovery(struct kvm_cpuid2 *cpuid);

/* Part of cpuid_adjust. Leaf 0dh names the state components whose features are there, and only
 * those; features whose state cannot be enabled go. */
void cpuid_adjust_xstate(struct kvm_cpuid2 *cpuid);

#endif
