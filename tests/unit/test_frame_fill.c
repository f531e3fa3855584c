/* Pools of frames that are made, and slots that are filled: call by call, and where the memory comes from. */
#include "frame_rig.h"

static struct slot *slot;

/* ---- Pools -------------------------------------------------------------------------------------- */

static void destroy(void)
{
	policy_destroy(policy);
	ledger_destroy(ledger);
}

START_TEST(pools_without_a_userfaultfd_are_not_made)
{
	struct gmig_topology *topology;
	struct gmig_error err = {0};

	ck_assert_int_eq(create(1, 0, 0), 0);
	assert_said("api 1\n");
	frame_destroy(frames);
	frames = NULL;
	assert_said("close 7\n");
	ck_assert_int_eq(gmig_topology_create(1, &topology, &err), 0);
	refuse(_i ? "api" : "userfaultfd", 0, 1, -EPERM);
	ck_assert_int_eq(
	    frame_create(&(struct frame_config){&sys, ledger, policy, topology, PAGEMAP, 0},
			 &frames, &err),
	    -EPERM);
	ck_assert_str_eq(err.text, "cannot open a userfaultfd for the frame pools: EPERM");
	ck_assert_ptr_null(frames);
	assert_said(_i ? "api 1\nclose 7\n" : "");
	gmig_topology_put(topology);
	destroy();
}
END_TEST

START_TEST(pool_has_slots_for_its_watermark_and_three_batches)
{
	const struct frame_want want = want_small(0, 0, 1);

	ck_assert_int_eq(create(1, 256 * GMIG_BLOCK_BYTES, 3 * GMIG_BLOCK_BYTES + 4096), 0);
	ck_assert_int_eq(frames->watermark_pages, 3 * ALL + 1);
	ck_assert_int_eq(frame_uffd(frames), FD);
	slot = take(&want);
	ck_assert_uint_eq(slot->pool->count, 3 + 3 * FRAME_BATCH);
	for (unsigned int i = 0; i < 27; i++) {
		ck_assert_ptr_eq(slot->pool->slots[i].hva,
				 slot->pool->slots[0].hva + i * GMIG_BLOCK_BYTES);
		ck_assert_ptr_eq(slot->pool->slots[i].pool, slot->pool);
	}
	frame_give(frames, slot);
	stop();
}
END_TEST

#define POOL "A0.0+12288"

/* Where its memory is to come from is said before any comes. */
START_TEST(pool_is_made_on_its_node_at_its_first_use)
{
	const struct frame_want want = {.node = 3, .huge = _i, .need = {{0x80}}, .worker = 5};

	start(0);
	lies_on(3);
	slot = take(&want);
	assert_said(_i ? "map 26\nprefer 3 " POOL "\nthp " POOL "\ndontdump " POOL
			 "\ndontfork " POOL "\nregister " POOL
			 "\npopulate A0.511+1\npopulate A0\nask 1\n"
		       : "map 26\nprefer 3 " POOL "\nno-thp " POOL "\ndontdump " POOL
			 "\ndontfork " POOL "\nregister " POOL "\npopulate A0.7+1\nask 1\n");
	ck_assert_ptr_eq(slot->pool, pool_at(frames, 3, 5, _i));
	ck_assert_ptr_null(pool_at(frames, 3, 5, !_i));
	ck_assert_ptr_null(pool_at(frames, 3, 4, _i));
	ck_assert_ptr_null(pool_at(frames, 0, 5, _i));
	ck_assert_uint_eq(slot->node, 3);
	ck_assert_uint_eq(slot->pool->node, 3);
	ck_assert(slot->huge == _i);
	ck_assert(slot->clean);
	ck_assert(!slot->split);
	ck_assert_uint_eq(slot->verified_ns, kernel.now);
	assert_account(3, LEDGER_FLIGHT, _i ? ALL : 1);
	assert_account(3, LEDGER_OUTSIDE, _i ? -(long)ALL : -1);
	frame_give(frames, slot);
	assert_account(3, LEDGER_POOL, _i ? ALL : 1);
	stop();
	ck_assert_str_eq(kernel.said + kernel.length - strlen("unmap A 26\nclose 7\n"),
			 "unmap A 26\nclose 7\n");
}
END_TEST

