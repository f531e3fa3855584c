#include "syscall_filter.h"

#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#ifndef MADV_GUARD_INSTALL
#define MADV_GUARD_INSTALL 102
#define MADV_GUARD_REMOVE  103
#endif

/* A binary tree of calls: 20 comparisons at most, where a list of a hundred calls has a hundred. */
#define OPTIMIZE_TREE 2

static void keep(struct syscall_filter *filter, int ret)
{
	if (!filter->ret && ret < 0)
		filter->ret = ret;
}

void syscall_filter_look(void)
{
	seccomp_api_get();
}

void syscall_filter_begin(struct syscall_filter *filter, uint32_t otherwise)
{
	filter->context = seccomp_init(otherwise);
	filter->ret = filter->context ? 0 : -ENOMEM;
	if (filter->ret)
		return;
	keep(filter,
	     seccomp_attr_set(filter->context, SCMP_FLTATR_ACT_BADARCH, SCMP_ACT_KILL_PROCESS));
	keep(filter, seccomp_attr_set(filter->context, SCMP_FLTATR_CTL_OPTIMIZE, OPTIMIZE_TREE));
	keep(filter, seccomp_attr_set(filter->context, SCMP_FLTATR_API_SYSRAWRC, 1));
}

void syscall_filter_call(struct syscall_filter *filter, int number, uint32_t verdict)
{
	if (!filter->ret)
		keep(filter, seccomp_rule_add(filter->context, verdict, number, 0));
}

void syscall_filter_calls(struct syscall_filter *filter, const unsigned short *numbers,
			  size_t count, uint32_t verdict)
{
	for (size_t i = 0; i < count; i++)
		syscall_filter_call(filter, numbers[i], verdict);
}

void syscall_filter_call_if(struct syscall_filter *filter, int number, unsigned int argument,
			    uint32_t mask, uint32_t value, uint32_t verdict)
{
	const struct scmp_arg_cmp is = {argument, SCMP_CMP_MASKED_EQ, mask, value};

	if (!filter->ret)
		keep(filter, seccomp_rule_add_array(filter->context, verdict, number, 1, &is));
}

void syscall_filter_allow_if(struct syscall_filter *filter, int number, unsigned int argument,
			     uint32_t mask, uint32_t value)
{
	syscall_filter_call_if(filter, number, argument, mask, value, SYSCALL_ALLOW);
}

void syscall_filter_allow_values(struct syscall_filter *filter, int number, unsigned int argument,
				 const unsigned int *values, size_t count)
{
	for (size_t i = 0; i < count; i++)
		syscall_filter_allow_if(filter, number, argument, UINT32_MAX, values[i]);
}

/* Of allocators and of threads' stacks (glibc 2.42 has their guards by advice). */
static const unsigned int libc_advice[] = {
    MADV_DONTNEED, MADV_FREE, MADV_HUGEPAGE, MADV_NOHUGEPAGE, MADV_GUARD_INSTALL, MADV_GUARD_REMOVE,
};

void syscall_filter_allow_libc(struct syscall_filter *filter)
{
	static const unsigned short calls[] = {
	    SYS_munmap,
	    SYS_mremap,
	    SYS_brk,
	    SYS_futex,
	    SYS_set_robust_list,
	    SYS_rseq,
	    SYS_rt_sigprocmask,
	    SYS_rt_sigaction,
	    SYS_rt_sigreturn,
	    SYS_restart_syscall,
	    SYS_gettid,
	    SYS_getpid,
	    SYS_clock_gettime,
	    SYS_clock_nanosleep,
	    SYS_nanosleep,
	    SYS_gettimeofday,
	    SYS_getrandom,
	    SYS_sched_yield,
	    SYS_exit,
	    SYS_exit_group,
	};

	syscall_filter_calls(filter, calls, sizeof(calls) / sizeof(calls[0]), SYSCALL_ALLOW);
	syscall_filter_allow_values(filter, SYS_madvise, 2, libc_advice,
				    sizeof(libc_advice) / sizeof(libc_advice[0]));
	syscall_filter_allow_if(filter, SYS_mmap, 2, PROT_EXEC, 0);
	syscall_filter_allow_if(filter, SYS_mprotect, 2, PROT_EXEC, 0);
	syscall_filter_allow_if(filter, SYS_tgkill, 0, UINT32_MAX, (uint32_t)getpid());
}

void syscall_filter_first(struct syscall_filter *filter, int number)
{
	if (!filter->ret)
		keep(filter, seccomp_syscall_priority(filter->context, number, UINT8_MAX));
}

/* libseccomp has -EFAULT for each error that is not on its list, EPERM and ENOSYS among them; errno has it still. */
static int load(const struct syscall_filter *filter)
{
	int ret;

	errno = 0;
	ret = seccomp_load(filter->context);
	return ret == -EFAULT && errno ? -errno : ret;
}

int syscall_filter_install(struct syscall_filter *filter, bool log)
{
	if (!filter->ret && log)
		keep(filter, seccomp_attr_set(filter->context, SCMP_FLTATR_CTL_LOG, 1));
	if (!filter->ret)
		keep(filter, load(filter));
	if (filter->context)
		seccomp_release(filter->context);
	filter->context = NULL;
	return filter->ret;
}
