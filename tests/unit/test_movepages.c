/* move_pages(2) made exact, on a kernel that fails as Linux does, and on our own memory. */
#include "../../migrate/core/movepages.h"
#include "fake_pages.h"
#include "suite.h"

#include <check.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#define HUGE MOVEPAGES_HUGE_PAGES

static const struct movepages fake = {
    .call = fake_move_pages, .pid = FAKE_PID, .flags = MPOL_MF_MOVE};

static void *pages[FAKE_PAGES + 1];
static int nodes[FAKE_PAGES + 1], status[FAKE_PAGES + 1];
static struct movepages_chunk chunk;

/* The first `count` pages, all to node 1. */
static void want(size_t count)
{
	for (size_t i = 0; i < count; i++) {
		pages[i] = (void *)(uintptr_t)(FAKE_START + i * FAKE_PAGE_BYTES);
		nodes[i] = 1;
		status[i] = 77;
	}
}

static int move(size_t count)
{
	return movepages_exact(&fake, count, pages, nodes, status);
}

/* ---- Addresses ------------------------------------------------------------------------------- */

START_TEST(exact_all_free_takes_one_call)
{
	want(1000);
	ck_assert_int_eq(move(1000), 0);
	ck_assert_uint_eq(fake_calls, 1);
	for (size_t i = 0; i < 1000; i++)
		ck_assert_int_eq(status[i], 1);
}
END_TEST

START_TEST(exact_one_busy_page_keeps_only_itself_and_is_not_tried_alone)
{
	fake_page[333].busy = true;
	want(1000);
	ck_assert_int_eq(move(1000), 0);
	for (size_t i = 0; i < 1000; i++)
		ck_assert_int_eq(status[i], i == 333 ? -EBUSY : 1);
	ck_assert_uint_eq(fake_calls, 1);
}
END_TEST

/* The second batch has another node, and a hole divides it: neither was tried in the first call. */
START_TEST(exact_behind_a_failed_batch_is_tried)
{
	fake_page[3].busy = true;
	fake_page[70].node = FAKE_HOLE;
	want(100);
	for (size_t i = 50; i < 100; i++)
		nodes[i] = 2;
	ck_assert_int_eq(move(100), 0);
	for (size_t i = 0; i < 100; i++)
		ck_assert_int_eq(status[i], i == 3 ? -EBUSY : i == 70 ? -ENOENT : nodes[i]);
	ck_assert_uint_eq(fake_calls, 2);
}
END_TEST

START_TEST(exact_page_that_closes_a_failed_batch_keeps_its_own_reason)
{
	fake_page[3].busy = true;
	fake_page[4].shared = true;
	want(8);
	ck_assert_int_eq(move(8), 0);
	ck_assert_int_eq(status[2], 1);
	ck_assert_int_eq(status[3], -EBUSY);
	ck_assert_int_eq(status[4], -EACCES);
	ck_assert_int_eq(status[7], 1);
}
END_TEST

START_TEST(exact_full_node_is_not_tried_page_by_page)
{
	want(4000);
	fake_node_free[1] = 1000;
	ck_assert_int_eq(move(4000), 0);
	for (size_t i = 0; i < 4000; i++)
		ck_assert_int_eq(status[i], i < 1000 ? 1 : -ENOMEM);
	ck_assert_uint_eq(fake_calls, 2);
}
END_TEST

START_TEST(exact_full_node_does_not_hold_up_another)
{
	want(100);
	fake_node_free[1] = 10;
	for (size_t i = 50; i < 100; i++)
		nodes[i] = 2;
	ck_assert_int_eq(move(100), 0);
	for (size_t i = 0; i < 100; i++)
		ck_assert_int_eq(status[i], i < 10 ? 1 : i < 50 ? -ENOMEM : 2);
}
END_TEST