START_TEST(fake_nodes_share_the_pools_of_node_0_and_ask_nobody)
{
	const struct frame_want want = {.node = 1, .need = {{0x80}}};

	start(2);
	slot = take(&want);
	assert_said("map 26\nno-thp " POOL "\ndontdump " POOL "\ndontfork " POOL "\nregister " POOL
		    "\npopulate A0.7+1\n");
	ck_assert_ptr_eq(slot->pool, pool_at(frames, 0, 0, false));
	ck_assert_ptr_null(pool_at(frames, 1, 0, false));
	ck_assert_uint_eq(slot->node, 1);
	assert_account(1, LEDGER_FLIGHT, 1);
	frame_give(frames, slot);
	stop();
}
END_TEST

static const char *const pools_need[] = {"map", "prefer", "dontfork", "register"};

START_TEST(pool_that_cannot_be_made_leaves_nothing_behind_and_is_made_later)
{
	const struct frame_want want = want_small(0, 0, 1);
	static const char *const said[] = {
	    "map 26\n",
	    "map 26\nprefer 0 " POOL "!\nunmap A 26\n",
	    "map 26\nprefer 0 " POOL "\nno-thp " POOL "\ndontdump " POOL "\ndontfork " POOL
	    "!\nunmap A 26\n",
	    "map 26\nprefer 0 " POOL "\nno-thp " POOL "\ndontdump " POOL "\ndontfork " POOL
	    "\nregister " POOL "!\nunmap A 26\n",
	};

	start(0);
	refuse(pools_need[_i], 0, 1, -ENOMEM);
	slot = NULL;
	ck_assert_int_eq(frame_take(frames, &want, &slot), -ENOMEM);
	ck_assert_ptr_null(pool_at(frames, 0, 0, false));
	assert_said(said[_i]);
	ck_assert_int_eq(frame_take(frames, &want, &slot), 0);
	frame_give(frames, slot);
	stop();
}
END_TEST

static const char *const pools_do_without[] = {"thp", "dontdump"};

START_TEST(pool_does_without_what_is_only_advice)
{
	const struct frame_want want = want_huge(0);

	start(0);
	refuse(pools_do_without[_i], 0, 1, -EINVAL);
	if (_i)
		frame_give(frames, take(&want));
	else
		ck_assert_int_eq(frame_take(frames, &want, &slot), -ENOSPC);
	ck_assert_ptr_nonnull(pool_at(frames, 0, 0, true));
	stop();
}
END_TEST

START_TEST(pools_of_workers_and_sizes_are_unmapped_one_by_one)
{
	struct frame_want want = want_small(0, 0, 1);

	start(0);
	frame_give(frames, take(&want));
	want.worker = FRAME_WORKERS - 1;
	frame_give(frames, take(&want));
	want.huge = true;
	frame_give(frames, take(&want));
	lies_on(GMIG_MAX_NODES - 1);
	want.node = GMIG_MAX_NODES - 1;
	frame_give(frames, take(&want));
	forget();
	stop();
	assert_said("unmap A 26\nunmap B 26\nunmap C 26\nunmap D 26\nclose 7\n");
}
END_TEST

