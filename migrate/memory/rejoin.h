/*
 * A block whose 512 small pages lie on one node becomes one huge page again. Any thread that touches no
 * region meanwhile.
 */
#ifndef GMIG_REJOIN_H
#define GMIG_REJOIN_H

#include "region.h"

/*
 * Claim the block, have the kernel collapse it (MADV_COLLAPSE, Linux 6.1), and make its entries one. The guest reads and
 * writes on; for the copy, some 0.2 ms, the kernel holds this process's mmap_lock, and one of its calls takes 5 to 15 ms.
 *
 * -EBUSY: not all of it is there, on one node, and nobody's else: nothing was tried. -EINVAL, -EAGAIN, -ENOMEM..: the
 * kernel would not.
 */
int rejoin_block(struct gmig *gmig, const struct region *region, uint64_t block_gfn,
		 uint64_t owner);

#endif
