/* Mode lazy: the queue of what waits for a touch, by a clock of its own. */
#include "../../migrate/core/sys.h"
#include "../../migrate/jobs/lazy.h"
#include "suite.h"

#include <errno.h>
#include <stdatomic.h>

static struct lazy *lazy;
static struct gmig_sys clocked;
static atomic_ullong clock_ns;

static uint64_t clock_now(void)
{
	return atomic_load(&clock_ns);
}

/* Nothing changes while this thread is alone: time passes. */
static int clock_wait(pthread_cond_t *cond, pthread_mutex_t *mutex, uint64_t deadline_ns)
{
	(void)cond, (void)mutex;
	if (deadline_ns > clock_now())
		atomic_store(&clock_ns, deadline_ns);
	return -ETIMEDOUT;
}

#define SECOND 1000000000ull

static void setup_queue(void)
{
	clocked = gmig_sys_real;
	clocked.now_ns = clock_now;
	clocked.wait_until = clock_wait;
	atomic_store(&clock_ns, 5 * SECOND);
	ck_assert_int_eq(lazy_create(&clocked, 5 * SECOND, 20 * SECOND, &lazy), 0);
	lazy_begin(lazy, 1);
	lazy_server(lazy, true);
}

static void teardown_queue(void)
{
	lazy_destroy(lazy);
}

static void add(struct lazy_block *block, uint64_t number)
{
	*block = (struct lazy_block){
	    .lazy = lazy, .block_gfn = number * GMIG_BLOCK_PAGES, .bytes = GMIG_BLOCK_BYTES};
	ck_assert(lazy_room(lazy));
	lazy_add(block);
}

static void expect_next(struct lazy_block *block, enum lazy_why why)
{
	ck_assert_ptr_eq(lazy_next(lazy, true), block);
	ck_assert_int_eq(block->why, why);
}

START_TEST(touched_blocks_come_first_in_the_order_of_touches)
{
	const struct claim_touch touch = {.tid = 1}, want = {.tid = 0};
	struct lazy_block block[4];

	for (unsigned int i = 0; i < 4; i++)
		add(&block[i], i);
	lazy_touch(&block[3], &touch);
	lazy_touch(&block[1], &want);
	lazy_touch(&block[3], &touch);
	expect_next(&block[3], LAZY_TOUCHED);
	expect_next(&block[1], LAZY_WANTED);
	lazy_touch(&block[1], &touch); /* it is worked on already */
	expect_next(&block[0], LAZY_SWEPT);
	ck_assert_uint_eq(clock_now(), 25 * SECOND);
	expect_next(&block[2], LAZY_SWEPT);
	ck_assert_ptr_null(lazy_next(lazy, true));
}
END_TEST

START_TEST(block_that_was_touched_before_it_was_listed_is_due_at_once)
{
	const struct claim_touch touch = {.tid = 1, .vcpu = true};
	struct lazy_block block = {.lazy = lazy, .bytes = GMIG_BLOCK_BYTES};
	struct gmig_lazy_info info;

	lazy_touch(&block, &touch);
	lazy_add(&block);
	expect_next(&block, LAZY_TOUCHED);
	lazy_done(&block, GMIG_BLOCK_BYTES, 0, false);
	lazy_info(lazy, &info);
	ck_assert_uint_eq(info.touched_bytes, GMIG_BLOCK_BYTES);
	ck_assert_uint_eq(info.touches_by_vcpu, 1);
	ck_assert(!lazy_put_off(lazy));
}
END_TEST

START_TEST(oldest_block_makes_room_when_others_had_to_go_back)
{
	struct lazy_block block[3];

	for (unsigned int i = 0; i < 3; i++) {
		add(&block[i], i);
		atomic_fetch_add(&clock_ns, SECOND / 10);
	}
	lazy_hold(lazy, true);
	expect_next(&block[0], LAZY_HELD);
	lazy_done(&block[0], 0, 0, true);
	lazy_hold(lazy, false);
	ck_assert(lazy_put_off(lazy));
	expect_next(&block[1], LAZY_TURN);
	ck_assert_uint_eq(clock_now(), 6 * SECOND + SECOND / 10);
	expect_next(&block[2], LAZY_TURN);
}
END_TEST

