/*
 * An io_uring for the transfers of one disk. It is made before the sandbox closes, and can from then on only read and write the
 * disk's file (and be woken): the kernel refuses everything else, whatever is written into the ring (IORING_REGISTER_RESTRICTIONS).
 *
 * Threads: add and next: one at a time, the same from the first call to the last, since the kernel ends transfers in the thread
 * that began them; poke: any; create and destroy: when there is none.
 *
 * Source: io_uring(7), io_uring_register(2).
 */
#ifndef VMM_BLK_RING_H
#define VMM_BLK_RING_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/uio.h>

struct blk_ring;

/* For `depth` transfers at once with this file. -errno: this kernel (5.10 has all that is needed), sysctl
 * kernel.io_uring_disabled, or a container's filter does not let us. */
int blk_ring_create(int fd, unsigned int depth, struct blk_ring **ring);
/* Nothing is in flight. NULL is legal. */
void blk_ring_destroy(struct blk_ring *ring);

struct blk_ring_io {
	unsigned int tag;
	const struct iovec *iov; /* these and their memory stay until the end */
	unsigned int pieces;
	uint64_t offset;
	bool write;
	int flags; /* RWF_ */
};

/* It begins with the next call of blk_ring_next. -EBUSY: `depth` have. */
int blk_ring_add(struct blk_ring *ring, const struct blk_ring_io *io);
/*
 * Begin what was added, and wait until something has ended or blk_ring_poke is called. 1: the transfer of this tag has ended:
 * bytes, or -errno; 0: nothing has.
 */
int blk_ring_next(struct blk_ring *ring, unsigned int *tag, int *result);
/* blk_ring_next returns, now or when it is called next. */
void blk_ring_poke(struct blk_ring *ring);

#endif
