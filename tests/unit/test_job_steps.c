/* Which steps a job takes, one after the other, and what it says of each: all of them are written down. */
#include "job_rig.h"

#include "../../migrate/jobs/plan_pages.h"
#include "../../migrate/jobs/plan_policy.h"
#include "../../migrate/movers/mover.h"

static const uint16_t to_1[] = {1, NOWHERE}, chain[] = {1, 2, NOWHERE};

/* From the last refresh on nothing has changed: the second look. */
#define SECOND_LOOK "refresh 0+16\nend\n"

static void assert_record(unsigned int i, uint64_t block, unsigned int from, unsigned int to,
			  unsigned int pages, unsigned int moved, int error)
{
	const struct gmig_trace_record *record = &fake.record[i];

	ck_assert_uint_lt(i, fake.records);
	ck_assert_uint_eq(record->gpa, block * GMIG_BLOCK_BYTES);
	ck_assert_uint_eq(record->from, from);
	ck_assert_uint_eq(record->to, to);
	ck_assert_uint_eq(record->pages, pages);
	ck_assert_uint_eq(record->moved_pages, moved);
	ck_assert_int_eq(record->error, error);
	ck_assert_uint_eq(record->huge, fake.huge[block]);
	ck_assert_uint_eq(record->worker, 0);
}

/* ---- Rounds ------------------------------------------------------------------------------------- */

START_TEST(block_is_prepared_claimed_moved_settled_and_finished)
{
	memory.thread = fake_thread;
	make(to_1);
	put_huge(3, 0);
	put_pages(5, 10, 20, 0);
	put_huge(6, 1);
	run(GMIG_JOB_COMPLETED);
	assert_said("refresh 0+16\nbegin\nthread\n"
		    "3: 0>1 huge all\nclaim all\nmove 1\nsettle all\nfinish 3\n"
		    "5: 0>1 10-29\nclaim 10-29\nmove 1\nsettle 10-29\nfinish 5\n"
		    "thread ends\n" SECOND_LOOK);
	assert_pages(512 + 20, 0, 0, 0);
	ck_assert_uint_eq(fake.info.remaining_count, 0);
	ck_assert_uint_eq(fake.info.passes, 1);
	ck_assert_uint_eq(fake.info.bytes_on_source, 0);
	ck_assert_uint_eq(fake.info.elapsed_ns, 6 * MOVE_NS);
	ck_assert_uint_eq(fake.records, 2);
	assert_record(0, 3, 0, 1, 512, 512, 0);
	assert_record(1, 5, 0, 1, 20, 20, 0);
	for (unsigned int i = 0; i < 2; i++) {
		ck_assert_uint_eq(fake.record[i].begin_ns, 3 * i * MOVE_NS);
		ck_assert_uint_eq(fake.record[i].end_ns, (3 * i + 3) * MOVE_NS);
	}
}
END_TEST

/* Node 1 is left before node 0 comes there. */
START_TEST(block_on_several_nodes_takes_a_round_for_each)
{
	make(chain);
	put_small(2, 0);
	put_pages(2, 100, 50, 1);
	put_pages(2, 200, 50, 3);
	put_pages(2, 511, 1, NOWHERE);
	put_huge(4, 1);
	run(GMIG_JOB_COMPLETED);
	assert_said(
	    "refresh 0+16\nbegin\n"
	    "4: 1>2 huge all\nclaim all\nmove 1\nsettle all\nfinish 4\n"
	    "2: 0>1 0-99,150-199,250-510\nclaim 0-99,150-199,250-510\nmove 1\n"
	    "settle 0-99,150-199,250-510\nfinish 2\n"
	    "2: 1>2 100-149\nclaim 100-149\nmove 1\nsettle 100-149\nfinish 2\n" SECOND_LOOK);
	assert_pages(512 + 461, 0, 0, 0);
	ck_assert_uint_eq(count_on(2, 1), 411);
	ck_assert_uint_eq(count_on(2, 2), 50);
	ck_assert_uint_eq(count_on(2, 3), 50);
	ck_assert_uint_eq(fake.info.passes, 1);
}
END_TEST

