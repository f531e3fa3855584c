#include "../../migrate/jobs/status.h"

#include <check.h>
#include <errno.h>
#include <malloc.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

enum { BLOCKS = 8, PAGES = BLOCKS * GMIG_BLOCK_PAGES };

static const uint64_t base = 0x40000;
static struct status *status;

static void setup(void)
{
	ck_assert_int_eq(status_create(&status), 0);
	ck_assert_int_eq(status_add_range(status, base, PAGES), 0);
}

static void teardown(void)
{
	status_destroy(status);
}

static int get(uint64_t gfn)
{
	int result;

	status_get(status, gfn, 1, &result);
	return result;
}

START_TEST(page_without_result_is_not_tried)
{
	ck_assert_int_eq(get(base), STATUS_NOT_TRIED);
	ck_assert_int_eq(get(base + PAGES - 1), STATUS_NOT_TRIED);
}
END_TEST

START_TEST(page_outside_the_ranges_is_efault)
{
	int result[3];

	ck_assert_int_eq(get(base - 1), -EFAULT);
	ck_assert_int_eq(get(UINT64_MAX), -EFAULT);
	ck_assert_int_eq(status_set(status, base + PAGES, 512, 0), -EFAULT);
	status_get(status, base + PAGES - 1, 3, result);
	ck_assert_int_eq(result[0], STATUS_NOT_TRIED);
	ck_assert_int_eq(result[1], -EFAULT);
	ck_assert_int_eq(result[2], -EFAULT);
}
END_TEST

START_TEST(range_that_overlaps_or_is_not_aligned_is_refused)
{
	ck_assert_int_eq(status_add_range(status, base, 512), -EEXIST);
	ck_assert_int_eq(status_add_range(status, base - 512, 1024), -EEXIST);
	ck_assert_int_eq(status_add_range(status, base + PAGES - 512, 1024), -EEXIST);
	ck_assert_int_eq(status_add_range(status, 1, 512), -EINVAL);
	ck_assert_int_eq(status_add_range(status, 0, 511), -EINVAL);
	ck_assert_int_eq(status_add_range(status, 0, 0), -EINVAL);
	ck_assert_int_eq(status_add_range(status, base - 512, 512), 0);
	ck_assert_int_eq(status_add_range(status, base + PAGES, 512), 0);
	ck_assert_int_eq(status_set(status, base - 512, 512, 3), 0);
	ck_assert_int_eq(get(base - 1), 3);
	ck_assert_int_eq(get(base), STATUS_NOT_TRIED);
}
END_TEST

START_TEST(result_that_is_no_result_is_refused)
{
	ck_assert_int_eq(status_set(status, base, 512, GMIG_MAX_NODES), -EINVAL);
	ck_assert_int_eq(status_set(status, base, 512, -4096), -EINVAL);
	ck_assert_int_eq(status_set(status, base, 0, 0), -EINVAL);
	ck_assert_int_eq(status_set(status, base + 1, 512, 0), -EINVAL);
	ck_assert_int_eq(get(base), STATUS_NOT_TRIED);
	ck_assert_int_eq(status_set(status, base + 1, 511, 0), 0);
}
END_TEST

START_TEST(part_of_a_block_leaves_the_rest_as_it_was)
{
	ck_assert_int_eq(status_set(status, base, 512, 1), 0);
	ck_assert_int_eq(status_set(status, base + 10, 5, -EBUSY), 0);
	ck_assert_int_eq(get(base + 9), 1);
	ck_assert_int_eq(get(base + 10), -EBUSY);
	ck_assert_int_eq(get(base + 14), -EBUSY);
	ck_assert_int_eq(get(base + 15), 1);
	ck_assert_int_eq(get(base + 512), STATUS_NOT_TRIED);
}
END_TEST

