/* What a plan knows of the past: how long a score was low, and moves that were taken back. */
#include "planner_rig.h"
#include "suite.h"

#include <errno.h>

static struct placement_history *history;

static void observe(uint64_t now)
{
	options.now_seconds = now;
	options.history = history;
	ck_assert_msg(!placement_history_observe(history, &fleet.host, fleet.guests, fleet.count,
						 &options, &err),
		      "%s", err.text);
}

START_TEST(score_must_have_been_low_for_the_hold_time)
{
	host(2, 16);
	guest("web1", 0, 1, 4);
	options.hold_seconds = 60;
	ck_assert_int_eq(
	    placement_plan(&fleet.host, fleet.guests, fleet.count, &options, &made, &err), -EINVAL);
	ck_assert(!placement_history_create(&history, &err));
	options.history = history;
	plan();
	ck_assert_uint_eq(made->move_count, 0);
	observe(1000);
	observe(1059);
	plan();
	ck_assert_uint_eq(made->move_count, 0);
	ck_assert_str_eq(made->guests[0].reason, "its score has not been low for 60 s yet");
	observe(1060);
	plan();
	ck_assert_uint_eq(made->move_count, 1);
	/* One good scan, and the time starts anew. */
	((struct placement_time *)fleet.guests[0].time)[0].node = 1;
	((struct placement_time *)fleet.guests[0].time)[1].node = 1;
	observe(1100);
	((struct placement_time *)fleet.guests[0].time)[0].node = 0;
	((struct placement_time *)fleet.guests[0].time)[1].node = 0;
	observe(1110);
	observe(1165);
	plan();
	ck_assert_uint_eq(made->move_count, 0);
	placement_history_destroy(history);
}
END_TEST

/* Its vCPUs jump to the other node, and what the plan says is done. */
static void jump(uint64_t now)
{
	struct placement_time *time = (struct placement_time *)fleet.guests[0].time;

	time[0].node = time[1].node = !time[0].node;
	observe(now);
	plan();
	for (size_t i = 0; i < made->move_count; i++)
		ck_assert(!placement_history_record(history, fleet.guests, &made->moves[i],
						    &options, &err));
	carry_out();
}

START_TEST(guest_that_went_back_and_forth_is_frozen_for_longer_each_time)
{
	host(2, 16);
	guest("web1", 0, 0, 4);
	ck_assert(!placement_history_create(&history, &err));
	options.window_seconds = 600;
	options.freeze_seconds = 1000;
	jump(100);
	ck_assert_uint_eq(made->move_count, 1);
	jump(200); /* back: the reversal itself is made */
	ck_assert_uint_eq(made->move_count, 1);
	jump(300);
	ck_assert_uint_eq(made->move_count, 0);
	ck_assert_str_eq(made->guests[0].reason,
			 "it moved back and forth, and stays for another 900 s");
	observe(1199);
	plan();
	ck_assert_uint_eq(made->move_count, 0);
	observe(1200);
	plan();
	ck_assert_uint_eq(made->move_count, 1);
	jump(1201); /* back where its memory is */
	jump(1202);
	ck_assert_uint_eq(made->move_count, 1);
	jump(1203);
	ck_assert_uint_eq(made->move_count, 1);
	jump(1204);
	ck_assert_str_eq(made->guests[0].reason,
			 "it moved back and forth, and stays for another 1999 s");
	placement_history_destroy(history);
}
END_TEST

START_TEST(moves_of_one_plan_are_one_reversal)
{
	host(2, 16);
	guest("web1", 0, 0, 4);
	ck_assert(!fleet_add_ram(&fleet, 0, 0, PLACEMENT_NO_VNODE, PLACEMENT_2M, GIB, 0));
	fleet.nodes[1].free_bytes[PLACEMENT_2M] = GIB;
	ck_assert(!placement_history_create(&history, &err));
	options.freeze_seconds = 1000;
	jump(100);
	ck_assert_uint_eq(made->move_count, 2);
	jump(200);
	ck_assert_uint_eq(made->move_count, 2);
	jump(1199);
	ck_assert_uint_eq(made->move_count, 0);
	observe(1200);
	plan();
	ck_assert_uint_eq(made->move_count, 2);
	placement_history_destroy(history);
}
END_TEST

START_TEST(guest_that_moves_on_is_not_frozen)
{
	host(3, 16);
	guest("web1", 0, 0, 4);
	ck_assert(!placement_history_create(&history, &err));
	for (unsigned int step = 1; step < 6; step++) {
		struct placement_time *time = (struct placement_time *)fleet.guests[0].time;

		time[0].node = time[1].node = (uint16_t)(step % 3);
		observe(100ull * step);
		plan();
		ck_assert_uint_eq(made->move_count, 1);
		ck_assert(!placement_history_record(history, fleet.guests, &made->moves[0],
						    &options, &err));
		carry_out();
	}
	placement_history_destroy(history);
}
END_TEST

int main(void)
{
	const TTest *const tests[] = {
	    score_must_have_been_low_for_the_hold_time,
	    guest_that_went_back_and_forth_is_frozen_for_longer_each_time,
	    moves_of_one_plan_are_one_reversal,
	    guest_that_moves_on_is_not_frozen,
	};

	return run_tests("planner_history", NULL, stop, tests, sizeof(tests) / sizeof(tests[0]));
}
