/* The slowdown budget: what it lets pass in any second, with time moved by hand; and the permutation behind order random. */
#include "../../migrate/core/permute.h"
#include "../../migrate/core/slowdown.h"

#include <check.h>
#include <stdlib.h>
#include <string.h>

#define US 1000ull
#define MS (1000 * US)
#define S  (1000 * MS)

static uint64_t now;

/* Blocks of one budget until `end`, each of which costs cost_ns when cost(i) says nothing else. Returns how many there were. */
static unsigned int run(struct slowdown *meter, struct slowdown_budget *budget, uint64_t expected,
			uint64_t cost_ns, uint64_t end)
{
	unsigned int blocks = 0;

	while (now < end) {
		uint64_t wait = slowdown_turn(meter, budget, expected, now);

		if (wait) {
			now += wait;
			continue;
		}
		now += 100 * US;
		slowdown_charge(meter, expected, cost_ns, now);
		blocks++;
	}
	return blocks;
}

static void wait_for_turn(struct slowdown *meter, struct slowdown_budget *budget)
{
	uint64_t wait;

	while ((wait = slowdown_turn(meter, budget, 100 * US, now)))
		now += wait;
}

START_TEST(budget_is_used_and_held_in_each_second)
{
	static const uint32_t limits[] = {100, 10000, 50000, 500000};
	struct slowdown meter = {0};
	struct slowdown_budget budget;
	double lost;

	now = 7 * S + 3;
	slowdown_join(&meter, &budget, limits[_i], now);
	run(&meter, &budget, 100 * US, 100 * US, now + 20 * S);
	ck_assert(slowdown_is_met(&budget));
	ck_assert_uint_le(slowdown_worst_ppm(&budget), limits[_i]);
	lost = (double)budget.lost_ns / (20.0 * S) * SLOWDOWN_PPM;
	/* At 100 millionths there is one block a second; one at 500000 takes as long as it costs. */
	ck_assert_double_ge(lost, limits[_i] * 0.88);
	slowdown_leave(&meter, &budget);
	ck_assert_ptr_null(meter.budgets);
}
END_TEST

START_TEST(budget_is_held_also_after_a_long_rest)
{
	struct slowdown meter = {0};
	struct slowdown_budget budget;

	now = 1;
	slowdown_join(&meter, &budget, 50000, now);
	run(&meter, &budget, 100 * US, 100 * US, now + 2 * S);
	now += 100 * S;
	run(&meter, &budget, 100 * US, 100 * US, now + 2 * S);
	ck_assert(slowdown_is_met(&budget));
}
END_TEST

/* 40 ms at once, of a budget of 50 a second: the next block waits until it is paid. */
START_TEST(block_that_is_dearer_than_expected_is_paid_for_afterwards)
{
	struct slowdown meter = {0};
	struct slowdown_budget budget;
	uint64_t begin;

	now = 0;
	slowdown_join(&meter, &budget, 50000, now);
	wait_for_turn(&meter, &budget);
	slowdown_charge(&meter, 100 * US, 40 * MS, now);
	begin = now;
	wait_for_turn(&meter, &budget);
	ck_assert_uint_ge(now - begin, 800 * MS);
	slowdown_charge(&meter, 100 * US, 100 * US, now);
	ck_assert(slowdown_is_met(&budget));
	wait_for_turn(&meter, &budget);
	slowdown_charge(&meter, 100 * US, 51 * MS, now);
	ck_assert(!slowdown_is_met(&budget));
	ck_assert_uint_ge(slowdown_worst_ppm(&budget), 51000);
}
END_TEST

START_TEST(two_jobs_of_a_guest_share_its_budget)
{
	struct slowdown meter = {0};
	struct slowdown_budget budget[2];
	unsigned int blocks[2] = {0};

	now = 0;
	for (int i = 0; i < 2; i++)
		slowdown_join(&meter, &budget[i], 50000, now);
	while (now < 10 * S) {
		uint64_t wait[2];

		for (int i = 0; i < 2; i++) {
			wait[i] = slowdown_turn(&meter, &budget[i], 100 * US, now);
			blocks[i] += !wait[i];
		}
		now += 100 * US;
		for (int i = 0; i < 2; i++)
			if (!wait[i])
				slowdown_charge(&meter, 100 * US, 100 * US, now);
	}
	ck_assert(slowdown_is_met(&budget[0]));
	ck_assert(slowdown_is_met(&budget[1]));
	ck_assert_uint_le(blocks[0] + blocks[1], 5000);
	ck_assert_uint_ge(blocks[0] + blocks[1], 4400);
}
END_TEST

