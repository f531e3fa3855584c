/*
 * An agent that somebody has taken over: what it tries when it is confined. It tries in a child
 * process, as root with the capabilities that the agent keeps, against a victim of another user.
 */
#include "suite.h"

#include "../../guestagent/agent.h"
#include "../../guestagent/maps.h"
#include "../../guestagent/opener.h"
#include "../../guestagent/pages.h"
#include "../../guestagent/sys.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <unistd.h>

#ifndef SYS_openat2
#define SYS_openat2 437
#endif

static struct {
	pid_t pid;
	char secret[64]; /* at the same address in the victim: it is our child */
} victim;
static char file[64]; /* of root, with a text in it */

static void setup(void)
{
	int fd;

	strcpy(victim.secret, "the victim's memory");
	victim.pid = fork();
	if (!victim.pid) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		for (;;)
			pause();
	}
	strcpy(victim.secret, "our own");
	strcpy(file, "/tmp/gmig-test-confine-XXXXXX");
	fd = mkstemp(file);
	ck_assert_int_eq(write(fd, "x", 1), 1);
	close(fd);
}

static void teardown(void)
{
	kill(victim.pid, SIGKILL);
	waitpid(victim.pid, NULL, 0);
	unlink(file);
}

/* ---- What it tries: each is 0 when it was refused, else what it got hold of ------------------- */

static const char *memory_path(void)
{
	static char path[64];

	snprintf(path, sizeof(path), "/proc/%d/mem", (int)victim.pid);
	return path;
}

static int refused(long rc)
{
	return rc == -1 && (errno == EPERM || errno == EACCES || errno == ENOSYS) ? 0 : 1;
}

static int opens_for_writing(const char *path)
{
	return refused(open(path, O_RDWR)) + refused(open(path, O_WRONLY)) +
	       refused(open(path, O_WRONLY | O_APPEND));
}

static int try_write_memory_of_init(void)
{
	return opens_for_writing("/proc/1/mem");
}

static int try_write_memory(void)
{
	return opens_for_writing(memory_path());
}

/* By way of another's view of the file system, which a mount of ours would not cover. */
static int try_write_memory_through_root(void)
{
	return opens_for_writing("/proc/1/root"
				 "/proc/1/mem");
}

static int try_write_through_own_descriptor(void)
{
	int fd = open(memory_path(), O_RDONLY);
	char path[64];

	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	return opens_for_writing(path);
}

/* Opening it to read cannot be told from opening maps; reading elsewhere than at 0 can. */
static int try_read_memory(void)
{
	int fd = open(memory_path(), O_RDONLY);
	off_t at = (off_t)(uintptr_t)victim.secret;
	struct iovec part;
	char got[64] = "";

	part = (struct iovec){.iov_base = got, .iov_len = sizeof(got)};
	if (pread(fd, got, sizeof(got), at) > 0 || preadv(fd, &part, 1, at) > 0)
		return 1;
	lseek(fd, at, SEEK_SET);
	if (read(fd, got, sizeof(got)) > 0)
		return 2;
	fd = open(memory_path(), O_RDONLY);
	lseek(fd, at, SEEK_CUR);
	if (read(fd, got, sizeof(got)) > 0)
		return 3;
	return 0;
}

static int try_memory_calls(void)
{
	char got[64] = "";
	struct iovec own = {.iov_base = got, .iov_len = 19};
	struct iovec other = {.iov_base = victim.secret, .iov_len = 19};

	return refused(process_vm_readv(victim.pid, &own, 1, &other, 1, 0)) +
	       refused(process_vm_writev(victim.pid, &own, 1, &other, 1, 0)) +
	       refused(ptrace(PTRACE_ATTACH, victim.pid, NULL, NULL));
}

