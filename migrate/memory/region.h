/*
 * Regions of guest RAM and their kinds. A kind is how a region's memory is mapped, placed, guarded, filled,
 * scanned, discarded and asked about; faults and the audit reach memory through it only. There are `ram`
 * (private anonymous memory), `hugetlb` (the same, of hugetlbfs) `memfd` (a file in memory that others may map, too), and `own` (whose owner moves it). Which
 * mover may move a kind: movers/legal.h.
 *
 * The idea of operations per mapping is Linux's: vm_operations_struct.migrate of 2006.
 */
#ifndef GMIG_REGION_H
#define GMIG_REGION_H

#include "../core/uffd.h"
#include "engine.h"

#include <errno.h>

#define REGION_ERRNOS 4096 /* the kernel's are all below */

struct first_touch;

struct region_kind {
	const char *name;
	/* The kernel serves first touches, and not only ours: the table learns of them by asking (catch_up.h, the audit). */
	bool kernel_fills;
	bool own;	   /* its owner says where pages lie, and moves them: gmig_region.h */
	bool always_whole; /* it is never in smaller pages than region->unit_pages */
	/* Memory for region->pages; sets region->hva and ->reserved. */
	int (*map)(struct gmig *gmig, struct region *region, struct gmig_error *err);
	/* Memory that comes to it is of this node, as long as that has some. As region_prefer(). */
	int (*prefer)(struct gmig *gmig, const struct region *region, unsigned int node,
		      struct gmig_error *err);
	/* Faults on it are ours from here on. */
	int (*guard)(struct gmig *gmig, struct region *region, struct gmig_error *err);
	/*
	 * A hole was touched: memory for it, of the region's preferred node if there is some. `entry` is of gfn, NONE. Caller
	 * holds stripe.lock and wakes whoever sleeps. -ENOMEM: nobody has any. NULL with kernel_fills.
	 */
	int (*fill)(struct first_touch *from, struct region *region, uint64_t gfn,
		    const struct shadow_entry *entry);
	/*
	 * Before `fill`, without the lock, where that would hold it for too long: gets into from->page what it takes. And after it: what
	 * is left of that. May be NULL.
	 */
	void (*ahead)(struct first_touch *from, struct region *region, uint64_t gfn);
	void (*leave)(struct first_touch *from, const struct region *region);
	/*
	 * Memory for what the block has not, of its preferred node alone unless a policy says otherwise; no thread waits for it.
	 * NULL: by frames (populate.c). -ENOMEM.
	 */
	int (*populate)(struct gmig *gmig, struct region *region, uint64_t block_gfn);
	/* What the kernel shows of one block. */
	int (*scan)(struct gmig *gmig, const struct region *region, uint64_t block_gfn,
		    struct uffd_scan *scan);
	/* Pages back to the kernel; they read as zeros when touched again. */
	int (*discard)(struct gmig *gmig, const struct region *region, uint64_t gfn,
		       uint64_t pages);
	/* status[i]: the node of page gfns[i], or -errno; -errno: it could not be asked. At most
	 * GMIG_BLOCK_PAGES. */
	int (*query)(struct gmig *gmig, const struct region *region, size_t count,
		     const uint64_t *gfns, int *status);
};

extern const struct region_kind region_ram, region_memfd, region_hugetlb, region_giant, region_own;

/* mbind(2) of a region's mapping: what the kinds' `prefer` is. */
int region_bind(struct gmig *gmig, const struct region *region, unsigned int node,
		struct gmig_error *err);
/* Advice for a new mapping: size of pages, core dumps, fork. */
int region_advise(struct gmig *gmig, const struct region *region, struct gmig_error *err);

/* Registers the region with its vnode's userfaultfd, and starts the vnode's fault thread: what the kinds' `guard` is. */
int region_guard(struct gmig *gmig, struct region *region, struct gmig_error *err);

/* Asks the kernel for the nodes of mapped pages: what the kinds' `query` is. */
int region_query(struct gmig *gmig, const struct region *region, size_t count, const uint64_t *gfns,
		 int *status);

/* An answer of a region's owner: a node or -errno. What can be neither is none. */
static inline int region_own_says(int status)
{
	return status >= (int)GMIG_MAX_NODES || status <= -REGION_ERRNOS ? -EIO : status;
}

/* What is touched of it stays in memory. -EPERM, -ENOMEM, -EAGAIN: a limit, and the text says which. */
int region_lock(struct gmig *gmig, const struct region *region, struct gmig_error *err);

/* Gives back what map has made; the region need not be whole. */
void region_unmap(struct gmig *gmig, struct region *region);

/*
 * First touches of the region are served from where its pages go by `follow`, as long as that job runs
 * and no later one says otherwise. 0 also when nothing changes. -EACCES: the process may not use that
 * node; -ENODEV: it is not there; -EPERM: mbind(2) is refused; -ENOMEM. On an error nothing has changed.
 */
int region_prefer(struct gmig *gmig, struct region *region, const struct memory_follow *follow,
		  struct gmig_error *err);
/*
 * That job has ended; it may have preferred nothing. keep: the region's memory lies by now where it goes
 * by `follow`, and so shall what is new, once no job says otherwise. Else as if the job had never been.
 */
void region_prefer_end(struct gmig *gmig, struct region *region, const struct memory_follow *follow,
		       bool keep);

#endif