START_TEST(no_more_than_so_many_wait_until_the_sweep)
{
	static struct lazy_block block[LAZY_BLOCKS];
	struct gmig_lazy_info info;

	for (unsigned int i = 0; i < LAZY_BLOCKS; i++)
		add(&block[i], i);
	/* Nobody serves, so that there is no room before the sweep, and then nothing waits any more. */
	ck_assert(!lazy_room(lazy));
	ck_assert_uint_eq(clock_now(), 25 * SECOND);
	lazy_info(lazy, &info);
	ck_assert_uint_eq(info.waiting_max, LAZY_BLOCKS);
	expect_next(&block[0], LAZY_SWEPT);
}
END_TEST

START_TEST(sweep_begins_as_early_as_the_rest_takes)
{
	struct lazy_block block;

	add(&block, 0);
	/* 100 MiB at 50 MiB/s, and one half more. */
	lazy_expect(lazy, 100 << 20, 50 << 20, 1);
	expect_next(&block, LAZY_SWEPT);
	ck_assert_uint_eq(clock_now(), 22 * SECOND);
}
END_TEST

/* 1.5 * 2^34 s are more nanoseconds than fit in 64 bits. */
START_TEST(sweep_by_a_rate_that_never_gets_done_begins_at_once)
{
	struct lazy_block block;

	add(&block, 0);
	lazy_expect(lazy, 16ull << 30, 1, 1);
	expect_next(&block, LAZY_SWEPT);
	ck_assert_uint_eq(clock_now(), 5 * SECOND);
}
END_TEST

START_TEST(slow_copies_begin_a_sweep_earlier)
{
	struct lazy_block block;

	add(&block, 0);
	lazy_hold(lazy, true);
	expect_next(&block, LAZY_HELD);
	lazy_done(&block, GMIG_BLOCK_BYTES, 8 * SECOND, false);
	lazy_hold(lazy, false);
	add(&block, 1);
	/* A byte takes 7/8 of what was thought, and an eighth of what it took. */
	lazy_expect(lazy, 2 * GMIG_BLOCK_BYTES, 0, 1);
	expect_next(&block, LAZY_SWEPT);
	ck_assert_uint_le(clock_now(), 22 * SECOND);
	ck_assert_uint_ge(clock_now(), 21 * SECOND);
}
END_TEST

START_TEST(results_are_needed_until_all_parts_are_done_with)
{
	ck_assert(lazy_release(lazy, 512)); /* nothing of it waits */
	lazy_keep(lazy, 512);
	lazy_keep(lazy, 512);
	lazy_keep(lazy, 1024);
	ck_assert(!lazy_release(lazy, 512));
	ck_assert(!lazy_release(lazy, 512));
	ck_assert(lazy_release(lazy, 512));
	ck_assert(!lazy_release(lazy, 1024));
	ck_assert(lazy_release(lazy, 1024));
}
END_TEST

START_TEST(without_a_server_nothing_waits)
{
	lazy_begin(lazy, 1);
	lazy_server(lazy, false);
	ck_assert(!lazy_await(lazy));
	ck_assert(!lazy_room(lazy));
}
END_TEST

/* ---- What is counted -------------------------------------------------------------------------- */

static struct gmig_lazy_info info_now(void)
{
	struct gmig_lazy_info info;

	lazy_info(lazy, &info);
	return info;
}

static void touch_block(struct lazy_block *block, int tid, bool vcpu, unsigned int page)
{
	const struct claim_touch touch = {.gfn = block->block_gfn + page, .tid = tid, .vcpu = vcpu};

	lazy_touch(block, &touch);
}

