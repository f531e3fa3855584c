#include "../../migrate/core/topology.h"
#include "../../migrate/jobs/plan_policy.h"
#include "../../migrate/jobs/workset.h"

#include <check.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

enum { BLOCKS = 64, PAGES = BLOCKS * 512 };
#define STAY GMIG_NO_NODE

static struct shadow *shadow;
static struct plan plan;
static struct workset work;

static void setup(void)
{
	ck_assert_int_eq(shadow_create(NULL, &shadow), 0);
	ck_assert_int_eq(shadow_reserve(shadow, 0, PAGES), 0);
	work = (struct workset){.word = NULL};
	srand(11);
}

static void teardown(void)
{
	workset_free(&work);
	shadow_destroy(shadow);
}

static void put(uint64_t gfn, unsigned int order, unsigned int node)
{
	struct shadow_change touch = {gfn, order, SHADOW_TOUCH, (uint16_t)node, 0};

	ck_assert_int_eq(shadow_change(shadow, &touch, NULL, NULL), 0);
}

static struct gmig_job_spec spec_of(const char *from, const char *to)
{
	struct gmig_job_spec spec = {.from_count = 0};

	for (; *from; from++)
		spec.from[spec.from_count++] = (uint8_t)(*from - '0');
	for (; *to; to++)
		spec.to[spec.to_count++] = (uint8_t)(*to - '0');
	return spec;
}

static struct plan_map map_of(const char *from, const char *to)
{
	struct gmig_job_spec spec = spec_of(from, to);
	const struct gmig_node_set eight = {{0xff}};
	const struct gmig_topology host = {.possible = eight, .online = eight, .memory = eight};
	struct gmig_error err = {0};
	struct plan_map map;

	ck_assert_msg(!plan_map_build(&spec, &host, &eight, &map, &err), "%s", err.text);
	return map;
}

static int walk(void *arg, uint64_t gfn, uint64_t pages, shadow_visit *visit, void *visit_arg)
{
	return shadow_walk(arg, gfn, pages, visit, visit_arg);
}

static void build_ranges(const struct plan_map *map, const struct memory_range *ranges,
			 size_t count, bool late)
{
	const struct workset_options options = {
	    .ranges = ranges, .range_count = count, .walk = walk, .walk_arg = shadow, .late = late};

	workset_free(&work);
	plan_create(map, &plan);
	ck_assert_int_eq(workset_build(&plan, &options, &work), 0);
}

static void build(const struct plan_map *map)
{
	const struct memory_range all = {0, PAGES};

	build_ranges(map, &all, 1, false);
}

/* ---- Which blocks --------------------------------------------------------------------------- */

START_TEST(plan_without_anything_to_move_is_empty)
{
	struct plan_map map = map_of("0", "1");

	put(0, 9, 1);
	build(&map);
	ck_assert_uint_eq(work.count, 0);
	ck_assert_uint_eq(work.pages, 0);
	build_ranges(&map, NULL, 0, false);
	ck_assert_uint_eq(work.count, 0);
}
END_TEST

START_TEST(set_has_what_lies_on_a_from_node_also_when_another_job_holds_it)
{
	struct plan_map map = map_of("0", "1");
	struct shadow_change claim = {1024, 9, SHADOW_CLAIM, 1, 5};

	put(512, 9, 0);
	put(1024, 9, 0);
	ck_assert_int_eq(shadow_change(shadow, &claim, NULL, NULL), 0);
	put(1536, 9, 2);
	ck_assert_int_eq(shadow_split(shadow, 2048), 0);
	put(2048 + 300, 0, 0);
	put(2048 + 301, 0, 1);
	put(2048 + 302, 0, 0);
	build(&map);
	ck_assert_uint_eq(work.count, 3);
	ck_assert_uint_eq(workset_gfn(work.word[0]), 512);
	ck_assert_uint_eq(workset_gfn(work.word[1]), 1024);
	ck_assert_uint_eq(workset_gfn(work.word[2]), 2048);
	ck_assert_uint_eq(workset_pages(work.word[2]), 2);
	ck_assert_ptr_null(workset_only(&work, work.word[2]));
	ck_assert_uint_eq(work.pages, 2 * 512 + 2);
	ck_assert_mem_eq(&plan.map, &map, sizeof(map));
}
END_TEST

