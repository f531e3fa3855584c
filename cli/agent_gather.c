/*
 * Both levels: the host moves a vnode's memory, and in the guest processes come together with their
 * memory on one vnode, so that a vnode is worth moving. A process's vnode is the one that has most
 * of its memory already, because the rest is what must be copied.
 */
#include "../control/text.h"
#include "agent.h"
#include "units.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define GATHER_PROCESSES 1000
/* Less than that out of place is not worth tying a process to a vnode: shared libraries alone. */
#define GATHER_MIN_BYTES (16ull << 20)

struct spread {
	int vnode;	      /* with most of the memory */
	uint64_t there_bytes; /* on it */
	uint64_t total_bytes;
	bool on_wanted; /* some of it is on the vnode that was asked for */
};

static struct spread spread_of(const json_t *process, int wanted)
{
	struct spread spread = {.vnode = -1, .on_wanted = wanted < 0};
	const char *key;
	json_t *value;

	json_object_foreach (json_object_get(process, "nodes"), key, value) {
		uint64_t bytes =
		    json_integer_value(value) > 0 ? (uint64_t)json_integer_value(value) : 0;
		int vnode = atoi(key);

		spread.total_bytes += bytes;
		spread.on_wanted |= vnode == wanted && bytes >= GATHER_MIN_BYTES;
		if (bytes <= spread.there_bytes)
			continue;
		spread.there_bytes = bytes;
		spread.vnode = vnode;
	}
	return spread;
}

static bool runs_on(const json_t *process, int vnode)
{
	const json_t *nodes = json_object_get(process, "cpu_nodes");

	return json_array_size(nodes) == 1 && json_integer_value(json_array_get(nodes, 0)) == vnode;
}

static bool has_number(const json_t *list, long number)
{
	size_t i;
	json_t *one;

	json_array_foreach (list, i, one)
		if (json_integer_value(one) == number)
			return true;
	return false;
}

/* Are all CPUs of a list as "0-3,8" among these? */
static bool all_among(const char *text, const json_t *cpus)
{
	const char *at = text;

	do {
		char *end;
		long first = strtol(at, &end, 10), last = first;

		if (end == at)
			return false;
		if (*end == '-') {
			at = end + 1;
			last = strtol(at, &end, 10);
			if (end == at)
				return false;
		}
		for (; first <= last; first++)
			if (!has_number(cpus, first))
				return false;
		at = end + 1;
		if (!*end)
			return true;
	} while (at[-1] == ',');
	return false;
}

/* The CPUs of a vnode, a borrowed array; NULL: it has none. */
static json_t *cpus_of(const json_t *topology, int vnode)
{
	size_t i;
	json_t *node;

	json_array_foreach (json_object_get(topology, "nodes"), i, node)
		if (json_integer_value(json_object_get(node, "id")) == vnode &&
		    json_array_size(json_object_get(node, "cpus")))
			return json_object_get(node, "cpus");
	return NULL;
}

static json_t *others(const json_t *process, int vnode)
{
	json_t *list = json_array();
	const char *key;
	json_t *value;

	json_object_foreach (json_object_get(process, "nodes"), key, value)
		if (atoi(key) != vnode && json_integer_value(value) > 0)
			json_array_append_new(list, json_integer(atoi(key)));
	return list;
}

static void plan_process(const json_t *process, const json_t *topology, int wanted, json_t *plan)
{
	struct spread spread = spread_of(process, wanted);
	uint64_t away = spread.total_bytes - spread.there_bytes;
	json_t *cpus = NULL;

	if (!spread.on_wanted || spread.vnode < 0 || spread.total_bytes < GATHER_MIN_BYTES)
		return;
	/* With all of its memory where it happens to run all is well; what is moved is to stay. */
	if (away >= GATHER_MIN_BYTES || !runs_on(process, spread.vnode))
		cpus = cpus_of(topology, spread.vnode);
	if (cpus && all_among(cli_text(process, "cpus"), cpus))
		cpus = NULL;
	if (away < GATHER_MIN_BYTES && !cpus)
		return;
	json_array_append_new(plan, json_pack("{s:O, s:O, s:i, s:I, s:o, s:O*}", "pid",
					      json_object_get(process, "pid"), "comm",
					      json_object_get(process, "comm"), "vnode",
					      spread.vnode, "bytes", (json_int_t)away, "from",
					      others(process, spread.vnode), "cpus", cpus));
}

/*
 * Those with most memory away from their CPUs come first, so that a full list ends with one that has too little of it, or
 * has left out some.
 */
static bool lists_all(const json_t *result)
{
	const json_t *list = json_object_get(result, "processes");
	size_t count = json_array_size(list);

	return !json_is_false(json_object_get(result, "complete")) &&
	       (count < GATHER_PROCESSES ||
		cli_number(json_array_get(list, count - 1), "remote_bytes") < GATHER_MIN_BYTES);
}

