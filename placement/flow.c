#include "flow.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define NO_HEAP	  SIZE_MAX
#define FREE_HEAP (SIZE_MAX - 1)

/* Pages of one piece on one node. */
struct heap {
	size_t piece, next; /* next on its node */
	int64_t pages;
};

/* What it costs to give the cheapest page of a node to another one. */
struct edge {
	int64_t cost;
	size_t heap; /* of the giver; NO_HEAP: it has none for it; FREE_HEAP: a free page */
};

struct flow {
	unsigned int n;
	const struct flow_piece *pieces;
	struct heap *heaps;
	size_t heap_count, heap_room;
	size_t *first;	   /* [n]: of the node's list */
	int64_t *room;	   /* [n] */
	struct edge *edge; /* [from * n + to] */
	int64_t *potential;
	unsigned int *parent, *circle;
};

static struct edge *edge_of(const struct flow *flow, unsigned int from, unsigned int to)
{
	return &flow->edge[(size_t)from * flow->n + to];
}

/* ---- Heaps ----------------------------------------------------------------------------------- */

static int grow(struct flow *flow, size_t more)
{
	size_t room = flow->heap_room ? 2 * flow->heap_room : 64;
	struct heap *heaps;

	if (flow->heap_count + more <= flow->heap_room)
		return 0;
	while (room < flow->heap_count + more)
		room *= 2;
	heaps = realloc(flow->heaps, room * sizeof(*heaps));
	if (!heaps)
		return -ENOMEM;
	flow->heaps = heaps;
	flow->heap_room = room;
	return 0;
}

/* There is room for one more heap. */
static void put(struct flow *flow, unsigned int node, size_t piece, int64_t pages)
{
	size_t *link = &flow->first[node];

	while (*link != NO_HEAP && flow->heaps[*link].piece != piece)
		link = &flow->heaps[*link].next;
	if (*link == NO_HEAP) {
		*link = flow->heap_count;
		flow->heaps[flow->heap_count++] = (struct heap){.piece = piece, .next = NO_HEAP};
	}
	flow->heaps[*link].pages += pages;
}

/* Heaps that have become empty leave their node's list. */
static void sweep(struct flow *flow, unsigned int node)
{
	size_t *link = &flow->first[node];

	while (*link != NO_HEAP) {
		if (flow->heaps[*link].pages)
			link = &flow->heaps[*link].next;
		else
			*link = flow->heaps[*link].next;
	}
}

/* ---- Edges ----------------------------------------------------------------------------------- */

static void offer(struct flow *flow, unsigned int from, size_t index)
{
	const struct heap *heap = &flow->heaps[index];
	const int64_t *cost = flow->pieces[heap->piece].cost;

	for (unsigned int to = 0; to < flow->n; to++) {
		struct edge *edge = edge_of(flow, from, to);
		int64_t change = cost[to] - cost[from];

		if (to != from && cost[to] < FLOW_NEVER &&
		    (edge->heap == NO_HEAP || change < edge->cost))
			*edge = (struct edge){change, index};
	}
}

static void refresh(struct flow *flow, unsigned int from)
{
	for (unsigned int to = 0; to < flow->n; to++)
		*edge_of(flow, from, to) = flow->room[from] > 0 && to != from
					       ? (struct edge){0, FREE_HEAP}
					       : (struct edge){FLOW_NEVER, NO_HEAP};
	for (size_t i = flow->first[from]; i != NO_HEAP; i = flow->heaps[i].next)
		offer(flow, from, i);
}

static int64_t available(const struct flow *flow, unsigned int from, const struct edge *edge)
{
	return edge->heap == FREE_HEAP ? flow->room[from] : flow->heaps[edge->heap].pages;
}

/* Send as many pages as all of the circle's nodes have once round. */
static int turn(struct flow *flow, unsigned int length)
{
	int64_t pages = INT64_MAX;

	if (grow(flow, length))
		return -ENOMEM;
	for (unsigned int i = 0; i < length; i++) {
		unsigned int from = flow->circle[i], to = flow->circle[(i + 1) % length];
		int64_t there = available(flow, from, edge_of(flow, from, to));

		pages = there < pages ? there : pages;
	}
	for (unsigned int i = 0; i < length; i++) {
		unsigned int from = flow->circle[i], to = flow->circle[(i + 1) % length];
		const struct edge *edge = edge_of(flow, from, to);

		if (edge->heap == FREE_HEAP) {
			flow->room[from] -= pages;
			flow->room[to] += pages;
		} else {
			flow->heaps[edge->heap].pages -= pages;
			put(flow, to, flow->heaps[edge->heap].piece, pages);
		}
	}
	for (unsigned int i = 0; i < length; i++) {
		sweep(flow, flow->circle[i]);
		refresh(flow, flow->circle[i]);
	}
	return 0;
}

/* ---- Circles --------------------------------------------------------------------------------- */

