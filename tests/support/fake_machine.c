#include "fake_machine.h"

/* Aligned as guest memory is: for O_DIRECT. */
static uint8_t *ram(uint64_t bytes)
{
	void *memory = NULL;

	if (posix_memalign(&memory, GMIG_PAGE_BYTES, bytes))
		abort();
	return memset(memory, 0, bytes);
}

void fake_vmm_init(struct vmm *vmm, uint64_t region_bytes)
{
	*vmm = (struct vmm){.pio_count = 0};
	pthread_mutex_init(&vmm->lock, NULL);
	for (unsigned int i = 0; i < 2; i++)
		vmm->region[i] = (struct vmm_region){.vnode = i,
						     .gpa = i * region_bytes,
						     .bytes = region_bytes,
						     .hva = ram(region_bytes)};
	for (unsigned int i = 0; i < FAKE_MAX; i++)
		vmm->fd[i].fd = -1;
}

void fake_vmm_destroy(struct vmm *vmm)
{
	free(vmm->region[0].hva);
	free(vmm->region[1].hva);
	pthread_mutex_destroy(&vmm->lock);
}

size_t vmm_regions(const struct vmm *vmm, const struct vmm_region **regions)
{
	*regions = vmm->region;
	return 2;
}

void *vmm_guest_ptr(const struct vmm *vmm, uint64_t gpa, uint64_t bytes)
{
	for (unsigned int i = 0; i < 2; i++) {
		const struct vmm_region *region = &vmm->region[i];

		if (gpa >= region->gpa && gpa - region->gpa < region->bytes &&
		    bytes <= region->bytes - (gpa - region->gpa))
			return region->hva + (gpa - region->gpa);
	}
	return NULL;
}

int vmm_dma_begin(const struct vmm *vmm, const void *start, size_t bytes)
{
	struct vmm *fake = (struct vmm *)(uintptr_t)vmm;

	if (fake->dma_refuse)
		return -EBUSY;
	if (fake->dma_begin && fake->dma_begin(fake->gmig, start, bytes))
		return -EBUSY;
	fake->dma_begun++;
	fake->dma_now++;
	return 0;
}

void vmm_dma_end(const struct vmm *vmm, const void *start, size_t bytes)
{
	struct vmm *fake = (struct vmm *)(uintptr_t)vmm;

	if (fake->dma_end)
		fake->dma_end(fake->gmig, start, bytes);
	fake->dma_now--;
}

/* ---- I/O ranges ------------------------------------------------------------------------------ */

static struct vmm_io *fake_find(struct vmm_io *io, unsigned int count, uint64_t address,
				uint64_t bytes)
{
	for (unsigned int i = 0; i < count; i++)
		if (io[i].base != VMM_MMIO_NOWHERE && address < io[i].base + io[i].bytes &&
		    io[i].base < address + bytes)
			return &io[i];
	return NULL;
}

int vmm_pio_add(struct vmm *vmm, const struct vmm_io *io, struct gmig_error *err)
{
	if (fake_find(vmm->pio, vmm->pio_count, io->base, io->bytes))
		return gmig_fail(err, -EBUSY, "%s: ports taken", io->name);
	vmm->pio[vmm->pio_count++] = *io;
	return 0;
}

int vmm_mmio_add(struct vmm *vmm, const struct vmm_io *io, struct gmig_error *err)
{
	(void)err;
	vmm->mmio[vmm->mmio_count++] = *io;
	return 0;
}

int vmm_mmio_move(struct vmm *vmm, const struct vmm_io *io, uint64_t new_base)
{
	for (unsigned int i = 0; i < vmm->mmio_count; i++) {
		struct vmm_io *mine = &vmm->mmio[i], *other;

		if (mine->access != io->access || mine->opaque != io->opaque)
			continue;
		other = new_base == VMM_MMIO_NOWHERE
			    ? NULL
			    : fake_find(vmm->mmio, vmm->mmio_count, new_base, io->bytes);
		if (other && other != mine)
			return -EBUSY;
		mine->base = new_base;
		return 0;
	}
	return -ENOENT;
}

static void fake_access(struct vmm_io *found, uint64_t address, void *data, unsigned int bytes,
			bool write)
{
	if (!write)
		memset(data, 0xff, bytes);
	if (found && bytes <= found->bytes - (address - found->base))
		found->access(found->opaque, address - found->base, data, bytes, write);
}

void fake_pio(struct vmm *vmm, uint64_t port, void *data, unsigned int bytes, bool write)
{
	fake_access(fake_find(vmm->pio, vmm->pio_count, port, 1), port, data, bytes, write);
}

void fake_mmio(struct vmm *vmm, uint64_t gpa, void *data, unsigned int bytes, bool write)
{
	fake_access(fake_find(vmm->mmio, vmm->mmio_count, gpa, 1), gpa, data, bytes, write);
}

uint8_t fake_in(struct vmm *vmm, uint16_t port)
{
	uint8_t value;

	fake_pio(vmm, port, &value, 1, false);
	return value;
}

void fake_out(struct vmm *vmm, uint16_t port, uint8_t value)
{
	fake_pio(vmm, port, &value, 1, true);
}

uint32_t fake_read(struct vmm *vmm, uint64_t gpa, unsigned int bytes)
{
	uint32_t value = 0;

	fake_mmio(vmm, gpa, &value, bytes, false);
	return value;
}