START_TEST(what_a_job_without_a_budget_costs_is_charged_to_the_one_that_has_it)
{
	struct slowdown meter = {0};
	struct slowdown_budget none, budget;

	now = 0;
	slowdown_join(&meter, &none, 0, now);
	ck_assert_uint_eq(run(&meter, &none, 100 * US, 100 * US, S), 10000);
	slowdown_join(&meter, &budget, 50000, now);
	/* What was lost before it began is not its own. */
	ck_assert_uint_eq(budget.lost_ns, 0);
	for (now = S; now < 3 * S; now += 100 * US) {
		slowdown_turn(&meter, &none, 100 * US, now);
		slowdown_charge(&meter, 100 * US, 100 * US, now);
	}
	ck_assert(!slowdown_is_met(&budget));
	ck_assert_uint_ge(slowdown_worst_ppm(&budget), 990000);
	ck_assert_uint_gt(slowdown_turn(&meter, &budget, 100 * US, now), 0);
	ck_assert(slowdown_is_met(&none));
}
END_TEST

START_TEST(budget_smaller_than_one_block_is_waited_for)
{
	struct slowdown meter = {0};
	struct slowdown_budget budget;

	now = 5 * S;
	slowdown_join(&meter, &budget, 1, now); /* 1 us a second */
	ck_assert_uint_eq(slowdown_turn(&meter, &budget, 100 * US, now), SLOWDOWN_WAIT_MAX);
	ck_assert_uint_eq(slowdown_waits_ns(&budget, now + 11 * S), 11 * S);
	/* 107 s, for a block of 100 us. */
	ck_assert_uint_eq(run(&meter, &budget, 100 * US, 100 * US, now + 120 * S), 1);
	ck_assert_uint_lt(slowdown_waits_ns(&budget, now), 20 * S);
	ck_assert(!slowdown_is_met(&budget));
}
END_TEST

START_TEST(share_is_of_the_time_that_is_named)
{
	struct slowdown meter = {0};
	struct slowdown_budget budget;

	now = 0;
	slowdown_join(&meter, &budget, 0, now);
	slowdown_turn(&meter, &budget, MS, now);
	slowdown_charge(&meter, MS, 20 * MS, 100 * MS);
	ck_assert_uint_eq(slowdown_share_ppm(&budget, 100 * MS), 200000);
	ck_assert_uint_eq(slowdown_share_ppm(&budget, 10 * MS), SLOWDOWN_PPM);
	ck_assert_uint_eq(slowdown_worst_ppm(&budget), 20000);
	ck_assert_uint_eq(meter.reserved_ns, 0);
}
END_TEST

/* ---- Order --------------------------------------------------------------------------------------- */

START_TEST(wait_is_for_what_is_not_saved_up_yet)
{
	static struct slowdown meter;
	struct slowdown_budget budget;

	slowdown_join(&meter, &budget, 1000000, 1000);
	ck_assert_uint_eq(slowdown_waits_ns(&budget, 5000), 0);
	/* Fifteen sixteenths of the time are earned. */
	ck_assert_uint_eq(slowdown_turn(&meter, &budget, 100 * US, 1000), 106667);
	ck_assert_uint_eq(slowdown_waits_ns(&budget, 999), 0);
	ck_assert_uint_eq(slowdown_waits_ns(&budget, 1000), 0);
	ck_assert_uint_eq(slowdown_waits_ns(&budget, 1001), 1);
	ck_assert_uint_eq(slowdown_turn(&meter, &budget, 100 * US, 1000 + 32000), 74667);
	ck_assert_uint_eq(slowdown_waits_ns(&budget, 50000), 49000);
	ck_assert_uint_eq(meter.reserved_ns, 0);
	ck_assert_uint_eq(slowdown_turn(&meter, &budget, 100 * US, 1000 + 106667), 0);
	ck_assert_uint_eq(slowdown_waits_ns(&budget, S), 0);
	ck_assert_uint_eq(meter.reserved_ns, 100 * US);
	/* What is reserved has to be saved up, too. */
	ck_assert_uint_eq(slowdown_turn(&meter, &budget, 100 * US, 1000 + 106667), 106667);
	slowdown_charge(&meter, 100 * US, 30 * US, 1000 + 106667);
	ck_assert_uint_eq(meter.reserved_ns, 0);
	ck_assert_uint_eq(meter.lost_ns, 30 * US);
	ck_assert_uint_eq(budget.lost_ns, 30 * US);
	ck_assert_uint_eq(budget.worst_ns, 30 * US);
	slowdown_leave(&meter, &budget);
	ck_assert_ptr_null(meter.budgets);
	ck_assert_uint_eq(slowdown_waits_ns(&budget, 2 * S), 0);
}
END_TEST

