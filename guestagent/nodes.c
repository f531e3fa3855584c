/* The guest's nodes, see nodes.h. */
#include "nodes.h"
#include "proc.h"
#include "sys.h"

#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>

static int read_file(const char *path, char *text, size_t bytes, struct gmig_error *err)
{
	ssize_t got = agent_read_text(path, text, bytes);

	return got < 0 ? agent_call_failed(err, AGENT_CALL_READ, (int)got, path) : 0;
}

/* Of a node, or of all: -1. -ENOENT: it has no such file; another -errno says nothing of that. */
static int read_node(int node, const char *file, char *text, size_t bytes, struct gmig_error *err)
{
	char path[PATH_MAX];

	if (node < 0)
		snprintf(path, sizeof(path), "%s/devices/system/node/%s", agent_sys->sys, file);
	else
		snprintf(path, sizeof(path), "%s/devices/system/node/node%d/%s", agent_sys->sys,
			 node, file);
	return read_file(path, text, bytes, err);
}

static int read_nodes(const char *file, struct agent_set *nodes, struct gmig_error *err)
{
	char text[8192];
	int rc = read_node(-1, file, text, sizeof(text), err);

	memset(nodes, 0, sizeof(*nodes));
	if (rc == -ENOENT)
		return gmig_fail(err, -ENOSYS,
				 "this kernel knows no memory nodes: it was built without NUMA "
				 "(CONFIG_NUMA): ENOSYS (%d)",
				 ENOSYS);
	return rc ? rc : agent_set_parse(text, AGENT_MAX_NODES, nodes, err);
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
	int rc = read_node(node, "cpulist", text, sizeof(text), err);

	memset(cpus, 0, sizeof(*cpus));
	if (rc == -ENOENT)
		return gmig_fail(err, -ENODEV, "there is no node %d: ENODEV (%d)", node, ENODEV);
	return rc ? rc : agent_set_parse(text, AGENT_SET_MAX, cpus, err);
}

int agent_layout_read(struct agent_layout *layout, struct gmig_error *err)
{
	size_t read = 0;
	int rc = agent_nodes_online(&layout->nodes, err);

	layout->cpus =
	    rc ? NULL : calloc((size_t)agent_set_count(&layout->nodes) + 1, sizeof(*layout->cpus));
	if (rc)
		return rc;
	if (!layout->cpus)
		return gmig_fail(err, -ENOMEM, "out of memory");
	for (int node = agent_set_next(&layout->nodes, 0); !rc && node >= 0;
	     node = agent_set_next(&layout->nodes, node + 1)) {
		rc = agent_node_cpus(node, &layout->cpus[read++], err);
		/* It has just gone offline. */
		if (rc == -ENODEV)
			rc = 0;
	}
	return rc;
}

void agent_layout_nodes_of(const struct agent_layout *layout, const struct agent_set *cpus,
			   struct agent_set *nodes)
{
	size_t i = 0;

	memset(nodes, 0, sizeof(*nodes));
	for (int node = agent_set_next(&layout->nodes, 0); node >= 0;
	     node = agent_set_next(&layout->nodes, node + 1))
		if (agent_set_intersects(&layout->cpus[i++], cpus))
			agent_set_add(nodes, node);
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

/* 0 also when there are none: an empty list. */
static int distances(int node, json_t **list, struct gmig_error *err)
{
	char text[8192] = "", *at = text, *end;
	int rc = read_node(node, "distance", text, sizeof(text), err);

	*list = NULL;
	if (rc && rc != -ENOENT)
		return rc;
	*list = json_array();
	for (;; at = end) {
		unsigned long distance = strtoul(at, &end, 10);

		if (end == at)
			return 0;
		json_array_append_new(*list, json_integer((json_int_t)distance));
	}
}

static int add_sizes(int node, json_t *object, struct gmig_error *err)
{
	uint64_t total_bytes, free_bytes;
	char text[8192];
	int rc = read_node(node, "meminfo", text, sizeof(text), err);

	if (rc)
		return rc == -ENOENT ? 0 : rc;
	agent_parse_meminfo(text, &total_bytes, &free_bytes);
	json_object_set_new(object, "total_bytes", json_integer((json_int_t)total_bytes));
	json_object_set_new(object, "free_bytes", json_integer((json_int_t)free_bytes));
	return 0;
}

/* One that has gone offline since has neither CPUs nor sizes. */
static int add_node(int node, json_t *list, struct gmig_error *err)
{
	json_t *object = json_pack("{s:i}", "id", node), *far = NULL;
	struct agent_set cpus;
	int rc = agent_node_cpus(node, &cpus, err);

	if (rc == -ENODEV)
		rc = 0;
	if (!rc) {
		json_object_set_new(object, "cpus", agent_set_json(&cpus));
		rc = add_sizes(node, object, err);
	}
	if (!rc)
		rc = distances(node, &far, err);
	if (!rc)
		json_object_set_new(object, "distance", far);
	json_array_append_new(list, object);
	return rc;
}

/* 0, 1 or 2 of /proc/sys/kernel/numa_balancing, and 0 where the kernel has none. */
static int balancing(int *mode, struct gmig_error *err)
{
	char path[PATH_MAX], text[16] = "";
	int rc;

	snprintf(path, sizeof(path), "%s/sys/kernel/numa_balancing", agent_sys->proc);
	rc = read_file(path, text, sizeof(text), err);
	*mode = rc ? 0 : atoi(text);
	return rc == -ENOENT ? 0 : rc;
}

int agent_topology_json(json_t **out, struct gmig_error *err)
{
	struct agent_set nodes;
	json_t *list;
	int mode, rc = agent_nodes_online(&nodes, err);

	if (!rc)
		rc = balancing(&mode, err);
	if (rc)
		return rc;
	list = json_array();
	for (int node = agent_set_next(&nodes, 0); !rc && node >= 0;
	     node = agent_set_next(&nodes, node + 1))
		rc = add_node(node, list, err);
	if (rc) {
		json_decref(list);
		return rc;
	}
	*out = json_pack("{s:o, s:b, s:i, s:i}", "nodes", list, "numa_balancing", mode > 0,
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
