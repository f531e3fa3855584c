#include "status_rig.h"

#include <errno.h>
#include <malloc.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

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
	ck_assert_int_eq(status_set(status, base, 512, 2 * (int)GMIG_MAX_NODES), -EINVAL);
	ck_assert_int_eq(status_set(status, base, 512, -4096), -EINVAL);
	ck_assert_int_eq(status_set(status, base, 512, STATUS_NOT_KEPT), -EINVAL);
	ck_assert_int_eq(status_set(status, base, 512, INT16_MIN), -EINVAL);
	ck_assert_int_eq(status_set(status, base, 0, 0), -EINVAL);
	ck_assert_int_eq(get(base), STATUS_NOT_TRIED);
	ck_assert_int_eq(status_set(status, base + 1, 511, 0), 0);
}
END_TEST

START_TEST(result_at_the_ends_of_what_is_allowed_is_kept)
{
	static const int results[] = {0, GMIG_MAX_NODES - 1, -1, -4095};
	int by_last = STATUS_BY_OTHERS(GMIG_MAX_NODES - 1);

	for (unsigned int i = 0; i < 4; i++) {
		ck_assert_int_eq(status_set(status, base + i, 1, results[i]), 0);
		ck_assert_int_eq(status_set(status, base + 512 + 512 * i, 512, results[i]), 0);
	}
	for (unsigned int i = 0; i < 4; i++) {
		ck_assert_int_eq(get(base + i), results[i]);
		ck_assert_int_eq(get(base + 512 + 512 * i), results[i]);
	}
	ck_assert_int_eq(status_set(status, base + 9, 1, STATUS_BY_OTHERS(0)), 0);
	ck_assert_int_eq(status_set(status, base + 10, 1, by_last), 0);
	ck_assert_int_eq(get(base + 9), 0);
	ck_assert_int_eq(get(base + 10), (int)GMIG_MAX_NODES - 1);
	ck_assert_uint_eq(sum().by_others, 2);
	ck_assert_uint_eq(sum().moved, 2 * 513);
	ck_assert_uint_eq(sum().remaining, 2 * 513);
}
END_TEST

START_TEST(results_of_many_blocks_are_set_at_once)
{
	/* Two ranges side by side, and parts of the blocks at both ends. */
	ck_assert_int_eq(status_add_range(status, base + PAGES, 5000 * 512), 0);
	ck_assert_int_eq(status_set(status, base + 700, 3000000, 1), -EFAULT);
	ck_assert_int_eq(status_set(status, base + 1, UINT64_MAX, 1), -EFAULT);
	ck_assert_uint_eq(sum().moved, 0);
	ck_assert_int_eq(status_set(status, base + 700, 2000000, 1), 0);
	ck_assert_int_eq(get(base + 699), STATUS_NOT_TRIED);
	ck_assert_int_eq(get(base + 700), 1);
	ck_assert_int_eq(get(base + PAGES), 1);
	ck_assert_int_eq(get(base + 2000699), 1);
	ck_assert_int_eq(get(base + 2000700), STATUS_NOT_TRIED);
	ck_assert_uint_eq(sum().moved, 2000000);
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
	ck_assert_int_eq(status_set(status, base + 2048, 20, -EPERM), 0);
	ck_assert_uint_eq(status_count_remaining(status, left, GMIG_MAX_REMAINING), 3);
	ck_assert_int_eq(left[0].error, EBUSY);
	ck_assert_uint_eq(left[0].pages, 612);
	ck_assert_int_eq(left[1].error, EPERM);
	ck_assert_uint_eq(left[1].pages, 20);
	ck_assert_int_eq(left[2].error, ENOMEM);
	ck_assert_uint_eq(left[2].pages, 1);
	ck_assert_uint_eq(status_count_remaining(status, left, 2), 2);
	ck_assert_int_eq(left[1].error, EPERM);
}
END_TEST

START_TEST(largest_kinds_are_told_when_there_are_many)
{
	struct gmig_remaining left[GMIG_MAX_REMAINING];

	for (unsigned int error = 3; error < 200; error++)
		ck_assert_int_eq(
		    status_set(status, base + (uint64_t)error * 20, error % 20 + 1, -(int)error),
		    0);
	/* Twenty pages each: nine of them, of 19, 39, .. 199; then the first of those with 19. */
	ck_assert_uint_eq(status_count_remaining(status, left, GMIG_MAX_REMAINING),
			  GMIG_MAX_REMAINING);
	for (int i = 0; i < 9; i++) {
		ck_assert_uint_eq(left[i].pages, 20);
		ck_assert_int_eq(left[i].error, 19 + 20 * i);
	}
	ck_assert_uint_eq(left[10].pages, 19);
	ck_assert_int_eq(left[10].error, 18);
}
END_TEST

