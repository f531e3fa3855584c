/* Jobs with a budget, on a guest that is real but for its nodes. */
#include "rig.h"

#define BYTES (16ull << 20)

/* Half of the budget at 1 us a page. Nobody waits, so that it stays at that. A huge page only if it may be split. */
START_TEST(stall_budget_bounds_what_is_protected_at_a_time)
{
	unsigned int blocks = (unsigned int)(BYTES / GMIG_BLOCK_BYTES), each = 50;
	struct rig_options options = {.bytes = BYTES, .small_pages = _i == 0};
	struct gmig_job_spec spec = rig_spec(0, 1);
	struct gmig_job_info info;
	struct rig rig;

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
	ck_assert(info.max_stall_needs_split == !_i);
	ck_assert_uint_eq(rig_stop(&rig), 0);
	ck_assert_uint_eq(rig_check_all(&rig), 0);
	rig_assert_clean(&rig);
	rig_destroy(&rig);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("budget");
	TCase *tcase = tcase_create("stall");

	tcase_set_timeout(tcase, 60);
	tcase_add_loop_test(tcase, stall_budget_bounds_what_is_protected_at_a_time, 0, 3);
	tcase_add_loop_test(tcase, stall_budget_that_nothing_can_hold_is_said_to_be_not_met, 0, 2);
	suite_add_tcase(suite, tcase);
	return rig_main(suite);
}
