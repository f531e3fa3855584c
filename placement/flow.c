#include "flow.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define NO_HEAP	  SIZE_MAX
#define FREE_HEAP (SIZE_MAX - 1)

/* Pages of one piece on one node. In the node's list only while there are any. */
struct heap {
	size_t piece;
	unsigned int node;
	size_t previous, next; /* on its node */
	size_t sibling;	       /* another one of the piece */
	int64_t pages;
	bool listed;
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
	size_t *of_piece;  /* [pieces]: a heap of it */
	int64_t *room;	   /* [n] */
	struct edge *edge; /* [from * n + to] */
	int64_t *potential;
	bool *fallen; /* [n] */
	unsigned int *parent, *circle, *seen;
	unsigned int *partner; /* [n]: with whom an exchange gains most, */
	int64_t *saved;	       /* [n]: and by how much the sum changes */
	size_t *giver;	       /* of each node in the circle, a heap */
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

static void enlist(struct flow *flow, size_t index)
{
	struct heap *heap = &flow->heaps[index];

	heap->listed = true;
	heap->previous = NO_HEAP;
	heap->next = flow->first[heap->node];
	if (heap->next != NO_HEAP)
		flow->heaps[heap->next].previous = index;
	flow->first[heap->node] = index;
}

static void delist(struct flow *flow, size_t index)
{
	struct heap *heap = &flow->heaps[index];

	heap->listed = false;
	if (heap->next != NO_HEAP)
		flow->heaps[heap->next].previous = heap->previous;
	if (heap->previous != NO_HEAP)
		flow->heaps[heap->previous].next = heap->next;
	else
		flow->first[heap->node] = heap->next;
}

/* There is room for one more heap. Returns the one that has the pages now. */
static size_t put(struct flow *flow, unsigned int node, size_t piece, int64_t pages)
{
	size_t index = flow->of_piece[piece];

	while (index != NO_HEAP && flow->heaps[index].node != node)
		index = flow->heaps[index].sibling;
	if (index == NO_HEAP) {
		index = flow->heap_count++;
		flow->heaps[index] =
		    (struct heap){.piece = piece, .node = node, .sibling = flow->of_piece[piece]};
		flow->of_piece[piece] = index;
	}
	if (!flow->heaps[index].listed)
		enlist(flow, index);
	flow->heaps[index].pages += pages;
	return index;
}

/* ---- Edges ----------------------------------------------------------------------------------- */

static void offer_to(struct flow *flow, unsigned int from, unsigned int to, size_t index)
{
	const struct flow_piece *piece = &flow->pieces[flow->heaps[index].piece];
	struct edge *edge = edge_of(flow, from, to);
	int64_t change;

	if (to == from || (piece->only < flow->n && to != piece->only && to != piece->origin) ||
	    piece->cost[to] >= FLOW_NEVER)
		return;
	change = piece->cost[to] - piece->cost[from];
	if (edge->heap == NO_HEAP || change < edge->cost)
		*edge = (struct edge){change, index};
}

/* A heap that has come to a node, or pages of one that was there. */
static void offer(struct flow *flow, unsigned int from, size_t index)
{
	const struct flow_piece *piece = &flow->pieces[flow->heaps[index].piece];

	if (piece->only < flow->n) {
		offer_to(flow, from, piece->only, index);
		offer_to(flow, from, piece->origin, index);
		return;
	}
	for (unsigned int to = 0; to < flow->n; to++)
		offer_to(flow, from, to, index);
}

static void offer_free(struct flow *flow, unsigned int from)
{
	for (unsigned int to = 0; to < flow->n; to++) {
		struct edge *edge = edge_of(flow, from, to);

		if (to != from && flow->room[from] > 0 && (edge->heap == NO_HEAP || edge->cost > 0))
			*edge = (struct edge){0, FREE_HEAP};
	}
}

static void refresh(struct flow *flow, unsigned int from)
{
	for (unsigned int to = 0; to < flow->n; to++)
		*edge_of(flow, from, to) = (struct edge){FLOW_NEVER, NO_HEAP};
	offer_free(flow, from);
	for (size_t i = flow->first[from]; i != NO_HEAP; i = flow->heaps[i].next)
		offer(flow, from, i);
}

/* A heap of a node is used up: the edges that it was the best for have others. */
static void replace(struct flow *flow, unsigned int from, size_t gone)
{
	for (unsigned int to = 0; to < flow->n; to++) {
		struct edge *edge = edge_of(flow, from, to);

		if (edge->heap != gone)
			continue;
		*edge = to != from && flow->room[from] > 0 ? (struct edge){0, FREE_HEAP}
							   : (struct edge){FLOW_NEVER, NO_HEAP};
		for (size_t i = flow->first[from]; i != NO_HEAP; i = flow->heaps[i].next)
			offer_to(flow, from, to, i);
	}
}

static int64_t available(const struct flow *flow, unsigned int from, const struct edge *edge)
{
	return edge->heap == FREE_HEAP ? flow->room[from] : flow->heaps[edge->heap].pages;
}

/* What the i-th node of the circle gives to the next one. */
static void give(struct flow *flow, unsigned int from, unsigned int to, size_t heap, int64_t pages)
{
	if (heap == FREE_HEAP) {
		flow->room[from] -= pages;
		flow->room[to] += pages;
		return;
	}
	flow->heaps[heap].pages -= pages;
	offer(flow, to, put(flow, to, flow->heaps[heap].piece, pages));
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

		flow->giver[i] = edge_of(flow, from, to)->heap;
		pages = there < pages ? there : pages;
	}
	for (unsigned int i = 0; i < length; i++)
		give(flow, flow->circle[i], flow->circle[(i + 1) % length], flow->giver[i], pages);
	for (unsigned int i = 0; i < length; i++) {
		unsigned int node = flow->circle[i];
		size_t heap = flow->giver[i];

		if (heap != FREE_HEAP && flow->heaps[heap].pages)
			continue;
		if (heap != FREE_HEAP)
			delist(flow, heap);
		if (heap != FREE_HEAP || flow->room[node] <= 0)
			replace(flow, node, heap);
	}
	for (unsigned int i = 0; i < length; i++)
		offer_free(flow, flow->circle[i]);
	return 0;
}