START_TEST(sums_tell_how_the_pages_ended)
{
	struct status_sum all;

	ck_assert_int_eq(status_set(status, base, PAGES, STATUS_WANTED), 0);
	ck_assert_uint_eq(sum().not_tried, PAGES);
	ck_assert_int_eq(status_set(status, base, 600, 1), 0);
	ck_assert_int_eq(status_set(status, base + 600, 50, -ENOENT), 0);
	ck_assert_int_eq(status_set(status, base + 650, 70, STATUS_BY_OTHERS(1)), 0);
	ck_assert_int_eq(status_set(status, base + 1024, 512, -EBUSY), 0);
	ck_assert_int_eq(status_set(status, base + 2000, 1, STATUS_NOT_TRIED), 0);
	all = sum();
	ck_assert_uint_eq(all.moved, 600);
	ck_assert_uint_eq(all.gone, 50);
	ck_assert_uint_eq(all.by_others, 70);
	ck_assert_uint_eq(all.remaining, 512);
	ck_assert_uint_eq(all.not_tried, PAGES - 600 - 50 - 70 - 512 - 1);
	ck_assert_int_eq(get(base + PAGES - 1), STATUS_WANTED);
	ck_assert_int_eq(get(base + 2000), STATUS_NOT_TRIED);
	ck_assert_int_eq(get(base + 650), 1);
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

/* ---- A model: one word a page -------------------------------------------------------------- */

static int model[PAGES];

static void model_set(unsigned int first, unsigned int pages, int result)
{
	for (unsigned int i = first; i < first + pages; i++)
		model[i] = result;
}

static void model_assert_sums(void)
{
	struct gmig_remaining left[GMIG_MAX_REMAINING];
	struct status_sum want = {0}, got = sum();
	uint64_t pages[200] = {0}, kinds = 0;

	for (unsigned int i = 0; i < PAGES; i++) {
		want.by_others += model[i] >= (int)GMIG_MAX_NODES;
		want.moved += model[i] >= 0 && model[i] < (int)GMIG_MAX_NODES;
		want.gone += model[i] == -ENOENT;
		want.not_tried += model[i] == STATUS_WANTED;
		if (status_is_reason(model[i])) {
			kinds += !pages[-model[i]]++;
			want.remaining++;
		}
	}
	ck_assert_mem_eq(&got, &want, sizeof(want));
	ck_assert_uint_eq(status_count_remaining(status, left, GMIG_MAX_REMAINING), kinds);
	for (unsigned int i = 0; i < kinds; i++)
		ck_assert_uint_eq(left[i].pages, pages[left[i].error]);
}

static void model_assert_results(void)
{
	static int got[PAGES];

	status_get(status, base, PAGES, got);
	for (unsigned int i = 0; i < PAGES; i++)
		ck_assert_int_eq(got[i], model[i] >= (int)GMIG_MAX_NODES
					     ? model[i] - (int)GMIG_MAX_NODES
					     : model[i]);
}

static int random_result(void)
{
	static const int kinds[] = {
	    0,	     1,	      63,     STATUS_BY_OTHERS(1), -ENOENT,	 -EBUSY, -EAGAIN,
	    -ENOMEM, -EACCES, -EPERM, STATUS_NOT_TRIED,	   STATUS_WANTED};

	return kinds[(unsigned int)rand() % (sizeof(kinds) / sizeof(kinds[0]))];
}

/* Mostly within one block, as workers set them. */
static void random_span(unsigned int *first, unsigned int *pages)
{
	*first = (unsigned int)rand() % PAGES;
	*pages = 1 + (unsigned int)rand() % (GMIG_BLOCK_PAGES - *first % GMIG_BLOCK_PAGES);
	if (rand() % 4 == 0) {
		*first -= *first % GMIG_BLOCK_PAGES;
		*pages = GMIG_BLOCK_PAGES;
	} else if (rand() % 20 == 0) {
		*pages = 1 + (unsigned int)rand() % (PAGES - *first);
	}
}

START_TEST(random_results_agree_with_one_word_a_page)
{
	unsigned int first, pages;

	srand(3 + (unsigned int)_i);
	model_set(0, PAGES, STATUS_NOT_TRIED);
	for (unsigned int round = 0; round < 3000; round++) {
		int result = random_result();
		uint64_t block = base + 512u * ((unsigned int)rand() % BLOCKS);

		random_span(&first, &pages);
		ck_assert_int_eq(status_set(status, base + first, pages, result), 0);
		model_set(first, pages, result);
		if (rand() % 3 == 0)
			ck_assert_int_eq(status_prepare(status, block), 0);
		else
			status_finish(status, block);
		if (round % 50 == 0) {
			model_assert_sums();
			model_assert_results();
		}
	}
	model_assert_sums();
	model_assert_results();
	status_end(status);
	model_assert_sums();
	model_assert_results();
	ck_assert_uint_eq(status_forgotten(status), 0);
}
END_TEST

/* ---- Without memory ------------------------------------------------------------------------ */

START_TEST(prepared_block_takes_all_results_without_memory)
{
	unsigned int first, pages;

	srand(11);
	model_set(0, PAGES, STATUS_NOT_TRIED);
	ck_assert_int_eq(status_prepare(status, base + 1024), 0);
	allocations_allowed = allocations;
	for (unsigned int round = 0; round < 5000; round++) {
		int result = random_result();

		first = (unsigned int)rand() % GMIG_BLOCK_PAGES;
		pages = 1 + (unsigned int)rand() % (GMIG_BLOCK_PAGES - first);
		/* Often all alike, which must not take the reserve away. */
		if (rand() % 3 == 0) {
			first = 0;
			pages = GMIG_BLOCK_PAGES;
		}
		ck_assert_int_eq(status_set(status, base + 1024 + first, pages, result), 0);
		model_set(1024 + first, pages, result);
	}
	model_assert_sums();
	model_assert_results();
	status_finish(status, base + 1024);
	model_assert_results();
	ck_assert_int_eq(status_set(status, base, 1, 0), -ENOMEM); /* not prepared */
	ck_assert_int_eq(status_prepare(status, base + PAGES), -EFAULT);
}
END_TEST

START_TEST(prepare_without_memory_changes_nothing_and_says_so)
{
	unsigned int needed = 0;

	for (int ret = -ENOMEM; ret; needed++) {
		allocations_allowed = allocations + needed;
		ret = status_prepare(status, base);
		ck_assert(ret == 0 || ret == -ENOMEM);
		ck_assert_int_eq(get(base), STATUS_NOT_TRIED);
		if (ret)
			ck_assert_int_eq(status_set(status, base, 1, 1), -ENOMEM);
	}
	ck_assert_uint_gt(needed, 2);
	ck_assert_int_eq(status_set(status, base, 1, 1), 0);
}
END_TEST

START_TEST(results_survive_an_end_without_memory_as_sums)
{
	ck_assert_int_eq(status_set(status, base, 700, -EBUSY), 0);
	ck_assert_int_eq(status_set(status, base + 700, 500, 2), 0);
	allocations_allowed = allocations;
	status_end(status);
	ck_assert_uint_eq(sum().remaining, 700);
	ck_assert_uint_eq(sum().moved, 500);
	ck_assert_int_eq(get(base), STATUS_NOT_KEPT);
	ck_assert_uint_eq(status_forgotten(status), 700);
}
END_TEST

/* ---- The end ------------------------------------------------------------------------------- */

START_TEST(ended_status_tells_the_same_and_takes_no_more)
{
	ck_assert_int_eq(status_add_range(status, base + 2 * PAGES, PAGES), 0);
	ck_assert_int_eq(status_set(status, base + 2 * PAGES + 3, 4, -EPERM), 0);
	ck_assert_int_eq(status_set(status, base, PAGES, STATUS_BY_OTHERS(7)), 0);
	status_end(status);
	status_end(status);
	ck_assert_int_eq(get(0), -EFAULT);
	ck_assert_int_eq(get(base - 1), -EFAULT);
	ck_assert_int_eq(get(base), 7);
	ck_assert_int_eq(get(base + PAGES - 1), 7);
	ck_assert_int_eq(get(base + PAGES), -EFAULT);
	ck_assert_int_eq(get(base + 2 * PAGES + 2), STATUS_NOT_TRIED);
	ck_assert_int_eq(get(base + 2 * PAGES + 3), -EPERM);
	ck_assert_int_eq(get(base + 2 * PAGES + 7), STATUS_NOT_TRIED);
	ck_assert_int_eq(get(base + 3 * PAGES), -EFAULT);
	ck_assert_int_eq(get(UINT64_MAX), -EFAULT);
	ck_assert_int_eq(status_set(status, base, 1, 1), -EINVAL);
	ck_assert_int_eq(status_add_range(status, 0, 512), -EINVAL);
	ck_assert_int_eq(status_prepare(status, base), -EFAULT);
	ck_assert(!status_block_wants_retry(status, base));
	ck_assert_uint_eq(sum().remaining, 4);
}
END_TEST

#define GUEST_PAGES ((12ull << 40) / GMIG_PAGE_BYTES) /* 12 TiB */

START_TEST(status_of_a_huge_guest_costs_little_from_begin_to_end)
{
	const uint64_t first = 1ull << 34, group = 512 * 512;
	size_t before = allocated;

	ck_assert_int_eq(status_add_range(status, first, GUEST_PAGES), 0);
	ck_assert_int_eq(status_set(status, first, GUEST_PAGES, STATUS_WANTED), 0);
	ck_assert_uint_le(allocated - before, 256 << 10);
	/* 64 GiB block by block: what agrees again is given back, and would be taken again. */
	for (uint64_t gfn = first; gfn < first + 64 * group; gfn += 512)
		ck_assert_int_eq(status_set(status, gfn, 512, 3), 0);
	ck_assert_uint_le(allocated - before, (256 << 10) + 64 * 2048);
	ck_assert_uint_eq(sum().moved, 64 * group);
	ck_assert_uint_eq(sum().not_tried, GUEST_PAGES - 64 * group);
	status_end(status);
	ck_assert_int_eq(get(first + 64 * group - 1), 3);
	ck_assert_int_eq(get(first + 64 * group), STATUS_WANTED);
	ck_assert_uint_eq(status_forgotten(status), 0);
}
END_TEST

/* One page in `every` remains, all others are moved. */
static void scatter(uint64_t first, unsigned int blocks, unsigned int every)
{
	unsigned int failed = 0;

	ck_assert_int_eq(status_add_range(status, first, blocks * 512ull), 0);
	ck_assert_int_eq(status_set(status, first, blocks * 512ull, 1), 0);
	/* One assertion for all: each costs more than what it asserts. */
	for (uint64_t page = 0; page < blocks * 512ull; page += every)
		failed += status_set(status, first + page, 1, -EBUSY) != 0;
	ck_assert_uint_eq(failed, 0);
}

START_TEST(ended_status_without_room_keeps_reasons_from_the_start_and_all_sums)
{
	const uint64_t first = 1ull << 34, pages = 12000 * 512ull;
	uint64_t kept = 0, wrong = 0, gfn;
	int result;

	scatter(first, 12000, 8);
	ck_assert_int_eq(status_set(status, base, PAGES, -EPERM), 0); /* below all of them */
	status_end(status);
	ck_assert_uint_eq(sum().remaining, pages / 8 + PAGES);
	ck_assert_uint_eq(sum().moved, pages - pages / 8);
	ck_assert_int_eq(get(base), -EPERM);
	ck_assert_int_eq(get(base + PAGES - 1), -EPERM);
	for (gfn = first; (result = get(gfn)) == -EBUSY; gfn += 8, kept++)
		wrong += get(gfn + 1) != STATUS_NOT_KEPT;
	ck_assert_int_eq(result, STATUS_NOT_KEPT);
	ck_assert_uint_gt(kept, 40000);
	ck_assert_uint_eq(status_forgotten(status), pages / 8 - kept);
	for (; gfn < first + pages; gfn++)
		wrong += get(gfn) != STATUS_NOT_KEPT;
	ck_assert_uint_eq(wrong, 0);
}
END_TEST

START_TEST(ranges_of_a_process_are_all_found)
{
	enum { RANGES = 10000 };
	static unsigned int order[RANGES];

	srand(1);
	for (unsigned int i = 0; i < RANGES; i++)
		order[i] = i;
	for (unsigned int i = RANGES - 1; i; i--) {
		unsigned int k = (unsigned int)rand() % (i + 1), kept = order[i];

		order[i] = order[k];
		order[k] = kept;
	}
	/* One to three blocks each, with holes between most of them. */
	for (unsigned int i = 0; i < RANGES; i++) {
		uint64_t gfn = (1ull << 30) + order[i] * 2048ull;

		ck_assert_int_eq(status_add_range(status, gfn, 512 * (1 + order[i] % 4)), 0);
		ck_assert_int_eq(status_set(status, gfn + 511, 1, (int)(order[i] % 1000)), 0);
	}
	for (unsigned int round = 0; round < 2; round++) {
		for (unsigned int i = 0; i < RANGES; i++) {
			uint64_t gfn = (1ull << 30) + i * 2048ull, end = gfn + 512 * (1 + i % 4);

			ck_assert_int_eq(get(gfn), STATUS_NOT_TRIED);
			ck_assert_int_eq(get(gfn + 511), (int)(i % 1000));
			ck_assert_int_eq(get(end - 1), i % 4 ? STATUS_NOT_TRIED : (int)(i % 1000));
			if (i % 4 < 3)
				ck_assert_int_eq(get(end), -EFAULT);
		}
		status_end(status);
	}
}
END_TEST

/* The sanitizers' allocators do not keep these books. */
#if !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__) && !defined(__clang__)
static size_t in_use(void)
{
	struct mallinfo2 info = mallinfo2();

	return info.uordblks + info.hblkhd;
}

/* Not by LeakSanitizer either, which a program does not know of. */
static bool are_books_kept(void)
{
	size_t before = in_use();
	void *volatile one = malloc(100);
	bool kept = in_use() > before;

	free(one);
	return kept;
}

START_TEST(block_of_one_result_costs_two_bytes)
{
	const uint64_t blocks = 1 << 16; /* 128 GiB of guest */
	size_t before = in_use(), after;

	ck_assert_int_eq(status_add_range(status, 1ull << 32, blocks * GMIG_BLOCK_PAGES), 0);
	for (uint64_t i = 0; i < blocks; i++)
		ck_assert_int_eq(status_set(status, (1ull << 32) + i * 512, 512, (int)(i % 4)), 0);
	after = in_use();
	ck_assert_uint_ge(after - before, 2 * blocks);
	/* The books of 512 blocks, and the allocator's own. */
	ck_assert_uint_le(after - before, 2 * blocks + blocks / 3 + 8192);
}
END_TEST

START_TEST(ended_status_keeps_less_than_a_mebibyte)
{
	size_t before, after;

	before = in_use();
	/* Worst cases: each page differs from its neighbours; and more mixed blocks than are read. */
	scatter(1ull << 34, _i ? 70000 : 12000, _i ? 511 : 2);
	status_end(status);
	after = in_use();
	ck_assert_uint_le(after - before, 1 << 20);
	ck_assert_uint_gt(status_forgotten(status), 0);
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
	tcase_add_test(tcase, result_at_the_ends_of_what_is_allowed_is_kept);
	tcase_add_test(tcase, results_of_many_blocks_are_set_at_once);
	tcase_add_test(tcase, largest_kinds_are_told_when_there_are_many);
	tcase_add_test(tcase, sums_tell_how_the_pages_ended);
	tcase_add_loop_test(tcase, random_results_agree_with_one_word_a_page, 0, 4);
	tcase_add_test(tcase, prepared_block_takes_all_results_without_memory);
	tcase_add_test(tcase, prepare_without_memory_changes_nothing_and_says_so);
	tcase_add_test(tcase, results_survive_an_end_without_memory_as_sums);
	tcase_add_test(tcase, ended_status_tells_the_same_and_takes_no_more);
	tcase_add_test(tcase, status_of_a_huge_guest_costs_little_from_begin_to_end);
	tcase_add_test(tcase, ended_status_without_room_keeps_reasons_from_the_start_and_all_sums);
	tcase_add_test(tcase, ranges_of_a_process_are_all_found);
#ifdef HAVE_BOOKS
	if (are_books_kept()) {
		tcase_add_test(tcase, block_of_one_result_costs_two_bytes);
		tcase_add_loop_test(tcase, ended_status_keeps_less_than_a_mebibyte, 0, 2);
		tcase_add_test(tcase, blocks_whose_pages_agree_again_give_their_memory_back);
	}
#endif
	tcase_add_test(tcase, results_of_two_threads_are_all_kept);
	suite_add_tcase(suite, tcase);
	srunner_run_all(runner, CK_ENV);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
