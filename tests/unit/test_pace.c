/* The stall budget, against machines that make waits as long as they make them. */
#include "../../migrate/jobs/pace.h"

#include <check.h>
#include <stdlib.h>

#define US 1000ull
#define MS (1000 * US)

/* Waits of small pages: some time for all, and some for each page that is out of reach with it. */
static uint64_t wait_of(const struct pace *pace, uint64_t once_ns, uint64_t a_page_ns)
{
	return once_ns + a_page_ns * pace_run_pages(pace);
}

/* Of `waits`, how many were too long. stop: each so many waits, the machine stops for 10 ms, unless the job has rested. */
static unsigned int run(struct pace *pace, uint64_t a_page_ns, unsigned int waits,
			unsigned int stop)
{
	unsigned int late = 0;

	for (unsigned int i = 0; i < waits; i++) {
		struct pace_sample sample = {wait_of(pace, 20 * US, a_page_ns), 1};

		if (stop && i % stop == 0 && pace_rest_ns(pace) < 200 * US)
			sample.longest_ns += 10 * MS;
		late += sample.longest_ns > pace->limit_ns;
		pace_note(pace, &sample);
	}
	return late;
}

START_TEST(no_budget_limits_nothing)
{
	const struct pace_sample sample = {10 * MS, 5};
	struct pace pace;

	pace_init(&pace, 0);
	pace_note(&pace, &sample);
	ck_assert_uint_eq(pace_run_pages(&pace), 0);
	ck_assert_uint_eq(pace_rest_ns(&pace), 0);
}
END_TEST

START_TEST(run_begins_within_half_the_budget_at_a_microsecond_a_page)
{
	static const uint64_t limits[] = {1, 1999, 4 * US, 500 * US, 5 * MS, INT64_MAX};
	static const unsigned int pages[] = {1, 1, 2, 250, 512, 512};
	struct pace pace;

	pace_init(&pace, limits[_i]);
	ck_assert_uint_eq(pace_run_pages(&pace), pages[_i]);
}
END_TEST

/* From 0.1 us a page, where all of a block is within the budget, to 20 us, where 20 pages are. */
START_TEST(run_is_as_long_as_the_machine_allows)
{
	static const uint64_t a_page[] = {100, 800, 3 * US, 20 * US};
	static const unsigned int fit[] = {512, 512, 160, 24};
	struct pace pace;

	pace_init(&pace, 500 * US);
	run(&pace, a_page[_i], 5000, 0);
	ck_assert_uint_le(run(&pace, a_page[_i], 10000, 0), 100);
	ck_assert_uint_le(pace_run_pages(&pace), fit[_i]);
	ck_assert_uint_ge(pace_run_pages(&pace), fit[_i] / 2);
}
END_TEST

START_TEST(one_wait_in_a_thousand_that_is_too_long_changes_nothing)
{
	struct pace pace;

	pace_init(&pace, 5 * MS);
	ck_assert_uint_eq(run(&pace, 1 * US, 10000, 1000), 10);
	ck_assert_uint_eq(pace_run_pages(&pace), 512);
	ck_assert_uint_eq(pace_rest_ns(&pace), 0);
}
END_TEST

START_TEST(machine_that_stops_who_never_rests_makes_it_rest)
{
	struct pace pace;

	pace_init(&pace, 5 * MS);
	ck_assert_uint_le(run(&pace, 1 * US, 10000, 10), 100);
}
END_TEST

START_TEST(rest_ends_when_the_machine_is_quiet_again)
{
	struct pace pace;

	pace_init(&pace, 5 * MS);
	for (unsigned int i = 0; i < 1000; i++)
		pace_note(&pace, &(struct pace_sample){10 * MS, 1});
	ck_assert_uint_eq(pace_run_pages(&pace), 1);
	ck_assert_uint_eq(pace_rest_ns(&pace), 2 * MS);
	ck_assert_uint_eq(run(&pace, 1 * US, 10000, 0), 0);
	ck_assert_uint_eq(pace_run_pages(&pace), 512);
	ck_assert_uint_eq(pace_rest_ns(&pace), 0);
}
END_TEST

START_TEST(block_that_nobody_waited_for_says_nothing)
{
	const struct pace_sample nobody = {UINT64_MAX, 0};
	struct pace pace;

	pace_init(&pace, 500 * US);
	for (unsigned int i = 0; i < 1000; i++)
		pace_note(&pace, &nobody);
	ck_assert_uint_eq(pace_run_pages(&pace), 250);
	ck_assert_uint_eq(pace_rest_ns(&pace), 0);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("pace");
	TCase *tcase = tcase_create("pace");
	SRunner *runner = srunner_create(suite);
	int failed;

	tcase_add_test(tcase, no_budget_limits_nothing);
	tcase_add_loop_test(tcase, run_begins_within_half_the_budget_at_a_microsecond_a_page, 0, 6);
	tcase_add_loop_test(tcase, run_is_as_long_as_the_machine_allows, 0, 4);
	tcase_add_test(tcase, one_wait_in_a_thousand_that_is_too_long_changes_nothing);
	tcase_add_test(tcase, machine_that_stops_who_never_rests_makes_it_rest);
	tcase_add_test(tcase, rest_ends_when_the_machine_is_quiet_again);
	tcase_add_test(tcase, block_that_nobody_waited_for_says_nothing);
	suite_add_tcase(suite, tcase);
	srunner_run_all(runner, CK_ENV);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
