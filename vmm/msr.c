/* See msr.h. */
#include "msr.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>

#define MSR_TSC 0x10

/* MSRs that a guest can change and that KVM_GET_MSR_INDEX_LIST does not name. */
static const struct {
	uint32_t first, last;
} unlisted[] = {
    {0x17b, 0x17b}, /* MCG_CTL */
    {0x1d9, 0x1d9}, /* DEBUGCTL */
    {0x200, 0x21f}, /* variable MTRRs: base and mask of up to 16 */
    {0x250, 0x250}, /* fixed MTRRs */
    {0x258, 0x259},
    {0x268, 0x26f},
    {0x277, 0x277}, /* PAT */
    {MSR_MTRR_DEF_TYPE, MSR_MTRR_DEF_TYPE},
    {0x400, 0x47f}, /* machine check banks: control, status, address, text */
};

/* One at a time: a list stops at the first that the host refuses. */
static bool transfer(int vcpu_fd, unsigned long request, struct kvm_msr_entry *entry)
{
	struct { /* struct kvm_msrs with one entry */
		uint32_t nmsrs, pad;
		struct kvm_msr_entry entry;
	} one = {.nmsrs = 1, .entry = *entry};

	if (ioctl(vcpu_fd, request, &one) != 1)
		return false;
	*entry = one.entry;
	return true;
}

bool msr_get(int vcpu_fd, uint32_t index, uint64_t *value)
{
	struct kvm_msr_entry entry = {.index = index};

	if (!transfer(vcpu_fd, KVM_GET_MSRS, &entry))
		return false;
	*value = entry.data;
	return true;
}

bool msr_put(int vcpu_fd, uint32_t index, uint64_t value)
{
	struct kvm_msr_entry entry = {.index = index, .data = value};

	return transfer(vcpu_fd, KVM_SET_MSRS, &entry);
}

void msr_set_firmware(int vcpu_fd)
{
	uint64_t misc;

	if (msr_get(vcpu_fd, MSR_MISC_ENABLE, &misc))
		msr_put(vcpu_fd, MSR_MISC_ENABLE, misc | MSR_MISC_FAST_STRING);
	msr_put(vcpu_fd, MSR_MTRR_DEF_TYPE, MSR_MTRR_ENABLE | MSR_MTRR_WRITE_BACK);
}

/* ---- All of them ----------------------------------------------------------------------------- */

static void save_one(int vcpu_fd, uint32_t index, struct msr_set *set)
{
	struct kvm_msr_entry entry = {.index = index};

	if (index != MSR_TSC && set->count < MSR_MAX && transfer(vcpu_fd, KVM_GET_MSRS, &entry))
		set->entry[set->count++] = entry;
}

int msr_save(int kvm_fd, int vcpu_fd, struct msr_set *set, struct gmig_error *err)
{
	struct kvm_msr_list *list = calloc(1, sizeof(*list) + MSR_MAX * sizeof(list->indices[0]));

	set->count = 0;
	if (!list)
		return gmig_fail(err, -ENOMEM, "no memory for MSRs");
	list->nmsrs = MSR_MAX;
	if (ioctl(kvm_fd, KVM_GET_MSR_INDEX_LIST, list)) {
		free(list);
		return gmig_fail(err, -errno, "KVM_GET_MSR_INDEX_LIST: %s", strerror(errno));
	}
	for (size_t i = 0; i < sizeof(unlisted) / sizeof(unlisted[0]); i++)
		for (uint32_t index = unlisted[i].first; index <= unlisted[i].last; index++)
			save_one(vcpu_fd, index, set);
	for (uint32_t i = 0; i < list->nmsrs; i++)
		save_one(vcpu_fd, list->indices[i], set);
	free(list);
	return 0;
}

void msr_restore(int vcpu_fd, const struct msr_set *set)
{
	for (unsigned int i = 0; i < set->count; i++)
		msr_put(vcpu_fd, set->entry[i].index, set->entry[i].data);
}
