/* gmig-bench scale on tables that are small enough for a test. */
#include "../bench/scale.h"
#include "../support/rig.h"

#include <check.h>
#include <math.h>
#include <stdlib.h>

#define GIB (1ull << 30)

START_TEST(table_is_measured_with_leaves_of_either_size)
{
	struct scale_result result;
	struct gmig_error err = {0};

	ck_assert_msg(!scale_measure(GIB, _i, 2, &result, &err), "%s", err.text);
	ck_assert_int_eq(result.small, _i);
	/* A word a leaf, and some for the tables above. */
	ck_assert_uint_ge(result.table_bytes, _i ? GIB / 4096 * 8 : 512 * 8);
	ck_assert_uint_le(result.table_bytes, scale_need_bytes(GIB, _i));
	ck_assert(result.waits.start_ns > 0 && result.waits.cancel_ns > 0);
	ck_assert(result.waits.statistics_ns > 0 && result.waits.lock_ns >= 0);
#ifndef GMIG_SANITIZED /* its allocator keeps no books */
	ck_assert(result.waits.kept_bytes > 0);
#endif
	ck_assert_uint_eq(result.lookups[SCALE_LOOKUPS - 1].readers, SCALE_MAX_READERS);
	for (unsigned int i = 0; i < SCALE_LOOKUPS; i++) {
		const struct scale_lookups *lookups = &result.lookups[i];

		ck_assert(lookups->sequential_per_second > 0 && lookups->sequential_ns > 0);
		ck_assert(lookups->random_per_second > 0 && lookups->random_ns > 0);
		ck_assert_int_eq(lookups->writer, !isnan(lookups->changes_per_second));
	}
}
END_TEST

START_TEST(table_that_cannot_be_is_refused)
{
	struct scale_result result;
	struct gmig_error err = {0};

	/* Beyond what a gfn can name. */
	ck_assert_int_lt(scale_measure(1ull << 60, false, 1, &result, &err), 0);
	ck_assert_str_ne(err.text, "");
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("bench_scale");
	TCase *tcase = tcase_create("scale");

	tcase_set_timeout(tcase, 60);
	tcase_add_loop_test(tcase, table_is_measured_with_leaves_of_either_size, 0, 2);
	tcase_add_test(tcase, table_that_cannot_be_is_refused);
	suite_add_tcase(suite, tcase);
	return rig_main(suite);
}
