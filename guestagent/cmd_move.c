/* migrate-pages, a job over processes; move-pages, addresses with a status each. */
#include "agent.h"
#include "move.h"
#include "ranges.h"
#include "sys.h"

#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>

#define MAX_ADDRESSES 16384
#define MAX_RANGES    1024

/* ---- migrate-pages --------------------------------------------------------------------------- */

struct migration {
	struct agent_move move;
	struct agent_victims victims;
};

static int migration_run(struct agent_job *job, void *context, struct gmig_error *err)
{
	struct migration *migration = context;

	return agent_move_processes(job, &migration->move, &migration->victims, err);
}

static void migration_describe(const void *context, json_t *object)
{
	const struct migration *migration = context;

	const struct agent_victims *victims = &migration->victims;

	json_object_set_new(object, "processes", json_integer((json_int_t)victims->count));
	json_object_set_new(object, "skipped_processes",
			    json_integer((json_int_t)victims->skipped));
	json_object_set_new(object, "unread_processes", agent_remaining_json(&victims->unread));
	json_object_set_new(object, "from", agent_set_json(&migration->move.mapping.from));
	json_object_set_new(object, "to", agent_set_json(&migration->move.mapping.to));
}

static void migration_free(void *context)
{
	struct migration *migration = context;

	free(migration->victims.victim);
	free(migration);
}

static const struct agent_job_ops migration_ops = {
    .kind = "migrate-pages",
    .run = migration_run,
    .describe = migration_describe,
    .free = migration_free,
};

/* All nodes of `to` must have memory, as move_pages(2) wants it. */
static int check_targets(const struct agent_set *to, struct gmig_error *err)
{
	struct agent_set there;
	int rc = agent_nodes_with_memory(&there, err);

	for (int node = agent_set_next(to, 0); !rc && node >= 0;
	     node = agent_set_next(to, node + 1))
		if (!agent_set_has(&there, node))
			return gmig_fail(err, -ENODEV,
					 "node %d is not online or has no memory, see "
					 "numa-topology: ENODEV (%d)",
					 node, ENODEV);
	return rc;
}

static int parse_method(const json_t *arguments, bool *by_process, struct gmig_error *err)
{
	const char *method = agent_get_string(arguments, "method");

	if (!method || !strcmp(method, "move_pages"))
		return 0;
	*by_process = !strcmp(method, "migrate_pages");
	if (!*by_process)
		return gmig_fail(err, -EINVAL,
				 "method is \"move_pages\" or \"migrate_pages\", not '%.40s'",
				 method);
	return 0;
}

static int parse_migration(struct agent *agent, const json_t *arguments,
			   struct migration *migration, struct gmig_error *err)
{
	struct agent_set from, to;
	int rc = agent_set_from_json(json_object_get(arguments, "from"), "from", AGENT_MAX_NODES,
				     &from, err);

	if (!rc)
		rc = agent_set_from_json(json_object_get(arguments, "to"), "to", AGENT_MAX_NODES,
					 &to, err);
	if (!rc)
		rc = parse_method(arguments, &migration->move.by_process, err);
	if (!rc)
		rc = check_targets(&to, err);
	if (rc)
		return rc;
	agent_mapping_set(&migration->move.mapping, &from, &to);
	migration->move.shared = agent_get_bool(arguments, "shared", true);
	return agent_get_victims(agent, arguments, &migration->victims, err);
}

AGENT_RUN(agent_run_migrate_pages)
{
	struct migration *migration = calloc(1, sizeof(*migration));
	int64_t rate = 0;
	int rc;

	if (!migration)
		return gmig_fail(err, -ENOMEM, "out of memory");
	rc = agent_get_integer(arguments, "rate", 0, INT64_MAX, &rate, err);
	if (!rc)
		rc = parse_migration(agent, arguments, migration, err);
	if (rc) {
		migration_free(migration);
		return rc;
	}
	return agent_jobs_start(agent->jobs, &migration_ops, migration,
				agent_conf_rate(&agent->conf, (uint64_t)rate), result, err);
}

/* ---- move-pages ------------------------------------------------------------------------------ */

struct moves {
	size_t count;
	bool query;
	void *pages[MAX_ADDRESSES];
	int nodes[MAX_ADDRESSES], status[MAX_ADDRESSES];
};

static int too_many(struct gmig_error *err)
{
	return gmig_fail(err, -E2BIG,
			 "at most %d pages in one command: give several, or use migrate-pages, "
			 "which runs as a job: E2BIG (%d)",
			 MAX_ADDRESSES, E2BIG);
}

