/*
 * One virtqueue in split layout, with indirect descriptors and event index. Nothing that the guest
 * writes is trusted: every address goes through vmm_guest_ptr(), every index is checked, and an
 * invalid ring breaks the queue (-EIO) until the driver resets the device.
 *
 * No lock of its own: guarded by its device's lock. Chains that were popped may be used without it;
 * they stay valid until the guest's RAM goes away.
 *
 * Source: Virtual I/O Device 1.2, 2.7 (split virtqueues).
 */
#ifndef VMM_VIRTIO_QUEUE_H
#define VMM_VIRTIO_QUEUE_H

#include "vmm.h"

#include <linux/virtio_ring.h>
#include <sys/uio.h>

#define VIRTIO_QUEUE_MAX_SIZE 256u
/* Pieces of a chain: one per descriptor, and some more for buffers that cross regions. */
#define VIRTIO_CHAIN_PIECES (VIRTIO_QUEUE_MAX_SIZE + VMM_MAX_VNODES)

struct virtio_queue {
	const struct vmm *vmm;
	const char *name; /* of the device, for the log */
	uint16_t max_size, size;
	uint16_t vector;
	bool enabled, broken, event_idx;
	uint64_t desc_gpa, avail_gpa, used_gpa;
	struct vring_desc *desc; /* NULL unless enabled */
	struct vring_avail *avail;
	struct vring_used *used;
	uint16_t next_avail; /* free-running indices */
	uint16_t next_used, signalled_used;
	bool signalled_valid;
};

/* What the driver passes: first the pieces to read, then those to write. */
struct virtio_chain {
	uint16_t head;
	unsigned int out_count, in_count;
	uint64_t out_bytes, in_bytes;
	struct iovec iov[VIRTIO_CHAIN_PIECES]; /* out_count to read, then in_count to write */
};

static inline struct iovec *virtio_chain_in(struct virtio_chain *chain)
{
	return chain->iov + chain->out_count;
}

void virtio_queue_init(struct virtio_queue *queue, const struct vmm *vmm, const char *name,
		       uint16_t max_size);
/* Power-on state. */
void virtio_queue_reset(struct virtio_queue *queue);
/* Look the rings up. -EINVAL size, alignment, or not in guest RAM. */
int virtio_queue_enable(struct virtio_queue *queue);

/*
 * Take the next chain. 1 and *chain; 0: there is none, and the driver will notify when there is;
 * -EIO: the queue is broken (logged).
 */
int virtio_queue_pop(struct virtio_queue *queue, struct virtio_chain *chain);
/* Undo the last pop. */
void virtio_queue_unpop(struct virtio_queue *queue);
/* Return a chain with `bytes` written to its in-pieces. */
void virtio_queue_push(struct virtio_queue *queue, uint16_t head, uint32_t bytes);
/* After pushes: does the driver want an interrupt? */
bool virtio_queue_must_signal(struct virtio_queue *queue);
/* Mark the queue broken and log why; for devices that find an invalid chain. Returns -EIO. */
int virtio_queue_break(struct virtio_queue *queue, const char *why);

/*
 * Copy between a flat buffer and pieces, from byte `offset` on; returns how many bytes were copied.
 */
size_t virtio_read_pieces(const struct iovec *iov, unsigned int count, size_t offset, void *buffer,
			  size_t bytes);
size_t virtio_write_pieces(const struct iovec *iov, unsigned int count, size_t offset,
			   const void *buffer, size_t bytes);
/* Narrow pieces to [offset, offset + bytes), in place. Returns how many remain, from *first on. */
unsigned int virtio_cut_pieces(struct iovec *iov, unsigned int count, size_t offset, size_t bytes,
			       struct iovec **first);

#endif
