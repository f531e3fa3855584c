/*
 * Single pages: move_pages(2) for a guest's memory (by guest-physical address) and for another process's (by
 * virtual address). Each page goes to the node that is named for it; without nodes it is only asked where they lie.
 *
 * A page of 4 KiB moves alone also when it is part of a huge one of a guest: that is split, and becomes one again when it
 * is whole on one node. A huge page of a process, and any that mover `kernel` moves, goes whole where the first of its
 * listed pages goes; so does move_pages(2).
 *
 * Of several entries for one page the last one counts. Lists need not be sorted. While a job runs its list takes 16 bytes an
 * entry, and results 1 KiB for each block of 2 MiB in which pages differ. An ended job keeps neither a long list nor all results:
 * gmig_job_page_status().
 *
 * Threads and errors as in gmig.h. Source: move_pages(2), do_pages_move() in Linux's mm/migrate.c.
 */
#ifndef GMIG_MOVE_H
#define GMIG_MOVE_H

#include "gmig.h"

#ifdef __cplusplus
extern "C" {
#endif

#pragma GCC visibility push(default)

/* Flags, with the values of <linux/mempolicy.h>; 0 is GMIG_MOVE. */
#define GMIG_MOVE     2u /* pages that no other process maps */
#define GMIG_MOVE_ALL 4u /* others, too: needs CAP_SYS_NICE */

#define GMIG_MOVE_MAX (1u << 24) /* entries of a list */

/* Pages that follow each other and go to one node. */
struct gmig_move_range {
	uint64_t gpa, bytes; /* both multiples of GMIG_PAGE_BYTES; an address in a process */
	int node;
};

struct gmig_move {
	const struct gmig_move_range *ranges; /* read during the call only */
	size_t count;
	unsigned int flags;
	uint64_t reserved[4];
};

/*
 * Start a job that moves these pages. limits: how; from, to, vnodes and max_bytes stay 0; NULL: as by default. All nodes are
 * looked at before the first page moves. What the list names and is not there is no error: its status says so.
 *
 * -EINVAL flags, an address or a length that is no multiple of 4 KiB, or what gmig_job_start() says of limits; -E2BIG
 * more than GMIG_MOVE_MAX entries; -ENOENT none at all; -ENODEV a node is not online, or has no memory; -EACCES a
 * node is outside the cpuset; -EPERM GMIG_MOVE_ALL without CAP_SYS_NICE; -EOPNOTSUPP, -ESHUTDOWN, -ESRCH as
 * gmig_job_start().
 */
int gmig_move_start(struct gmig *gmig, const struct gmig_move *move,
		    const struct gmig_job_spec *limits, struct gmig_job **out,
		    struct gmig_error *err);
int gmig_process_move_start(struct gmig_process *process, const struct gmig_move *move,
			    const struct gmig_job_spec *limits, struct gmig_job **out,
			    struct gmig_error *err);

/*
 * status[i] of the page at gpas[i], which may lie anywhere in its page: the node that it is on now, or why the job left it
 * where it was, as gmig_job_page_status() says it. -ESRCH: the memory is gone.
 */
int gmig_job_pages(struct gmig_job *job, size_t count, const uint64_t *gpas, int *status);

/*
 * What an ended job left, once more: its spec, for gmig_job_retry(), with max_bytes no more than what remained; of a job by
 * policies `to` has the nodes on which these have pages now. -EBUSY it has not
 * ended; -ENODATA nothing remains; -E2BIG its list was too long to be kept; -EOPNOTSUPP it has moved pages, and takes from nodes that
 * it brings others to (0,1 to 1,0): what has arrived cannot be told from what remained.
 */
int gmig_job_rest(struct gmig_job *job, struct gmig_job_spec *spec, struct gmig_error *err);
/*
 * A new job by the same node map, list or policy, of gmig_job_start(), gmig_move_start() or gmig_bind(); pages at their goals stay
 * there. limits: how, NULL as before; its from, to, vnodes and max_bytes are those of gmig_job_rest(). Errors of that and of
 * gmig_job_start(); -ESRCH the memory is gone, which must not end during the call.
 */
int gmig_job_retry(struct gmig_job *job, const struct gmig_job_spec *limits, struct gmig_job **out,
		   struct gmig_error *err);

/* The arrays of move_pages(2). */
struct gmig_pages {
	size_t count;
	const uint64_t *gpas; /* a page is named by any address in it */
	const int *nodes;     /* NULL: only ask */
	int *status;	      /* set unless the call fails; one each, in the order of gpas */
	unsigned int flags;
	uint64_t reserved[4];
};

/*
 * Ask, or move and wait for it. A page's status is its node, or -EACCES, -EBUSY, -EFAULT (no memory of the guest, nothing
 * mapped, or the zero page), -ENOENT (no memory there yet), -ENOMEM, -EIO, -EAGAIN (it was touched on and on), -ENODATA,
 * -EPERM (it must not move: gmig_fix_memory()).
 * Returns how many pages could have moved and did not, or -errno: as gmig_move_start(); a job that fails gives its error. No
 * entries at all are no error.
 *
 * The kernel stops at the first batch of which a page stays; here all are tried, and each page's status is where it is in the
 * end, also when it is listed twice.
 */
long gmig_move_pages(struct gmig *gmig, const struct gmig_pages *pages, struct gmig_error *err);
long gmig_process_move_pages(struct gmig_process *process, const struct gmig_pages *pages,
			     struct gmig_error *err);

#pragma GCC visibility pop

#ifdef __cplusplus
}
#endif
#endif
