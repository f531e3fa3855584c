#include "rights.h"
#include "../control/syscall_filter.h"

#include <errno.h>
#include <linux/capability.h>
#include <linux/sched.h>
#include <stdint.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

static const int kept[] = {CAP_SYS_PTRACE, CAP_SYS_NICE, CAP_DAC_READ_SEARCH};

static uint64_t kept_mask(void)
{
	uint64_t mask = 0;

	for (size_t i = 0; i < sizeof(kept) / sizeof(kept[0]); i++)
		mask |= 1ull << kept[i];
	return mask;
}

/* -EINVAL from the kernel: there is no such capability, and so none behind it. */
static int shrink_bounding_set(uint64_t mask)
{
	for (int capability = 0; capability < 64; capability++) {
		if (mask >> capability & 1)
			continue;
		if (prctl(PR_CAPBSET_DROP, capability, 0, 0, 0))
			return errno == EINVAL ? 0 : -errno;
	}
	return 0;
}

/* What we do not have we do not get: the kernel would refuse all. */
static int set_capabilities(uint64_t mask)
{
	struct __user_cap_header_struct header = {.version = _LINUX_CAPABILITY_VERSION_3};
	struct __user_cap_data_struct data[2];

	if (syscall(SYS_capget, &header, data))
		return -errno;
	for (int i = 0; i < 2; i++) {
		data[i].permitted &= (uint32_t)(mask >> (32 * i));
		data[i].effective = data[i].permitted;
		data[i].inheritable = 0;
	}
	return syscall(SYS_capset, &header, data) ? -errno : 0;
}

int rights_drop(struct gmig_error *err)
{
	int ret = prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) ? -errno : 0;

	if (!ret && geteuid() == 0) {
		/* An ambient set is empty unless somebody filled it. */
		prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0);
		ret = shrink_bounding_set(kept_mask());
		if (ret == -EPERM)
			ret = 0; /* no CAP_SETPCAP: whoever started us has shrunk it */
		if (!ret)
			ret = set_capabilities(kept_mask());
	}
	return ret ? gmig_fail(err, ret, "capabilities cannot be dropped: %s", strerror(-ret)) : 0;
}

/* ---- System calls ---------------------------------------------------------------------------- */

#ifndef GMIG_INSTRUMENTED

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))
#define ALL_BITS     UINT32_MAX
#define WRITE_EXEC   (PROT_WRITE | PROT_EXEC)

static const unsigned short refused[] = {
    /* programs and processes; others' memory, threads and descriptors */
    SYS_execve,
    SYS_execveat,
    SYS_fork,
    SYS_vfork,
    SYS_ptrace,
    SYS_process_vm_readv,
    SYS_process_vm_writev,
    SYS_pidfd_getfd,
    SYS_kcmp,
    /* files by handle, past all directories; devices; other roots and namespaces */
    SYS_open_by_handle_at,
    SYS_mknod,
    SYS_mknodat,
    SYS_mount,
    SYS_umount2,
    SYS_pivot_root,
    SYS_chroot,
    SYS_unshare,
    SYS_setns,
    SYS_open_tree,
    SYS_move_mount,
    SYS_fsopen,
    SYS_fsmount,
    SYS_fspick,
    SYS_fanotify_init,
    SYS_quotactl,
    /* the kernel */
    SYS_init_module,
    SYS_finit_module,
    SYS_delete_module,
    SYS_kexec_load,
    SYS_kexec_file_load,
    SYS_reboot,
    SYS_bpf,
    SYS_perf_event_open,
    SYS_userfaultfd,
    SYS_io_uring_setup,
    SYS_io_uring_enter,
    SYS_io_uring_register,
    SYS_add_key,
    SYS_request_key,
    SYS_keyctl,
    SYS_syslog,
    SYS_acct,
    SYS_swapon,
    SYS_swapoff,
    SYS_iopl,
    SYS_ioperm,
    SYS_personality,
    /* time and names of the host */
    SYS_settimeofday,
    SYS_clock_settime,
    SYS_clock_adjtime,
    SYS_adjtimex,
    SYS_sethostname,
    SYS_setdomainname,
};

static const int refused_families[] = {AF_INET, AF_INET6, AF_NETLINK, AF_PACKET, AF_VSOCK, AF_ALG};

int rights_filter(struct gmig_error *err)
{
	struct syscall_filter filter;
	int ret;

	syscall_filter_look();
	syscall_filter_begin(&filter, SYSCALL_ALLOW);
	syscall_filter_calls(&filter, refused, COUNT(refused), SYSCALL_DENY);
	/* A process and not a thread. clone3 has its flags where a filter does not see them; libc then takes clone. */
	syscall_filter_call_if(&filter, SYS_clone, 0, CLONE_THREAD, 0, SYSCALL_DENY);
	syscall_filter_call(&filter, SYS_clone3, SYSCALL_UNKNOWN);
	for (size_t i = 0; i < COUNT(refused_families); i++)
		syscall_filter_call_if(&filter, SYS_socket, 0, ALL_BITS,
				       (uint32_t)refused_families[i], SYSCALL_DENY);
	/* Libraries that are loaded later are mapped from files, to read and to run. libffi asks for both once, and does without. */
	syscall_filter_call_if(&filter, SYS_mmap, 2, WRITE_EXEC, WRITE_EXEC, SYSCALL_DENY);
	syscall_filter_call_if(&filter, SYS_mprotect, 2, PROT_EXEC, PROT_EXEC, SYSCALL_DENY);
	syscall_filter_call_if(&filter, SYS_pkey_mprotect, 2, PROT_EXEC, PROT_EXEC, SYSCALL_DENY);
	ret = syscall_filter_install(&filter, true);
	return ret ? gmig_fail(err, ret, "system calls cannot be filtered: %s", strerror(-ret)) : 0;
}

#else

int rights_filter(struct gmig_error *err)
{
	(void)err;
	return 0;
}

#endif
