#include "rejoin.h"

#include "claim.h"

#include <errno.h>

struct whole {
	unsigned int pages, node;
};

static int whole_visit(void *arg, uint64_t gfn, const struct shadow_entry *entry)
{
	struct whole *whole = arg;

	(void)gfn;
	if (entry->order || entry->state != SHADOW_PRESENT ||
	    (whole->pages && entry->node != whole->node))
		return 1;
	whole->node = entry->node;
	whole->pages++;
	return 0;
}

/*
 * The claim keeps other jobs, discards and the audit away. It takes no right: the entries are CLAIMED
 * for the books only, and whoever touches the block meanwhile is served by the kernel.
 */
int rejoin_block(struct gmig *gmig, const struct region *region, uint64_t block_gfn, uint64_t owner)
{
	struct claim_result nothing = {.stall = NULL};
	struct claim claim = {.gmig = gmig,
			      .region = region,
			      .block_gfn = block_gfn,
			      .owner = owner,
			      .memory = BOOKS_KERNEL};
	struct stripe *stripe = engine_stripe(gmig, block_gfn);
	struct whole whole = {0};
	struct bits refused;
	struct uffd_scan scan;
	int ret = -EBUSY;

	if (shadow_walk(gmig->shadow, block_gfn, GMIG_BLOCK_PAGES, whole_visit, &whole) ||
	    whole.pages != GMIG_BLOCK_PAGES)
		return -EBUSY;
	claim.from = claim.to = whole.node;
	bits_fill(&claim.pages);
	claim_take(&claim, &refused);
	if (bits_empty(&refused))
		ret = gmig->sys->advise(region_hva(region, block_gfn), GMIG_BLOCK_BYTES,
					MADV_COLLAPSE);
	if (!ret && (region->kind->scan(gmig, region, block_gfn, &scan) || !scan.huge))
		ret = -EAGAIN;
	claim_settle(&claim, &nothing);
	if (ret)
		return ret;
	pthread_mutex_lock(&stripe->lock);
	ret = books_join(gmig, region, block_gfn);
	pthread_mutex_unlock(&stripe->lock);
	return ret;
}
