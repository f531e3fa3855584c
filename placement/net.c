#include "net.h"
#include "order.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

struct net {
	const struct state *first, *last;
	unsigned int page;
	struct order_want *wants;
	struct round_step *of; /* a step for each want, by its id */
	size_t count, room;
	int64_t *change; /* [n]: of one vnode */
};

static int add_want(struct net *net, size_t guest, const struct part *part, unsigned int from,
		    unsigned int to, int64_t pages)
{
	if (net->count == net->room) {
		size_t room = 2 * net->room + 16;
		struct order_want *wants = realloc(net->wants, room * sizeof(*wants));
		struct round_step *of;

		if (!wants)
			return -ENOMEM;
		net->wants = wants;
		of = realloc(net->of, room * sizeof(*of));
		if (!of)
			return -ENOMEM;
		net->of = of;
		net->room = room;
	}
	net->of[net->count] = (struct round_step){.guest = (uint32_t)guest,
						  .vnode = part->vnode,
						  .page = (uint8_t)net->page,
						  .pages = pages};
	net->wants[net->count] = (struct order_want){
	    .id = net->count,
	    .from = from,
	    .to = to,
	    .pages = pages,
	    .unit = state_unit(net->page),
	    .worth = part->near[to] - part->near[from] +
		     (net->last->closed[from] ? 2 * (int64_t)STATE_PPM : 0),
	    .may = part->may,
	};
	net->count++;
	return 0;
}

static void add_lots(const struct net *net, const struct state *state, size_t guest,
		     unsigned int vnode, int64_t sign)
{
	const struct state_guest *of = &state->guests[guest];

	for (size_t l = 0; l < of->lot_count; l++)
		if (of->lots[l].page == net->page && state->parts[of->lots[l].part].vnode == vnode)
			net->change[of->lots[l].node] += sign * of->lots[l].pages;
}

/* The nearest node that wins pages; n: none that can be reached. */
static unsigned int nearest_winner(const struct net *net, unsigned int from)
{
	unsigned int n = net->last->n, best = n, best_distance = PLACEMENT_UNREACHED;

	for (unsigned int k = 0; k < n; k++) {
		unsigned int d = state_distance(net->last, from, k);

		if (net->change[k] <= 0 || d >= best_distance)
			continue;
		best = k;
		best_distance = d;
	}
	return best;
}

/* Nodes that lose pages give them to those that win some, the nearest first. */
static int pair(struct net *net, size_t guest, const struct part *part, bool *complete)
{
	unsigned int n = net->last->n;

	for (unsigned int from = 0; from < n; from++)
		while (net->change[from] < 0) {
			unsigned int to = nearest_winner(net, from);
			int64_t pages;

			if (to == n) {
				*complete = false;
				break;
			}
			pages = -net->change[from] < net->change[to] ? -net->change[from]
								     : net->change[to];
			net->change[from] += pages;
			net->change[to] -= pages;
			if (add_want(net, guest, part, from, to, pages))
				return -ENOMEM;
		}
	return 0;
}

/* The first part of each vnode speaks for it. */
static bool speaks(const struct state *state, const struct state_guest *guest, uint32_t p)
{
	for (uint32_t q = 0; q < p; q++)
		if (state->parts[guest->part_first + q].vnode ==
		    state->parts[guest->part_first + p].vnode)
			return false;
	return true;
}

static int collect(struct net *net, bool *complete)
{
	int rc = 0;

	for (size_t g = 0; !rc && g < net->last->count; g++) {
		const struct state_guest *guest = &net->last->guests[g];

		for (uint32_t p = 0; !rc && p < guest->part_count; p++) {
			const struct part *part = &net->last->parts[guest->part_first + p];

			if (!speaks(net->last, guest, p))
				continue;
			memset(net->change, 0, net->last->n * sizeof(*net->change));
			add_lots(net, net->first, g, part->vnode, -1);
			add_lots(net, net->last, g, part->vnode, 1);
			rc = pair(net, g, part, complete);
		}
	}
	return rc;
}

static int append(const struct net *net, const struct order_step *steps, size_t count,
		  struct round_log *log)
{
	struct round_step *all;

	if (!net->of || !count)
		return 0;
	all = realloc(log->steps, (log->step_count + count) * sizeof(*all));
	if (!all)
		return -ENOMEM;
	log->steps = all;
	for (size_t i = 0; i < count; i++) {
		struct round_step *step = &all[log->step_count++];

		*step = net->of[steps[i].id];
		step->from = (uint16_t)steps[i].from;
		step->to = (uint16_t)steps[i].to;
		step->pages = steps[i].pages;
		step->staging = steps[i].staging;
	}
	log->step_room = log->step_count;
	return 0;
}

static int net_page(struct net *net, struct round_log *log, bool *complete)
{
	struct order_step *steps = NULL;
	size_t n = net->last->n, count = 0;
	int64_t *room = malloc(n * sizeof(*room));
	int rc = room ? 0 : -ENOMEM;

	net->count = 0;
	if (!rc)
		rc = collect(net, complete);
	if (!rc) {
		memcpy(room, net->first->room[net->page], n * sizeof(*room));
		rc = order_moves((unsigned int)n, room, net->last->host->distance, net->wants,
				 net->count, &steps, &count);
	}
	for (size_t i = 0; !rc && i < net->count; i++)
		*complete &= !net->wants[i].pages;
	if (!rc)
		rc = append(net, steps, count, log);
	free(steps);
	free(room);
	return rc;
}

static int64_t total(const struct round_log *log)
{
	int64_t pages = 0;

	for (size_t i = 0; i < log->step_count; i++)
		pages += log->steps[i].pages;
	return pages;
}

int net_moves(const struct state *first, const struct state *last, struct round_log *log)
{
	struct net net = {.first = first, .last = last};
	struct round_log mine = {0};
	bool complete = true;
	int rc;

	net.change = malloc(last->n * sizeof(*net.change));
	rc = net.change ? 0 : -ENOMEM;
	for (net.page = 0; !rc && net.page < PLACEMENT_PAGES; net.page++)
		rc = net_page(&net, &mine, &complete);
	if (!rc && complete && total(&mine) <= total(log)) {
		free(log->steps);
		log->steps = mine.steps;
		log->step_count = mine.step_count;
		log->step_room = mine.step_room;
		mine.steps = NULL;
	}
	free(mine.steps);
	free(net.change);
	free(net.wants);
	free(net.of);
	return rc;
}
