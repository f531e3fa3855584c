/* Opening another process: what its files in /proc may say, what is refused and in which words, and what is closed again. */
#include "fake_process.h"
#include "no_listing.h"
#include "open_files.h"
#include "suite.h"

#include <linux/mempolicy.h>

static struct process *process;
static struct process_maps maps;
static struct gmig_error err;

static void setup(void)
{
	fake_process_setup();
	process = NULL;
	memset(&maps, 0, sizeof(maps));
}

static void teardown(void)
{
	process_maps_free(&maps);
	process_close(process);
	fake_process_teardown();
}

static void assert_opens(void)
{
	ck_assert_msg(!process_open(&fake_sys, FAKE_PID, &process, &err), "%s", err.text);
}

/* It is refused, in these words; and nothing of it stays open. */
static void assert_refused(pid_t pid, int error, const char *text)
{
	unsigned int files = open_files();

	ck_assert_int_eq(process_open(&fake_sys, pid, &process, &err), error);
	ck_assert_int_eq(err.code, error);
	ck_assert_str_eq(err.text, text);
	ck_assert_ptr_null(process);
	ck_assert_uint_eq(open_files(), files);
}

/* ---- A file of /proc that is special ----------------------------------------------------------- */

static const char *special;
static int special_error; /* 0: it is what cannot be read */
static int special_flags;

static int open_special(pid_t pid, const char *name)
{
	if (strcmp(name, special) != 0)
		return fake_open_proc(pid, name);
	if (special_error)
		return special_error;
	return open(special_flags == O_WRONLY ? "/dev/null" : "/tmp", special_flags | O_CLOEXEC);
}

static void make_special(const char *name, int error, int flags)
{
	special = name;
	special_error = error;
	special_flags = flags;
	fake_sys.open_proc = open_special;
}

/* ---- Who it is ------------------------------------------------------------------------------- */

START_TEST(number_of_nobody_is_refused)
{
	assert_refused(0, -EINVAL, "0 is no process id");
	assert_refused(-1, -EINVAL, "-1 is no process id");
	assert_refused(1, -ESRCH, "there is no process 1");
	assert_refused(78, -ESRCH, "there is no process 78");
}
END_TEST

static int pidfd_error;

static int refuse_pidfd(pid_t pid)
{
	(void)pid;
	return pidfd_error;
}

START_TEST(thread_is_refused_with_its_process)
{
	fake_sys.pidfd_open = refuse_pidfd;
	pidfd_error = -EINVAL;
	/* A key counts where a line begins. */
	fake_file("79/status", "Name:\tTgid: 5\nTgid:\t77\n");
	assert_refused(79, -EINVAL, "79 is a thread of the process 77: give that one");
	fake_file("79/status", "Tgid:\t1\n");
	pidfd_error = -ENOENT;
	assert_refused(79, -EINVAL, "79 is a thread of the process 1: give that one");
	fake_file("79/status", "Tgid:\t79\n");
	assert_refused(79, -ESRCH, "there is no process 79");
	fake_file("79/status", "Tgid:\t0\n");
	assert_refused(79, -ESRCH, "there is no process 79");
	fake_file("79/status", "Name:\tTgid: 5\n");
	assert_refused(79, -ESRCH, "there is no process 79");
	fake_file("79/status", "%s", "");
	assert_refused(79, -ESRCH, "there is no process 79");
	assert_refused(80, -ESRCH, "there is no process 80");
}
END_TEST

START_TEST(process_without_pidfd_is_known_by_its_start_time)
{
	static const int errors[] = {-ENOSYS, -EPERM};

	fake_sys.pidfd_open = refuse_pidfd;
	pidfd_error = errors[_i];
	assert_opens();
	ck_assert_int_lt(process->pidfd, 0);
	ck_assert_int_eq(process_check(process, &err), 0);
	fake_stat(499);
	ck_assert_int_eq(process_check(process, &err), -ESRCH);
	ck_assert_str_eq(err.text, "process 77 (worker (x) y) has ended");
	fake_stat(500);
	ck_assert_int_eq(process_check(process, &err), 0);
	fake_file("77/stat", "%s", "");
	ck_assert_int_eq(process_check(process, &err), -ESRCH);
}
END_TEST

