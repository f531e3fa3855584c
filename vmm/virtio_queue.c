/* See virtio_queue.h. Ring fields are read once each, into locals: the guest may change them at any
 * time. */
#include "virtio_queue.h"

#include <errno.h>
#include <string.h>

#define LOAD16(at)	   __atomic_load_n(&(at), __ATOMIC_RELAXED)
#define STORE16(at, value) __atomic_store_n(&(at), (uint16_t)(value), __ATOMIC_RELAXED)

/* Event index: the last 16 bits of each ring tell the other side when to notify. */
static uint16_t *used_event(const struct virtio_queue *queue)
{
	return &queue->avail->ring[queue->size];
}

static uint16_t *avail_event(const struct virtio_queue *queue)
{
	return (uint16_t *)&queue->used->ring[queue->size];
}

void virtio_queue_init(struct virtio_queue *queue, const struct vmm *vmm, const char *name,
		       uint16_t max_size)
{
	*queue = (struct virtio_queue){.vmm = vmm, .name = name, .max_size = max_size};
	virtio_queue_reset(queue);
}

void virtio_queue_reset(struct virtio_queue *queue)
{
	*queue = (struct virtio_queue){
	    .vmm = queue->vmm,
	    .name = queue->name,
	    .max_size = queue->max_size,
	    .size = queue->max_size,
	    .vector = 0xffff,
	};
}

int virtio_queue_enable(struct virtio_queue *queue)
{
	uint64_t size = queue->size;

	if (!size || size > queue->max_size || size & (size - 1))
		return -EINVAL;
	if (queue->desc_gpa % 16 || queue->avail_gpa % 2 || queue->used_gpa % 4)
		return -EINVAL;
	queue->desc = vmm_guest_ptr(queue->vmm, queue->desc_gpa, size * sizeof(*queue->desc));
	queue->avail =
	    vmm_guest_ptr(queue->vmm, queue->avail_gpa, sizeof(*queue->avail) + size * 2 + 2);
	queue->used =
	    vmm_guest_ptr(queue->vmm, queue->used_gpa,
			  sizeof(*queue->used) + size * sizeof(struct vring_used_elem) + 2);
	if (!queue->desc || !queue->avail || !queue->used)
		return -EINVAL;
	queue->enabled = true;
	return 0;
}

int virtio_queue_break(struct virtio_queue *queue, const char *why)
{
	if (!queue->broken)
		vmm_log_guest(GMIG_LOG_WARNING, "device=%s queue=broken reason=\"%s\"", queue->name,
			      why);
	queue->broken = true;
	return -EIO;
}

/* ---- Chains ---------------------------------------------------------------------------------- */

/* Add guest memory to the chain. NULL, or a text that says what is wrong. */
static const char *add_piece(struct virtio_chain *chain, void *base, uint64_t bytes, bool writable)
{
	if (chain->out_count + chain->in_count == VIRTIO_CHAIN_PIECES)
		return "chain too long";
	if (!writable && chain->in_count)
		return "readable descriptor after a writable one";
	chain->iov[chain->out_count + chain->in_count] = (struct iovec){base, bytes};
	if (writable) {
		chain->in_count++;
		chain->in_bytes += bytes;
	} else {
		chain->out_count++;
		chain->out_bytes += bytes;
	}
	if (chain->in_bytes + chain->out_bytes > UINT32_MAX)
		return "chain of more than 4 GiB";
	return NULL;
}

/* How many bytes from gpa on are in the same region; 0: not RAM. */
static uint64_t bytes_in_region(const struct vmm *vmm, uint64_t gpa)
{
	const struct vmm_region *regions;
	size_t count = vmm_regions(vmm, &regions), i;

	for (i = 0; i < count; i++)
		if (gpa >= regions[i].gpa && gpa - regions[i].gpa < regions[i].bytes)
			return regions[i].bytes - (gpa - regions[i].gpa);
	return 0;
}

/*
 * A buffer may cross from one vnode's RAM into the next one's: it is contiguous for the guest only.
 */