START_TEST(plan_takes_only_the_ranges_that_take_part)
{
	struct plan_map map = map_of("0", "1");
	const struct memory_range ranges[] = {{0, 1024}, {1536, 512}};

	for (uint64_t gfn = 0; gfn < 2560; gfn += 512)
		put(gfn, 9, 0);
	build_ranges(&map, ranges, 2, false);
	ck_assert_uint_eq(work.count, 3);
	ck_assert_uint_eq(workset_gfn(work.word[0]), 0);
	ck_assert_uint_eq(workset_gfn(work.word[1]), 512);
	ck_assert_uint_eq(workset_gfn(work.word[2]), 1536);
	ck_assert_uint_eq(work.pages, 3 * 512);
}
END_TEST

START_TEST(block_on_several_nodes_goes_with_most_of_its_pages)
{
	struct plan_map map = map_of("01", "12");

	/* Node 1 leaves before node 0 arrives there. Block 0: mostly node 0; block 1: mostly
	 * node 1. */
	for (unsigned int block = 0; block < 2; block++) {
		ck_assert_int_eq(shadow_split(shadow, block * 512), 0);
		for (unsigned int i = 0; i < 512; i++)
			put(block * 512 + i, 0, i < 500 ? block : 1 - block);
	}
	build(&map);
	ck_assert_uint_eq(work.count, 2);
	ck_assert_uint_eq(workset_gfn(work.word[0]), 512);
	ck_assert_uint_eq(workset_gfn(work.word[1]), 0);
	ck_assert_uint_eq(work.pages, 1024);
}
END_TEST

/* What is touched while nodes change places is at home where it lies. */
START_TEST(holes_in_a_cycle_are_remembered)
{
	struct plan_map swap = map_of("01", "10"), leave = map_of("0", "1");
	const struct bits *only;

	ck_assert_int_eq(shadow_split(shadow, 0), 0);
	for (unsigned int i = 0; i < 512; i++)
		if (i != 77)
			put(i, 0, i & 1);
	put(512, 9, 1);
	build(&swap);
	ck_assert_uint_eq(work.count, 2);
	for (size_t i = 0; i < 2; i++) {
		only = workset_only(&work, work.word[i]);
		if (workset_gfn(work.word[i])) {
			ck_assert_ptr_null(only);
			continue;
		}
		ck_assert_ptr_nonnull(only);
		ck_assert_uint_eq(bits_count(only), 511);
		ck_assert(!bits_get(only, 77));
	}
	build(&leave);
	ck_assert_uint_eq(work.count, 1);
	ck_assert_ptr_null(workset_only(&work, work.word[0]));
}
END_TEST

START_TEST(second_look_leaves_alone_what_lies_on_a_target)
{
	struct plan_map swap = map_of("01", "10"), shift = map_of("01", "12");
	const struct memory_range all = {0, PAGES};

	put(0, 9, 0);
	put(512, 9, 1);
	build_ranges(&swap, &all, 1, true);
	ck_assert_uint_eq(work.count, 0);
	build_ranges(&shift, &all, 1, true);
	ck_assert_uint_eq(work.count, 1);
	ck_assert_uint_eq(workset_gfn(work.word[0]), 0);
}
END_TEST

/* ---- In which order ------------------------------------------------------------------------- */

static unsigned int node_now[BLOCKS]; /* of each block, in whole blocks */

static void fill(unsigned int nodes)
{
	for (unsigned int block = 0; block < BLOCKS; block++) {
		node_now[block] = (unsigned int)rand() % nodes;
		put(block * 512, 9, node_now[block]);
	}
}

/* Carry the plan out; the most blocks that node ever had over its start, and each block but once.
 */
