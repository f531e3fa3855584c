/*
 * A gmigd that somebody has taken over: what it tries in a child process that has entered the filter. A child that has not entered does
 * the same, so that each attempt is known to be one.
 */
#include "../../libvirt-hooks/rights.h"
#include "../support/suite.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/ptrace.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <unistd.h>

/* ---- What it tries: 0 it was refused (EPERM), else what it got --------------------------------- */

static int refused(long rc)
{
	return rc == -1 && errno == EPERM ? 0 : 1;
}

static int try_program(void)
{
	char *const argv[] = {(char *)"/nowhere", NULL};

	return refused(execv(argv[0], argv)); /* ENOENT without a filter */
}

static int try_process(void)
{
	pid_t pid = fork();

	if (!pid)
		_exit(0);
	return refused(pid);
}

static int try_trace(void)
{
	return refused(ptrace(PTRACE_TRACEME, 0, NULL, NULL));
}

static int try_memory_of_others(void)
{
	char byte = 0;
	struct iovec own = {&byte, 1}, other = {(void *)&own, 1};

	return refused(process_vm_readv(getpid(), &own, 1, &other, 1, 0)) +
	       refused(process_vm_writev(getpid(), &own, 1, &other, 1, 0));
}

static int try_descriptor_of_others(void)
{
	int pidfd = (int)syscall(SYS_pidfd_open, getpid(), 0);

	return refused(syscall(SYS_pidfd_getfd, pidfd, STDIN_FILENO, 0));
}

static int try_network(void)
{
	return refused(socket(AF_INET, SOCK_STREAM, 0)) + refused(socket(AF_NETLINK, SOCK_RAW, 0));
}

static int try_code(void)
{
	void *page = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	return refused(mprotect(page, 4096, PROT_READ | PROT_EXEC)) +
	       refused((long)mmap(NULL, 4096, PROT_READ | PROT_WRITE | PROT_EXEC,
				  MAP_PRIVATE | MAP_ANONYMOUS, -1, 0));
}

/* EINVAL, EFAULT and the like without a filter: nothing comes of it. */
static int try_kernel(void)
{
	return refused(syscall(SYS_io_uring_setup, 0, NULL)) + refused(syscall(SYS_unshare, 0)) +
	       refused(syscall(SYS_personality, 0xffffffff)) +
	       refused(syscall(SYS_keyctl, 9999, 0, 0, 0, 0));
}

/* ---- What it needs: 1 it works ----------------------------------------------------------------- */

static void *nothing(void *opaque)
{
	return opaque;
}

static int need_thread(void)
{
	pthread_t thread;

	return !pthread_create(&thread, NULL, nothing, NULL) && !pthread_join(thread, NULL);
}

static int need_unix_socket(void)
{
	return socket(AF_UNIX, SOCK_DGRAM, 0) >= 0;
}

static int need_files(void)
{
	char path[] = "/tmp/gmig-test-rights-XXXXXX";
	int fd = mkstemp(path);

	return fd >= 0 && write(fd, "x", 1) == 1 && !unlink(path) &&
	       open("/proc/self/smaps", O_RDONLY) >= 0;
}

/* As a library that is loaded later. */
static int need_library(void)
{
	int fd = open("/proc/self/exe", O_RDONLY);

	return mmap(NULL, 4096, PROT_READ | PROT_EXEC, MAP_PRIVATE, fd, 0) != MAP_FAILED;
}

static int need_move(void)
{
	void *page = mmap(NULL, 4096, PROT_READ | PROT_WRITE,
			  MAP_PRIVATE | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);
	int status = -1;

	return syscall(SYS_move_pages, 0, 1, &page, NULL, &status, 0) == 0 || errno == ENOSYS;
}

static const struct {
	const char *name;
	int (*attempt)(void);
	int filtered; /* what becomes of it with the filter */
} attempts[] = {
    {"run a program", try_program, 0},
    {"start a process", try_process, 0},
    {"trace", try_trace, 0},
    {"read and write another's memory", try_memory_of_others, 0},
    {"take another's descriptor", try_descriptor_of_others, 0},
    {"reach the network", try_network, 0},
    {"make code", try_code, 0},
    {"reach into the kernel", try_kernel, 0},
    {"start a thread", need_thread, 1},
    {"use a unix socket", need_unix_socket, 1},
    {"use files", need_files, 1},
    {"load a library", need_library, 1},
    {"move pages", need_move, 1},
};
#define ATTEMPTS (int)(sizeof(attempts) / sizeof(attempts[0]))

static int in_child(int (*attempt)(void), bool filtered)
{
	struct gmig_error err;
	int status;
	pid_t pid = fork();

	if (!pid) {
		if (filtered && rights_filter(&err))
			_exit(99);
		_exit(attempt());
	}
	ck_assert_int_eq(waitpid(pid, &status, 0), pid);
	ck_assert(WIFEXITED(status));
	return WEXITSTATUS(status);
}

#ifndef GMIG_INSTRUMENTED /* they trace themselves: there is no filter */
START_TEST(daemon_taken_over_does_its_work_and_no_more)
{
	int got = in_child(attempts[_i].attempt, true);

	ck_assert_int_ne(got, 99);
	ck_assert_msg(got == attempts[_i].filtered, "%s: %d", attempts[_i].name, got);
}
END_TEST
#endif

START_TEST(attempt_without_filter_works)
{
	ck_assert_msg(in_child(attempts[_i].attempt, false) > 0, "%s is refused anyway",
		      attempts[_i].name);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("rights");
	TCase *tcase = tcase_create("rights");

#ifndef GMIG_INSTRUMENTED
	tcase_add_loop_test(tcase, daemon_taken_over_does_its_work_and_no_more, 0, ATTEMPTS);
#endif
	tcase_add_loop_test(tcase, attempt_without_filter_works, 0, ATTEMPTS);
	suite_add_tcase(suite, tcase);
	return run_suite(suite);
}
