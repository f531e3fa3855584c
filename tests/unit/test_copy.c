/* Memory that cannot be touched ends a copy, and not the process. */
#include "../../migrate/core/copy.h"

#include "suite.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
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

START_TEST(page_that_is_broken_at_once_ends_the_copy_with_nothing)
{
	start();
	memset(whole, 7, PAGES * PAGE);
	ck_assert_uint_eq(copy_pages(whole, broken + GOOD * PAGE, 2 * PAGE), 0);
	ck_assert_uint_eq(copy_zero(broken + GOOD * PAGE, 2 * PAGE), 0);
	ck_assert_uint_eq(whole[0], 7);
	/* And the last one alone. */
	ck_assert_uint_eq(copy_pages(whole, broken + (GOOD - 1) * PAGE, 2 * PAGE), PAGE);
	ck_assert_uint_eq(copy_pages(whole, broken, GOOD * PAGE), GOOD * PAGE);
	ck_assert_uint_eq(copy_pages(whole, broken, 0), 0);
}
END_TEST

/* ---- Each way of copying ------------------------------------------------------------------- */

static void check_way(const struct copy_way *way, size_t pages)
{
	static uint8_t expected[PAGES * PAGE];

	memset(expected, 0x55, sizeof(expected));
	memset(whole, 0x55, sizeof(expected));
	memcpy(expected + PAGE, broken + PAGE, pages * PAGE);
	way->copy(whole + PAGE, broken + PAGE, pages * PAGE);
	ck_assert_msg(!memcmp(whole, expected, sizeof(expected)), "%s of %zu pages", way->name,
		      pages);
}

START_TEST(each_way_copies_what_it_was_told_and_no_byte_beside)
{
	unsigned int ways = 0;

	start();
	broken = mmap(broken, PAGES * PAGE, PROT_READ | PROT_WRITE,
		      MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0);
	for (size_t i = 0; i < PAGES * PAGE; i++)
		broken[i] = (uint8_t)(i * 2654435761u >> 16);
	for (const struct copy_way *way = copy_ways; way->name; way++, ways++)
		for (size_t pages = 0; way->works() && pages < PAGES - 1; pages++)
			check_way(way, pages);
	ck_assert_uint_eq(ways, 4);
	ck_assert_ptr_null(copy_ways[ways].copy);
}
END_TEST

START_TEST(ways_work_where_the_processor_has_them)
{
	for (const struct copy_way *way = copy_ways; way->name; way++) {
		bool works = way->works();

		if (strstr(way->name, "avx512"))
			ck_assert_int_eq(works, !!__builtin_cpu_supports("avx512f"));
		else if (strstr(way->name, "avx2"))
			ck_assert_int_eq(works, !!__builtin_cpu_supports("avx2"));
		else
			ck_assert(works);
	}
}
END_TEST

/* ---- SIGBUS of others ---------------------------------------------------------------------- */

static volatile sig_atomic_t handled, with_info;

static void on_signal(int number)
{
	handled += number == SIGBUS;
}

static void on_signal_info(int number, siginfo_t *info, void *context)
{
	handled += number == SIGBUS && context;
	with_info = info->si_code;
}

/* As the kernel tells of memory that broke and that nobody has touched. */
static void tell_of_broken_memory(void *arg)
{
	siginfo_t info = {.si_signo = SIGBUS, .si_code = BUS_MCEERR_AO};

	ck_assert_int_eq(
	    syscall(SYS_rt_tgsigqueueinfo, getpid(), syscall(SYS_gettid), SIGBUS, &info), 0);
	if (arg)
		*(int *)arg = 1;
}

static void handle(struct sigaction action)
{
	ck_assert_int_eq(sigaction(SIGBUS, &action, NULL), 0);
}

START_TEST(signal_that_no_copy_raised_goes_to_the_handler_before)
{
	handle((struct sigaction){.sa_handler = on_signal});
	start();
	copy_guard(); /* once is enough */
	raise(SIGBUS);
	ck_assert_int_eq(handled, 1);
	ck_assert(!copy_try(read_last, broken + PAGES * PAGE - 1));
	ck_assert(copy_try(read_last, broken));
	ck_assert_int_eq(handled, 1);
	raise(SIGBUS);
	ck_assert_int_eq(handled, 2);
}
END_TEST

