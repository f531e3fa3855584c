#include "rights.h"

#include <errno.h>
#include <linux/capability.h>
#include <stdint.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

static const int kept[] = {CAP_SYS_PTRACE, CAP_SYS_NICE, CAP_DAC_READ_SEARCH};

static uint64_t kept_mask(void)
{
	uint64_t mask = 0;

	for (size_t i = 0; i < sizeof(kept) / sizeof(kept[0]); i++)
		mask |= 1ull << kept[i];
	return mask;
}

/* -EINVAL from the kernel: there is no such capability, and so none behind it. */
static int shrink_bounding_set(uint64_t mask)
{
	for (int capability = 0; capability < 64; capability++) {
		if (mask >> capability & 1)
			continue;
		if (prctl(PR_CAPBSET_DROP, capability, 0, 0, 0))
			return errno == EINVAL ? 0 : -errno;
	}
	return 0;
}

/* What we do not have we do not get: the kernel would refuse all. */
static int set_capabilities(uint64_t mask)
{
	struct __user_cap_header_struct header = {.version = _LINUX_CAPABILITY_VERSION_3};
	struct __user_cap_data_struct data[2];

	if (syscall(SYS_capget, &header, data))
		return -errno;
	for (int i = 0; i < 2; i++) {
		data[i].permitted &= (uint32_t)(mask >> (32 * i));
		data[i].effective = data[i].permitted;
		data[i].inheritable = 0;
	}
	return syscall(SYS_capset, &header, data) ? -errno : 0;
}

int rights_drop(struct gmig_error *err)
{
	int ret = prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) ? -errno : 0;

	if (!ret && geteuid() == 0) {
		/* An ambient set is empty unless somebody filled it. */
		prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0);
		ret = shrink_bounding_set(kept_mask());
		if (ret == -EPERM)
			ret = 0; /* no CAP_SETPCAP: whoever started us has shrunk it */
		if (!ret)
			ret = set_capabilities(kept_mask());
	}
	return ret ? gmig_fail(err, ret, "capabilities cannot be dropped: %s", strerror(-ret)) : 0;
}
