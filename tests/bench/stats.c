#include "stats.h"

#include <errno.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static int compare_doubles(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return (x > y) - (x < y);
}

void stats_sort(double *values, size_t count)
{
	qsort(values, count, sizeof(*values), compare_doubles);
}

/* Copies what is not NAN, ascending; returns how many. */
static size_t sorted_copy(const double *values, size_t count, double *sorted)
{
	size_t kept = 0;

	for (size_t i = 0; i < count; i++)
		if (!isnan(values[i]))
			sorted[kept++] = values[i];
	stats_sort(sorted, kept);
	return kept;
}

double stats_quantile(const double *sorted, size_t count, double quantile)
{
	double at = quantile * (double)(count - 1);
	size_t below = (size_t)at;

	if (!count)
		return NAN;
	if (below + 1 >= count)
		return sorted[count - 1];
	return sorted[below] + (at - (double)below) * (sorted[below + 1] - sorted[below]);
}

int stats_summarize(const double *values, size_t count, struct stats_summary *out)
{
	double sorted[STATS_MAX];

	if (count > STATS_MAX)
		return -ERANGE;
	out->count = sorted_copy(values, count, sorted);
	out->median = stats_quantile(sorted, out->count, 0.5);
	out->q1 = stats_quantile(sorted, out->count, 0.25);
	out->q3 = stats_quantile(sorted, out->count, 0.75);
	out->min = out->count ? sorted[0] : NAN;
	out->max = out->count ? sorted[out->count - 1] : NAN;
	return 0;
}

double stats_spread(const struct stats_summary *summary)
{
	if (!summary->count || summary->median == 0)
		return 0;
	return (summary->q3 - summary->q1) / fabs(summary->median);
}

/* Probability that at most k of n fair coins show heads; by logarithms, so that n = 1024 does not underflow. */
static double binomial_tail(size_t n, size_t k)
{
	double sum = 0;

	for (size_t i = 0; i <= k; i++)
		sum += exp(lgamma((double)n + 1) - lgamma((double)i + 1) -
			   lgamma((double)(n - i) + 1) - (double)n * log(2));
	return sum;
}

double stats_median_interval(const double *values, size_t count, double confidence, double *low,
			     double *high)
{
	double sorted[STATS_MAX], reached;
	size_t skip = 0;

	*low = *high = NAN;
	if (count > STATS_MAX)
		return 0;
	count = sorted_copy(values, count, sorted);
	if (!count)
		return 0;
	/* Leaving out `skip` values at each end misses the median when at most `skip` values lie on one side of it. */
	reached = 1 - 2 * binomial_tail(count, 0);
	while (2 * (skip + 2) <= count) {
		double next = 1 - 2 * binomial_tail(count, skip + 1);

		if (next < confidence)
			break;
		reached = next;
		skip++;
	}
	*low = sorted[skip];
	*high = sorted[count - 1 - skip];
	return reached < 0 ? 0 : reached;
}

__attribute__((format(printf, 2, 3))) static void add_reason(struct noise_verdict *verdict,
							     const char *format, ...)
{
	va_list args;

	va_start(args, format);
	vsnprintf(verdict->why[verdict->count], sizeof(verdict->why[0]), format, args);
	va_end(args);
	verdict->count++;
	verdict->noisy = true;
}

void noise_judge(const struct noise_input *input, struct noise_verdict *verdict)
{
	memset(verdict, 0, sizeof(*verdict));
	if (input->lab)
		add_reason(verdict, "this is the lab, an emulated machine: its seconds, and so its "
				    "GB/s, hold nowhere else");
	if (input->worst_spread > NOISE_MAX_SPREAD)
		add_reason(verdict,
			   "repetitions of '%s' lie %.0f%% apart (quartiles over median; %.0f%% is "
			   "the limit)",
			   input->worst_name ? input->worst_name : "?", input->worst_spread * 100,
			   NOISE_MAX_SPREAD * 100);
	if (input->foreign_cpu_share > NOISE_MAX_FOREIGN)
		add_reason(verdict,
			   "other processes took %.1f%% of the CPU time (%.0f%% is the limit)",
			   input->foreign_cpu_share * 100, NOISE_MAX_FOREIGN * 100);
	if (input->steal_share > NOISE_MAX_STEAL)
		add_reason(verdict,
			   "the hypervisor below took %.1f%% of the CPU time (%.0f%% is the limit)",
			   input->steal_share * 100, NOISE_MAX_STEAL * 100);
}
