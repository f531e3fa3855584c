/* Calls on a userfaultfd and the page map: what is asked of the kernel, and what is done with each of its answers. */
#include "../../migrate/core/uffd.h"
#include "suite.h"

#include <errno.h>

#define FD    17
#define TRIES 65 /* calls, before a kernel that has no time is believed */
#define NAPS  48 /* the other gaps are left to the scheduler */
#define PAGE  GMIG_PAGE_BYTES

/* What the kernel answers to call n, counted from 0; the last one also to all that follow. */
static struct answer {
	int ret;
	int64_t done; /* bytes */
} answers[8];
static unsigned int calls, naps, closed;
static unsigned long request_is;
static union {
	struct uffdio_api api;
	struct uffdio_register reg;
	struct uffdio_range range;
	struct uffdio_writeprotect protect;
	struct uffdio_copy copy;
	struct uffdio_poison poison;
	struct uffdio_continue more;
	struct uffdio_move move;
} asked[TRIES + 1];
static struct pm_scan_arg scanned[4];
static struct page_region shown[4][3];
static uint64_t walked[4];
static int opened;

static void nap(uint64_t ns)
{
	ck_assert_uint_eq(ns, 20000);
	naps++;
}

static int open_one(void)
{
	return opened;
}

static int close_one(int fd)
{
	ck_assert_int_eq(fd, opened);
	closed++;
	return 0;
}

static int scan_one(struct pm_scan_arg *arg)
{
	unsigned int found = 0;

	ck_assert_uint_lt(calls, 4);
	scanned[calls] = *arg;
	for (; found < 3 && shown[calls][found].end; found++)
		((struct page_region *)(uintptr_t)arg->vec)[found] = shown[calls][found]; // NOLINT
	arg->walk_end = walked[calls];
	return answers[calls].ret ? answers[calls].ret : (int)found;
}

static int answer_one(int fd, unsigned long request, void *arg)
{
	const struct answer *answer = &answers[calls < 8 ? calls : 7];
	size_t bytes = _IOC_SIZE(request);
	int ret = answer->ret;

	ck_assert_int_eq(fd, request == UFFDIO_API ? opened : FD);
	ck_assert_uint_le(calls, TRIES);
	request_is = request;
	if (request == PAGEMAP_SCAN) {
		ret = scan_one(arg);
	} else {
		ck_assert_uint_le(bytes, sizeof(asked[0]));
		memcpy(&asked[calls], arg, bytes);
	}
	if (request == UFFDIO_API)
		((struct uffdio_api *)arg)->features = 0x1234;
	if (request == UFFDIO_COPY)
		((struct uffdio_copy *)arg)->copy = answer->done;
	if (request == UFFDIO_MOVE)
		((struct uffdio_move *)arg)->move = answer->done;
	if (request == UFFDIO_CONTINUE)
		((struct uffdio_continue *)arg)->mapped = answer->done;
	calls++;
	return ret;
}

static const struct gmig_sys sys = {
    .ioctl = answer_one, .sleep_ns = nap, .userfaultfd = open_one, .close = close_one};

/* From this call on. */
static void answer(unsigned int call, int ret, int64_t done)
{
	for (; call < 8; call++)
		answers[call] = (struct answer){ret, done};
}

static void again(void)
{
	calls = naps = 0;
	answer(0, 0, 0);
}

static void check_calls(unsigned int count, unsigned long request)
{
	ck_assert_uint_eq(calls, count);
	ck_assert_uint_eq(request_is, request);
	ck_assert_uint_eq(naps, count == TRIES ? NAPS : 0);
}

static void *at(uint64_t address)
{
	return (void *)(uintptr_t)address; // NOLINT
}

/* ---- A descriptor ------------------------------------------------------------------------------- */

START_TEST(open_agrees_on_features_and_tells_all_that_there_are)
{
	uint64_t have = 0;
	int fd = -1;

	opened = FD;
	ck_assert_int_eq(uffd_open(&sys, UFFD_FEATURE_MOVE, &fd, &have), 0);
	check_calls(1, UFFDIO_API);
	ck_assert_int_eq(fd, FD);
	ck_assert_uint_eq(asked[0].api.api, UFFD_API);
	ck_assert_uint_eq(asked[0].api.features, UFFD_FEATURE_MOVE);
	ck_assert_uint_eq(have, 0x1234);
	opened = 0;
	ck_assert_int_eq(uffd_open(&sys, 0, &fd, NULL), 0);
	ck_assert_int_eq(fd, 0);
	ck_assert_uint_eq(closed, 0);
}
END_TEST

