#include "../../migrate/jobs/plan_pages.h"
#include "../../migrate/jobs/workset.h"

#include <check.h>
#include <stdlib.h>

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
	ck_assert_uint_eq(plan_target(&plan, 0, 0, 0), 1);
	make(runs, PAGE_LIST_ENDED + 1, false);
	ck_assert_uint_eq(plan_target(&plan, 0, 0, 0), 1);
	plan.ops->forget(&plan);
	ck_assert_ptr_null(plan.list);
	ck_assert_uint_eq(plan_target(&plan, 0, 0, 0), STAY);
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
	tcase_add_test(tcase, ranges_become_the_blocks_of_the_list);
	tcase_add_test(tcase, work_set_has_the_listed_pages_only);
	suite_add_tcase(suite, tcase);
	srunner_run_all(runner, CK_ENV);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
