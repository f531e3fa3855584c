/*
 * What the agent may do, whoever takes it over: two capabilities, and the system calls that it
 * needs, with files to read alone; opener.h has why, and who writes. x86-64 alone, as is all of
 * gmig.
 */
#include "agent.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/audit.h>
#include <linux/capability.h>
#include <linux/filter.h>
#include <linux/sched.h>
#include <linux/seccomp.h>
#include <stddef.h>
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
    /* memory, threads, time, the end */
    SYS_munmap,
    SYS_mremap,
    SYS_madvise,
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
    SYS_uname,
    SYS_exit,
    SYS_exit_group,
};

/* For writing, or so that something is written on the way. */
#define OPEN_WRITES (O_ACCMODE | O_CREAT | O_TRUNC | O_TMPFILE)

#define MAX_FILTER  160
#define DATA(field) ((unsigned int)offsetof(struct seccomp_data, field))
/* The low half of an argument: flags are there. */
#define ARGUMENT(n) (DATA(args) + 8 * (n))
#define DENY	    (SECCOMP_RET_ERRNO | EPERM)

struct program {
	struct sock_filter code[MAX_FILTER];
	unsigned short length;
};

static void emit(struct program *program, struct sock_filter instruction)
{
	if (program->length < MAX_FILTER)
		program->code[program->length++] = instruction;
}

static void emit_return(struct program *program, unsigned int what)
{
	emit(program, (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, what));
}

/* If the call is `number`: `if_set` when any bit of mask is set in the low half of the argument,
 * else `otherwise`. */
static void emit_bits(struct program *program, unsigned int number, unsigned int argument,
		      unsigned int mask, const unsigned int verdict[2])
{
	emit(program, (struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, number, 0, 4));
	emit(program, (struct sock_filter)BPF_STMT(BPF_LD | BPF_W | BPF_ABS, ARGUMENT(argument)));
	emit(program, (struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JSET | BPF_K, mask, 0, 1));
	emit_return(program, verdict[0]);
	emit_return(program, verdict[1]);
}

/* If the call is `number`: allowed when the low half of the argument is `value`. */
static void emit_value(struct program *program, unsigned int number, unsigned int argument,
		       unsigned int value)
{
	emit(program, (struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, number, 0, 4));
	emit(program, (struct sock_filter)BPF_STMT(BPF_LD | BPF_W | BPF_ABS, ARGUMENT(argument)));
	emit(program, (struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, value, 0, 1));
	emit_return(program, SECCOMP_RET_ALLOW);
	emit_return(program, DENY);
}

static void emit_number(struct program *program, unsigned int number, unsigned int verdict)
{
	emit(program, (struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, number, 0, 1));
	emit_return(program, verdict);
}

static void begin(struct program *program)
{
	emit(program, (struct sock_filter)BPF_STMT(BPF_LD | BPF_W | BPF_ABS, DATA(arch)));
	emit(program,
	     (struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, AUDIT_ARCH_X86_64, 1, 0));
	emit_return(program, SECCOMP_RET_KILL_PROCESS);
	emit(program, (struct sock_filter)BPF_STMT(BPF_LD | BPF_W | BPF_ABS, DATA(nr)));
}

static void end(struct program *program, const unsigned short *calls, size_t count)
{
	for (size_t i = 0; i < count; i++)
		emit_number(program, calls[i], SECCOMP_RET_ALLOW);
	emit_return(program, DENY);
}

static void build(struct program *program)
{
	static const unsigned int deny_if[] = {DENY, SECCOMP_RET_ALLOW};
	static const unsigned int allow_if[] = {SECCOMP_RET_ALLOW, DENY};

	begin(program);
	/* A path is not to be seen here, but flags are. */
	emit_bits(program, SYS_openat, 2, OPEN_WRITES & ~O_DIRECTORY, deny_if);
	/* abort(3) */
	emit_value(program, SYS_tgkill, 0, (unsigned int)getpid());
	/* No code is made at run time, and no process: only threads. */
	emit_bits(program, SYS_mmap, 2, PROT_EXEC, deny_if);
	emit_bits(program, SYS_mprotect, 2, PROT_EXEC, deny_if);
	emit_bits(program, SYS_clone, 0, CLONE_THREAD, allow_if);
	/* Its flags are behind a pointer; libc then takes clone. */
	emit_number(program, SYS_clone3, SECCOMP_RET_ERRNO | ENOSYS);
	end(program, allowed, sizeof(allowed) / sizeof(allowed[0]));
}

static int install(struct program *program, struct gmig_error *err)
{
	struct sock_fprog filter = {.len = program->length, .filter = program->code};

	if (program->length == MAX_FILTER)
		return gmig_fail(err, -E2BIG, "the system call filter is too long");
	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) ||
	    prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &filter, 0, 0))
		return fail(err, "seccomp");
	return 0;
}

int agent_install_filter(struct gmig_error *err)
{
	struct program program = {.length = 0};

	build(&program);
	return install(&program, err);
}

/* ---- The opener ------------------------------------------------------------------------------ */

int agent_confine_opener(struct gmig_error *err)
{
	static const unsigned short calls[] = {
	    SYS_read,	 SYS_write,	 SYS_openat,	SYS_close,	  SYS_getdents64,
	    SYS_fstat,	 SYS_newfstatat, SYS_access,	SYS_faccessat,	  SYS_fcntl,
	    SYS_sendmsg, SYS_brk,	 SYS_mremap,	SYS_munmap,	  SYS_madvise,
	    SYS_lseek,	 SYS_futex,	 SYS_getrandom, SYS_rt_sigreturn, SYS_restart_syscall,
	    SYS_exit,	 SYS_exit_group,
	};
	static const unsigned int deny_if[] = {DENY, SECCOMP_RET_ALLOW};
	struct program program = {.length = 0};
	unsigned int left = 0;
	int rc = keep_capabilities(0, &left, err);

	if (rc)
		return rc;
	begin(&program);
	emit_bits(&program, SYS_mmap, 2, PROT_EXEC, deny_if);
	end(&program, calls, sizeof(calls) / sizeof(calls[0]));
	return install(&program, err);
}
