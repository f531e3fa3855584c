/*
 * The steps of a plan: each changes the state to a better one by moves that have an order, or leaves it as it is. What a step
 * does depends only on the state and the options, never on the steps before it: that is what makes a plan idempotent.
 */
#ifndef PLACEMENT_ROUND_H
#define PLACEMENT_ROUND_H

#include "state.h"

/* Memory that moved. */
struct round_step {
	uint32_t guest;
	uint16_t vnode, from, to;
	uint8_t page;
	bool staging;
	int64_t pages;
};

/* vCPUs that were re-pinned. */
struct round_pin {
	uint32_t guest;
	uint16_t vcpu, from, to;
	bool drain;
};

struct round_log {
	struct round_step *steps;
	size_t step_count, step_room;
	struct round_pin *pins;
	size_t pin_count, pin_room;
};

void round_log_destroy(struct round_log *log);
int round_log_pin(struct round_log *log, const struct round_pin *pin);

/* Memory on closed nodes leaves for free memory. -ENOMEM. */
int round_drain(struct state *state, struct round_log *log, bool *moved);
/*
 * All guests that may move, at once; they exchange memory where that is better for both. *moved: something did. -ENOMEM.
 */
int round_all(struct state *state, struct round_log *log, bool *moved);
/*
 * One guest alone, into free memory; its locality has changed by `so_far` already, which counts for the margin. And all that may
 * move, one after the other. -ENOMEM.
 */
int round_one(struct state *state, size_t guest, int64_t so_far, struct round_log *log,
	      bool *moved);
int round_each(struct state *state, struct round_log *log, bool *moved);

#endif
