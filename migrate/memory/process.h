/*
 * Another program's memory (or our own): a process that is known by its pid. Which mappings it has
 * and what they hold, which of them can be moved, where their pages lie, and on which nodes the
 * kernel lets them lie. Nothing here changes the process; movers do.
 *
 * A struct process is constant after process_open() but for pagemap and can_scan, which
 * process_maps_read() replaces: meanwhile no other thread may scan, or read the two (struct
 * gmig_process has a lock for it).
 *
 * Sources: proc_pid_smaps(5), proc_pid_status(5), move_pages(2), pidfd_open(2), and
 * Documentation/admin-guide/mm/pagemap.rst for PAGEMAP_SCAN.
 */
#ifndef GMIG_PROCESS_H
#define GMIG_PROCESS_H

#include "../core/movepages.h"
#include "../core/sys.h"

#define PROCESS_NAME_BYTES 64

struct process {
	const struct gmig_sys *sys;
	pid_t pid;
	/* The thread by which memory is reached: pid, or another one when the main thread has ended and
	 * others run on. /proc and move_pages(2) find no memory by pid then. */
	_Atomic pid_t entry;
	int pidfd;	     /* -1: the kernel gives none (Linux < 5.3, seccomp) */
	uint64_t start_time; /* clock ticks since boot: tells a pid that was used again */
	char name[PROCESS_NAME_BYTES];
	int pagemap;	 /* -1: not to be had; pages are asked for one by one then */
	bool can_scan;	 /* PAGEMAP_SCAN works (Linux 6.7) */
	bool can_shared; /* pages that others map, too, may be moved: CAP_SYS_NICE */
};

/*
 * -EINVAL pid is none, a thread's or a kernel thread's; -ESRCH there is no such process, or it has
 * ended; -EPERM its memory is not ours to move: as ptrace(2) decides it (another user's, or without
 * dump rights, needs CAP_SYS_PTRACE), or a seccomp filter forbids move_pages(2).
 */
int process_open(const struct gmig_sys *sys, pid_t pid, struct process **out,
		 struct gmig_error *err);
/* Look again for the thread by which memory is reached: threads end. -errno: they cannot be listed, it is as it was. */
int process_find_entry(struct process *process, struct gmig_error *err);
/* NULL is legal. */
void process_close(struct process *process);
/* -ESRCH: it has ended; whoever has the pid now is somebody else. Others: without a pidfd that cannot be known now. */
int process_check(const struct process *process, struct gmig_error *err);
/* The text of one small file of it, with a NUL. Its length, or -errno. */
ssize_t process_read_text(const struct process *process, const char *file, char *text,
			  size_t bytes);

/* ---- Nodes on which it may have memory (process_cpuset.c) ------------------------------------ */

/*
 * Mems_allowed of a thread, by its /proc/PID/task/TID/status. The set that counts for move_pages(2)
 * is that of the thread that the call names, and threads of one process may be in different cpusets
 * (libvirt has a cgroup for the emulator and one for each vCPU).
 */
int process_thread_allowed(const struct process *process, pid_t tid, struct gmig_node_set *allowed);
/*
 * A thread whose cpuset has all of `nodes`, the first thread if it has: *tid is what to name in
 * move_pages(2). -EACCES: none has; the text names the set, and the cgroup to be widened. -ESRCH. Others: none is found, and
 * not all could be looked at.
 */
int process_thread_for(const struct process *process, const struct gmig_node_set *nodes, pid_t *tid,
		       struct gmig_error *err);

/* ---- Mappings (process_maps.c) --------------------------------------------------------------- */

enum process_kind {
	PROCESS_ANON,	 /* private anonymous memory */
	PROCESS_SHMEM,	 /* memfd, shared anonymous memory, System V, /dev/shm */
	PROCESS_HUGETLB, /* pages of hugetlbfs, with or without a file */
	PROCESS_FILE,	 /* another file: its page cache, and private copies of it */
	PROCESS_DEVICE,	 /* a device's memory, or the kernel's own pages: nothing can be moved */
	PROCESS_KINDS,
};