START_TEST(exact_refused_call_keeps_what_is_known)
{
	want(10);
	nodes[5] = 7;
	ck_assert_int_eq(move(10), -ENODEV);
	ck_assert_int_eq(status[4], 1);
	ck_assert_int_eq(status[5], MOVEPAGES_UNSET);
	fake_allowed = 1;
	want(10);
	ck_assert_int_eq(move(10), -EACCES);
	ck_assert_int_eq(status[0], MOVEPAGES_UNSET);
	ck_assert_int_eq(move(0), 0);
}
END_TEST

/* A kernel that returns 0 and has written nothing: what was in the array is no answer. */
static long silent(pid_t pid, unsigned long count, void **addresses, const int *to, int *out,
		   int flags)
{
	(void)pid, (void)count, (void)addresses, (void)to, (void)out, (void)flags;
	return 0;
}

START_TEST(ask_status_that_was_not_written_is_no_answer)
{
	const struct movepages by = {.call = silent, .pid = FAKE_PID};

	want(3);
	ck_assert_int_eq(movepages_ask(&by, 3, pages, status), -EIO);
	ck_assert_int_eq(movepages_exact(&by, 3, pages, nodes, status), -EIO);
}
END_TEST

/* What lies behind is the caller's, whatever it is. */
START_TEST(ask_about_three_pages_is_about_three)
{
	want(4);
	status[3] = MOVEPAGES_UNSET;
	ck_assert_int_eq(movepages_ask(&fake, 3, pages, status), 0);
	for (size_t i = 0; i < 3; i++)
		ck_assert_int_eq(status[i], 0);
	ck_assert_int_eq(status[3], MOVEPAGES_UNSET);
	status[3] = 77;
	ck_assert_int_eq(movepages_ask(&fake, 3, pages, status), 0);
	ck_assert_int_eq(status[3], 77);
}
END_TEST

static void one_more_fits(void)
{
	fake_node_free[1] = 1;
}

/* A node that is full, and has a page again for each call: eight calls are enough. */
START_TEST(exact_node_that_is_full_again_and_again_is_given_up)
{
	fake_node_free[1] = 1;
	fake_after_move = one_more_fits;
	want(20);
	ck_assert_int_eq(move(20), 0);
	ck_assert_uint_eq(fake_calls, 8);
	for (size_t i = 0; i < 20; i++)
		ck_assert_int_eq(status[i], i < 8 ? 1 : -ENOMEM);
}
END_TEST

START_TEST(exact_says_nothing_of_what_was_not_asked)
{
	fake_page[1].busy = true;
	want(4);
	status[3] = 77;
	ck_assert_int_eq(move(3), 0);
	ck_assert_int_eq(status[3], 77);
	ck_assert_int_eq(movepages_ask(&fake, 3, pages, status), 0);
	ck_assert_int_eq(status[0], 1);
	ck_assert_int_eq(status[1], 0);
	ck_assert_int_eq(status[2], 1);
	ck_assert_int_eq(status[3], 77);
	fake_asked = 0;
	ck_assert_int_eq(movepages_ask(&fake, 0, pages, status), 0);
	ck_assert_uint_eq(fake_asked, 0);
	ck_assert_int_eq(status[0], 1);
}
END_TEST

/* ---- Chunks ---------------------------------------------------------------------------------- */

/* 0 to 1 and 1 to 0; what lies on 2 stays. */
static int swapped(const void *opaque, size_t unit, int node)
{
	(void)opaque, (void)unit;
	return node < 2 ? !node : -1;
}

static int from_0_to_1(const void *opaque, size_t unit, int node)
{
	(void)opaque, (void)unit;
	return node ? -1 : 1;
}

static void fill(size_t first, size_t count)
{
	chunk.count = count;
	for (size_t i = 0; i < count; i++) {
		chunk.address[i] = (void *)(uintptr_t)(FAKE_START + (first + i) * FAKE_PAGE_BYTES);
		chunk.pages[i] = 1;
	}
}