/* They come together, but leave their nodes one after the other. */
START_TEST(pages_of_two_nodes_that_go_to_one_take_a_round_each)
{
	make((const uint16_t[]){2, 2, NOWHERE});
	put_pages(0, 0, 100, 1);
	put_pages(0, 100, 60, 0);
	put_pages(0, 300, 5, 2);
	run(GMIG_JOB_COMPLETED);
	assert_said(
	    "refresh 0+16\nbegin\n"
	    "0: 1>2 0-99\nclaim 0-99\nmove 1\nsettle 0-99\nfinish 0\n"
	    "0: 0>2 100-159\nclaim 100-159\nmove 1\nsettle 100-159\nfinish 0\n" SECOND_LOOK);
	assert_pages(160, 0, 0, 0);
	assert_record(0, 0, 1, 2, 100, 100, 0);
	assert_record(1, 0, 0, 2, 60, 60, 0);
}
END_TEST

/* Of the four of a round the second has no frame, and the third is lost to somebody else before it is claimed. */
static int second_has_no_frame(struct mover_ticket *ticket)
{
	if (ticket->block_gfn == PAGE(2, 0))
		put_small(2, 3);
	return ticket->block_gfn == PAGE(1, 0) ? -EPERM : 0;
}

START_TEST(ticket_that_is_not_claimed_goes_no_further)
{
	make(to_1);
	mover.tickets = 4;
	for (unsigned int block = 0; block < 6; block++)
		put_small(block, 0);
	put_huge(3, 0);
	fake.at_prepare = second_has_no_frame;
	run(GMIG_JOB_COMPLETED);
	assert_said(
	    "refresh 0+16\nbegin\n"
	    "0: 0>1 all\nclaim all\n1: 0>1 all EPERM\n2: 0>1 all\nclaim\nfinish 2\n"
	    "3: 0>1 huge all\nclaim all\nmove 2\nsettle all\nfinish 0\nsettle all\nfinish 3\n"
	    "4: 0>1 all\nclaim all\n5: 0>1 all\nclaim all\nmove 2\n"
	    "settle all\nfinish 4\nsettle all\nfinish 5\n" SECOND_LOOK);
	assert_pages(4 * 512, 512, 0, 512);
	assert_remaining(0, EPERM, 512);
	ck_assert_uint_eq(fake.info.bytes_on_source, GMIG_BLOCK_BYTES);
	ck_assert_uint_eq(fake.records, 6);
	assert_record(0, 1, 0, 1, 512, 0, -EPERM);
	assert_record(1, 2, 0, 1, 0, 0, -EBUSY);
	assert_record(2, 0, 0, 1, 512, 512, 0);
	assert_record(3, 3, 0, 1, 512, 512, 0);
}
END_TEST

/* ---- What became of pages ------------------------------------------------------------------------ */

static unsigned int moves;

/* 0-9 are gone, 10-19 busy, 20 broken, 21-22 with no word of why; the rest moves. The second time all does. */
static void some_stay(struct mover_ticket *ticket)
{
	if (moves++)
		return;
	bits_clear_range(&ticket->moved, 0, 23);
	bits_set_range(&ticket->gone, 0, 10);
	for (unsigned int i = 10; i < 20; i++)
		ticket->error[i] = -EBUSY;
	ticket->error[20] = -EPERM;
}

static void assert_results(uint64_t gfn, const int *want, unsigned int count)
{
	int got[64];

	status_get(job->status, gfn, count, got);
	for (unsigned int i = 0; i < count; i++)
		ck_assert_int_eq(got[i], want[i]);
}

