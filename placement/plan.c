/* A plan: rounds until nothing improves, and then their moves, with reasons. */
#include "homes.h"
#include "net.h"
#include "reason.h"
#include "rules.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* Each improves the host's score or empties a closed node. Two or three do for most hosts; see G6. */
#define MOST_ROUNDS 64

/* ---- Rounds ---------------------------------------------------------------------------------- */

static int round_drains(struct state *state, struct round_log *log, bool *any)
{
	bool moved;
	int rc = round_drain(state, log, &moved);

	*any |= moved;
	if (rc)
		return rc;
	rc = homes_drain(state, log, &moved);
	*any |= moved;
	return rc;
}

static int round_improves(struct state *state, struct round_log *log, bool *any)
{
	bool moved;
	int rc;

	rules_look(state);
	rc = homes_pack(state, log, &moved);
	*any |= moved;
	if (rc)
		return rc;
	rules_look(state);
	rc = round_all(state, log, &moved);
	if (!rc && !moved)
		rc = round_each(state, log, &moved);
	*any |= moved;
	return rc;
}

static int run(struct state *state, struct round_log *log)
{
	bool any = true;
	int rc = 0;

	for (unsigned int round = 0; !rc && any && round < MOST_ROUNDS; round++) {
		any = false;
		rc = round_drains(state, log, &any);
		if (!rc && !state->options.drain_only)
			rc = round_improves(state, log, &any);
	}
	return rc;
}

/* ---- Moves for the caller -------------------------------------------------------------------- */

static struct placement_move *add_move(struct placement_plan *plan)
{
	struct placement_move *moves =
	    realloc(plan->moves, (plan->move_count + 1) * sizeof(*plan->moves));

	if (!moves)
		return NULL;
	plan->moves = moves;
	moves[plan->move_count] = (struct placement_move){0};
	return &moves[plan->move_count++];
}

/* vCPUs of a guest that go from one node to another in one go are one move. */
static int add_pins(const struct state *state, const struct round_log *log,
		    struct placement_plan *plan)
{
	for (size_t i = 0; i < log->pin_count;) {
		const struct round_pin *pin = &log->pins[i];
		size_t end = i + 1;
		struct placement_move *move;

		while (end < log->pin_count && log->pins[end].guest == pin->guest &&
		       log->pins[end].from == pin->from && log->pins[end].to == pin->to &&
		       log->pins[end].vcpu > log->pins[end - 1].vcpu)
			end++;
		move = add_move(plan);
		if (!move)
			return -ENOMEM;
		move->kind = PLACEMENT_VCPUS;
		move->guest = pin->guest;
		move->vnode = PLACEMENT_NO_VNODE;
		move->from = (uint16_t)state->host->nodes[pin->from].id;
		move->to = (uint16_t)state->host->nodes[pin->to].id;
		move->drain = pin->drain;
		reason_of_pin(state, pin, move->reason);
		move->vcpus = calloc(end - i, sizeof(*move->vcpus));
		if (!move->vcpus)
			return -ENOMEM;
		for (; i < end; i++)
			move->vcpus[move->vcpu_count++] = log->pins[i].vcpu;
	}
	return 0;
}

/* Another guest that comes where this memory leaves. */
static size_t who_comes(const struct round_log *log, const struct round_step *step)
{
	for (size_t i = 0; i < log->step_count; i++)
		if (log->steps[i].to == step->from && log->steps[i].page == step->page &&
		    log->steps[i].guest != step->guest && !log->steps[i].staging)
			return log->steps[i].guest;
	return SIZE_MAX;
}

static int add_steps(const struct state *state, const struct round_log *log,
		     struct placement_plan *plan)
{
	for (size_t i = 0; i < log->step_count; i++) {
		const struct round_step *step = &log->steps[i];
		const struct state_guest *guest = &state->guests[step->guest];
		struct placement_move *move = add_move(plan);

		if (!move)
			return -ENOMEM;
		move->kind = PLACEMENT_MEMORY;
		move->guest = step->guest;
		move->vnode = step->vnode;
		move->from = (uint16_t)state->host->nodes[step->from].id;
		move->to = (uint16_t)state->host->nodes[step->to].id;
		move->page = step->page;
		move->bytes = (uint64_t)step->pages << 12;
		move->drain = state->closed[step->from];
		move->staging = step->staging;
		if (guest->given->rate_bytes)
			move->seconds = (double)move->bytes / (double)guest->given->rate_bytes;
		reason_of_step(state, step,
			       reason_names_other(state, step) ? who_comes(log, step) : SIZE_MAX,
			       move->reason);
		plan->moved_bytes += move->bytes;
	}
	return 0;
}

