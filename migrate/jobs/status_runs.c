#include "status_runs.h"

#include <stdlib.h>

/* Blocks of several results that are read page by page: some tens of milliseconds. */
#define DETAILS_MAX (64u << 10)

struct builder {
	struct status_runs *runs;
	size_t room;	      /* runs */
	bool reasons_only;    /* whatever is no reason becomes STATUS_NOT_KEPT */
	uint64_t end_gfn;     /* up to where runs were added */
	unsigned int details; /* read so far */
};

static uint64_t run_gfn(uint64_t run)
{
	return run >> 16;
}

static int16_t run_result(uint64_t run)
{
	return (int16_t)(run & 0xffff);
}

/* ---- Adding: all return false when there is no room ---------------------------------------- */

static bool push(struct builder *builder, uint64_t gfn, int16_t result)
{
	struct status_runs *runs = builder->runs;

	if (runs->count && run_result(runs->run[runs->count - 1]) == result)
		return true;
	if (runs->count == builder->room)
		return false;
	runs->run[runs->count++] = gfn << 16 | (uint16_t)result;
	return true;
}

static bool add(struct builder *builder, uint64_t gfn, uint64_t pages, int16_t result)
{
	bool reason = status_is_reason(result);
	int16_t gap = builder->reasons_only ? STATUS_NOT_KEPT : STATUS_OUTSIDE;

	if (builder->reasons_only && !reason)
		result = STATUS_NOT_KEPT;
	if (gfn != builder->end_gfn && !push(builder, builder->end_gfn, gap))
		return false;
	builder->end_gfn = gfn;
	if (!push(builder, gfn, result))
		return false;
	builder->end_gfn += pages;
	if (reason)
		builder->runs->reasons += pages;
	return true;
}

static bool add_detail(struct builder *builder, uint64_t gfn, const int16_t *detail)
{
	for (unsigned int first = 0, next; first < GMIG_BLOCK_PAGES; first = next) {
		next = first + 1;
		while (next < GMIG_BLOCK_PAGES && detail[next] == detail[first])
			next++;
		if (!add(builder, gfn + first, next - first, detail[first]))
			return false;
	}
	return true;
}

static bool add_block(struct builder *builder, uint64_t gfn, const struct status_group *group,
		      unsigned int i)
{
	if (group->result[i] != STATUS_MIXED)
		return add(builder, gfn, GMIG_BLOCK_PAGES, group->result[i]);
	if (builder->details++ < DETAILS_MAX)
		return add_detail(builder, gfn, status_detail(group, i));
	return builder->reasons_only && add(builder, gfn, GMIG_BLOCK_PAGES, STATUS_NOT_KEPT);
}

static bool add_slot(struct builder *builder, uint64_t gfn, const struct status_place *place)
{
	const struct status_group *group = place->slot->group;

	if (!group)
		return add(builder, gfn, (uint64_t)place->blocks * GMIG_BLOCK_PAGES,
			   place->slot->result);
	for (unsigned int i = 0; i < place->blocks; i++, gfn += GMIG_BLOCK_PAGES)
		if (!add_block(builder, gfn, group, i))
			return false;
	return true;
}

static bool add_all(struct builder *builder, const struct status_table *table)
{
	for (size_t i = 0; i < table->count; i++) {
		const struct status_range *range = &table->ranges[i];
		uint64_t gfn = range->first_block * GMIG_BLOCK_PAGES;

		for (uint64_t k = 0; k < status_range_slots(range); k++) {
			struct status_place place = status_range_slot(range, k);

			if (!add_slot(builder, gfn, &place))
				return false;
			gfn += (uint64_t)STATUS_GROUP * GMIG_BLOCK_PAGES;
		}
	}
	return true;
}

/* ---- Building and asking ------------------------------------------------------------------- */

struct status_runs *status_runs_build(const struct status_table *table, size_t bytes)
{
	/* One run stays free for the end. */
	struct builder builder = {.runs = table->alloc(bytes),
				  .room = (bytes - sizeof(*builder.runs)) / sizeof(uint64_t) - 1};
	struct status_runs *runs = builder.runs;
	bool all;

	if (!runs)
		return NULL;
	all = add_all(&builder, table);
	if (!all) {
		runs->count = 0;
		runs->reasons = 0;
		builder.reasons_only = true;
		builder.end_gfn = 0;
		builder.details = 0;
		add_all(&builder, table);
	}
	builder.room++;
	push(&builder, builder.end_gfn, all ? STATUS_OUTSIDE : STATUS_NOT_KEPT);
	runs = realloc(runs, sizeof(*runs) + runs->count * sizeof(runs->run[0]));
	return runs ? runs : builder.runs;
}

int16_t status_runs_get(const struct status_runs *runs, uint64_t gfn, uint64_t *pages)
{
	size_t low = 0, high = runs->count;

	/* The first run that begins behind gfn. */
	while (low < high) {
		size_t middle = low + (high - low) / 2;

		if (run_gfn(runs->run[middle]) <= gfn)
			low = middle + 1;
		else
			high = middle;
	}
	*pages = low < runs->count ? run_gfn(runs->run[low]) - gfn : 1;
	return low ? run_result(runs->run[low - 1]) : STATUS_OUTSIDE;
}