START_TEST(pages_left_are_counted_by_error_most_first)
{
	struct gmig_remaining left[GMIG_MAX_REMAINING];

	ck_assert_int_eq(status_set(status, base, 512, -ENOENT), 0);
	ck_assert_int_eq(status_set(status, base + 512, 512, -EBUSY), 0);
	ck_assert_int_eq(status_set(status, base + 1024, 100, -EBUSY), 0);
	ck_assert_int_eq(status_set(status, base + 1124, 1, -ENOMEM), 0);
	ck_assert_int_eq(status_set(status, base + 1536, 512, 2), 0);
	ck_assert_uint_eq(status_count_remaining(status, left, GMIG_MAX_REMAINING), 3);
	ck_assert_int_eq(left[0].error, EBUSY);
	ck_assert_uint_eq(left[0].pages, 612);
	ck_assert_int_eq(left[1].error, ENOENT);
	ck_assert_uint_eq(left[1].pages, 512);
	ck_assert_int_eq(left[2].error, ENOMEM);
	ck_assert_uint_eq(left[2].pages, 1);
	ck_assert_uint_eq(status_count_remaining(status, left, 2), 2);
}
END_TEST

START_TEST(later_result_takes_the_earlier_ones_place_in_the_count)
{
	struct gmig_remaining left[GMIG_MAX_REMAINING];

	ck_assert_int_eq(status_set(status, base, 512, -EAGAIN), 0);
	ck_assert_int_eq(status_set(status, base + 3, 2, -EBUSY), 0);
	ck_assert_int_eq(status_set(status, base, 512, 1), 0);
	ck_assert_uint_eq(status_count_remaining(status, left, GMIG_MAX_REMAINING), 0);
}
END_TEST

START_TEST(block_with_a_busy_page_wants_another_pass)
{
	ck_assert(!status_block_wants_retry(status, base));
	ck_assert_int_eq(status_set(status, base + 511, 1, -EAGAIN), 0);
	ck_assert(status_block_wants_retry(status, base));
	ck_assert(status_block_wants_retry(status, base + 100));
	ck_assert_int_eq(status_set(status, base + 511, 1, -ENOMEM), 0);
	ck_assert(!status_block_wants_retry(status, base));
	ck_assert_int_eq(status_set(status, base, 512, -EBUSY), 0);
	ck_assert(status_block_wants_retry(status, base));
	ck_assert(!status_block_wants_retry(status, base + 512));
	ck_assert(!status_block_wants_retry(status, 0));
}
END_TEST

START_TEST(random_results_agree_with_one_word_a_page)
{
	static const int kinds[] = {0, 1, 63, -ENOENT, -EBUSY, -EAGAIN, STATUS_NOT_TRIED, -ENOMEM};
	static int model[PAGES], got[PAGES];
	unsigned int first, pages, kept, busy = 0;
	uint64_t counted = 0;
	struct gmig_remaining left[GMIG_MAX_REMAINING];
	int result;

	srand(3);
	for (unsigned int i = 0; i < PAGES; i++)
		model[i] = STATUS_NOT_TRIED;
	for (unsigned int round = 0; round < 4000; round++) {
		first = (unsigned int)rand() % PAGES;
		pages = 1 + (unsigned int)rand() % (GMIG_BLOCK_PAGES - first % GMIG_BLOCK_PAGES);
		if (rand() % 4 == 0) {
			first -= first % GMIG_BLOCK_PAGES;
			pages = GMIG_BLOCK_PAGES;
		}
		result = kinds[(unsigned int)rand() % (sizeof(kinds) / sizeof(kinds[0]))];
		ck_assert_int_eq(status_set(status, base + first, pages, result), 0);
		for (unsigned int i = first; i < first + pages; i++)
			model[i] = result;
	}
	status_get(status, base, PAGES, got);
	ck_assert_mem_eq(got, model, sizeof(model));
	for (unsigned int i = 0; i < PAGES; i++)
		busy += model[i] == -EBUSY;
	kept = status_count_remaining(status, left, GMIG_MAX_REMAINING);
	for (unsigned int i = 0; i < kept; i++) {
		if (left[i].error == EBUSY)
			counted = left[i].pages;
	}
	ck_assert_uint_gt(busy, 0);
	ck_assert_uint_eq(counted, busy);
}
END_TEST