void fake_write(struct vmm *vmm, uint64_t gpa, unsigned int bytes, uint32_t value)
{
	fake_mmio(vmm, gpa, &value, bytes, true);
}

void vmm_stop_because(struct vmm *vmm, const char *reason)
{
	pthread_mutex_lock(&vmm->lock);
	snprintf(vmm->stop_reason, sizeof(vmm->stop_reason), "%s", reason);
	vmm->stops++;
	pthread_mutex_unlock(&vmm->lock);
}

/* ---- Interrupts, the end --------------------------------------------------------------------- */

void (*fake_helper_begins)(void);

void vmm_helper_begins(struct vmm *vmm, enum vmm_helper helper)
{
	(void)vmm;
	(void)helper;
	if (fake_helper_begins)
		fake_helper_begins();
}

void vmm_helper_ends(struct vmm *vmm)
{
	(void)vmm;
}

void vmm_irq_line(struct vmm *vmm, unsigned int gsi, bool level)
{
	pthread_mutex_lock(&vmm->lock);
	vmm->edges[gsi] += level && !vmm->line[gsi];
	vmm->line[gsi] = level;
	pthread_mutex_unlock(&vmm->lock);
}

int vmm_irq_msi(struct vmm *vmm, uint64_t address, uint32_t data)
{
	pthread_mutex_lock(&vmm->lock);
	vmm->msi_count++;
	vmm->msi_address = address;
	vmm->msi_data = data;
	pthread_mutex_unlock(&vmm->lock);
	return 0;
}

void vmm_end(struct vmm *vmm, enum vmm_end why, const char *text)
{
	(void)text;
	vmm->end = why;
}

/* ---- The balloon ----------------------------------------------------------------------------- */

int vmm_guest_discard(const struct vmm *vmm, const void *start, size_t bytes, size_t *done_bytes)
{
	struct vmm *machine = (struct vmm *)(uintptr_t)vmm;

	*done_bytes = 0;
	if (!start)
		return -EFAULT;
	if (machine->discard)
		return machine->discard(start, bytes, done_bytes);
	memset((void *)(uintptr_t)start, 0, bytes);
	atomic_fetch_add(&machine->discarded_bytes, bytes);
	*done_bytes = bytes;
	return 0;
}

/* ---- Loop: handlers run in fake_loop_run() only, on the test's thread ------------------------ */

static struct fake_fd *fake_find_fd(struct vmm *vmm, int fd)
{
	for (unsigned int i = 0; i < FAKE_MAX; i++)
		if (vmm->fd[i].fd == fd)
			return &vmm->fd[i];
	return NULL;
}

int vmm_loop_add(struct vmm *vmm, int fd, uint32_t events, vmm_loop_ready *ready, void *opaque)
{
	struct fake_fd *slot;
	int ret = -ENOSPC;

	pthread_mutex_lock(&vmm->lock);
	slot = fake_find_fd(vmm, fd) ? NULL : fake_find_fd(vmm, -1);
	if (slot) {
		*slot = (struct fake_fd){fd, events, ready, opaque, false};
		ret = 0;
	}
	pthread_mutex_unlock(&vmm->lock);
	return ret;
}

int vmm_loop_modify(struct vmm *vmm, int fd, uint32_t events)
{
	struct fake_fd *slot;

	pthread_mutex_lock(&vmm->lock);
	slot = fake_find_fd(vmm, fd);
	if (slot)
		slot->events = events;
	pthread_mutex_unlock(&vmm->lock);
	return slot ? 0 : -ENOENT;
}

void vmm_loop_remove(struct vmm *vmm, int fd)
{
	struct fake_fd *slot;

	pthread_mutex_lock(&vmm->lock);
	slot = fake_find_fd(vmm, fd);
	if (slot && fd >= 0)
		slot->fd = -1;
	pthread_mutex_unlock(&vmm->lock);
}

int vmm_loop_rest(struct vmm *vmm, int fd, unsigned int ms)
{
	struct fake_fd *slot;

	(void)ms;
	pthread_mutex_lock(&vmm->lock);
	slot = fake_find_fd(vmm, fd);
	if (slot)
		slot->rests = true;
	pthread_mutex_unlock(&vmm->lock);
	return slot ? 0 : -ENOENT;
}

unsigned int fake_loop_end_rests(struct vmm *vmm)
{
	unsigned int count = 0;

	for (unsigned int i = 0; i < FAKE_MAX; i++) {
		count += vmm->fd[i].fd >= 0 && vmm->fd[i].rests;
		vmm->fd[i].rests = false;
	}
	return count;
}

void fake_loop_event(struct vmm *vmm, int fd, uint32_t events)
{
	struct fake_fd *slot = fake_find_fd(vmm, fd);

	if (slot)
		slot->ready(slot->opaque, events);
}

bool fake_loop_run(struct vmm *vmm)
{
	for (unsigned int round = 0; round < 10000; round++) {
		bool any = false;

		for (unsigned int i = 0; i < FAKE_MAX; i++) {
			struct fake_fd copy = vmm->fd[i];
			struct pollfd pfd = {.fd = copy.fd, .events = (short)copy.events};

			if (copy.fd < 0 || copy.rests || poll(&pfd, 1, 0) != 1 ||
			    pfd.revents & POLLNVAL)
				continue;
			any = true;
			copy.ready(copy.opaque, (uint32_t)pfd.revents);
		}
		if (!any)
			return true;
	}
	return false;
}
