/* See msr.h. */
#include "msr.h"
#include "../migrate/core/shortage.h"

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

/* One at a time: a list stops at the first that the host refuses. 0, -ENXIO it is refused, or -errno. */
static int transfer(int vcpu_fd, unsigned long request, struct kvm_msr_entry *entry)
{
	struct { /* struct kvm_msrs with one entry */
		uint32_t nmsrs, pad;
		struct kvm_msr_entry entry;
	} one = {.nmsrs = 1, .entry = *entry};
	int done = ioctl(vcpu_fd, request, &one);

	if (done != 1)
		return done < 0 ? -errno : -ENXIO;
	*entry = one.entry;
	return 0;
}

int msr_look(int vcpu_fd, uint32_t index, uint64_t *value)
{
	struct kvm_msr_entry entry = {.index = index};
	int ret = transfer(vcpu_fd, KVM_GET_MSRS, &entry);

	if (!ret)
		*value = entry.data;
	return ret;
}

bool msr_get(int vcpu_fd, uint32_t index, uint64_t *value)
{
	return !msr_look(vcpu_fd, index, value);
}

bool msr_put(int vcpu_fd, uint32_t index, uint64_t value)
{
	struct kvm_msr_entry entry = {.index = index, .data = value};

	return !transfer(vcpu_fd, KVM_SET_MSRS, &entry);
}

int msr_set_firmware(int vcpu_fd, struct gmig_error *err)
{
	struct kvm_msr_entry misc = {.index = MSR_MISC_ENABLE};
	struct kvm_msr_entry type = {.index = MSR_MTRR_DEF_TYPE,
				     .data = MSR_MTRR_ENABLE | MSR_MTRR_WRITE_BACK};
	int ret = transfer(vcpu_fd, KVM_GET_MSRS, &misc);

	misc.data |= MSR_MISC_FAST_STRING;
	if (!ret)
		ret = transfer(vcpu_fd, KVM_SET_MSRS, &misc);
	if (!is_shortage(ret))
		ret = transfer(vcpu_fd, KVM_SET_MSRS, &type);
	return is_shortage(ret) ? gmig_fail(err, ret, "KVM_SET_MSRS: %s", strerror(-ret)) : 0;
}

/* ---- All of them ----------------------------------------------------------------------------- */

/* One that cannot be read now would be the guest's own after a reset. */
static int save_one(int vcpu_fd, uint32_t index, struct msr_set *set)
{
	struct kvm_msr_entry entry = {.index = index};
	int ret;

	if (index == MSR_TSC || set->count >= MSR_MAX)
		return 0;
	ret = transfer(vcpu_fd, KVM_GET_MSRS, &entry);
	if (!ret)
		set->entry[set->count++] = entry;
	return is_shortage(ret) ? ret : 0;
}

int msr_save(int kvm_fd, int vcpu_fd, struct msr_set *set, struct gmig_error *err)
{
	struct kvm_msr_list *list = calloc(1, sizeof(*list) + MSR_MAX * sizeof(list->indices[0]));
	int ret = 0;

	set->count = 0;
	if (!list)
		return gmig_fail(err, -ENOMEM, "no memory for MSRs");
	list->nmsrs = MSR_MAX;
	if (ioctl(kvm_fd, KVM_GET_MSR_INDEX_LIST, list)) {
		free(list);
		return gmig_fail(err, -errno, "KVM_GET_MSR_INDEX_LIST: %s", strerror(errno));
	}
	for (size_t i = 0; i < sizeof(unlisted) / sizeof(unlisted[0]); i++)
		for (uint32_t index = unlisted[i].first; index <= unlisted[i].last && !ret; index++)
			ret = save_one(vcpu_fd, index, set);
	for (uint32_t i = 0; i < list->nmsrs && !ret; i++)
		ret = save_one(vcpu_fd, list->indices[i], set);
	free(list);
	return ret ? gmig_fail(err, ret, "KVM_GET_MSRS: %s", strerror(-ret)) : 0;
}

int msr_restore(int vcpu_fd, const struct msr_set *set)
{
	int ret = 0;

	for (unsigned int i = 0; i < set->count && !is_shortage(ret); i++) {
		struct kvm_msr_entry entry = set->entry[i];

		ret = transfer(vcpu_fd, KVM_SET_MSRS, &entry);
	}
	return is_shortage(ret) ? ret : 0;
}
