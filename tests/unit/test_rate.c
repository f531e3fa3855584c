/* The rate limit, with time moved by hand. */
#include "../../migrate/core/rate.h"

#include <check.h>
#include <stdlib.h>

#define MS	 1000000ull
#define SECOND	 (1000 * MS)
#define KIB	 1024ull
#define MIB	 (1024 * KIB)
#define BLOCK	 (2 * MIB)
#define PAGE	 (4 * KIB)
#define TAKERS	 16
#define BURST_MS 20

/* ---- Takers: what copy workers do, on a clock that jumps from event to event ---------------- */

struct taker {
	uint64_t bytes;	  /* a piece */
	uint64_t work_ns; /* to move one */
	uint64_t late_ns; /* it wakes up after the time it was told */
	uint64_t taken;	  /* bytes in all */
	uint64_t pieces;
	uint64_t at_ns; /* of its next event */
	bool waits;
	struct rate_ticket ticket;
};

static void taker_step(struct taker *taker, struct rate *rate, uint64_t now)
{
	uint64_t wait;

	if (!taker->waits) {
		rate_join(rate, &taker->ticket, taker->bytes, now);
		taker->waits = true;
	}
	wait = rate_turn(rate, &taker->ticket, now);
	if (wait) {
		taker->at_ns = now + wait + taker->late_ns;
		return;
	}
	taker->waits = false;
	taker->taken += taker->bytes;
	taker->pieces++;
	taker->at_ns = now + taker->work_ns;
}

/* Run all takers until the time; returns bytes taken in all. */
static uint64_t run_until(struct rate *rate, struct taker *takers, unsigned int count,
			  uint64_t *now, uint64_t end)
{
	uint64_t taken = 0;

	for (;;) {
		struct taker *first = takers;

		for (unsigned int i = 1; i < count; i++)
			if (takers[i].at_ns < first->at_ns)
				first = &takers[i];
		if (first->at_ns > end)
			break;
		if (*now < first->at_ns)
			*now = first->at_ns;
		taker_step(first, rate, *now);
	}
	*now = end;
	for (unsigned int i = 0; i < count; i++)
		taken += takers[i].taken;
	return taken;
}

static void takers_wake(struct taker *takers, unsigned int count, uint64_t now)
{
	for (unsigned int i = 0; i < count; i++)
		if (takers[i].waits)
			takers[i].at_ns = now;
}

/* One ticket that joins and asks. */
static uint64_t ask(struct rate *rate, struct rate_ticket *ticket, uint64_t bytes, uint64_t now)
{
	rate_join(rate, ticket, bytes, now);
	return rate_turn(rate, ticket, now);
}

/* ---- Sums ---------------------------------------------------------------------------------- */

START_TEST(rate_without_limit_never_waits)
{
	struct rate_ticket ticket;
	struct rate rate;

	rate_init(&rate, 0, 5);
	for (int i = 0; i < 1000; i++)
		ck_assert_uint_eq(ask(&rate, &ticket, BLOCK, 5), 0);
	ck_assert_ptr_null(rate.line);
}
END_TEST

static const struct mix {
	uint64_t rate;
	unsigned int big, small; /* takers of 2 MiB and of 4 KiB */
	uint64_t big_ns, small_ns, late_ns;
} mixes[] = {
    /* one size, one thread */
    {16 * MIB, 1, 0, 300000, 0, 50000},
    {500000000, 1, 0, 300000, 0, 50000},
    {3ull << 30, 1, 0, 300000, 0, 50000},
    {10 * MIB, 0, 1, 0, 2000, 50000},
    /* a taker of small pieces that is often away must not cost the other its place */
    {10 * MIB, 1, 1, 300000, 10 * MS, 0},
    {10 * MIB, 1, 1, 300000, 10 * MS, 100000},
    {10 * MIB, 1, 15, 300000, 1000, 50000},
    {1 << 30, 15, 1, 300000, 1000, 50000},
    {100 * MIB, 8, 8, 300000, 2000, 3 * MS},
    /* a block takes longer to move than the bucket saves up in 20 ms */
    {10 * MIB, 1, 0, 90 * MS, 0, 1 * MS},
    {10 * MIB, 2, 2, 90 * MS, 1 * MS, 30 * MS},
    {100 * MIB, 16, 0, 90 * MS, 0, 50000},
};

