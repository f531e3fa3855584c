/* Which blocks of a process are worth a huge page: pure. */
#include "../../guestagent/compact.h"
#include "../../guestagent/sys.h"
#include "suite.h"

#define AT(number) (AGENT_HUGE_BYTES * (number))

START_TEST(blocks_near_each_other_are_one_range_and_too_many_are_left_out)
{
	static struct agent_compact_block blocks[3000];
	struct agent_damon damon;

	blocks[0].start = AT(100);
	blocks[1].start = AT(101);
	blocks[2].start = AT(110);
	blocks[3].start = AT(119);
	blocks[4].start = AT(129);
	ck_assert_uint_eq(agent_compact_ranges(blocks, 5, &damon), 5);
	ck_assert_uint_eq(damon.ranges, 2);
	ck_assert_uint_eq(damon.range[0].start, AT(100));
	ck_assert_uint_eq(damon.range[0].end, AT(120));
	ck_assert_uint_eq(damon.range[1].start, AT(129));
	for (size_t i = 0; i < 3000; i++)
		blocks[i].start = AT(100 * i);
	ck_assert_uint_eq(agent_compact_ranges(blocks, 3000, &damon), AGENT_DAMON_RANGES);
	for (size_t i = 0; i < 3000; i++)
		blocks[i].start = AT(i);
	ck_assert_uint_eq(agent_compact_ranges(blocks, 3000, &damon), AGENT_COMPACT_SEEN);
	ck_assert_uint_eq(damon.range[0].end, AT(AGENT_COMPACT_SEEN));
	/* With the gaps. */
	for (size_t i = 0; i < 3000; i++)
		blocks[i].start = AT(2 * i);
	ck_assert_uint_eq(agent_compact_ranges(blocks, 3000, &damon), 1024);
}
END_TEST

START_TEST(heat_is_the_share_of_looks_and_no_more_than_what_is_there)
{
	struct agent_compact_block blocks[] = {
	    {AT(4), 512, 512, 0}, {AT(5), 100, 100, 0}, {AT(9), 512, 512, 0}};
	const struct agent_damon_seen seen[] = {
	    {AT(0), AT(4) + AGENT_HUGE_BYTES / 2, 5},
	    {AT(4) + AGENT_HUGE_BYTES / 2, AT(5), 10},
	    {AT(5), AT(6), 99},
	};

	agent_compact_heat(blocks, 3, seen, 3, 10);
	ck_assert_uint_eq(blocks[0].hot, 128 + 256);
	ck_assert_uint_eq(blocks[1].hot, 100);
	ck_assert_uint_eq(blocks[2].hot, 0);
}
END_TEST

START_TEST(hottest_is_first_then_what_needs_least_memory)
{
	struct agent_compact_block blocks[] = {
	    {AT(1), 200, 63, 0}, {AT(2), 70, 70, 0}, {AT(3), 300, 64, 0}, {AT(4), 301, 64, 0}};

	ck_assert_uint_eq(agent_compact_choose(blocks, 4, 64), 3);
	ck_assert_uint_eq(blocks[0].start, AT(2));
	ck_assert_uint_eq(blocks[1].start, AT(4));
	ck_assert_uint_eq(blocks[2].start, AT(3));
	ck_assert_uint_eq(agent_compact_choose(blocks, 3, 512), 0);
}
END_TEST

START_TEST(bounds_hold_however_pages_lie)
{
	ck_assert_uint_eq(agent_compact_bounds(513, 0).at_least, 2);
	ck_assert_uint_eq(agent_compact_bounds(512, 0).at_least, 1);
	ck_assert_uint_eq(agent_compact_bounds(513, 0).at_most, 513);
	/* One page that is mapped 512 times. */
	ck_assert_uint_eq(agent_compact_bounds(1025, 512).at_least, 2);
	ck_assert_uint_eq(agent_compact_bounds(1024, 1024).at_least, 1);
	ck_assert_uint_eq(agent_compact_bounds(0, 0).at_least, 0);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("agent_blocks");
	TCase *tcase = tcase_create("blocks");

	tcase_add_test(tcase, blocks_near_each_other_are_one_range_and_too_many_are_left_out);
	tcase_add_test(tcase, heat_is_the_share_of_looks_and_no_more_than_what_is_there);
	tcase_add_test(tcase, hottest_is_first_then_what_needs_least_memory);
	tcase_add_test(tcase, bounds_hold_however_pages_lie);
	suite_add_tcase(suite, tcase);
	return run_suite(suite);
}
