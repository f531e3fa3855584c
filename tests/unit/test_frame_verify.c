/* Doubts about free frames: about which pages the kernel is asked, what its answers mean, and what becomes of memory that broke. */
#include "frame_rig.h"

#include <unistd.h>

/* ---- Doubts ------------------------------------------------------------------------------------- */

START_TEST(memory_is_believed_for_one_second)
{
	const struct frame_want want = want_small(0, 0, 1);
	struct slot *slot;

	start(0);
	slot = take(&want);
	ck_assert(!verify_is_due(frames, slot, kernel.now + 1000000000));
	ck_assert(verify_is_due(frames, slot, kernel.now + 1000000001));
	slot->verified_ns = 0;
	ck_assert(verify_is_due(frames, slot, kernel.now));
	frame_drop(frames, slot);
	ck_assert(!verify_is_due(frames, slot, kernel.now + 1000000001));
	stop();
	start(1);
	slot = take(&want);
	ck_assert(!verify_is_due(frames, slot, kernel.now + 1000000001));
	frame_give(frames, slot);
	stop();
}
END_TEST

START_TEST(used_frame_is_asked_about_and_a_clean_one_only_when_it_is_old)
{
	const struct frame_want want = want_small(0, 0, 1);
	struct slot *slot;

	start(0);
	give_some(&want, &slot, 1, true);
	ck_assert_ptr_eq(take(&want), slot);
	assert_said("");
	frame_give(frames, slot);
	kernel.now += 1000000001;
	ck_assert_ptr_eq(take(&want), slot);
	assert_said("ask 1\n");
	ck_assert_uint_eq(slot->verified_ns, kernel.now);
	slot->clean = false;
	frame_give(frames, slot);
	ck_assert_uint_eq(slot->verified_ns, 0);
	ck_assert_ptr_eq(take(&want), slot);
	assert_said("ask 1\n");
	frame_give(frames, slot);
	stop();
}
END_TEST

START_TEST(used_frames_are_asked_about_eight_at_a_time)
{
	const struct frame_want want = want_small(0, 0, 1);
	struct slot *slots[10], *taken[10];

	start(0);
	give_some(&want, slots, 10, false);
	for (unsigned int i = 0; i < 10; i++) {
		taken[i] = take(&want);
		ck_assert_ptr_eq(taken[i], slots[9 - i]);
		assert_said(i == 0 ? "ask 8\n" : i == 8 ? "ask 2\n" : "");
	}
	for (unsigned int i = 0; i < 10; i++)
		frame_give(frames, taken[i]);
	stop();
}
END_TEST

static void assert_asked(const struct slot *slot, const unsigned int *pages, size_t count)
{
	ck_assert_uint_eq(kernel.asked_count, count);
	for (size_t i = 0; i < count; i++)
		ck_assert_ptr_eq(kernel.asked[i], slot->hva + pages[i] * GMIG_PAGE_BYTES);
}

/* Of each 16 pages one is asked about, and another one each time. */
START_TEST(some_pages_of_a_slot_stand_for_all)
{
	struct frame_want want = want_small(0, 3, 1);
	unsigned int pages[32];
	struct slot *slot;

	start(0);
	bits_set(&want.need, 20);
	bits_set(&want.need, 25);
	bits_set(&want.need, 511);
	give_some(&want, &slot, 1, false);
	kernel.now = 16000000000;
	frame_give(frames, take(&want));
	assert_asked(slot, (const unsigned int[]){3, 20, 511}, 3);
	kernel.now += 5999;
	frame_give(frames, take(&want));
	assert_asked(slot, (const unsigned int[]){3, 25, 511}, 3);
	kernel.now += 16000;
	frame_give(frames, take(&want));
	assert_asked(slot, (const unsigned int[]){3, 25, 511}, 3);
	frame_drop(frames, take(&want));
	bits_fill(&want.need);
	give_some(&want, &slot, 1, false);
	frame_give(frames, take(&want));
	for (unsigned int i = 0; i < 32; i++)
		pages[i] = 16 * i + 5;
	assert_asked(slot, pages, 32);
	/* The one behind its 16 is not its own. */
	frame_drop(frames, take(&want));
	want = want_small(0, 3, 1);
	bits_set(&want.need, 16);
	give_some(&want, &slot, 1, false);
	frame_give(frames, take(&want));
	assert_asked(slot, (const unsigned int[]){3, 16}, 2);
	stop();
}
END_TEST

START_TEST(huge_frame_is_asked_about_by_its_first_page)
{
	const struct frame_want want = want_huge(0);
	struct slot *slot;

	start(0);
	give_some(&want, &slot, 1, false);
	kernel.now += 5000;
	ck_assert_ptr_eq(take(&want), slot);
	assert_asked(slot, (const unsigned int[]){0}, 1);
	frame_give(frames, slot);
	stop();
}
END_TEST

