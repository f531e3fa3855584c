/* One budget for all, by a host and a clock that the test moves. */
#include "../../migrate/core/room.h"
#include "../../migrate/core/sys.h"
#include "../../migrate/memory/ledger.h"
#include "../../migrate/memory/policy.h"

#include <check.h>
#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>

#define MS    1000000ull
#define BLOCK 512
#define EXTRA (16 * BLOCK) /* pages */

static struct gmig_sys sys;
static struct ledger *ledger;
static struct policy *policy;
static _Atomic uint64_t now = MS, room_pages;
static atomic_int looks;

static uint64_t now_ns(void)
{
	return atomic_load(&now);
}

static void room(struct room *room)
{
	atomic_fetch_add(&looks, 1);
	*room = (struct room){.bytes = atomic_load(&room_pages) * GMIG_PAGE_BYTES,
			      .total_bytes = 1ull << 30};
}

static void start(uint64_t pages)
{
	struct policy_config config = {&sys, NULL, EXTRA * GMIG_PAGE_BYTES};

	sys = gmig_sys_real;
	sys.now_ns = now_ns;
	sys.room = room;
	atomic_store(&room_pages, pages);
	ck_assert_int_eq(ledger_create(&ledger), 0);
	config.ledger = ledger;
	ck_assert_int_eq(policy_create(&config, &policy), 0);
}

static void stop(void)
{
	policy_destroy(policy);
	ledger_destroy(ledger);
}

/* Reserved, had, and in a slot. */
static int take(enum policy_use use, unsigned int pages)
{
	int ret = policy_reserve(policy, use, pages);

	if (ret)
		return ret;
	ledger_post(ledger, 0, LEDGER_OUTSIDE, LEDGER_FLIGHT, pages);
	atomic_fetch_sub(&room_pages, pages);
	policy_release(policy, pages);
	return 0;
}

static unsigned int take_all(enum policy_use use)
{
	unsigned int count = 0;

	while (!take(use, BLOCK))
		ck_assert_uint_lt(count++, 1000);
	return count;
}

START_TEST(extra_memory_is_bounded_whoever_asks)
{
	start(1000 * BLOCK);
	ck_assert_uint_eq(take_all(POLICY_AHEAD), 8); /* half */
	ck_assert_uint_eq(take_all(POLICY_MOVE), 8);
	ck_assert_int_eq(policy_reserve(policy, POLICY_MOVE, 1), -EDQUOT);
	ck_assert_uint_eq(policy_extra(policy), EXTRA * GMIG_PAGE_BYTES);
	ck_assert_uint_eq(policy_extra_peak(policy), EXTRA * GMIG_PAGE_BYTES);
	/* What becomes the guest's is not extra. */
	ck_assert_int_eq(policy_reserve(policy, POLICY_TOUCH, BLOCK), 0);
	policy_release(policy, BLOCK);
	ledger_post(ledger, 0, LEDGER_FLIGHT, LEDGER_OUTSIDE, BLOCK);
	ck_assert_int_eq(policy_reserve(policy, POLICY_MOVE, BLOCK), 0);
	stop();
}
END_TEST

START_TEST(reservations_count_before_the_memory_is_there)
{
	start(1000 * BLOCK);
	for (int i = 0; i < 16; i++)
		ck_assert_int_eq(policy_reserve(policy, POLICY_MOVE, BLOCK), 0);
	ck_assert_int_eq(policy_reserve(policy, POLICY_MOVE, BLOCK), -EDQUOT);
	policy_release(policy, BLOCK); /* it was not had */
	ck_assert_int_eq(policy_reserve(policy, POLICY_MOVE, BLOCK), 0);
	stop();
}
END_TEST

