/*
 * CPUID of a vCPU: what KVM supports, minus nested virtualization, with the topology of a machine
 * in which every vCPU is a package of its own. (Packages that span vnodes would make Linux distrust
 * the SRAT.)
 */
#include "vcpu.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>

#define MAX_ENTRIES 256

#define ECX1_VMX	 (1u << 5)
#define ECX1_TSCDEADLINE (1u << 24)
#define ECX1_HYPERVISOR	 (1u << 31)
#define EDX1_HTT	 (1u << 28)
#define ECX81_SVM	 (1u << 2)
#define ECX81_CMPLEGACY	 (1u << 1)

static void fix_extended_topology(struct kvm_cpuid_entry2 *entry, uint32_t apic_id)
{
	/* Subleaf 0: SMT, 1: core; one logical CPU each, no bits of the APIC id used up. */
	entry->eax = 0;
	entry->ebx = entry->index < 2 ? 1 : 0;
	entry->ecx = entry->index | (entry->index < 2 ? (entry->index + 1) << 8 : 0);
	entry->edx = apic_id;
}

static void fix_entry(struct vmm_vcpu *vcpu, struct kvm_cpuid_entry2 *entry)
{
	switch (entry->function) {
	case 1:
		entry->ebx = (entry->ebx & 0xffff) | 1 << 16 | vcpu->id << 24;
		entry->ecx &= ~ECX1_VMX;
		entry->ecx |= ECX1_HYPERVISOR;
		if (ioctl(vcpu->vmm->kvm_fd, KVM_CHECK_EXTENSION, KVM_CAP_TSC_DEADLINE_TIMER) > 0)
			entry->ecx |= ECX1_TSCDEADLINE;
		entry->edx &= ~EDX1_HTT;
		break;
	case 4:
		entry->eax &= ~0xffffc000u; /* cores per package, threads per cache: one */
		break;
	case 0xb:
	case 0x1f:
		fix_extended_topology(entry, vcpu->id);
		break;
	case 0x80000001:
		entry->ecx &= ~(ECX81_SVM | ECX81_CMPLEGACY);
		break;
	case 0x80000008:
		entry->ecx = 0;
		break;
	case 0x8000000a:
		entry->eax = entry->ebx = entry->ecx = entry->edx = 0;
		break;
	case 0x8000001d:
		entry->eax &= ~0x03ffc000u;
		break;
	case 0x8000001e:
		entry->eax = vcpu->id;
		entry->ebx = vcpu->id;
		entry->ecx = 0;
		break;
	}
}

int vmm_cpuid_set(struct vmm_vcpu *vcpu, struct gmig_error *err)
{
	struct kvm_cpuid2 *cpuid =
	    calloc(1, sizeof(*cpuid) + MAX_ENTRIES * sizeof(cpuid->entries[0]));
	int ret = 0;

	if (!cpuid)
		return gmig_fail(err, -ENOMEM, "no memory for CPUID");
	cpuid->nent = MAX_ENTRIES;
	if (ioctl(vcpu->vmm->kvm_fd, KVM_GET_SUPPORTED_CPUID, cpuid))
		ret = gmig_fail(err, -errno, "KVM_GET_SUPPORTED_CPUID: %s", strerror(errno));
	for (uint32_t i = 0; !ret && i < cpuid->nent; i++)
		fix_entry(vcpu, &cpuid->entries[i]);
	if (!ret && ioctl(vcpu->fd, KVM_SET_CPUID2, cpuid))
		ret = gmig_fail(err, -errno, "KVM_SET_CPUID2: %s", strerror(errno));
	free(cpuid);
	return ret;
}
