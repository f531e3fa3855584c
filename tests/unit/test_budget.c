/* Jobs with a budget, on a guest that is real but for its nodes. */
#include "rig.h"

#include <errno.h>
#include <sched.h>

#define BYTES (16ull << 20)

/* Half of the budget at 1 us a page. Nobody waits, so that it stays at that. A huge page only if it may be split. */
START_TEST(stall_budget_bounds_what_is_protected_at_a_time)
{
	unsigned int blocks = (unsigned int)(BYTES / GMIG_BLOCK_BYTES), each = 50;
	struct rig_options options = {.bytes = BYTES, .small_pages = _i == 0};
	struct gmig_job_spec spec = rig_spec(0, 1);
	struct gmig_job_info info;
	struct rig rig;

	if (_i == 1 && !thp_or_skip())
		return;
	rig_create(&rig, &options);
	spec.mode = _i & 1 ? GMIG_MODE_BLOCK : GMIG_MODE_READABLE;
	spec.max_stall_ns = 2 * each * 1000;
	spec.huge = _i == 2 ? GMIG_HUGE_SPLIT : GMIG_HUGE_PREFER;
	rig_move(&rig, &spec, &info);
	ck_assert_int_eq(info.state, GMIG_JOB_COMPLETED);
	ck_assert_uint_eq(info.moved_bytes, BYTES);
	ck_assert_uint_eq(info.blackout_write.count,
			  blocks * (_i == 1 ? 1 : (GMIG_BLOCK_PAGES + each - 1) / each));
	ck_assert(info.max_stall_met);
	ck_assert_uint_eq(info.max_stall_late, 0);
	ck_assert_uint_eq(rig_check_all(&rig), 0);
	rig_assert_clean(&rig);
	rig_destroy(&rig);
}
END_TEST

START_TEST(stall_budget_that_nothing_can_hold_is_said_to_be_not_met)
{
	struct rig_options options = {.bytes = BYTES, .small_pages = _i};
	struct gmig_job_info info = {0};
	struct rig rig;

	rig_create(&rig, &options);
	rig_start(&rig, 2);
	for (unsigned int i = 0; i < 50 && !info.stall.count; i++) {
		struct gmig_job_spec spec = rig_spec(i % 2, (i + 1) % 2);

		spec.max_stall_ns = 1;
		rig_move(&rig, &spec, &info);
		ck_assert_uint_eq(info.moved_bytes, BYTES);
	}
	ck_assert_uint_gt(info.stall.count, 0);
	ck_assert(!info.max_stall_met);
	ck_assert_uint_eq(info.max_stall_late, info.stall.count);
	ck_assert(info.max_stall_needs_split == rig.gmig->thp);
	ck_assert_uint_eq(rig_stop(&rig), 0);
	ck_assert_uint_eq(rig_check_all(&rig), 0);
	rig_assert_clean(&rig);
	rig_destroy(&rig);
}
END_TEST

/* ---- Slowdown ----------------------------------------------------------------------------------- */

/* The first block waits until 200 us are saved up (of small pages 600), at two in a hundred: 10 ms and more. */
START_TEST(slowdown_budget_makes_a_job_wait_and_is_held)
{
	struct rig_options options = {.bytes = BYTES, .small_pages = _i};
	struct gmig_job_spec spec = rig_spec(0, 1);
	struct gmig_job_info info;
	struct rig rig;

	rig_create(&rig, &options);
	rig_move(&rig, &spec, &info);
	ck_assert_uint_gt(info.slowdown_ppm, 1000);
	ck_assert(!info.max_slowdown_met); /* there is none */
	rig_start(&rig, 1);
	spec = rig_spec(1, 0);
	spec.max_slowdown_ppm = 20000;
	spec.max_stall_ns = 5000000;
	spec.rate_bytes_per_second = 1ull << 30;
	rig_move(&rig, &spec, &info);
	ck_assert_int_eq(info.state, GMIG_JOB_COMPLETED);
	ck_assert_uint_eq(info.moved_bytes, BYTES);
	ck_assert_uint_eq(info.spec.max_slowdown_ppm, 20000);
	/* A block is paid for when it is over: the last one may not be. */
	ck_assert_uint_ge(info.elapsed_ns, 10000000);
	ck_assert_uint_gt(info.slowdown_worst_ppm, 0);
	ck_assert(info.max_slowdown_met == (info.slowdown_worst_ppm <= 20000));
	ck_assert(!info.max_slowdown_stuck);
	ck_assert_uint_eq(rig_stop(&rig), 0);
	ck_assert_uint_eq(rig_check_all(&rig), 0);
	rig_assert_clean(&rig);
	rig_destroy(&rig);
}
END_TEST

/* One part in a million: four minutes for the first block. Pause, resume and cancel are heard all the same. */
START_TEST(job_that_waits_for_its_slowdown_budget_hears_a_cancel)
{
	struct rig_options options = {.bytes = BYTES};
	struct gmig_job_spec spec = rig_spec(0, 1);
	struct gmig_job_info info;
	struct gmig_job *job;
	struct gmig_error err;
	struct rig rig;

	rig_create(&rig, &options);
	spec.max_slowdown_ppm = 1;
	spec.threads = 2;
	ck_assert_int_eq(gmig_job_start(rig.gmig, &spec, &job, &err), 0);
	ck_assert_int_eq(gmig_job_pause(job), 0);
	ck_assert_int_eq(gmig_job_resume(job), 0);
	gmig_job_info(job, &info);
	ck_assert_uint_eq(info.moved_bytes, 0);
	ck_assert_int_eq(gmig_job_cancel(job), 0);
	gmig_job_wait(job);
	gmig_job_info(job, &info);
	ck_assert_int_eq(info.state, GMIG_JOB_CANCELLED);
	ck_assert_uint_eq(info.moved_bytes, 0);
	ck_assert_uint_eq(info.slowdown_ppm, 0);
	gmig_job_put(job);
	/* What was reserved for it is free again. */
	spec = rig_spec(0, 1);
	spec.max_slowdown_ppm = 500000;
	rig_move(&rig, &spec, &info);
	ck_assert_uint_eq(info.moved_bytes, BYTES);
	rig_assert_clean(&rig);
	rig_destroy(&rig);
}
END_TEST

START_TEST(slowdown_of_more_than_all_is_refused)
{
	struct rig_options options = {.bytes = BYTES, .untouched = true};
	struct gmig_job_spec spec = rig_spec(0, 1);
	struct gmig_job *job;
	struct gmig_error err;
	struct rig rig;

	rig_create(&rig, &options);
	spec.max_slowdown_ppm = 1000001;
	ck_assert_int_eq(gmig_job_start(rig.gmig, &spec, &job, &err), -EINVAL);
	rig_destroy(&rig);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("budget");
	TCase *tcase = tcase_create("stall"), *slowdown = tcase_create("slowdown");

	tcase_set_timeout(tcase, 60);
	tcase_set_timeout(slowdown, 60);
	tcase_add_loop_test(tcase, stall_budget_bounds_what_is_protected_at_a_time, 0, 3);
	tcase_add_loop_test(tcase, stall_budget_that_nothing_can_hold_is_said_to_be_not_met, 0, 2);
	tcase_add_loop_test(slowdown, slowdown_budget_makes_a_job_wait_and_is_held, 0, 2);
	tcase_add_test(slowdown, job_that_waits_for_its_slowdown_budget_hears_a_cancel);
	tcase_add_test(slowdown, slowdown_of_more_than_all_is_refused);
	suite_add_tcase(suite, tcase);
	suite_add_tcase(suite, slowdown);
	return rig_main(suite);
}