START_TEST(open_that_is_refused_leaves_no_descriptor)
{
	uint64_t have = 5;
	int fd = -1;

	opened = -EPERM;
	ck_assert_int_eq(uffd_open(&sys, 0, &fd, &have), -EPERM);
	ck_assert_uint_eq(calls + closed, 0);
	opened = FD;
	answer(0, -EINVAL, 0);
	ck_assert_int_eq(uffd_open(&sys, 0, &fd, &have), -EINVAL);
	ck_assert_uint_eq(closed, 1);
	ck_assert_int_eq(fd, -1);
	ck_assert_uint_eq(have, 5);
}
END_TEST

START_TEST(register_is_asked_once)
{
	ck_assert_int_eq(uffd_register(&sys, FD, at(4 * PAGE), 3 * PAGE, 5), 0);
	check_calls(1, UFFDIO_REGISTER);
	ck_assert_uint_eq(asked[0].reg.range.start, 4 * PAGE);
	ck_assert_uint_eq(asked[0].reg.range.len, 3 * PAGE);
	ck_assert_uint_eq(asked[0].reg.mode, 5);
	again();
	answer(0, -EAGAIN, 0);
	ck_assert_int_eq(uffd_register(&sys, FD, at(4 * PAGE), 3 * PAGE, 5), -EAGAIN);
	ck_assert_uint_eq(calls, 1);
}
END_TEST

/* ---- All or nothing ----------------------------------------------------------------------------- */

enum call { WAKE, PROTECT, UNPROTECT, POISON, COPY_PROTECTED };

static const unsigned long requests[] = {UFFDIO_WAKE, UFFDIO_WRITEPROTECT, UFFDIO_WRITEPROTECT,
					 UFFDIO_POISON, UFFDIO_COPY};

static int make(enum call call)
{
	switch (call) {
	case WAKE:
		return uffd_wake(&sys, FD, at(2 * PAGE), 3 * PAGE);
	case PROTECT:
	case UNPROTECT:
		return uffd_protect(&sys, FD, at(2 * PAGE), 3 * PAGE, call == PROTECT);
	case POISON:
		return uffd_poison(&sys, FD, at(2 * PAGE));
	case COPY_PROTECTED:
		return uffd_copy_protected(&sys, FD, at(2 * PAGE), at(9 * PAGE));
	}
	return 1;
}

static void check_asked(enum call call)
{
	switch (call) {
	case WAKE:
		ck_assert_uint_eq(asked[0].range.start, 2 * PAGE);
		ck_assert_uint_eq(asked[0].range.len, 3 * PAGE);
		break;
	case PROTECT:
	case UNPROTECT:
		ck_assert_uint_eq(asked[0].protect.range.start, 2 * PAGE);
		ck_assert_uint_eq(asked[0].protect.range.len, 3 * PAGE);
		ck_assert_uint_eq(asked[0].protect.mode,
				  call == PROTECT ? UFFDIO_WRITEPROTECT_MODE_WP : 0);
		break;
	case POISON:
		ck_assert_uint_eq(asked[0].poison.range.start, 2 * PAGE);
		ck_assert_uint_eq(asked[0].poison.range.len, PAGE);
		ck_assert_uint_eq(asked[0].poison.mode, 0);
		break;
	case COPY_PROTECTED:
		ck_assert_uint_eq(asked[0].copy.dst, 2 * PAGE);
		ck_assert_uint_eq(asked[0].copy.src, 9 * PAGE);
		ck_assert_uint_eq(asked[0].copy.len, PAGE);
		ck_assert_uint_eq(asked[0].copy.mode,
				  UFFDIO_COPY_MODE_DONTWAKE | UFFDIO_COPY_MODE_WP);
		break;
	}
}

START_TEST(call_is_made_once_and_says_what_and_where)
{
	ck_assert_int_eq(make((enum call)_i), 0);
	check_calls(1, requests[_i]);
	check_asked((enum call)_i);
}
END_TEST

START_TEST(call_is_made_again_while_the_kernel_has_no_time)
{
	answer(0, -EAGAIN, 0);
	answer(3, 0, 0);
	ck_assert_int_eq(make((enum call)_i), 0);
	check_calls(4, requests[_i]);
	again();
	answer(0, -EAGAIN, 0);
	ck_assert_int_eq(make((enum call)_i), -EAGAIN);
	check_calls(TRIES, requests[_i]);
}
END_TEST

/* Who is not woken sleeps for ever. */
START_TEST(other_error_is_final_for_all_but_a_wake)
{
	answer(0, -ENOENT, 0);
	ck_assert_int_eq(make((enum call)_i), -ENOENT);
	check_calls(_i == WAKE ? TRIES : 1, requests[_i]);
}
END_TEST

