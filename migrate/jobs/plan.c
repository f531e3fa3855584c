#include "plan.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* ---- Node map ------------------------------------------------------------------------------- */

#define SET_TEXT 64 /* of a set in an error's text */

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

static int check_possible(const struct gmig_topology *topology, unsigned int node, const char *name,
			  struct gmig_error *err)
{
	const struct gmig_node_set *possible = gmig_topology_possible(topology);
	char text[SET_TEXT];

	if (gmig_node_set_has(possible, node))
		return 0;
	return gmig_fail(err, -ENODEV,
			 "node %u in '%s' cannot exist on this host, which has room for %s", node,
			 name, gmig_node_set_print(possible, text, sizeof(text)));
}

static int check_target(const struct gmig_topology *topology, const struct gmig_node_set *allowed,
			unsigned int node, struct gmig_error *err)
{
	char text[SET_TEXT];
	int ret = check_possible(topology, node, "to", err);

	if (ret)
		return ret;
	if (!gmig_node_set_has(gmig_topology_nodes(topology), node))
		return gmig_fail(err, -ENODEV, "node %u in 'to' %s", node,
				 gmig_node_set_has(gmig_topology_online(topology), node)
				     ? "has no memory"
				     : "is offline");
	if (!gmig_node_set_has(allowed, node))
		return gmig_fail(err, -EACCES,
				 "node %u in 'to' is outside the cpuset, which allows memory on %s "
				 "only",
				 node, gmig_node_set_print(allowed, text, sizeof(text)));
	return 0;
}

static int check_spec(const struct gmig_job_spec *spec, const struct gmig_topology *topology,
		      const struct gmig_node_set *allowed, struct gmig_error *err)
{
	int ret = check_set(spec->from, spec->from_count, "from", err);

	if (!ret)
		ret = check_set(spec->to, spec->to_count, "to", err);
	/* A node that is absent now has nothing to move, that is all. */
	for (unsigned int i = 0; i < spec->from_count && !ret; i++)
		ret = check_possible(topology, spec->from[i], "from", err);
	for (unsigned int i = 0; i < spec->to_count && !ret; i++)
		ret = check_target(topology, allowed, spec->to[i], err);
	return ret;
}

int plan_map_build(const struct gmig_job_spec *spec, const struct gmig_topology *topology,
		   const struct gmig_node_set *allowed, struct plan_map *map,
		   struct gmig_error *err)
{
	struct gmig_node_set in_to = {{0}};
	unsigned int node;
	int ret;

	ret = check_spec(spec, topology, allowed ? allowed : gmig_topology_allowed(topology), err);
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

void plan_create(const struct plan_map *map, struct plan *plan)
{
	*plan = (struct plan){.map = *map};
	for (unsigned int node = 0; node < GMIG_MAX_NODES; node++) {
		if (map->to[node] == GMIG_NO_NODE)
			continue;
		gmig_node_set_add(&plan->sources, node);
		gmig_node_set_add(&plan->targets, map->to[node]);
	}
	plan->left = plan->sources;
	gmig_node_set_minus(&plan->left, &plan->targets);
}
