/*
 * Memory policies for ranges of a guest's memory: what mbind(2), get_mempolicy(2) and set_mempolicy_home_node(2) are for the
 * memory of a process. A binding holds for first touches from then on; with MOVE also for what is there already.
 *
 * Where a page is allocated "locally", that is the node that its vnode's memory has: where a first touch without a binding
 * goes, too. A migration of the vnode takes it along.
 *
 * Interleaving associates page n of the guest's address space, n = gpa / page size, with place n modulo the number of nodes
 * (of the weights' sum): whatever happens to its neighbours, page n has that place. The page size is that of the page, as in
 * Linux: of a block with a huge page n is gpa / 2 MiB, of one with small pages n is gpa / 4 KiB.
 *
 * Nodes of a policy are a list. It begins in ascending order, as Linux has it. A migration from node a to node b puts b into
 * a's places, so that the pages that moved still are where the policy has them.
 *
 * Errors and rules: mbind(2), set_mempolicy(2), and Linux's mm/mempolicy.c; where it differs, docs/conformance.md says so.
 * Threads as in gmig.h.
 */
#ifndef GMIG_POLICY_MODES_H
#define GMIG_POLICY_MODES_H

#include "gmig.h"

#ifdef __cplusplus
extern "C" {
#endif

/* Exported; all else in the library is hidden (-fvisibility=hidden). */
#pragma GCC visibility push(default)

enum gmig_policy_mode {
	GMIG_POLICY_DEFAULT, /* no binding: the vnode's node, others when that is full. No nodes */
	GMIG_POLICY_LOCAL,   /* the same, as a policy that stays. No nodes */
	GMIG_POLICY_BIND, /* the nearest of the nodes that has memory, and no other: else the toucher waits */
	GMIG_POLICY_PREFERRED, /* the first of the nodes, others when that is full. Without nodes: LOCAL */
	GMIG_POLICY_PREFERRED_MANY, /* the nearest of the nodes, others when all are full */
	GMIG_POLICY_INTERLEAVE, /* place n modulo the number of nodes, others when that is full */
	GMIG_POLICY_WEIGHTED_INTERLEAVE, /* a node has as many places in a row as its weight says */
};

/* Flags of a policy: at most one. Node numbers are the host's, and no change of the cpuset changes them; */
#define GMIG_POLICY_STATIC_NODES 1u
/* they count the nodes of the cpuset that have memory: 0 is the first of these, and numbers that are too large begin anew. */
#define GMIG_POLICY_RELATIVE_NODES 2u

struct gmig_policy {
	enum gmig_policy_mode mode;
	unsigned int flags;
	struct gmig_node_set nodes;
	/* BIND, PREFERRED_MANY: near to this node, which need not be one of nodes; else near to the vnode's. */
	bool has_home_node;
	uint16_t home_node;
	/* WEIGHTED_INTERLEAVE, by node; 0: 1 */
	uint8_t weight[GMIG_MAX_NODES];
};

/* The words for the modes: "default", "local", "bind", .., "weighted-interleave"; the index is the enum's value. */
const char *const *gmig_policy_mode_names(void);

#pragma GCC visibility pop

#ifdef __cplusplus
}
#endif
#endif
