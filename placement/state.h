/*
 * Inside of a plan: the host and its guests as they would be after the moves planned so far. Nodes are numbered by their place
 * in the caller's list; memory is counted in pages of 4 KiB, of which a 2M page is 512; shares and locality are in millionths.
 * One thread.
 */
#ifndef PLACEMENT_STATE_H
#define PLACEMENT_STATE_H

#include "placement.h"

#define STATE_PPM     1000000
#define STATE_NO_HOME 0xffffu

/* Memory of one part on one node. */
struct lot {
	uint32_t part; /* place in state.parts */
	uint16_t node;
	uint8_t page;
	bool locked;
	int64_t pages;
};

/* A vnode's memory, or a whole guest's; of a guest that is spread, what belongs on one node. */
struct part {
	uint32_t guest;
	uint16_t vnode;
	uint16_t home; /* of a guest that is spread; else STATE_NO_HOME */
	int64_t *time; /* [n]: of its vCPUs */
	int32_t *near; /* [n]: L of the score */
	bool *may;     /* [n]: memory may be put there */
	bool scored;   /* false: it has no vCPU time */
};

/* Why a guest does not move, or not further. */
enum stay {
	STAY_NOT, /* it may move */
	STAY_UNMANAGED,
	STAY_GOAL,
	STAY_NO_TIME,
	STAY_THRESHOLD,
	STAY_HOLD,
	STAY_FREEZE,
	STAY_MARGIN, /* the solution gave it less than the margin, */
	STAY_LOSS,   /* or took too much, */
	STAY_ORDER,  /* or its moves found no order */
	STAY_PROTECTED,
};

struct state_guest {
	const struct placement_guest *given;
	enum placement_goal goal; /* after options.told */
	uint32_t part_first, part_count;
	struct lot *lots;
	size_t lot_count, lot_room;
	int64_t pages;
	uint16_t *vcpu_node; /* [vcpus]: re-pinned there by this plan; else STATE_NO_HOME */
	enum stay stay;	     /* before anything is solved */
	enum stay verdict;   /* what came of it in the last round */
};

struct state {
	const struct placement_host *host;
	struct placement_options options;
	unsigned int n;
	uint16_t rank[GMIG_MAX_NODES]; /* of a node's id; STATE_NO_HOME: none */
	uint16_t *nearest;	       /* [from * n + i]: the i-th nearest node */
	int32_t *w;		       /* [from * n + to] */
	int64_t
	    *room[PLACEMENT_PAGES]; /* [n]: may be negative, where less than the reserve is free */
	bool *closed;
	int64_t *cpu_free; /* [n]: milli of open CPUs that nobody uses; may be negative */
	uint32_t *cpus;	   /* [n]: open CPUs */
	struct state_guest *guests;
	size_t count;
	struct part *parts;
	size_t part_count, part_room;
	int64_t *sum; /* [n]: for whoever adds something up */
	void *blocks; /* what state_alloc() gave */
};

/* options are copied; host and guests must outlive the state. -EINVAL with words, -ENOMEM. */
int state_create(const struct placement_host *host, const struct placement_guest *guests,
		 size_t count, const struct placement_options *options, struct state **out,
		 struct gmig_error *err);
void state_destroy(struct state *state);
/* Zeroed memory that lives as long as the state; NULL: there is none. */
void *state_alloc(struct state *state, size_t count, size_t bytes);
void state_free_blocks(struct state *state); /* state_destroy()'s */

static inline unsigned int state_distance(const struct state *state, unsigned int from,
					  unsigned int to)
{
	return state->host->distance[(size_t)from * state->n + to];
}

/* Where this time of a vCPU is spent now: by rank. */
static inline unsigned int state_vcpu_ran(const struct state *state,
					  const struct state_guest *guest,
					  const struct placement_time *time)
{
	unsigned int node = guest->vcpu_node[time->vcpu];

	return node == STATE_NO_HOME ? state->rank[time->node] : node;
}

/* Each vCPU is now on nodes[vcpu], or, STATE_NO_HOME, where it ran. */
void state_put_vcpus(struct state *state, size_t guest, const uint16_t *nodes);
/* Time and locality of a guest's parts anew. */
void state_weigh(struct state *state, size_t guest);

/* Take pages of lot `place` of guest `index` to a node, rooms and all. -ENOMEM: nothing has changed. */
int state_move(struct state *state, size_t index, size_t place, int64_t pages, unsigned int to);
/* Join lots that are alike; of guests that are spread, decide anew which bytes belong on which node. -ENOMEM. */
int state_tidy(struct state *state);
int state_tidy_one(struct state *state, size_t guest);

/* Millionths of a point-hundredth: the sum over pages of locality, and the pages that count. */
int64_t state_locality(const struct state *state, size_t guest, int64_t *pages);
/* Hundredths of a point, or PLACEMENT_NO_SCORE. */
int state_score(const struct state *state, size_t guest);
int state_host_score(const struct state *state);

/* 4K pages in one page of that kind. */
int64_t state_unit(enum placement_page page);

#endif
