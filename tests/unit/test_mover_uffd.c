/* Mover uffd, call by call: small pages, what stays and why, what is put back, and what is lost. */
#include "uffd_rig.h"

/* ---- Small pages -------------------------------------------------------------------------------- */

START_TEST(readable_block_is_protected_at_once_and_exchanged_in_parts)
{
	start(true);
	begin_job(GMIG_MODE_READABLE);
	run();
	check_calls("P0+512 <0+256 >0+256 <256+256 >256+256");
	check_pages(0, 512, MOVED);
	check_blackouts(2, OUT_NS + IN_NS, 1, PROTECT_NS + 2 * (OUT_NS + IN_NS));
	check_held(PROTECT_NS + 2 * (OUT_NS + IN_NS), 1);
	ck_assert_uint_eq(holds, 0);
	end(512);
}
END_TEST

START_TEST(block_that_nobody_may_read_is_exchanged_at_once)
{
	start(true);
	begin_job(GMIG_MODE_BLOCK);
	run();
	check_calls("<0+512 >0+512");
	check_pages(0, 512, MOVED);
	check_blackouts(1, OUT_NS + IN_NS, 1, OUT_NS + IN_NS);
	check_held(OUT_NS + IN_NS, 1);
	end(512);
}
END_TEST

START_TEST(batch_pages_are_what_is_out_of_reach_together)
{
	start(true);
	begin_job(_i ? GMIG_MODE_BLOCK : GMIG_MODE_READABLE);
	job.spec.batch_pages = 200;
	run();
	check_calls(_i ? "<0+200 >0+200 <200+200 >200+200 <400+112 >400+112"
		       : "P0+512 <0+200 >0+200 <200+200 >200+200 <400+112 >400+112");
	check_pages(0, 512, MOVED);
	check_blackouts(3, OUT_NS + IN_NS, _i ? 3 : 1,
			_i ? OUT_NS + IN_NS : PROTECT_NS + 3 * (OUT_NS + IN_NS));
	check_held((_i ? 0 : PROTECT_NS) + 3 * (OUT_NS + IN_NS), _i ? 3 : 1);
	end(512);
}
END_TEST

START_TEST(vcpus_are_held_once_for_each_exchange_of_small_pages)
{
	start(_i);
	begin_job(GMIG_MODE_READABLE);
	job.spec.hold_vcpus = true;
	job.spec.batch_pages = 128;
	run();
	check_pages(0, 512, MOVED);
	ck_assert_uint_eq(holds, ticket.huge ? 0 : 4);
	ck_assert_uint_eq(held, 0);
	end(512);
}
END_TEST

START_TEST(pages_that_lie_apart_are_runs_of_their_own)
{
	start(true);
	begin_job(GMIG_MODE_READABLE);
	bits_clear_all(&ticket.pages);
	bits_set_range(&ticket.pages, 3, 10);
	bits_set_range(&ticket.pages, 511, 1);
	run();
	check_calls("P3+10 <3+10 >3+10 P511+1 <511+1 >511+1");
	check_pages(0, 3, 0);
	check_pages(3, 10, MOVED);
	check_pages(13, 498, 0);
	check_pages(511, 1, MOVED);
	check_blackouts(2, OUT_NS + IN_NS, 2, PROTECT_NS + OUT_NS + IN_NS);
	check_held(2 * (PROTECT_NS + OUT_NS + IN_NS), 2);
	end(11);
}
END_TEST

/* A stall budget: run_pages at a time are out of reach, and are woken before the next. */
START_TEST(runs_are_as_short_as_the_job_wants_them)
{
	start(true);
	begin_job(GMIG_MODE_READABLE);
	ticket.run_pages = 200;
	ticket.first_page = 100;
	run();
	/* The page that somebody waits for, and those behind it, go first. */
	check_calls("P100+200 <100+200 >100+200 P300+200 <300+200 >300+200 "
		    "P500+12 <500+12 >500+12 P0+100 <0+100 >0+100");
	check_pages(0, 512, MOVED);
	ck_assert_uint_eq(bits_count(&ticket.claim.over), 512);
	end(512);
}
END_TEST

/* ---- Pages that stay ---------------------------------------------------------------------------- */

/* What the kernel says, and what is told of it: the next pass looks again, or there is no frame to read. */
static const struct {
	int kernel, told;
} reasons[] = {{-EBUSY, -EBUSY}, {-ENOENT, -EAGAIN}, {-EFAULT, -EIO}, {-ENOMEM, -ENOMEM}};

START_TEST(page_that_does_not_leave_stays_alone)
{
	start(true);
	begin_job(GMIG_MODE_READABLE);
	refuse(0, '<', 100, reasons[_i].kernel, ALWAYS);
	run();
	check_calls("P0+512 <0+100 >0+100 U100+412 P101+411 <101+256 >101+256 <357+155 >357+155");
	check_pages(0, 100, MOVED);
	check_pages(100, 1, reasons[_i].told);
	check_pages(101, 411, MOVED);
	ck_assert(!ticket.lost);
	end(511);
}
END_TEST

