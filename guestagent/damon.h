/*
 * Linux's DAMON by its sysfs files, to see which memory is used: set up, switched on, asked once and removed. Its files are
 * written by whoever may open them for writing (opener.h): agent_damon_begin() and agent_damon_end(). The rest is anybody's who
 * may read them. One user at a time; another one's DAMON is left alone.
 *
 * A region of memory is looked at page by page: at each look, was one page of it, chosen at random, used since the last one?
 *
 * Source: Linux's Documentation/admin-guide/mm/damon/usage.rst and mm/damon/design.rst.
 */
#ifndef AGENT_DAMON_H
#define AGENT_DAMON_H

#include "../migrate/gmig_error.h"

#include <stddef.h>
#include <stdint.h>

#define AGENT_DAMON_RANGES  64
#define AGENT_DAMON_REGIONS 4096 /* that it begins with, at most */
#define AGENT_DAMON_RESULTS 32768

struct agent_damon_range {
	uint64_t start, end;
};

struct agent_damon {
	struct agent_damon_range range[AGENT_DAMON_RANGES]; /* of physical memory, in order */
	int32_t pid; /* the ranges are of this process's addresses; 0: of physical memory */
	uint32_t ranges;
	uint64_t piece_bytes; /* it begins with regions of this size */
	uint64_t sample_us, aggr_us;
	uint32_t min_regions, max_regions;
};

/* What it has seen of start..end: at `hits` of the looks it was used. */
struct agent_damon_seen {
	uint64_t start, end, hits;
};

/* Is there a DAMON? -EOPNOTSUPP names what the kernel lacks. */
int agent_damon_check(struct gmig_error *err);
/* -EINVAL: numbers that cannot be, or would cost too much. */
int agent_damon_valid(const struct agent_damon *damon, struct gmig_error *err);

/*
 * Set it up; whether the process may be looked at is the caller's to say. Returns a descriptor of its file `state`, to be written to by the functions below. -EBUSY: somebody uses DAMON, or an
 * earlier agent was killed; -EOPNOTSUPP, -EACCES, -EINVAL.
 */
int agent_damon_begin(const struct agent_damon *damon, struct gmig_error *err);
/*
 * Off, its directories are gone, and the descriptor is closed. Whoever has begun holds on to it: a DAMON that somebody has set up
 * in the place of this one is left alone. Up to 90 s, while it is being asked.
 */
void agent_damon_end(int state);
/* Off, by whoever has a descriptor of it; its directories stay. -EBUSY: it is being asked; -ENODEV: it is gone; -EINVAL: it was not on. */
int agent_damon_off(int state);

/* -EBUSY: a module of DAMON's own has the memory. */
int agent_damon_on(int state, struct gmig_error *err);
/* What was seen in the last aggregation; waits until one has ended. free(*seen). -E2BIG, -ENOMEM, -EIO. */
int agent_damon_ask(int state, struct agent_damon_seen **seen, size_t *count,
		    struct gmig_error *err);
/* CPU time of its thread; 0: it has none. */
uint64_t agent_damon_cpu_ns(void);

#endif
