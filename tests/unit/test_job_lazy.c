/* A job in mode lazy: what is done with a block that waits, by who has touched it, wants it, or does not. */
#include "../../migrate/jobs/plan_pages.h"
#include "../../migrate/jobs/plan_touch.h"
#include "job_rig.h"

#define SECOND 1000000000ull

static const uint16_t to_1[] = {1, NOWHERE};
static void (*at_out)(struct claim *claim); /* a block is out */
static uint64_t bring_held_ns;
static unsigned int toucher_node;
static int toucher_tid;

static void touch(struct claim *claim, unsigned int page, int tid)
{
	const struct claim_touch touched = {
	    .gfn = claim->block_gfn + page, .tid = tid, .vcpu = tid > 1};

	claim->touched(claim->touched_arg, &touched);
}

static void wait_for_touch(struct claim *claim, const struct bits *pages, const struct bits *gone)
{
	say(claim->in_place ? "wait for writers" : "wait");
	say_pages(pages);
	if (!bits_empty(gone))
		say(" gone");
	say_pages(gone);
	say("\n");
	if (at_out)
		at_out(claim);
}

static void pick(struct claim *claim, const struct bits *pages, unsigned int to)
{
	say("pick for %u", to);
	say_pages(pages);
	say("\n");
	claim->to = to;
}

static unsigned int toucher(struct memory *of, uint64_t gfn, int tid)
{
	(void)of;
	ck_assert_uint_eq(gfn % B, 0);
	toucher_tid = tid;
	return toucher_node;
}

static void bring(struct mover_worker *worker, struct mover_ticket *ticket)
{
	(void)worker;
	say("bring to %u, page %u first, %u at a time\n", ticket->to, ticket->first_page,
	    ticket->run_pages);
	pass_time(MOVE_NS);
	ticket->moved = ticket->out;
	ticket->held_ns = bring_held_ns;
}

static void give_back(struct mover_worker *worker, struct mover_ticket *ticket, int error)
{
	(void)worker, (void)ticket;
	say("give back %s\n", gmig_errno_name(error));
	bits_clear_all(&ticket->moved);
	pass_time(MOVE_NS);
}

/* What does not wait moves as ever. */
static void take_out(struct mover_ticket *ticket)
{
	if (ticket->mode != GMIG_MODE_LAZY)
		return;
	ck_assert_ptr_nonnull(ticket->claim.touched);
	bits_clear_all(&ticket->moved);
	ticket->out = ticket->pages;
}

static void make_lazy(uint64_t deadline_ns)
{
	make(to_1);
	job->work.spec.mode = GMIG_MODE_LAZY;
	job->work.spec.deadline_ns = deadline_ns;
	ck_assert_int_eq(lazy_create(&sys, job->start_ns, deadline_ns, &job->lazy), 0);
	memory_ops.wait = wait_for_touch;
	memory_ops.pick = pick;
	memory_ops.toucher = toucher;
	mover.bring = bring;
	mover.give_back = give_back;
	fake.at_move = take_out;
}

static void make_touch(void)
{
	const struct gmig_job_spec spec = {
	    .from = {0, 1}, .from_count = 2, .to = {1, 0, 2}, .to_count = 3};

	make_lazy(0);
	plan_destroy(&job->plan);
	plan_touch_create(&spec, &job->plan);
	job->plan.later = later_target;
	job->plan.later_arg = job->later;
}

static void touched_at_300(struct claim *claim)
{
	touch(claim, 300, 7);
	touch(claim, 5, 8);
}

static void wanted(struct claim *claim)
{
	touch(claim, 0, 0);
}

#define OUT(pages) "0: 0>1 " pages "\nclaim " pages "\nmove 1\nwait " pages "\n"