/* ---- What stays ------------------------------------------------------------------------------ */

static struct placement_left *add_left(struct placement_plan *plan, size_t guest, unsigned int node)
{
	struct placement_left *left = realloc(plan->left, (plan->left_count + 1) * sizeof(*left));

	if (!left)
		return NULL;
	plan->left = left;
	left += plan->left_count++;
	*left = (struct placement_left){
	    .guest = guest, .node = (uint16_t)node, .vnode = PLACEMENT_NO_VNODE};
	return left;
}

static int add_left_lots(const struct state *state, size_t guest, struct placement_plan *plan)
{
	for (size_t l = 0; l < state->guests[guest].lot_count; l++) {
		const struct lot *lot = &state->guests[guest].lots[l];
		struct placement_left *left;

		if (!lot->pages || !state->closed[lot->node])
			continue;
		left = add_left(plan, guest, state->host->nodes[lot->node].id);
		if (!left)
			return -ENOMEM;
		left->vnode = state->parts[lot->part].vnode;
		left->page = lot->page;
		left->bytes = (uint64_t)lot->pages << 12;
		reason_of_left(state, guest, lot, left->reason);
	}
	return 0;
}

static int add_left_vcpus(const struct state *state, size_t index, struct placement_plan *plan)
{
	const struct state_guest *guest = &state->guests[index];

	for (unsigned int k = 0; k < state->n; k++) {
		struct placement_left *left;
		unsigned int vcpus = 0;

		for (size_t i = 0; state->closed[k] && i < guest->given->time_count; i++)
			vcpus += state_vcpu_ran(state, guest, &guest->given->time[i]) == k;
		if (!vcpus)
			continue;
		left = add_left(plan, index, state->host->nodes[k].id);
		if (!left)
			return -ENOMEM;
		left->vcpus = vcpus;
		reason_of_left_vcpus(state, index, left->reason);
	}
	return 0;
}

/* ---- Scores ---------------------------------------------------------------------------------- */

static int most(int a, int b)
{
	return a > b ? a : b;
}

/* What more would come of the state with nothing in the way. Only verdicts and options are as before afterwards. */
static int possible_scores(struct state *state, struct placement_plan *plan)
{
	struct placement_options options = state->options;
	struct state_guest *guests = calloc(state->count + 1, sizeof(*guests));
	struct round_log log = {0};
	int rc;

	if (!guests)
		return -ENOMEM;
	memcpy(guests, state->guests, state->count * sizeof(*guests));
	state->options.threshold = 100;
	state->options.hold_seconds = state->options.margin = state->options.move_cost = 0;
	state->options.drain_only = false;
	state->options.history = NULL;
	for (size_t i = 0; i < state->count; i++)
		if (state->guests[i].goal == PLACEMENT_NONE)
			state->guests[i].goal = PLACEMENT_FOLLOW;
	rc = run(state, &log);
	for (size_t i = 0; !rc && i < state->count; i++) {
		struct placement_scores *score = &plan->guests[i].score;

		score->possible = most(most(score->now, score->after), state_score(state, i));
		state->guests[i].goal = guests[i].goal;
		state->guests[i].stay = guests[i].stay;
		state->guests[i].verdict = guests[i].verdict;
	}
	plan->score.possible =
	    most(most(plan->score.now, plan->score.after), state_host_score(state));
	state->options = options;
	round_log_destroy(&log);
	free(guests);
	return rc;
}

static void scores(const struct state *first, const struct state *last, struct placement_plan *plan)
{
	for (size_t i = 0; i < last->count; i++) {
		plan->guests[i].score.now = state_score(first, i);
		plan->guests[i].score.after = state_score(last, i);
	}
	plan->score.now = state_host_score(first);
	plan->score.after = state_host_score(last);
}