START_TEST(page_that_stays_says_why_and_a_busy_one_is_tried_again)
{
	const int end[] = {1, -EPERM, -EIO, -EIO, 1};

	make(to_1);
	put_pages(0, 0, 100, 0);
	fake.at_move = some_stay;
	run(GMIG_JOB_COMPLETED);
	assert_said("refresh 0+16\nbegin\n"
		    "0: 0>1 0-99\nclaim 0-99\nmove 1\nsettle 23-99 gone 0-9\nfinish 0\n"
		    "0: 0>1 10-19\nclaim 10-19\nmove 1\nsettle 10-19\nfinish 0\n" SECOND_LOOK);
	assert_pages(87, 3, 10, 0);
	assert_remaining(0, EIO, 2);
	assert_remaining(1, EPERM, 1);
	ck_assert_uint_eq(fake.info.remaining_count, 2);
	ck_assert_uint_eq(fake.info.passes, 2);
	/* A millisecond between the first two passes. */
	ck_assert_uint_eq(fake.info.elapsed_ns, 6 * MOVE_NS + MS);
	assert_record(0, 0, 0, 1, 100, 77, -EBUSY);
	assert_record(1, 0, 0, 1, 10, 10, 0);
	assert_results(PAGE(0, 19), end, 5);
	assert_results(PAGE(0, 0), (const int[]){-ENOENT, -ENOENT}, 2);
}
END_TEST

static int always_busy(struct mover_ticket *ticket)
{
	(void)ticket;
	return -EBUSY;
}

/* From 1 ms on each time twice as long, but no longer than 100 ms. */
START_TEST(busy_block_is_tried_in_ten_passes_with_rests_that_double)
{
	const uint64_t rests = (1 + 2 + 4 + 8 + 16 + 32 + 64 + 100 + 100 + 100) * MS;

	make(to_1);
	put_huge(0, 0);
	fake.at_prepare = always_busy;
	job->work.spec.max_bytes = PAGES * GMIG_PAGE_BYTES; /* no second look */
	run(GMIG_JOB_COMPLETED);
	ck_assert_uint_eq(fake.info.passes, 10);
	ck_assert_uint_eq(fake.records, 10);
	for (unsigned int i = 0; i < 10; i++)
		assert_record(i, 0, 0, 1, 512, 0, -EBUSY);
	assert_pages(0, 512, 0, 0);
	assert_remaining(0, EBUSY, 512);
	ck_assert_uint_eq(fake.info.elapsed_ns, rests + 10 * MOVE_NS);
}
END_TEST

/* Room is made by what moves: only then is it worth while to ask a full node again. */
static int room_for[2];

static int full_but_for(struct mover_ticket *ticket)
{
	return room_for[ticket->huge]-- > 0 ? 0 : -ENOMEM;
}

START_TEST(full_node_is_asked_again_if_something_has_moved)
{
	make(to_1);
	put_huge(0, 0);
	put_small(1, 0);
	put_small(2, 0);
	room_for[true] = 0;
	room_for[false] = _i;
	fake.at_prepare = full_but_for;
	job->work.spec.max_bytes = PAGES * GMIG_PAGE_BYTES;
	run(GMIG_JOB_COMPLETED);
	ck_assert_uint_eq(fake.info.passes, _i ? 2 : 1);
	ck_assert_uint_eq(fake.records, _i ? 3 + (3 - (unsigned int)_i) : 3);
	assert_pages((unsigned int)_i * 512, (3 - (unsigned int)_i) * 512, 0, 0);
	assert_remaining(0, ENOMEM, (3 - (unsigned int)_i) * 512);
}
END_TEST

/* Of 0-99: 0-9 were brought by reading them, 10-19 have a reason to stay, 20-24 none. */
static int some_are_put_off(struct mover_ticket *ticket)
{
	if (moves++)
		return 0;
	bits_set_range(&ticket->brought, 0, 10);
	bits_clear_range(&ticket->pages, 0, 25);
	for (unsigned int i = 10; i < 20; i++)
		ticket->error[i] = -ENOSPC;
	put_pages(0, 0, 10, 1);
	return 0;
}

START_TEST(page_that_is_put_off_when_prepared_is_not_claimed)
{
	make(to_1);
	put_pages(0, 0, 100, 0);
	fake.at_prepare = some_are_put_off;
	run(GMIG_JOB_COMPLETED);
	assert_said("refresh 0+16\nbegin\n"
		    "0: 0>1 0-99\nclaim 25-99\nmove 1\nsettle 25-99\nfinish 0\n"
		    "0: 0>1 20-24\nclaim 20-24\nmove 1\nsettle 20-24\nfinish 0\n" SECOND_LOOK);
	assert_pages(90, 10, 0, 0);
	assert_remaining(0, ENOSPC, 10);
	assert_record(0, 0, 0, 1, 75, 75, 0);
}
END_TEST

