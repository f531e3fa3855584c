/* When a block has its turn: workers, rounds, rate, budgets, pauses, words of others; and what is told of a job meanwhile. */
#include "job_rig.h"

#include "../../migrate/jobs/job_pages.h"
#include "../../migrate/jobs/plan_pages.h"

#define SECOND 1000000000ull

static const uint16_t to_1[] = {1, NOWHERE};
static unsigned int calls;

static void put_blocks(unsigned int count)
{
	for (unsigned int block = 0; block < count; block++)
		put_small(block, 0);
}

/* The blocks of each round, in the order of rounds. */
static void assert_rounds(const unsigned int *blocks, unsigned int count)
{
	const char *at = fake.said;

	for (unsigned int i = 0; i < count; i++) {
		at = strstr(at, "move ");
		ck_assert_ptr_nonnull(at);
		at += strlen("move ");
		ck_assert_uint_eq(strtoul(at, NULL, 10), blocks[i]);
	}
	ck_assert_ptr_null(strstr(at, "move "));
}
#define ASSERT_ROUNDS(...)                                                                         \
	assert_rounds((const unsigned int[]){__VA_ARGS__},                                         \
		      sizeof((const unsigned int[]){__VA_ARGS__}) / sizeof(unsigned int))

/* ---- Rounds --------------------------------------------------------------------------------------- */

/* Blocks that no worker has begun: those of the second round. */
static int eight_are_ahead(struct mover_ticket *ticket)
{
	ck_assert_uint_eq(atomic_load(&job->work.ahead), ticket->block_gfn < PAGE(8, 0) ? 8 : 0);
	return 0;
}

START_TEST(first_round_is_of_eight_blocks_and_the_next_of_all_that_the_mover_takes)
{
	make(to_1);
	mover.tickets = MOVER_TICKETS;
	put_blocks(BLOCKS);
	fake.at_prepare = eight_are_ahead;
	run(GMIG_JOB_COMPLETED);
	ASSERT_ROUNDS(8, 8);
	assert_pages(PAGES, 0, 0, 0);
}
END_TEST

static void take_100_ms(struct mover_ticket *ticket)
{
	(void)ticket;
	pass_time(100 * MS);
}

static void take_a_second(struct mover_ticket *ticket)
{
	(void)ticket;
	pass_time(SECOND);
}

START_TEST(rounds_of_a_slow_host_are_as_short_as_a_quarter_of_a_second)
{
	make(to_1);
	mover.tickets = MOVER_TICKETS;
	put_blocks(BLOCKS);
	fake.at_move = _i ? take_a_second : take_100_ms;
	run(GMIG_JOB_COMPLETED);
	if (_i)
		ASSERT_ROUNDS(8, 1, 1, 1, 1, 1, 1, 1, 1);
	else
		ASSERT_ROUNDS(8, 2, 2, 2, 2);
	assert_pages(PAGES, 0, 0, 0);
}
END_TEST

START_TEST(round_is_a_twentieth_of_a_second_of_the_rate)
{
	make(to_1);
	mover.tickets = MOVER_TICKETS;
	put_blocks(9);
	rate_init(&job->rate, 60 * GMIG_BLOCK_BYTES + (_i ? 19 * GMIG_BLOCK_BYTES : 0), fake_now());
	run(GMIG_JOB_COMPLETED);
	ASSERT_ROUNDS(3, 3, 3);
}
END_TEST

START_TEST(round_of_a_job_with_a_slowdown_budget_is_an_eighth)
{
	make(to_1);
	mover.tickets = MOVER_TICKETS;
	put_blocks(BLOCKS);
	job->work.spec.max_slowdown_ppm = SLOWDOWN_PPM;
	run(GMIG_JOB_COMPLETED);
	ASSERT_ROUNDS(4, 4, 4, 4);
	ck_assert(fake.info.max_slowdown_met);
	ck_assert_uint_eq(fake.info.slowdown_ppm, 0);
}
END_TEST

/* ---- Workers -------------------------------------------------------------------------------------- */

static unsigned int refusals;

