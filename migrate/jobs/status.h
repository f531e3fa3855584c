/*
 * One result a page, as move_pages(2) gives them, kept for a job, and their sums.
 *
 * While the job runs: 512 blocks (1 GiB) whose pages all have one result cost 16 bytes, blocks with
 * one result each 2 bytes more, a block of several results 1 KiB more. Once it has ended
 * (status_end) all of it is squeezed into STATUS_ENDED_BYTES at most, at any size of memory.
 *
 * Writers: the worker that owns the block; any thread may read. Guarded by a lock inside, the
 * innermost. Reading a sum costs the same at any size of memory.
 */
#ifndef GMIG_STATUS_H
#define GMIG_STATUS_H

#include "status_result.h"

#define STATUS_ENDED_BYTES (800u << 10)

struct status;

/* Pages. Their sum is the work set, if all of it was set to STATUS_WANTED before it was tried. */
struct status_sum {
	uint64_t moved, remaining, gone, by_others;
	uint64_t not_tried; /* STATUS_WANTED */
};

int status_create(struct status **out);
/* For tests: alloc returns zeroed memory for free(), or NULL. */
int status_create_with(void *(*alloc)(size_t bytes), struct status **out);
void status_destroy(struct status *status);

/*
 * The range must be added before results are set in it. Multiples of 512 pages, below 2^47.
 * Quickest in rising order. -EEXIST: overlaps another; -EINVAL; -ENOMEM.
 */
int status_add_range(struct status *status, uint64_t gfn, uint64_t pages);

/*
 * Before a block is claimed: reserve what its results may need. Until status_finish(), setting
 * results within this block cannot fail. -ENOMEM; -EFAULT: no such range.
 */
int status_prepare(struct status *status, uint64_t block_gfn);
void status_finish(struct status *status, uint64_t block_gfn);

/*
 * Set the result of pages, of any number of blocks. -EFAULT: not all in ranges, -EINVAL: result or
 * pages, or the status has ended: nothing changed. -ENOMEM: some may be set; never in a block that is
 * prepared.
 */
int status_set(struct status *status, uint64_t gfn, uint64_t pages, int result);

/* STATUS_BY_OTHERS(node) reads as the node; a gfn outside all ranges as -EFAULT. */
void status_get(struct status *status, uint64_t gfn, size_t pages, int *result);
/* Have all pages of the block this one result? At a cost that is independent of them; false also when they are not known to. */
bool status_block_is(struct status *status, uint64_t block_gfn, int result);
void status_sum(struct status *status, struct status_sum *sum);
/*
 * Remaining pages by errno, most first; returns how many kinds, at most max. They are all of
 * status_sum.remaining, but for kinds beyond max.
 */
unsigned int status_count_remaining(struct status *status, struct gmig_remaining *remaining,
				    unsigned int max);
/* Does any page of the block have a result of -EAGAIN or -EBUSY (worth another pass)? */
bool status_block_wants_retry(struct status *status, uint64_t gfn);

/*
 * The job has ended: nobody sets results any more. Squeezes them into runs of pages with one result.
 * Where they are too many, only reasons are kept, from the lowest gfn up as far as there is room; all
 * other pages read as STATUS_NOT_KEPT. The sums stay exact. Without memory for the runs none is kept.
 */
void status_end(struct status *status);
/* Remaining pages whose reason was not kept by status_end(). */
uint64_t status_forgotten(struct status *status);

#endif
