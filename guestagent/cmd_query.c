/* numa-topology, numa-maps, processes: where memory lies. */
#include "../migrate/core/shortage.h"
#include "agent.h"
#include "maps.h"
#include "nodes.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define PROCESSES_SHOWN	  20
#define PROCESSES_TIME_NS 5000000000ull /* other requests wait that long at most */
#define MAPPINGS_SHOWN	  4096

AGENT_RUN(agent_run_topology)
{
	(void)agent;
	(void)arguments;
	return agent_topology_json(result, err);
}

/* ---- numa-maps ------------------------------------------------------------------------------- */

/* {"0": {"4K": pages, "2M": pages}} */
static json_t *usage_json(const struct agent_usage *usage)
{
	json_t *nodes = json_object();

	for (int node = agent_set_next(&usage->nodes, 0); node >= 0;
	     node = agent_set_next(&usage->nodes, node + 1)) {
		json_t *sizes = json_pack(
		    "{s:I, s:I}", "4K", (json_int_t)(usage->small_bytes[node] / AGENT_PAGE_BYTES),
		    "2M", (json_int_t)(usage->huge_bytes[node] / AGENT_HUGE_BYTES));
		char key[16];

		snprintf(key, sizeof(key), "%d", node);
		if (usage->giant_bytes[node])
			json_object_set_new(
			    sizes, "1G",
			    json_integer((json_int_t)(usage->giant_bytes[node] >> 30)));
		json_object_set_new(nodes, key, sizes);
	}
	return nodes;
}

static json_t *mapping_json(const struct agent_vma *vma)
{
	json_t *nodes = json_object();
	char start[24], end[24], key[16];

	snprintf(start, sizeof(start), "0x%llx", (unsigned long long)vma->start);
	snprintf(end, sizeof(end), "0x%llx", (unsigned long long)vma->end);
	for (size_t i = 0; i < vma->node_count; i++) {
		snprintf(key, sizeof(key), "%d", vma->node[i].node);
		json_object_set_new(nodes, key, json_integer((json_int_t)vma->node[i].pages));
	}
	return json_pack("{s:s, s:s, s:I, s:I, s:o, s:o, s:o}", "start", start, "end", end,
			 "page_bytes", (json_int_t)vma->page_bytes, "huge_bytes",
			 (json_int_t)vma->huge_bytes, "policy", agent_text_json(vma->policy),
			 "what", agent_text_json(vma->what), "pages", nodes);
}

/* All mappings with pages, as long as the answer stays within bounds. */
static int read_maps(pid_t pid, struct agent_usage *usage, json_t *mappings, struct gmig_error *err)
{
	struct agent_vma *vma;
	AGENT_MAPS maps = NULL;
	int rc = agent_maps_open(pid, true, &maps, err);

	if (rc)
		return rc;
	vma = malloc(sizeof(*vma));
	if (!vma)
		return gmig_fail(err, -ENOMEM, "out of memory");
	while (agent_maps_next(maps, vma)) {
		agent_usage_add(usage, vma);
		if (mappings && vma->node_count && json_array_size(mappings) < MAPPINGS_SHOWN)
			json_array_append_new(mappings, mapping_json(vma));
	}
	free(vma);
	return agent_maps_end(maps, err);
}

AGENT_RUN(agent_run_numa_maps)
{
	bool want_mappings = agent_get_bool(arguments, "mappings", false);
	json_t *mappings = want_mappings ? json_array() : NULL;
	struct agent_usage usage = {0};
	struct agent_process process;
	int rc = agent_get_process(agent, arguments, &process, err);

	if (!rc)
		rc = read_maps(process.entry, &usage, mappings, err);
	if (rc) {
		json_decref(mappings);
		return rc;
	}
	*result = json_pack("{s:i, s:o, s:I, s:o, s:b, s:o*}", "pid", (int)process.pid, "comm",
			    agent_text_json(process.comm), "bytes", (json_int_t)usage.total_bytes,
			    "nodes", usage_json(&usage), "huge_estimated", usage.huge_estimated,
			    "mappings", mappings);
	return *result ? 0 : gmig_fail(err, -ENOMEM, "out of memory");
}

/* ---- processes ------------------------------------------------------------------------------- */

struct seen {
	uint64_t remote_bytes, total_bytes;
	json_t *json;
};

/* The nodes of the CPUs that it may run on; if that is several of them, of the one it last ran on. */
static void cpu_nodes_of(const struct agent_layout *layout, const struct agent_process *process,
			 struct agent_set *cpu_nodes)
{
	struct agent_set last = {0}, node;

	agent_layout_nodes_of(layout, &process->cpus, cpu_nodes);
	if (agent_set_count(cpu_nodes) <= 1 || process->last_cpu >= AGENT_SET_MAX)
		return;
	agent_set_add(&last, process->last_cpu);
	agent_layout_nodes_of(layout, &last, &node);
	if (agent_set_count(&node))
		*cpu_nodes = node;
}

