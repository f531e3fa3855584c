#include "round.h"
#include "pieces.h"
#include "rules.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* Solutions of a round before it gives up; from the third on all guests that do not fit leave it at once. */
#define MOST_TRIES 8
#define MILD_TRIES 2

void round_log_destroy(struct round_log *log)
{
	free(log->steps);
	free(log->pins);
	*log = (struct round_log){0};
}

int round_log_pin(struct round_log *log, const struct round_pin *pin)
{
	if (log->pin_count == log->pin_room) {
		size_t room = 2 * log->pin_room + 16;
		struct round_pin *pins = realloc(log->pins, room * sizeof(*pins));

		if (!pins)
			return -ENOMEM;
		log->pins = pins;
		log->pin_room = room;
	}
	log->pins[log->pin_count++] = *pin;
	return 0;
}

/* ---- A drain --------------------------------------------------------------------------------- */

static bool drains(const struct state *state, const struct state_guest *guest,
		   const struct lot *lot, unsigned int page)
{
	return lot->page == page && !lot->locked && lot->pages && state->closed[lot->node] &&
	       rules_may_drain(guest);
}

static size_t collect_drain(const struct state *state, unsigned int page, struct pieces *pieces)
{
	size_t count = 0;

	for (size_t g = 0; g < state->count; g++)
		for (size_t l = 0; l < state->guests[g].lot_count; l++) {
			if (!drains(state, &state->guests[g], &state->guests[g].lots[l], page))
				continue;
			count++;
			if (pieces)
				pieces_add(pieces, g, l);
		}
	return count;
}

static int drain_page(struct state *state, unsigned int page, struct round_log *log, bool *moved)
{
	size_t count = collect_drain(state, page, NULL);
	struct pieces pieces;
	int64_t *room = malloc(state->n * sizeof(*room));
	int rc = room ? pieces_create(&pieces, state, count, true) : -ENOMEM;

	if (rc || !count) {
		free(room);
		if (!rc)
			pieces_destroy(&pieces);
		return rc;
	}
	memcpy(room, state->room[page], state->n * sizeof(*room));
	collect_drain(state, page, &pieces);
	rc = pieces_solve(&pieces, page, false);
	if (!rc)
		rc = pieces_order(&pieces, room, NULL);
	if (!rc && pieces.step_count) {
		*moved = true;
		rc = pieces_apply(&pieces, state, log);
	}
	pieces_destroy(&pieces);
	free(room);
	return rc;
}

int round_drain(struct state *state, struct round_log *log, bool *moved)
{
	int rc = 0;

	*moved = false;
	for (unsigned int page = 0; !rc && page < PLACEMENT_PAGES; page++)
		rc = drain_page(state, page, log, moved);
	return rc ? rc : state_tidy(state);
}

/* ---- One solution for a set of guests -------------------------------------------------------- */

struct attempt {
	struct state *state;
	bool *in; /* [guests] */
	bool short_circles;
	struct pieces pieces[PLACEMENT_PAGES];
	int64_t *change; /* [guests] */
	bool *moved;	 /* [guests] */
	bool *left;	 /* [guests] */
	int64_t *room;	 /* [n] */
};

static void attempt_destroy(struct attempt *attempt)
{
	for (unsigned int page = 0; page < PLACEMENT_PAGES; page++)
		pieces_destroy(&attempt->pieces[page]);
	free(attempt->in);
	free(attempt->change);
	free(attempt->moved);
	free(attempt->left);
	free(attempt->room);
}

static int attempt_create(struct attempt *attempt, struct state *state)
{
	size_t count = state->count + 1;

	*attempt = (struct attempt){.state = state};
	attempt->in = calloc(count, sizeof(*attempt->in));
	attempt->change = calloc(count, sizeof(*attempt->change));
	attempt->moved = calloc(count, sizeof(*attempt->moved));
	attempt->left = calloc(count, sizeof(*attempt->left));
	attempt->room = calloc(state->n, sizeof(*attempt->room));
	if (attempt->in && attempt->change && attempt->moved && attempt->left && attempt->room)
		return 0;
	attempt_destroy(attempt);
	return -ENOMEM;
}

