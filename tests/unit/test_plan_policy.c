/* Plans that ask a policy, or whoever touches a page: which pages have a target, and which blocks they lie in. */
#include "../../migrate/jobs/plan_policy.h"
#include "../../migrate/jobs/plan_touch.h"
#include "suite.h"

#include <errno.h>
#include <stdlib.h>

#define B    GMIG_BLOCK_PAGES
#define STAY GMIG_NO_NODE

static struct plan plan;
static unsigned int asked;
static uint64_t asked_gfn;
static unsigned int asked_order;
static uint64_t stays_at; /* no target there */

/* To node 3, from wherever it is not. */
static unsigned int target(void *arg, uint64_t gfn, unsigned int order, unsigned int node,
			   const struct gmig_node_set *full)
{
	ck_assert_ptr_eq(arg, &asked);
	ck_assert_ptr_null(full);
	asked++;
	asked_gfn = gfn;
	asked_order = order;
	return node == 3 || gfn == stays_at ? STAY : 3;
}

static uint64_t misplaced_pages;

static uint64_t misplaced(void *arg, uint64_t gfn, uint64_t pages)
{
	ck_assert_ptr_eq(arg, &asked);
	ck_assert_uint_eq(gfn, 1000);
	ck_assert_uint_eq(pages, 1100);
	return misplaced_pages;
}

/* Pages 1000 to 2099: parts of blocks 1 and 4, and all of 2 and 3. */
static void make(bool strict)
{
	const struct plan_policy policy = {.gfn = 1000,
					   .pages = 1100,
					   .strict = strict,
					   .target = target,
					   .misplaced = misplaced,
					   .arg = &asked};

	asked = 0;
	stays_at = UINT64_MAX;
	ck_assert_int_eq(plan_policy_create(&policy, &plan), 0);
}

static void setup(void)
{
	plan = (struct plan){.ops = NULL};
}

static void teardown(void)
{
	plan_destroy(&plan);
	ck_assert_ptr_null(plan.ops);
	ck_assert_ptr_null(plan.policy);
}

START_TEST(page_of_the_range_goes_where_its_policy_says)
{
	make(false);
	ck_assert_uint_eq(plan_target(&plan, 999, 0, 0), STAY);
	ck_assert_uint_eq(plan_target(&plan, 2100, 0, 0), STAY);
	ck_assert_uint_eq(asked, 0);
	ck_assert_uint_eq(plan_target(&plan, 1000, 0, 0), 3);
	ck_assert_uint_eq(asked_gfn, 1000);
	ck_assert_uint_eq(plan_target(&plan, 2099, 0, 0), 3);
	ck_assert_uint_eq(asked_gfn, 2099);
	ck_assert_uint_eq(asked_order, 0);
	ck_assert_uint_eq(plan_target(&plan, 2099, 0, 3), STAY);
	ck_assert_uint_eq(asked, 3);
}
END_TEST

START_TEST(huge_page_that_the_range_has_a_part_of_is_split_if_one_page_is_to_go)
{
	make(false);
	ck_assert_uint_eq(plan_target(&plan, 0, 9, 0), STAY);
	ck_assert_uint_eq(plan_target(&plan, 5 * B, 9, 0), STAY);
	ck_assert_uint_eq(asked, 0);
	/* As a whole. */
	ck_assert_uint_eq(plan_target(&plan, 2 * B, 9, 0), 3);
	ck_assert_uint_eq(asked_order, 9);
	ck_assert_uint_eq(plan_target(&plan, 3 * B, 9, 0), 3);
	ck_assert_uint_eq(asked, 2);
	/* The first page that is to go decides. */
	ck_assert_uint_eq(plan_target(&plan, B, 9, 0), PLAN_SPLIT);
	ck_assert_uint_eq(asked, 3);
	ck_assert_uint_eq(asked_gfn, 1000);
	ck_assert_uint_eq(asked_order, 0);
	stays_at = 4 * B;
	ck_assert_uint_eq(plan_target(&plan, 4 * B, 9, 0), PLAN_SPLIT);
	ck_assert_uint_eq(asked_gfn, 4 * B + 1);
	asked = 0;
	ck_assert_uint_eq(plan_target(&plan, 4 * B, 9, 3), STAY);
	ck_assert_uint_eq(asked, 2100 - 4 * B);
	asked = 0;
	ck_assert_uint_eq(plan_target(&plan, B, 9, 3), STAY);
	ck_assert_uint_eq(asked, 2 * B - 1000);
}
END_TEST