START_TEST(touched_block_is_brought_with_its_page_first)
{
	make_lazy(0);
	put_pages(0, 100, 400, 0);
	pace_init(&job->pace, 20 * US);
	at_out = _i ? wanted : touched_at_300;
	run(GMIG_JOB_COMPLETED);
	assert_said(_i ? "refresh 0+16\nbegin\n" OUT(
			     "100-499") "pick for 1 100-499\nbring to 1, page 0 first, 10 at a "
					"time\nsettle 100-499\nfinish 0\n"
					"refresh 0+16\nend\n"
		       : "refresh 0+16\nbegin\n" OUT(
			     "100-499") "pick for 1 100-499\nbring to 1, page 300 first, 10 at a "
					"time\nsettle 100-499\nfinish 0\n"
					"refresh 0+16\nend\n");
	assert_pages(400, 0, 0, 0);
	ck_assert_uint_eq(fake.info.lazy.touched_bytes, _i ? 0 : 400 * GMIG_PAGE_BYTES);
	ck_assert_uint_eq(fake.info.lazy.swept_bytes, _i ? 400 * GMIG_PAGE_BYTES : 0);
	ck_assert_uint_eq(fake.info.lazy.touches, _i ? 0 : 2);
	ck_assert_uint_eq(fake.info.lazy.waiting, 0);
	ck_assert_uint_eq(fake.info.lazy.waiting_max, 1);
	ck_assert_uint_eq(fake.info.passes, 1);
	ck_assert_uint_eq(fake.records, 1);
	ck_assert_uint_eq(fake.record[0].pages, 400);
	ck_assert_uint_eq(fake.record[0].moved_pages, 400);
	ck_assert_int_eq(fake.record[0].error, 0);
	ck_assert_uint_eq(fake.info.elapsed_ns, 4 * MOVE_NS);
}
END_TEST

static void take_out_and_hold(struct mover_ticket *ticket)
{
	take_out(ticket);
	ticket->held_ns = 30 * US;
}

/* As it is taken out, and as it is brought. */
START_TEST(guest_is_charged_for_both_ways_of_a_block)
{
	make_lazy(0);
	put_huge(0, 0);
	at_out = touched_at_300;
	fake.at_move = take_out_and_hold;
	bring_held_ns = 500 * US;
	run(GMIG_JOB_COMPLETED);
	ck_assert_uint_eq(memory.slowdown.lost_ns, 530 * US);
	ck_assert_uint_eq(memory.slowdown.reserved_ns, 0);
	/* A huge page that is brought is one that is moved. */
	ck_assert_uint_eq(fake.info.rounds_readable + fake.info.rounds_block, 1);
	ck_assert_uint_eq(job->cost_ns[true], 175 * US + 500 * US / 8);
}
END_TEST

START_TEST(huge_page_waits_in_place_for_writers_if_only_they_move_it)
{
	make_lazy(0);
	put_huge(0, 0);
	job->work.spec.lazy = GMIG_LAZY_WRITE;
	at_out = touched_at_300;
	run(GMIG_JOB_COMPLETED);
	assert_said(
	    "refresh 0+16\nbegin\n0: 0>1 huge all\nclaim all\nmove 1\nwait for writers all\n"
	    "pick for 1 all\nbring to 1, page 300 first, 0 at a time\nsettle all\nfinish 0\n"
	    "refresh 0+16\nend\n");
	assert_pages(B, 0, 0, 0);
}
END_TEST

START_TEST(what_nobody_touches_is_swept_for_the_deadline)
{
	make_lazy(10 * SECOND);
	put_huge(0, 0);
	run(GMIG_JOB_COMPLETED);
	assert_pages(B, 0, 0, 0);
	ck_assert_uint_eq(fake.info.lazy.swept_bytes, GMIG_BLOCK_BYTES);
	ck_assert_uint_eq(fake.info.lazy.touched_bytes, 0);
	/* It takes 2 ms, and one half more: or it begins when the server has seen the deadline before the block. */
	ck_assert_uint_le(fake.info.elapsed_ns, 10 * SECOND + 4 * MOVE_NS);
	ck_assert_uint_ge(fake.info.elapsed_ns, 10 * SECOND - 5 * MS);
}
END_TEST

static unsigned int refused;

static int refuse_one(struct mover_worker *worker)
{
	return worker->number == refused ? -EAGAIN : 0;
}

