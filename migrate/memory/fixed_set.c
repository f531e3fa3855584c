/* Declaring what must not move: the map of fixed.h, and a wait for what had begun before. */
#include "bindings.h"
#include "claim.h"
#include "fixed.h"

#include <errno.h>
#include <sched.h>

/* A copy takes microseconds, and what waits for its toucher is asked to hurry; a thread of a job may be kept from a processor. */
#define WAIT_NS 10000000000ull

/* Whole blocks; whole pages of the region, if they are larger. */
static void widen(struct gmig *gmig, uint64_t *gfn, uint64_t *end)
{
	const struct region *first = engine_region_of_gfn(gmig, *gfn);
	const struct region *last = engine_region_of_gfn(gmig, *end - 1);
	const uint64_t block = GMIG_BLOCK_PAGES;

	*gfn = *gfn / block * block;
	*end = (*end + block - 1) / block * block;
	if (first && first->unit_pages > block)
		*gfn = region_unit(first, *gfn);
	if (last && last->unit_pages > block)
		*end = region_unit(last, *end - 1) + last->unit_pages;
}

static bool is_claimed(struct gmig *gmig, uint64_t block_gfn)
{
	struct stripe *stripe = engine_stripe(gmig, block_gfn);
	bool claimed;

	pthread_mutex_lock(&stripe->lock);
	claimed = claim_holds_any(stripe, block_gfn);
	pthread_mutex_unlock(&stripe->lock);
	return claimed;
}

/* What had begun before is through. What waits for a touch may wait for long: it is told not to. */
static int wait_for(struct gmig *gmig, uint64_t block_gfn, uint64_t until_ns,
		    struct gmig_error *err)
{
	struct bits all = {{0}};

	if (!is_claimed(gmig, block_gfn))
		return 0;
	bits_fill(&all);
	claim_want(gmig, block_gfn, &all);
	while (is_claimed(gmig, block_gfn)) {
		if (gmig->sys->now_ns() >= until_ns)
			return gmig_fail(
			    err, -EAGAIN,
			    "nothing begins to move there any more, but the block at 0x%llx "
			    "still is on its way: ask once more",
			    (unsigned long long)block_gfn * GMIG_PAGE_BYTES);
		sched_yield();
	}
	return 0;
}

static int wait_for_all(struct gmig *gmig, uint64_t gfn, uint64_t end, struct gmig_error *err)
{
	uint64_t until_ns = gmig->sys->now_ns() + WAIT_NS;
	int ret = 0;

	for (unsigned int i = 0; i < atomic_load(&gmig->region_count) && !ret; i++) {
		const struct region *region = &gmig->regions[i];
		uint64_t region_end = region->gfn + region->pages;
		uint64_t at = region->gfn > gfn ? region->gfn : gfn;

		region_end = region_end < end ? region_end : end;
		for (; at < region_end && !ret; at += GMIG_BLOCK_PAGES)
			ret = wait_for(gmig, at, until_ns, err);
	}
	return ret;
}

int fixed_set(struct gmig *gmig, uint64_t gfn, uint64_t pages, bool fixed, struct gmig_error *err)
{
	const struct gmig_policy any = {.mode = GMIG_POLICY_LOCAL};
	const struct gmig_node_set none = {{0}};
	struct mempolicy *mark = NULL;
	uint64_t end = gfn + pages;
	int ret = 0;

	widen(gmig, &gfn, &end);
	if (fixed && mempolicy_create(&any, &none, &mark))
		return gmig_fail(err, -ENOMEM, "no memory to note what is fixed");
	ret = bindings_set(gmig->fixed, gfn, end - gfn, mark, err);
	mempolicy_put(mark);
	return ret || !fixed ? ret : wait_for_all(gmig, gfn, end, err);
}