int cli_gather_plan(struct cli_agent *agent, int vnode, json_t **plan, bool *all,
		    struct gmig_error *err)
{
	CLI_JSON topology = NULL;
	CLI_JSON result = NULL;
	size_t i;
	json_t *process;
	int rc = cli_agent_call(agent, "numa-topology", NULL, &topology, err);

	if (!rc)
		rc = cli_agent_call(agent, "processes",
				    json_pack("{s:i}", "count", GATHER_PROCESSES), &result, err);
	if (rc)
		return rc;
	*plan = json_array();
	*all = lists_all(result);
	json_array_foreach (json_object_get(result, "processes"), i, process)
		plan_process(process, topology, vnode, *plan);
	return 0;
}

void cli_gather_print(FILE *out, const json_t *unsafe, bool all)
{
	CLI_JSON plan = control_json_safe(unsafe);
	size_t i;
	json_t *process;

	json_array_foreach (plan, i, process) {
		char size[UNITS_TEXT];

		fprintf(out,
			"in the guest: process %llu (%s), %s to its other memory on vnode %llu%s\n",
			(unsigned long long)cli_number(process, "pid"), cli_text(process, "comm"),
			units_size(cli_number(process, "bytes"), size),
			(unsigned long long)cli_number(process, "vnode"),
			json_object_get(process, "cpus") ? ", and to that vnode's CPUs" : "");
	}
	if (!all)
		fputs("in the guest: not all processes could be looked at; the others stay where "
		      "they are\n",
		      out);
	else if (!json_array_size(plan))
		fputs("in the guest: all processes are together with their memory\n", out);
}

static int gather_one(struct cli_agent *agent, json_t *process, uint64_t rate,
		      struct gmig_error *err)
{
	json_t *pid = json_object_get(process, "pid"), *cpus = json_object_get(process, "cpus");
	CLI_JSON job = NULL;
	int rc = 0;

	/* First where it runs, so that what it allocates meanwhile is there as well. */
	if (cpus)
		rc = cli_agent_call(agent, "set-affinity",
				    json_pack("{s:O, s:O}", "pid", pid, "cpus", cpus), NULL, err);
	if (rc || !json_array_size(json_object_get(process, "from")))
		return rc;
	rc = cli_agent_run_job(agent, "migrate-pages",
			       json_pack("{s:O, s:O, s:[O], s:b, s:I}", "pid", pid, "from",
					 json_object_get(process, "from"), "to",
					 json_object_get(process, "vnode"), "shared", 0, "rate",
					 (json_int_t)rate),
			       &job, err);
	if (rc)
		return rc;
	json_object_set(process, "moved_bytes", json_object_get(job, "moved_bytes"));
	json_object_set(process, "remaining", json_object_get(job, "remaining"));
	if (json_object_get(job, "error"))
		json_object_set(process, "error", json_object_get(job, "error"));
	return 0;
}

int cli_gather_run(struct cli_agent *agent, json_t *plan, uint64_t rate, struct gmig_error *err)
{
	size_t i;
	json_t *process;

	json_array_foreach (plan, i, process) {
		struct gmig_error reason = {0};
		int rc = gather_one(agent, process, rate, &reason);

		if (rc)
			json_object_set_new(
			    process, "error",
			    json_pack("{s:s, s:i}", "desc", reason.text, "number", -rc));
		if (cli_was_interrupted())
			return gmig_fail(err, -ECANCELED, "Ctrl-C: %zu of %zu processes were begun",
					 i + 1, json_array_size(plan));
		/* Without the agent there is no use in going on; a process may end or refuse. */
		if (rc == -EPIPE || rc == -ETIMEDOUT)
			return gmig_fail(err, rc, "%s", reason.text);
	}
	return 0;
}

void cli_gather_report(FILE *out, const json_t *unsafe)
{
	CLI_JSON plan = control_json_safe(unsafe);
	size_t i;
	json_t *process;

	json_array_foreach (plan, i, process) {
		json_t *error = json_object_get(process, "error");
		char size[UNITS_TEXT];

		fprintf(out, "in the guest: process %llu (%s): %s moved to vnode %llu%s%s\n",
			(unsigned long long)cli_number(process, "pid"), cli_text(process, "comm"),
			units_size(cli_number(process, "moved_bytes"), size),
			(unsigned long long)cli_number(process, "vnode"), error ? "; " : "",
			error ? cli_text(error, "desc") : "");
		cli_agent_print_remaining(out, process);
	}
}

bool cli_gather_refused(const json_t *plan)
{
	size_t i;
	json_t *process;

	json_array_foreach (plan, i, process)
		if (json_object_get(process, "error"))
			return true;
	return false;
}