/* There is no room for the worker that takes out (0), or for the one that serves. */
START_TEST(block_moves_at_once_if_a_worker_is_missing)
{
	make_lazy(0);
	put_huge(0, 0);
	put_huge(1, 0);
	refused = (unsigned int)_i;
	mover.worker_begin = refuse_one;
	at_out = touched_at_300;
	run(GMIG_JOB_COMPLETED);
	assert_said("refresh 0+16\nbegin\n"
		    "0: 0>1 huge all\nclaim all\nmove 1\nsettle all\nfinish 0\n"
		    "1: 0>1 huge all\nclaim all\nmove 1\nsettle all\nfinish 1\n"
		    "refresh 0+16\nend\n");
	assert_pages(2 * B, 0, 0, 0);
	ck_assert_uint_eq(fake.info.lazy.waiting_max, 0);
	ck_assert_uint_eq(fake.info.lazy.swept_bytes, 2 * GMIG_BLOCK_BYTES);
	ck_assert_uint_eq(fake.info.passes, 1);
}
END_TEST

/* ---- What does not wait ---------------------------------------------------------------------------- */

static int refuse(struct mover_ticket *ticket)
{
	(void)ticket;
	return -EPERM;
}

START_TEST(block_that_cannot_be_prepared_does_not_wait)
{
	make_lazy(0);
	put_pages(0, 0, 3, 0);
	fake.at_prepare = refuse;
	run(GMIG_JOB_COMPLETED);
	assert_said("refresh 0+16\nbegin\n0: 0>1 0-2 EPERM\nrefresh 0+16\nend\n");
	assert_pages(0, 3, 0, 0);
	assert_remaining(0, EPERM, 3);
	ck_assert_uint_eq(fake.records, 1);
	ck_assert_int_eq(fake.record[0].error, -EPERM);
	ck_assert_uint_eq(fake.info.lazy.waiting_max, 0);
}
END_TEST

static void others_take_it(struct claim *claim)
{
	put_small(claim->block_gfn / B, 3);
}

START_TEST(block_that_is_lost_to_others_does_not_wait)
{
	make_lazy(0);
	put_pages(0, 0, 3, 0);
	fake.at_claim = others_take_it;
	run(GMIG_JOB_COMPLETED);
	assert_said("refresh 0+16\nbegin\n0: 0>1 0-2\nclaim\nfinish 0\nrefresh 0+16\nend\n");
	assert_pages(0, 0, 0, 3);
	ck_assert_uint_eq(fake.records, 1);
	ck_assert_int_eq(fake.record[0].error, -EBUSY);
}
END_TEST

/* Two of its pages are gone, one is busy: none of it is out. */
static void none_is_out(struct mover_ticket *ticket)
{
	take_out(ticket);
	bits_clear_all(&ticket->out);
	bits_set_range(&ticket->gone, 0, 2);
	ticket->error[2] = -EPERM;
}

START_TEST(block_of_which_nothing_is_out_is_settled_at_once)
{
	make_lazy(0);
	put_pages(0, 0, 3, 0);
	fake.at_move = none_is_out;
	run(GMIG_JOB_COMPLETED);
	assert_said(
	    "refresh 0+16\nbegin\n0: 0>1 0-2\nclaim 0-2\nmove 1\nsettle gone 0-1\nfinish 0\n"
	    "refresh 0+16\nend\n");
	assert_pages(0, 1, 2, 0);
	assert_remaining(0, EPERM, 1);
	ck_assert_uint_eq(fake.records, 1);
	ck_assert_int_eq(fake.record[0].error, -EPERM);
}
END_TEST

static void lose(struct mover_ticket *ticket)
{
	take_out(ticket);
	ticket->lost = true;
	ticket->error[0] = -EFAULT;
	atomic_store(&memory.fatal, true);
}

START_TEST(block_that_is_lost_as_it_is_taken_out_does_not_wait)
{
	make_lazy(0);
	put_huge(0, 0);
	fake.at_move = lose;
	run(GMIG_JOB_FAILED);
	assert_said(
	    "refresh 0+16\nbegin\n0: 0>1 huge all\nclaim all\nmove 1\nabandon 0\nfinish 0\nend\n");
	ck_assert_int_eq(fake.info.error.code, -EIO);
	assert_pages(0, B, 0, 0);
}
END_TEST

