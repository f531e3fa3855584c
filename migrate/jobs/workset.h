/*
 * What a job has to do: the blocks that have pages which the plan moves, in the order in which they are
 * moved. The job keeps its own; the plan is never changed.
 *
 * Order: a node's pages leave it before others' pages arrive there, so that full nodes can shift
 * without spare memory. Nodes that change places (a cycle) take turns block by block: one block to
 * spare is enough. Within a node by address, by rank, or at random. A block with pages of several nodes goes with the node
 * that has most of them.
 *
 * 8 bytes a block that has something to move. Built by the job's thread; constant while workers run.
 */
#ifndef GMIG_WORKSET_H
#define GMIG_WORKSET_H

#include "../memory/memory.h"
#include "plan.h"

#define WORKSET_RANKS 64u

struct workset_map;

struct workset {
	uint64_t *word; /* one a block: workset_gfn() and so on */
	size_t count;
	uint64_t pages; /* that were to be moved when the set was made */
	uint64_t
	    on_left; /* pages on nodes that the plan empties, whether they belong to the set or not */
	struct workset_map *maps;
	size_t map_count;
};

typedef int workset_walk(void *arg, uint64_t gfn, uint64_t pages, shadow_visit *visit,
			 void *visit_arg);

struct workset_options {
	const struct memory_range *ranges; /* sorted by gfn */
	size_t range_count;
	workset_walk *walk;
	void *walk_arg;
	/*
	 * The second look, when the work is done: pages that came to a node which was to be left. What lies on a node that is
	 * somebody's target belongs there by now.
	 */
	bool late;
	uint64_t random_seed; /* 0: by address */
	/*
	 * A block's rank, below WORKSET_RANKS: those of a lower one go first, those of the same one by address. NULL: they all have the
	 * same.
	 */
	unsigned int (*rank)(void *arg, uint64_t gfn);
	void *rank_arg;
	uint64_t max_pages; /* keep the first ones in order, by whole blocks; 0: all */
	/* Asked once a block; true: -ECANCELED. May be NULL. */
	bool (*stop)(void *arg);
	void *stop_arg;
};

/* -ENOMEM; -ECANCELED: stopped. */
int workset_build(const struct plan *plan, const struct workset_options *options,
		  struct workset *set);
void workset_free(struct workset *set);

uint64_t workset_gfn(uint64_t word); /* first gfn of the block */
unsigned int workset_pages(uint64_t word);
/*
 * Pages of the block that belong to the work, where not all on a source node do: what is touched for the first time while
 * nodes change places is at home already. NULL: all.
 */
const struct bits *workset_only(const struct workset *set, uint64_t word);

#endif