/* Out of descriptors: that says nothing of the process, and it has not ended. */
START_TEST(process_that_cannot_be_looked_at_is_not_said_to_be_none)
{
	fake_sys.pidfd_open = refuse_pidfd;
	pidfd_error = -EMFILE;
	assert_refused(FAKE_PID, -EMFILE, "process 77 cannot be looked at: Too many open files");
	pidfd_error = -EINVAL;
	make_special("status", -EMFILE, 0);
	assert_refused(FAKE_PID, -EMFILE, "process 77 cannot be looked at: Too many open files");
	pidfd_error = -ENOSYS;
	make_special("stat", -ENFILE, 0);
	assert_refused(FAKE_PID, -ENFILE,
		       "process 77 cannot be looked at: Too many open files in system");
	fake_sys.open_proc = fake_open_proc;
	assert_opens();
	make_special("stat", -ENFILE, 0);
	ck_assert_int_eq(process_check(process, &err), -ENFILE);
	make_special("stat", 0, O_RDONLY);
	ck_assert_int_eq(process_check(process, &err), -EISDIR);
	make_special("stat", -ENOENT, 0);
	ck_assert_int_eq(process_check(process, &err), -ESRCH);
	make_special("stat", -ESRCH, 0);
	ck_assert_int_eq(process_check(process, &err), -ESRCH);
}
END_TEST

static const struct {
	const char *stat, *name;
	uint64_t start_time;
} stats[] = {
    {"77 (a) S 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 4711", "a", 4711},
    {"77 (a) S 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 4711 9", "a", 4711},
    {"77 (a) S 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18", NULL, 0},
    {"77 () S 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 4711", "", 4711},
    {"77 ()) (() S 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 4711", ")) ((", 4711},
    {"77 (\x1f \x7f~\n) S 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 4711", "? ?~?", 4711},
    {"77 (123456789012345678901234567890123456789012345678901234567890123) "
     "S 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 4711",
     "123456789012345678901234567890123456789012345678901234567890123", 4711},
    {"77 (1234567890123456789012345678901234567890123456789012345678901234) "
     "S 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 4711",
     "123456789012345678901234567890123456789012345678901234567890123", 4711},
    {"77 )a( S 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 4711", NULL, 0},
    {"77 (a S 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 4711", NULL, 0},
    {"77 a) S 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 4711", NULL, 0},
    {"", NULL, 0},
};

START_TEST(name_and_start_time_are_taken_from_where_they_stand)
{
	fake_file("77/stat", "%s", stats[_i].stat);
	if (!stats[_i].name) {
		assert_refused(FAKE_PID, -ESRCH, "there is no process 77");
		return;
	}
	assert_opens();
	ck_assert_str_eq(process->name, stats[_i].name);
	ck_assert_uint_eq(process->start_time, stats[_i].start_time);
}
END_TEST

START_TEST(text_of_a_file_ends_where_there_is_room)
{
	char text[8] = "xxxxxxx";

	assert_opens();
	fake_file("77/comm", "abcdef");
	ck_assert_int_eq(process_read_text(process, "comm", text, 4), 3);
	ck_assert_str_eq(text, "abc");
	ck_assert_int_eq(text[4], 'x');
	ck_assert_int_eq(process_read_text(process, "comm", text, 7), 6);
	ck_assert_str_eq(text, "abcdef");
	ck_assert_int_eq(process_read_text(process, "none", text, 7), -ENOENT);
}
END_TEST

/* ---- Rights ------------------------------------------------------------------------------------ */

static long told[4]; /* what move_pages(2) says of 77, of other threads, of ourselves; MOVE_ALL */
static pid_t with_memory = -1;

static long tell(pid_t pid, unsigned long count, void **pages, const int *nodes, int *status,
		 int flags)
{
	ck_assert_uint_eq(count, 0);
	ck_assert(!pages && !nodes && !status);
	ck_assert(flags == MPOL_MF_MOVE || flags == MPOL_MF_MOVE_ALL);
	if (flags == MPOL_MF_MOVE_ALL && told[3])
		return told[3];
	if (pid == with_memory)
		return 0;
	return !pid ? told[2] : pid == FAKE_PID ? told[0] : told[1];
}

