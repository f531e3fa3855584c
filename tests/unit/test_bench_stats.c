/* gmig-bench's statistics, against samples whose answers are known. */
#include "../bench/stats.h"

#include <check.h>
#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#define NEAR(a, b) ck_assert_double_eq_tol(a, b, 1e-9)

START_TEST(summary_odd_count_median_is_middle)
{
	const double values[] = {9, 1, 5, 3, 7};
	struct stats_summary summary;

	ck_assert_int_eq(stats_summarize(values, 5, &summary), 0);
	NEAR(summary.median, 5);
	NEAR(summary.q1, 3);
	NEAR(summary.q3, 7);
	NEAR(summary.min, 1);
	NEAR(summary.max, 9);
	ck_assert_uint_eq(summary.count, 5);
}
END_TEST

START_TEST(summary_even_count_interpolates)
{
	const double values[] = {4, 1, 3, 2};
	struct stats_summary summary;

	ck_assert_int_eq(stats_summarize(values, 4, &summary), 0);
	/* Type 7, as R's quantile(c(1,2,3,4)) gives it. */
	NEAR(summary.q1, 1.75);
	NEAR(summary.median, 2.5);
	NEAR(summary.q3, 3.25);
}
END_TEST

START_TEST(summary_not_measured_is_left_out)
{
	const double values[] = {NAN, 2, NAN, 4, 6};
	struct stats_summary summary;

	ck_assert_int_eq(stats_summarize(values, 5, &summary), 0);
	ck_assert_uint_eq(summary.count, 3);
	NEAR(summary.median, 4);
	ck_assert_int_eq(stats_summarize(values, 1, &summary), 0);
	ck_assert_uint_eq(summary.count, 0);
	ck_assert(isnan(summary.median));
	ck_assert_int_eq(stats_summarize(values, STATS_MAX + 1, &summary), -ERANGE);
}
END_TEST

START_TEST(summary_leaves_sample_in_order)
{
	const double values[] = {3, 1, 2};
	struct stats_summary summary;

	stats_summarize(values, 3, &summary);
	NEAR(values[0], 3);
	NEAR(values[2], 2);
}
END_TEST

START_TEST(quantile_of_hundred_percentiles_are_known)
{
	double sorted[101];

	for (int i = 0; i <= 100; i++)
		sorted[i] = i * 10;
	NEAR(stats_quantile(sorted, 101, 0.99), 990);
	NEAR(stats_quantile(sorted, 101, 0.999), 999);
	NEAR(stats_quantile(sorted, 101, 0), 0);
	NEAR(stats_quantile(sorted, 101, 1), 1000);
	NEAR(stats_quantile(sorted, 1, 0.7), 0);
	ck_assert(isnan(stats_quantile(sorted, 0, 0.5)));
}
END_TEST

START_TEST(spread_is_quartiles_over_median)
{
	struct stats_summary summary = {.count = 5, .median = 10, .q1 = 9, .q3 = 11.5};

	NEAR(stats_spread(&summary), 0.25);
	summary.count = 0;
	NEAR(stats_spread(&summary), 0);
}
END_TEST

START_TEST(interval_of_twenty_is_sixth_to_fifteenth)
{
	double values[20], low, high, reached;

	for (int i = 0; i < 20; i++)
		values[i] = (i * 7) % 20 + 1; /* 1..20, shuffled */
	reached = stats_median_interval(values, 20, 0.95, &low, &high);
	/* The classic table of the sign test: n = 20, 95.86%. */
	NEAR(low, 6);
	NEAR(high, 15);
	ck_assert_double_eq_tol(reached, 0.958611, 1e-6);
}
END_TEST

START_TEST(interval_of_few_is_the_range_and_says_how_sure)
{
	const double values[] = {5, 1, 3};
	double low, high;

	ck_assert_double_eq_tol(stats_median_interval(values, 3, 0.95, &low, &high), 0.75, 1e-9);
	NEAR(low, 1);
	NEAR(high, 5);
	NEAR(stats_median_interval(values, 0, 0.95, &low, &high), 0);
	ck_assert(isnan(low));
}
END_TEST

START_TEST(interval_covers_median_as_often_as_it_says)
{
	unsigned int covered = 0, tries = 4000;

	/* Uniform on 0..1: the true median is 0.5. */
	srand48(20050601);
	for (unsigned int t = 0; t < tries; t++) {
		double values[21], low, high;

		for (int i = 0; i < 21; i++)
			values[i] = drand48();
		stats_median_interval(values, 21, 0.95, &low, &high);
		covered += low <= 0.5 && high >= 0.5;
	}
	/* n = 21: 97.3%; four standard deviations below is 96.2%. */
	ck_assert_uint_ge(covered, tries * 962 / 1000);
	ck_assert_uint_le(covered, tries * 984 / 1000);
}
END_TEST