START_TEST(first_touch_says_why_where_and_by_whom)
{
	struct lazy_block block[4];

	for (unsigned int i = 0; i < 3; i++)
		add(&block[i], 10 + i);
	touch_block(&block[1], 7, true, 300);
	touch_block(&block[1], 8, true, 4);
	touch_block(&block[2], 9, false, 511);
	touch_block(&block[0], 0, false, 5);
	touch_block(&block[0], 7, true, 6);
	block[3] = (struct lazy_block){.lazy = lazy, .block_gfn = 13 * GMIG_BLOCK_PAGES};
	touch_block(&block[3], 0, false, 2); /* before it is listed */
	touch_block(&block[3], 5, true, 3);
	lazy_add(&block[3]);
	expect_next(&block[1], LAZY_TOUCHED);
	ck_assert_int_eq(block[1].tid, 7);
	ck_assert_uint_eq(block[1].page, 300);
	expect_next(&block[2], LAZY_TOUCHED);
	ck_assert_int_eq(block[2].tid, 0); /* no vCPU's */
	ck_assert_uint_eq(block[2].page, 511);
	expect_next(&block[0], LAZY_WANTED);
	ck_assert_int_eq(block[0].tid, 0);
	ck_assert_uint_eq(block[0].page, 5);
	expect_next(&block[3], LAZY_WANTED);
	ck_assert_uint_eq(block[3].page, 2);
	ck_assert_uint_eq(info_now().touches, 5);
	ck_assert_uint_eq(info_now().touches_by_vcpu, 4);
}
END_TEST

START_TEST(blocks_that_wait_are_counted_until_somebody_has_them)
{
	struct lazy_block block[3];

	for (unsigned int i = 0; i < 3; i++) {
		add(&block[i], i);
		ck_assert_uint_eq(info_now().waiting, i + 1);
	}
	touch_block(&block[1], 7, true, 0);
	ck_assert_uint_eq(info_now().waiting, 3);
	expect_next(&block[1], LAZY_TOUCHED);
	ck_assert_uint_eq(info_now().waiting, 2);
	lazy_done(&block[1], 0, 0, false);
	ck_assert_uint_eq(info_now().waiting, 2);
	ck_assert_uint_eq(info_now().waiting_max, 3);
	add(&block[1], 1);
	ck_assert_uint_eq(info_now().waiting, 3);
	ck_assert_uint_eq(info_now().waiting_max, 3);
}
END_TEST

START_TEST(bytes_count_by_what_became_of_them)
{
	struct lazy_block block[4];

	for (unsigned int i = 0; i < 4; i++)
		add(&block[i], i);
	for (unsigned int i = 0; i < 3; i++)
		touch_block(&block[i], i == 2 ? 0 : 7, false, 0);
	for (unsigned int i = 0; i < 3; i++)
		expect_next(&block[i], i == 2 ? LAZY_WANTED : LAZY_TOUCHED);
	lazy_done(&block[0], 4096, 0, false); /* touched, and moved */
	ck_assert_uint_eq(info_now().touched_bytes, 4096);
	ck_assert_uint_eq(info_now().swept_bytes, 0);
	ck_assert_uint_eq(info_now().given_back, 0);
	block[1].in_place_bytes = 8192; /* touched from where it lies */
	lazy_done(&block[1], 0, 0, false);
	ck_assert_uint_eq(info_now().in_place_bytes, 8192);
	ck_assert_uint_eq(info_now().given_back, 0);
	lazy_done(&block[2], 12288, 0, false); /* others wanted it */
	ck_assert_uint_eq(info_now().swept_bytes, 12288);
	expect_next(&block[3], LAZY_SWEPT);
	lazy_done(&block[3], 0, 0, false);
	ck_assert_uint_eq(info_now().given_back, 1);
	lazy_swept(lazy, 100);
	ck_assert_uint_eq(info_now().swept_bytes, 12388);
	ck_assert_uint_eq(info_now().touched_bytes, 4096);
	ck_assert_uint_eq(info_now().in_place_bytes, 8192);
	ck_assert(!lazy_put_off(lazy));
}
END_TEST

/* ---- Who goes when ------------------------------------------------------------------------------ */

