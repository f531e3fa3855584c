/* A job's work set, over a memory that is an array: which blocks are in it, with how many pages, and in which order. */
#include "../../migrate/core/permute.h"
#include "../../migrate/jobs/plan_pages.h"
#include "../../migrate/jobs/plan_touch.h"
#include "../../migrate/jobs/workset.h"
#include "suite.h"

#include <errno.h>
#include <stdlib.h>

#define BLOCKS	256u
#define B	GMIG_BLOCK_PAGES
#define PAGES	(BLOCKS * B)
#define NOWHERE GMIG_NO_NODE

static uint16_t node_of[PAGES];
static bool huge[BLOCKS];
static unsigned int visits, walk_fails_at;

static struct plan plan;
static struct workset work;
static struct workset_options options;
static struct memory_range ranges[2];

static int walk(void *arg, uint64_t gfn, uint64_t pages, shadow_visit *visit, void *visit_arg)
{
	int ret = 0;

	ck_assert_ptr_eq(arg, node_of);
	for (uint64_t at = gfn; at < gfn + pages && !ret; at += huge[at / B] ? B : 1) {
		const struct shadow_entry entry = {
		    .state = node_of[at] == NOWHERE ? SHADOW_NONE : SHADOW_PRESENT,
		    .order = huge[at / B] ? 9 : 0,
		    .node = node_of[at],
		};

		ret = ++visits == walk_fails_at ? -EIO : visit(visit_arg, at, &entry);
	}
	return ret;
}

static void setup(void)
{
	for (unsigned int i = 0; i < PAGES; i++)
		node_of[i] = NOWHERE;
	memset(huge, 0, sizeof(huge));
	visits = walk_fails_at = 0;
	ranges[0] = (struct memory_range){0, PAGES};
	options = (struct workset_options){
	    .ranges = ranges, .range_count = 1, .walk = walk, .walk_arg = node_of};
	work = (struct workset){.word = NULL};
}

static void teardown(void)
{
	workset_free(&work);
	ck_assert_ptr_null(work.word);
	ck_assert_ptr_null(work.maps);
	ck_assert_uint_eq(work.count, 0);
	plan_destroy(&plan);
}

static void put(uint64_t block, unsigned int first, unsigned int count, uint16_t node)
{
	for (unsigned int i = first; i < first + count; i++)
		node_of[block * B + i] = node;
}

static void put_huge(uint64_t block, uint16_t node)
{
	put(block, 0, B, node);
	huge[block] = true;
}

/* to[node]: where it goes; '-': it stays. */
static void plan_nodes(const char *to)
{
	struct plan_map map;

	for (unsigned int node = 0; node < GMIG_MAX_NODES; node++)
		map.to[node] = GMIG_NO_NODE;
	for (unsigned int node = 0; to[node]; node++)
		if (to[node] != '-')
			map.to[node] = (uint16_t)(to[node] - '0');
	plan_create(&map, &plan);
}

/* All pages of a list, which goes by address. */
static void plan_list(uint16_t node)
{
	struct page_list *list = page_list_create(1);

	list->run[0] = (struct page_run){0, node, PAGES};
	plan_pages_create(list, &plan);
}

static void build(void)
{
	workset_free(&work);
	visits = 0;
	ck_assert_int_eq(workset_build(&plan, &options, &work), 0);
}

static void assert_blocks(const unsigned int *blocks, size_t count)
{
	ck_assert_uint_eq(work.count, count);
	for (size_t i = 0; i < count; i++)
		ck_assert_uint_eq(workset_gfn(work.word[i]) / B, blocks[i]);
}
#define ASSERT_BLOCKS(...)                                                                         \
	assert_blocks((const unsigned int[]){__VA_ARGS__},                                         \
		      sizeof((const unsigned int[]){__VA_ARGS__}) / sizeof(unsigned int))

static void assert_refused(int error)
{
	workset_free(&work);
	visits = 0;
	ck_assert_int_eq(workset_build(&plan, &options, &work), error);
	ck_assert_ptr_null(work.word);
	ck_assert_ptr_null(work.maps);
	ck_assert_uint_eq(work.count, 0);
	ck_assert_uint_eq(work.pages, 0);
}

/* ---- Which blocks, and how much of them --------------------------------------------------------- */

