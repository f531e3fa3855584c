/* Running a suite of Check: what main() of a test program returns. */
#ifndef TEST_SUITE_H
#define TEST_SUITE_H

#include <check.h>

/* Run the suite as CK_FORK and its like say; the exit status of the test program. */
int run_suite(Suite *suite);

/* Run `count` tests as one case with one fixture, 30 s a test; the exit status. */
int run_tests(const char *name, SFun setup, SFun teardown, const TTest *const *tests, size_t count);

#endif