START_TEST(block_that_leaves_the_line_leaves_the_others_in_theirs)
{
	struct lazy_block block[5];

	for (unsigned int i = 0; i < 4; i++)
		add(&block[i], i);
	touch_block(&block[3], 7, false, 0); /* the last one */
	add(&block[4], 4);
	touch_block(&block[1], 7, false, 0); /* from the middle */
	expect_next(&block[3], LAZY_TOUCHED);
	expect_next(&block[1], LAZY_TOUCHED);
	touch_block(&block[0], 7, false, 0); /* the first one */
	expect_next(&block[0], LAZY_TOUCHED);
	expect_next(&block[2], LAZY_SWEPT);
	expect_next(&block[4], LAZY_SWEPT);
	ck_assert_ptr_null(block[4].next);
	ck_assert(!block[4].listed);
	ck_assert_ptr_null(lazy_next(lazy, true));
}
END_TEST

/* Whatever was its reason to go; whoever leaves, too, gives back what is held. */
START_TEST(held_job_gives_back_what_is_due_first_and_then_all_that_waits)
{
	struct lazy_block block[3];

	for (unsigned int i = 0; i < 3; i++)
		add(&block[i], i);
	touch_block(&block[1], 7, false, 0);
	lazy_hold(lazy, true);
	expect_next(&block[1], LAZY_HELD);
	expect_next(&block[0], LAZY_HELD);
	lazy_done(&block[0], 0, 0, true);
	lazy_hold(lazy, false);
	touch_block(&block[2], 7, false, 0);
	expect_next(&block[2], LAZY_TOUCHED);
	ck_assert(lazy_put_off(lazy));
	lazy_done(&block[2], 1, 0, false);
	ck_assert(lazy_put_off(lazy));
	/* Another pass. */
	lazy_begin(lazy, 1);
	ck_assert(!lazy_put_off(lazy));
}
END_TEST

START_TEST(block_waits_for_a_second_before_it_makes_room)
{
	struct lazy_block block[2];

	add(&block[0], 0);
	atomic_fetch_add(&clock_ns, 300);
	add(&block[1], 1);
	lazy_hold(lazy, true);
	expect_next(&block[0], LAZY_HELD);
	lazy_done(&block[0], 0, 0, true);
	lazy_hold(lazy, false);
	expect_next(&block[1], LAZY_TURN);
	ck_assert_uint_eq(clock_now(), 6 * SECOND + 300);
	lazy_done(&block[1], 0, 0, true);
	lazy_end(lazy);
	ck_assert_ptr_null(lazy_next(lazy, false));
	ck_assert_uint_eq(clock_now(), 6 * SECOND + 300);
}
END_TEST

/* Nobody is put off, and nobody waits for room: there is no need for turns. */
START_TEST(block_waits_until_the_sweep_if_nobody_else_wants_its_place)
{
	struct lazy_block block;

	add(&block, 0);
	expect_next(&block, LAZY_SWEPT);
	ck_assert_uint_eq(clock_now(), 25 * SECOND);
}
END_TEST

START_TEST(pass_that_has_ended_ends_with_its_last_block)
{
	struct lazy_block block;

	add(&block, 0);
	lazy_end(lazy);
	ck_assert(!lazy_room(lazy));
	touch_block(&block, 7, false, 0);
	expect_next(&block, LAZY_TOUCHED);
	lazy_done(&block, 1, 0, false);
	ck_assert_ptr_null(lazy_next(lazy, false));
	lazy_begin(lazy, 1);
	lazy_server(lazy, true);
	ck_assert(lazy_room(lazy));
}
END_TEST

START_TEST(full_line_has_room_for_who_finds_out_that_the_job_is_held)
{
	static struct lazy_block block[LAZY_BLOCKS];

	for (unsigned int i = 0; i < LAZY_BLOCKS; i++)
		add(&block[i], i);
	lazy_hold(lazy, true);
	ck_assert(lazy_room(lazy));
	ck_assert_uint_eq(clock_now(), 5 * SECOND);
	/* One that somebody has counts until it is done with. */
	expect_next(&block[0], LAZY_HELD);
	lazy_hold(lazy, false);
	lazy_done(&block[0], 1, 0, false);
	ck_assert(lazy_room(lazy));
	ck_assert_uint_eq(clock_now(), 5 * SECOND);
	lazy_add(&block[0]);
	lazy_end(lazy);
	ck_assert(!lazy_room(lazy)); /* the pass has ended: at once */
	ck_assert_uint_eq(clock_now(), 5 * SECOND);
}
END_TEST

