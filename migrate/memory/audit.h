/*
 * The audit compares what the engine believes with what the kernel shows, block by block, and repairs
 * beliefs: khugepaged, cpusets, migratepages and swap-in change placement behind the engine's back.
 * Any thread that touches no region meanwhile.
 *
 * It holds one block's stripe.lock at a time, for as long as two system calls take. Pages that a job
 * holds are not compared.
 */
#ifndef GMIG_AUDIT_H
#define GMIG_AUDIT_H

#include "frame.h"
#include "ledger.h"
#include "region.h"

struct audit {
	struct gmig_check *check; /* gets counts and breaches; may be NULL */
	struct ledger_count
	    *count; /* the whole of memory is being counted: see gmig_check(); may be NULL */
	/* Asked before each block; true: enough. May be NULL. */
	bool (*stop)(void *arg);
	void *arg;
};

/* Multiples of 512 pages, of one region. */
void audit_run(struct gmig *gmig, struct region *region, uint64_t gfn, uint64_t pages,
	       const struct audit *audit);

/* The first `regions` have been counted. false: there are more by now. Else all is that comes from now on. Takes engine.lock. */
bool audit_count_reached_all(struct gmig *gmig, struct ledger_count *count, unsigned int regions);

struct audit_accounts {
	struct ledger_difference entries;
	uint64_t compare_ns; /* how long the ledger's lock was held at most */
	struct frame_audit frames;
};
/*
 * Once all is counted: the books against the count, free slots against the kernel, and slots against the books. correct: the books
 * become true. Takes check_lock. check gets breaches as they were found, and what is in the books at the end.
 */
void audit_accounts(struct gmig *gmig, struct ledger_count *count, bool correct,
		    struct gmig_check *check, struct audit_accounts *found);

#endif
