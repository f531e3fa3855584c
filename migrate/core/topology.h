/*
 * Inside of a topology: one look at the host's nodes, constant from topology_finish() on, so that any thread reads it
 * without a lock; only the count of references changes. Whoever wants to know of changes takes another look
 * (gmig_topology_refresh) and compares generations.
 *
 * Read from sysfs and procfs directly: libnuma reads its tables once, when a program starts, and does not know of nodes
 * and memory that come or go later.
 */
#ifndef GMIG_TOPOLOGY_H
#define GMIG_TOPOLOGY_H

#include "../gmig.h"

#include <limits.h>
#include <stdatomic.h>

#define TOPOLOGY_CPU_WORDS (GMIG_MAX_CPUS / 64)

#define TOPOLOGY_LOCAL	10 /* distances as ACPI's SLIT has them */
#define TOPOLOGY_REMOTE 20

struct topology_cpus {
	uint64_t word[TOPOLOGY_CPU_WORDS];
};

struct gmig_topology {
	atomic_uint refs;
	uint64_t generation;
	char root[PATH_MAX];
	unsigned int fake_nodes; /* 0: the host's own */
	bool flat;		 /* a kernel without NUMA */

	struct gmig_node_set possible, online, allowed;
	struct gmig_node_set memory; /* online, and has some */
	/* Of the `count` online nodes, each at its rank among them */
	unsigned int count;
	uint16_t rank[GMIG_MAX_NODES];
	uint64_t *total_bytes;
	uint8_t *distance; /* from * count + to */
	struct topology_cpus *cpus;
};

/*
 * gmig_topology_create() of the host whose /sys and /proc are found under `root` ("": this one). For tests: a tree of
 * files can have nodes that no machine at hand has.
 */
int topology_create_at(const char *root, unsigned int fake_nodes, struct gmig_topology **out,
		       struct gmig_error *err);

/*
 * Can the node ever exist, and may memory be put there now? allowed NULL: as this process's cpuset says. what ("node 3 in
 * 'to'") begins the text. -ENODEV, -EACCES.
 */
int topology_check_possible(const struct gmig_topology *topology, unsigned int node,
			    const char *what, struct gmig_error *err);
int topology_check_target(const struct gmig_topology *topology, const struct gmig_node_set *allowed,
			  unsigned int node, const char *what, struct gmig_error *err);

/* ---- Reading (topology_read.c) --------------------------------------------------------------- */

/* Fill an empty topology whose root is set. -ENODEV no node has memory; -EIO a file says nonsense; -ENOMEM, -EMFILE and their like: it could not be looked at. */
int topology_read(struct gmig_topology *topology, struct gmig_error *err);
/* Room for the online nodes, whose set is known. -ENOMEM. */
int topology_add_nodes(struct gmig_topology *topology);
void topology_drop_nodes(struct gmig_topology *topology);
struct node_memory {
	uint64_t total, free, cache; /* bytes; cache: gmig_topology_cache_bytes() */
};

/* Of an online node now; 0 where the host does not say. Negative: it could not be looked at, as -EMFILE. */
int topology_node_memory(const struct gmig_topology *topology, unsigned int node,
			 struct node_memory *memory);

#endif