static void others_take_some(struct claim *claim)
{
	if (moves++)
		return;
	put_pages(claim->block_gfn / B, 10, 10, 3);
	put_pages(claim->block_gfn / B, 30, 5, NOWHERE);
	put_pages(claim->block_gfn / B, 40, 5, 1);
}

START_TEST(page_that_others_were_faster_with_is_theirs)
{
	make(to_1);
	put_pages(0, 0, 100, 0);
	fake.at_claim = others_take_some;
	run(GMIG_JOB_COMPLETED);
	assert_said("refresh 0+16\nbegin\n"
		    "0: 0>1 0-99\nclaim 0-9,20-29,35-39,45-99\nmove 1\n"
		    "settle 0-9,20-29,35-39,45-99\nfinish 0\n" SECOND_LOOK);
	assert_pages(80, 0, 5, 15);
	ck_assert_uint_eq(fake.info.passes, 1);
	assert_record(0, 0, 0, 1, 80, 80, 0);
	assert_results(PAGE(0, 9), (const int[]){1, 3, 3}, 3);
	assert_results(PAGE(0, 29), (const int[]){1, -ENOENT}, 2);
	assert_results(PAGE(0, 39), (const int[]){1, 1, 1}, 3);
}
END_TEST

static void lose(struct mover_ticket *ticket)
{
	bits_clear_all(&ticket->moved);
	ticket->lost = true;
	ticket->error[0] = -EFAULT;
	atomic_store(&memory.fatal, true);
}

START_TEST(block_that_cannot_be_put_back_is_left_claimed_and_ends_the_job)
{
	make(to_1);
	put_huge(0, 0);
	put_huge(1, 0);
	fake.at_move = lose;
	run(GMIG_JOB_FAILED);
	assert_said(
	    "refresh 0+16\nbegin\n0: 0>1 huge all\nclaim all\nmove 1\nabandon 0\nfinish 0\nend\n");
	ck_assert_int_eq(fake.info.error.code, -EIO);
	ck_assert_str_eq(fake.info.error.text, "a block could not be put back: see the log");
	assert_pages(0, 1024, 0, 0);
	ck_assert_uint_eq(fake.info.remaining_count, 2);
	ck_assert_uint_eq(fake.info.passes, 1);
}
END_TEST

/* ---- What is not moved --------------------------------------------------------------------------- */

static void want(struct memory *of, uint64_t block_gfn, const struct bits *pages)
{
	(void)of;
	say("want %llu", (unsigned long long)(block_gfn / B));
	say_pages(pages);
	say("\n");
}

static void let_go(struct mover_ticket *ticket)
{
	(void)ticket;
	for (unsigned int i = 0; i < PAGES; i++)
		if (fake.state[i] != SHADOW_SWAPPED)
			fake.state[i] = SHADOW_PRESENT;
}

START_TEST(page_that_another_job_holds_is_asked_for_and_tried_again)
{
	make(to_1);
	put_pages(0, 0, 100, 0);
	put_pages(1, 0, 1, 0);
	for (unsigned int i = 10; i < 20; i++)
		fake.state[i] = i % 3 == 0   ? SHADOW_CLAIMED
				: i % 3 == 1 ? SHADOW_COPYING
					     : SHADOW_HINT;
	if (!_i)
		memory_ops.want = want;
	fake.at_move = let_go;
	run(GMIG_JOB_COMPLETED);
	assert_said(_i ? "refresh 0+16\nbegin\n"
			 "0: 0>1 0-9,20-99\nclaim 0-9,20-99\nmove 1\nsettle 0-9,20-99\nfinish 0\n"
			 "1: 0>1 0\nclaim 0\nmove 1\nsettle 0\nfinish 1\n"
			 "0: 0>1 10-19\nclaim 10-19\nmove 1\nsettle 10-19\nfinish 0\n" SECOND_LOOK
		       : "refresh 0+16\nbegin\nwant 0 10-19\n"
			 "0: 0>1 0-9,20-99\nclaim 0-9,20-99\nmove 1\nsettle 0-9,20-99\nfinish 0\n"
			 "1: 0>1 0\nclaim 0\nmove 1\nsettle 0\nfinish 1\n"
			 "0: 0>1 10-19\nclaim 10-19\nmove 1\nsettle 10-19\nfinish 0\n" SECOND_LOOK);
	assert_pages(101, 0, 0, 0);
	ck_assert_uint_eq(fake.info.passes, 2);
}
END_TEST

