/*
 * Histogram of durations, 32 buckets to a doubling (3% wide), fixed size. One thread owns it.
 */
#ifndef AGENT_HIST_H
#define AGENT_HIST_H

#include <stdint.h>

#define AGENT_HIST_BITS	   5
#define AGENT_HIST_BUCKETS ((64 - AGENT_HIST_BITS + 1) << AGENT_HIST_BITS)

struct agent_hist {
	uint64_t count, sum_ns, max_ns;
	uint64_t bucket[AGENT_HIST_BUCKETS];
};

void agent_hist_record(struct agent_hist *hist, uint64_t ns);
/* The upper end of the bucket in which the quantile (0..1) lies, never over the longest; 0 when
 * empty. */
uint64_t agent_hist_quantile(const struct agent_hist *hist, double quantile);
/* How many lasted from 2^octave ns to under twice that, 0 to 63; 0 and 1 ns are in octave 0. */
uint64_t agent_hist_octave(const struct agent_hist *hist, unsigned int octave);

#endif
