/*
 * The order of moves within one page size, such that each finds its room when those before it are complete. Moves into free
 * memory come first, those that are worth most before others; each makes room for more. Where nodes that are full exchange memory,
 * a move goes in steps of at least an eighth, or the smallest one steps aside to a third node (staging), and on from there later.
 * Moves for which even that does not help are left out.
 *
 * Pure. One thread.
 */
#ifndef PLACEMENT_ORDER_H
#define PLACEMENT_ORDER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct order_want {
	size_t id; /* the caller's, for what comes out */
	unsigned int from, to;
	int64_t pages, unit; /* steps are multiples of unit */
	int64_t worth;	     /* more comes first */
	const bool *may;     /* [n]: nodes for staging */
};

struct order_step {
	size_t id;
	unsigned int from, to;
	int64_t pages;
	bool staging; /* `to` is a node for staging */
};

/*
 * room[n]: free pages, changed to what is free at the end; distance[n * n] chooses the nearest node for staging. wants: sorted,
 * and `pages` reduced to what is left out (0: nothing). *steps is to be freed. -ENOMEM.
 */
int order_moves(unsigned int n, int64_t *room, const uint8_t *distance, struct order_want *wants,
		size_t count, struct order_step **steps, size_t *step_count);

#endif
