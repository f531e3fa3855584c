/* What is known of how much blocks are used: samples, how they fade, moves, and sums. */
#include "../../migrate/core/heat.h"
#include "../../migrate/gmig_nodes.h"
#include "suite.h"

#include <errno.h>

#define NOW (100 * HEAT_WINDOW_NS)

static struct heat *heat;

static void set_up(void)
{
	ck_assert_int_eq(heat_create(&heat), 0);
}

static void tear_down(void)
{
	heat_destroy(heat);
	heat = NULL; /* what it has lost is a leak */
}

static unsigned int first_sample(uint64_t block, uint64_t after_ns)
{
	ck_assert_int_eq(heat_note(heat, block, after_ns, GMIG_NO_NODE, NOW), 0);
	return heat_of(heat, block, NOW);
}

START_TEST(block_is_the_hotter_the_sooner_it_is_missed)
{
	unsigned int last = HEAT_MAX + 1, it;
	uint64_t block = 0;

	ck_assert(!heat_is_known(heat));
	ck_assert_uint_eq(heat_of(heat, 0, NOW), HEAT_UNKNOWN);
	/* A quarter octave is a step: 1.2 times as long is about one. */
	for (uint64_t ns = 1000; ns < 2 * HEAT_WINDOW_NS; ns += ns / 5, last = it) {
		it = first_sample(block++, ns);
		ck_assert_uint_le(it, last);
		ck_assert(last - it <= 2 || last > HEAT_MAX);
	}
	ck_assert(heat_is_known(heat));
	ck_assert_uint_eq(first_sample(block++, 0), HEAT_MAX);
	ck_assert_uint_eq(first_sample(block++, HEAT_WINDOW_NS >> 15), HEAT_MAX);
	ck_assert_uint_ge(first_sample(block++, 3900000), HEAT_HOT);
	ck_assert_uint_lt(first_sample(block++, 4100000), HEAT_HOT);
	ck_assert_uint_eq(first_sample(block++, HEAT_WINDOW_NS - 1), HEAT_COLD + 1);
	ck_assert_uint_eq(first_sample(block++, HEAT_WINDOW_NS), HEAT_COLD);
	ck_assert_uint_eq(first_sample(block++, UINT64_MAX), HEAT_COLD);
}
END_TEST

START_TEST(old_samples_fade_sample_by_sample)
{
	unsigned int it = first_sample(7, 0), rounds = 0;

	while (it > HEAT_COLD && rounds++ < 10) {
		unsigned int next = first_sample(7, HEAT_WINDOW_NS);

		ck_assert_uint_eq(next, (it + HEAT_COLD) / 2);
		it = next;
	}
	ck_assert_uint_eq(it, HEAT_COLD);
	ck_assert_uint_eq(rounds, 6);
	ck_assert_uint_eq(first_sample(7, 0), (HEAT_COLD + HEAT_MAX) / 2);
}
END_TEST

START_TEST(moved_block_counts_for_nothing_until_a_window_has_passed)
{
	uint64_t moved_ns = NOW + HEAT_WINDOW_NS / 3;

	first_sample(513, 0);
	first_sample(514, 0);
	heat_moved(heat, 513, moved_ns);
	heat_moved(heat, 9000000, moved_ns); /* of a GiB of which nothing is known */
	ck_assert_uint_eq(heat_of(heat, 514, moved_ns), HEAT_MAX);
	ck_assert(!heat_was_moved(heat, 514, moved_ns));
	for (uint64_t passed = 0; passed <= HEAT_WINDOW_NS; passed += HEAT_WINDOW_NS / 4) {
		ck_assert_uint_eq(heat_of(heat, 513, moved_ns + passed), HEAT_UNKNOWN);
		ck_assert(heat_was_moved(heat, 513, moved_ns + passed));
	}
	/* Then it is what it was, however long ago that is by now. */
	for (unsigned int windows = 2; windows < 8; windows++) {
		ck_assert_uint_eq(heat_of(heat, 513, moved_ns + windows * HEAT_WINDOW_NS),
				  HEAT_MAX);
		ck_assert(!heat_was_moved(heat, 513, moved_ns + windows * HEAT_WINDOW_NS));
	}
	/* Another one that moves later does not bring it back. */
	heat_moved(heat, 514, moved_ns + 4 * HEAT_WINDOW_NS);
	ck_assert_uint_eq(heat_of(heat, 513, moved_ns + 4 * HEAT_WINDOW_NS), HEAT_MAX);
}
END_TEST

