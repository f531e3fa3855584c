#include "hist.h"

#include <string.h>

#define SUB_COUNT (1u << HIST_SUB_BITS)

/* Values below SUB_COUNT have a bucket each; above, each octave has SUB_COUNT buckets of equal
 * width. */
static unsigned int bucket_of(uint64_t ns)
{
	unsigned int shift;

	if (ns < SUB_COUNT)
		return (unsigned int)ns;
	shift = 63 - (unsigned int)__builtin_clzll(ns) - HIST_SUB_BITS;
	return (shift << HIST_SUB_BITS) + (unsigned int)(ns >> shift);
}

static uint64_t bucket_low(unsigned int i)
{
	unsigned int shift;

	if (i < SUB_COUNT)
		return i;
	shift = (i >> HIST_SUB_BITS) - 1;
	return (uint64_t)(SUB_COUNT + (i & (SUB_COUNT - 1))) << shift;
}

static uint64_t bucket_high(unsigned int i)
{
	return i + 1 < HIST_BUCKETS ? bucket_low(i + 1) - 1 : UINT64_MAX;
}

static uint64_t load(const uint64_t *value)
{
	return __atomic_load_n(value, __ATOMIC_RELAXED);
}

static void raise_max(struct hist *hist, uint64_t ns)
{
	uint64_t max = load(&hist->max_ns);

	while (ns > max && !__atomic_compare_exchange_n(&hist->max_ns, &max, ns, true,
							__ATOMIC_RELAXED, __ATOMIC_RELAXED))
		;
}

void hist_reset(struct hist *hist)
{
	memset(hist, 0, sizeof(*hist));
}

void hist_record(struct hist *hist, uint64_t ns)
{
	raise_max(hist, ns);
	__atomic_fetch_add(&hist->bucket[bucket_of(ns)], 1, __ATOMIC_RELAXED);
	__atomic_fetch_add(&hist->count, 1, __ATOMIC_RELAXED);
}

void hist_merge(struct hist *into, const struct hist *from)
{
	uint64_t count, sum = 0;

	/* The sum of what was seen in the buckets, not from->count: values recorded meanwhile must
	 * not split. */
	raise_max(into, load(&from->max_ns));
	for (unsigned int i = 0; i < HIST_BUCKETS; i++) {
		count = load(&from->bucket[i]);
		if (!count)
			continue;
		__atomic_fetch_add(&into->bucket[i], count, __ATOMIC_RELAXED);
		sum += count;
	}
	__atomic_fetch_add(&into->count, sum, __ATOMIC_RELAXED);
	/* A value that came between the first look at the maximum and its bucket. */
	raise_max(into, load(&from->max_ns));
}

static uint64_t count_buckets(const struct hist *hist)
{
	uint64_t sum = 0;

	for (unsigned int i = 0; i < HIST_BUCKETS; i++)
		sum += load(&hist->bucket[i]);
	return sum;
}

/* How many of `count` values make up the share: rounded up, at least one, never all but by asking
 * for 1. */
static uint64_t rank_of(double quantile, uint64_t count)
{
	double exact = quantile * (double)count;
	uint64_t rank;

	if (!(quantile > 0))
		return 1;
	if (quantile >= 1)
		return count;
	rank = (uint64_t)exact;
	if ((double)rank < exact)
		rank++;
	return rank < 1 ? 1 : rank > count ? count : rank;
}

/* One pass for several quantiles, in rising order. */
static void quantiles(const struct hist *hist, const double *wanted, uint64_t *out, unsigned int n)
{
	uint64_t count = count_buckets(hist), max = load(&hist->max_ns), seen = 0, high;
	unsigned int q = 0;

	for (unsigned int i = 0; i < HIST_BUCKETS && q < n && count; i++) {
		seen += load(&hist->bucket[i]);
		high = bucket_high(i);
		while (q < n && seen >= rank_of(wanted[q], count))
			out[q++] = high < max ? high : max;
	}
	while (q < n)
		out[q++] = count ? max : 0;
}

uint64_t hist_quantile_ns(const struct hist *hist, double quantile)
{
	uint64_t ns;

	quantiles(hist, &quantile, &ns, 1);
	return ns;
}

void hist_summary(const struct hist *hist, struct gmig_percentiles *out)
{
	static const double wanted[] = {0.5, 0.99, 0.999};
	uint64_t ns[3];

	quantiles(hist, wanted, ns, 3);
	out->count = load(&hist->count);
	out->p50_ns = ns[0];
	out->p99_ns = ns[1];
	out->p999_ns = ns[2];
	out->max_ns = load(&hist->max_ns);
}

bool hist_bucket(const struct hist *hist, unsigned int i, uint64_t *low_ns, uint64_t *high_ns,
		 uint64_t *count)
{
	uint64_t seen;

	if (i >= HIST_BUCKETS)
		return false;
	seen = load(&hist->bucket[i]);
	if (!seen)
		return false;
	*low_ns = bucket_low(i);
	*high_ns = bucket_high(i);
	*count = seen;
	return true;
}
