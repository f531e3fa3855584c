/*
 * System calls, the clock and where the kernel's files are, behind one struct: tests put their own
 * in. Set once before any thread starts; read only from then on.
 */
#ifndef AGENT_SYS_H
#define AGENT_SYS_H

#include "../migrate/gmig_error.h"
#include "set.h"

#include <sched.h>
#include <stdint.h>
#include <sys/types.h>
#include <sys/uio.h>

#define AGENT_MPOL_MF_MOVE     (1 << 1) /* linux/mempolicy.h: pages of this process alone */
#define AGENT_MPOL_MF_MOVE_ALL (1 << 2) /* shared ones, too */
#define AGENT_MADV_COLLAPSE    25	/* asm-generic/mman-common.h since Linux 6.1 */
#define AGENT_PAGE_BYTES       4096ull
#define AGENT_HUGE_BYTES       (2ull << 20)

/* Each returns what the system call does, or -errno instead of -1. */
struct agent_sys {
	const char *proc, *sys, *cgroup; /* "/proc" and so on */
	long (*move_pages)(pid_t pid, unsigned long count, void **pages, const int *nodes,
			   int *status, int flags);
	long (*migrate_pages)(pid_t pid, const struct agent_set *from, const struct agent_set *to);
	long (*setaffinity)(pid_t tid, const struct agent_set *cpus);
	int (*pidfd_open)(pid_t pid);
	long (*process_madvise)(int pidfd, const struct iovec *ranges, size_t count, int advice);
	/* 64-bit entries of /proc/PID/pagemap from page `first` on: bytes. */
	long (*pagemap_read)(int pagemap, uint64_t *entries, size_t count, uint64_t first);
	/* A word to a DAMON's file `state`: bytes. */
	long (*damon_write)(int state, const char *word);
	uint64_t (*now_ns)(void);
	void (*sleep_ns)(uint64_t ns);
};

extern const struct agent_sys agent_sys_real;
extern const struct agent_sys *agent_sys; /* agent_sys_real, but in tests */

enum agent_call {
	AGENT_CALL_MOVE_PAGES,
	AGENT_CALL_MIGRATE_PAGES,
	AGENT_CALL_SETAFFINITY,
	AGENT_CALL_MADVISE,
	AGENT_CALL_CGROUP_WRITE,
	AGENT_CALL_READ,
};

/* Fill *err with the call's name, whom it was for, the error by name and number, and what to do
 * about it. Returns code (-errno). */
int agent_call_failed(struct gmig_error *err, enum agent_call call, int code, const char *whom);
/* The same for a process. */
int agent_call_failed_pid(struct gmig_error *err, enum agent_call call, int code, pid_t pid);
/* "EBUSY" of -EBUSY. */
const char *agent_errno_name(int code);

#endif
