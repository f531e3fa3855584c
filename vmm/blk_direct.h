/*
 * Transfers between a disk's file and guest memory past the host's page cache (open(2), O_DIRECT): straight into the guest's
 * memory where that stays in its place meanwhile (gmig_dma.h) and lies as the file system wants it, else through a buffer of our
 * own, and from there by copying.
 *
 * What the file system cannot do past its cache, since an offset or a length is not as it wants it, the caller does through it.
 * That is coherent as long as one transfer at a time is under way: the kernel writes back and drops what it has cached of a range
 * before it goes past the cache.
 *
 * Threads: the disk's worker; open and close: the main thread, before it begins and after it has ended. What is atomic, any.
 *
 * Source: open(2), "O_DIRECT"; statx(2), "STATX_DIOALIGN" (Linux 6.1).
 */
#ifndef VMM_BLK_DIRECT_H
#define VMM_BLK_DIRECT_H

#include "vmm.h"

#include <sys/uio.h>

struct blk_direct {
	struct vmm *vmm;
	const char *path;    /* kept, not copied */
	int fd;		     /* -1: not open */
	atomic_bool on;	     /* else all goes through the cache */
	size_t offset_align; /* of offsets and lengths */
	size_t memory_align; /* of addresses */
	uint8_t *bounce;
	atomic_ullong straight, bounced; /* transfers, ever */
};

/* `fd` has the file open. Where there is no O_DIRECT, one line in the log says so, and direct->on is false. */
void blk_direct_open(struct blk_direct *direct, struct vmm *vmm, const char *path, int fd,
		     bool readonly);
void blk_direct_close(struct blk_direct *direct);

bool blk_direct_can(const struct blk_direct *direct, uint64_t offset, uint64_t bytes);
/*
 * As preadv2(2) and pwritev2(2), of all bytes of the pieces or the first of them: bytes, or -errno. -EAGAIN: nothing was done, and
 * blk_direct_can() will say no from now on.
 */
ssize_t blk_direct_some(struct blk_direct *direct, off_t offset, const struct iovec *iov,
			unsigned int pieces, uint64_t bytes, bool write, int flags);

#endif
