/* Memory that cannot be touched ends a copy, and not the process. */
#include "../../migrate/core/copy.h"

#include <check.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define PAGE  4096ul
#define PAGES 8ul
#define GOOD  5ul /* pages before the first that raises SIGBUS */

static uint8_t *whole, *broken;

/* Behind the end of its file a mapping raises SIGBUS, as broken memory does. */
static void start(void)
{
	int fd = memfd_create("copy", 0);

	ck_assert_int_ge(fd, 0);
	ck_assert_int_eq(ftruncate(fd, (off_t)(GOOD * PAGE)), 0);
	broken = mmap(NULL, PAGES * PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	whole =
	    mmap(NULL, PAGES * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	ck_assert_ptr_ne(broken, MAP_FAILED);
	ck_assert_ptr_ne(whole, MAP_FAILED);
	close(fd);
	copy_guard();
}

START_TEST(copy_from_broken_memory_ends_before_it)
{
	start();
	memset(broken, 7, GOOD * PAGE);
	ck_assert_uint_eq(copy_pages(whole, broken, PAGES * PAGE), GOOD * PAGE);
	for (size_t i = 0; i < PAGES * PAGE; i++)
		ck_assert_uint_eq(whole[i], i < GOOD * PAGE ? 7 : 0);
}
END_TEST

START_TEST(copy_into_broken_memory_ends_before_it)
{
	start();
	memset(whole, 7, PAGES * PAGE);
	ck_assert_uint_eq(copy_pages(broken, whole, PAGES * PAGE), GOOD * PAGE);
	ck_assert_uint_eq(broken[GOOD * PAGE - 1], 7);
}
END_TEST

START_TEST(zeros_into_broken_memory_end_before_it)
{
	start();
	memset(broken, 7, GOOD * PAGE);
	ck_assert_uint_eq(copy_zero(broken, PAGES * PAGE), GOOD * PAGE);
	for (size_t i = 0; i < GOOD * PAGE; i++)
		ck_assert_uint_eq(broken[i], 0);
	memset(whole, 7, PAGES * PAGE);
	ck_assert_uint_eq(copy_zero(whole, PAGES * PAGE), PAGES * PAGE);
	ck_assert_uint_eq(whole[PAGES * PAGE - 1], 0);
}
END_TEST

static void read_last(void *arg)
{
	*(volatile uint8_t *)arg;
}

START_TEST(touch_of_broken_memory_is_told_each_time)
{
	start();
	for (int i = 0; i < 3; i++) {
		ck_assert(!copy_try(read_last, broken + PAGES * PAGE - 1));
		ck_assert(copy_try(read_last, broken + GOOD * PAGE - 1));
	}
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("copy");
	TCase *tcase = tcase_create("broken");
	SRunner *runner;
	int failed;

	tcase_add_test(tcase, copy_from_broken_memory_ends_before_it);
	tcase_add_test(tcase, copy_into_broken_memory_ends_before_it);
	tcase_add_test(tcase, zeros_into_broken_memory_end_before_it);
	tcase_add_test(tcase, touch_of_broken_memory_is_told_each_time);
	suite_add_tcase(suite, tcase);
	runner = srunner_create(suite);
	srunner_run_all(runner, CK_NORMAL);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed ? 1 : 0;
}
