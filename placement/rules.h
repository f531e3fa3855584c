/* Which guests may move at all, and which changes are worth it: hysteresis, protection, the freeze after a reversal. */
#ifndef PLACEMENT_RULES_H
#define PLACEMENT_RULES_H

#include "state.h"

/* Set `stay` of every guest, as its score is now. */
void rules_look(struct state *state);
/* May a drain take what this guest has on closed nodes? */
bool rules_may_drain(const struct state_guest *guest);
/*
 * A solution would change the sum of this guest's locality from `before` to `after`, over so many pages, and moves some of its
 * memory: STAY_NOT, it may; STAY_MARGIN or STAY_LOSS, it may not.
 */
enum stay rules_judge(const struct state *state, size_t guest, int64_t before, int64_t after,
		      int64_t pages);
/* What moving a page from one node to another must gain at least, in millionths. */
int64_t rules_move_cost(const struct state *state, unsigned int from, unsigned int to);

#endif