START_TEST(refusal_of_move_pages_is_told_in_words)
{
	fake_sys.move_pages = tell;
	told[0] = -ESRCH;
	assert_refused(FAKE_PID, -ESRCH, "there is no process 77");
	told[0] = told[1] = -EINVAL;
	assert_refused(FAKE_PID, -EINVAL,
		       "process 77 (worker (x) y) has no memory: it is a kernel thread, or ending");
	told[0] = -EPERM;
	assert_refused(FAKE_PID, -EPERM,
		       "process 77 (worker (x) y) belongs to user 1000: moving its memory needs "
		       "CAP_SYS_PTRACE, or to be that user");
	told[2] = -EPERM;
	assert_refused(FAKE_PID, -EPERM,
		       "move_pages(2) is forbidden here, even for our own memory: allow it in the "
		       "container's seccomp profile, or give CAP_SYS_NICE");
	told[0] = -ENOSYS;
	assert_refused(FAKE_PID, -ENOSYS, "move_pages(2) on process 77: Function not implemented");
}
END_TEST

START_TEST(shared_pages_are_moved_by_those_who_may)
{
	fake_sys.move_pages = tell;
	assert_opens();
	ck_assert(process->can_shared);
	process_close(process);
	told[3] = -EPERM;
	assert_opens();
	ck_assert(!process->can_shared);
}
END_TEST

/* Main thread without memory: the first of the others that has some. */
START_TEST(memory_is_reached_by_a_thread_that_has_some)
{
	unsigned int files = open_files();

	fake_sys.move_pages = tell;
	told[0] = told[1] = -EINVAL;
	fake_thread(1, "0-1");
	fake_thread(80, "0-1");
	fake_thread(81, "0-1");
	fake_file("77/task/x", "not a number");
	with_memory = 80;
	assert_opens();
	ck_assert_int_eq(process->entry, 80);
	with_memory = 1;
	ck_assert_int_eq(process_find_entry(process, &err), 0);
	ck_assert_int_eq(process->entry, 1);
	/* None is left: its number has to do. */
	with_memory = 99;
	ck_assert_int_eq(process_find_entry(process, &err), 0);
	ck_assert_int_eq(process->entry, FAKE_PID);
	/* It has just ended. */
	with_memory = 80;
	make_special("task", -ENOENT, 0);
	ck_assert_int_eq(process_find_entry(process, &err), 0);
	ck_assert_int_eq(process->entry, FAKE_PID);
	/* One that is reached by its number needs no list. */
	make_special("task", 0, O_WRONLY);
	told[0] = -EPERM;
	ck_assert_int_eq(process_find_entry(process, &err), 0);
	ck_assert_int_eq(process->entry, FAKE_PID);
	process_close(process);
	process = NULL;
	ck_assert_uint_eq(open_files(), files);
}
END_TEST

static int find_entry(void)
{
	return process_find_entry(process, &err);
}

static int find_entry_again(void)
{
	find_entry();
	return process->entry == 80 ? 0 : -EBADE;
}

/* It is not without memory for that, nor is another thread taken than the last one. */
START_TEST(threads_that_cannot_be_listed_leave_the_last_one_that_had_memory)
{
	unsigned int files = open_files();
	int ret;

	fake_sys.move_pages = tell;
	told[0] = told[1] = -EINVAL;
	fake_thread(80, "0-1");
	with_memory = 80;
	make_special("task", -EMFILE, 0);
	assert_refused(FAKE_PID, -EMFILE,
		       "the threads of process 77 (worker (x) y) cannot be listed: Too many open "
		       "files");
	fake_sys.open_proc = fake_open_proc;
	assert_opens();
	make_special("task", 0, O_WRONLY);
	ck_assert_int_eq(find_entry(), -ENOTDIR);
	ck_assert_int_eq(process->entry, 80);
	ck_assert_int_eq(process_maps_read(process, &maps, &err), -ENOTDIR);
	fake_sys.open_proc = fake_open_proc;
	ret = without_listing(find_entry);
	ck_assert_msg(ret == -EIO || ret == NO_LISTING_SKIP, "%d", ret);
	ret = without_listing(find_entry_again);
	ck_assert_msg(!ret || ret == NO_LISTING_SKIP, "%d", ret);
	process_close(process);
	process = NULL;
	ck_assert_uint_eq(open_files(), files);
}
END_TEST