static int try_files(void)
{
	struct {
		uint64_t flags, mode, resolve;
	} how = {.flags = O_RDWR};
	struct stat st;

	return opens_for_writing(file) + refused(open(file, O_RDONLY | O_TRUNC)) +
	       refused(open("/tmp/gmig-test-confine-new", O_RDONLY | O_CREAT, 0600)) +
	       refused(open("/tmp", O_TMPFILE | O_RDWR, 0600)) +
	       refused(syscall(SYS_openat2, AT_FDCWD, file, &how, sizeof(how))) +
	       refused(syscall(SYS_open, file, O_RDWR)) + refused(syscall(SYS_creat, file, 0600)) +
	       refused(truncate(file, 0)) + refused(unlink(file)) +
	       refused(rename(file, "/tmp/y")) + refused(chmod(file, 0666)) +
	       refused(mkdir("/tmp/gmig-test-confine-d", 0700)) +
	       (stat(file, &st) || st.st_size != 1);
}

static int try_processes(void)
{
	char *const argv[] = {(char *)"/bin/true", NULL};
	pid_t pid = (pid_t)syscall(SYS_fork);

	if (!pid)
		_exit(0);
	return (pid >= 0) + refused(kill(victim.pid, 0)) +
	       refused(syscall(SYS_tgkill, victim.pid, victim.pid, 0)) +
	       refused(execve(argv[0], argv, NULL)) + refused(socket(AF_INET, SOCK_STREAM, 0)) +
	       refused(prctl(PR_SET_DUMPABLE, 1)) + refused(setuid(0));
}

/* What it is for must still work. */
static int try_its_work(void)
{
	struct agent_process process;
	struct agent_usage usage;
	void *page = victim.secret;
	int status = -EIO;

	if (agent_process_read(victim.pid, &process, NULL) || process.kernel)
		return 1;
	if (agent_usage_read(victim.pid, true, &usage, NULL) || !usage.total_bytes)
		return 2;
	if (agent_sys_real.move_pages(victim.pid, 1, &page, NULL, &status, AGENT_MPOL_MF_MOVE) ||
	    status < 0)
		return 3;
	return 0;
}

/* compact-hot: it sees which pages there are, not in which frames, and asks nothing of files by ioctl(2). */
static int try_pagemap(void)
{
	uint64_t block = (uintptr_t)victim.secret & ~(AGENT_HUGE_BYTES - 1);
	int pagemap = agent_pages_open(victim.pid), count = 0;
	struct agent_blocks blocks = {0};
	struct agent_pages pages;
	uint64_t entry = 0;

	if (pagemap < 0 || agent_pages_scan(victim.pid, block, &pages) || !pages.present)
		return 1;
	if (agent_pages_blocks(pagemap, block, &pages, &blocks) != -EPERM || blocks.count)
		return 2;
	/* From its beginning it may be read, where no frame of a process is told. */
	if (read(pagemap, &entry, sizeof(entry)) > 0 && entry & ((1ull << 55) - 1))
		return 3;
	return refused(ioctl(pagemap, FIONREAD, &count)) + refused(ioctl(0, TIOCSTI, &count));
}

static const struct {
	const char *name;
	int (*attempt)(void);
} attempts[] = {
    {"write init's memory", try_write_memory_of_init},
    {"write memory", try_write_memory},
    {"write memory through another's root", try_write_memory_through_root},
    {"write through a descriptor that may read", try_write_through_own_descriptor},
    {"read memory", try_read_memory},
    {"reach memory by system calls", try_memory_calls},
    {"write, create or remove files", try_files},
    {"start, signal or become a process", try_processes},
    {"do its work", try_its_work},
    {"see where memory lies", try_pagemap},
};
#define ATTEMPTS (int)(sizeof(attempts) / sizeof(attempts[0]))

static int in_child(int (*attempt)(void), bool filtered)
{
	int status;
	pid_t pid = fork();

	if (!pid) {
		if (agent_drop_capabilities(NULL) || (filtered && agent_install_filter(NULL)))
			_exit(99);
		_exit(attempt());
	}
	ck_assert_int_eq(waitpid(pid, &status, 0), pid);
	return status;
}

