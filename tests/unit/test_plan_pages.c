#include "../../migrate/jobs/plan_pages.h"
#include "../../migrate/jobs/workset.h"

#include <check.h>
#include <stdlib.h>
#include <string.h>

enum { BLOCKS = 16, PAGES = BLOCKS * 512 };
#define STAY GMIG_NO_NODE

static struct plan plan;
static struct shadow *shadow;
static struct workset work;

static void setup(void)
{
	ck_assert_int_eq(shadow_create(NULL, &shadow), 0);
	ck_assert_int_eq(shadow_reserve(shadow, 0, PAGES), 0);
	plan = (struct plan){.ops = NULL};
	work = (struct workset){.word = NULL};
}

static void teardown(void)
{
	workset_free(&work);
	plan_destroy(&plan);
	shadow_destroy(shadow);
}

static void put(uint64_t gfn, unsigned int order, unsigned int node)
{
	struct shadow_change touch = {gfn, order, SHADOW_TOUCH, (uint16_t)node, 0};

	ck_assert_int_eq(shadow_change(shadow, &touch, NULL, NULL), 0);
}

static void make(const struct page_run *runs, size_t count, bool whole)
{
	struct page_list *list = page_list_create(count);

	ck_assert_ptr_nonnull(list);
	for (size_t i = 0; i < count; i++)
		list->run[i] = runs[i];
	list->whole = whole;
	plan_destroy(&plan);
	plan_pages_create(list, &plan);
	ck_assert_int_eq(plan.ops->make(&plan), 0);
}

static int walk(void *arg, uint64_t gfn, uint64_t pages, shadow_visit *visit, void *visit_arg)
{
	return shadow_walk(arg, gfn, pages, visit, visit_arg);
}

static void build(void)
{
	const struct memory_range all = {0, PAGES};
	const struct workset_options options = {
	    .ranges = &all, .range_count = 1, .walk = walk, .walk_arg = shadow};

	workset_free(&work);
	ck_assert_int_eq(workset_build(&plan, &options, &work), 0);
}

/* ---- What the list says ------------------------------------------------------------------------ */

START_TEST(page_that_is_not_listed_or_is_there_stays)
{
	const struct page_run runs[] = {{700, 1, 2}, {5, 2, 1}};

	make(runs, 2, false);
	ck_assert_uint_eq(plan_target(&plan, 5, 0, 0), 2);
	ck_assert_uint_eq(plan_target(&plan, 5, 0, 2), STAY);
	ck_assert_uint_eq(plan_target(&plan, 4, 0, 0), STAY);
	ck_assert_uint_eq(plan_target(&plan, 6, 0, 0), STAY);
	ck_assert_uint_eq(plan_target(&plan, 699, 0, 0), STAY);
	ck_assert_uint_eq(plan_target(&plan, 701, 0, 0), 1);
	ck_assert_uint_eq(plan_target(&plan, 702, 0, 0), STAY);
	ck_assert(gmig_node_set_has(&plan.targets, 1) && gmig_node_set_has(&plan.targets, 2));
}
END_TEST

/* Random lists against an array that is written entry by entry: the last one counts. */
START_TEST(last_of_several_entries_counts)
{
	uint16_t goal[PAGES];
	struct page_run runs[40];

	srand(7 + (unsigned int)_i);
	for (unsigned int i = 0; i < PAGES; i++)
		goal[i] = STAY;
	for (unsigned int i = 0; i < 40; i++) {
		uint64_t longest = rand() % 4 ? 30 : 2000;

		runs[i].gfn = (uint64_t)rand() % PAGES & 0xffffffffffff;
		runs[i].pages = 1 + (uint64_t)rand() % longest;
		runs[i].node = (uint64_t)rand() % 3 & 0xffff;
		if (runs[i].pages > PAGES - runs[i].gfn)
			runs[i].pages = PAGES - runs[i].gfn;
		for (uint64_t k = 0; k < runs[i].pages; k++)
			goal[runs[i].gfn + k] = runs[i].node;
	}
	make(runs, 40, false);
	for (unsigned int i = 0; i < PAGES; i++)
		ck_assert_uint_eq(plan_target(&plan, i, 0, 7), goal[i]);
	for (size_t i = 1; i < plan.list->count; i++)
		ck_assert_uint_ge(plan.list->run[i].gfn,
				  plan.list->run[i - 1].gfn + plan.list->run[i - 1].pages);
}
END_TEST

