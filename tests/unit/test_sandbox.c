/*
 * A thread of gmig-vmm that somebody has taken over: what it tries, in a child process that has entered as one of each kind. What
 * is refused there is done by a child that has not entered, so that each attempt is known to be one.
 */
#include "../../control/closed_nodes.h"
#include "../../vmm/sandbox.h"
#include "../support/failing_open.h"
#include "../support/suite.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/landlock.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <unistd.h>

static char directory[64], control[96], port[96], outside[96], file[128];
static struct vmm_options options;
static int quiet[2]; /* a pipe that nobody writes to */

static void make_file(const char *path)
{
	int fd = open(path, O_RDWR | O_CREAT | O_EXCL, 0600);

	ck_assert_int_ge(fd, 0);
	ck_assert_int_eq(write(fd, "x", 1), 1);
	close(fd);
}

/* A directory for each socket, with the socket's file in it, and one for nothing. */
static void setup(void)
{
	strcpy(directory, "/tmp/gmig-test-sandbox-XXXXXX");
	ck_assert_ptr_nonnull(mkdtemp(directory));
	snprintf(control, sizeof(control), "%s/run", directory);
	ck_assert_int_eq(mkdir(control, 0700), 0);
	strcat(control, "/vm.sock");
	make_file(control);
	snprintf(port, sizeof(port), "%s/ports", directory);
	ck_assert_int_eq(mkdir(port, 0700), 0);
	strcat(port, "/p.sock");
	make_file(port);
	snprintf(outside, sizeof(outside), "%s/outside", directory);
	ck_assert_int_eq(mkdir(outside, 0700), 0);
	snprintf(file, sizeof(file), "%s/file", outside);
	make_file(file);
	options.port[0].path = port;
	options.port_count = 1;
	ck_assert_int_eq(pipe(quiet), 0);
}

static void teardown(void)
{
	char command[96];

	close(quiet[0]);
	close(quiet[1]);
	snprintf(command, sizeof(command), "rm -rf %s", directory);
	ck_assert_int_eq(system(command), 0);
}

/* ---- What it tries: 0 it was refused, else what it got ---------------------------------------- */

static int refused(long rc)
{
	return rc == -1 && (errno == EPERM || errno == EACCES) ? 0 : 1;
}

static int try_read_file(void)
{
	return refused(open(file, O_RDONLY)) + refused(open("/etc/passwd", O_RDONLY));
}

static int try_list_directory(void)
{
	return refused(open(outside, O_RDONLY | O_DIRECTORY));
}

static int try_write_file(void)
{
	return refused(open(file, O_WRONLY)) + refused(open(file, O_RDWR | O_TRUNC)) +
	       refused(truncate(file, 0)) + refused(chmod(file, 0777)) +
	       refused(rename(file, control)) + refused(link(file, "/tmp/gmig-test-sandbox-l"));
}

static int try_create_file(void)
{
	char path[160];

	snprintf(path, sizeof(path), "%s/new", outside);
	return refused(open(path, O_RDONLY | O_CREAT, 0600)) + refused(symlink("x", path)) +
	       refused(mknod(path, S_IFIFO, 0)) + refused(open(outside, O_TMPFILE | O_RDWR, 0600));
}

static int try_remove_file(void)
{
	return refused(unlink(file));
}

static int try_socket(void)
{
	return refused(socket(AF_INET, SOCK_STREAM, 0)) + refused(socket(AF_UNIX, SOCK_STREAM, 0));
}

static int try_signal(void)
{
	return refused(kill(getppid(), 0)) + refused(syscall(SYS_tgkill, getppid(), getppid(), 0));
}

/* The owner of a descriptor is sent a signal when there is something to read. */
static int try_own_descriptor(void)
{
	return refused(fcntl(quiet[0], F_SETOWN, getppid())) +
	       refused(fcntl(quiet[0], F_SETSIG, SIGIO)) +
	       refused(fcntl(quiet[0], F_SETFL, O_ASYNC));
}

static int try_process(void)
{
	pid_t pid = (pid_t)syscall(SYS_fork);

	if (!pid)
		_exit(0);
	return (pid > 0 && waitpid(pid, NULL, 0) == pid) + (pid == -1 && errno != EPERM);
}