static json_t *bytes_by_node(const struct agent_usage *usage)
{
	json_t *nodes = json_object();
	char key[16];

	for (int node = agent_set_next(&usage->nodes, 0); node >= 0;
	     node = agent_set_next(&usage->nodes, node + 1)) {
		snprintf(key, sizeof(key), "%d", node);
		json_object_set_new(nodes, key,
				    json_integer((json_int_t)agent_usage_on(usage, node)));
	}
	return nodes;
}

/* 1: it is seen; 0: it has no memory; -errno. */
static int see(const struct agent_layout *layout, const struct agent_process *process,
	       struct seen *seen)
{
	struct agent_set cpu_nodes;
	struct agent_usage usage;
	char cpus[256];
	int rc = agent_usage_read(process->entry, false, &usage, NULL);

	if (rc || !usage.total_bytes)
		return rc;
	cpu_nodes_of(layout, process, &cpu_nodes);
	seen->remote_bytes = 0;
	seen->total_bytes = usage.total_bytes;
	for (int node = agent_set_next(&usage.nodes, 0); node >= 0;
	     node = agent_set_next(&usage.nodes, node + 1))
		if (!agent_set_has(&cpu_nodes, node))
			seen->remote_bytes += agent_usage_on(&usage, node);
	agent_set_print(&process->cpus, cpus, sizeof(cpus));
	seen->json = json_pack("{s:i, s:o, s:i, s:s, s:o, s:o, s:I, s:I}", "pid", (int)process->pid,
			       "comm", agent_text_json(process->comm), "uid", (int)process->uid,
			       "cpus", cpus, "cpu_nodes", agent_set_json(&cpu_nodes), "nodes",
			       bytes_by_node(&usage), "bytes", (json_int_t)usage.total_bytes,
			       "remote_bytes", (json_int_t)seen->remote_bytes);
	return seen->json ? 1 : -ENOMEM;
}

/* Most remote memory first, then most memory. */
static int compare(const void *a, const void *b)
{
	const struct seen *x = a, *y = b;

	if (x->remote_bytes != y->remote_bytes)
		return x->remote_bytes < y->remote_bytes ? 1 : -1;
	return (x->total_bytes < y->total_bytes) - (x->total_bytes > y->total_bytes);
}

/* 1, 0, or -errno. */
static int look_at(const struct agent *agent, const struct agent_layout *layout, pid_t pid,
		   struct seen *seen)
{
	struct agent_process process;
	int rc = agent_process_read(pid, &process, NULL);

	if (rc)
		return rc;
	return agent_conf_check_process(&agent->conf, &process, NULL) ? 0
								      : see(layout, &process, seen);
}

/* All that may be touched; false: for some of them there was no time, or nothing to look with. Those that are hidden for good are not
 * there. */
static bool see_all(struct agent *agent, const struct agent_layout *layout,
		    const struct agent_pids *pids, struct seen *seen, size_t *count)
{
	uint64_t end_ns = agent_sys->now_ns() + PROCESSES_TIME_NS;
	bool complete = true;

	*count = 0;
	for (size_t i = 0; i < pids->count; i++) {
		int rc;

		if (agent_sys->now_ns() > end_ns)
			return false;
		rc = look_at(agent, layout, pids->pid[i], &seen[*count]);
		if (rc > 0)
			(*count)++;
		else if (is_shortage(rc))
			complete = false;
	}
	return complete;
}

/* A kernel without NUMA has no numa_maps: it is nobody's memory that is told of. */
static int list_all(struct agent *agent, struct seen **seen, size_t *count, bool *complete,
		    struct gmig_error *err)
{
	struct agent_layout layout = {0};
	AGENT_PIDS pids = {0};
	int rc = agent_layout_read(&layout, err);

	if (!rc || rc == -ENOSYS)
		rc = agent_pids_all(&pids, err);
	if (!rc) {
		*seen = calloc(pids.count + 1, sizeof(**seen));
		rc = *seen ? 0 : gmig_fail(err, -ENOMEM, "out of memory");
	}
	if (!rc)
		*complete = see_all(agent, &layout, &pids, *seen, count);
	free(layout.cpus);
	return rc;
}

AGENT_RUN(agent_run_processes)
{
	int64_t shown = PROCESSES_SHOWN;
	struct seen *seen;
	size_t count;
	bool complete;
	json_t *list;
	int rc = agent_get_integer(arguments, "count", 1, 1000, &shown, err);

	if (!rc)
		rc = list_all(agent, &seen, &count, &complete, err);
	if (rc)
		return rc;
	qsort(seen, count, sizeof(*seen), compare);
	list = json_array();
	for (size_t i = 0; i < count; i++)
		if ((int64_t)i < shown)
			json_array_append_new(list, seen[i].json);
		else
			json_decref(seen[i].json);
	free(seen);
	*result = json_pack("{s:o, s:I, s:b}", "processes", list, "seen", (json_int_t)count,
			    "complete", complete);
	return *result ? 0 : gmig_fail(err, -ENOMEM, "out of memory");
}