START_TEST(chunk_says_for_each_page_what_became_of_it)
{
	const struct movepages_want swap = {.target = swapped};

	fill(0, 10);
	fake_page[1].node = 1;
	fake_page[2].node = 2;
	fake_page[3].node = FAKE_HOLE;
	fake_page[4].node = FAKE_ZERO;
	fake_page[5].busy = true;
	fake_page[6].shared = true;
	ck_assert_int_eq(movepages_chunk_move(&fake, &chunk, &swap), 0);
	ck_assert_int_eq(chunk.result[0], MOVEPAGES_MOVED);
	ck_assert_int_eq(chunk.after[0], 1);
	ck_assert_int_eq(chunk.result[1], MOVEPAGES_MOVED);
	ck_assert_int_eq(chunk.after[1], 0);
	for (size_t i = 2; i < 5; i++)
		ck_assert_int_eq(chunk.result[i], MOVEPAGES_NOT_WANTED);
	ck_assert_int_eq(chunk.result[5], MOVEPAGES_REMAINS);
	ck_assert_int_eq(chunk.why[5], -EBUSY);
	ck_assert_int_eq(chunk.result[6], MOVEPAGES_REMAINS);
	ck_assert_int_eq(chunk.why[6], -EACCES);
	ck_assert_uint_eq(chunk.moved_pages, 5);
	ck_assert_uint_eq(chunk.remaining_pages, 2);
	ck_assert(chunk.retry);
}
END_TEST

START_TEST(chunk_that_only_others_hold_is_not_worth_another_pass)
{
	const struct movepages_want want = {.target = from_0_to_1};

	fill(0, 4);
	fake_page[1].shared = true;
	ck_assert_int_eq(movepages_chunk_move(&fake, &chunk, &want), 0);
	ck_assert_uint_eq(chunk.remaining_pages, 1);
	ck_assert(!chunk.retry);
}
END_TEST

static int refused_target(const void *opaque, size_t i, int node)
{
	(void)opaque, (void)i, (void)node;
	return FAKE_NODES; /* there is no such node */
}

/* With what is known and believed, too: then nobody asks anything afterwards that would fail as well. */
START_TEST(chunk_whose_call_is_refused_fails)
{
	const struct movepages_want want = {
	    .target = refused_target, .known = true, .believe = _i, .guess_huge = _i > 1};

	fill(0, HUGE);
	for (size_t i = 0; i < HUGE; i++)
		chunk.before[i] = 0;
	ck_assert_int_eq(movepages_chunk_move(&fake, &chunk, &want), -ENODEV);
	ck_assert_uint_eq(fake_calls, 1);
	ck_assert_uint_eq(fake_asked, 0);
}
END_TEST

START_TEST(chunk_guessed_huge_pages_move_by_their_heads)
{
	const struct movepages_want want = {.target = from_0_to_1, .guess_huge = true};
	const size_t count = 4 * HUGE;

	for (size_t i = HUGE; i < 3 * HUGE; i++)
		fake_page[i].huge = true;
	fake_page[3 * HUGE + 5].node = 2;
	fill(0, count);
	ck_assert_int_eq(movepages_chunk_move(&fake, &chunk, &want), 0);
	ck_assert_uint_eq(chunk.moved_pages, count - 1);
	ck_assert_uint_eq(chunk.remaining_pages, 0);
	/* One call for the heads, one for the pages that no head took along. */
	ck_assert_uint_eq(fake_calls, 2);
	ck_assert_uint_eq(fake_told, 3 + 2 * (HUGE - 1));
}
END_TEST

START_TEST(chunk_known_huge_page_counts_all_its_pages)
{
	const struct movepages_want want = {.target = from_0_to_1};

	for (size_t i = 0; i < 2 * HUGE; i++)
		fake_page[i].huge = true;
	fake_page[HUGE].busy = true;
	chunk.count = 2;
	for (size_t i = 0; i < 2; i++) {
		chunk.address[i] = (void *)(uintptr_t)(FAKE_START + i * HUGE * FAKE_PAGE_BYTES);
		chunk.pages[i] = HUGE;
	}
	ck_assert_int_eq(movepages_chunk_move(&fake, &chunk, &want), 0);
	ck_assert_uint_eq(chunk.moved_pages, HUGE);
	ck_assert_uint_eq(chunk.remaining_pages, HUGE);
	ck_assert_uint_eq(fake_calls, 1);
}
END_TEST

