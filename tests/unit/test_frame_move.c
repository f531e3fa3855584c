/* Frames that move out of a slot and into it, and those that go into quarantine: what is asked of the kernel, and what the books say afterwards. */
#include "frame_rig.h"

#define GUEST 9 /* its userfaultfd */

static struct slot *slot;
static uint8_t *guest;
static struct uffd_move request;
static size_t done;

static void setup(void)
{
	const struct frame_want want = want_small(0, 0, ALL);
	void *reserved, *memory;

	start(1);
	slot = take(&want);
	ck_assert_int_eq(gmig_sys_map_aligned(&sys, 2 * GMIG_BLOCK_BYTES, &reserved, &memory), 0);
	guest = memory;
	forget();
}

/* The slot has what the kernel has there. */
static void teardown(void)
{
	unsigned int map, number, page;
	const struct block *block = block_at((uintptr_t)slot->hva, &map, &number, &page);

	ledger_post(ledger, 0, LEDGER_FLIGHT, LEDGER_OUTSIDE,
		    (long)bits_count(&slot->have) - (long)bits_count(&block->present));
	slot->have = block->present;
	frame_give(frames, slot);
	stop();
}

/* Pages of the slot go to those of the guest. */
static int move_out(unsigned int page, unsigned int to, unsigned int count, bool wake)
{
	request =
	    (struct uffd_move){GUEST, guest + to * GMIG_PAGE_BYTES,
			       slot->hva + page * GMIG_PAGE_BYTES, count * GMIG_PAGE_BYTES, wake};
	return frame_move(frames, slot, &request, &done);
}

static void answer(unsigned int told, unsigned int untold, int error)
{
	kernel.steps[kernel.steps_end++] = (struct step){told, untold, error};
}

static void assert_done(unsigned int pages)
{
	ck_assert_uint_eq(done, pages * GMIG_PAGE_BYTES);
}

/* ---- Locked memory ------------------------------------------------------------------------------ */

START_TEST(move_that_succeeds_is_one_call)
{
	ck_assert_int_eq(move_out(3, 8, 4, _i), 0);
	assert_done(4);
	assert_said(_i ? "move/9 A0.3+4>B0.8+4 wake\n" : "move/9 A0.3+4>B0.8+4\n");
}
END_TEST

START_TEST(slot_is_locked_as_the_region_is)
{
	answer(0, 0, -EINVAL);
	ck_assert_int_eq(move_out(3, 8, 4, false), 0);
	assert_done(4);
	assert_said("move/9 A0.3+4>B0.8+4! 0\n"
		    "lock A0\n"
		    "move/9 A0.3+4>B0.8+4\n");
}
END_TEST

START_TEST(slot_that_is_locked_and_need_not_be_is_unlocked)
{
	answer(0, 0, -EINVAL);
	answer(0, 0, -EINVAL);
	ck_assert_int_eq(move_out(3, 8, 4, false), 0);
	assert_done(4);
	assert_said("move/9 A0.3+4>B0.8+4! 0\n"
		    "lock A0\n"
		    "move/9 A0.3+4>B0.8+4! 0\n"
		    "unlock A0\n"
		    "move/9 A0.3+4>B0.8+4\n");
}
END_TEST

START_TEST(move_that_is_wrong_however_the_slot_is_locked_says_so)
{
	for (unsigned int i = 0; i < 3; i++)
		answer(0, 0, -EINVAL);
	ck_assert_int_eq(move_out(3, 8, 4, true), -EINVAL);
	assert_done(0);
	assert_said("move/9 A0.3+4>B0.8+4 wake! 0\n"
		    "lock A0\n"
		    "move/9 A0.3+4>B0.8+4 wake! 0\n"
		    "unlock A0\n"
		    "move/9 A0.3+4>B0.8+4 wake! 0\n");
}
END_TEST

/* RLIMIT_MEMLOCK. 0: it cannot be locked; 1: nor unlocked. */
START_TEST(slot_that_cannot_be_locked_tells_why)
{
	refuse(_i ? "unlock" : "lock", 0, 1, -EPERM);
	answer(0, 0, -EINVAL);
	answer(0, 0, -EINVAL);
	ck_assert_int_eq(move_out(3, 8, 4, false), -EPERM);
	assert_done(0);
	assert_said(_i ? "move/9 A0.3+4>B0.8+4! 0\n"
			 "lock A0\n"
			 "move/9 A0.3+4>B0.8+4! 0\n"
			 "unlock A0!\n"
		       : "move/9 A0.3+4>B0.8+4! 0\n"
			 "lock A0!\n");
}
END_TEST

