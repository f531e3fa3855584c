#include "status_table.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* ---- Ranges -------------------------------------------------------------------------------- */

uint64_t status_range_slots(const struct status_range *range)
{
	return (range->blocks + STATUS_GROUP - 1) / STATUS_GROUP;
}

struct status_place status_range_slot(const struct status_range *range, uint64_t i)
{
	uint64_t blocks = range->blocks - i * STATUS_GROUP;

	return (struct status_place){
	    .slot = &range->slots[i],
	    .blocks = blocks < STATUS_GROUP ? (unsigned int)blocks : STATUS_GROUP,
	};
}

void status_table_free(struct status_table *table)
{
	for (size_t i = 0; i < table->count; i++) {
		struct status_range *range = &table->ranges[i];

		for (uint64_t k = 0; k < status_range_slots(range); k++)
			status_group_free(range->slots[k].group);
		free(range->slots);
	}
	free(table->ranges);
}

/* The first range that ends behind the block: the one that holds it, if any does. */
static size_t find_index(const struct status_table *table, uint64_t block)
{
	size_t low = 0, high = table->count;

	while (low < high) {
		size_t middle = low + (high - low) / 2;

		if (table->ranges[middle].first_block + table->ranges[middle].blocks <= block)
			low = middle + 1;
		else
			high = middle;
	}
	return low;
}

static struct status_range *find(const struct status_table *table, uint64_t block)
{
	size_t i = find_index(table, block);

	return i < table->count && table->ranges[i].first_block <= block ? &table->ranges[i] : NULL;
}

static int grow(struct status_table *table)
{
	size_t room = table->room ? 2 * table->room : 4;
	struct status_range *ranges;

	if (table->count < table->room)
		return 0;
	ranges = table->alloc(room * sizeof(*ranges));
	if (!ranges)
		return -ENOMEM;
	if (table->count)
		memcpy(ranges, table->ranges, table->count * sizeof(*ranges));
	free(table->ranges);
	table->ranges = ranges;
	table->room = room;
	return 0;
}

static int insert(struct status_table *table, const struct status_range *range)
{
	size_t i = find_index(table, range->first_block);
	int ret;

	if (i < table->count && table->ranges[i].first_block < range->first_block + range->blocks)
		return -EEXIST;
	ret = grow(table);
	if (ret)
		return ret;
	memmove(&table->ranges[i + 1], &table->ranges[i],
		(table->count - i) * sizeof(*table->ranges));
	table->ranges[i] = *range;
	table->count++;
	return 0;
}

int status_table_add(struct status_table *table, uint64_t gfn, uint64_t pages, int16_t result)
{
	struct status_range range = {.first_block = gfn / GMIG_BLOCK_PAGES,
				     .blocks = pages / GMIG_BLOCK_PAGES};
	int ret;

	if (gfn % GMIG_BLOCK_PAGES || pages % GMIG_BLOCK_PAGES || !pages ||
	    gfn >> STATUS_GFN_BITS || pages > (1ull << STATUS_GFN_BITS) - gfn)
		return -EINVAL;
	range.slots = table->alloc(status_range_slots(&range) * sizeof(*range.slots));
	if (!range.slots)
		return -ENOMEM;
	for (uint64_t i = 0; i < status_range_slots(&range); i++)
		range.slots[i].result = result;
	ret = insert(table, &range);
	if (ret)
		free(range.slots);
	return ret;
}

bool status_table_covers(const struct status_table *table, uint64_t gfn, uint64_t pages)
{
	uint64_t block = gfn / GMIG_BLOCK_PAGES, last = (gfn + pages - 1) / GMIG_BLOCK_PAGES;

	if (gfn + pages < gfn)
		return false;
	while (block <= last) {
		const struct status_range *range = find(table, block);

		if (!range)
			return false;
		block = range->first_block + range->blocks;
	}
	return true;
}

bool status_table_find(const struct status_table *table, uint64_t block, struct status_place *place)
{
	const struct status_range *range = find(table, block);

	if (!range)
		return false;
	block -= range->first_block;
	*place = status_range_slot(range, block / STATUS_GROUP);
	place->i = block % STATUS_GROUP;
	return true;
}

/* ---- Groups and details -------------------------------------------------------------------- */

void status_group_free(struct status_group *group)
{
	if (!group)
		return;
	for (unsigned int i = 0; group->detail && i < STATUS_GROUP; i++)
		free(group->detail[i]);
	free(group->detail);
	free(group);
}

int status_group_need(const struct status_table *table, struct status_slot *slot)
{
	struct status_group *group = slot->group;

	if (group)
		return 0;
	group = table->alloc(sizeof(*group));
	if (!group)
		return -ENOMEM;
	for (unsigned int i = 0; i < STATUS_GROUP; i++)
		group->result[i] = slot->result;
	slot->group = group;
	return 0;
}

int status_detail_need(const struct status_table *table, struct status_group *group, unsigned int i)
{
	if (status_detail(group, i))
		return 0;
	if (!group->detail)
		group->detail = table->alloc(STATUS_GROUP * sizeof(*group->detail));
	if (!group->detail)
		return -ENOMEM;
	group->detail[i] = table->alloc(GMIG_BLOCK_PAGES * sizeof(**group->detail));
	if (!group->detail[i])
		return -ENOMEM;
	group->details++;
	return 0;
}

static bool all_alike(const int16_t *result, unsigned int count)
{
	/* Results mostly come in rising order: the last one tells early that it is not time yet. */
	for (unsigned int i = count - 1; i > 0; i--)
		if (result[i] != result[0])
			return false;
	return true;
}

static bool is_prepared(const struct status_group *group, unsigned int i)
{
	return group->is_prepared[i / STATUS_GROUP_BITS] >> i % STATUS_GROUP_BITS & 1;
}

static void pack_block(struct status_group *group, unsigned int i)
{
	int16_t *detail = status_detail(group, i);

	if (!detail || is_prepared(group, i))
		return;
	if (group->result[i] == STATUS_MIXED) {
		if (!all_alike(detail, GMIG_BLOCK_PAGES))
			return;
		group->result[i] = detail[0];
	}
	free(detail);
	group->detail[i] = NULL;
	group->details--;
}

void status_table_pack(const struct status_place *place)
{
	struct status_group *group = place->slot->group;

	if (!group)
		return;
	pack_block(group, place->i);
	if (group->details || group->prepared)
		return;
	free(group->detail);
	group->detail = NULL;
	if (!all_alike(group->result, place->blocks))
		return;
	place->slot->result = group->result[0];
	place->slot->group = NULL;
	status_group_free(group);
}

int status_table_prepare(const struct status_table *table, const struct status_place *place)
{
	int ret = status_group_need(table, place->slot);
	struct status_group *group = place->slot->group;

	if (!ret)
		ret = status_detail_need(table, group, place->i);
	if (ret) {
		status_table_pack(place);
		return ret;
	}
	if (!is_prepared(group, place->i)) {
		group->is_prepared[place->i / STATUS_GROUP_BITS] |= 1ull
								    << place->i % STATUS_GROUP_BITS;
		group->prepared++;
	}
	return 0;
}

void status_table_finish(const struct status_place *place)
{
	struct status_group *group = place->slot->group;

	if (!group || !is_prepared(group, place->i))
		return;
	group->is_prepared[place->i / STATUS_GROUP_BITS] &= ~(1ull << place->i % STATUS_GROUP_BITS);
	group->prepared--;
	status_table_pack(place);
}
