/*
 * The guest's own nodes, as sysfs shows them, and which node goes to which. No state, any thread.
 */
#ifndef AGENT_NODES_H
#define AGENT_NODES_H

#include "set.h"

#include <stdint.h>

/* Online nodes. -ENOSYS: the kernel was built without NUMA. Another -errno, here and below: sysfs could not be read. */
int agent_nodes_online(struct agent_set *nodes, struct gmig_error *err);
/* Those with memory. */
int agent_nodes_with_memory(struct agent_set *nodes, struct gmig_error *err);
/* -ENODEV. */
int agent_node_cpus(int node, struct agent_set *cpus, struct gmig_error *err);

/* Which CPUs each online node has: read once, for many questions. Errors as above. */
struct agent_layout {
	struct agent_set nodes;
	struct agent_set *cpus; /* of each of them, in their order; free() it */
};
int agent_layout_read(struct agent_layout *layout, struct gmig_error *err);
/* The nodes that have one of these CPUs. */
void agent_layout_nodes_of(const struct agent_layout *layout, const struct agent_set *cpus,
			   struct agent_set *nodes);

/* MemTotal and MemFree of a node's meminfo, in bytes; fuzzed. */
void agent_parse_meminfo(const char *text, uint64_t *total_bytes, uint64_t *free_bytes);
/* {"nodes": [..], ..}, a new reference. What cannot be read is an error, and not told as 0 or none. */
int agent_topology_json(json_t **out, struct gmig_error *err);

/*
 * migrate_pages(2)'s rule: the i-th node of `from` goes to the i-th of `to`, modulo its size; but
 * when the sizes differ, what is on a node of `to` stays.
 */
struct agent_mapping {
	struct agent_set from, to;
	bool sizes_differ;
};
void agent_mapping_set(struct agent_mapping *mapping, const struct agent_set *from,
		       const struct agent_set *to);
/* -1: a page on that node stays. */
int agent_mapping_of(const struct agent_mapping *mapping, int node);

#endif
