/* Pools of frames: growth, reuse, giving back, the books; wrong nodes and short memory by hooks. */
#include "pools_rig.h"

static struct frame_want want_huge(unsigned int node)
{
	return (struct frame_want){.node = node, .huge = true};
}

/* For what has nothing to do with sizes: a huge one where the host has some, else a block of small ones. */
static struct frame_want want_whole(unsigned int node)
{
	struct frame_want want = {.node = node, .huge = rig_host_has_thp()};

	bits_fill(&want.need);
	return want;
}

START_TEST(huge_frame_is_huge_zeroed_and_reused)
{
	struct frame_want want = want_huge(1);
	struct slot *slot, *again;

	if (!thp_or_skip())
		return;
	start(2);
	ck_assert_int_eq(frame_take(frames, &want, &slot), 0);
	ck_assert(slot->clean);
	ck_assert_uint_eq(slot->node, 1);
	ck_assert_uint_eq(bits_count(&slot->have), GMIG_BLOCK_PAGES);
	for (size_t i = 0; i < GMIG_BLOCK_BYTES; i += 512)
		ck_assert_uint_eq(slot->hva[i], 0);
	ck_assert_uint_eq(frame_pool_bytes(frames, 1), 0);
	frame_give(frames, slot);
	ck_assert_uint_eq(frame_pool_bytes(frames, 1), GMIG_BLOCK_BYTES);
	ck_assert_int_eq(frame_take(frames, &want, &again), 0);
	ck_assert_ptr_eq(slot, again);
	frame_drop(frames, again);
	ck_assert_uint_eq(frame_pool_bytes(frames, 1), 0);
	stop();
}
END_TEST

START_TEST(used_frame_is_never_given_as_clean)
{
	struct frame_want want = want_whole(0), clean = want;
	struct slot *used, *fresh;

	clean.clean = true;
	start(2);
	ck_assert_int_eq(frame_take(frames, &want, &used), 0);
	used->hva[77] = 1;
	used->clean = false;
	frame_give(frames, used);
	ck_assert_int_eq(frame_take(frames, &clean, &fresh), 0);
	ck_assert_ptr_ne(used, fresh);
	frame_give(frames, fresh);
	stop();
}
END_TEST

START_TEST(frame_of_another_node_is_not_given)
{
	struct frame_want zero = want_whole(0), one = want_whole(1);
	struct slot *slot, *other;

	start(2);
	ck_assert_int_eq(frame_take(frames, &zero, &slot), 0);
	frame_give(frames, slot);
	ck_assert_int_eq(frame_take(frames, &one, &other), 0);
	ck_assert_ptr_ne(slot, other);
	frame_relabel(frames, other, 0);
	frame_give(frames, other);
	ck_assert_uint_eq(frame_pool_bytes(frames, 0), 2 * GMIG_BLOCK_BYTES);
	ck_assert_uint_eq(frame_pool_bytes(frames, 1), 0);
	stop();
}
END_TEST

START_TEST(small_slot_is_filled_where_it_is_needed)
{
	struct frame_want want = {.node = 0};
	struct slot *slot;

	start(2);
	bits_set_range(&want.need, 5, 3);
	bits_set_range(&want.need, 500, 12);
	ck_assert_int_eq(frame_take(frames, &want, &slot), 0);
	ck_assert_uint_eq(bits_count(&slot->have), 15);
	frame_give(frames, slot);
	bits_set_range(&want.need, 100, 1);
	ck_assert_int_eq(frame_take(frames, &want, &slot), 0);
	ck_assert(bits_get(&slot->have, 100));
	frame_give(frames, slot);
	stop();
}
END_TEST

/* A move that ended early marks its slot as split: what the books have of it stays when it grows. */
START_TEST(small_slot_of_which_a_part_moved_keeps_the_rest_when_it_grows)
{
	struct frame_want want = {.node = 0};
	struct uffd_scan scan;
	struct slot *slot;

	start(2);
	bits_set_range(&want.need, 5, 3);
	ck_assert_int_eq(frame_take(frames, &want, &slot), 0);
	slot->split = true;
	memset(slot->hva + 5 * GMIG_PAGE_BYTES, 0x5a, 3 * GMIG_PAGE_BYTES);
	slot->clean = false;
	frame_give(frames, slot);
	bits_set_range(&want.need, 100, 1);
	ck_assert_int_eq(frame_take(frames, &want, &slot), 0);
	ck_assert_uint_eq(bits_count(&slot->have), 4);
	ck_assert_int_eq(uffd_scan(&sys, pagemap, slot->hva, &scan), 0);
	bits_remove(&slot->have, &scan.present);
	ck_assert_uint_eq(bits_count(&slot->have), 0);
	slot->have = scan.present;
	frame_give(frames, slot);
	stop();
}
END_TEST

