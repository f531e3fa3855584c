/* Frames that are taken, given and trimmed: which slot it is, who gives way when there may be no more, and what the books say. */
#include "frame_rig.h"

#define WATERMARK (4 * GMIG_BLOCK_BYTES)

static int try_to_take(const struct frame_want *want)
{
	struct slot *slot = NULL;
	int ret = frame_take(frames, want, &slot);

	ck_assert((slot == NULL) == (ret != 0));
	if (slot)
		frame_give(frames, slot);
	return ret;
}

/* ---- Which slot --------------------------------------------------------------------------------- */

START_TEST(used_frames_go_before_clean_ones_and_clean_is_what_was_never_used)
{
	struct frame_want want = want_small(0, 0, 1);
	struct slot *used, *clean, *third;

	start(1);
	used = take(&want);
	clean = take(&want);
	used->clean = false;
	frame_give(frames, used);
	frame_give(frames, clean);
	forget();
	ck_assert_ptr_eq(take(&want), used);
	ck_assert_ptr_eq(take(&want), clean);
	frame_give(frames, used);
	frame_give(frames, clean);
	want.clean = true;
	ck_assert_ptr_eq(take(&want), clean);
	assert_said("");
	third = take(&want);
	assert_said("populate A2.0+1\n");
	frame_give(frames, clean);
	frame_give(frames, third);
	stop();
}
END_TEST

START_TEST(what_is_pooled_is_taken_and_nothing_new_is_made)
{
	struct frame_want want = {.need = {{1}}, .pooled = true};
	struct slot *slot;

	start(1);
	ck_assert_int_eq(try_to_take(&want), -ENOMEM);
	ck_assert_ptr_null(strstr(kernel.said, "populate"));
	want.pooled = false;
	give_some(&want, &slot, 1, true);
	want.pooled = true;
	ck_assert_ptr_eq(take(&want), slot);
	ck_assert_int_eq(try_to_take(&want), -ENOMEM);
	assert_said("");
	frame_give(frames, slot);
	stop();
}
END_TEST

/* Of the first worker and of the last one. A clean one is stolen only when there is nothing new. */
START_TEST(what_other_workers_left_is_taken_before_new_memory)
{
	struct frame_want want = {.need = {{1}}, .worker = _i ? FRAME_WORKERS - 1 : 0};
	struct slot *left;

	start(1);
	give_some(&want, &left, 1, true);
	want.worker = 3;
	ck_assert_ptr_eq(take(&want), left);
	ck_assert_ptr_null(strstr(kernel.said, "populate"));
	frame_give(frames, left);
	want.clean = true;
	refuse("populate", 0, 1, -ENOMEM);
	ck_assert_ptr_eq(take(&want), left);
	frame_give(frames, left);
	refuse("populate", 0, 1, -ENOMEM);
	want.need.word[0] = 3;
	ck_assert_int_eq(try_to_take(&want), -ENOMEM);
	stop();
}
END_TEST

START_TEST(slots_that_are_all_taken_are_no_memory_of_the_hosts)
{
	const struct frame_want want = want_small(0, 0, 1);
	struct slot *slots[24];

	start(1);
	for (unsigned int i = 0; i < 24; i++)
		slots[i] = take(&want);
	ck_assert_int_eq(try_to_take(&want), -ENOBUFS);
	for (unsigned int i = 0; i < 24; i++)
		frame_give(frames, slots[i]);
	stop();
}
END_TEST

/* ---- When there may be no more ------------------------------------------------------------------ */

/* Pools may hold so many blocks. */
static void start_with(unsigned int nodes, unsigned int blocks)
{
	ck_assert_int_eq(create(nodes, blocks * GMIG_BLOCK_BYTES, WATERMARK), 0);
	forget();
}

