/*
 * A plan for all guests of this host: made, printed, carried out. For gmig plan, rebalance and drain. Main thread.
 */
#ifndef CLI_FLEET_PLAN_H
#define CLI_FLEET_PLAN_H

#include "fleet.h"

/* A new reference: scores, guests, moves, what stays, guests that do not answer; `gmig plan --json` prints it. */
json_t *fleet_plan_json(const struct fleet *fleet, const struct placement_plan *plan);
/* The same for people. */
void fleet_plan_print(FILE *out, const struct fleet *fleet, const struct placement_plan *plan);
/* The guests that are not in it, a line each. */
void fleet_print_silent(FILE *out, const struct fleet *fleet);

/*
 * Is all that the guest, or the vnode, has on a node, or has got there by earlier moves, meant by this move of memory and those before it,
 * and does no later move concern that node? Then it goes without a limit, as a job that takes new memory along: what is touched for the first time afterwards is not to come from
 * the node that was left. And QEMU's own memory, which no plan counts, may go along; a limit it would use up, and guest memory would stay.
 */
bool fleet_takes_all(const struct fleet *fleet, const struct placement_plan *plan,
		     const struct placement_move *move);

struct fleet_run {
	bool json;	     /* no words on stdout */
	uint64_t rate_bytes; /* a second, of each migration; 0: no limit */
	json_t *results;     /* one object a move is added: "move", and "job" or "error" */
};
/*
 * The moves in their order, each to its end. The first one of memory that fails ends it, since later ones may need the room that it was
 * to make. Where vCPUs cannot move, that guest's memory stays, too, but for what leaves a closed node. Ctrl-C cancels the move that runs and ends it. CLI_OK, CLI_REMAINING: all were tried, and pages remain; CLI_FAILED.
 */
int fleet_run(const struct fleet *fleet, const struct placement_plan *plan, struct fleet_run *run);

#endif