START_TEST(frames_that_lie_elsewhere_go_to_the_kernel_in_the_books_of_their_node)
{
	const struct frame_want want = want_small(0, 0, 20);
	struct slot *slots[4], *slot;

	start(0);
	give_some(&want, slots, 4, false);
	for (unsigned int i = 0; i < 20; i++)
		block_of(slots[3])->node[i] = block_of(slots[1])->node[i] = 2;
	slot = take(&want);
	ck_assert_ptr_eq(slot, slots[2]);
	assert_said("ask 8\ndiscard A3\ndiscard A1\n");
	assert_has(slots[3], 0, 0);
	assert_has(slots[1], 0, 0);
	ck_assert(!slots[1]->busy);
	assert_account(0, LEDGER_POOL, 20);
	assert_account(0, LEDGER_FLIGHT, 20);
	assert_account(0, LEDGER_OUTSIDE, -80 + 40);
	assert_account(2, LEDGER_POOL, 0);
	assert_account(2, LEDGER_OUTSIDE, 0);
	frame_give(frames, slot);
	stop();
}
END_TEST

static const struct {
	unsigned int page; /* of the sample that the kernel is asked about */
	int node;	   /* < 0: nowhere */
} astray[] = {{0, 1}, {16, 1}, {496, 1}, {0, -1}, {496, -1}, {0, GMIG_MAX_NODES}};

/* Where a part of it lies is no node of all of it. */
START_TEST(frame_that_lies_on_two_nodes_or_nowhere_is_given_back)
{
	const struct frame_want want = want_small(0, 0, ALL);
	struct slot *slot, *other;

	start(0);
	give_some(&want, &slot, 1, false);
	if (astray[_i].node < 0)
		bits_clear_range(&block_of(slot)->present, astray[_i].page, 1);
	else
		for (unsigned int i = 0; i < ALL; i++)
			if (i == astray[_i].page || astray[_i].node == GMIG_MAX_NODES)
				block_of(slot)->node[i] = (uint16_t)astray[_i].node;
	kernel.no_huge = true;
	other = take(&want);
	ck_assert_int_eq(strncmp(kernel.said, "ask 32\ndiscard A0\n", 18), 0);
	assert_account(0, LEDGER_FLIGHT, ALL);
	assert_account(0, LEDGER_POOL, 0);
	assert_account(0, LEDGER_OUTSIDE, -(long)ALL);
	frame_give(frames, other);
	stop();
}
END_TEST

START_TEST(node_with_the_highest_number_has_its_books)
{
	const struct frame_want want = want_small(0, 0, 1);
	struct slot *slot;

	start(0);
	give_some(&want, &slot, 1, false);
	block_of(slot)->node[0] = GMIG_MAX_NODES - 1;
	frame_give(frames, take(&want));
	ck_assert_uint_eq(pool_at(frames, 0, 0, false)->slots[0].node, 0);
	assert_account(0, LEDGER_OUTSIDE, -1);
	assert_account(GMIG_MAX_NODES - 1, LEDGER_OUTSIDE, 0);
	stop();
}
END_TEST

START_TEST(node_0_has_its_books)
{
	const struct frame_want want = want_small(1, 0, 2);
	struct slot *slot;

	start(0);
	lies_on(1);
	give_some(&want, &slot, 1, false);
	block_of(slot)->node[0] = block_of(slot)->node[1] = 0;
	frame_give(frames, take(&want));
	assert_account(0, LEDGER_OUTSIDE, 0);
	assert_account(1, LEDGER_OUTSIDE, -2);
	stop();
}
END_TEST

START_TEST(where_nobody_can_be_asked_nobody_is_doubted)
{
	const struct frame_want want = want_small(0, 0, 20);
	struct slot *slots[2];

	start(0);
	give_some(&want, slots, 2, false);
	for (unsigned int i = 0; i < 20; i++)
		block_of(slots[1])->node[i] = 2;
	refuse("ask", 0, 1, -ENOSYS);
	ck_assert_ptr_eq(take(&want), slots[1]);
	assert_said("ask 4!\n");
	ck_assert_uint_eq(slots[0]->verified_ns, kernel.now);
	frame_give(frames, slots[1]);
	stop();
}
END_TEST

