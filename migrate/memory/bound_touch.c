#include "bound_touch.h"

#include "bindings.h"
#include "frame.h"
#include "policy.h"
#include "region.h"

#include <errno.h>

#define PAGES_APART                                                                                \
	16 /* that are filled at once where each goes to another node than its neighbours */
#define PAGES_TOGETHER 64 /* where all go to the same */

/* A hole, and what holds there. */
struct bound {
	struct first_touch *from;
	struct region *region;
	uint64_t gfn, block_gfn;
	struct mempolicy *policy; /* a reference; NULL: DEFAULT */
	uint64_t first, end;	  /* pages of the block that have the same policy */
	struct gmig_topology *topology;
	struct gmig_node_set usable;
};

bool bound_touch_is_bound(struct gmig *gmig, uint64_t block_gfn)
{
	uint64_t end;
	struct mempolicy *policy = bindings_get_run(gmig->bindings, block_gfn, &end);
	bool bound = policy || end < block_gfn + GMIG_BLOCK_PAGES;

	mempolicy_put(policy);
	return bound;
}

/* The run of pages around gfn, within the block. */
static void bound_begin(struct bound *bound)
{
	struct gmig *gmig = bound->from->gmig;
	uint64_t block_end = bound->block_gfn + GMIG_BLOCK_PAGES, end;
	struct mempolicy *policy;

	bound->policy = bindings_get_run(gmig->bindings, bound->gfn, &bound->end);
	if (bound->end > block_end)
		bound->end = block_end;
	bound->first = bound->block_gfn;
	do {
		policy = bindings_get_run(gmig->bindings, bound->first, &end);
		mempolicy_put(policy);
		if (end <= bound->gfn)
			bound->first = end;
	} while (end <= bound->gfn);
	bound->topology = memory_topology(&gmig->memory);
	bound->usable = *gmig_topology_nodes(bound->topology);
	gmig_node_set_and(&bound->usable, gmig_topology_allowed(bound->topology));
}

static void bound_end(struct bound *bound)
{
	gmig_topology_put(bound->topology);
	mempolicy_put(bound->policy);
}

static struct mempolicy_place place_of(const struct bound *bound, uint64_t gfn, unsigned int order)
{
	return (struct mempolicy_place){.gfn = gfn,
					.order = order,
					.local = atomic_load(&bound->region->preferred_node),
					.topology = bound->topology};
}

/* Node by node, as the policy has it; where there are small pages but no huge one, these are next. */
static int fill_whole(struct bound *bound)
{
	struct mempolicy_place place = place_of(bound, bound->block_gfn, 9);
	struct gmig_node_set tried = {{0}};
	unsigned int node;
	int ret = -ENOMEM;

	while (ret == -ENOMEM && (node = mempolicy_next(bound->policy, &place, &bound->usable,
							&tried)) != GMIG_NO_NODE) {
		gmig_node_set_add(&tried, node);
		ret = first_touch_huge(bound->from, bound->region, bound->block_gfn, node);
	}
	return ret;
}

/* ---- Small pages --------------------------------------------------------------------------------- */

/* Pages around the one that was touched that have no memory and the same policy: what is filled at once. */
struct part {
	const struct bound *bound;
	struct bits none;
};

static int part_visit(void *arg, uint64_t gfn, const struct shadow_entry *entry)
{
	struct part *part = arg;
	uint64_t end = gfn + (1ull << entry->order);

	if (entry->state != SHADOW_NONE)
		return 0;
	for (uint64_t page = gfn; page < end; page++)
		bits_set(&part->none, (unsigned int)(page - part->bound->block_gfn));
	return 0;
}

static void part_of(const struct bound *bound, struct part *part)
{
	unsigned int size = mempolicy_interleaves(bound->policy) ? PAGES_APART : PAGES_TOGETHER;
	unsigned int first = (unsigned int)(bound->gfn - bound->block_gfn) / size * size;
	unsigned int begin = (unsigned int)(bound->first - bound->block_gfn);
	unsigned int end = (unsigned int)(bound->end - bound->block_gfn);

	*part = (struct part){.bound = bound};
	shadow_walk(bound->from->gmig->shadow, bound->block_gfn, GMIG_BLOCK_PAGES, part_visit,
		    part);
	bits_clear_range(&part->none, 0, first > begin ? first : begin);
	if (first + size < end)
		end = first + size;
	bits_clear_range(&part->none, end, GMIG_BLOCK_PAGES - end);
}

