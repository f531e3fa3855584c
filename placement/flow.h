/*
 * Where the bytes of one page size should lie, without regard to the order of moves: a transportation problem. Pieces of memory
 * lie on nodes, each has a cost for each node, and free memory is a piece that costs nothing anywhere. As long as there is a
 * circle of nodes in which each gives pages to the next and the sum of costs falls, the pages go round (M. Klein, "A primal
 * method for minimal cost flows", 1967). When none is left, no other distribution costs less.
 *
 * Pure. One thread.
 */
#ifndef PLACEMENT_FLOW_H
#define PLACEMENT_FLOW_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define FLOW_NEVER (INT64_C(1) << 56)

struct flow_piece {
	unsigned int origin;
	unsigned int only; /* the one other node it may go to; n or more: whatever the costs say */
	int64_t pages;
	const int64_t *cost; /* [n], a page; FLOW_NEVER: not there. Costs at most 2^40 otherwise */
};

struct flow_result {
	size_t piece;
	unsigned int node; /* never the piece's origin */
	int64_t pages;
};

/*
 * room[n]: free pages, perhaps negative; not changed. short_circles: only pages that go from a node to another and change places
 * with free ones or with others; not the best, but fast. *results is to be freed, and holds what leaves its origin. -ENOMEM.
 */
int flow_solve(unsigned int n, const int64_t *room, const struct flow_piece *pieces, size_t count,
	       bool short_circles, struct flow_result **results, size_t *result_count);

#endif
