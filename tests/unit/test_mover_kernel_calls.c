/*
 * Mover kernel, call by call: how many blocks go in one call of move_pages(2), what is asked before it, and what it says of each page.
 * A process's memory, by a kernel that fails as Linux does (fake_pages.h) and a clock that only calls move on. Jobs: test_mover_kernel.
 */
#include "../../migrate/core/topology.h"
#include "../../migrate/memory/process_memory.h"
#include "../../migrate/movers/mover.h"
#include "fake_process.h"
#include "suite.h"

#include <stdlib.h>

#define BLOCKS	     16u
#define MS	     1000000ull
#define FIRST_GFN    (FAKE_START / FAKE_PAGE_BYTES)
#define KNOWN_NS     (250 * MS)
#define LOOK_NS	     1	/* at the clock */
#define TICKETS_CALL 8u /* of small pages: as many as a chunk has room for */

static struct gmig_topology *topology;
static struct gmig_process *process;
static struct gmig_error err;
static struct mover_job job;
static struct mover_worker worker;
static struct mover_ticket ticket[BLOCKS];

static void setup(void)
{
	struct gmig_process_options options = {.pid = FAKE_PID, .sys = &fake_sys};
	struct memory_range *ranges;
	size_t count;

	fake_process_setup_on_four_nodes();
	fake_thread(FAKE_PID, "0-3");
	fake_ns = 1000 * MS;
	ck_assert_msg(!topology_create_at(tree_root, 0, &topology, &err), "%s", err.text);
	options.topology = topology;
	ck_assert_msg(!gmig_process_open(&options, &process, &err), "%s", err.text);
	job = (struct mover_job){
	    .memory = &process->memory,
	    .topology = topology,
	    .spec = {.from = {0}, .from_count = 1, .to = {1}, .to_count = 1, .threads = 1},
	    .id = 4711};
	/* A job looks for its memory first, and then it is known whether huge pages are told apart. */
	ck_assert_int_eq(job.memory->ops->ranges(job.memory, &job.spec, &ranges, &count), 0);
	free(ranges);
	ck_assert_msg(!mover_kernel.begin(&job, &err), "%s", err.text);
	worker = (struct mover_worker){.job = &job};
	ck_assert_int_eq(mover_kernel.worker_begin(&worker), 0);
	for (unsigned int i = 0; i < BLOCKS; i++) {
		ticket[i] = (struct mover_ticket){
		    .block_gfn = FIRST_GFN + i * GMIG_BLOCK_PAGES, .from = 0, .to = 1};
		bits_fill(&ticket[i].pages);
	}
	fake_calls = 0;
	fake_told = fake_asked = 0;
}

static void teardown(void)
{
	mover_kernel.worker_end(&worker);
	mover_kernel.end(&job);
	gmig_process_close(process);
	gmig_topology_put(topology);
	fake_process_teardown();
}

/* The job again, as it is by now. */
static void begin_again(void)
{
	mover_kernel.worker_end(&worker);
	mover_kernel.end(&job);
	ck_assert_int_eq(mover_kernel.begin(&job, &err), 0);
	ck_assert_int_eq(mover_kernel.worker_begin(&worker), 0);
}

static void move(unsigned int first, unsigned int count)
{
	struct mover_ticket *tickets[BLOCKS];

	for (unsigned int i = 0; i < count; i++) {
		tickets[i] = &ticket[first + i];
		ck_assert_int_eq(mover_kernel.prepare(&worker, tickets[i]), 0);
	}
	mover_kernel.move(&worker, tickets, count);
	for (unsigned int i = 0; i < count; i++)
		mover_kernel.finish(&worker, tickets[i]);
}

static void check_calls(unsigned int calls, unsigned long pages)
{
	ck_assert_uint_eq(fake_calls, calls);
	ck_assert_uint_eq(fake_told, pages);
}

/* ---- How much goes at once ---------------------------------------------------------------------- */

START_TEST(call_has_all_blocks_of_a_round_that_there_is_room_for)
{
	struct gmig_percentiles all;

	fake_ns_a_page = 1000;
	move(0, 10);
	check_calls(2, 10 * GMIG_BLOCK_PAGES);
	for (unsigned int i = 0; i < 10; i++) {
		bool first = i < TICKETS_CALL;
		uint64_t took = (first ? TICKETS_CALL : 2) * GMIG_BLOCK_PAGES * 1000 + LOOK_NS;

		ck_assert(bits_full(&ticket[i].moved));
		ck_assert(bits_empty(&ticket[i].gone));
		ck_assert_uint_eq(ticket[i].call_ns, took);
		/* Of what they share, one has it. */
		ck_assert_uint_eq(ticket[i].held_ns, i % TICKETS_CALL ? 0 : took);
	}
	hist_summary(&job.call, &all);
	ck_assert_uint_eq(all.count, 2);
	ck_assert_uint_eq(all.max_ns, TICKETS_CALL * GMIG_BLOCK_PAGES * 1000 + LOOK_NS);
	/* Where the pages lie is asked before each call, and after it. */
	ck_assert_uint_eq(fake_asked, 2 * 10 * GMIG_BLOCK_PAGES);
}
END_TEST

