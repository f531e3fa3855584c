#include "../../migrate/core/hist.h"

#include <check.h>
#include <pthread.h>
#include <stdlib.h>

static struct hist hist;

static void setup(void)
{
	hist_reset(&hist);
}

/* xorshift, the same sequence in each run. */
static uint64_t next_random(uint64_t *seed)
{
	*seed ^= *seed << 13;
	*seed ^= *seed >> 7;
	*seed ^= *seed << 17;
	return *seed;
}

START_TEST(quantile_of_nothing_is_zero)
{
	struct gmig_percentiles all;

	ck_assert_uint_eq(hist_quantile_ns(&hist, 0.5), 0);
	hist_summary(&hist, &all);
	ck_assert_uint_eq(all.count, 0);
	ck_assert_uint_eq(all.p50_ns, 0);
	ck_assert_uint_eq(all.max_ns, 0);
}
END_TEST

START_TEST(single_value_is_every_quantile)
{
	static const uint64_t values[] = {0, 1, 63, 64, 65, 127, 128, 1000003, UINT64_MAX};

	for (unsigned int i = 0; i < sizeof(values) / sizeof(values[0]); i++) {
		hist_reset(&hist);
		hist_record(&hist, values[i]);
		ck_assert_uint_eq(hist_quantile_ns(&hist, 0), values[i]);
		ck_assert_uint_eq(hist_quantile_ns(&hist, 0.5), values[i]);
		ck_assert_uint_eq(hist_quantile_ns(&hist, 1), values[i]);
	}
}
END_TEST

START_TEST(values_below_128_are_exact)
{
	for (uint64_t ns = 0; ns < 128; ns++)
		hist_record(&hist, ns);
	ck_assert_uint_eq(hist_quantile_ns(&hist, 0.25), 31);
	ck_assert_uint_eq(hist_quantile_ns(&hist, 0.5), 63);
	ck_assert_uint_eq(hist_quantile_ns(&hist, 0.75), 95);
	ck_assert_uint_eq(hist_quantile_ns(&hist, 1), 127);
}
END_TEST

START_TEST(share_on_a_boundary_takes_the_lower_value)
{
	hist_record(&hist, 10);
	hist_record(&hist, 20);
	ck_assert_uint_eq(hist_quantile_ns(&hist, 0.5), 10);
	ck_assert_uint_eq(hist_quantile_ns(&hist, 0.500001), 20);
	ck_assert_uint_eq(hist_quantile_ns(&hist, 0), 10);
	ck_assert_uint_eq(hist_quantile_ns(&hist, 7), 20);
	ck_assert_uint_eq(hist_quantile_ns(&hist, -1), 10);
}
END_TEST

START_TEST(buckets_cover_all_values_without_gap_or_overlap)
{
	uint64_t ns = 0, low, high, count;

	for (unsigned int i = 0; i < HIST_BUCKETS; i++) {
		hist_record(&hist, ns);
		ck_assert(hist_bucket(&hist, i, &low, &high, &count));
		ck_assert_uint_eq(low, ns);
		ck_assert_uint_ge(high, low);
		/* 1/64 is what the header promises. */
		ck_assert(high - low <= low / 64);
		ck_assert_uint_eq(count, 1);
		hist_record(&hist, high);
		ck_assert(hist_bucket(&hist, i, &low, &high, &count));
		ck_assert_uint_eq(count, 2);
		ns = high + 1;
	}
	ck_assert_uint_eq(ns, 0); /* the last one ends at UINT64_MAX */
	ck_assert(!hist_bucket(&hist, HIST_BUCKETS, &low, &high, &count));
}
END_TEST

static int by_value(const void *a, const void *b)
{
	const uint64_t *left = a, *right = b;

	return *left < *right ? -1 : *left > *right;
}

START_TEST(quantiles_of_random_values_are_within_a_64th_above_the_exact_ones)
{
	enum { COUNT = 20000 };
	static const double wanted[] = {0.001, 0.1, 0.5, 0.9, 0.99, 0.999, 1};
	static uint64_t value[COUNT];
	uint64_t seed = 1, exact, got;

	for (unsigned int i = 0; i < COUNT; i++) {
		/* Spread over all octaves up to 2^44 ns, five hours. */
		value[i] = next_random(&seed) >> (20 + next_random(&seed) % 44);
		hist_record(&hist, value[i]);
	}
	qsort(value, COUNT, sizeof(value[0]), by_value);
	for (unsigned int i = 0; i < sizeof(wanted) / sizeof(wanted[0]); i++) {
		exact = value[(size_t)(wanted[i] * COUNT + 0.5) - 1];
		got = hist_quantile_ns(&hist, wanted[i]);
		ck_assert_uint_ge(got, exact);
		ck_assert_uint_le(got, exact + exact / 64);
	}
}
END_TEST