START_TEST(slots_come_in_order_and_the_last_one_given_is_the_next)
{
	const struct frame_want want = want_small(0, 0, 1);
	struct slot *slots[3];

	start(0);
	for (unsigned int i = 0; i < 3; i++) {
		slots[i] = take(&want);
		ck_assert_ptr_eq(slots[i], &slots[0]->pool->slots[i]);
		ck_assert_uint_eq(atomic_load(&frames->busy), i + 1);
		ck_assert_uint_eq(atomic_load(&frames->takes), i + 1);
		ck_assert(slots[i]->busy);
		ck_assert_ptr_null(slots[i]->next);
	}
	for (unsigned int i = 0; i < 3; i++)
		frame_give(frames, slots[i]);
	ck_assert_uint_eq(atomic_load(&frames->busy), 0);
	/* Out of the middle of its list. */
	slot_pull(frames, slots[1]);
	ck_assert(slots[1]->busy);
	ck_assert_ptr_eq(slots[0]->pool->clean, slots[2]);
	ck_assert_ptr_eq(slots[2]->next, slots[0]);
	ck_assert_ptr_null(slots[0]->next);
	slot_give(frames, slots[1]);
	ck_assert_ptr_eq(take(&want), slots[1]);
	frame_give(frames, slots[1]);
	/* A list for what was used, and one for what is empty. */
	slot_pull(frames, slots[1]);
	slots[1]->clean = false;
	slot_give(frames, slots[1]);
	ck_assert_ptr_eq(slots[0]->pool->used, slots[1]);
	slot_pull(frames, slots[1]);
	ck_assert_ptr_null(slots[0]->pool->used);
	slot_release(frames, slots[1]);
	ck_assert(bits_empty(&slots[1]->have));
	slot_give(frames, slots[1]);
	ck_assert_ptr_eq(slots[0]->pool->empty, slots[1]);
	slot_pull(frames, slots[1]);
	ck_assert_ptr_eq(slots[0]->pool->empty, &slots[0]->pool->slots[3]);
	slot_give(frames, slots[1]);
	assert_account(0, LEDGER_POOL, 2);
	assert_account(0, LEDGER_OUTSIDE, -2);
	stop();
}
END_TEST

START_TEST(slot_serves_who_wants_no_more_than_it_has_on_its_node)
{
	const struct frame_want want = want_small(0, 5, 3), less = want_small(0, 6, 2),
				more = want_small(0, 4, 3), elsewhere = want_small(1, 5, 3);

	start(2);
	slot = take(&want);
	ck_assert(slot_serves(slot, &want));
	ck_assert(slot_serves(slot, &less));
	ck_assert(!slot_serves(slot, &more));
	ck_assert(!slot_serves(slot, &elsewhere));
	frame_relabel(frames, slot, 1);
	ck_assert_uint_eq(slot->node, 1);
	assert_account(1, LEDGER_FLIGHT, 3);
	assert_account(0, LEDGER_FLIGHT, 0);
	ck_assert(slot_serves(slot, &elsewhere));
	frame_give(frames, slot);
	stop();
}
END_TEST

START_TEST(new_mapping_is_for_slots_without_memory_and_ready_when_it_is)
{
	const struct frame_want want = want_small(0, 5, 3);

	start(0);
	slot = take(&want);
	forget();
	slot->split = true;
	ck_assert_int_eq(slot_renew(frames, slot), -EBUSY);
	assert_said("");
	ck_assert(slot->split);
	slot_release(frames, slot);
	slot_release(frames, slot);
	assert_said("discard A0\n");
	ck_assert(!slot->clean);
	refuse("prefer", 0, 1, -EINVAL);
	ck_assert_int_eq(slot_renew(frames, slot), -EINVAL);
	ck_assert(slot->split);
	assert_said("renew A0\nprefer 0 A0!\n");
	ck_assert_int_eq(slot_renew(frames, slot), 0);
	ck_assert(!slot->split);
	assert_said("renew A0\nprefer 0 A0\nno-thp A0\ndontdump A0\ndontfork A0\nregister A0\n");
	frame_give(frames, slot);
	stop();
}
END_TEST

/* ---- Small pages -------------------------------------------------------------------------------- */

/* The pool is there. */
static void start_small(void)
{
	const struct frame_want want = want_small(0, 0, 1);

	start(0);
	frame_drop(frames, take(&want));
	forget();
}

static struct frame_want want_two_runs(void)
{
	struct frame_want want = want_small(0, 5, 3);

	bits_set_range(&want.need, 500, 12);
	return want;
}

static int try_to_take(const struct frame_want *want)
{
	slot = NULL;
	return frame_take(frames, want, &slot);
}

