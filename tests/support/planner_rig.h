/* Hosts made by hand for tests of the planner, and what a plan for them looks like. */
#ifndef TEST_PLANNER_RIG_H
#define TEST_PLANNER_RIG_H

#include "../bench/fleet.h"

#include <check.h>

#define GIB (1ull << 30)

static struct fleet fleet;
static struct placement_options options;
static struct placement_plan *made;
static struct gmig_error err;

/* Nodes with so much memory each and 8 CPUs, at distances 10 and 20. */
static inline void host(size_t nodes, uint64_t gib)
{
	ck_assert(!fleet_init(&fleet, nodes));
	for (size_t k = 0; k < nodes; k++) {
		fleet.nodes[k].total_bytes = gib * GIB;
		fleet.nodes[k].free_bytes[PLACEMENT_4K] = gib * GIB;
		fleet.cpus[k].word[k / 8] = 0xffull << k % 8 * 8;
	}
	placement_options_init(&options);
}

/* A guest of 2 vCPUs that ran on one node, with memory on another. */
static inline struct placement_guest *guest(const char *name, unsigned int cpus,
					    unsigned int memory, uint64_t gib)
{
	size_t index = fleet.count;

	ck_assert(fleet_add(&fleet, name, 2));
	ck_assert(
	    !fleet_add_ram(&fleet, index, memory, PLACEMENT_NO_VNODE, PLACEMENT_4K, gib * GIB, 0));
	for (unsigned int v = 0; v < 2; v++)
		ck_assert(!fleet_add_time(&fleet, index, v, cpus, 500));
	return &fleet.guests[index];
}

static inline void plan(void)
{
	placement_plan_destroy(made);
	made = NULL;
	ck_assert_msg(
	    !placement_plan(&fleet.host, fleet.guests, fleet.count, &options, &made, &err), "%s",
	    err.text);
}

static inline void carry_out(void)
{
	for (size_t i = 0; i < made->move_count; i++) {
		char why[128];

		ck_assert_msg(fleet_move(&fleet, &made->moves[i], why), "move %zu: %s", i, why);
	}
}

static inline int score_of(size_t index)
{
	int scores[64], whole;

	ck_assert(!placement_score(&fleet.host, fleet.guests, fleet.count, scores, &whole, &err));
	return scores[index];
}

static inline void stop(void)
{
	placement_plan_destroy(made);
	made = NULL;
	fleet_destroy(&fleet);
}

static inline void ck_move(size_t index, size_t guest_index, unsigned int from, unsigned int to,
			   uint64_t gib)
{
	const struct placement_move *move = &made->moves[index];

	ck_assert_uint_lt(index, made->move_count);
	ck_assert_int_eq(move->kind, PLACEMENT_MEMORY);
	ck_assert_uint_eq(move->guest, guest_index);
	ck_assert_uint_eq(move->from, from);
	ck_assert_uint_eq(move->to, to);
	ck_assert_uint_eq(move->bytes, gib * GIB);
}

#endif
