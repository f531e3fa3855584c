/*
 * The plan `policy`: the pages of one range go where the policies of their ranges have them, as MPOL_MF_MOVE does it. It asks
 * for the policies that hold now, not for those that held when the job was started: a later command over the same pages,
 * another policy or a migration that takes a policy along, is not undone by an older job.
 *
 * Source of the rules: mbind(2).
 */
#ifndef GMIG_PLAN_POLICY_H
#define GMIG_PLAN_POLICY_H

#include "plan.h"

struct plan_policy {
	uint64_t gfn, pages; /* the range */
	/* -EIO at the end, when a page of the range does not follow its policy (MPOL_MF_STRICT). */
	bool strict;
	/* As plan_ops.target, of any page; any thread. full: nodes that have had no memory, to be passed over; NULL: none. */
	unsigned int (*target)(void *arg, uint64_t gfn, unsigned int order, unsigned int node,
			       const struct gmig_node_set *full);
	/* Pages of gfn..gfn+pages that do not follow their policies, as far as is known. */
	uint64_t (*misplaced)(void *arg, uint64_t gfn, uint64_t pages);
	/* Adds the nodes on which the policies of gfn..gfn+pages have pages. */
	void (*nodes)(void *arg, uint64_t gfn, uint64_t pages, struct gmig_node_set *nodes);
	void *arg;
};

/* A copy of *policy is the plan's. -ENOMEM. */
int plan_policy_create(const struct plan_policy *policy, struct plan *plan);

#endif