static size_t collect(struct attempt *attempt, unsigned int page, struct pieces *pieces)
{
	const struct state *state = attempt->state;
	size_t count = 0;

	for (size_t g = 0; g < state->count; g++)
		for (size_t l = 0; attempt->in[g] && l < state->guests[g].lot_count; l++) {
			const struct lot *lot = &state->guests[g].lots[l];

			if (lot->page != page || lot->locked || !lot->pages ||
			    !state->parts[lot->part].scored || state->closed[lot->node])
				continue;
			count++;
			if (pieces)
				pieces_add(pieces, g, l);
		}
	return count;
}

static int attempt_solve(struct attempt *attempt)
{
	size_t bytes = attempt->state->count;
	int rc = 0;

	memset(attempt->change, 0, bytes * sizeof(*attempt->change));
	memset(attempt->moved, 0, bytes * sizeof(*attempt->moved));
	for (unsigned int page = 0; !rc && page < PLACEMENT_PAGES; page++) {
		struct pieces *pieces = &attempt->pieces[page];
		size_t count = collect(attempt, page, NULL);

		pieces_destroy(pieces);
		rc = pieces_create(pieces, attempt->state, count, false);
		if (rc || !count)
			continue;
		collect(attempt, page, pieces);
		rc = pieces_solve(pieces, page, attempt->short_circles);
		if (!rc)
			pieces_weigh(pieces, attempt->change, attempt->moved);
	}
	return rc;
}

/* Do the moves of all page sizes have an order? left[] names the guests for which they have not. */
static int attempt_order(struct attempt *attempt, bool *complete)
{
	const struct state *state = attempt->state;
	int rc = 0;

	*complete = true;
	memset(attempt->left, 0, state->count * sizeof(*attempt->left));
	for (unsigned int page = 0; !rc && page < PLACEMENT_PAGES; page++) {
		memcpy(attempt->room, state->room[page], state->n * sizeof(*attempt->room));
		rc = pieces_order(&attempt->pieces[page], attempt->room, attempt->left);
	}
	for (size_t g = 0; g < state->count; g++)
		*complete &= !attempt->left[g];
	return rc;
}

static int attempt_apply(struct attempt *attempt, struct round_log *log)
{
	int rc = 0;

	for (unsigned int page = 0; !rc && page < PLACEMENT_PAGES; page++)
		rc = pieces_apply(&attempt->pieces[page], attempt->state, log);
	for (size_t g = 0; !rc && g < attempt->state->count; g++)
		if (attempt->moved[g])
			rc = state_tidy_one(attempt->state, g);
	return rc;
}

static enum stay judge(const struct attempt *attempt, size_t guest, int64_t so_far)
{
	int64_t pages, now = state_locality(attempt->state, guest, &pages);

	return rules_judge(attempt->state, guest, now - so_far, now + attempt->change[guest],
			   pages);
}

/* ---- All guests ------------------------------------------------------------------------------ */

/* Guests that gain too little or lose too much leave; at first only half of them, those with the worst change a page. */
struct misfit {
	size_t guest;
	double change;
	enum stay stay;
};

static int by_change(const void *a, const void *b)
{
	const struct misfit *left = a, *right = b;

	if (left->change != right->change)
		return left->change < right->change ? -1 : 1;
	return left->guest < right->guest ? -1 : left->guest > right->guest;
}

