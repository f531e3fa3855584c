/* Pools grow: memory from the kernel, on the node that was asked for, or none. */
#include "../core/movepages.h"
#include "frame_pool.h"
#include "ledger.h"

#include <errno.h>
#include <numaif.h>
#include <sys/mman.h>

#define POPULATE_TRIES 10
#define BROKEN_TRIES   8 /* slots of a pool that may turn out broken, one after the other */

/* ---- Where it came from ------------------------------------------------------------------------ */

/* Pages of a slot that have just come from the kernel. */
struct fresh {
	unsigned int count;
	void *pages[GMIG_BLOCK_PAGES];
	int status[GMIG_BLOCK_PAGES];
};

/* A huge page is asked about, and moved, by its first one. */
static void fresh_pages(struct fresh *fresh, const struct slot *slot, unsigned int first,
			unsigned int count)
{
	fresh->count = slot->huge && count > 1 ? 1 : count;
	for (unsigned int i = 0; i < fresh->count; i++)
		fresh->pages[i] = slot->hva + (first + i) * GMIG_PAGE_BYTES;
}

static bool all_on(const struct fresh *fresh, unsigned int node)
{
	for (unsigned int i = 0; i < fresh->count; i++)
		if (fresh->status[i] != (int)node)
			return false;
	return true;
}

/*
 * The node had nothing free, so that the kernel took memory of another one: nothing is reclaimed for
 * MPOL_PREFERRED. Migration is different: it allocates on the target with __GFP_THISNODE, for which the kernel reclaims on
 * that node, page cache first, and never kills. Pages that nobody uses yet cost one copy.
 */
static int fresh_move(struct frames *frames, struct fresh *fresh, unsigned int node)
{
	const struct movepages by = {
	    .call = frames->sys->move_pages, .pid = 0, .flags = MPOL_MF_MOVE};
	int nodes[GMIG_BLOCK_PAGES];

	for (unsigned int i = 0; i < fresh->count; i++)
		nodes[i] = (int)node;
	if (movepages_exact(&by, fresh->count, fresh->pages, nodes, fresh->status) ||
	    !all_on(fresh, node))
		return -ENOMEM;
	return 0;
}

/*
 * Pages first..first+count are there now: see that they are on the pool's node. 1: they are, since they were moved there;
 * -EXDEV: they are not.
 */
static int place(struct frames *frames, const struct slot *slot, unsigned int first,
		 unsigned int count, enum policy_use use)
{
	struct fresh fresh;
	int ret;

	if (frames->fake)
		return 0;
	fresh_pages(&fresh, slot, first, count);
	ret = frames->sys->query_nodes(fresh.count, fresh.pages, fresh.status);
	if (ret)
		return ret;
	if (all_on(&fresh, slot->pool->node))
		return 0;
	if (use == POLICY_TOUCH)
		return -EXDEV;
	ret = fresh_move(frames, &fresh, slot->pool->node);
	return ret ? ret : 1;
}

/* ---- Filling a slot ---------------------------------------------------------------------------- */

static int populate(struct frames *frames, uint8_t *start, size_t bytes)
{
	unsigned int tries = 0;
	int ret;

	do {
		ret = frames->sys->advise(start, bytes, MADV_POPULATE_WRITE);
	} while (ret == -EAGAIN && ++tries < POPULATE_TRIES);
	return ret;
}

/* What is not wanted must not stay: the slot's books do not know of it. */
static void give_back(struct frames *frames, uint8_t *start, size_t bytes)
{
	unsigned int tries = 0;

	while (gmig_sys_discard(frames->sys, start, bytes) && ++tries < POPULATE_TRIES)
		;
}

static int small_fill(struct frames *frames, struct slot *slot, unsigned int first,
		      unsigned int count, enum policy_use use)
{
	int ret = count == GMIG_BLOCK_PAGES ? whole_fill(frames, slot) : -ENOSPC;

	if (ret == -ENOSPC) {
		/* A new mapping would lose what the slot has. */
		ret = slot->split && bits_empty(&slot->have) ? slot_renew(frames, slot) : 0;
		if (!ret)
			ret = populate(frames, slot->hva + first * GMIG_PAGE_BYTES,
				       count * GMIG_PAGE_BYTES);
	}
	if (!ret)
		ret = place(frames, slot, first, count, use);
	return ret == -EXDEV ? -ENOMEM : ret < 0 ? ret : 0;
}

/*
 * The kernel zeroes a huge page towards the 4K page that was touched, so that it ends in the cache.
 * From the far end to the first page means downwards, which takes 2.7 times as long as upwards (Zen 4,
 * rep stosb). Hence the last page first. That also tells for the price of one page when there is no
 * huge page to be had: 512 small ones would be charged to a cgroup that may have no room for them.
 */
