/* Why, in words: one sentence without a full stop. Pure. */
#ifndef PLACEMENT_REASON_H
#define PLACEMENT_REASON_H

#include "round.h"
#include "state.h"

/* Does the reason of this step name a guest that comes? */
bool reason_names_other(const struct state *state, const struct round_step *step);
/* state: at the end of the plan. other: a guest that comes where this memory was; SIZE_MAX: none. */
void reason_of_step(const struct state *state, const struct round_step *step, size_t other,
		    char text[PLACEMENT_REASON]);
void reason_of_pin(const struct state *state, const struct round_pin *pin,
		   char text[PLACEMENT_REASON]);
/* Why this lot is still on a closed node; why these vCPUs are. */
void reason_of_left(const struct state *state, size_t guest, const struct lot *lot,
		    char text[PLACEMENT_REASON]);
void reason_of_left_vcpus(const struct state *state, size_t guest, char text[PLACEMENT_REASON]);
/* Why a guest's score stays below what is possible. dropped: the plan was, for the sake of min_gain. */
void reason_of_verdict(const struct state *state, size_t guest, bool dropped,
		       char text[PLACEMENT_REASON]);

#endif
