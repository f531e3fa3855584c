/* First touches: where a huge page comes from, and what becomes of a part of one, or of a used one. */
#include "touch_rig.h"

/* ---- A huge page -------------------------------------------------------------------------------- */

START_TEST(hole_is_filled_by_a_huge_page_of_the_preferred_node)
{
	start(false);
	if (huge_or_skip(rig.gmig)) {
		atomic_store(&region->preferred_node, 2);
		fill(_i, 0, "P M512+512");
		expect_huge(2);
		ck_assert_uint_eq(rig_page(&rig, BLOCK + 511)[511], 0);
	}
	end();
}
END_TEST

START_TEST(huge_page_comes_from_the_nearest_node_that_has_one)
{
	static const uint8_t from_2[] = {40, 15, 10, 20};
	static const unsigned int order[] = {2, 1, 3, 0};

	start(false);
	if (huge_or_skip(rig.gmig)) {
		memcpy(rig.topology->distance + 2 * (size_t)NODES, from_2, sizeof(from_2));
		atomic_store(&region->preferred_node, 2);
		for (int i = 0; i < _i; i++)
			has_none(order[i], false);
		fill(7, 0, "P M512+512");
		expect_huge(order[_i]);
	}
	end();
}
END_TEST

START_TEST(node_that_is_not_allowed_is_not_asked)
{
	start(false);
	if (huge_or_skip(rig.gmig)) {
		gmig_node_set_remove(&rig.topology->allowed, 1);
		has_none(0, false);
		has_none(2, true); /* small pages of another node are for the kernel to choose */
		fill(7, 0, "P M512+512");
		expect_huge(3);
	}
	end();
}
END_TEST

/* Near before huge. */
START_TEST(node_without_a_huge_page_gives_small_ones)
{
	start(false);
	if (huge_or_skip(rig.gmig)) {
		has_none(0, true);
		fill(7, 0, "C512+512");
		expect(0, BLOCK, 0);
	}
	end();
}
END_TEST

START_TEST(what_a_node_refused_is_remembered)
{
	start(false);
	if (huge_or_skip(rig.gmig)) {
		no_huge = true;
		fill(7, 0, "P C512+512");
		no_huge = false;
		ck_assert(hopeless(0, true));
		ck_assert(!hopeless(0, false));
		expect(0, BLOCK, 0);
	}
	end();
}
END_TEST

START_TEST(host_without_frames_is_asked_once_for_each_node)
{
	start(false);
	if (huge_or_skip(rig.gmig)) {
		refuse('P', 0, -ENOMEM, ALWAYS);
		fill(7, 0, "P! P! P! P! C512+512");
		for (unsigned int node = 0; node < NODES; node++) {
			ck_assert(hopeless(node, true));
			ck_assert(hopeless(node, false));
		}
		expect(0, BLOCK, 0);
		refuse('P', 0, 0, 0);
		clock_ns += 10 * MS; /* for so long nobody is asked again */
		ck_assert(!hopeless(0, true));
	}
	end();
}
END_TEST

/* Each refusal in a row doubles the time, and a page that was had begins a new row. */
START_TEST(node_that_had_a_page_is_believed_again)
{
	start(false);
	if (huge_or_skip(rig.gmig)) {
		for (unsigned int i = 0; i < 3; i++)
			has_none(0, _i);
		clock_ns += 40 * MS - 1;
		ck_assert(hopeless(0, _i));
		clock_ns += 1;
		fill(7, 0, "P M512+512");
		expect_huge(0);
		has_none(0, _i);
		clock_ns += 10 * MS - 1;
		ck_assert(hopeless(0, _i));
		clock_ns += 1;
		ck_assert(!hopeless(0, _i));
	}
	end();
}
END_TEST

