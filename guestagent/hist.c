/* Histogram, see hist.h. */
#include "hist.h"

/* Values below 64 have buckets of their own; above, the bits under the highest one choose. */
static unsigned int bucket_of(uint64_t ns)
{
	unsigned int shift;

	if (ns >> (AGENT_HIST_BITS + 1) == 0)
		return (unsigned int)ns;
	shift = 63u - (unsigned int)__builtin_clzll(ns) - AGENT_HIST_BITS;
	return (shift << AGENT_HIST_BITS) + (unsigned int)(ns >> shift);
}

static uint64_t bucket_end(unsigned int bucket)
{
	unsigned int shift;

	if (bucket < 2u << AGENT_HIST_BITS)
		return bucket;
	shift = (bucket >> AGENT_HIST_BITS) - 1;
	return ((uint64_t)(bucket - (shift << AGENT_HIST_BITS)) << shift) + ((1ull << shift) - 1);
}

void agent_hist_record(struct agent_hist *hist, uint64_t ns)
{
	hist->bucket[bucket_of(ns)]++;
	hist->count++;
	hist->sum_ns += ns;
	if (ns > hist->max_ns)
		hist->max_ns = ns;
}

uint64_t agent_hist_quantile(const struct agent_hist *hist, double quantile)
{
	uint64_t seen = 0;

	for (unsigned int i = 0; i < AGENT_HIST_BUCKETS; i++) {
		seen += hist->bucket[i];
		if (seen && (double)seen >= quantile * (double)hist->count)
			return bucket_end(i) < hist->max_ns ? bucket_end(i) : hist->max_ns;
	}
	return hist->max_ns;
}

uint64_t agent_hist_octave(const struct agent_hist *hist, unsigned int octave)
{
	unsigned int first = octave ? bucket_of(1ull << octave) : 0;
	unsigned int end = octave < 63 ? bucket_of(2ull << octave) : AGENT_HIST_BUCKETS;
	uint64_t count = 0;

	for (unsigned int i = first; i < end; i++)
		count += hist->bucket[i];
	return count;
}