static int refuse(struct mover_worker *worker)
{
	(void)worker;
	return refusals && refusals-- ? -EAGAIN : 0;
}

START_TEST(pass_that_no_worker_had_room_in_is_made_again)
{
	make(to_1);
	put_huge(0, 0);
	memory.thread = fake_thread;
	mover.worker_begin = refuse;
	refusals = 3;
	run(GMIG_JOB_COMPLETED);
	assert_said(
	    "refresh 0+16\nbegin\nthread\nthread ends\nthread\nthread ends\nthread\nthread ends\n"
	    "thread\n0: 0>1 huge all\nclaim all\nmove 1\nsettle all\nfinish 0\nthread ends\n"
	    "refresh 0+16\nend\n");
	assert_pages(B, 0, 0, 0);
	ck_assert_uint_eq(fake.info.passes, 4);
	ck_assert_uint_eq(fake.info.elapsed_ns, (1 + 2 + 4) * MS + 3 * MOVE_NS);
}
END_TEST

START_TEST(job_that_no_worker_ever_has_room_for_leaves_all_to_be_tried_again)
{
	make(to_1);
	put_huge(0, 0);
	mover.worker_begin = refuse;
	refusals = 100;
	job->work.spec.max_bytes = PAGES * GMIG_PAGE_BYTES;
	run(GMIG_JOB_COMPLETED);
	ck_assert_uint_eq(fake.info.passes, 10);
	ck_assert_uint_eq(refusals, 90);
	assert_pages(0, B, 0, 0);
	assert_remaining(0, EAGAIN, B);
}
END_TEST

static unsigned int two_are_of_use(struct mover_job *work)
{
	ck_assert_ptr_eq(work, &job->work);
	return 2;
}

static unsigned int count_said(const char *words)
{
	unsigned int count = 0;

	for (const char *at = fake.said; (at = strstr(at, words)); at += strlen(words))
		count++;
	return count;
}

START_TEST(job_has_as_many_workers_as_are_of_use)
{
	make(to_1);
	put_blocks(BLOCKS);
	memory.thread = fake_thread;
	job->work.spec.threads = 3;
	if (_i)
		mover.workers = two_are_of_use;
	run(GMIG_JOB_COMPLETED);
	ck_assert_uint_eq(count_said("thread\n"), _i ? 2 : 3);
	ck_assert_uint_eq(count_said("thread ends\n"), _i ? 2 : 3);
	ck_assert_uint_eq(count_said("move 1\n"), BLOCKS);
	assert_pages(PAGES, 0, 0, 0);
	ck_assert_uint_eq(atomic_load(&job->work.ahead), 0);
}
END_TEST

static bool no_memory_left;
static unsigned int allocations;

static void *alloc_while_there_is(size_t bytes)
{
	allocations++;
	return no_memory_left ? NULL : calloc(1, bytes);
}

/* What one has given back the next one takes: a list of the group's details, and its own. */
START_TEST(block_that_is_done_with_gives_back_what_its_results_might_have_needed)
{
	make(to_1);
	status_destroy(job->status);
	ck_assert_int_eq(status_create_with(alloc_while_there_is, &job->status), 0);
	put_blocks(BLOCKS);
	run(GMIG_JOB_COMPLETED);
	assert_pages(PAGES, 0, 0, 0);
	ck_assert_uint_ge(allocations, 2 * BLOCKS);
}
END_TEST

static void memory_is_short(struct mover_ticket *ticket)
{
	(void)ticket;
	no_memory_left = true;
}

START_TEST(job_without_memory_for_results_ends_with_what_it_has_moved)
{
	make(to_1);
	status_destroy(job->status);
	ck_assert_int_eq(status_create_with(alloc_while_there_is, &job->status), 0);
	put_blocks(5);
	mover.tickets = 2;
	fake.at_move = memory_is_short;
	run(GMIG_JOB_FAILED);
	ck_assert_int_eq(fake.info.error.code, -ENOMEM);
	ck_assert_str_eq(fake.info.error.text, "no memory for the results of a block");
	ASSERT_ROUNDS(2);
	assert_pages(2 * B, 3 * B, 0, 0);
	assert_remaining(0, ENOMEM, 3 * B);
}
END_TEST

