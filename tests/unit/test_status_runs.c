/* What is kept of a job's results once it has ended: runs, as many as there is room for. */
#include "../../migrate/jobs/status_runs.h"
#include "../../migrate/jobs/status_table.h"
#include "suite.h"

#include <errno.h>
#include <stdlib.h>

#define B GMIG_BLOCK_PAGES

static struct status_table table;
static struct status_runs *runs;
static bool no_memory;

static void *alloc(size_t bytes)
{
	return no_memory ? NULL : calloc(1, bytes);
}

static void setup(void)
{
	table = (struct status_table){.alloc = alloc};
	runs = NULL;
}

static void teardown(void)
{
	status_table_free(&table);
	free(runs);
}

/* So many runs, and one for the end. */
static void build(size_t room)
{
	free(runs);
	runs = status_runs_build(&table, sizeof(*runs) + (room + 1) * sizeof(uint64_t));
	ck_assert_ptr_nonnull(runs);
}

static void assert_run(uint64_t gfn, int result, uint64_t pages)
{
	uint64_t same = 0;

	ck_assert_int_eq(status_runs_get(runs, gfn, &same), result);
	ck_assert_uint_eq(same, pages);
}

static void add(uint64_t block, uint64_t blocks, int result)
{
	ck_assert_int_eq(status_table_add(&table, block * B, blocks * B, (int16_t)result), 0);
}

/* A block of several results: count[i] pages with result[i]. */
static void spell(uint64_t block, const unsigned int *count, const int *result, unsigned int kinds)
{
	struct status_place place;
	int16_t *detail;

	ck_assert(status_table_find(&table, block, &place));
	ck_assert_int_eq(status_group_need(&table, place.slot), 0);
	ck_assert_int_eq(status_detail_need(&table, place.slot->group, place.i), 0);
	detail = status_detail(place.slot->group, place.i);
	for (unsigned int i = 0; i < kinds; i++)
		for (unsigned int k = 0; k < count[i]; k++)
			*detail++ = (int16_t)result[i];
	place.slot->group->result[place.i] = STATUS_MIXED;
}

START_TEST(nothing_is_outside_all_ranges)
{
	build(0);
	ck_assert_uint_eq(runs->count, 1);
	assert_run(0, STATUS_OUTSIDE, 1);
	assert_run(UINT64_MAX >> 16, STATUS_OUTSIDE, 1);
	no_memory = true;
	ck_assert_ptr_null(status_runs_build(&table, 1000));
}
END_TEST

START_TEST(each_run_says_how_far_it_goes)
{
	add(1, 1, 1);
	add(3, 1, -EBUSY);
	add(4, 2, -EBUSY);
	add(6, 1, 2);
	build(5);
	ck_assert_uint_eq(runs->count, 6);
	ck_assert_uint_eq(runs->reasons, 3 * B);
	assert_run(0, STATUS_OUTSIDE, B);
	assert_run(B - 1, STATUS_OUTSIDE, 1);
	assert_run(B, 1, B);
	assert_run(2 * B - 1, 1, 1);
	assert_run(2 * B, STATUS_OUTSIDE, B);
	assert_run(3 * B, -EBUSY, 3 * B);
	assert_run(5 * B + 7, -EBUSY, B - 7);
	assert_run(6 * B, 2, B);
	assert_run(7 * B, STATUS_OUTSIDE, 1);
	assert_run(1ull << 40, STATUS_OUTSIDE, 1);
}
END_TEST

START_TEST(range_from_the_first_page_on_has_nothing_before_it)
{
	add(0, 1, 3);
	build(1);
	ck_assert_uint_eq(runs->count, 2);
	assert_run(0, 3, B);
	assert_run(B, STATUS_OUTSIDE, 1);
}
END_TEST

