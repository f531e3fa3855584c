/*
 * Memory policies, pure: which nodes a policy means on this host, and on which of them its n-th page belongs. No system
 * calls, no locks: a policy is constant once created, and counted. (policy.h is another thing: how much memory there may be.)
 *
 * Source of the rules: mbind(2), set_mempolicy(2), and mpol_new(), mpol_set_nodemask(), mpol_rebind_nodemask(),
 * offset_il_node() in Linux's mm/mempolicy.c.
 */
#ifndef GMIG_MEMPOLICY_H
#define GMIG_MEMPOLICY_H

#include "../gmig_policy.h"
#include "mempolicy_steps.h"

#include <stdatomic.h>

/* One of a policy's nodes, and the sum of the weights up to and with it. */
struct mempolicy_node {
	uint16_t node;
	struct mempolicy_base base; /* where it is without the migrations that are not settled */
	uint32_t until;
};

struct mempolicy {
	atomic_uint refs;
	struct gmig_policy asked;
	enum gmig_policy_mode mode;    /* PREFERRED without nodes is LOCAL */
	struct gmig_node_set mems;     /* those that could be used when the nodes were told */
	struct gmig_node_set members;  /* the nodes below, as a set */
	struct mempolicy_steps *steps; /* of migrations, as long as some of them run; a reference */
	unsigned int count;
	struct mempolicy_node list[];
};

/* Are the mode and the flags ones that there are? What is checked of a range without a page, too: -EINVAL. */
int mempolicy_check_words(const struct gmig_policy *asked, struct gmig_error *err);
/* Is it a policy? As mpol_new(): -EINVAL and why not. mems: nodes that have memory and that the cpuset allows. */
int mempolicy_check(const struct gmig_policy *asked, const struct gmig_node_set *mems,
		    struct gmig_error *err);
/* mempolicy_check() has been passed. -ENOMEM. DEFAULT is no policy: not for here. */
int mempolicy_create(const struct gmig_policy *asked, const struct gmig_node_set *mems,
		     struct mempolicy **out);
struct mempolicy *mempolicy_get(struct mempolicy *policy);
/* NULL is legal. */
void mempolicy_put(struct mempolicy *policy);
/* Another one, to be changed before anybody else has it. -ENOMEM. */
int mempolicy_copy(const struct mempolicy *policy, struct mempolicy **out);
bool mempolicy_equal(const struct mempolicy *a, const struct mempolicy *b);

/*
 * The same policy where other nodes can be used now, as a cpuset's change has it: STATIC nodes stay those that were asked
 * for, RELATIVE ones are counted anew, of others the i-th of the old mems becomes the i-th of the new ones. None of them
 * left: all that can be used. -ENOMEM. mems is not empty.
 */
int mempolicy_rebind(const struct mempolicy *policy, const struct gmig_node_set *mems,
		     struct mempolicy **out);
/*
 * A migration begins, which is newer than those that the policy has seen begin (mempolicy_steps.h): the map tells where it
 * takes a node's pages. STATIC nodes, and LOCAL, stay: *out is another reference to `policy` then. -ENOMEM.
 */
int mempolicy_begin(struct mempolicy *policy, uint64_t owner, struct mempolicy_map *map,
		    struct mempolicy **out);
/* It has ended. keep: what it has made of the policy holds. *out is another reference to `policy` where it made nothing. -ENOMEM. */
int mempolicy_end(struct mempolicy *policy, uint64_t owner, bool keep, struct mempolicy **out);

/* What a page's place depends on beside its policy. */
struct mempolicy_place {
	uint64_t gfn;
	unsigned int order; /* of the page: 0 or 9 */
	unsigned int local; /* the node of its vnode */
	const struct gmig_topology *topology;
};

/* Where the page belongs; policy NULL: DEFAULT. Never GMIG_NO_NODE unless `local` is. */
unsigned int mempolicy_node_of(const struct mempolicy *policy, const struct mempolicy_place *place);
/*
 * The same where BIND and PREFERRED_MANY pass over those of their nodes that are full, as long as one is not: pages that are there
 * go to no other node.
 */
unsigned int mempolicy_node_but(const struct mempolicy *policy, const struct mempolicy_place *place,
				const struct gmig_node_set *full);
/* Does a page that lies on `node` follow the policy? BIND, PREFERRED and PREFERRED_MANY are content with any of their nodes. */
bool mempolicy_follows(const struct mempolicy *policy, const struct mempolicy_place *place,
		       unsigned int node);
/* Where to look for memory next, when `tried` has none; of `usable` only. GMIG_NO_NODE: nowhere. */
unsigned int mempolicy_next(const struct mempolicy *policy, const struct mempolicy_place *place,
			    const struct gmig_node_set *usable, const struct gmig_node_set *tried);
/* Do neighbours belong on different nodes? policy NULL: DEFAULT. */
bool mempolicy_interleaves(const struct mempolicy *policy);

#endif
