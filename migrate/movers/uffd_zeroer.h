/*
 * The pre-zeroing thread of a copy worker: it has the kernel zero the next frames ahead of the blackout,
 * and gives back what the pools hold above their watermark. Without it a move is right, and slower.
 */
#ifndef GMIG_UFFD_ZEROER_H
#define GMIG_UFFD_ZEROER_H

#include "mover.h"

struct uffd_zeroer;

/* index: of the worker's pools. NULL: recycled frames need no preallocation, or no thread could be had, or there is no memory for it. */
struct uffd_zeroer *uffd_zeroer_start(struct mover_job *job, unsigned int index);
/* Ends the thread. NULL is legal. */
void uffd_zeroer_stop(struct uffd_zeroer *zeroer);
/* The worker goes from node `from` to `to` now; full: `to` had no frame. */
void uffd_zeroer_wake(struct uffd_zeroer *zeroer, unsigned int from, unsigned int to, bool full);

#endif