START_TEST(agent_taken_over_gets_nothing_and_still_works)
{
	int status = in_child(attempts[_i].attempt, true);

	ck_assert_msg(WIFEXITED(status) && !WEXITSTATUS(status), "it could %s: %x",
		      attempts[_i].name, (unsigned int)status);
}
END_TEST

/* The attempts are worth something: without the filter they succeed. */
START_TEST(agent_without_its_filter_reaches_memory)
{
	ck_assert_int_ne(in_child(try_write_memory, false), 0);
	ck_assert_int_ne(in_child(try_read_memory, false), 0);
	ck_assert_int_ne(in_child(try_files, false), 0);
}
END_TEST

/* ---- The opener ------------------------------------------------------------------------------ */

static char root[64];

static void make_file(const char *name, const char *text)
{
	char path[160];
	FILE *out;

	snprintf(path, sizeof(path), "%s/%s", root, name);
	for (char *slash = strchr(path + strlen(root) + 1, '/'); slash;
	     slash = strchr(slash + 1, '/')) {
		*slash = '\0';
		mkdir(path, 0700);
		*slash = '/';
	}
	out = fopen(path, "w");
	ck_assert_ptr_nonnull(out);
	fputs(text, out);
	fclose(out);
}

static const char *text_of(const char *name)
{
	static char text[64];
	char path[160];

	snprintf(path, sizeof(path), "%s/%s", root, name);
	ck_assert_int_ge(agent_read_text(path, text, sizeof(text)), 0);
	return text;
}

/* So that no request of the opener fits: its socket is the only one of its kind here. */
static void shrink_buffers(void)
{
	for (int fd = 3; fd < 256; fd++) {
		int type = 0, least = 1;
		socklen_t bytes = sizeof(type);

		if (!getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &bytes) && type == SOCK_SEQPACKET)
			setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &least, sizeof(least));
	}
}

/* A tree of cgroups with an allow-list that has /good, and a port, which is a file here. */
START_TEST(opener_opens_the_port_and_writes_allowed_cgroups_alone)
{
	static const struct {
		const char *cgroup, *file;
		int rc;
	} asked[] = {
	    {"/good", "cpuset.cpus", 0},
	    {"/good/below", "cpuset.mems", 0},
	    {"/bad", "cpuset.cpus", -EPERM},
	    {"/good", "cgroup.procs", -EPERM},
	    {"/good/../bad", "cpuset.cpus", -EINVAL},
	    {"/good", "../bad/cpuset.cpus", -EPERM},
	    {"/good/none", "cpuset.cpus", -ENOENT},
	    {"/good/link", "cpuset.cpus", -ELOOP},
	};
	char conf_text[] = "cgroups = /good", port[80], path[160];
	struct agent_sys calls = agent_sys_real;
	struct agent_port_options options = {.path = port, .fd = -1};
	struct agent_opener *opener = NULL;
	struct agent_conf conf;
	struct agent_set set = {0};
	struct gmig_error err = {0};
	int fd;

	strcpy(root, "/tmp/gmig-test-opener-XXXXXX");
	ck_assert_ptr_nonnull(mkdtemp(root));
	make_file("cgroup.procs", "");
	make_file("good/cpuset.cpus", "");
	make_file("good/below/cpuset.mems", "");
	make_file("bad/cpuset.cpus", "");
	make_file("good/link/x", "");
	snprintf(path, sizeof(path), "%s/good/link/cpuset.cpus", root);
	ck_assert_int_eq(symlink("../../bad/cpuset.cpus", path), 0);
	make_file("port", "hello");
	snprintf(port, sizeof(port), "%s/port", root);
	calls.cgroup = root;
	agent_sys = &calls;
	agent_set_add(&set, 3);
	ck_assert_int_eq(agent_conf_parse(conf_text, agent_knows_command, &conf, &err), 0);
	ck_assert_int_eq(agent_opener_start(&conf, &options, &opener, &err), 0);
	/* What the agent makes of its own copies is nothing to the opener. */
	agent_conf_free(&conf);
	strcpy(port, file);
	fd = agent_opener_port(opener, &options, &err);
	ck_assert_msg(fd > 0, "%s", err.text);
	ck_assert_int_eq(write(fd, "J", 1), 1);
	close(fd);
	ck_assert_str_eq(text_of("port"), "Jello");
	for (size_t i = 0; i < sizeof(asked) / sizeof(asked[0]); i++)
		ck_assert_msg(agent_opener_write(opener, &conf, asked[i].cgroup, asked[i].file,
						 &set, &err) == asked[i].rc,
			      "%s %s: %s", asked[i].cgroup, asked[i].file, err.text);
	ck_assert_str_eq(text_of("good/cpuset.cpus"), "3");
	ck_assert_str_eq(text_of("good/below/cpuset.mems"), "3");
	ck_assert_str_eq(text_of("bad/cpuset.cpus"), "");
	/* A request that cannot be sent has no answer that would have to be waited for. */
	shrink_buffers();
	ck_assert_int_eq(agent_opener_write(opener, &conf, "/good", "cpuset.cpus", &set, &err),
			 -EMSGSIZE);
	ck_assert_ptr_nonnull(strstr(err.text, "cannot be asked"));
	agent_opener_stop(opener);
	ck_assert_int_gt(wait(NULL), 0);
	snprintf(path, sizeof(path), "rm -rf %s", root);
	ck_assert_int_eq(system(path), 0);
}
END_TEST

