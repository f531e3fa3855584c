#include "bound_pages.h"

#include <errno.h>

static struct mempolicy_place place_of(const struct region *region,
				       const struct gmig_topology *topology, uint64_t gfn,
				       unsigned int order)
{
	return (struct mempolicy_place){.gfn = gfn,
					.order = order,
					.local = atomic_load(&region->preferred_node),
					.topology = topology};
}

/* Pages of a huge page that are of several ranges: does one of them belong elsewhere? */
static unsigned int apart_target(struct gmig *gmig, const struct mempolicy_place *huge,
				 unsigned int node)
{
	struct mempolicy_place place = *huge;
	bool follows = true;

	place.order = 0;
	for (unsigned int i = 0; i < GMIG_BLOCK_PAGES && follows; i++) {
		struct mempolicy *policy = bindings_get(gmig->bindings, huge->gfn + i);

		place.gfn = huge->gfn + i;
		follows = mempolicy_follows(policy, &place, node);
		mempolicy_put(policy);
	}
	return follows ? GMIG_NO_NODE : BOUND_SPLIT;
}

unsigned int bound_pages_target(void *arg, uint64_t gfn, unsigned int order, unsigned int node,
				const struct gmig_node_set *full)
{
	struct gmig *gmig = arg;
	struct region *region = engine_region_of_gfn(gmig, gfn);
	struct gmig_topology *topology;
	struct mempolicy_place place;
	struct mempolicy *policy;
	unsigned int target;
	uint64_t end;

	if (!region)
		return GMIG_NO_NODE;
	topology = memory_topology(&gmig->memory);
	place = place_of(region, topology, gfn, order);
	policy = bindings_get_run(gmig->bindings, gfn, &end);
	if (order && end < gfn + GMIG_BLOCK_PAGES)
		target = apart_target(gmig, &place, node);
	else if (mempolicy_follows(policy, &place, node))
		target = GMIG_NO_NODE;
	else
		target = full ? mempolicy_node_but(policy, &place, full)
			      : mempolicy_node_of(policy, &place);
	mempolicy_put(policy);
	gmig_topology_put(topology);
	return target;
}

/* ---- How many ----------------------------------------------------------------------------------- */

struct count {
	struct gmig *gmig;
	uint64_t first, end;
	const struct mempolicy *policy; /* instead of the ranges' own; NULL with `own`: DEFAULT */
	bool given;
	struct gmig_topology *topology;
	uint64_t misplaced;
};

static bool follows(const struct count *count, uint64_t gfn, unsigned int order, unsigned int node)
{
	struct region *region = engine_region_of_gfn(count->gmig, gfn);
	struct mempolicy_place place;

	if (!count->given)
		return bound_pages_target(count->gmig, gfn, order, node, NULL) == GMIG_NO_NODE;
	place = place_of(region, count->topology, gfn, order);
	return mempolicy_follows(count->policy, &place, node);
}

static int count_visit(void *arg, uint64_t gfn, const struct shadow_entry *entry)
{
	struct count *count = arg;
	uint64_t pages = entry->order ? GMIG_BLOCK_PAGES : 1;
	bool in = gfn >= count->first && gfn + pages <= count->end;

	/* A swapped page is on no node. */
	if (entry->state == SHADOW_NONE || entry->state == SHADOW_SWAPPED)
		return 0;
	if (in && (count->given || bound_pages_target(count->gmig, gfn, entry->order, entry->node,
						      NULL) != BOUND_SPLIT)) {
		count->misplaced += follows(count, gfn, entry->order, entry->node) ? 0 : pages;
		return 0;
	}
	for (uint64_t page = gfn; page < gfn + pages; page++)
		if (page >= count->first && page < count->end &&
		    !follows(count, page, 0, entry->node))
			count->misplaced++;
	return 0;
}

