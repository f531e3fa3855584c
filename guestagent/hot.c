/* Hot memory, see hot.h. */
#include "hot.h"
#include "sys.h"

#define SECOND_US     1000000ull
#define MIN_SAMPLE_US 5000u
#define MIN_LOOKS     10u
#define LARGE_MIN                                                                                  \
	100u /* regions of a large guest: as many may become one, and make room elsewhere */
#define LARGE_ROUNDS 3u

static uint64_t bytes_of(const struct agent_damon *damon)
{
	uint64_t bytes = 0;

	for (size_t i = 0; i < damon->ranges; i++)
		bytes += damon->range[i].end - damon->range[i].start;
	return bytes;
}

/* DAMON splits no region while it has more than half of the most that are allowed, and joins none to more than the total divided by
 * the fewest: blocks stay as they are. */
static void plan_small(struct agent_damon *damon, uint64_t blocks)
{
	damon->piece_bytes = AGENT_HUGE_BYTES;
	damon->min_regions = blocks > 3 ? (uint32_t)blocks : 3;
	damon->max_regions = blocks > 3 ? 2 * (uint32_t)blocks - 1 : 5;
}

/* A range's last piece may be smaller: so that all of them are no more than half of the most. */
static void plan_large(struct agent_damon *damon, uint64_t bytes)
{
	uint64_t pieces = AGENT_HOT_REGIONS / 2 - damon->ranges;

	damon->piece_bytes = (bytes / pieces / AGENT_HUGE_BYTES + 1) * AGENT_HUGE_BYTES;
	damon->min_regions = LARGE_MIN;
	damon->max_regions = AGENT_HOT_REGIONS;
}

void agent_hot_plan(struct agent_hot_scan *scan, uint64_t seconds)
{
	struct agent_damon *damon = &scan->damon;
	uint64_t bytes = bytes_of(damon), blocks = bytes / AGENT_HUGE_BYTES, rounds, regions,
		 least_us;

	scan->exact = blocks <= AGENT_HOT_REGIONS;
	if (scan->exact)
		plan_small(damon, blocks);
	else
		plan_large(damon, bytes);
	regions = scan->exact ? blocks : AGENT_HOT_REGIONS;
	damon->sample_us = regions * SECOND_US / AGENT_HOT_RATE;
	if (damon->sample_us < MIN_SAMPLE_US)
		damon->sample_us = MIN_SAMPLE_US;
	least_us = damon->sample_us * MIN_LOOKS;
	rounds = scan->exact ? 1 : LARGE_ROUNDS;
	damon->aggr_us = seconds * SECOND_US / (rounds + 1);
	if (damon->aggr_us < least_us)
		damon->aggr_us = least_us;
	scan->looks = damon->aggr_us / damon->sample_us;
	damon->aggr_us = scan->looks * damon->sample_us;
	scan->wait_us = damon->aggr_us * rounds - damon->aggr_us / 5;
}

static uint32_t share_of(uint64_t hits, uint64_t looks)
{
	return hits >= looks ? AGENT_HOT_PPM : (uint32_t)(hits * AGENT_HOT_PPM / looks);
}

/* Behind the last run, which may be of the same heat. */
static size_t add_run(struct agent_hot_run *runs, size_t count, struct agent_hot_run run)
{
	struct agent_hot_run *last = count ? &runs[count - 1] : NULL;

	if (!run.count)
		return count;
	if (last && last->share_ppm == run.share_ppm && last->block + last->count == run.block)
		last->count += run.count;
	else
		runs[count++] = run;
	return count;
}

size_t agent_hot_runs(const struct agent_damon_seen *seen, size_t count, uint64_t looks,
		      struct agent_hot_run *runs)
{
	size_t made = 0;

	for (size_t i = 0; i < count; i++) {
		uint64_t first = seen[i].start / AGENT_HUGE_BYTES;
		uint64_t end = (seen[i].end + AGENT_HUGE_BYTES - 1) / AGENT_HUGE_BYTES;
		struct agent_hot_run run = {.share_ppm = share_of(seen[i].hits, looks)};
		struct agent_hot_run *last = made ? &runs[made - 1] : NULL;
		uint64_t taken = last ? last->block + last->count : 0;

		/* The block that the region before has begun. */
		if (last && first < taken) {
			first = taken - 1;
			if (run.share_ppm <= last->share_ppm)
				first = taken;
			else if (!--last->count)
				made--;
		}
		run.block = first;
		run.count = end > first ? end - first : 0;
		made = add_run(runs, made, run);
	}
	return made;
}
