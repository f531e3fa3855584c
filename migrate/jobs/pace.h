/*
 * Stall budget: 99 of 100 waits are to be no longer than a limit. Decides how many small pages are out of reach together, and
 * how long the job rests before a block. Plain arithmetic without a clock; the owner locks.
 *
 *     pages = pace_run_pages(pace)     before a block is claimed: small pages that may be out of reach together
 *     rest = pace_rest_ns(pace)        before the next block
 *     pace_note(pace, &sample)         after a block was settled
 *
 * - Small pages: the fewer at a time, the shorter the waits. A run starts with as many as take half the limit at 1 us
 *   each. It is cut by a quarter when more than 1 in 141 of the recent waits was too long, and grows by an eighth when none
 *   was for 128 waits; after a cut for twice as many, up to 1024, so that a run that has found its length stays there.
 * - A huge page goes whole, and the copy of 2 MiB is the shortest wait that there is for writers. When waits are too long all
 *   the same, that is often because the scheduler took the CPU away from the thread that moves the block. A thread that has
 *   just slept is not the next one to be preempted. So the job rests before each block: 50 us at first, then twice as long
 *   each time that a run is cut, up to 2 ms, and half as long each time that it grows.
 */
#ifndef GMIG_PACE_H
#define GMIG_PACE_H

#include "../gmig.h"

struct pace_sample {
	uint64_t longest_ns; /* wait in the block */
	unsigned int waits;  /* threads that waited; 0: longest_ns says nothing */
};

struct pace {
	uint64_t limit_ns; /* 0: none */
	unsigned int run_pages;
	uint64_t rest_ns;
	uint32_t late;	       /* share of the recent waits that were too long, times 2^20 */
	unsigned int in_time;  /* waits since the last one that was too long, or the last change */
	unsigned int patience; /* so many of them, and a run grows */
	unsigned int grown;    /* times in a row */
	unsigned int soon;     /* waits until a run may be cut again */
};

void pace_init(struct pace *pace, uint64_t limit_ns);
/* 0: as many as there are. */
unsigned int pace_run_pages(const struct pace *pace);
uint64_t pace_rest_ns(const struct pace *pace);
void pace_note(struct pace *pace, const struct pace_sample *sample);

#endif
