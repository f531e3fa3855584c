/*
 * The engine's only door to the system: every system call and the clock, behind one table of
 * functions, so that a test can make the N-th call fail or move time by hand. And the kernel
 * interfaces that Debian 12's headers (Linux 6.1) lack.
 *
 * All functions return 0 (or a count) or -errno, never errno. They may be called from any thread.
 * The table is constant while an engine that uses it lives.
 */
#ifndef GMIG_SYS_H
#define GMIG_SYS_H

#include "../gmig.h"

#include <linux/fs.h>
#include <linux/userfaultfd.h>
#include <poll.h>
#include <pthread.h>
#include <sys/ioctl.h>
#include <sys/types.h>

struct kernel_name;   /* kernels.h */
struct room;	      /* room.h */
struct thread_policy; /* on_node.h */

struct gmig_sys {
	int (*map)(size_t bytes, int protection, void *fixed, void **out);
	/*
	 * Private memory without access, in pages of hugetlbfs of that size: at `fixed`, or aligned wherever there is room. reserve:
	 * -ENOMEM unless the host's pools have as many pages that are promised to nobody.
	 */
	int (*map_huge)(size_t bytes, uint64_t page_bytes, bool reserve, void *fixed, void **out);
	/* mremap(2): a whole mapping takes the place of what is at `to`, in one step. -ENOMEM: vm.max_map_count; nothing has changed. */
	int (*remap)(void *from, size_t bytes, void *to);
	int (*unmap)(void *memory, size_t bytes);
	int (*protect)(void *memory, size_t bytes, int protection);
	/* mlock2(2) for what is touched from now on, and what is there; or munlock(2). */
	int (*lock)(void *memory, size_t bytes, bool on);
	int (*advise)(void *memory, size_t bytes, int advice);
	/* MPOL_PREFERRED for one node; < 0: back to the default policy. */
	int (*prefer_node)(void *memory, size_t bytes, int node);
	/* set_mempolicy(2) of this thread, without nodes: one that is no mode shows only whether the call is allowed. */
	int (*set_policy)(int mode);
	/* get_mempolicy(2), set_mempolicy(2) of this thread. */
	int (*thread_policy)(struct thread_policy *policy);
	int (*set_thread_policy)(const struct thread_policy *policy);
	/* vm.max_map_count: mappings that a process may have. */
	int (*map_limit)(uint64_t *count);
	/*
	 * A new file in memory (memfd_create(2)) of that size, which nobody can change any more. huge_bytes: 0, or the size of its
	 * hugetlb pages. Its descriptor.
	 */
	int (*memfd)(const char *name, uint64_t bytes, uint64_t huge_bytes);
	/* Map a file from its beginning, shared, in place of what is at `fixed`. */
	int (*map_file)(int fd, size_t bytes, void *fixed);
	/* Map a file from its beginning, shared, without access and without a claim on a pool of huge pages, wherever there is room. */
	int (*map_window)(int fd, size_t bytes, void **out);
	/* fallocate(2): a hole in a file, whose size stays. */
	int (*punch_hole)(int fd, uint64_t offset, uint64_t bytes);
	/* lseek(2), with SEEK_DATA. */
	int64_t (*seek)(int fd, uint64_t offset, int whence);
	/* mincore(2): bit 0 of each page's byte. */
	int (*in_core)(void *memory, size_t bytes, unsigned char *pages);
	/* move_pages(2) without target nodes: status[i] = node or -errno. */
	int (*query_nodes)(size_t count, void **pages, int *status);
	/* move_pages(2) as it is: > 0 counts pages that did not move or were never tried; see movepages.h. */
	long (*move_pages)(pid_t pid, unsigned long count, void **pages, const int *nodes,
			   int *status, int flags);
	int (*pidfd_open)(pid_t pid);
	/* /proc/PID/NAME to read, a file or a directory. */
	int (*open_proc)(pid_t pid, const char *name);
	/* What this process may still ask for: see room.h. */
	void (*room)(struct room *room);
	/* Of pages of hugetlbfs of that size. */
	void (*huge_room)(uint64_t page_bytes, struct room *room);
	/*
	 * May the kernel make more of them than the pools have (nr_overcommit_hugepages)? 1: yes, or the host does not tell; 0; -errno: it
	 * could not be looked at.
	 */
	int (*huge_grows)(uint64_t page_bytes);
	/* In swap. */
	void (*swap_room)(struct room *room);
	/* A userfaultfd that also serves faults taken in the kernel (KVM); non-blocking. */
	int (*userfaultfd)(void);
	/* /proc/self/pagemap */
	int (*pagemap)(void);
	/* What this kernel calls itself: uname(2), /proc/version_signature. */
	void (*kernel_name)(struct kernel_name *name);
	int (*ioctl)(int fd, unsigned long request, void *arg);
	ssize_t (*read)(int fd, void *buffer, size_t bytes);
	ssize_t (*pread)(int fd, void *buffer, size_t bytes, off_t offset);
	int (*poll)(struct pollfd *fds, unsigned int count, int timeout_ms);
	int (*close)(int fd);
	uint64_t (*now_ns)(void); /* CLOCK_MONOTONIC */
	uint64_t (*ran_ns)(void); /* CPU time of the calling thread */
	void (*sleep_ns)(uint64_t ns);
	/* Wait on a condition variable created for CLOCK_MONOTONIC; -ETIMEDOUT after the deadline.
	 */
	int (*wait_until)(pthread_cond_t *cond, pthread_mutex_t *mutex, uint64_t deadline_ns);
};