START_TEST(blocks_wait_if_any_server_can_serve)
{
	lazy_begin(lazy, 3);
	lazy_server(lazy, false);
	lazy_server(lazy, true);
	lazy_server(lazy, false);
	ck_assert(lazy_await(lazy));
	ck_assert(lazy_room(lazy));
	lazy_begin(lazy, 2);
	lazy_server(lazy, false);
	lazy_server(lazy, false);
	ck_assert(!lazy_await(lazy));
	ck_assert(!lazy_room(lazy));
}
END_TEST

/* ---- The deadline --------------------------------------------------------------------------------- */

/* A byte takes a nanosecond, of each worker; and one half more. The slower of copies and rate counts. */
START_TEST(sweep_begins_when_the_rest_takes_until_the_deadline)
{
	static const struct {
		uint64_t left, rate;
		unsigned int workers;
		uint64_t before_ns;
	} cases[] = {
	    {2000000000, 0, 1, 3 * SECOND},	      {2000000000, 0, 2, 3 * SECOND / 2},
	    {2000000000, 0, 0, 3 * SECOND},	      {2000000000, 1000000000, 2, 3 * SECOND},
	    {2000000000, 4000000000, 1, 3 * SECOND},  {0, 1, 1, 0},
	    {10000000000, 500000000, 1, 20 * SECOND},
	};
	struct lazy_block block;

	add(&block, 0);
	lazy_expect(lazy, cases[_i].left, cases[_i].rate, cases[_i].workers);
	expect_next(&block, LAZY_SWEPT);
	ck_assert_uint_eq(clock_now(), 25 * SECOND - cases[_i].before_ns);
}
END_TEST

START_TEST(sweep_that_has_begun_goes_on)
{
	struct lazy_block block[2];

	add(&block[0], 0);
	add(&block[1], 1);
	lazy_expect(lazy, 20000000000, 0, 1);
	expect_next(&block[0], LAZY_SWEPT);
	ck_assert_uint_eq(clock_now(), 5 * SECOND);
	lazy_expect(lazy, 0, 0, 1);
	expect_next(&block[1], LAZY_SWEPT);
	ck_assert_uint_eq(clock_now(), 5 * SECOND);
	ck_assert(!lazy_room(lazy));
	ck_assert_ptr_null(lazy_next(lazy, true));
	/* What is touched goes all the same, and whoever stays has it. */
	block[0].why = LAZY_WAITS;
	lazy_add(&block[0]);
	touch_block(&block[0], 7, false, 0);
	ck_assert_ptr_eq(lazy_next(lazy, true), &block[0]);
	ck_assert_int_eq(block[0].why, LAZY_TOUCHED);
}
END_TEST

START_TEST(deadline_that_has_passed_begins_a_sweep_now)
{
	struct lazy_block block;

	add(&block, 0);
	atomic_store(&clock_ns, 26 * SECOND);
	lazy_expect(lazy, 0, 0, 1);
	expect_next(&block, LAZY_SWEPT);
	ck_assert_uint_eq(clock_now(), 26 * SECOND);
}
END_TEST

/* An eighth of what a byte takes is what it took last: 512 more than seven eighths of 1024 are 1408, which is 1.375 ns. */
START_TEST(sweep_begins_by_what_copies_have_taken)
{
	static const struct {
		uint64_t moved, took_ns;
	} done[] = {
	    {1000000, 4000000},
	    {0, 4000000}, /* nothing moved */
	    {1000, 0},	  /* nobody knows */
	};
	struct lazy_block block;

	for (unsigned int i = 0; i < 3; i++) {
		add(&block, i);
		touch_block(&block, 7, false, 0);
		expect_next(&block, LAZY_TOUCHED);
		lazy_done(&block, done[i].moved, done[i].took_ns, false);
	}
	add(&block, 3);
	lazy_expect(lazy, 1000000000, 0, 1);
	expect_next(&block, LAZY_SWEPT);
	ck_assert_uint_eq(clock_now(), 25 * SECOND - 1375000000ull * 3 / 2);
}
END_TEST

