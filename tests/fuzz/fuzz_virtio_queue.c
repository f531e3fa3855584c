/*
 * Fuzzes the split ring: the input is the guest's memory with descriptors, rings and tables in it,
 * and what the device does with the queue. Every piece that comes out is touched at both ends, so
 * that a wild pointer is found.
 */
#include "../support/fake_machine.h"

#include "../../vmm/virtio_queue.h"

#define REGION_BYTES (64ull << 10)
#define RING_BYTES   0x3000u /* descriptors, available and used ring: what the input can fill */
#define ROUNDS	     64

struct shape {
	uint8_t log_size, event_idx;
	uint16_t desc, avail, used; /* offsets; far out they are refused */
	uint8_t actions[16];
} __attribute__((packed));

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes);

void vmm_log(enum gmig_log_level level, const char *format, ...)
{
	(void)level;
	(void)format;
}

void vmm_log_guest(enum gmig_log_level level, const char *format, ...)
{
	(void)level;
	(void)format;
}

static void touch(struct virtio_chain *chain)
{
	uint8_t buffer[64] = {0};
	struct iovec *first;
	unsigned int i, kept;

	for (i = 0; i < chain->out_count + chain->in_count; i++) {
		volatile uint8_t *base = chain->iov[i].iov_base;
		uint8_t byte = base[0];

		byte = (uint8_t)(byte + base[chain->iov[i].iov_len - 1]);
		if (i >= chain->out_count)
			base[0] = base[chain->iov[i].iov_len - 1] = byte;
	}
	virtio_read_pieces(chain->iov, chain->out_count, chain->head, buffer, sizeof(buffer));
	virtio_write_pieces(virtio_chain_in(chain), chain->in_count, chain->head, buffer,
			    sizeof(buffer));
	kept = virtio_cut_pieces(virtio_chain_in(chain), chain->in_count, chain->head,
				 chain->in_bytes / 2, &first);
	virtio_write_pieces(first, kept, 0, buffer, sizeof(buffer));
}

static void serve(struct virtio_queue *queue, const struct shape *shape)
{
	static struct virtio_chain chain;
	unsigned int round;

	for (round = 0; round < ROUNDS; round++) {
		uint8_t action = shape->actions[round % sizeof(shape->actions)];

		if (virtio_queue_pop(queue, &chain) <= 0)
			return;
		touch(&chain);
		if (action & 1)
			virtio_queue_push(queue, chain.head, action);
		else if (action & 2)
			virtio_queue_unpop(queue);
		if (action & 4)
			virtio_queue_must_signal(queue);
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
	struct virtio_queue queue;
	struct shape shape;
	struct vmm vmm;
	size_t left;

	if (bytes < sizeof(shape))
		return 0;
	memcpy(&shape, data, sizeof(shape));
	fake_vmm_init(&vmm, REGION_BYTES);
	left = bytes - sizeof(shape);
	memcpy(vmm.region[0].hva, data + sizeof(shape), left < RING_BYTES ? left : RING_BYTES);
	virtio_queue_init(&queue, &vmm, "fuzz", VIRTIO_QUEUE_MAX_SIZE);
	queue.size = (uint16_t)(1u << (shape.log_size & 15));
	queue.event_idx = shape.event_idx & 1;
	queue.desc_gpa = shape.desc;
	queue.avail_gpa = shape.avail;
	queue.used_gpa = shape.used;
	if (!virtio_queue_enable(&queue))
		serve(&queue, &shape);
	fake_vmm_destroy(&vmm);
	return 0;
}
