/* System calls without a wrapper in libc, and what their errors mean, see sys.h. */
#include "sys.h"

#include "../migrate/core/whole.h"

#include <errno.h>
#include <string.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

static long result(long rc)
{
	return rc < 0 ? -errno : rc;
}

static long real_move_pages(pid_t pid, unsigned long count, void **pages, const int *nodes,
			    int *status, int flags)
{
	return result(syscall(SYS_move_pages, pid, count, pages, nodes, status, flags));
}

/* The kernel takes one from maxnode, so that the last bit needs one more. */
static long real_migrate_pages(pid_t pid, const struct agent_set *from, const struct agent_set *to)
{
	return result(syscall(SYS_migrate_pages, pid, AGENT_MAX_NODES + 1ul, from->bits, to->bits));
}

static long real_setaffinity(pid_t tid, const struct agent_set *cpus)
{
	return result(syscall(SYS_sched_setaffinity, tid, sizeof(cpus->bits), cpus->bits));
}

static int real_pidfd_open(pid_t pid)
{
	return (int)result(syscall(SYS_pidfd_open, pid, 0));
}

static long real_process_madvise(int pidfd, const struct iovec *ranges, size_t count, int advice)
{
	return result(syscall(SYS_process_madvise, pidfd, ranges, count, advice, 0));
}

static long real_pagemap_read(int pagemap, uint64_t *entries, size_t count, uint64_t first)
{
	return result(pread_whole(pagemap, (char *)entries, count * sizeof(*entries),
				  (off_t)(first * sizeof(*entries))));
}

static long real_damon_write(int state, const char *word)
{
	return write_value(state, word);
}

static uint64_t real_now_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * 1000000000 + (uint64_t)ts.tv_nsec;
}

static void real_sleep_ns(uint64_t ns)
{
	const struct timespec ts = {.tv_sec = (time_t)(ns / 1000000000),
				    .tv_nsec = (long)(ns % 1000000000)};

	nanosleep(&ts, NULL);
}

const struct agent_sys agent_sys_real = {
    .proc = "/proc",
    .sys = "/sys",
    .cgroup = "/sys/fs/cgroup",
    .move_pages = real_move_pages,
    .migrate_pages = real_migrate_pages,
    .setaffinity = real_setaffinity,
    .pidfd_open = real_pidfd_open,
    .process_madvise = real_process_madvise,
    .pagemap_read = real_pagemap_read,
    .damon_write = real_damon_write,
    .now_ns = real_now_ns,
    .sleep_ns = real_sleep_ns,
};

const struct agent_sys *agent_sys = &agent_sys_real;

/* ---- Errors in words ------------------------------------------------------------------------- */

static const char *const call_names[] = {
    [AGENT_CALL_MOVE_PAGES] = "move_pages(2)",
    [AGENT_CALL_MIGRATE_PAGES] = "migrate_pages(2)",
    [AGENT_CALL_SETAFFINITY] = "sched_setaffinity(2)",
    [AGENT_CALL_MADVISE] = "process_madvise(2)",
    [AGENT_CALL_CGROUP_WRITE] = "write(2)",
    [AGENT_CALL_READ] = "open(2)",
};

#define ANY_CALL (-1)

/* What to do; the first line that fits. */
static const struct {
	int call, code;
	const char *text;
} advice[] = {
    {AGENT_CALL_SETAFFINITY, EINVAL,
     "none of these CPUs is online and in the cpuset of the process; choose others, or widen its "
     "cgroup's cpuset.cpus"},
    {AGENT_CALL_MADVISE, EINVAL,
     "MADV_COLLAPSE needs Linux 6.1 or later with transparent huge pages, and memory that may "
     "have them"},
    {AGENT_CALL_MADVISE, EAGAIN, "pages are pinned or busy; try again"},
    {AGENT_CALL_MADVISE, EBUSY, "no huge page could be had now; try again"},
    {AGENT_CALL_MADVISE, ENOMEM, "no free huge page on the node: free or compact memory"},
    {AGENT_CALL_CGROUP_WRITE, ENOENT,
     "its parent does not pass the cpuset controller on: write +cpuset to the parent's "
     "cgroup.subtree_control"},
    {AGENT_CALL_CGROUP_WRITE, EINVAL, "the parent cgroup does not have these CPUs or nodes"},
    {AGENT_CALL_CGROUP_WRITE, ENOSPC,
     "the cgroup has processes and may not become empty of CPUs "
     "or nodes"},
    {AGENT_CALL_CGROUP_WRITE, EROFS, "cgroups are mounted read-only here"},
    {AGENT_CALL_MOVE_PAGES, EINVAL, "the process has no memory: it is a kernel thread or ending"},
    {AGENT_CALL_MIGRATE_PAGES, EINVAL,
     "none of the target nodes is online with memory and allowed to this agent, or the process has "
     "no memory"},
    {AGENT_CALL_MIGRATE_PAGES, EPERM,
     "a target node is not in the cpuset of the process, or the agent lacks CAP_SYS_NICE or "
     "CAP_SYS_PTRACE"},
    {AGENT_CALL_READ, EACCES,
     "the agent may not look there: it needs CAP_SYS_PTRACE, and a process in its own user "
     "namespace"},
    {AGENT_CALL_READ, ENOENT, "there is no such process or file any more"},
    {ANY_CALL, EPERM,
     "the agent needs CAP_SYS_NICE and CAP_SYS_PTRACE: start it as root by its "
     "systemd unit"},
    {ANY_CALL, EACCES,
     "the cpuset of the process does not allow that node: widen its cgroup's cpuset.mems first"},
    {ANY_CALL, ENODEV, "that node is not online or has no memory: see numa-topology"},
    {ANY_CALL, ENOSYS, "this kernel was built without NUMA (CONFIG_NUMA, CONFIG_MIGRATION)"},
    {ANY_CALL, ESRCH, "there is no such process any more"},
    {ANY_CALL, ENOENT, "no page of the list is there"},
    {ANY_CALL, E2BIG, "too many pages in one call"},
    {ANY_CALL, ENOMEM, "no free memory on the target node, or in the guest"},
    {ANY_CALL, EFAULT, "an address is not the process's"},
};

static const char *find_advice(enum agent_call call, int number)
{
	for (size_t i = 0; i < sizeof(advice) / sizeof(advice[0]); i++)
		if (advice[i].code == number &&
		    (advice[i].call == ANY_CALL || advice[i].call == (int)call))
			return advice[i].text;
	return strerror(number);
}

const char *agent_errno_name(int code)
{
	const char *name = strerrorname_np(code < 0 ? -code : code);

	return name ? name : "EIO";
}

int agent_call_failed(struct gmig_error *err, enum agent_call call, int code, const char *whom)
{
	return gmig_fail(err, code, "%s on %.80s: %s (%d): %s", call_names[call], whom,
			 agent_errno_name(code), -code, find_advice(call, -code));
}

int agent_call_failed_pid(struct gmig_error *err, enum agent_call call, int code, pid_t pid)
{
	char whom[32];

	snprintf(whom, sizeof(whom), "process %d", (int)pid);
	return agent_call_failed(err, call, code, whom);
}