/* What has moved shows that both sides are locked alike. */
START_TEST(move_that_ends_early_locks_nothing)
{
	answer(2, 0, -EAGAIN);
	answer(0, 0, -EINVAL);
	ck_assert_int_eq(move_out(3, 8, 4, false), -EINVAL);
	assert_done(2);
	assert_said("move/9 A0.3+4>B0.8+4! 2\n"
		    "move/9 A0.5+2>B0.10+2! 0\n");
}
END_TEST

static const int other_errors[] = {-ENOENT, -EFAULT, -EBUSY, -ENOMEM};

START_TEST(other_errors_are_the_callers)
{
	answer(0, 0, other_errors[_i]);
	ck_assert_int_eq(move_out(3, 8, 4, true), other_errors[_i]);
	assert_done(0);
	assert_said("move/9 A0.3+4>B0.8+4 wake! 0\n");
}
END_TEST

/* ---- What the kernel does not say --------------------------------------------------------------- */

START_TEST(pages_that_moved_without_a_word_are_found_and_the_rest_is_moved)
{
	answer(0, 2, -EEXIST);
	ck_assert_int_eq(move_out(3, 8, 4, false), 0);
	assert_done(4);
	assert_said("move/9 A0.3+4>B0.8+4! 0\n"
		    "move/9 A0.5+2>B0.10+2\n");
}
END_TEST

/* The wake of the call that failed was none: whoever sleeps on any of it is woken. */
START_TEST(who_sleeps_on_pages_that_moved_without_a_word_is_woken)
{
	answer(1, 0, -EAGAIN);
	answer(0, 2, -EEXIST);
	ck_assert_int_eq(move_out(3, 8, 4, true), 0);
	assert_done(4);
	assert_said("move/9 A0.3+4>B0.8+4 wake! 1\n"
		    "move/9 A0.4+3>B0.9+3 wake! 0\n"
		    "move/9 A0.6+1>B0.11+1 wake\n"
		    "wake/9 B0.8+4\n");
}
END_TEST

START_TEST(move_of_which_all_went_without_a_word_succeeds)
{
	answer(0, 4, -EEXIST);
	ck_assert_int_eq(move_out(3, 8, 4, true), 0);
	assert_done(4);
	assert_said("move/9 A0.3+4>B0.8+4 wake! 0\n"
		    "wake/9 B0.8+4\n");
}
END_TEST

START_TEST(pages_go_without_a_word_more_than_once)
{
	answer(0, 1, -EEXIST);
	answer(1, 0, -EAGAIN);
	answer(0, 1, -EEXIST);
	ck_assert_int_eq(move_out(3, 8, 4, false), 0);
	assert_done(4);
	assert_said("move/9 A0.3+4>B0.8+4! 0\n"
		    "move/9 A0.4+3>B0.9+3! 1\n"
		    "move/9 A0.5+2>B0.10+2! 0\n"
		    "move/9 A0.6+1>B0.11+1\n");
}
END_TEST

START_TEST(error_of_the_rest_is_told_with_what_moved)
{
	answer(0, 2, -EEXIST);
	answer(0, 0, -EBUSY);
	ck_assert_int_eq(move_out(3, 8, 4, true), -EBUSY);
	assert_done(2);
	assert_said("move/9 A0.3+4>B0.8+4 wake! 0\n"
		    "move/9 A0.5+2>B0.10+2 wake! 0\n"
		    "wake/9 B0.8+2\n");
}
END_TEST

/* Somebody else's page is at its place: both are there. */
START_TEST(place_that_is_taken_is_told)
{
	kernel.map[1].block[0].present.word[0] = 1ull << 8 << _i;
	answer(0, (unsigned int)_i, -EEXIST);
	answer(0, 0, -EEXIST);
	ck_assert_int_eq(move_out(3, 8, 4, true), -EEXIST);
	assert_done((unsigned int)_i);
	assert_said(_i ? "move/9 A0.3+4>B0.8+4 wake! 0\n"
			 "move/9 A0.4+3>B0.9+3 wake! 0\n"
			 "wake/9 B0.8+1\n"
		       : "move/9 A0.3+4>B0.8+4 wake! 0\n");
}
END_TEST

