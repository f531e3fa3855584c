/* A job among others: what it says to those that were accepted before it, and where new memory goes while it runs. */
#include "job_rig.h"

static const uint16_t to_1[] = {1, NOWHERE}, swap[] = {1, 0, NOWHERE};
static unsigned int calls;

static void others_take_all(void)
{
	for (unsigned int block = 0; block < BLOCKS; block++)
		if (count_on(block, 0))
			put_small(block, 5);
}

/* ---- Jobs that were accepted before -------------------------------------------------------------------- */

static void ends(struct mover_ticket *ticket)
{
	(void)ticket;
	/* While it works the word stands. */
	ck_assert_uint_eq(later_target(older->later, PAGE(3, 0), 0, 0, 1), GMIG_NO_NODE);
	if (calls++)
		return;
	gmig_job_cancel(job);
}

/* 0: it has done its work, and what it has said stays said; 1: it is cancelled, and says nothing any more. */
START_TEST(job_tells_those_before_it_what_it_takes)
{
	make_older(0, 1);
	make((const uint16_t[]){2, NOWHERE});
	put_huge(0, 0);
	put_huge(3, 0);
	calls = !_i;
	fake.at_move = ends;
	run(_i ? GMIG_JOB_CANCELLED : GMIG_JOB_COMPLETED);
	ck_assert_uint_eq(later_target(older->later, PAGE(3, 0), 0, 0, 1), _i ? 1 : GMIG_NO_NODE);
	ck_assert_uint_eq(later_generation(older->later), 2);
	ck_assert_ptr_null(job->older);
	ck_assert_uint_eq(job->older_count, 0);
	free_older();
}
END_TEST

/* 0: it has ended; 1: it is the newer one; 2: the two agree. */
START_TEST(job_tells_nothing_to_whom_it_does_not_concern)
{
	make_older(0, 1);
	make((const uint16_t[]){_i == 2 ? 1 : 2, NOWHERE});
	put_huge(0, 0);
	if (_i == 0)
		older->state = GMIG_JOB_COMPLETED;
	if (_i == 1)
		older->work.id = 8;
	run(GMIG_JOB_COMPLETED);
	ck_assert_uint_eq(later_generation(older->later), 0);
	free_older();
}
END_TEST

static void ends_at_third(void)
{
	if (++calls < 3)
		return;
	if (atomic_load(&older->rounds[5]) % 2)
		atomic_fetch_add(&older->rounds[5], 1);
	atomic_store(&older->has_looked, true);
}

static void cancel_at_second(void)
{
	if (++calls == 2)
		gmig_job_cancel(job);
}

/* A worker is about to move what it has picked: 0.2 ms after each look. */
START_TEST(round_that_an_older_job_has_begun_is_waited_for)
{
	make_older(0, 1);
	make((const uint16_t[]){2, NOWHERE});
	put_huge(0, 0);
	atomic_store(&older->rounds[5], 7);
	fake.at_rest = _i ? cancel_at_second : ends_at_third;
	run(_i ? GMIG_JOB_CANCELLED : GMIG_JOB_COMPLETED);
	ck_assert_uint_eq(calls, _i ? 2 : 3);
	ck_assert_ptr_eq(strstr(fake.said, _i ? "rest 200\nrest 200\nbegin"
					      : "rest 200\nrest 200\nrest 200\nrefresh"),
			 fake.said);
	free_older();
}
END_TEST

/* It brings pages to the node that an older job leaves, which is to have found its own before. */
START_TEST(older_job_finds_its_pages_before_others_come_there)
{
	make_older(2, 1);
	make((const uint16_t[]){2, NOWHERE});
	put_huge(0, 0);
	atomic_store(&older->has_looked, false);
	fake.at_rest = _i ? cancel_at_second : ends_at_third;
	run(_i ? GMIG_JOB_CANCELLED : GMIG_JOB_COMPLETED);
	ck_assert_uint_eq(calls, _i ? 2 : 3);
	free_older();
}
END_TEST

/* ---- New memory ------------------------------------------------------------------------------------ */

static int follow_says;

static int follow(struct memory *of, const struct memory_follow *what, struct gmig_error *err)
{
	(void)of;
	ck_assert_uint_eq(what->owner, 7);
	ck_assert_ptr_eq(what->spec, &job->work.spec);
	say("follow %u %u\n", what->target(what->arg, 0), what->target(what->arg, 1));
	return follow_says ? gmig_fail(err, follow_says, "it does not") : 0;
}