static int try_clone(void)
{
	pid_t pid = fork(); /* clone(2) in libc */

	if (!pid)
		_exit(0);
	return pid > 0;
}

static int try_code(void)
{
	void *page = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	return refused(mprotect(page, 4096, PROT_READ | PROT_EXEC)) +
	       refused((long)mmap(NULL, 4096, PROT_READ | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS,
				  -1, 0));
}

static int try_limits(void)
{
	struct rlimit limit = {1 << 20, 1 << 20};

	return refused(setrlimit(RLIMIT_CORE, &limit)) +
	       refused(prctl(PR_SET_DUMPABLE, 1, 0, 0, 0));
}

/* A character of ours in the operator's shell. */
static int try_type_into_terminal(void)
{
	return ioctl(STDIN_FILENO, TIOCSTI, "x") == -1 && errno == EPERM ? 0 : 1;
}

static int advise_one(int advice)
{
	void *page = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	/* The kernel reads 32 bits of it. */
	long rc = syscall(SYS_madvise, page, 4096, 1ul << 32 | (unsigned int)advice);

	/* EINVAL: none of this kernel's */
	return rc == -1 && errno == EPERM ? 0 : rc == -1 && errno != EINVAL ? 2 : 1;
}

/* A filter is asked before the kernel looks at the address: no frame is taken from this machine. */
static int try_break_memory(void)
{
	return refused(syscall(SYS_madvise, 1, 4096, 1ul << 32 | 100)); /* MADV_HWPOISON */
}

static int try_retire_memory(void)
{
	return refused(syscall(SYS_madvise, 1, 4096, 101)); /* MADV_SOFT_OFFLINE */
}

static int try_dump_memory(void)
{
	return advise_one(MADV_DODUMP) + advise_one(MADV_DOFORK) + advise_one(MADV_MERGEABLE);
}

static int try_place_memory(void)
{
	void *page = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	int status = 0;

	*(volatile char *)page = 1;
	if (advise_one(MADV_PAGEOUT) != advise_one(MADV_DONTFORK))
		return 2;
	return advise_one(MADV_DONTFORK) == 1 &&
		       !syscall(SYS_move_pages, 0, 1ul, &page, NULL, &status, 0) &&
		       !syscall(SYS_mbind, page, 4096ul, 0, NULL, 0ul, 0)
		   ? 1
		   : refused(syscall(SYS_move_pages, 0, 1ul, &page, NULL, &status, 0));
}

static int try_free_memory(void)
{
	return advise_one(MADV_DONTNEED) == 1 && advise_one(MADV_HUGEPAGE) == 1 ? 1 : 2;
}

static int try_move_others(void)
{
	long pid = getppid();

	return refused(syscall(SYS_move_pages, pid, 0ul, NULL, NULL, NULL, 0)) +
	       refused(syscall(SYS_mbind, 0, 4096ul, 0, NULL, 0ul, 4)); /* MPOL_MF_MOVE_ALL */
}

static int try_kernel(void)
{
	uint8_t map[128] = {0}; /* addresses that valgrind can read */

	return refused(syscall(SYS_bpf, 0, map, 0)) + refused(syscall(SYS_io_uring_setup, 1, map)) +
	       refused(syscall(SYS_userfaultfd, O_CLOEXEC)) +
	       refused(syscall(SYS_perf_event_open, map, 0, -1, -1, 0)) +
	       refused(syscall(SYS_unshare, 0)) + refused(syscall(SYS_setuid, getuid()));
}

static int try_program(void)
{
	char *const argv[] = {(char *)"/bin/true", NULL};

	execv(argv[0], argv);
	return 1;
}

static int try_trace(void)
{
	ptrace(PTRACE_TRACEME, 0, NULL, NULL);
	return 1;
}

static int try_memory_of_others(void)
{
	char byte = 0;
	struct iovec own = {&byte, 1}, other = {directory, 1};

	process_vm_readv(getppid(), &own, 1, &other, 1, 0);
	return 1;
}

static void *nothing(void *opaque)
{
	return opaque;
}