/* ---- The rate ------------------------------------------------------------------------------------- */

START_TEST(block_is_paid_for_before_it_moves)
{
	make(to_1);
	put_blocks(3);
	put_pages(3, 0, 256, 0);
	rate_init(&job->rate, GMIG_BLOCK_BYTES, fake_now());
	run(GMIG_JOB_COMPLETED);
	ck_assert_uint_eq(fake.info.elapsed_ns, 3 * SECOND + SECOND / 2 + 3 * MOVE_NS);
	ck_assert_uint_eq(fake.info.spec.rate_bytes_per_second, GMIG_BLOCK_BYTES);
}
END_TEST

/* The first moves as part of a larger page: two more blocks go along, of which one is in the plan. */
static void two_go_along(struct mover_ticket *ticket)
{
	if (ticket->block_gfn)
		return;
	put_small(1, 1);
	atomic_fetch_add(&job->work.along, B);
	atomic_fetch_add(&job->work.debt, 2 * B);
}

START_TEST(what_moves_along_is_paid_for_afterwards_and_counts_as_moved)
{
	make(to_1);
	put_blocks(3);
	rate_init(&job->rate, GMIG_BLOCK_BYTES, fake_now());
	fake.at_move = two_go_along;
	run(GMIG_JOB_COMPLETED);
	assert_pages(3 * B, 0, 0, 0);
	ck_assert_uint_eq(count_said("move 1\n"), 2);
	ck_assert_uint_eq(fake.info.elapsed_ns, 4 * SECOND + 3 * MOVE_NS);
	ck_assert_uint_eq(atomic_load(&job->work.debt), 0);
	ck_assert_uint_eq(atomic_load(&job->work.along), 0);
}
END_TEST

/* Of what is missing later: 100 went along, 50 are gone, and the rest is somebody else's doing. */
static void some_go_along(struct mover_ticket *ticket)
{
	if (ticket->block_gfn)
		return;
	put_small(1, 5);
	put_pages(1, 0, 50, NOWHERE);
	put_pages(2, 0, 5, NOWHERE);
	atomic_fetch_add(&job->work.along, 100);
}

START_TEST(what_is_missing_later_went_along_is_gone_or_was_moved_by_others)
{
	make(to_1);
	put_blocks(3);
	put_pages(2, 500, 12, NOWHERE);
	put_pages(3, 0, 7, 0);
	fake.at_move = some_go_along;
	run(GMIG_JOB_COMPLETED);
	assert_pages(B + 100 + 495 + 7, 0, 55, 362);
}
END_TEST

/* ---- Others, while it waits ------------------------------------------------------------------------- */

static void others_move_all(void)
{
	if (calls++)
		return;
	put_small(0, 5);
	put_pages(0, 10, 20, NOWHERE);
	put_small(1, 1);
}

static void assert_status(uint64_t block, unsigned int page, int want)
{
	int got;

	ck_assert_int_eq(gmig_job_page_status(job, PAGE(block, page) * GMIG_PAGE_BYTES, 1, &got),
			 0);
	ck_assert_int_eq(got, want);
}

/* 0: it waits for its rate; 1: for its budget. */
START_TEST(job_that_waits_for_what_others_have_moved_goes_on)
{
	make(to_1);
	put_blocks(_i ? 2 : 1);
	put_small(1, 0);
	put_small(2, 0);
	mover.tickets = 16;
	if (_i) {
		job->work.spec.max_slowdown_ppm = 100;
	} else {
		rate_init(&job->rate, GMIG_BLOCK_BYTES / 4, fake_now());
	}
	fake.at_wait = others_move_all;
	run(GMIG_JOB_COMPLETED);
	assert_pages(B, 0, 20, 2 * B - 20);
	ASSERT_ROUNDS(1);
	assert_status(0, 9, 5);
	assert_status(0, 10, -ENOENT);
	assert_status(0, 30, 5);
	assert_status(1, 0, 1);
	assert_status(2, 0, 1);
	if (!_i) /* four for the block that moves, one for that which does not; nothing is spent for that */
		ck_assert_uint_eq(fake.info.elapsed_ns / SECOND, 4);
}
END_TEST

