#include "choose.h"

#include <stdlib.h>
#include <string.h>

#define FIRST		2 /* blocks that a way is tried with */
#define TRIAL		64
#define TRIALS		4 /* the last ones decide: older ones were of another load */
#define OUTLIER		3
#define PATIENCE	2 /* doublings of TRIAL */
#define TAKEN_PER_SLEPT 8 /* a moment of the guest's is worth so many of the job's */

enum { WAY_READABLE, WAY_BLOCK };

static int by_cost(const void *a, const void *b)
{
	uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

	return x < y ? -1 : x > y;
}

/* The mean of the last ones, none of which counts for more than OUTLIER times the median (the lower one of two). */
static uint64_t way_cost(const struct choose_way *way, unsigned int window)
{
	unsigned int count = way->noted < window ? (unsigned int)way->noted : window;
	uint64_t cost[CHOOSE_SAMPLES], most, sum = 0;

	if (!count)
		return 0;
	for (unsigned int i = 0; i < count; i++)
		cost[i] = way->cost[(way->noted - 1 - i) % CHOOSE_SAMPLES];
	qsort(cost, count, sizeof(cost[0]), by_cost);
	most = cost[(count - 1) / 2] * OUTLIER;
	for (unsigned int i = 0; i < count; i++)
		sum += cost[i] < most ? cost[i] : most;
	return sum / count;
}

static uint64_t current_cost(const struct choose *choose)
{
	return way_cost(&choose->way[choose->last], CHOOSE_SAMPLES);
}

/* Not for a difference that is within the noise. */
static unsigned int cheaper(const struct choose *choose)
{
	unsigned int other = !choose->last;
	uint64_t cost = current_cost(choose);

	if (choose->way[other].noted < FIRST)
		return choose->last;
	return way_cost(&choose->way[other], TRIALS) < cost - cost / 20 ? other : choose->last;
}

static bool is_trial_due(struct choose *choose)
{
	const struct choose_way *readable = &choose->way[WAY_READABLE];
	const struct choose_way *block = &choose->way[WAY_BLOCK];

	if (block->chosen < FIRST && block->chosen == block->noted && readable->noted >= FIRST &&
	    readable->with_writers * 2 > readable->noted)
		return true;
	return choose->since_trial >= (uint64_t)TRIAL << choose->patience;
}

/* By the median of the last parts in mode readable, which takes as long as block does. */
static bool block_is_late(const struct choose *choose)
{
	const struct choose_way *way = &choose->way[WAY_READABLE];
	unsigned int count =
	    way->noted < CHOOSE_SAMPLES ? (unsigned int)way->noted : CHOOSE_SAMPLES;
	uint64_t part[CHOOSE_SAMPLES];

	if (!choose->limit_ns || !count)
		return false;
	memcpy(part, way->part, count * sizeof(part[0]));
	qsort(part, count, sizeof(part[0]), by_cost);
	return part[(count - 1) / 2] > choose->limit_ns;
}

static unsigned int next_way(struct choose *choose)
{
	unsigned int best = cheaper(choose);

	if (block_is_late(choose))
		return WAY_READABLE;
	if (best != choose->last) {
		choose->last = best;
		choose->patience = 0;
		choose->since_trial = 0;
	}
	if (!is_trial_due(choose)) {
		choose->since_trial++;
		return best;
	}
	choose->since_trial = 0;
	if (choose->patience < PATIENCE)
		choose->patience++;
	return !best;
}

enum gmig_mode choose_mode(struct choose *choose)
{
	unsigned int way = next_way(choose);

	choose->way[way].chosen++;
	return way == WAY_READABLE ? GMIG_MODE_READABLE : GMIG_MODE_BLOCK;
}

/* One trial that was cheap is no proof, but a reason for another one at once. */
void choose_note(struct choose *choose, const struct choose_sample *sample)
{
	unsigned int index = sample->mode == GMIG_MODE_READABLE ? WAY_READABLE : WAY_BLOCK;
	struct choose_way *way = &choose->way[index];
	uint64_t cost = sample->slept_ns + sample->took_ns / TAKEN_PER_SLEPT;

	way->cost[way->noted % CHOOSE_SAMPLES] = cost;
	way->part[way->noted++ % CHOOSE_SAMPLES] = sample->part_ns;
	way->with_writers += sample->writers > 0;
	if (index != choose->last && cost < current_cost(choose))
		choose->since_trial = UINT32_MAX;
}