static void follow_end(struct memory *of, const struct memory_follow *what, bool keep)
{
	(void)of;
	ck_assert_uint_eq(what->owner, 7);
	say(keep ? "keep\n" : "back\n");
}

static int busy(struct mover_ticket *ticket)
{
	(void)ticket;
	return -EPERM;
}

/* 0: all moves; 1: nothing does, by nobody; 2: others have moved it. */
START_TEST(new_memory_follows_before_the_first_look_and_stays_if_the_job_has_done_its_work)
{
	make(to_1);
	memory_ops.follow = follow;
	memory_ops.follow_end = follow_end;
	put_huge(0, 0);
	fake.at_prepare = _i == 1 ? busy : NULL;
	fake.at_refresh = _i == 2 ? others_take_all : NULL;
	run(GMIG_JOB_COMPLETED);
	ck_assert_ptr_eq(strstr(fake.said, "follow 1 65535\nrefresh 0+16\nbegin\n"), fake.said);
	ck_assert_str_eq(fake.said + fake.length - 9, "end\nkeep\n");
	assert_pages(_i == 0 ? 512 : 0, _i == 1 ? 512 : 0, 0, 0);
}
END_TEST

static void others_take_it_late(struct claim *claim)
{
	put_small(claim->block_gfn / B, 5);
}

START_TEST(new_memory_goes_back_if_others_have_moved_all_of_it)
{
	make(to_1);
	memory_ops.follow = follow;
	memory_ops.follow_end = follow_end;
	put_small(0, 0);
	fake.at_claim = others_take_it_late;
	run(GMIG_JOB_COMPLETED);
	ck_assert_str_eq(fake.said + fake.length - 9, "end\nback\n");
	assert_pages(0, 0, 0, 512);
}
END_TEST

START_TEST(job_that_new_memory_does_not_follow_fails_before_it_looks)
{
	make(to_1);
	memory_ops.follow = follow;
	memory_ops.follow_end = follow_end;
	put_huge(0, 0);
	follow_says = -EBUSY;
	run(GMIG_JOB_FAILED);
	assert_said("follow 1 65535\n");
	ck_assert_int_eq(fake.info.error.code, -EBUSY);
	ck_assert_str_eq(fake.info.error.text, "it does not");
	ck_assert_uint_eq(fake.info.passes, 0);
}
END_TEST

START_TEST(job_over_a_part_leaves_new_memory_alone)
{
	make(swap);
	memory_ops.follow = follow;
	memory_ops.follow_end = follow_end;
	put_huge(0, 0);
	job->work.spec.max_bytes = GMIG_BLOCK_BYTES;
	run(GMIG_JOB_COMPLETED);
	ck_assert_ptr_null(strstr(fake.said, "follow"));
	ck_assert_ptr_null(strstr(fake.said, "keep"));
	assert_pages(512, 0, 0, 0);
}
END_TEST

int main(void)
{
	const TTest *const tests[] = {
	    new_memory_goes_back_if_others_have_moved_all_of_it,
	    job_that_new_memory_does_not_follow_fails_before_it_looks,
	    job_over_a_part_leaves_new_memory_alone,
	};
	Suite *suite = suite_create("job_later");
	TCase *tcase = tcase_create("later");

	tcase_set_timeout(tcase, 60);
	tcase_add_checked_fixture(tcase, setup, teardown);
	for (size_t i = 0; i < sizeof(tests) / sizeof(tests[0]); i++)
		tcase_add_test(tcase, tests[i]);
	tcase_add_loop_test(tcase, job_tells_those_before_it_what_it_takes, 0, 2);
	tcase_add_loop_test(tcase, job_tells_nothing_to_whom_it_does_not_concern, 0, 3);
	tcase_add_loop_test(tcase, round_that_an_older_job_has_begun_is_waited_for, 0, 2);
	tcase_add_loop_test(tcase, older_job_finds_its_pages_before_others_come_there, 0, 2);
	tcase_add_loop_test(
	    tcase, new_memory_follows_before_the_first_look_and_stays_if_the_job_has_done_its_work,
	    0, 3);
	suite_add_tcase(suite, tcase);
	return run_suite(suite);
}
