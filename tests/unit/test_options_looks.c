/* Checks of a guest's options against the host that could not be carried out: the guest does not start as if they had been. */
#include "../../vmm/options.h"
#include "failing_open.h"
#include "suite.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static char path[64];

/* A look at this path fails; NULL: none. */
static const char *unseen;

static bool cannot_be_seen(const char *name)
{
	if (!unseen || strcmp(name, unseen) != 0)
		return false;
	errno = ENOMEM;
	return true;
}

int __real_stat(const char *name, struct stat *st);
int __wrap_stat(const char *name, struct stat *st);
int __real_lstat(const char *name, struct stat *st);
int __wrap_lstat(const char *name, struct stat *st);

int __wrap_stat(const char *name, struct stat *st)
{
	return cannot_be_seen(name) ? -1 : __real_stat(name, st);
}

int __wrap_lstat(const char *name, struct stat *st)
{
	return cannot_be_seen(name) ? -1 : __real_lstat(name, st);
}

static void setup(void)
{
	strcpy(path, "/tmp/gmig-looks-XXXXXX");
	close(mkstemp(path));
}

static void teardown(void)
{
	unlink(path);
}

/* The check as the host is while `end` cannot be opened, with that error. */
static int check(int argc, const char *const *words, const char *end, int error,
		 struct gmig_error *err)
{
	struct gmig_topology *topology;
	struct vmm_options options;
	char *argv[16] = {NULL};
	int ret;

	for (int i = 0; i < argc; i++)
		argv[i] = strdup(words[i]);
	ck_assert_msg(!vmm_options_parse(argc, argv, &options, err), "%s", err->text);
	ck_assert_int_eq(gmig_topology_create(0, &topology, err), 0);
	err->text[0] = '\0';
	unreadable = end;
	unreadable_error = error;
	ret = vmm_options_check_host(&options, topology, err);
	unreadable = NULL;
	gmig_topology_put(topology);
	for (int i = 0; i < argc; i++)
		free(argv[i]);
	return ret;
}

#define CHECK(end, error, ...)                                                                     \
	check((int)(sizeof((const char *const[]){__VA_ARGS__}) / sizeof(char *)),                  \
	      (const char *const[]){__VA_ARGS__}, end, error, &err)

START_TEST(memory_that_cannot_be_counted_is_not_taken_at_once)
{
	struct gmig_error err;

	ck_assert_int_eq(CHECK("/node0/meminfo", EMFILE, "gmig-vmm", "--name", "t", "--kernel", "k",
			       "--mem", "8T", "--prealloc"),
			 -EMFILE);
	ck_assert_ptr_nonnull(strstr(err.text, "--prealloc: /sys/devices/system/node/node0/"));
	/* A host that does not say. */
	ck_assert_msg(!CHECK("/node0/meminfo", ENOENT, "gmig-vmm", "--name", "t", "--kernel", "k",
			     "--mem", "8T", "--prealloc"),
		      "%s", err.text);
}
END_TEST

static const char *const counts[] = {"/nr_overcommit_hugepages", "/free_hugepages"};

static bool kernel_makes_more(void)
{
	FILE *file =
	    fopen("/sys/kernel/mm/hugepages/hugepages-2048kB/nr_overcommit_hugepages", "re");
	unsigned long pages = 0;

	if (!file)
		return false;
	if (fscanf(file, "%lu", &pages) != 1)
		pages = 0;
	fclose(file);
	return pages;
}

START_TEST(pool_that_cannot_be_counted_is_not_taken_for_large_enough)
{
	struct gmig_error err;

	if (_i && kernel_makes_more()) {
		skip_case("the pool is not counted: this host's kernel makes huge pages as they "
			  "are asked for");
		return;
	}
	ck_assert_int_eq(CHECK(counts[_i], EMFILE, "gmig-vmm", "--name", "t", "--kernel", "k",
			       "--mem", "8T", "--memory", "hugetlb"),
			 -EMFILE);
	ck_assert_ptr_nonnull(strstr(err.text, "--memory: /sys/"));
}
END_TEST

START_TEST(console_file_of_which_nobody_can_tell_what_else_it_is_is_refused)
{
	struct gmig_error err;
	char console[80], kernel[80];

	snprintf(console, sizeof(console), "file:/tmp/..%s", path);
	snprintf(kernel, sizeof(kernel), "%s", path);
	unseen = kernel;
	ck_assert_int_eq(
	    CHECK(NULL, 0, "gmig-vmm", "--name", "t", "--kernel", kernel, "--console", console),
	    -ENOMEM);
	ck_assert_ptr_nonnull(strstr(err.text, "is the kernel, too: "));
	/* The console's own. */
	unseen = console + strlen("file:");
	ck_assert_int_eq(CHECK(NULL, 0, "gmig-vmm", "--name", "t", "--kernel", "/dev/null",
			       "--console", console),
			 -ENOMEM);
	/* A kernel that is not there is for others to tell. */
	unseen = NULL;
	ck_assert_msg(
	    !CHECK(NULL, 0, "gmig-vmm", "--name", "t", "--kernel", "/none", "--console", console),
	    "%s", err.text);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("options_looks");
	TCase *tcase = tcase_create("all");

	tcase_add_checked_fixture(tcase, setup, teardown);
	tcase_add_test(tcase, memory_that_cannot_be_counted_is_not_taken_at_once);
	tcase_add_loop_test(tcase, pool_that_cannot_be_counted_is_not_taken_for_large_enough, 0, 2);
	tcase_add_test(tcase, console_file_of_which_nobody_can_tell_what_else_it_is_is_refused);
	suite_add_tcase(suite, tcase);
	return run_suite(suite);
}
