/*
 * A claim: pages of one block that a job holds, from the moment it claims them until it settles them,
 * once. While it lives it is listed with the block's stripe, so that the audit can tell a page that
 * somebody holds from one that was forgotten.
 *
 *   claim_take     PRESENT -> CLAIMED -> COPYING; what refuses leaves the claim
 *   claim_settle   COPYING -> PRESENT on the target or the source, or NONE; sleepers leave the list
 *
 * A claim may wait for a touch in between: claim_wait() and claim_pick().
 *
 * A block that could not be put back is never settled: claim_abandon() keeps its claim listed, since
 * its pages are held for ever, on purpose.
 */
#ifndef GMIG_CLAIM_H
#define GMIG_CLAIM_H

#include "books.h"

/* Somebody has touched a page that waits for that. */
struct claim_touch {
	uint64_t gfn;
	int tid;   /* 0: nobody's: another job or a device wants the page */
	bool vcpu; /* a thread that was named as one */
	bool writer;
};

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
	/*
	 * For claims that wait: told of each touch, by the fault thread, under stripe.lock. It wakes nobody and waits for
	 * nobody: the toucher sleeps until the page is picked and settled.
	 */
	void (*touched)(void *arg, const struct claim_touch *touch);
	void *touched_arg;
	bool in_place;	    /* what waits is where it was, and only writers miss it */
	struct bits over;   /* pages that are back: nobody waits for them any more */
	struct slept slept; /* of those who slept on it; all of them once it is settled */
};

/* *refused: pages that somebody else holds or moved meanwhile, or all as a device is at the block; they have left claim->pages. */
void claim_take(struct claim *claim, struct bits *refused);

struct claim_result {
	struct bits moved; /* now on `to` */
	struct bits gone;  /* had no frame of their own: discarded */
	struct bits
	    broken; /* stay, and cannot be read: to the kernel, and the books, as if in swap */
	struct hist *stall; /* waits of those who slept are recorded here too; may be NULL */
};
/* All other pages stay on `from`. Wakes whoever sleeps still; what they lost is in claim->slept. */
void claim_settle(struct claim *claim, const struct claim_result *result);

/*
 * COPYING -> HINT: a right to these pages is away, and stays away until they are touched. Who has touched them since the claim
 * was taken is told of at once. All others leave the claim, and whoever sleeps on them is woken: nobody will be told that they
 * are touched. gone: of these, that had no frame of their own.
 */
void claim_wait(struct claim *claim, const struct bits *pages, const struct bits *gone);
/* HINT -> COPYING: they go on, to node `to`. */
void claim_pick(struct claim *claim, const struct bits *pages, unsigned int to);
/* A page that is HINT was touched. false: no claim waits for it. Caller holds stripe.lock. */
bool claim_touched(const struct stripe *stripe, const struct claim_touch *touch);
/* Somebody who is no thread of the guest wants these pages of a block: whoever has them wait is told so. */
void claim_want(struct gmig *gmig, uint64_t block_gfn, const struct bits *pages);
/* Does the page wait in a slot, so that nothing may be in its place? Caller holds stripe.lock. */
bool claim_is_out(const struct stripe *stripe, uint64_t gfn);

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