START_TEST(page_that_is_at_neither_place_has_not_moved)
{
	bits_clear_range(&kernel.map[0].block[0].present, 4, 1);
	answer(0, 1, -EEXIST);
	answer(0, 0, -ENOENT);
	ck_assert_int_eq(move_out(3, 8, 4, false), -ENOENT);
	assert_done(1);
}
END_TEST

/* What looks as if it had moved, and was not asked for. */
START_TEST(pages_behind_the_move_are_not_counted)
{
	bits_clear_range(&kernel.map[0].block[0].present, 7, 2);
	bits_set_range(&kernel.map[1].block[0].present, 12, 2);
	answer(1, 0, -EAGAIN);
	answer(0, 3, -EEXIST);
	ck_assert_int_eq(move_out(3, 8, 4, false), 0);
	assert_done(4);
	assert_said("move/9 A0.3+4>B0.8+4! 1\n"
		    "move/9 A0.4+3>B0.9+3! 0\n");
}
END_TEST

/* The last page of one block, and a place in the second one. */
START_TEST(pages_are_looked_for_in_their_own_blocks)
{
	answer(0, 1, -EEXIST);
	ck_assert_int_eq(move_out(ALL - 2, ALL + 1, 2, true), 0);
	assert_done(2);
	assert_said("move/9 A0.510+2>B1.1+2 wake! 0\n"
		    "move/9 A0.511+1>B1.2+1 wake\n"
		    "wake/9 B1.1+2\n");
}
END_TEST

/* 0: the slot cannot be looked at for a while; 1: nor can the guest. */
START_TEST(pages_that_moved_without_a_word_are_looked_for_33_times)
{
	char rests[33 * 8] = "";

	for (unsigned int i = 0; i < 32; i++)
		strcat(rests, "rest 20\n"); // NOLINT
	refuse("scan", (unsigned int)_i, 32, -ENOMEM);
	answer(0, 2, -EEXIST);
	ck_assert_int_eq(move_out(3, 8, 2, false), 0);
	assert_done(2);
	ck_assert_str_eq(kernel.said + strlen("move/9 A0.3+2>B0.8+2! 0\n"), rests);
	forget();
	refuse("scan", (unsigned int)_i, 33, -ENOMEM);
	answer(0, 2, -EEXIST);
	ck_assert_int_eq(move_out(13, 18, 2, true), -EEXIST);
	assert_done(0);
	ck_assert_str_eq(kernel.said + strlen("move/9 A0.13+2>B0.18+2 wake! 0\n"), rests);
}
END_TEST

/* ---- Bad frames --------------------------------------------------------------------------------- */

START_TEST(frame_that_the_kernel_takes_out_of_use_costs_the_slot_nothing)
{
	ck_assert_int_eq(frame_retire(frames, &slot, 5, true), 0);
	assert_said("offline A0.5+1\n");
	ck_assert_uint_eq(frame_offlined_bytes(frames), GMIG_PAGE_BYTES);
	ck_assert(!slot->clean);
	ck_assert(!slot->split);
	assert_has(slot, 0, ALL);
	ck_assert_int_eq(frame_retire(frames, &slot, 6, true), 0);
	ck_assert_uint_eq(frame_offlined_bytes(frames), 2 * GMIG_PAGE_BYTES);
	assert_account(0, LEDGER_FLIGHT, ALL);
	assert_account(0, LEDGER_QUARANTINE, 0);
	forget();
}
END_TEST

