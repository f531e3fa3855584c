/*
 * The guest's own nodes, as sysfs shows them, and which node goes to which. No state, any thread.
 */
#ifndef AGENT_NODES_H
#define AGENT_NODES_H

#include "set.h"

#include <stdint.h>

/* Online nodes. -ENOSYS: the kernel was built without NUMA. */
int agent_nodes_online(struct agent_set *nodes, struct gmig_error *err);
/* Those with memory. */
int agent_nodes_with_memory(struct agent_set *nodes, struct gmig_error *err);
/* -ENODEV. */
int agent_node_cpus(int node, struct agent_set *cpus, struct gmig_error *err);
/* The node of a CPU, -1: unknown. */
int agent_node_of_cpu(int cpu);
/* MemTotal and MemFree of a node's meminfo, in bytes; fuzzed. */
void agent_parse_meminfo(const char *text, uint64_t *total_bytes, uint64_t *free_bytes);
/* {"nodes": [..], ..}, a new reference. */
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
