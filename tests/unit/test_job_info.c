/* What is told of a job that runs, and of its pages; and what it reckons its blocks to cost. */
#include "../../migrate/jobs/job_pages.h"
#include "../../migrate/jobs/job_slowdown.h"
#include "job_rig.h"

#define SECOND 1000000000ull

static const uint16_t to_1[] = {1, NOWHERE};

static void make_running(void)
{
	make(to_1);
	ck_assert_int_eq(job_ask(job, JOB_RUN), 0);
	atomic_store(&job->refs, 1);
}

static void info_now(void)
{
	gmig_job_info(job, &fake.info);
}

/* ---- The stall budget ------------------------------------------------------------------------------- */

static void record(struct hist *hist, uint64_t ns, unsigned int times)
{
	for (unsigned int i = 0; i < times; i++)
		hist_record(hist, ns);
}

START_TEST(stall_budget_is_met_if_99_of_100_waits_are_within_it)
{
	make_running();
	record(&job->work.stall, 10 * US, 99);
	record(&job->work.stall, MS, 1);
	info_now(); /* there is none */
	ck_assert(!fake.info.max_stall_met);
	ck_assert_uint_eq(fake.info.max_stall_late, 0);
	job->work.spec.max_stall_ns = 20 * US;
	info_now();
	ck_assert(fake.info.max_stall_met);
	ck_assert_uint_eq(fake.info.max_stall_late, 1);
	ck_assert_uint_eq(fake.info.stall.count, 100);
	job->work.spec.max_stall_ns = fake.info.stall.p99_ns;
	info_now();
	ck_assert(fake.info.max_stall_met);
	job->work.spec.max_stall_ns--;
	info_now();
	ck_assert(!fake.info.max_stall_met);
	job->work.spec.max_stall_ns = 20 * US;
	record(&job->work.stall, MS, 1);
	info_now();
	ck_assert(!fake.info.max_stall_met);
	ck_assert_uint_eq(fake.info.max_stall_late, 2);
	ck_assert(!fake.info.max_stall_needs_split);
	ck_assert_uint_eq(fake.info.max_stall_needs_ns, 0);
	/* A page that is larger than a block was too long for it. */
	atomic_store(&job->work.stall_needs_ns, 77);
	info_now();
	ck_assert_uint_eq(fake.info.max_stall_needs_ns, 77);
}
END_TEST

/* Half of the waits or more are too long, and huge pages went whole: 0: they can be split; 1: they cannot. */
START_TEST(stall_budget_that_huge_pages_exceed_says_what_would_do)
{
	make_running();
	mover.whole = _i;
	job->work.spec.max_stall_ns = 20 * US;
	record(&job->work.stall, 64, 40);
	record(&job->work.stall, 1 << 20, 60);
	info_now(); /* no huge page was among them */
	ck_assert(!fake.info.max_stall_needs_split);
	ck_assert_uint_eq(fake.info.max_stall_needs_ns, 0);
	job->choose[true].way[1].noted = 1;
	info_now();
	ck_assert_int_eq(fake.info.max_stall_needs_split, !_i);
	ck_assert_uint_eq(fake.info.max_stall_needs_ns, _i ? fake.info.stall.p99_ns : 0);
	ck_assert_uint_eq(fake.info.rounds_block, 1);
	ck_assert_uint_eq(fake.info.rounds_readable, 0);
	record(&job->work.stall, 64, 40); /* less than half of them */
	info_now();
	ck_assert(!fake.info.max_stall_met);
	ck_assert(!fake.info.max_stall_needs_split);
	ck_assert_uint_eq(fake.info.max_stall_needs_ns, 0);
}
END_TEST

/* Where there are calls they count: each holds a page up for no longer than it lasts. */
START_TEST(stall_budget_is_of_calls_where_there_are_some)
{
	make_running();
	job->work.spec.max_stall_ns = 20 * US;
	job->choose[true].way[0].noted = 1;
	record(&job->work.stall, MS, 100);
	record(&job->work.call, 10 * US, 50);
	info_now();
	ck_assert(fake.info.max_stall_met);
	ck_assert_uint_eq(fake.info.max_stall_late, 0);
	record(&job->work.call, MS, 70);
	info_now();
	ck_assert(!fake.info.max_stall_met);
	ck_assert_uint_eq(fake.info.max_stall_late, 70);
	ck_assert(!fake.info.max_stall_needs_split);
	ck_assert_uint_eq(fake.info.call.count, 120);
}
END_TEST

