/* A guest's memory in parts that are asked for alike, and its lots: a part's pages of one size on one node. */
#ifndef PLACEMENT_PARTS_H
#define PLACEMENT_PARTS_H

#include "state.h"

/* The parts and lots of a guest, as the caller gave them. -ENOMEM. */
int parts_build(struct state *state, size_t guest);

#endif