/* 0: nobody asks the kernel; 1: it refuses. */
START_TEST(bad_frames_are_put_away_one_after_the_other)
{
	unsigned int serial = policy_serial(policy);

	refuse("offline", 0, ALWAYS, -EPERM);
	ck_assert_int_eq(frame_retire(frames, &slot, 5, _i), _i ? -EPERM : -ECANCELED);
	ck_assert_uint_eq(policy_serial(policy), serial + 1);
	ck_assert_int_eq(frame_retire(frames, &slot, 3, false), -ECANCELED);
	assert_said(_i ? "offline A0.5+1!\n"
			 "map 3\n"
			 "no-thp C0\ndontdump C0\ndontfork C0\nregister C0\n"
			 "move/7 A0.5+1>C0.0+1\nlock C0.0+1\n"
			 "move/7 A0.3+1>C0.1+1\nlock C0.1+1\n"
		       : "map 3\n"
			 "no-thp C0\ndontdump C0\ndontfork C0\nregister C0\n"
			 "move/7 A0.5+1>C0.0+1\nlock C0.0+1\n"
			 "move/7 A0.3+1>C0.1+1\nlock C0.1+1\n");
	ck_assert_uint_eq(frame_offlined_bytes(frames), 0);
	ck_assert_uint_eq(bits_count(&slot->have), ALL - 2);
	ck_assert(!bits_get(&slot->have, 5));
	ck_assert(!bits_get(&slot->have, 3));
	assert_account(0, LEDGER_FLIGHT, ALL - 2);
	assert_account(0, LEDGER_QUARANTINE, 2);
	assert_account(0, LEDGER_OUTSIDE, -(long)ALL);
}
END_TEST

START_TEST(bad_frames_beyond_512_have_a_second_mapping)
{
	struct frame_want want = want_small(0, 0, 1);
	struct slot *other;

	for (unsigned int i = 0; i < ALL; i++)
		frame_retire(frames, &slot, i, false);
	ck_assert_ptr_null(frames->stores->next);
	assert_account(0, LEDGER_QUARANTINE, ALL);
	forget();
	other = take(&want);
	forget();
	frame_retire(frames, &other, 0, false);
	assert_said("map 3\n"
		    "no-thp D0\ndontdump D0\ndontfork D0\nregister D0\n"
		    "move/7 A1.0+1>D0.0+1\nlock D0.0+1\n");
	assert_account(0, LEDGER_QUARANTINE, ALL + 1);
	frame_give(frames, other);
	forget();
}
END_TEST

static const char *const stores_without[] = {"map", "dontfork", "register"};

/* Whatever its own mapping lacks, the frame stays in its slot, and the slot goes to quarantine with it. */
START_TEST(frame_without_a_place_of_its_own_keeps_its_slot)
{
	unsigned int busy = atomic_load(&frames->busy);

	refuse(stores_without[_i], 0, 1, -ENOMEM);
	slot->clean = true;
	ck_assert_int_eq(frame_retire(frames, &slot, 5, false), -ECANCELED);
	ck_assert_ptr_null(slot);
	ck_assert_ptr_null(frames->stores);
	slot = &pool_at(frames, 0, 0, false)->slots[0];
	ck_assert(slot->broken);
	ck_assert(slot->busy);
	ck_assert(!slot->clean);
	assert_has(slot, 5, 1);
	assert_account(0, LEDGER_FLIGHT, 0);
	assert_account(0, LEDGER_QUARANTINE, 1);
	assert_account(0, LEDGER_OUTSIDE, -1);
	ck_assert_uint_eq(atomic_load(&frames->busy), busy - 1);
	assert_said(_i == 0 ? "map 3\n"
			      "lock A0.5+1\ndiscard A0.0+5\ndiscard A0.6+506\n"
		    : _i == 1
			? "map 3\nno-thp C0\ndontdump C0\ndontfork C0!\nunmap C 3\n"
			  "lock A0.5+1\ndiscard A0.0+5\ndiscard A0.6+506\n"
			: "map 3\nno-thp C0\ndontdump C0\ndontfork C0\nregister C0!\nunmap C 3\n"
			  "lock A0.5+1\ndiscard A0.0+5\ndiscard A0.6+506\n");
	/* For the teardown. */
	const struct frame_want want = want_small(0, 0, 1);

	slot = take(&want);
}
END_TEST