static void others_move_half(void)
{
	if (!calls++)
		put_pages(0, 0, 256, 5);
}

START_TEST(job_that_waits_moves_what_others_have_left)
{
	make(to_1);
	put_blocks(1);
	rate_init(&job->rate, GMIG_BLOCK_BYTES / 4, fake_now());
	fake.at_wait = others_move_half;
	run(GMIG_JOB_COMPLETED);
	assert_said(
	    "refresh 0+16\nbegin\n0: 0>1 all\nclaim 256-511\nmove 1\nsettle 256-511\nfinish 0\n"
	    "refresh 0+16\nend\n");
	assert_pages(256, 0, 0, 256);
	/* It had been paid for: so much may go at once now. */
	ck_assert_uint_eq(fake.info.elapsed_ns, 4 * SECOND + 3 * MOVE_NS);
	ck_assert_uint_ge(job->rate.tokens, GMIG_BLOCK_BYTES / 2);
}
END_TEST

static void others_name_some(void)
{
	struct page_list *list = page_list_create(2);
	const struct later_word word = {.id = 9, .pages = list};

	list->run[0] = (struct page_run){10, 3, 5};
	list->run[1] = (struct page_run){B, 3, B};
	if (!calls++)
		ck_assert_int_eq(later_add(job->later, &word), 0);
	page_list_put(list);
}

START_TEST(block_that_a_later_command_names_before_it_is_claimed_is_picked_again)
{
	make(to_1);
	put_blocks(3);
	mover.tickets = 3;
	job->pace.rest_ns = 50 * US;
	fake.at_rest = others_name_some;
	run(GMIG_JOB_COMPLETED);
	assert_said("refresh 0+16\nbegin\nrest 50\nrest 50\n"
		    "0: 0>1 0-9,15-511\nclaim 0-9,15-511\n2: 0>1 all\nclaim all\nmove 2\n"
		    "settle 0-9,15-511\nfinish 0\nsettle all\nfinish 2\nrefresh 0+16\nend\n");
	assert_pages(2 * B - 5, 0, 0, B + 5);
	assert_status(0, 9, 1);
	assert_status(0, 10, 0);
	assert_status(0, 14, 0);
	assert_status(0, 15, 1);
	assert_status(1, 511, 0);
	/* Nobody is within a round any more. */
	ck_assert_uint_eq(atomic_load(&job->rounds[0]) % 2, 0);
}
END_TEST

/* ---- Cancel ------------------------------------------------------------------------------------------ */

static void cancel_in_the_second(struct mover_ticket *ticket)
{
	if (ticket->block_gfn == PAGE(1, 0))
		ck_assert_int_eq(gmig_job_cancel(job), 0);
}

START_TEST(cancelled_job_moves_what_it_has_begun_and_says_so_of_the_rest)
{
	int status[4];

	make(to_1);
	put_blocks(5);
	put_pages(4, 0, 10, NOWHERE);
	put_pages(4, 10, 10, 3);
	fake.at_move = cancel_in_the_second;
	run(GMIG_JOB_CANCELLED);
	ASSERT_ROUNDS(1, 1);
	assert_pages(2 * B, 3 * B - 20, 0, 0);
	assert_remaining(0, ECANCELED, 3 * B - 20);
	ck_assert_uint_eq(fake.info.remaining_count, 1);
	ck_assert_uint_eq(job->cut_gfn, 2 * B);
	assert_status(1, 511, 1);
	assert_status(2, 0, -ECANCELED);
	assert_status(4, 9, -ENOENT);
	assert_status(4, 19, 3);
	assert_status(4, 20, -ECANCELED);
	assert_status(9, 0, -ENOENT);
	/* Several at a time, over blocks' ends; of a memory that is gone nobody knows. */
	ck_assert_int_eq(gmig_job_page_status(job, (2 * B - 2) * GMIG_PAGE_BYTES, 4, status), 0);
	ck_assert_int_eq(status[1], 1);
	ck_assert_int_eq(status[2], -ECANCELED);
	ck_assert_int_eq(gmig_job_page_status(job, 1, 1, status), -EINVAL);
	ck_assert_int_eq(gmig_job_page_status(job, GMIG_PAGE_BYTES - 1, 1, status), -EINVAL);
	ck_assert_int_eq(gmig_job_cancel(job), -ESRCH);
	ck_assert_int_eq(gmig_job_set_rate(job, 1), -ESRCH);
	job->memory = NULL;
	ck_assert_int_eq(gmig_job_page_status(job, 0, 1, status), -ESRCH);
	ck_assert_int_eq(gmig_job_page_status(job, 0, 0, status), 0);
}
END_TEST

