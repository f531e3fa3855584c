/* The fault thread: which messages it serves, in which order, and what becomes of those who find no memory. The guest's own touches: test_first_touch. */
#include "fault_rig.h"

/* ---- Messages ----------------------------------------------------------------------------------- */

START_TEST(touch_of_a_hole_is_filled_under_the_lock_and_then_woken)
{
	start();
	kind.ahead = ahead_noted;
	kind.leave = leave_noted;
	touch(BLOCK + 5, "A517 F517h W517 L0");
	expect(BLOCK + 5, SHADOW_PRESENT, 9);
	split(2 * BLOCK, 0, 0);
	touch(2 * BLOCK + 7, "A1031 F1031 W1031 L0");
	expect(2 * BLOCK + 7, SHADOW_PRESENT, 0);
	expect(2 * BLOCK + 6, SHADOW_NONE, 0);
	ck_assert_uint_eq(lines, 0);
	end();
}
END_TEST

START_TEST(thread_sleeps_until_there_is_something_to_read)
{
	start();
	ck_assert_int_eq(polled.timeout_ms, -1);
	ck_assert_uint_eq(polled.count, 2);
	ck_assert_int_eq(polled.fds[0].fd, rig.gmig->vnodes[0].uffd);
	ck_assert_int_eq(polled.fds[0].events, POLLIN);
	ck_assert_int_eq(polled.fds[1].events, POLLIN);
	touch(3, "F3h W3");
	ck_assert_uint_eq(read_bytes, A_READ * sizeof(struct uffd_msg));
	ck_assert_int_eq(polled.timeout_ms, -1);
	/* Nothing is read where nothing is ready, or poll(2) fails. */
	add(BLOCK, 1, 0);
	go_round(0, POLLIN, sizeof(struct uffd_msg));
	ck_assert_uint_eq(read_bytes, 0);
	go_round(-EINTR, POLLIN, sizeof(struct uffd_msg));
	ck_assert_uint_eq(read_bytes, 0);
	go_round(1, POLLERR, sizeof(struct uffd_msg));
	ck_assert_uint_eq(read_bytes, 0);
	/* Nor is there a message where read(2) fails, or in a part of one. */
	go_round(1, POLLIN, -EAGAIN);
	ck_assert_uint_eq(read_bytes, A_READ * sizeof(struct uffd_msg));
	ck_assert_str_eq(said, "");
	go_round(1, POLLIN, sizeof(struct uffd_msg) - 1);
	ck_assert_str_eq(said, "");
	go_round(1, POLLIN | POLLERR, 2 * sizeof(struct uffd_msg) - 1);
	ck_assert_str_eq(said, "F512h W512");
	turn.count = 0;
	end();
	ck_assert_int_eq(begun.kind, GMIG_THREAD_FAULT);
	ck_assert_uint_eq(begun.vnode, 0);
	ck_assert_int_eq(ended.kind, GMIG_THREAD_FAULT);
	ck_assert_uint_eq(ended.vnode, 0);
}
END_TEST

START_TEST(messages_of_one_read_are_served_in_their_order)
{
	unsigned int serving;

	start();
	serving = atomic_load(&rig.gmig->vnodes[0].serving);
	add(2 * BLOCK + 1, 1, 0);
	add(BLOCK - 1, 2, 0);
	add(4 * BLOCK - 1, 1, 0);
	deliver("F1025h W1025 F511h W511 F2047h W2047");
	ck_assert_uint_eq(atomic_load(&rig.gmig->faults), 3);
	ck_assert_uint_eq(atomic_load(&rig.gmig->vnodes[0].serving), serving + 6);
	end();
}
END_TEST

START_TEST(message_that_is_no_fault_of_a_region_is_passed_over)
{
	start();
	add(0, 1, 0);
	turn.message[0].event = UFFD_EVENT_REMOVE;
	add(4 * BLOCK, 1, 0);
	add(0, 1, 0);
	turn.message[2].arg.pagefault.address -= 1;
	deliver("");
	ck_assert_uint_eq(atomic_load(&rig.gmig->faults), 0);
	/* Anywhere in a page is that page. */
	add(BLOCK + 7, 1, 0);
	turn.message[0].arg.pagefault.address += GMIG_PAGE_BYTES - 1;
	deliver("F519h W519");
	ck_assert_uint_eq(atomic_load(&rig.gmig->faults), 1);
	end();
}
END_TEST

