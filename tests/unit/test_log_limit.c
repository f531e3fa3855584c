/* One line a second for each cause; what was held back is counted. */
#include "../../migrate/core/log_limit.h"

#include <check.h>

START_TEST(cause_without_end_writes_one_line_a_second)
{
	struct log_limit limit = {0}, other = {0};
	unsigned long held = 99, lines = 0, told = 0;

	/* 5,000 causes in 2.5 s */
	for (uint64_t now = 1000; now < 1000 + 2500000000ull; now += 500000)
		if (log_limit_pass(&limit, now, &held)) {
			lines++;
			told += held + 1;
		}
	ck_assert_uint_eq(lines, 3);
	ck_assert_uint_eq(told, 4001); /* the rest is told with the next line */
	ck_assert(log_limit_pass(&limit, 1ull << 62, &held));
	ck_assert_uint_eq(held, 999);
	ck_assert(log_limit_pass(&other, 1000, &held));
	ck_assert_uint_eq(held, 0);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("log_limit");
	TCase *tcase = tcase_create("causes");
	SRunner *runner;
	int failed;

	tcase_add_test(tcase, cause_without_end_writes_one_line_a_second);
	suite_add_tcase(suite, tcase);
	runner = srunner_create(suite);
	srunner_run_all(runner, CK_NORMAL);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed ? 1 : 0;
}