static struct frame_want want_block(void)
{
	struct frame_want want = {.node = 0};

	bits_fill(&want.need);
	return want;
}

/* All of a slot lies there in small pages that read as zeros. */
static void check_small(const struct slot *slot)
{
	static const uint8_t zeros[GMIG_PAGE_BYTES];
	struct uffd_scan scan;

	ck_assert_uint_eq(bits_count(&slot->have), GMIG_BLOCK_PAGES);
	ck_assert_int_eq(uffd_scan(&sys, pagemap, slot->hva, &scan), 0);
	ck_assert_uint_eq(bits_count(&scan.present), GMIG_BLOCK_PAGES);
	ck_assert(!scan.huge);
	for (size_t at = 0; at < GMIG_BLOCK_BYTES; at += GMIG_PAGE_BYTES)
		ck_assert_mem_eq(slot->hva + at, zeros, GMIG_PAGE_BYTES);
}

/* In the same slot. A kernel that keeps the page table of what was given back (1) is known after three times. */
START_TEST(whole_block_of_small_frames_comes_from_a_huge_page)
{
	struct frame_want want = want_block();
	struct slot *slot;

	if (!thp_or_skip())
		return;
	start(2);
	for (int i = 0; i < 6; i++) {
		atomic_store(&huge_split, 0);
		atomic_store(&huge_asked, 0);
		ck_assert_int_eq(frame_take(frames, &want, &slot), 0);
		ck_assert_int_eq(atomic_load(&huge_split), 1);
		ck_assert_int_eq(atomic_load(&huge_asked), _i && i >= 1 && i < 4 ? 2 : 1);
		check_small(slot);
		frame_drop(frames, slot);
		atomic_store(&tables_stay, _i);
	}
	atomic_store(&tables_stay, 0);
	/* Its place is one for small pages again. */
	bits_clear_range(&want.need, 1, GMIG_BLOCK_PAGES - 1);
	ck_assert_int_eq(frame_take(frames, &want, &slot), 0);
	ck_assert_uint_eq(bits_count(&slot->have), 1);
	frame_drop(frames, slot);
	stop();
}
END_TEST

/* No huge page (0), or one that cannot be split (1): small ones come, and the next times nobody asks. */
START_TEST(whole_block_without_a_huge_page_is_filled_page_by_page)
{
	struct frame_want want = want_block();
	struct slot *slot;
	int asked = 0;

	if (_i && !thp_or_skip())
		return;
	start(2);
	atomic_store(_i ? &no_cold : &no_huge, 1);
	for (int i = 0; i < 15; i++) {
		atomic_store(&huge_asked, 0);
		ck_assert_int_eq(frame_take(frames, &want, &slot), 0);
		asked += atomic_load(&huge_asked);
		check_small(slot);
		frame_drop(frames, slot);
	}
	ck_assert_int_eq(asked,
			 _i ? 4 : 8); /* the 1st, 3rd, 7th, 15th; (0) with a new mapping, too */
	atomic_store(&no_cold, 0);
	atomic_store(&no_huge, 0);
	stop();
}
END_TEST

/* Its mapping was replaced and is not ready: nobody gets such a slot. */
START_TEST(slot_whose_new_mapping_fails_serves_when_it_has_one)
{
	struct frame_want want = want_block();
	struct slot *slot;

	if (!thp_or_skip())
		return;
	start(2);
	ck_assert_int_eq(frame_take(frames, &want, &slot), 0);
	frame_drop(frames, slot);
	atomic_store(&no_register, 1);
	atomic_store(&no_huge, 1); /* so that a new mapping is tried */
	ck_assert_int_eq(frame_take(frames, &want, &slot), -ENOMEM);
	ck_assert_int_eq(frame_hole(frames, &want, &slot), -ENOBUFS);
	atomic_store(&no_register, 0);
	atomic_store(&no_huge, 0);
	ck_assert_int_eq(frame_hole(frames, &want, &slot), 0);
	ck_assert(!slot->split);
	frame_give(frames, slot);
	ck_assert_int_eq(frame_take(frames, &want, &slot), 0);
	check_small(slot);
	frame_give(frames, slot);
	stop();
}
END_TEST