static unsigned int most_extra(const struct plan_map *map, unsigned int node)
{
	unsigned int before[BLOCKS], extra = 0;
	int count = 0;

	memcpy(before, node_now, sizeof(before));
	for (size_t i = 0; i < work.count; i++) {
		unsigned int block = (unsigned int)(workset_gfn(work.word[i]) / 512);

		ck_assert_uint_eq(before[block], node_now[block]);
		/* The copy is made before the old frame is free. */
		count += map->to[before[block]] == node;
		extra = count > (int)extra ? (unsigned int)count : extra;
		count -= before[block] == node;
		before[block] = map->to[before[block]];
		ck_assert_uint_ne(before[block], STAY);
		node_now[block] |= 0x100; /* moved: not a second time */
	}
	for (unsigned int block = 0; block < BLOCKS; block++) {
		if (!(node_now[block] & 0x100))
			ck_assert_uint_eq(map->to[node_now[block]], STAY);
		node_now[block] &= 0xff;
	}
	return extra;
}

START_TEST(full_nodes_shift_without_spare_memory)
{
	struct plan_map map = map_of("0123", "1234");

	fill(4);
	build(&map);
	for (unsigned int node = 0; node < 4; node++) {
		unsigned int had = 0, gets = 0;

		for (unsigned int block = 0; block < BLOCKS; block++) {
			had += node_now[block] == node;
			gets += map.to[node_now[block]] == node;
		}
		/* All have left before the first arrives. */
		ck_assert_uint_eq(most_extra(&map, node), gets > had ? gets - had : 0);
	}
}
END_TEST

START_TEST(full_nodes_that_change_places_need_one_block_to_spare)
{
	static const struct {
		const char *from, *to;
		unsigned int nodes;
	} cycles[] = {{"01", "10", 2}, {"012", "120", 3}, {"0123", "1032", 4}};
	struct plan_map map = map_of(cycles[_i].from, cycles[_i].to);

	/* As many blocks on each: full nodes. */
	for (unsigned int block = 0; block < 60; block++) {
		node_now[block] = block * cycles[_i].nodes / 60;
		put(block * 512, 9, node_now[block]);
	}
	for (unsigned int block = 60; block < BLOCKS; block++)
		node_now[block] = 7;
	build(&map);
	ck_assert_uint_eq(work.count, 60);
	for (unsigned int node = 0; node < cycles[_i].nodes; node++)
		ck_assert_uint_le(most_extra(&map, node), 1);
}
END_TEST

START_TEST(nodes_that_feed_a_cycle_wait_until_it_has_turned)
{
	struct plan_map map = {.to = {0}};
	size_t last_of_cycle = 0, first_feeder = BLOCKS;

	/* 2 -> 0 <-> 1, which no list of nodes says, but a policy may. */
	for (unsigned int node = 0; node < GMIG_MAX_NODES; node++)
		map.to[node] = STAY;
	map.to[0] = 1;
	map.to[1] = 0;
	map.to[2] = 0;
	fill(3);
	build(&map);
	ck_assert_uint_eq(work.count, BLOCKS);
	for (size_t i = 0; i < work.count; i++) {
		if (node_now[workset_gfn(work.word[i]) / 512] != 2)
			last_of_cycle = i;
		else if (first_feeder == BLOCKS)
			first_feeder = i;
	}
	ck_assert_uint_lt(last_of_cycle, first_feeder);
}
END_TEST

static bool in_cycle(const struct plan_map *map, unsigned int start)
{
	unsigned int node = start;

	for (unsigned int i = 0; i < GMIG_MAX_NODES && map->to[node] != STAY; i++) {
		node = map->to[node];
		if (node == start)
			return true;
	}
	return false;
}

/* Random maps: a node is left before others arrive, unless a cycle runs through it. */
START_TEST(random_map_is_ordered_and_complete)
{
	struct plan_map map;
	size_t last[8] = {0}, first[8];

	srand(100 + (unsigned int)_i);
	for (unsigned int node = 0; node < GMIG_MAX_NODES; node++)
		map.to[node] = STAY;
	for (unsigned int node = 0; node < 8; node++) {
		unsigned int to = (unsigned int)rand() % 9;

		map.to[node] = to == 8 || to == node ? STAY : (uint16_t)to;
		first[node] = BLOCKS;
	}
	fill(8);
	build(&map);
	most_extra(&map, 0); /* each block once, none missing */
	for (size_t i = 0; i < work.count; i++) {
		unsigned int node = node_now[workset_gfn(work.word[i]) / 512];

		last[node] = i;
		first[node] = first[node] == BLOCKS ? i : first[node];
	}
	for (unsigned int node = 0; node < 8; node++) {
		unsigned int to = map.to[node];

		if (to == STAY || map.to[to] == STAY || in_cycle(&map, node) ||
		    first[to] == BLOCKS || first[node] == BLOCKS)
			continue;
		ck_assert_uint_lt(last[to], first[node]);
	}
}
END_TEST

