/*
 * See sandbox.h. Three lists, since there are three kinds of threads by what may speak to them: nobody (the log), the guest
 * (devices), the operator and the kernel (the rest). The one that hears the operator has one call more than that.
 *
 * A call that is not on a thread's list fails with EPERM, and the kernel logs it: a path of libc's that nobody has seen must not
 * cost a guest its life. Calls that no thread has any use for, and that are how a program that was taken over goes on, end the VM.
 */
#include "sandbox.h"
#include "../control/closed_nodes.h"
#include "../control/syscall_filter.h"
#include "../migrate/core/shortage.h"
#include "../migrate/core/sys.h"
#include "sandbox_files.h"

#include <fcntl.h>
#include <libgen.h>
#include <limits.h>
#include <linux/fs.h>
#include <linux/sched.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

static bool is_on;
static int rules = -1; /* Landlock's; -1: none */

/* ---- Lists ----------------------------------------------------------------------------------- */

/* A program, another's memory. */
static const unsigned short deadly[] = {
    SYS_execve, SYS_execveat, SYS_ptrace, SYS_process_vm_readv, SYS_process_vm_writev,
};

/*
 * Beside what libc needs. On the way out of a crash, in whichever thread, the terminal is set as it was and sockets are removed.
 */
static const unsigned short every_thread[] = {
    SYS_read,	     SYS_write,
    SYS_readv,	     SYS_writev,
    SYS_close,	     SYS_fstat,
    SYS_newfstatat,  SYS_lseek,
    SYS_poll,	     SYS_ppoll,
    SYS_sigaltstack, SYS_time,
    SYS_getcpu,	     SYS_sched_getaffinity,
    SYS_membarrier,  SYS_unlink,
};

/* On descriptors that are open: disks, consoles, taps, ports' clients. */
static const unsigned short devices[] = {
    SYS_pread64,	SYS_pwrite64,	 SYS_preadv,	 SYS_pwritev,	 SYS_preadv2,
    SYS_pwritev2,	SYS_fdatasync,	 SYS_fsync,	 SYS_fallocate,	 SYS_epoll_ctl,
    SYS_epoll_wait,	SYS_epoll_pwait, SYS_accept4,	 SYS_sendto,	 SYS_sendmsg,
    SYS_recvfrom,	SYS_recvmsg,	 SYS_getsockopt, SYS_setsockopt, SYS_shutdown,
    SYS_io_uring_enter, /* the ring is restricted: blk_ring.h */
};

static const unsigned short engine[] = {
    /* where memory and threads are, and go */
    SYS_set_mempolicy,
    SYS_get_mempolicy,
    SYS_mlock2,
    SYS_munlock,
    SYS_mincore,
    SYS_sched_setaffinity,
    /* files to read, sockets to remove */
    SYS_getdents64,
    SYS_access,
    SYS_faccessat,
    SYS_faccessat2,
    SYS_readlink,
    SYS_readlinkat,
    SYS_getcwd,
    SYS_mkdir,
    SYS_flock,
    /* the rest */
    SYS_dup2,
    SYS_dup3,
    SYS_epoll_create1,
    SYS_eventfd2,
    SYS_sysinfo,
    SYS_uname,
    SYS_getrusage,
    SYS_getuid,
    SYS_geteuid,
    SYS_getgid,
    SYS_getegid,
    SYS_getppid,
};

#define OPEN_WRITES (O_ACCMODE | O_CREAT | O_TRUNC | (O_TMPFILE & ~O_DIRECTORY))
/* Of this number and above is what the lists were not written for: libc must find it missing. */
#define NEWER_CALLS	451
#define NEWER_CALLS_END 512 /* some ten years of calls; then come those of another ABI */
#define ALL_BITS	UINT32_MAX
#define IOCTL_TYPE	0xff00u
#define IOCTL_OF_KVM	0xae00u /* any: only descriptors of KVM know them */
#define IOCTL_OF_UFFD	0xaa00u

#ifndef PR_SET_VMA
#define PR_SET_VMA 0x53564d41 /* names of mappings, by libc's allocator */
#endif

