/*
 * The one table that says which mover moves which kind of memory in which mode. A combination that is
 * not in it is refused with -EINVAL, in words, before a job is made.
 */
#ifndef GMIG_LEGAL_H
#define GMIG_LEGAL_H

#include "../memory/region.h"
#include "mover.h"

struct legal {
	const char *kind; /* a region's kind, or "process" */
	const char *mover;
	unsigned int modes; /* bit m: enum gmig_mode m */
};

extern const struct legal legal_all[]; /* ends with a kind of NULL */

/* In any mode. */
bool legal_moves(const char *kind, const struct mover *mover);
/* Its blocks go through frames of ours: whoever takes them out, or puts them into other frames, can. */
bool legal_by_frames(const struct region_kind *kind);
/* kind: of one part of the memory. 0, or -EINVAL and a sentence that says what would do. */
int legal_check(const char *kind, const struct mover *mover, enum gmig_mode mode,
		struct gmig_error *err);

#endif
