/* Mover uffd, call by call, in mode LAZY: blocks that wait for a touch, and what becomes of them. */
#include "uffd_rig.h"

/* ---- Mode LAZY ---------------------------------------------------------------------------------- */

static void bring_ticket(void)
{
	mover_uffd.bring(&worker, &ticket);
}

static void give_ticket_back(void)
{
	mover_uffd.give_back(&worker, &ticket, -ETIME);
}

static void begin_lazy(enum gmig_lazy lazy)
{
	begin_job(GMIG_MODE_LAZY);
	job.spec.lazy = lazy;
	prepare_and_claim();
}

static void wait_and_pick(unsigned int to)
{
	claim_wait(&ticket.claim, &ticket.out, &ticket.gone);
	claim_pick(&ticket.claim, &ticket.out, to);
	ticket.to = to;
}

START_TEST(lazy_block_is_out_until_it_is_brought)
{
	start(_i);
	begin_lazy(GMIG_LAZY_ANY);
	drive(move_ticket);
	check_calls("<0+512");
	check_pages(0, 512, OUT);
	check_held(OUT_NS, 0);
	wait_and_pick(1);
	drive(bring_ticket);
	check_calls(">0+512");
	check_held(IN_NS, 1);
	check_blackouts(1, IN_NS, 1, IN_NS);
	ck_assert_uint_eq(bits_count(&ticket.moved), 512);
	end(512);
}
END_TEST

START_TEST(lazy_block_is_given_back_from_where_it_waited)
{
	start(_i);
	begin_lazy(GMIG_LAZY_ANY);
	drive(move_ticket);
	wait_and_pick(0);
	drive(give_ticket_back);
	check_calls(">0+512");
	ck_assert_uint_eq(bits_count(&ticket.moved), 0);
	for (unsigned int i = 0; i < GMIG_BLOCK_PAGES; i++)
		ck_assert_int_eq(ticket.error[i], -ETIME);
	check_blackouts(0, 0, 0, 0);
	end(0);
}
END_TEST

START_TEST(lazy_pages_that_do_not_leave_are_not_waited_for)
{
	start(true);
	begin_lazy(GMIG_LAZY_ANY);
	refuse(0, '<', 0, -EBUSY, ALWAYS);
	refuse(1, '<', 7, -ENOENT, ALWAYS);
	refuse(2, '<', 511, -EFAULT, ALWAYS);
	drive(move_ticket);
	check_calls("<1+6 <8+503");
	check_pages(0, 1, -EBUSY);
	check_pages(1, 6, OUT);
	check_pages(7, 1, -EAGAIN);
	check_pages(8, 503, OUT);
	check_pages(511, 1, -EIO);
	wait_and_pick(1);
	drive(bring_ticket);
	check_calls(">1+6 >8+503");
	ck_assert_uint_eq(bits_count(&ticket.moved), 509);
	check_blackouts(2, IN_NS, 2, IN_NS);
	end(509);
}
END_TEST

START_TEST(lazy_block_whose_pages_all_stay_is_given_up)
{
	start(true);
	sys.ioctl = stays;
	begin_lazy(GMIG_LAZY_ANY);
	drive(move_ticket);
	check_calls("<0+512! <1+511! <2+510! <3+509! <4+508! <5+507! <6+506! <7+505!");
	check_pages(0, 512, -EBUSY);
	end(0);
}
END_TEST

START_TEST(lazy_huge_page_goes_whole_or_not_at_all)
{
	if (!start_huge())
		return;
	begin_lazy(GMIG_LAZY_ANY);
	refuse(0, '<', 0, -EBUSY, 1);
	drive(move_ticket);
	check_calls("<0+512!");
	check_pages(0, 512, -EBUSY);
	end(0);
}
END_TEST

START_TEST(lazy_huge_page_that_leaves_only_in_part_comes_back)
{
	if (!start_huge())
		return;
	begin_lazy(GMIG_LAZY_ANY);
	refuse(0, '<', 100, -EBUSY, 1);
	drive(move_ticket);
	check_calls("<0+100 <100+412! >0+100");
	check_pages(0, 512, -EBUSY);
	check_blackouts(0, 0, 0, 0); /* what nobody was to touch yet is none */
	settle();
	end_job();
	ck_assert_uint_eq(in_books_on(1), 0);
	ck_assert_uint_eq(rig_check_all(&rig), 0);
	rig_assert_clean(&rig);
	rig_destroy(&rig);
}
END_TEST

START_TEST(lazy_parts_begin_with_the_page_that_was_touched)
{
	start(true);
	begin_lazy(GMIG_LAZY_ANY);
	drive(move_ticket);
	wait_and_pick(1);
	ticket.run_pages = 200;
	ticket.first_page = 400;
	drive(bring_ticket);
	check_calls(">400+112 >0+200 >200+200");
	check_blackouts(3, IN_NS, 3, IN_NS);
	check_held(3 * IN_NS, 3);
	ck_assert_uint_eq(bits_count(&ticket.moved), 512);
	end(512);
}
END_TEST