static uint64_t count_run(struct count *count)
{
	shadow_walk(count->gmig->shadow, count->first, count->end - count->first, count_visit,
		    count);
	return count->misplaced;
}

uint64_t bound_pages_misplaced(void *arg, uint64_t gfn, uint64_t pages)
{
	struct count count = {.gmig = arg, .first = gfn, .end = gfn + pages};

	return count_run(&count);
}

uint64_t bound_pages_against(struct gmig *gmig, uint64_t gfn, uint64_t pages,
			     const struct mempolicy *policy)
{
	struct count count = {.gmig = gmig,
			      .first = gfn,
			      .end = gfn + pages,
			      .policy = policy,
			      .given = true,
			      .topology = memory_topology(&gmig->memory)};

	count_run(&count);
	gmig_topology_put(count.topology);
	return count.misplaced;
}

static void add_nodes(struct gmig *gmig, const struct region *region, uint64_t from, uint64_t to,
		      struct gmig_node_set *nodes)
{
	for (uint64_t end; from < to; from = end) {
		struct mempolicy *policy = bindings_get_run(gmig->bindings, from, &end);

		if (policy && policy->count)
			gmig_node_set_or(nodes, &policy->members);
		else
			gmig_node_set_add(nodes, atomic_load(&region->preferred_node));
		mempolicy_put(policy);
	}
}

void bound_pages_nodes(void *arg, uint64_t gfn, uint64_t pages, struct gmig_node_set *nodes)
{
	struct gmig *gmig = arg;

	for (unsigned int i = 0; i < atomic_load(&gmig->region_count); i++) {
		const struct region *region = &gmig->regions[i];
		uint64_t end = region->gfn + region->pages;

		add_nodes(gmig, region, gfn > region->gfn ? gfn : region->gfn,
			  gfn + pages < end ? gfn + pages : end, nodes);
	}
}

bool bound_pages_exist(struct gmig *gmig, uint64_t gfn, uint64_t pages)
{
	uint64_t end = gfn + pages;
	const struct region *region;

	while (gfn < end && (region = engine_region_of_gfn(gmig, gfn)))
		gfn = region->gfn + region->pages;
	return gfn >= end;
}

bool bound_pages_any(struct gmig *gmig, uint64_t gfn, uint64_t pages)
{
	for (unsigned int i = 0; i < atomic_load(&gmig->region_count); i++) {
		const struct region *region = &gmig->regions[i];

		if (gfn < region->gfn + region->pages && region->gfn < gfn + pages)
			return true;
	}
	return false;
}

/* ---- Along with a migration ----------------------------------------------------------------------- */

struct begin_follow {
	uint64_t owner;
	struct mempolicy_map *map;
};

static int begin_follow(void *arg, struct mempolicy *policy, struct mempolicy **out)
{
	const struct begin_follow *begin = arg;

	return mempolicy_begin(policy, begin->owner, begin->map, out);
}

int bound_pages_follow(struct gmig *gmig, const struct region *region,
		       const struct memory_follow *follow)
{
	struct begin_follow begin = {.owner = follow->owner};
	int ret = mempolicy_map_create(follow->target, follow->arg, &begin.map);

	if (ret)
		return ret;
	ret = bindings_change(gmig->bindings, region->gfn, region->pages, begin_follow, &begin);
	mempolicy_map_put(begin.map);
	return ret;
}

struct end_follow {
	const struct memory_follow *follow;
	bool keep;
};

static int end_follow(void *arg, struct mempolicy *policy, struct mempolicy **out)
{
	const struct end_follow *end = arg;

	return mempolicy_end(policy, end->follow->owner, end->keep, out);
}

void bound_pages_follow_end(struct gmig *gmig, const struct region *region,
			    const struct memory_follow *follow, bool keep)
{
	struct end_follow end = {follow, keep};

	/* Without memory they stay as they are, which is right for one that is kept. */
	bindings_change(gmig->bindings, region->gfn, region->pages, end_follow, &end);
}
