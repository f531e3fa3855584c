/* Starting jobs: what is refused, and why; and finding, listing and forgetting them. */
#include "../../migrate/core/room.h"
#include "../../migrate/core/sys.h"
#include "../../migrate/gmig_move.h"
#include "../../migrate/jobs/job_list.h"
#include "rig.h"

#include <errno.h>
#include <sched.h>

#define RAM (2 * GMIG_BLOCK_BYTES)

static struct rig rig;
static struct gmig_sys sys;
static uint64_t left_bytes;
static int unread;
static struct gmig_error err;

static void fake_room(struct room *room)
{
	*room = (struct room){.bytes = left_bytes,
			      .left_bytes = left_bytes,
			      .total_bytes = left_bytes,
			      .limit = "host"};
	if (unread)
		*room = (struct room){.unread = unread};
}

static void setup(void)
{
	const struct rig_options options = {.bytes = RAM, .nodes = 4, .sys = &sys};

	sys = gmig_sys_real;
	sys.room = fake_room;
	left_bytes = UINT64_MAX;
	unread = 0;
	rig_create(&rig, &options);
}

static void teardown(void)
{
	if (rig.gmig)
		rig_destroy(&rig);
}

static struct gmig_job *start(const struct gmig_job_spec *spec)
{
	struct gmig_job *job;

	ck_assert_msg(!gmig_job_start(rig.gmig, spec, &job, &err), "%s", err.text);
	return job;
}

static uint64_t run(unsigned int from, unsigned int to)
{
	struct gmig_job_spec spec = rig_spec(from, to);
	struct gmig_job *job = start(&spec);
	struct gmig_job_info info;

	gmig_job_wait(job);
	gmig_job_info(job, &info);
	ck_assert_int_eq(info.state, GMIG_JOB_COMPLETED);
	/* Its thread has a reference for a moment longer. */
	while (atomic_load(&job->refs) > 2)
		sched_yield();
	gmig_job_put(job);
	return info.id;
}

/* ---- What is refused -------------------------------------------------------------------------------- */

static void assert_refused(const struct gmig_job_spec *spec, int error, const char *why)
{
	struct gmig_job *job = NULL;

	err = (struct gmig_error){0};
	ck_assert_int_eq(gmig_job_start(rig.gmig, spec, &job, &err), error);
	ck_assert_int_eq(err.code, error);
	ck_assert_str_eq(err.text, why);
	ck_assert_ptr_null(job);
	ck_assert_uint_eq(gmig_job_list(rig.gmig, NULL, 0), 0);
}

/* It is started, and ends. */
static void assert_accepted(const struct gmig_job_spec *spec)
{
	struct gmig_job *job = start(spec);

	ck_assert_int_eq(gmig_job_cancel(job), 0);
	gmig_job_wait(job);
	gmig_job_put(job);
}

START_TEST(number_that_is_too_large_is_refused_by_name)
{
	struct gmig_job_spec spec = rig_spec(0, 1);

	spec.threads = GMIG_MAX_WORKERS + 1;
	assert_refused(&spec, -EINVAL, "17 threads: at most 16");
	spec = rig_spec(0, 1);
	spec.batch_pages = 513;
	assert_refused(&spec, -EINVAL, "a batch of 513 pages: at most 512");
	spec = rig_spec(0, 1);
	spec.max_slowdown_ppm = 1000001;
	assert_refused(&spec, -EINVAL, "a slowdown of 1000001 millionths is more than all");
	spec = rig_spec(0, 1);
	spec.max_bytes = 4095;
	assert_refused(&spec, -EINVAL, "at most 4095 bytes are less than a page");
	spec = rig_spec(0, 1);
	spec.mover = "camel";
	assert_refused(&spec, -EINVAL, "mover camel is not known");
	spec = rig_spec(0, 1);
	spec.lazy = GMIG_LAZY_WRITE + 1;
	spec.mode = GMIG_MODE_LAZY;
	assert_refused(&spec, -EINVAL, "lazy 2 is not known");
	spec.lazy = GMIG_LAZY_WRITE;
	spec.lazy_to = GMIG_LAZY_TO_TOUCHER + 1;
	assert_refused(&spec, -EINVAL, "lazy_to 2 is not known");
	spec = rig_spec(0, 1);
	spec.order = GMIG_ORDER_COLD_FIRST + 1;
	assert_refused(&spec, -EINVAL, "order 4 is not known");
	spec = rig_spec(0, 1);
	spec.order_seed = 1;
	assert_refused(&spec, -EINVAL, "a seed is for order random");
	spec = rig_spec(0, 1);
	spec.reserved[11] = 1;
	assert_refused(&spec, -E2BIG,
		       "the program asks for what this version of libgmig does not know");
	spec = rig_spec(0, 1);
	spec.to_count = 0;
	assert_refused(&spec, -EINVAL, "no node is named in 'to'");
}
END_TEST