START_TEST(page_in_swap_stays_there_if_it_is_to_be_skipped)
{
	make(to_1);
	put_pages(0, 0, 100, 0);
	put_huge(1, 0);
	for (unsigned int i = 0; i < 30; i++)
		fake.state[PAGE(0, i + 20)] = SHADOW_SWAPPED;
	fake.state[PAGE(1, 0)] = SHADOW_SWAPPED;
	if (_i)
		job->work.spec.swapped = GMIG_SWAPPED_SKIP;
	run(GMIG_JOB_COMPLETED);
	if (!_i) {
		assert_pages(612, 0, 0, 0);
		return;
	}
	assert_said("refresh 0+16\nbegin\n"
		    "0: 0>1 0-19,50-99\nclaim 0-19,50-99\nmove 1\nsettle 0-19,50-99\nfinish "
		    "0\n" SECOND_LOOK);
	assert_pages(70, 30 + 512, 0, 0);
	assert_remaining(0, ENODATA, 30 + 512);
	ck_assert_uint_eq(fake.info.remaining_count, 1);
	ck_assert_uint_eq(fake.info.passes, 1);
}
END_TEST

static bool second_is_fixed(struct memory *of, uint64_t block_gfn)
{
	(void)of;
	return block_gfn == PAGE(1, 0);
}

START_TEST(block_that_must_not_move_stays_for_that_reason)
{
	make(to_1);
	memory_ops.is_fixed = second_is_fixed;
	for (unsigned int block = 0; block < 3; block++)
		put_pages(block, 7, 3, 0);
	run(GMIG_JOB_COMPLETED);
	assert_said("refresh 0+16\nbegin\n"
		    "0: 0>1 7-9\nclaim 7-9\nmove 1\nsettle 7-9\nfinish 0\n"
		    "2: 0>1 7-9\nclaim 7-9\nmove 1\nsettle 7-9\nfinish 2\n" SECOND_LOOK);
	assert_pages(6, 3, 0, 0);
	assert_remaining(0, EPERM, 3);
	ck_assert_uint_eq(fake.info.remaining_count, 1);
	ck_assert_uint_eq(fake.info.passes, 1);
}
END_TEST

/* ---- Huge pages of which a part moves --------------------------------------------------------------- */

static int split_says;
static bool is_whole_again;

static int split(struct memory *of, uint64_t block_gfn)
{
	(void)of;
	say("split %llu\n", (unsigned long long)(block_gfn / B));
	if (!split_says)
		fake.huge[block_gfn / B] = false;
	return split_says;
}

static bool unsplit(struct memory *of, uint64_t block_gfn)
{
	(void)of;
	say("unsplit %llu\n", (unsigned long long)(block_gfn / B));
	return is_whole_again;
}

static int refuse(struct mover_ticket *ticket)
{
	(void)ticket;
	return -EPERM;
}

/* Of block 2 the first 100 pages go to node 1, and of block 3 all; both are huge pages. */
static void make_part(void)
{
	struct page_list *list = page_list_create(2);

	make(to_1);
	list->run[0] = (struct page_run){2 * B, 1, 100};
	list->run[1] = (struct page_run){3 * B, 1, B};
	plan_destroy(&job->plan);
	plan_pages_create(list, &job->plan);
	put_huge(2, 0);
	put_huge(3, 0);
	memory_ops.split = split;
	memory_ops.unsplit = unsplit;
}

#define BLOCK_3 "3: 0>1 huge all\nclaim all\nmove 1\nsettle all\nfinish 3\n"

