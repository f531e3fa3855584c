/*
 * Mode `auto`: which of two ways a block is moved in, from what the last blocks cost. Plain arithmetic without a clock; the
 * owner locks.
 *
 *     mode = choose_mode(choose)          before a block is claimed
 *     choose_note(choose, &sample)        after it was settled
 *
 * `readable` makes writers wait for a protection, a copy and two moves, and readers for the two moves; `block` makes all of
 * them wait for the copy and two moves. Which is cheaper depends on the guest: one that writes waits for the block anyway, and
 * less long in `block`. So both costs are measured, a block's cost being the time that the guest's threads slept on it, and
 * an eighth of the time that the move itself took.
 *
 * - A job begins with `readable`. `block` is tried as soon as most blocks had a writer that slept, else after 64 blocks.
 * - The way that costs less is taken; the other one is tried again after 64, 128, then every 256 blocks, so that it stays
 *   under a hundredth of them, and a change of the guest's load is noticed.
 * - The last 16 blocks of the way that is taken count, and the last 4 trials. No block counts for more than three times the
 *   median of its way: the machine may have stopped in it.
 * - With a stall budget, `block` is left out while a part that is out of reach at once takes longer than the budget: its readers
 *   would wait as long as its writers, and those that wait in `readable` wait no longer there.
 */
#ifndef GMIG_CHOOSE_H
#define GMIG_CHOOSE_H

#include "../gmig.h"

#define CHOOSE_SAMPLES 16

struct choose_sample {
	enum gmig_mode mode; /* READABLE or BLOCK */
	uint64_t
	    took_ns; /* from before the first right was taken to after the last was given back */
	uint64_t part_ns;     /* the same, of the part that was out of reach at once */
	uint64_t slept_ns;    /* all sleepers together */
	unsigned int writers; /* that slept */
};

/* Of one way. */
struct choose_way {
	uint64_t cost[CHOOSE_SAMPLES]; /* of the last blocks; ns */
	uint64_t part[CHOOSE_SAMPLES]; /* likewise: choose_sample.part_ns */
	uint64_t noted;		       /* blocks in all */
	uint64_t chosen;
	uint64_t with_writers; /* blocks in which a writer slept */
};

/* Zeroed memory is a beginning. */
struct choose {
	uint64_t limit_ns;	  /* no wait is to be longer; 0: no such budget */
	struct choose_way way[2]; /* readable, block */
	uint64_t since_trial;	  /* blocks since the other way was tried */
	unsigned int patience;	  /* doublings of the time to the next trial */
	unsigned int last;	  /* index of the way that was cheaper */
};

/* READABLE or BLOCK. */
enum gmig_mode choose_mode(struct choose *choose);
void choose_note(struct choose *choose, const struct choose_sample *sample);

#endif