START_TEST(all_that_was_opened_is_closed)
{
	unsigned int files = open_files(), with_it;

	assert_opens();
	ck_assert_int_eq(process_maps_read(process, &maps, &err), 0);
	ck_assert_int_ge(process->pagemap, 0);
	with_it = open_files();
	ck_assert_uint_eq(with_it, files + 2);
	process_maps_free(&maps);
	ck_assert_int_eq(process_maps_read(process, &maps, &err), 0);
	ck_assert_uint_eq(open_files(), with_it);
	process_close(process);
	process = NULL;
	ck_assert_uint_eq(open_files(), files);
	process_close(NULL);
}
END_TEST

/* ---- Its mappings are read --------------------------------------------------------------------- */

START_TEST(mappings_without_pagemap_are_read_and_not_scanned)
{
	assert_opens();
	make_special("pagemap", -EACCES, 0);
	ck_assert_int_eq(process_maps_read(process, &maps, &err), 0);
	ck_assert_int_lt(process->pagemap, 0);
	ck_assert(!process->can_scan);
	ck_assert_uint_eq(maps.count, 1);
	process_maps_free(&maps);
	fake_sys.open_proc = fake_open_proc;
	ck_assert_int_eq(process_maps_read(process, &maps, &err), 0);
	ck_assert(process->can_scan);
	process_maps_free(&maps);
	fake_no_scan = true;
	ck_assert_int_eq(process_maps_read(process, &maps, &err), 0);
	ck_assert(process->pagemap >= 0 && !process->can_scan);
}
END_TEST

static const struct {
	int error, flags, expected;
	const char *text;
} unread[] = {
    {-ENOENT, 0, -ESRCH,
     "the mappings of process 77 (worker (x) y) cannot be read: No such file or directory"},
    {-EACCES, 0, -EACCES,
     "the mappings of process 77 (worker (x) y) cannot be read: Permission denied"},
    {0, O_WRONLY, -ENOMEM, "out of memory"},
    {0, O_RDONLY, -EISDIR, "the mappings of process 77 (worker (x) y): Is a directory"},
};

START_TEST(mappings_that_cannot_be_read_are_none)
{
	unsigned int files;

	assert_opens();
	make_special("smaps", unread[_i].error, unread[_i].flags);
	files = open_files();
	ck_assert_int_eq(process_maps_read(process, &maps, &err), unread[_i].expected);
	ck_assert_int_eq(err.code, unread[_i].expected);
	ck_assert_str_eq(err.text, unread[_i].text);
	ck_assert(!maps.mapping && !maps.count && !maps.node);
	ck_assert_uint_eq(open_files(), files + 1); /* pagemap */
}
END_TEST

static int end_while_opened(pid_t pid, const char *name)
{
	if (!strcmp(name, "smaps"))
		fake_process_ends();
	return fake_open_proc(pid, name);
}

START_TEST(mappings_of_a_process_that_ends_meanwhile_are_none)
{
	assert_opens();
	fake_sys.open_proc = end_while_opened;
	ck_assert_int_eq(process_maps_read(process, &maps, &err), -ESRCH);
	ck_assert_str_eq(err.text, "process 77 (worker (x) y) has ended");
	ck_assert(!maps.mapping && !maps.count);
}
END_TEST

START_TEST(nodes_of_mappings_that_cannot_be_read_are_not_known)
{
	static const struct {
		int error, flags, expected;
	} cases[] = {{-ENOENT, 0, -ENOENT}, {0, O_WRONLY, -ENOMEM}, {0, O_RDONLY, -EISDIR}};
	unsigned int files;

	assert_opens();
	ck_assert_int_eq(process_maps_read(process, &maps, &err), 0);
	files = open_files();
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		ck_assert_int_eq(process_maps_locate(process, &maps), 0);
		ck_assert_int_eq(maps.node[0], 0);
		make_special("numa_maps", cases[i].error, cases[i].flags);
		ck_assert_int_eq(process_maps_locate(process, &maps), cases[i].expected);
		ck_assert_ptr_null(maps.node);
		fake_sys.open_proc = fake_open_proc;
	}
	ck_assert_uint_eq(open_files(), files);
}
END_TEST

/* ---- Its cpuset -------------------------------------------------------------------------------- */

static struct gmig_node_set set_of(const char *text)
{
	struct gmig_node_set set = {{0}};

	ck_assert_int_eq(gmig_node_set_parse(text, &set, NULL), 0);
	return set;
}

