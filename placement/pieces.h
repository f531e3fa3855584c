/* The lots of guests as pieces of a transportation problem, one for each page size; what solves it, and in which order. */
#ifndef PLACEMENT_PIECES_H
#define PLACEMENT_PIECES_H

#include "flow.h"
#include "order.h"
#include "round.h"
#include "state.h"

struct piece_of {
	uint32_t guest, lot;
};

struct pieces {
	const struct state *state;
	bool drain; /* costs are those of a drain */
	size_t count, room;
	struct flow_piece *list;
	struct piece_of *of;
	int64_t *cost;
	/* After pieces_solve() */
	struct flow_result *results;
	size_t result_count;
	/* After pieces_order() */
	struct order_step *steps;
	size_t step_count;
};

/* Count first, add as many. -ENOMEM. */
int pieces_create(struct pieces *pieces, const struct state *state, size_t count, bool drain);
void pieces_destroy(struct pieces *pieces);
void pieces_add(struct pieces *pieces, size_t guest, size_t lot);

/* -ENOMEM. */
int pieces_solve(struct pieces *pieces, enum placement_page page, bool short_circles);
/* By how much the results change each guest's locality, added to change[]; and moved[] is set for those that move. */
void pieces_weigh(const struct pieces *pieces, int64_t *change, bool *moved);
/*
 * room[]: of the page size, changed. left[guest] is set where a guest's moves found no order (NULL: unwanted). -ENOMEM.
 */
int pieces_order(struct pieces *pieces, int64_t *room, bool *left);
/* Carry the steps out on the state, and note them. -ENOMEM. */
int pieces_apply(const struct pieces *pieces, struct state *state, struct round_log *log);

#endif
