/*
 * Shadow tables of guests that are too big to have: the table is real, the memory behind it is not
 * there. No engine, no guest, no KVM. Times are CPU time of the thread that did the work, so that
 * others on the machine do not count. One thread calls; readers and the writer are threads of its
 * own.
 */
#ifndef BENCH_SCALE_H
#define BENCH_SCALE_H

#include "../../migrate/gmig_error.h"

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
	double build_seconds, plan_seconds, residency_seconds;
	uint64_t plan_blocks;
	struct scale_lookups lookups[SCALE_LOOKUPS];
};

/*
 * Build the table of a full guest on node 0, plan to move all of it, count what lies where, then
 * look up for `milliseconds` per figure. -ENOMEM; -EIO when a lookup finds what nobody wrote.
 */
int scale_measure(uint64_t guest_bytes, bool small, unsigned int milliseconds,
		  struct scale_result *result, struct gmig_error *err);
/* Bytes that the table of such a guest takes, about: to know whether there is room. */
uint64_t scale_need_bytes(uint64_t guest_bytes, bool small);

#endif