static const char *add_buffer(const struct virtio_queue *queue, struct virtio_chain *chain,
			      uint64_t gpa, uint64_t bytes, bool writable)
{
	const char *wrong = NULL;

	while (bytes && !wrong) {
		uint64_t part = bytes;
		void *base = vmm_guest_ptr(queue->vmm, gpa, part);

		if (!base) {
			part = bytes_in_region(queue->vmm, gpa);
			if (!part || part >= bytes)
				return "buffer outside RAM";
			base = vmm_guest_ptr(queue->vmm, gpa, part);
			if (!base)
				return "buffer outside RAM";
		}
		wrong = add_piece(chain, base, part, writable);
		gpa += part;
		bytes -= part;
	}
	return wrong;
}

/* A copy of a descriptor at one moment. */
static struct vring_desc read_desc(const struct vring_desc *at)
{
	struct vring_desc desc;

	memcpy(&desc, at, sizeof(desc));
	/* Keeps the compiler from reading the guest's copy again after the checks. */
	atomic_signal_fence(memory_order_seq_cst);
	return desc;
}

/* Follow a table of `size` descriptors from `index`. *indirect: set to the descriptor that names
 * another table. */
static const char *walk_table(const struct virtio_queue *queue, struct virtio_chain *chain,
			      const struct vring_desc *table, unsigned int size,
			      struct vring_desc *indirect)
{
	unsigned int index = indirect ? chain->head : 0, steps;

	for (steps = 0; steps < size; steps++) {
		struct vring_desc desc;
		const char *wrong;

		if (index >= size)
			return "descriptor index out of range";
		desc = read_desc(&table[index]);
		if (desc.flags & VRING_DESC_F_INDIRECT) {
			if (!indirect)
				return "indirect table within an indirect table";
			if (desc.flags & VRING_DESC_F_NEXT)
				return "indirect descriptor with a successor";
			*indirect = desc;
			return NULL;
		}
		wrong =
		    add_buffer(queue, chain, desc.addr, desc.len, desc.flags & VRING_DESC_F_WRITE);
		if (wrong)
			return wrong;
		if (!(desc.flags & VRING_DESC_F_NEXT))
			return NULL;
		index = desc.next;
	}
	return "descriptor loop";
}

static const char *walk_chain(const struct virtio_queue *queue, struct virtio_chain *chain)
{
	struct vring_desc indirect = {.len = 0};
	const char *wrong = walk_table(queue, chain, queue->desc, queue->size, &indirect);
	const struct vring_desc *table;
	unsigned int entries;

	if (wrong || !(indirect.flags & VRING_DESC_F_INDIRECT))
		return wrong;
	entries = indirect.len / sizeof(*table);
	if (!entries || indirect.len % sizeof(*table))
		return "indirect table of odd size";
	if (entries > VIRTIO_CHAIN_PIECES)
		return "indirect table too long";
	table = vmm_guest_ptr(queue->vmm, indirect.addr, indirect.len);
	if (!table)
		return "indirect table outside RAM";
	return walk_table(queue, chain, table, entries, NULL);
}

/* ---- Rings ----------------------------------------------------------------------------------- */

/*
 * Acquire: the ring's entry and the descriptors must not be read before the index. Pairs with the
 * driver's write barrier before it advances the index.
 */
static uint16_t avail_index(const struct virtio_queue *queue)
{
	return __atomic_load_n(&queue->avail->idx, __ATOMIC_ACQUIRE);
}

static bool is_empty(const struct virtio_queue *queue)
{
	return avail_index(queue) == queue->next_avail;
}

