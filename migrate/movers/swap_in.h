/* A guest's pages in swap, before they are moved. */
#ifndef GMIG_SWAP_IN_H
#define GMIG_SWAP_IN_H

#include "mover.h"

/*
 * Have the kernel read in what is swapped out of a ticket's block: a mover's `prepare`. The region's policy prefers the target
 * by now, so that most of it is where it should be at once (`brought`); what is not is moved like any other page. A page that
 * UFFDIO_MOVE moves while it is in swap could keep its userfaultfd bit for good, and MADV_COLLAPSE would refuse the block from
 * then on; move_pages(2) does not move it at all.
 */
void swap_in(struct mover_worker *worker, struct mover_ticket *ticket);

/*
 * Pages of the ticket's block that are in swap. The kernel ends the call at a page that is broken, or whose swap cannot be read, and
 * does not say which one it was. Such a page stays, with -EIO. To the kernel's own books it is in swap: what is broken has no
 * memory, and a marker takes its place.
 */
void swap_read_in(struct gmig *gmig, const struct region *region, struct mover_ticket *ticket,
		  unsigned int first, unsigned int count);

#endif