START_TEST(handler_before_is_told_what_the_kernel_told)
{
	int ended = 0;

	handle((struct sigaction){.sa_sigaction = on_signal_info, .sa_flags = SA_SIGINFO});
	start();
	tell_of_broken_memory(NULL);
	ck_assert_int_eq(handled, 1);
	ck_assert_int_eq(with_info, BUS_MCEERR_AO);
	/* Nor does it end a copy that touches other memory. */
	ck_assert(copy_try(tell_of_broken_memory, &ended));
	ck_assert_int_eq(ended, 1);
	ck_assert_int_eq(handled, 2);
}
END_TEST

START_TEST(memory_that_nobody_touched_kills_nobody)
{
	/* A sanitizer has a handler of its own. */
	handle((struct sigaction){.sa_handler = _i ? SIG_IGN : SIG_DFL});
	start();
	tell_of_broken_memory(NULL);
	tell_of_broken_memory(NULL);
	ck_assert(!copy_try(read_last, broken + PAGES * PAGE - 1));
}
END_TEST

START_TEST(touch_outside_of_a_copy_kills_as_it_would_without_us)
{
	handle((struct sigaction){.sa_handler = SIG_DFL});
	start();
	ck_assert(!copy_try(read_last, broken + PAGES * PAGE - 1));
	ck_assert(copy_try(read_last, broken));
	read_last(broken + PAGES * PAGE - 1);
}
END_TEST

static void *copy_where_it_is_blocked(void *arg)
{
	sigset_t set;

	sigemptyset(&set);
	sigaddset(&set, SIGBUS);
	sigaddset(&set, SIGUSR1);
	ck_assert_int_eq(pthread_sigmask(SIG_BLOCK, &set, NULL), 0);
	*(size_t *)arg = copy_pages(whole, broken, PAGES * PAGE);
	ck_assert_int_eq(pthread_sigmask(SIG_BLOCK, NULL, &set), 0);
	ck_assert(!sigismember(&set, SIGBUS));
	ck_assert(sigismember(&set, SIGUSR1));
	return NULL;
}

START_TEST(thread_that_blocks_signals_copies_all_the_same)
{
	pthread_t thread;
	size_t done = 0;

	start();
	for (int i = 0; i < 2; i++) {
		ck_assert_int_eq(pthread_create(&thread, NULL, copy_where_it_is_blocked, &done), 0);
		ck_assert_int_eq(pthread_join(thread, NULL), 0);
		ck_assert_uint_eq(done, GOOD * PAGE);
	}
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("copy");
	TCase *tcase = tcase_create("broken");

	tcase_add_test(tcase, copy_from_broken_memory_ends_before_it);
	tcase_add_test(tcase, copy_into_broken_memory_ends_before_it);
	tcase_add_test(tcase, zeros_into_broken_memory_end_before_it);
	tcase_add_test(tcase, touch_of_broken_memory_is_told_each_time);
	tcase_add_test(tcase, page_that_is_broken_at_once_ends_the_copy_with_nothing);
	tcase_add_test(tcase, each_way_copies_what_it_was_told_and_no_byte_beside);
	tcase_add_test(tcase, ways_work_where_the_processor_has_them);
	tcase_add_test(tcase, signal_that_no_copy_raised_goes_to_the_handler_before);
	tcase_add_test(tcase, handler_before_is_told_what_the_kernel_told);
	tcase_add_loop_test(tcase, memory_that_nobody_touched_kills_nobody, 0, 2);
	tcase_add_test_raise_signal(tcase, touch_outside_of_a_copy_kills_as_it_would_without_us,
				    SIGBUS);
	tcase_add_test(tcase, thread_that_blocks_signals_copies_all_the_same);
	suite_add_tcase(suite, tcase);
	return run_suite(suite);
}