static int try_thread(void)
{
	pthread_t thread;
	int ret = pthread_create(&thread, NULL, nothing, NULL);

	if (ret)
		return ret == EPERM || ret == EAGAIN ? 0 : 2;
	pthread_join(thread, NULL);
	return 1;
}

static int try_read_own_status(void)
{
	char text[64];
	int fd = open("/proc/self/status", O_RDONLY);

	if (fd < 0)
		return refused(fd);
	return read(fd, text, sizeof(text)) > 0 ? 1 : 2;
}

static int try_read_host(void)
{
	int meminfo = open("/proc/meminfo", O_RDONLY);
	/* libc's allocator, before it gives back a part of an arena */
	int overcommit = open("/proc/sys/vm/overcommit_memory", O_RDONLY);
	/* mover hugetlb */
	int maps = open("/proc/sys/vm/max_map_count", O_RDONLY);

	if (meminfo < 0)
		return refused(meminfo);
	if (overcommit < 0)
		return refused(overcommit);
	if (maps < 0)
		return refused(maps);
	return access("/sys/devices/system/cpu", F_OK) ||
		       open("/sys/devices/system/cpu/possible", O_RDONLY) >= 0
		   ? 1
		   : 2;
}

/* Those of our own sockets go when we end. */
static int try_remove_sockets(void)
{
	return unlink(control) || unlink(port) ? 0 : 1;
}

static int try_own_signal(void)
{
	return syscall(SYS_tgkill, getpid(), gettid(), 0) ? 0 : 1;
}

static int try_write_to_stderr(void)
{
	return write(STDERR_FILENO, "", 0) ? 0 : 1;
}

enum {
	L = 1 << SANDBOX_LOG,
	D = 1 << SANDBOX_DEVICE,
	C = 1 << SANDBOX_CONTROL,
	E = 1 << SANDBOX_ENGINE | C,
	ALL = L | D | E,
	KINDS = SANDBOX_CONTROL + 1,
};

enum {
	DEADLY = 1,   /* it ends the process */
	LANDLOCK = 2, /* refused by Landlock to those that may open files */
	ROOTS = 4,    /* root alone can do it at all */
};

static const struct {
	const char *name;
	int (*attempt)(void);
	int refused_to, allowed_to; /* kinds; the rest may go either way */
	int how;
} attempts[] = {
    {"read a file", try_read_file, ALL, 0, LANDLOCK},
    {"list a directory", try_list_directory, ALL, 0, LANDLOCK},
    {"write to a file", try_write_file, ALL, 0, 0},
    {"create a file", try_create_file, ALL, 0, 0},
    {"remove a file that is no socket of ours", try_remove_file, D | E, 0, LANDLOCK},
    {"open a socket", try_socket, ALL, 0, 0},
    {"send a signal to another process", try_signal, ALL, 0, 0},
    {"have a descriptor signal another process", try_own_descriptor, ALL, 0, 0},
    {"break memory of the host", try_break_memory, ALL, 0, 0},
    {"take memory from the host", try_retire_memory, ALL & ~C, C, 0},
    {"have memory dumped, copied or merged", try_dump_memory, ALL, 0, 0},
    {"give memory back", try_free_memory, 0, ALL, 0},
    {"place its memory", try_place_memory, L | D, E, 0},
    {"move another process's memory", try_move_others, ALL, 0, 0},
    {"start a process by fork", try_process, ALL, 0, 0},
    {"start a process by clone", try_clone, ALL, 0, 0},
    {"make code", try_code, ALL, 0, 0},
    {"raise limits", try_limits, ALL, 0, ROOTS},
    {"type into a terminal", try_type_into_terminal, ALL, 0, 0},
    {"reach into the kernel", try_kernel, ALL, 0, 0},
    {"run a program", try_program, ALL, 0, DEADLY},
    {"trace a process", try_trace, ALL, 0, DEADLY},
    {"read another's memory", try_memory_of_others, ALL, 0, DEADLY},
    {"start a thread", try_thread, L | D, E, 0},
    {"read its own status", try_read_own_status, L | D, E, 0},
    {"look at the host", try_read_host, L | D, E, 0},
    {"remove its sockets", try_remove_sockets, 0, ALL, 0},
    {"signal its own thread", try_own_signal, 0, ALL, 0},
    {"write to stderr", try_write_to_stderr, 0, ALL, 0},
};
#define ATTEMPTS (int)(sizeof(attempts) / sizeof(attempts[0]))