START_TEST(room_bounds_all_uses_and_is_not_spent_twice)
{
	start(3 * BLOCK + 100);
	ck_assert_uint_eq(policy_extra_max(policy), (3 * BLOCK + 100) * GMIG_PAGE_BYTES);
	ck_assert_uint_eq(take_all(POLICY_AHEAD), 1);
	ck_assert_uint_eq(take_all(POLICY_TOUCH), 2);
	ck_assert_int_eq(policy_reserve(policy, POLICY_MOVE, BLOCK), -EDQUOT);
	ck_assert_int_eq(policy_reserve(policy, POLICY_MOVE, 101), -EDQUOT);
	ck_assert_int_eq(policy_reserve(policy, POLICY_MOVE, 100), 0);
	stop();
}
END_TEST

START_TEST(room_that_others_made_or_took_is_seen_after_a_while)
{
	start(100 * BLOCK);
	ck_assert_int_eq(take(POLICY_MOVE, BLOCK), 0);
	ck_assert_int_eq(take(POLICY_MOVE, BLOCK), 0);
	ck_assert_int_eq(atomic_load(&looks), 1); /* not for each frame */
	atomic_store(&room_pages, 0);
	atomic_fetch_add(&now, 10 * MS);
	ck_assert_int_eq(take(POLICY_MOVE, BLOCK), -EDQUOT);
	/* Little was left: the next look comes sooner. */
	atomic_store(&room_pages, 100 * BLOCK);
	atomic_fetch_add(&now, 1 * MS);
	ck_assert_int_eq(take(POLICY_MOVE, BLOCK), 0);
	stop();
}
END_TEST

START_TEST(pools_keep_less_when_memory_is_short)
{
	start(1000 * BLOCK);
	ck_assert_int_eq(policy_keep(policy, 2 * BLOCK), 2 * BLOCK);
	ck_assert_int_eq(policy_keep(policy, 100 * BLOCK), 4 * BLOCK);
	atomic_store(&room_pages, 4 * BLOCK);
	atomic_fetch_add(&now, 1000 * MS);
	ck_assert_int_eq(policy_keep(policy, 2 * BLOCK), BLOCK);
	stop();
}
END_TEST

START_TEST(workers_are_as_many_as_have_a_frame_each)
{
	start(4 * BLOCK);
	ck_assert_uint_eq(policy_workers(policy, 2), 2);
	ck_assert_uint_eq(policy_workers(policy, 16), 3);
	for (int i = 0; i < 3; i++)
		ck_assert_int_eq(policy_worker_enter(policy, false), 0);
	ck_assert_int_eq(policy_worker_enter(policy, false), -EAGAIN);
	ck_assert_uint_eq(policy_workers(policy, 16), 1);
	ck_assert_int_eq(policy_worker_enter(policy, true), 0); /* no job without one */
	policy_worker_leave(policy);
	policy_worker_leave(policy);
	ck_assert_int_eq(policy_worker_enter(policy, false), 0);
	ck_assert_int_eq(policy_worker_enter(policy, false),
			 -EAGAIN); /* who was refused is not one */
	stop();
}
END_TEST

START_TEST(wait_ends_at_once_when_nobody_holds_memory)
{
	unsigned int serial;

	start(BLOCK);
	serial = policy_serial(policy);
	ck_assert(!policy_wait(policy, serial, atomic_load(&now) + 1000 * MS));
	/* Something came back between the look and the wait: no sleep, another try. */
	ledger_post(ledger, 0, LEDGER_OUTSIDE, LEDGER_FLIGHT, BLOCK);
	policy_freed(policy);
	ck_assert(policy_wait(policy, serial, atomic_load(&now) + 1000000 * MS));
	ck_assert(!policy_wait(policy, policy_serial(policy), atomic_load(&now)));
	stop();
}
END_TEST

