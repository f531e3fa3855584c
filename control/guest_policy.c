/* Policies of ranges, and what lies where, over the control socket; see guest_policy.h. */
#include "guest_policy.h"
#include "closed_nodes.h"
#include "guest_held.h"

#include <stdlib.h>
#include <string.h>
#include <time.h>

#define MAPS_MAX 128	    /* runs in one answer, some 30 KB */
#define MAPS_NS	 2000000ull /* and no run is begun later than that: the thread has other clients */

/* ---- Arguments ----------------------------------------------------------------------------------- */

static int read_address(const json_t *arguments, const char *name, uint64_t *value,
			struct gmig_error *err)
{
	return guest_read_integer(arguments, name, INT64_MAX, value, err);
}

/* A weight for each of `nodes`, in their order. */
static int read_weights(const json_t *arguments, const uint16_t *nodes, unsigned int count,
			struct gmig_policy *policy, struct gmig_error *err)
{
	const json_t *list = json_object_get(arguments, "weights"), *item;
	size_t i;

	if (!list)
		return 0;
	if (policy->mode != GMIG_POLICY_WEIGHTED_INTERLEAVE)
		return gmig_fail(err, -EINVAL, "weights: are for policy weighted-interleave");
	if (json_array_size(list) != count)
		return gmig_fail(err, -EINVAL, "weights: %zu for %u nodes", json_array_size(list),
				 count);
	json_array_foreach (list, i, item) {
		json_int_t weight = json_integer_value(item);

		if (!json_is_integer(item) || weight < 1 || weight > UINT8_MAX)
			return gmig_fail(err, -EINVAL, "weights: item %zu is not within 1 to %d", i,
					 UINT8_MAX);
		policy->weight[nodes[i]] = (uint8_t)weight;
	}
	return 0;
}

static int read_home(const json_t *arguments, struct gmig_policy *policy, struct gmig_error *err)
{
	uint64_t node = 0;
	int ret = guest_read_integer(arguments, "home-node", GMIG_MAX_NODES - 1, &node, err);

	policy->has_home_node = json_object_get(arguments, "home-node") != NULL;
	policy->home_node = (uint16_t)node;
	return ret;
}

static int read_policy(const struct guest *guest, const json_t *arguments,
		       struct gmig_policy *policy, struct gmig_error *err)
{
	const char *word = json_string_value(json_object_get(arguments, "policy"));
	uint16_t nodes[GMIG_MAX_NODES];
	unsigned int count = 0;
	int ret = gmig_name_index("policy", gmig_policy_mode_names(), word, err);

	if (ret < 0)
		return ret;
	policy->mode = (enum gmig_policy_mode)ret;
	if (json_is_true(json_object_get(arguments, "static")))
		policy->flags |= GMIG_POLICY_STATIC_NODES;
	if (json_is_true(json_object_get(arguments, "relative")))
		policy->flags |= GMIG_POLICY_RELATIVE_NODES;
	if (policy->flags & GMIG_POLICY_RELATIVE_NODES &&
	    json_is_string(json_array_get(json_object_get(arguments, "nodes"), 0)))
		return gmig_fail(err, -EINVAL,
				 "nodes: with relative they are numbers of places among those "
				 "allowed: a list, without all, ! and +");
	ret = guest_read_nodes(guest, arguments, "nodes", nodes, &count, err);
	for (unsigned int i = 0; i < count && !ret; i++)
		gmig_node_set_add(&policy->nodes, nodes[i]);
	if (!ret)
		ret = read_weights(arguments, nodes, count, policy, err);
	return ret ? ret : read_home(arguments, policy, err);
}

int guest_read_bind(const struct guest *guest, const json_t *arguments, struct gmig_bind_spec *spec,
		    struct gmig_error *err)
{
	int ret = read_address(arguments, "gpa", &spec->gpa, err);

	if (!ret)
		ret = read_address(arguments, "bytes", &spec->bytes, err);
	if (!ret)
		ret = read_policy(guest, arguments, &spec->policy, err);
	if (json_is_true(json_object_get(arguments, "strict")))
		spec->flags |= GMIG_BIND_STRICT;
	if (json_is_true(json_object_get(arguments, "move")))
		spec->flags |= GMIG_BIND_MOVE;
	if (json_is_true(json_object_get(arguments, "move-all")))
		spec->flags |= GMIG_BIND_MOVE_ALL;
	return ret ? ret : guest_read_how(arguments, &spec->job, err);
}