static unsigned int reported(uint64_t block, uint32_t share_ppm)
{
	ck_assert_int_eq(heat_report(heat, block, share_ppm, NOW), 0);
	return heat_of(heat, block, NOW);
}

START_TEST(report_is_the_hotter_the_larger_its_share)
{
	unsigned int last = HEAT_COLD, it;
	uint64_t block = 0;

	ck_assert_uint_eq(reported(block++, 0), HEAT_COLD);
	ck_assert(heat_is_known(heat));
	ck_assert_uint_eq(reported(block++, 1), HEAT_COLD + 1);
	for (uint32_t ppm = 1; ppm < 1000000; ppm += 7919, last = it) {
		it = reported(block++, ppm);
		ck_assert_uint_ge(it, last);
		ck_assert_uint_le(it, last + 1);
	}
	ck_assert_uint_eq(reported(block++, HEAT_HOT_PPM - 1), HEAT_HOT - 1);
	ck_assert_uint_eq(reported(block++, HEAT_HOT_PPM), HEAT_HOT);
	ck_assert_uint_eq(reported(block++, 1000000), HEAT_MAX);
}
END_TEST

/* The first share of a heat, by halving: heats do not fall with their shares. */
static uint32_t least_share(unsigned int wanted)
{
	static uint64_t block;
	uint32_t low = 0, high = 1000000;

	while (low < high) {
		uint32_t middle = (low + high) / 2;

		if (reported(block++, middle) >= wanted)
			high = middle;
		else
			low = middle + 1;
	}
	return low;
}

START_TEST(steps_of_reported_heat_are_equally_wide_below_what_is_hot_and_above)
{
	uint32_t below = least_share(HEAT_COLD + 3) - least_share(HEAT_COLD + 2);
	uint32_t above = least_share(HEAT_HOT + 2) - least_share(HEAT_HOT + 1);

	for (unsigned int it = HEAT_COLD + 2; it + 1 < HEAT_HOT; it++)
		ck_assert_uint_eq(least_share(it + 1) - least_share(it), below);
	for (unsigned int it = HEAT_HOT; it + 2 < HEAT_MAX; it++)
		ck_assert_uint_eq(least_share(it + 1) - least_share(it), above);
	ck_assert_uint_eq(least_share(HEAT_COLD), 0);
	ck_assert_uint_eq(least_share(HEAT_COLD + 1), 1);
	ck_assert_uint_eq(least_share(HEAT_HOT), HEAT_HOT_PPM);
	/* Only a block that was always used is as hot as can be. */
	ck_assert_uint_eq(least_share(HEAT_MAX), 1000000);
	ck_assert_uint_lt(999999 - least_share(HEAT_MAX - 1), above);
}
END_TEST

START_TEST(report_and_sample_take_each_others_place_and_fade_alone)
{
	struct heat_sum sum;

	first_sample(7, 0);
	ck_assert_uint_eq(reported(7, 0), HEAT_COLD);
	ck_assert_uint_eq(reported(7, 1000000), (HEAT_COLD + HEAT_MAX) / 2);
	first_sample(8, 0);
	heat_sum(heat, 0, 512, NOW, &sum);
	ck_assert_uint_eq(sum.hot, 2);
	ck_assert_uint_eq(sum.reported, 1);
	ck_assert_uint_eq(first_sample(7, HEAT_WINDOW_NS), HEAT_COLD);
	heat_sum(heat, 0, 512, NOW, &sum);
	ck_assert_uint_eq(sum.reported, 0);
}
END_TEST

START_TEST(report_of_a_block_just_moved_counts_for_nothing)
{
	const uint64_t later = NOW + 2 * HEAT_WINDOW_NS;

	ck_assert_uint_eq(reported(3, 1000000), HEAT_MAX);
	heat_moved(heat, 3, NOW);
	ck_assert_uint_eq(heat_of(heat, 3, NOW), HEAT_UNKNOWN);
	ck_assert_int_eq(heat_report(heat, 3, 0, NOW), -EAGAIN);
	ck_assert_uint_eq(heat_of(heat, 3, later), HEAT_MAX);
	ck_assert_int_eq(heat_report(heat, 3, 0, later), 0);
	ck_assert_int_eq(heat_report(heat, 1ull << 27, 0, NOW), -ENOMEM);
}
END_TEST