START_TEST(small_pages_are_filled_run_by_run)
{
	const struct frame_want want = want_two_runs();

	start_small();
	refuse("populate", 0, 9, -EAGAIN);
	slot = take(&want);
	assert_said("populate A0.5+3!\npopulate A0.5+3!\npopulate A0.5+3!\npopulate A0.5+3!\n"
		    "populate A0.5+3!\npopulate A0.5+3!\npopulate A0.5+3!\npopulate A0.5+3!\n"
		    "populate A0.5+3!\npopulate A0.5+3\nask 3\npopulate A0.500+12\nask 12\n");
	ck_assert_mem_eq(&slot->have, &want.need, sizeof(want.need));
	assert_account(0, LEDGER_FLIGHT, 15);
	frame_give(frames, slot);
	stop();
}
END_TEST

START_TEST(run_that_is_refused_ten_times_is_given_back_and_those_before_stay)
{
	struct frame_want want = want_two_runs();

	want.clean = true;
	start_small();
	refuse("populate", 1, 10, -EAGAIN);
	refuse("discard", 0, 9, -EAGAIN);
	ck_assert_int_eq(try_to_take(&want), -EAGAIN);
	ck_assert_ptr_null(slot);
	forget();
	slot = &pool_at(frames, 0, 0, false)->slots[0];
	assert_has(slot, 5, 3);
	assert_account(0, LEDGER_POOL, 3);
	assert_account(0, LEDGER_OUTSIDE, -3);
	ck_assert_uint_eq(kernel.rules[0].times, 0);
	ck_assert_uint_eq(kernel.rules[1].times, 0);
	/* What it has it keeps, and gets the rest. */
	ck_assert_ptr_eq(take(&want), slot);
	assert_said("populate A0.500+12\nask 12\n");
	frame_give(frames, slot);
	stop();
}
END_TEST

START_TEST(pages_that_the_kernel_does_not_take_back_are_emptied_before_the_next_fill)
{
	const struct frame_want want = want_small(0, 5, 3);

	start_small();
	refuse("ask", 0, 1, -EIO);
	refuse("discard", 0, 10, -EAGAIN);
	ck_assert_int_eq(try_to_take(&want), -EIO);
	ck_assert_uint_eq(kernel.rules[1].times, 0);
	forget();
	slot = take(&want);
	assert_said("discard A0.5+3\npopulate A0.5+3\nask 3\n");
	ck_assert_uint_eq(frame_emptied(frames), 1);
	frame_give(frames, slot);
	stop();
}
END_TEST

START_TEST(small_pages_of_another_node_are_moved_or_given_back)
{
	struct frame_want want = want_small(0, 5, 3);

	start_small();
	if (_i)
		kernel.stray = 5 + (unsigned int)_i; /* one of them */
	else
		lies_on(1);
	slot = take(&want);
	assert_said("populate A0.5+3\nask 3\nmigrate 3>0\n");
	assert_has(slot, 5, 3);
	frame_drop(frames, slot);
	forget();
	kernel.stays = true;
	ck_assert_int_eq(try_to_take(&want), -ENOMEM);
	ck_assert_ptr_null(slot);
	ck_assert_str_eq(kernel.said + kernel.length - strlen("discard A0.5+3\n"),
			 "discard A0.5+3\n");
	assert_account(0, LEDGER_OUTSIDE, 0);
	forget();
	want.use = POLICY_TOUCH;
	ck_assert_int_eq(try_to_take(&want), -ENOMEM);
	assert_said("populate A0.5+3\nask 3\ndiscard A0.5+3\n");
	stop();
}
END_TEST

/* Hardware says no, and yet all can be read: some other slot, or the same one, may do. */
START_TEST(place_that_fails_is_tried_eight_times)
{
	const struct frame_want want = want_small(0, 5, 3);

	start_small();
	refuse("populate", 0, 7, -EFAULT);
	slot = take(&want);
	forget();
	frame_drop(frames, slot);
	forget();
	refuse("populate", 0, 8, -EFAULT);
	ck_assert_int_eq(try_to_take(&want), -ENOMEM);
	ck_assert_uint_eq(kernel.rules[0].times, 0);
	ck_assert_int_eq(strncmp(kernel.said,
				 "populate A0.5+3!\ndiscard A0.5+3\ndiscard A0.5+3\n"
				 "populate A0.5+3!\n",
				 60),
			 0);
	stop();
}
END_TEST

