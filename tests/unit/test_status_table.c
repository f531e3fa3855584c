/* How results are kept while a job runs: slots of 512 blocks, groups of their results, details of a block's pages. */
#include "status_rig.h"
#include "suite.h"

#include <errno.h>

/* What is needed to spell a block's results out, when its slot had one for all: it was all given back before. */
enum { SPELLED = 3 };

static void assert_spelling_takes(uint64_t block_gfn, size_t taken)
{
	size_t before = allocations;

	ck_assert_int_eq(status_prepare(status, block_gfn), 0);
	ck_assert_uint_eq(allocations - before, taken);
	ck_assert_int_eq(status_prepare(status, block_gfn), 0); /* twice is once */
	ck_assert_uint_eq(allocations - before, taken);
	status_finish(status, block_gfn);
}

START_TEST(finished_block_gives_back_what_was_reserved_for_it)
{
	for (unsigned int block = 0; block < BLOCKS; block++)
		assert_spelling_takes(base + block * 512, SPELLED);
	/* Two that are prepared: what they share goes with the last one. */
	ck_assert_int_eq(status_prepare(status, base + 512), 0);
	ck_assert_int_eq(status_prepare(status, base + 1024), 0);
	status_finish(status, base + 512);
	assert_spelling_takes(base + 512, 1);
	ck_assert_int_eq(status_set(status, base + 1024, 3, 1), 0);
	ck_assert_int_eq(status_set(status, base + 1024, 3, STATUS_NOT_TRIED), 0);
	status_finish(status, base + 1024);
	assert_spelling_takes(base + 512, SPELLED);
	status_finish(status, base + 512);   /* not prepared */
	status_finish(status, base + PAGES); /* nobody's */
	assert_spelling_takes(base + 512, SPELLED);
}
END_TEST

START_TEST(finished_block_whose_pages_differ_keeps_them)
{
	ck_assert_int_eq(status_prepare(status, base + 1536), 0);
	ck_assert_int_eq(status_set(status, base + 1536 + 511, 1, 3), 0);
	status_finish(status, base + 1536);
	ck_assert_int_eq(get(base + 1536 + 510), STATUS_NOT_TRIED);
	ck_assert_int_eq(get(base + 1536 + 511), 3);
	assert_spelling_takes(base + 1536, 0);
	assert_spelling_takes(base, 1);
	ck_assert_int_eq(status_set(status, base + 1536, 511, 3), 0);
	/* The block has one result by now, its slot has two. */
	assert_spelling_takes(base + 1536, 2);
	ck_assert_int_eq(status_set(status, base + 1536, 512, STATUS_NOT_TRIED), 0);
	assert_spelling_takes(base, SPELLED);
}
END_TEST

START_TEST(result_that_is_there_already_needs_no_memory)
{
	allocations_allowed = allocations;
	ck_assert_int_eq(status_set(status, base + 1, 5, STATUS_NOT_TRIED), 0);
	ck_assert_int_eq(status_set(status, base + 511, 700, STATUS_NOT_TRIED), 0);
	ck_assert_int_eq(status_set(status, base, PAGES, 1), 0);
	ck_assert_int_eq(status_set(status, base + 100, 1000, 1), 0);
	ck_assert_int_eq(status_set(status, base + 100, 1, 2), -ENOMEM);
	ck_assert_uint_eq(sum().moved, PAGES);
}
END_TEST

/* Whatever its blocks had before: one result each, several, or all the same. */
START_TEST(whole_slot_takes_one_result_at_once)
{
	ck_assert_int_eq(status_set(status, base, 512, 1), 0);
	ck_assert_int_eq(status_set(status, base + 512, 100, -EBUSY), 0);
	ck_assert_int_eq(status_set(status, base + 7 * 512, 512, -ENOENT), 0);
	ck_assert_int_eq(status_set(status, base + 7 * 512 + 5, 1, STATUS_BY_OTHERS(2)), 0);
	ck_assert_uint_eq(sum().moved, 512);
	allocations_allowed = allocations;
	ck_assert_int_eq(status_set(status, base, PAGES, -EPERM), 0);
	ck_assert_uint_eq(sum().moved + sum().gone + sum().by_others + sum().not_tried, 0);
	ck_assert_uint_eq(sum().remaining, PAGES);
	for (unsigned int i = 0; i < PAGES; i += 511)
		ck_assert_int_eq(get(base + i), -EPERM);
	allocations_allowed = SIZE_MAX;
	assert_spelling_takes(base, SPELLED);
	/* Not at once where a block is prepared: it keeps its reserve. */
	ck_assert_int_eq(status_prepare(status, base + 1024), 0);
	allocations_allowed = allocations;
	ck_assert_int_eq(status_set(status, base, PAGES, 4), 0);
	ck_assert_int_eq(status_set(status, base + 1024 + 7, 1, 5), 0);
	ck_assert_uint_eq(sum().moved, PAGES);
	status_finish(status, base + 1024);
	ck_assert_int_eq(get(base + 1024 + 7), 5);
	ck_assert_int_eq(get(base + 1024 + 8), 4);
}
END_TEST