/* One run less, and reasons alone are kept; then those from the start. */
START_TEST(reasons_alone_are_kept_where_there_is_no_room_for_all)
{
	add(1, 1, 1);
	add(3, 1, -EBUSY);
	add(4, 1, -ENOENT); /* gone is no reason to stay */
	add(5, 1, -EPERM);
	build(6);
	ck_assert_uint_eq(runs->count, 7);
	assert_run(B, 1, B);
	build(5);
	ck_assert_uint_eq(runs->reasons, 2 * B);
	ck_assert_uint_eq(runs->count, 5);
	assert_run(0, STATUS_NOT_KEPT, 3 * B);
	assert_run(B, STATUS_NOT_KEPT, 2 * B);
	assert_run(3 * B, -EBUSY, B);
	assert_run(4 * B, STATUS_NOT_KEPT, B);
	assert_run(5 * B, -EPERM, B);
	assert_run(6 * B, STATUS_NOT_KEPT, 1);
	build(4);
	ck_assert_uint_eq(runs->reasons, 2 * B);
	ck_assert_uint_eq(runs->count, 5);
	build(3);
	ck_assert_uint_eq(runs->reasons, B);
	assert_run(3 * B, -EBUSY, B);
	assert_run(4 * B, STATUS_NOT_KEPT, 1);
	assert_run(5 * B, STATUS_NOT_KEPT, 1);
	build(1);
	ck_assert_uint_eq(runs->reasons, 0);
	assert_run(3 * B, STATUS_NOT_KEPT, 1);
}
END_TEST

START_TEST(block_of_several_results_is_kept_page_by_page)
{
	static const unsigned int count[] = {10, 1, 501}, half[] = {256, 256};
	static const int result[] = {1, -EIO, 2}, others[] = {2, -EPERM};

	add(0, 4, 1);
	spell(1, count, result, 3);
	spell(2, half, others, 2);
	/* 0-521: 1; one page; up to the middle of block 2: 2; then the rest of it, and block 3. */
	build(5);
	ck_assert_uint_eq(runs->count, 6);
	ck_assert_uint_eq(runs->reasons, 257);
	assert_run(0, 1, B + 10);
	assert_run(B + 10, -EIO, 1);
	assert_run(B + 11, 2, 501 + 256);
	assert_run(2 * B + 256, -EPERM, 256);
	assert_run(3 * B, 1, B);
	assert_run(4 * B, STATUS_OUTSIDE, 1);
	build(4);
	ck_assert_uint_eq(runs->reasons, 257);
	assert_run(2 * B + 256, -EPERM, 256);
	build(3);
	ck_assert_uint_eq(runs->reasons, 1);
	assert_run(B + 10, -EIO, 1);
	assert_run(2 * B + 256, STATUS_NOT_KEPT, 1);
	build(2);
	ck_assert_uint_eq(runs->reasons, 1);
	assert_run(0, STATUS_NOT_KEPT, B + 10);
	assert_run(B + 10, -EIO, 1);
}
END_TEST

/* Over the ends of slots, of 512 blocks each. */
START_TEST(range_of_several_slots_is_one_run_if_it_is_alike)
{
	static const unsigned int count[] = {511, 1};
	static const int result[] = {7, -EIO};

	add(3, 1300, 7);
	build(2);
	assert_run(3 * B, 7, 1300 * B);
	spell(3 + 600, count, result, 2);
	build(4);
	assert_run(3 * B, 7, 600 * B + 511);
	assert_run((3 + 601) * B - 1, -EIO, 1);
	assert_run((3 + 601) * B, 7, 699 * B);
	assert_run((3 + 1300) * B, STATUS_OUTSIDE, 1);
}
END_TEST

int main(void)
{
	const TTest *const tests[] = {
	    nothing_is_outside_all_ranges,
	    each_run_says_how_far_it_goes,
	    range_from_the_first_page_on_has_nothing_before_it,
	    reasons_alone_are_kept_where_there_is_no_room_for_all,
	    block_of_several_results_is_kept_page_by_page,
	    range_of_several_slots_is_one_run_if_it_is_alike,
	};

	return run_tests("status runs", setup, teardown, tests, sizeof(tests) / sizeof(tests[0]));
}
