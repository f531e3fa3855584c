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
	};

	return run_tests("lazy queue", setup_queue, teardown_queue, tests,
			 sizeof(tests) / sizeof(tests[0]));
}