/* The opener must not be worth taking over either: it has no right to others' memory. */
static int try_as_opener(void)
{
	int rc = agent_confine_opener(NULL);

	return rc ? 99
		  : refused(open(memory_path(), O_RDWR)) + try_memory_calls() + try_processes();
}

START_TEST(opener_taken_over_reaches_no_process)
{
	int status;
	pid_t pid;

	/* Of another user, as nearly all are that a host may ask for. */
	kill(victim.pid, SIGKILL);
	waitpid(victim.pid, NULL, 0);
	victim.pid = fork();
	if (!victim.pid) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		if (setuid(65534))
			_exit(1);
		for (;;)
			pause();
	}
	do {
		struct agent_process process;

		ck_assert_int_eq(agent_process_read(victim.pid, &process, NULL), 0);
		status = process.uid == 65534;
		sched_yield();
	} while (!status);
	pid = fork();
	if (!pid)
		_exit(try_as_opener());
	ck_assert_int_eq(waitpid(pid, &status, 0), pid);
	ck_assert_msg(WIFEXITED(status) && !WEXITSTATUS(status), "%x", (unsigned int)status);
}
END_TEST

int main(void)
{
	Suite *suite;
	TCase *tcase;

#if defined(__SANITIZE_ADDRESS__) || UNDER_TSAN
	puts("skipped: a sanitizer needs system calls that the agent's filter refuses");
	return 77;
#endif
	if (geteuid() != 0) {
		puts("skipped: only root has the capabilities that the agent keeps");
		return 77;
	}
	if (access("/proc/self/numa_maps", R_OK)) {
		puts("skipped: this kernel has no /proc/PID/numa_maps");
		return 77;
	}
	suite = suite_create("agent_confine");
	tcase = tcase_create("confined");
	tcase_add_checked_fixture(tcase, setup, teardown);
	tcase_set_timeout(tcase, 60);
	tcase_add_loop_test(tcase, agent_taken_over_gets_nothing_and_still_works, 0, ATTEMPTS);
	tcase_add_test(tcase, agent_without_its_filter_reaches_memory);
	tcase_add_test(tcase, opener_opens_the_port_and_writes_allowed_cgroups_alone);
	tcase_add_test(tcase, opener_taken_over_reaches_no_process);
	suite_add_tcase(suite, tcase);
	return run_suite(suite);
}