START_TEST(small_slot_that_is_split_gets_a_new_mapping_only_when_it_is_empty)
{
	struct frame_want want = want_small(0, 5, 3), more = want_small(0, 5, 4);

	want.clean = more.clean = true;
	start_small();
	slot = take(&want);
	slot->split = true;
	frame_give(frames, slot);
	forget();
	ck_assert_ptr_eq(take(&more), slot);
	assert_said("populate A0.8+1\nask 1\n");
	ck_assert(slot->split);
	frame_drop(frames, slot);
	forget();
	ck_assert_ptr_eq(take(&want), slot);
	assert_said("renew A0\nprefer 0 A0\nno-thp A0\ndontdump A0\ndontfork A0\nregister A0\n"
		    "populate A0.5+3\nask 3\n");
	ck_assert(!slot->split);
	frame_give(frames, slot);
	stop();
}
END_TEST

/* Who wants clean ones gets none that were used, who does not may have these grow. */
START_TEST(slot_that_grows_is_of_the_kind_and_of_the_node_that_is_wanted)
{
	struct frame_want want = want_small(0, 5, 3);
	struct slot *clean, *used;

	start(2);
	clean = take(&want);
	used = take(&want);
	used->clean = false;
	frame_give(frames, used);
	frame_give(frames, clean);
	want = want_small(0, 6, 3);
	ck_assert_ptr_eq(take(&want), used);
	ck_assert(!used->clean);
	frame_give(frames, used);
	want = want_small(0, 7, 3);
	want.clean = true;
	ck_assert_ptr_eq(take(&want), clean);
	frame_give(frames, clean);
	want = want_small(1, 7, 4);
	slot = take(&want);
	ck_assert_ptr_ne(slot, used);
	ck_assert_ptr_ne(slot, clean);
	frame_give(frames, slot);
	stop();
}
END_TEST

/* ---- Huge pages --------------------------------------------------------------------------------- */

static void start_huge(void)
{
	const struct frame_want want = want_huge(0);

	start(0);
	frame_drop(frames, take(&want));
	forget();
}

#define RENEWED "renew A0\nprefer 0 A0\nthp A0\ndontdump A0\ndontfork A0\nregister A0\n"

/* One page tells, and it is the last one: 511 of them are never asked for. */
START_TEST(host_without_a_huge_page_gives_one_small_page_and_gets_it_back)
{
	const struct frame_want want = {.huge = true,
					.use = _i == 2 ? POLICY_TOUCH
					       : _i    ? POLICY_AHEAD
						       : POLICY_MOVE};

	start_huge();
	kernel.no_huge = true;
	ck_assert_int_eq(try_to_take(&want), -ENOSPC);
	assert_said(_i == 2 ? "populate A0.511+1\nask 1\ndiscard A0\n"
			    : "populate A0.511+1\ndiscard A0\n");
	ck_assert(pool_at(frames, 0, 0, true)->slots[0].split);
	kernel.no_huge = false;
	slot = take(&want);
	assert_said(RENEWED "populate A0.511+1\npopulate A0\nask 1\n");
	ck_assert(!slot->split);
	frame_give(frames, slot);
	stop();
}
END_TEST

START_TEST(first_touch_is_told_when_the_node_has_not_even_a_small_page)
{
	const struct frame_want want = {.huge = true, .use = POLICY_TOUCH};

	start_huge();
	kernel.no_huge = true;
	lies_on(1);
	ck_assert_int_eq(try_to_take(&want), -ENOMEM);
	assert_said("populate A0.511+1\nask 1\ndiscard A0\n");
	ck_assert(pool_at(frames, 0, 0, true)->slots[0].split);
	stop();
}
END_TEST