START_TEST(blocks_of_the_range_are_those_that_it_touches_within_regions)
{
	static const struct memory_range in[] = {{0, B},	  {B, B / 2},	   {2 * B - 10, 20},
						 {2 * B + 10, B}, {4 * B, 10 * B}, {20 * B, B}};
	static const struct memory_range want[] = {
	    {B, B / 2}, {2 * B - 10, 20}, {2 * B + 10, B}, {4 * B, B}};
	struct memory_range *ranges = malloc(sizeof(in));
	size_t count = 6;

	memcpy(ranges, in, sizeof(in));
	make(false);
	ck_assert_int_eq(plan.ops->narrow(&plan, &ranges, &count), 0);
	ck_assert_uint_eq(count, 4);
	for (size_t i = 0; i < count; i++) {
		ck_assert_uint_eq(ranges[i].gfn, want[i].gfn);
		ck_assert_uint_eq(ranges[i].pages, want[i].pages);
	}
	ranges[0] = (struct memory_range){5 * B, B};
	count = 1;
	ck_assert_int_eq(plan.ops->narrow(&plan, &ranges, &count), 0);
	ck_assert_uint_eq(count, 0);
	ranges[0] = (struct memory_range){0, B};
	count = 1;
	ck_assert_int_eq(plan.ops->narrow(&plan, &ranges, &count), 0);
	ck_assert_uint_eq(count, 0);
	ranges[0] = (struct memory_range){0, 100 * B};
	count = 1;
	ck_assert_int_eq(plan.ops->narrow(&plan, &ranges, &count), 0);
	ck_assert_uint_eq(count, 1);
	ck_assert_uint_eq(ranges[0].gfn, B);
	ck_assert_uint_eq(ranges[0].pages, 4 * B);
	free(ranges);
}
END_TEST

/* A range of whole blocks, to their very ends. */
START_TEST(range_of_whole_blocks_touches_no_other)
{
	const struct plan_policy policy = {
	    .gfn = 2 * B, .pages = B, .target = target, .arg = &asked};
	struct memory_range *ranges = malloc(sizeof(*ranges));
	size_t count = 1;

	asked = 0;
	stays_at = UINT64_MAX;
	ck_assert_int_eq(plan_policy_create(&policy, &plan), 0);
	ranges[0] = (struct memory_range){0, 10 * B};
	ck_assert_int_eq(plan.ops->narrow(&plan, &ranges, &count), 0);
	ck_assert_uint_eq(count, 1);
	ck_assert_uint_eq(ranges[0].gfn, 2 * B);
	ck_assert_uint_eq(ranges[0].pages, B);
	ck_assert_uint_eq(plan_target(&plan, B, 9, 0), STAY);
	ck_assert_uint_eq(plan_target(&plan, 3 * B, 9, 0), STAY);
	ck_assert_uint_eq(asked, 0);
	ck_assert_uint_eq(plan_target(&plan, 2 * B, 9, 0), 3);
	ck_assert_uint_eq(asked, 1);
	free(ranges);
}
END_TEST

START_TEST(only_a_strict_policy_has_to_hold)
{
	struct gmig_error err = {0};

	make(false);
	misplaced_pages = 5;
	ck_assert_int_eq(plan.ops->verify(&plan, &err), 0);
	plan_destroy(&plan);
	make(true);
	ck_assert_int_eq(plan.ops->verify(&plan, &err), -EIO);
	ck_assert_int_eq(err.code, -EIO);
	ck_assert_str_eq(err.text, "5 pages do not follow the policy");
	misplaced_pages = 1;
	ck_assert_int_eq(plan.ops->verify(&plan, &err), -EIO);
	misplaced_pages = 0;
	ck_assert_int_eq(plan.ops->verify(&plan, &err), 0);
}
END_TEST

/* ---- Which pages of an entry ------------------------------------------------------------------------ */

static void assert_selected(uint64_t gfn, unsigned int order, uint16_t node, unsigned int first,
			    unsigned int count)
{
	const struct shadow_entry entry = {.state = SHADOW_PRESENT, .order = order, .node = node};
	struct bits pages = {{0}}, want = {{0}};

	bits_set_range(&want, first, count);
	ck_assert_uint_eq(plan_select(&plan, gfn, &entry, &pages), count);
	ck_assert_mem_eq(&pages, &want, sizeof(want));
}

