/* First touches: small pages, what there is no room for, and frames that are placed ahead of all touches. */
#include "touch_rig.h"

/* ---- Small pages -------------------------------------------------------------------------------- */

START_TEST(hole_without_huge_pages_is_filled_by_small_ones)
{
	start(true);
	atomic_store(&region->preferred_node, 3);
	fill(5, 0, "C512+512");
	expect(0, BLOCK, 3);
	ck_assert_uint_eq(entry_of(0).state, SHADOW_NONE);
	ck_assert_uint_eq(entry_of(2 * BLOCK).state, SHADOW_NONE);
	end();
}
END_TEST

START_TEST(hole_among_small_pages_is_filled_alone)
{
	start(_i);
	split_block();
	fill(5, 0, "C517+1");
	expect(0, 5, NONE);
	expect(5, 1, 0);
	expect(6, BLOCK - 6, NONE);
	end();
}
END_TEST

START_TEST(block_that_is_filled_in_a_part_has_what_was_touched)
{
	start(true);
	refuse('C', 100, -ENOMEM, ALWAYS);
	fill(99, 0, "C512+100 C612+412!");
	expect(0, 100, 0);
	expect(100, BLOCK - 100, NONE);
	fill(99 + 2, 0, "C613+1"); /* the next one is tried alone */
	expect(100, 1, NONE);
	expect(101, 1, 0);
	end();
}
END_TEST

START_TEST(page_that_was_touched_is_tried_once_more_by_itself)
{
	start(true);
	refuse('C', 100, -ENOMEM, 1);
	fill(100, 0, "C512+100 C612+412! C612+1");
	expect(0, 101, 0);
	expect(101, BLOCK - 101, NONE);
	end();
}
END_TEST

START_TEST(touch_without_any_memory_says_so_and_leaves_the_block_whole)
{
	start(true);
	has_room(1000);
	refuse('C', 0, -ENOMEM, ALWAYS);
	fill(0, -ENOMEM, "C512+512! C512+1!");
	expect_huge(NONE);
	expect_room(1000);
	refuse('C', 0, -EIO, ALWAYS);
	fill(0, -EIO, "C512+512! C512+1!");
	expect_room(1000);
	end();
}
END_TEST

START_TEST(memory_that_no_entries_can_be_had_for_goes_back)
{
	struct uffd_scan scan;

	start(true);
	has_room(1000);
	atomic_store(&no_tables, true);
	fill(5, -ENOMEM, "C512+512 D512+512 C517+1 D517+1");
	atomic_store(&no_tables, false);
	expect_huge(NONE);
	expect_room(1000);
	ck_assert_int_eq(kind.scan(rig.gmig, region, BLOCK, &scan), 0);
	ck_assert(bits_empty(&scan.present));
	atomic_store(&no_tables, true);
	refuse('C', 100, -ENOMEM, ALWAYS); /* as much of it as came */
	fill(5, -ENOMEM, "C512+100 C612+412! D512+100 C517+1 D517+1");
	atomic_store(&no_tables, false);
	end();
}
END_TEST

/* A frame more than there is room for would have the host kill. */
START_TEST(block_that_there_is_no_room_for_has_the_one_page)
{
	start(true);
	has_room(511 + (unsigned int)_i);
	fill(5, 0, _i ? "C512+512" : "C517+1");
	expect(5, 1, 0);
	expect(6, 1, _i ? 0 : NONE);
	expect_room(_i ? 0 : 510);
	end();
}
END_TEST

START_TEST(touch_without_room_takes_what_pools_have_first)
{
	struct slot *slot;

	start(true);
	slot = take(false, 0, 16, 2);
	frame_give(rig.gmig->frames, slot);
	split_block();
	has_room(1);
	fill(5, 0, "C517+1");
	ck_assert_uint_eq(frame_pool_bytes(rig.gmig->frames, 2), 16 * GMIG_PAGE_BYTES);
	has_room(0);
	fill(6, 0, "C518+1");
	ck_assert_uint_eq(frame_pool_bytes(rig.gmig->frames, 2), 0);
	expect(5, 2, 0);
	end();
}
END_TEST

