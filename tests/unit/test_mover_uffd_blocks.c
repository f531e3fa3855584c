/* Mover uffd, call by call: huge pages, holes and zero pages, and memory that breaks. */
#include "../../migrate/gmig_retire.h"
#include "uffd_rig.h"

/* ---- Huge pages --------------------------------------------------------------------------------- */

START_TEST(huge_page_moves_whole)
{
	if (!start_huge())
		return;
	begin_job(_i ? GMIG_MODE_BLOCK : GMIG_MODE_READABLE);
	run();
	check_calls(_i ? "<0+512 >0+512" : "P0+512 <0+512 >0+512");
	check_pages(0, 512, MOVED);
	check_blackouts(1, OUT_NS + IN_NS, 1, (_i ? 0 : PROTECT_NS) + OUT_NS + IN_NS);
	check_held((_i ? 0 : PROTECT_NS) + OUT_NS + IN_NS, 1);
	ck_assert(!ticket.split);
	end(512);
}
END_TEST

START_TEST(huge_page_that_is_to_be_split_moves_as_small_ones)
{
	if (!start_huge())
		return;
	begin_job(_i ? GMIG_MODE_BLOCK : GMIG_MODE_READABLE);
	job.spec.huge = GMIG_HUGE_SPLIT;
	prepare_and_claim();
	ck_assert(ticket.demote);
	ck_assert(!ticket.target->huge && !ticket.source->huge);
	drive(move_ticket);
	check_calls(_i ? "<0+512 >0+512" : "P0+512 <0+256 >0+256 <256+256 >256+256");
	check_pages(0, 512, MOVED);
	ck_assert(!ticket.huge);
	ck_assert_uint_eq(atomic_load(&job.thp_split), 1);
	end(512);
}
END_TEST

START_TEST(huge_page_that_does_not_leave_stays_whole)
{
	if (!start_huge())
		return;
	begin_job(_i ? GMIG_MODE_BLOCK : GMIG_MODE_READABLE);
	refuse(0, '<', 0, -EBUSY, 1);
	run();
	check_calls(_i ? "<0+512!" : "P0+512 <0+512! U0+512");
	check_pages(0, 512, -EBUSY);
	ck_assert_uint_eq(atomic_load(&job.thp_split), 0);
	end(0);
}
END_TEST

START_TEST(huge_page_that_does_not_arrive_is_put_back_whole)
{
	if (!start_huge())
		return;
	begin_job(_i ? GMIG_MODE_BLOCK : GMIG_MODE_READABLE);
	refuse(0, '>', 0, -EBUSY, 5);
	run();
	check_calls(_i ? "<0+512 >0+512! >0+512! >0+512! >0+512! >0+512! >0+512"
		       : "P0+512 <0+512 >0+512! >0+512! >0+512! >0+512! >0+512! >0+512");
	ck_assert_uint_eq(naps, 4);
	check_pages(0, 512, -EBUSY);
	end(0);
}
END_TEST

START_TEST(huge_page_that_was_split_meanwhile_is_left_to_the_next_pass)
{
	if (!start_huge())
		return;
	begin_job(_i ? GMIG_MODE_BLOCK : GMIG_MODE_READABLE);
	prepare_and_claim();
	/* As the kernel does it when memory is short. */
	ck_assert_int_eq(mprotect((void *)rig_page(&rig, FIRST), GMIG_PAGE_BYTES, PROT_READ), 0);
	ck_assert_int_eq(
	    mprotect((void *)rig_page(&rig, FIRST), GMIG_PAGE_BYTES, PROT_READ | PROT_WRITE), 0);
	drive(move_ticket);
	check_calls(_i ? "" : "P0+512 U0+512");
	check_pages(0, 512, -EAGAIN);
	ck_assert(ticket.split);
	settle();
	end_job();
	ck_assert_uint_eq(atomic_load(&job.thp_split), 1);
	ck_assert_uint_eq(rig_check_all(&rig), 0);
	rig_assert_clean(&rig);
	rig_destroy(&rig);
}
END_TEST

