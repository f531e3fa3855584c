/*
 * Which blocks of 2 MiB of a process's addresses are worth a huge page: those with many small pages that are used. What is
 * known of each, in which order they are taken, and the limits. Pure; any thread.
 */
#ifndef AGENT_COMPACT_H
#define AGENT_COMPACT_H

#include "damon.h"
#include "job.h"
#include "pages.h"

#define AGENT_COMPACT_SEEN 2048u /* blocks that a job keeps in mind at most */
#define AGENT_COMPACT_MOST 512u	 /* and makes huge */

struct agent_compact_block {
	uint64_t start; /* a process's address */
	uint32_t small; /* 4K pages that are there */
	uint32_t hot;	/* of these, in use: an estimate when DAMON has looked */
	uint32_t
	    shared; /* of the whole mapping, as far as they may be here: a copy of each is new memory */
};

/*
 * For a look at these blocks, which are in order: runs of them, joined where few others lie between, as ranges for DAMON. Returns how many
 * of the blocks are within; the ranges have no room for those behind.
 */
size_t agent_compact_ranges(const struct agent_compact_block *blocks, size_t count,
			    struct agent_damon *damon);
/*
 * What was seen in so many looks, in order. A look is at one page of a region by chance, so that the share of looks that found it used is,
 * give or take, the share of the region's pages that are used within a sampling interval.
 */
void agent_compact_heat(struct agent_compact_block *blocks, size_t count,
			const struct agent_damon_seen *seen, size_t parts, uint64_t looks);
/* Those with at least so many hot pages, hottest first, then those that need least new memory. Returns how many; the others are gone. */
size_t agent_compact_choose(struct agent_compact_block *blocks, size_t count, uint32_t least);

/* In how many blocks of guest-physical memory some pages lie: equal when it is known. */
struct agent_compact_span {
	uint64_t at_least, at_most;
};
/* Of so many small pages, wherever they lie. Those that may be shared can be one page that is mapped often. */
struct agent_compact_span agent_compact_bounds(uint64_t small, uint64_t shared);

#endif