static int landlock_version(void)
{
	return (int)syscall(SYS_landlock_create_ruleset, NULL, 0, LANDLOCK_CREATE_RULESET_VERSION);
}

/* kind -1: it has not entered. */
static int in_child(int (*attempt)(void), int kind)
{
	struct gmig_error err;
	const char *why;
	int status, abi;
	pid_t pid = fork();

	if (!pid) {
		if (kind >= 0 && (!sandbox_turn_on(&why) ||
				  sandbox_choose_files(&options, control, &abi, &err) ||
				  sandbox_enter((enum sandbox_kind)kind, &err)))
			_exit(99);
		_exit(attempt());
	}
	ck_assert_int_eq(waitpid(pid, &status, 0), pid);
	return status;
}

START_TEST(thread_taken_over_gets_no_more_than_its_kind_needs)
{
	int which = _i / KINDS, kind = _i % KINDS, status;

	if (attempts[which].how & LANDLOCK && kind >= SANDBOX_ENGINE && landlock_version() <= 0) {
		skip_case("this kernel has no Landlock, and lets it: docs/vmm.md says so");
		return;
	}
	status = in_child(attempts[which].attempt, kind);
	ck_assert_msg(!WIFEXITED(status) || WEXITSTATUS(status) != 99, "kind %d cannot enter",
		      kind);
	if (attempts[which].refused_to & 1 << kind) {
		bool refused_it = attempts[which].how & DEADLY
				      ? WIFSIGNALED(status) && WTERMSIG(status) == SIGSYS
				      : WIFEXITED(status) && !WEXITSTATUS(status);

		ck_assert_msg(refused_it, "kind %d could %s: %#x", kind, attempts[which].name,
			      (unsigned int)status);
	}
	if (attempts[which].allowed_to & 1 << kind)
		ck_assert_msg(WIFEXITED(status) && WEXITSTATUS(status) == 1,
			      "kind %d could not %s: %#x", kind, attempts[which].name,
			      (unsigned int)status);
}
END_TEST

START_TEST(thread_outside_is_refused_none_of_it)
{
	int status;

	if (attempts[_i].how & ROOTS && geteuid() != 0) {
		skip_case("only root has the right to it");
		return;
	}
	status = in_child(attempts[_i].attempt, -1);
	/* Running a program replaces the attempt: it is then that program's status. */
	ck_assert_msg(
	    WIFEXITED(status) && (WEXITSTATUS(status) > 0 || attempts[_i].attempt == try_program),
	    "without a sandbox nobody could %s: %#x", attempts[_i].name, (unsigned int)status);
}
END_TEST

/* A cgroup directory that lies where no other is. 77: there is none, or no right to mount. */
static int read_cgroup_elsewhere(void)
{
	struct gmig_error err;
	char path[128];
	const char *why;
	int abi;

	if (unshare(CLONE_NEWNS) || mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL))
		return 77;
	if (mount("/sys/fs/cgroup/memory", outside, NULL, MS_BIND, NULL) &&
	    mount("/sys/fs/cgroup", outside, NULL, MS_BIND, NULL))
		return 77;
	snprintf(path, sizeof(path), "%s/cgroup.procs", outside);
	if (access(path, R_OK))
		return 77;
	if (!sandbox_turn_on(&why) || sandbox_choose_files(&options, control, &abi, &err) ||
	    sandbox_enter(SANDBOX_ENGINE, &err))
		return 99;
	return open(path, O_RDONLY) < 0;
}

START_TEST(limits_of_cgroups_are_seen_wherever_they_are_mounted)
{
	int status;
	pid_t pid = fork();

	if (!pid)
		_exit(read_cgroup_elsewhere());
	ck_assert_int_eq(waitpid(pid, &status, 0), pid);
	if (WIFEXITED(status) && WEXITSTATUS(status) == 77)
		puts(
		    "skip limits_of_cgroups_are_seen_wherever_they_are_mounted - no right to mount "
		    "them");
	else
		ck_assert_msg(WIFEXITED(status) && !WEXITSTATUS(status), "%#x",
			      (unsigned int)status);
}
END_TEST

