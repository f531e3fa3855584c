/*
 * Which page goes where. The kinds of plans, each an ops struct: `nodes`, the node map of
 * migrate_pages(2), here; `pages`, the list of move_pages(2), in plan_pages.h; `policy`, the ranges of mbind(2), in
 * plan_policy.h; `touch`, whoever touches it, in plan_touch.h. Read-only once made.
 * What a job has to do with it is its work set (workset.h).
 *
 * Source of the rules: do_migrate_pages() in Linux's mm/mempolicy.c.
 */
#ifndef GMIG_PLAN_H
#define GMIG_PLAN_H

#include "../memory/memory.h"

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

struct plan;

#define PLAN_SPLIT 0xfffeu /* a target: the pages of this huge page do not all go the same way */

/* A kind of plan. Asked by any thread once `make` has returned; plan_target() is the usual way. */
struct plan_ops {
	const char *name;
	/*
	 * What is too slow for whoever starts a job: done first of all by the job's thread. May be NULL. -ENOMEM.
	 */
	int (*make)(struct plan *plan);
	/* See plan_target(). */
	unsigned int (*target)(const struct plan *plan, uint64_t gfn, unsigned int order,
			       unsigned int node);
	/*
	 * Leave of the ranges (malloc()ed, sorted, apart) the blocks that the plan has something to say of; *ranges may become
	 * another array. NULL: all of them. -ENOMEM: as they were.
	 */
	int (*narrow)(const struct plan *plan, struct memory_range **ranges, size_t *count);
	/* When all passes are done: does the plan hold now? -errno: the job fails with it. NULL: it need not. */
	int (*verify)(const struct plan *plan, struct gmig_error *err);
	/* The job has ended, and is remembered for long: what takes much memory goes. Under job.lock. May be NULL. */
	void (*forget)(struct plan *plan);
	/*
	 * That node has had no memory for a page of the plan: where it may do with another node, it names that one from here on.
	 * By any worker. May be NULL.
	 */
	void (*full)(const struct plan *plan, unsigned int node);
	/* A pass begins: nodes that were full are asked again. By the job's thread, which has no workers then. May be NULL. */
	void (*pass)(const struct plan *plan);
	void (*destroy)(struct plan *plan); /* may be NULL */
	/*
	 * plan.map says it all: nodes are emptied in its order, memory that is touched for the first time follows it, and what
	 * came late to a node that was to be left is looked for. Else blocks go by address, and only what was there moves.
	 */
	bool by_node;
};

/* Where each page goes. Read-only once it is made: any thread. */
struct plan {
	const struct plan_ops *ops;
	struct plan_map map;	      /* by_node */
	struct page_list *list;	      /* of plan_pages.h */
	bool forgotten;		      /* the list was too long to be kept: see plan_ops.forget */
	struct plan_policy *policy;   /* of plan_policy.h */
	bool by_touch;		      /* of plan_touch.h */
	struct gmig_node_set sources; /* by_node, by_touch: nodes whose pages have a target */
	struct gmig_node_set targets;
	struct gmig_node_set left; /* sources that are nobody's target: empty when all goes well */
	/*
	 * What a target comes to when others have a say: the job's, see later.h. NULL: nobody has. Never asked about a page that
	 * stays. Any thread.
	 */
	unsigned int (*later)(void *arg, uint64_t gfn, unsigned int order, unsigned int node,
			      unsigned int target);
	void *later_arg;
};

/* The kind `nodes`: migrate_pages(2). */
void plan_create(const struct plan_map *map, struct plan *plan);
void plan_destroy(struct plan *plan);

/*
 * The node to which the page at gfn (order 9: the huge page, which stands for all of its block) goes that lies on `node` now.
 * GMIG_NO_NODE: it stays, also because it is at its goal, or because a later command decides. PLAN_SPLIT, of order 9 only: ask
 * for each of its pages.
 */
static inline unsigned int plan_target(const struct plan *plan, uint64_t gfn, unsigned int order,
				       unsigned int node)
{
	unsigned int target = plan->ops->target(plan, gfn, order, node);

	if (target == GMIG_NO_NODE || !plan->later)
		return target;
	return plan->later(plan->later_arg, gfn, order, node, target);
}

/*
 * Set in *pages the pages of this entry that have a target; by their number in its block. Returns how many they are.
 */
unsigned int plan_select(const struct plan *plan, uint64_t gfn, const struct shadow_entry *entry,
			 struct bits *pages);

#endif
