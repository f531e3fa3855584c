/*
 * One result a page, as move_pages(2) gives them, kept for a job: a node number >= 0 or -errno.
 * Compact: a block whose pages all have one result costs 2 bytes. Writers: the worker that owns the
 * block; guarded by a lock inside.
 */
#ifndef GMIG_STATUS_H
#define GMIG_STATUS_H

#include "../gmig.h"

#define STATUS_NOT_TRIED (-4095) /* takes no part in the job: what every page starts with */

struct status;

int status_create(struct status **out);
void status_destroy(struct status *status);
/* The range must be added before results are set in it. Multiples of 512 pages. */
int status_add_range(struct status *status, uint64_t gfn, uint64_t pages);
/*
 * Set the result of pages within one block. -ENOMEM: nothing changed. -EFAULT: no such range.
 * -EINVAL: result or pages.
 */
int status_set(struct status *status, uint64_t gfn, unsigned int pages, int result);
/* -EFAULT in *result for a gfn outside. */
void status_get(struct status *status, uint64_t gfn, size_t pages, int *result);
/*
 * Pages by -errno, most first; returns how many kinds (at most max). Pages that are not tried
 * or moved are left out.
 */
unsigned int status_count_remaining(struct status *status, struct gmig_remaining *left,
				    unsigned int max);
/* Does any page of the block have a result of -EAGAIN or -EBUSY (worth another pass)? */
bool status_block_wants_retry(struct status *status, uint64_t gfn);

#endif