/* A part is out; the rest has its result already. */
static void half_is_out(struct mover_ticket *ticket)
{
	take_out(ticket);
	bits_clear_range(&ticket->out, 0, 10);
	bits_set_range(&ticket->gone, 0, 4);
	for (unsigned int i = 4; i < 10; i++)
		ticket->error[i] = -EPERM;
}

START_TEST(part_of_a_block_waits)
{
	make_lazy(0);
	put_pages(0, 0, 30, 0);
	fake.at_move = half_is_out;
	at_out = touched_at_300;
	run(GMIG_JOB_COMPLETED);
	assert_said("refresh 0+16\nbegin\n0: 0>1 0-29\nclaim 0-29\nmove 1\nwait 10-29 gone 0-3\n"
		    "pick for 1 10-29\nbring to 1, page 300 first, 0 at a time\nsettle 10-29 gone "
		    "0-3\nfinish 0\n"
		    "refresh 0+16\nend\n");
	assert_pages(20, 6, 4, 0);
	assert_remaining(0, EPERM, 6);
	ck_assert_uint_eq(fake.info.lazy.touched_bytes, 20 * GMIG_PAGE_BYTES);
}
END_TEST

/* ---- What is said while it waits ----------------------------------------------------------------------- */

static void cancel(struct claim *claim)
{
	(void)claim;
	ck_assert_int_eq(gmig_job_cancel(job), 0);
}

START_TEST(cancelled_job_gives_back_what_waits)
{
	make_lazy(0);
	put_huge(0, 0);
	put_huge(1, 0);
	at_out = cancel;
	run(GMIG_JOB_CANCELLED);
	assert_said("refresh 0+16\nbegin\n0: 0>1 huge all\nclaim all\nmove 1\nwait all\n"
		    "pick for 1 all\ngive back EAGAIN\nsettle\nfinish 0\nend\n");
	assert_pages(0, 2 * B, 0, 0);
	assert_remaining(0, ECANCELED, 2 * B);
	ck_assert_uint_eq(fake.info.remaining_count, 1);
	ck_assert_uint_eq(fake.info.lazy.given_back, 1);
	ck_assert_uint_eq(count_on(0, 0), B);
}
END_TEST

static unsigned int calls;

/* A later command names one page of it; then it is touched. */
static void another_names_one(struct claim *claim)
{
	struct page_list *list = page_list_create(1);
	const struct later_word word = {.id = 9, .pages = list};

	list->run[0] = (struct page_run){20, 3, 1};
	if (!calls++)
		ck_assert_int_eq(later_add(job->later, &word), 0);
	page_list_put(list);
	touch(claim, 5, 7);
}

START_TEST(block_that_a_later_command_names_goes_back_and_waits_without_that_page)
{
	make_lazy(0);
	put_pages(0, 0, 30, 0);
	at_out = another_names_one;
	run(GMIG_JOB_COMPLETED);
	assert_said("refresh 0+16\nbegin\n"
		    "0: 0>1 0-29\nclaim 0-29\nmove 1\nwait 0-29\n"
		    "pick for 1 0-29\ngive back EAGAIN\nsettle\nfinish 0\n"
		    "0: 0>1 0-19,21-29\nclaim 0-19,21-29\nmove 1\nwait 0-19,21-29\n"
		    "pick for 1 0-19,21-29\nbring to 1, page 5 first, 0 at a time\n"
		    "settle 0-19,21-29\nfinish 0\nrefresh 0+16\nend\n");
	assert_pages(29, 0, 0, 1);
	ck_assert_uint_eq(fake.info.passes, 2);
	ck_assert_uint_eq(fake.info.lazy.given_back, 1);
	ck_assert_uint_eq(fake.info.lazy.touched_bytes, 29 * GMIG_PAGE_BYTES);
}
END_TEST

/* ---- To whoever touches it ------------------------------------------------------------------------------ */

static void touched_by_9(struct claim *claim)
{
	touch(claim, 4, 9);
}

