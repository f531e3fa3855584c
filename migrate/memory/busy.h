/*
 * Busy blocks: those that a device transfers to or from (dma.c, gmig_dma.h). No job claims one, and none that is claimed
 * becomes busy. A stripe has room for a few, in place: more transfers at a time go without.
 *
 * A block that a claim was refused is wanted for a while: no new transfer begins there, and the ones that are under way end.
 *
 * Callers hold stripe->lock.
 */
#ifndef GMIG_BUSY_H
#define GMIG_BUSY_H

#include "engine.h"

/* Is a device at it? */
bool busy_is(const struct stripe *stripe, uint64_t block_gfn);
/* A claim comes. true: a device is at the block; the claim shall have it next. */
bool busy_refuses_claim(struct gmig *gmig, struct stripe *stripe, uint64_t block_gfn);

/* A transfer to a block that nobody has claimed. false: it is wanted, or there is no room. */
bool busy_begin(struct gmig *gmig, struct stripe *stripe, uint64_t block_gfn);
void busy_end(struct gmig *gmig, struct stripe *stripe, uint64_t block_gfn);

#endif