START_TEST(huge_page_that_comes_in_a_part_is_small_from_then_on)
{
	static const unsigned int parts[] = {1, 100, 511};
	unsigned int part = parts[_i];
	char expected[100];

	start(false);
	if (huge_or_skip(rig.gmig)) {
		atomic_store(&region->preferred_node, 1);
		refuse('M', part, -EBUSY, ALWAYS);
		snprintf(expected, sizeof(expected), "P M512+%u M%u+%u! C%u+%u", part, 512 + part,
			 512 - part, 512 + part, 512 - part);
		fill(7, 0, expected);
		expect(0, BLOCK, 1);
		ck_assert_uint_eq(frame_pool_bytes(rig.gmig->frames, 1),
				  0);	       /* no part of it stays */
		ck_assert(!hopeless(1, true)); /* it had one */
		for (unsigned int i = 0; i < BLOCK; i++)
			ck_assert_uint_eq(*rig_page(&rig, BLOCK + i), 0);
	}
	end();
}
END_TEST

/* Another node's would not do better. */
START_TEST(huge_page_that_does_not_come_in_is_small_pages)
{
	start(false);
	if (huge_or_skip(rig.gmig)) {
		refuse('M', 0, -EBUSY, ALWAYS);
		fill(7, 0, "P M512+512! C512+512");
		expect(0, BLOCK, 0);
		ck_assert_uint_eq(frame_pool_bytes(rig.gmig->frames, 0), 0);
	}
	end();
}
END_TEST

START_TEST(part_of_a_huge_page_that_no_entries_can_be_had_for_goes_back)
{
	start(false);
	if (huge_or_skip(rig.gmig)) {
		refuse('M', 100, -EBUSY, ALWAYS);
		atomic_store(&no_tables, true);
		fill(7, -ENOMEM, "P M512+100 M612+412! D512+100 C512+512 D512+512 C519+1 D519+1");
		atomic_store(&no_tables, false);
		expect_huge(NONE);
	}
	end();
}
END_TEST

/* ---- Frames that were used ---------------------------------------------------------------------- */

static void break_page(void *page)
{
	struct uffdio_poison poison = {.range = {(uintptr_t)page, GMIG_PAGE_BYTES}};

	ck_assert_int_eq(madvise(page, GMIG_PAGE_BYTES, MADV_DONTNEED), 0);
	ck_assert_int_eq(gmig_sys_real.ioctl(frame_uffd(rig.gmig->frames), UFFDIO_POISON, &poison),
			 0);
}

/* Used frames lie in the pool, of which the first ones that are taken are broken. */
static void have_used(unsigned int count, unsigned int broken)
{
	struct slot *slot[8];

	for (unsigned int i = 0; i < count; i++)
		slot[i] = take(true, 0, 0, 0);
	for (unsigned int i = 0; i < count; i++) {
		memset(slot[i]->hva, 7, GMIG_BLOCK_BYTES);
		slot[i]->clean = false;
		if (i >= count - broken)
			break_page(slot[i]->hva + 100 * GMIG_PAGE_BYTES);
		frame_give(rig.gmig->frames, slot[i]);
	}
}

static uint64_t quarantine(void)
{
	struct gmig_stats stats;

	gmig_stats(rig.gmig, &stats);
	return stats.quarantine_bytes[0] / GMIG_PAGE_BYTES;
}

START_TEST(used_frame_is_cleared_when_there_is_no_new_one)
{
	start(false);
	if (huge_or_skip(rig.gmig)) {
		have_used(2, 0);
		refuse('P', 0, -ENOMEM, ALWAYS);
		fill(7, 0, "P! M512+512");
		expect_huge(0);
		ck_assert(!hopeless(0, true));
		for (unsigned int i = 0; i < BLOCK; i++) {
			ck_assert_uint_eq(rig_page(&rig, BLOCK + i)[0], 0);
			ck_assert_uint_eq(rig_page(&rig, BLOCK + i)[511], 0);
		}
		ck_assert_uint_eq(frame_pool_bytes(rig.gmig->frames, 0), GMIG_BLOCK_BYTES);
	}
	end();
}
END_TEST

/* What was never used is not written once more: here it is marked so as to see that. */
START_TEST(frame_that_is_clean_already_is_not_cleared)
{
	struct slot *slot;

	start(false);
	if (huge_or_skip(rig.gmig)) {
		slot = take(true, 0, 0, 0);
		slot->hva[5] = 7;
		slot->clean = true;
		frame_give(rig.gmig->frames, slot);
		from.worker = WORKER + 1;
		refuse('P', 0, -ENOMEM, ALWAYS);
		fill(7, 0, "P! M512+512");
		ck_assert_uint_eq(((volatile uint8_t *)rig_page(&rig, BLOCK))[5], 7);
	}
	end();
}
END_TEST

