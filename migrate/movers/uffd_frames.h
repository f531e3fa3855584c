/*
 * What the mover `uffd` does around a move: frames for the target, an empty slot for what leaves, the
 * pre-zeroing thread, and the table's view of a block that is huge no more.
 *
 * Called by job threads and workers as mover.h says.
 */
#ifndef GMIG_UFFD_FRAMES_H
#define GMIG_UFFD_FRAMES_H

#include "mover.h"

int uffd_frames_begin(struct mover_job *job, struct gmig_error *err);
void uffd_frames_end(struct mover_job *job);
unsigned int uffd_frames_workers(struct mover_job *job);
int uffd_frames_worker_begin(struct mover_worker *worker);
void uffd_frames_worker_end(struct mover_worker *worker);
/* Mode LAZY: for taking out only. */
int uffd_frames_prepare(struct mover_worker *worker, struct mover_ticket *ticket);
/* Mode LAZY, once it was touched: what else it takes. -ENOMEM, -EAGAIN. */
int uffd_frames_bring(struct mover_worker *worker, struct mover_ticket *ticket);
/* The claimed huge page moves as small ones. -ENOMEM: it stays as it was. */
int uffd_frames_demote(struct mover_worker *worker, struct mover_ticket *ticket);
/* After -EEXIST from a move out of the slot: how many pages from `page` of the block on are in the region, by that move. */
unsigned int uffd_frames_moved(const struct mover_ticket *ticket, const struct slot *slot,
			       unsigned int page, unsigned int count);
void uffd_frames_finish(struct mover_worker *worker, struct mover_ticket *ticket);

#endif