/* ---- Circles --------------------------------------------------------------------------------- */

/* What an exchange of a page between two nodes changes; FLOW_NEVER: there is none. */
static int64_t exchange(const struct flow *flow, unsigned int a, unsigned int b)
{
	const struct edge *there = edge_of(flow, a, b), *back = edge_of(flow, b, a);

	return there->heap == NO_HEAP || back->heap == NO_HEAP ? FLOW_NEVER
							       : there->cost + back->cost;
}

static void find_partner(struct flow *flow, unsigned int node)
{
	flow->partner[node] = node;
	flow->saved[node] = FLOW_NEVER;
	for (unsigned int k = 0; k < flow->n; k++) {
		int64_t change = k == node ? FLOW_NEVER : exchange(flow, node, k);

		if (change >= flow->saved[node])
			continue;
		flow->saved[node] = change;
		flow->partner[node] = k;
	}
}

/* The edges of this node have changed. */
static void change_partners(struct flow *flow, unsigned int node)
{
	find_partner(flow, node);
	for (unsigned int k = 0; k < flow->n; k++) {
		int64_t change = k == node ? FLOW_NEVER : exchange(flow, node, k);

		if (flow->partner[k] == node && change > flow->saved[k]) {
			find_partner(flow, k);
		} else if (change < flow->saved[k]) {
			flow->saved[k] = change;
			flow->partner[k] = node;
		}
	}
}

/* The pair of nodes that gains most by an exchange. */
static unsigned int find_pair(struct flow *flow)
{
	unsigned int best = 0;

	for (unsigned int k = 1; k < flow->n; k++)
		if (flow->saved[k] < flow->saved[best])
			best = k;
	if (flow->saved[best] >= 0)
		return 0;
	flow->circle[0] = best;
	flow->circle[1] = flow->partner[best];
	return 2;
}