START_TEST(huge_page_of_another_node_is_moved_to_this_one_and_asked_about_as_one)
{
	const struct frame_want want = want_huge(0);

	start_huge();
	lies_on(1);
	slot = take(&want);
	assert_said("populate A0.511+1\npopulate A0\nask 1\nmigrate 1>0\n");
	assert_has(slot, 0, ALL);
	ck_assert(!slot->split);
	frame_drop(frames, slot);
	forget();
	/* The kernel splits what it cannot move whole. */
	kernel.migration_splits = true;
	ck_assert_int_eq(try_to_take(&want), -ENOSPC);
	assert_said("populate A0.511+1\npopulate A0\nask 1\nmigrate 1>0\ndiscard A0\n");
	kernel.migration_splits = false;
	kernel.stays = true;
	ck_assert_int_eq(try_to_take(&want), -ENOSPC);
	assert_account(0, LEDGER_OUTSIDE, 0);
	stop();
}
END_TEST

/* Whether small ones are there is asked before the next node is. */
START_TEST(first_touch_that_finds_a_huge_page_elsewhere_looks_for_small_ones_here)
{
	const struct frame_want want = {.huge = true, .use = POLICY_TOUCH, .worker = 2};

	start(0);
	kernel.huge_node = 1;
	kernel.small_node = _i ? 1 : 0;
	ck_assert_int_eq(try_to_take(&want), _i ? -ENOMEM : -ENOSPC);
	ck_assert_ptr_null(slot);
	ck_assert_ptr_nonnull(pool_at(frames, 0, 2, false));
	ck_assert_uint_eq(frame_pool_bytes(frames, 0), _i ? 0 : GMIG_PAGE_BYTES);
	forget();
	ck_assert_int_eq(try_to_take(&want), _i ? -ENOMEM : -ENOSPC);
	assert_said(_i ? RENEWED "populate A0.511+1\npopulate A0\nask 1\ndiscard A0\n"
				 "populate B0.0+1\nask 1\ndiscard B0.0+1\n"
		       : RENEWED "populate A0.511+1\npopulate A0\nask 1\ndiscard A0\n");
	stop();
}
END_TEST

/* 0, 1: the first page of it; 2, 3: the rest. */
START_TEST(huge_page_for_which_there_is_no_memory)
{
	const struct frame_want want = {.huge = true, .use = _i & 1 ? POLICY_TOUCH : POLICY_MOVE};

	start_huge();
	refuse("populate", (unsigned int)_i / 2, 1, -ENOMEM);
	ck_assert_int_eq(try_to_take(&want), _i & 1 ? -ENOMEM : -ENOSPC);
	ck_assert(pool_at(frames, 0, 0, true)->slots[0].split);
	assert_account(0, LEDGER_OUTSIDE, 0);
	ck_assert(bits_empty(&kernel.map[0].block[0].present));
	stop();
}
END_TEST

/* ---- A whole block of small pages --------------------------------------------------------------- */

#define ASKED	  "thp A0\npopulate A0.511+1\nno-thp A0\n"
#define NEW_SMALL "renew A0\nno-thp A0\ndontdump A0\ndontfork A0\nregister A0\n"

static const struct frame_want whole = {.need = {{UINT64_MAX, UINT64_MAX, UINT64_MAX, UINT64_MAX,
						  UINT64_MAX, UINT64_MAX, UINT64_MAX, UINT64_MAX}}};

static void start_whole(void)
{
	const struct frame_want want = want_small(0, 0, 1);

	start(1);
	frame_drop(frames, take(&want));
	forget();
}

START_TEST(whole_block_is_one_huge_page_that_is_split_and_reads_as_zeros)
{
	start_whole();
	slot = take(&whole);
	assert_said("discard A0\n" ASKED "cold A0.0+1\n");
	ck_assert_uint_eq(kernel.marks, ALL); /* a split gives away what is all zeros */
	ck_assert_uint_eq(count_marks(slot->hva), 0);
	assert_has(slot, 0, ALL);
	ck_assert(!slot->split);
	frame_give(frames, slot);
	stop();
}
END_TEST

START_TEST(page_table_that_outlives_its_pages_three_times_is_asked_about_no_more)
{
	start_whole();
	kernel.tables_stay = true;
	frame_drop(frames, take(&whole));
	for (unsigned int i = 0; i < 5; i++) {
		forget();
		frame_drop(frames, take(&whole));
		assert_said(i < 3 ? "discard A0\n" ASKED "discard A0\n" NEW_SMALL ASKED
				    "cold A0.0+1\ndiscard A0\n"
				  : NEW_SMALL ASKED "cold A0.0+1\ndiscard A0\n");
	}
	stop();
}
END_TEST