/* After a page has taken 1 ms, 250 of them fill a call: each block is one of its own. */
START_TEST(call_is_as_long_as_the_last_ones_say)
{
	fake_ns_a_page = MS;
	move(0, 1);
	check_calls(1, GMIG_BLOCK_PAGES);
	move(1, 3);
	check_calls(4, 4 * GMIG_BLOCK_PAGES);
	ck_assert_uint_eq(ticket[1].call_ns, GMIG_BLOCK_PAGES * MS + LOOK_NS);
	ck_assert_uint_eq(ticket[3].held_ns, GMIG_BLOCK_PAGES * MS + LOOK_NS);
	/* And all at once again when it is fast, after one that was thought to be slow. */
	fake_ns_a_page = 1000;
	move(4, 1);
	move(5, 8);
	check_calls(6, 13 * GMIG_BLOCK_PAGES);
}
END_TEST

START_TEST(call_in_which_nothing_moved_says_nothing_of_the_speed)
{
	fake_ns_a_page = 1000;
	move(0, 1);
	for (unsigned int i = 0; i < GMIG_BLOCK_PAGES; i++)
		fake_page[GMIG_BLOCK_PAGES + i].busy = true;
	fake_ns_a_page = 10 * MS;
	move(1, 1);
	ck_assert(bits_empty(&ticket[1].moved));
	fake_calls = 0;
	fake_ns_a_page = 1000;
	move(2, 8);
	ck_assert_uint_eq(fake_calls, 1);
}
END_TEST

START_TEST(stall_budget_has_so_many_pages_in_a_call)
{
	for (unsigned int i = 0; i < 2; i++)
		ticket[i].run_pages = 200;
	move(0, 2);
	/* 200, 200 and 112 of the first block, together with none of the second one. */
	ck_assert_uint_eq(fake_told, 2 * GMIG_BLOCK_PAGES);
	ck_assert_uint_eq(fake_calls, 6);
	ck_assert(bits_full(&ticket[0].moved));
	ck_assert(bits_full(&ticket[1].moved));
}
END_TEST

START_TEST(only_pages_of_the_ticket_move)
{
	bits_clear_all(&ticket[0].pages);
	bits_set_range(&ticket[0].pages, 5, 3);
	bits_set_range(&ticket[0].pages, 511, 1);
	move(0, 1);
	check_calls(1, 4);
	ck_assert_uint_eq(bits_count(&ticket[0].moved), 4);
	ck_assert(bits_get(&ticket[0].moved, 5) && bits_get(&ticket[0].moved, 7));
	ck_assert(bits_get(&ticket[0].moved, 511));
	ck_assert_uint_eq(fake_pages_on(1), 4);
	for (unsigned int i = 0; i < GMIG_BLOCK_PAGES; i++)
		ck_assert_int_eq(ticket[0].error[i], 0);
}
END_TEST

/* ---- What is asked ------------------------------------------------------------------------------ */

/* What a walk has said is believed for a quarter of a second. */
START_TEST(place_that_was_asked_for_a_short_while_ago_is_believed)
{
	ticket[0].known_ns = fake_ns + LOOK_NS - KNOWN_NS + 1;
	move(0, 1);
	ck_assert_uint_eq(fake_asked, GMIG_BLOCK_PAGES);
	fake_asked = 0;
	ticket[1].known_ns = fake_ns + LOOK_NS - KNOWN_NS;
	move(1, 1);
	ck_assert_uint_eq(fake_asked, 2 * GMIG_BLOCK_PAGES);
	ck_assert(bits_full(&ticket[0].moved));
	ck_assert(bits_full(&ticket[1].moved));
}
END_TEST

START_TEST(job_that_looks_again_at_its_end_believes_what_the_kernel_says)
{
	job.looks_again = true;
	begin_again();
	ticket[0].known_ns = fake_ns;
	fake_page[9].busy = true;
	move(0, 1);
	ck_assert_uint_eq(bits_count(&ticket[0].moved), GMIG_BLOCK_PAGES - 1);
	ck_assert_int_eq(ticket[0].error[9], -EBUSY);
	/* The batch that failed, and the one that did not come. */
	ck_assert_uint_eq(fake_asked, GMIG_BLOCK_PAGES + 1);
}
END_TEST

/* ---- What it says ------------------------------------------------------------------------------- */

static void page_7_goes_on(void)
{
	fake_page[GMIG_BLOCK_PAGES + 7].node = 2;
}