/* In a child, since what is chosen stays: does the n-th open, from 0, fail the start if it fails with that error? 2: there are fewer. */
static int choose_with_failure(int n, int error)
{
	const struct rlimit cores = {1 << 20, 1 << 20};
	struct gmig_error err = {0};
	const char *why;
	int ret, abi, status;
	pid_t pid = fork();

	if (!pid) {
		if (setrlimit(RLIMIT_CORE, &cores) || !sandbox_turn_on(&why))
			_exit(99);
		open_fails = n;
		open_error = error;
		ret = sandbox_choose_files(&options, control, &abi, &err);
		if (open_fails >= 0)
			_exit(ret ? 99 : 2);
		if (ret && ret != -error)
			_exit(98);
		_exit(ret && strstr(err.text, "--sandbox: ") == err.text);
	}
	ck_assert_int_eq(waitpid(pid, &status, 0), pid);
	ck_assert_msg(WIFEXITED(status) && WEXITSTATUS(status) <= 2, "open %d: %#x", n,
		      (unsigned int)status);
	return WEXITSTATUS(status);
}

START_TEST(file_that_cannot_be_looked_at_for_want_of_descriptors_fails_the_start)
{
	int n = 0, ret;

	if (landlock_version() <= 0) {
		skip_case("this kernel has no Landlock: no file is looked at");
		return;
	}
	while ((ret = choose_with_failure(n, EMFILE)) == 1)
		n++;
	ck_assert_msg(ret == 2, "open %d was left out without a word", n);
	ck_assert_int_gt(n, 5);
}
END_TEST

START_TEST(file_that_is_not_for_this_user_is_left_out)
{
	int n = 0, ret;

	if (landlock_version() <= 0) {
		skip_case("this kernel has no Landlock: no file is looked at");
		return;
	}
	while (!(ret = choose_with_failure(n, EACCES)))
		n++;
	ck_assert_msg(ret == 2, "open %d failed the start", n);
	ck_assert_int_gt(n, 5);
}
END_TEST

static uid_t somebody(void)
{
	return 1000;
}

static uid_t root(void)
{
	return 0;
}

/* A guest that began before the list, which says "text" then: is node 1 closed? -EIO: it cannot tell. */
static int ask_older_guest(uid_t (*user)(void), const char *text)
{
	char system_directory[96], path[128], byte;
	int enters[2], goes_on[2], status, list;
	pid_t pid;

	snprintf(system_directory, sizeof(system_directory), "%s/system", directory);
	ck_assert_int_eq(pipe(enters) || pipe(goes_on), 0);
	pid = fork();
	if (!pid) {
		struct gmig_node_set closed;
		struct gmig_error err;
		const char *why;
		int abi, ret;

		setenv("XDG_RUNTIME_DIR", directory, 1);
		unsetenv("GMIG_SYSTEM_DIR");
		closed_nodes_system = system_directory;
		closed_nodes_user = user;
		if (!sandbox_turn_on(&why) || sandbox_choose_files(&options, control, &abi, &err) ||
		    sandbox_enter(SANDBOX_CONTROL, &err) || write(enters[1], "e", 1) != 1 ||
		    read(goes_on[0], &byte, 1) != 1)
			_exit(99);
		ret = closed_nodes_read(&closed, &err);
		_exit(ret ? -ret : 100 + gmig_node_set_has(&closed, 1));
	}
	close(enters[1]);
	ck_assert_int_eq(read(enters[0], &byte, 1), 1);
	/* As gmig drain does. */
	mkdir(system_directory, 0711);
	snprintf(path, sizeof(path), "%s/closed-nodes", system_directory);
	list = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0644);
	ck_assert_int_ge(list, 0);
	ck_assert_int_eq(write(list, text, strlen(text)), (int)strlen(text));
	close(list);
	ck_assert_int_eq(write(goes_on[1], "g", 1), 1);
	ck_assert_int_eq(waitpid(pid, &status, 0), pid);
	close(enters[0]);
	close(goes_on[0]);
	close(goes_on[1]);
	ck_assert(WIFEXITED(status));
	return WEXITSTATUS(status) >= 100 ? WEXITSTATUS(status) - 100 : -WEXITSTATUS(status);
}