START_TEST(node_that_refused_is_left_alone_for_longer_and_longer)
{
	uint64_t pause = 10 * MS;

	start(BLOCK);
	ck_assert(!policy_is_hopeless(policy, 5, true));
	for (int i = 0; i < 12; i++) {
		policy_note(policy, 5, true, false);
		atomic_fetch_add(&now, pause - 1);
		ck_assert(policy_is_hopeless(policy, 5, true));
		ck_assert(!policy_is_hopeless(policy, 5, false));
		ck_assert(!policy_is_hopeless(policy, 4, true));
		atomic_fetch_add(&now, 1);
		ck_assert(!policy_is_hopeless(policy, 5, true));
		pause = i < 7 ? 2 * pause : pause;
	}
	policy_note(policy, 5, true, true);
	policy_note(policy, 5, true, false);
	atomic_fetch_add(&now, 10 * MS);
	ck_assert(!policy_is_hopeless(policy, 5, true));
	stop();
}
END_TEST

START_TEST(budget_counts_what_is_asked_for_to_the_page)
{
	start(1000 * BLOCK);
	ck_assert_uint_eq(policy_extra_max(policy), EXTRA * GMIG_PAGE_BYTES);
	ck_assert_uint_eq(policy_extra(policy), 0);
	ck_assert_uint_eq(policy_extra_peak(policy), 0);
	/* Half of it for what is made ahead. */
	ck_assert_int_eq(policy_reserve(policy, POLICY_AHEAD, EXTRA / 2 + 1), -EDQUOT);
	ck_assert_int_eq(policy_reserve(policy, POLICY_AHEAD, EXTRA / 2), 0);
	ck_assert_uint_eq(policy_extra_peak(policy), EXTRA / 2 * GMIG_PAGE_BYTES);
	ck_assert_int_eq(policy_reserve(policy, POLICY_MOVE, EXTRA / 2 + 1), -EDQUOT);
	ck_assert_int_eq(policy_reserve(policy, POLICY_MOVE, EXTRA / 2 - 1), 0);
	ck_assert_int_eq(policy_reserve(policy, POLICY_MOVE, 1), 0);
	ck_assert_int_eq(policy_reserve(policy, POLICY_AHEAD, 1), -EDQUOT);
	/* The guest's own is neither extra nor a part of the peak. */
	ck_assert_int_eq(policy_reserve(policy, POLICY_TOUCH, 984 * BLOCK + 1), -EDQUOT);
	ck_assert_int_eq(policy_reserve(policy, POLICY_TOUCH, 984 * BLOCK), 0);
	ck_assert_uint_eq(policy_extra_peak(policy), EXTRA * GMIG_PAGE_BYTES);
	ck_assert_uint_eq(policy_extra(policy), 0);
	policy_release(policy, 984 * BLOCK);
	policy_release(policy, 1);
	ck_assert_int_eq(policy_reserve(policy, POLICY_MOVE, 2), -EDQUOT);
	ck_assert_int_eq(policy_reserve(policy, POLICY_MOVE, 1), 0);
	stop();
}
END_TEST

START_TEST(room_without_a_limit_leaves_the_budget)
{
	start((1ull << 52) / GMIG_PAGE_BYTES + 1);
	ck_assert_uint_eq(policy_extra_max(policy), EXTRA * GMIG_PAGE_BYTES);
	ck_assert_int_eq(policy_reserve(policy, POLICY_TOUCH, UINT32_MAX), 0);
	stop();
}
END_TEST