/* As good as none: the sum does not fit. */
START_TEST(deadline_beyond_all_time_is_none)
{
	const uint64_t last = UINT64_MAX - 5 * SECOND;

	lazy_destroy(lazy);
	ck_assert_int_eq(lazy_create(&clocked, 5 * SECOND,
				     _i == 0   ? 0
				     : _i == 1 ? last
					       : last - 1,
				     &lazy),
			 0);
	lazy_begin(lazy, 1);
	lazy_server(lazy, true);
	if (_i < 2)
		lazy_expect(lazy, UINT64_MAX, 1, 1); /* there is nothing to be late for */
	atomic_store(&clock_ns, UINT64_MAX - 1);
	ck_assert_int_eq(lazy_room(lazy), _i < 2);
	lazy_destroy(NULL);
}
END_TEST

/* ---- Results ------------------------------------------------------------------------------------- */

/* One for each block that waits, and one for that which is being taken out. */
START_TEST(results_of_as_many_blocks_are_kept_as_may_wait_and_one_more)
{
	for (uint64_t block = 0; block <= LAZY_BLOCKS; block++)
		lazy_keep(lazy, block * GMIG_BLOCK_PAGES);
	for (uint64_t block = 0; block <= LAZY_BLOCKS; block++)
		ck_assert(!lazy_release(lazy, block * GMIG_BLOCK_PAGES));
	for (uint64_t block = LAZY_BLOCKS + 1; block--;)
		ck_assert(lazy_release(lazy, block * GMIG_BLOCK_PAGES));
	/* All are free again. */
	lazy_keep(lazy, 7);
	ck_assert(!lazy_release(lazy, 7));
	ck_assert(lazy_release(lazy, 7));
}
END_TEST

int main(void)
{
	const TTest *const tests[] = {
	    touched_blocks_come_first_in_the_order_of_touches,
	    block_that_was_touched_before_it_was_listed_is_due_at_once,
	    oldest_block_makes_room_when_others_had_to_go_back,
	    no_more_than_so_many_wait_until_the_sweep,
	    sweep_begins_as_early_as_the_rest_takes,
	    sweep_by_a_rate_that_never_gets_done_begins_at_once,
	    slow_copies_begin_a_sweep_earlier,
	    results_are_needed_until_all_parts_are_done_with,
	    without_a_server_nothing_waits,
	    first_touch_says_why_where_and_by_whom,
	    blocks_that_wait_are_counted_until_somebody_has_them,
	    bytes_count_by_what_became_of_them,
	    block_that_leaves_the_line_leaves_the_others_in_theirs,
	    held_job_gives_back_what_is_due_first_and_then_all_that_waits,
	    block_waits_for_a_second_before_it_makes_room,
	    block_waits_until_the_sweep_if_nobody_else_wants_its_place,
	    pass_that_has_ended_ends_with_its_last_block,
	    full_line_has_room_for_who_finds_out_that_the_job_is_held,
	    blocks_wait_if_any_server_can_serve,
	    sweep_that_has_begun_goes_on,
	    deadline_that_has_passed_begins_a_sweep_now,
	    sweep_begins_by_what_copies_have_taken,
	    results_of_as_many_blocks_are_kept_as_may_wait_and_one_more,
	};
	Suite *suite = suite_create("lazy queue");
	TCase *tcase = tcase_create("lazy queue");

	tcase_set_timeout(tcase, 60);
	tcase_add_checked_fixture(tcase, setup_queue, teardown_queue);
	for (size_t i = 0; i < sizeof(tests) / sizeof(tests[0]); i++)
		tcase_add_test(tcase, tests[i]);
	tcase_add_loop_test(tcase, sweep_begins_when_the_rest_takes_until_the_deadline, 0, 7);
	tcase_add_loop_test(tcase, deadline_beyond_all_time_is_none, 0, 3);
	suite_add_tcase(suite, tcase);
	return run_suite(suite);
}