START_TEST(neighbours_with_one_goal_are_one_run)
{
	struct page_run runs[600];

	for (unsigned int i = 0; i < 600; i++)
		runs[i] = (struct page_run){(uint64_t)(599 - i), 1, 1};
	make(runs, 600, false);
	ck_assert_uint_eq(plan.list->count, 1);
	ck_assert_uint_eq(plan.list->run[0].pages, 600);
	ck_assert_uint_eq(plan_target(&plan, 0, 9, 0), 1);
}
END_TEST

START_TEST(huge_page_with_several_goals_is_to_be_split)
{
	const struct page_run runs[] = {
	    {0, 1, 512}, {512 + 3, 1, 1}, {1024, 1, 256}, {1280, 2, 256}};

	make(runs, 4, false);
	ck_assert_uint_eq(plan_target(&plan, 0, 9, 0), 1);
	ck_assert_uint_eq(plan_target(&plan, 0, 9, 1), STAY);
	ck_assert_uint_eq(plan_target(&plan, 512, 9, 0), PLAN_SPLIT);
	ck_assert_uint_eq(plan_target(&plan, 512, 9, 1), STAY);
	ck_assert_uint_eq(plan_target(&plan, 1024, 9, 0), PLAN_SPLIT);
	ck_assert_uint_eq(plan_target(&plan, 1024, 9, 1), PLAN_SPLIT);
	ck_assert_uint_eq(plan_target(&plan, 1536, 9, 0), STAY);
}
END_TEST

START_TEST(huge_page_of_a_process_goes_where_its_first_listed_page_goes)
{
	const struct page_run runs[] = {{515, 1, 1}, {517, 2, 1}};

	make(runs, 2, true);
	ck_assert_uint_eq(plan_target(&plan, 512, 9, 0), 1);
	ck_assert_uint_eq(plan_target(&plan, 512, 9, 1), STAY);
	ck_assert_uint_eq(plan_target(&plan, 0, 9, 0), STAY);
	ck_assert_uint_eq(plan_target(&plan, 1024, 9, 0), STAY);
}
END_TEST

START_TEST(long_list_is_forgotten_when_the_job_has_ended)
{
	static struct page_run runs[PAGE_LIST_ENDED + 1];

	for (unsigned int i = 0; i <= PAGE_LIST_ENDED; i++)
		runs[i] = (struct page_run){2ull * i, 1, 1};
	make(runs, PAGE_LIST_ENDED, false);
	plan.ops->forget(&plan);
	ck_assert(!plan.forgotten);
	ck_assert_uint_eq(plan_target(&plan, 0, 0, 0), 1);
	make(runs, PAGE_LIST_ENDED + 1, false);
	ck_assert_uint_eq(plan_target(&plan, 0, 0, 0), 1);
	plan.ops->forget(&plan);
	ck_assert(plan.forgotten);
	ck_assert_ptr_null(plan.list);
	ck_assert_uint_eq(plan_target(&plan, 0, 0, 0), STAY);
}
END_TEST