START_TEST(page_that_is_there_already_is_noted)
{
	start(true);
	rig_write_page(&rig, BLOCK + 5); /* the fault thread serves it, and notes it elsewhere */
	rig_settle(&rig);
	begin_step();
	ck_assert_int_eq(books_change(rig.gmig,
				      &(struct books_event){
					  .region = region,
					  .change = {.gfn = BLOCK + 5, .event = SHADOW_DISCARD},
					  .memory = BOOKS_KERNEL},
				      NULL),
			 0);
	end_step("");
	fill(5, 0, "C517+1!");
	expect(5, 1, 0);
	ck_assert_uint_eq(rig_check_page(&rig, BLOCK + 5), 0);
	end();
}
END_TEST

/* It is what was asked for; of the others nobody knows. */
START_TEST(page_that_is_there_already_in_a_block_without_memory_is_noted_alone)
{
	struct uffdio_copy copy;

	start(true);
	copy = (struct uffdio_copy){.dst = (uintptr_t)rig_page(&rig, BLOCK + 5),
				    .src = (uintptr_t)from.zeros,
				    .len = GMIG_PAGE_BYTES};
	ck_assert_int_eq(gmig_sys_real.ioctl(from.uffd, UFFDIO_COPY, &copy), 0);
	atomic_store(&no_tables, true);
	begin_step();
	ck_assert_int_eq(first_touch_one(&from, region, BLOCK + 5, true), 0);
	end_step("C517+1!");
	expect_huge(NONE);
	atomic_store(&no_tables, false);
	begin_step();
	ck_assert_int_eq(first_touch_one(&from, region, BLOCK + 5, true), 0);
	end_step("C517+1!");
	expect(0, 5, NONE);
	expect(5, 1, 0);
	expect(6, BLOCK - 6, NONE);
	begin_step();
	ck_assert_int_eq(first_touch_one(&from, region, BLOCK + 6, false), 0);
	end_step("C518+1");
	expect(6, 1, 0);
	end();
}
END_TEST

/* Without an answer it is where it was asked to. */
START_TEST(small_page_is_where_the_kernel_put_it)
{
	start(true);
	atomic_store(&region->preferred_node, 1);
	region->kind = &kind;
	where[0] = 3;
	where[1] = -ENOENT;
	where[2] = GMIG_MAX_NODES;
	where[3] = 0;
	rig.gmig->fake = false;
	fill(5, 0, "C512+512");
	ck_assert_uint_eq(queried, BLOCK);
	ck_assert_uint_eq(queried_gfn, BLOCK);
	for (unsigned int i = 0; i < BLOCK; i += 4) {
		expect(i, 1, 3);
		expect(i + 1, 1, 1);
		expect(i + 2, 1, 1);
		expect(i + 3, 1, 0);
	}
	rig.gmig->fake = true;
	begin_step();
	ck_assert_int_eq(first_touch_one(&from, region, 2 * BLOCK + 9, true), 0);
	end_step("C1033+1");
	ck_assert_uint_eq(queried_gfn, BLOCK); /* fake nodes are only ours */
	ck_assert_uint_eq(entry_of(2 * BLOCK + 9).node, 1);
	rig.gmig->fake = false;
	query_says = -EPERM;
	begin_step();
	ck_assert_int_eq(first_touch_one(&from, region, 2 * BLOCK + 8, false), 0);
	end_step("C1032+1");
	ck_assert_uint_eq(queried, 1);
	ck_assert_uint_eq(queried_gfn, 2 * BLOCK + 8);
	ck_assert_uint_eq(entry_of(2 * BLOCK + 8).node, 1);
	rig.gmig->fake = true;
	end();
}
END_TEST