START_TEST(slot_of_another_node_goes_when_there_may_be_no_more)
{
	struct frame_want one = want_huge(1), zero = want_huge(0), two = want_huge(2);
	struct slot *slots[3], *slot;

	start_with(3, 3);
	give_some(&zero, slots, 1, true);
	give_some(&two, slots + 1, 1, true);
	give_some(&one, slots + 2, 1, true);
	slot = take(&zero);
	ck_assert_ptr_eq(slot, slots[0]);
	frame_give(frames, slot);
	forget();
	zero.clean = true;
	ck_assert_ptr_eq(take(&zero), slots[0]);
	slot = take(&zero);
	ck_assert_uint_eq(slot->node, 0);
	assert_account(1, LEDGER_POOL, 0);
	assert_account(2, LEDGER_POOL, ALL);
	frame_give(frames, slots[0]);
	frame_give(frames, slot);
	stop();
}
END_TEST

START_TEST(own_node_s_slots_stay_when_another_has_some)
{
	struct frame_want zero = want_huge(0), one = want_huge(1), small = want_small(0, 0, 1);
	struct slot *slots[2], *slot;

	start_with(2, 2);
	give_some(&zero, slots, 1, true);
	give_some(&one, slots + 1, 1, true);
	slot = take(&small);
	ck_assert_uint_eq(frame_pool_bytes(frames, 0), GMIG_BLOCK_BYTES);
	ck_assert_uint_eq(frame_pool_bytes(frames, 1), 0);
	frame_give(frames, slot);
	stop();
}
END_TEST

START_TEST(own_node_s_slots_go_when_no_other_has_any)
{
	struct frame_want want = want_huge(0), small = want_small(0, 0, 1);
	struct slot *slots[2], *slot;

	start_with(2, 2);
	give_some(&want, slots, 2, true);
	slot = take(&small);
	ck_assert_uint_eq(frame_pool_bytes(frames, 0), GMIG_BLOCK_BYTES);
	frame_give(frames, slot);
	stop();
}
END_TEST

/* 0: somebody holds a frame, 10 ms at a time; 1: in a hurry; 2: a first touch, which room alone bounds; 3: nobody holds any. */
START_TEST(who_may_wait_waits_40_ms_for_what_others_hold)
{
	struct frame_want want = want_small(0, 0, 2);
	struct slot *slot;
	uint64_t begin;

	start_with(1, 1);
	slot = take(&want);
	if (_i == 3)
		frame_drop(frames, slot);
	forget();
	kernel.room_bytes = 0;
	policy_look(policy);
	want.hurry = _i == 1;
	want.use = _i == 2 ? POLICY_TOUCH : POLICY_MOVE;
	begin = kernel.now;
	ck_assert_int_eq(try_to_take(&want), -ENOMEM);
	assert_said(_i ? "" : "wait 10000\nwait 10000\nwait 10000\nwait 10000\n");
	ck_assert_uint_eq(kernel.now - begin, _i ? 0 : 40000000);
	if (_i != 3)
		frame_drop(frames, slot);
	stop();
}
END_TEST

/* ---- Trimming ----------------------------------------------------------------------------------- */

static unsigned int blocks_of(unsigned int node)
{
	return (unsigned int)(frame_pool_bytes(frames, node) / GMIG_BLOCK_BYTES);
}

START_TEST(trim_leaves_the_watermark_and_takes_used_slots_first)
{
	const struct frame_want want = want_huge(1);
	struct slot *slots[7];

	start_with(2, 256);
	give_some(&want, slots, 7, true);
	for (unsigned int i = 0; i < 2; i++) {
		slot_pull(frames, slots[i]);
		slots[i]->clean = false;
		frame_give(frames, slots[i]);
	}
	frame_trim(frames, 0);
	ck_assert_uint_eq(blocks_of(1), 7);
	assert_said("");
	frame_trim(frames, 1);
	ck_assert_uint_eq(blocks_of(1), 4);
	assert_said("discard A1\ndiscard A0\ndiscard A6\n");
	frame_trim(frames, 1);
	frame_trim(frames, GMIG_NO_NODE);
	assert_said("");
	stop();
}
END_TEST

