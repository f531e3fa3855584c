/*
 * Port and memory-mapped I/O: two small tables, searched in order. A handler is called without the
 * lock, so that it may register or move ranges itself.
 */
#include "bus.h"
#include "internal.h"

#include <errno.h>
#include <string.h>

void vmm_bus_init(struct vmm_bus *bus)
{
	pthread_rwlock_init(&bus->lock, NULL);
	bus->count = 0;
}

void vmm_bus_destroy(struct vmm_bus *bus)
{
	pthread_rwlock_destroy(&bus->lock);
}

static bool overlaps(const struct vmm_io *io, uint64_t base, uint64_t bytes)
{
	return io->base != VMM_MMIO_NOWHERE && base < io->base + io->bytes &&
	       io->base < base + bytes;
}

/* Does a range other than `self` overlap? Caller holds the lock. */
static const struct vmm_io *occupant(const struct vmm_bus *bus, const struct vmm_io *self,
				     uint64_t base, uint64_t bytes)
{
	for (unsigned int i = 0; i < bus->count; i++)
		if (&bus->io[i] != self && overlaps(&bus->io[i], base, bytes))
			return &bus->io[i];
	return NULL;
}

static int bus_add(struct vmm_bus *bus, const struct vmm_io *io, uint64_t limit,
		   struct gmig_error *err)
{
	const struct vmm_io *other;
	int ret = 0;

	if (!io->access || !io->bytes)
		return gmig_fail(err, -EINVAL, "%s: an I/O range without bytes or handler",
				 io->name);
	if (io->base != VMM_MMIO_NOWHERE && (io->base > limit || io->bytes - 1 > limit - io->base))
		return gmig_fail(err, -EINVAL, "%s: I/O range beyond the address space", io->name);
	pthread_rwlock_wrlock(&bus->lock);
	other = io->base == VMM_MMIO_NOWHERE ? NULL : occupant(bus, NULL, io->base, io->bytes);
	if (other)
		ret = gmig_fail(err, -EBUSY, "%s: I/O range 0x%llx is taken by %s", io->name,
				(unsigned long long)io->base, other->name);
	else if (bus->count == VMM_MAX_IO)
		ret = gmig_fail(err, -ENOSPC, "%s: more than %d I/O ranges", io->name, VMM_MAX_IO);
	else
		bus->io[bus->count++] = *io;
	pthread_rwlock_unlock(&bus->lock);
	return ret;
}

int vmm_pio_add(struct vmm *vmm, const struct vmm_io *io, struct gmig_error *err)
{
	return bus_add(&vmm->pio, io, 0xffff, err);
}

int vmm_mmio_add(struct vmm *vmm, const struct vmm_io *io, struct gmig_error *err)
{
	return bus_add(&vmm->mmio, io, UINT64_MAX - 1, err);
}

static struct vmm_io *find_same(struct vmm_bus *bus, const struct vmm_io *io)
{
	for (unsigned int i = 0; i < bus->count; i++) {
		struct vmm_io *it = &bus->io[i];

		if (it->access == io->access && it->opaque == io->opaque &&
		    it->bytes == io->bytes && !strcmp(it->name, io->name))
			return it;
	}
	return NULL;
}

int vmm_mmio_move(struct vmm *vmm, const struct vmm_io *io, uint64_t new_base)
{
	struct vmm_bus *bus = &vmm->mmio;
	struct vmm_io *mine;
	int ret = 0;

	if (new_base != VMM_MMIO_NOWHERE && new_base > UINT64_MAX - io->bytes)
		return -EINVAL;
	pthread_rwlock_wrlock(&bus->lock);
	mine = find_same(bus, io);
	if (!mine)
		ret = -ENOENT;
	else if (new_base != VMM_MMIO_NOWHERE && occupant(bus, mine, new_base, io->bytes))
		ret = -EBUSY;
	else
		mine->base = new_base;
	pthread_rwlock_unlock(&bus->lock);
	return ret;
}

static bool bus_find(struct vmm_bus *bus, uint64_t address, struct vmm_io *found)
{
	bool hit = false;

	pthread_rwlock_rdlock(&bus->lock);
	for (unsigned int i = 0; i < bus->count && !hit; i++)
		if (overlaps(&bus->io[i], address, 1)) {
			*found = bus->io[i];
			hit = true;
		}
	pthread_rwlock_unlock(&bus->lock);
	return hit;
}

bool vmm_bus_access(struct vmm_bus *bus, uint64_t address, uint8_t *data, unsigned int bytes,
		    bool write)
{
	struct vmm_io io;

	if (!write)
		memset(data, 0xff, bytes);
	if (!bus_find(bus, address, &io))
		return false;
	/* An access beyond the end of the range is not passed on: a device never sees an offset
	 * outside itself. */
	if (bytes > io.bytes - (address - io.base))
		return false;
	io.access(io.opaque, address - io.base, data, bytes, write);
	return true;
}
