/* Memory that a guest gives back: see gmig_discard.h. */
#include "../gmig_discard.h"

#include "../core/heat.h"
#include "books.h"
#include "busy.h"
#include "claim.h"
#include "huge_page.h"
#include "region.h"

#include <errno.h>
#include <sys/mman.h>

#define PART_PAGES 128u /* small pages, in one holding of the block's lock */

/* Pages of one block. */
struct part {
	struct gmig *gmig;
	const struct region *region;
	uint64_t gfn;
	unsigned int pages;
};

static int held_visit(void *arg, uint64_t gfn, const struct shadow_entry *entry)
{
	(void)arg;
	(void)gfn;
	return entry->state != SHADOW_NONE && entry->state != SHADOW_PRESENT &&
	       entry->state != SHADOW_SWAPPED;
}

/*
 * Caller holds stripe->lock. A page that is held by no claim is one that a repair has yet to find: its content may be in a
 * slot.
 */
static bool is_held(const struct part *part, const struct stripe *stripe)
{
	uint64_t block_gfn = part->gfn / GMIG_BLOCK_PAGES * GMIG_BLOCK_PAGES;

	return claim_holds_any(stripe, block_gfn) || busy_is(stripe, block_gfn) ||
	       shadow_walk(part->gmig->shadow, part->gfn, part->pages, held_visit, NULL);
}

/* The page at gfn, or its whole block. Caller holds stripe.lock. */
static void note(const struct part *part, uint64_t gfn, unsigned int order)
{
	const struct books_event event = {
	    .region = part->region,
	    .change = {.gfn = gfn, .order = order, .event = SHADOW_DISCARD},
	    .memory = BOOKS_KERNEL,
	};

	/* Refused where there was no memory, as far as the table knew. */
	books_change(part->gmig, &event, NULL);
}

/*
 * A part of a huge page goes. When the kernel only unmaps it, the whole page stays allocated until memory is short
 * (deferred_split_folio() in mm/huge_memory.c). MADV_COLD splits a huge page that it is given a part of, and what is
 * unmapped afterwards is free at once. The advice itself means nothing for a page that goes. Where it does not split, as of a page
 * that is pinned, the memory comes back later.
 */
static void split_in_kernel(const struct part *part)
{
	const struct gmig *gmig = part->gmig;

	if (gmig->thp && !part->region->kind->kernel_fills)
		gmig->sys->advise(region_hva(part->region, part->gfn), GMIG_PAGE_BYTES, MADV_COLD);
}

/* Caller holds stripe->lock. */
static int discard_locked(const struct part *part, const struct stripe *stripe)
{
	struct gmig *gmig = part->gmig;
	bool whole = part->pages == GMIG_BLOCK_PAGES;
	struct shadow_entry entry;
	int ret = 0;

	if (is_held(part, stripe))
		return -EBUSY;
	if (shadow_lookup(gmig->shadow, part->gfn, &entry))
		return -EFAULT;
	if (entry.order && entry.state == SHADOW_NONE && !part->region->kind->kernel_fills)
		return 0;
	if (entry.order && entry.state != SHADOW_NONE && !whole)
		ret = books_split(gmig, part->region,
				  part->gfn / GMIG_BLOCK_PAGES * GMIG_BLOCK_PAGES);
	if (ret)
		return ret;
	ret = part->region->kind->discard(gmig, part->region, part->gfn, part->pages);
	if (ret)
		return ret;
	if (entry.order && whole) {
		note(part, part->gfn, entry.order);
		return 0;
	}
	for (unsigned int i = 0; i < part->pages; i++)
		note(part, part->gfn + i, 0);
	return 0;
}

/* Its pages are huge for good. */
static bool only_whole(const struct region *region)
{
	return region->hugetlb || region->kind->always_whole;
}

