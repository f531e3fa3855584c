/*
 * A claim: pages of one block that a job holds, from the moment it claims them until it settles them,
 * once. While it lives it is listed with the block's stripe, so that the audit can tell a page that
 * somebody holds from one that was forgotten.
 *
 *   claim_take     PRESENT -> CLAIMED -> COPYING; what refuses leaves the claim
 *   claim_settle   COPYING -> PRESENT on the target or the source, or NONE; sleepers leave the list
 *
 * A block that could not be put back is never settled: claim_abandon() keeps its claim listed, since
 * its pages are held for ever, on purpose.
 */
#ifndef GMIG_CLAIM_H
#define GMIG_CLAIM_H

#include "books.h"

struct claim {
	struct gmig *gmig;
	const struct region *region;
	uint64_t block_gfn;
	bool huge;		  /* the block's one 2M entry */
	unsigned int from, to;	  /* nodes; all pages lie on `from` */
	uint64_t owner;		  /* a job's id */
	enum books_memory memory; /* by frames of our own, or by the kernel in place */
	struct bits pages;
	/* guarded by stripe.lock */
	struct claim *next;
	int reader;	/* tid of the thread that reads the pages in the region now; 0: none does */
	bool abandoned; /* lies on the heap */
	struct bits over;   /* pages that are back: nobody waits for them any more */
	struct slept slept; /* of those who slept on it; all of them once it is settled */
};

/* *refused: pages that somebody else holds or moved meanwhile, or all as a device is at the block; they have left claim->pages. */
void claim_take(struct claim *claim, struct bits *refused);

struct claim_result {
	struct bits moved;  /* now on `to` */
	struct bits gone;   /* had no frame of their own: discarded */
	struct hist *stall; /* waits of those who slept are recorded here too; may be NULL */
};
/* All other pages stay on `from`. Wakes whoever sleeps still; what they lost is in claim->slept. */
void claim_settle(struct claim *claim, const struct claim_result *result);

/*
 * These pages of it are back, moved or not, and whoever slept on them is awake: only the books have to follow. For who moves
 * a block in parts, so that waits are not measured to its end. stall: as in claim_result.
 */
void claim_part_over(struct claim *claim, unsigned int first, unsigned int count,
		     struct hist *stall);
/* Is this page such a one? Caller holds stripe.lock. */
bool claim_is_over(const struct stripe *stripe, uint64_t gfn);

/* A huge claim becomes one of 512 pages, and its entry 512. -ENOMEM: as it was. */
int claim_split(struct claim *claim);
/* Instead of settling; the claim itself may go out of scope. Its sleepers sleep on. */
void claim_abandon(struct claim *claim);
/* The engine ends. */
void claim_forget_all(struct stripe *stripe);

/*
 * Around reading the pages in the region, by who holds the claim. Should the reader meet a hole that nobody knew of,
 * the fault thread fills it with zeros at once: nobody else would wake it. Outside of these two no message is taken
 * for the reader's, so that a late one fills no page that is out.
 */
void claim_read_begin(struct claim *claim);
void claim_read_end(struct claim *claim);
/* Does this thread read this page for a claim of its own? Caller holds stripe.lock. */
bool claim_is_reader(const struct stripe *stripe, uint64_t gfn, int tid);

/* Does any claim hold this page? Caller holds stripe.lock. */
bool claim_holds(const struct stripe *stripe, uint64_t gfn);
/* Any of this block's? Caller holds stripe.lock. */
bool claim_holds_any(const struct stripe *stripe, uint64_t block_gfn);

#endif