/* ---- Part by part ------------------------------------------------------------------------------- */

enum { COPY, MOVE, CONTINUE };

static const unsigned long part_requests[] = {UFFDIO_COPY, UFFDIO_MOVE, UFFDIO_CONTINUE};

static int parts(int kind, size_t *done)
{
	const struct uffd_move move = {FD, at(16 * PAGE), at(32 * PAGE), 8 * PAGE, false};

	*done = 99;
	if (kind == COPY)
		return uffd_copy(&sys, FD, at(16 * PAGE), at(32 * PAGE), 8 * PAGE, done);
	if (kind == MOVE)
		return uffd_move(&sys, &move, done);
	*done = 8 * PAGE;
	return uffd_continue(&sys, FD, at(16 * PAGE), 8 * PAGE);
}

/* Call n goes on behind `done`. */
static void check_part(int kind, unsigned int n, uint64_t done)
{
	if (kind == CONTINUE) {
		ck_assert_uint_eq(asked[n].more.range.start, 16 * PAGE + done);
		ck_assert_uint_eq(asked[n].more.range.len, 8 * PAGE - done);
		ck_assert_uint_eq(asked[n].more.mode, UFFDIO_CONTINUE_MODE_DONTWAKE);
		return;
	}
	ck_assert_uint_eq(kind == COPY ? asked[n].copy.dst : asked[n].move.dst, 16 * PAGE + done);
	ck_assert_uint_eq(kind == COPY ? asked[n].copy.src : asked[n].move.src, 32 * PAGE + done);
	ck_assert_uint_eq(kind == COPY ? asked[n].copy.len : asked[n].move.len, 8 * PAGE - done);
	ck_assert_uint_eq(kind == COPY ? asked[n].copy.mode : asked[n].move.mode,
			  kind == COPY ? UFFDIO_COPY_MODE_DONTWAKE : UFFDIO_MOVE_MODE_DONTWAKE);
}

START_TEST(part_that_is_all_takes_one_call)
{
	size_t done;

	ck_assert_int_eq(parts(_i, &done), 0);
	ck_assert_uint_eq(done, 8 * PAGE);
	check_calls(1, part_requests[_i]);
	check_part(_i, 0, 0);
}
END_TEST

START_TEST(part_goes_on_where_the_kernel_stopped)
{
	size_t done;

	answer(0, -EAGAIN, PAGE);
	answer(1, -EAGAIN, 4 * PAGE);
	answer(2, -EAGAIN, -EAGAIN);
	answer(3, 0, 0);
	ck_assert_int_eq(parts(_i, &done), 0);
	ck_assert_uint_eq(done, 8 * PAGE);
	check_calls(4, part_requests[_i]);
	check_part(_i, 0, 0);
	check_part(_i, 1, PAGE);
	check_part(_i, 2, 5 * PAGE);
	check_part(_i, 3, 5 * PAGE);
}
END_TEST

START_TEST(part_that_gets_nowhere_is_given_up)
{
	size_t done;

	answer(0, -EAGAIN, -EAGAIN);
	ck_assert_int_eq(parts(_i, &done), -EAGAIN);
	check_calls(TRIES, part_requests[_i]);
	if (_i != CONTINUE)
		ck_assert_uint_eq(done, 0);
	/* As many tries again after a page that went. */
	again();
	answer(0, -EAGAIN, PAGE);
	answer(1, -EAGAIN, 0);
	ck_assert_int_eq(parts(_i, &done), -EAGAIN);
	ck_assert_uint_eq(calls, _i == CONTINUE ? TRIES : TRIES + 1);
	ck_assert_uint_eq(naps, NAPS);
	check_part(_i, TRIES - 1, PAGE);
	if (_i != CONTINUE)
		ck_assert_uint_eq(done, PAGE);
}
END_TEST

START_TEST(part_that_fails_says_how_far_it_went)
{
	size_t done;

	answer(0, -EAGAIN, 3 * PAGE);
	answer(1, -EEXIST, -EEXIST);
	ck_assert_int_eq(parts(_i, &done), -EEXIST);
	check_calls(2, part_requests[_i]);
	check_part(_i, 1, 3 * PAGE);
	if (_i != CONTINUE)
		ck_assert_uint_eq(done, 3 * PAGE);
}
END_TEST

