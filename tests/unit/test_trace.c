#include "../../migrate/jobs/trace.h"

#include <check.h>
#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

static size_t allocated, allocations_allowed;

static void *alloc(size_t bytes)
{
	if (!allocations_allowed)
		return NULL;
	allocations_allowed--;
	allocated += bytes;
	return calloc(1, bytes);
}

static struct trace *make(size_t limit)
{
	struct trace *trace;

	allocations_allowed = SIZE_MAX;
	allocated = 0;
	ck_assert_int_eq(trace_create_with(alloc, limit, &trace), 0);
	return trace;
}

/* Records numbered from `first`. */
static void add(struct trace *trace, uint64_t first, size_t count)
{
	struct gmig_trace_record record = {0};

	for (size_t i = 0; i < count; i++) {
		record.gpa = first + i;
		trace_add(trace, &record);
	}
}

START_TEST(trace_copies_any_part_of_its_records)
{
	enum { COUNT = 3000 };
	static struct gmig_trace_record got[COUNT];
	struct trace *trace = make(10000);
	unsigned int wrong = 0;

	ck_assert_uint_eq(trace_copy(trace, 0, got, COUNT), 0);
	add(trace, 0, COUNT);
	for (size_t first = 0; first < COUNT; first += 97) {
		size_t max = first % 1000 + 1;

		memset(got, 0xff, sizeof(got));
		wrong += trace_copy(trace, first, got, max) != COUNT;
		for (size_t i = 0; i < max && first + i < COUNT; i++)
			wrong += got[i].gpa != first + i;
		/* and nothing behind them, or behind what there is */
		wrong += max < COUNT && got[max].gpa != UINT64_MAX;
		for (size_t i = COUNT - first; i < max; i++)
			wrong += got[i].gpa != UINT64_MAX;
	}
	ck_assert_uint_eq(wrong, 0);
	memset(got, 0xff, sizeof(got));
	ck_assert_uint_eq(trace_copy(trace, COUNT, got, 1), COUNT);
	ck_assert_uint_eq(trace_copy(trace, SIZE_MAX, got, 1), COUNT);
	ck_assert_uint_eq(got[0].gpa, UINT64_MAX);
	trace_destroy(trace);
}
END_TEST

START_TEST(trace_at_its_limit_counts_what_it_drops)
{
	static const size_t limits[] = {0, 1, 255, 256, 257, 1000};
	static struct gmig_trace_record got[1000];
	size_t limit = limits[_i];
	struct trace *trace = make(limit);

	add(trace, 0, 5000);
	ck_assert_uint_eq(trace_copy(trace, 0, got, 1000), limit);
	for (size_t i = 0; i < limit; i++)
		ck_assert_uint_eq(got[i].gpa, i);
	ck_assert_uint_eq(trace_dropped(trace), 5000 - limit);
	ck_assert_uint_le(allocated, (limit + 256) * sizeof(got[0]) + 256);
	trace_destroy(trace);
}
END_TEST

START_TEST(trace_without_records_costs_little)
{
	struct trace *trace = make(64 << 10);

	ck_assert_uint_le(allocated, 4096);
	/* But a place for each 256 of them. */
	ck_assert_uint_gt(allocated, (64 << 10) / 256 * sizeof(void *));
	trace_destroy(trace);
}
END_TEST

START_TEST(trace_without_memory_counts_what_it_drops_and_goes_on_later)
{
	struct gmig_trace_record got[2];
	struct trace *trace = make(10000);

	allocations_allowed = 1;
	add(trace, 0, 300);
	ck_assert_uint_eq(trace_dropped(trace), 300 - 256);
	allocations_allowed = 1;
	add(trace, 300, 2);
	ck_assert_uint_eq(trace_copy(trace, 255, got, 2), 258);
	ck_assert_uint_eq(got[0].gpa, 255);
	ck_assert_uint_eq(got[1].gpa, 300);
	ck_assert_uint_eq(trace_dropped(trace), 300 - 256);
	allocations_allowed = 0;
	ck_assert_int_eq(trace_create_with(alloc, 1, &trace), -ENOMEM);
	trace_destroy(trace);
	trace_destroy(NULL);
}
END_TEST

enum { THREADS = 4, EACH = 10000 };

static void *add_many(void *trace)
{
	add(trace, 0, EACH);
	return NULL;
}

START_TEST(records_of_four_threads_are_all_kept_or_counted)
{
	static struct gmig_trace_record got[THREADS * EACH];
	static unsigned int seen[EACH];
	struct trace *trace = make(THREADS * EACH - 100);
	unsigned int wrong = 0;
	pthread_t thread[THREADS];
	size_t count;

	for (unsigned int i = 0; i < THREADS; i++)
		ck_assert_int_eq(pthread_create(&thread[i], NULL, add_many, trace), 0);
	for (unsigned int i = 0; i < 100; i++)
		trace_copy(trace, 0, got, THREADS * EACH);
	for (unsigned int i = 0; i < THREADS; i++)
		pthread_join(thread[i], NULL);
	count = trace_copy(trace, 0, got, THREADS * EACH);
	ck_assert_uint_eq(count, THREADS * EACH - 100);
	ck_assert_uint_eq(trace_dropped(trace), 100);
	for (size_t i = 0; i < count; i++)
		wrong += seen[got[i].gpa]++ >= THREADS;
	ck_assert_uint_eq(wrong, 0);
	trace_destroy(trace);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("trace");
	TCase *tcase = tcase_create("trace");
	SRunner *runner = srunner_create(suite);
	int failed;

	tcase_set_timeout(tcase, 60);
	tcase_add_test(tcase, trace_copies_any_part_of_its_records);
	tcase_add_loop_test(tcase, trace_at_its_limit_counts_what_it_drops, 0, 6);
	tcase_add_test(tcase, trace_without_records_costs_little);
	tcase_add_test(tcase, trace_without_memory_counts_what_it_drops_and_goes_on_later);
	tcase_add_test(tcase, records_of_four_threads_are_all_kept_or_counted);
	suite_add_tcase(suite, tcase);
	srunner_run_all(runner, CK_ENV);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