/* ---- What blocks cost ------------------------------------------------------------------------------- */

START_TEST(blocks_are_expected_to_cost_what_the_last_ones_did_by_their_pages)
{
	static struct mover_ticket ticket[3];

	make_running();
	job_slowdown_begin(job);
	memset(ticket, 0, sizeof(ticket));
	bits_fill(&ticket[0].pages);
	bits_set_range(&ticket[1].pages, 100, 128);
	bits_fill(&ticket[2].pages);
	ticket[2].huge = true;
	ck_assert_uint_eq(job_expected_ns(job, ticket, 0), 0);
	ck_assert_uint_eq(job_expected_ns(job, ticket, 1), 600 * US);
	ck_assert_uint_eq(job_expected_ns(job, ticket, 2), 750 * US);
	ck_assert_uint_eq(job_expected_ns(job, ticket, 3), 950 * US);
	/* A quarter of a block has cost 30 us: an eighth of what all of it would. */
	ticket[1].held_ns = 30 * US;
	ck_assert_uint_eq(job_lost_ns(job, &ticket[1]), 30 * US);
	ck_assert_uint_eq(job_expected_ns(job, ticket, 1), 540 * US);
	ck_assert_uint_eq(job_expected_ns(job, ticket + 2, 1), 200 * US);
	ticket[2].copy_ns = 320 * US;
	ticket[2].claim.slept.ns = 40 * US;
	ck_assert_uint_eq(job_lost_ns(job, &ticket[2]), 80 * US);
	ck_assert_uint_eq(job_expected_ns(job, ticket + 2, 1), 185 * US);
	/* One without pages has cost something, but is no block to reckon by. */
	bits_clear_all(&ticket[2].pages);
	ck_assert_uint_eq(job_lost_ns(job, &ticket[2]), 80 * US);
	bits_fill(&ticket[2].pages);
	ck_assert_uint_eq(job_expected_ns(job, ticket + 2, 1), 185 * US);
	job_slowdown_end(job);
	ck_assert_ptr_null(memory.slowdown.budgets);
}
END_TEST

static bool never(void *arg)
{
	(void)arg;
	return false;
}

/* It has lost 1 ms for 512 pages, and may lose a thousandth of its time. */
START_TEST(slowdown_budget_tells_how_long_the_rest_takes_and_whether_it_is_stuck)
{
	make_running();
	job->work.spec.max_slowdown_ppm = 1000;
	job_slowdown_begin(job);
	fake.info.elapsed_ns = SECOND;
	job_charge(job, 0, MS);
	job_slowdown_info(job, 512, 1024, &fake.info);
	ck_assert_uint_eq(fake.info.max_slowdown_left_ns, 2 * SECOND);
	ck_assert_uint_eq(fake.info.slowdown_ppm, 1000);
	ck_assert(fake.info.max_slowdown_met);
	ck_assert(!fake.info.max_slowdown_stuck);
	job_slowdown_info(job, 0, 1024, &fake.info); /* nobody knows yet */
	ck_assert_uint_eq(fake.info.max_slowdown_left_ns, 0);
	/* A block that is too dear: it is asked about, and has waited since. */
	ck_assert_int_eq(job_afford(job, 3600 * SECOND, never, NULL), JOB_UNWANTED);
	job_slowdown_info(job, 512, 1024, &fake.info);
	ck_assert(!fake.info.max_slowdown_stuck);
	pass_time(9 * SECOND);
	job_slowdown_info(job, 512, 1024, &fake.info);
	ck_assert(!fake.info.max_slowdown_stuck);
	pass_time(SECOND);
	job_slowdown_info(job, 512, 1024, &fake.info);
	ck_assert(fake.info.max_slowdown_stuck);
	job_slowdown_end(job);
	ck_assert_int_eq(job_ask(job, JOB_FAIL), 0);
	fake.info.max_slowdown_stuck = false;
	job_slowdown_info(job, 512, 1024, &fake.info); /* an ended job waits for nothing */
	ck_assert(!fake.info.max_slowdown_stuck);
}
END_TEST

/* ---- Rate, pause, cancel ------------------------------------------------------------------------------- */

