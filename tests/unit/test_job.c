/* The states of a job: which event leads where, and what is refused. */
#include "../../migrate/jobs/job.h"

#include <check.h>
#include <errno.h>
#include <stdlib.h>

static uint64_t now;

static uint64_t now_by_hand(void)
{
	return now;
}

static struct gmig_sys sys = {.now_ns = now_by_hand};
static struct memory memory = {.sys = &sys};

static void job_make(struct gmig_job *job, enum gmig_job_state state)
{
	memset(job, 0, sizeof(*job));
	job->memory = &memory;
	job->state = state;
	ck_assert_int_eq(status_create(&job->status), 0);
	pthread_cond_init(&job->changed, NULL);
}

/* -1: refused because it is so already or makes no sense; -2: because the job is over */
static const signed char expected[GMIG_JOB_CANCELLED + 1][JOB_EVENTS] = {
    /* RUN, PAUSE, RESUME, CANCEL, FINISH, STOP, FAIL */
    [GMIG_JOB_CREATED] = {GMIG_JOB_RUNNING, -1, -1, GMIG_JOB_CANCELLING, -1, -1, GMIG_JOB_FAILED},
    [GMIG_JOB_RUNNING] = {-1, GMIG_JOB_PAUSED, -1, GMIG_JOB_CANCELLING, GMIG_JOB_COMPLETED, -1,
			  GMIG_JOB_FAILED},
    [GMIG_JOB_PAUSED] = {-1, -1, GMIG_JOB_RUNNING, GMIG_JOB_CANCELLING, GMIG_JOB_COMPLETED, -1,
			 GMIG_JOB_FAILED},
    [GMIG_JOB_CANCELLING] = {GMIG_JOB_CANCELLING, -1, -1, -1, GMIG_JOB_COMPLETED,
			     GMIG_JOB_CANCELLED, GMIG_JOB_FAILED},
    [GMIG_JOB_COMPLETED] = {-2, -2, -2, -2, -2, -2, -2},
    [GMIG_JOB_FAILED] = {-2, -2, -2, -2, -2, -2, -2},
    [GMIG_JOB_CANCELLED] = {-2, -2, -2, -2, -2, -2, -2},
};

START_TEST(event_in_each_state_leads_where_it_must)
{
	for (int event = 0; event < JOB_EVENTS; event++) {
		int want = expected[_i][event], ret;
		struct gmig_job *job = malloc(sizeof(*job));

		job_make(job, (enum gmig_job_state)_i);
		ret = job_change(job, (enum job_event)event);
		ck_assert_int_eq(ret, want == -1 ? -EALREADY : want == -2 ? -ESRCH : 0);
		ck_assert_int_eq(job->state, want < 0 ? _i : want);
		ck_assert_int_eq(job->announce, want >= 0);
		pthread_cond_destroy(&job->changed);
		status_destroy(job->status);
		free(job);
	}
}
END_TEST

START_TEST(pause_is_measured_and_the_end_is_noted)
{
	struct gmig_job *job = malloc(sizeof(*job));

	job_make(job, GMIG_JOB_RUNNING);
	now = 1000;
	job_change(job, JOB_PAUSE);
	now = 4000;
	job_change(job, JOB_RESUME);
	now = 5000;
	job_change(job, JOB_PAUSE);
	now = 5500;
	job_change(job, JOB_CANCEL);
	now = 6000;
	job_change(job, JOB_STOP);
	ck_assert_int_eq(job->state, GMIG_JOB_CANCELLED);
	ck_assert_uint_eq(job->paused_ns, 3500);
	ck_assert_uint_eq(job->end_ns, 6000);
	pthread_cond_destroy(&job->changed);
	status_destroy(job->status);
	free(job);
}
END_TEST

static struct gmig_job *slow_to_ask;

/* Whoever reads the clock is delayed after it, and meanwhile somebody else pauses the job, if its
 * lock allows. */
static uint64_t now_then_pause(void)
{
	struct gmig_job *job = slow_to_ask;
	uint64_t read = now;

	slow_to_ask = NULL;
	if (job && !pthread_mutex_trylock(&job->lock)) {
		now += 1000;
		job_change(job, JOB_PAUSE);
		pthread_mutex_unlock(&job->lock);
	}
	return read;
}

