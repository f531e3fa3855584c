/*
 * Thin, checked calls on a userfaultfd and on the page map. Any thread; no locks. Every function
 * returns 0 or -errno.
 *
 * Source: Documentation/admin-guide/mm/userfaultfd.rst, pagemap.rst and mm/userfaultfd.c of
 * Linux 6.12 and 6.18.
 */
#ifndef GMIG_UFFD_H
#define GMIG_UFFD_H

#include "bits.h"
#include "sys.h"

/* Open one with `features` (UFFD_FEATURE_*); *have (may be NULL): those that the kernel has. */
int uffd_open(const struct gmig_sys *sys, uint64_t features, int *fd, uint64_t *have);
int uffd_register(const struct gmig_sys *sys, int fd, void *memory, size_t bytes, uint64_t mode);
int uffd_wake(const struct gmig_sys *sys, int fd, const void *memory, size_t bytes);
/* Setting never wakes; clearing does. Again on -EAGAIN, a bounded number of times. */
int uffd_protect(const struct gmig_sys *sys, int fd, const void *memory, size_t bytes, bool on);
/* Fill a hole with a copy of `from`. *done: bytes filled, also on an error. Wakes nobody. */
int uffd_copy(const struct gmig_sys *sys, int fd, void *to, const void *from, size_t bytes,
	      size_t *done);

/* One page of it, write-protected at once. Wakes nobody. */
int uffd_copy_protected(const struct gmig_sys *sys, int fd, void *to, const void *from);

/* A hole becomes a page that cannot be read: who touches it gets SIGBUS. Wakes who sleeps on it. Linux >= 6.6. */
int uffd_poison(const struct gmig_sys *sys, int fd, const void *page);

/*
 * Map what the file has behind memory that is registered MINOR. A short count goes on where it stopped, -EAGAIN is tried again, a
 * bounded number of times. -EFAULT: the file has nothing there, and is given nothing; -EEXIST: it is mapped. Wakes nobody.
 */
int uffd_continue(const struct gmig_sys *sys, int fd, const void *memory, size_t bytes);

struct uffd_move {
	int fd; /* the one with which `to` is registered */
	void *to;
	const void *from;
	size_t bytes;
	bool wake;
};
/*
 * Move pages. A short count goes on where it stopped; -EAGAIN is tried again, a bounded number of
 * times (in the order of a millisecond). *done: bytes moved, also on an error: never more than what
 * truly moved.
 */
int uffd_move(const struct gmig_sys *sys, const struct uffd_move *move, size_t *done);

/* What the kernel shows of a block. */
struct uffd_scan {
	bool huge;	       /* one whole huge page */
	struct bits present;   /* mapped, or in swap */
	struct bits swapped;   /* of these, in swap */
	struct bits zero;      /* the shared zero page: no frame */
	struct bits protected; /* write-protected by userfaultfd */
};
/* PAGEMAP_SCAN of one block (2 MiB aligned). -ENOTTY, -EINVAL: the kernel has none. */
int uffd_scan(const struct gmig_sys *sys, int pagemap, const void *block, struct uffd_scan *scan);
/* Is no page of it there, nor in swap? As long as there is none, about as fast for a GiB as for a block. false also: it cannot be told. */
bool uffd_is_empty(const struct gmig_sys *sys, int pagemap, const void *start, size_t bytes);

#endif