extern const struct gmig_sys gmig_sys_real;

/* gmig_probe_features() through a table of one's own. */
int gmig_probe_features_with(const struct gmig_sys *sys, struct gmig_features *features);

/*
 * Map `bytes` of private anonymous memory in place of what is at `fixed`: empty, even where mlockall(2) has the kernel
 * fill each new mapping at once; what is touched later is locked then, as was asked for.
 */
int gmig_sys_map_empty(const struct gmig_sys *sys, size_t bytes, void *fixed);

/* Up to the end of a small file, or as far as there is room, whatever a single read(2) does of it: how many bytes, or -errno. */
ssize_t gmig_sys_read_whole(const struct gmig_sys *sys, int fd, char *into, size_t bytes);

/* Private anonymous memory back to the kernel, mlock()ed or not. -EINVAL: before Linux 5.18 not when mlock()ed. */
int gmig_sys_discard(const struct gmig_sys *sys, void *memory, size_t bytes);

/* A condition variable whose deadlines are CLOCK_MONOTONIC's. */
int gmig_sys_cond_init(pthread_cond_t *cond);

/*
 * Reserve `bytes` (a multiple of 2 MiB) of private anonymous memory at a 2 MiB boundary between two
 * guard gaps, so that the kernel never merges it with a neighbour. *reserved is what to unmap:
 * bytes + GMIG_SYS_GUARD_BYTES.
 */
#define GMIG_SYS_GUARD_BYTES (2 * GMIG_BLOCK_BYTES)
int gmig_sys_map_aligned(const struct gmig_sys *sys, size_t bytes, void **reserved, void **aligned);

/* ---- userfaultfd: Linux 6.8 and later ------------------------------------------------------ */

#ifndef USERFAULTFD_IOC_NEW
#define USERFAULTFD_IOC	    0xAA
#define USERFAULTFD_IOC_NEW _IO(USERFAULTFD_IOC, 0x00)
#endif
#ifndef UFFD_USER_MODE_ONLY
#define UFFD_USER_MODE_ONLY 1
#endif
#ifndef UFFD_FEATURE_MOVE
#define UFFD_FEATURE_MOVE (1 << 16)
#endif
#ifndef UFFDIO_MOVE
#define _UFFDIO_MOVE			 0x05
#define UFFDIO_MOVE			 _IOWR(UFFDIO, _UFFDIO_MOVE, struct uffdio_move)
#define UFFDIO_MOVE_MODE_DONTWAKE	 ((__u64)1 << 0)
#define UFFDIO_MOVE_MODE_ALLOW_SRC_HOLES ((__u64)1 << 1)
struct uffdio_move {
	__u64 dst;
	__u64 src;
	__u64 len;
	__u64 mode;
	__s64 move; /* out: bytes moved, or -errno when none was */
};
#endif

#ifndef UFFDIO_POISON
#define UFFDIO_POISON _IOWR(UFFDIO, 0x08, struct uffdio_poison)
struct uffdio_poison {
	struct uffdio_range range;
	__u64 mode;
	__s64 updated; /* out: bytes, or -errno when there were none */
};
#endif

/* ---- PAGEMAP_SCAN: Linux 6.7 and later ----------------------------------------------------- */

#ifndef PAGEMAP_SCAN
#define PAGE_IS_WPALLOWED  (1 << 0)
#define PAGE_IS_WRITTEN	   (1 << 1) /* not write-protected by userfaultfd */
#define PAGE_IS_FILE	   (1 << 2)
#define PAGE_IS_PRESENT	   (1 << 3)
#define PAGE_IS_SWAPPED	   (1 << 4)
#define PAGE_IS_PFNZERO	   (1 << 5)
#define PAGE_IS_HUGE	   (1 << 6)
#define PAGE_IS_SOFT_DIRTY (1 << 7)
struct page_region {
	__u64 start;
	__u64 end;
	__u64 categories;
};
struct pm_scan_arg {
	__u64 size;
	__u64 flags;
	__u64 start;
	__u64 end;
	__u64 walk_end;
	__u64 vec;
	__u64 vec_len;
	__u64 max_pages;
	__u64 category_inverted;
	__u64 category_mask;
	__u64 category_anyof_mask;
	__u64 return_mask;
};
#define PAGEMAP_SCAN _IOWR('f', 16, struct pm_scan_arg)
#endif

#ifndef MADV_POPULATE_READ
#define MADV_POPULATE_READ 22
#endif
#ifndef MADV_COLLAPSE
#define MADV_COLLAPSE 25
#endif
#ifndef MADV_POPULATE_WRITE
#define MADV_POPULATE_WRITE 23
#endif
#ifndef MADV_SOFT_OFFLINE
#define MADV_SOFT_OFFLINE 101
#endif
#ifndef MADV_COLD
#define MADV_COLD 20
#endif
#ifndef MADV_PAGEOUT
#define MADV_PAGEOUT 21
#endif
#ifndef MADV_DONTNEED_LOCKED
#define MADV_DONTNEED_LOCKED 24
#endif

#endif
