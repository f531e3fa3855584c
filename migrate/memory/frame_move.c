/* Moving frames by UFFDIO_MOVE, and what the kernel does not say of it. */
#include "../core/uffd.h"
#include "frame_pool.h"

#include <errno.h>

/*
 * UFFDIO_MOVE wants both sides mlock()ed or neither (mm/userfaultfd.c: validate_move_areas()), and says EINVAL. Which
 * regions are, and when, is their owner's affair: the slot, which is ours alone, follows.
 */
static int move_locked(struct frames *frames, struct slot *slot, const struct uffd_move *move,
		       size_t *done)
{
	int ret = uffd_move(frames->sys, move, done);

	for (int lock = 1; ret == -EINVAL && !*done && lock >= 0; lock--) {
		int refused = frames->sys->lock(slot->hva, GMIG_BLOCK_BYTES, lock);

		if (refused)
			return refused;
		ret = uffd_move(frames->sys, move, done);
	}
	return ret;
}

static unsigned int page_in_block(const void *at)
{
	return (unsigned int)((uintptr_t)at / GMIG_PAGE_BYTES % GMIG_BLOCK_PAGES);
}

#define SCAN_TRIES 32
#define SCAN_NS	   20000

/*
 * Tries again, half a millisecond at most: pages in a slot of which it is not known that they are there are thrown away as
 * somebody's rubbish. The kernel has no memory for the answer (ENOMEM), or this process is being killed (EINTR).
 */
static int scan_block(struct frames *frames, const void *at, struct uffd_scan *scan)
{
	const uint8_t *block = (const uint8_t *)at - page_in_block(at) * (size_t)GMIG_PAGE_BYTES;
	int ret = uffd_scan(frames->sys, frames->pagemap, block, scan);

	for (unsigned int i = 0; ret && i < SCAN_TRIES; i++) {
		frames->sys->sleep_ns(SCAN_NS);
		ret = uffd_scan(frames->sys, frames->pagemap, block, scan);
	}
	return ret;
}

/*
 * Pages from `done` on that have moved, though the kernel says that there is something at their place already. In Linux 6.18
 * move_pages() (mm/userfaultfd.c) does not forget an -EAGAIN of its own when its next try has moved a run of pages: it tries
 * these once more, finds them at their new place, and returns -EEXIST as if it had not moved them. -EAGAIN comes when another
 * thread has locked a page or is splitting the huge page that it was a part of.
 * Nobody else takes a page away here: those of a region are claimed, those of a slot are the taker's.
 */
static size_t moved_unsaid(struct frames *frames, const struct uffd_move *move, size_t done)
{
	const uint8_t *from = (const uint8_t *)move->from + done,
		      *to = (const uint8_t *)move->to + done;
	size_t pages = (move->bytes - done) / GMIG_PAGE_BYTES, count = 0;
	struct uffd_scan source, target;

	if (scan_block(frames, from, &source) || scan_block(frames, to, &target))
		return 0;
	while (count < pages &&
	       !bits_get(&source.present, page_in_block(from) + (unsigned int)count) &&
	       bits_get(&target.present, page_in_block(to) + (unsigned int)count))
		count++;
	return count * GMIG_PAGE_BYTES;
}

int frame_move(struct frames *frames, struct slot *slot, const struct uffd_move *move, size_t *done)
{
	int ret = move_locked(frames, slot, move, done);
	bool unsaid = false;
	size_t more;

	while (ret == -EEXIST && (more = moved_unsaid(frames, move, *done))) {
		struct uffd_move rest = *move;

		unsaid = true;
		*done += more;
		rest.to = (uint8_t *)move->to + *done;
		rest.from = (uint8_t *)move->from + *done;
		rest.bytes = move->bytes - *done;
		ret = uffd_move(frames->sys, &rest, &more);
		*done += more;
	}
	/* An error wakes nobody. */
	if (unsaid && move->wake)
		uffd_wake(frames->sys, move->fd, move->to, *done);
	return ret;
}