START_TEST(range_of_several_slots_keeps_each_block_of_them)
{
	const uint64_t first = 1ull << 31, blocks = 512 + 512 + 276, end = first + blocks * 512;
	struct status_sum before;

	ck_assert_int_eq(status_add_range(status, first, blocks * 512), 0);
	for (uint64_t i = 0; i < blocks; i++)
		ck_assert_int_eq(status_set(status, first + i * 512, 512, (int)(i % 1000)), 0);
	for (uint64_t i = 0; i < blocks; i++)
		ck_assert(status_block_is(status, first + i * 512, (int)(i % 1000)));
	ck_assert_int_eq(get(first - 1), -EFAULT);
	ck_assert_int_eq(get(end), -EFAULT);
	ck_assert_uint_eq(sum().moved, blocks * 512);
	/* Two slots and a half at once, and the blocks at both ends in part. */
	ck_assert_int_eq(status_set(status, first + 511, blocks * 512 - 512, -EIO), 0);
	ck_assert_int_eq(get(first + 510), 0);
	ck_assert_int_eq(get(first + 511), -EIO);
	ck_assert_int_eq(get(end - 2), -EIO);
	ck_assert_int_eq(get(end - 1), (int)(blocks - 1) % 1000);
	ck_assert_uint_eq(sum().remaining, blocks * 512 - 512);
	ck_assert_int_eq(status_set(status, first + 511, blocks * 512 - 512, -ENOENT), 0);
	ck_assert_uint_eq(sum().remaining, 0);
	ck_assert_uint_eq(sum().gone, blocks * 512 - 512);
	before = sum();
	status_end(status);
	ck_assert_uint_eq(sum().gone, before.gone);
	ck_assert_uint_eq(sum().moved, before.moved);
	ck_assert_int_eq(get(first + 510), 0);
	ck_assert_int_eq(get(first + 511), -ENOENT);
	ck_assert_int_eq(get(end - 2), -ENOENT);
	ck_assert_int_eq(get(end - 1), (int)(blocks - 1) % 1000);
	ck_assert_int_eq(get(end), -EFAULT);
}
END_TEST

START_TEST(block_is_what_all_of_its_pages_are)
{
	ck_assert(status_block_is(status, base, STATUS_NOT_TRIED));
	ck_assert(!status_block_is(status, base, 0));
	ck_assert(!status_block_is(status, base + 1, STATUS_NOT_TRIED)); /* no block begins there */
	ck_assert(!status_block_is(status, base + PAGES, STATUS_OUTSIDE));
	ck_assert_int_eq(status_set(status, base + 512, 512, 7), 0);
	ck_assert(status_block_is(status, base, STATUS_NOT_TRIED));
	ck_assert(status_block_is(status, base + 512, 7));
	ck_assert(status_block_is(status, base + 1024, STATUS_NOT_TRIED));
	ck_assert_int_eq(status_set(status, base + 512 + 511, 1, 8), 0);
	ck_assert(!status_block_is(status, base + 512, 7));
	ck_assert(!status_block_is(status, base + 512, 8));
	ck_assert_int_eq(status_set(status, base + 2048, 512, STATUS_BY_OTHERS(3)), 0);
	ck_assert(status_block_is(status, base + 2048, STATUS_BY_OTHERS(3)));
	ck_assert(!status_block_is(status, base + 2048, 3));
	status_end(status);
	ck_assert(status_block_is(status, base + 2048, STATUS_BY_OTHERS(3)));
	ck_assert(!status_block_is(status, base + 512, 7));
}
END_TEST

