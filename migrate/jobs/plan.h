/*
 * Which page goes where: today by the node map of migrate_pages(2). Built once by the job's thread;
 * read-only afterwards. What a job has to do with it is its work set (workset.h).
 *
 * Source of the rules: do_migrate_pages() in Linux's mm/mempolicy.c.
 */
#ifndef GMIG_PLAN_H
#define GMIG_PLAN_H

#include "../gmig.h"

/* to[n]: where a page on node n goes; GMIG_NO_NODE: it stays. */
struct plan_map {
	uint16_t to[GMIG_MAX_NODES];
};

/*
 * i-th of from -> i-th of to, modulo to's size. When the sizes differ, nodes of `from` that are in
 * `to` stay. A node that maps to itself stays. allowed: where the memory may be put; NULL: as this
 * process's cpuset says. The text of an error names the node.
 * -EINVAL: an empty set, a node twice in one; -ENODEV: a node of `from` that can never exist, one of
 * `to` that is offline or has no memory; -EACCES: one of `to` that is not allowed.
 */
int plan_map_build(const struct gmig_job_spec *spec, const struct gmig_topology *topology,
		   const struct gmig_node_set *allowed, struct plan_map *map,
		   struct gmig_error *err);

/* Where each page goes. Read-only after plan_create(): any thread. */
struct plan {
	struct plan_map map;
	struct gmig_node_set sources; /* nodes whose pages have a target */
	struct gmig_node_set targets;
	struct gmig_node_set left; /* sources that are nobody's target: empty when all goes well */
};

void plan_create(const struct plan_map *map, struct plan *plan);

/* The node to which the page at gfn, which lies on `node` now, goes; GMIG_NO_NODE: it stays. */
static inline unsigned int plan_target(const struct plan *plan, uint64_t gfn, unsigned int node)
{
	(void)gfn; /* a node map does not ask which page it is */
	return node < GMIG_MAX_NODES ? plan->map.to[node] : GMIG_NO_NODE;
}

#endif