/* Terminals as glibc sets them: 2.42 has termios2. FIONREAD, TIOCSTI and others are not among them. */
static const unsigned int terminal_requests[] = {
    TCGETS, TCSETS, TCSETSW, TCSETSF, 0x802c542au, 0x402c542bu, 0x402c542cu, 0x402c542du,
};
static const unsigned int disk_requests[] = {BLKDISCARD};
static const unsigned int kvm_types[] = {IOCTL_OF_KVM};
static const unsigned int uffd_types[] = {IOCTL_OF_UFFD};
static const unsigned int pagemap_requests[] = {(unsigned int)PAGEMAP_SCAN};
static const unsigned int engine_prctls[] = {PR_SET_NAME, PR_SET_VMA};
/* No owner and no signal of a descriptor: F_SETOWN and F_SETSIG would send any signal to any process of the user's. */
static const unsigned int device_fcntls[] = {
    F_GETFD, F_GETFL, F_DUPFD_CLOEXEC, F_OFD_GETLK, F_OFD_SETLK,
};
/* Beside libc's. Memory that a guest gives back: */
static const unsigned int device_advice[] = {MADV_COLD, MADV_DONTNEED_LOCKED};
/* Regions and frames. */
static const unsigned int engine_advice[] = {
    MADV_DONTFORK,	 MADV_DONTDUMP, MADV_UNMERGEABLE, MADV_POPULATE_READ,
    MADV_POPULATE_WRITE, MADV_COLLAPSE, MADV_PAGEOUT,
};
/* A bad frame is taken from the whole host. As root it could be any: only where an operator asks for it. */
static const unsigned int control_advice[] = {MADV_SOFT_OFFLINE};

struct ioctls {
	const unsigned int *request;
	size_t count;
	unsigned int mask; /* which bits of a request count */
};
static const struct ioctls device_ioctls[] = {
    {kvm_types, COUNT(kvm_types), IOCTL_TYPE},
    {disk_requests, COUNT(disk_requests), ALL_BITS},
};
static const struct ioctls engine_ioctls[] = {
    {uffd_types, COUNT(uffd_types), IOCTL_TYPE},
    {pagemap_requests, COUNT(pagemap_requests), ALL_BITS},
};
static const struct ioctls terminal_ioctls[] = {
    {terminal_requests, COUNT(terminal_requests), ALL_BITS},
};

static void allow_ioctls(struct syscall_filter *filter, const struct ioctls *ioctls, size_t count)
{
	for (size_t i = 0; i < count; i++)
		for (size_t j = 0; j < ioctls[i].count; j++)
			syscall_filter_allow_if(filter, SYS_ioctl, 1, ioctls[i].mask,
						ioctls[i].request[j]);
}

/* KVM_RUN is the call that is made most, and the kernel cannot remember that it is allowed, as an argument decides: first. */
static void add_ioctls(struct syscall_filter *filter, enum sandbox_kind kind)
{
	allow_ioctls(filter, terminal_ioctls, COUNT(terminal_ioctls));
	if (kind != SANDBOX_LOG)
		allow_ioctls(filter, device_ioctls, COUNT(device_ioctls));
	if (kind >= SANDBOX_ENGINE)
		allow_ioctls(filter, engine_ioctls, COUNT(engine_ioctls));
	syscall_filter_first(filter, SYS_ioctl);
}

static void add_devices(struct syscall_filter *filter)
{
	syscall_filter_calls(filter, devices, COUNT(devices), SYSCALL_ALLOW);
	syscall_filter_allow_values(filter, SYS_fcntl, 1, device_fcntls, COUNT(device_fcntls));
	syscall_filter_allow_values(filter, SYS_madvise, 2, device_advice, COUNT(device_advice));
}

