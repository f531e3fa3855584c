#include "plan.h"

#include "../core/topology.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* ---- Node map ------------------------------------------------------------------------------- */

/* Both are sets: each node once. Their order only says who goes with whom. */
static int check_set(const uint16_t *list, unsigned int count, const char *name,
		     struct gmig_error *err)
{
	struct gmig_node_set seen = {{0}};

	if (!count)
		return gmig_fail(err, -EINVAL, "no node is named in '%s'", name);
	if (count > GMIG_MAX_NODES)
		return gmig_fail(err, -EINVAL, "%u nodes in '%s' are more than %u", count, name,
				 GMIG_MAX_NODES);
	for (unsigned int i = 0; i < count; i++) {
		if (gmig_node_set_has(&seen, list[i]))
			return gmig_fail(err, -EINVAL, "node %u is twice in '%s'", list[i], name);
		gmig_node_set_add(&seen, list[i]);
	}
	return 0;
}

static int check_spec(const struct gmig_job_spec *spec, const struct gmig_topology *topology,
		      const struct gmig_node_set *allowed, struct gmig_error *err)
{
	int ret = check_set(spec->from, spec->from_count, "from", err);
	char what[32];

	if (!ret)
		ret = check_set(spec->to, spec->to_count, "to", err);
	/* A node that is absent now has nothing to move, that is all. */
	for (unsigned int i = 0; i < spec->from_count && !ret; i++) {
		snprintf(what, sizeof(what), "node %u in 'from'", spec->from[i]);
		ret = topology_check_possible(topology, spec->from[i], what, err);
	}
	for (unsigned int i = 0; i < spec->to_count && !ret; i++) {
		snprintf(what, sizeof(what), "node %u in 'to'", spec->to[i]);
		ret = topology_check_target(topology, allowed, spec->to[i], what, err);
	}
	return ret;
}

int plan_map_build(const struct gmig_job_spec *spec, const struct gmig_topology *topology,
		   const struct gmig_node_set *allowed, struct plan_map *map,
		   struct gmig_error *err)
{
	struct gmig_node_set in_to = {{0}};
	unsigned int node;
	int ret;

	ret = check_spec(spec, topology, allowed, err);
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

/* ---- The plan --------------------------------------------------------------------------------- */

static unsigned int nodes_target(const struct plan *plan, uint64_t gfn, unsigned int order,
				 unsigned int node)
{
	(void)gfn, (void)order; /* a node map does not ask which page it is */
	return node < GMIG_MAX_NODES ? plan->map.to[node] : GMIG_NO_NODE;
}

static const struct plan_ops plan_nodes = {
    .name = "nodes",
    .target = nodes_target,
    .by_node = true,
};

void plan_create(const struct plan_map *map, struct plan *plan)
{
	*plan = (struct plan){.ops = &plan_nodes, .map = *map};
	for (unsigned int node = 0; node < GMIG_MAX_NODES; node++) {
		if (map->to[node] == GMIG_NO_NODE)
			continue;
		gmig_node_set_add(&plan->sources, node);
		gmig_node_set_add(&plan->targets, map->to[node]);
	}
	plan->left = plan->sources;
	gmig_node_set_minus(&plan->left, &plan->targets);
}

unsigned int plan_select(const struct plan *plan, uint64_t gfn, const struct shadow_entry *entry,
			 struct bits *pages)
{
	unsigned int target = plan_target(plan, gfn, entry->order, entry->node);
	unsigned int first = (unsigned int)(gfn % GMIG_BLOCK_PAGES), count = 0;

	if (target == GMIG_NO_NODE)
		return 0;
	if (target != PLAN_SPLIT) {
		count = entry->order ? GMIG_BLOCK_PAGES : 1;
		bits_set_range(pages, first, count);
		return count;
	}
	for (unsigned int i = 0; i < GMIG_BLOCK_PAGES; i++) {
		if (plan_target(plan, gfn + i, 0, entry->node) == GMIG_NO_NODE)
			continue;
		bits_set(pages, i);
		count++;
	}
	return count;
}

void plan_destroy(struct plan *plan)
{
	if (plan->ops && plan->ops->destroy)
		plan->ops->destroy(plan);
	plan->ops = NULL;
}