START_TEST(stock_makes_as_many_as_asked_and_then_rests)
{
	struct frame_want want = {.node = 0, .huge = _i & 1, .clean = _i & 2};

	if (_i & 1 && !thp_or_skip())
		return;
	bits_fill(&want.need);
	start(2);
	for (int i = 0; i < 4; i++)
		ck_assert_int_eq(frame_stock(frames, &want, 4), 1);
	ck_assert_int_eq(frame_stock(frames, &want, 4), 0);
	ck_assert_uint_eq(frame_pool_bytes(frames, 0), 4 * GMIG_BLOCK_BYTES);
	stop();
}
END_TEST

START_TEST(trim_gives_back_what_exceeds_the_watermark)
{
	struct frame_want want = want_whole(0);
	struct slot *slots[10];

	start(2);
	for (int i = 0; i < 10; i++)
		ck_assert_int_eq(frame_take(frames, &want, &slots[i]), 0);
	for (int i = 0; i < 10; i++)
		frame_give(frames, slots[i]);
	atomic_store(&refuse_release, 1);
	ck_assert_uint_eq(frame_pool_bytes(frames, 0), 10 * GMIG_BLOCK_BYTES);
	atomic_store(&refuse_release, 0);
	frame_trim(frames, 0);
	ck_assert_uint_eq(frame_pool_bytes(frames, 0), WATERMARK);
	stop();
}
END_TEST

START_TEST(frame_that_cannot_be_released_stays_in_the_books)
{
	struct frame_want want = want_whole(0);
	struct slot *slot;

	start(2);
	ck_assert_int_eq(frame_take(frames, &want, &slot), 0);
	atomic_store(&refuse_release, 1);
	frame_drop(frames, slot);
	atomic_store(&refuse_release, 0);
	ck_assert_uint_eq(frame_pool_bytes(frames, 0), GMIG_BLOCK_BYTES);
	stop();
}
END_TEST

START_TEST(hole_has_no_memory_even_when_all_slots_had)
{
	struct frame_want want = want_whole(0);
	struct slot *slot;
	int count = 0;

	start(2);
	while (frame_stock(frames, &want, 1000) == 1)
		ck_assert_int_lt(count++, 200);
	ck_assert_int_eq(frame_hole(frames, &want, &slot), 0);
	ck_assert(bits_empty(&slot->have));
	frame_give(frames, slot);
	stop();
}
END_TEST

/* The node has nothing that the kernel could free. Small pages are what is asked for next. */
START_TEST(memory_from_the_wrong_node_is_given_back)
{
	struct frame_want want = {
	    .node = 0, .huge = _i & 1, .use = _i & 2 ? POLICY_TOUCH : POLICY_MOVE};
	struct slot *slot;

	if (_i & 1 && !thp_or_skip())
		return;
	bits_fill(&want.need);
	start(0);
	atomic_store(&wrong_node, 1);
	atomic_store(&move_error, -ENOMEM);
	ck_assert_int_eq(frame_take(frames, &want, &slot), _i == 1 ? -ENOSPC : -ENOMEM);
	ck_assert_uint_eq(frame_pool_bytes(frames, 0), 0);
	ck_assert_int_eq(atomic_load(&moves) > 0, !(_i & 2)); /* a first touch reclaims nothing */
	atomic_store(&wrong_node, 0);
	ck_assert_int_eq(frame_take(frames, &want, &slot), 0);
	frame_give(frames, slot);
	stop();
}
END_TEST

/* The node was full of page cache: memory came from another one, and moving it made the kernel reclaim. */
START_TEST(memory_from_the_wrong_node_is_moved_to_the_right_one)
{
	struct frame_want want = {.node = 0, .huge = _i};
	struct slot *slot;

	if (_i && !thp_or_skip())
		return;
	bits_fill(&want.need);
	start(0);
	atomic_store(&wrong_node, 1);
	ck_assert_int_eq(frame_take(frames, &want, &slot), 0);
	ck_assert_int_eq(atomic_load(&moves), 1);
	ck_assert_uint_eq(slot->node, 0);
	ck_assert_uint_eq(bits_count(&slot->have), GMIG_BLOCK_PAGES);
	atomic_store(&wrong_node, 0);
	frame_give(frames, slot);
	stop();
}
END_TEST

START_TEST(host_short_of_memory_grows_no_pool)
{
	struct frame_want want = want_whole(0);
	struct slot *slot;

	start(2);
	atomic_store(&available, 1 << 20);
	ck_assert_int_eq(frame_take(frames, &want, &slot), -ENOMEM);
	stop();
}
END_TEST