static void page_5_goes_and_6_is_moved_on(void)
{
	fake_page[5].node = FAKE_HOLE;
	fake_page[6].node = 3;
}

START_TEST(chunk_pages_that_change_meanwhile_are_gone_or_moved_by_others)
{
	const struct movepages_want want = {.target = from_0_to_1};

	fake_after_move = page_5_goes_and_6_is_moved_on;
	fill(0, 8);
	ck_assert_int_eq(movepages_chunk_move(&fake, &chunk, &want), 0);
	ck_assert_int_eq(chunk.result[5], MOVEPAGES_GONE);
	ck_assert_int_eq(chunk.result[6], MOVEPAGES_BY_OTHERS);
	ck_assert_uint_eq(chunk.moved_pages, 6);
	ck_assert_uint_eq(chunk.remaining_pages, 0);
}
END_TEST

START_TEST(chunk_known_and_believed_asks_for_what_did_not_come)
{
	const struct movepages_want want = {.target = from_0_to_1, .known = true, .believe = true};

	fill(0, 1000);
	for (size_t i = 0; i < 1000; i++)
		chunk.before[i] = 0;
	fake_page[5].node = 1; /* has gone there since */
	fake_page[6].node = FAKE_HOLE;
	fake_page[7].busy = true;
	fake_page[8].shared = true;
	ck_assert_int_eq(movepages_chunk_move(&fake, &chunk, &want), 0);
	ck_assert_int_eq(chunk.result[5], MOVEPAGES_MOVED);
	ck_assert_int_eq(chunk.result[6], MOVEPAGES_GONE);
	ck_assert_int_eq(chunk.result[7], MOVEPAGES_REMAINS);
	ck_assert_int_eq(chunk.why[7], -EBUSY);
	ck_assert_int_eq(chunk.result[8], MOVEPAGES_REMAINS);
	ck_assert_int_eq(chunk.why[8], -EACCES);
	ck_assert_uint_eq(chunk.moved_pages, 997);
	/* Three that did not come, and once more the batch of the busy one: 7 alone, since 8 ends it. */
	ck_assert_uint_le(fake_asked, 8);
}
END_TEST

START_TEST(chunk_believed_huge_pages_that_were_guessed_are_asked_for)
{
	const struct movepages_want want = {
	    .target = from_0_to_1, .guess_huge = true, .known = true, .believe = true};

	for (size_t i = 0; i < HUGE; i++)
		fake_page[i].huge = true;
	fill(0, 2 * HUGE);
	for (size_t i = 0; i < 2 * HUGE; i++)
		chunk.before[i] = 0;
	ck_assert_int_eq(movepages_chunk_move(&fake, &chunk, &want), 0);
	ck_assert_uint_eq(chunk.moved_pages, 2 * HUGE);
	ck_assert_uint_eq(fake_calls, 2);
}
END_TEST

static void page_5_comes_back(void)
{
	fake_page[5].node = 0;
}

START_TEST(chunk_page_that_came_back_is_not_called_moved)
{
	const struct movepages_want want = {.target = from_0_to_1};

	fake_after_move = page_5_comes_back;
	fill(0, 8);
	ck_assert_int_eq(movepages_chunk_move(&fake, &chunk, &want), 0);
	ck_assert_int_eq(chunk.result[5], MOVEPAGES_REMAINS);
	ck_assert_int_eq(chunk.why[5], -EBUSY);
	ck_assert(chunk.retry);
}
END_TEST

START_TEST(chunk_holes_of_older_kernels_are_holes)
{
	const struct movepages_want want = {.target = from_0_to_1};

	fake_holes_are_bad = true;
	fake_page[2].node = FAKE_HOLE;
	fill(0, 4);
	ck_assert_int_eq(movepages_chunk_move(&fake, &chunk, &want), 0);
	ck_assert_int_eq(chunk.result[2], MOVEPAGES_NOT_WANTED);
	ck_assert_uint_eq(chunk.moved_pages, 3);
	ck_assert_uint_eq(chunk.remaining_pages, 0);
}
END_TEST