/* The pair of nodes that gains most by an exchange. */
static unsigned int find_pair(struct flow *flow)
{
	int64_t best = 0;

	for (unsigned int a = 0; a < flow->n; a++)
		for (unsigned int b = a + 1; b < flow->n; b++) {
			const struct edge *there = edge_of(flow, a, b), *back = edge_of(flow, b, a);

			if (there->heap == NO_HEAP || back->heap == NO_HEAP ||
			    there->cost + back->cost >= best)
				continue;
			best = there->cost + back->cost;
			flow->circle[0] = a;
			flow->circle[1] = b;
		}
	return best < 0 ? 2 : 0;
}

static bool relax(struct flow *flow, unsigned int *last)
{
	bool changed = false;

	for (unsigned int a = 0; a < flow->n; a++)
		for (unsigned int b = 0; b < flow->n; b++) {
			const struct edge *edge = edge_of(flow, a, b);

			if (edge->heap == NO_HEAP ||
			    flow->potential[a] + edge->cost >= flow->potential[b])
				continue;
			flow->potential[b] = flow->potential[a] + edge->cost;
			flow->parent[b] = a;
			*last = b;
			changed = true;
		}
	return changed;
}

/* Any circle whose sum is negative, by Bellman and Ford. */
static unsigned int find_circle(struct flow *flow)
{
	unsigned int node = 0, length = 0, start;

	for (unsigned int k = 0; k < flow->n; k++) {
		flow->potential[k] = 0;
		flow->parent[k] = k;
	}
	for (unsigned int round = 0; round < flow->n; round++)
		if (!relax(flow, &node))
			return 0;
	for (unsigned int i = 0; i < flow->n; i++)
		node = flow->parent[node];
	start = node;
	do {
		flow->circle[length++] = node;
		node = flow->parent[node];
	} while (node != start);
	for (unsigned int i = 0; i < length / 2; i++) {
		unsigned int other = flow->circle[i];

		flow->circle[i] = flow->circle[length - 1 - i];
		flow->circle[length - 1 - i] = other;
	}
	return length;
}

/* ---- The whole ------------------------------------------------------------------------------- */

static int set_up(struct flow *flow, const int64_t *room, size_t count)
{
	size_t n = flow->n;

	flow->first = malloc(n * sizeof(*flow->first));
	flow->room = malloc(n * sizeof(*flow->room));
	flow->edge = malloc(n * n * sizeof(*flow->edge));
	flow->potential = malloc(n * sizeof(*flow->potential));
	flow->parent = malloc(n * sizeof(*flow->parent));
	flow->circle = malloc((n + 2) * sizeof(*flow->circle));
	if (!flow->first || !flow->room || !flow->edge || !flow->potential || !flow->parent ||
	    !flow->circle || grow(flow, count))
		return -ENOMEM;
	memcpy(flow->room, room, n * sizeof(*room));
	for (unsigned int k = 0; k < n; k++)
		flow->first[k] = NO_HEAP;
	/* Pieces are distinct: no search for one's own. */
	for (size_t i = 0; i < count; i++) {
		unsigned int node = flow->pieces[i].origin;

		flow->heaps[flow->heap_count] = (struct heap){
		    .piece = i, .next = flow->first[node], .pages = flow->pieces[i].pages};
		flow->first[node] = flow->heap_count++;
	}
	for (unsigned int k = 0; k < n; k++)
		refresh(flow, k);
	return 0;
}

static int improve(struct flow *flow, size_t count, bool short_circles)
{
	/* Never reached in practice; an end all the same, and what is there then is valid, only not the best. */
	size_t turns = 64 * (count + flow->n) + 1024;

	while (turns--) {
		unsigned int length = find_pair(flow);
		int rc;

		if (!length && !short_circles)
			length = find_circle(flow);
		if (!length)
			return 0;
		rc = turn(flow, length);
		if (rc)
			return rc;
	}
	return 0;
}

static int read_out(const struct flow *flow, struct flow_result **results, size_t *count)
{
	*count = 0;
	*results = malloc((flow->heap_count + 1) * sizeof(**results));
	if (!*results)
		return -ENOMEM;
	for (unsigned int k = 0; k < flow->n; k++)
		for (size_t i = flow->first[k]; i != NO_HEAP; i = flow->heaps[i].next) {
			const struct heap *heap = &flow->heaps[i];

			if (heap->pages && flow->pieces[heap->piece].origin != k)
				(*results)[(*count)++] =
				    (struct flow_result){heap->piece, k, heap->pages};
		}
	return 0;
}

static void tear_down(struct flow *flow)
{
	free(flow->heaps);
	free(flow->first);
	free(flow->room);
	free(flow->edge);
	free(flow->potential);
	free(flow->parent);
	free(flow->circle);
}

int flow_solve(unsigned int n, const int64_t *room, const struct flow_piece *pieces, size_t count,
	       bool short_circles, struct flow_result **results, size_t *result_count)
{
	struct flow flow = {.n = n, .pieces = pieces};
	int rc = set_up(&flow, room, count);

	if (!rc)
		rc = improve(&flow, count, short_circles);
	if (!rc)
		rc = read_out(&flow, results, result_count);
	tear_down(&flow);
	return rc;
}