START_TEST(quantile_is_never_over_the_maximum)
{
	struct gmig_percentiles all;

	hist_record(&hist, 1000001);
	hist_record(&hist, 1000002);
	hist_summary(&hist, &all);
	ck_assert_uint_eq(all.max_ns, 1000002);
	ck_assert_uint_le(all.p50_ns, all.p99_ns);
	ck_assert_uint_le(all.p99_ns, all.p999_ns);
	ck_assert_uint_eq(all.p999_ns, 1000002);
}
END_TEST

START_TEST(summary_of_a_thousand_names_the_right_ranks)
{
	struct gmig_percentiles all;

	for (unsigned int i = 0; i < 989; i++)
		hist_record(&hist, 10);
	hist_record(&hist, 20);
	for (unsigned int i = 0; i < 9; i++)
		hist_record(&hist, 30);
	hist_record(&hist, 40);
	hist_summary(&hist, &all);
	ck_assert_uint_eq(all.count, 1000);
	ck_assert_uint_eq(all.p50_ns, 10);
	ck_assert_uint_eq(all.p99_ns, 20);
	ck_assert_uint_eq(all.p999_ns, 30);
	ck_assert_uint_eq(all.max_ns, 40);
}
END_TEST

/* A thread is between the steps of recording. */
START_TEST(value_that_is_half_recorded_does_not_split_the_summary)
{
	struct gmig_percentiles all;

	hist_record(&hist, 1000);
	hist.max_ns = 5000; /* in no bucket yet */
	hist_summary(&hist, &all);
	ck_assert_uint_eq(all.count, 1);
	ck_assert_uint_ge(all.p50_ns, 1000);
	ck_assert_uint_le(all.p999_ns, 1000 + 1000 / 64);
	hist_reset(&hist);
	hist.max_ns = 5000;
	hist_summary(&hist, &all);
	ck_assert_uint_eq(all.count, 0);
	ck_assert_uint_eq(all.max_ns, 0);
	ck_assert_uint_eq(all.p999_ns, 0);
}
END_TEST

START_TEST(counts_beyond_what_a_double_tells_apart_keep_their_ranks)
{
	uint64_t low, high, count;
	unsigned int i = 0, k;

	hist_record(&hist, 10);
	while (!hist_bucket(&hist, i, &low, &high, &count))
		i++;
	hist_record(&hist, 1000);
	for (k = i + 1; !hist_bucket(&hist, k, &low, &high, &count);)
		k++;
	hist.bucket[i] = (1ull << 60) - 1;
	ck_assert_uint_eq(hist_quantile_ns(&hist, 0.999), 10);
	ck_assert_uint_ge(hist_quantile_ns(&hist, 1), 1000);
	hist.bucket[k] = 1ull << 62;
	ck_assert_uint_ge(hist_quantile_ns(&hist, 0.5), 1000);
	ck_assert_uint_eq(hist_quantile_ns(&hist, 0.1), 10);
}
END_TEST

enum { THREADS = 4, RECORDS = 50000 };

static void *record_many(void *arg)
{
	uint64_t seed = (uintptr_t)arg;

	for (unsigned int i = 0; i < RECORDS; i++)
		hist_record(&hist, next_random(&seed) >> 40);
	return NULL;
}

