/*
 * Where a job keeps the results of its pages while it runs (status.h). Three levels: a range has a
 * slot for each 512 blocks, which holds one result for all of them, or a group: a result for each
 * block. STATUS_MIXED in it says that the block's 512 results are spelled out in a detail. What
 * agrees again goes back to the level above, so that nobody pays for details that he does not have.
 *
 * A block that is prepared has its detail in reserve, whether it needs it or not, and neither it nor
 * its group is taken away while it is prepared.
 *
 * No lock of its own: the owner's.
 */
#ifndef GMIG_STATUS_TABLE_H
#define GMIG_STATUS_TABLE_H

#include "../gmig.h"

#define STATUS_GFN_BITS	  47
#define STATUS_MIXED	  INT16_MIN
#define STATUS_GROUP	  512u /* blocks */
#define STATUS_GROUP_BITS 64

struct status_group {
	int16_t result[STATUS_GROUP];
	int16_t **detail; /* STATUS_GROUP of them; NULL: there is none */
	unsigned int details, prepared;
	uint64_t is_prepared[STATUS_GROUP / STATUS_GROUP_BITS];
};

struct status_slot {
	struct status_group *group; /* NULL: all have `result` */
	int16_t result;
};

struct status_range {
	uint64_t first_block, blocks;
	struct status_slot *slots;
};

struct status_table {
	void *(*alloc)(size_t bytes); /* zeroed, for free() */
	struct status_range *ranges;  /* sorted */
	size_t count, room;
};

/* Where a block's result is. */
struct status_place {
	struct status_slot *slot;
	unsigned int i, blocks; /* in the slot; blocks of the slot */
};

void status_table_free(struct status_table *table);
/* All pages start with `result`. As status_add_range(). */
int status_table_add(struct status_table *table, uint64_t gfn, uint64_t pages, int16_t result);
/* Are all pages in ranges, which may lie side by side? */
bool status_table_covers(const struct status_table *table, uint64_t gfn, uint64_t pages);
/* false: in no range. */
bool status_table_find(const struct status_table *table, uint64_t block,
		       struct status_place *place);

uint64_t status_range_slots(const struct status_range *range);
/* Of the i-th slot: its place, at its first block. */
struct status_place status_range_slot(const struct status_range *range, uint64_t i);

/* Have the group, have the block's detail; both say -ENOMEM. */
int status_group_need(const struct status_table *table, struct status_slot *slot);
int status_detail_need(const struct status_table *table, struct status_group *group,
		       unsigned int i);
void status_group_free(struct status_group *group);
static inline int16_t *status_detail(const struct status_group *group, unsigned int i)
{
	return group->detail ? group->detail[i] : NULL;
}

/* -ENOMEM. Twice is once. */
int status_table_prepare(const struct status_table *table, const struct status_place *place);
void status_table_finish(const struct status_place *place);
/* After a change of the block: back to one word where all agree. */
void status_table_pack(const struct status_place *place);

#endif