START_TEST(sum_has_each_block_once_and_the_nodes_of_those_who_missed_them)
{
	struct heat_sum sum;

	heat_sum(heat, 512, 512, NOW, &sum);
	ck_assert_uint_eq(sum.hot + sum.warm + sum.cold, 0);
	ck_assert_uint_eq(sum.newest_ns, 0);
	for (uint64_t i = 0; i < 10; i++)
		heat_note(heat, 512 + i, 0, i < 3 ? 1 : 40, NOW + i);
	heat_note(heat, 600, 100000000, 1, NOW + 3);
	for (uint64_t i = 0; i < 5; i++)
		heat_note(heat, 700 + i, HEAT_WINDOW_NS, GMIG_NO_NODE, NOW + 2);
	heat_note(heat, 1024, 0, 2, NOW + 50); /* of the next GiB */
	heat_sum(heat, 512, 512, NOW + 100, &sum);
	ck_assert_uint_eq(sum.hot, 10);
	ck_assert_uint_eq(sum.warm, 1);
	ck_assert_uint_eq(sum.cold, 5);
	ck_assert_uint_eq(sum.newest_ns, NOW + 2); /* the one that was noted last */
	ck_assert_uint_eq(sum.by[0].node, 40);
	ck_assert_uint_eq(sum.by[0].blocks, 7);
	ck_assert_uint_eq(sum.by[1].node, 1);
	ck_assert_uint_eq(sum.by[1].blocks, 4);
	ck_assert_uint_eq(sum.by[2].blocks, 0);
	/* A part of it. */
	heat_sum(heat, 514, 100, NOW + 100, &sum);
	ck_assert_uint_eq(sum.hot, 8);
	ck_assert_uint_eq(sum.warm, 1);
	ck_assert_uint_eq(sum.cold, 0);
	heat_forget(heat, 512);
	heat_moved(heat, 513, NOW + 100);
	heat_sum(heat, 512, 512, NOW + 100, &sum);
	ck_assert_uint_eq(sum.hot, 8);
}
END_TEST

START_TEST(more_nodes_than_are_told_leave_those_of_most_blocks)
{
	struct heat_sum sum;
	uint64_t block = 0;

	for (unsigned int node = 0; node < 20; node++)
		for (unsigned int i = 0; i <= node; i++)
			heat_note(heat, block++, 0, node, NOW);
	/* One with a number that no byte has is nobody. */
	heat_note(heat, block++, 0, 1000, NOW);
	heat_sum(heat, 0, 512, NOW, &sum);
	for (unsigned int i = 0; i < HEAT_NODES; i++) {
		ck_assert_uint_eq(sum.by[i].node, 19 - i);
		ck_assert_uint_eq(sum.by[i].blocks, 20 - i);
	}
}
END_TEST

START_TEST(all_of_256_tib_can_be_known_and_nothing_beyond)
{
	const uint64_t end = 1ull << 27;

	ck_assert_uint_eq(first_sample(end - 1, 0), HEAT_MAX);
	ck_assert_int_eq(heat_note(heat, end, 0, 0, NOW), -ENOMEM);
	ck_assert_uint_eq(heat_of(heat, end, NOW), HEAT_UNKNOWN);
}
END_TEST