START_TEST(running_job_takes_another_rate_and_says_it)
{
	make_running();
	ck_assert_int_eq(gmig_job_set_rate(job, 12345), 0);
	info_now();
	ck_assert_uint_eq(fake.info.spec.rate_bytes_per_second, 12345);
	ck_assert_int_eq(gmig_job_resume(job), -EALREADY);
	ck_assert_int_eq(gmig_job_pause(job), 0);
	ck_assert_int_eq(gmig_job_pause(job), -EALREADY);
	info_now();
	ck_assert_int_eq(fake.info.state, GMIG_JOB_PAUSED);
	ck_assert(job->rate.paused);
	ck_assert_int_eq(gmig_job_resume(job), 0);
	ck_assert(!job->rate.paused);
	ck_assert(!job_is_cancelled(job));
	ck_assert_int_eq(gmig_job_cancel(job), 0);
	ck_assert(job_is_cancelled(job));
	ck_assert_int_eq(gmig_job_set_rate(job, 0), 0);
	ck_assert_int_eq(job_ask(job, JOB_STOP), 0);
	ck_assert(!job_is_cancelled(job));
	ck_assert_int_eq(gmig_job_set_rate(job, 1), -ESRCH);
}
END_TEST

START_TEST(bytes_that_were_not_spent_are_there_for_the_next_block)
{
	make_running();
	rate_init(&job->rate, GMIG_BLOCK_BYTES, fake_now());
	ck_assert_int_eq(job_admit(job, GMIG_BLOCK_BYTES, never, NULL), JOB_ADMITTED);
	ck_assert_uint_eq(job->rate.tokens, 0);
	job_unspent(job, 0);
	ck_assert_uint_eq(job->rate.tokens, 0);
	job_unspent(job, 4096);
	ck_assert_uint_eq(job->rate.tokens, 4096);
}
END_TEST

/* ---- Pages --------------------------------------------------------------------------------------------- */

START_TEST(page_was_cut_off_if_the_job_meant_to_move_it_and_did_not_come_to_it)
{
	make_running();
	job->state = GMIG_JOB_CANCELLED;
	job->cut_gfn = 100;
	ck_assert(job_was_cut_off(job, 5, STATUS_NOT_TRIED, 0));
	ck_assert(job_was_cut_off(job, 5, STATUS_WANTED, 0));
	ck_assert(!job_was_cut_off(job, 5, STATUS_NOT_KEPT, 0));
	ck_assert(!job_was_cut_off(job, 5, 1, 0));
	ck_assert(!job_was_cut_off(job, 5, -EBUSY, 0));
	ck_assert(
	    !job_was_cut_off(job, 5, STATUS_NOT_TRIED, 1)); /* the plan has nothing to say of it */
	ck_assert(!job_was_cut_off(job, 5, STATUS_NOT_TRIED, -ENOENT));
	job->state = GMIG_JOB_FAILED;
	ck_assert(job_was_cut_off(job, 5, STATUS_NOT_TRIED, 0));
	/* A list that was too long to be kept: all from there on. */
	job->plan.forgotten = true;
	ck_assert(!job_was_cut_off(job, 99, STATUS_NOT_TRIED, 7));
	ck_assert(job_was_cut_off(job, 100, STATUS_NOT_TRIED, 7));
	ck_assert(job_was_cut_off(job, 100, STATUS_NOT_KEPT, 7));
	ck_assert(job_was_cut_off(job, 99, STATUS_WANTED, 7));
	ck_assert(!job_was_cut_off(job, 100, 1, 7));
	ck_assert(!job_was_cut_off(job, 100, STATUS_NOT_TRIED, -EFAULT));
	job->state = GMIG_JOB_COMPLETED;
	ck_assert(!job_was_cut_off(job, 100, STATUS_NOT_TRIED, 7));
	job->state = GMIG_JOB_RUNNING;
	ck_assert(!job_was_cut_off(job, 100, STATUS_WANTED, 7));
}
END_TEST

static size_t asked[4];
static unsigned int asks, fails_at;

static int query(struct memory *of, size_t count, const uint64_t *gfns, int *status)
{
	ck_assert_ptr_eq(of, &memory);
	ck_assert_uint_lt(asks, 4);
	asked[asks++] = count;
	if (asks == fails_at)
		return -EIO;
	for (size_t i = 0; i < count; i++)
		status[i] = (int)(gfns[i] % 1000);
	return 0;
}