START_TEST(retry_is_wanted_for_pages_of_the_block_alone)
{
	static const int worth[] = {-EAGAIN, -EBUSY}, not_worth[] = {-ENOMEM, -EIO, 0, -ENOENT};

	for (unsigned int i = 0; i < 2; i++) {
		ck_assert_int_eq(status_set(status, base + 512, 512, 0), 0);
		ck_assert_int_eq(status_set(status, base + 511, 1, worth[i]), 0);
		ck_assert_int_eq(status_set(status, base + 1024, 1, worth[i]), 0);
		ck_assert(status_block_wants_retry(status, base));
		ck_assert(status_block_wants_retry(status, base + 511));
		ck_assert(!status_block_wants_retry(status, base + 512));
		ck_assert(!status_block_wants_retry(status, base + 1023));
		ck_assert(status_block_wants_retry(status, base + 1024));
		ck_assert(!status_block_wants_retry(status, base + 1536));
	}
	for (unsigned int i = 0; i < 4; i++) {
		ck_assert_int_eq(status_set(status, base, 512, not_worth[i]), 0);
		ck_assert_int_eq(status_set(status, base + 1, 1, not_worth[(i + 1) % 4]), 0);
		ck_assert(!status_block_wants_retry(status, base));
	}
	/* Page by page, where results differ. */
	for (unsigned int page = 0; page < 512; page += 73) {
		ck_assert_int_eq(status_set(status, base, 512, 0), 0);
		ck_assert_int_eq(status_set(status, base + page, 1, -EBUSY), 0);
		ck_assert(status_block_wants_retry(status, base));
	}
}
END_TEST

START_TEST(range_may_end_where_numbers_of_pages_end)
{
	const uint64_t end = 1ull << 47;

	ck_assert_int_eq(status_add_range(status, end, 512), -EINVAL);
	ck_assert_int_eq(status_add_range(status, end - 512, 1024), -EINVAL);
	ck_assert_int_eq(status_add_range(status, 512, UINT64_MAX - 511), -EINVAL);
	ck_assert_int_eq(status_add_range(status, end - 512, 512), 0);
	ck_assert_int_eq(status_set(status, end - 1, 1, 3), 0);
	ck_assert_int_eq(status_set(status, end - 1, 2, 3), -EFAULT);
	status_end(status);
	ck_assert_int_eq(get(end - 1), 3);
	ck_assert_int_eq(get(end - 2), STATUS_NOT_TRIED);
	ck_assert_int_eq(get(end), -EFAULT);
}
END_TEST

START_TEST(range_that_finds_no_memory_is_not_there)
{
	unsigned int added = 0;
	struct status *none;

	/* Each needs its slots, and every now and then a longer list of ranges. */
	for (uint64_t gfn = 1ull << 30; added < 40; gfn += 1024) {
		unsigned int allowed = 0;
		int ret = -ENOMEM;

		for (; ret == -ENOMEM; allowed++) {
			allocations_allowed = allocations + allowed;
			ret = status_add_range(status, gfn, 512);
			ck_assert_int_eq(get(gfn), ret ? -EFAULT : STATUS_NOT_TRIED);
		}
		ck_assert_int_eq(ret, 0);
		ck_assert_uint_ge(allowed, 2);
		added++;
	}
	allocations_allowed = SIZE_MAX;
	ck_assert_int_eq(status_set(status, (1ull << 30) + 39 * 1024, 512, 1), 0);
	ck_assert_uint_eq(sum().moved, 512);
	allocations_allowed = allocations;
	ck_assert_int_eq(status_create_with(alloc, &none), -ENOMEM);
	status_destroy(NULL);
}
END_TEST

int main(void)
{
	const TTest *const tests[] = {
	    finished_block_gives_back_what_was_reserved_for_it,
	    finished_block_whose_pages_differ_keeps_them,
	    result_that_is_there_already_needs_no_memory,
	    whole_slot_takes_one_result_at_once,
	    range_of_several_slots_keeps_each_block_of_them,
	    block_is_what_all_of_its_pages_are,
	    retry_is_wanted_for_pages_of_the_block_alone,
	    range_may_end_where_numbers_of_pages_end,
	    range_that_finds_no_memory_is_not_there,
	};

	return run_tests("status table", setup, teardown, tests, sizeof(tests) / sizeof(tests[0]));
}
