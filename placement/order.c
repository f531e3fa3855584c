#include "order.h"

#include <errno.h>
#include <stdlib.h>

/* A step takes this part of its move, or more. */
#define LEAST_PART 8
#define NO_WAY	   255 /* a distance */

/* What stepped aside: goes on to where its want says. */
struct aside {
	size_t want;
	unsigned int at;
	int64_t pages;
};

struct order {
	unsigned int n;
	int64_t *room;
	const uint8_t *distance;
	struct order_want *wants;
	size_t count;
	struct aside *aside;
	size_t aside_count;
	struct order_step *steps;
	size_t step_count, step_room;
};

static int add_step(struct order *order, const struct order_step *step)
{
	if (order->step_count == order->step_room) {
		size_t room = 2 * order->step_room + 16;
		struct order_step *steps = realloc(order->steps, room * sizeof(*steps));

		if (!steps)
			return -ENOMEM;
		order->steps = steps;
		order->step_room = room;
	}
	order->room[step->from] += step->pages;
	order->room[step->to] -= step->pages;
	order->steps[order->step_count++] = *step;
	return 0;
}

/* What of these pages fits on a node now, as one step that is worth taking. */
static int64_t fitting(const struct order *order, const struct order_want *want, unsigned int to,
		       int64_t pages)
{
	int64_t room = order->room[to] - order->room[to] % want->unit;

	if (room <= 0)
		return 0;
	if (room >= pages)
		return pages;
	return room >= want->pages / LEAST_PART && room >= pages / LEAST_PART ? room : 0;
}

/* whole: only what fits as a whole. */
static int advance(struct order *order, size_t index, bool whole, bool *moved)
{
	struct order_want *want = &order->wants[index];
	int64_t pages = fitting(order, want, want->to, want->pages);
	struct order_step step = {want->id, want->from, want->to, pages, false};
	int rc;

	if (!pages || (whole && pages < want->pages))
		return 0;
	rc = add_step(order, &step);
	want->pages -= rc ? 0 : pages;
	*moved = true;
	return rc;
}

static int advance_aside(struct order *order, struct aside *aside, bool *moved)
{
	const struct order_want *want = &order->wants[aside->want];
	int64_t pages = fitting(order, want, want->to, aside->pages);
	struct order_step step = {want->id, aside->at, want->to, pages, false};
	int rc;

	if (!pages)
		return 0;
	rc = add_step(order, &step);
	aside->pages -= rc ? 0 : pages;
	*moved = true;
	return rc;
}

/* Everything that finds room, until nothing does. */
static int advance_all(struct order *order)
{
	bool moved = true;
	int rc = 0;

	while (!rc && moved) {
		moved = false;
		for (size_t i = 0; !rc && i < order->count; i++)
			if (order->wants[i].pages)
				rc = advance(order, i, true, &moved);
		for (size_t i = 0; !rc && i < order->aside_count; i++)
			if (order->aside[i].pages)
				rc = advance_aside(order, &order->aside[i], &moved);
		for (size_t i = 0; !rc && !moved && i < order->count; i++)
			if (order->wants[i].pages)
				rc = advance(order, i, false, &moved);
	}
	return rc;
}

/* The nearest node on which what is left of a want can step aside; n: none. */
static unsigned int find_staging(const struct order *order, const struct order_want *want)
{
	unsigned int best = order->n, best_distance = NO_WAY;

	for (unsigned int k = 0; k < order->n; k++) {
		unsigned int d = order->distance[(size_t)want->from * order->n + k];

		if (k == want->from || k == want->to || !want->may[k] || d >= best_distance ||
		    order->distance[(size_t)k * order->n + want->to] == NO_WAY ||
		    !fitting(order, want, k, want->pages))
			continue;
		best = k;
		best_distance = d;
	}
	return best;
}

static int step_aside(struct order *order, bool *moved)
{
	struct order_want *chosen = NULL;
	struct order_step step;
	unsigned int at = order->n;
	int rc;

	for (size_t i = 0; i < order->count; i++) {
		unsigned int k;

		if (!order->wants[i].pages || (chosen && order->wants[i].pages >= chosen->pages))
			continue;
		k = find_staging(order, &order->wants[i]);
		if (k == order->n)
			continue;
		chosen = &order->wants[i];
		at = k;
	}
	*moved = chosen;
	if (!chosen)
		return 0;
	step = (struct order_step){chosen->id, chosen->from, at,
				   fitting(order, chosen, at, chosen->pages), true};
	rc = add_step(order, &step);
	if (rc)
		return rc;
	order->aside[order->aside_count++] =
	    (struct aside){(size_t)(chosen - order->wants), at, step.pages};
	chosen->pages -= step.pages;
	return 0;
}

static int by_worth(const void *a, const void *b)
{
	const struct order_want *left = a, *right = b;

	if (left->worth != right->worth)
		return left->worth > right->worth ? -1 : 1;
	return left->id < right->id ? -1 : left->id > right->id;
}

int order_moves(unsigned int n, int64_t *room, const uint8_t *distance, struct order_want *wants,
		size_t count, struct order_step **steps, size_t *step_count)
{
	struct order order = {
	    .n = n, .room = room, .distance = distance, .wants = wants, .count = count};
	bool moved = true;
	int rc;

	if (count)
		qsort(wants, count, sizeof(*wants), by_worth);
	/* Each step aside takes an eighth of a want at least. */
	order.aside = malloc((2 * LEAST_PART * count + 1) * sizeof(*order.aside));
	rc = order.aside ? 0 : -ENOMEM;
	while (!rc && moved) {
		rc = advance_all(&order);
		if (!rc && order.aside_count < 2 * LEAST_PART * count)
			rc = step_aside(&order, &moved);
		else
			moved = false;
	}
	for (size_t i = 0; i < order.aside_count; i++)
		wants[order.aside[i].want].pages += order.aside[i].pages;
	free(order.aside);
	if (rc) {
		free(order.steps);
		return rc;
	}
	*steps = order.steps;
	*step_count = order.step_count;
	return 0;
}