int virtio_queue_pop(struct virtio_queue *queue, struct virtio_chain *chain)
{
	const char *wrong;
	uint16_t waiting;

	if (queue->broken)
		return -EIO;
	if (!queue->enabled)
		return 0;
	if (is_empty(queue)) {
		if (!queue->event_idx)
			return 0;
		/*
		 * Request a notification, then check again. Without the fence the driver might read
		 * the old event while we read the old index, and both would wait. Pairs with the
		 * driver's barrier between index and event.
		 */
		STORE16(*avail_event(queue), queue->next_avail);
		atomic_thread_fence(memory_order_seq_cst);
		if (is_empty(queue))
			return 0;
	}
	waiting = (uint16_t)(avail_index(queue) - queue->next_avail);
	if (waiting > queue->size)
		return virtio_queue_break(queue, "available index runs away");
	chain->out_count = chain->in_count = 0;
	chain->out_bytes = chain->in_bytes = 0;
	chain->head = LOAD16(queue->avail->ring[queue->next_avail % queue->size]);
	if (chain->head >= queue->size)
		return virtio_queue_break(queue, "head out of range");
	wrong = walk_chain(queue, chain);
	if (wrong)
		return virtio_queue_break(queue, wrong);
	queue->next_avail++;
	return 1;
}

void virtio_queue_unpop(struct virtio_queue *queue)
{
	queue->next_avail--;
}

void virtio_queue_push(struct virtio_queue *queue, uint16_t head, uint32_t bytes)
{
	struct vring_used_elem *elem = &queue->used->ring[queue->next_used % queue->size];

	elem->id = head;
	elem->len = bytes;
	/* Release: a driver that sees the index must also see the entry and the data. */
	__atomic_store_n(&queue->used->idx, ++queue->next_used, __ATOMIC_RELEASE);
}

bool virtio_queue_must_signal(struct virtio_queue *queue)
{
	uint16_t old = queue->signalled_used, new = queue->next_used, event;

	/* Index before event or flags: otherwise the driver sleeps on the old index and is not
	 * woken. */
	atomic_thread_fence(memory_order_seq_cst);
	if (!queue->event_idx)
		return !(LOAD16(queue->avail->flags) & VRING_AVAIL_F_NO_INTERRUPT);
	event = LOAD16(*used_event(queue));
	queue->signalled_used = new;
	if (!queue->signalled_valid) {
		queue->signalled_valid = true;
		return true;
	}
	return vring_need_event(event, new, old);
}

/* ---- Pieces ---------------------------------------------------------------------------------- */

size_t virtio_read_pieces(const struct iovec *iov, unsigned int count, size_t offset, void *buffer,
			  size_t bytes)
{
	size_t done = 0, part;
	unsigned int i;

	for (i = 0; i < count && done < bytes; offset -= iov[i++].iov_len) {
		if (offset >= iov[i].iov_len)
			continue;
		part = iov[i].iov_len - offset;
		if (part > bytes - done)
			part = bytes - done;
		memcpy((uint8_t *)buffer + done, (const uint8_t *)iov[i].iov_base + offset, part);
		done += part;
		offset = iov[i].iov_len;
	}
	return done;
}

size_t virtio_write_pieces(const struct iovec *iov, unsigned int count, size_t offset,
			   const void *buffer, size_t bytes)
{
	size_t done = 0, part;
	unsigned int i;

	for (i = 0; i < count && done < bytes; offset -= iov[i++].iov_len) {
		if (offset >= iov[i].iov_len)
			continue;
		part = iov[i].iov_len - offset;
		if (part > bytes - done)
			part = bytes - done;
		memcpy((uint8_t *)iov[i].iov_base + offset, (const uint8_t *)buffer + done, part);
		done += part;
		offset = iov[i].iov_len;
	}
	return done;
}

unsigned int virtio_cut_pieces(struct iovec *iov, unsigned int count, size_t offset, size_t bytes,
			       struct iovec **first)
{
	unsigned int kept;

	while (count && offset >= iov->iov_len) {
		offset -= iov->iov_len;
		iov++;
		count--;
	}
	*first = iov;
	if (!count)
		return 0;
	iov->iov_base = (uint8_t *)iov->iov_base + offset;
	iov->iov_len -= offset;
	for (kept = 0; kept < count && bytes; kept++) {
		if (iov[kept].iov_len > bytes)
			iov[kept].iov_len = bytes;
		bytes -= iov[kept].iov_len;
	}
	return kept;
}