START_TEST(part_of_nothing_asks_for_nothing)
{
	struct uffd_move move = {FD, at(16 * PAGE), at(32 * PAGE), 0, false};
	size_t done = 99;

	ck_assert_int_eq(uffd_move(&sys, &move, &done), 0);
	ck_assert_uint_eq(done, 0);
	done = 99;
	ck_assert_int_eq(uffd_copy(&sys, FD, at(16 * PAGE), at(32 * PAGE), 0, &done), 0);
	ck_assert_uint_eq(done, 0);
	ck_assert_uint_eq(calls, 0);
	/* One that wakes says so. */
	move.bytes = PAGE;
	move.wake = true;
	ck_assert_int_eq(uffd_move(&sys, &move, &done), 0);
	ck_assert_uint_eq(asked[0].move.mode, 0);
	ck_assert_uint_eq(done, PAGE);
}
END_TEST

/* ---- The page map ------------------------------------------------------------------------------- */

#define BLOCK (5 * GMIG_BLOCK_BYTES)

static void show(unsigned int scan, unsigned int n, unsigned int first, unsigned int count,
		 uint64_t is)
{
	shown[scan][n] =
	    (struct page_region){BLOCK + first * PAGE, BLOCK + (first + count) * PAGE, is};
}

static void check_bits(const struct bits *bits, unsigned int first, unsigned int count)
{
	ck_assert_uint_eq(bits_count(bits), count);
	for (unsigned int i = first; i < first + count; i++)
		ck_assert_msg(bits_get(bits, i), "%u", i);
}

START_TEST(scan_tells_each_kind_of_page)
{
	struct uffd_scan scan;

	show(0, 0, 3, 2, PAGE_IS_PRESENT | PAGE_IS_WRITTEN);
	show(0, 1, 10, 3, PAGE_IS_SWAPPED | PAGE_IS_WRITTEN);
	show(0, 2, 20, 4, PAGE_IS_PRESENT | PAGE_IS_PFNZERO | PAGE_IS_WRITTEN);
	show(1, 0, 500, 12, PAGE_IS_PRESENT);
	walked[0] = BLOCK + 400 * PAGE;
	walked[1] = BLOCK + GMIG_BLOCK_BYTES;
	memset(&scan, 0x55, sizeof(scan));
	ck_assert_int_eq(uffd_scan(&sys, FD, at(BLOCK), &scan), 0);
	ck_assert_uint_eq(calls, 2);
	ck_assert_uint_eq(bits_count(&scan.present), 21);
	ck_assert(bits_get(&scan.present, 3) && bits_get(&scan.present, 4));
	ck_assert(bits_get(&scan.present, 10) && bits_get(&scan.present, 23));
	ck_assert(bits_get(&scan.present, 500) && bits_get(&scan.present, 511));
	check_bits(&scan.swapped, 10, 3);
	check_bits(&scan.zero, 20, 4);
	check_bits(&scan.protected, 500, 12);
	ck_assert(!scan.huge);
	/* What was asked: all of the block, and what was not walked over in the first call. */
	ck_assert_uint_eq(scanned[0].size, sizeof(scanned[0]));
	ck_assert_uint_eq(scanned[0].start, BLOCK);
	ck_assert_uint_eq(scanned[0].end, BLOCK + GMIG_BLOCK_BYTES);
	ck_assert_uint_eq(scanned[0].flags, 0);
	ck_assert_uint_eq(scanned[0].vec_len, 64);
	ck_assert_uint_eq(scanned[0].category_mask | scanned[0].category_inverted, 0);
	ck_assert_uint_eq(scanned[0].category_anyof_mask, PAGE_IS_PRESENT | PAGE_IS_SWAPPED);
	ck_assert_uint_eq(scanned[0].return_mask, PAGE_IS_PRESENT | PAGE_IS_SWAPPED |
						      PAGE_IS_PFNZERO | PAGE_IS_HUGE |
						      PAGE_IS_WRITTEN);
	ck_assert_uint_eq(scanned[1].start, BLOCK + 400 * PAGE);
	ck_assert_uint_eq(scanned[1].end, BLOCK + GMIG_BLOCK_BYTES);
}
END_TEST

