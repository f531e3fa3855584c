/* Regions whose owner maps and moves them: gmig_region.h. */
#include "../gmig_region.h"
#include "region.h"

#include <errno.h>
#include <string.h>

static int own_map(struct gmig *gmig, struct region *region, struct gmig_error *err)
{
	(void)gmig, (void)region, (void)err; /* it is mapped */
	return 0;
}

static int own_guard(struct gmig *gmig, struct region *region, struct gmig_error *err)
{
	(void)gmig, (void)region, (void)err; /* faults are the owner's */
	return 0;
}

/* New memory comes from where its owner takes it. */
static int own_prefer(struct gmig *gmig, const struct region *region, unsigned int node,
		      struct gmig_error *err)
{
	(void)gmig, (void)region, (void)node, (void)err;
	return 0;
}

static int ask(const struct region *region, uint64_t gfn, size_t pages, int *status)
{
	int ret = region->own.ops.query(region->own.opaque, (gfn - region->gfn) * GMIG_PAGE_BYTES,
					pages, status);

	for (size_t i = 0; i < pages && !ret; i++)
		status[i] = region_own_says(status[i]);
	return ret > 0 ? -EIO : region_own_says(ret);
}

static int own_query(struct gmig *gmig, const struct region *region, size_t count,
		     const uint64_t *gfns, int *status)
{
	if (!region->own.ops.query)
		return region_query(gmig, region, count, gfns, status);
	for (size_t i = 0, pages; i < count; i += pages) {
		int ret;

		/* A run, within one block. */
		for (pages = 1; i + pages < count && gfns[i + pages] == gfns[i] + pages &&
				gfns[i + pages] % GMIG_BLOCK_PAGES;)
			pages++;
		ret = ask(region, gfns[i], pages, status + i);
		if (ret)
			return ret;
	}
	return 0;
}

static int own_scan(struct gmig *gmig, const struct region *region, uint64_t block_gfn,
		    struct uffd_scan *scan)
{
	int status[GMIG_BLOCK_PAGES], ret;

	if (!region->own.ops.query) {
		ret = uffd_scan(gmig->sys, gmig->pagemap, region_hva(region, block_gfn), scan);
		/* By a userfaultfd of its owner's, as ours is not at it. */
		bits_clear_all(&scan->protected);
		return ret;
	}
	memset(scan, 0, sizeof(*scan));
	ret = ask(region, block_gfn, GMIG_BLOCK_PAGES, status);
	for (unsigned int i = 0; i < GMIG_BLOCK_PAGES && !ret; i++)
		if (status[i] >= 0)
			bits_set(&scan->present, i);
	return ret;
}

static int own_discard(struct gmig *gmig, const struct region *region, uint64_t gfn, uint64_t pages)
{
	(void)gmig;
	if (!region->own.ops.discard)
		return -EOPNOTSUPP;
	return region->own.ops.discard(region->own.opaque, (gfn - region->gfn) * GMIG_PAGE_BYTES,
				       pages);
}

/* It is there, or its owner brings it. */
static int own_populate(struct gmig *gmig, struct region *region, uint64_t block_gfn)
{
	(void)gmig, (void)region, (void)block_gfn;
	return 0;
}

const struct region_kind region_own = {
    .name = "own",
    .kernel_fills = true,
    .own = true,
    .map = own_map,
    .prefer = own_prefer,
    .guard = own_guard,
    .populate = own_populate,
    .scan = own_scan,
    .discard = own_discard,
    .query = own_query,
};
