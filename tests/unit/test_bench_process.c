/* What gmig-bench reads of a process in /proc and by perf, against this very process. */
#include "../bench/counters.h"
#include "../bench/process.h"

#include <check.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#define BYTES (32u << 20)

START_TEST(peak_is_of_what_was_there_since_it_was_forgotten)
{
	struct process_memory before, at_peak, after;
	int fd = open("/proc/self/status", O_RDONLY | O_CLOEXEC);
	char *memory;

	ck_assert_int_eq(process_memory_forget_peak(getpid()), 0);
	ck_assert_int_eq(process_memory_read(fd, &before), 0);
	memory = mmap(NULL, BYTES, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	ck_assert_ptr_ne(memory, MAP_FAILED);
	memset(memory, 1, BYTES);
	munmap(memory, BYTES);
	ck_assert_int_eq(process_memory_read(fd, &at_peak), 0);
	/* The kernel's count may be some pages late. */
	ck_assert_uint_ge(at_peak.peak_bytes, before.rss_bytes + BYTES - (1u << 20));
	ck_assert_int_eq(process_memory_forget_peak(getpid()), 0);
	ck_assert_int_eq(process_memory_read(fd, &after), 0);
	ck_assert_uint_lt(after.peak_bytes, at_peak.peak_bytes - BYTES / 2);
	close(fd);
	ck_assert_int_eq(process_memory_forget_peak(-1), -ENOENT);
}
END_TEST

static void spin(double seconds)
{
	struct timespec now;
	double end;

	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
	end = (double)now.tv_sec + (double)now.tv_nsec * 1e-9 + seconds;
	do
		clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
	while ((double)now.tv_sec + (double)now.tv_nsec * 1e-9 < end);
}

START_TEST(split_leaves_out_threads_of_that_name)
{
	struct process_split all, without;
	char name[16];

	/* A name that would fool a reader who stops at the first parenthesis. */
	ck_assert_int_eq(pthread_setname_np(pthread_self(), "a) R 1 (b"), 0);
	spin(0.1);
	ck_assert_int_eq(process_split_read(getpid(), "no such", &all), 0);
	ck_assert_int_eq(process_split_read(getpid(), "a) R", &without), 0);
	ck_assert(all.user_seconds + all.system_seconds >= 0.05);
	ck_assert(without.user_seconds + without.system_seconds <= 0.05);
	ck_assert_int_lt(process_split_read(-1, "x", &all), 0);
	ck_assert_int_eq(process_thread_name(getpid(), getpid(), name, sizeof(name)), 0);
	ck_assert_str_eq(name, "a) R 1 (b");
}
END_TEST

static void *make_calls(void *arg)
{
	for (int i = 0; i < 1000; i++)
		getppid();
	return arg;
}

START_TEST(calls_of_threads_to_come_are_counted)
{
	struct counters *syscalls;
	pthread_t thread;
	uint64_t count;
	int rc = counters_of_syscalls(getpid(), "no such", &syscalls);

	if (rc) {
		printf("skip calls_of_threads_to_come_are_counted - %s\n",
		       rc == -ENOENT ? "tracefs is not mounted, or has no raw_syscalls"
		       : rc == -EACCES || rc == -EPERM
			   ? "no right to count system calls: kernel.perf_event_paranoid"
			   : strerror(-rc));
		return;
	}
	pthread_create(&thread, NULL, make_calls, NULL);
	pthread_join(thread, NULL);
	make_calls(NULL);
	count = counters_sum(syscalls);
	counters_destroy(syscalls);
	ck_assert_uint_ge(count, 2000);
	ck_assert_uint_le(count, 2200);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("bench_process");
	TCase *tcase = tcase_create("process");
	SRunner *runner;
	int failed;

	tcase_add_test(tcase, peak_is_of_what_was_there_since_it_was_forgotten);
	tcase_add_test(tcase, split_leaves_out_threads_of_that_name);
	tcase_add_test(tcase, calls_of_threads_to_come_are_counted);
	suite_add_tcase(suite, tcase);
	runner = srunner_create(suite);
	srunner_run_all(runner, CK_ENV);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
