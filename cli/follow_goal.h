/*
 * Which memory of a vnode `gmig follow` moves, and where: pure, from what the guest says of itself. Memory belongs where the
 * vnode's vCPUs may run, as far as the VMM's cpuset allows memory there.
 */
#ifndef CLI_FOLLOW_GOAL_H
#define CLI_FOLLOW_GOAL_H

#include "../migrate/gmig_nodes.h"

#include <jansson.h>

/* numa, vnode, vcpus: answers of query-numa and query-residency, and members of the latter. */
struct follow_sight {
	const json_t *numa;
	const json_t *vnode; /* one of "vnodes" */
	struct gmig_node_set
	    cpus; /* nodes on which its vCPUs may run; empty: it has none, or it is not known */
	struct gmig_node_set
	    allowed; /* nodes on which the VMM may have memory; empty: it is not known */
};

struct follow_goal {
	struct gmig_node_set from, to; /* empty: nothing is to be moved */
	uint64_t bytes;		       /* that lie on `from` */
	bool by_cpuset; /* some of these lie where the cpuset does not allow it any more */
	bool at_cpus;	/* `to` is where vCPUs may run; else the nearest nodes that are allowed */
};

/* Where the vnode's vCPUs may run. Empty: it has none, or of one it is not known. */
struct gmig_node_set follow_cpus(const json_t *vcpus, uint64_t vnode);
/*
 * "allowed" of query-numa: where the VMM may have memory now. Empty: it does not say (nodes are pretended, a VMM that does not
 * know the member), or it is no set of nodes.
 */
struct gmig_node_set follow_allowed(const json_t *numa);
void follow_find_goal(const struct follow_sight *sight, struct follow_goal *goal);

#endif