struct process_mapping {
	uint64_t start, end;
	uint64_t page_bytes; /* 4K, or the size of its hugetlb pages */
	uint64_t resident_bytes, swapped_bytes;
	uint64_t huge_bytes;   /* of the resident: transparent huge pages, mapped as a whole */
	uint64_t shared_bytes; /* of the resident: other processes map it, too */
	enum process_kind kind;
	bool locked;   /* mlock(2): may be moved all the same */
	bool unforked; /* MADV_DONTFORK: QEMU's guest memory, buffers of devices */
	char name[48]; /* a file's path or "[heap]", cut; "" has none. Printable */
};

struct process_maps {
	struct process_mapping *mapping; /* by address */
	size_t count;
	int16_t *node; /* NULL: nobody asked; see process_maps_locate() */
};

/*
 * All mappings, by /proc/PID/smaps: the kernel walks the page tables for it, about 1 ms for each
 * GiB of small pages. -ESRCH, -EACCES, -ENOMEM.
 */
int process_maps_read(struct process *process, struct process_maps *maps, struct gmig_error *err);
/* The text of an smaps file; for process_maps_read() and tests. -ENOMEM, -EIO. */
int process_maps_parse(FILE *file, struct process_maps *maps);
void process_maps_free(struct process_maps *maps);
const char *process_kind_name(enum process_kind kind);
/* NULL: it can be moved. Else why not, for people. */
const char *process_mapping_fixed(const struct process_mapping *mapping);
/* The index of the first mapping that ends behind `address`; maps->count: none. */
size_t process_mapping_at(const struct process_maps *maps, uint64_t address);

/* ---- Mappings that lie on one node (process_nodes.c) ------------------------------------------ */

/*
 * By /proc/PID/numa_maps, for which the kernel walks the page tables: a fifth of what it costs to ask for each page. node[i]: where
 * every page of mapping i lay when the kernel came by; < 0: on several nodes, or there was none. What has come since may lie
 * elsewhere. -ENOMEM, -EIO, -ENOENT: a kernel without it; node is NULL then.
 */
int process_maps_locate(const struct process *process, struct process_maps *maps);
/* The text of such a file; for process_maps_locate() and tests. */
int process_maps_locate_parse(FILE *file, struct process_maps *maps);
/* Back to NULL. */
void process_maps_forget(struct process_maps *maps);

/* ---- What lies where (process_scan.c) -------------------------------------------------------- */

/* A run of pages that are alike. */
struct process_run {
	uint64_t start, end;
	bool huge;    /* transparent huge pages, mapped as a whole */
	bool zero;    /* the shared zero page: nothing to move */
	bool swapped; /* in swap, or just now under migration */
	bool guess;   /* not known: there may be holes, and huge pages */
};

#define PROCESS_RUNS 128

/*
 * Runs of mapping from *at on, in the order of addresses and without the holes, of the next 16 MiB at
 * most; *at moves to where the next call goes on, end at the latest. Without PAGEMAP_SCAN it is one run, a guess. How many,
 * or -errno.
 */
int process_scan(const struct process *process, const struct process_mapping *mapping, uint64_t *at,
		 uint64_t end, struct process_run runs[PROCESS_RUNS]);
/* What the kernel moves at once of a run of this mapping, in 4 KiB pages. */
uint32_t process_unit_pages(const struct process_mapping *mapping, const struct process_run *run);

struct process_usage {
	uint64_t small_bytes[GMIG_MAX_NODES];	/* 4K pages */
	uint64_t huge_bytes[GMIG_MAX_NODES];	/* transparent huge pages */
	uint64_t hugetlb_bytes[GMIG_MAX_NODES]; /* of any size */
	uint64_t fixed_bytes;			/* resident, in mappings that cannot be moved */
	uint64_t swapped_bytes, zero_bytes;
	uint64_t shared_bytes;	  /* of what lies on nodes: others map it, too */
	uint64_t untouched_bytes; /* addresses without a page */
	bool huge_known;	  /* false: no PAGEMAP_SCAN; huge pages count as small ones */
};

/* Asks the kernel for each page: about 0.1 s for each GiB of small pages. About 24 KiB. */
int process_usage_read(const struct process *process, const struct process_maps *maps,
		       struct process_usage *usage, struct gmig_error *err);
uint64_t process_usage_on(const struct process_usage *usage, unsigned int node);

#endif