/* The place that was meant for it is free for the next one. What the kernel does not take stays with it. */
START_TEST(frame_that_does_not_leave_keeps_its_slot_and_what_the_kernel_refuses)
{
	const struct frame_want want = want_small(0, 0, 1);

	answer(0, 0, -EBUSY);
	refuse("discard", 1, 1, -EAGAIN);
	ck_assert_int_eq(frame_retire(frames, &slot, 5, false), -ECANCELED);
	ck_assert_ptr_null(slot);
	ck_assert_uint_eq(bits_count(&frames->stores->used), 0);
	slot = &pool_at(frames, 0, 0, false)->slots[0];
	ck_assert(slot->broken);
	assert_has(slot, 5, ALL - 5);
	assert_account(0, LEDGER_FLIGHT, 0);
	assert_account(0, LEDGER_QUARANTINE, ALL - 5);
	assert_account(0, LEDGER_OUTSIDE, -(long)(ALL - 5));
	slot = take(&want);
	ck_assert_ptr_eq(slot, &pool_at(frames, 0, 0, false)->slots[1]);
	forget();
	frame_retire(frames, &slot, 0, false);
	assert_said("move/7 A1.0+1>C0.0+1\nlock C0.0+1\n");
}
END_TEST

START_TEST(huge_frame_with_a_bad_part_is_no_huge_one_any_more)
{
	const struct frame_want want = want_huge(0);
	struct slot *huge = take(&want);

	forget();
	ck_assert_int_eq(frame_retire(frames, &huge, 511, false), -ECANCELED);
	ck_assert(huge->split);
	ck_assert(!huge->clean);
	ck_assert_uint_eq(bits_count(&huge->have), ALL - 1);
	assert_account(0, LEDGER_QUARANTINE, 1);
	forget();
	/* The rest serves nobody: it goes to the kernel. */
	frame_give(frames, huge);
	assert_said("discard C0\n");
	assert_account(0, LEDGER_POOL, 0);
}
END_TEST

START_TEST(frame_that_broke_on_its_way_is_in_flight_and_makes_its_slot_suspect)
{
	frame_broke(frames, slot);
	ck_assert(slot->suspect);
	assert_account(0, LEDGER_FLIGHT, ALL + 1);
	assert_account(0, LEDGER_OUTSIDE, -(long)ALL - 1);
	ledger_post(ledger, 0, LEDGER_FLIGHT, LEDGER_OUTSIDE, 1);
	slot->suspect = false;
}
END_TEST

/* ---- What somebody else has put into a slot ------------------------------------------------------ */

/* Two runs of a slot that has pages 0 to 9. */
static void fill_two_runs(void)
{
	struct bits *present = &kernel.map[0].block[0].present;

	ledger_post(ledger, 0, LEDGER_FLIGHT, LEDGER_OUTSIDE, (long)bits_count(&slot->have) - 10);
	bits_clear_range(&slot->have, 10, ALL - 10);
	*present = slot->have;
	bits_set_range(present, 10, 2);
	bits_set_range(present, 500, 12);
}

START_TEST(what_a_slot_should_not_have_is_discarded_run_by_run)
{
	ck_assert_int_eq(frame_empty(frames, slot), 0);
	ck_assert_uint_eq(frame_emptied(frames), 0);
	fill_two_runs();
	ck_assert_int_eq(frame_empty(frames, slot), 14);
	assert_said("discard A0.10+2\ndiscard A0.500+12\n");
	assert_has(slot, 0, 10);
	ck_assert(!slot->split);
	ck_assert_uint_eq(frame_emptied(frames), 1);
	ck_assert_int_eq(frame_empty(frames, slot), 0);
	ck_assert_uint_eq(frame_emptied(frames), 1);
	fill_two_runs();
	ck_assert_int_eq(frame_empty(frames, slot), 14);
	ck_assert_uint_eq(frame_emptied(frames), 2);
	forget();
}
END_TEST

START_TEST(run_that_the_kernel_does_not_take_ends_it)
{
	fill_two_runs();
	refuse("discard", (unsigned int)_i, 1, -EAGAIN);
	ck_assert_int_eq(frame_empty(frames, slot), -EAGAIN);
	assert_said(_i ? "discard A0.10+2\ndiscard A0.500+12!\n" : "discard A0.10+2!\n");
	ck_assert_int_eq(frame_empty(frames, slot), _i ? 12 : 14);
	assert_has(slot, 0, 10);
	forget();
}
END_TEST

