/*
 * Transfers between a disk's file and guest memory past the host's page cache (open(2), O_DIRECT): straight into the guest's
 * memory where that stays in its place meanwhile (gmig_dma.h) and lies as the file system wants it, else through a buffer of our
 * own, and from there by copying. Either one at a time, or many by io_uring (blk_ring.h).
 *
 * What the file system cannot do past its cache, since an offset or a length is not as it wants it, the caller does through it.
 * That is coherent as long as nothing else is in flight: the kernel writes back and drops what it has cached of a range before it
 * goes past the cache.
 *
 * Threads: the disk's worker; open and close: the main thread, before it begins and after it has ended; poke, and what is atomic:
 * any.
 *
 * Source: open(2), "O_DIRECT"; statx(2), "STATX_DIOALIGN" (Linux 6.1).
 */
#ifndef VMM_BLK_DIRECT_H
#define VMM_BLK_DIRECT_H

#include "blk_ring.h"
#include "vmm.h"

#include <sys/uio.h>

#define BLK_DIRECT_DEPTH 64u /* transfers in flight */

struct blk_direct {
	struct vmm *vmm;
	const char *path;      /* kept, not copied */
	int fd;		       /* -1: not open */
	atomic_bool on;	       /* else all goes through the cache */
	struct blk_ring *ring; /* NULL: one at a time */
	size_t offset_align;   /* of offsets and lengths */
	size_t memory_align;   /* of addresses */
	uint8_t *bounce;
	atomic_ullong straight, bounced; /* transfers, ever */
};

/* What is still to be transferred; the pieces are cut up as it goes on. */
struct blk_transfer {
	uint64_t offset, bytes;
	struct iovec *iov;
	unsigned int pieces;
	bool write;
	bool through; /* a write has ended when the data is on stable storage */
	/* of one that was begun: */
	bool bounced;
	struct iovec buffer;
};

/* `fd` has the file open. Where there is no O_DIRECT, one line in the log says so, and direct->on is false; where there is no
 * io_uring, another, and direct->ring is NULL. */
void blk_direct_open(struct blk_direct *direct, struct vmm *vmm, const char *path, int fd,
		     bool readonly);
void blk_direct_close(struct blk_direct *direct);

/* ---- One at a time ----------------------------------------------------------------------------- */

bool blk_direct_can(const struct blk_direct *direct, const struct blk_transfer *transfer);
/*
 * As preadv2(2) and pwritev2(2), of all bytes or the first of them: bytes, or -errno. -EINVAL: nothing was done, and
 * blk_direct_can() will say no from now on.
 */
ssize_t blk_direct_some(struct blk_direct *direct, const struct blk_transfer *transfer);

/* ---- Many -------------------------------------------------------------------------------------- */

/* false: it cannot go this way. Tags are below BLK_DIRECT_DEPTH, one for each that is in flight. *transfer stays until the end. */
bool blk_direct_begin(struct blk_direct *direct, unsigned int tag, struct blk_transfer *transfer);
/* Wait for the end of one of them (true), or for a poke. */
bool blk_direct_next(struct blk_direct *direct, unsigned int *tag, int *result);
/* Follows each that has ended. 0 all was transferred; -EAGAIN: not all, or none: to be done again in the other way; or -errno. */
int blk_direct_end(struct blk_direct *direct, struct blk_transfer *transfer, int result);
void blk_direct_poke(struct blk_direct *direct);

#endif
