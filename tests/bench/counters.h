/*
 * What the kernel counts of a process, by perf_event_open(2): system calls, by its tracepoint raw_syscalls:sys_enter, or
 * instructions, by the processor's own counter. While system calls are counted, those of the whole machine cost a
 * little more. One thread.
 */
#ifndef BENCH_COUNTERS_H
#define BENCH_COUNTERS_H

#include <stdint.h>
#include <sys/types.h>

struct counters;

/*
 * Count for all threads of the process, and those they start later, but for threads whose name begins with `without` (NULL: all).
 * -ENOENT no tracefs, or no such counter here; -EACCES, -EPERM no right; -ESRCH.
 */
int counters_of_syscalls(pid_t pid, const char *without, struct counters **out);
int counters_of_instructions(pid_t pid, const char *without, struct counters **out);
void counters_destroy(struct counters *counters);
/* Since it was created. */
uint64_t counters_sum(const struct counters *counters);

#endif