START_TEST(rate_is_kept_within_two_percent_over_ten_seconds)
{
	const struct mix *mix = &mixes[_i];
	struct taker takers[TAKERS] = {{0}};
	unsigned int count = mix->big + mix->small;
	uint64_t now = 12345, start = now, taken;
	struct rate rate;
	double share;

	rate_init(&rate, mix->rate, now);
	for (unsigned int i = 0; i < count; i++)
		takers[i] = (struct taker){.bytes = i < mix->big ? BLOCK : PAGE,
					   .work_ns = i < mix->big ? mix->big_ns : mix->small_ns,
					   .late_ns = mix->late_ns,
					   .at_ns = now};
	taken = run_until(&rate, takers, count, &now, start + 10 * SECOND);
	share = (double)taken / ((double)mix->rate * 10);
	ck_assert_msg(share >= 0.98, "%.4f of the rate", share);
	ck_assert_msg(share <= 1.0, "%.4f of the rate", share);
	/* All of one size get the same number of turns. */
	for (unsigned int i = 0; i < count; i++)
		for (unsigned int k = 0; k < count; k++)
			if (takers[i].bytes == takers[k].bytes)
				ck_assert_uint_le(takers[i].pieces, takers[k].pieces + 1);
}
END_TEST

START_TEST(line_is_first_come_first_served_whatever_the_size)
{
	struct rate_ticket big, small, late;
	struct rate rate;

	rate_init(&rate, 10 * MIB, 0);
	ck_assert_uint_eq(ask(&rate, &big, BLOCK, 0), 200 * MS);
	/* There is enough for 4 KiB long before there is for 2 MiB. */
	ck_assert_uint_gt(ask(&rate, &small, PAGE, 100 * MS), 100 * MS);
	ck_assert_uint_gt(rate_turn(&rate, &small, 199 * MS), 0);
	ck_assert_uint_eq(rate_turn(&rate, &big, 200 * MS), 0);
	ck_assert_uint_gt(rate_turn(&rate, &small, 200 * MS), 0);
	rate_join(&rate, &late, PAGE, 200 * MS);
	/* Both are paid for; who wakes first goes first. */
	ck_assert_uint_eq(rate_turn(&rate, &late, 201 * MS), 0);
	ck_assert_uint_eq(rate_turn(&rate, &small, 201 * MS), 0);
	ck_assert_ptr_null(rate.line);
}
END_TEST

START_TEST(late_wakers_lose_nothing_while_they_stand_in_line)
{
	struct rate_ticket ticket[4];
	uint64_t now = 0;
	struct rate rate;

	rate_init(&rate, BLOCK, now);
	for (unsigned int i = 0; i < 4; i++)
		rate_join(&rate, &ticket[i], BLOCK, now);
	/* A second each; nobody looks before the fifth. */
	now = 5 * SECOND;
	for (unsigned int i = 0; i < 4; i++)
		ck_assert_uint_eq(rate_turn(&rate, &ticket[i], now), 0);
	/* Of the fifth second, no more than 20 ms were saved up. */
	ck_assert_uint_ge(ask(&rate, &ticket[0], BLOCK, now), 980 * MS);
}
END_TEST

START_TEST(bucket_without_a_bound_accounts_for_each_byte)
{
	struct rate_ticket ticket[TAKERS];
	bool in_line[TAKERS] = {false};
	unsigned __int128 earned = 0;
	uint64_t now = 0, per_second = 3 * MIB + 7, taken = 0;
	bool paused = false;
	struct rate rate;

	srand(5);
	rate_init(&rate, per_second, now);
	rate.largest = 1ull << 62; /* may be saved up */
	for (unsigned int i = 0; i < 200000; i++) {
		unsigned int who = (unsigned int)rand() % TAKERS;
		uint64_t passed = (uint64_t)rand() % (20 * MS);

		now += passed;
		earned += paused ? 0 : (unsigned __int128)passed * per_second;
		if (rand() % 50 == 0) {
			per_second = 1 + (uint64_t)rand() % (100 * MIB);
			rate_set(&rate, per_second, now);
		} else if (rand() % 50 == 0) {
			paused = !paused;
			(paused ? rate_pause : rate_resume)(&rate, now);
		} else if (in_line[who] && rand() % 10 == 0) {
			rate_leave(&rate, &ticket[who], now);
			in_line[who] = false;
		} else {
			if (!in_line[who])
				rate_join(&rate, &ticket[who], rand() % 2 ? BLOCK : PAGE, now);
			in_line[who] = rate_turn(&rate, &ticket[who], now);
			taken += in_line[who] ? 0 : ticket[who].bytes;
		}
	}
	ck_assert_uint_gt(taken, 0);
	ck_assert_uint_eq(taken + rate.tokens, (uint64_t)(earned / SECOND));
	ck_assert_uint_eq(rate.rest, (uint32_t)(earned % SECOND));
}
END_TEST