START_TEST(records_of_four_threads_are_all_counted)
{
	pthread_t thread[THREADS];
	struct gmig_percentiles seen;
	uint64_t low, high, count, sum = 0, max = 0, before = 0, seed, ns;

	for (uintptr_t i = 0; i < THREADS; i++)
		ck_assert_int_eq(pthread_create(&thread[i], NULL, record_many, (void *)(i + 1)), 0);
	for (unsigned int i = 0; i < 50; i++) {
		hist_summary(&hist, &seen);
		ck_assert_uint_le(seen.p50_ns, seen.p99_ns);
		ck_assert_uint_le(seen.p99_ns, seen.p999_ns);
		ck_assert_uint_le(seen.p999_ns, seen.max_ns);
		ck_assert_uint_ge(seen.count, before);
		before = seen.count;
	}
	for (unsigned int i = 0; i < THREADS; i++)
		pthread_join(thread[i], NULL);
	for (unsigned int i = 0; i < HIST_BUCKETS; i++)
		sum += hist_bucket(&hist, i, &low, &high, &count) ? count : 0;
	for (uint64_t i = 1; i <= THREADS; i++) {
		seed = i;
		for (unsigned int j = 0; j < RECORDS; j++) {
			ns = next_random(&seed) >> 40;
			max = ns > max ? ns : max;
		}
	}
	hist_summary(&hist, &seen);
	ck_assert_uint_eq(sum, THREADS * RECORDS);
	ck_assert_uint_eq(seen.count, THREADS * RECORDS);
	ck_assert_uint_eq(seen.max_ns, max);
}
END_TEST

START_TEST(count_over_is_of_what_is_longer_but_for_its_own_bucket)
{
	hist_record(&hist, 10);
	hist_record(&hist, 11);
	hist_record(&hist, 11);
	hist_record(&hist, 1000000);
	hist_record(&hist, UINT64_MAX);
	ck_assert_uint_eq(hist_count_over(&hist, 0), 5);
	ck_assert_uint_eq(hist_count_over(&hist, 9), 5);
	ck_assert_uint_eq(hist_count_over(&hist, 10), 4);
	ck_assert_uint_eq(hist_count_over(&hist, 11), 2);
	ck_assert_uint_eq(hist_count_over(&hist, 999500), 1); /* of the same bucket */
	ck_assert_uint_eq(hist_count_over(&hist, 900000), 2);
	ck_assert_uint_eq(hist_count_over(&hist, 1000000), 1);
	ck_assert_uint_eq(hist_count_over(&hist, UINT64_MAX), 0);
	hist_reset(&hist);
	ck_assert_uint_eq(hist_count_over(&hist, 0), 0);
}
END_TEST

START_TEST(quantile_of_three_is_each_third)
{
	hist_record(&hist, 10);
	hist_record(&hist, 20);
	hist_record(&hist, 30);
	ck_assert_uint_eq(hist_quantile_ns(&hist, 0.01), 10);
	ck_assert_uint_eq(hist_quantile_ns(&hist, 0.33), 10);
	ck_assert_uint_eq(hist_quantile_ns(&hist, 0.34), 20);
	ck_assert_uint_eq(hist_quantile_ns(&hist, 0.66), 20);
	ck_assert_uint_eq(hist_quantile_ns(&hist, 0.67), 30);
	ck_assert_uint_eq(hist_quantile_ns(&hist, 0.9999), 30);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("hist");
	TCase *tcase = tcase_create("hist");
	SRunner *runner = srunner_create(suite);
	int failed;

	tcase_set_timeout(tcase, 60);
	tcase_add_checked_fixture(tcase, setup, NULL);
	tcase_add_test(tcase, quantile_of_nothing_is_zero);
	tcase_add_test(tcase, single_value_is_every_quantile);
	tcase_add_test(tcase, values_below_128_are_exact);
	tcase_add_test(tcase, share_on_a_boundary_takes_the_lower_value);
	tcase_add_test(tcase, buckets_cover_all_values_without_gap_or_overlap);
	tcase_add_test(tcase, quantiles_of_random_values_are_within_a_64th_above_the_exact_ones);
	tcase_add_test(tcase, quantile_is_never_over_the_maximum);
	tcase_add_test(tcase, summary_of_a_thousand_names_the_right_ranks);
	tcase_add_test(tcase, value_that_is_half_recorded_does_not_split_the_summary);
	tcase_add_test(tcase, counts_beyond_what_a_double_tells_apart_keep_their_ranks);
	tcase_add_test(tcase, records_of_four_threads_are_all_counted);
	tcase_add_test(tcase, count_over_is_of_what_is_longer_but_for_its_own_bucket);
	tcase_add_test(tcase, quantile_of_three_is_each_third);
	suite_add_tcase(suite, tcase);
	srunner_run_all(runner, CK_ENV);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