START_TEST(fault_is_of_the_page_that_its_region_has_there)
{
	const struct gmig_region_spec spec = {.gpa = 16 * GMIG_BLOCK_BYTES, .bytes = BYTES};
	void *hva;

	start();
	ck_assert_int_eq(gmig_region_add(rig.gmig, &spec, &hva, NULL), 0);
	region = &rig.gmig->regions[1];
	region->kind = &kind;
	touch(17 * BLOCK + 3, "F8707h W8707");
	expect(17 * BLOCK, SHADOW_PRESENT, 9);
	expect(BLOCK, SHADOW_NONE, 9);
	region->kind = real_kind;
	region = &rig.gmig->regions[0];
	touch(BLOCK + 3, "F515h W515");
	end();
}
END_TEST

START_TEST(thread_that_was_named_is_counted)
{
	start();
	touch_by(0, 77, 0, "F0h W0");
	ck_assert_uint_eq(atomic_load(&rig.gmig->faults_known_thread), 0);
	ck_assert_int_eq(gmig_name_vcpu_thread(rig.gmig, 1, 77), 0); /* of another vnode */
	ck_assert_int_eq(gmig_name_vcpu_thread(rig.gmig, 0, 78), 0);
	ck_assert_int_eq(gmig_name_vcpu_thread(rig.gmig, 0, 79), 0);
	add(BLOCK, 77, 0);
	add(2 * BLOCK, 79, 0);
	add(3 * BLOCK, 78, 0);
	add(3 * BLOCK, 0, 0);
	bits_fill(&shown.present);
	deliver("F512h W512 F1024h W1024 F1536h W1536 W1536");
	ck_assert_uint_eq(atomic_load(&rig.gmig->faults), 5);
	ck_assert_uint_eq(atomic_load(&rig.gmig->faults_known_thread), 2);
	end();
}
END_TEST

/* ---- Without memory ----------------------------------------------------------------------------- */

START_TEST(fill_that_fails_is_told_once_a_second)
{
	start();
	fill_says = -EIO;
	touch(BLOCK + 5, "F517h W517"); /* it may touch again: more cannot be done */
	ck_assert_uint_eq(lines, 1);
	ck_assert_int_eq(level, GMIG_LOG_ERROR);
	ck_assert_str_eq(line, "event=first-touch gfn=0x205 errno=EIO held=0");
	ck_assert_uint_eq(starved(), 0);
	clock_ns += LOG_LIMIT_NS - 1;
	touch(BLOCK + 6, "F518h W518");
	ck_assert_uint_eq(lines, 0);
	clock_ns++;
	touch(BLOCK + 7, "F519h W519");
	ck_assert_uint_eq(lines, 1);
	ck_assert_str_eq(line, "event=first-touch gfn=0x207 errno=EIO held=1");
	fill_says = 0;
	touch(BLOCK + 7, "F519h W519");
	ck_assert_uint_eq(lines, 0);
	end();
}
END_TEST

START_TEST(toucher_without_memory_sleeps_and_is_tried_again_every_10_ms)
{
	start();
	fill_says = -ENOMEM;
	touch(BLOCK + 5, "F517h");
	ck_assert_str_eq(line, "event=first-touch gfn=0x205 errno=ENOMEM held=0");
	ck_assert_uint_eq(starved(), 1);
	ck_assert_int_eq(polled.timeout_ms, 10);
	pass(10 * MS - 1, "");
	ck_assert_int_eq(polled.timeout_ms, 10);
	ck_assert_uint_eq(starved(), 1);
	pass(1, "F517h");
	ck_assert_uint_eq(starved(), 1);
	ck_assert_int_eq(polled.timeout_ms, 10);
	pass(10 * MS - 1, "");
	fill_says = 0;
	pass(1, "F517h W517");
	ck_assert_uint_eq(starved(), 0);
	ck_assert_int_eq(polled.timeout_ms, -1);
	expect(BLOCK + 5, SHADOW_PRESENT, 9);
	ck_assert_uint_eq(atomic_load(&rig.gmig->faults), 1); /* for all of these tries */
	pass(100 * MS, "");
	end();
}
END_TEST

