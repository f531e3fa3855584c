/*
 * What /proc tells of a child: CPU time by nanoseconds, threads by name, memory. One thread.
 */
#ifndef BENCH_PROCESS_H
#define BENCH_PROCESS_H

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

/* CPU time of all threads, ended ones too. */
int process_cpu_ns(pid_t pid, uint64_t *ns);

/*
 * The same in user and in system mode, without threads whose name begins with prefix. The kernel counts it in its clock's
 * ticks (10 ms). -EIO: /proc/PID/stat is not what proc(5) says.
 */
struct process_split {
	double user_seconds, system_seconds;
};
int process_split_read(pid_t pid, const char *prefix, struct process_split *out);

/* Calls visit(tid) for each thread whose name begins with prefix; stops at a non-zero result and returns it. */
int process_each_thread(pid_t pid, const char *prefix,
			int (*visit)(pid_t pid, pid_t tid, void *opaque), void *opaque);
/* -ESRCH and the like for a thread that has ended. */
int process_thread_name(pid_t pid, pid_t tid, char *name, size_t bytes);
/* CPU time of the living threads whose name begins with prefix, and how long they waited for a CPU (may be NULL). */
int process_threads_cpu_ns(pid_t pid, const char *prefix, uint64_t *ns, uint64_t *waited_ns);
/* Thread i of that name runs on CPU (last - i) alone, wrapping. -ESRCH no such thread. */
int process_pin_threads(pid_t pid, const char *prefix, unsigned int cpus);

struct process_memory {
	uint64_t rss_bytes, rss_anon_bytes, page_table_bytes;
	uint64_t peak_bytes; /* of rss_bytes, since start or process_memory_forget_peak */
};
/* fd of /proc/PID/status, re-read by each call. */
int process_memory_read(int status_fd, struct process_memory *out);
/* peak_bytes starts anew from what is resident now. */
int process_memory_forget_peak(pid_t pid);

#endif