/* Every 10 ms, every second when only the budget is asked for, and every ms when less than 64 blocks are left. */
START_TEST(room_is_looked_at_no_more_often_than_it_must)
{
	start(1000 * BLOCK);
	policy_extra_max(policy);
	ck_assert_int_eq(atomic_load(&looks), 1);
	atomic_fetch_add(&now, 1000 * MS - 1);
	policy_extra_max(policy);
	ck_assert_int_eq(atomic_load(&looks), 1);
	atomic_fetch_add(&now, 1);
	policy_extra_max(policy);
	ck_assert_int_eq(atomic_load(&looks), 2);
	policy_look(policy);
	ck_assert_int_eq(atomic_load(&looks), 3);
	atomic_fetch_add(&now, 10 * MS - 1);
	ck_assert_int_eq(policy_reserve(policy, POLICY_TOUCH, 936 * BLOCK), 0);
	ck_assert_int_eq(atomic_load(&looks), 3);
	/* 64 blocks are left: that is enough to wait. */
	ck_assert_int_eq(policy_reserve(policy, POLICY_TOUCH, 1), 0);
	ck_assert_int_eq(atomic_load(&looks), 3);
	/* A page less is not. */
	ck_assert_int_eq(policy_reserve(policy, POLICY_TOUCH, 1), 0);
	ck_assert_int_eq(atomic_load(&looks), 4);
	atomic_fetch_add(&now, MS - 1);
	ck_assert_int_eq(policy_reserve(policy, POLICY_TOUCH, 1), 0);
	ck_assert_int_eq(atomic_load(&looks), 4);
	atomic_fetch_add(&now, 1);
	ck_assert_int_eq(policy_reserve(policy, POLICY_TOUCH, 1), 0);
	ck_assert_int_eq(atomic_load(&looks), 5);
	/* Nor does the budget's question hurry. */
	atomic_fetch_add(&now, 2 * MS);
	policy_extra_max(policy);
	ck_assert_int_eq(atomic_load(&looks), 5);
	stop();
}
END_TEST

static unsigned int slept, until_ns;

static int sleep_until(pthread_cond_t *cond, pthread_mutex_t *mutex, uint64_t deadline_ns)
{
	(void)cond, (void)mutex;
	slept++;
	until_ns = (unsigned int)(deadline_ns - atomic_load(&now));
	if (slept == 3)
		return 0; /* for nothing, once */
	return -ETIMEDOUT;
}

/* What others have is worth a wait: reserved, in flight, or just given back. It is looked at every 10 ms. */
START_TEST(wait_is_for_what_others_hold_and_ends_in_time)
{
	unsigned int serial;

	start(100 * BLOCK);
	sys.wait_until = sleep_until;
	serial = policy_serial(policy);
	ck_assert(!policy_wait(policy, serial, atomic_load(&now) + 50 * MS));
	ck_assert_uint_eq(slept, 0);
	ck_assert_int_eq(policy_reserve(policy, POLICY_MOVE, 1), 0);
	ck_assert(policy_wait(policy, serial, atomic_load(&now) + 50 * MS));
	ck_assert_uint_eq(slept, 1);
	ck_assert_uint_eq(until_ns, 10 * MS);
	ck_assert(policy_wait(policy, serial, atomic_load(&now) + 3 * MS));
	ck_assert_uint_eq(slept, 2);
	ck_assert_uint_eq(until_ns, 3 * MS);
	ck_assert(policy_wait(policy, serial, atomic_load(&now) + 1));
	ck_assert_uint_eq(slept, 4); /* woken for nothing: it goes on */
	ck_assert(!policy_wait(policy, serial, atomic_load(&now)));
	policy_release(policy, 1);
	ledger_post(ledger, 0, LEDGER_OUTSIDE, LEDGER_FLIGHT, 1);
	ck_assert(policy_wait(policy, serial, atomic_load(&now) + 50 * MS));
	ck_assert_uint_eq(slept, 5);
	ledger_post(ledger, 0, LEDGER_FLIGHT, LEDGER_POOL, 1);
	ck_assert(!policy_wait(policy, serial, atomic_load(&now) + 50 * MS));
	policy_freed(policy);
	ck_assert_uint_eq(policy_serial(policy), serial + 1);
	ck_assert(policy_wait(policy, serial, atomic_load(&now) + 50 * MS));
	ck_assert_uint_eq(slept, 5);
	stop();
}
END_TEST

