/*
 * First touches: memory for a hole of a region that nobody fills otherwise. In this order: a huge page of
 * the region's preferred node; small pages of that node; a huge page of the next node by distance; small
 * pages from wherever the kernel has some. What a node refused lately is not asked for again for a while.
 *
 * Callers hold stripe.lock of the block. No thread of the guest is woken in here.
 */
#ifndef GMIG_FIRST_TOUCH_H
#define GMIG_FIRST_TOUCH_H

#include "../core/log_limit.h"
#include "books.h"

struct slot;

/* Where holes are filled from: one a vnode. */
struct first_touch {
	struct gmig *gmig;
	int uffd;	      /* the vnode's */
	unsigned int worker;  /* of the pools */
	const uint8_t *zeros; /* one block that reads as zeros and is never written */
	void *page;	      /* by region_kind.ahead; NULL: none */
	unsigned int page_node;
	struct log_limit books; /* lines about entries that refuse */
};

/* `entry`: of gfn, NONE. 0: gfn has memory now; -ENOMEM: nobody has any. */
int first_touch_fill(struct first_touch *from, struct region *region, uint64_t gfn,
		     const struct shadow_entry *entry);
/*
 * Frames that nobody waits for go into what the block has not, all of it or as much as the slot has. The slot is the
 * caller's, clean, and loses what went in. 0: also when somebody else has filled it meanwhile.
 */
int first_touch_place(struct first_touch *from, struct region *region, uint64_t block_gfn,
		      struct slot *slot);
/* ---- Pieces of it, for ranges that have a policy of their own (bound_touch.h) ------------------------------------ */

/*
 * The block, which is one entry without memory, becomes a huge page of that node. -ENOSPC: it has small ones, but no huge one;
 * -ENOMEM: it has none.
 */
int first_touch_huge(struct first_touch *from, struct region *region, uint64_t block_gfn,
		     unsigned int node);
/* One small page, from wherever the kernel has one. whole: the block is one entry. */
int first_touch_one(struct first_touch *from, struct region *region, uint64_t gfn, bool whole);
/* first_touch_place() of these pages only; the slot is one of small pages. */
int first_touch_place_some(struct first_touch *from, struct region *region, uint64_t block_gfn,
			   struct slot *slot, const struct bits *pages);
/* What one event does to entry and books; a refusal is logged. */
void first_touch_note(struct first_touch *from, const struct books_event *event);

#endif