START_TEST(scan_finds_a_huge_page_only_where_it_is_all_of_the_block)
{
	static const struct {
		unsigned int count;
		uint64_t is;
		bool huge;
	} cases[] = {
	    {512, PAGE_IS_PRESENT | PAGE_IS_HUGE | PAGE_IS_WRITTEN, true},
	    {512, PAGE_IS_PRESENT | PAGE_IS_HUGE, true},
	    {511, PAGE_IS_PRESENT | PAGE_IS_HUGE, false},
	    {512, PAGE_IS_PRESENT, false},
	    {512, PAGE_IS_PRESENT | PAGE_IS_HUGE | PAGE_IS_PFNZERO, false},
	};
	struct uffd_scan scan;

	walked[0] = BLOCK + GMIG_BLOCK_BYTES;
	for (unsigned int i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		calls = 0;
		show(0, 0, 0, cases[i].count, cases[i].is);
		ck_assert_int_eq(uffd_scan(&sys, FD, at(BLOCK), &scan), 0);
		ck_assert_uint_eq(calls, 1);
		ck_assert_int_eq(scan.huge, cases[i].huge);
		check_bits(&scan.present, 0, cases[i].count);
		ck_assert_uint_eq(bits_count(&scan.swapped), 0);
	}
}
END_TEST

START_TEST(scan_that_fails_or_gets_nowhere_ends)
{
	struct uffd_scan scan;

	answer(0, -ENOTTY, 0);
	ck_assert_int_eq(uffd_scan(&sys, FD, at(BLOCK), &scan), -ENOTTY);
	ck_assert_uint_eq(calls, 1);
	again();
	walked[0] = BLOCK;
	ck_assert_int_eq(uffd_scan(&sys, FD, at(BLOCK), &scan), 0);
	ck_assert_uint_eq(calls, 1);
	ck_assert(bits_empty(&scan.present));
}
END_TEST

START_TEST(memory_is_empty_when_the_kernel_has_walked_over_all_of_it_and_found_nothing)
{
	walked[0] = BLOCK + 3 * PAGE;
	ck_assert(uffd_is_empty(&sys, FD, at(BLOCK), 3 * PAGE));
	ck_assert_uint_eq(calls, 1);
	ck_assert_uint_eq(scanned[0].size, sizeof(scanned[0]));
	ck_assert_uint_eq(scanned[0].start, BLOCK);
	ck_assert_uint_eq(scanned[0].end, BLOCK + 3 * PAGE);
	ck_assert_uint_eq(scanned[0].vec_len, 1);
	ck_assert_uint_eq(scanned[0].max_pages, 1);
	ck_assert_uint_eq(scanned[0].category_anyof_mask, PAGE_IS_PRESENT | PAGE_IS_SWAPPED);
	ck_assert_uint_eq(scanned[0].return_mask, PAGE_IS_PRESENT);
	again();
	walked[0] = BLOCK + 2 * PAGE;
	ck_assert(!uffd_is_empty(&sys, FD, at(BLOCK), 3 * PAGE));
	again();
	walked[0] = BLOCK + 3 * PAGE;
	answer(0, -ENOTTY, 0);
	ck_assert(!uffd_is_empty(&sys, FD, at(BLOCK), 3 * PAGE));
	again();
	show(0, 0, 2, 1, PAGE_IS_PRESENT);
	ck_assert(!uffd_is_empty(&sys, FD, at(BLOCK), 3 * PAGE));
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("uffd");
	TCase *tcase = tcase_create("uffd");

	tcase_add_test(tcase, open_agrees_on_features_and_tells_all_that_there_are);
	tcase_add_test(tcase, open_that_is_refused_leaves_no_descriptor);
	tcase_add_test(tcase, register_is_asked_once);
	tcase_add_loop_test(tcase, call_is_made_once_and_says_what_and_where, WAKE,
			    COPY_PROTECTED + 1);
	tcase_add_loop_test(tcase, call_is_made_again_while_the_kernel_has_no_time, WAKE,
			    COPY_PROTECTED + 1);
	tcase_add_loop_test(tcase, other_error_is_final_for_all_but_a_wake, WAKE,
			    COPY_PROTECTED + 1);
	tcase_add_loop_test(tcase, part_that_is_all_takes_one_call, COPY, CONTINUE + 1);
	tcase_add_loop_test(tcase, part_goes_on_where_the_kernel_stopped, COPY, CONTINUE + 1);
	tcase_add_loop_test(tcase, part_that_gets_nowhere_is_given_up, COPY, CONTINUE + 1);
	tcase_add_loop_test(tcase, part_that_fails_says_how_far_it_went, COPY, CONTINUE + 1);
	tcase_add_test(tcase, part_of_nothing_asks_for_nothing);
	tcase_add_test(tcase, scan_tells_each_kind_of_page);
	tcase_add_test(tcase, scan_finds_a_huge_page_only_where_it_is_all_of_the_block);
	tcase_add_test(tcase, scan_that_fails_or_gets_nowhere_ends);
	tcase_add_test(tcase,
		       memory_is_empty_when_the_kernel_has_walked_over_all_of_it_and_found_nothing);
	suite_add_tcase(suite, tcase);
	return run_suite(suite);
}