static pid_t thread_for(const char *nodes, int expected)
{
	const struct gmig_node_set set = set_of(nodes);
	pid_t tid = 0;

	ck_assert_int_eq(process_thread_for(process, &set, &tid, &err), expected);
	return tid;
}

START_TEST(allowed_nodes_are_those_of_the_status)
{
	struct gmig_node_set allowed, expected = set_of("0,5-7");

	assert_opens();
	fake_thread(80, "0,5-7");
	ck_assert_int_eq(process_thread_allowed(process, 80, &allowed), 0);
	ck_assert_mem_eq(&allowed, &expected, sizeof(allowed));
	fake_file("77/task/81/status", "Name:\tworker\nMems_allowed_list: \t0,5-7");
	ck_assert_int_eq(process_thread_allowed(process, 81, &allowed), 0);
	ck_assert_mem_eq(&allowed, &expected, sizeof(allowed));
	/* A kernel without cpusets: all. */
	fake_file("77/task/81/status", "Name:\tMems_allowed_list:\t1\n");
	ck_assert_int_eq(process_thread_allowed(process, 81, &allowed), 0);
	for (unsigned int node = 0; node < GMIG_MAX_NODES; node++)
		ck_assert(gmig_node_set_has(&allowed, node));
	fake_thread(81, "x");
	ck_assert_int_eq(process_thread_allowed(process, 81, &allowed), -EINVAL);
	ck_assert_int_eq(process_thread_allowed(process, 82, &allowed), -ESRCH);
	make_special("task/80/status", -EACCES, 0);
	ck_assert_int_eq(process_thread_allowed(process, 80, &allowed), -EACCES);
}
END_TEST

START_TEST(thread_is_named_whose_cpuset_has_all_of_the_nodes)
{
	unsigned int files;

	assert_opens();
	fake_thread(80, "0-1,3");
	fake_thread(81, "2");
	fake_thread(5, "5");
	fake_file("77/task/x/status", "Mems_allowed_list:\t0-9\n");
	files = open_files();
	ck_assert_int_eq(thread_for("0", 0), FAKE_PID);
	ck_assert_int_eq(thread_for("2", 0), 81);
	ck_assert_int_eq(thread_for("5", 0), 5);
	ck_assert_int_eq(thread_for("1,3", 0), 80);
	ck_assert_int_eq(thread_for("1-3", -EACCES), 0);
	ck_assert_str_eq(err.text,
			 "process 77 (worker (x) y) may have memory on nodes 0-1, not on 2-3: "
			 "widen cpuset.mems of its cgroup '/machine.slice/a' first");
	ck_assert_int_eq(err.code, -EACCES);
	/* By 80, for the main thread has ended: that has a cpuset, and no memory. */
	process->entry = 81;
	ck_assert_int_eq(thread_for("0", 0), 80);
	fake_thread(80, "3");
	ck_assert_int_eq(thread_for("0", -EACCES), 0);
	ck_assert_ptr_nonnull(strstr(err.text, "nodes 2, not on 0:"));
	ck_assert_uint_eq(open_files(), files);
}
END_TEST

START_TEST(cpuset_that_cannot_be_read_is_told)
{
	unsigned int files;

	assert_opens();
	files = open_files();
	make_special("task/77/status", -EACCES, 0);
	thread_for("0", -EACCES);
	ck_assert_str_eq(err.text, "the status of process 77 cannot be read: Permission denied");
	make_special("task/77/status", -ENOENT, 0);
	thread_for("0", -ESRCH);
	ck_assert_str_eq(err.text, "the status of process 77 cannot be read: No such process");
	/* It has just ended. */
	fake_thread(80, "3");
	make_special("task", -ENOENT, 0);
	thread_for("3", -ESRCH);
	ck_assert_uint_eq(open_files(), files);
}
END_TEST

static int look_for_node_3(void)
{
	const struct gmig_node_set set = set_of("3");
	pid_t tid = -1;
	int ret = process_thread_for(process, &set, &tid, &err);

	ck_assert(ret ? !tid : tid > 0);
	return ret;
}