START_TEST(list_without_disorder_is_kept_as_it_was_handed_over)
{
	static const struct page_run runs[][2] = {
	    {{5, 1, 2}, {7, 2, 1}},   /* side by side, of two nodes */
	    {{5, 1, 2}, {8, 1, 1}},   /* apart */
	    {{5, 1, 2}, {7, 1, 1}},   /* one run */
	    {{5, 1, 2}, {6, 2, 1}},   /* one over the other */
	    {{700, 1, 2}, {6, 2, 1}}, /* not sorted */
	};
	struct page_list *list = page_list_create(2);

	memcpy(list->run, runs[_i], sizeof(runs[_i]));
	list->whole = true;
	plan_pages_create(page_list_get(list), &plan);
	ck_assert_int_eq(plan.ops->make(&plan), 0);
	ck_assert_int_eq(plan.list == list, _i < 2);
	ck_assert(plan.list->whole);
	ck_assert_uint_eq(plan.list->count, _i == 2 ? 1 : 2);
	page_list_put(list);
}
END_TEST

START_TEST(list_without_pages_leaves_all_where_it_is)
{
	const struct memory_range range = {512, 1024};
	struct memory_range *ranges = malloc(sizeof(*ranges));
	size_t count = 1;

	*ranges = range;
	make(NULL, 0, false);
	ck_assert_uint_eq(plan.list->count, 0);
	ck_assert(gmig_node_set_empty(&plan.targets));
	ck_assert_uint_eq(plan_target(&plan, 0, 0, 0), STAY);
	ck_assert_uint_eq(plan_target(&plan, 0, 9, 0), STAY);
	ck_assert_int_eq(plan.ops->narrow(&plan, &ranges, &count), 0);
	ck_assert_uint_eq(count, 0);
	free(ranges);
}
END_TEST

/* ---- Lists as such ----------------------------------------------------------------------------- */

static struct page_list *list_of(const struct page_run *runs, size_t count)
{
	struct page_list *list = page_list_create(count);

	if (count)
		memcpy(list->run, runs, count * sizeof(*runs));
	return list;
}

static void assert_runs(const struct page_list *list, const uint64_t (*want)[2], size_t count)
{
	ck_assert_ptr_nonnull(list);
	ck_assert_uint_eq(list->count, count);
	for (size_t i = 0; i < count; i++) {
		ck_assert_uint_eq(list->run[i].gfn, want[i][0]);
		ck_assert_uint_eq(list->run[i].pages, want[i][1]);
	}
}

START_TEST(list_lives_as_long_as_somebody_has_a_reference)
{
	const struct page_run run = {5, 1, 2};
	struct page_list *list = list_of(&run, 1);

	ck_assert(!list->whole);
	ck_assert_ptr_eq(page_list_get(list), list);
	ck_assert_ptr_eq(page_list_get(list), list);
	ck_assert_uint_eq(atomic_load(&list->refs), 3);
	page_list_put(list);
	ck_assert_uint_eq(atomic_load(&list->refs), 2);
	page_list_put(list);
	ck_assert_uint_eq(list->run[0].gfn, 5);
	ck_assert_uint_eq(atomic_load(&list->refs), 1);
	page_list_put(list);
	ck_assert_ptr_null(page_list_get(NULL));
	page_list_put(NULL);
}
END_TEST

START_TEST(pages_of_a_range_that_a_list_names_are_counted)
{
	const struct page_run runs[] = {{10, 1, 5}, {15, 2, 5}, {30, 1, 1}, {40, 1, 20}};
	static const struct {
		uint64_t gfn, pages, named;
	} asked[] = {{0, 10, 0}, {0, 11, 1},   {10, 10, 10}, {10, 1, 1},   {14, 1, 1},
		     {14, 2, 2}, {19, 1, 1},   {19, 11, 1},  {19, 12, 2},  {20, 10, 0},
		     {29, 1, 0}, {30, 1, 1},   {31, 9, 0},   {31, 10, 1},  {12, 31, 12},
		     {45, 5, 5}, {59, 1, 1},   {59, 9, 1},   {60, 100, 0}, {0, 512, 31},
		     {12, 4, 4}, {41, 19, 19}, {41, 20, 19}};
	struct page_list *list = list_of(runs, 4), *none = list_of(NULL, 0);

	for (unsigned int i = 0; i < sizeof(asked) / sizeof(asked[0]); i++) {
		ck_assert_uint_eq(page_list_covers(list, asked[i].gfn, asked[i].pages),
				  asked[i].named);
		ck_assert_uint_eq(page_list_covers(none, asked[i].gfn, asked[i].pages), 0);
	}
	page_list_put(list);
	page_list_put(none);
}
END_TEST

