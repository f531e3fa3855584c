/*
 * Memory that no job may move, as somebody has declared it: what VM_DONTMIGRATE was for a mapping. Whole blocks, and of memory in
 * pages of 1 GiB whole pages.
 *
 * A claim asks under its stripe's lock (fixed_is() in claim_take()), so that whoever has declared a block and then held that
 * lock once knows of every claim that did not see it. A job asks before it tries, to say -EPERM instead of trying.
 *
 * Kept as bindings.h keeps policies: readers never wait.
 */
#ifndef GMIG_FIXED_H
#define GMIG_FIXED_H

#include "engine.h"

/* Nothing is fixed. -ENOMEM. */
int fixed_create(struct bindings **out);

bool fixed_is(const struct gmig *gmig, uint64_t gfn);
/* Of gfn..gfn+pages; whatever of it is memory. */
uint64_t fixed_pages(const struct gmig *gmig, uint64_t gfn, uint64_t pages);

/*
 * From now on nothing begins to move there, or all may move again. Ends with -EAGAIN, and the block, if something that had begun
 * before is not through after some seconds; nothing new begins all the same. -ENOMEM: nothing has changed.
 */
int fixed_set(struct gmig *gmig, uint64_t gfn, uint64_t pages, bool fixed, struct gmig_error *err);

#endif