START_TEST(what_is_for_mode_lazy_is_refused_in_others)
{
	static const char why[] =
	    "a deadline, what moves a block, and a toucher, are for mode lazy";
	struct gmig_job_spec spec = rig_spec(0, 1);

	spec.mode = _i ? GMIG_MODE_BLOCK : GMIG_MODE_AUTO;
	spec.deadline_ns = 1;
	assert_refused(&spec, -EINVAL, why);
	spec.deadline_ns = 0;
	spec.lazy = GMIG_LAZY_WRITE;
	assert_refused(&spec, -EINVAL, why);
	spec.lazy = GMIG_LAZY_ANY;
	spec.lazy_to = GMIG_LAZY_TO_TOUCHER;
	assert_refused(&spec, -EINVAL, why);
	spec.lazy_to = 0;
	assert_accepted(&spec);
}
END_TEST

START_TEST(number_at_its_limit_is_accepted)
{
	struct gmig_job_spec spec = rig_spec(0, 1);

	spec.threads = GMIG_MAX_WORKERS;
	spec.batch_pages = 512;
	spec.max_slowdown_ppm = 1000000;
	spec.max_bytes = 4096;
	spec.mover = "uffd";
	assert_accepted(&spec);
	spec = rig_spec(0, 1);
	spec.mode = GMIG_MODE_LAZY;
	spec.lazy = GMIG_LAZY_WRITE;
	spec.lazy_to = GMIG_LAZY_TO_TOUCHER;
	spec.deadline_ns = 1;
	assert_accepted(&spec);
}
END_TEST

/* 512 KiB, and 32 KiB for each thread. More threads than there may be are refused in their own words. */
START_TEST(job_that_memory_has_no_room_for_is_refused)
{
	struct gmig_job_spec spec = rig_spec(0, 1);

	spec.threads = 2;
	left_bytes = (512 + 2 * 32) * 1024;
	assert_accepted(&spec);
	teardown();
	setup();
	left_bytes = (512 + 2 * 32) * 1024 - 1;
	assert_refused(
	    &spec, -ENOMEM,
	    "575 KiB of memory are left by host, a job needs 576 KiB itself: more would end in the "
	    "kernel's OOM killer");
	spec.threads = 17;
	left_bytes = (512 + 16 * 32) * 1024;
	assert_refused(&spec, -EINVAL, "17 threads: at most 16");
	left_bytes--;
	assert_refused(&spec, -ENOMEM,
		       "1023 KiB of memory are left by host, a job needs 1024 KiB itself: more "
		       "would end in the "
		       "kernel's OOM killer");
}
END_TEST

START_TEST(job_is_refused_while_it_is_not_known_whether_there_is_room)
{
	struct gmig_job_spec spec = rig_spec(0, 1);

	unread = EMFILE;
	assert_refused(&spec, -EAGAIN,
		       "how much memory is left could not be looked at (Too many open files), and "
		       "a job needs 512 KiB: try again");
	unread = 0;
	assert_accepted(&spec);
}
END_TEST

START_TEST(engine_that_has_met_a_fatal_error_starts_no_job)
{
	struct gmig_job_spec spec = rig_spec(0, 1);

	atomic_store(&rig.gmig->memory.fatal, true);
	assert_refused(&spec, -ESHUTDOWN, "the engine met a fatal error");
	atomic_store(&rig.gmig->memory.fatal, false);
	pthread_mutex_lock(&rig.gmig->memory.jobs_lock);
	rig.gmig->memory.ending = true;
	pthread_mutex_unlock(&rig.gmig->memory.jobs_lock);
	assert_refused(&spec, -ESHUTDOWN, "the engine ends");
}
END_TEST