START_TEST(wait_is_a_second_at_most)
{
	static struct slowdown meter;
	struct slowdown_budget budget;

	slowdown_join(&meter, &budget, 1, 0);
	ck_assert_uint_eq(slowdown_turn(&meter, &budget, 100 * US, 0), SLOWDOWN_WAIT_MAX);
	slowdown_leave(&meter, &budget);
	/* Without a limit nobody waits. */
	slowdown_join(&meter, &budget, 0, 0);
	ck_assert_uint_eq(slowdown_turn(&meter, &budget, 100 * S, 0), 0);
	ck_assert_uint_eq(meter.reserved_ns, 100 * S);
	ck_assert(slowdown_is_met(&budget));
}
END_TEST

START_TEST(budgets_leave_in_any_order)
{
	static struct slowdown meter;
	struct slowdown_budget budget[3];

	for (unsigned int i = 0; i < 3; i++)
		slowdown_join(&meter, &budget[i], 1000, 0);
	slowdown_leave(&meter, &budget[1]);
	slowdown_charge(&meter, 0, 5 * US, 10);
	ck_assert_uint_eq(budget[0].lost_ns, 5 * US);
	ck_assert_uint_eq(budget[1].lost_ns, 0);
	ck_assert_uint_eq(budget[2].lost_ns, 5 * US);
	slowdown_leave(&meter, &budget[1]);
	slowdown_leave(&meter, &budget[2]);
	slowdown_charge(&meter, 0, 1 * US, 20);
	ck_assert_uint_eq(budget[0].lost_ns, 6 * US);
	ck_assert_uint_eq(budget[2].lost_ns, 5 * US);
	slowdown_leave(&meter, &budget[0]);
	ck_assert_ptr_null(meter.budgets);
	/* What was lost before it began is not its own. */
	slowdown_join(&meter, &budget[0], 1000, 30);
	slowdown_charge(&meter, 0, 2 * US, 40);
	ck_assert_uint_eq(budget[0].lost_ns, 2 * US);
	ck_assert_uint_eq(budget[0].worst_ns, 2 * US);
}
END_TEST

START_TEST(permutation_has_each_number_once)
{
	static bool seen[70000];
	static const uint64_t counts[] = {1, 2, 3, 4, 5, 17, 511, 512, 513, 4096, 65537};
	uint64_t count = counts[_i], wrong = 0;
	struct permute permute;

	for (uint64_t seed = 1; seed < 4; seed++) {
		memset(seen, 0, sizeof(seen));
		permute_init(&permute, count, seed);
		for (uint64_t i = 0; i < count; i++) {
			uint64_t to = permute_at(&permute, i);

			wrong += to >= count || seen[to];
			seen[to < count ? to : 0] = true;
		}
	}
	ck_assert_uint_eq(wrong, 0);
}
END_TEST

/* Neighbours stay neighbours no more often than by chance, and another seed is another order. */
START_TEST(permutation_spreads)
{
	struct permute one, other;
	unsigned int near = 0, same = 0;

	permute_init(&one, 6ull << 20, 1); /* blocks of 12 TiB */
	permute_init(&other, 6ull << 20, 2);
	for (uint64_t i = 0; i < 10000; i++) {
		int64_t step = (int64_t)(permute_at(&one, i + 1) - permute_at(&one, i));

		near += step > -1000 && step < 1000;
		same += permute_at(&one, i) == permute_at(&other, i);
	}
	ck_assert_uint_lt(near, 30);
	ck_assert_uint_lt(same, 5);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("slowdown");
	TCase *tcase = tcase_create("budget"), *order = tcase_create("order");
	SRunner *runner;
	int failed;

	tcase_add_loop_test(tcase, budget_is_used_and_held_in_each_second, 0, 4);
	tcase_add_test(tcase, budget_is_held_also_after_a_long_rest);
	tcase_add_test(tcase, block_that_is_dearer_than_expected_is_paid_for_afterwards);
	tcase_add_test(tcase, two_jobs_of_a_guest_share_its_budget);
	tcase_add_test(tcase, what_a_job_without_a_budget_costs_is_charged_to_the_one_that_has_it);
	tcase_add_test(tcase, budget_smaller_than_one_block_is_waited_for);
	tcase_add_test(tcase, share_is_of_the_time_that_is_named);
	tcase_add_test(tcase, wait_is_for_what_is_not_saved_up_yet);
	tcase_add_test(tcase, wait_is_a_second_at_most);
	tcase_add_test(tcase, budgets_leave_in_any_order);
	tcase_add_loop_test(order, permutation_has_each_number_once, 0, 11);
	tcase_add_test(order, permutation_spreads);
	suite_add_tcase(suite, tcase);
	suite_add_tcase(suite, order);
	runner = srunner_create(suite);
	srunner_run_all(runner, CK_ENV);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
