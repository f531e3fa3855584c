#include "follow_goal.h"

#include "cli.h"

#include <stdlib.h>

struct gmig_node_set follow_cpus(const json_t *vcpus, uint64_t vnode)
{
	struct gmig_node_set all = {{0}};
	json_t *vcpu;
	size_t i;

	json_array_foreach (vcpus, i, vcpu) {
		struct gmig_node_set nodes = {{0}};

		if (!json_object_get(vcpu, "vnode") || cli_number(vcpu, "vnode") != vnode)
			continue;
		if (gmig_node_set_parse(cli_text(vcpu, "nodes"), &nodes, NULL) ||
		    gmig_node_set_empty(&nodes))
			return (struct gmig_node_set){{0}};
		gmig_node_set_or(&all, &nodes);
	}
	return all;
}

struct gmig_node_set follow_allowed(const json_t *numa)
{
	struct gmig_node_set allowed = {{0}};
	json_t *node;
	size_t i;

	json_array_foreach (json_object_get(numa, "allowed"), i, node) {
		json_int_t id = json_integer_value(node);

		if (!json_is_integer(node) || id < 0 || id >= (json_int_t)GMIG_MAX_NODES)
			return (struct gmig_node_set){{0}};
		gmig_node_set_add(&allowed, (unsigned int)id);
	}
	return allowed;
}

/* ---- Which of the allowed nodes, where no vCPU may run on one ------------------------------------ */

static unsigned int id_of(const json_t *node)
{
	uint64_t id = cli_number(node, "id");

	return id < GMIG_MAX_NODES ? (unsigned int)id : GMIG_NO_NODE;
}

/* From the node to the nearest one of `where`. INT64_MAX: the host does not say. */
static json_int_t distance_to(const json_t *nodes, const json_t *node,
			      const struct gmig_node_set *where)
{
	json_int_t least = INT64_MAX;
	json_t *distance;
	size_t i;

	json_array_foreach (json_object_get(node, "distance"), i, distance) {
		json_int_t value = json_integer_value(distance);

		if (gmig_node_set_has(where, id_of(json_array_get(nodes, i))) && value > 0 &&
		    value < least)
			least = value;
	}
	return least;
}

static struct gmig_node_set nearest(const struct follow_sight *sight,
				    const struct gmig_node_set *where)
{
	const json_t *nodes = json_object_get(sight->numa, "host_nodes");
	struct gmig_node_set best = {{0}};
	json_int_t least = INT64_MAX;
	json_t *node;
	size_t i;

	json_array_foreach (nodes, i, node) {
		json_int_t distance = distance_to(nodes, node, where);

		if (!gmig_node_set_has(&sight->allowed, id_of(node)) || distance > least)
			continue;
		if (distance < least)
			best = (struct gmig_node_set){{0}};
		least = distance;
		gmig_node_set_add(&best, id_of(node));
	}
	return gmig_node_set_empty(&best) ? sight->allowed : best;
}

/* ---- The goal -------------------------------------------------------------------------------- */

/* What of the vnode lies outside of `keep`. */
static void find_outside(const json_t *vnode, const struct gmig_node_set *keep,
			 struct follow_goal *goal)
{
	const char *key;
	json_t *value;

	json_object_foreach (json_object_get(vnode, "resident"), key, value) {
		unsigned int node = (unsigned int)strtoul(key, NULL, 10);

		if (json_integer_value(value) <= 0 || gmig_node_set_has(keep, node))
			continue;
		gmig_node_set_add(&goal->from, node);
		goal->bytes += (uint64_t)json_integer_value(value);
	}
}

void follow_find_goal(const struct follow_sight *sight, struct follow_goal *goal)
{
	bool known = !gmig_node_set_empty(&sight->allowed);
	struct gmig_node_set denied;

	*goal = (struct follow_goal){.to = sight->cpus};
	if (known)
		gmig_node_set_and(&goal->to, &sight->allowed);
	goal->at_cpus = !gmig_node_set_empty(&goal->to);
	if (goal->at_cpus)
		find_outside(sight->vnode, &goal->to, goal);
	else if (known)
		find_outside(sight->vnode, &sight->allowed, goal);
	denied = goal->from;
	gmig_node_set_minus(&denied, &sight->allowed);
	goal->by_cpuset = known && !gmig_node_set_empty(&denied);
	if (!goal->at_cpus && goal->by_cpuset)
		goal->to =
		    nearest(sight, gmig_node_set_empty(&sight->cpus) ? &goal->from : &sight->cpus);
}