START_TEST(page_that_does_not_leave_stays_alone_where_nobody_may_read)
{
	start(true);
	begin_job(GMIG_MODE_BLOCK);
	refuse(0, '<', 100, reasons[_i].kernel, ALWAYS);
	run();
	check_calls("<0+100 >0+100 <101+411 >101+411");
	check_pages(0, 100, MOVED);
	check_pages(100, 1, reasons[_i].told);
	check_pages(101, 411, MOVED);
	end(511);
}
END_TEST

START_TEST(first_and_last_page_may_be_those_that_stay)
{
	start(true);
	begin_job(GMIG_MODE_BLOCK);
	refuse(0, '<', 0, -EBUSY, ALWAYS);
	refuse(1, '<', 511, -EBUSY, ALWAYS);
	run();
	check_calls("<1+510 >1+510");
	check_pages(0, 1, -EBUSY);
	check_pages(1, 510, MOVED);
	check_pages(511, 1, -EBUSY);
	/* A try that moves nothing holds readers off, too. */
	check_blackouts(2, 2 * OUT_NS + IN_NS, 2, 2 * OUT_NS + IN_NS);
	end(510);
}
END_TEST

/* Each try copies the rest: after eight pages that stay the others wait for the next pass. */
START_TEST(run_stumbles_eight_times_at_most)
{
	static const unsigned int bad[] = {10, 20, 30, 40};

	start(true);
	begin_job(GMIG_MODE_BLOCK);
	ticket.pages = (struct bits){{0}};
	bits_set_range(&ticket.pages, 0, 80);
	for (unsigned int i = 0; i < 4; i++)
		refuse(i, '<', bad[i], -EBUSY, ALWAYS);
	run();
	check_calls("<0+10 >0+10 <11+9 >11+9 <21+9 >21+9 <31+9 >31+9 <41+39 >41+39");
	check_pages(41, 39, MOVED);
	check_pages(40, 1, -EBUSY);
	end(76);
}
END_TEST

START_TEST(run_in_which_all_stay_is_given_up)
{
	start(true);
	sys.ioctl = stays;
	begin_job(GMIG_MODE_BLOCK);
	run();
	check_calls("<0+512! <1+511! <2+510! <3+509! <4+508! <5+507! <6+506! <7+505!");
	check_pages(0, 512, -EBUSY);
	check_blackouts(8, 0, 8, 0);
	end(0);
}
END_TEST

/* ---- Pages that do not arrive ------------------------------------------------------------------- */

/* Those of its part that were put back with it are tried again. */
START_TEST(page_that_does_not_arrive_is_put_back)
{
	start(true);
	begin_job(GMIG_MODE_READABLE);
	refuse(0, '>', 100, -EBUSY, 4);
	run();
	/* Four tries with the frame of the target, and then with its own one. */
	check_calls("P0+512 <0+256 >0+100 >100+156! >100+156! >100+156! >100+156! >100+156 "
		    "<256+256 >256+256 P101+155 <101+155 >101+155");
	ck_assert_uint_eq(naps, 3);
	check_pages(0, 100, MOVED);
	check_pages(100, 1, -EBUSY);
	check_pages(101, 411, MOVED);
	ck_assert(!ticket.lost);
	end(511);
}
END_TEST

START_TEST(page_that_arrives_at_a_later_try_has_moved)
{
	start(true);
	begin_job(GMIG_MODE_BLOCK);
	refuse(0, '>', 100, -EBUSY, 3);
	run();
	check_calls("<0+512 >0+100 >100+412! >100+412! >100+412! >100+412");
	ck_assert_uint_eq(naps, 3);
	check_pages(0, 512, MOVED);
	ck_assert_int_eq(ticket.error[100], 0);
	end(512);
}
END_TEST

/* A stalled guest is better than lost memory: it is tried for 200 ms. */
START_TEST(page_that_cannot_be_put_back_for_long_comes_back_in_the_end)
{
	start(true);
	begin_job(GMIG_MODE_BLOCK);
	refuse(0, '>', 511, -EBUSY, 4 + 200);
	run();
	check_pages(0, 511, MOVED);
	check_pages(511, 1, -EBUSY);
	ck_assert_uint_eq(naps, 3 + 200);
	ck_assert(!ticket.lost);
	end(511);
}
END_TEST

START_TEST(page_that_can_never_be_put_back_is_lost_and_told)
{
	start(true);
	begin_job(GMIG_MODE_BLOCK);
	refuse(0, '>', 300, -EBUSY, ALWAYS);
	run();
	check_calls("<0+512 >0+300");
	ck_assert_uint_eq(naps, 3 + 200);
	check_pages(0, 300, MOVED);
	check_pages(300, 212, -EBUSY);
	ck_assert(ticket.lost);
	ck_assert_int_eq(atomic_load(&rig.fatal), 1);
	ck_assert(bits_empty(&ticket.broken));
	memset(rules, 0, sizeof(rules));
	settle();
	end_job();
	/* What arrived before is the guest's. */
	for (uint64_t page = 0; page < FIRST + 300; page++)
		ck_assert_uint_eq(rig_check_page(&rig, page), 0);
	rig_destroy(&rig);
}
END_TEST

/* ---- Rights ------------------------------------------------------------------------------------- */

