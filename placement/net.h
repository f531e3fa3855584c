/* The moves of several rounds as one: from where the memory is to where it ends up, nothing twice. */
#ifndef PLACEMENT_NET_H
#define PLACEMENT_NET_H

#include "round.h"

/*
 * first: the state before the plan, last: after it. Where the moves from one to the other find an order that moves no more than
 * the steps of the log do, they replace these. -ENOMEM.
 */
int net_moves(const struct state *first, const struct state *last, struct round_log *log);

#endif
