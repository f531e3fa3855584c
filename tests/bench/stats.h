/*
 * Statistics of small samples: medians, quartiles, intervals, and the verdict on noise. Pure, no allocation that outlives
 * a call; any thread. NAN in a sample means "not measured" and is left out.
 */
#ifndef BENCH_STATS_H
#define BENCH_STATS_H

#include <stdbool.h>
#include <stddef.h>

#define STATS_MAX 1024 /* values in one sample; more are refused */

struct stats_summary {
	size_t count;			 /* values that are not NAN */
	double median, q1, q3, min, max; /* NAN when count is 0 */
};

/* Ascending, without NAN. */
void stats_sort(double *values, size_t count);
/* Quantile of an ascending sample by linear interpolation between order statistics (Hyndman and Fan's type 7). */
double stats_quantile(const double *sorted, size_t count, double quantile);
/* -ERANGE when count > STATS_MAX. values are left as they are. */
int stats_summarize(const double *values, size_t count, struct stats_summary *out);
/* (q3 - q1) / median: how far repetitions lie apart. 0 when the median is 0 or nothing was measured. */
double stats_spread(const struct stats_summary *summary);

/*
 * Interval for the median that holds whatever the distribution: the k-th smallest to the k-th largest value, k the largest
 * for which the binomial probability of covering the median is at least `confidence`. Returns the probability reached; when
 * even the whole range does not reach it, that range and its probability (0 for no values).
 */
double stats_median_interval(const double *values, size_t count, double confidence, double *low,
			     double *high);

/* What else ran on the machine while it measured, and how far repetitions lay apart. */
struct noise_input {
	double worst_spread;	  /* the largest stats_spread of the figures that matter */
	const char *worst_name;	  /* the cell it belongs to */
	double foreign_cpu_share; /* CPU time of others / all CPU time there was */
	double steal_share;	  /* taken by the hypervisor below / all CPU time there was */
	bool lab;		  /* an emulated machine, whose clock is not its own */
};

#define NOISE_MAX_SPREAD  0.15
#define NOISE_MAX_FOREIGN 0.05
#define NOISE_MAX_STEAL	  0.02

struct noise_verdict {
	bool noisy;
	char why[4][160];
	unsigned int count;
};

void noise_judge(const struct noise_input *input, struct noise_verdict *verdict);

#endif
