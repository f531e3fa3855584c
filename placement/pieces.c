#include "pieces.h"
#include "rules.h"

#include <errno.h>
#include <stdlib.h>

/* Staying on a closed node costs more than anything. */
#define COST_CLOSED (INT64_C(1) << 40)

int pieces_create(struct pieces *pieces, const struct state *state, size_t count, bool drain)
{
	*pieces = (struct pieces){.state = state, .drain = drain, .room = count};
	pieces->list = calloc(count + 1, sizeof(*pieces->list));
	pieces->of = calloc(count + 1, sizeof(*pieces->of));
	pieces->cost = calloc(count * state->n + 1, sizeof(*pieces->cost));
	if (pieces->list && pieces->of && pieces->cost)
		return 0;
	pieces_destroy(pieces);
	return -ENOMEM;
}

void pieces_destroy(struct pieces *pieces)
{
	free(pieces->list);
	free(pieces->of);
	free(pieces->cost);
	free(pieces->results);
	free(pieces->steps);
	*pieces = (struct pieces){0};
}

static const struct lot *lot_of(const struct pieces *pieces, size_t piece)
{
	const struct piece_of *of = &pieces->of[piece];

	return &pieces->state->guests[of->guest].lots[of->lot];
}

static const struct part *part_of(const struct pieces *pieces, size_t piece)
{
	return &pieces->state->parts[lot_of(pieces, piece)->part];
}

/* Of two nodes that are as good otherwise, a drain takes the one with more free memory: a millionth for each node with more. */
static int64_t fullness(const struct state *state, unsigned int node, unsigned int page)
{
	int64_t fuller = 0;

	for (unsigned int k = 0; k < state->n; k++)
		fuller += !state->closed[k] && state->room[page][k] > state->room[page][node];
	return fuller;
}

static int64_t cost_at(const struct pieces *pieces, const struct lot *lot, unsigned int node)
{
	const struct state *state = pieces->state;
	const struct part *part = &state->parts[lot->part];

	if (node == lot->node)
		return state->closed[node] && pieces->drain ? COST_CLOSED : -part->near[node];
	if (!part->may[node] || state_distance(state, lot->node, node) == PLACEMENT_UNREACHED)
		return FLOW_NEVER;
	if (pieces->drain)
		return -part->near[node] + rules_move_cost(state, lot->node, node) +
		       fullness(state, node, lot->page);
	if (part->home != STATE_NO_HOME && part->home != node)
		return FLOW_NEVER;
	return -part->near[node] + rules_move_cost(state, lot->node, node);
}

void pieces_add(struct pieces *pieces, size_t guest, size_t lot)
{
	unsigned int n = pieces->state->n;
	int64_t *cost = &pieces->cost[pieces->count * n];
	const struct lot *given = &pieces->state->guests[guest].lots[lot];
	unsigned int only = pieces->drain ? n : pieces->state->parts[given->part].home;

	pieces->of[pieces->count] = (struct piece_of){(uint32_t)guest, (uint32_t)lot};
	/* Of a piece that may go to one node only, nobody reads other costs. */
	for (unsigned int k = 0; k < n; k++)
		if (only >= n || k == only || k == given->node)
			cost[k] = cost_at(pieces, given, k);
	pieces->list[pieces->count++] = (struct flow_piece){
	    .origin = given->node,
	    .only = only,
	    .pages = given->pages,
	    .cost = cost,
	};
}

int pieces_solve(struct pieces *pieces, enum placement_page page, bool short_circles)
{
	free(pieces->results);
	pieces->results = NULL;
	return flow_solve(pieces->state->n, pieces->state->room[page], pieces->list, pieces->count,
			  short_circles, &pieces->results, &pieces->result_count);
}

void pieces_weigh(const struct pieces *pieces, int64_t *change, bool *moved)
{
	for (size_t i = 0; i < pieces->result_count; i++) {
		const struct flow_result *result = &pieces->results[i];
		const struct part *part = part_of(pieces, result->piece);

		moved[part->guest] = true;
		if (part->scored)
			change[part->guest] +=
			    result->pages * (part->near[result->node] -
					     part->near[lot_of(pieces, result->piece)->node]);
	}
}

int pieces_order(struct pieces *pieces, int64_t *room, bool *left)
{
	struct order_want *wants = calloc(pieces->result_count + 1, sizeof(*wants));
	int rc;

	if (!wants)
		return -ENOMEM;
	for (size_t i = 0; i < pieces->result_count; i++) {
		const struct flow_result *result = &pieces->results[i];
		const struct flow_piece *piece = &pieces->list[result->piece];

		wants[i] = (struct order_want){
		    .id = result->piece,
		    .from = piece->origin,
		    .to = result->node,
		    .pages = result->pages,
		    .unit = state_unit(lot_of(pieces, result->piece)->page),
		    .worth = piece->cost[piece->origin] - piece->cost[result->node],
		    .may = part_of(pieces, result->piece)->may,
		};
	}
	free(pieces->steps);
	pieces->steps = NULL;
	rc = order_moves(pieces->state->n, room, pieces->state->host->distance, wants,
			 pieces->result_count, &pieces->steps, &pieces->step_count);
	for (size_t i = 0; !rc && left && i < pieces->result_count; i++)
		if (wants[i].pages)
			left[pieces->of[wants[i].id].guest] = true;
	free(wants);
	return rc;
}

static int note(struct round_log *log, const struct round_step *step)
{
	if (log->step_count == log->step_room) {
		size_t room = 2 * log->step_room + 16;
		struct round_step *steps = realloc(log->steps, room * sizeof(*steps));

		if (!steps)
			return -ENOMEM;
		log->steps = steps;
		log->step_room = room;
	}
	log->steps[log->step_count++] = *step;
	return 0;
}

/* Pages of one part from a node to another, from as many lots as they lie in. */
static int shift(struct state *state, const struct piece_of *of, const struct order_step *step)
{
	struct state_guest *guest = &state->guests[of->guest];
	const struct lot like = guest->lots[of->lot];
	int64_t pages = step->pages;
	int rc = 0;

	for (size_t i = 0; !rc && pages && i < guest->lot_count; i++) {
		int64_t there = guest->lots[i].pages < pages ? guest->lots[i].pages : pages;

		if (!there || guest->lots[i].part != like.part ||
		    guest->lots[i].page != like.page || guest->lots[i].locked ||
		    guest->lots[i].node != step->from)
			continue;
		rc = state_move(state, of->guest, i, there, step->to);
		pages -= rc ? 0 : there;
	}
	return rc;
}

int pieces_apply(const struct pieces *pieces, struct state *state, struct round_log *log)
{
	int rc = 0;

	for (size_t i = 0; !rc && i < pieces->step_count; i++) {
		const struct order_step *step = &pieces->steps[i];
		const struct piece_of *of = &pieces->of[step->id];
		const struct lot *lot = lot_of(pieces, step->id);
		const struct round_step noted = {
		    .guest = of->guest,
		    .vnode = part_of(pieces, step->id)->vnode,
		    .from = (uint16_t)step->from,
		    .to = (uint16_t)step->to,
		    .page = lot->page,
		    .staging = step->staging,
		    .pages = step->pages,
		};

		rc = note(log, &noted);
		if (!rc)
			rc = shift(state, of, step);
	}
	return rc;
}
