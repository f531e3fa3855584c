/* Private anonymous memory: what gmig-vmm's guests have. */
#include "bound_touch.h"
#include "region.h"

#include <errno.h>
#include <sys/mman.h>

static int ram_map(struct gmig *gmig, struct region *region, struct gmig_error *err)
{
	size_t bytes = region->pages * GMIG_PAGE_BYTES;
	void *hva;
	int ret = gmig_sys_map_aligned(gmig->sys, bytes, &region->reserved, &hva);

	if (ret)
		return gmig_fail(err, ret, "cannot map %llu MiB of guest memory: %s",
				 (unsigned long long)(bytes >> 20), gmig_errno_name(ret));
	region->hva = hva;
	ret = region_advise(gmig, region, err);
	if (ret)
		return ret;
	return region_bind(gmig, region, atomic_load(&region->preferred_node), err);
}

static int ram_scan(struct gmig *gmig, const struct region *region, uint64_t block_gfn,
		    struct uffd_scan *scan)
{
	return uffd_scan(gmig->sys, gmig->pagemap, region_hva(region, block_gfn), scan);
}

static int ram_discard(struct gmig *gmig, const struct region *region, uint64_t gfn, uint64_t pages)
{
	return gmig_sys_discard(gmig->sys, region_hva(region, gfn), pages * GMIG_PAGE_BYTES);
}

const struct region_kind region_ram = {
    .name = "ram",
    .map = ram_map,
    .prefer = region_bind,
    .guard = region_guard,
    .fill = bound_touch_fill,
    .scan = ram_scan,
    .discard = ram_discard,
    .query = region_query,
};