START_TEST(those_who_starve_are_served_before_who_comes_when_their_time_has_come)
{
	start();
	kind.ahead = ahead_noted;
	kind.leave = leave_noted;
	fill_says = -ENOMEM;
	touch(BLOCK + 5, "A517 F517h L0");
	touch(5, "A5 F5h L0");
	touch(BLOCK + 5, "A517 F517h L0"); /* a signal woke it: it is the same page */
	ck_assert_uint_eq(starved(), 2);
	fill_says = 0;
	touch(2 * BLOCK, "A1024 F1024h W1024 L0");
	ck_assert_uint_eq(starved(), 2);
	clock_ns += 10 * MS;
	touch(3 * BLOCK, "A517 F517h W517 L0 A5 F5h W5 L0 A1536 F1536h W1536 L0");
	ck_assert_uint_eq(starved(), 0);
	end();
}
END_TEST

/* Somebody else brought the page meanwhile, or said so: it is looked at as any other touch is. */
START_TEST(page_that_came_while_its_toucher_starved_is_looked_for)
{
	start();
	fill_says = -ENOMEM;
	touch(2 * BLOCK + 5, "F1029h");
	change(2 * BLOCK, 9, SHADOW_TOUCH);
	bits_set(&shown.present, 5);
	pass(10 * MS, "W1029");
	ck_assert_uint_eq(scanned_gfn, 2 * BLOCK);
	ck_assert_uint_eq(starved(), 0);
	expect(2 * BLOCK + 5, SHADOW_PRESENT, 9);
	end();
}
END_TEST

/* The last one that begins to starve says when: those before wait with it. */
START_TEST(starving_is_counted_from_the_last_that_came)
{
	start();
	fill_says = -ENOMEM;
	touch(1, "F1h");
	clock_ns += 6 * MS;
	touch(BLOCK, "F512h");
	pass(4 * MS, "");
	pass(6 * MS - 1, "");
	pass(1, "F1h F512h");
	ck_assert_uint_eq(starved(), 2);
	fill_says = 0;
	pass(10 * MS, "F1h W1 F512h W512");
	end();
}
END_TEST

START_TEST(as_many_pages_starve_as_there_are_places_for_and_others_touch_again)
{
	start();
	split(0, 0, 0);
	fill_says = -ENOMEM;
	for (unsigned int i = 0; i < STARVED; i++) {
		add(i, 1, 0);
		if (i % A_READ != A_READ - 1)
			continue;
		go_round(1, POLLIN, (ssize_t)(turn.count * sizeof(turn.message[0])));
		turn.count = 0;
		ck_assert_ptr_null(strchr(said, 'W'));
	}
	ck_assert_uint_eq(starved(), STARVED);
	touch(STARVED, "F64 W64");
	touch(STARVED - 1, "F63");
	touch(0, "F0");
	ck_assert_uint_eq(starved(), STARVED);
	fill_says = 0;
	clock_ns += 10 * MS;
	go_round(0, 0, 0);
	ck_assert_uint_eq(starved(), 0);
	for (unsigned int i = 0; i < STARVED; i++)
		expect(i, SHADOW_PRESENT, 0);
	expect(STARVED, SHADOW_NONE, 0);
	ck_assert_int_eq(strncmp(said, "F0 W0 F1 W1 ", 12), 0);
	end();
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("fault_calls");
	TCase *tcase = tcase_create("fault_calls");

	tcase_set_timeout(tcase, 60);
	tcase_add_test(tcase, touch_of_a_hole_is_filled_under_the_lock_and_then_woken);
	tcase_add_test(tcase, thread_sleeps_until_there_is_something_to_read);
	tcase_add_test(tcase, messages_of_one_read_are_served_in_their_order);
	tcase_add_test(tcase, message_that_is_no_fault_of_a_region_is_passed_over);
	tcase_add_test(tcase, fault_is_of_the_page_that_its_region_has_there);
	tcase_add_test(tcase, thread_that_was_named_is_counted);
	tcase_add_test(tcase, fill_that_fails_is_told_once_a_second);
	tcase_add_test(tcase, toucher_without_memory_sleeps_and_is_tried_again_every_10_ms);
	tcase_add_test(tcase,
		       those_who_starve_are_served_before_who_comes_when_their_time_has_come);
	tcase_add_test(tcase, page_that_came_while_its_toucher_starved_is_looked_for);
	tcase_add_test(tcase, starving_is_counted_from_the_last_that_came);
	tcase_add_test(tcase, as_many_pages_starve_as_there_are_places_for_and_others_touch_again);
	suite_add_tcase(suite, tcase);
	return rig_main(suite);
}