/* Each share is one heat, and the next share the next one. */
START_TEST(reported_heat_is_exact)
{
	static const struct {
		uint32_t ppm;
		unsigned int heat;
	} cases[] = {{0, HEAT_COLD}, {1, 2},	    {20833, 2},	  {20834, 3},	{479181, 24},
		     {479182, 25},   {499999, 25},  {500000, 26}, {513888, 26}, {513889, 27},
		     {999999, 61},   {1000000, 62}, {2000000, 62}};

	for (unsigned int i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
		ck_assert_uint_eq(reported(i, cases[i].ppm), cases[i].heat);
}
END_TEST

START_TEST(sampled_heat_is_exact)
{
	static const struct {
		uint64_t after_ns;
		unsigned int heat;
	} cases[] = {{0, 62},
		     {HEAT_WINDOW_NS >> 15, 62},
		     {(HEAT_WINDOW_NS >> 15) + 1, 61},
		     {HEAT_WINDOW_NS / 5, 11},
		     {HEAT_WINDOW_NS / 2, 6},
		     {HEAT_WINDOW_NS / 2 + 1, 5},
		     {HEAT_WINDOW_NS / 4, 10},
		     {HEAT_WINDOW_NS / 4 + 1, 9},
		     {HEAT_WINDOW_NS / 64, 26},
		     {HEAT_WINDOW_NS / 64 + 1, 25},
		     {HEAT_WINDOW_NS - 1, 2},
		     {HEAT_WINDOW_NS, 1}};

	for (unsigned int i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
		ck_assert_msg(first_sample(i, cases[i].after_ns) == cases[i].heat, "%u: %u", i,
			      heat_of(heat, i, NOW));
}
END_TEST

/* Two samples, or two reports: the mean, rounded down. Of one of each the newer. */
START_TEST(mean_is_rounded_down)
{
	first_sample(3, HEAT_WINDOW_NS / 2);
	ck_assert_uint_eq(first_sample(3, HEAT_WINDOW_NS / 4 + 1), 7); /* of 6 and 9 */
	reported(4, 20834);
	ck_assert_uint_eq(reported(4, 1000000), 32); /* of 3 and 62 */
	ck_assert_uint_eq(first_sample(4, HEAT_WINDOW_NS), HEAT_COLD);
	ck_assert_uint_eq(reported(4, 1000000), HEAT_MAX);
	/* A neighbour's, of the same word, is its own. */
	ck_assert_uint_eq(first_sample(5, 0), HEAT_MAX);
	ck_assert_uint_eq(reported(6, 0), HEAT_COLD);
	ck_assert_uint_eq(reported(5, 0), HEAT_COLD);
}
END_TEST

START_TEST(sum_of_one_block_of_each_kind_is_exact)
{
	struct heat_sum sum;

	for (unsigned int kind = 0; kind < 4; kind++) {
		heat_note(heat, kind * 512 + 511,
			  kind == 0   ? 0
			  : kind == 1 ? HEAT_WINDOW_NS / 64 + 1
				      : HEAT_WINDOW_NS,
			  kind == 2 ? 254 : 255, NOW + kind);
		heat_sum(heat, kind * 512, 512, NOW, &sum);
		ck_assert_uint_eq(sum.hot, kind == 0);
		ck_assert_uint_eq(sum.warm, kind == 1);
		ck_assert_uint_eq(sum.cold, kind >= 2);
		ck_assert_uint_eq(sum.reported, 0);
		ck_assert_uint_eq(sum.newest_ns, NOW + kind);
		ck_assert_uint_eq(sum.by[0].blocks, kind == 2);
		ck_assert_uint_eq(sum.by[0].node, kind == 2 ? 254 : 0);
	}
	/* As many cold as hot and warm ones. */
	heat_note(heat, 510, HEAT_WINDOW_NS, GMIG_NO_NODE, NOW + 9);
	heat_sum(heat, 0, 512, NOW, &sum);
	ck_assert_uint_eq(sum.newest_ns, NOW + 9);
	heat_note(heat, 512 + 510, 0, GMIG_NO_NODE, NOW + 9);
	heat_sum(heat, 512, 512, NOW, &sum);
	ck_assert_uint_eq(sum.newest_ns, NOW + 9);
	/* The last one hot enough. */
	heat_note(heat, 4096, HEAT_WINDOW_NS / 64, GMIG_NO_NODE, NOW);
	heat_sum(heat, 4096, 1, NOW, &sum);
	ck_assert_uint_eq(sum.hot, 1);
	heat_sum(heat, 4097, 10, NOW, &sum);
	ck_assert_uint_eq(sum.hot, 0);
	ck_assert_uint_eq(sum.newest_ns, 0);
}
END_TEST

START_TEST(sum_ends_with_its_gib)
{
	struct heat_sum sum;

	first_sample(511, 0);
	first_sample(512, 0);
	heat_sum(heat, 511, 100, NOW, &sum);
	ck_assert_uint_eq(sum.hot, 1);
	reported(513, 0);
	reported(512 + 64, 0);
	reported(512 + 511, 0);
	heat_sum(heat, 512, 512, NOW, &sum);
	ck_assert_uint_eq(sum.reported, 3);
	ck_assert_uint_eq(sum.cold, 3);
	ck_assert_uint_eq(sum.hot, 1);
}
END_TEST

START_TEST(nodes_of_as_many_blocks_come_in_their_order)
{
	struct heat_sum sum;

	for (unsigned int i = 0; i < 9; i++)
		heat_note(heat, i, 0, 200 - i, NOW);
	heat_note(heat, 20, 0, 3, NOW);
	heat_note(heat, 21, 0, 3, NOW);
	heat_sum(heat, 0, 512, NOW, &sum);
	ck_assert_uint_eq(sum.by[0].node, 3);
	ck_assert_uint_eq(sum.by[0].blocks, 2);
	for (unsigned int i = 1; i < HEAT_NODES; i++) {
		ck_assert_uint_eq(sum.by[i].node, 191 + i);
		ck_assert_uint_eq(sum.by[i].blocks, 1);
	}
}
END_TEST

/* Who missed it last stays, where a later sample does not say who. */
START_TEST(node_of_a_block_is_the_last_that_was_told_and_is_forgotten_with_it)
{
	struct heat_sum sum;

	heat_note(heat, 7, 0, 2, NOW);
	heat_note(heat, 7, 0, 5, NOW);
	heat_note(heat, 7, 0, GMIG_NO_NODE, NOW);
	heat_sum(heat, 0, 512, NOW, &sum);
	ck_assert_uint_eq(sum.by[0].node, 5);
	ck_assert_uint_eq(sum.by[0].blocks, 1);
	heat_forget(heat, 7);
	heat_note(heat, 7, 0, GMIG_NO_NODE, NOW);
	heat_sum(heat, 0, 512, NOW, &sum);
	ck_assert_uint_eq(sum.hot, 1);
	ck_assert_uint_eq(sum.by[0].blocks, 0);
	heat_forget(heat, 1ull << 40); /* of which nothing can be known */
	heat_destroy(NULL);
}
END_TEST

/* Of a leaf, and of a GiB in it, the first and the last. */
START_TEST(blocks_far_apart_are_known_each)
{
	static const uint64_t blocks[] = {0, 511, 511 * 512, 512 * 512, (1ull << 27) - 512};

	for (unsigned int i = 0; i < 5; i++)
		ck_assert_int_eq(heat_report(heat, blocks[i], i * 200000, NOW), 0);
	ck_assert_uint_eq(heat_of(heat, blocks[0], NOW), HEAT_COLD);
	ck_assert_uint_eq(heat_of(heat, blocks[1], NOW), 11);
	ck_assert_uint_eq(heat_of(heat, blocks[2], NOW), 21);
	ck_assert_uint_eq(heat_of(heat, blocks[3], NOW), 33);
	ck_assert_uint_eq(heat_of(heat, blocks[4], NOW), 47);
	ck_assert_uint_eq(heat_of(heat, 1024, NOW), HEAT_UNKNOWN);
}
END_TEST

int main(void)
{
	const TTest *const tests[] = {
	    block_is_the_hotter_the_sooner_it_is_missed,
	    old_samples_fade_sample_by_sample,
	    moved_block_counts_for_nothing_until_a_window_has_passed,
	    report_is_the_hotter_the_larger_its_share,
	    steps_of_reported_heat_are_equally_wide_below_what_is_hot_and_above,
	    report_and_sample_take_each_others_place_and_fade_alone,
	    report_of_a_block_just_moved_counts_for_nothing,
	    sum_has_each_block_once_and_the_nodes_of_those_who_missed_them,
	    more_nodes_than_are_told_leave_those_of_most_blocks,
	    all_of_256_tib_can_be_known_and_nothing_beyond,
	    reported_heat_is_exact,
	    sampled_heat_is_exact,
	    mean_is_rounded_down,
	    sum_of_one_block_of_each_kind_is_exact,
	    sum_ends_with_its_gib,
	    nodes_of_as_many_blocks_come_in_their_order,
	    node_of_a_block_is_the_last_that_was_told_and_is_forgotten_with_it,
	    blocks_far_apart_are_known_each,
	};

	return run_tests("heat", set_up, tear_down, tests, sizeof(tests) / sizeof(tests[0]));
}
