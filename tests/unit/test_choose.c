/* Mode `auto`: guests that cost what they cost, and a machine that stops now and then. */
#include "../../migrate/jobs/choose.h"

#include <check.h>
#include <stdlib.h>

#define US     1000ull
#define BLOCKS 5000

/* A kind of guest: what its threads lose in each mode, and how long the move takes. */
struct guest {
	uint64_t slept_ns[2], took_ns[2];
	bool writes;
};

static const struct guest writer = {{197 * US, 127 * US}, {210 * US, 150 * US}, true};
static const struct guest reader = {{20 * US, 140 * US}, {190 * US, 150 * US}, false};
static const struct guest idler = {{0, 0}, {150 * US, 150 * US}, false};
static const struct guest mixed = {{90 * US, 160 * US}, {200 * US, 150 * US}, true};

/* Of `blocks` blocks, how many were moved in mode block. stops: each so many blocks, the machine stopped. */
static unsigned int run(struct choose *choose, const struct guest *guest, unsigned int blocks,
			unsigned int stops)
{
	unsigned int block = 0;

	for (unsigned int i = 0; i < blocks; i++) {
		enum gmig_mode mode = choose_mode(choose);
		unsigned int way = mode == GMIG_MODE_BLOCK;
		struct choose_sample sample = {.mode = mode,
					       .took_ns = guest->took_ns[way],
					       .part_ns = guest->took_ns[way],
					       .slept_ns = guest->slept_ns[way],
					       .writers = guest->writes};

		ck_assert(mode == GMIG_MODE_BLOCK || mode == GMIG_MODE_READABLE);
		if (stops && i % stops == 0)
			sample.slept_ns += 25000 * US;
		choose_note(choose, &sample);
		block += way;
	}
	return block;
}

START_TEST(guest_that_writes_is_moved_in_block_but_for_a_hundredth)
{
	struct choose choose = {0};

	ck_assert_uint_ge(run(&choose, &writer, BLOCKS, 0), BLOCKS * 99 / 100);
}
END_TEST

START_TEST(job_of_half_a_thousand_blocks_has_no_hundredth_of_the_worse_mode)
{
	const struct guest *guests[] = {&writer, &reader, &mixed};
	struct choose choose = {0};
	unsigned int block = run(&choose, guests[_i], 512, 0);

	ck_assert_uint_le(_i ? block : 512 - block, 5);
}
END_TEST

/* A guest that hardly ever sleeps: block is cheaper, and late when somebody does. */
START_TEST(budget_that_a_block_exceeds_leaves_it_readable)
{
	static const struct guest seldom = {{2 * US, 3 * US}, {210 * US, 150 * US}, false};
	struct choose choose = {.limit_ns = 150 * US}, wide = {.limit_ns = 500 * US};

	ck_assert_uint_eq(run(&choose, &seldom, BLOCKS, 0), 0);
	ck_assert_uint_ge(run(&wide, &seldom, BLOCKS, 0), BLOCKS / 2);
	/* The machine's stops are not the block's. */
	ck_assert_uint_ge(run(&wide, &writer, BLOCKS, 7), BLOCKS / 2);
}
END_TEST

START_TEST(guest_that_reads_stays_readable)
{
	struct choose choose = {0};

	ck_assert_uint_le(run(&choose, &reader, BLOCKS, 0), BLOCKS / 100);
}
END_TEST

/* Writers sleep, but those who read lose more than they. */
START_TEST(guest_that_loses_less_in_readable_stays_there_though_writers_sleep)
{
	struct choose choose = {0};

	ck_assert_uint_le(run(&choose, &mixed, BLOCKS, 0), BLOCKS / 100);
}
END_TEST

START_TEST(guest_that_sleeps_stays_readable)
{
	struct choose choose = {0};

	ck_assert_uint_le(run(&choose, &idler, BLOCKS, 0), BLOCKS / 100);
}
END_TEST

START_TEST(guest_that_changes_is_followed_within_300_blocks)
{
	struct choose choose = {0};

	run(&choose, &reader, BLOCKS, 0);
	run(&choose, &writer, 300, 0);
	ck_assert_uint_ge(run(&choose, &writer, 1000, 0), 985);
	run(&choose, &reader, 300, 0);
	ck_assert_uint_le(run(&choose, &reader, 1000, 0), 15);
}
END_TEST

START_TEST(machine_that_stops_in_one_block_of_twelve_does_not_decide)
{
	struct choose choose = {0};

	ck_assert_uint_ge(run(&choose, &writer, BLOCKS, 12), BLOCKS * 97 / 100);
	choose = (struct choose){0};
	ck_assert_uint_le(run(&choose, &reader, BLOCKS, 12), BLOCKS * 3 / 100);
}
END_TEST

