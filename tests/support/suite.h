/* Running a suite of Check: what main() of a test program returns. */
#ifndef TEST_SUITE_H
#define TEST_SUITE_H

#include <check.h>
#include <stdbool.h>

/* Whether this program runs under ThreadSanitizer, which has a thread and system calls of its own. */
#if defined(__SANITIZE_THREAD__)
#define UNDER_TSAN 1
#elif defined(__has_feature)
#if __has_feature(thread_sanitizer)
#define UNDER_TSAN 1
#endif
#endif
#ifndef UNDER_TSAN
#define UNDER_TSAN 0
#endif

/* Run the suite as CK_FORK and its like say; the exit status of the test program. */
int run_suite(Suite *suite);

/* Run `count` tests as one case with one fixture, 60 s a test; the exit status. */
int run_tests(const char *name, SFun setup, SFun teardown, const TTest *const *tests, size_t count);

/*
 * For a case that cannot judge, in whole or in part, where it runs: the line that test.sh counts as a skipped one, with its name and
 * the reason. A case that returns without it says that all was well. false, so that it can stand in a condition.
 */
#define skip_case(why) skip_case_of(__func__, why)
bool skip_case_of(const char *function, const char *why);
#define NO_HUGE_PAGES "this host gives no transparent huge pages"
/* Has this engine huge pages? Where the host gives it none, the case that asks is skipped. */
#define huge_or_skip(gmig) ((gmig)->thp || skip_case(NO_HUGE_PAGES))

/*
 * Does this kernel have one page of zeros for all memory that is only read? Some of virtual machines have none: each such page has a frame of its own, and
 * is not to be told from one that was written. Where it cannot be asked it is said to have one, as most do.
 */
bool has_zero_page(void);
#define zero_page_or_skip() (has_zero_page() || skip_case("this kernel has no shared zero page"))

/* The file of this program. Not /proc/self/exe, which to the kernel is valgrind itself when a test runs under it. */
const char *own_program(void);

/*
 * Until the other threads of this process sleep: before a fork(2) whose child allocates. AddressSanitizer's allocator (before that of
 * gcc 14 and clang 17) does not know of fork: a lock that a thread holds just then is held in the child for ever.
 */
void await_rest(void);

#endif
