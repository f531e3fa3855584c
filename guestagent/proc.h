/*
 * Processes as /proc tells of them: who one is, its threads, who is in a cgroup. The parsers take
 * text and are fuzzed. No state, any thread.
 */
#ifndef AGENT_PROC_H
#define AGENT_PROC_H

#include "set.h"

#include <stdint.h>
#include <sys/types.h>

#define AGENT_COMM_BYTES   64 /* kernel threads have longer names than processes */
#define AGENT_COMM_LENGTH  15 /* of a process: TASK_COMM_LEN without the NUL */
#define AGENT_CGROUP_BYTES 512

/* In which a process has a cgroup; all but the unified one are version 1. */
enum agent_hierarchy {
	AGENT_HIERARCHY_UNIFIED, /* version 2, alone or beside version 1 */
	AGENT_HIERARCHY_SYSTEMD, /* name=systemd: services, without a controller */
	AGENT_HIERARCHY_CPUSET,
	AGENT_HIERARCHIES
};

struct agent_process {
	pid_t pid; /* as asked for */
	/* The thread by which its memory is reached: pid, or another one when the main thread has
	 * ended and others run on. System calls and /proc find no memory by pid then. */
	pid_t entry;
	pid_t tgid;  /* its thread group: equal to pid unless pid is another thread's */
	uid_t uid;   /* real */
	bool kernel; /* a kernel thread, or without memory of its own */
	int last_cpu;
	uint64_t start_time; /* in clock ticks since boot: tells a recycled pid */
	uint64_t cpu_ticks;  /* that it ran, in user space and in the kernel */
	char comm[AGENT_COMM_BYTES];
	char cgroup[AGENT_HIERARCHIES][AGENT_CGROUP_BYTES]; /* "": none there */
	struct agent_set cpus, mems;			    /* allowed */
};

/* /proc/PID/stat, status and cgroup; each fills its fields. -EINVAL: not such a text. */
int agent_parse_stat(const char *text, struct agent_process *process);
int agent_parse_status(const char *text, struct agent_process *process);
void agent_parse_cgroup(const char *text, struct agent_process *process);

/* Its cgroup for people: the first that is not the root of its hierarchy. */
const char *agent_process_cgroup(const struct agent_process *process);

/* -ESRCH: there is none. Another -errno: /proc could not be read, and it may well be there. */
int agent_process_read(pid_t pid, struct agent_process *process, struct gmig_error *err);
/* The entry of a process now, which ends as threads do; 0: it has no memory; -errno: that could not be read. */
pid_t agent_process_entry(pid_t pid);
/* 0: it is still the process that was read then; -ESRCH: it has ended; another -errno: that could not be read. */
int agent_process_check(pid_t pid, uint64_t start_time, struct gmig_error *err);

/* Pids, a growing list; free() them. */
struct agent_pids {
	pid_t *pid;
	size_t count, capacity;
};
int agent_pids_add(struct agent_pids *pids, pid_t pid);
/* All processes, in the order of /proc. */
int agent_pids_all(struct agent_pids *pids, struct gmig_error *err);
/* All threads of one. */
int agent_pids_threads(pid_t pid, struct agent_pids *pids, struct gmig_error *err);
static inline void agent_pids_free(struct agent_pids *pids)
{
	__builtin_free(pids->pid);
}
#define AGENT_PIDS __attribute__((cleanup(agent_pids_free))) struct agent_pids

/* A small file as text with a NUL; its length or -errno. */
ssize_t agent_read_text(const char *path, char *text, size_t bytes);

#endif
