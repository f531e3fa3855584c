#include "suite.h"
#include "../../migrate/core/sys.h"
#include "../../migrate/gmig.h"

#include <dirent.h>
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#ifndef GMIG_SANITIZED
/*
 * Does this program start a thread, in whichever of its processes? Those that start none are left out for ThreadSanitizer (tests/unit/unthreaded), and test.sh
 * looks whether that is so: in the directory $GMIG_THREADS_SEEN a file of the program's name says `some` or `none`. This stands before libc's.
 */
static char *threads_seen; /* shared by all processes of the program */
static pid_t first_process;

__attribute__((constructor)) static void begin_to_look_for_threads(void)
{
	if (!getenv("GMIG_THREADS_SEEN"))
		return;
	threads_seen = mmap(NULL, 1, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (threads_seen == MAP_FAILED)
		abort();
	first_process = getpid();
}

int pthread_create(pthread_t *thread, const pthread_attr_t *attributes, void *(*run)(void *),
		   void *argument)
{
	int (*real)(pthread_t *, const pthread_attr_t *, void *(*)(void *), void *);

	*(void **)&real = dlsym(RTLD_NEXT, "pthread_create");
	if (threads_seen)
		*threads_seen = 1;
	return real(thread, attributes, run, argument);
}

__attribute__((destructor)) static void tell_of_threads(void)
{
	char path[PATH_MAX];
	FILE *file;

	if (!threads_seen || getpid() != first_process)
		return;
	snprintf(path, sizeof(path), "%s/%s", getenv("GMIG_THREADS_SEEN"),
		 program_invocation_short_name);
	file = fopen(path, "we");
	if (!file || fprintf(file, "%s\n", *threads_seen ? "some" : "none") < 0 || fclose(file))
		abort();
}
#endif

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

bool has_zero_page(void)
{
	size_t bytes = 2 * GMIG_PAGE_BYTES;
	int pagemap = open("/proc/self/pagemap", O_RDONLY | O_CLOEXEC);
	volatile char *page =
	    mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	struct page_region region;
	struct pm_scan_arg arg = {.size = sizeof(arg),
				  .start = (uintptr_t)page,
				  .end = (uintptr_t)page + bytes,
				  .vec = (uintptr_t)&region,
				  .vec_len = 1,
				  .category_mask = PAGE_IS_PRESENT,
				  .return_mask = PAGE_IS_PFNZERO};
	bool has = true;

	ck_assert_ptr_ne((void *)page, MAP_FAILED);
	(void)*page;
	if (pagemap >= 0 && gmig_sys_real.ioctl(pagemap, PAGEMAP_SCAN, &arg) == 1)
		has = region.categories & PAGE_IS_PFNZERO;
	munmap((void *)page, bytes);
	if (pagemap >= 0)
		close(pagemap);
	return has;
}

const char *own_program(void)
{
	static char path[PATH_MAX];
	ssize_t length = readlink("/proc/self/exe", path, sizeof(path) - 1);

	ck_assert_int_gt(length, 0);
	path[length] = '\0';
	return path;
}

static bool thread_sleeps(const char *tid)
{
	char path[64], text[512];
	const char *name_end;
	ssize_t length;
	int fd;

	snprintf(path, sizeof(path), "/proc/self/task/%.20s/stat", tid);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	length = fd < 0 ? 0 : read(fd, text, sizeof(text) - 1);
	if (fd >= 0)
		close(fd);
	if (length <= 0)
		return true; /* it has ended */
	text[length] = '\0';
	name_end = strrchr(text, ')');
	return name_end && name_end[2] == 'S';
}

void await_rest(void)
{
	bool rest = false;

	for (int i = 0; i < 10000 && !rest; i++) {
		DIR *threads = opendir("/proc/self/task");
		const struct dirent *entry;

		ck_assert_ptr_nonnull(threads);
		rest = true;
		while ((entry = readdir(threads)))
			rest &= *entry->d_name == '.' || atoi(entry->d_name) == getpid() ||
				thread_sleeps(entry->d_name);
		closedir(threads);
		if (!rest)
			usleep(1000);
	}
	ck_assert_msg(rest, "the other threads do not come to rest");
}