START_TEST(set_counts_the_pages_of_each_block_and_what_is_to_be_left)
{
	plan_nodes("1");
	put(0, 7, 1, 0);
	put(1, 0, 511, 0);
	put(1, 511, 1, 1);
	put_huge(2, 0);
	put_huge(3, 1);
	put(4, 0, 5, 2);
	put(255, 511, 1, 0);
	build();
	ASSERT_BLOCKS(0, 1, 2, 255);
	ck_assert_uint_eq(workset_pages(work.word[0]), 1);
	ck_assert_uint_eq(workset_pages(work.word[1]), 511);
	ck_assert_uint_eq(workset_pages(work.word[2]), 512);
	ck_assert_uint_eq(workset_pages(work.word[3]), 1);
	ck_assert_uint_eq(work.pages, 1 + 511 + 512 + 1);
	ck_assert_uint_eq(work.on_left, work.pages);
	ck_assert_uint_eq(work.map_count, 0);
	/* To a node that is left itself: that one alone is emptied. */
	plan_nodes("12");
	build();
	ck_assert_uint_eq(work.pages, 1025 + 1 + 512);
	ck_assert_uint_eq(work.on_left, 1025);
}
END_TEST

START_TEST(page_on_a_node_that_cannot_be_is_left_out)
{
	plan_list(1);
	put(0, 0, 3, GMIG_MAX_NODES - 1);
	put(0, 10, 3, GMIG_MAX_NODES);
	build();
	ASSERT_BLOCKS(0);
	ck_assert_uint_eq(work.pages, 3);
}
END_TEST

START_TEST(each_range_is_walked_by_itself)
{
	plan_nodes("1");
	for (unsigned int block = 0; block < 8; block++)
		put(block, 0, block + 1, 0);
	ranges[0] = (struct memory_range){B, 2 * B};
	ranges[1] = (struct memory_range){5 * B, B};
	options.range_count = 2;
	build();
	ASSERT_BLOCKS(1, 2, 5);
	ck_assert_uint_eq(work.pages, 2 + 3 + 6);
	ck_assert_uint_eq(workset_pages(work.word[2]), 6);
	ck_assert_uint_eq(visits, 3 * B);
	options.range_count = 0;
	build();
	ck_assert_uint_eq(work.count, 0);
}
END_TEST

START_TEST(second_look_leaves_out_what_lies_on_a_target)
{
	plan_nodes("12");
	put(0, 0, 10, 0);
	put(0, 10, 20, 1);
	put_huge(1, 1);
	options.late = true;
	build();
	ASSERT_BLOCKS(0);
	ck_assert_uint_eq(work.pages, 10);
	/* Which pages: others may come to lie beside them. */
	ck_assert_uint_eq(work.on_left, 10);
	ck_assert_uint_eq(bits_count(workset_only(&work, work.word[0])), 10);
}
END_TEST

/* ---- What cannot be done ------------------------------------------------------------------------- */

static unsigned int stops, stop_at;

static bool stop(void *arg)
{
	ck_assert_ptr_eq(arg, &stops);
	return ++stops == stop_at;
}

START_TEST(stop_is_asked_once_a_block_and_leaves_nothing)
{
	plan_nodes("1");
	for (unsigned int block = 0; block < 5; block++)
		put(2 * block, 3, 100, (uint16_t)(block % 2));
	options.stop = stop;
	options.stop_arg = &stops;
	build();
	ck_assert_uint_eq(stops, 5);
	ck_assert_uint_eq(work.count, 3);
	for (stop_at = 1; stop_at <= 5; stop_at++) {
		stops = 0;
		assert_refused(-ECANCELED);
		ck_assert_uint_eq(stops, stop_at);
		ck_assert_uint_eq(visits, 2 * (stop_at - 1) * B + 4);
	}
}
END_TEST

START_TEST(walk_that_fails_leaves_nothing)
{
	plan_nodes("10");
	put(0, 3, 100, 0);
	put(1, 3, 100, 0);
	for (walk_fails_at = 1; walk_fails_at < 1000; walk_fails_at += 111)
		assert_refused(-EIO);
	walk_fails_at = 0;
	build();
	ck_assert_uint_eq(work.pages, 200);
}
END_TEST

static int walk_too_far(void *arg, uint64_t gfn, uint64_t pages, shadow_visit *visit,
			void *visit_arg)
{
	return walk(arg, gfn, pages + B, visit, visit_arg);
}

START_TEST(walk_beyond_the_ranges_is_refused)
{
	plan_nodes("1");
	for (unsigned int block = 0; block < 3; block++)
		put(block, 3, 100, 0);
	ranges[0].pages = 2 * B;
	options.walk = walk_too_far;
	assert_refused(-ENOSPC);
	put(1, 0, B, NOWHERE); /* there is room for what is found */
	build();
	ASSERT_BLOCKS(0, 2);
}
END_TEST

/* ---- A part ------------------------------------------------------------------------------------- */

static unsigned int rank_of[BLOCKS];

