/* The audit of the pools: what it finds, what it corrects, and what it leaves alone. */
#include "frame_rig.h"

static struct frame_audit audit;

static void look(unsigned int how)
{
	frame_audit(frames, how, &audit);
}

/* That was all that was found. */
static void assert_found(unsigned int wrong, unsigned int written, unsigned int filled,
			 unsigned int moved, unsigned int unmended)
{
	ck_assert_uint_eq(audit.wrong_slots, wrong);
	ck_assert_uint_eq(audit.written_slots, written);
	ck_assert_uint_eq(audit.filled_pages, filled);
	ck_assert_uint_eq(audit.moved_slots, moved);
	ck_assert_uint_eq(audit.unmended_slots, unmended);
	ck_assert_uint_eq(audit.busy_slots, 0);
	ck_assert_uint_eq(audit.broken_slots, 0);
}

START_TEST(audit_counts_free_pages_and_taken_slots)
{
	struct frame_want want = want_small(1, 0, 3);
	struct slot *slot, *second;

	start(2);
	slot = take(&want);
	second = take(&want);
	look(FRAME_COUNT);
	ck_assert_uint_eq(audit.busy_slots, 2);
	ck_assert_uint_eq(audit.broken_slots, 0);
	ck_assert_uint_eq(audit.flying_node, GMIG_NO_NODE);
	frame_give(frames, slot);
	frame_give(frames, second);
	ledger_post(ledger, 1, LEDGER_POOL, LEDGER_OUTSIDE, 2);
	look(FRAME_COUNT);
	ck_assert_uint_eq(audit.differing_node, 1);
	ck_assert_int_eq(audit.free_pages, 6);
	ck_assert_int_eq(audit.pool_pages, 4);
	ck_assert_uint_eq(audit.differing_pages, 2);
	assert_account(1, LEDGER_POOL, 4);
	look(FRAME_CORRECT);
	ck_assert_uint_eq(audit.differing_node, 1);
	assert_account(1, LEDGER_POOL, 6);
	assert_account(1, LEDGER_OUTSIDE, -6);
	look(FRAME_COUNT);
	ck_assert_uint_eq(audit.differing_node, GMIG_NO_NODE);
	ck_assert_uint_eq(audit.differing_pages, 0);
	stop();
}
END_TEST

START_TEST(audit_finds_pages_in_flight_though_nothing_is_taken)
{
	const struct frame_want want = want_small(0, 0, 1);
	struct slot *slot;

	start(2);
	slot = take(&want);
	ledger_post(ledger, 2, LEDGER_OUTSIDE, LEDGER_FLIGHT, 5);
	ledger_post(ledger, 4, LEDGER_FLIGHT, LEDGER_OUTSIDE, 7);
	look(FRAME_CORRECT);
	ck_assert_uint_eq(audit.flying_node, GMIG_NO_NODE); /* somebody may have them */
	ck_assert_uint_eq(audit.flying_all, 0);
	frame_give(frames, slot);
	look(FRAME_COUNT);
	ck_assert_uint_eq(audit.flying_node, 2);
	ck_assert_int_eq(audit.flying_pages, 5);
	ck_assert_uint_eq(audit.flying_all, 12);
	assert_account(2, LEDGER_FLIGHT, 5);
	look(FRAME_CORRECT);
	ck_assert_uint_eq(audit.flying_all, 12);
	assert_account(2, LEDGER_FLIGHT, 0);
	assert_account(4, LEDGER_FLIGHT, 0);
	assert_account(2, LEDGER_OUTSIDE, 0);
	look(FRAME_COUNT);
	ck_assert_uint_eq(audit.flying_all, 0);
	stop();
}
END_TEST

