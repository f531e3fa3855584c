/*
 * The host's file or block device behind a virtual disk: transfers, flush, discard, and what the
 * host says when it cannot. The guest is not known here.
 *
 * Threads: one at a time; the disk's worker, and the main thread before it starts and after it has
 * ended. The calls block as long as the host's storage does. Offsets and sizes are bytes.
 *
 * Source: fsync(2), fallocate(2), preadv2(2). A page whose write-back failed is marked clean, and
 * the error is told once (Linux, Documentation/filesystems/vfs.rst, "Handling errors during
 * writeback"): a second fdatasync(2) that succeeds says nothing about data that the first one lost.
 */
#ifndef VMM_BLK_FILE_H
#define VMM_BLK_FILE_H

#include "blk_direct.h"

#include <stdbool.h>
#include <stdint.h>
#include <sys/uio.h>

struct blk_file {
	const char *path; /* kept, not copied */
	int fd;		  /* -1: not open */
	bool readonly, block_device;
	bool drop_cache;  /* transfers need not stay in the host's page cache; cleared when the
			     file system cannot */
	bool sync_failed; /* for good */
	uint64_t bytes;	  /* whole sectors of 512 */
	struct blk_direct direct; /* cache=none; its fd is -1 else */
};

/* *file is filled in, also on failure. -EBUSY: another process writes to it (or uses it, unless
 * readonly). -EINVAL: no file or block device, or smaller than a sector. -ENOMEM, -EIO: it cannot be locked. Where there
 * are no locks a line says so. */
int blk_file_open(struct blk_file *file, const char *path, bool readonly, struct gmig_error *err);
/* Flushes first. Legal when it is not open. */
void blk_file_close(struct blk_file *file);

/*
 * Transfer all of it. 0 or -errno, and then *transfer is what remains; -EIO the file has become shorter; -ENOSPC, -EDQUOT: no
 * room. Nothing is in flight by blk_direct_begin.
 */
int blk_file_transfer(struct blk_file *file, struct blk_transfer *transfer);
/* What was written is on stable storage. -errno; after the first failure -EIO for ever. */
int blk_file_flush(struct blk_file *file);
/* The content is not needed any more. A file system that cannot free it keeps it: 0. */
int blk_file_discard(struct blk_file *file, uint64_t offset, uint64_t bytes);
/* As a write of zeros. `unmap`: the room may be freed. */
int blk_file_zero(struct blk_file *file, uint64_t offset, uint64_t bytes, bool unmap);

#endif