/* Only from nodes whose potential has fallen since they were last looked at. */
static bool relax(struct flow *flow)
{
	bool changed = false;

	for (unsigned int a = 0; a < flow->n; a++) {
		if (!flow->fallen[a])
			continue;
		flow->fallen[a] = false;
		for (unsigned int b = 0; b < flow->n; b++) {
			const struct edge *edge = edge_of(flow, a, b);

			if (flow->potential[a] + edge->cost >= flow->potential[b] ||
			    edge->heap == NO_HEAP)
				continue;
			flow->potential[b] = flow->potential[a] + edge->cost;
			flow->parent[b] = a;
			flow->fallen[b] = changed = true;
		}
	}
	return changed;
}

/* A node on a circle of parents; n: there is none. Each node's parent is itself at first. */
static unsigned int on_circle(const struct flow *flow)
{
	for (unsigned int k = 0; k < flow->n; k++)
		flow->seen[k] = flow->n;
	for (unsigned int start = 0; start < flow->n; start++) {
		unsigned int node = start;

		while (flow->seen[node] == flow->n && flow->parent[node] != node) {
			flow->seen[node] = start;
			node = flow->parent[node];
		}
		if (flow->seen[node] == start)
			return node;
	}
	return flow->n;
}

/*
 * Any circle whose sum is negative, by Bellman and Ford: it is there as soon as the parents go round. Potentials may be those of
 * the last search, since they may begin with anything.
 */
static unsigned int find_circle(struct flow *flow)
{
	unsigned int node = flow->n, length = 0, start;

	for (unsigned int k = 0; k < flow->n; k++) {
		flow->parent[k] = k;
		flow->fallen[k] = true;
	}
	for (unsigned int round = 0; node == flow->n && round <= flow->n; round++) {
		if (!relax(flow))
			return 0;
		node = on_circle(flow);
	}
	if (node == flow->n)
		return 0;
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
	flow->of_piece = malloc((count + 1) * sizeof(*flow->of_piece));
	flow->room = malloc(n * sizeof(*flow->room));
	flow->edge = calloc(n * n, sizeof(*flow->edge));
	flow->potential = calloc(n, sizeof(*flow->potential));
	flow->fallen = malloc(n * sizeof(*flow->fallen));
	flow->seen = malloc(n * sizeof(*flow->seen));
	flow->parent = malloc(n * sizeof(*flow->parent));
	flow->circle = malloc((n + 2) * sizeof(*flow->circle));
	flow->partner = malloc(n * sizeof(*flow->partner));
	flow->saved = malloc(n * sizeof(*flow->saved));
	flow->giver = malloc((n + 2) * sizeof(*flow->giver));
	if (!flow->fallen || !flow->seen || !flow->first || !flow->of_piece || !flow->room ||
	    !flow->edge || !flow->potential || !flow->parent || !flow->circle || !flow->giver ||
	    !flow->partner || !flow->saved || grow(flow, count))
		return -ENOMEM;
	memcpy(flow->room, room, n * sizeof(*room));
	for (unsigned int k = 0; k < n; k++)
		flow->first[k] = NO_HEAP;
	for (size_t i = 0; i < count; i++) {
		flow->of_piece[i] = NO_HEAP;
		put(flow, flow->pieces[i].origin, i, flow->pieces[i].pages);
	}
	for (unsigned int k = 0; k < n; k++)
		refresh(flow, k);
	for (unsigned int k = 0; k < n; k++)
		find_partner(flow, k);
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
		for (unsigned int i = 0; i < length; i++)
			change_partners(flow, flow->circle[i]);
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
	free(flow->of_piece);
	free(flow->room);
	free(flow->edge);
	free(flow->potential);
	free(flow->fallen);
	free(flow->seen);
	free(flow->parent);
	free(flow->circle);
	free(flow->giver);
	free(flow->partner);
	free(flow->saved);
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