static void verdicts(const struct state *last, bool dropped, struct placement_plan *plan)
{
	for (size_t i = 0; i < last->count; i++) {
		const struct placement_scores *score = &plan->guests[i].score;

		/* Where the order of moves is in the way, it is of what is possible, too. */
		if (score->now != PLACEMENT_NO_SCORE &&
		    (score->possible >= score->after + 50 || last->guests[i].verdict == STAY_ORDER))
			reason_of_verdict(last, i, dropped, plan->guests[i].reason);
	}
}

/* ---- The whole ------------------------------------------------------------------------------- */

static int describe(const struct state *first, struct state *last, bool dropped,
		    struct round_log *log, struct placement_plan *plan, struct gmig_error *err)
{
	int rc = net_moves(first, last, log);

	if (!rc)
		rc = add_pins(last, log, plan);
	if (!rc)
		rc = add_steps(last, log, plan);
	for (size_t i = 0; !rc && i < last->count; i++) {
		rc = add_left_lots(last, i, plan);
		if (!rc)
			rc = add_left_vcpus(last, i, plan);
	}
	if (rc)
		return gmig_fail(err, rc, "no memory for a plan");
	scores(first, last, plan);
	if (possible_scores(last, plan))
		return gmig_fail(err, -ENOMEM, "no memory for a plan");
	verdicts(last, dropped, plan);
	return 0;
}

/* Does the host gain less by the plan than it must? What a drain does is not counted. */
static int gains_too_little(const struct placement_host *host, const struct placement_guest *guests,
			    size_t count, struct state **last, struct round_log *log, bool *dropped,
			    struct gmig_error *err)
{
	struct placement_options only = (*last)->options;
	struct round_log drained = {0};
	struct state *state;
	int rc;

	*dropped = false;
	if (only.drain_only || !only.min_gain)
		return 0;
	only.drain_only = true;
	rc = state_create(host, guests, count, &only, &state, err);
	if (rc)
		return rc;
	rc = run(state, &drained);
	if (rc || state_host_score(*last) - state_host_score(state) >= (int)only.min_gain * 100) {
		round_log_destroy(&drained);
		state_destroy(state);
		return rc ? gmig_fail(err, rc, "no memory for a plan") : 0;
	}
	*dropped = true;
	state->options.drain_only = false;
	rules_look(state);
	round_log_destroy(log);
	state_destroy(*last);
	*last = state;
	*log = drained;
	return 0;
}

static struct placement_plan *new_plan(size_t count)
{
	struct placement_plan *plan = calloc(1, sizeof(*plan));

	if (!plan)
		return NULL;
	plan->guest_count = count;
	plan->guests = calloc(count + 1, sizeof(*plan->guests));
	if (plan->guests)
		return plan;
	free(plan);
	return NULL;
}

int placement_plan(const struct placement_host *host, const struct placement_guest *guests,
		   size_t count, const struct placement_options *options,
		   struct placement_plan **out, struct gmig_error *err)
{
	struct placement_options defaults;
	struct state *first = NULL, *last = NULL;
	struct round_log log = {0};
	struct placement_plan *plan = NULL;
	bool dropped = false;
	int rc;

	placement_options_init(&defaults);
	options = options ? options : &defaults;
	rc = state_create(host, guests, count, options, &first, err);
	if (!rc)
		rc = state_create(host, guests, count, options, &last, err);
	if (!rc && run(last, &log))
		rc = gmig_fail(err, -ENOMEM, "no memory for a plan");
	if (!rc)
		rc = gains_too_little(host, guests, count, &last, &log, &dropped, err);
	if (!rc) {
		plan = new_plan(count);
		rc = plan ? describe(first, last, dropped, &log, plan, err)
			  : gmig_fail(err, -ENOMEM, "no memory for a plan");
	}
	round_log_destroy(&log);
	state_destroy(first);
	state_destroy(last);
	if (rc) {
		placement_plan_destroy(plan);
		return rc;
	}
	*out = plan;
	return 0;
}

void placement_plan_destroy(struct placement_plan *plan)
{
	if (!plan)
		return;
	for (size_t i = 0; i < plan->move_count; i++)
		free(plan->moves[i].vcpus);
	free(plan->moves);
	free(plan->left);
	free(plan->guests);
	free(plan);
}
