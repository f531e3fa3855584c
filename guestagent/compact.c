/* Blocks that are worth a huge page, see compact.h. */
#include "compact.h"

#include <stdlib.h>

/* Blocks between two runs that are looked at with them: a range more costs as much. */
#define GAP_BLOCKS 8u

size_t agent_compact_ranges(const struct agent_compact_block *blocks, size_t count,
			    struct agent_damon *damon)
{
	uint64_t taken = 0;

	damon->ranges = 0;
	for (size_t i = 0; i < count; i++) {
		struct agent_damon_range *last =
		    damon->ranges ? &damon->range[damon->ranges - 1] : NULL;
		bool joined = last && blocks[i].start - last->end <= GAP_BLOCKS * AGENT_HUGE_BYTES;
		uint64_t end = blocks[i].start + AGENT_HUGE_BYTES;
		uint64_t more = joined ? (end - last->end) / AGENT_HUGE_BYTES : 1;

		if (taken + more > AGENT_COMPACT_SEEN ||
		    (!joined && damon->ranges == AGENT_DAMON_RANGES))
			return i;
		taken += more;
		if (joined)
			last->end = end;
		else
			damon->range[damon->ranges++] =
			    (struct agent_damon_range){.start = blocks[i].start, .end = end};
	}
	return count;
}

static uint64_t overlap(const struct agent_damon_seen *seen, uint64_t start, uint64_t end)
{
	uint64_t from = seen->start > start ? seen->start : start;
	uint64_t to = seen->end < end ? seen->end : end;

	return to > from ? to - from : 0;
}

void agent_compact_heat(struct agent_compact_block *blocks, size_t count,
			const struct agent_damon_seen *seen, size_t parts, uint64_t looks)
{
	size_t part = 0;

	for (size_t i = 0; i < count; i++) {
		uint64_t start = blocks[i].start, end = start + AGENT_HUGE_BYTES;
		double pages = 0;

		while (part < parts && seen[part].end <= start)
			part++;
		for (size_t at = part; at < parts && seen[at].start < end; at++) {
			uint64_t hits = seen[at].hits < looks ? seen[at].hits : looks;

			pages += (double)overlap(&seen[at], start, end) / AGENT_PAGE_BYTES *
				 (double)hits / (double)looks;
		}
		blocks[i].hot = (uint32_t)(pages + 0.5);
		if (blocks[i].hot > blocks[i].small)
			blocks[i].hot = blocks[i].small;
	}
}

static int by_heat(const void *a, const void *b)
{
	const struct agent_compact_block *one = a, *other = b;

	if (one->hot != other->hot)
		return one->hot < other->hot ? 1 : -1;
	if (one->small != other->small)
		return one->small < other->small ? 1 : -1;
	return (one->start > other->start) - (one->start < other->start);
}

size_t agent_compact_choose(struct agent_compact_block *blocks, size_t count, uint32_t least)
{
	size_t chosen = 0;

	for (size_t i = 0; i < count; i++)
		if (blocks[i].hot >= least)
			blocks[chosen++] = blocks[i];
	if (chosen)
		qsort(blocks, chosen, sizeof(*blocks), by_heat);
	return chosen;
}

struct agent_compact_span agent_compact_bounds(uint64_t small, uint64_t shared)
{
	uint64_t own = small > shared ? small - shared : small > 0;

	return (struct agent_compact_span){
	    .at_least = (own + AGENT_BLOCK_PAGES - 1) / AGENT_BLOCK_PAGES, .at_most = small};
}
