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

#endif