START_TEST(noise_quiet_machine_is_not_noisy)
{
	const struct noise_input input = {
	    .worst_spread = 0.05, .worst_name = "a", .foreign_cpu_share = 0.01};
	struct noise_verdict verdict;

	noise_judge(&input, &verdict);
	ck_assert(!verdict.noisy);
	ck_assert_uint_eq(verdict.count, 0);
}
END_TEST

START_TEST(noise_at_its_limits_is_not_noisy_and_just_above_is)
{
	const struct noise_input at = {.worst_spread = NOISE_MAX_SPREAD,
				       .foreign_cpu_share = NOISE_MAX_FOREIGN,
				       .steal_share = NOISE_MAX_STEAL};
	const struct noise_input above = {.worst_spread = NOISE_MAX_SPREAD * 1.001,
					  .foreign_cpu_share = NOISE_MAX_FOREIGN * 1.001,
					  .steal_share = NOISE_MAX_STEAL * 1.001};
	struct noise_verdict verdict;

	noise_judge(&at, &verdict);
	ck_assert(!verdict.noisy);
	noise_judge(&above, &verdict);
	ck_assert(verdict.noisy);
	ck_assert_uint_eq(verdict.count, 3);
}
END_TEST

START_TEST(noise_of_known_samples_is_as_their_quartiles)
{
	/* Quartiles 9.2 and 10.8, then 9.6 and 10.4: 16% and 8% of the median. */
	const double values[] = {8.4, 9.2, 10, 10.8, 11.6}, calm[] = {9.2, 9.6, 10, 10.4, 10.8};
	struct noise_input input = {.worst_name = "x"};
	struct stats_summary summary;
	struct noise_verdict verdict;

	stats_summarize(values, 5, &summary);
	input.worst_spread = stats_spread(&summary);
	NEAR(input.worst_spread, 0.16);
	noise_judge(&input, &verdict);
	ck_assert(verdict.noisy);
	ck_assert_ptr_nonnull(strstr(verdict.why[0], "16%"));
	stats_summarize(calm, 5, &summary);
	input.worst_spread = stats_spread(&summary);
	NEAR(input.worst_spread, 0.08);
	noise_judge(&input, &verdict);
	ck_assert(!verdict.noisy);
}
END_TEST

START_TEST(noise_each_cause_is_named)
{
	struct noise_input input = {.worst_spread = 0.4, .worst_name = "2M fresh"};
	struct noise_verdict verdict;

	noise_judge(&input, &verdict);
	ck_assert(verdict.noisy);
	ck_assert_uint_eq(verdict.count, 1);
	ck_assert_ptr_nonnull(strstr(verdict.why[0], "2M fresh"));
	ck_assert_ptr_nonnull(strstr(verdict.why[0], "40%"));
	input.worst_spread = 0;
	input.foreign_cpu_share = 0.2;
	noise_judge(&input, &verdict);
	ck_assert_ptr_nonnull(strstr(verdict.why[0], "other processes"));
	input.steal_share = 0.03;
	input.worst_spread = 0.16;
	noise_judge(&input, &verdict);
	ck_assert_uint_eq(verdict.count, 3);
	ck_assert_ptr_nonnull(strstr(verdict.why[2], "hypervisor"));
	input.lab = true;
	noise_judge(&input, &verdict);
	ck_assert_uint_eq(verdict.count, 4);
	ck_assert_ptr_nonnull(strstr(verdict.why[0], "lab"));
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("bench_stats");
	TCase *tcase = tcase_create("stats");
	SRunner *runner;
	int failed;

	tcase_add_test(tcase, summary_odd_count_median_is_middle);
	tcase_add_test(tcase, summary_even_count_interpolates);
	tcase_add_test(tcase, summary_not_measured_is_left_out);
	tcase_add_test(tcase, summary_leaves_sample_in_order);
	tcase_add_test(tcase, quantile_of_hundred_percentiles_are_known);
	tcase_add_test(tcase, spread_is_quartiles_over_median);
	tcase_add_test(tcase, interval_of_twenty_is_sixth_to_fifteenth);
	tcase_add_test(tcase, interval_of_few_is_the_range_and_says_how_sure);
	tcase_add_test(tcase, interval_covers_median_as_often_as_it_says);
	tcase_add_test(tcase, noise_quiet_machine_is_not_noisy);
	tcase_add_test(tcase, noise_at_its_limits_is_not_noisy_and_just_above_is);
	tcase_add_test(tcase, noise_of_known_samples_is_as_their_quartiles);
	tcase_add_test(tcase, noise_each_cause_is_named);
	suite_add_tcase(suite, tcase);
	runner = srunner_create(suite);
	srunner_run_all(runner, CK_ENV);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
