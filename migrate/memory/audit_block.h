/*
 * One block: the shadow table against the kernel, and the belief corrected where they differ. Of the audit (audit.h) and of
 * repair (repair.c), which say what is done beyond correcting beliefs.
 *
 * Callers hold stripe.lock, and touch no region.
 */
#ifndef GMIG_AUDIT_BLOCK_H
#define GMIG_AUDIT_BLOCK_H

#include "../gmig_repair.h"
#include "region.h"

struct ledger_count;

#define AUDIT_DIFFERENCES (GMIG_DIFFERS_HELD + 1)

enum audit_invariant { AUDIT_I1, AUDIT_I2, AUDIT_I3, AUDIT_I4, AUDIT_I5 };

/* Only the first breach of each is told. check may be NULL. */
__attribute__((format(printf, 3, 4))) void
audit_breach(struct gmig_check *check, enum audit_invariant invariant, const char *format, ...);

struct audit_block {
	struct gmig *gmig;
	struct region *region;
	struct stripe *stripe;
	uint64_t gfn;
	/* What is compared of it now, and later. If it is one entry, all is compared now. */
	struct bits part, rest;
	struct gmig_check *check;
	struct gmig_repair *repair; /* correct more than beliefs, and count kinds; NULL: do not */

	/* Results: held by somebody, so not compared; whoever sleeps on an open page is to be woken, after the lock. */
	struct bits busy;
	bool whole; /* one 2M entry */
	bool wake;

	/* Inside. */
	struct bits present, none, held, swapped; /* pages, by the table */
	struct bits touched;			  /* by the kernel, as it may: seen now */
	struct bits out;       /* of those held: in a slot until they are touched */
	struct bits forgotten; /* held, and by nobody */
	struct bits stuck;     /* left write-protected */
	struct shadow_entry entry[GMIG_BLOCK_PAGES]; /* whole: the first only */
	struct uffd_scan scan;
};

void audit_block(struct audit_block *block);
/* Counts all entries of the block as they are now: whatever changes in it from now on is counted by the books. */
void audit_block_count(struct audit_block *block, struct ledger_count *count);

#endif
