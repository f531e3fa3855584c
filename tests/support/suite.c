#include "suite.h"

#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

int run_suite(Suite *suite)
{
	SRunner *runner = srunner_create(suite);
	int failed;

	srunner_run_all(runner, CK_ENV);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}

int run_tests(const char *name, SFun setup, SFun teardown, const TTest *const *tests, size_t count)
{
	Suite *suite = suite_create(name);
	TCase *tcase = tcase_create(name);

	tcase_add_checked_fixture(tcase, setup, teardown);
	tcase_set_timeout(tcase, 60);
	for (size_t i = 0; i < count; i++)
		tcase_add_test(tcase, tests[i]);
	suite_add_tcase(suite, tcase);
	return run_suite(suite);
}

bool skip_case_of(const char *function, const char *why)
{
	size_t length = strlen(function);

	if (length > 3 && !strcmp(function + length - 3, "_fn")) /* Check's own */
		length -= 3;
	if (getenv("GMIG_TEST_WITHOUT_THP") && !strcmp(why, NO_HUGE_PAGES))
		printf("as meant: "); /* without_thp.c: nothing is left out of the suite */
	printf("skip %.*s - %s\n", (int)length, function, why);
	fflush(stdout);
	return false;
}

const char *own_program(void)
{
	static char path[PATH_MAX];
	ssize_t length = readlink("/proc/self/exe", path, sizeof(path) - 1);

	ck_assert_int_gt(length, 0);
	path[length] = '\0';
	return path;
}