START_TEST(pages_are_asked_about_512_at_a_time)
{
	static uint64_t gpas[1030];
	static int status[1030];

	make_running();
	memory_ops.query = query;
	for (unsigned int i = 0; i < 1030; i++)
		gpas[i] = (i + 7) * GMIG_PAGE_BYTES + 13;
	ck_assert_int_eq(job_query_pages(&memory, 1030, gpas, status), 0);
	ck_assert_uint_eq(asks, 3);
	ck_assert_uint_eq(asked[0], 512);
	ck_assert_uint_eq(asked[1], 512);
	ck_assert_uint_eq(asked[2], 6);
	for (unsigned int i = 0; i < 1030; i++)
		ck_assert_int_eq(status[i], (int)(i + 7) % 1000);
	asks = 0;
	ck_assert_int_eq(job_query_pages(&memory, 0, NULL, NULL), 0);
	ck_assert_uint_eq(asks, 0);
	fails_at = 2;
	ck_assert_int_eq(job_query_pages(&memory, 1030, gpas, status), -EIO);
	ck_assert_uint_eq(asks, 2);
}
END_TEST

/* Those that stayed for a reason say it; all others are asked about. */
START_TEST(pages_of_a_job_say_why_they_stayed_or_where_they_are)
{
	static uint64_t gpas[600];
	static int status[600];

	make_running();
	memory_ops.query = query;
	ck_assert_int_eq(status_add_range(job->status, 0, 2 * B), 0);
	ck_assert_int_eq(status_set(job->status, 10, 3, -EBUSY), 0);
	ck_assert_int_eq(status_set(job->status, 13, 2, -ENOENT), 0);
	ck_assert_int_eq(status_set(job->status, 15, 2, 1), 0);
	ck_assert_int_eq(status_set(job->status, 599, 1, -EPERM), 0);
	for (unsigned int i = 0; i < 600; i++)
		gpas[i] = i * GMIG_PAGE_BYTES + 5;
	ck_assert_int_eq(job_pages(job, 600, gpas, status), 0);
	ck_assert_uint_eq(asks, 2);
	ck_assert_uint_eq(asked[0], 512 - 3);
	ck_assert_uint_eq(asked[1], 88 - 1);
	for (unsigned int i = 0; i < 599; i++)
		ck_assert_int_eq(status[i], i >= 10 && i < 13 ? -EBUSY : (int)i);
	ck_assert_int_eq(status[599], -EPERM);
	/* All of them have reasons: nobody is asked. */
	asks = 0;
	ck_assert_int_eq(job_pages(job, 3, gpas + 10, status), 0);
	ck_assert_uint_eq(asks, 0);
	ck_assert_int_eq(status[2], -EBUSY);
	/* Of no range is no reason. */
	gpas[0] = 5 * GMIG_BLOCK_BYTES;
	ck_assert_int_eq(job_pages(job, 1, gpas, status), 0);
	ck_assert_int_eq(status[0], (int)(5 * B) % 1000);
	/* Whoever was cut off. */
	job->state = GMIG_JOB_CANCELLED;
	gpas[0] = 1000 * GMIG_PAGE_BYTES; /* on node 0, as it says */
	gpas[1] = 1001 * GMIG_PAGE_BYTES;
	ck_assert_int_eq(job_pages(job, 2, gpas, status), 0);
	ck_assert_int_eq(status[0], -ECANCELED);
	ck_assert_int_eq(status[1], 1);
	fails_at = asks + 1;
	ck_assert_int_eq(job_pages(job, 2, gpas, status), -EIO);
	job->memory = NULL;
	ck_assert_int_eq(job_pages(job, 2, gpas, status), -ESRCH);
}
END_TEST

int main(void)
{
	const TTest *const tests[] = {
	    stall_budget_is_met_if_99_of_100_waits_are_within_it,
	    stall_budget_is_of_calls_where_there_are_some,
	    blocks_are_expected_to_cost_what_the_last_ones_did_by_their_pages,
	    slowdown_budget_tells_how_long_the_rest_takes_and_whether_it_is_stuck,
	    running_job_takes_another_rate_and_says_it,
	    bytes_that_were_not_spent_are_there_for_the_next_block,
	    page_was_cut_off_if_the_job_meant_to_move_it_and_did_not_come_to_it,
	    pages_are_asked_about_512_at_a_time,
	    pages_of_a_job_say_why_they_stayed_or_where_they_are,
	};
	Suite *suite = suite_create("job_info");
	TCase *tcase = tcase_create("info");

	tcase_set_timeout(tcase, 60);
	tcase_add_checked_fixture(tcase, setup, teardown);
	for (size_t i = 0; i < sizeof(tests) / sizeof(tests[0]); i++)
		tcase_add_test(tcase, tests[i]);
	tcase_add_loop_test(tcase, stall_budget_that_huge_pages_exceed_says_what_would_do, 0, 2);
	suite_add_tcase(suite, tcase);
	return run_suite(suite);
}
