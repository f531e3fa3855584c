/*
 * One sample of one block: its pages are taken out of everybody's reach, as mover `uffd` does it in mode LAZY, and given back to
 * where they were. Nothing is copied: the frame is moved out into an empty slot of a pool, and in again.
 *
 *   sample_choose   of a block, what is to be taken: its huge page, or a part of its small ones
 *   sample_take     it is out, and its claim waits; or nothing has changed
 *   sample_return   it is back, and whoever missed it is awake
 *
 * By the sampler's thread.
 */
#ifndef GMIG_SAMPLE_BLOCK_H
#define GMIG_SAMPLE_BLOCK_H

#include "mover.h"

#define SAMPLE_PAGES                                                                               \
	64u /* small ones, which speak for their block: moving all 512 costs eight times as much */

struct sample {
	struct mover_ticket ticket;
	uint64_t out_ns;  /* since when it is out */
	uint64_t held_ns; /* in which vCPUs may have been interrupted, so far */
};

/*
 * part: which one, of GMIG_BLOCK_PAGES / SAMPLE_PAGES, of a block of small pages. false: there is nothing to take, or somebody has
 * it; *empty: it has no memory at all.
 */
bool sample_choose(struct gmig *gmig, uint64_t block_gfn, unsigned int part, struct sample *sample,
		   bool *empty);
/*
 * `touched` may be called from here on (claim.touched). false: it was not taken; who slept on it meanwhile is awake.
 * ticket.lost: see sample_return().
 */
bool sample_take(struct mover_worker *worker, struct sample *sample,
		 void (*touched)(void *arg, const struct claim_touch *touch), void *arg);
/* ticket.lost: it could not be put back. It stays claimed for ever, and engine_fatal() was called. */
void sample_return(struct mover_worker *worker, struct sample *sample);

#endif