START_TEST(block_goes_to_the_node_of_its_toucher)
{
	make_touch();
	put_huge(0, 0);
	toucher_node = 2;
	at_out = touched_by_9;
	run(GMIG_JOB_COMPLETED);
	assert_said(
	    "refresh 0+16\nbegin\n0: 0>1 huge all\nclaim all\nmove 1\nwait all\n"
	    "pick for 2 all\nbring to 2, page 4 first, 0 at a time\nsettle all\nfinish 0\nend\n");
	ck_assert_int_eq(toucher_tid, 9);
	ck_assert_uint_eq(count_on(0, 2), B);
	assert_pages(B, 0, 0, 0);
	ck_assert_uint_eq(fake.record[0].to, 2);
}
END_TEST

/* 0: touched from where it lies; 1: from a node that is no target; 2: a device wants it. */
START_TEST(block_whose_toucher_is_where_it_lies_or_nowhere_to_go_to_goes_back)
{
	make_touch();
	put_huge(0, 0);
	toucher_node = _i == 1 ? 5 : 0;
	at_out = _i == 2 ? wanted : touched_by_9;
	run(GMIG_JOB_COMPLETED);
	assert_said("refresh 0+16\nbegin\n0: 0>1 huge all\nclaim all\nmove 1\nwait all\n"
		    "pick for 1 all\ngive back EAGAIN\nsettle\nfinish 0\nend\n");
	assert_pages(0, _i == 1 ? B : 0, 0, _i == 1 ? 0 : B);
	if (_i == 1)
		assert_remaining(0, EACCES, B);
	ck_assert_uint_eq(fake.info.lazy.in_place_bytes, _i == 0 ? GMIG_BLOCK_BYTES : 0);
	ck_assert_uint_eq(fake.info.lazy.given_back, _i != 0);
	ck_assert_uint_eq(fake.info.passes, 1);
}
END_TEST

START_TEST(block_whose_toucher_does_not_come_in_time_stays)
{
	make_touch();
	lazy_destroy(job->lazy);
	job->work.spec.deadline_ns = 10 * SECOND;
	ck_assert_int_eq(lazy_create(&sys, job->start_ns, 10 * SECOND, &job->lazy), 0);
	put_huge(0, 0);
	run(GMIG_JOB_COMPLETED);
	assert_pages(0, B, 0, 0);
	assert_remaining(0, ETIMEDOUT, B);
	ck_assert_uint_eq(count_on(0, 0), B);
}
END_TEST

int main(void)
{
	const TTest *const tests[] = {
	    guest_is_charged_for_both_ways_of_a_block,
	    huge_page_waits_in_place_for_writers_if_only_they_move_it,
	    what_nobody_touches_is_swept_for_the_deadline,
	    block_that_cannot_be_prepared_does_not_wait,
	    block_that_is_lost_to_others_does_not_wait,
	    block_of_which_nothing_is_out_is_settled_at_once,
	    block_that_is_lost_as_it_is_taken_out_does_not_wait,
	    part_of_a_block_waits,
	    cancelled_job_gives_back_what_waits,
	    block_that_a_later_command_names_goes_back_and_waits_without_that_page,
	    block_goes_to_the_node_of_its_toucher,
	    block_whose_toucher_does_not_come_in_time_stays,
	};
	Suite *suite = suite_create("job_lazy");
	TCase *tcase = tcase_create("lazy");

	tcase_set_timeout(tcase, 60);
	tcase_add_checked_fixture(tcase, setup, teardown);
	for (size_t i = 0; i < sizeof(tests) / sizeof(tests[0]); i++)
		tcase_add_test(tcase, tests[i]);
	tcase_add_loop_test(tcase, touched_block_is_brought_with_its_page_first, 0, 2);
	tcase_add_loop_test(
	    tcase, block_whose_toucher_is_where_it_lies_or_nowhere_to_go_to_goes_back, 0, 3);
	tcase_add_loop_test(tcase, block_moves_at_once_if_a_worker_is_missing, 0, 2);
	suite_add_tcase(suite, tcase);
	return run_suite(suite);
}