START_TEST(entry_that_refuses_is_told_once_a_second)
{
	const struct books_event event = {.region = NULL,
					  .change = {.gfn = BLOCK, .event = SHADOW_DISCARD},
					  .memory = BOOKS_KERNEL};
	struct books_event twice = event;

	start(true);
	twice.region = region;
	for (unsigned int i = 0; i < 3; i++) {
		begin_step();
		first_touch_note(&from, &twice);
		end_step("");
		ck_assert_uint_eq(lines, i != 1);
		ck_assert_int_eq(strncmp(line,
					 i < 2 ? "event=first-touch held=0 text=\"gfn 0x200"
					       : "event=first-touch held=1 text=\"gfn 0x200",
					 40),
				 0);
		clock_ns += i ? 1 : LOG_LIMIT_NS - 1;
	}
	end();
}
END_TEST

/* ---- Ahead of all touches ----------------------------------------------------------------------- */

static void place(struct slot *slot, const struct bits *some, int wanted, const char *expected)
{
	begin_step();
	ck_assert_int_eq(some ? first_touch_place_some(&from, region, BLOCK, slot, some)
			      : first_touch_place(&from, region, BLOCK, slot),
			 wanted);
	end_step(expected);
}

static void expect_has(const struct slot *slot, unsigned int first, unsigned int count)
{
	struct bits pages = {{0}};

	bits_set_range(&pages, first, count);
	ck_assert_mem_eq(&slot->have, &pages, sizeof(pages));
}

START_TEST(huge_frame_is_placed_where_nothing_is)
{
	struct slot *slot;

	start(false);
	if (huge_or_skip(rig.gmig)) {
		slot = take(true, 0, 0, 2);
		place(slot, NULL, 0, "M512+512");
		expect_huge(2);
		expect_has(slot, 0, 0);
		frame_give(rig.gmig->frames, slot);
		slot = take(true, 0, 0, 2);
		place(slot, NULL, 0, ""); /* somebody was faster */
		expect_has(slot, 0, BLOCK);
		frame_give(rig.gmig->frames, slot);
		ck_assert_uint_eq(frame_pool_bytes(rig.gmig->frames, 2), GMIG_BLOCK_BYTES);
	}
	end();
}
END_TEST

START_TEST(huge_frame_is_not_placed_among_small_pages)
{
	struct slot *slot;

	start(false);
	if (huge_or_skip(rig.gmig)) {
		split_block();
		slot = take(true, 0, 0, 2);
		place(slot, NULL, 0, "");
		expect_has(slot, 0, BLOCK);
		frame_give(rig.gmig->frames, slot);
	}
	end();
}
END_TEST

START_TEST(huge_frame_that_does_not_go_in_says_why)
{
	struct slot *slot;

	start(false);
	if (huge_or_skip(rig.gmig)) {
		slot = take(true, 0, 0, 2);
		refuse('M', 0, -EBUSY, ALWAYS);
		place(slot, NULL, -EBUSY, "M512+512!");
		expect_huge(NONE);
		expect_has(slot, 0, BLOCK);
		ck_assert(slot->split && !slot->suspect);
		frame_give(rig.gmig->frames, slot);
	}
	end();
}
END_TEST

START_TEST(small_frames_are_placed_where_they_belong_and_nothing_is)
{
	struct slot *slot;

	start(true);
	split_block();
	fill(0, 0, "C512+1");
	fill(12, 0, "C524+1");
	fill(20, 0, "C532+1");
	slot = take(false, 0, 110, 2);
	place(slot, NULL, 0, "M513+11 M525+7 M533+89");
	expect(0, 1, 0);
	expect(1, 11, 2);
	expect(12, 1, 0);
	expect(13, 7, 2);
	expect(20, 1, 0);
	expect(21, 89, 2);
	expect(110, BLOCK - 110, NONE);
	ck_assert_uint_eq(bits_count(&slot->have), 3);
	ck_assert(bits_get(&slot->have, 0) && bits_get(&slot->have, 12) &&
		  bits_get(&slot->have, 20));
	frame_give(rig.gmig->frames, slot);
	end();
}
END_TEST

