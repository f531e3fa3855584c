/*
 * Jobs and what they are made of while memory, or a thread, cannot be had: linked with --wrap, so that the engine's requests come
 * here. Whatever is refused, it is said, nothing is lost, and what was there is as it was.
 */
#include "../../migrate/jobs/plan_pages.h"
#include "../../migrate/jobs/plan_policy.h"
#include "../../migrate/jobs/workset.h"
#include "job_rig.h"

/* The request that fails, counted down; negative: none. */
static long memory_until = -1, thread_until = -1;
static pthread_mutex_t until_lock = PTHREAD_MUTEX_INITIALIZER;

static bool fails(long *until)
{
	bool it;

	pthread_mutex_lock(&until_lock);
	it = *until >= 0 && (*until)-- == 0;
	pthread_mutex_unlock(&until_lock);
	return it;
}

/* The names are the linker's. NOLINTBEGIN(bugprone-reserved-identifier) */
void *__real_malloc(size_t bytes);
void *__real_calloc(size_t count, size_t bytes);
void *__real_realloc(void *old, size_t bytes);
void *__real_reallocarray(void *old, size_t count, size_t bytes);
int __real_pthread_create(pthread_t *id, const pthread_attr_t *how, void *(*body)(void *),
			  void *arg);
void *__wrap_malloc(size_t bytes);
void *__wrap_calloc(size_t count, size_t bytes);
void *__wrap_realloc(void *old, size_t bytes);
void *__wrap_reallocarray(void *old, size_t count, size_t bytes);
int __wrap_pthread_create(pthread_t *id, const pthread_attr_t *how, void *(*body)(void *),
			  void *arg);

void *__wrap_malloc(size_t bytes)
{
	return fails(&memory_until) ? NULL : __real_malloc(bytes);
}

void *__wrap_calloc(size_t count, size_t bytes)
{
	return fails(&memory_until) ? NULL : __real_calloc(count, bytes);
}

void *__wrap_realloc(void *old, size_t bytes)
{
	return fails(&memory_until) ? NULL : __real_realloc(old, bytes);
}

void *__wrap_reallocarray(void *old, size_t count, size_t bytes)
{
	return fails(&memory_until) ? NULL : __real_reallocarray(old, count, bytes);
}

int __wrap_pthread_create(pthread_t *id, const pthread_attr_t *how, void *(*body)(void *),
			  void *arg)
{
	return fails(&thread_until) ? EAGAIN : __real_pthread_create(id, how, body, arg);
}
/* NOLINTEND(bugprone-reserved-identifier) */

/* Has the request that was to fail been made? No other fails from here on. */
static bool was_reached(void)
{
	bool reached = memory_until < 0;

	memory_until = -1;
	return reached;
}

/* ---- Parts ---------------------------------------------------------------------------------------- */

START_TEST(what_cannot_be_made_is_not_there)
{
	const struct plan_policy policy = {.pages = B};
	struct page_list *list = page_list_create(0);
	struct later *later;
	struct trace *trace;
	struct status *status;
	struct lazy *lazy;
	struct plan plan;

	memory_until = 0;
	ck_assert_ptr_null(page_list_create(3));
	memory_until = 0;
	ck_assert_ptr_null(page_list_join(list, NULL));
	memory_until = 0;
	ck_assert_int_eq(later_create(false, &later), -ENOMEM);
	memory_until = 0;
	ck_assert_int_eq(trace_create(1, &trace), -ENOMEM);
	memory_until = 0;
	ck_assert_int_eq(status_create(&status), -ENOMEM);
	memory_until = 0;
	ck_assert_int_eq(lazy_create(&sys, 0, 0, &lazy), -ENOMEM);
	memory_until = 0;
	ck_assert_int_eq(plan_policy_create(&policy, &plan), -ENOMEM);
	page_list_put(list);
}
END_TEST

/* Not in order, so that another list is made of it. */
static struct page_list *some_list(void)
{
	struct page_list *list = page_list_create(3);

	list->run[0] = (struct page_run){700, 1, 5};
	list->run[1] = (struct page_run){3, 2, 10};
	list->run[2] = (struct page_run){5, 1, 2};
	return list;
}

START_TEST(list_is_as_it_was_if_its_plan_cannot_be_made)
{
	struct page_list *list = some_list();
	struct plan plan;
	bool reached = true;

	plan_pages_create(list, &plan);
	for (long n = 0; n < 2; n++) {
		memory_until = n;
		ck_assert_int_eq(plan.ops->make(&plan), -ENOMEM);
		ck_assert(was_reached());
		ck_assert_ptr_eq(plan.list, list);
		ck_assert_uint_eq(list->run[0].gfn, 700);
	}
	/* Memory that is not given back is no reason to fail. */
	memory_until = 2;
	ck_assert_int_eq(plan.ops->make(&plan), 0);
	reached = was_reached();
	ck_assert(reached);
	ck_assert_uint_eq(plan.list->count, 4);
	ck_assert_uint_eq(plan_target(&plan, 5, 0, 0), 1);
	ck_assert_uint_eq(plan_target(&plan, 7, 0, 0), 2);
	plan_destroy(&plan);
}
END_TEST