/* These pages out of frames of that node. */
static int fill_pages(const struct bound *bound, unsigned int node, const struct bits *pages)
{
	struct gmig *gmig = bound->from->gmig;
	struct frame_want want = {.node = node,
				  .worker = bound->from->worker,
				  .clean = true,
				  .use = POLICY_TOUCH,
				  .need = *pages};
	struct slot *slot;
	int ret;

	if (policy_is_hopeless(gmig->policy, node, false))
		return -ENOMEM;
	ret = frame_take(gmig->frames, &want, &slot);
	if (!ret || ret == -ENOMEM)
		policy_note(gmig->policy, node, false, !ret);
	if (ret)
		return -ENOMEM;
	ret = first_touch_place_some(bound->from, bound->region, bound->block_gfn, slot, pages);
	frame_give(gmig->frames, slot);
	return ret;
}

/* All pages of the part that belong where the page at gfn does; they leave *part. */
static struct bits take_alike(const struct bound *bound, struct part *part, unsigned int page,
			      unsigned int *node)
{
	struct bits alike = {{0}};
	struct mempolicy_place place = place_of(bound, bound->block_gfn + page, 0);

	*node = mempolicy_node_of(bound->policy, &place);
	for (unsigned int i = page; i < GMIG_BLOCK_PAGES; i = bits_next(&part->none, i + 1, true)) {
		place.gfn = bound->block_gfn + i;
		if (mempolicy_node_of(bound->policy, &place) == *node)
			bits_set(&alike, i);
	}
	bits_remove(&part->none, &alike);
	return alike;
}

/* The page that was touched, from the first node that the policy allows and that has one. */
static int fill_touched(const struct bound *bound)
{
	struct mempolicy_place place = place_of(bound, bound->gfn, 0);
	struct gmig_node_set tried = {{0}};
	struct bits page = {{0}};
	unsigned int node;
	int ret = -ENOMEM;

	bits_set(&page, (unsigned int)(bound->gfn - bound->block_gfn));
	while (ret == -ENOMEM && (node = mempolicy_next(bound->policy, &place, &bound->usable,
							&tried)) != GMIG_NO_NODE) {
		gmig_node_set_add(&tried, node);
		ret = fill_pages(bound, node, &page);
	}
	return ret;
}

static bool has_memory(const struct bound *bound, bool *whole)
{
	struct shadow_entry entry;

	if (shadow_lookup(bound->from->gmig->shadow, bound->gfn, &entry))
		return false;
	*whole = entry.order;
	return entry.state != SHADOW_NONE;
}

/*
 * Where its pages belong; what cannot be had there is left, unless it is the page that was touched: that one goes through the
 * policy's other nodes.
 */
static int fill_small(struct bound *bound)
{
	struct part part;
	unsigned int page, node;
	bool whole = false;
	int ret = 0;

	part_of(bound, &part);
	while ((page = bits_next(&part.none, 0, true)) < GMIG_BLOCK_PAGES) {
		struct bits alike = take_alike(bound, &part, page, &node);
		int failed = gmig_node_set_has(&bound->usable, node)
				 ? fill_pages(bound, node, &alike)
				 : -ENOMEM;

		ret = failed ? failed : ret;
	}
	if (has_memory(bound, &whole))
		return 0;
	if (ret == -ENOMEM) {
		ret = fill_touched(bound);
		if (has_memory(bound, &whole))
			return 0;
	}
	/* It was there already, and no entry knew; or there is no node left to ask but the kernel's own choice. */
	if (ret != -EEXIST && bound->policy && bound->policy->mode == GMIG_POLICY_BIND) {
		frame_drain_all(bound->from->gmig->frames);
		return -ENOMEM;
	}
	return first_touch_one(bound->from, bound->region, bound->gfn, whole);
}

int bound_touch_fill(struct first_touch *from, struct region *region, uint64_t gfn,
		     const struct shadow_entry *entry)
{
	struct bound bound = {.from = from,
			      .region = region,
			      .gfn = gfn,
			      .block_gfn = gfn / GMIG_BLOCK_PAGES * GMIG_BLOCK_PAGES};
	int ret = -ENOSPC;

	if (!bound_touch_is_bound(from->gmig, bound.block_gfn))
		return first_touch_fill(from, region, gfn, entry);
	bound_begin(&bound);
	if (entry->order && !from->gmig->options.small_pages &&
	    bound.end - bound.first == GMIG_BLOCK_PAGES)
		ret = fill_whole(&bound);
	if (ret)
		ret = fill_small(&bound);
	bound_end(&bound);
	return ret;
}
