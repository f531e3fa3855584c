/* The guest's nodes, see nodes.h. */
#include "nodes.h"
#include "proc.h"
#include "sys.h"

#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>

static ssize_t read_node(int node, const char *file, char *text, size_t bytes)
{
	char path[PATH_MAX];

	if (node < 0)
		snprintf(path, sizeof(path), "%s/devices/system/node/%s", agent_sys->sys, file);
	else
		snprintf(path, sizeof(path), "%s/devices/system/node/node%d/%s", agent_sys->sys,
			 node, file);
	return agent_read_text(path, text, bytes);
}

static int read_nodes(const char *file, struct agent_set *nodes, struct gmig_error *err)
{
	char text[8192];

	memset(nodes, 0, sizeof(*nodes));
	if (read_node(-1, file, text, sizeof(text)) < 0)
		return gmig_fail(err, -ENOSYS,
				 "this kernel knows no memory nodes: it was built without NUMA "
				 "(CONFIG_NUMA): ENOSYS (%d)",
				 ENOSYS);
	return agent_set_parse(text, AGENT_MAX_NODES, nodes, err);
}

int agent_nodes_online(struct agent_set *nodes, struct gmig_error *err)
{
	return read_nodes("online", nodes, err);
}

int agent_nodes_with_memory(struct agent_set *nodes, struct gmig_error *err)
{
	return read_nodes("has_memory", nodes, err);
}

int agent_node_cpus(int node, struct agent_set *cpus, struct gmig_error *err)
{
	char text[8192];

	memset(cpus, 0, sizeof(*cpus));
	if (read_node(node, "cpulist", text, sizeof(text)) < 0)
		return gmig_fail(err, -ENODEV, "there is no node %d: ENODEV (%d)", node, ENODEV);
	return agent_set_parse(text, AGENT_SET_MAX, cpus, err);
}

int agent_node_of_cpu(int cpu)
{
	struct agent_set nodes, cpus;

	if (agent_nodes_online(&nodes, NULL))
		return -1;
	for (int node = agent_set_next(&nodes, 0); node >= 0;
	     node = agent_set_next(&nodes, node + 1))
		if (!agent_node_cpus(node, &cpus, NULL) && agent_set_has(&cpus, cpu))
			return node;
	return -1;
}

static uint64_t meminfo_value(const char *text, const char *key)
{
	const char *at = strstr(text, key);

	return at ? (strtoull(at + strlen(key), NULL, 10) & (UINT64_MAX >> 10)) << 10 : 0;
}

void agent_parse_meminfo(const char *text, uint64_t *total_bytes, uint64_t *free_bytes)
{
	*total_bytes = meminfo_value(text, " MemTotal:");
	*free_bytes = meminfo_value(text, " MemFree:");
}

/* ---- As JSON --------------------------------------------------------------------------------- */

static json_t *distances(int node)
{
	json_t *list = json_array();
	char text[8192], *at = text, *end;

	if (read_node(node, "distance", text, sizeof(text)) < 0)
		return list;
	for (;; at = end) {
		unsigned long distance = strtoul(at, &end, 10);

		if (end == at)
			return list;
		json_array_append_new(list, json_integer((json_int_t)distance));
	}
}

static json_t *node_json(int node)
{
	uint64_t total_bytes = 0, free_bytes = 0;
	struct agent_set cpus = {0};
	char text[8192];

	if (read_node(node, "meminfo", text, sizeof(text)) > 0)
		agent_parse_meminfo(text, &total_bytes, &free_bytes);
	agent_node_cpus(node, &cpus, NULL);
	return json_pack("{s:i, s:o, s:I, s:I, s:o}", "id", node, "cpus", agent_set_json(&cpus),
			 "total_bytes", (json_int_t)total_bytes, "free_bytes",
			 (json_int_t)free_bytes, "distance", distances(node));
}

/* 0, 1 or 2 of /proc/sys/kernel/numa_balancing; -1: not there. */
static int balancing(void)
{
	char path[PATH_MAX], text[16];

	snprintf(path, sizeof(path), "%s/sys/kernel/numa_balancing", agent_sys->proc);
	return agent_read_text(path, text, sizeof(text)) > 0 ? atoi(text) : -1;
}

int agent_topology_json(json_t **out, struct gmig_error *err)
{
	struct agent_set nodes;
	json_t *list;
	int rc = agent_nodes_online(&nodes, err);

	if (rc)
		return rc;
	list = json_array();
	for (int node = agent_set_next(&nodes, 0); node >= 0;
	     node = agent_set_next(&nodes, node + 1))
		json_array_append_new(list, node_json(node));
	*out = json_pack("{s:o, s:b, s:i, s:i}", "nodes", list, "numa_balancing", balancing() > 0,
			 "page_bytes", (int)AGENT_PAGE_BYTES, "huge_page_bytes",
			 (int)AGENT_HUGE_BYTES);
	return *out ? 0 : gmig_fail(err, -ENOMEM, "out of memory");
}

/* ---- Which node goes to which ---------------------------------------------------------------- */

void agent_mapping_set(struct agent_mapping *mapping, const struct agent_set *from,
		       const struct agent_set *to)
{
	mapping->from = *from;
	mapping->to = *to;
	mapping->sizes_differ = agent_set_count(from) != agent_set_count(to);
}

int agent_mapping_of(const struct agent_mapping *mapping, int node)
{
	int target, count = agent_set_count(&mapping->to);

	if (!agent_set_has(&mapping->from, node) || !count)
		return -1;
	if (mapping->sizes_differ && agent_set_has(&mapping->to, node))
		return -1;
	target = agent_set_nth(&mapping->to, agent_set_rank(&mapping->from, node) % count);
	return target == node ? -1 : target;
}