START_TEST(blocks_of_a_node_go_by_address)
{
	struct plan_map map = map_of("01", "10");
	uint64_t next[2] = {0, 0};

	fill(2);
	build(&map);
	for (size_t i = 0; i < work.count; i++) {
		unsigned int node = node_now[workset_gfn(work.word[i]) / 512];

		ck_assert_uint_ge(workset_gfn(work.word[i]), next[node]);
		next[node] = workset_gfn(work.word[i]) + 512;
	}
}
END_TEST

/* ---- By policy ------------------------------------------------------------------------------- */

static struct gmig_node_set refused; /* what the policy was last told of */

static unsigned int target_but(void *arg, uint64_t gfn, unsigned int order, unsigned int node,
			       const struct gmig_node_set *full)
{
	(void)arg, (void)gfn, (void)order, (void)node;
	refused = full ? *full : (struct gmig_node_set){{0}};
	return 1;
}

START_TEST(node_that_was_full_in_one_pass_is_asked_again_in_the_next)
{
	const struct plan_policy policy = {.pages = PAGES, .target = target_but};
	struct plan by;

	ck_assert_int_eq(plan_policy_create(&policy, &by), 0);
	by.ops->full(&by, 2);
	plan_target(&by, 0, 0, 0);
	ck_assert(gmig_node_set_has(&refused, 2));
	by.ops->pass(&by);
	plan_target(&by, 0, 0, 0);
	ck_assert(gmig_node_set_empty(&refused));
	/* And is not full again because another one is. */
	by.ops->full(&by, 3);
	plan_target(&by, 0, 0, 0);
	ck_assert(gmig_node_set_has(&refused, 3));
	ck_assert_uint_eq(gmig_node_set_count(&refused), 1);
	by.ops->full(&by, 0);
	by.ops->full(&by, GMIG_MAX_NODES - 1);
	plan_target(&by, 0, 0, 0);
	ck_assert(gmig_node_set_has(&refused, 0));
	ck_assert(gmig_node_set_has(&refused, GMIG_MAX_NODES - 1));
	by.ops->destroy(&by);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("plan");
	TCase *tcase = tcase_create("plan");
	SRunner *runner = srunner_create(suite);
	int failed;

	tcase_add_checked_fixture(tcase, setup, teardown);
	tcase_set_timeout(tcase, 60);
	tcase_add_test(tcase, plan_without_anything_to_move_is_empty);
	tcase_add_test(tcase, set_has_what_lies_on_a_from_node_also_when_another_job_holds_it);
	tcase_add_test(tcase, plan_takes_only_the_ranges_that_take_part);
	tcase_add_test(tcase, block_on_several_nodes_goes_with_most_of_its_pages);
	tcase_add_test(tcase, holes_in_a_cycle_are_remembered);
	tcase_add_test(tcase, second_look_leaves_alone_what_lies_on_a_target);
	tcase_add_test(tcase, full_nodes_shift_without_spare_memory);
	tcase_add_loop_test(tcase, full_nodes_that_change_places_need_one_block_to_spare, 0, 3);
	tcase_add_test(tcase, nodes_that_feed_a_cycle_wait_until_it_has_turned);
	tcase_add_loop_test(tcase, random_map_is_ordered_and_complete, 0, 60);
	tcase_add_test(tcase, blocks_of_a_node_go_by_address);
	tcase_add_test(tcase, node_that_was_full_in_one_pass_is_asked_again_in_the_next);
	suite_add_tcase(suite, tcase);
	srunner_run_all(runner, CK_ENV);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