/* Pools keep a quarter of what there may be. */
START_TEST(trim_keeps_less_when_memory_is_short)
{
	const struct frame_want want = want_huge(0);
	struct slot *slots[5];

	start_with(1, 8);
	give_some(&want, slots, 5, true);
	frame_trim(frames, 0);
	ck_assert_uint_eq(blocks_of(0), 2);
	stop();
}
END_TEST

START_TEST(late_trim_waits_for_half_a_batch_more)
{
	const struct frame_want want = want_huge(0);
	struct slot *slots[9];

	start_with(1, 256);
	give_some(&want, slots, 8, true);
	frame_trim_late(frames, 0);
	frame_trim_late(frames, GMIG_NO_NODE);
	ck_assert_uint_eq(blocks_of(0), 8);
	give_some(&want, slots, 9, true);
	ck_assert_uint_eq(blocks_of(0), 9);
	frame_trim_late(frames, 0);
	ck_assert_uint_eq(blocks_of(0), 4);
	stop();
}
END_TEST

/* Of all workers and both sizes, more than one batch of them, and of no other node. */
START_TEST(drain_leaves_nothing_on_its_node)
{
	struct frame_want want = want_huge(0);
	struct slot *slots[20];

	start_with(2, 256);
	give_some(&want, slots, 20, true);
	want = want_small(0, 7, 1);
	want.worker = FRAME_WORKERS - 1;
	want.clean = true;
	give_some(&want, slots, 3, true);
	want.node = 1;
	give_some(&want, slots, 2, false);
	assert_account(0, LEDGER_POOL, 20 * ALL + 3);
	assert_account(1, LEDGER_POOL, 2);
	frame_drain(frames, GMIG_NO_NODE);
	assert_account(0, LEDGER_POOL, 20 * ALL + 3);
	frame_drain(frames, 0);
	assert_account(0, LEDGER_POOL, 0);
	assert_account(0, LEDGER_OUTSIDE, 0);
	assert_account(1, LEDGER_POOL, 2);
	frame_drain_all(frames);
	assert_account(1, LEDGER_POOL, 0);
	stop();
}
END_TEST

START_TEST(slot_that_the_kernel_does_not_take_stays_in_the_pool)
{
	const struct frame_want want = want_huge(0);
	struct slot *slots[3];

	start_with(1, 256);
	give_some(&want, slots, 3, true);
	refuse("discard", 1, 1, -EAGAIN);
	frame_drain(frames, 0);
	ck_assert_uint_eq(blocks_of(0), 1);
	assert_said("discard A2\ndiscard A1!\ndiscard A0\n");
	ck_assert(slots[1]->clean);
	ck_assert_ptr_eq(take(&want), slots[1]);
	frame_give(frames, slots[1]);
	stop();
}
END_TEST

/* ---- Giving, and holes -------------------------------------------------------------------------- */

START_TEST(huge_frame_is_kept_whole_or_not_at_all)
{
	const struct frame_want want = want_huge(0);
	struct slot *slot;

	start(1);
	frame_give(frames, NULL);
	frame_drop(frames, NULL);
	slot = take(&want);
	forget();
	frame_give(frames, slot);
	assert_said("");
	ck_assert_ptr_eq(take(&want), slot);
	bits_clear_range(&slot->have, 511, 1);
	ledger_post(ledger, 0, LEDGER_FLIGHT, LEDGER_OUTSIDE, 1);
	frame_give(frames, slot);
	assert_said("discard A0\n");
	ck_assert(slot->split);
	slot = take(&want);
	slot->split = true;
	forget();
	frame_give(frames, slot);
	assert_said("discard A0\n");
	/* All of it has left. */
	slot = take(&want);
	bits_clear_all(&slot->have);
	block_of(slot)->present = slot->have;
	ledger_post(ledger, 0, LEDGER_FLIGHT, LEDGER_OUTSIDE, ALL);
	forget();
	frame_give(frames, slot);
	assert_said("");
	ck_assert(!slot->split);
	stop();
}
END_TEST

