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

#include "region.h"

struct audit {
	struct gmig_check *check; /* gets counts and breaches; may be NULL */
	bool count;		  /* the whole of memory is being counted: see gmig_check() */
	/* Asked before each block; true: enough. May be NULL. */
	bool (*stop)(void *arg);
	void *arg;
};

/* Multiples of 512 pages, of one region. */
void audit_run(struct gmig *gmig, struct region *region, uint64_t gfn, uint64_t pages,
	       const struct audit *audit);

#endif
