#include "plan.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* ---- Node map ------------------------------------------------------------------------------- */

static int check_set(const uint16_t *set, unsigned int count, const char *name,
		     const struct gmig_node_set *online, struct gmig_error *err)
{
	if (!count)
		return gmig_fail(err, -EINVAL, "no node is named in '%s'", name);
	if (count > GMIG_MAX_NODES)
		return gmig_fail(err, -EINVAL, "%u nodes in '%s' are more than %u", count, name,
				 GMIG_MAX_NODES);
	for (unsigned int i = 0; i < count; i++) {
		if (!gmig_node_set_has(online, set[i]))
			return gmig_fail(err, -ENODEV, "node %u in '%s' is not there", set[i],
					 name);
	}
	return 0;
}

static int check_twice(const uint16_t *set, unsigned int count, const char *name,
		       struct gmig_error *err)
{
	struct gmig_node_set seen = {{0}};

	for (unsigned int i = 0; i < count; i++) {
		if (gmig_node_set_has(&seen, set[i]))
			return gmig_fail(err, -EINVAL, "node %u is twice in '%s'", set[i], name);
		gmig_node_set_add(&seen, set[i]);
	}
	return 0;
}

int plan_map_build(const struct gmig_job_spec *spec, const struct gmig_node_set *online,
		   struct plan_map *map, struct gmig_error *err)
{
	struct gmig_node_set in_to = {{0}};
	unsigned int node;
	int ret;

	ret = check_set(spec->from, spec->from_count, "from", online, err);
	if (!ret)
		ret = check_set(spec->to, spec->to_count, "to", online, err);
	if (!ret)
		ret = check_twice(spec->from, spec->from_count, "from", err);
	if (ret)
		return ret;

	for (node = 0; node < GMIG_MAX_NODES; node++)
		map->to[node] = GMIG_NO_NODE;
	for (unsigned int i = 0; i < spec->to_count; i++)
		gmig_node_set_add(&in_to, spec->to[i]);
	for (unsigned int i = 0; i < spec->from_count; i++) {
		node = spec->from[i];
		/* [2,3,4] -> [3,4,5] shifts all; [0-7] -> [3,4,5] moves 0, 1, 2, 6 and 7 only. */
		if (spec->from_count != spec->to_count && gmig_node_set_has(&in_to, node))
			continue;
		if (spec->to[i % spec->to_count] != node)
			map->to[node] = spec->to[i % spec->to_count];
	}
	return 0;
}

/* ---- Blocks that have something to move ----------------------------------------------------- */

/* Blocks with a majority source node: what the sources' order is applied to. */
struct found {
	const struct plan_map *map;
	uint64_t *block_gfn;
	uint16_t *source;
	size_t blocks, room;
	uint64_t total_bytes;
	/* The block that is being looked at; gfn of its first page to move. */
	uint64_t gfn;
	uint16_t pages[GMIG_MAX_NODES];
	struct gmig_node_set nodes; /* those that have some of pages */
	unsigned int any;
};

static void close_block(struct found *found)
{
	unsigned int best = 0, most = 0;

	if (!found->any)
		return;
	gmig_node_set_each (node, &found->nodes) {
		if (found->pages[node] > most) {
			best = node;
			most = found->pages[node];
		}
		found->pages[node] = 0;
	}
	found->block_gfn[found->blocks] = found->gfn;
	found->source[found->blocks++] = (uint16_t)best;
	found->total_bytes += (uint64_t)found->any * GMIG_PAGE_BYTES;
	found->nodes = (struct gmig_node_set){{0}};
	found->any = 0;
}

static int look(void *arg, uint64_t gfn, const struct shadow_entry *entry)
{
	struct found *found = arg;
	unsigned int pages = 1u << entry->order;
	uint64_t block = gfn & ~(uint64_t)(GMIG_BLOCK_PAGES - 1);

	if (entry->state != SHADOW_PRESENT || entry->node >= GMIG_MAX_NODES ||
	    found->map->to[entry->node] == GMIG_NO_NODE)
		return 0;
	if (found->any && found->gfn != block)
		close_block(found);
	if (found->blocks == found->room)
		return -ENOSPC;
	/* An entry joined or split during the walk may be seen twice: never more than the block. */
	if (pages > GMIG_BLOCK_PAGES - found->any)
		pages = GMIG_BLOCK_PAGES - found->any;
	found->gfn = block;
	gmig_node_set_add(&found->nodes, entry->node);
	found->pages[entry->node] = (uint16_t)(found->pages[entry->node] + pages);
	found->any += pages;
	return 0;
}

static int look_everywhere(const struct shadow *shadow, const struct plan_range *ranges,
			   size_t count, struct found *found)
{
	int ret;

	for (size_t i = 0; i < count; i++)
		found->room += (ranges[i].pages + GMIG_BLOCK_PAGES - 1) / GMIG_BLOCK_PAGES + 1;
	if (!found->room)
		return 0;
	found->block_gfn = malloc(found->room * sizeof(*found->block_gfn));
	found->source = malloc(found->room * sizeof(*found->source));
	if (!found->block_gfn || !found->source)
		return -ENOMEM;
	for (size_t i = 0; i < count; i++) {
		ret = shadow_walk(shadow, ranges[i].gfn, ranges[i].pages, look, found);
		if (ret)
			return ret;
		close_block(found);
	}
	return 0;
}