START_TEST(first_blocks_are_readable_then_block_if_writers_slept)
{
	struct choose choose = {0};

	ck_assert_uint_eq(run(&choose, &writer, 2, 0), 0);
	ck_assert_uint_eq(run(&choose, &writer, 2, 0), 2);
	choose = (struct choose){0};
	ck_assert_uint_eq(run(&choose, &reader, 60, 0), 0);
}
END_TEST

/* Several workers ask before the first of them has anything to say. */
START_TEST(workers_that_have_noted_nothing_yet_all_get_readable)
{
	struct choose choose = {0};

	for (unsigned int i = 0; i < 16; i++)
		ck_assert_int_eq(choose_mode(&choose), GMIG_MODE_READABLE);
}
END_TEST

/* The blocks, from 1, that were moved in the mode that is tried. */
static void assert_trials(const struct guest *guest, bool block, const unsigned int *at,
			  unsigned int count)
{
	struct choose choose = {0};
	unsigned int next = 0;

	for (unsigned int i = 1; next < count; i++) {
		bool tried = run(&choose, guest, 1, 0) == block;

		/* But for the first ones, of a guest that writes. */
		if (i > 4)
			ck_assert_msg(tried == (i == at[next]), "block %u", i);
		next += i == at[next];
	}
}

START_TEST(other_mode_is_tried_after_64_then_128_then_each_256_blocks)
{
	static const unsigned int reads[] = {65, 65 + 129, 194 + 257, 451 + 257, 708 + 257};
	static const unsigned int writes[] = {69, 69 + 129, 198 + 257, 455 + 257};

	assert_trials(&reader, true, reads, 5);
	assert_trials(&writer, false, writes, 4);
}
END_TEST

START_TEST(guest_whose_writers_sleep_has_two_blocks_and_then_two_in_the_other_mode)
{
	struct choose choose = {0};

	ck_assert_uint_eq(run(&choose, &writer, 2, 0), 0);
	ck_assert_uint_eq(run(&choose, &writer, 2, 0), 2);
	ck_assert_uint_eq(choose.last, 0);
	ck_assert_uint_eq(run(&choose, &writer, 64, 0), 64);
	ck_assert_uint_eq(choose.last, 1);
	ck_assert_uint_eq(run(&choose, &writer, 1, 0), 0);
	ck_assert_uint_eq(choose.way[0].noted, 3);
	ck_assert_uint_eq(choose.way[1].noted, 66);
	ck_assert_uint_eq(choose.way[1].chosen, 66);
	ck_assert_uint_eq(choose.way[1].with_writers, 66);
}
END_TEST

/* In half of the blocks or less it is not so soon. */
START_TEST(writers_that_sleep_in_half_of_the_blocks_are_not_most)
{
	static const struct guest seldom = {{20 * US, 140 * US}, {190 * US, 150 * US}, false};
	static const struct guest often = {{20 * US, 140 * US}, {190 * US, 150 * US}, true};
	struct choose choose = {0};

	run(&choose, &seldom, 2, 0);
	ck_assert_uint_eq(run(&choose, &often, 3, 0), 0);
	ck_assert_uint_eq(run(&choose, &often, 1, 0), 1); /* 3 of 5 have slept */
}
END_TEST

static void note(struct choose *choose, enum gmig_mode mode, uint64_t cost, unsigned int times)
{
	const struct choose_sample sample = {
	    .mode = mode, .slept_ns = cost / 2, .took_ns = (cost - cost / 2) * 8, .part_ns = cost};

	for (unsigned int i = 0; i < times; i++)
		choose_note(choose, &sample);
}

/* Readable has cost `first` and then `then`, so many times each; block has cost `block` at last. Is block cheaper? */
struct judged {
	uint64_t first, then, before, block;
	unsigned int firsts, thens, before_count, blocks;
	bool cheaper;
};

