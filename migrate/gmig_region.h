/*
 * Memory that its owner maps, and moves by itself: of a device, of a pool of the owner's, or without page structs. A guest's memory may
 * be of such regions and of others; jobs, policies of where it lies, results page by page and the audit are the same.
 *
 * The idea is Linux's: vm_operations_struct.migrate, proposed in 2006 for mappings that have to be moved in their own way.
 */
#ifndef GMIG_REGION_OPS_H
#define GMIG_REGION_OPS_H

#include "gmig.h"

#ifdef __cplusplus
extern "C" {
#endif

/*
 * Pages are of GMIG_PAGE_BYTES, and `offset` is in bytes from the region's beginning, a multiple of it; first..first+pages lie within
 * one block of 2 MiB. `status` has a place a page. All of them are called from any of the engine's threads, several at once for
 * different blocks, and sometimes with a lock held that others wait for: `query` and `discard` must not touch guest memory, nor call
 * the engine, and should take microseconds. `migrate` may take its time. What they say that is neither a node nor an errno is -EIO.
 */
struct gmig_region_ops {
	/*
	 * Where pages are: status[i] is a host node, or -ENOENT: there is nothing. NULL: the kernel is asked, by move_pages(2) and
	 * PAGEMAP_SCAN. Returns 0, or -errno: it cannot be told just now.
	 */
	int (*query)(void *opaque, uint64_t offset, size_t pages, int *status);
	/*
	 * Bring them to node `to`, while the guest reads and writes: what it wrote must be there afterwards, and how it is kept off is
	 * the owner's affair. status[i]: `to`, or why the page stayed, as for move_pages(2): -EBUSY and -EAGAIN are tried again, -ENOENT
	 * there is nothing any more. Returns 0, or -errno for all of them. Nobody else moves or discards them meanwhile.
	 * NULL: they cannot move, and each job has -EPERM for them.
	 */
	int (*migrate)(void *opaque, uint64_t offset, size_t pages, unsigned int to, int *status);
	/* The guest gives them back (gmig_discard()): they read as zeros from now on. NULL: -EOPNOTSUPP. */
	int (*discard)(void *opaque, uint64_t offset, size_t pages);
	uint64_t reserved[8]; /* 0 */
};

/*
 * For gmig_region_spec.own, with kind GMIG_REGION_OWN. `memory` is mapped, 2 MiB aligned, for as long as the engine lives, which
 * neither guards it nor unmaps it, and is no other region's. The region takes part in jobs by any mover but in mode LAZY, has no policies of ranges, and
 * gmig_populate() leaves it alone. The operations are copied.
 */
struct gmig_region_own {
	void *memory;
	const struct gmig_region_ops *ops;
	void *opaque; /* what these are called with */
	uint64_t reserved[4];
};

#ifdef __cplusplus
}
#endif
#endif
