/*
 * A mover takes claimed pages of one block from the frames they are in to others. The backends are
 * constant tables of functions, listed in mover_all[].
 *
 * Runs on a copy worker, which holds engine.gate for reading and owns the claimed entries and both
 * slots. The mover takes no lock; it changes no shadow entry. Whatever happens, on return each page
 * is accessible and not write-protected in the region: on its target frame (moved), on its old one
 * (the rest), or absent (gone) - unless `lost` is set, when a putback was not possible: the block
 * then stays closed.
 */
#ifndef GMIG_MOVER_H
#define GMIG_MOVER_H

#include "../memory/engine.h"
#include "../memory/frame.h"

struct mover_request {
	struct gmig *gmig;
	struct region *region;
	uint64_t block_gfn;
	enum gmig_mode mode;
	unsigned int
	    batch_pages;     /* small pages that are out of reach together; 0: mover's choice */
	bool huge;	     /* the whole block as one 2M page */
	struct bits pages;   /* which pages; huge: all */
	struct slot *target; /* has those pages */
	struct slot *source; /* has none: they are moved out into it */
	struct hist *blackout_read, *blackout_write; /* of the job; recorded beside the engine's */
};

struct mover_result {
	struct bits moved;
	struct bits gone; /* a hole or the shared zero page: nothing to move, discarded */
	bool lost;
	uint64_t blackout_read_ns, blackout_write_ns; /* longest time that a right was away */
	bool split;			 /* the kernel shows the block no longer as one huge page */
	int16_t error[GMIG_BLOCK_PAGES]; /* -errno of each page that stayed */
};

struct mover {
	const char *name;
	/* result is zeroed. The slots' `have` follow what was moved. */
	void (*move)(const struct mover_request *request, struct mover_result *result);
};

extern const struct mover mover_uffd;
extern const struct mover *const mover_all[]; /* ends with NULL */
/* NULL or "" is the default. NULL result: no such mover. */
const struct mover *mover_find(const char *name);

#endif