START_TEST(mode_that_costs_less_by_more_than_a_twentieth_is_taken)
{
	static const struct judged cases[] = {
	    {2000, 0, 0, 1899, 2, 0, 0, 2, true},
	    {2000, 0, 0, 1900, 2, 0, 0, 2, false},
	    {2000, 0, 0, 100, 2, 0, 0, 1, false}, /* one is no proof */
	    /* Three times the median counts of what is more: (300 + 3 * 100) / 4. */
	    {100, 10000, 0, 142, 3, 1, 0, 2, true},
	    {100, 10000, 0, 143, 3, 1, 0, 2, false},
	    /* The lower one of two: (100 + 300) / 2. */
	    {100, 10000, 0, 189, 1, 1, 0, 2, true},
	    {100, 10000, 0, 190, 1, 1, 0, 2, false},
	    /* The last sixteen of the mode that is taken: 100 each. */
	    {1000, 100, 0, 94, 20, 16, 0, 2, true},
	    {1000, 100, 0, 95, 20, 16, 0, 2, false},
	    {10, 100, 0, 93, 1, 15, 0, 2, false}, /* (10 + 15 * 100) / 16 is 94 */
	    {10, 100, 0, 89, 1, 15, 0, 2, true},
	    /* The last four trials of the other. */
	    {100, 0, 10, 96, 4, 0, 9, 4, false},
	    {100, 0, 1000, 94, 4, 0, 9, 4, true},
	    {100, 0, 150, 94, 4, 0, 1, 3, false}, /* (150 + 3 * 94) / 4 is 108 */
	};
	const struct judged *one = &cases[_i];
	struct choose choose = {0};

	note(&choose, GMIG_MODE_READABLE, one->first, one->firsts);
	note(&choose, GMIG_MODE_READABLE, one->then, one->thens);
	note(&choose, GMIG_MODE_BLOCK, one->before, one->before_count);
	note(&choose, GMIG_MODE_BLOCK, one->block, one->blocks);
	choose_mode(&choose);
	ck_assert_uint_eq(choose.last, one->cheaper);
	if (one->cheaper) {
		ck_assert_uint_eq(choose.since_trial, 1);
		ck_assert_uint_eq(choose.patience, 0);
	}
}
END_TEST

/* A trial that was cheap is made once more at once; one that was not waits for its time. */
START_TEST(trial_that_was_cheap_is_made_again_at_once)
{
	struct choose choose = {0};

	note(&choose, GMIG_MODE_READABLE, 100, 16);
	note(&choose, GMIG_MODE_BLOCK, _i ? 99 : 100, 1);
	ck_assert_int_eq(choose_mode(&choose), _i ? GMIG_MODE_BLOCK : GMIG_MODE_READABLE);
	/* One of the mode that is taken says nothing of that. */
	choose = (struct choose){0};
	note(&choose, GMIG_MODE_READABLE, 100, 16);
	note(&choose, GMIG_MODE_READABLE, 1, 1);
	ck_assert_int_eq(choose_mode(&choose), GMIG_MODE_READABLE);
}
END_TEST

START_TEST(budget_is_compared_with_the_median_of_the_last_parts)
{
	struct choose choose = {.limit_ns = _i ? 200 : 199};

	note(&choose, GMIG_MODE_READABLE, 300, 1);
	note(&choose, GMIG_MODE_READABLE, 100, 1);
	note(&choose, GMIG_MODE_READABLE, 200, 1);
	choose.way[0].with_writers = 3;
	ck_assert_int_eq(choose_mode(&choose), _i ? GMIG_MODE_BLOCK : GMIG_MODE_READABLE);
	/* Sixteen later none of them counts. */
	note(&choose, GMIG_MODE_READABLE, _i ? 201 : 199, 8);
	note(&choose, GMIG_MODE_READABLE, _i ? 1000 : 10, 8);
	choose.since_trial = UINT32_MAX;
	ck_assert_int_eq(choose_mode(&choose), _i ? GMIG_MODE_READABLE : GMIG_MODE_BLOCK);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("choose");
	TCase *tcase = tcase_create("choose");
	SRunner *runner = srunner_create(suite);
	int failed;

	tcase_add_test(tcase, guest_that_writes_is_moved_in_block_but_for_a_hundredth);
	tcase_add_loop_test(tcase, job_of_half_a_thousand_blocks_has_no_hundredth_of_the_worse_mode,
			    0, 3);
	tcase_add_test(tcase, budget_that_a_block_exceeds_leaves_it_readable);
	tcase_add_test(tcase, guest_that_reads_stays_readable);
	tcase_add_test(tcase, guest_that_loses_less_in_readable_stays_there_though_writers_sleep);
	tcase_add_test(tcase, guest_that_sleeps_stays_readable);
	tcase_add_test(tcase, guest_that_changes_is_followed_within_300_blocks);
	tcase_add_test(tcase, machine_that_stops_in_one_block_of_twelve_does_not_decide);
	tcase_add_test(tcase, first_blocks_are_readable_then_block_if_writers_slept);
	tcase_add_test(tcase, workers_that_have_noted_nothing_yet_all_get_readable);
	tcase_add_test(tcase, other_mode_is_tried_after_64_then_128_then_each_256_blocks);
	tcase_add_test(tcase,
		       guest_whose_writers_sleep_has_two_blocks_and_then_two_in_the_other_mode);
	tcase_add_test(tcase, writers_that_sleep_in_half_of_the_blocks_are_not_most);
	tcase_add_loop_test(tcase, mode_that_costs_less_by_more_than_a_twentieth_is_taken, 0, 14);
	tcase_add_loop_test(tcase, trial_that_was_cheap_is_made_again_at_once, 0, 2);
	tcase_add_loop_test(tcase, budget_is_compared_with_the_median_of_the_last_parts, 0, 2);
	suite_add_tcase(suite, tcase);
	srunner_run_all(runner, CK_ENV);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