START_TEST(ranges_are_as_they_were_if_they_cannot_be_cut)
{
	struct memory_range *ranges = calloc(1, sizeof(*ranges)), *before = ranges;
	size_t count = 1;
	struct plan plan;

	plan_pages_create(some_list(), &plan);
	ck_assert_int_eq(plan.ops->make(&plan), 0);
	ranges->pages = PAGES;
	memory_until = 0;
	ck_assert_int_eq(plan.ops->narrow(&plan, &ranges, &count), -ENOMEM);
	ck_assert_ptr_eq(ranges, before);
	ck_assert_uint_eq(count, 1);
	ck_assert_uint_eq(ranges->pages, PAGES);
	free(ranges);
	plan_destroy(&plan);
}
END_TEST

START_TEST(lists_are_joined_though_nothing_is_given_back)
{
	struct page_list *list = page_list_sorted(some_list()), *joined;

	memory_until = 1;
	joined = page_list_join(list, NULL);
	ck_assert(was_reached());
	ck_assert_ptr_nonnull(joined);
	ck_assert_uint_eq(page_list_covers(joined, 0, PAGES), 15);
	page_list_put(joined);
	page_list_put(list);
}
END_TEST

static int walk_fake(void *arg, uint64_t gfn, uint64_t pages, shadow_visit *visit, void *visit_arg)
{
	return fake_walk(arg, gfn, pages, visit, visit_arg);
}

static unsigned int no_rank(void *arg, uint64_t gfn)
{
	(void)arg, (void)gfn;
	return 0;
}

/* Of a cycle, with holes, by ranks: all that takes memory. */
START_TEST(work_set_is_made_as_a_whole_or_not_at_all)
{
	const struct memory_range all = {0, PAGES};
	const struct workset_options options = {.ranges = &all,
						.range_count = 1,
						.walk = walk_fake,
						.walk_arg = &memory,
						.rank = no_rank};
	struct workset set;
	long n = 0;

	make((const uint16_t[]){1, 0, NOWHERE});
	put_pages(0, 0, 100, 0);
	put_pages(1, 0, 100, 1);
	for (;; n++) {
		int ret;

		memory_until = n;
		ret = workset_build(&job->plan, &options, &set);
		if (!was_reached()) {
			ck_assert_int_eq(ret, 0);
			break;
		}
		ck_assert_int_eq(ret, -ENOMEM);
		ck_assert_uint_eq(set.count, 0);
		ck_assert_ptr_null(set.word);
		ck_assert_ptr_null(set.maps);
	}
	ck_assert_int_ge(n, 6);
	ck_assert_uint_eq(set.count, 2);
	ck_assert_uint_eq(set.map_count, 2);
	workset_free(&set);
}
END_TEST

/* ---- What later commands say ---------------------------------------------------------------------- */

START_TEST(word_that_cannot_be_kept_was_not_said)
{
	const struct memory_range all = {0, PAGES};
	struct page_list *list = page_list_create(1);
	struct later_word word = {.id = 9, .pages = list};
	struct later *later;

	ck_assert_int_eq(later_create(false, &later), 0);
	list->run[0] = (struct page_run){5, 3, 1};
	memory_until = 0;
	ck_assert_int_eq(later_add(later, &word), -ENOMEM);
	ck_assert_uint_eq(later_generation(later), 0);
	ck_assert_uint_eq(atomic_load(&list->refs), 1);
	make((const uint16_t[]){1, NOWHERE});
	word =
	    (struct later_word){.id = 9, .map = &job->plan.map, .ranges = &all, .range_count = 1};
	for (long n = 0; n < 2; n++) {
		memory_until = n;
		ck_assert_int_eq(later_add(later, &word), -ENOMEM);
		ck_assert_uint_eq(later_generation(later), 0);
	}
	/* A list whose job has ended stays by itself, if it cannot be joined with others. */
	word = (struct later_word){.id = 9, .pages = list};
	ck_assert_int_eq(later_add(later, &word), 0);
	page_list_put(list);
	memory_until = 0;
	later_end(later, 9, false);
	ck_assert_uint_eq(later_target(later, 5, 0, 0, 1), GMIG_NO_NODE);
	ck_assert_uint_eq(later_target(later, 6, 0, 0, 1), 1);
	later_destroy(later);
}
END_TEST

/* ---- Jobs ----------------------------------------------------------------------------------------- */

/* By nodes, by a list, over a part. */
static void make_some(int kind)
{
	struct page_list *list;

	make((const uint16_t[]){1, NOWHERE});
	for (unsigned int block = 0; block < BLOCKS; block++)
		put_small(block, block % 2 ? 2 : 0);
	put_pages(0, 0, 100, 1);
	put_huge(4, 0);
	if (kind == 2)
		job->work.spec.max_bytes = PAGES * GMIG_PAGE_BYTES;
	if (kind != 1)
		return;
	list = page_list_create(2);
	list->run[0] = (struct page_run){B, 1, PAGES - B};
	list->run[1] = (struct page_run){0, 1, B};
	plan_destroy(&job->plan);
	plan_pages_create(list, &job->plan);
}