START_TEST(selected_pages_are_those_of_the_entry_that_have_a_target)
{
	make(false);
	assert_selected(2 * B, 9, 0, 0, B);
	assert_selected(2 * B, 9, 3, 0, 0);
	assert_selected(B, 9, 0, 1000 - B, 2 * B - 1000);
	assert_selected(4 * B, 9, 0, 0, 2100 - 4 * B);
	assert_selected(1000, 0, 0, 1000 - B, 1);
	assert_selected(999, 0, 0, 0, 0);
	assert_selected(3 * B - 1, 0, 0, B - 1, 1);
	assert_selected(3 * B, 0, 0, 0, 1);
}
END_TEST

/* ---- Whoever touches it -------------------------------------------------------------------------------- */

START_TEST(page_that_waits_for_its_toucher_has_any_other_node_for_a_target)
{
	const struct gmig_job_spec spec = {
	    .from = {1, 5}, .from_count = 2, .to = {5, 1, 7}, .to_count = 3};
	const struct gmig_job_spec same = {.from = {4}, .from_count = 1, .to = {4}, .to_count = 1};

	plan_touch_create(&spec, &plan);
	ck_assert(plan.by_touch);
	ck_assert_uint_eq(gmig_node_set_count(&plan.sources), 2);
	ck_assert_uint_eq(gmig_node_set_count(&plan.targets), 3);
	ck_assert(gmig_node_set_has(&plan.sources, 1) && gmig_node_set_has(&plan.sources, 5));
	ck_assert(gmig_node_set_has(&plan.targets, 7));
	ck_assert_uint_eq(plan_target(&plan, 0, 0, 1), 5);
	ck_assert_uint_eq(plan_target(&plan, 0, 9, 5), 1);
	ck_assert_uint_eq(plan_target(&plan, 0, 0, 7), STAY);
	ck_assert_uint_eq(plan_target(&plan, 0, 0, 0), STAY);
	plan_touch_create(&same, &plan);
	ck_assert_uint_eq(plan_target(&plan, 0, 0, 4), STAY);
}
END_TEST

/* ---- A node map ---------------------------------------------------------------------------------------- */

START_TEST(nodes_that_are_left_are_those_that_nobody_comes_to)
{
	struct plan_map map;

	for (unsigned int node = 0; node < GMIG_MAX_NODES; node++)
		map.to[node] = STAY;
	map.to[0] = 1;
	map.to[1] = 2;
	map.to[GMIG_MAX_NODES - 1] = 1;
	plan_create(&map, &plan);
	ck_assert(plan.ops->by_node);
	ck_assert_uint_eq(gmig_node_set_count(&plan.sources), 3);
	ck_assert_uint_eq(gmig_node_set_count(&plan.targets), 2);
	ck_assert_uint_eq(gmig_node_set_count(&plan.left), 2);
	ck_assert(gmig_node_set_has(&plan.left, 0) &&
		  gmig_node_set_has(&plan.left, GMIG_MAX_NODES - 1));
	ck_assert_uint_eq(plan_target(&plan, 7, 0, 0), 1);
	ck_assert_uint_eq(plan_target(&plan, 7, 9, GMIG_MAX_NODES - 1), 1);
	ck_assert_uint_eq(plan_target(&plan, 7, 0, 2), STAY);
	ck_assert_uint_eq(plan_target(&plan, 7, 0, GMIG_MAX_NODES), STAY);
	ck_assert_uint_eq(plan_target(&plan, 7, 0, GMIG_NO_NODE), STAY);
	assert_selected(2 * B, 9, 1, 0, B);
	assert_selected(2 * B + 7, 0, 1, 7, 1);
	assert_selected(2 * B + 7, 0, 3, 0, 0);
}
END_TEST

int main(void)
{
	const TTest *const tests[] = {
	    page_of_the_range_goes_where_its_policy_says,
	    huge_page_that_the_range_has_a_part_of_is_split_if_one_page_is_to_go,
	    blocks_of_the_range_are_those_that_it_touches_within_regions,
	    range_of_whole_blocks_touches_no_other,
	    only_a_strict_policy_has_to_hold,
	    selected_pages_are_those_of_the_entry_that_have_a_target,
	    page_that_waits_for_its_toucher_has_any_other_node_for_a_target,
	    nodes_that_are_left_are_those_that_nobody_comes_to,
	};

	return run_tests("plan policy", setup, teardown, tests, sizeof(tests) / sizeof(tests[0]));
}