static void cancel_as_it_waits(void)
{
	ck_assert_int_eq(job_change(job, JOB_CANCEL), 0);
}

/* 0: for its rate; 1: for its budget. */
START_TEST(job_that_is_cancelled_as_it_waits_has_not_begun_its_block)
{
	make(to_1);
	put_blocks(2);
	if (_i)
		job->work.spec.max_slowdown_ppm = 100;
	else
		rate_init(&job->rate, GMIG_BLOCK_BYTES, fake_now());
	fake.at_wait = cancel_as_it_waits;
	run(GMIG_JOB_CANCELLED);
	assert_said("refresh 0+16\nbegin\nend\n");
	assert_pages(0, 2 * B, 0, 0);
	assert_remaining(0, ECANCELED, 2 * B);
	ck_assert_ptr_null(job->rate.line);
	ck_assert_uint_eq(memory.slowdown.reserved_ns, 0);
	ck_assert_ptr_null(memory.slowdown.budgets);
}
END_TEST

static void cancel_in_the_last(struct mover_ticket *ticket)
{
	if (ticket->block_gfn == PAGE(4, 0))
		gmig_job_cancel(job);
}

START_TEST(cancel_that_comes_in_the_last_block_has_stopped_nothing)
{
	make(to_1);
	put_blocks(5);
	fake.at_move = cancel_in_the_last;
	run(GMIG_JOB_COMPLETED);
	assert_pages(5 * B, 0, 0, 0);
	ck_assert_uint_eq(fake.info.passes, 1);
	ck_assert(!job_is_cancelled(job));
}
END_TEST

/* ---- What is told -------------------------------------------------------------------------------------- */

static enum gmig_job_state told[8];
static unsigned int tells;

static void resume_when_paused(void *opaque, const struct gmig_job_info *info)
{
	ck_assert_ptr_eq(opaque, &memory);
	ck_assert_uint_eq(info->id, 7);
	ck_assert_uint_lt(tells, 8);
	if (!tells || told[tells - 1] != info->state)
		told[tells++] = info->state;
	if (info->state == GMIG_JOB_PAUSED)
		ck_assert_int_eq(gmig_job_resume(job), 0);
}

static void pause_in_the_first(struct mover_ticket *ticket)
{
	if (!ticket->block_gfn)
		ck_assert_int_eq(gmig_job_pause(job), 0);
}

START_TEST(job_tells_its_states_and_waits_while_it_is_paused)
{
	make(to_1);
	memory.job_event = resume_when_paused;
	memory.opaque = &memory;
	put_blocks(3);
	if (_i) /* a budget that leaves room for all */
		job->work.spec.max_slowdown_ppm = SLOWDOWN_PPM;
	fake.at_move = pause_in_the_first;
	run(GMIG_JOB_COMPLETED);
	assert_pages(3 * B, 0, 0, 0);
	ck_assert_uint_ge(tells, 3);
	ck_assert_int_eq(told[0], GMIG_JOB_RUNNING);
	ck_assert_int_eq(told[1], GMIG_JOB_PAUSED);
	ck_assert_int_eq(told[tells - 1], GMIG_JOB_COMPLETED);
	ck_assert(tells == 3 || (tells == 4 && told[2] == GMIG_JOB_RUNNING));
}
END_TEST

