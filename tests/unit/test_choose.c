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
	suite_add_tcase(suite, tcase);
	srunner_run_all(runner, CK_ENV);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