START_TEST(lists_that_are_joined_have_the_pages_of_both_once)
{
	const struct page_run a[] = {{10, 1, 5}, {20, 2, 5}, {40, 1, 10}, {60, 1, 2}, {80, 1, 1}};
	const struct page_run b[] = {{12, 3, 2}, {25, 1, 5}, {45, 1, 10}, {64, 1, 1}};
	static const uint64_t both[][2] = {{10, 5}, {20, 10}, {40, 15}, {60, 2}, {64, 1}, {80, 1}};
	static const uint64_t of_a[][2] = {{10, 5}, {20, 5}, {40, 10}, {60, 2}, {80, 1}};
	struct page_list *one = list_of(a, 5), *other = list_of(b, 4), *joined;

	joined = _i ? page_list_join(one, other) : page_list_join(other, one);
	assert_runs(joined, both, 6);
	ck_assert_uint_eq(atomic_load(&joined->refs), 1);
	page_list_put(joined);
	joined = _i ? page_list_join(one, NULL) : page_list_join(NULL, one);
	ck_assert_ptr_ne(joined, one);
	assert_runs(joined, of_a, 5);
	page_list_put(joined);
	joined = page_list_join(NULL, NULL);
	assert_runs(joined, NULL, 0);
	page_list_put(joined);
	/* They themselves are as they were. */
	assert_runs(one, of_a, 5);
	page_list_put(one);
	page_list_put(other);
}
END_TEST

START_TEST(list_is_sorted_by_address)
{
	const struct page_run runs[] = {{40, 1, 1}, {10, 2, 2}, {99, 3, 3}, {0, 4, 4}, {20, 5, 5}};
	static const uint64_t sorted[][2] = {{0, 4}, {10, 2}, {20, 5}, {40, 1}, {99, 3}};
	struct page_list *list = list_of(runs, 5);

	ck_assert_ptr_eq(page_list_sorted(list), list);
	assert_runs(list, sorted, 5);
	ck_assert_uint_eq(list->run[0].node, 4);
	page_list_put(list);
	ck_assert_ptr_null(page_list_sorted(NULL));
}
END_TEST

/* ---- Which blocks ------------------------------------------------------------------------------ */

START_TEST(ranges_become_the_blocks_of_the_list)
{
	const struct page_run runs[] = {
	    {3, 1, 1}, {9, 1, 1}, {512, 1, 1024}, {5 * 512 + 1, 1, 1}, {20 * 512, 1, 1}};
	struct memory_range *ranges = malloc(2 * sizeof(*ranges));
	size_t count = 2;

	ranges[0] = (struct memory_range){0, 1024};
	ranges[1] = (struct memory_range){5 * 512, 10 * 512};
	make(runs, 5, false);
	ck_assert_int_eq(plan.ops->narrow(&plan, &ranges, &count), 0);
	ck_assert_uint_eq(count, 2);
	ck_assert_uint_eq(ranges[0].gfn, 0);
	ck_assert_uint_eq(ranges[0].pages, 1024);
	ck_assert_uint_eq(ranges[1].gfn, 5 * 512);
	ck_assert_uint_eq(ranges[1].pages, 512);
	free(ranges);
}
END_TEST