START_TEST(four_frames_that_are_broken_are_enough)
{
	start(false);
	if (huge_or_skip(rig.gmig)) {
		have_used(5, 3 + (unsigned int)_i);
		refuse('P', 0, -ENOMEM, ALWAYS);
		fill(7, 0, _i ? "P! P! P! P! C512+512" : "P! M512+512");
		ck_assert_uint_eq(quarantine(), 3 + (unsigned int)_i);
		ck_assert_uint_eq(rig_page(&rig, BLOCK + 7)[0], 0);
	}
	end();
}
END_TEST

START_TEST(frame_that_breaks_on_its_way_is_set_aside)
{
	struct slot *slot;

	start(false);
	if (huge_or_skip(rig.gmig)) {
		slot = take(true, 0, 0, 0);
		break_page(slot->hva + 100 * GMIG_PAGE_BYTES);
		slot->clean = true;
		frame_give(rig.gmig->frames, slot);
		fill(7, 0, "M512+100 M612+412! C612+412");
		expect(0, BLOCK, 0);
		ck_assert_uint_eq(quarantine(), 1);
	}
	end();
}
END_TEST

/* ---- For ranges that have a policy -------------------------------------------------------------- */

static void huge_on(unsigned int node, int wanted, const char *expected)
{
	begin_step();
	ck_assert_int_eq(first_touch_huge(&from, region, BLOCK, node), wanted);
	end_step(expected);
}

START_TEST(huge_page_of_one_node_is_of_that_node_or_says_what_it_has)
{
	start(false);
	if (huge_or_skip(rig.gmig)) {
		no_huge = true;
		huge_on(3, -ENOSPC, "P");
		ck_assert(hopeless(3, true) && !hopeless(3, false));
		huge_on(3, -ENOSPC, "");
		no_huge = false;
		refuse('P', 0, -ENOMEM, ALWAYS);
		huge_on(2, -ENOMEM, "P!");
		ck_assert(hopeless(2, true) && hopeless(2, false));
		huge_on(2, -ENOMEM, "");
		rule.times = 0;
		huge_on(2, -ENOMEM, "");
		refuse('M', 0, -EBUSY, 1);
		huge_on(1, -EBUSY, "P M512+512!");
		ck_assert(!hopeless(1, true) && !hopeless(1, false));
		expect_huge(NONE);
		huge_on(1, 0, "P M512+512");
		expect_huge(1);
	}
	end();
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("first_touch_calls");
	TCase *tcase = tcase_create("first_touch_calls");

	tcase_set_timeout(tcase, 60);
	tcase_add_loop_test(tcase, hole_is_filled_by_a_huge_page_of_the_preferred_node, 0, 2);
	tcase_add_loop_test(tcase, huge_page_comes_from_the_nearest_node_that_has_one, 0, 4);
	tcase_add_test(tcase, node_that_is_not_allowed_is_not_asked);
	tcase_add_test(tcase, node_without_a_huge_page_gives_small_ones);
	tcase_add_test(tcase, what_a_node_refused_is_remembered);
	tcase_add_test(tcase, host_without_frames_is_asked_once_for_each_node);
	tcase_add_loop_test(tcase, node_that_had_a_page_is_believed_again, 0, 2);
	tcase_add_loop_test(tcase, huge_page_that_comes_in_a_part_is_small_from_then_on, 0, 3);
	tcase_add_test(tcase, huge_page_that_does_not_come_in_is_small_pages);
	tcase_add_test(tcase, part_of_a_huge_page_that_no_entries_can_be_had_for_goes_back);
	tcase_add_test(tcase, used_frame_is_cleared_when_there_is_no_new_one);
	tcase_add_test(tcase, frame_that_is_clean_already_is_not_cleared);
	tcase_add_loop_test(tcase, four_frames_that_are_broken_are_enough, 0, 2);
	tcase_add_test(tcase, frame_that_breaks_on_its_way_is_set_aside);
	tcase_add_test(tcase, huge_page_of_one_node_is_of_that_node_or_says_what_it_has);
	suite_add_tcase(suite, tcase);
	return rig_main(suite);
}