/* ---- Frames that are broken ------------------------------------------------------------------- */

static void poison(const struct slot *slot, unsigned int page)
{
	poison_page(slot->hva + page * GMIG_PAGE_BYTES);
}

static void assert_quarantined(unsigned int node, unsigned int pages, unsigned int slots)
{
	struct frame_audit audit;

	frame_audit(frames, FRAME_LOOK, &audit);
	ck_assert_uint_eq(audit.broken_slots, slots);
	ck_assert_int_eq(ledger_pages(ledger, node, LEDGER_QUARANTINE), pages);
}

START_TEST(broken_frame_goes_to_quarantine_and_never_comes_back)
{
	struct frame_want want = {.node = 1, .huge = _i};
	struct slot *broken, *slot;

	if (_i && !thp_or_skip())
		return;
	bits_fill(&want.need);
	start(2);
	ck_assert_int_eq(frame_take(frames, &want, &broken), 0);
	poison(broken, 100);
	poison(broken, 101);
	ck_assert(!frame_page_works(broken, 100));
	ck_assert(frame_page_works(broken, 99));
	broken->suspect = true;
	frame_give(frames, broken);
	assert_quarantined(1, 2, 1);
	for (int i = 0; i < 20; i++) {
		ck_assert_int_eq(frame_take(frames, &want, &slot), 0);
		ck_assert_ptr_ne(slot, broken);
		frame_drop(frames, slot);
	}
	frame_drain_all(frames);
	assert_quarantined(1, 2, 1);
	stop();
}
END_TEST

START_TEST(suspect_that_can_be_touched_is_given_back)
{
	struct frame_want want = want_whole(0);
	struct slot *slot;

	start(2);
	ck_assert_int_eq(frame_take(frames, &want, &slot), 0);
	slot->suspect = true;
	frame_give(frames, slot);
	assert_quarantined(0, 0, 0);
	ck_assert_uint_eq(frame_pool_bytes(frames, 0), 0); /* to the kernel, rather */
	stop();
}
END_TEST

/* The kernel does not fill the place once; and whatever was there keeps a page table behind. */
START_TEST(place_that_the_kernel_does_not_fill_stops_nobody)
{
	struct frame_want want = {.node = 0, .huge = _i};
	struct slot *slot;

	if (_i && !thp_or_skip())
		return;
	bits_fill(&want.need);
	start(2);
	ck_assert_int_eq(frame_hole(frames, &want, &slot), 0);
	poison(slot, 7);
	slot->split = true;
	frame_give(frames, slot);
	for (int i = 0; i < 3; i++) {
		ck_assert_int_eq(frame_take(frames, &want, &slot), 0);
		ck_assert_uint_eq(bits_count(&slot->have), GMIG_BLOCK_PAGES);
		ck_assert(frame_page_works(slot, 7));
		frame_drop(frames, slot);
	}
	stop();
}
END_TEST

/* It fails while a slot is filled that has a page already: what was tried leaves nothing behind. */
START_TEST(place_that_fails_while_it_is_filled_is_left_empty)
{
	struct frame_want want = {.node = 0};
	struct slot *slot, *again;

	bits_set_range(&want.need, 100, 1);
	start(2);
	ck_assert_int_eq(frame_take(frames, &want, &slot), 0);
	slot->clean = false;
	frame_give(frames, slot);
	bits_fill(&want.need);
	atomic_store(&poison_at, slot->hva + 300 * GMIG_PAGE_BYTES);
	ck_assert_int_eq(frame_take(frames, &want, &again), -ENOMEM);
	atomic_store(&poison_at, NULL);
	ck_assert_uint_eq(frame_pool_bytes(frames, 0), 101 * GMIG_PAGE_BYTES);
	stop();
}
END_TEST

/* A small page came, since the kernel had no huge one: later it has, and the slot serves again. */
START_TEST(slot_is_huge_again_after_huge_pages_were_short)
{
	struct frame_want want = want_huge(0);
	struct slot *slot;

	if (!thp_or_skip())
		return;
	start(2);
	atomic_store(&no_huge, 1);
	for (int i = 0; i < 3; i++)
		ck_assert_int_eq(frame_take(frames, &want, &slot), -ENOSPC);
	atomic_store(&no_huge, 0);
	ck_assert_int_eq(frame_take(frames, &want, &slot), 0);
	frame_give(frames, slot);
	stop();
}
END_TEST

