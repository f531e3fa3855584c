/*
 * Pages that are there, against the policies of their ranges: which node each belongs on, and which do not lie there.
 * Any thread, no lock.
 */
#ifndef GMIG_BOUND_PAGES_H
#define GMIG_BOUND_PAGES_H

#include "bindings.h"
#include "engine.h"

/* plan_target() says so: the pages of this huge page do not all belong on one node. */
#define BOUND_SPLIT 0xfffeu

/*
 * Where a page that lies on `node` goes; GMIG_NO_NODE: it follows its policy. full: nodes to pass over if the policy may (see
 * mempolicy_node_but()), or NULL. `gmig` is the engine.
 */
unsigned int bound_pages_target(void *gmig, uint64_t gfn, unsigned int order, unsigned int node,
				const struct gmig_node_set *full);
/* Pages that do not follow their policies. */
uint64_t bound_pages_misplaced(void *gmig, uint64_t gfn, uint64_t pages);
/* The same for one policy that the range does not have yet. */
uint64_t bound_pages_against(struct gmig *gmig, uint64_t gfn, uint64_t pages,
			     const struct mempolicy *policy);
/* Adds the nodes on which the policies of gfn..gfn+pages have pages; without one, that of the vnode. */
void bound_pages_nodes(void *gmig, uint64_t gfn, uint64_t pages, struct gmig_node_set *nodes);
/* Does all of gfn..gfn+pages belong to regions? */
bool bound_pages_exist(struct gmig *gmig, uint64_t gfn, uint64_t pages);
/* Does any of it? */
bool bound_pages_any(struct gmig *gmig, uint64_t gfn, uint64_t pages);

/*
 * A job has begun to take the region's memory elsewhere: policies go along (mempolicy_begin()), and so do first touches. -ENOMEM:
 * nothing has changed.
 */
int bound_pages_follow(struct gmig *gmig, const struct region *region,
		       const struct memory_follow *follow);
/* It has ended. keep: so they stay; else they are again what they were, where no other job has changed them since. */
void bound_pages_follow_end(struct gmig *gmig, const struct region *region,
			    const struct memory_follow *follow, bool keep);

#endif
