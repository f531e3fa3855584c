/* CPUID of a vCPU: from KVM, adjusted by cpuid.c, and back. */
#include "cpuid.h"
#include "vcpu.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>

static struct kvm_cpuid2 *supported(int kvm_fd, struct gmig_error *err)
{
	struct kvm_cpuid2 *cpuid =
	    calloc(1, sizeof(*cpuid) + CPUID_MAX_ENTRIES * sizeof(cpuid->entries[0]));

	if (!cpuid) {
		gmig_fail(err, -ENOMEM, "no memory for CPUID");
		return NULL;
	}
	cpuid->nent = CPUID_MAX_ENTRIES;
	if (!ioctl(kvm_fd, KVM_GET_SUPPORTED_CPUID, cpuid))
		return cpuid;
	gmig_fail(err, -errno, "KVM_GET_SUPPORTED_CPUID: %s", strerror(errno));
	free(cpuid);
	return NULL;
}

unsigned int vmm_cpuid_address_bits(int kvm_fd)
{
	struct kvm_cpuid2 *cpuid = supported(kvm_fd, NULL);
	const struct kvm_cpuid_entry2 *entry = cpuid ? cpuid_find(cpuid, 0x80000008, 0) : NULL;
	/* Bits 16 to 23, where they are set: guests on this host have less than the host. */
	uint32_t bits =
	    entry ? (entry->eax >> 16 & 0xff ? entry->eax >> 16 : entry->eax) & 0xff : 0;

	free(cpuid);
	return bits ? bits : 64;
}

int vmm_cpuid_set(struct vmm_vcpu *vcpu, struct gmig_error *err)
{
	int kvm_fd = vcpu->vmm->kvm_fd, ret;
	bool deadline = ioctl(kvm_fd, KVM_CHECK_EXTENSION, KVM_CAP_TSC_DEADLINE_TIMER) > 0;
	struct kvm_cpuid2 *cpuid = supported(kvm_fd, err);

	if (!cpuid)
		return -EIO;
	vcpu->vendor = cpuid_is_amd(cpuid) ? MACHINE_CHECK_AMD : MACHINE_CHECK_INTEL;
	vcpu->has_checks = machine_check_enable(kvm_fd, vcpu->fd);
	if (vcpu->has_checks)
		cpuid_offer_recovery(cpuid);
	ret = cpuid_adjust(cpuid, &vcpu->vmm->place[vcpu->id], deadline);
	if (ret)
		gmig_fail(err, ret, "CPUID: more than %d entries", CPUID_MAX_ENTRIES);
	if (!ret && ioctl(vcpu->fd, KVM_SET_CPUID2, cpuid))
		ret = gmig_fail(err, -errno, "KVM_SET_CPUID2: %s", strerror(errno));
	free(cpuid);
	return ret;
}