/* It cannot be told what is there: the table is believed, and the move finds out. */
START_TEST(block_that_cannot_be_looked_at_is_moved_as_the_books_have_it)
{
	start(_i);
	begin_job(GMIG_MODE_BLOCK);
	refuse(0, 'S', 0, -ENOMEM, 1);
	run();
	check_calls("<0+512 >0+512");
	check_pages(0, 512, MOVED);
	ck_assert(!ticket.split);
	end(512);
}
END_TEST

/* ---- Holes and zero pages ----------------------------------------------------------------------- */

static void discard_one(unsigned int page, bool zero_page)
{
	struct uffdio_zeropage zero = {
	    .range = {(uintptr_t)rig_page(&rig, FIRST + page), GMIG_PAGE_BYTES}};

	ck_assert_int_eq(
	    madvise((void *)rig_page(&rig, FIRST + page), GMIG_PAGE_BYTES, MADV_DONTNEED), 0);
	if (zero_page)
		ck_assert_int_eq(ioctl(rig.gmig->vnodes[0].uffd, UFFDIO_ZEROPAGE, &zero), 0);
}

/* As above; pages that have been given back read as zeros. */
static void end_with_gone(unsigned int moved)
{
	settle();
	end_job();
	ck_assert_uint_eq(in_books_on(1), moved);
	for (unsigned int i = 0; i < GMIG_BLOCK_PAGES; i++) {
		if (bits_get(&ticket.gone, i))
			ck_assert_uint_eq(rig_page(&rig, FIRST + i)[5], 0);
		else
			ck_assert_uint_eq(rig_check_page(&rig, FIRST + i), 0);
	}
	rig_settle(&rig);
	rig_assert_clean(&rig);
	rig_destroy(&rig);
}

START_TEST(holes_and_zero_pages_are_gone_and_the_others_move)
{
	start(true);
	begin_job(GMIG_MODE_BLOCK);
	discard_one(5, false);
	discard_one(20, true);
	discard_one(21, true);
	run();
	check_calls("P20+2 D20+2 <0+5 >0+5 <6+14 >6+14 <22+490 >22+490");
	check_pages(0, 5, MOVED);
	check_pages(5, 1, GONE);
	check_pages(6, 14, MOVED);
	check_pages(20, 2, GONE);
	check_pages(22, 490, MOVED);
	end_with_gone(509);
}
END_TEST

START_TEST(zero_page_that_cannot_be_thrown_away_stays)
{
	static const struct {
		char op;
		const char *calls;
		int told;
	} cases[] = {{'P', "P20+1! U20+1 <0+20 >0+20 <21+491 >21+491", -EBUSY},
		     {'D', "P20+1 D20+1! U20+1 <0+20 >0+20 <21+491 >21+491", -EBUSY}};

	start(true);
	begin_job(GMIG_MODE_BLOCK);
	discard_one(20, true);
	refuse(0, cases[_i].op, 20, -EBUSY, 1);
	run();
	check_calls(cases[_i].calls);
	check_pages(0, 20, MOVED);
	check_pages(20, 1, cases[_i].told);
	check_pages(21, 491, MOVED);
	memset(rules, 0, sizeof(rules));
	settle();
	end_job();
	ck_assert_uint_eq(rig_page(&rig, FIRST + 20)[5], 0);
	rig_write_page(&rig, FIRST + 20);
	ck_assert_uint_eq(rig_check_all(&rig), 0);
	rig_destroy(&rig);
}
END_TEST

