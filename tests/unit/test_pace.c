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

static void note(struct pace *pace, uint64_t longest_ns, unsigned int waits, unsigned int times)
{
	for (unsigned int i = 0; i < times; i++)
		pace_note(pace, &(struct pace_sample){longest_ns, waits});
}

#define LIMIT (5 * MS)
#define LATE  (LIMIT + 1)
#define CLOSE 88 /* waits in time between two late ones, which are one in 141 then */

/* From a block that goes whole down to single pages. */
static void cut(struct pace *pace, unsigned int times)
{
	pace_init(pace, LIMIT);
	note(pace, LATE, 1, 2);
	note(pace, LATE, 1, 16 * (times - 1));
}

START_TEST(run_is_cut_by_a_quarter_with_sixteen_waits_between_two_cuts)
{
	static const unsigned int length[] = {384, 288, 216, 162, 121, 90, 67, 50, 37, 27, 20,
					      15,  11,	8,   6,	  4,   3,  2,  1,  1,  1};
	static const unsigned int rest_us[] = {50, 100, 200, 400, 800, 1600, 2000};
	struct pace pace;

	pace_init(&pace, LIMIT);
	note(&pace, LATE, 1, 1);
	ck_assert_uint_eq(pace_run_pages(&pace), 512);
	ck_assert_uint_eq(pace_rest_ns(&pace), 0);
	note(&pace, LATE, 1, 1);
	for (unsigned int i = 0; i < 21; i++) {
		ck_assert_uint_eq(pace_run_pages(&pace), length[i]);
		ck_assert_uint_eq(pace_rest_ns(&pace), rest_us[i < 6 ? i : 6] * US);
		/* Also when one block has several of them. */
		note(&pace, LATE, i % 2 ? 5 : 1, i % 2 ? 3 : 15);
		ck_assert_uint_eq(pace_run_pages(&pace), length[i]);
		note(&pace, LATE, 1, 1);
	}
}
END_TEST

/* A wait of just the limit is in time. */
START_TEST(run_grows_by_an_eighth_after_128_waits_in_time)
{
	const unsigned int many = _i ? 128 : 1;
	struct pace pace;

	pace_init(&pace, 500 * US);
	note(&pace, 500 * US, 1, 127);
	ck_assert_uint_eq(pace_run_pages(&pace), 250);
	note(&pace, 500 * US, many, 1);
	ck_assert_uint_eq(pace_run_pages(&pace), 250 + 31 + 1);
	note(&pace, 500 * US, 127, 1);
	ck_assert_uint_eq(pace_run_pages(&pace), 282);
	/* One that is late has them counted anew. */
	note(&pace, 500 * US + 1, 1, 1);
	note(&pace, 500 * US, 1, 127);
	ck_assert_uint_eq(pace_run_pages(&pace), 282);
	note(&pace, 500 * US, many, 1);
	ck_assert_uint_eq(pace_run_pages(&pace), 282 + 35 + 1);
	pace_init(&pace, 1); /* from a single page */
	note(&pace, 0, 128, 1);
	ck_assert_uint_eq(pace_run_pages(&pace), 2);
}
END_TEST

START_TEST(run_that_was_cut_grows_slowly_until_it_has_grown_four_times)
{
	static const unsigned int length[] = {325, 366, 412, 464};
	struct pace pace;

	cut(&pace, 2);
	ck_assert_uint_eq(pace_run_pages(&pace), 288);
	for (unsigned int i = 0; i < 4; i++) {
		note(&pace, LIMIT, 1, 511);
		ck_assert_uint_eq(pace_run_pages(&pace), i ? length[i - 1] : 288);
		ck_assert_uint_eq(pace_rest_ns(&pace), i ? i == 1 ? 50 * US : 0 : 100 * US);
		note(&pace, LIMIT, 1, 1);
		ck_assert_uint_eq(pace_run_pages(&pace), length[i]);
	}
	note(&pace, LIMIT, 1, 127);
	ck_assert_uint_eq(pace_run_pages(&pace), 464);
	note(&pace, LIMIT, 1, 1);
	ck_assert_uint_eq(pace_run_pages(&pace), 512);
	ck_assert_uint_eq(pace_rest_ns(&pace), 0);
	/* More cuts do not make it wait longer than for 1024. */
	cut(&pace, 3 + (unsigned int)_i);
	note(&pace, LIMIT, 1023, 1);
	ck_assert_uint_eq(pace_run_pages(&pace), _i ? 162 : 216);
	note(&pace, LIMIT, 1, 1);
	ck_assert_uint_eq(pace_run_pages(&pace), _i ? 162 + 20 + 1 : 216 + 27 + 1);
	ck_assert_uint_eq(pace_rest_ns(&pace), _i ? 200 * US : 100 * US);
}
END_TEST

/* A cut among them, and the four begin again. */
START_TEST(four_times_in_a_row_are_without_a_cut_between_them)
{
	struct pace pace;

	cut(&pace, 1);
	note(&pace, LIMIT, 256, 3);
	ck_assert_uint_eq(pace_run_pages(&pace), 384 + 49 + 55 + 24);
	note(&pace, LATE, 1, 2);
	ck_assert_uint_eq(pace_run_pages(&pace), 384);
	for (unsigned int i = 0; i < 4; i++) {
		unsigned int before = pace_run_pages(&pace);

		note(&pace, LIMIT, 511, 1);
		ck_assert_uint_eq(pace_run_pages(&pace), before);
		note(&pace, LIMIT, 1, 1);
		ck_assert(pace_run_pages(&pace) > before || before == 512);
	}
	note(&pace, LATE, 1, 2);
	ck_assert_uint_eq(pace_run_pages(&pace), 384);
	note(&pace, LIMIT, 255, 1); /* twice 128, not twice 512 */
	ck_assert_uint_eq(pace_run_pages(&pace), 384);
	note(&pace, LIMIT, 1, 1);
	ck_assert_uint_eq(pace_run_pages(&pace), 384 + 49);
}
END_TEST

/* Two late ones: the first counts for less with each wait since. */
START_TEST(late_wait_is_forgotten_after_some_that_were_in_time)
{
	struct pace pace;

	pace_init(&pace, LIMIT);
	note(&pace, LATE, 1, 1);
	note(&pace, LIMIT, _i ? CLOSE : 1, _i ? 1 : CLOSE);
	note(&pace, LATE, 1, 1);
	ck_assert_uint_eq(pace_run_pages(&pace), 384);
	pace_init(&pace, LIMIT);
	note(&pace, LATE, 1, 1);
	note(&pace, LIMIT, _i ? CLOSE + 1 : 1, _i ? 1 : CLOSE + 1);
	note(&pace, LATE, 1, 1);
	ck_assert_uint_eq(pace_run_pages(&pace), 512);
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
	tcase_add_test(tcase, run_is_cut_by_a_quarter_with_sixteen_waits_between_two_cuts);
	tcase_add_loop_test(tcase, run_grows_by_an_eighth_after_128_waits_in_time, 0, 2);
	tcase_add_loop_test(tcase, run_that_was_cut_grows_slowly_until_it_has_grown_four_times, 0,
			    2);
	tcase_add_test(tcase, four_times_in_a_row_are_without_a_cut_between_them);
	tcase_add_loop_test(tcase, late_wait_is_forgotten_after_some_that_were_in_time, 0, 2);
	suite_add_tcase(suite, tcase);
	srunner_run_all(runner, CK_ENV);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
