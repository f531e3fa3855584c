/*
 * Pages of hugetlbfs for regions of that kind (region_hugetlb.c): taken on a node, outside of the region, and put in the place
 * of what the region has.
 *
 * UFFDIO_MOVE knows no hugetlbfs. What is left is mremap(2): a mapping of one page, with all that it has of flags, takes the
 * place of a block in one step, during which nobody finds a hole (mmap_lock is held for writing from the unmapping of the old
 * page to the mapping of the new one). The old page goes back to its node's pool. It costs a mapping for each block that was
 * moved, since the kernel joins none of hugetlbfs, and the block has to be registered with its userfaultfd again.
 *
 * Source: mremap_to() and mremap_userfaultfd_prep() in Linux 6.12 and 6.18, alloc_hugetlb_folio() in mm/hugetlb.c.
 */
#ifndef GMIG_HUGE_PAGE_H
#define GMIG_HUGE_PAGE_H

#include "region.h"

static inline size_t huge_page_bytes(const struct region *region)
{
	return region->unit_pages * GMIG_PAGE_BYTES;
}

/*
 * A page for the region, that reads as zeros, from the pool of that node or made there by the kernel (nr_overcommit_hugepages). One of
 * 2 MiB is reserved for its mapping, if the kernel makes none.
 * May take as long as zeroing it; holds no lock. -ENOMEM: the node has none, or a hugetlb cgroup allows no more; -EAGAIN: it is not known
 * whether the kernel makes pages, or it was busy.
 */
int huge_page_take(struct gmig *gmig, const struct region *region, unsigned int node, void **out);
/* One that was not placed. NULL is legal. */
void huge_page_put(struct gmig *gmig, const struct region *region, void *page);
/*
 * It takes the place of the region's page at gfn, or of a hole there, and whoever sleeps there is woken. -ENOMEM: the process has too many mappings
 * (vm.max_map_count); the region is as it was. -ENOTRECOVERABLE: the kernel has unmapped the old page and cannot map the new one.
 */
int huge_page_place(struct gmig *gmig, const struct region *region, uint64_t gfn, void *page);
/*
 * May another block get a mapping of its own? false: the process would come close to vm.max_map_count, and threads, or libc's
 * allocator, would find no room. limit: of it. Never more blocks count than there are.
 */
bool huge_page_has_room(struct gmig *gmig, uint64_t limit);

#endif