/* From the empty ones, then of the used, then of the clean. */
START_TEST(hole_is_an_empty_slot_or_one_that_is_emptied)
{
	struct frame_want want = {.need = {{0x3}}, .clean = true}, elsewhere = {.node = 1};
	struct slot *slots[24], *hole;

	start(2);
	give_some(&want, slots, 23, true);
	slot_pull(frames, slots[5]);
	slots[5]->clean = false;
	frame_give(frames, slots[5]);
	ck_assert_int_eq(frame_hole(frames, &elsewhere, &hole), 0);
	ck_assert_ptr_eq(hole, &slots[0]->pool->slots[23]);
	ck_assert_uint_eq(hole->node, 1);
	ck_assert(!hole->clean);
	assert_said("");
	slots[23] = hole;
	refuse("discard", 0, 1, -EAGAIN);
	ck_assert_int_eq(frame_hole(frames, &elsewhere, &hole), -ENOBUFS);
	ck_assert_uint_eq(slots[5]->node, 0);
	ck_assert_ptr_eq(slots[0]->pool->used, slots[5]);
	ck_assert_int_eq(frame_hole(frames, &elsewhere, &hole), 0);
	ck_assert_ptr_eq(hole, slots[5]);
	ck_assert_uint_eq(hole->node, 1);
	assert_has(hole, 0, 0);
	assert_said("discard A5!\ndiscard A5\n");
	slots[5] = hole;
	ck_assert_int_eq(frame_hole(frames, &elsewhere, &hole), 0);
	ck_assert_ptr_eq(hole, slots[22]);
	ck_assert(!hole->clean);
	assert_account(0, LEDGER_POOL, 22 * 2 - 2);
	while (!frame_hole(frames, &elsewhere, &hole))
		;
	ck_assert_int_eq(frame_hole(frames, &elsewhere, &hole), -ENOBUFS);
	for (unsigned int i = 0; i < 24; i++)
		frame_give(frames, &slots[0]->pool->slots[i]);
	stop();
}
END_TEST

START_TEST(hole_for_a_huge_page_has_a_mapping_without_a_page_table)
{
	const struct frame_want want = want_huge(0);
	struct slot *hole;

	start(1);
	ck_assert_int_eq(frame_hole(frames, &want, &hole), 0);
	hole->split = true;
	frame_give(frames, hole);
	forget();
	refuse("register", 0, 1, -ENOMEM);
	ck_assert_int_eq(frame_hole(frames, &want, &hole), -ENOBUFS);
	ck_assert_int_eq(frame_hole(frames, &want, &hole), 0);
	assert_said("renew A0\nthp A0\ndontdump A0\ndontfork A0\nregister A0!\n"
		    "renew A0\nthp A0\ndontdump A0\ndontfork A0\nregister A0\n");
	ck_assert(!hole->split);
	/* What somebody has read into it is emptied first. */
	bits_set(&block_of(hole)->present, 5);
	frame_give(frames, hole);
	ck_assert_int_eq(frame_hole(frames, &want, &hole), 0);
	ck_assert_uint_eq(frame_emptied(frames), 1);
	assert_has(hole, 0, 0);
	frame_give(frames, hole);
	stop();
}
END_TEST

/* ---- Stock -------------------------------------------------------------------------------------- */

START_TEST(stock_counts_what_serves)
{
	struct frame_want want = {.need = {{0x3}}}, other = {.node = 1, .need = {{0x3}}};
	struct slot *used, *clean;

	start(2);
	used = take(&want);
	clean = take(&want);
	used->clean = false;
	frame_give(frames, used);
	frame_give(frames, clean);
	ck_assert_int_eq(frame_stock(frames, &want, 2), 0);
	want.clean = true;
	ck_assert_int_eq(frame_stock(frames, &want, 1), 0);
	forget();
	ck_assert_int_eq(frame_stock(frames, &want, 2), 1);
	assert_said("populate A2.0+2\n");
	ck_assert_int_eq(frame_stock(frames, &want, 2), 0);
	ck_assert_int_eq(frame_stock(frames, &other, 1), 1);
	ck_assert_int_eq(frame_stock(frames, &other, 1), 0);
	ck_assert_uint_eq(frame_pool_bytes(frames, 1), 2 * GMIG_PAGE_BYTES);
	refuse("populate", 0, 1, -ENOMEM);
	ck_assert_int_eq(frame_stock(frames, &other, 2), -ENOMEM);
	stop();
}
END_TEST

