/*
 * Guests that are too big to have: shadow table and engine are real, the memory behind them is not
 * there (ghost.h). No KVM. Times are CPU time of the thread that did the work, so that others on the
 * machine do not count, but for what somebody waits for. One thread calls; readers and the writer
 * are threads of its own.
 */
#ifndef BENCH_SCALE_H
#define BENCH_SCALE_H

#include "ghost.h"

#include <stdbool.h>
#include <stdint.h>

#define SCALE_MAX_READERS 8

/* Lookups by that many readers at once, and what the writer changed meanwhile. */
struct scale_lookups {
	unsigned int readers;
	bool writer;
	double sequential_per_second, random_per_second; /* of CPU time, all readers' together */
	double sequential_ns, random_ns;		 /* median over runs of 20,000 */
	double changes_per_second; /* of the writer's CPU time; NAN without one */
};

#define SCALE_LOOKUPS 5

struct scale_result {
	uint64_t guest_bytes;
	bool small; /* 4K leaves, else 2M */
	uint64_t table_bytes;
	double build_seconds;
	struct ghost_waits waits;
	struct scale_lookups lookups[SCALE_LOOKUPS];
};

/*
 * Build the table of a full guest on node 0, see what waits for what, then
 * look up for `milliseconds` per figure. -ENOMEM; -EIO when a lookup finds what nobody wrote.
 */
int scale_measure(uint64_t guest_bytes, bool small, unsigned int milliseconds,
		  struct scale_result *result, struct gmig_error *err);
/* Bytes that the table of such a guest takes, about: to know whether there is room. */
uint64_t scale_need_bytes(uint64_t guest_bytes, bool small);

#endif