START_TEST(page_has_moved_is_gone_or_says_why_it_stayed)
{
	struct mover_ticket *it = &ticket[1];
	unsigned int stay = _i ? 5 : 4;

	/* Pages that others map, too, go with the others unless that was not wanted. */
	job.spec.private_only = _i;
	begin_again();
	fake_page[GMIG_BLOCK_PAGES + 3].busy = true;
	fake_page[GMIG_BLOCK_PAGES + 4].shared = true;
	fake_page[GMIG_BLOCK_PAGES + 5].node = FAKE_HOLE;
	fake_page[GMIG_BLOCK_PAGES + 6].node = FAKE_ZERO;
	fake_after_move = page_7_goes_on;
	move(0, 3);
	ck_assert(bits_full(&ticket[0].moved));
	ck_assert(bits_full(&ticket[2].moved));
	ck_assert_uint_eq(bits_count(&it->moved), GMIG_BLOCK_PAGES - stay);
	ck_assert_uint_eq(bits_count(&it->gone), 2);
	ck_assert(bits_get(&it->gone, 5) && bits_get(&it->gone, 6));
	for (unsigned int i = 0; i < GMIG_BLOCK_PAGES; i++) {
		int expected = i == 3 ? -EBUSY : i == 4 && _i ? -EACCES : i == 7 ? -EAGAIN : 0;

		ck_assert_int_eq(it->error[i], expected);
		ck_assert_int_eq(bits_get(&it->moved, i), i < 3 || i > 7 || (i == 4 && !_i));
	}
	ck_assert(!it->split);
}
END_TEST

START_TEST(call_that_is_refused_is_the_reason_of_all_its_pages)
{
	fake_refuse = -EPERM;
	bits_clear_range(&ticket[1].pages, 0, 500);
	move(0, 2);
	for (unsigned int i = 0; i < GMIG_BLOCK_PAGES; i++) {
		ck_assert_int_eq(ticket[0].error[i], -EPERM);
		ck_assert_int_eq(ticket[1].error[i], i < 500 ? 0 : -EPERM);
	}
	ck_assert(bits_empty(&ticket[0].moved));
	/* The next call is as if there had been none. */
	fake_refuse = 0;
	fake_told = 0;
	move(2, 1);
	ck_assert(bits_full(&ticket[2].moved));
	ck_assert_uint_eq(fake_told, GMIG_BLOCK_PAGES);
}
END_TEST

/* ---- Huge pages --------------------------------------------------------------------------------- */

static void make_huge(unsigned int block)
{
	for (unsigned int i = 0; i < GMIG_BLOCK_PAGES; i++)
		fake_page[block * GMIG_BLOCK_PAGES + i].huge = true;
	ticket[block].huge = true;
}

START_TEST(huge_page_is_one_address)
{
	make_huge(0);
	make_huge(2);
	move(0, 3);
	check_calls(1, 2 + GMIG_BLOCK_PAGES);
	for (unsigned int i = 0; i < 3; i++) {
		ck_assert(bits_full(&ticket[i].moved));
		ck_assert(!ticket[i].split);
	}
	ck_assert_uint_eq(atomic_load(&job.thp_split), 0);
	ck_assert_uint_eq(atomic_load(&job.along) + atomic_load(&job.debt), 0);
	ck_assert_uint_eq(fake_pages_on(1), 3 * GMIG_BLOCK_PAGES);
}
END_TEST

START_TEST(huge_page_that_stays_says_so_for_each_of_its_pages)
{
	make_huge(0);
	fake_page[0].busy = true;
	move(0, 1);
	ck_assert(bits_empty(&ticket[0].moved));
	for (unsigned int i = 0; i < GMIG_BLOCK_PAGES; i++)
		ck_assert_int_eq(ticket[0].error[i], -EBUSY);
	ck_assert(!ticket[0].split);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("mover_kernel_calls");
	TCase *tcase = tcase_create("mover_kernel_calls");

	tcase_add_checked_fixture(tcase, setup, teardown);
	tcase_add_test(tcase, call_has_all_blocks_of_a_round_that_there_is_room_for);
	tcase_add_test(tcase, call_is_as_long_as_the_last_ones_say);
	tcase_add_test(tcase, call_in_which_nothing_moved_says_nothing_of_the_speed);
	tcase_add_test(tcase, stall_budget_has_so_many_pages_in_a_call);
	tcase_add_test(tcase, only_pages_of_the_ticket_move);
	tcase_add_test(tcase, place_that_was_asked_for_a_short_while_ago_is_believed);
	tcase_add_test(tcase, job_that_looks_again_at_its_end_believes_what_the_kernel_says);
	tcase_add_loop_test(tcase, page_has_moved_is_gone_or_says_why_it_stayed, 0, 2);
	tcase_add_test(tcase, call_that_is_refused_is_the_reason_of_all_its_pages);
	tcase_add_test(tcase, huge_page_is_one_address);
	tcase_add_test(tcase, huge_page_that_stays_says_so_for_each_of_its_pages);
	suite_add_tcase(suite, tcase);
	return run_suite(suite);
}