static unsigned int rank(void *arg, uint64_t gfn)
{
	ck_assert_ptr_eq(arg, rank_of);
	ck_assert_uint_eq(gfn % B, 0);
	return rank_of[gfn / B];
}

/* The same whether blocks are left out as they are found (0, by address) or at the end. */
START_TEST(block_that_is_too_much_leaves_room_for_a_smaller_one)
{
	plan_nodes(_i == 2 ? "22" : "1");
	put(0, 0, 512, 0);
	put(1, 0, 300, 0);
	put_huge(2, 0);
	put(3, 0, 100, 0);
	put(4, 0, 88, 0);
	put(5, 0, 88, 0);
	if (_i == 1) {
		options.rank = rank;
		options.rank_arg = rank_of;
	}
	options.max_pages = 700;
	build();
	ASSERT_BLOCKS(0, 3, 4);
	ck_assert_uint_eq(work.pages, 700);
	/* That is all there may be: by address nobody looks further. */
	if (_i == 0)
		ck_assert_uint_eq(visits, 2 * B + 1 + 2 * B + 1);
	options.max_pages = 699;
	build();
	ASSERT_BLOCKS(0, 3);
	ck_assert_uint_eq(work.pages, 612);
	options.max_pages = 87;
	build();
	ck_assert_uint_eq(work.count, 0);
	options.max_pages = 1600;
	build();
	ASSERT_BLOCKS(0, 1, 2, 3, 4, 5);
	ck_assert_uint_eq(work.pages, 1600);
}
END_TEST

START_TEST(part_is_what_comes_first_in_the_order)
{
	plan_nodes("1");
	put(0, 0, 512, 0);
	put(1, 0, 300, 0);
	put_huge(2, 0);
	put(3, 0, 100, 0);
	for (unsigned int i = 0; i < 4; i++)
		rank_of[i] = i != 2;
	options.max_pages = 700;
	options.rank = rank;
	options.rank_arg = rank_of;
	build();
	ASSERT_BLOCKS(2, 3);
	/* Node 1 is left before node 0. */
	options.rank = NULL;
	put(1, 0, 300, 1);
	put(3, 0, 300, 1);
	plan_nodes("12");
	build();
	ASSERT_BLOCKS(1, 3);
	ck_assert_uint_eq(work.pages, 600);
}
END_TEST

/* ---- Order --------------------------------------------------------------------------------------- */

START_TEST(node_with_the_lower_number_has_a_block_that_is_half_and_half)
{
	plan_nodes("23");
	put(0, 0, 9, 1);
	put(1, 0, 256, 1);
	put(1, 256, 256, 0);
	put(2, 0, 255, 0);
	put(2, 255, 256, 1);
	build();
	ASSERT_BLOCKS(1, 0, 2);
	ck_assert_uint_eq(workset_pages(work.word[0]), 512);
	ck_assert_uint_eq(workset_pages(work.word[2]), 511);
}
END_TEST

START_TEST(nodes_of_a_cycle_take_turns_and_others_go_whole)
{
	/* 0 <-> 2; 1 -> 3 -> 4 */
	plan_nodes("2304");
	for (unsigned int i = 0; i < 12; i++)
		put(i, 0, 1 + i, (uint16_t)(i < 3 ? 0 : i < 5 ? 2 : i < 8 ? 1 : 3));
	build();
	ASSERT_BLOCKS(8, 9, 10, 11, 5, 6, 7, 0, 3, 1, 4, 2);
	plan_nodes("120");
	for (unsigned int i = 0; i < 12; i++)
		put(i, 0, B, NOWHERE);
	for (unsigned int i = 0; i < 6; i++)
		put(i, 0, B, (uint16_t)(i < 1 ? 2 : i < 4 ? 1 : 0));
	build();
	ASSERT_BLOCKS(4, 1, 0, 5, 2, 3);
}
END_TEST

START_TEST(blocks_of_a_rank_go_by_address)
{
	plan_list(5);
	for (unsigned int i = 0; i < 8; i++)
		put(i, 0, 1 + i, (uint16_t)(i % 2));
	rank_of[0] = rank_of[5] = WORKSET_RANKS - 1;
	rank_of[1] = rank_of[4] = 1;
	rank_of[2] = rank_of[7] = 0;
	rank_of[3] = rank_of[6] = WORKSET_RANKS - 2;
	options.rank = rank;
	options.rank_arg = rank_of;
	build();
	ASSERT_BLOCKS(2, 7, 1, 4, 3, 6, 0, 5);
	ck_assert_uint_eq(workset_pages(work.word[0]), 3);
	plan_destroy(&plan);
	/* Of each node by itself: node 1 is left first. */
	plan_nodes("12");
	build();
	ASSERT_BLOCKS(7, 1, 3, 5, 2, 4, 6, 0);
}
END_TEST

