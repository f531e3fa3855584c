/*
 * What a plan guarantees (placement.h, G1 to G6), on hosts of 1 to 16 nodes as they never were: holes in the ids, distances that
 * differ by direction or say that there is no way, nodes without memory or CPUs, promised CPUs, huge pages, locked memory.
 * Each move is carried out on a model of its own, which knows what may be.
 */
#include "../bench/fleet.h"
#include "suite.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#ifdef GMIG_INSTRUMENTED
#define CASES 300
#else
#define CASES 2000
#endif
#define PLAIN_CASES 500

struct outcome {
	int *before, *after; /* of each guest */
	int host_before, host_after;
	size_t moves;
};

static void outcome_free(struct outcome *outcome)
{
	free(outcome->before);
	free(outcome->after);
}

static void plan(const struct fleet *fleet, const struct placement_options *options,
		 struct placement_plan **out)
{
	struct gmig_error err = {0};

	ck_assert_msg(
	    !placement_plan(&fleet->host, fleet->guests, fleet->count, options, out, &err), "%s",
	    err.text);
}

static void score(const struct fleet *fleet, int **scores, int *host)
{
	struct gmig_error err = {0};

	*scores = calloc(fleet->count + 1, sizeof(**scores));
	ck_assert(*scores);
	ck_assert_msg(
	    !placement_score(&fleet->host, fleet->guests, fleet->count, *scores, host, &err), "%s",
	    err.text);
}

/* Carry a plan out, judging each move. */
static void carry_out(struct fleet *fleet, const struct placement_plan *made, uint64_t seed)
{
	for (size_t i = 0; i < made->move_count; i++) {
		char why[128];

		ck_assert_msg(made->moves[i].reason[0], "seed %llu: move %zu has no reason",
			      (unsigned long long)seed, i);
		ck_assert_msg(fleet_move(fleet, &made->moves[i], why),
			      "seed %llu: move %zu of %zu: %s", (unsigned long long)seed, i,
			      made->move_count, why);
	}
}

static struct outcome run(struct fleet *fleet, const struct placement_options *options,
			  uint64_t seed)
{
	struct placement_plan *first, *second;
	struct outcome outcome;

	score(fleet, &outcome.before, &outcome.host_before);
	plan(fleet, options, &first);
	carry_out(fleet, first, seed);
	score(fleet, &outcome.after, &outcome.host_after);
	outcome.moves = first->move_count;
	plan(fleet, options, &second);
	ck_assert_msg(!second->move_count,
		      "seed %llu: the second run has %zu moves, the first had %zu: %s",
		      (unsigned long long)seed, second->move_count, first->move_count,
		      second->moves[0].reason);
	placement_plan_destroy(first);
	placement_plan_destroy(second);
	return outcome;
}

static void random_options(struct fleet_random *random, struct placement_options *options)
{
	placement_options_init(options);
	options->threshold = (unsigned int)fleet_between(random, 50, 100);
	options->margin = (unsigned int)fleet_between(random, 0, 20);
	options->move_cost = (unsigned int)fleet_between(random, 0, 20);
	options->min_gain = fleet_chance(random, 30) ? 3 : 0;
	options->told = fleet_chance(random, 50);
}

static void check_scores(const struct fleet *fleet, const struct outcome *outcome, uint64_t seed)
{
	ck_assert_msg(outcome->host_after >= outcome->host_before,
		      "seed %llu: the host falls from %d to %d", (unsigned long long)seed,
		      outcome->host_before, outcome->host_after);
	for (size_t g = 0; g < fleet->count; g++)
		ck_assert_msg(outcome->after[g] >= outcome->before[g],
			      "seed %llu: guest %zu (%s) falls from %d to %d",
			      (unsigned long long)seed, g,
			      placement_goal_name(fleet->guests[g].goal), outcome->before[g],
			      outcome->after[g]);
}

START_TEST(plan_of_any_host_keeps_its_guarantees)
{
	size_t moves = 0, planned = 0;

	for (uint64_t seed = 1; seed <= CASES; seed++) {
		struct fleet_random random = {seed * 77};
		struct placement_options options;
		struct outcome outcome;
		struct fleet fleet;

		random_options(&random, &options);
		ck_assert(!fleet_create(&fleet, &fleet_odd, seed));
		outcome = run(&fleet, &options, seed);
		check_scores(&fleet, &outcome, seed);
		moves += outcome.moves;
		planned += outcome.moves > 0;
		outcome_free(&outcome);
		fleet_destroy(&fleet);
	}
	printf("%d hosts: plans for %zu of them, %zu moves\n", CASES, planned, moves);
	ck_assert_uint_gt(planned, CASES / 4);
}
END_TEST

static uint64_t bytes_on(const struct placement_guest *guest, unsigned int id)
{
	uint64_t bytes = 0;

	for (size_t i = 0; i < guest->ram_count; i++)
		bytes += guest->ram[i].node == id ? guest->ram[i].bytes : 0;
	return bytes;
}