/* Whole blocks of the list, in ranges that begin and end anywhere; what lies side by side is one. */
START_TEST(blocks_of_the_list_are_cut_at_the_ends_of_ranges)
{
	enum { B = 512 };
	static const struct page_run runs[] = {
	    {0, 1, B},		 /* ends with its block */
	    {2 * B + 5, 1, B},	 /* parts of two blocks */
	    {5 * B - 1, 1, 2},	 /* two blocks, of which the first is in no range */
	    {6 * B + 100, 1, 1}, /* side by side with that */
	    {6 * B + 102, 2, 1}, /* the same block once more */
	    {8 * B, 1, 4 * B},	 /* over three ranges, one of which lies behind a hole */
	    {30 * B, 1, 1},	 /* in no range */
	};
	static const struct memory_range in[] = {{0, B},     {B, 2 * B},   {5 * B, 4 * B},
						 {9 * B, B}, {11 * B, 50}, {20 * B, B}};
	static const struct memory_range want[] = {{0, B},     {2 * B, B}, {5 * B, 2 * B},
						   {8 * B, B}, {9 * B, B}, {11 * B, 50}};
	struct memory_range *ranges = malloc(sizeof(in));
	size_t count = sizeof(in) / sizeof(in[0]);

	memcpy(ranges, in, sizeof(in));
	make(runs, sizeof(runs) / sizeof(runs[0]), false);
	ck_assert_int_eq(plan.ops->narrow(&plan, &ranges, &count), 0);
	ck_assert_uint_eq(count, sizeof(want) / sizeof(want[0]));
	for (size_t i = 0; i < count; i++) {
		ck_assert_uint_eq(ranges[i].gfn, want[i].gfn);
		ck_assert_uint_eq(ranges[i].pages, want[i].pages);
	}
	free(ranges);
}
END_TEST

START_TEST(work_set_has_the_listed_pages_only)
{
	const struct page_run runs[] = {{1024, 1, 512}, {0, 1, 2}, {512 + 7, 1, 3}};

	put(0, 9, 0);
	ck_assert_int_eq(shadow_split(shadow, 512), 0);
	for (unsigned int i = 0; i < 512; i++)
		put(512 + i, 0, i == 8);
	put(1024, 9, 0);
	put(1536, 9, 0);
	make(runs, 3, false);
	build();
	ck_assert_uint_eq(work.count, 3);
	ck_assert_uint_eq(work.pages, 2 + 2 + 512);
	for (unsigned int i = 0; i < 3; i++) {
		ck_assert_uint_eq(workset_gfn(work.word[i]), i * 512);
		ck_assert_ptr_null(workset_only(&work, work.word[i]));
	}
	make(runs, 3, true);
	build();
	ck_assert_uint_eq(work.pages, 512 + 2 + 512);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("plan_pages");
	TCase *tcase = tcase_create("plan_pages");
	SRunner *runner = srunner_create(suite);
	int failed;

	tcase_add_checked_fixture(tcase, setup, teardown);
	tcase_add_test(tcase, page_that_is_not_listed_or_is_there_stays);
	tcase_add_loop_test(tcase, last_of_several_entries_counts, 0, 50);
	tcase_add_test(tcase, neighbours_with_one_goal_are_one_run);
	tcase_add_test(tcase, huge_page_with_several_goals_is_to_be_split);
	tcase_add_test(tcase, huge_page_of_a_process_goes_where_its_first_listed_page_goes);
	tcase_add_test(tcase, long_list_is_forgotten_when_the_job_has_ended);
	tcase_add_loop_test(tcase, list_without_disorder_is_kept_as_it_was_handed_over, 0, 5);
	tcase_add_test(tcase, list_without_pages_leaves_all_where_it_is);
	tcase_add_test(tcase, list_lives_as_long_as_somebody_has_a_reference);
	tcase_add_test(tcase, pages_of_a_range_that_a_list_names_are_counted);
	tcase_add_loop_test(tcase, lists_that_are_joined_have_the_pages_of_both_once, 0, 2);
	tcase_add_test(tcase, list_is_sorted_by_address);
	tcase_add_test(tcase, ranges_become_the_blocks_of_the_list);
	tcase_add_test(tcase, blocks_of_the_list_are_cut_at_the_ends_of_ranges);
	tcase_add_test(tcase, work_set_has_the_listed_pages_only);
	suite_add_tcase(suite, tcase);
	srunner_run_all(runner, CK_ENV);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
