/*
 * The QEMU process of a domain: from what libvirt says of a domain (name, uuid) to a process that is
 * held, and what its threads are. libvirt has no call that gives the pid, so it is looked for in three
 * places: libvirt's pid file, machined's record of the machine's leader, all processes. Whatever the
 * place says is only believed when the process itself has the domain's uuid in its command line, belongs
 * to a user that the domain may run as, and does so still once its pidfd is held: pids are used again.
 * Nothing that the guest writes is ever asked.
 *
 * No locks: the functions work on their arguments alone, any thread may call them.
 *
 * Sources: proc_pid_cmdline(5), proc_pid_stat(5), pidfd_open(2); QEMU's options -uuid and -name.
 */
#ifndef QEMU_PROCESS_H
#define QEMU_PROCESS_H

#include "../migrate/gmig_error.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#define QEMU_UUID_TEXT 37 /* as 6f1c5f5e-0f1b-4d1a-9d5c-2f6f3a0b7c11, with its NUL */
#define QEMU_UIDS      4

/* Where a host keeps things; a test has a tree of files instead. */
struct qemu_host {
	const char *root;	      /* of /proc and /run; "": this host */
	const char *run_dir;	      /* of libvirt's pid files, below root: /run/libvirt/qemu */
	int (*pidfd_open)(pid_t pid); /* a descriptor or -errno; NULL: the system's */
};

struct qemu_wanted {
	const char *name;
	const char *uuid;
	uid_t uids[QEMU_UIDS]; /* users that the domain's process may belong to */
	unsigned int uid_count;
};

struct qemu_process {
	pid_t pid;
	int pidfd;	     /* readable when it has ended */
	uint64_t start_time; /* clock ticks since boot */
	uid_t uid;
};

/*
 * *out is to be dropped. -ESRCH no process has that uuid, the text says where was looked; -EPERM it belongs to
 * a user that is not in wanted->uids; -EEXIST two processes have it; -EINVAL the uuid is none; others: not every process could
 * be looked at, which says nothing of the domain's. Reads a few small files, or (the last resort) one of each process.
 */
int qemu_process_find(const struct qemu_host *host, const struct qemu_wanted *wanted,
		      struct qemu_process *out, struct gmig_error *err);
/* Closes the pidfd. A zeroed one is legal. */
void qemu_process_drop(struct qemu_process *process);
/* -ESRCH: it has ended; -EAGAIN: the kernel does not say. */
int qemu_process_check(const struct qemu_process *process, struct gmig_error *err);
/* The start time of whoever has this pid now: 0, or -ESRCH. */
int qemu_process_start_time(const struct qemu_host *host, pid_t pid, uint64_t *ticks);

/* ---- Command line ---------------------------------------------------------------------------- */

/*
 * Does a command line (NUL-separated, `bytes` long) belong to the domain? It has "-uuid UUID" and, if it has
 * "-name", the domain's name there: "guest=NAME,.." or "NAME,..", with commas in NAME doubled.
 */
bool qemu_cmdline_is(const char *text, size_t bytes, const char *name, const char *uuid);

/* ---- Threads --------------------------------------------------------------------------------- */

enum qemu_thread_kind { QEMU_THREAD_EMULATOR, QEMU_THREAD_VCPU, QEMU_THREAD_IO };

struct qemu_thread {
	pid_t tid;
	enum qemu_thread_kind kind;
	unsigned int vcpu; /* of VCPU */
};

/*
 * All threads, sorted by kind, vCPU and tid; *threads is the caller's to free. Their names tell which is which
 * ("CPU 3/KVM", "IO iothread1"): without QEMU's debug-threads=on, which libvirt sets, all are EMULATOR.
 * How many; -ESRCH, -ENOMEM, or why one of them cannot be read: some of the threads are never told as all.
 */
int qemu_threads_read(const struct qemu_host *host, pid_t pid, struct qemu_thread **threads);

#endif
