/*
 * A list of the system calls that a thread may make from now on, as a classic BPF program (seccomp(2),
 * Documentation/userspace-api/seccomp_filter.rst). x86-64 alone: a call by another ABI kills the process. Used by gmig-vmm and by
 * gmig-agent; needs libc alone.
 *
 * Rules are looked at in the order in which they were added; the first that knows the call decides. An argument is seen by its low
 * half, where flags and requests are; what a pointer points to is not seen.
 *
 * Its own state only; any thread.
 */
#ifndef GMIG_SYSCALL_FILTER_H
#define GMIG_SYSCALL_FILTER_H

#include <errno.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <stdbool.h>
#include <stddef.h>

#define SYSCALL_FILTER_MAX 320

#define SYSCALL_ALLOW	SECCOMP_RET_ALLOW
#define SYSCALL_DENY	(SECCOMP_RET_ERRNO | EPERM)
#define SYSCALL_UNKNOWN (SECCOMP_RET_ERRNO | ENOSYS) /* libc then takes an older call */
#define SYSCALL_TRAP	SECCOMP_RET_TRAP	     /* SIGSYS */

struct syscall_filter {
	struct sock_filter code[SYSCALL_FILTER_MAX];
	unsigned short length;
};

void syscall_filter_begin(struct syscall_filter *filter);
/* This call: the verdict. */
void syscall_filter_number(struct syscall_filter *filter, unsigned int number,
			   unsigned int verdict);
/* All with this number or a higher one, which are newer. */
void syscall_filter_from(struct syscall_filter *filter, unsigned int number, unsigned int verdict);
void syscall_filter_allow(struct syscall_filter *filter, const unsigned short *numbers,
			  size_t count);
/* This call: verdict[0] when any bit of mask is set in the argument, else verdict[1]. */
void syscall_filter_bits(struct syscall_filter *filter, unsigned int number, unsigned int argument,
			 unsigned int mask, const unsigned int verdict[2]);
/* This call: allowed when the argument, of which only the bits of mask count, is one of these; else the next rule that knows the
 * call decides. */
void syscall_filter_values(struct syscall_filter *filter, unsigned int number,
			   unsigned int argument, unsigned int mask, const unsigned int *values,
			   size_t count);
/* All other calls: the verdict. */
void syscall_filter_end(struct syscall_filter *filter, unsigned int verdict);

/*
 * For the calling thread, and those that it starts; for ever. Several add up: of their verdicts the strictest counts. Sets
 * no-new-privs. `log`: the kernel logs what is not allowed (audit). -E2BIG too many rules; -errno of prctl(2), seccomp(2).
 */
int syscall_filter_install(const struct syscall_filter *filter, bool log);

#endif