START_TEST(chunk_refused_as_a_whole_is_an_error)
{
	const struct movepages_want want = {.target = from_0_to_1};

	fill(0, 4);
	fake_refuse = -EPERM;
	ck_assert_int_eq(movepages_chunk_move(&fake, &chunk, &want), -EPERM);
}
END_TEST

/* ---- Each end of a chunk --------------------------------------------------------------------- */

START_TEST(chunk_says_nothing_of_what_is_behind_it)
{
	const struct movepages_want want = {.target = from_0_to_1, .known = _i, .believe = _i};

	fill(0, 4);
	for (size_t i = 0; i < 5; i++)
		chunk.before[i] = 0;
	chunk.after[4] = chunk.why[4] = chunk.status[4] = 77;
	chunk.result[4] = 77;
	fake_page[0].busy = fake_page[3].busy = true;
	ck_assert_int_eq(movepages_chunk_move(&fake, &chunk, &want), 0);
	ck_assert_int_eq(chunk.after[4], 77);
	ck_assert_int_eq(chunk.why[4], 77);
	ck_assert_int_eq(chunk.status[4], 77);
	ck_assert_int_eq(chunk.result[4], 77);
	for (size_t i = 0; i < 4; i++) {
		bool stays = i == 0 || i == 3;

		ck_assert_int_eq(chunk.result[i], stays ? MOVEPAGES_REMAINS : MOVEPAGES_MOVED);
		ck_assert_int_eq(chunk.after[i], !stays);
		ck_assert_int_eq(chunk.why[i], stays ? -EBUSY : 1);
	}
	ck_assert(chunk.retry);
	/* And nothing of the chunk before. */
	fake_page[0].busy = fake_page[3].busy = false;
	fill(0, 4);
	for (size_t i = 0; i < 4; i++)
		chunk.before[i] = i == 1 || i == 2;
	ck_assert_int_eq(movepages_chunk_move(&fake, &chunk, &want), 0);
	ck_assert_uint_eq(chunk.moved_pages, 2);
	ck_assert_uint_eq(chunk.remaining_pages, 0);
	ck_assert(!chunk.retry);
}
END_TEST

START_TEST(chunk_of_which_nothing_is_wanted_is_not_moved)
{
	const struct movepages_want want = {.target = from_0_to_1};

	fill(0, 3);
	for (size_t i = 0; i < 3; i++)
		fake_page[i].node = 2;
	ck_assert_int_eq(movepages_chunk_move(&fake, &chunk, &want), 0);
	ck_assert_uint_eq(fake_calls, 0);
	ck_assert_uint_eq(fake_asked, 3);
	for (size_t i = 0; i < 3; i++) {
		ck_assert_int_eq(chunk.result[i], MOVEPAGES_NOT_WANTED);
		ck_assert_int_eq(chunk.after[i], 2);
		ck_assert_int_eq(chunk.why[i], 0);
	}
}
END_TEST

static long cannot_ask(pid_t pid, unsigned long count, void **addresses, const int *to, int *out,
		       int flags)
{
	return to ? fake_move_pages(pid, count, addresses, to, out, flags) : -ESRCH;
}

START_TEST(chunk_that_cannot_be_asked_for_is_not_moved)
{
	const struct movepages by = {.call = cannot_ask, .pid = FAKE_PID};
	const struct movepages_want want = {.target = from_0_to_1};

	fill(0, 3);
	ck_assert_int_eq(movepages_chunk_move(&by, &chunk, &want), -ESRCH);
	ck_assert_uint_eq(fake_calls, 0);
}
END_TEST

