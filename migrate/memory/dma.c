/* Transfers of devices, as they are announced: see gmig_dma.h. */
#include "../gmig_dma.h"

#include "busy.h"
#include "claim.h"

#include <errno.h>

static bool begin_block(struct gmig *gmig, uint64_t block_gfn)
{
	struct stripe *stripe = engine_stripe(gmig, block_gfn);
	bool begun;

	pthread_mutex_lock(&stripe->lock);
	begun = !claim_holds_any(stripe, block_gfn) && busy_begin(gmig, stripe, block_gfn);
	pthread_mutex_unlock(&stripe->lock);
	return begun;
}

static void end_block(struct gmig *gmig, uint64_t block_gfn)
{
	struct stripe *stripe = engine_stripe(gmig, block_gfn);

	pthread_mutex_lock(&stripe->lock);
	busy_end(gmig, stripe, block_gfn);
	pthread_mutex_unlock(&stripe->lock);
}

/* [first, end) of the blocks that these bytes are in. false: they are not inside one region. */
static bool blocks_of(struct gmig *gmig, const void *start, size_t bytes, uint64_t *first,
		      uint64_t *end)
{
	const struct region *region = engine_region_of_hva(gmig, (uintptr_t)start);
	uint64_t offset, last;

	if (!region)
		return false;
	offset = (uint64_t)((const uint8_t *)start - region->hva);
	if (bytes > region->pages * GMIG_PAGE_BYTES - offset)
		return false;
	last = region->gfn + (offset + bytes - 1) / GMIG_PAGE_BYTES;
	*first = (region->gfn + offset / GMIG_PAGE_BYTES) / GMIG_BLOCK_PAGES * GMIG_BLOCK_PAGES;
	*end = last / GMIG_BLOCK_PAGES * GMIG_BLOCK_PAGES + GMIG_BLOCK_PAGES;
	return true;
}

int gmig_dma_begin(struct gmig *gmig, const void *start, size_t bytes)
{
	uint64_t first, end, at;

	if (!bytes)
		return -EINVAL;
	if (!blocks_of(gmig, start, bytes, &first, &end))
		return -EFAULT;
	if (gmig->plain)
		return 0;
	for (at = first; at < end && begin_block(gmig, at); at += GMIG_BLOCK_PAGES)
		;
	if (at == end) {
		atomic_fetch_add(&gmig->dma_begun, 1);
		return 0;
	}
	for (uint64_t back = first; back < at; back += GMIG_BLOCK_PAGES)
		end_block(gmig, back);
	atomic_fetch_add(&gmig->dma_refused, 1);
	return -EBUSY;
}

void gmig_dma_end(struct gmig *gmig, const void *start, size_t bytes)
{
	uint64_t first, end;

	if (gmig->plain || !bytes || !blocks_of(gmig, start, bytes, &first, &end))
		return;
	for (uint64_t at = first; at < end; at += GMIG_BLOCK_PAGES)
		end_block(gmig, at);
}