START_TEST(run_that_cannot_be_protected_stays)
{
	if (!_i && !thp_or_skip())
		return;
	start(_i);
	begin_job(GMIG_MODE_READABLE);
	refuse(0, 'P', 0, -ENOENT, 1);
	run();
	check_calls(_i ? "P0+512! U0+512 P1+511 <1+256 >1+256 <257+255 >257+255"
		       : "P0+512! U0+512");
	check_pages(0, 1, -EAGAIN);
	check_pages(1, 511, _i ? MOVED : -EAGAIN);
	end(_i ? 511 : 0);
}
END_TEST

START_TEST(right_that_is_not_given_back_at_once_is_given_back_later)
{
	start(true);
	begin_job(GMIG_MODE_READABLE);
	refuse(0, '<', 511, -EBUSY, 1);
	refuse(1, 'U', 511, -ENOMEM, 199);
	run();
	ck_assert_uint_eq(naps, 199);
	check_pages(0, 511, MOVED);
	check_pages(511, 1, -EBUSY);
	ck_assert(!ticket.lost);
	end(511);
}
END_TEST

START_TEST(right_that_can_never_be_given_back_is_lost_and_told)
{
	start(true);
	begin_job(GMIG_MODE_READABLE);
	refuse(0, '<', 500, -EBUSY, 1);
	refuse(1, 'U', 511, -ENOMEM, ALWAYS);
	run();
	check_calls("P0+512 <0+256 >0+256 <256+244 <500+12! >256+244");
	ck_assert_uint_eq(naps, 200);
	check_pages(0, 500, MOVED);
	check_pages(500, 12, -ENOMEM);
	ck_assert(ticket.lost);
	ck_assert_int_eq(atomic_load(&rig.fatal), 1);
	memset(rules, 0, sizeof(rules));
	settle();
	end_job();
	rig_destroy(&rig);
}
END_TEST

/* ---- Options ------------------------------------------------------------------------------------ */

START_TEST(options_that_it_has_not_are_refused)
{
	struct gmig_job_spec spec = rig_spec(0, 1);
	struct gmig_error err = {0};

	start(true);
	spec.frames = GMIG_FRAMES_RECYCLED;
	spec.hold_vcpus = true;
	ck_assert_int_eq(mover_uffd.check(&rig.gmig->memory, &spec, &err), 0);
	spec.frames = GMIG_FRAMES_RECYCLED + 1;
	ck_assert_int_eq(mover_uffd.check(&rig.gmig->memory, &spec, &err), -EINVAL);
	ck_assert_ptr_nonnull(strstr(err.text, "frames"));
	spec.frames = GMIG_FRAMES_AUTO;
	rig.gmig->options.hold_vcpus = NULL;
	ck_assert_int_eq(mover_uffd.check(&rig.gmig->memory, &spec, &err), -EOPNOTSUPP);
	ck_assert_ptr_nonnull(strstr(err.text, "hold-vcpus"));
	spec.hold_vcpus = false;
	ck_assert_int_eq(mover_uffd.check(&rig.gmig->memory, &spec, &err), 0);
	rig_destroy(&rig);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("mover_uffd");
	TCase *tcase = tcase_create("mover_uffd");
	const int count = sizeof(reasons) / sizeof(reasons[0]);

	tcase_add_test(tcase, readable_block_is_protected_at_once_and_exchanged_in_parts);
	tcase_add_test(tcase, block_that_nobody_may_read_is_exchanged_at_once);
	tcase_add_loop_test(tcase, batch_pages_are_what_is_out_of_reach_together, 0, 2);
	tcase_add_loop_test(tcase, vcpus_are_held_once_for_each_exchange_of_small_pages, 0, 2);
	tcase_add_test(tcase, pages_that_lie_apart_are_runs_of_their_own);
	tcase_add_test(tcase, runs_are_as_short_as_the_job_wants_them);
	tcase_add_loop_test(tcase, page_that_does_not_leave_stays_alone, 0, count);
	tcase_add_loop_test(tcase, page_that_does_not_leave_stays_alone_where_nobody_may_read, 0,
			    count);
	tcase_add_test(tcase, first_and_last_page_may_be_those_that_stay);
	tcase_add_test(tcase, run_stumbles_eight_times_at_most);
	tcase_add_test(tcase, run_in_which_all_stay_is_given_up);
	tcase_add_test(tcase, page_that_does_not_arrive_is_put_back);
	tcase_add_test(tcase, page_that_arrives_at_a_later_try_has_moved);
	tcase_add_test(tcase, page_that_cannot_be_put_back_for_long_comes_back_in_the_end);
	tcase_add_test(tcase, page_that_can_never_be_put_back_is_lost_and_told);
	tcase_add_loop_test(tcase, run_that_cannot_be_protected_stays, 0, 2);
	tcase_add_test(tcase, right_that_is_not_given_back_at_once_is_given_back_later);
	tcase_add_test(tcase, right_that_can_never_be_given_back_is_lost_and_told);
	tcase_add_test(tcase, options_that_it_has_not_are_refused);
	suite_add_tcase(suite, tcase);
	return rig_main(suite);
}