/* How much of a run that begins at gfn is given back at a time. */
static unsigned int part_pages(struct gmig *gmig, const struct region *region, uint64_t gfn,
			       uint64_t pages)
{
	unsigned int left = GMIG_BLOCK_PAGES - (unsigned int)(gfn % GMIG_BLOCK_PAGES);
	struct shadow_entry entry;

	if (pages < left)
		left = (unsigned int)pages;
	if (left == GMIG_BLOCK_PAGES &&
	    (only_whole(region) || (!shadow_lookup(gmig->shadow, gfn, &entry) && entry.order)))
		return left;
	return left < PART_PAGES ? left : PART_PAGES;
}

/* Whoever holds pages of the block only until they are touched is to be done with them: a lazy job, a sample. */
static void want(const struct part *part)
{
	struct bits pages;

	bits_fill(&pages);
	claim_want(part->gmig, part->gfn / GMIG_BLOCK_PAGES * GMIG_BLOCK_PAGES, &pages);
}

static int there_visit(void *arg, uint64_t gfn, const struct shadow_entry *entry)
{
	(void)arg;
	(void)gfn;
	return entry->state != SHADOW_NONE;
}

/* What was broken is not any more, and of a block that has nothing left nobody knows how much it will be used. */
static void forget(const struct part *part)
{
	struct heat *heat = atomic_load(&part->gmig->memory.heat);
	uint64_t block_gfn = part->gfn / GMIG_BLOCK_PAGES * GMIG_BLOCK_PAGES;

	broken_pages_remove(&part->gmig->broken, part->gfn, part->pages);
	if (heat &&
	    !shadow_walk(part->gmig->shadow, block_gfn, GMIG_BLOCK_PAGES, there_visit, NULL))
		heat_forget(heat, block_gfn / GMIG_BLOCK_PAGES);
}

static int discard_part(const struct part *part)
{
	struct stripe *stripe = engine_stripe(part->gmig, part->gfn);
	bool held;
	int ret;

	if (only_whole(part->region) &&
	    (part->pages < GMIG_BLOCK_PAGES || huge_page_bytes(part->region) > GMIG_BLOCK_BYTES))
		return -EOPNOTSUPP;
	if (part->gmig->plain)
		return part->region->kind->discard(part->gmig, part->region, part->gfn,
						   part->pages);
	pthread_mutex_lock(&stripe->lock);
	held = is_held(part, stripe);
	pthread_mutex_unlock(&stripe->lock);
	/* Without the lock: it takes some 0.3 ms. A job that claims the block meanwhile finds out, as from khugepaged. */
	if (!held && part->pages < GMIG_BLOCK_PAGES)
		split_in_kernel(part);
	pthread_mutex_lock(&stripe->lock);
	ret = discard_locked(part, stripe);
	pthread_mutex_unlock(&stripe->lock);
	if (ret == -EBUSY)
		want(part);
	else if (!ret)
		forget(part);
	return ret;
}

int gmig_discard(struct gmig *gmig, const void *start, size_t bytes, size_t *done_bytes)
{
	const struct region *region = engine_region_of_hva(gmig, (uintptr_t)start);
	struct part part = {.gmig = gmig, .region = region};
	int ret = 0;

	*done_bytes = 0;
	if (!bytes || bytes % GMIG_PAGE_BYTES || (uintptr_t)start % GMIG_PAGE_BYTES)
		return -EINVAL;
	if (!region || bytes > region->pages * GMIG_PAGE_BYTES -
				   (size_t)((const uint8_t *)start - region->hva))
		return -EFAULT;
	part.gfn = region->gfn + (uint64_t)((const uint8_t *)start - region->hva) / GMIG_PAGE_BYTES;
	while (!ret && *done_bytes < bytes) {
		part.pages =
		    part_pages(gmig, region, part.gfn, (bytes - *done_bytes) / GMIG_PAGE_BYTES);
		ret = discard_part(&part);
		if (ret)
			break;
		part.gfn += part.pages;
		*done_bytes += part.pages * GMIG_PAGE_BYTES;
	}
	return ret;
}