/* ---- Low rates ----------------------------------------------------------------------------- */

START_TEST(rate_first_piece_is_paid_before_it_is_taken)
{
	struct rate_ticket ticket;
	struct rate rate;

	rate_init(&rate, BLOCK, 0);
	ck_assert_uint_eq(ask(&rate, &ticket, BLOCK, 0), SECOND);
	ck_assert_uint_eq(rate_turn(&rate, &ticket, SECOND - 1), 1);
	ck_assert_uint_eq(rate_turn(&rate, &ticket, SECOND), 0);
	ck_assert_uint_eq(ask(&rate, &ticket, BLOCK, SECOND), SECOND);
}
END_TEST

START_TEST(rate_far_under_one_block_a_second_moves_one_each_time_it_is_paid)
{
	struct taker takers[4];
	uint64_t now = 0;
	struct rate rate;

	rate_init(&rate, 10 * KIB, now);
	for (unsigned int i = 0; i < 4; i++)
		takers[i] = (struct taker){.bytes = BLOCK, .work_ns = MS, .late_ns = MS};
	ck_assert_uint_eq(run_until(&rate, takers, 4, &now, 204799 * MS), 0);
	ck_assert_uint_eq(run_until(&rate, takers, 4, &now, 204802 * MS), BLOCK);
	ck_assert_uint_eq(run_until(&rate, takers, 4, &now, 100 * 204800 * MS + 2 * MS),
			  100 * BLOCK);
}
END_TEST

START_TEST(rate_of_one_byte_a_second_counts_each_byte)
{
	struct rate_ticket ticket;
	struct rate rate;
	uint64_t now = 0, wait, waits = 0;

	rate_init(&rate, 1, now);
	for (wait = ask(&rate, &ticket, PAGE, now); wait; wait = rate_turn(&rate, &ticket, now)) {
		ck_assert_uint_le(wait, RATE_WAIT_MAX_NS);
		/* Whoever asks often, for other reasons, loses nothing to rounding. */
		now += wait / 7 + 1;
		waits++;
	}
	ck_assert_uint_eq(now, PAGE * SECOND);
	ck_assert_uint_gt(waits, 50);
}
END_TEST

/* ---- What is saved up ---------------------------------------------------------------------- */

START_TEST(rate_saves_up_no_more_than_its_burst)
{
	uint64_t now = 3600 * SECOND, bytes = 0;
	struct rate_ticket ticket;
	struct rate rate;

	rate_init(&rate, 1 << 30, 0);
	while (!ask(&rate, &ticket, BLOCK, now))
		bytes += BLOCK;
	ck_assert_uint_gt(bytes, 0);
	ck_assert_uint_le(bytes, (1 << 30) / (1000 / BURST_MS));
}
END_TEST

START_TEST(rate_saves_up_one_piece_where_that_is_more_than_20_ms)
{
	struct rate_ticket ticket;
	uint64_t now = SECOND;
	struct rate rate;

	rate_init(&rate, BLOCK, 0);
	/* Nothing was taken yet: 20 ms. */
	ck_assert_uint_ge(ask(&rate, &ticket, BLOCK, now), 980 * MS);
	ck_assert_uint_eq(rate_turn(&rate, &ticket, now += 981 * MS), 0);
	now += 3600 * SECOND;
	ck_assert_uint_eq(ask(&rate, &ticket, BLOCK, now), 0);
	ck_assert_uint_eq(ask(&rate, &ticket, BLOCK, now), SECOND);
}
END_TEST

/* ---- Changes ------------------------------------------------------------------------------- */

START_TEST(rate_change_holds_at_once_for_those_who_wait)
{
	struct rate_ticket first, second;
	struct rate rate;

	rate_init(&rate, MIB, 0);
	ck_assert_uint_eq(ask(&rate, &first, BLOCK, 0), 2 * SECOND);
	ck_assert_uint_eq(ask(&rate, &second, BLOCK, 0), 4 * SECOND);
	/* Half of the first one is paid for; the rest comes at twice the rate. */
	rate_set(&rate, 2 * MIB, SECOND);
	ck_assert_uint_eq(rate_turn(&rate, &first, SECOND), 500 * MS);
	ck_assert_uint_eq(rate_turn(&rate, &second, SECOND), 1500 * MS);
	rate_set(&rate, MIB / 2, 1500 * MS);
	ck_assert_uint_eq(rate_turn(&rate, &first, 1500 * MS), 0);
	ck_assert_uint_eq(rate_turn(&rate, &second, 1500 * MS), 4 * SECOND);
	rate_set(&rate, 0, 1600 * MS);
	ck_assert_uint_eq(rate_turn(&rate, &second, 1600 * MS), 0);
	/* A limit again: nothing was saved up without one. */
	rate_set(&rate, BLOCK, 100 * SECOND);
	ck_assert_uint_gt(ask(&rate, &first, BLOCK, 100 * SECOND), 900 * MS);
}
END_TEST

