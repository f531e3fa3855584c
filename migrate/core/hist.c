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

static void raise_max(struct hist *hist, uint64_t ns)
{
	uint64_t max = __atomic_load_n(&hist->max_ns, __ATOMIC_RELAXED);

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
	/* Release: who sees the value in its bucket sees a maximum that is not below it. Pairs with
	 * the acquire in snapshot_take(). */
	__atomic_fetch_add(&hist->bucket[bucket_of(ns)], 1, __ATOMIC_RELEASE);
}

/*
 * The buckets as they were read once. All numbers of a summary come from one, so that they agree with
 * each other however many values are recorded meanwhile.
 */
struct snapshot {
	uint64_t count, max_ns;
	uint64_t bucket[HIST_BUCKETS];
};

static void snapshot_take(const struct hist *hist, struct snapshot *snapshot)
{
	snapshot->count = 0;
	for (unsigned int i = 0; i < HIST_BUCKETS; i++) {
		snapshot->bucket[i] = __atomic_load_n(&hist->bucket[i], __ATOMIC_ACQUIRE);
		snapshot->count += snapshot->bucket[i];
	}
	/* A maximum whose value is not in the buckets yet is left out, when there is nothing else. */
	snapshot->max_ns = snapshot->count ? __atomic_load_n(&hist->max_ns, __ATOMIC_RELAXED) : 0;
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
static void quantiles(const struct snapshot *snapshot, const double *wanted, uint64_t *out,
		      unsigned int n)
{
	uint64_t seen = 0, high;
	unsigned int q = 0;

	for (unsigned int i = 0; i < HIST_BUCKETS && q < n && snapshot->count; i++) {
		seen += snapshot->bucket[i];
		high = bucket_high(i);
		while (q < n && seen >= rank_of(wanted[q], snapshot->count))
			out[q++] = high < snapshot->max_ns ? high : snapshot->max_ns;
	}
	while (q < n)
		out[q++] = 0;
}

uint64_t hist_count_over(const struct hist *hist, uint64_t ns)
{
	uint64_t count = 0;

	for (unsigned int i = bucket_of(ns) + 1; i < HIST_BUCKETS; i++)
		count += __atomic_load_n(&hist->bucket[i], __ATOMIC_RELAXED);
	return count;
}

uint64_t hist_quantile_ns(const struct hist *hist, double quantile)
{
	struct snapshot snapshot;
	uint64_t ns;

	snapshot_take(hist, &snapshot);
	quantiles(&snapshot, &quantile, &ns, 1);
	return ns;
}

void hist_summary(const struct hist *hist, struct gmig_percentiles *out)
{
	static const double wanted[] = {0.5, 0.99, 0.999};
	struct snapshot snapshot;
	uint64_t ns[3];

	snapshot_take(hist, &snapshot);
	quantiles(&snapshot, wanted, ns, 3);
	*out = (struct gmig_percentiles){.count = snapshot.count,
					 .p50_ns = ns[0],
					 .p99_ns = ns[1],
					 .p999_ns = ns[2],
					 .max_ns = snapshot.max_ns};
}

bool hist_bucket(const struct hist *hist, unsigned int i, uint64_t *low_ns, uint64_t *high_ns,
		 uint64_t *count)
{
	uint64_t seen;

	if (i >= HIST_BUCKETS)
		return false;
	seen = __atomic_load_n(&hist->bucket[i], __ATOMIC_RELAXED);
	if (!seen)
		return false;
	*low_ns = bucket_low(i);
	*high_ns = bucket_high(i);
	*count = seen;
	return true;
}