static int huge_fill(struct frames *frames, struct slot *slot, enum policy_use use)
{
	const unsigned int last = GMIG_BLOCK_PAGES - 1;
	int ret = slot->split ? slot_renew(frames, slot) : 0;

	if (ret)
		return ret;
	slot->split = true; /* until it is seen to be whole */
	ret = populate(frames, slot->hva + last * GMIG_PAGE_BYTES, GMIG_PAGE_BYTES);

	if (!ret)
		ret = slot_is_huge(frames, slot);
	/* No huge page; and if what came is from elsewhere, no small one either. */
	if (ret == -ENOSPC && use == POLICY_TOUCH && place(frames, slot, last, 1, use) == -EXDEV)
		return -ENOMEM;
	if (!ret)
		ret = populate(frames, slot->hva, GMIG_BLOCK_BYTES);
	if (!ret)
		ret = place(frames, slot, 0, GMIG_BLOCK_PAGES, use);
	/* The kernel splits what it cannot move whole. Small pages may still be had. */
	if (ret == 1)
		ret = slot_is_huge(frames, slot);
	slot->split = ret;
	return ret == -ENOMEM && use != POLICY_TOUCH ? -ENOSPC : ret;
}

/* Fill pages that a taken slot has not. On failure it keeps what it had. */
static int run_fill(struct frames *frames, struct slot *slot, unsigned int first,
		    unsigned int count, enum policy_use use)
{
	int ret = policy_reserve(frames->policy, use, count);

	if (ret)
		return ret;
	ret =
	    slot->huge ? huge_fill(frames, slot, use) : small_fill(frames, slot, first, count, use);
	if (ret) {
		give_back(frames, slot->hva + first * GMIG_PAGE_BYTES, count * GMIG_PAGE_BYTES);
	} else {
		pthread_mutex_lock(&slot->pool->lock);
		bits_set_range(&slot->have, first, count);
		ledger_post(frames->ledger, slot->node, LEDGER_OUTSIDE, LEDGER_FLIGHT, count);
		pthread_mutex_unlock(&slot->pool->lock);
	}
	policy_release(frames->policy, count);
	return ret == -EFAULT ? -EHWPOISON : ret;
}

/* What `missing` names; *missing loses what was filled. */
static int slot_fill(struct frames *frames, struct slot *slot, const struct frame_want *want,
		     struct bits *missing)
{
	unsigned int first = 0, count;
	int ret = 0;

	if (bits_empty(&slot->have)) {
		slot->node = (uint16_t)want->node;
		slot->clean = true;
	}
	slot->verified_ns = frames->sys->now_ns();
	/* What a debugger wrote is not zeros, and beside what it read no huge page fits. */
	frame_empty(frames, slot);
	while (!ret && (count = bits_run(missing, &first))) {
		ret = run_fill(frames, slot, first, count, want->use);
		if (!ret)
			bits_clear_range(missing, first, count);
	}
	return ret;
}

/* ---- Which slot -------------------------------------------------------------------------------- */

/* An empty one, else, for small pages, one that has some of them already. */
static struct slot *slot_to_grow(struct frames *frames, struct pool *pool,
				 const struct frame_want *want)
{
	struct slot *slot = NULL;

	pthread_mutex_lock(&pool->lock);
	if (!pool->huge)
		for (struct slot **link = want->clean ? &pool->clean : &pool->used; *link;
		     link = &(*link)->next)
			if ((*link)->node == want->node && !slot_serves(*link, want)) {
				slot = *link;
				slot_unlink(frames, link);
				break;
			}
	if (!slot && pool->empty) {
		slot = pool->empty;
		slot_unlink(frames, &pool->empty);
	}
	pthread_mutex_unlock(&pool->lock);
	return slot;
}

static int grow_once(struct frames *frames, struct pool *pool, const struct frame_want *want,
		     struct slot **out)
{
	struct slot *slot = slot_to_grow(frames, pool, want);
	struct bits missing = want->need;
	int ret;

	if (!slot)
		return -ENOBUFS;
	if (slot->huge)
		bits_fill(&missing);
	bits_remove(&missing, &slot->have);
	ret = slot_fill(frames, slot, want, &missing);
	if (!ret) {
		*out = slot;
		return 0;
	}
	if (ret != -EHWPOISON || !quarantine(frames, slot, &missing)) {
		/* Nothing was given back: whoever waits for memory, the caller among them, need not look again. */
		pthread_mutex_lock(&pool->lock);
		slot_put(frames, slot);
		pthread_mutex_unlock(&pool->lock);
	}
	return ret;
}

int pool_grow(struct frames *frames, struct pool *pool, const struct frame_want *want,
	      struct slot **out)
{
	unsigned int tries = 0;
	int ret;

	do {
		ret = grow_once(frames, pool, want, out);
	} while (ret == -EHWPOISON && ++tries < BROKEN_TRIES);
	return ret == -EHWPOISON ? -ENOMEM : ret;
}
