/* What lies where, run by run: gmig_map_at(). */
#include "bound_pages.h"
#include "catch_up.h"
#include "fixed.h"

#include <errno.h>
#include <string.h>

#define ENTRIES 100000 /* that one call looks at: some milliseconds where all differ */

struct look {
	struct gmig *gmig;
	struct gmig_map *map;
	const struct mempolicy *policy;
	struct mempolicy_place place;
	uint64_t first, end;
	uint64_t reached;  /* the first page that was not looked at */
	unsigned int left; /* entries */
};

static void count_pages(struct look *look, const struct shadow_entry *entry, unsigned int order,
			uint64_t pages)
{
	struct gmig_map *map = look->map;

	if (entry->state == SHADOW_NONE) {
		map->untouched_pages += pages;
		return;
	}
	if (entry->state == SHADOW_SWAPPED) {
		map->swapped_pages += pages;
		return;
	}
	if (entry->state != SHADOW_PRESENT)
		map->moving_pages += pages;
	if (entry->node < GMIG_MAX_NODES)
		map->pages[entry->node] += pages;
	*(entry->order ? &map->huge_pages : &map->small_pages) += pages;
	look->place.order = order;
	if (!mempolicy_follows(look->policy, &look->place, entry->node))
		map->misplaced_pages += pages;
}

static int look_visit(void *arg, uint64_t gfn, const struct shadow_entry *entry)
{
	uint64_t end = gfn + (entry->order ? GMIG_BLOCK_PAGES : 1);
	struct look *look = arg;

	if (!look->left--)
		return 1;
	look->reached = end < look->end ? end : look->end;
	look->place.gfn = gfn;
	if (gfn >= look->first && end <= look->end) {
		count_pages(look, entry, entry->order, end - gfn);
		return 0;
	}
	/* A part of a huge page: each of its pages by itself, as a job would have it. */
	for (uint64_t page = gfn; page < end; page++) {
		if (page < look->first || page >= look->end)
			continue;
		look->place.gfn = page;
		count_pages(look, entry, 0, 1);
	}
	return 0;
}

static void describe(struct look *look)
{
	const struct mempolicy *policy = look->policy;
	struct gmig_map *map = look->map;

	map->local = look->place.local;
	if (!policy)
		return;
	map->policy = policy->asked;
	map->policy.mode = policy->mode;
	map->node_count = policy->count;
	for (unsigned int i = 0; i < policy->count; i++)
		map->node[i] = policy->list[i].node;
}

/* The first page of a later step; a step as big as can be has none. */
static uint64_t step_end(uint64_t gfn, uint64_t step_pages)
{
	uint64_t rest = step_pages - gfn % step_pages;

	return rest > UINT64_MAX - gfn ? UINT64_MAX : gfn + rest;
}

int gmig_map_at(struct gmig *gmig, uint64_t gpa, struct gmig_map *map)
{
	return gmig_map_part(gmig, gpa, UINT64_MAX, map);
}

int gmig_map_part(struct gmig *gmig, uint64_t gpa, uint64_t step_bytes, struct gmig_map *map)
{
	uint64_t gfn = gpa / GMIG_PAGE_BYTES, end;
	const struct region *region = engine_region_from(gmig, gfn);
	struct mempolicy *policy;
	struct look look;

	if (gmig->plain)
		return -EOPNOTSUPP;
	if (!region)
		return -ENOENT;
	catch_up(gmig);
	memset(map, 0, sizeof(*map));
	if (gfn < region->gfn)
		gfn = region->gfn;
	policy = bindings_get_run(gmig->bindings, gfn, &end);
	if (end > region->gfn + region->pages)
		end = region->gfn + region->pages;
	if (end > step_end(gfn, step_bytes / GMIG_PAGE_BYTES))
		end = step_end(gfn, step_bytes / GMIG_PAGE_BYTES);
	look = (struct look){.gmig = gmig,
			     .map = map,
			     .policy = policy,
			     .place = {.local = atomic_load(&region->preferred_node),
				       .topology = memory_topology(&gmig->memory)},
			     .first = gfn,
			     .end = end,
			     .reached = gfn,
			     .left = ENTRIES};
	describe(&look);
	shadow_walk(gmig->shadow, gfn, end - gfn, look_visit, &look);
	map->vnode = region->vnode;
	map->gpa = gfn * GMIG_PAGE_BYTES;
	map->bytes = (look.reached - gfn) * GMIG_PAGE_BYTES;
	map->fixed_pages = fixed_pages(gmig, gfn, look.reached - gfn);
	gmig_topology_put((struct gmig_topology *)look.place.topology);
	mempolicy_put(policy);
	return 0;
}