static int write_after_protect(int fd, unsigned long request, void *arg)
{
	int ret = ioctl_driven(fd, request, arg);

	/* Who had written before the right was taken: the page has a frame of its own now. */
	if (driven && request == UFFDIO_WRITEPROTECT && !ret &&
	    ((struct uffdio_writeprotect *)arg)->mode) {
		struct uffdio_copy copy = {.dst = (uintptr_t)rig_page(&rig, FIRST + 20),
					   .src = (uintptr_t)rig_page(&rig, 0),
					   .len = GMIG_PAGE_BYTES,
					   .mode = UFFDIO_COPY_MODE_DONTWAKE};

		madvise((void *)rig_page(&rig, FIRST + 20), GMIG_PAGE_BYTES, MADV_DONTNEED);
		ck_assert_int_eq(ioctl(fd, UFFDIO_COPY, &copy), 0);
	}
	return ret;
}

START_TEST(zero_page_that_was_written_to_meanwhile_is_left_to_the_next_pass)
{
	start(true);
	sys.ioctl = write_after_protect;
	begin_job(GMIG_MODE_BLOCK);
	discard_one(20, true);
	run();
	check_calls("P20+1 U20+1 <0+20 >0+20 <21+491 >21+491");
	check_pages(20, 1, -EAGAIN);
	check_pages(21, 491, MOVED);
	settle();
	end_job();
	ck_assert_uint_eq(rig_page(&rig, FIRST + 20)[0], 0);
	ck_assert_uint_eq(rig_page(&rig, FIRST + 20)[5], rig_page(&rig, 0)[5]);
	rig_destroy(&rig);
}
END_TEST

/* ---- Memory that breaks ------------------------------------------------------------------------- */

static int frames_uffd(void)
{
	return frame_uffd(rig.gmig->frames);
}

/* One page cannot be read any more; all others of the guest can. */
static void end_broken(unsigned int moved, unsigned int page)
{
	memset(rules, 0, sizeof(rules));
	settle();
	end_job();
	ck_assert_uint_eq(in_books_on(1), moved);
	for (uint64_t i = 0; i < rig.pages; i++)
		if (i != FIRST + page)
			ck_assert_uint_eq(rig_check_page(&rig, i), 0);
	ck_assert(!frame_page_works(
	    &(struct slot){.hva = (uint8_t *)(uintptr_t)rig_page(&rig, FIRST)}, page));
	ck_assert_int_eq(atomic_load(&rig.fatal), 0);
	rig_destroy(&rig);
}

START_TEST(page_of_the_guest_that_cannot_be_read_stays_alone)
{
	start(true);
	begin_job(_i ? GMIG_MODE_BLOCK : GMIG_MODE_READABLE);
	prepare_and_claim();
	break_page(rig.gmig->vnodes[0].uffd, (uintptr_t)rig_page(&rig, FIRST + 300));
	drive(move_ticket);
	check_calls(
	    _i ? "<0+300 <300+212! >0+300 <301+211 >301+211"
	       : "P0+512 <0+256 >0+256 <256+44 >256+44 U300+212 P301+211 <301+211 >301+211");
	check_pages(0, 300, MOVED);
	check_pages(300, 1, -EIO);
	check_pages(301, 211, MOVED);
	ck_assert(!ticket.target->suspect);
	end_broken(511, 300);
}
END_TEST

START_TEST(frame_of_the_target_that_breaks_costs_a_pass_and_no_content)
{
	start(true);
	begin_job(_i ? GMIG_MODE_BLOCK : GMIG_MODE_READABLE);
	prepare_and_claim();
	break_page(frames_uffd(), (uintptr_t)ticket.target->hva + 100 * GMIG_PAGE_BYTES);
	drive(move_ticket);
	check_calls(_i ? "<0+512 >0+100 >100+412 <101+411 >101+411"
		       : "P0+512 <0+100 >0+100 U100+412 P101+411 <101+256 >101+256 <357+155 "
			 ">357+155");
	check_pages(0, 100, MOVED);
	check_pages(100, 1, -EAGAIN);
	check_pages(101, 411, MOVED);
	ck_assert(ticket.target->suspect);
	end(511);
}
END_TEST