START_TEST(page_table_that_goes_after_all_is_counted_anew)
{
	start_whole();
	for (unsigned int i = 0; i < 8; i++) {
		kernel.tables_stay = i % 3 != 2;
		kernel.map[0].block[0].table = kernel.tables_stay;
		forget();
		frame_drop(frames, take(&whole));
		ck_assert_int_eq(strncmp(kernel.said, "discard", 7), 0);
	}
	ck_assert_uint_eq(atomic_load(&frames->tables_stay), 2);
	stop();
}
END_TEST

static const struct {
	const char *refused, *said;
	int error;
} no_whole[] = {
    {"thp", "discard A0\nthp A0!\nno-thp A0\ndiscard A0\npopulate A0\n", -EINVAL},
    {"populate", "discard A0\nthp A0\npopulate A0.511+1!\nno-thp A0\ndiscard A0\npopulate A0\n",
     -ENOMEM},
    {"cold", "discard A0\n" ASKED "cold A0.0+1!\ndiscard A0\npopulate A0\n", -EINVAL},
    {"scan", "discard A0\n" ASKED "discard A0\npopulate A0\n", -EIO},
};

/* The next time nobody asks for a huge page, the time after it somebody does. */
START_TEST(whole_block_that_cannot_be_had_at_once_is_filled_page_by_page)
{
	start_whole();
	refuse(no_whole[_i].refused, _i == 3, 1, no_whole[_i].error);
	slot = take(&whole);
	assert_said(no_whole[_i].said);
	assert_has(slot, 0, ALL);
	frame_drop(frames, slot);
	forget();
	frame_drop(frames, take(&whole));
	assert_said("populate A0\ndiscard A0\n");
	frame_drop(frames, take(&whole));
	assert_said("discard A0\n" ASKED "cold A0.0+1\ndiscard A0\n");
	stop();
}
END_TEST

START_TEST(huge_page_that_stays_whole_is_given_back)
{
	start_whole();
	kernel.cold_is_no_use = true;
	slot = take(&whole);
	assert_said("discard A0\n" ASKED "cold A0.0+1\ndiscard A0\npopulate A0\n");
	ck_assert(!kernel.map[0].block[0].huge);
	frame_drop(frames, slot);
	stop();
}
END_TEST

START_TEST(huge_page_that_can_neither_be_split_nor_given_back_is_an_error)
{
	start_whole();
	refuse("cold", 0, 1, -EINVAL);
	refuse("discard", 1, 1, -EAGAIN);
	ck_assert_int_eq(try_to_take(&whole), -EAGAIN);
	assert_said("discard A0\n" ASKED "cold A0.0+1!\ndiscard A0!\ndiscard A0\n");
	stop();
}
END_TEST

/* khugepaged must not fill it: it serves with a new mapping only. */
START_TEST(slot_for_which_huge_pages_cannot_be_switched_off_needs_a_new_mapping)
{
	start_whole();
	refuse("no-thp", 0, 1, -EINVAL);
	ck_assert_int_eq(try_to_take(&whole), -EINVAL);
	assert_said("discard A0\nthp A0\npopulate A0.511+1\nno-thp A0!\ndiscard A0\n");
	slot = &pool_at(frames, 0, 0, false)->slots[0];
	ck_assert(slot->split);
	frame_drop(frames, take(&(struct frame_want){.need = {{1}}}));
	assert_said(NEW_SMALL "populate A0.0+1\ndiscard A0\n");
	ck_assert(!slot->split);
	stop();
}
END_TEST