/* Part of a huge frame went in, and the move failed: the rest is nobody's huge frame. */
START_TEST(frame_that_lost_a_part_is_not_served_as_huge)
{
	struct frame_want want = want_huge(0);
	struct slot *slot, *next;

	if (!thp_or_skip())
		return;
	start(2);
	ck_assert_int_eq(frame_take(frames, &want, &slot), 0);
	ck_assert_int_eq(madvise(slot->hva, GMIG_PAGE_BYTES, MADV_DONTNEED), 0);
	ledger_post(ledger, 0, LEDGER_FLIGHT, LEDGER_OUTSIDE, 1);
	bits_clear_range(&slot->have, 0, 1);
	if (_i) /* the kernel does not even take it */
		atomic_store(&refuse_release, 1);
	frame_give(frames, slot);
	atomic_store(&refuse_release, 0);
	ck_assert_int_eq(frame_take(frames, &want, &next), 0);
	ck_assert_uint_eq(bits_count(&next->have), GMIG_BLOCK_PAGES);
	if (_i)
		ck_assert_ptr_ne(slot, next);
	frame_give(frames, next);
	stop();
}
END_TEST

START_TEST(broken_free_frame_is_found_by_the_audit_and_kills_nobody)
{
	struct frame_want want = {.node = 0, .huge = _i & 1};
	struct slot *slot;

	if (_i & 1 && !thp_or_skip())
		return;
	bits_fill(&want.need);
	start(2);
	ck_assert_int_eq(frame_take(frames, &want, &slot), 0);
	slot->clean = _i & 2;
	frame_give(frames, slot);
	poison(slot, 300);
	assert_quarantined(0, 1, 1);
	stop();
}
END_TEST

/* ---- Frames that somebody else moved ---------------------------------------------------------- */

START_TEST(used_frame_that_was_moved_is_not_given_as_if_it_were_here)
{
	struct frame_want want = {.node = 0, .huge = _i & 1};
	struct slot *slots[3], *slot;

	if (_i & 1 && !thp_or_skip())
		return;
	bits_fill(&want.need);
	start(0);
	for (int i = 0; i < 3; i++)
		ck_assert_int_eq(frame_take(frames, &want, &slots[i]), 0);
	for (int i = 0; i < 3; i++) {
		slots[i]->clean = false;
		frame_give(frames, slots[i]);
	}
	atomic_store(&queries, 0);
	atomic_store(&wrong_node, 1);
	atomic_store(&move_error, -ENOMEM);
	/* All three went at once to the kernel; new memory comes from the wrong node, too. */
	ck_assert_int_lt(frame_take(frames, &want, &slot), 0);
	ck_assert_uint_eq(frame_pool_bytes(frames, 0), 0);
	ck_assert_uint_eq(frame_pool_bytes(frames, 1), 0);
	atomic_store(&wrong_node, 0);
	ck_assert_int_eq(frame_take(frames, &want, &slot), 0);
	frame_give(frames, slot);
	stop();
}
END_TEST

START_TEST(used_frames_are_asked_about_in_batches)
{
	struct frame_want want = {.node = 0, .huge = _i & 1};
	struct slot *slots[8];

	if (_i & 1 && !thp_or_skip())
		return;
	bits_fill(&want.need);
	start(0);
	for (int i = 0; i < 8; i++)
		ck_assert_int_eq(frame_take(frames, &want, &slots[i]), 0);
	for (int i = 0; i < 8; i++) {
		slots[i]->clean = false;
		frame_give(frames, slots[i]);
	}
	atomic_store(&queries, 0);
	for (int i = 0; i < 8; i++)
		ck_assert_int_eq(frame_take(frames, &want, &slots[i]), 0);
	ck_assert_int_eq(atomic_load(&queries), 1);
	for (int i = 0; i < 8; i++)
		frame_give(frames, slots[i]);
	stop();
}
END_TEST

START_TEST(audit_gives_back_free_frames_that_were_moved)
{
	struct frame_want want = {.node = 0, .huge = _i & 1, .clean = _i & 2};
	struct frame_audit audit;

	if (_i & 1 && !thp_or_skip())
		return;
	bits_fill(&want.need);
	start(0);
	for (int i = 0; i < 4; i++)
		ck_assert_int_eq(frame_stock(frames, &want, 4), 1);
	frame_audit(frames, FRAME_LOOK, &audit);
	ck_assert_uint_eq(audit.moved_slots, 0);
	atomic_store(&wrong_node, 3);
	frame_audit(frames, FRAME_LOOK, &audit);
	ck_assert_uint_eq(audit.moved_slots, 4);
	ck_assert_uint_eq(frame_pool_bytes(frames, 0), 0);
	ck_assert_uint_eq(frame_pool_bytes(frames, 3), 0);
	atomic_store(&wrong_node, 0);
	/* The kernel moved it: what node 0 gave, node 3 got back. */
	ck_assert_int_eq(ledger_pages(ledger, 0, LEDGER_OUTSIDE), 0);
	ck_assert_int_eq(ledger_pages(ledger, 3, LEDGER_OUTSIDE), 0);
	stop();
}
END_TEST