/* A head is one only at a multiple of 2 MiB, with all its pages behind it on its node. */
START_TEST(chunk_guesses_no_huge_page_where_none_can_be)
{
	const struct movepages_want want = {.target = from_0_to_1, .guess_huge = true};
	size_t first = _i == 0 ? 1 : 0, count = _i == 1 ? HUGE - 1 : HUGE;

	fill(first, count);
	if (_i == 2)
		fake_page[HUGE - 1].node = 2;
	if (_i == 3)
		chunk.address[HUGE - 1] =
		    (void *)(uintptr_t)(FAKE_START + (HUGE + 7) * FAKE_PAGE_BYTES); // NOLINT
	if (_i == 4)
		chunk.pages[0] = 2;
	ck_assert_int_eq(movepages_chunk_move(&fake, &chunk, &want), 0);
	ck_assert_uint_eq(fake_calls, _i == 5 ? 2 : 1);
	ck_assert_uint_eq(fake_told, _i == 2 ? count - 1 : count);
	ck_assert_uint_eq(chunk.remaining_pages, 0);
}
END_TEST

/* ---- The kernel of this machine -------------------------------------------------------------- */

static long real(pid_t pid, unsigned long count, void **addresses, const int *to, int *out,
		 int flags)
{
	long rc = syscall(SYS_move_pages, pid, count, addresses, to, out, flags);

	return rc < 0 ? -errno : rc;
}

