/* The token bucket, with time moved by hand. */
#include "../../migrate/core/rate.h"

#include <check.h>
#include <stdlib.h>

#define MS    1000000ull
#define BLOCK (2ull << 20)

/* Take blocks for `ns`, sleeping as told plus `late_ns`; returns the bytes taken. */
static uint64_t take_for(struct rate *rate, uint64_t *now, uint64_t ns, uint64_t late_ns)
{
	uint64_t end = *now + ns, bytes = 0;

	while (*now < end) {
		uint64_t wait = rate_take(rate, BLOCK, *now);

		if (wait)
			*now += wait + late_ns;
		else
			bytes += BLOCK;
	}
	return bytes;
}

START_TEST(rate_without_limit_never_waits)
{
	struct rate rate;

	rate_init(&rate, 0, 5);
	for (int i = 0; i < 1000; i++)
		ck_assert_uint_eq(rate_take(&rate, BLOCK, 5), 0);
}
END_TEST

START_TEST(rate_is_kept_within_one_percent_over_ten_seconds)
{
	static const uint64_t rates[] = {16ull << 20, 500000000, 3ull << 30};
	uint64_t now = 12345;
	struct rate rate;
	double share;

	rate_init(&rate, rates[_i], now);
	share = (double)take_for(&rate, &now, 10000 * MS, 50000) / ((double)rates[_i] * 10);
	ck_assert_double_ge(share, 0.98);
	ck_assert_double_le(share, 1.01);
}
END_TEST

START_TEST(rate_first_block_is_paid_before_it_is_taken)
{
	struct rate rate;

	rate_init(&rate, BLOCK, 0);
	ck_assert_uint_ge(rate_take(&rate, BLOCK, 0), 1000 * MS);
	ck_assert_uint_eq(rate_take(&rate, BLOCK, 1000 * MS + 1), 0);
	ck_assert_uint_gt(rate_take(&rate, BLOCK, 1000 * MS + 1), 900 * MS);
}
END_TEST

START_TEST(rate_saves_up_no_more_than_its_burst)
{
	uint64_t now = 3600 * 1000 * MS, bytes = 0;
	struct rate rate;

	rate_init(&rate, 1ull << 30, 0);
	while (!rate_take(&rate, BLOCK, now))
		bytes += BLOCK;
	ck_assert_uint_le(bytes, (1ull << 30) / 50);
}
END_TEST

START_TEST(rate_change_holds_at_once)
{
	uint64_t now = 1000 * MS;
	struct rate rate;

	rate_init(&rate, 1 << 20, now);
	ck_assert_uint_gt(rate_take(&rate, BLOCK, now), 1900 * MS);
	rate_set(&rate, 1 << 30, now + MS);
	ck_assert_uint_lt(rate_take(&rate, BLOCK, now + MS), 3 * MS);
	rate_set(&rate, 0, now + 2 * MS);
	ck_assert_uint_eq(rate_take(&rate, BLOCK, now + 2 * MS), 0);
}
END_TEST

START_TEST(rate_earns_nothing_in_a_pause)
{
	struct rate rate;

	rate_init(&rate, BLOCK, 0);
	rate_skip(&rate, 5000 * MS);
	ck_assert_uint_gt(rate_take(&rate, BLOCK, 5000 * MS), 900 * MS);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("rate");
	TCase *tcase = tcase_create("bucket");
	SRunner *runner;
	int failed;

	tcase_add_test(tcase, rate_without_limit_never_waits);
	tcase_add_loop_test(tcase, rate_is_kept_within_one_percent_over_ten_seconds, 0, 3);
	tcase_add_test(tcase, rate_first_block_is_paid_before_it_is_taken);
	tcase_add_test(tcase, rate_saves_up_no_more_than_its_burst);
	tcase_add_test(tcase, rate_change_holds_at_once);
	tcase_add_test(tcase, rate_earns_nothing_in_a_pause);
	suite_add_tcase(suite, tcase);
	runner = srunner_create(suite);
	srunner_run_all(runner, CK_NORMAL);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed ? 1 : 0;
}