START_TEST(page_that_breaks_while_it_is_out_is_lost_alone_and_told)
{
	if (!_i && !thp_or_skip())
		return;
	start(_i);
	begin_job(GMIG_MODE_BLOCK);
	breaks.op = '<';
	breaks.page = 300;
	run();
	check_calls(_i ? "<0+512 >0+300 >300+212! >301+211 <301+211 >301+211"
		       : "<0+512 >0+300 >300+212! >301+211");
	check_pages(300, 1, -EIO);
	check_pages(0, 300, _i ? MOVED : -EAGAIN);
	check_pages(301, 211, _i ? MOVED : -EAGAIN);
	ck_assert_uint_eq(bits_count(&ticket.broken), 1);
	ck_assert(bits_get(&ticket.broken, 300));
	ck_assert_uint_eq(gmig_broken_bytes(rig.gmig), GMIG_PAGE_BYTES);
	ck_assert(!ticket.lost);
	end_broken(_i ? 511 : 0, 300);
}
END_TEST

/* A debugger that reads the slot leaves the zero page there: it goes, and the rest moves. */
START_TEST(slot_that_somebody_else_has_filled_is_emptied)
{
	start(true);
	begin_job(GMIG_MODE_BLOCK);
	prepare_and_claim();
	ck_assert_int_eq(((volatile uint8_t *)ticket.source->hva)[200 * GMIG_PAGE_BYTES], 0);
	drive(move_ticket);
	check_calls("<0+200 <200+312! <200+312 >0+512");
	check_pages(0, 512, MOVED);
	end(512);
}
END_TEST

/* The kernel says so, and yet there is nothing to take out of the slot: the next pass tries again, and this one the others. */
START_TEST(slot_that_is_called_filled_and_is_not_is_not_tried_again)
{
	start(true);
	begin_job(GMIG_MODE_BLOCK);
	refuse(0, '<', 200, -EEXIST, 1);
	run();
	check_calls("<0+200 <200+312! >0+200 <201+311 >201+311");
	check_pages(0, 200, MOVED);
	check_pages(200, 1, -EAGAIN);
	check_pages(201, 311, MOVED);
	end(511);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("mover_uffd_blocks");
	TCase *tcase = tcase_create("mover_uffd_blocks");

	tcase_add_loop_test(tcase, huge_page_moves_whole, 0, 2);
	tcase_add_loop_test(tcase, huge_page_that_is_to_be_split_moves_as_small_ones, 0, 2);
	tcase_add_loop_test(tcase, huge_page_that_does_not_leave_stays_whole, 0, 2);
	tcase_add_loop_test(tcase, huge_page_that_does_not_arrive_is_put_back_whole, 0, 2);
	tcase_add_loop_test(tcase, huge_page_that_was_split_meanwhile_is_left_to_the_next_pass, 0,
			    2);
	tcase_add_loop_test(tcase, block_that_cannot_be_looked_at_is_moved_as_the_books_have_it, 0,
			    2);
	tcase_add_test(tcase, holes_and_zero_pages_are_gone_and_the_others_move);
	tcase_add_loop_test(tcase, zero_page_that_cannot_be_thrown_away_stays, 0, 2);
	tcase_add_test(tcase, zero_page_that_was_written_to_meanwhile_is_left_to_the_next_pass);
	tcase_add_loop_test(tcase, page_of_the_guest_that_cannot_be_read_stays_alone, 0, 2);
	tcase_add_loop_test(tcase, frame_of_the_target_that_breaks_costs_a_pass_and_no_content, 0,
			    2);
	tcase_add_loop_test(tcase, page_that_breaks_while_it_is_out_is_lost_alone_and_told, 0, 2);
	tcase_add_test(tcase, slot_that_somebody_else_has_filled_is_emptied);
	tcase_add_test(tcase, slot_that_is_called_filled_and_is_not_is_not_tried_again);
	suite_add_tcase(suite, tcase);
	return rig_main(suite);
}