START_TEST(list_that_names_a_node_that_is_not_there_is_refused)
{
	const struct gmig_move_range ranges[] = {{GMIG_BLOCK_BYTES, GMIG_BLOCK_BYTES, 3},
						 {0, GMIG_PAGE_BYTES, 1},
						 {GMIG_PAGE_BYTES, GMIG_PAGE_BYTES, 3}};
	const struct gmig_move_range bad[] = {{0, GMIG_BLOCK_BYTES, 1},
					      {GMIG_BLOCK_BYTES, GMIG_PAGE_BYTES, 9}};
	struct gmig_move list = {.ranges = bad, .count = 2};
	struct gmig_job_info info;
	struct gmig_job *job;

	ck_assert_int_eq(gmig_move_start(rig.gmig, &list, NULL, &job, &err), -ENODEV);
	ck_assert_ptr_eq(strstr(err.text, "node 9 "), err.text);
	list = (struct gmig_move){.ranges = ranges, .count = 3};
	ck_assert_int_eq(gmig_move_start(rig.gmig, &list, NULL, &job, &err), 0);
	gmig_job_wait(job);
	gmig_job_info(job, &info);
	ck_assert_str_eq(info.plan, "pages");
	ck_assert_uint_eq(info.spec.to_count, 2);
	ck_assert_uint_eq(info.spec.to[0], 1);
	ck_assert_uint_eq(info.spec.to[1], 3);
	ck_assert_uint_eq(info.spec.from_count, 0);
	ck_assert_uint_eq(info.moved_bytes, GMIG_BLOCK_BYTES + 2 * GMIG_PAGE_BYTES);
	gmig_job_put(job);
}
END_TEST

/* ---- What is filled in -------------------------------------------------------------------------------- */

START_TEST(job_tells_what_it_has_chosen_itself)
{
	struct gmig_job_spec spec = rig_spec(0, 1);
	struct gmig_job_info info;
	struct gmig_job *job;

	spec.mover = "";
	spec.order = GMIG_ORDER_RANDOM;
	job = start(&spec);
	gmig_job_info(job, &info);
	ck_assert_str_eq(info.spec.mover, "uffd");
	ck_assert_uint_eq(info.spec.threads, 1);
	ck_assert_uint_ne(info.spec.order_seed, 0);
	ck_assert_uint_le(info.spec.order_seed, UINT32_MAX);
	ck_assert_str_eq(info.plan, "nodes");
	gmig_job_wait(job);
	gmig_job_put(job);
	spec = rig_spec(1, 0);
	spec.threads = 3;
	spec.order = GMIG_ORDER_RANDOM;
	spec.order_seed = 9;
	spec.rate_bytes_per_second = 1ull << 40;
	job = start(&spec);
	gmig_job_info(job, &info);
	ck_assert_uint_eq(info.spec.threads, 3);
	ck_assert_uint_eq(info.spec.order_seed, 9);
	ck_assert_uint_eq(info.spec.rate_bytes_per_second, 1ull << 40);
	gmig_job_wait(job);
	gmig_job_put(job);
}
END_TEST

/* ---- Finding ------------------------------------------------------------------------------------------ */

START_TEST(jobs_are_listed_in_their_order_and_found_by_their_numbers)
{
	uint64_t ids[4] = {77, 77, 77, 77};
	struct gmig_job *job;

	for (unsigned int i = 0; i < 3; i++)
		ck_assert_uint_eq(run(i % 2, !(i % 2)), i + 1);
	ck_assert_uint_eq(gmig_job_list(rig.gmig, ids, 2), 3);
	ck_assert_uint_eq(ids[0], 1);
	ck_assert_uint_eq(ids[1], 2);
	ck_assert_uint_eq(ids[2], 77);
	ck_assert_uint_eq(gmig_job_list(rig.gmig, ids, 4), 3);
	ck_assert_uint_eq(ids[2], 3);
	ck_assert_uint_eq(ids[3], 77);
	for (uint64_t id = 1; id <= 3; id++) {
		struct gmig_job_info info;

		job = gmig_job_find(rig.gmig, id);
		ck_assert_ptr_nonnull(job);
		ck_assert_uint_eq(atomic_load(&job->refs), 2);
		gmig_job_info(job, &info);
		ck_assert_uint_eq(info.id, id);
		gmig_job_put(job);
		ck_assert_uint_eq(atomic_load(&job->refs), 1);
	}
	ck_assert_ptr_null(gmig_job_find(rig.gmig, 0));
	ck_assert_ptr_null(gmig_job_find(rig.gmig, 4));
}
END_TEST

