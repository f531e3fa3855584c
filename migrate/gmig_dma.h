/*
 * Memory that a device writes to by itself: O_DIRECT, io_uring, vhost. Such a device pins pages and writes through the pin,
 * so that neither a write protection nor a page table stops it. A block that was protected, copied and unmapped while such a
 * write was under way, and had ended in between, would come back without it.
 *
 * So each transfer is announced before it is submitted and withdrawn when it has ended. In between, jobs leave its blocks where
 * they are: -EBUSY, tried again in later passes. A block that a job has just now is refused here, and the device transfers to
 * a buffer of its own, and copies. A block that a job was refused is refused here, too, for up to 200 ms after that or
 * until the job has had it, so that one with a device that never rests can be moved all the same.
 *
 * What the kernel copies in a system call (read(2), preadv(2) without O_DIRECT, recvmsg(2)) sleeps during a move like any other
 * access, and needs none of this. Memory that a device holds for good (vfio) is never announced: its pages stay, by the
 * kernel's own count.
 *
 * Threads: any, but not the engine's own. The calls take no memory and do not sleep; each takes the lock of one block of
 * 2 MiB at a time.
 *
 * Source: pin_user_pages() and its "case 1" in Linux's Documentation/core-api/pin_user_pages.rst; the bounce buffers of
 * Documentation/core-api/swiotlb.rst.
 */
#ifndef GMIG_DMA_H
#define GMIG_DMA_H

#include "gmig.h"

#ifdef __cplusplus
extern "C" {
#endif

#pragma GCC visibility push(default)

/*
 * A device is about to read or write `bytes` from `start`, an address in a region as gmig_region_add() gave it. Memory need
 * not be there: who pins it sleeps until it is. On an error nothing is announced.
 * -EBUSY a block of it is being moved or is to be moved, or too many others are announced: use a buffer of your own;
 * -EFAULT not inside one region; -EINVAL no bytes.
 */
int gmig_dma_begin(struct gmig *gmig, const void *start, size_t bytes);
/*
 * It has ended: the pages are pinned no more. Each gmig_dma_begin() that returned 0 has one, with the same arguments, before
 * gmig_destroy().
 */
void gmig_dma_end(struct gmig *gmig, const void *start, size_t bytes);

#pragma GCC visibility pop

#ifdef __cplusplus
}
#endif
#endif
