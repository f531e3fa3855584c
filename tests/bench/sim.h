/*
 * Hosts over simulated time under a policy of placement: guests start, stop, grow, are re-pinned and change their load, the same
 * way under each policy. Steps are five minutes. One thread.
 */
#ifndef BENCH_SIM_H
#define BENCH_SIM_H

#include "fleet.h"

#define SIM_STEP_SECONDS 300

/* What policies remember of a guest; in the order of the fleet's guests. */
struct sim_guest {
	uint64_t id;
	struct gmig_node_set bound; /* by ranks; empty: not bound */
	uint64_t bound_at_seconds;
	/* The last move, until it is known whether it paid. */
	bool pending;
	uint64_t moved_step;
	double remote_before;
};

struct sim {
	struct fleet fleet;
	struct sim_guest *of; /* [fleet.room] */
	size_t of_room;
	struct placement_history *history;
	uint64_t step;
	double moved_gib; /* in this step */
	bool again;	  /* a second run: rules that forbid to act so soon do not count */
};

struct sim_policy {
	const char *name, *what;
	bool anywhere; /* memory comes to be on any node, not where it is touched */
	int (*run)(struct sim *sim);
};

extern const struct sim_policy sim_policies[];
extern const size_t sim_policy_count;

struct sim_result {
	double remote;	  /* mean share of bytes times time that lay elsewhere than the vCPUs ran */
	double moved_gib; /* of a host, over all steps */
	double moves;	  /* guests moved */
	double unpaid;	  /* of them, those that were no better off ten minutes later */
	double second_gib; /* by a second run at once, at the end */
};

/*
 * One host under one policy, from a seed; like: a fleet to begin with instead of a random one, or NULL. -ENOMEM, or what the
 * planner says.
 */
int sim_run(const struct sim_policy *policy, const struct fleet_shape *shape,
	    const struct fleet *like, uint64_t seed, unsigned int steps, struct sim_result *result,
	    struct gmig_error *err);

/* ---- For policies ---------------------------------------------------------------------------- */

/* The share of a guest's bytes that its vCPUs reach over another node; of the whole fleet: SIZE_MAX. */
double sim_remote(const struct sim *sim, size_t guest);
uint64_t sim_bytes(const struct sim *sim, size_t guest,
		   unsigned int rank); /* rank node_count: everywhere */
uint64_t sim_free(const struct sim *sim, unsigned int rank, enum placement_page page);
double sim_cpus(const struct sim *sim, unsigned int rank);  /* CPUs of a node */
double sim_load(const struct sim *sim, unsigned int rank);  /* of them in use */
double sim_guest_load(const struct sim *sim, size_t guest); /* CPUs in use */
/* The node where a guest's vCPUs spend most of their time. */
unsigned int sim_home(const struct sim *sim, size_t guest);
/* All memory of a guest outside of these nodes goes there as far as there is room, to the first ones first. -ENOMEM. */
int sim_gather(struct sim *sim, size_t guest, const uint16_t *ranks, size_t count);
/* Its vCPUs run on these nodes from now on, in turn. */
void sim_pin(struct sim *sim, size_t guest, const uint16_t *ranks, size_t count);

/* Memory of a guest has moved; `remote` is its share of remote memory before. */
void sim_note_move(struct sim *sim, size_t guest, double remote, uint64_t bytes);

int sim_numad(struct sim *sim);
int sim_esxi(struct sim *sim);
int sim_dpo(struct sim *sim);

#endif