START_TEST(nodes_that_are_closed_after_the_start_are_known_to_roots_guest)
{
	ck_assert_int_eq(ask_older_guest(root, "1\n"), 1);
}
END_TEST

START_TEST(list_that_a_guest_cannot_read_is_not_taken_for_none)
{
	if (landlock_version() <= 0) {
		skip_case("this kernel has no Landlock: the list can be read");
		return;
	}
	ck_assert_int_eq(ask_older_guest(somebody, "1\n"), -EIO);
}
END_TEST

START_TEST(list_that_closes_none_is_no_matter_to_a_guest_that_cannot_read_it)
{
	ck_assert_int_eq(ask_older_guest(somebody, "\n"), 0);
}
END_TEST

static int prepare_crash(void)
{
	const struct rlimit limit = {RLIM_INFINITY, RLIM_INFINITY};

	signal(SIGABRT, SIG_DFL);
	if (chdir(outside) || setrlimit(RLIMIT_CORE, &limit))
		return 1;
	return 0;
}

/* The status of a child that has crashed; kind -1: outside. */
static int crash_as(int kind)
{
	struct gmig_error err;
	const char *why;
	int status, abi;
	pid_t pid = fork();

	if (!pid) {
		if (prepare_crash() ||
		    (kind >= 0 && (!sandbox_turn_on(&why) ||
				   sandbox_choose_files(&options, control, &abi, &err) ||
				   sandbox_enter((enum sandbox_kind)kind, &err))))
			_exit(99);
		abort();
	}
	ck_assert_int_eq(waitpid(pid, &status, 0), pid);
	return status;
}

START_TEST(thread_that_crashes_leaves_a_core)
{
	char path[128];
	int status = crash_as(-1);

	if (!WIFSIGNALED(status) || !WCOREDUMP(status)) {
		skip_case("this host takes no core dumps");
		return;
	}
	snprintf(path, sizeof(path), "rm -f %s/*core*", outside);
	ck_assert_int_eq(system(path), 0);
	status = crash_as(_i);
	ck_assert_msg(WIFSIGNALED(status) && WTERMSIG(status) == SIGABRT && WCOREDUMP(status),
		      "kind %d: %#x", _i, (unsigned int)status);
}
END_TEST

static const char *missing(void)
{
	const char *why = "";

#ifdef GMIG_INSTRUMENTED
	sandbox_turn_on(&why);
#endif
	return *why ? why : NULL;
}

int main(void)
{
	TCase *tcase;
	Suite *suite;

	if (missing()) {
		printf("skipped: %s\n", missing());
		return 77;
	}
	suite = suite_create("sandbox");
	tcase = tcase_create("sandbox");
	tcase_add_checked_fixture(tcase, setup, teardown);
	tcase_set_timeout(tcase, 60);
	tcase_add_loop_test(tcase, thread_taken_over_gets_no_more_than_its_kind_needs, 0,
			    KINDS * ATTEMPTS);
	tcase_add_loop_test(tcase, thread_outside_is_refused_none_of_it, 0, ATTEMPTS);
	tcase_add_test(tcase, limits_of_cgroups_are_seen_wherever_they_are_mounted);
	tcase_add_test(tcase,
		       file_that_cannot_be_looked_at_for_want_of_descriptors_fails_the_start);
	tcase_add_test(tcase, file_that_is_not_for_this_user_is_left_out);
	tcase_add_test(tcase, nodes_that_are_closed_after_the_start_are_known_to_roots_guest);
	tcase_add_test(tcase, list_that_a_guest_cannot_read_is_not_taken_for_none);
	tcase_add_test(tcase, list_that_closes_none_is_no_matter_to_a_guest_that_cannot_read_it);
	tcase_add_loop_test(tcase, thread_that_crashes_leaves_a_core, 0, KINDS);
	suite_add_tcase(suite, tcase);
	return run_suite(suite);
}
