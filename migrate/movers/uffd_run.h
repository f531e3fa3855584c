/* Inside of mover `uffd`: what one call of it works on. */
#ifndef GMIG_UFFD_RUN_H
#define GMIG_UFFD_RUN_H

#include "../core/hist.h"
#include "../memory/frame.h"
#include "../memory/region.h"
#include "mover.h"

/* A ticket with what it takes to carry it out. */
struct request {
	struct gmig *gmig;
	struct claim *claim;
	const struct region *region;
	uint64_t block_gfn;
	enum gmig_mode mode;
	unsigned int batch_pages; /* small pages that are out of reach together; 0: our choice */
	unsigned int run_pages;	  /* that are out of reach together; 0: all that can be */
	unsigned int first_page;  /* begin with this one */
	bool hold_vcpus;	  /* while small pages are exchanged */
	bool huge;
	struct bits pages;
	struct slot *target; /* has those pages */
	struct slot *source; /* has none: they are moved out into it */
	/* Of the job; recorded beside the engine's. */
	struct hist *blackout_read, *blackout_write, *stall;
};

struct run {
	const struct request *request;
	struct mover_ticket *result;
	unsigned int first, count;
	int uffd;		      /* the vnode's */
	uint64_t write_blackout_from; /* when the right to write was taken, 0 = not */
};

static inline uint64_t run_now(const struct run *run)
{
	return run->request->gmig->sys->now_ns();
}

static inline uint8_t *run_region(const struct run *run)
{
	return region_hva(run->request->region, run->request->block_gfn + run->first);
}

static inline uint8_t *run_at(const struct run *run, const struct slot *slot)
{
	return slot->hva + run->first * GMIG_PAGE_BYTES;
}

#endif