START_TEST(huge_page_of_which_a_part_moves_is_split_and_counted)
{
	make_part();
	mover.memory = _i ? BOOKS_KERNEL : BOOKS_SLOT;
	run(GMIG_JOB_COMPLETED);
	/* The kernel does not split what it moves: where the rest lies is asked. */
	assert_said(_i ? "refresh 2+2\nbegin\nsplit 2\n2: 0>1 0-99\nclaim 0-99\nmove 1\nsettle "
			 "0-99\nfinish 2\n"
			 "refresh 2+1\nunsplit 2\n" BLOCK_3 "end\n"
		       : "refresh 2+2\nbegin\nsplit 2\n2: 0>1 0-99\nclaim 0-99\nmove 1\nsettle "
			 "0-99\nfinish 2\n"
			 "unsplit 2\n" BLOCK_3 "end\n");
	ck_assert_uint_eq(fake.info.thp_split, 1);
	ck_assert_uint_eq(fake.info.passes, 1);
	assert_pages(100 + B, 0, 0, 0);
}
END_TEST

START_TEST(huge_page_of_which_nothing_moved_is_whole_again)
{
	make_part();
	is_whole_again = true;
	fake.at_prepare = refuse;
	run(GMIG_JOB_COMPLETED);
	assert_said("refresh 2+2\nbegin\nsplit 2\n2: 0>1 0-99 EPERM\nunsplit 2\n3: 0>1 huge all "
		    "EPERM\nend\n");
	ck_assert_uint_eq(fake.info.thp_split, 0);
	assert_pages(0, 100 + B, 0, 0);
	assert_remaining(0, EPERM, 100 + B);
}
END_TEST

START_TEST(huge_page_that_cannot_be_split_is_tried_in_each_pass)
{
	make_part();
	split_says = -EBUSY;
	run(GMIG_JOB_COMPLETED);
	assert_said("refresh 2+2\nbegin\nsplit 2\n" BLOCK_3
		    "split 2\nsplit 2\nsplit 2\nsplit 2\nsplit 2\nsplit 2\nsplit 2\nsplit 2\nsplit "
		    "2\nend\n");
	ck_assert_uint_eq(fake.info.thp_split, 0);
	ck_assert_uint_eq(fake.info.passes, 10);
	assert_pages(B, 100, 0, 0);
	assert_remaining(0, EAGAIN, 100);
}
END_TEST

/* ---- Another node of the same policy ------------------------------------------------------------------ */

/* From node 4 to the first of 1 to 3 that is not full. */
static unsigned int first_with_room(void *arg, uint64_t gfn, unsigned int order, unsigned int node,
				    const struct gmig_node_set *full)
{
	unsigned int target = 1;

	(void)arg, (void)gfn, (void)order;
	while (target < 4 && full && gmig_node_set_has(full, target))
		target++;
	return node != 4 || target == 4 ? GMIG_NO_NODE : target;
}

/* Of small pages 10-19 and 30 have no frame on node 1, and 40 is busy; node 2 takes no huge page. */
static void some_find_no_frame(struct mover_ticket *ticket)
{
	if (moves++)
		return;
	bits_clear_range(&ticket->moved, 10, 10);
	bits_clear_range(&ticket->moved, 30, 1);
	bits_clear_range(&ticket->moved, 40, 1);
	for (unsigned int i = 10; i < 20; i++)
		ticket->error[i] = -ENOMEM;
	ticket->error[30] = -ENOMEM;
	ticket->error[40] = -EPERM;
}

static int no_huge_page_on_2(struct mover_ticket *ticket)
{
	return ticket->huge && ticket->to == 2 ? -ENOMEM : 0;
}

START_TEST(page_without_a_frame_goes_to_another_node_that_will_do)
{
	const struct plan_policy policy = {.pages = PAGES, .target = first_with_room};

	make(to_1);
	plan_destroy(&job->plan);
	ck_assert_int_eq(plan_policy_create(&policy, &job->plan), 0);
	put_pages(0, 0, 100, 4);
	put_huge(1, 4);
	put_pages(2, 511, 1, 4);
	fake.at_move = some_find_no_frame;
	fake.at_prepare = no_huge_page_on_2;
	run(GMIG_JOB_COMPLETED);
	assert_said(
	    "refresh 0+16\nbegin\n"
	    "0: 4>1 0-99\nclaim 0-99\nmove 1\nsettle 0-9,20-29,31-39,41-99\nfinish 0\n"
	    "0: 4>2 10-19,30\nclaim 10-19,30\nmove 1\nsettle 10-19,30\nfinish 0\n"
	    "1: 4>2 huge all ENOMEM\n1: 4>3 huge all\nclaim all\nmove 1\nsettle all\nfinish 1\n"
	    "2: 4>3 511\nclaim 511\nmove 1\nsettle 511\nfinish 2\nend\n");
	assert_pages(99 + B + 1, 1, 0, 0);
	assert_remaining(0, EPERM, 1);
	assert_results(PAGE(0, 9), (const int[]){1, 2, 2}, 3);
	assert_results(PAGE(0, 29), (const int[]){1, 2, 1}, 3);
}
END_TEST