static void many_reasons(struct mover_ticket *ticket)
{
	/* 30 pages with the first error, 29 with the next. */
	bits_clear_all(&ticket->moved);
	for (unsigned int i = 0, error = 1; error <= 17; error++)
		for (unsigned int pages = 31 - error; pages; pages--)
			if (i < B)
				ticket->error[i++] = (int16_t)(-30 - (int)error);
	gmig_job_cancel(job);
}

START_TEST(sixteen_reasons_are_told_and_those_with_most_pages_first)
{
	make(to_1);
	put_pages(0, 0, 374, 0); /* 30 + 29 + .. + 14 */
	put_small(1, 0);
	fake.at_move = many_reasons;
	run(GMIG_JOB_CANCELLED);
	ck_assert_uint_eq(fake.info.remaining_count, GMIG_MAX_REMAINING);
	for (unsigned int i = 0; i < GMIG_MAX_REMAINING; i++)
		assert_remaining(i, (int)i + 31, 30 - i);
	assert_pages(0, 374 + B, 0, 0);
}
END_TEST

static void three_are_broken(struct mover_ticket *ticket)
{
	bits_clear_range(&ticket->moved, 5, 3);
	ticket->error[5] = ticket->error[6] = ticket->error[7] = -EIO;
	fake.walk_fails = -EIO;
}

START_TEST(what_was_not_reached_is_told_with_what_stayed_for_the_same_reason)
{
	make(to_1);
	put_blocks(3);
	fake.at_move = three_are_broken;
	run(GMIG_JOB_FAILED);
	assert_pages(B - 3, 2 * B + 3, 0, 0);
	ck_assert_uint_eq(fake.info.remaining_count, 1);
	assert_remaining(0, EIO, 2 * B + 3);
}
END_TEST

/* ---- What it costs ---------------------------------------------------------------------------------------- */

static unsigned int four_vcpus(struct memory *of)
{
	(void)of;
	return 4;
}

static void costs(struct mover_ticket *ticket)
{
	ticket->claim.slept.ns = 400 * US;
	ticket->held_ns = 30 * US;
	ticket->copy_ns = 80 * US;
	pass_time(SECOND - 3 * MOVE_NS);
}

/* An average vCPU has lost a quarter of what all have slept, what held it up, and an eighth of the copy. */
START_TEST(slowdown_is_what_an_average_vcpu_has_lost_of_the_time)
{
	make(to_1);
	put_blocks(2);
	memory_ops.vcpus = _i ? four_vcpus : NULL;
	fake.at_move = costs;
	run(GMIG_JOB_COMPLETED);
	ck_assert_uint_eq(fake.info.elapsed_ns, 2 * SECOND);
	ck_assert_uint_eq(fake.info.slowdown_ppm, _i ? 140 : 440);
	ck_assert_uint_eq(memory.slowdown.lost_ns, 2 * (_i ? 140 : 440) * US);
	ck_assert_uint_eq(job->cost_ns[1], 200 * US);
	/* An eighth of it is that of the last block. */
	ck_assert_uint_eq(job->cost_ns[0], _i ? 492188 : 562500);
	ck_assert(!fake.info.max_slowdown_met);
	ck_assert(!fake.info.max_slowdown_stuck);
}
END_TEST

static void note_modes(struct mover_ticket *ticket)
{
	say("mode %d, %u at a time\n", (int)ticket->mode, ticket->run_pages);
	ticket->claim.slept.ns = 10;
	ticket->claim.slept.longest_ns = 10;
	ticket->claim.slept.threads = ticket->claim.slept.writers = 1;
}