/* Of those that have ended, 64 are remembered when the next one begins, and whoever is held. */
START_TEST(oldest_ended_jobs_are_forgotten_unless_somebody_holds_them)
{
	struct gmig_job *held[2];
	uint64_t ids[100];

	for (unsigned int i = 0; i < 2 + JOB_ENDED; i++)
		run(0, 1);
	/* The last one has just begun when the others are counted: 65, of which one goes. */
	ck_assert_uint_eq(gmig_job_list(rig.gmig, ids, 100), JOB_ENDED + 1);
	ck_assert_uint_eq(ids[0], 2);
	ck_assert_ptr_null(gmig_job_find(rig.gmig, 1));
	held[0] = gmig_job_find(rig.gmig, 2);
	held[1] = gmig_job_find(rig.gmig, 4);
	for (unsigned int i = 0; i < 4; i++)
		run(0, 1);
	ck_assert_uint_eq(gmig_job_list(rig.gmig, ids, 100), JOB_ENDED + 1 + 2);
	ck_assert_uint_eq(ids[0], 2);
	ck_assert_uint_eq(ids[1], 4);
	ck_assert_uint_eq(ids[2], 6);
	ck_assert_uint_eq(ids[JOB_ENDED + 2], 2 + JOB_ENDED + 4);
	gmig_job_put(held[0]);
	gmig_job_put(held[1]);
	run(0, 1);
	ck_assert_uint_eq(gmig_job_list(rig.gmig, ids, 100), JOB_ENDED + 1);
	ck_assert_uint_eq(ids[0], 7);
}
END_TEST

START_TEST(engine_that_ends_cancels_its_jobs_and_those_that_are_held_live_on)
{
	struct gmig_job_spec spec = rig_spec(0, 1);
	struct gmig_job *job[2];
	struct gmig_job_info info;
	int status;

	spec.rate_bytes_per_second = 1;
	job[0] = start(&spec);
	spec = rig_spec(2, 3);
	job[1] = start(&spec);
	gmig_job_wait(job[1]);
	rig_destroy(&rig);
	gmig_job_info(job[0], &info);
	ck_assert_int_eq(info.state, GMIG_JOB_CANCELLED);
	ck_assert_uint_eq(info.remaining_bytes, RAM);
	ck_assert_int_eq(info.remaining[0].error, ECANCELED);
	gmig_job_info(job[1], &info);
	ck_assert_int_eq(info.state, GMIG_JOB_COMPLETED);
	for (unsigned int i = 0; i < 2; i++) {
		ck_assert_int_eq(gmig_job_page_status(job[i], 0, 1, &status), -ESRCH);
		ck_assert_int_eq(gmig_job_cancel(job[i]), -ESRCH);
		ck_assert_uint_eq(atomic_load(&job[i]->refs), 1);
		gmig_job_put(job[i]);
	}
}
END_TEST

int main(void)
{
	const TTest *const tests[] = {
	    number_that_is_too_large_is_refused_by_name,
	    number_at_its_limit_is_accepted,
	    job_that_memory_has_no_room_for_is_refused,
	    job_is_refused_while_it_is_not_known_whether_there_is_room,
	    engine_that_has_met_a_fatal_error_starts_no_job,
	    list_that_names_a_node_that_is_not_there_is_refused,
	    job_tells_what_it_has_chosen_itself,
	    jobs_are_listed_in_their_order_and_found_by_their_numbers,
	    oldest_ended_jobs_are_forgotten_unless_somebody_holds_them,
	    engine_that_ends_cancels_its_jobs_and_those_that_are_held_live_on,
	};
	Suite *suite = suite_create("job_list");
	TCase *tcase = tcase_create("list");

	tcase_set_timeout(tcase, 60);
	tcase_add_checked_fixture(tcase, setup, teardown);
	for (size_t i = 0; i < sizeof(tests) / sizeof(tests[0]); i++)
		tcase_add_test(tcase, tests[i]);
	tcase_add_loop_test(tcase, what_is_for_mode_lazy_is_refused_in_others, 0, 2);
	suite_add_tcase(suite, tcase);
	return rig_main(suite);
}
