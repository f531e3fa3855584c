/*
 * A list of the system calls that a thread may make from now on: libseccomp, with what gmig-vmm, gmig-agent and gmigd want of it
 * said once. x86-64 alone: a call by another ABI kills the process. What is on no rule gets the verdict that the filter began with.
 *
 * An argument is seen as a number; what a pointer points to is not seen.
 *
 * Its own state only; any thread, but syscall_filter_look() first.
 */
#ifndef GMIG_SYSCALL_FILTER_H
#define GMIG_SYSCALL_FILTER_H

#include <errno.h>
#include <seccomp.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define SYSCALL_ALLOW	SCMP_ACT_ALLOW
#define SYSCALL_DENY	SCMP_ACT_ERRNO(EPERM)
#define SYSCALL_UNKNOWN SCMP_ACT_ERRNO(ENOSYS) /* libc then takes an older call */
#define SYSCALL_TRAP	SCMP_ACT_TRAP	       /* SIGSYS */

struct syscall_filter {
	scmp_filter_ctx context;
	int ret; /* of the first call that failed; later ones do nothing */
};

/* libseccomp asks the kernel once what it can do, by calls that no filter of ours allows. Before other threads. */
void syscall_filter_look(void);

/* `otherwise`: the verdict on what no rule is about. What fails from here on is told by syscall_filter_install(). */
void syscall_filter_begin(struct syscall_filter *filter, uint32_t otherwise);
/* These calls, whatever their arguments: the verdict, which is not `otherwise`. */
void syscall_filter_calls(struct syscall_filter *filter, const unsigned short *numbers,
			  size_t count, uint32_t verdict);
void syscall_filter_call(struct syscall_filter *filter, int number, uint32_t verdict);
/*
 * What libc does in any thread: memory, none of it executable, and of advice about it what allocators give; locks, time, signals, of
 * them tgkill to the calling process alone (abort(3)); the end.
 */
void syscall_filter_allow_libc(struct syscall_filter *filter);
/* This call is allowed if of its argument, 0 to 5, the bits of mask are those of value. Several rules: if one of them says so. */
void syscall_filter_allow_if(struct syscall_filter *filter, int number, unsigned int argument,
			     uint32_t mask, uint32_t value);
/* It is allowed if its argument is one of these values, in its lower 32 bits. */
void syscall_filter_allow_values(struct syscall_filter *filter, int number, unsigned int argument,
				 const unsigned int *values, size_t count);
/* As syscall_filter_allow_if(), but the verdict is this one: where the filter began with another. */
void syscall_filter_call_if(struct syscall_filter *filter, int number, unsigned int argument,
			    uint32_t mask, uint32_t value, uint32_t verdict);
/* This call is looked at first: it is made most. */
void syscall_filter_first(struct syscall_filter *filter, int number);

/*
 * For the calling thread, and those that it starts; for ever. Several add up: of their verdicts the strictest counts. Sets
 * no-new-privs. `log`: the kernel logs what is not allowed (audit). Ends the filter, also when it fails.
 * -ENOMEM; -errno of prctl(2), seccomp(2).
 */
int syscall_filter_install(struct syscall_filter *filter, bool log);

#endif