/* The sanitizers' allocators do not keep these books. */
#if !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__) && !defined(__clang__)
START_TEST(block_of_one_result_costs_two_bytes)
{
	const uint64_t blocks = 1 << 16; /* 128 GiB of guest */
	size_t before = mallinfo2().uordblks + mallinfo2().hblkhd, after;

	ck_assert_int_eq(status_add_range(status, 1ull << 32, blocks * GMIG_BLOCK_PAGES), 0);
	for (uint64_t i = 0; i < blocks; i++)
		ck_assert_int_eq(status_set(status, (1ull << 32) + i * 512, 512, (int)(i % 4)), 0);
	after = mallinfo2().uordblks + mallinfo2().hblkhd;
	ck_assert_uint_ge(after - before, 2 * blocks);
	/* A directory pointer for 512 blocks, and the allocator's own. */
	ck_assert_uint_le(after - before, 2 * blocks + blocks / 64 + 8192);
}
END_TEST

START_TEST(blocks_whose_pages_agree_again_give_their_memory_back)
{
	const uint64_t first = 1ull << 32, blocks = 256;
	size_t before, spelled, after;

	ck_assert_int_eq(status_add_range(status, first, blocks * GMIG_BLOCK_PAGES), 0);
	before = mallinfo2().uordblks;
	for (uint64_t i = 0; i < blocks; i++)
		ck_assert_int_eq(status_set(status, first + i * 512, 511, 0), 0);
	spelled = mallinfo2().uordblks;
	for (uint64_t i = 0; i < blocks; i++)
		ck_assert_int_eq(status_set(status, first + i * 512 + 511, 1, 0), 0);
	after = mallinfo2().uordblks;
	ck_assert_uint_ge(spelled - before, blocks * 1024);
	/* The directory, and what the C library keeps for the next one who asks. */
	ck_assert_uint_le(after - before, 32 << 10);
}
END_TEST
#define HAVE_BOOKS 1
#endif

static void *set_own_pages(void *arg)
{
	uint64_t me = (uintptr_t)arg;

	/* Two workers interleaved in the same blocks: worse than the engine's use. */
	for (unsigned int i = (unsigned int)me; i < PAGES; i += 2)
		ck_assert_int_eq(status_set(status, base + i, 1, (int)me), 0);
	return NULL;
}

START_TEST(results_of_two_threads_are_all_kept)
{
	pthread_t thread[2];

	for (uintptr_t i = 0; i < 2; i++)
		ck_assert_int_eq(pthread_create(&thread[i], NULL, set_own_pages, (void *)i), 0);
	for (unsigned int i = 0; i < 2; i++)
		pthread_join(thread[i], NULL);
	for (unsigned int i = 0; i < PAGES; i++)
		ck_assert_int_eq(get(base + i), (int)(i % 2));
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("status");
	TCase *tcase = tcase_create("status");
	SRunner *runner = srunner_create(suite);
	int failed;

	tcase_set_timeout(tcase, 60);
	tcase_add_checked_fixture(tcase, setup, teardown);
	tcase_add_test(tcase, page_without_result_is_not_tried);
	tcase_add_test(tcase, page_outside_the_ranges_is_efault);
	tcase_add_test(tcase, range_that_overlaps_or_is_not_aligned_is_refused);
	tcase_add_test(tcase, result_that_is_no_result_is_refused);
	tcase_add_test(tcase, part_of_a_block_leaves_the_rest_as_it_was);
	tcase_add_test(tcase, pages_left_are_counted_by_error_most_first);
	tcase_add_test(tcase, later_result_takes_the_earlier_ones_place_in_the_count);
	tcase_add_test(tcase, block_with_a_busy_page_wants_another_pass);
	tcase_add_test(tcase, random_results_agree_with_one_word_a_page);
#ifdef HAVE_BOOKS
	tcase_add_test(tcase, block_of_one_result_costs_two_bytes);
	tcase_add_test(tcase, blocks_whose_pages_agree_again_give_their_memory_back);
#endif
	tcase_add_test(tcase, results_of_two_threads_are_all_kept);
	suite_add_tcase(suite, tcase);
	srunner_run_all(runner, CK_ENV);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