START_TEST(mode_is_the_one_that_was_asked_for_or_chosen_for_each_kind_of_pages)
{
	static const enum gmig_mode modes[] = {GMIG_MODE_AUTO, GMIG_MODE_READABLE, GMIG_MODE_BLOCK,
					       GMIG_MODE_LAZY};

	make(to_1);
	put_blocks(2);
	put_huge(2, 0);
	job->work.spec.mode = modes[_i];
	pace_init(&job->pace, 20 * US);
	job->work.spec.max_stall_ns = 20 * US;
	fake.at_move = note_modes;
	run(GMIG_JOB_COMPLETED);
	ck_assert_uint_eq(count_said("10 at a time\n"), 3);
	ck_assert_uint_eq(count_said("mode 1"), _i == 2 ? 0 : 3);
	ck_assert_uint_eq(count_said("mode 2"), _i == 2 ? 3 : 0);
	ck_assert_uint_eq(fake.info.rounds_readable, _i == 2 ? 0 : 3);
	ck_assert_uint_eq(fake.info.rounds_block, _i == 2 ? 3 : 0);
	ck_assert_uint_eq(job->choose[0].way[_i == 2].noted, 2);
	ck_assert_uint_eq(job->choose[1].way[_i == 2].noted, 1);
	ck_assert_uint_eq(job->choose[0].way[_i == 2].with_writers, 2);
	/* What slept, and an eighth of what it took: of ten pages, if they are small. */
	ck_assert_uint_eq(job->choose[0].way[_i == 2].cost[0], 10 + MOVE_NS / 8);
	ck_assert_uint_eq(job->choose[0].way[_i == 2].part[0], MOVE_NS * 10 / 512);
	ck_assert_uint_eq(job->choose[1].way[_i == 2].part[0], MOVE_NS);
	ck_assert_uint_eq(job->pace.in_time, 3);
}
END_TEST

int main(void)
{
	const TTest *const turns[] = {
	    first_round_is_of_eight_blocks_and_the_next_of_all_that_the_mover_takes,
	    round_of_a_job_with_a_slowdown_budget_is_an_eighth,
	    pass_that_no_worker_had_room_in_is_made_again,
	    job_that_no_worker_ever_has_room_for_leaves_all_to_be_tried_again,
	    block_that_is_done_with_gives_back_what_its_results_might_have_needed,
	    job_without_memory_for_results_ends_with_what_it_has_moved,
	    block_is_paid_for_before_it_moves,
	    what_moves_along_is_paid_for_afterwards_and_counts_as_moved,
	    what_is_missing_later_went_along_is_gone_or_was_moved_by_others,
	    job_that_waits_moves_what_others_have_left,
	    block_that_a_later_command_names_before_it_is_claimed_is_picked_again,
	    cancelled_job_moves_what_it_has_begun_and_says_so_of_the_rest,
	    cancel_that_comes_in_the_last_block_has_stopped_nothing,
	    sixteen_reasons_are_told_and_those_with_most_pages_first,
	    what_was_not_reached_is_told_with_what_stayed_for_the_same_reason,
	};
	Suite *suite = suite_create("job_turns");
	TCase *tcase = tcase_create("turns");

	tcase_set_timeout(tcase, 60);
	tcase_add_checked_fixture(tcase, setup, teardown);
	for (size_t i = 0; i < sizeof(turns) / sizeof(turns[0]); i++)
		tcase_add_test(tcase, turns[i]);
	tcase_add_loop_test(tcase, rounds_of_a_slow_host_are_as_short_as_a_quarter_of_a_second, 0,
			    2);
	tcase_add_loop_test(tcase, round_is_a_twentieth_of_a_second_of_the_rate, 0, 2);
	tcase_add_loop_test(tcase, job_has_as_many_workers_as_are_of_use, 0, 2);
	tcase_add_loop_test(tcase, job_that_waits_for_what_others_have_moved_goes_on, 0, 2);
	tcase_add_loop_test(tcase, job_that_is_cancelled_as_it_waits_has_not_begun_its_block, 0, 2);
	tcase_add_loop_test(tcase, job_tells_its_states_and_waits_while_it_is_paused, 0, 2);
	tcase_add_loop_test(tcase, slowdown_is_what_an_average_vcpu_has_lost_of_the_time, 0, 2);
	tcase_add_loop_test(
	    tcase, mode_is_the_one_that_was_asked_for_or_chosen_for_each_kind_of_pages, 0, 4);
	suite_add_tcase(suite, tcase);
	return run_suite(suite);
}