/* Small frames, a page each: pools come quickly. */
static void *pools_are_made(void *arg)
{
	atomic_bool *done = arg;

	for (unsigned int worker = 0; worker < FRAME_WORKERS; worker++) {
		struct frame_want want = {.node = 1, .worker = worker, .clean = true};
		struct slot *slot;

		bits_set(&want.need, 0);
		ck_assert_int_eq(frame_take(frames, &want, &slot), 0);
		frame_give(frames, slot);
	}
	atomic_store(done, true);
	return NULL;
}

START_TEST(audit_beside_pools_that_are_made_finds_no_difference)
{
	for (unsigned int i = 0; i < 10; i++) {
		struct frame_audit audit;
		atomic_bool done;
		pthread_t thread;

		start(2);
		atomic_store(&done, false);
		ck_assert_int_eq(pthread_create(&thread, NULL, pools_are_made, &done), 0);
		while (!atomic_load(&done)) {
			frame_audit(frames, FRAME_COUNT, &audit);
			ck_assert_uint_eq(audit.differing_node, GMIG_NO_NODE);
		}
		pthread_join(thread, NULL);
		stop();
	}
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("frame");
	TCase *tcase = tcase_create("pools");

	tcase_set_timeout(tcase, 60);
	tcase_add_test(tcase, huge_frame_is_huge_zeroed_and_reused);
	tcase_add_test(tcase, used_frame_is_never_given_as_clean);
	tcase_add_test(tcase, frame_of_another_node_is_not_given);
	tcase_add_test(tcase, small_slot_is_filled_where_it_is_needed);
	tcase_add_test(tcase, small_slot_of_which_a_part_moved_keeps_the_rest_when_it_grows);
	tcase_add_loop_test(tcase, whole_block_of_small_frames_comes_from_a_huge_page, 0, 2);
	tcase_add_loop_test(tcase, whole_block_without_a_huge_page_is_filled_page_by_page, 0, 2);
	tcase_add_test(tcase, slot_whose_new_mapping_fails_serves_when_it_has_one);
	tcase_add_loop_test(tcase, stock_makes_as_many_as_asked_and_then_rests, 0, 4);
	tcase_add_test(tcase, trim_gives_back_what_exceeds_the_watermark);
	tcase_add_test(tcase, frame_that_cannot_be_released_stays_in_the_books);
	tcase_add_test(tcase, hole_has_no_memory_even_when_all_slots_had);
	tcase_add_loop_test(tcase, memory_from_the_wrong_node_is_given_back, 0, 4);
	tcase_add_loop_test(tcase, memory_from_the_wrong_node_is_moved_to_the_right_one, 0, 2);
	tcase_add_test(tcase, host_short_of_memory_grows_no_pool);
	tcase_add_loop_test(tcase, broken_frame_goes_to_quarantine_and_never_comes_back, 0, 2);
	tcase_add_test(tcase, suspect_that_can_be_touched_is_given_back);
	tcase_add_loop_test(tcase, place_that_the_kernel_does_not_fill_stops_nobody, 0, 2);
	tcase_add_test(tcase, place_that_fails_while_it_is_filled_is_left_empty);
	tcase_add_test(tcase, slot_is_huge_again_after_huge_pages_were_short);
	tcase_add_loop_test(tcase, frame_that_lost_a_part_is_not_served_as_huge, 0, 2);
	tcase_add_loop_test(tcase, broken_free_frame_is_found_by_the_audit_and_kills_nobody, 0, 4);
	tcase_add_loop_test(tcase, used_frame_that_was_moved_is_not_given_as_if_it_were_here, 0, 2);
	tcase_add_loop_test(tcase, used_frames_are_asked_about_in_batches, 0, 2);
	tcase_add_loop_test(tcase, audit_gives_back_free_frames_that_were_moved, 0, 4);
	tcase_add_test(tcase, audit_beside_pools_that_are_made_finds_no_difference);
	suite_add_tcase(suite, tcase);
	return rig_main(suite);
}