/* Slots 0, 4 and 23: the first of a look, of the next one, and the last of all. */
START_TEST(audit_looks_at_every_slot)
{
	const struct frame_want want = want_small(0, 0, 3);
	struct slot *slots[24], *at;

	start(1);
	give_some(&want, slots, 24, true);
	at = slots[_i ? _i == 1 ? 4 : 23 : 0];
	look(FRAME_LOOK);
	assert_found(0, 0, 0, 0, 0);
	bits_set_range(&block_of(at)->present, 100, 4);
	look(FRAME_COUNT);
	assert_found(0, 0, 0, 0, 0);
	look(FRAME_LOOK);
	assert_found(0, 0, 4, 0, 0);
	assert_has(at, 0, 3);
	ck_assert(at->clean);
	*(uint64_t *)(at->hva + 2 * GMIG_PAGE_BYTES) = 1;
	look(FRAME_LOOK);
	assert_found(0, 1, 0, 0, 0);
	ck_assert(!at->clean);
	look(FRAME_LOOK);
	assert_found(0, 0, 0, 0, 0);
	bits_clear_range(&block_of(at)->present, 1, 1);
	look(FRAME_LOOK);
	assert_found(1, 0, 0, 0, 0);
	assert_has(at, 0, 0);
	assert_account(0, LEDGER_POOL, 23 * 3);
	look(FRAME_LOOK);
	assert_found(0, 0, 0, 0, 0);
	stop();
}
END_TEST

START_TEST(all_slots_of_one_look_are_repaired)
{
	const struct frame_want want = want_small(0, 0, 3);
	struct slot *slots[8];

	start(1);
	give_some(&want, slots, 8, true);
	for (unsigned int i = 0; i < 8; i++)
		bits_set_range(&block_of(slots[i])->present, 100 + i, i + 1);
	look(FRAME_LOOK);
	assert_found(0, 0, 36, 0, 0);
	for (unsigned int i = 0; i < 8; i++)
		assert_has(slots[i], 0, 3);
	bits_set(&block_of(slots[2])->present, 77);
	bits_set(&block_of(slots[3])->present, 77);
	refuse("discard", 0, 1, -EAGAIN);
	look(FRAME_LOOK);
	assert_found(0, 0, 1, 0, 1);
	look(FRAME_LOOK);
	assert_found(0, 0, 1, 0, 0);
	refuse("scan", 0, 24, -ENOMEM);
	bits_set(&block_of(slots[2])->present, 77);
	look(FRAME_LOOK);
	assert_found(0, 0, 0, 0, 0); /* nobody could look */
	look(FRAME_LOOK);
	assert_found(0, 0, 1, 0, 0);
	stop();
}
END_TEST

START_TEST(audit_asks_about_all_frames_used_and_clean)
{
	const struct frame_want want = want_small(0, 0, 3);
	struct slot *slots[12];

	start(0);
	give_some(&want, slots, 12, true);
	for (unsigned int i = 0; i < 10; i++) {
		slot_pull(frames, slots[i]);
		slots[i]->clean = false;
		frame_give(frames, slots[i]);
	}
	for (unsigned int i = 0; i < 3; i++)
		block_of(slots[0])->node[i] = block_of(slots[11])->node[i] = 3;
	kernel.now += 1;
	look(FRAME_LOOK);
	assert_found(0, 0, 0, 2, 0);
	assert_has(slots[0], 0, 0);
	assert_has(slots[11], 0, 0);
	assert_account(0, LEDGER_POOL, 30);
	assert_account(3, LEDGER_OUTSIDE, 0);
	for (unsigned int i = 1; i < 11; i++)
		ck_assert_uint_eq(slots[i]->verified_ns, kernel.now);
	look(FRAME_COUNT);
	assert_found(0, 0, 0, 0, 0);
	stop();
}
END_TEST

static void take_time(void)
{
	kernel.now += 1000;
}

/* Four slots are looked at under one holding. */
START_TEST(audit_tells_how_long_it_held_a_lock)
{
	const struct frame_want want = want_small(0, 0, 3);

	start(1);
	frame_give(frames, take(&want));
	kernel.at_scan = take_time;
	look(FRAME_LOOK);
	ck_assert_uint_eq(audit.longest_hold_ns, 4000);
	look(FRAME_COUNT);
	ck_assert_uint_eq(audit.longest_hold_ns, 0);
	stop();
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("frame_audit");
	TCase *tcase = tcase_create("pools");

	tcase_add_test(tcase, audit_counts_free_pages_and_taken_slots);
	tcase_add_test(tcase, audit_finds_pages_in_flight_though_nothing_is_taken);
	tcase_add_loop_test(tcase, audit_looks_at_every_slot, 0, 3);
	tcase_add_test(tcase, all_slots_of_one_look_are_repaired);
	tcase_add_test(tcase, audit_asks_about_all_frames_used_and_clean);
	tcase_add_test(tcase, audit_tells_how_long_it_held_a_lock);
	suite_add_tcase(suite, tcase);
	return run_suite(suite);
}