/* ---- Order ---------------------------------------------------------------------------------- */

/* The nodes whose pages go next: one node, or all of a cycle. */
static struct gmig_node_set next_sources(const struct plan_map *map,
					 const struct gmig_node_set *remaining)
{
	struct gmig_node_set sources = {{0}};
	unsigned int at;

	gmig_node_set_each (node, remaining) {
		if (!gmig_node_set_has(remaining, map->to[node])) {
			gmig_node_set_add(&sources, node);
			return sources;
		}
	}
	/* Every remaining node goes to a remaining one: whoever follows the arrows ends in a cycle.
	 */
	at = gmig_node_set_next(remaining, 0);
	for (unsigned int i = 0; i < GMIG_MAX_NODES; i++)
		at = map->to[at];
	while (!gmig_node_set_has(&sources, at)) {
		gmig_node_set_add(&sources, at);
		at = map->to[at];
	}
	return sources;
}

struct queues {
	uint64_t *gfn;		     /* all blocks, a node's together, by address */
	size_t next[GMIG_MAX_NODES]; /* index into gfn */
	size_t end[GMIG_MAX_NODES];
};

static int sort_by_source(const struct found *found, struct queues *queues)
{
	size_t at = 0;

	memset(queues, 0, sizeof(*queues));
	queues->gfn = malloc((found->blocks ? found->blocks : 1) * sizeof(*queues->gfn));
	if (!queues->gfn)
		return -ENOMEM;
	for (size_t i = 0; i < found->blocks; i++)
		queues->end[found->source[i]]++;
	for (unsigned int node = 0; node < GMIG_MAX_NODES; node++) {
		queues->next[node] = at;
		at += queues->end[node];
		queues->end[node] = queues->next[node];
	}
	for (size_t i = 0; i < found->blocks; i++)
		queues->gfn[queues->end[found->source[i]]++] = found->block_gfn[i];
	return 0;
}

/*
 * A node by itself goes whole. The nodes of a cycle take turns, block by block: what leaves one
 * makes room for what comes next, so that full nodes can change places with a block or two to
 * spare.
 */
static size_t emit(struct queues *queues, const struct gmig_node_set *sources, uint64_t *out)
{
	uint16_t source[GMIG_MAX_NODES];
	unsigned int count = 0;
	size_t emitted = 0;
	bool more = true;

	gmig_node_set_each (node, sources)
		source[count++] = (uint16_t)node;
	while (more) {
		more = false;
		for (unsigned int i = 0; i < count; i++) {
			size_t *next = &queues->next[source[i]];

			if (*next == queues->end[source[i]])
				continue;
			out[emitted++] = queues->gfn[(*next)++];
			more = true;
		}
	}
	return emitted;
}

static void order(const struct plan_map *map, struct queues *queues, uint64_t *out)
{
	struct gmig_node_set remaining = {{0}}, sources;

	for (unsigned int node = 0; node < GMIG_MAX_NODES; node++) {
		if (map->to[node] != GMIG_NO_NODE)
			gmig_node_set_add(&remaining, node);
	}
	while (!gmig_node_set_empty(&remaining)) {
		sources = next_sources(map, &remaining);
		out += emit(queues, &sources, out);
		gmig_node_set_minus(&remaining, &sources);
	}
}

static int by_gfn(const void *a, const void *b)
{
	const struct plan_range *left = a, *right = b;

	return left->gfn < right->gfn ? -1 : left->gfn > right->gfn;
}

static int find_blocks(const struct shadow *shadow, const struct plan_range *ranges, size_t count,
		       struct found *found)
{
	struct plan_range *sorted = malloc((count ? count : 1) * sizeof(*sorted));
	int ret;

	if (!sorted)
		return -ENOMEM;
	if (count)
		memcpy(sorted, ranges, count * sizeof(*sorted));
	qsort(sorted, count, sizeof(*sorted), by_gfn);
	ret = look_everywhere(shadow, sorted, count, found);
	free(sorted);
	return ret;
}

int plan_build(const struct shadow *shadow, const struct plan_range *ranges, size_t count,
	       const struct plan_map *map, struct plan **out)
{
	struct plan *plan = calloc(1, sizeof(*plan));
	struct found found = {.map = map};
	struct queues queues = {.gfn = NULL};
	int ret;

	if (!plan)
		return -ENOMEM;
	plan->map = *map;
	ret = find_blocks(shadow, ranges, count, &found);
	if (!ret)
		ret = sort_by_source(&found, &queues);
	if (!ret) {
		plan->blocks = found.blocks;
		plan->total_bytes = found.total_bytes;
		plan->block_gfn = found.block_gfn;
		found.block_gfn = NULL;
		order(map, &queues, plan->block_gfn);
		*out = plan;
	} else {
		free(plan);
	}
	free(queues.gfn);
	free(found.block_gfn);
	free(found.source);
	return ret;
}

void plan_destroy(struct plan *plan)
{
	if (!plan)
		return;
	free(plan->block_gfn);
	free(plan);
}
