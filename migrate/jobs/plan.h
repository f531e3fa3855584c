/*
 * Which page goes where: the node map of migrate_pages(2), and the blocks that have pages to move,
 * in the order in which they are moved. Built once by the job's thread; read-only afterwards.
 *
 * Source of the rules: do_migrate_pages() in Linux's mm/mempolicy.c.
 */
#ifndef GMIG_PLAN_H
#define GMIG_PLAN_H

#include "../gmig.h"
#include "../memory/shadow.h"

/* to[n]: where a page on node n goes; GMIG_NO_NODE: it stays. */
struct plan_map {
	uint16_t to[GMIG_MAX_NODES];
};

/*
 * i-th of from -> i-th of to, modulo to's size. When the sizes differ, nodes of `from` that are in
 * `to` stay. A node that maps to itself stays. -EINVAL: an empty set, a node twice in from;
 * -ENODEV: not in `online`; text names the node.
 */
int plan_map_build(const struct gmig_job_spec *spec, const struct gmig_node_set *online,
		   struct plan_map *map, struct gmig_error *err);

struct plan_range {
	uint64_t gfn, pages; /* a region that takes part */
};

struct plan {
	struct plan_map map;
	uint64_t *block_gfn; /* first gfn of each 2M block with at least one PRESENT page to move */
	size_t blocks;
	uint64_t total_bytes; /* PRESENT, on a from node, with a target */
};

/*
 * Order: a node's pages leave it before others' pages arrive there, so that full nodes can shift
 * without spare memory. Nodes that change places (a cycle) take turns block by block: one block to
 * spare is enough. Within a node by address. A block with pages of several nodes goes with the node
 * that has most of them. -ENOMEM.
 */
int plan_build(const struct shadow *shadow, const struct plan_range *ranges, size_t count,
	       const struct plan_map *map, struct plan **out);
void plan_destroy(struct plan *plan);

#endif