/* 1, 3, 7 ... fills that nobody asks, and never more than 256. */
START_TEST(refusals_in_a_row_are_followed_by_longer_rests)
{
	static const unsigned int rests[] = {1, 3, 7, 15, 31, 63, 127, 255, 256, 256};

	start_whole();
	refuse("cold", 0, ALWAYS, -EINVAL);
	for (unsigned int i = 0; i < 10; i++)
		for (unsigned int k = 0; k <= rests[i]; k++) {
			frame_drop(frames, take(&whole));
			ck_assert_msg((strstr(kernel.said, "thp") != NULL) == !k, "%u %u", i, k);
			forget();
		}
	kernel.rules[0].times = 0;
	frame_drop(frames, take(&whole));
	ck_assert_int_eq(atomic_load(&pool_at(frames, 0, 0, false)->last_rest), 0);
	forget();
	stop();
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("frame_fill");
	TCase *tcase = tcase_create("pools");

	tcase_add_loop_test(tcase, pools_without_a_userfaultfd_are_not_made, 0, 2);
	tcase_add_test(tcase, pool_has_slots_for_its_watermark_and_three_batches);
	tcase_add_loop_test(tcase, pool_is_made_on_its_node_at_its_first_use, 0, 2);
	tcase_add_test(tcase, fake_nodes_share_the_pools_of_node_0_and_ask_nobody);
	tcase_add_loop_test(tcase, pool_that_cannot_be_made_leaves_nothing_behind_and_is_made_later,
			    0, 4);
	tcase_add_loop_test(tcase, pool_does_without_what_is_only_advice, 0, 2);
	tcase_add_test(tcase, pools_of_workers_and_sizes_are_unmapped_one_by_one);
	tcase_add_test(tcase, slots_come_in_order_and_the_last_one_given_is_the_next);
	tcase_add_test(tcase, slot_serves_who_wants_no_more_than_it_has_on_its_node);
	tcase_add_test(tcase, new_mapping_is_for_slots_without_memory_and_ready_when_it_is);
	suite_add_tcase(suite, tcase);
	tcase = tcase_create("filling");
	tcase_add_test(tcase, small_pages_are_filled_run_by_run);
	tcase_add_test(tcase, run_that_is_refused_ten_times_is_given_back_and_those_before_stay);
	tcase_add_test(tcase,
		       pages_that_the_kernel_does_not_take_back_are_emptied_before_the_next_fill);
	tcase_add_loop_test(tcase, small_pages_of_another_node_are_moved_or_given_back, 0, 4);
	tcase_add_test(tcase, place_that_fails_is_tried_eight_times);
	tcase_add_test(tcase, small_slot_that_is_split_gets_a_new_mapping_only_when_it_is_empty);
	tcase_add_test(tcase, slot_that_grows_is_of_the_kind_and_of_the_node_that_is_wanted);
	tcase_add_loop_test(tcase, host_without_a_huge_page_gives_one_small_page_and_gets_it_back,
			    0, 3);
	tcase_add_test(tcase, first_touch_is_told_when_the_node_has_not_even_a_small_page);
	tcase_add_test(tcase,
		       huge_page_of_another_node_is_moved_to_this_one_and_asked_about_as_one);
	tcase_add_loop_test(
	    tcase, first_touch_that_finds_a_huge_page_elsewhere_looks_for_small_ones_here, 0, 2);
	tcase_add_loop_test(tcase, huge_page_for_which_there_is_no_memory, 0, 4);
	tcase_add_test(tcase, whole_block_is_one_huge_page_that_is_split_and_reads_as_zeros);
	tcase_add_test(tcase,
		       page_table_that_outlives_its_pages_three_times_is_asked_about_no_more);
	tcase_add_test(tcase, page_table_that_goes_after_all_is_counted_anew);
	tcase_add_loop_test(tcase, whole_block_that_cannot_be_had_at_once_is_filled_page_by_page, 0,
			    4);
	tcase_add_test(tcase, huge_page_that_stays_whole_is_given_back);
	tcase_add_test(tcase, huge_page_that_can_neither_be_split_nor_given_back_is_an_error);
	tcase_add_test(tcase, slot_for_which_huge_pages_cannot_be_switched_off_needs_a_new_mapping);
	tcase_add_test(tcase, refusals_in_a_row_are_followed_by_longer_rests);
	suite_add_tcase(suite, tcase);
	return run_suite(suite);
}