/* nodes: none, one for all, or one for each of `wanted`; the i-th in *node. */
static int node_for(const json_t *nodes, size_t i, size_t wanted, int *node, struct gmig_error *err)
{
	const json_t *one = json_is_array(nodes) ? json_array_get(nodes, i) : nodes;

	if (!nodes)
		return 0;
	if (json_is_array(nodes) && json_array_size(nodes) != wanted)
		return gmig_fail(err, -EINVAL, "%zu nodes for %zu addresses or ranges",
				 json_array_size(nodes), wanted);
	/* A number that cannot be a node is the kernel's to refuse, as long as it is an int. */
	if (!json_is_integer(one) || json_integer_value(one) < INT_MIN ||
	    json_integer_value(one) > INT_MAX)
		return gmig_fail(err, -EINVAL, "a node is a number");
	*node = (int)json_integer_value(one);
	return 0;
}

static int take_addresses(const json_t *addresses, const json_t *nodes, struct moves *moves,
			  struct gmig_error *err)
{
	size_t i, wanted = json_array_size(addresses);
	json_t *item;

	if (wanted > MAX_ADDRESSES)
		return too_many(err);
	json_array_foreach (addresses, i, item) {
		uint64_t address;
		int rc = agent_address_from_json(item, &address, err);

		if (!rc)
			rc = node_for(nodes, i, wanted, &moves->nodes[i], err);
		if (rc)
			return rc;
		moves->pages[i] = (void *)(uintptr_t)address; // NOLINT
	}
	moves->count = wanted;
	return 0;
}

static int add_range(const struct agent_range *range, int node, struct moves *moves,
		     struct gmig_error *err)
{
	if ((range->end - range->start) / AGENT_PAGE_BYTES > MAX_ADDRESSES - moves->count)
		return too_many(err);
	for (uint64_t at = range->start; at < range->end; at += AGENT_PAGE_BYTES) {
		moves->nodes[moves->count] = node;
		moves->pages[moves->count++] = (void *)(uintptr_t)at; // NOLINT
	}
	return 0;
}

static int take_ranges(const json_t *list, const json_t *nodes, struct moves *moves,
		       struct gmig_error *err)
{
	struct agent_range *ranges = NULL;
	size_t count;
	int node = 0;
	int rc = agent_ranges_from_json(list, AGENT_PAGE_BYTES, MAX_RANGES, &ranges, &count, err);

	for (size_t i = 0; !rc && i < count; i++) {
		rc = node_for(nodes, i, count, &node, err);
		if (!rc)
			rc = add_range(&ranges[i], node, moves, err);
	}
	free(ranges);
	return rc;
}

static int take_moves(const json_t *arguments, struct moves *moves, struct gmig_error *err)
{
	const json_t *addresses = json_object_get(arguments, "addresses");
	const json_t *ranges = json_object_get(arguments, "ranges");
	const json_t *nodes = json_object_get(arguments, "nodes");

	moves->query = !nodes;
	if (!addresses == !ranges)
		return gmig_fail(err, -EINVAL, "give one of 'addresses' and 'ranges'");
	if (addresses)
		return take_addresses(addresses, nodes, moves, err);
	return take_ranges(ranges, nodes, moves, err);
}

static json_t *status_json(const struct moves *moves)
{
	json_t *list = json_array();
	struct agent_remaining left = {0};

	for (size_t i = 0; i < moves->count; i++) {
		json_array_append_new(list, json_integer(moves->status[i]));
		if (moves->status[i] < 0)
			agent_remaining_add(&left, moves->status[i], 1);
	}
	return json_pack("{s:o, s:o}", "status", list, "errors", agent_remaining_json(&left));
}

AGENT_RUN(agent_run_move_pages)
{
	bool shared = agent_get_bool(arguments, "shared", false);
	struct moves *moves = calloc(1, sizeof(*moves));
	struct agent_process process;
	int rc;

	if (!moves)
		return gmig_fail(err, -ENOMEM, "out of memory");
	rc = agent_get_process(agent, arguments, &process, err);
	if (!rc)
		rc = take_moves(arguments, moves, err);
	if (!rc) {
		rc = agent_move_exact(process.entry, moves->count, moves->pages,
				      moves->query ? NULL : moves->nodes, moves->status,
				      shared ? AGENT_MPOL_MF_MOVE_ALL : AGENT_MPOL_MF_MOVE);
		if (rc)
			agent_call_failed_pid(err, AGENT_CALL_MOVE_PAGES, rc, process.pid);
	}
	if (!rc)
		*result = status_json(moves);
	free(moves);
	return rc;
}