/* ---- bind-memory --------------------------------------------------------------------------------- */

/*
 * Nodes that gmig drain has closed get no memory. Without nodes, new memory goes where it goes already: only what is to move there
 * is refused.
 */
static int check_closed(const struct guest *guest, const struct gmig_bind_spec *spec,
			struct gmig_error *err)
{
	struct gmig_node_set set;
	uint16_t nodes[GMIG_MAX_NODES];
	unsigned int count = 0;

	if (gmig_node_set_empty(&spec->policy.nodes) &&
	    !(spec->flags & (GMIG_BIND_MOVE | GMIG_BIND_MOVE_ALL)))
		return 0;
	gmig_bind_nodes(guest->gmig, spec, &set);
	gmig_node_set_each (node, &set)
		nodes[count++] = (uint16_t)node;
	return closed_nodes_check(nodes, count, "nodes", err);
}

int guest_bind_memory(void *opaque, const json_t *arguments, json_t **result,
		      struct gmig_error *err)
{
	struct gmig_bind_spec spec = {0};
	struct gmig_job *job = NULL;
	HELD_GUEST held = {0};
	int ret = hold(opaque, arguments, &held, err);

	if (!ret && !held.ops->bind)
		ret = gmig_fail(err, -EOPNOTSUPP,
				"the policies of this guest's memory are those of its own process");
	if (!ret)
		ret = guest_read_bind(&held.guest, arguments, &spec, err);
	if (!ret)
		ret = check_closed(&held.guest, &spec, err);
	if (!ret)
		ret = held.ops->bind(&held.guest, &spec, &job, err);
	if (ret || !job)
		return ret;
	return guest_answer_with_job(&held.guest, job, result, err);
}

/* ---- fix-memory ----------------------------------------------------------------------------------- */

int guest_fix_memory(void *opaque, const json_t *arguments, json_t **result, struct gmig_error *err)
{
	bool fixed = json_is_true(json_object_get(arguments, "fixed"));
	uint64_t gpa = 0, bytes = 0;
	HELD_GUEST held = {0};
	int ret = hold(opaque, arguments, &held, err);

	(void)result;
	if (!ret)
		ret = read_address(arguments, "gpa", &gpa, err);
	if (!ret)
		ret = read_address(arguments, "bytes", &bytes, err);
	if (!ret && held.guest.process)
		ret = gmig_fail(err, -EOPNOTSUPP,
				"what of this guest's memory must not move cannot be said: its own "
				"process has it");
	return ret ? ret : gmig_fix_memory(held.guest.gmig, gpa, bytes, fixed, err);
}

/* ---- query-maps ----------------------------------------------------------------------------------- */

static json_t *number(uint64_t value)
{
	return json_integer((json_int_t)value);
}

static json_t *policy_nodes(const struct gmig_map *map)
{
	json_t *list = json_array();

	for (unsigned int i = 0; i < map->node_count; i++)
		json_array_append_new(list, number(map->node[i]));
	return list;
}

static void add_policy(const struct gmig_map *map, json_t *object)
{
	const struct gmig_policy *policy = &map->policy;

	json_object_set_new(object, "policy", json_string(gmig_policy_mode_names()[policy->mode]));
	if (map->node_count)
		json_object_set_new(object, "nodes", policy_nodes(map));
	if (policy->flags & GMIG_POLICY_STATIC_NODES)
		json_object_set_new(object, "static", json_true());
	if (policy->flags & GMIG_POLICY_RELATIVE_NODES)
		json_object_set_new(object, "relative", json_true());
	if (policy->has_home_node)
		json_object_set_new(object, "home_node", number(policy->home_node));
	json_object_set_new(object, "local", number(map->local));
}

json_t *guest_report_map(const struct gmig_map *map)
{
	const struct {
		const char *name;
		uint64_t pages;
	} counts[] = {
	    {"huge", map->huge_pages},	     {"small", map->small_pages},
	    {"swapped", map->swapped_pages}, {"untouched", map->untouched_pages},
	    {"moving", map->moving_pages},   {"misplaced", map->misplaced_pages},
	    {"fixed", map->fixed_pages},
	};
	json_t *object = json_object(), *pages = json_object();
	char key[16];

	json_object_set_new(object, "gpa", number(map->gpa));
	json_object_set_new(object, "bytes", number(map->bytes));
	json_object_set_new(object, "vnode", number(map->vnode));
	add_policy(map, object);
	for (unsigned int node = 0; node < GMIG_MAX_NODES; node++) {
		if (!map->pages[node])
			continue;
		snprintf(key, sizeof(key), "%u", node);
		json_object_set_new(pages, key, number(map->pages[node]));
	}
	json_object_set_new(object, "pages", pages);
	for (size_t i = 0; i < sizeof(counts) / sizeof(counts[0]); i++)
		json_object_set_new(object, counts[i].name, number(counts[i].pages));
	return object;
}

