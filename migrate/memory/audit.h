/*
 * The audit compares what the engine believes with what the kernel shows, and repairs beliefs:
 * khugepaged, cpusets, migratepages and swap-in change placement behind the engine's back. Any
 * thread that touches no region meanwhile.
 *
 * Blocks that a job holds are not compared. See engine.h for the locks.
 */
#ifndef GMIG_AUDIT_H
#define GMIG_AUDIT_H

#include "engine.h"

/* check (may be NULL) gets the counts and the breaches that were found. Multiples of 512 pages. */
void audit_correct(struct gmig *gmig, uint64_t gfn, uint64_t pages, struct gmig_check *check);

#endif
