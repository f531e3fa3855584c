/*
 * What /proc tells of a child: CPU time by nanoseconds, threads by name, memory. One thread.
 */
#ifndef BENCH_PROCESS_H
#define BENCH_PROCESS_H

#include <stdint.h>
#include <sys/types.h>

/* CPU time of all threads, ended ones too. */
int process_cpu_ns(pid_t pid, uint64_t *ns);

/* Calls visit(tid) for each thread whose name begins with prefix; stops at a non-zero result and returns it. */
int process_each_thread(pid_t pid, const char *prefix, int (*visit)(pid_t pid, pid_t tid, void *opaque), void *opaque);
/* CPU time of the living threads whose name begins with prefix, and how long they waited for a CPU (may be NULL). */
int process_threads_cpu_ns(pid_t pid, const char *prefix, uint64_t *ns, uint64_t *waited_ns);
/* Thread i of that name runs on CPU (last - i) alone, wrapping. -ESRCH no such thread. */
int process_pin_threads(pid_t pid, const char *prefix, unsigned int cpus);

struct process_memory {
	uint64_t rss_bytes, rss_anon_bytes, page_table_bytes;
};
/* fd of /proc/PID/status, re-read by each call. */
int process_memory_read(int status_fd, struct process_memory *out);

#endif