START_TEST(real_own_pages_lie_and_stay_on_their_node)
{
	const struct movepages by = {.call = real, .flags = MPOL_MF_MOVE};
	const size_t count = 64;
	char *at = mmap(NULL, count * FAKE_PAGE_BYTES, PROT_READ | PROT_WRITE,
			MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	int node;

	ck_assert_ptr_ne(at, MAP_FAILED);
	for (size_t i = 0; i < count; i++)
		pages[i] = at + i * FAKE_PAGE_BYTES;
	memset(at, 1, (count - 1) * FAKE_PAGE_BYTES); /* the last stays a hole */
	ck_assert_int_eq(movepages_ask(&by, count, pages, status), 0);
	node = status[0];
	ck_assert_int_ge(node, 0);
	ck_assert(status[count - 1] == -ENOENT || status[count - 1] == -EFAULT);
	for (size_t i = 0; i < count; i++)
		nodes[i] = node;
	ck_assert_int_eq(movepages_exact(&by, count, pages, nodes, status), 0);
	for (size_t i = 0; i < count - 1; i++)
		ck_assert_int_eq(status[i], node);
	ck_assert(status[count - 1] == -ENOENT || status[count - 1] == -EFAULT);
	nodes[0] = 1023; /* no machine here has so many */
	ck_assert_int_eq(movepages_exact(&by, count, pages, nodes, status), -ENODEV);
	munmap(at, count * FAKE_PAGE_BYTES);
}
END_TEST

/* Another node with memory than `node`; -1: there is none. */
static int another_node(int node)
{
	char path[64];

	for (int other = 0; other < 64; other++) {
		int wanted = other, result;
		void *page = pages[0];
		const struct movepages by = {.call = real, .flags = MPOL_MF_MOVE};

		snprintf(path, sizeof(path), "/sys/devices/system/node/node%d", other);
		if (other == node || access(path, F_OK))
			continue;
		if (!movepages_exact(&by, 1, &page, &wanted, &result) && result == other)
			return other;
	}
	return -1;
}

/* In the lab: half of it is a huge page, the last page is a hole. */
START_TEST(real_chunk_goes_to_another_node_and_back)
{
	const struct movepages by = {.call = real, .flags = MPOL_MF_MOVE};
	const struct movepages_want want = {.target = swapped, .guess_huge = true};
	const size_t count = 2 * HUGE;
	char *base = mmap(NULL, (count + HUGE) * FAKE_PAGE_BYTES, PROT_READ | PROT_WRITE,
			  MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	char *at = (char *)(((uintptr_t)base + HUGE * FAKE_PAGE_BYTES - 1) &
			    ~(HUGE * FAKE_PAGE_BYTES - 1));
	int node;

	ck_assert_ptr_ne(base, MAP_FAILED);
	madvise(at, HUGE * FAKE_PAGE_BYTES, MADV_HUGEPAGE);
	madvise(at + HUGE * FAKE_PAGE_BYTES, HUGE * FAKE_PAGE_BYTES, MADV_NOHUGEPAGE);
	memset(at, 1, (count - 1) * FAKE_PAGE_BYTES);
	chunk.count = count;
	for (size_t i = 0; i < count; i++) {
		chunk.address[i] = at + i * FAKE_PAGE_BYTES;
		chunk.pages[i] = 1;
	}
	pages[0] = at + HUGE * FAKE_PAGE_BYTES;
	node = another_node(0);
	if (node != 1) {
		skip_case("this host has no nodes 0 and 1");
		return;
	}
	for (int round = 0; round < 2; round++) {
		ck_assert_int_eq(movepages_chunk_move(&by, &chunk, &want), 0);
		ck_assert_uint_eq(chunk.moved_pages, count - 1);
		ck_assert_uint_eq(chunk.remaining_pages, 0);
		ck_assert_int_eq(chunk.result[count - 1], MOVEPAGES_NOT_WANTED);
	}
	munmap(base, (count + HUGE) * FAKE_PAGE_BYTES);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("movepages");
	TCase *exact = tcase_create("exact"), *chunks = tcase_create("chunks");
	SRunner *runner = srunner_create(suite);
	int failed;

	tcase_add_checked_fixture(exact, fake_pages_reset, NULL);
	tcase_add_test(exact, exact_all_free_takes_one_call);
	tcase_add_test(exact, exact_one_busy_page_keeps_only_itself_and_is_not_tried_alone);
	tcase_add_test(exact, exact_behind_a_failed_batch_is_tried);
	tcase_add_test(exact, exact_page_that_closes_a_failed_batch_keeps_its_own_reason);
	tcase_add_test(exact, exact_full_node_is_not_tried_page_by_page);
	tcase_add_test(exact, exact_full_node_does_not_hold_up_another);
	tcase_add_test(exact, exact_refused_call_keeps_what_is_known);
	tcase_add_test(exact, exact_node_that_is_full_again_and_again_is_given_up);
	tcase_add_test(exact, exact_says_nothing_of_what_was_not_asked);
	tcase_add_test(exact, ask_status_that_was_not_written_is_no_answer);
	tcase_add_test(exact, ask_about_three_pages_is_about_three);
	tcase_add_test(exact, real_own_pages_lie_and_stay_on_their_node);
	tcase_add_test(exact, real_chunk_goes_to_another_node_and_back);
	suite_add_tcase(suite, exact);
	tcase_add_checked_fixture(chunks, fake_pages_reset, NULL);
	tcase_add_test(chunks, chunk_says_for_each_page_what_became_of_it);
	tcase_add_test(chunks, chunk_that_only_others_hold_is_not_worth_another_pass);
	tcase_add_loop_test(chunks, chunk_whose_call_is_refused_fails, 0, 3);
	tcase_add_test(chunks, chunk_guessed_huge_pages_move_by_their_heads);
	tcase_add_test(chunks, chunk_known_huge_page_counts_all_its_pages);
	tcase_add_test(chunks, chunk_pages_that_change_meanwhile_are_gone_or_moved_by_others);
	tcase_add_test(chunks, chunk_page_that_came_back_is_not_called_moved);
	tcase_add_test(chunks, chunk_known_and_believed_asks_for_what_did_not_come);
	tcase_add_test(chunks, chunk_believed_huge_pages_that_were_guessed_are_asked_for);
	tcase_add_test(chunks, chunk_holes_of_older_kernels_are_holes);
	tcase_add_test(chunks, chunk_refused_as_a_whole_is_an_error);
	tcase_add_loop_test(chunks, chunk_says_nothing_of_what_is_behind_it, 0, 2);
	tcase_add_test(chunks, chunk_of_which_nothing_is_wanted_is_not_moved);
	tcase_add_test(chunks, chunk_that_cannot_be_asked_for_is_not_moved);
	tcase_add_loop_test(chunks, chunk_guesses_no_huge_page_where_none_can_be, 0, 6);
	suite_add_tcase(suite, chunks);
	srunner_run_all(runner, CK_NORMAL);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