START_TEST(hole_in_a_pool_that_cannot_be_made_is_none)
{
	const struct frame_want want = {.node = 1};
	struct slot *slot = NULL;

	start(2);
	refuse("register", 0, 1, -EPERM);
	ck_assert_int_eq(frame_hole(frames, &want, &slot), -EPERM);
	ck_assert_ptr_null(slot);
	ck_assert_int_eq(frame_hole(frames, &want, &slot), 0);
	frame_give(frames, slot);
	stop();
}
END_TEST

START_TEST(stock_of_a_pool_that_cannot_be_made_says_so)
{
	const struct frame_want want = want_small(1, 0, 1);

	start(2);
	refuse("register", 0, 1, -EPERM);
	ck_assert_int_eq(frame_stock(frames, &want, 1), -EPERM);
	ck_assert_uint_eq(frame_pool_bytes(frames, 1), 0);
	ck_assert_int_eq(frame_stock(frames, &want, 1), 1);
	ck_assert_uint_eq(frame_pool_bytes(frames, 1), GMIG_PAGE_BYTES);
	stop();
}
END_TEST

START_TEST(stock_takes_half_of_what_there_may_be)
{
	const struct frame_want want = want_huge(0);

	start_with(1, 5);
	ck_assert_int_eq(frame_stock(frames, &want, 9), 1);
	ck_assert_int_eq(frame_stock(frames, &want, 9), 1);
	ck_assert_int_eq(frame_stock(frames, &want, 9), 0);
	ck_assert_uint_eq(blocks_of(0), 2);
	stop();
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("frame_find");
	TCase *tcase = tcase_create("taking");

	tcase_add_test(tcase, used_frames_go_before_clean_ones_and_clean_is_what_was_never_used);
	tcase_add_test(tcase, what_is_pooled_is_taken_and_nothing_new_is_made);
	tcase_add_loop_test(tcase, what_other_workers_left_is_taken_before_new_memory, 0, 2);
	tcase_add_test(tcase, slots_that_are_all_taken_are_no_memory_of_the_hosts);
	tcase_add_test(tcase, slot_of_another_node_goes_when_there_may_be_no_more);
	tcase_add_test(tcase, own_node_s_slots_stay_when_another_has_some);
	tcase_add_test(tcase, own_node_s_slots_go_when_no_other_has_any);
	tcase_add_loop_test(tcase, who_may_wait_waits_40_ms_for_what_others_hold, 0, 4);
	tcase_add_test(tcase, huge_frame_is_kept_whole_or_not_at_all);
	tcase_add_test(tcase, hole_is_an_empty_slot_or_one_that_is_emptied);
	tcase_add_test(tcase, hole_for_a_huge_page_has_a_mapping_without_a_page_table);
	tcase_add_test(tcase, hole_in_a_pool_that_cannot_be_made_is_none);
	tcase_add_test(tcase, stock_counts_what_serves);
	tcase_add_test(tcase, stock_of_a_pool_that_cannot_be_made_says_so);
	tcase_add_test(tcase, stock_takes_half_of_what_there_may_be);
	suite_add_tcase(suite, tcase);
	tcase = tcase_create("trimming");
	tcase_add_test(tcase, trim_leaves_the_watermark_and_takes_used_slots_first);
	tcase_add_test(tcase, trim_keeps_less_when_memory_is_short);
	tcase_add_test(tcase, late_trim_waits_for_half_a_batch_more);
	tcase_add_test(tcase, drain_leaves_nothing_on_its_node);
	tcase_add_test(tcase, slot_that_the_kernel_does_not_take_stays_in_the_pool);
	suite_add_tcase(suite, tcase);
	return run_suite(suite);
}