/* Whichever node they lie on. */
START_TEST(blocks_that_go_to_their_touchers_go_by_address)
{
	const struct gmig_job_spec spec = {
	    .from = {0, 1}, .from_count = 2, .to = {1, 2}, .to_count = 2};

	plan_touch_create(&spec, &plan);
	for (unsigned int i = 0; i < 6; i++)
		put(i, 0, 1 + i, (uint16_t)(i % 3));
	build();
	ASSERT_BLOCKS(0, 1, 3, 4);
	ck_assert_uint_eq(work.pages, 1 + 2 + 4 + 5);
}
END_TEST

START_TEST(random_order_is_a_permutation_of_each_node)
{
	struct permute permute;

	plan_nodes("12");
	for (unsigned int i = 0; i < 100; i++)
		put(i, 0, 1 + i, i < 60);
	options.random_seed = 77;
	build();
	ck_assert_uint_eq(work.count, 100);
	/* Node 1 has the first 60 and is left first. */
	permute_init(&permute, 60, 78);
	for (unsigned int i = 0; i < 60; i++)
		ck_assert_uint_eq(workset_gfn(work.word[i]) / B, permute_at(&permute, i));
	permute_init(&permute, 40, 77);
	for (unsigned int i = 0; i < 40; i++)
		ck_assert_uint_eq(workset_gfn(work.word[60 + i]) / B, 60 + permute_at(&permute, i));
	plan_list(5);
	build();
	permute_init(&permute, 100, 77);
	for (unsigned int i = 0; i < 100; i++) {
		ck_assert_uint_eq(workset_gfn(work.word[i]) / B, permute_at(&permute, i));
		ck_assert_uint_eq(workset_pages(work.word[i]), permute_at(&permute, i) + 1);
	}
}
END_TEST

/* ---- Which pages of a block ------------------------------------------------------------------------ */

/* More blocks with holes than their maps have room for at first, and once more. */
START_TEST(each_block_of_a_cycle_with_holes_has_its_pages_remembered)
{
	plan_nodes("10");
	for (unsigned int i = 0; i < BLOCKS; i++) {
		put(i, 0, B, (uint16_t)(i % 2));
		if (i % 3)
			put(i, i, i % 3, NOWHERE);
	}
	build();
	ck_assert_uint_eq(work.count, BLOCKS);
	ck_assert_uint_eq(work.map_count, BLOCKS - 86);
	for (unsigned int i = 0; i < BLOCKS; i++) {
		unsigned int block = (unsigned int)(workset_gfn(work.word[i]) / B);
		const struct bits *only = workset_only(&work, work.word[i]);

		ck_assert_int_eq(only != NULL, block % 3 != 0);
		ck_assert_uint_eq(workset_pages(work.word[i]), B - block % 3);
		if (!only)
			continue;
		ck_assert_uint_eq(bits_count(only), B - block % 3);
		ck_assert(!bits_get(only, block));
		ck_assert_int_eq(bits_get(only, block + 1), block % 3 == 1);
	}
}
END_TEST

int main(void)
{
	const TTest *const tests[] = {
	    set_counts_the_pages_of_each_block_and_what_is_to_be_left,
	    page_on_a_node_that_cannot_be_is_left_out,
	    each_range_is_walked_by_itself,
	    second_look_leaves_out_what_lies_on_a_target,
	    stop_is_asked_once_a_block_and_leaves_nothing,
	    walk_that_fails_leaves_nothing,
	    walk_beyond_the_ranges_is_refused,
	    part_is_what_comes_first_in_the_order,
	    blocks_that_go_to_their_touchers_go_by_address,
	    node_with_the_lower_number_has_a_block_that_is_half_and_half,
	    nodes_of_a_cycle_take_turns_and_others_go_whole,
	    blocks_of_a_rank_go_by_address,
	    random_order_is_a_permutation_of_each_node,
	    each_block_of_a_cycle_with_holes_has_its_pages_remembered,
	};
	Suite *suite = suite_create("workset");
	TCase *tcase = tcase_create("workset");

	tcase_set_timeout(tcase, 60);
	tcase_add_checked_fixture(tcase, setup, teardown);
	for (size_t i = 0; i < sizeof(tests) / sizeof(tests[0]); i++)
		tcase_add_test(tcase, tests[i]);
	tcase_add_loop_test(tcase, block_that_is_too_much_leaves_room_for_a_smaller_one, 0, 3);
	suite_add_tcase(suite, tcase);
	return run_suite(suite);
}