/* Each request once; from 3 on there is an older job, which is told of this one. */
START_TEST(job_without_memory_fails_for_that_reason_and_loses_nothing)
{
	unsigned int failed = 0, untold = 0;
	long n = 0;

	for (;; n++) {
		uint64_t moved = 0, there = 0;

		setup();
		make_some(_i % 3);
		if (_i >= 3)
			make_older(0, 2);
		memory_until = n;
		job_thread(job);
		if (!was_reached())
			break;
		gmig_job_info(job, &fake.info);
		for (unsigned int i = 0; i < PAGES; i++) {
			moved += fake.node[i] == 1 && (i >= 100 || i / B);
			there += fake.node[i] != NOWHERE;
		}
		ck_assert_uint_eq(there, PAGES);
		ck_assert_uint_eq(fake.info.moved_bytes / GMIG_PAGE_BYTES, moved);
		ck_assert_uint_eq(fake.info.total_bytes,
				  fake.info.moved_bytes + fake.info.remaining_bytes +
				      fake.info.gone_bytes + fake.info.by_others_bytes);
		if (fake.info.state == GMIG_JOB_FAILED) {
			failed++;
			ck_assert_int_eq(fake.info.error.code, -ENOMEM);
			ck_assert_uint_gt(strlen(fake.info.error.text), 0);
			untold +=
			    !strcmp(fake.info.error.text, "no memory to tell job 3 of this one");
		} else {
			ck_assert_int_eq(fake.info.state, GMIG_JOB_COMPLETED);
			ck_assert(_i < 3 || later_generation(older->later));
		}
		if (_i >= 3)
			free_older();
		teardown();
		job = NULL;
	}
	/* Ranges, results, set: these at least. */
	ck_assert_uint_ge(failed, 8);
	ck_assert_uint_eq(untold > 0, _i >= 3);
	gmig_job_info(job, &fake.info);
	ck_assert_int_eq(fake.info.state, GMIG_JOB_COMPLETED);
	if (_i >= 3)
		free_older();
}
END_TEST

/* ---- Threads -------------------------------------------------------------------------------------- */

START_TEST(job_goes_on_with_fewer_workers_but_not_without_any)
{
	make((const uint16_t[]){1, NOWHERE});
	for (unsigned int block = 0; block < BLOCKS; block++)
		put_huge(block, 0);
	memory.thread = fake_thread;
	job->work.spec.threads = 3;
	thread_until = _i;
	run(_i ? GMIG_JOB_COMPLETED : GMIG_JOB_FAILED);
	ck_assert_int_lt(thread_until, 0);
	if (_i) {
		assert_pages(PAGES, 0, 0, 0);
		ck_assert_uint_eq(fake.info.passes, 1);
		return;
	}
	assert_said("refresh 0+16\nbegin\nend\n");
	ck_assert_int_eq(fake.info.error.code, -EAGAIN);
	ck_assert_str_eq(fake.info.error.text, "cannot start a copy worker: EAGAIN");
	assert_pages(0, PAGES, 0, 0);
	assert_remaining(0, EAGAIN, PAGES);
	ck_assert_uint_eq(job->working, 0);
}
END_TEST

/* Mode lazy: the second is the one that serves. */
START_TEST(job_in_mode_lazy_moves_all_at_once_if_nobody_serves)
{
	make((const uint16_t[]){1, NOWHERE});
	job->work.spec.mode = GMIG_MODE_LAZY;
	ck_assert_int_eq(lazy_create(&sys, job->start_ns, 0, &job->lazy), 0);
	for (unsigned int block = 0; block < 3; block++)
		put_huge(block, 0);
	thread_until = 1;
	run(GMIG_JOB_COMPLETED);
	ck_assert_int_lt(thread_until, 0);
	assert_pages(3 * B, 0, 0, 0);
	ck_assert_uint_eq(fake.info.lazy.swept_bytes, 3 * GMIG_BLOCK_BYTES);
}
END_TEST

int main(void)
{
	const TTest *const tests[] = {
	    what_cannot_be_made_is_not_there,
	    list_is_as_it_was_if_its_plan_cannot_be_made,
	    ranges_are_as_they_were_if_they_cannot_be_cut,
	    lists_are_joined_though_nothing_is_given_back,
	    work_set_is_made_as_a_whole_or_not_at_all,
	    word_that_cannot_be_kept_was_not_said,
	    job_in_mode_lazy_moves_all_at_once_if_nobody_serves,
	};
	Suite *suite = suite_create("job_memory");
	TCase *tcase = tcase_create("memory");

	tcase_set_timeout(tcase, 60);
	tcase_add_checked_fixture(tcase, setup, teardown);
	for (size_t i = 0; i < sizeof(tests) / sizeof(tests[0]); i++)
		tcase_add_test(tcase, tests[i]);
	tcase_add_loop_test(tcase, job_without_memory_fails_for_that_reason_and_loses_nothing, 0,
			    6);
	tcase_add_loop_test(tcase, job_goes_on_with_fewer_workers_but_not_without_any, 0, 3);
	suite_add_tcase(suite, tcase);
	return run_suite(suite);
}