static void add_engine(struct syscall_filter *filter)
{
	syscall_filter_calls(filter, engine, COUNT(engine), SYSCALL_ALLOW);
	syscall_filter_allow_values(filter, SYS_madvise, 2, engine_advice, COUNT(engine_advice));
	/* Its own memory: no process by its id, and with mbind no pages that it shares with others. */
	syscall_filter_allow_if(filter, SYS_move_pages, 0, ALL_BITS, 0);
	syscall_filter_allow_if(filter, SYS_mbind, 5, ALL_BITS, 0);
	syscall_filter_allow_if(filter, SYS_openat, 2, OPEN_WRITES, 0);
	/* Threads, and what makes them stricter. */
	syscall_filter_allow_if(filter, SYS_clone, 0, CLONE_THREAD, CLONE_THREAD);
	syscall_filter_call(filter, SYS_clone3, SYSCALL_ALLOW); /* see enter_calls() */
	syscall_filter_allow_if(filter, SYS_seccomp, 0, ALL_BITS, SECCOMP_SET_MODE_FILTER);
	for (size_t i = 0; i < COUNT(engine_prctls); i++)
		syscall_filter_allow_if(filter, SYS_prctl, 0, ALL_BITS, engine_prctls[i]);
}

static void build(struct syscall_filter *filter, enum sandbox_kind kind)
{
	syscall_filter_begin(filter, SYSCALL_DENY);
	add_ioctls(filter, kind);
	syscall_filter_calls(filter, deadly, COUNT(deadly), SYSCALL_TRAP);
	syscall_filter_allow_libc(filter);
	syscall_filter_calls(filter, every_thread, COUNT(every_thread), SYSCALL_ALLOW);
	if (kind != SANDBOX_LOG)
		add_devices(filter);
	if (kind >= SANDBOX_ENGINE)
		add_engine(filter);
	if (kind == SANDBOX_CONTROL)
		syscall_filter_allow_values(filter, SYS_madvise, 2, control_advice,
					    COUNT(control_advice));
}

/*
 * What libc tries first and can do without: ENOSYS. clone3 has its flags behind a pointer, where a filter does not see that they
 * are a process's; clone, which libc then takes, shows them.
 */
static void build_missing(struct syscall_filter *filter)
{
	syscall_filter_begin(filter, SYSCALL_ALLOW);
	syscall_filter_call(filter, SYS_clone3, SYSCALL_UNKNOWN);
	for (int number = NEWER_CALLS; number < NEWER_CALLS_END; number++)
		syscall_filter_call(filter, number, SYSCALL_UNKNOWN);
}

/* Two: what is missing happens every day, and is not for the kernel's log. */
static int enter_calls(enum sandbox_kind kind, struct gmig_error *err)
{
	struct syscall_filter filter;
	int ret;

	build_missing(&filter);
	ret = syscall_filter_install(&filter, false);
	if (!ret) {
		build(&filter, kind);
		ret = syscall_filter_install(&filter, true);
	}
	return ret ? gmig_fail(err, ret, "--sandbox: seccomp: %s", strerror(-ret)) : 0;
}

/* ---- Files ----------------------------------------------------------------------------------- */

/* What the engine looks at while it runs: room for frames, topology, the process's own cpuset and cgroups; libc too. */
static const char *const looked_at[] = {
    "/proc/self",
    "/proc/meminfo",
    "/sys/devices/system",
    "/sys/kernel/mm",
    "/proc/sys/vm/overcommit_memory",
    "/proc/sys/vm/max_map_count",
};

/* What is not known now is missing for the guest's life: it does not start. By errno. */
static int refuse_look(const char *path, struct gmig_error *err)
{
	return gmig_fail(err, -errno, "--sandbox: %s: %s", path, strerror(errno));
}

/* Limits on memory, wherever they are mounted: proc_pid_mountinfo(5). */
static int allow_cgroups(struct gmig_error *err)
{
	static const char path[] = "/proc/self/mountinfo";
	FILE *mounts = fopen(path, "re");
	char line[2 * PATH_MAX], point[PATH_MAX];
	int ret = 0;

	if (!mounts)
		return is_shortage(errno) ? refuse_look(path, err) : 0;
	while (!ret && fgets(line, sizeof(line), mounts)) {
		const char *type = strstr(line, " - ");

		if (type && !strncmp(type, " - cgroup", 9) &&
		    sscanf(line, "%*s %*s %*s %*s %4095s", point) == 1)
			ret = sandbox_files_allow(rules, point, SANDBOX_FILES_READ, err);
	}
	if (!ret && ferror(mounts))
		ret = refuse_look(path, err);
	fclose(mounts);
	return ret;
}