static uint64_t now_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * 1000000000ull + (uint64_t)now.tv_nsec;
}

/* *gpa: where it ends, unless there is nothing behind it (-ENOENT). */
static int list_maps(const struct guest *guest, uint64_t *gpa, uint64_t step, json_t *maps)
{
	struct gmig_map *map = malloc(sizeof(*map));
	uint64_t begin_ns = now_ns();
	int ret = map ? 0 : -ENOMEM;

	while (!ret && json_array_size(maps) < MAPS_MAX && now_ns() - begin_ns < MAPS_NS) {
		ret = gmig_map_part(guest->gmig, *gpa, step ? step : UINT64_MAX, map);
		if (ret)
			break;
		json_array_append_new(maps, guest_report_map(map));
		*gpa = map->gpa + map->bytes;
	}
	free(map);
	return ret;
}

int guest_query_maps(void *opaque, const json_t *arguments, json_t **result, struct gmig_error *err)
{
	HELD_GUEST held = {0};
	json_t *maps;
	uint64_t gpa = 0, step = 0;
	int ret = hold(opaque, arguments, &held, err);

	if (!ret)
		ret = read_address(arguments, "gpa", &gpa, err);
	if (!ret)
		ret = guest_read_step(arguments, &step, err);
	if (!ret && held.guest.process)
		ret = gmig_fail(err, -EOPNOTSUPP,
				"what lies where in another program: see /proc/PID/numa_maps");
	if (ret)
		return ret;
	maps = json_array();
	ret = list_maps(&held.guest, &gpa, step, maps);
	*result = json_pack("{s:o}", "maps", maps);
	if (!ret)
		json_object_set_new(*result, "next", number(gpa));
	if (!ret || ret == -ENOENT)
		return *result ? 0 : gmig_fail(err, -ENOMEM, "no memory for the answer");
	json_decref(*result);
	*result = NULL;
	return gmig_fail(err, ret, "%s",
			 ret == -EOPNOTSUPP ? gmig_why_off(held.guest.gmig)
					    : "no memory for the answer");
}

/* ---- Tables ---------------------------------------------------------------------------------------- */

const struct control_argument guest_bind_arguments[] = {
    {"guest", CONTROL_STRING, false},
    {"gpa", CONTROL_INTEGER, true},
    {"bytes", CONTROL_INTEGER, true},
    {"policy", CONTROL_STRING, true},
    {"nodes", CONTROL_ARRAY, false},
    {"static", CONTROL_BOOL, false},
    {"relative", CONTROL_BOOL, false},
    {"weights", CONTROL_ARRAY, false}, /* one for each of nodes */
    {"home-node", CONTROL_INTEGER, false},
    {"strict", CONTROL_BOOL, false},
    {"move", CONTROL_BOOL, false},
    {"move-all", CONTROL_BOOL, false},
    /* How it moves, as in migrate-pages */
    {"mode", CONTROL_STRING, false},
    {"mover", CONTROL_STRING, false},
    {"rate", CONTROL_INTEGER, false},
    {"max-slowdown", CONTROL_INTEGER, false},
    {"order", CONTROL_STRING, false},
    {"order-seed", CONTROL_INTEGER, false},
    {"threads", CONTROL_INTEGER, false},
    {"batch", CONTROL_INTEGER, false},
    {"hold-vcpus", CONTROL_BOOL, false},
    {"frames", CONTROL_STRING, false},
    {"huge", CONTROL_STRING, false},
    {"swapped", CONTROL_STRING, false},
    {"trace", CONTROL_BOOL, false},
    {0},
};
const struct control_argument guest_fix_arguments[] = {{"guest", CONTROL_STRING, false},
						       {"gpa", CONTROL_INTEGER, true},
						       {"bytes", CONTROL_INTEGER, true},
						       {"fixed", CONTROL_BOOL, true},
						       {0}};
const struct control_argument guest_maps_arguments[] = {{"guest", CONTROL_STRING, false},
							{"gpa", CONTROL_INTEGER, false},
							{"step", CONTROL_INTEGER, false},
							{0}};
