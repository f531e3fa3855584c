/*
 * Slots that somebody else filled. A pool's mapping is ordinary memory of this process: a debugger that reads a hole of it
 * (/proc/PID/mem, process_vm_readv(2)) leaves the zero page there, one that writes leaves a page, mlockall(2) fills all.
 * Nothing prevents it: protection does not hold off a debugger, and registered for missing pages, our own touch would
 * sleep. So a slot is looked at before it is relied on, and emptied.
 */
#include "../core/uffd.h"
#include "frame_pool.h"

int slot_discard(struct frames *frames, const struct slot *slot, const struct bits *pages)
{
	unsigned int first = 0, count;
	int ret = 0;

	while (!ret && (count = bits_run(pages, &first))) {
		ret = gmig_sys_discard(frames->sys, slot->hva + first * GMIG_PAGE_BYTES,
				       count * GMIG_PAGE_BYTES);
		first += count;
	}
	return ret;
}

int frame_empty(struct frames *frames, struct slot *slot)
{
	struct uffd_scan scan;
	int ret = uffd_scan(frames->sys, frames->pagemap, slot->hva, &scan);

	if (ret)
		return ret;
	bits_remove(&scan.present, &slot->have);
	if (bits_empty(&scan.present))
		return 0;
	atomic_fetch_add(&frames->emptied, 1);
	/* Small pages leave a page table behind, into which no huge page moves. */
	slot->split |= slot->huge;
	if (slot->huge && bits_empty(&slot->have))
		ret = slot_renew(frames, slot);
	else
		ret = slot_discard(frames, slot, &scan.present);
	return ret ? ret : (int)bits_count(&scan.present);
}

uint64_t frame_emptied(const struct frames *frames)
{
	return atomic_load(&frames->emptied);
}