/*
 * The list of closed nodes may come while the guest runs, and its directory with it; a rule needs a directory that is there. Root
 * makes it, as gmig drain would. Anybody else's guest has no rule then, and closed_nodes_read() says so once there is a list: a
 * rule for the parent, /run, would open what else its user may read there, as credentials in /run/user.
 */
static int allow_closed_nodes(const char *directory, struct gmig_error *err)
{
	if (!closed_nodes_user())
		(void)mkdir(directory, 0711);
	return sandbox_files_allow(rules, directory, SANDBOX_FILES_READ, err);
}

static int allow_directory_of(const char *path, struct gmig_error *err)
{
	char copy[PATH_MAX];

	if (snprintf(copy, sizeof(copy), "%s", path) >= (int)sizeof(copy))
		return gmig_fail(err, -ENAMETOOLONG, "--sandbox: the path of a socket is too long");
	return sandbox_files_allow(rules, dirname(copy), SANDBOX_FILES_REMOVE, err);
}

/*
 * The kernel opens the file of a core dump by the rights of the thread that crashed (core(5)). That threads cannot make or write
 * files themselves is the filters' work. An older core, which the kernel would remove first, is in the way: nothing may be removed
 * there.
 */
static int allow_core(struct gmig_error *err)
{
	static const char path[] = "/proc/sys/kernel/core_pattern";
	char pattern[PATH_MAX] = "";
	struct rlimit limit;
	FILE *file;
	int ret = 0;

	if (getrlimit(RLIMIT_CORE, &limit) || !limit.rlim_cur)
		return 0;
	file = fopen(path, "re");
	if (!file)
		return is_shortage(errno) ? refuse_look(path, err) : 0;
	if (!fgets(pattern, sizeof(pattern), file)) {
		*pattern = '|';
		ret = ferror(file) ? refuse_look(path, err) : 0;
	}
	fclose(file);
	if (ret)
		return ret;
	if (*pattern == '|' || *pattern == '@') /* a program's or a socket's business */
		return 0;
	return sandbox_files_allow(rules, dirname(pattern), SANDBOX_FILES_DUMP, err);
}

int sandbox_choose_files(const struct vmm_options *options, const char *control, int *abi,
			 struct gmig_error *err)
{
	int ret;

	*abi = 0;
	if (!is_on)
		return 0;
	ret = sandbox_files_create(&rules, abi, err);
	if (ret || rules < 0)
		return ret;
	for (size_t i = 0; i < COUNT(looked_at) && !ret; i++)
		ret = sandbox_files_allow(rules, looked_at[i], SANDBOX_FILES_READ, err);
	for (unsigned int i = 0; i < CLOSED_NODES_DIRECTORIES && !ret; i++)
		if (closed_nodes_directory(i))
			ret = allow_closed_nodes(closed_nodes_directory(i), err);
	if (!ret)
		ret = allow_cgroups(err);
	if (!ret)
		ret = allow_directory_of(control, err);
	for (unsigned int i = 0; i < options->port_count && !ret; i++)
		ret = allow_directory_of(options->port[i].path, err);
	if (!ret)
		ret = allow_core(err);
	return ret;
}

/* ---- Threads --------------------------------------------------------------------------------- */

bool sandbox_turn_on(const char **why)
{
#ifdef GMIG_INSTRUMENTED
	*why = "this build is instrumented, which needs files and system calls of its own";
	return false;
#else
	*why = "";
	syscall_filter_look();
	is_on = true;
	return true;
#endif
}

int sandbox_enter(enum sandbox_kind kind, struct gmig_error *err)
{
	int ret = 0;

	if (!is_on)
		return 0;
	if (rules >= 0 && kind != SANDBOX_LOG)
		ret = sandbox_files_restrict(rules, err);
	return ret ? ret : enter_calls(kind, err);
}
