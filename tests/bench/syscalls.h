/*
 * How many system calls a process makes, by perf_event_open(2) on the kernel's tracepoint
 * raw_syscalls:sys_enter. Needs tracefs and the right to use it; while it counts, system calls of
 * the whole machine cost a little more. One thread.
 */
#ifndef BENCH_SYSCALLS_H
#define BENCH_SYSCALLS_H

#include <stdint.h>
#include <sys/types.h>

struct syscalls;

/*
 * Count for all threads of the process, and those they start later, but for threads whose name
 * begins with `without`. -ENOENT no tracefs; -EACCES, -EPERM no right; -ESRCH.
 */
int syscalls_create(pid_t pid, const char *without, struct syscalls **out);
void syscalls_destroy(struct syscalls *syscalls);
/* Since it was created. */
uint64_t syscalls_count(const struct syscalls *syscalls);

#endif
