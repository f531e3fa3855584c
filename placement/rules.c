#include "rules.h"
#include "history.h"

#define POINT_PPM (STATE_PPM / 100)

static enum stay look_at_history(const struct state *state, const struct state_guest *guest)
{
	const struct placement_options *options = &state->options;
	const struct history_guest *past;

	if (!options->history)
		return STAY_NOT;
	past = history_find(options->history, guest->given->name);
	if (past && past->frozen_until_seconds > options->now_seconds)
		return STAY_FREEZE;
	if (!options->hold_seconds)
		return STAY_NOT;
	return past && past->low &&
		       options->now_seconds - past->low_since_seconds >= options->hold_seconds
		   ? STAY_NOT
		   : STAY_HOLD;
}

static enum stay look(const struct state *state, size_t index)
{
	const struct state_guest *guest = &state->guests[index];
	int score = state_score(state, index);

	if (!guest->given->managed)
		return STAY_UNMANAGED;
	if (guest->goal == PLACEMENT_NONE ||
	    (guest->goal == PLACEMENT_FIXED && gmig_node_set_empty(&guest->given->allowed)))
		return STAY_GOAL;
	if (score == PLACEMENT_NO_SCORE)
		return STAY_NO_TIME;
	if (score > (int)state->options.threshold * 100)
		return STAY_THRESHOLD;
	return look_at_history(state, guest);
}

void rules_look(struct state *state)
{
	for (size_t i = 0; i < state->count; i++) {
		state->guests[i].stay = look(state, i);
		state->guests[i].verdict = state->guests[i].stay;
	}
}

bool rules_may_drain(const struct state_guest *guest)
{
	return guest->given->managed && !guest->given->protect &&
	       !(guest->goal == PLACEMENT_FIXED && gmig_node_set_empty(&guest->given->allowed));
}

enum stay rules_judge(const struct state *state, size_t index, int64_t before, int64_t after,
		      int64_t pages)
{
	int64_t gain = after - before, point = POINT_PPM * pages;

	if (gain > 0)
		return gain >= (int64_t)state->options.margin * point ? STAY_NOT : STAY_MARGIN;
	if (state->guests[index].given->protect)
		return STAY_PROTECTED;
	return gain >= -(int64_t)state->options.max_loss * point ? STAY_NOT : STAY_LOSS;
}

int64_t rules_move_cost(const struct state *state, unsigned int from, unsigned int to)
{
	return (int64_t)state->options.move_cost * POINT_PPM * state_distance(state, from, to) / 20;
}