START_TEST(slot_that_cannot_be_looked_at_says_why_and_loses_nothing)
{
	fill_two_runs();
	refuse("scan", 0, 1, -ENOMEM);
	ck_assert_int_eq(frame_empty(frames, slot), -ENOMEM);
	assert_said("");
	ck_assert_uint_eq(frame_emptied(frames), 0);
	ck_assert_int_eq(frame_empty(frames, slot), 14);
	forget();
}
END_TEST

/* A page table stays behind, into which no huge page moves. */
START_TEST(empty_slot_for_a_huge_page_gets_a_new_mapping)
{
	const struct frame_want want = want_huge(0);
	struct slot *hole;

	ck_assert_int_eq(frame_hole(frames, &want, &hole), 0);
	bits_set(&kernel.map[2].block[0].present, 77);
	forget();
	refuse("renew", 0, _i ? 1 : 0, -ENOMEM);
	ck_assert_int_eq(frame_empty(frames, hole), _i ? -ENOMEM : 1);
	assert_said(_i ? "renew C0!\n"
		       : "renew C0\nthp C0\ndontdump C0\ndontfork C0\nregister C0\n");
	ck_assert(hole->split == _i);
	frame_give(frames, hole);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("frame_move");
	TCase *tcase = tcase_create("frames");

	tcase_add_checked_fixture(tcase, setup, teardown);
	tcase_add_loop_test(tcase, move_that_succeeds_is_one_call, 0, 2);
	tcase_add_test(tcase, slot_is_locked_as_the_region_is);
	tcase_add_test(tcase, slot_that_is_locked_and_need_not_be_is_unlocked);
	tcase_add_test(tcase, move_that_is_wrong_however_the_slot_is_locked_says_so);
	tcase_add_loop_test(tcase, slot_that_cannot_be_locked_tells_why, 0, 2);
	tcase_add_test(tcase, move_that_ends_early_locks_nothing);
	tcase_add_loop_test(tcase, other_errors_are_the_callers, 0, 4);
	tcase_add_test(tcase, pages_that_moved_without_a_word_are_found_and_the_rest_is_moved);
	tcase_add_test(tcase, who_sleeps_on_pages_that_moved_without_a_word_is_woken);
	tcase_add_test(tcase, move_of_which_all_went_without_a_word_succeeds);
	tcase_add_test(tcase, pages_go_without_a_word_more_than_once);
	tcase_add_test(tcase, error_of_the_rest_is_told_with_what_moved);
	tcase_add_loop_test(tcase, place_that_is_taken_is_told, 0, 2);
	tcase_add_test(tcase, page_that_is_at_neither_place_has_not_moved);
	tcase_add_test(tcase, pages_behind_the_move_are_not_counted);
	tcase_add_test(tcase, pages_are_looked_for_in_their_own_blocks);
	tcase_add_loop_test(tcase, pages_that_moved_without_a_word_are_looked_for_33_times, 0, 2);
	tcase_add_test(tcase, frame_that_the_kernel_takes_out_of_use_costs_the_slot_nothing);
	tcase_add_loop_test(tcase, bad_frames_are_put_away_one_after_the_other, 0, 2);
	tcase_add_test(tcase, bad_frames_beyond_512_have_a_second_mapping);
	tcase_add_loop_test(tcase, frame_without_a_place_of_its_own_keeps_its_slot, 0, 3);
	tcase_add_test(tcase, frame_that_does_not_leave_keeps_its_slot_and_what_the_kernel_refuses);
	tcase_add_test(tcase, huge_frame_with_a_bad_part_is_no_huge_one_any_more);
	tcase_add_test(tcase, frame_that_broke_on_its_way_is_in_flight_and_makes_its_slot_suspect);
	tcase_add_test(tcase, what_a_slot_should_not_have_is_discarded_run_by_run);
	tcase_add_loop_test(tcase, run_that_the_kernel_does_not_take_ends_it, 0, 2);
	tcase_add_test(tcase, slot_that_cannot_be_looked_at_says_why_and_loses_nothing);
	tcase_add_loop_test(tcase, empty_slot_for_a_huge_page_gets_a_new_mapping, 0, 2);
	suite_add_tcase(suite, tcase);
	return run_suite(suite);
}