START_TEST(of_small_frames_those_are_placed_that_are_wanted)
{
	struct bits some = {{0}};
	struct slot *slot;

	start(true);
	slot = take(false, 10, 100, 2);
	place(slot, &some, 0, "");
	expect_huge(NONE); /* nor is it split for nothing */
	bits_set_range(&some, 105, 10);
	place(slot, &some, 0, "M617+5");
	expect(105, 5, 2);
	expect(110, BLOCK - 110, NONE);
	expect(0, 105, NONE);
	expect_has(slot, 10, 95);
	/* As far as they go, and then what the kernel said. */
	bits_set_range(&some, 0, 105);
	refuse('M', 50, -EBUSY, ALWAYS);
	place(slot, &some, -EBUSY, "M522+40 M562+55!");
	expect(10, 40, 2);
	expect(50, 55, NONE);
	expect_has(slot, 50, 55);
	frame_give(rig.gmig->frames, slot);
	end();
}
END_TEST

START_TEST(frames_are_not_placed_without_memory_for_entries_or_where_no_block_is)
{
	struct slot *slot;
	struct bits all;

	start(true);
	bits_fill(&all);
	slot = take(false, 10, 100, 2);
	atomic_store(&no_tables, true);
	place(slot, NULL, -ENOMEM, "");
	place(slot, &all, -ENOMEM, "");
	atomic_store(&no_tables, false);
	expect_huge(NONE);
	expect_has(slot, 10, 100);
	ck_assert_int_eq(first_touch_place(&from, region, 1ull << 30, slot), -EFAULT);
	ck_assert_int_eq(first_touch_place_some(&from, region, 1ull << 30, slot, &all), -EFAULT);
	frame_give(rig.gmig->frames, slot);
	end();
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("first_touch_small");
	TCase *tcase = tcase_create("first_touch_small");

	tcase_set_timeout(tcase, 60);
	tcase_add_test(tcase, hole_without_huge_pages_is_filled_by_small_ones);
	tcase_add_loop_test(tcase, hole_among_small_pages_is_filled_alone, 0, 2);
	tcase_add_test(tcase, block_that_is_filled_in_a_part_has_what_was_touched);
	tcase_add_test(tcase, page_that_was_touched_is_tried_once_more_by_itself);
	tcase_add_test(tcase, touch_without_any_memory_says_so_and_leaves_the_block_whole);
	tcase_add_test(tcase, memory_that_no_entries_can_be_had_for_goes_back);
	tcase_add_loop_test(tcase, block_that_there_is_no_room_for_has_the_one_page, 0, 2);
	tcase_add_test(tcase, touch_without_room_takes_what_pools_have_first);
	tcase_add_test(tcase, page_that_is_there_already_is_noted);
	tcase_add_test(tcase, page_that_is_there_already_in_a_block_without_memory_is_noted_alone);
	tcase_add_test(tcase, small_page_is_where_the_kernel_put_it);
	tcase_add_test(tcase, entry_that_refuses_is_told_once_a_second);
	tcase_add_test(tcase, huge_frame_is_placed_where_nothing_is);
	tcase_add_test(tcase, huge_frame_is_not_placed_among_small_pages);
	tcase_add_test(tcase, huge_frame_that_does_not_go_in_says_why);
	tcase_add_test(tcase, small_frames_are_placed_where_they_belong_and_nothing_is);
	tcase_add_test(tcase, of_small_frames_those_are_placed_that_are_wanted);
	tcase_add_test(tcase,
		       frames_are_not_placed_without_memory_for_entries_or_where_no_block_is);
	suite_add_tcase(suite, tcase);
	return rig_main(suite);
}