START_TEST(rate_changed_many_times_gives_what_the_rates_add_up_to)
{
	struct taker takers[3] = {{.bytes = BLOCK, .work_ns = MS, .late_ns = 100000},
				  {.bytes = BLOCK, .work_ns = 2 * MS, .late_ns = 100000},
				  {.bytes = PAGE, .work_ns = 10 * MS}};
	uint64_t now = 0, due = 0, taken = 0;
	struct rate rate;

	rate_init(&rate, MIB, now);
	for (unsigned int i = 0; i < 100; i++) {
		uint64_t bytes_per_second = (1 + i % 40) * MIB;

		rate_set(&rate, bytes_per_second, now);
		takers_wake(takers, 3, now);
		due += bytes_per_second / 10;
		taken = run_until(&rate, takers, 3, &now, now + 100 * MS);
	}
	ck_assert_uint_le(taken, due);
	ck_assert_uint_ge(taken, due - due / 50);
}
END_TEST

START_TEST(rate_earns_nothing_in_a_pause)
{
	struct rate_ticket waiting, joined_in_pause;
	struct rate rate;

	rate_init(&rate, BLOCK, 0);
	ck_assert_uint_eq(ask(&rate, &waiting, BLOCK, 0), SECOND);
	rate_pause(&rate, 600 * MS);
	rate_join(&rate, &joined_in_pause, BLOCK, 700 * MS);
	ck_assert_uint_gt(rate_turn(&rate, &waiting, 5000 * MS), 0);
	rate_set(&rate, 2 * BLOCK, 5000 * MS);
	ck_assert_uint_gt(rate_turn(&rate, &waiting, 6000 * MS), 0);
	rate_resume(&rate, 9000 * MS);
	/* What was paid for before the pause still is, at the rate of that time. */
	ck_assert_uint_eq(rate_turn(&rate, &waiting, 9000 * MS), 200 * MS);
	ck_assert_uint_eq(rate_turn(&rate, &joined_in_pause, 9000 * MS), 700 * MS);
	ck_assert_uint_eq(rate_turn(&rate, &waiting, 9200 * MS), 0);
	rate_resume(&rate, 9300 * MS); /* not paused: no time is skipped */
	ck_assert_uint_eq(rate_turn(&rate, &joined_in_pause, 9700 * MS), 0);
}
END_TEST

START_TEST(who_leaves_gives_its_place_and_bytes_to_those_behind)
{
	struct rate_ticket ticket[3];
	struct rate rate;

	rate_init(&rate, BLOCK, 0);
	for (unsigned int i = 0; i < 3; i++)
		ck_assert_uint_eq(ask(&rate, &ticket[i], BLOCK, 0), (i + 1) * SECOND);
	rate_leave(&rate, &ticket[1], 500 * MS);
	ck_assert_uint_eq(rate_turn(&rate, &ticket[0], 500 * MS), 500 * MS);
	ck_assert_uint_eq(rate_turn(&rate, &ticket[2], 500 * MS), 1500 * MS);
	rate_leave(&rate, &ticket[0], 900 * MS);
	/* What was earned for it is the next one's. */
	ck_assert_uint_eq(rate_turn(&rate, &ticket[2], 900 * MS), 100 * MS);
	ck_assert_uint_eq(rate_turn(&rate, &ticket[2], 1000 * MS), 0);
	ck_assert_ptr_null(rate.line);
}
END_TEST

