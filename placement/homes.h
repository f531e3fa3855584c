/* Where vCPUs should run: of guests that are packed, and of all that have some on a node that is being emptied. */
#ifndef PLACEMENT_HOMES_H
#define PLACEMENT_HOMES_H

#include "round.h"

/*
 * Guests whose goal is `pack`, one after the other: the set of near nodes on which vCPUs and memory do best together, for what
 * the moves cost. *moved: something did. -ENOMEM.
 */
int homes_pack(struct state *state, struct round_log *log, bool *moved);
/* vCPUs on closed nodes go where their memory is, or near. */
int homes_drain(struct state *state, struct round_log *log, bool *moved);

#endif
