/*
 * Histogram of durations: log-linear buckets (64 to the octave: 1.6% error), fixed size, no
 * allocation. Any thread may record (relaxed atomic adds); a summary taken meanwhile is some recent
 * moment's. The idea of log-linear buckets is HdrHistogram's (Gil Tene).
 */
#ifndef GMIG_HIST_H
#define GMIG_HIST_H

#include "../gmig.h"

#define HIST_SUB_BITS 6
#define HIST_BUCKETS  ((64 - HIST_SUB_BITS + 1) << HIST_SUB_BITS)

struct hist {
	uint64_t max_ns;	       /* atomic */
	uint64_t bucket[HIST_BUCKETS]; /* atomic */
};

/* Also: zeroed memory is an empty histogram. While nobody records. */
void hist_reset(struct hist *hist);
void hist_record(struct hist *hist, uint64_t ns);
/*
 * The smallest recorded value v such that a share of at least `quantile` (0..1) of the values is
 * <= v, rounded up to the end of its bucket (exact below 128, else at most 1/64 too much), never
 * over max. 0 when empty.
 */
uint64_t hist_quantile_ns(const struct hist *hist, double quantile);
/* Values that are longer, but for those in the bucket of ns itself (1/64 of it). */
uint64_t hist_count_over(const struct hist *hist, uint64_t ns);
/* The percentiles are those of exactly `count` values. Takes 30 KiB of stack, some 10 us. */
void hist_summary(const struct hist *hist, struct gmig_percentiles *out);
/* Bounds and count of bucket i, for printing; false for an empty bucket or i out of range. */
bool hist_bucket(const struct hist *hist, unsigned int i, uint64_t *low_ns, uint64_t *high_ns,
		 uint64_t *count);

#endif
