/*
 * Memory that a guest gives back: a balloon, free page reporting. What it held is nobody's any more, so its memory goes to the
 * host at once, and it reads as zeros when it is touched again. For the table of where memory lies that is an event like any other.
 * Advice that a VMM gives the kernel by itself (madvise(2)) is not: a block that is being moved would come back with its old
 * content, and the books would be wrong until the next gmig_check().
 *
 * A job does not copy what was given back: it counts those pages as `gone`. A block that a job has just now is refused here, for
 * the caller to try again; it is moved in milliseconds. For a lazy job, whose blocks wait for a touch, this was one.
 *
 * Huge pages: of a block of 2 MiB that is given back as a whole the kernel gets one page. Of one that is given back in parts it
 * gets the parts: the huge page is split, what stays is small pages from then on, which move several times slower. So collect
 * what belongs to one block, and give it back together. Once all of a split block is there again, the next job makes it huge.
 *
 * Threads: any, but not the engine's own. Takes the lock of one block of 2 MiB at a time, for a huge page or 128 small ones.
 *
 * Source: MADV_DONTNEED of madvise(2); FALLOC_FL_PUNCH_HOLE of fallocate(2).
 */
#ifndef GMIG_DISCARD_H
#define GMIG_DISCARD_H

#include "gmig.h"

#ifdef __cplusplus
extern "C" {
#endif

#pragma GCC visibility push(default)

/*
 * Give back `bytes` from `start`, an address in a region as gmig_region_add() gave it; both are multiples of 4 KiB. *done_bytes:
 * so many of them from the start on are through, also on an error. What has no memory is no error. Of regions with a file a hole
 * is punched: peers read zeros there, too, and what they had written is gone.
 *
 * -EBUSY the next block is being moved, or a device transfers to it (gmig_dma.h): try again in a millisecond or later;
 * -EFAULT not inside one region; -EINVAL alignment, no bytes; -EOPNOTSUPP the region's pages are huge for good
 * (GMIG_REGION_HUGETLB, GMIG_REGION_MEMFD_HUGETLB), and less than one of them is given back, or they are larger than 2 MiB; -ENOMEM
 * no memory to split a block's entry; or what the kernel says.
 */
int gmig_discard(struct gmig *gmig, const void *start, size_t bytes, size_t *done_bytes);

#pragma GCC visibility pop

#ifdef __cplusplus
}
#endif
#endif
