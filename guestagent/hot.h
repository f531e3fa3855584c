/*
 * Which of the guest's memory is hot: how a scan is done, and what comes of it, in runs of blocks of
 * 2 MiB by guest-physical address. Pure; any thread.
 */
#ifndef AGENT_HOT_H
#define AGENT_HOT_H

#include "damon.h"

#include <stdbool.h>

/* Looks at regions in a second, all together: each takes some 0.5 to 3 us of CPU time. */
#define AGENT_HOT_RATE	  4000u
#define AGENT_HOT_PPM	  1000000u
#define AGENT_HOT_REGIONS 2048u /* and blocks that have one each, at most */

/* Blocks one behind the other that are used alike. */
struct agent_hot_run {
	uint64_t block, count;
	uint32_t share_ppm; /* of the looks at them that found them used, in millionths */
};

struct agent_hot_scan {
	struct agent_damon damon;
	uint64_t
	    wait_us; /* from its start until it is asked: near the end of an aggregation, for which the answer waits */
	uint64_t looks; /* at each region, in an aggregation */
	bool exact;	/* each block is a region of its own */
};

/*
 * For damon.range. A guest with up to AGENT_HOT_REGIONS blocks has each looked at by itself. Of a larger one DAMON finds the
 * borders between what is used differently, in at least three aggregations; that may take longer than asked for. In either case the
 * answer takes one aggregation more: Linux up to 6.13 hands it out at the end of the next one.
 */
void agent_hot_plan(struct agent_hot_scan *scan, uint64_t seconds);

/* seen: in the order of addresses. runs has room for 2 * count + 1. Of a block with parts of several regions the hottest counts. Returns how many. */
size_t agent_hot_runs(const struct agent_damon_seen *seen, size_t count, uint64_t looks,
		      struct agent_hot_run *runs);

#endif