START_TEST(bytes_given_back_pay_for_the_next)
{
	struct rate_ticket ticket;
	struct rate rate;

	rate_init(&rate, BLOCK, 0);
	rate_join(&rate, &ticket, BLOCK, 0);
	ck_assert_uint_eq(rate_turn(&rate, &ticket, SECOND), 0);
	/* It was where it should be already. */
	rate_give_back(&rate, BLOCK, SECOND);
	ck_assert_uint_eq(ask(&rate, &ticket, BLOCK, SECOND), 0);
	ck_assert_uint_eq(ask(&rate, &ticket, BLOCK, SECOND), SECOND);
	rate_give_back(&rate, BLOCK / 2, SECOND);
	ck_assert_uint_eq(rate_turn(&rate, &ticket, SECOND), 500 * MS);
	rate_leave(&rate, &ticket, SECOND);
	/* Never more than the burst. */
	for (unsigned int i = 0; i < 10; i++)
		rate_give_back(&rate, BLOCK, SECOND);
	ck_assert_uint_eq(ask(&rate, &ticket, BLOCK, SECOND), 0);
	ck_assert_uint_eq(ask(&rate, &ticket, BLOCK, SECOND), SECOND);
}
END_TEST

/* ---- Edges of the numbers ------------------------------------------------------------------ */

START_TEST(rate_of_huge_values_neither_wraps_nor_waits_for_nothing)
{
	static const uint64_t rates[] = {1ull << 62, 1ull << 63, UINT64_MAX};
	struct rate_ticket ticket[4];
	struct rate rate;

	rate_init(&rate, rates[_i], 1);
	rate_join(&rate, &ticket[0], BLOCK, 1);
	ck_assert_uint_eq(rate_turn(&rate, &ticket[0], 2), 0);
	/* Pieces that add up to more than 64 bits. */
	for (unsigned int i = 0; i < 4; i++)
		rate_join(&rate, &ticket[i], 1ull << 63, 2);
	for (unsigned int i = 0; i < 4; i++)
		ck_assert_uint_gt(rate_turn(&rate, &ticket[i], 2), 0);
	for (unsigned int i = 0; i < 4; i++)
		ck_assert_uint_eq(rate_turn(&rate, &ticket[i], (4 + 4 * i) * SECOND), 0);
	/* Six hundred years later. */
	ck_assert_uint_eq(ask(&rate, &ticket[0], BLOCK, UINT64_MAX), 0);
	rate_set(&rate, 1, UINT64_MAX);
	while (!ask(&rate, &ticket[1], 1ull << 63, UINT64_MAX))
		;
	ck_assert_uint_eq(rate_turn(&rate, &ticket[1], UINT64_MAX), RATE_WAIT_MAX_NS);
}
END_TEST

START_TEST(clock_that_steps_back_earns_nothing)
{
	struct rate_ticket ticket;
	struct rate rate;

	rate_init(&rate, BLOCK, SECOND);
	ck_assert_uint_eq(ask(&rate, &ticket, BLOCK, 500 * MS), SECOND);
	ck_assert_uint_eq(rate_turn(&rate, &ticket, 1500 * MS), 500 * MS);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("rate");
	TCase *tcase = tcase_create("bucket");
	SRunner *runner;
	int failed;

	tcase_add_test(tcase, rate_without_limit_never_waits);
	tcase_add_loop_test(tcase, rate_is_kept_within_two_percent_over_ten_seconds, 0,
			    sizeof(mixes) / sizeof(mixes[0]));
	tcase_add_test(tcase, line_is_first_come_first_served_whatever_the_size);
	tcase_add_test(tcase, late_wakers_lose_nothing_while_they_stand_in_line);
	tcase_add_test(tcase, bucket_without_a_bound_accounts_for_each_byte);
	tcase_add_test(tcase, rate_first_piece_is_paid_before_it_is_taken);
	tcase_add_test(tcase, rate_far_under_one_block_a_second_moves_one_each_time_it_is_paid);
	tcase_add_test(tcase, rate_of_one_byte_a_second_counts_each_byte);
	tcase_add_test(tcase, rate_saves_up_no_more_than_its_burst);
	tcase_add_test(tcase, rate_saves_up_one_piece_where_that_is_more_than_20_ms);
	tcase_add_test(tcase, rate_change_holds_at_once_for_those_who_wait);
	tcase_add_test(tcase, rate_changed_many_times_gives_what_the_rates_add_up_to);
	tcase_add_test(tcase, rate_earns_nothing_in_a_pause);
	tcase_add_test(tcase, who_leaves_gives_its_place_and_bytes_to_those_behind);
	tcase_add_test(tcase, bytes_given_back_pay_for_the_next);
	tcase_add_loop_test(tcase, rate_of_huge_values_neither_wraps_nor_waits_for_nothing, 0, 3);
	tcase_add_test(tcase, clock_that_steps_back_earns_nothing);
	suite_add_tcase(suite, tcase);
	runner = srunner_create(suite);
	srunner_run_all(runner, CK_ENV);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed ? 1 : 0;
}