static int expel(struct attempt *attempt, bool mild, size_t *expelled)
{
	struct state *state = attempt->state;
	struct misfit *misfits = calloc(state->count + 1, sizeof(*misfits));
	size_t count = 0;

	if (!misfits)
		return -ENOMEM;
	for (size_t g = 0; g < state->count; g++) {
		enum stay stay = attempt->moved[g] ? judge(attempt, g, 0) : STAY_NOT;

		if (stay != STAY_NOT)
			misfits[count++] = (struct misfit){
			    g, (double)attempt->change[g] / (double)state->guests[g].pages, stay};
	}
	if (count)
		qsort(misfits, count, sizeof(*misfits), by_change);
	*expelled = mild ? (count + 1) / 2 : count;
	for (size_t i = 0; i < *expelled; i++) {
		attempt->in[misfits[i].guest] = false;
		state->guests[misfits[i].guest].verdict = misfits[i].stay;
	}
	free(misfits);
	return 0;
}

static void expel_left(struct attempt *attempt)
{
	for (size_t g = 0; g < attempt->state->count; g++)
		if (attempt->left[g]) {
			attempt->in[g] = false;
			attempt->state->guests[g].verdict = STAY_ORDER;
		}
}

static int64_t total_change(const struct attempt *attempt)
{
	int64_t sum = 0;

	for (size_t g = 0; g < attempt->state->count; g++)
		sum += attempt->change[g];
	return sum;
}

/* *done: a solution was found, or there is none. */
static int try_once(struct attempt *attempt, bool mild, struct round_log *log, bool *done,
		    bool *moved)
{
	size_t expelled = 0;
	bool complete = false;
	int rc = attempt_solve(attempt);

	if (!rc)
		rc = expel(attempt, mild, &expelled);
	if (rc || expelled)
		return rc;
	if (total_change(attempt) <= 0) {
		*done = true;
		return 0;
	}
	rc = attempt_order(attempt, &complete);
	if (rc)
		return rc;
	if (!complete) {
		expel_left(attempt);
		return 0;
	}
	*done = *moved = true;
	return attempt_apply(attempt, log);
}

int round_all(struct state *state, struct round_log *log, bool *moved)
{
	struct attempt attempt;
	bool done = false;
	int rc = attempt_create(&attempt, state);

	*moved = false;
	if (rc)
		return rc;
	for (size_t g = 0; g < state->count; g++)
		attempt.in[g] = state->guests[g].stay == STAY_NOT;
	for (unsigned int try = 0; !rc && !done && try < MOST_TRIES; try++)
		rc = try_once(&attempt, try < MILD_TRIES, log, &done, moved);
	attempt_destroy(&attempt);
	return rc;
}

/* ---- One guest ------------------------------------------------------------------------------- */

static int one(struct attempt *attempt, size_t guest, int64_t so_far, struct round_log *log,
	       bool *moved)
{
	bool complete = false;
	enum stay stay;
	int rc;

	memset(attempt->in, 0, attempt->state->count * sizeof(*attempt->in));
	attempt->in[guest] = true;
	attempt->short_circles = true;
	rc = attempt_solve(attempt);
	if (rc || !attempt->moved[guest])
		return rc;
	stay = attempt->change[guest] + so_far > 0 ? judge(attempt, guest, so_far) : STAY_MARGIN;
	if (stay == STAY_NOT) {
		rc = attempt_order(attempt, &complete);
		stay = complete ? STAY_NOT : STAY_ORDER;
	}
	attempt->state->guests[guest].verdict = stay;
	if (rc || stay != STAY_NOT)
		return rc;
	*moved = true;
	return attempt_apply(attempt, log);
}

int round_one(struct state *state, size_t guest, int64_t so_far, struct round_log *log, bool *moved)
{
	struct attempt attempt;
	int rc = attempt_create(&attempt, state);

	*moved = false;
	if (rc)
		return rc;
	rc = one(&attempt, guest, so_far, log, moved);
	attempt_destroy(&attempt);
	return rc;
}

int round_each(struct state *state, struct round_log *log, bool *moved)
{
	struct attempt attempt;
	int rc = attempt_create(&attempt, state);

	*moved = false;
	if (rc)
		return rc;
	for (size_t g = 0; !rc && g < state->count; g++)
		if (state->guests[g].stay == STAY_NOT)
			rc = one(&attempt, g, 0, log, moved);
	attempt_destroy(&attempt);
	return rc;
}