START_TEST(info_asked_while_a_pause_begins_has_times_that_make_sense)
{
	struct gmig_sys late = {.now_ns = now_then_pause};
	struct memory slow = {.sys = &late};
	struct gmig_job *job = malloc(sizeof(*job));
	struct gmig_job_info info;

	job_make(job, GMIG_JOB_RUNNING);
	pthread_mutex_init(&job->lock, NULL);
	job->memory = &slow;
	job->start_ns = now = 5000;
	now = 8000;
	slow_to_ask = job;
	gmig_job_info(job, &info);
	ck_assert_uint_eq(info.paused_ns, 0);
	ck_assert_uint_eq(info.elapsed_ns, 3000);
	pthread_mutex_destroy(&job->lock);
	pthread_cond_destroy(&job->changed);
	status_destroy(job->status);
	free(job);
}
END_TEST

START_TEST(info_during_and_after_a_pause_counts_it_once)
{
	struct gmig_job *job = malloc(sizeof(*job));
	struct gmig_job_info info;

	job_make(job, GMIG_JOB_RUNNING);
	pthread_mutex_init(&job->lock, NULL);
	job->start_ns = now = 1000;
	now = 2000;
	job_change(job, JOB_PAUSE);
	for (now = 2000; now < 5000; now += 1000) {
		gmig_job_info(job, &info);
		ck_assert_uint_eq(info.paused_ns, now - 2000);
		ck_assert_uint_eq(info.elapsed_ns, 1000);
	}
	job_change(job, JOB_RESUME);
	now = 7000;
	gmig_job_info(job, &info);
	ck_assert_uint_eq(info.paused_ns, 3000);
	ck_assert_uint_eq(info.elapsed_ns, 3000);
	pthread_mutex_destroy(&job->lock);
	pthread_cond_destroy(&job->changed);
	status_destroy(job->status);
	free(job);
}
END_TEST

START_TEST(info_of_a_traced_job_counts_records_that_were_dropped)
{
	struct gmig_job *job = malloc(sizeof(*job));
	struct gmig_trace_record record = {0};
	struct gmig_job_info info;

	job_make(job, GMIG_JOB_RUNNING);
	pthread_mutex_init(&job->lock, NULL);
	ck_assert_int_eq(trace_create(1, &job->trace), 0);
	for (unsigned int i = 0; i < 3; i++)
		trace_add(job->trace, &record);
	gmig_job_info(job, &info);
	ck_assert_uint_eq(info.trace_dropped, 2);
	ck_assert_uint_eq(gmig_job_trace(job, 0, &record, 1), 1);
	trace_destroy(job->trace);
	pthread_mutex_destroy(&job->lock);
	pthread_cond_destroy(&job->changed);
	status_destroy(job->status);
	free(job);
}
END_TEST

START_TEST(mover_is_found_by_name_and_default)
{
	ck_assert_ptr_eq(mover_find(NULL), &mover_uffd);
	ck_assert_ptr_eq(mover_find(""), &mover_uffd);
	ck_assert_ptr_eq(mover_find("uffd"), &mover_uffd);
	ck_assert_ptr_null(mover_find("camel"));
	for (unsigned int m = 0; mover_all[m]; m++) {
		ck_assert_ptr_nonnull(gmig_mover_names()[m]);
		ck_assert_str_eq(gmig_mover_names()[m], mover_all[m]->name);
		ck_assert(mover_all[m + 1] || !gmig_mover_names()[m + 1]);
	}
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("job");
	TCase *tcase = tcase_create("states");
	SRunner *runner;
	int failed;

	tcase_add_loop_test(tcase, event_in_each_state_leads_where_it_must, 0,
			    GMIG_JOB_CANCELLED + 1);
	tcase_add_test(tcase, pause_is_measured_and_the_end_is_noted);
	tcase_add_test(tcase, info_asked_while_a_pause_begins_has_times_that_make_sense);
	tcase_add_test(tcase, info_during_and_after_a_pause_counts_it_once);
	tcase_add_test(tcase, info_of_a_traced_job_counts_records_that_were_dropped);
	tcase_add_test(tcase, mover_is_found_by_name_and_default);
	suite_add_tcase(suite, tcase);
	runner = srunner_create(suite);
	srunner_run_all(runner, CK_NORMAL);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed ? 1 : 0;
}
