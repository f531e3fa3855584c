/* Inside of a history: what plans read of it. */
#ifndef PLACEMENT_HISTORY_H
#define PLACEMENT_HISTORY_H

#include "placement.h"

/* A move that was carried out, to know one that takes it back. */
struct history_move {
	uint64_t at_seconds;
	uint16_t vnode, from, to;
	uint8_t page;
};

#define HISTORY_MOVES 16 /* of each guest, the last ones */

struct history_guest {
	char *name;
	bool seen;		    /* in this scan */
	bool low;		    /* its score was at most the threshold in the last scan, */
	uint64_t low_since_seconds; /* and first then */
	uint64_t frozen_until_seconds;
	unsigned int reversals;
	struct history_move moves[HISTORY_MOVES];
	unsigned int
	    move_count; /* all there were: the last is at (move_count - 1) % HISTORY_MOVES */
};

/* NULL: nothing is known of it. */
const struct history_guest *history_find(const struct placement_history *history, const char *name);
/* The same, made where it was not there. NULL: no memory. */
struct history_guest *history_add(struct placement_history *history, const char *name);
/* Forget all guests that are not `seen`, and mark the others as not seen. */
void history_forget(struct placement_history *history);

#endif