/* The kernel broke it up as it lay idle. 1: it cannot be told. */
START_TEST(huge_frame_that_is_none_any_more_is_not_taken)
{
	const struct frame_want want = want_huge(0);
	struct slot *slots[2], *slot;

	start(0);
	give_some(&want, slots, 2, false);
	block_of(slots[1])->huge = false;
	if (_i)
		refuse("scan", 1, 1, -ENOMEM);
	slot = take(&want);
	ck_assert_ptr_eq(slot, slots[!!_i]);
	assert_said(_i ? "ask 2\n" : "ask 2\ndiscard A1\n");
	ck_assert(slots[1]->split == !_i);
	assert_account(0, LEDGER_OUTSIDE, _i ? -2l * ALL : -(long)ALL);
	frame_give(frames, slot);
	stop();
}
END_TEST

/* ---- Frames that break -------------------------------------------------------------------------- */

/* Behind the end of a file: touching it is a SIGBUS. */
static void break_page(const struct slot *slot, unsigned int page)
{
	int fd = memfd_create("broken", MFD_CLOEXEC);

	ck_assert_int_ge(fd, 0);
	ck_assert_ptr_ne(mmap(slot->hva + page * GMIG_PAGE_BYTES, GMIG_PAGE_BYTES,
			      PROT_READ | PROT_WRITE, MAP_SHARED | MAP_FIXED, fd, 0),
			 MAP_FAILED);
	close(fd);
}

START_TEST(suspect_slot_goes_to_quarantine_with_what_is_broken)
{
	const struct frame_want want = want_small(0, 0, 10);
	struct slot *slot;
	struct frame_audit audit;
	unsigned int serial;

	start(1);
	slot = take(&want);
	break_page(slot, 3);
	break_page(slot, 200); /* which it does not have */
	ck_assert(!frame_page_works(slot, 3));
	ck_assert(frame_page_works(slot, 2));
	slot->suspect = true;
	serial = policy_serial(policy);
	forget();
	frame_give(frames, slot);
	assert_said("discard A0.0+3\ndiscard A0.4+508\n");
	ck_assert_uint_eq(policy_serial(policy), serial + 1);
	ck_assert(slot->broken);
	ck_assert(!slot->suspect);
	ck_assert(!slot->clean);
	assert_has(slot, 3, 1);
	assert_account(0, LEDGER_QUARANTINE, 1);
	assert_account(0, LEDGER_OUTSIDE, -1);
	frame_audit(frames, FRAME_LOOK, &audit);
	ck_assert_uint_eq(audit.broken_slots, 1);
	ck_assert_uint_eq(audit.busy_slots, 0);
	stop();
}
END_TEST

/* Looking at a hole fills it. */
START_TEST(slot_that_works_after_all_is_as_it_was)
{
	const struct frame_want want = want_small(0, 0, 10);
	struct bits tried = {{0}};
	struct slot *slot;

	start(1);
	slot = take(&want);
	forget();
	bits_set_range(&tried, 8, 5);
	slot->suspect = true;
	ck_assert(!quarantine(frames, slot, &tried));
	assert_said("discard A0.10+3\n");
	ck_assert(!slot->suspect);
	ck_assert(!slot->broken);
	assert_has(slot, 0, 10);
	assert_account(0, LEDGER_FLIGHT, 10);
	break_page(slot, 511);
	bits_set(&tried, 511);
	ck_assert(quarantine(frames, slot, &tried));
	assert_account(0, LEDGER_FLIGHT, 0);
	assert_account(0, LEDGER_QUARANTINE, 1);
	stop();
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("frame_verify");
	TCase *tcase = tcase_create("doubts");

	tcase_add_test(tcase, memory_is_believed_for_one_second);
	tcase_add_test(tcase, used_frame_is_asked_about_and_a_clean_one_only_when_it_is_old);
	tcase_add_test(tcase, used_frames_are_asked_about_eight_at_a_time);
	tcase_add_test(tcase, some_pages_of_a_slot_stand_for_all);
	tcase_add_test(tcase, huge_frame_is_asked_about_by_its_first_page);
	tcase_add_test(tcase,
		       frames_that_lie_elsewhere_go_to_the_kernel_in_the_books_of_their_node);
	tcase_add_loop_test(tcase, frame_that_lies_on_two_nodes_or_nowhere_is_given_back, 0, 6);
	tcase_add_test(tcase, node_with_the_highest_number_has_its_books);
	tcase_add_test(tcase, node_0_has_its_books);
	tcase_add_test(tcase, where_nobody_can_be_asked_nobody_is_doubted);
	tcase_add_loop_test(tcase, huge_frame_that_is_none_any_more_is_not_taken, 0, 2);
	tcase_add_test(tcase, suspect_slot_goes_to_quarantine_with_what_is_broken);
	tcase_add_test(tcase, slot_that_works_after_all_is_as_it_was);
	suite_add_tcase(suite, tcase);
	return run_suite(suite);
}