/* Several blocks in a round: each has its own. */
static void each_lacks_one(struct mover_ticket *ticket)
{
	unsigned int page = (unsigned int)(ticket->block_gfn / B) * 10;

	if (ticket->to != 1)
		return;
	bits_clear_range(&ticket->moved, page, 1);
	ticket->error[page] = -ENOMEM;
}

START_TEST(page_without_a_frame_is_picked_again_in_its_own_block)
{
	const struct plan_policy policy = {.pages = PAGES, .target = first_with_room};

	make(to_1);
	plan_destroy(&job->plan);
	ck_assert_int_eq(plan_policy_create(&policy, &job->plan), 0);
	mover.tickets = 3;
	for (unsigned int block = 0; block < 3; block++)
		put_small(block, 4);
	fake.at_move = each_lacks_one;
	run(GMIG_JOB_COMPLETED);
	assert_said(
	    "refresh 0+16\nbegin\n"
	    "0: 4>1 all\nclaim all\n1: 4>1 all\nclaim all\n2: 4>1 all\nclaim all\nmove 3\n"
	    "settle 1-511\nfinish 0\nsettle 0-9,11-511\nfinish 1\nsettle 0-19,21-511\nfinish 2\n"
	    "0: 4>2 0\nclaim 0\n1: 4>2 10\nclaim 10\n2: 4>2 20\nclaim 20\nmove 3\n"
	    "settle 0\nfinish 0\nsettle 10\nfinish 1\nsettle 20\nfinish 2\nend\n");
	assert_pages(3 * B, 0, 0, 0);
	ck_assert_uint_eq(fake.info.passes, 1);
}
END_TEST

int main(void)
{
	const TTest *const steps[] = {
	    block_is_prepared_claimed_moved_settled_and_finished,
	    block_on_several_nodes_takes_a_round_for_each,
	    pages_of_two_nodes_that_go_to_one_take_a_round_each,
	    ticket_that_is_not_claimed_goes_no_further,
	    page_that_stays_says_why_and_a_busy_one_is_tried_again,
	    busy_block_is_tried_in_ten_passes_with_rests_that_double,
	    page_that_is_put_off_when_prepared_is_not_claimed,
	    page_that_others_were_faster_with_is_theirs,
	    block_that_cannot_be_put_back_is_left_claimed_and_ends_the_job,
	    block_that_must_not_move_stays_for_that_reason,
	    huge_page_of_which_nothing_moved_is_whole_again,
	    huge_page_that_cannot_be_split_is_tried_in_each_pass,
	    page_without_a_frame_goes_to_another_node_that_will_do,
	    page_without_a_frame_is_picked_again_in_its_own_block,
	};
	Suite *suite = suite_create("job_steps");
	TCase *tcase = tcase_create("steps");

	tcase_set_timeout(tcase, 60);
	tcase_add_checked_fixture(tcase, setup, teardown);
	for (size_t i = 0; i < sizeof(steps) / sizeof(steps[0]); i++)
		tcase_add_test(tcase, steps[i]);
	tcase_add_loop_test(tcase, full_node_is_asked_again_if_something_has_moved, 0, 3);
	tcase_add_loop_test(tcase, page_that_another_job_holds_is_asked_for_and_tried_again, 0, 2);
	tcase_add_loop_test(tcase, page_in_swap_stays_there_if_it_is_to_be_skipped, 0, 2);
	tcase_add_loop_test(tcase, huge_page_of_which_a_part_moves_is_split_and_counted, 0, 2);
	suite_add_tcase(suite, tcase);
	return run_suite(suite);
}
