/*
 * What the agent may do, whoever takes it over: two capabilities, and the system calls that it
 * needs, with files to read alone; opener.h has why, and who writes. x86-64 alone, as is all of
 * gmig.
 */
#include "../control/syscall_filter.h"
#include "agent.h"

#include <fcntl.h>
#include <linux/capability.h>
#include <linux/sched.h>
#include <stdint.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#ifndef SYS_process_madvise
#define SYS_process_madvise 440
#endif

/* ---- Capabilities ---------------------------------------------------------------------------- */

#define KEPT (1u << CAP_SYS_NICE | 1u << CAP_SYS_PTRACE)

static int fail(struct gmig_error *err, const char *what)
{
	int code = -errno;

	return gmig_fail(err, code, "%s: %s", what, strerror(-code));
}

/* The bounding set can be made smaller only with CAP_SETPCAP; without it there is nothing to gain
 * by exec either, because no-new-privs is set. */
static void shrink_bounding_set(void)
{
	for (unsigned long capability = 0; capability <= 63; capability++)
		if (capability != CAP_SYS_NICE && capability != CAP_SYS_PTRACE &&
		    prctl(PR_CAPBSET_READ, capability, 0, 0, 0) == 1)
			prctl(PR_CAPBSET_DROP, capability, 0, 0, 0);
}

static int keep_capabilities(unsigned int kept, unsigned int *left, struct gmig_error *err)
{
	struct __user_cap_header_struct header = {.version = _LINUX_CAPABILITY_VERSION_3};
	struct __user_cap_data_struct data[2] = {{0}};

	if (syscall(SYS_capget, &header, data))
		return fail(err, "capget(2)");
	shrink_bounding_set();
	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0))
		return fail(err, "no-new-privs");
	prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0);
	data[0].permitted &= kept;
	data[0].effective = data[0].permitted;
	data[0].inheritable = data[1].permitted = data[1].effective = data[1].inheritable = 0;
	if (syscall(SYS_capset, &header, data))
		return fail(err, "capset(2)");
	*left = data[0].permitted;
	return 0;
}

int agent_drop_capabilities(struct gmig_error *err)
{
	unsigned int left = 0;
	int rc = keep_capabilities(KEPT, &left, err);

	if (!rc && left != KEPT)
		fprintf(stderr,
			"gmig-agent: without CAP_SYS_NICE and CAP_SYS_PTRACE it reaches only "
			"processes of its own user\n");
	return rc;
}

/* ---- System calls ---------------------------------------------------------------------------- */

static const unsigned short allowed[] = {
    /* the port, /proc, /sys, cgroup files */
    SYS_read,
    SYS_write,
    SYS_readv,
    SYS_writev,
    SYS_close,
    SYS_fstat,
    SYS_newfstatat,
    SYS_getdents64,
    SYS_access,
    SYS_faccessat,
    SYS_faccessat2,
    SYS_fcntl,
    SYS_poll,
    SYS_ppoll,
    SYS_signalfd4,
    SYS_recvmsg, /* the opener's answers */
    /* what it is for */
    SYS_move_pages,
    SYS_migrate_pages,
    SYS_process_madvise,
    SYS_pidfd_open,
    SYS_sched_setaffinity,
    SYS_sched_getaffinity,
    SYS_mbind,
    SYS_getrusage,
    SYS_uname,
};

/* For writing, or so that something is written on the way. */
#define OPEN_WRITES (O_ACCMODE | O_CREAT | O_TRUNC | O_TMPFILE)

static void build(struct syscall_filter *filter)
{
	syscall_filter_begin(filter, SYSCALL_DENY);
	/* A path is not to be seen here, but flags are. */
	syscall_filter_allow_if(filter, SYS_openat, 2, OPEN_WRITES & ~O_DIRECTORY, 0);
	syscall_filter_allow_libc(filter);
	/* No process: only threads. */
	syscall_filter_allow_if(filter, SYS_clone, 0, CLONE_THREAD, CLONE_THREAD);
	/* Its flags are behind a pointer; libc then takes clone. */
	syscall_filter_call(filter, SYS_clone3, SYSCALL_UNKNOWN);
	syscall_filter_calls(filter, allowed, sizeof(allowed) / sizeof(allowed[0]), SYSCALL_ALLOW);
}

static int install(struct syscall_filter *filter, struct gmig_error *err)
{
	int rc = syscall_filter_install(filter, false);

	return rc ? gmig_fail(err, rc, "the filter for system calls: %s", strerror(-rc)) : 0;
}

int agent_install_filter(struct gmig_error *err)
{
	struct syscall_filter filter;

	build(&filter);
	return install(&filter, err);
}

/* ---- The opener ------------------------------------------------------------------------------ */

int agent_confine_opener(struct gmig_error *err)
{
	static const unsigned short calls[] = {
	    SYS_read,	 SYS_write,	 SYS_openat,	SYS_close,	     SYS_getdents64,
	    SYS_fstat,	 SYS_newfstatat, SYS_access,	SYS_faccessat,	     SYS_fcntl,
	    SYS_sendmsg, SYS_brk,	 SYS_mremap,	SYS_munmap,	     SYS_madvise,
	    SYS_lseek,	 SYS_futex,	 SYS_getrandom, SYS_rt_sigreturn,    SYS_restart_syscall,
	    SYS_exit,	 SYS_exit_group, SYS_nanosleep, SYS_clock_nanosleep,
	};
	struct syscall_filter filter;
	unsigned int left = 0;
	int rc = keep_capabilities(0, &left, err);

	if (rc)
		return rc;
	syscall_filter_begin(&filter, SYSCALL_DENY);
	syscall_filter_allow_if(&filter, SYS_mmap, 2, PROT_EXEC, 0);
	syscall_filter_calls(&filter, calls, sizeof(calls) / sizeof(calls[0]), SYSCALL_ALLOW);
	return install(&filter, err);
}