/* One of those may have the nodes: that none has is not said. */
START_TEST(threads_whose_cpusets_cannot_be_read_are_told)
{
	unsigned int files;
	int ret;

	assert_opens();
	files = open_files();
	fake_thread(80, "2");
	make_special("task", -EMFILE, 0);
	ck_assert_int_eq(look_for_node_3(), -EMFILE);
	ck_assert_str_eq(err.text, "the cpusets of the threads of process 77 cannot be read: "
				   "Too many open files");
	make_special("task", 0, O_WRONLY);
	ck_assert_int_eq(look_for_node_3(), -ENOTDIR);
	make_special("task/80/status", -EMFILE, 0);
	ck_assert_int_eq(look_for_node_3(), -EMFILE);
	/* One that has ended is none; and one that has them is enough. */
	make_special("task/80/status", -ENOENT, 0);
	ck_assert_int_eq(look_for_node_3(), -EACCES);
	make_special("task/80/status", -EMFILE, 0);
	fake_thread(81, "3");
	ck_assert_int_eq(look_for_node_3(), 0);
	fake_thread(81, "2");
	fake_sys.open_proc = fake_open_proc;
	ret = without_listing(look_for_node_3);
	ck_assert_msg(ret == -EIO || ret == NO_LISTING_SKIP, "%d", ret);
	ck_assert_uint_eq(open_files(), files);
}
END_TEST

static const struct {
	const char *text, *cgroup;
} cgroups[] = {
    {"0::/unified\n4:cpu,cpuset:/sets/two\n", "'/sets/two'"},
    {"4:cpuset:/sets/two\n0::/unified\n", "'/sets/two'"},
    {"4:cpuset:/one\n3:cpuset:/two\n", "'/one'"},
    {"none\n5\n6:memory\n7:name=systemd:/s\n0::/one:two", "'/one:two'"},
    {"7:name=systemd:/s\n", "'?'"},
    {"", "'?'"},
};

START_TEST(cgroup_that_is_to_be_widened_is_that_of_the_cpuset)
{
	assert_opens();
	fake_file("77/cgroup", "%s", cgroups[_i].text);
	thread_for("3", -EACCES);
	ck_assert_msg(strstr(err.text, cgroups[_i].cgroup) != NULL, "%s", err.text);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("process_open");
	TCase *tcase = tcase_create("process_open");

	tcase_add_checked_fixture(tcase, setup, teardown);
	tcase_add_test(tcase, number_of_nobody_is_refused);
	tcase_add_test(tcase, thread_is_refused_with_its_process);
	tcase_add_loop_test(tcase, process_without_pidfd_is_known_by_its_start_time, 0, 2);
	tcase_add_test(tcase, process_that_cannot_be_looked_at_is_not_said_to_be_none);
	tcase_add_loop_test(tcase, name_and_start_time_are_taken_from_where_they_stand, 0,
			    sizeof(stats) / sizeof(stats[0]));
	tcase_add_test(tcase, text_of_a_file_ends_where_there_is_room);
	tcase_add_test(tcase, refusal_of_move_pages_is_told_in_words);
	tcase_add_test(tcase, shared_pages_are_moved_by_those_who_may);
	tcase_add_test(tcase, memory_is_reached_by_a_thread_that_has_some);
	tcase_add_test(tcase, threads_that_cannot_be_listed_leave_the_last_one_that_had_memory);
	tcase_add_test(tcase, all_that_was_opened_is_closed);
	tcase_add_test(tcase, mappings_without_pagemap_are_read_and_not_scanned);
	tcase_add_loop_test(tcase, mappings_that_cannot_be_read_are_none, 0,
			    sizeof(unread) / sizeof(unread[0]));
	tcase_add_test(tcase, mappings_of_a_process_that_ends_meanwhile_are_none);
	tcase_add_test(tcase, nodes_of_mappings_that_cannot_be_read_are_not_known);
	tcase_add_test(tcase, allowed_nodes_are_those_of_the_status);
	tcase_add_test(tcase, thread_is_named_whose_cpuset_has_all_of_the_nodes);
	tcase_add_test(tcase, cpuset_that_cannot_be_read_is_told);
	tcase_add_test(tcase, threads_whose_cpusets_cannot_be_read_are_told);
	tcase_add_loop_test(tcase, cgroup_that_is_to_be_widened_is_that_of_the_cpuset, 0,
			    sizeof(cgroups) / sizeof(cgroups[0]));
	suite_add_tcase(suite, tcase);
	return run_suite(suite);
}
