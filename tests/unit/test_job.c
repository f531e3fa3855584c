/* The states of a job: which event leads where, and what is refused. */
#include "../../migrate/jobs/job_block.h"
#include "../../migrate/jobs/job_info.h"

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
	struct plan_map nowhere;

	for (unsigned int node = 0; node < GMIG_MAX_NODES; node++)
		nowhere.to[node] = GMIG_NO_NODE;
	memset(job, 0, sizeof(*job));
	plan_create(&nowhere, &job->plan);
	job->memory = &memory;
	job->state = state;
	ck_assert_int_eq(status_create(&job->status), 0);
	pthread_cond_init(&job->changed, NULL);
}

/* -1: refused because it is so already or makes no sense; -2: because the job is over */
static const signed char expected[GMIG_JOB_CANCELLED + 1][JOB_EVENTS] = {
    /* RUN, PAUSE, RESUME, CANCEL, FINISH, STOP, FAIL */
    [GMIG_JOB_CREATED] = {GMIG_JOB_RUNNING, GMIG_JOB_PAUSED, -1, GMIG_JOB_CANCELLING, -1, -1,
			  GMIG_JOB_FAILED},
    [GMIG_JOB_RUNNING] = {-1, GMIG_JOB_PAUSED, -1, GMIG_JOB_CANCELLING, GMIG_JOB_COMPLETED, -1,
			  GMIG_JOB_FAILED},
    [GMIG_JOB_PAUSED] = {GMIG_JOB_PAUSED, -1, GMIG_JOB_RUNNING, GMIG_JOB_CANCELLING,
			 GMIG_JOB_COMPLETED, -1, GMIG_JOB_FAILED},
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

/* ---- Blocks, with a memory and a mover that only count --------------------------------------- */

static struct {
	unsigned int node; /* where the one block lies, as a huge page */
	unsigned int claims;
	int prepare; /* what the mover says */
} fake;

static int fake_walk(struct memory *of, uint64_t gfn, uint64_t pages, shadow_visit *visit,
		     void *arg)
{
	struct shadow_entry entry = {
	    .state = SHADOW_PRESENT, .order = 9, .node = (uint16_t)fake.node};

	(void)of;
	(void)pages;
	return gfn < GMIG_BLOCK_PAGES ? visit(arg, 0, &entry) : 0;
}

static int fake_walk_all(void *arg, uint64_t gfn, uint64_t pages, shadow_visit *visit,
			 void *visit_arg)
{
	return fake_walk(arg, gfn, pages, visit, visit_arg);
}

static void fake_claim(struct memory *of, struct claim *claim, struct bits *refused)
{
	(void)of;
	(void)claim;
	bits_clear_all(refused);
	fake.claims++;
}

static void fake_settle(struct claim *claim, const struct claim_result *result)
{
	(void)claim;
	if (!bits_empty(&result->moved))
		fake.node = 1;
}

static int fake_prepare(struct mover_worker *worker, struct mover_ticket *ticket)
{
	(void)worker;
	(void)ticket;
	return fake.prepare;
}

static void fake_move(struct mover_worker *worker, struct mover_ticket **tickets,
		      unsigned int count)
{
	(void)worker;
	for (unsigned int i = 0; i < count; i++)
		tickets[i]->moved = tickets[i]->pages;
}

static void fake_finish(struct mover_worker *worker, struct mover_ticket *ticket)
{
	(void)worker;
	(void)ticket;
}

static const struct memory_ops fake_memory_ops = {
    .walk = fake_walk, .claim = fake_claim, .settle = fake_settle};
static const struct mover fake_mover = {
    .tickets = 1, .prepare = fake_prepare, .move = fake_move, .finish = fake_finish};
static struct memory fake_memory = {.ops = &fake_memory_ops, .sys = &sys};

static bool no_memory_left;

static void *alloc_while_there_is(size_t bytes)
{
	return no_memory_left ? NULL : calloc(1, bytes);
}

/* A job that has one block to move from node 0 to node 1, and a worker for it. */
struct one_block {
	struct gmig_job *job;
	struct job_worker worker;
};

static void one_block_make(struct one_block *one)
{
	const struct memory_range range = {0, GMIG_BLOCK_PAGES};
	const struct workset_options options = {
	    .ranges = &range, .range_count = 1, .walk = fake_walk_all, .walk_arg = &fake_memory};
	struct gmig_job *job = malloc(sizeof(*job));
	struct plan_map map;

	memset(&fake, 0, sizeof(fake));
	no_memory_left = false;
	job_make(job, GMIG_JOB_RUNNING);
	pthread_mutex_init(&job->lock, NULL);
	job->memory = job->work.memory = &fake_memory;
	job->mover = &fake_mover;
	status_destroy(job->status);
	ck_assert_int_eq(status_create_with(alloc_while_there_is, &job->status), 0);
	ck_assert_int_eq(status_add_range(job->status, 0, GMIG_BLOCK_PAGES), 0);
	for (unsigned int i = 0; i < GMIG_MAX_NODES; i++)
		map.to[i] = GMIG_NO_NODE;
	map.to[0] = 1;
	plan_create(&map, &job->plan);
	ck_assert_int_eq(workset_build(&job->plan, &options, &job->set), 0);
	ck_assert_uint_eq(job->set.pages, GMIG_BLOCK_PAGES);
	atomic_store(&job->planned, job->set.pages);
	one->job = job;
	one->worker = (struct job_worker){
	    .job = job, .mover.job = &job->work, .tickets = calloc(1, sizeof(struct mover_ticket))};
}

static void one_block_free(struct one_block *one)
{
	workset_free(&one->job->set);
	status_destroy(one->job->status);
	pthread_mutex_destroy(&one->job->lock);
	pthread_cond_destroy(&one->job->changed);
	free(one->worker.tickets);
	free(one->job);
}

START_TEST(block_whose_results_cannot_be_kept_is_not_claimed)
{
	struct job_account pages;
	struct one_block one;

	one_block_make(&one);
	no_memory_left = true;
	ck_assert(!job_blocks(&one.worker, one.job->set.word, 1));
	ck_assert(atomic_load(&one.job->no_memory));
	ck_assert_uint_eq(fake.claims, 0);
	job_account(one.job, &pages);
	ck_assert_uint_eq(pages.unreached, GMIG_BLOCK_PAGES);
	/* Once there is memory again, nothing is in the way. */
	no_memory_left = false;
	ck_assert(job_blocks(&one.worker, one.job->set.word, 1));
	job_account(one.job, &pages);
	ck_assert_uint_eq(pages.moved, GMIG_BLOCK_PAGES);
	ck_assert_uint_eq(pages.unreached, 0);
	ck_assert_uint_eq(fake.claims, 1);
	one_block_free(&one);
}
END_TEST

START_TEST(block_that_was_not_tried_uses_none_of_the_rate)
{
	struct job_account pages;
	struct one_block one;

	one_block_make(&one);
	rate_init(&one.job->rate, 1, now);
	one.job->rate.tokens = one.job->rate.largest = GMIG_BLOCK_BYTES;
	fake.prepare = -ENOMEM;
	ck_assert(job_blocks(&one.worker, one.job->set.word, 1));
	ck_assert_uint_eq(one.job->rate.tokens, GMIG_BLOCK_BYTES);
	job_account(one.job, &pages);
	ck_assert_uint_eq(pages.remaining, GMIG_BLOCK_PAGES);
	fake.prepare = 0;
	one.worker.again = true;
	ck_assert(job_blocks(&one.worker, one.job->set.word, 1));
	ck_assert_uint_eq(one.job->rate.tokens, 0);
	job_account(one.job, &pages);
	ck_assert_uint_eq(pages.remaining, 0);
	ck_assert_uint_eq(pages.moved, GMIG_BLOCK_PAGES);
	one_block_free(&one);
}
END_TEST

/* ---- Admission, with time that passes only while a job waits ----------------------------------- */

static struct {
	struct gmig_job *job;
	unsigned int waits;
	void (*happens)(struct gmig_job *job, unsigned int waits);
} waiting;

static int wait_by_hand(pthread_cond_t *cond, pthread_mutex_t *mutex, uint64_t deadline_ns)
{
	(void)cond;
	(void)mutex;
	now = deadline_ns;
	waiting.waits++;
	if (waiting.happens)
		waiting.happens(waiting.job, waiting.waits);
	return -ETIMEDOUT;
}

static bool is_wanted(void *arg)
{
	return *(bool *)arg;
}

static enum job_admission admit(uint64_t bytes_per_second, bool wanted,
				void (*happens)(struct gmig_job *, unsigned int))
{
	struct gmig_sys by_hand = {.now_ns = now_by_hand, .wait_until = wait_by_hand};
	struct memory of = {.sys = &by_hand};
	struct gmig_job *job = malloc(sizeof(*job));
	enum job_admission admission;

	job_make(job, GMIG_JOB_RUNNING);
	pthread_mutex_init(&job->lock, NULL);
	job->memory = &of;
	now = 1000;
	rate_init(&job->rate, bytes_per_second, now);
	waiting.job = job;
	waiting.waits = 0;
	waiting.happens = happens;
	admission = job_admit(job, GMIG_BLOCK_BYTES, is_wanted, &wanted);
	ck_assert_ptr_null(job->rate.line);
	pthread_mutex_destroy(&job->lock);
	pthread_cond_destroy(&job->changed);
	status_destroy(job->status);
	free(job);
	return admission;
}

/* As the calls would do it; the lock is held where they happen. */
static void cancel_at_third(struct gmig_job *job, unsigned int waits)
{
	if (waits == 3)
		job_change(job, JOB_CANCEL);
}

static void pause_at_third(struct gmig_job *job, unsigned int waits)
{
	if (waits != 3)
		return;
	job_change(job, JOB_PAUSE);
	now += 3600000000000ull;
	job_change(job, JOB_RESUME);
}

static void hurry_at_third(struct gmig_job *job, unsigned int waits)
{
	if (waits == 3)
		rate_set(&job->rate, 1ull << 40, now);
}

START_TEST(admission_comes_when_the_bytes_are_paid)
{
	const uint64_t second = 1000000000, hour = 3600 * second;

	ck_assert_int_eq(admit(0, true, NULL), JOB_ADMITTED);
	ck_assert_uint_eq(now, 1000);
	ck_assert_int_eq(admit(GMIG_BLOCK_BYTES, true, NULL), JOB_ADMITTED);
	ck_assert_uint_eq(now, 1000 + second);
	/* 10 KiB/s: 204.8 s, with a look at each second whether it is still worth it */
	ck_assert_int_eq(admit(10 << 10, true, NULL), JOB_ADMITTED);
	ck_assert_uint_eq(now, 1000 + 2048 * (second / 10));
	ck_assert_int_eq(admit(10 << 10, true, pause_at_third), JOB_ADMITTED);
	ck_assert_uint_eq(now, 1000 + 2048 * (second / 10) + hour);
	ck_assert_int_eq(admit(10 << 10, false, NULL), JOB_UNWANTED);
	ck_assert_uint_eq(now, 1000 + second);
	ck_assert_int_eq(admit(10 << 10, true, cancel_at_third), JOB_REFUSED);
	ck_assert_uint_eq(now, 1000 + 3 * second);
	ck_assert_int_eq(admit(10 << 10, true, hurry_at_third), JOB_ADMITTED);
	ck_assert_uint_lt(now, 1000 + 3 * second + second / 100000);
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

START_TEST(names_of_states_are_those_that_jobs_tell)
{
	const char *const *names = gmig_job_state_names();
	unsigned int count = 0;

	for (; names[count]; count++)
		ck_assert_str_eq(names[count], gmig_job_state_name((enum gmig_job_state)count));
	ck_assert_uint_eq(count, GMIG_JOB_CANCELLED + 1);
	ck_assert_str_eq(names[GMIG_JOB_PAUSED], "paused");
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
	tcase_add_test(tcase, block_whose_results_cannot_be_kept_is_not_claimed);
	tcase_add_test(tcase, block_that_was_not_tried_uses_none_of_the_rate);
	tcase_add_test(tcase, admission_comes_when_the_bytes_are_paid);
	tcase_add_test(tcase, mover_is_found_by_name_and_default);
	tcase_add_test(tcase, names_of_states_are_those_that_jobs_tell);
	suite_add_tcase(suite, tcase);
	runner = srunner_create(suite);
	srunner_run_all(runner, CK_NORMAL);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed ? 1 : 0;
}