static uint64_t left_on(const struct placement_plan *made, size_t guest)
{
	uint64_t bytes = 0;

	for (size_t i = 0; i < made->left_count; i++) {
		bytes += made->left[i].guest == guest ? made->left[i].bytes : 0;
		ck_assert(made->left[i].reason[0]);
	}
	return bytes;
}

START_TEST(drain_of_any_node_leaves_only_what_it_names)
{
	size_t emptied = 0, left = 0;

	for (uint64_t seed = 1; seed <= CASES; seed++) {
		struct placement_options options;
		struct placement_plan *first, *second;
		struct fleet fleet;
		unsigned int rank;

		ck_assert(!fleet_create(&fleet, &fleet_odd, seed));
		placement_options_init(&options);
		rank = (unsigned int)(seed % fleet.host.node_count);
		options.drain_only = seed % 2;
		fleet.nodes[rank].closed = true;
		plan(&fleet, &options, &first);
		carry_out(&fleet, first, seed);
		for (size_t g = 0; g < fleet.count; g++)
			ck_assert_msg(
			    bytes_on(&fleet.guests[g], fleet.nodes[rank].id) == left_on(first, g),
			    "seed %llu: guest %zu has %llu on the node, %llu are named",
			    (unsigned long long)seed, g,
			    (unsigned long long)bytes_on(&fleet.guests[g], fleet.nodes[rank].id),
			    (unsigned long long)left_on(first, g));
		emptied += !first->left_count;
		left += first->left_count;
		plan(&fleet, &options, &second);
		ck_assert_msg(!second->move_count, "seed %llu: the second run moves: %s",
			      (unsigned long long)seed, second->moves[0].reason);
		placement_plan_destroy(first);
		placement_plan_destroy(second);
		fleet_destroy(&fleet);
	}
	printf("%d drains: %zu nodes empty, %zu left with a reason\n", CASES, emptied, left);
	ck_assert_uint_gt(emptied, CASES / 20);
	ck_assert_uint_gt(left, 0);
}
END_TEST

START_TEST(plan_with_losses_allowed_costs_no_guest_more)
{
	for (uint64_t seed = 1; seed <= CASES / 4; seed++) {
		struct placement_options options;
		struct outcome outcome;
		struct fleet fleet;

		placement_options_init(&options);
		options.max_loss = 10;
		ck_assert(!fleet_create(&fleet, &fleet_odd, seed));
		outcome = run(&fleet, &options, seed);
		ck_assert_int_ge(outcome.host_after, outcome.host_before);
		/* In each round of a plan, of which some have two. */
		for (size_t g = 0; g < fleet.count; g++) {
			ck_assert_int_ge(outcome.after[g], outcome.before[g] - 2010);
			if (fleet.guests[g].protect || !fleet.guests[g].managed)
				ck_assert_int_ge(outcome.after[g], outcome.before[g]);
		}
		outcome_free(&outcome);
		fleet_destroy(&fleet);
	}
}
END_TEST

static uint64_t ram_at(const struct placement_guest *guest, const struct placement_ram *like)
{
	for (size_t i = 0; i < guest->ram_count; i++)
		if (guest->ram[i].node == like->node && guest->ram[i].vnode == like->vnode &&
		    guest->ram[i].page == like->page)
			return guest->ram[i].bytes;
	return 0;
}

/* Bytes that are on other nodes than before. */
static double bytes_apart(const struct fleet *before, const struct fleet *after)
{
	double bytes = 0;

	for (size_t g = 0; g < after->count; g++)
		for (size_t i = 0; i < after->guests[g].ram_count; i++) {
			const struct placement_ram *ram = &after->guests[g].ram[i];
			uint64_t was = ram_at(&before->guests[g], ram);

			bytes += ram->bytes > was ? (double)(ram->bytes - was) : 0;
		}
	return bytes;
}

START_TEST(plan_moves_hardly_more_than_it_must)
{
	struct fleet_shape shape = fleet_plain;
	double moved = 0, must = 0;

	shape.goals = true;
	for (uint64_t seed = 1; seed <= PLAIN_CASES; seed++) {
		struct fleet before, after;
		struct placement_plan *made;

		ck_assert(!fleet_create(&before, &shape, seed));
		ck_assert(!fleet_create(&after, &shape, seed));
		plan(&after, NULL, &made);
		carry_out(&after, made, seed);
		moved += (double)made->moved_bytes;
		must += bytes_apart(&before, &after);
		placement_plan_destroy(made);
		fleet_destroy(&before);
		fleet_destroy(&after);
	}
	printf("moved %.4f of what is elsewhere afterwards\n", moved / must);
	ck_assert_double_le(moved, 1.012 * must);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("planner_properties");
	TCase *tcase = tcase_create("planner_properties");

	tcase_set_timeout(tcase, 110);
	tcase_add_test(tcase, plan_of_any_host_keeps_its_guarantees);
	tcase_add_test(tcase, drain_of_any_node_leaves_only_what_it_names);
	tcase_add_test(tcase, plan_with_losses_allowed_costs_no_guest_more);
	tcase_add_test(tcase, plan_moves_hardly_more_than_it_must);
	suite_add_tcase(suite, tcase);
	return run_suite(suite);
}