START_TEST(node_that_had_memory_again_is_asked_as_if_it_had_never_refused)
{
	start(BLOCK);
	for (int i = 0; i < 5; i++)
		policy_note(policy, GMIG_MAX_NODES - 1, false, false);
	policy_note(policy, GMIG_MAX_NODES - 1, true, true); /* of another size */
	atomic_fetch_add(&now, 160 * MS - 1);
	ck_assert(policy_is_hopeless(policy, GMIG_MAX_NODES - 1, false));
	policy_note(policy, GMIG_MAX_NODES - 1, false, true);
	ck_assert(!policy_is_hopeless(policy, GMIG_MAX_NODES - 1, false));
	policy_note(policy, GMIG_MAX_NODES - 1, false, false);
	atomic_fetch_add(&now, 10 * MS - 1);
	ck_assert(policy_is_hopeless(policy, GMIG_MAX_NODES - 1, false));
	atomic_fetch_add(&now, 1);
	ck_assert(!policy_is_hopeless(policy, GMIG_MAX_NODES - 1, false));
	stop();
}
END_TEST

static atomic_bool shuffled;

/* A frame that goes to its pool and back, and turns out to lie elsewhere: there are as many all the while. */
static void *shuffle(void *arg)
{
	(void)arg;
	while (!atomic_load(&shuffled)) {
		ledger_post(ledger, 0, LEDGER_FLIGHT, LEDGER_POOL, BLOCK);
		ledger_post(ledger, 0, LEDGER_POOL, LEDGER_FLIGHT, BLOCK);
		ledger_relabel(ledger, 0, 1, BLOCK);
		ledger_relabel(ledger, 1, 0, BLOCK);
	}
	return NULL;
}

START_TEST(frame_that_changes_its_account_is_in_one_of_them)
{
	pthread_t thread;

	start(16 * BLOCK);
	ck_assert_uint_eq(take_all(POLICY_MOVE), 16);
	atomic_store(&shuffled, false);
	ck_assert_int_eq(pthread_create(&thread, NULL, shuffle, NULL), 0);
	for (unsigned int i = 0; i < 50000; i++) {
		/* Of the budget there is nothing left, nor of the room. */
		ck_assert_int_eq(policy_reserve(policy, POLICY_MOVE, BLOCK), -EDQUOT);
		ck_assert_int_eq(policy_reserve(policy, POLICY_TOUCH, BLOCK), -EDQUOT);
	}
	atomic_store(&shuffled, true);
	pthread_join(thread, NULL);
	stop();
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("policy");
	TCase *tcase = tcase_create("budget");
	SRunner *runner;
	int failed;

	tcase_add_test(tcase, extra_memory_is_bounded_whoever_asks);
	tcase_add_test(tcase, reservations_count_before_the_memory_is_there);
	tcase_add_test(tcase, frame_that_changes_its_account_is_in_one_of_them);
	tcase_add_test(tcase, room_bounds_all_uses_and_is_not_spent_twice);
	tcase_add_test(tcase, room_that_others_made_or_took_is_seen_after_a_while);
	tcase_add_test(tcase, pools_keep_less_when_memory_is_short);
	tcase_add_test(tcase, workers_are_as_many_as_have_a_frame_each);
	tcase_add_test(tcase, wait_ends_at_once_when_nobody_holds_memory);
	tcase_add_test(tcase, node_that_refused_is_left_alone_for_longer_and_longer);
	tcase_add_test(tcase, budget_counts_what_is_asked_for_to_the_page);
	tcase_add_test(tcase, room_without_a_limit_leaves_the_budget);
	tcase_add_test(tcase, room_is_looked_at_no_more_often_than_it_must);
	tcase_add_test(tcase, wait_is_for_what_others_hold_and_ends_in_time);
	tcase_add_test(tcase, node_that_had_memory_again_is_asked_as_if_it_had_never_refused);
	suite_add_tcase(suite, tcase);
	runner = srunner_create(suite);
	srunner_run_all(runner, CK_NORMAL);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed ? 1 : 0;
}