START_TEST(lazy_page_that_does_not_arrive_is_put_back)
{
	start(true);
	begin_lazy(GMIG_LAZY_ANY);
	drive(move_ticket);
	wait_and_pick(1);
	refuse(0, '>', 500, -EBUSY, 4);
	drive(bring_ticket);
	check_calls(">0+500 >500+12! >500+12! >500+12! >500+12! >500+12");
	ck_assert_uint_eq(bits_count(&ticket.moved), 500);
	for (unsigned int i = 500; i < 512; i++)
		ck_assert_int_eq(ticket.error[i], -EBUSY);
	end(500);
}
END_TEST

START_TEST(lazy_content_that_cannot_come_back_is_lost_and_told)
{
	start(true);
	begin_lazy(GMIG_LAZY_ANY);
	refuse(0, '<', 100, -EBUSY, ALWAYS);
	drive(move_ticket);
	wait_and_pick(0);
	refuse(1, '>', 50, -EBUSY, ALWAYS);
	drive(give_ticket_back);
	/* Nor is the second run tried any more. */
	check_calls(">0+50");
	ck_assert_uint_eq(naps, 200);
	ck_assert(ticket.lost);
	ck_assert_int_eq(atomic_load(&rig.fatal), 1);
	memset(rules, 0, sizeof(rules));
	settle();
	end_job();
	rig_destroy(&rig);
}
END_TEST

START_TEST(lazy_right_is_taken_and_the_writer_waits_alone)
{
	start(_i);
	begin_lazy(GMIG_LAZY_WRITE);
	ck_assert_ptr_null(ticket.source);
	drive(move_ticket);
	check_calls("P0+512");
	check_pages(0, 512, OUT);
	check_held(PROTECT_NS, 0);
	wait_and_pick(1);
	drive(bring_ticket);
	check_calls(ticket.huge ? "P0+512 <0+512 >0+512"
				: "P0+512 <0+256 >0+256 <256+256 >256+256");
	ck_assert_uint_eq(bits_count(&ticket.moved), 512);
	end(512);
}
END_TEST

START_TEST(lazy_right_is_given_back)
{
	start(true);
	begin_lazy(GMIG_LAZY_WRITE);
	bits_clear_range(&ticket.pages, 100, 1);
	drive(move_ticket);
	check_calls("P0+100 P101+411");
	check_pages(100, 1, 0);
	bits_set(&ticket.pages, 100);
	wait_and_pick(0);
	drive(give_ticket_back);
	check_calls("U0+100 U101+411");
	ck_assert_int_eq(ticket.error[0], -ETIME);
	ck_assert_int_eq(ticket.error[511], -ETIME);
	check_held(2 * UNPROTECT_NS, 0);
	end(0);
}
END_TEST

START_TEST(lazy_right_that_cannot_be_taken_is_not_waited_for)
{
	start(true);
	begin_lazy(GMIG_LAZY_WRITE);
	bits_clear_range(&ticket.pages, 100, 1);
	refuse(0, 'P', 0, -ENOMEM, 1);
	drive(move_ticket);
	check_calls("P0+100! U0+100 P101+411");
	check_pages(0, 100, -ENOMEM);
	check_pages(101, 411, OUT);
	bits_set(&ticket.pages, 100);
	wait_and_pick(1);
	drive(bring_ticket);
	check_calls("P101+411 <101+256 >101+256 <357+155 >357+155");
	ck_assert_uint_eq(bits_count(&ticket.moved), 411);
	end(411);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("mover_uffd_lazy");
	TCase *tcase = tcase_create("mover_uffd_lazy");

	tcase_add_loop_test(tcase, lazy_block_is_out_until_it_is_brought, 0, 2);
	tcase_add_loop_test(tcase, lazy_block_is_given_back_from_where_it_waited, 0, 2);
	tcase_add_test(tcase, lazy_pages_that_do_not_leave_are_not_waited_for);
	tcase_add_test(tcase, lazy_block_whose_pages_all_stay_is_given_up);
	tcase_add_test(tcase, lazy_huge_page_goes_whole_or_not_at_all);
	tcase_add_test(tcase, lazy_huge_page_that_leaves_only_in_part_comes_back);
	tcase_add_test(tcase, lazy_parts_begin_with_the_page_that_was_touched);
	tcase_add_test(tcase, lazy_page_that_does_not_arrive_is_put_back);
	tcase_add_test(tcase, lazy_content_that_cannot_come_back_is_lost_and_told);
	tcase_add_loop_test(tcase, lazy_right_is_taken_and_the_writer_waits_alone, 0, 2);
	tcase_add_test(tcase, lazy_right_is_given_back);
	tcase_add_test(tcase, lazy_right_that_cannot_be_taken_is_not_waited_for);
	suite_add_tcase(suite, tcase);
	return rig_main(suite);
}
