/* Regions that are locked in memory. */
#include "region.h"

#include <errno.h>
#include <sys/mman.h>
#include <sys/resource.h>

#define MAX_BYTES (1ull << 46) /* that can be mapped at once; a limit above it is none */

/*
 * A limit would have to hold for the slots of the pools, too: how many are in use at a time, and when, is known to nobody before.
 * A capability may be one of a user namespace only, which does not count here. So more is locked than the limit allows, of
 * which nothing is ever touched.
 */
static int check_limit(const struct gmig_sys *sys, struct gmig_error *err)
{
	struct rlimit limit;
	size_t bytes;
	void *trial;
	int ret;

	if (getrlimit(RLIMIT_MEMLOCK, &limit) || limit.rlim_cur >= MAX_BYTES)
		return 0;
	bytes = (limit.rlim_cur / GMIG_PAGE_BYTES + 1) * GMIG_PAGE_BYTES;
	ret = sys->map(bytes, PROT_NONE, NULL, &trial);
	if (ret)
		return gmig_fail(err, ret, "cannot map %llu MiB to see whether they may be locked",
				 (unsigned long long)bytes >> 20);
	ret = sys->lock(trial, bytes, true);
	sys->unmap(trial, bytes);
	if (!ret)
		return 0;
	return gmig_fail(
	    err, -EPERM,
	    "memory may not be locked without limit: it takes CAP_IPC_LOCK, or `ulimit "
	    "-l unlimited` (LimitMEMLOCK=infinity); now it is %llu KiB",
	    (unsigned long long)limit.rlim_cur >> 10);
}

int region_lock(struct gmig *gmig, const struct region *region, struct gmig_error *err)
{
	uint64_t bytes = region->pages * GMIG_PAGE_BYTES;
	int ret = check_limit(gmig->sys, err);

	if (ret)
		return ret;
	ret = gmig->sys->lock(region->hva, bytes, true);
	return ret ? gmig_fail(err, ret, "%llu MiB of guest memory cannot be locked: %s",
			       (unsigned long long)bytes >> 20, gmig_errno_name(ret))
		   : 0;
}
