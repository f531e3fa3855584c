/*
 * Locks are given back, by those who have them (held_locks.c), and end before their memory does: linked with --wrap, so that the
 * engine's calls that make and end them come here. One that was never ended shows nothing in this C library.
 */
#include "../../migrate/core/topology.h"
#include "../../migrate/gmig_discard.h"
#include "../../migrate/gmig_dma.h"
#include "../../migrate/gmig_heat.h"
#include "../../migrate/gmig_move.h"
#include "../../migrate/gmig_policy.h"
#include "../../migrate/gmig_repair.h"
#include "../../migrate/memory/process_memory.h"
#include "fake_process.h"
#include "held_locks.h"
#include "rig.h"

#include <errno.h>
#include <signal.h>

#define BLOCKS 8u
#define RAM    (BLOCKS * GMIG_BLOCK_BYTES)

static atomic_long mutexes, rwlocks, conditions; /* that were made and have not ended */

/* The names are the linker's. NOLINTBEGIN(bugprone-reserved-identifier) */
int __real_pthread_mutex_init(pthread_mutex_t *lock, const pthread_mutexattr_t *how);
int __real_pthread_mutex_destroy(pthread_mutex_t *lock);
int __real_pthread_rwlock_init(pthread_rwlock_t *lock, const pthread_rwlockattr_t *how);
int __real_pthread_rwlock_destroy(pthread_rwlock_t *lock);
int __real_pthread_cond_init(pthread_cond_t *cond, const pthread_condattr_t *how);
int __real_pthread_cond_destroy(pthread_cond_t *cond);
int __wrap_pthread_mutex_init(pthread_mutex_t *lock, const pthread_mutexattr_t *how);
int __wrap_pthread_mutex_destroy(pthread_mutex_t *lock);
int __wrap_pthread_rwlock_init(pthread_rwlock_t *lock, const pthread_rwlockattr_t *how);
int __wrap_pthread_rwlock_destroy(pthread_rwlock_t *lock);
int __wrap_pthread_cond_init(pthread_cond_t *cond, const pthread_condattr_t *how);
int __wrap_pthread_cond_destroy(pthread_cond_t *cond);

int __wrap_pthread_mutex_init(pthread_mutex_t *lock, const pthread_mutexattr_t *how)
{
	atomic_fetch_add(&mutexes, 1);
	return __real_pthread_mutex_init(lock, how);
}

int __wrap_pthread_mutex_destroy(pthread_mutex_t *lock)
{
	atomic_fetch_sub(&mutexes, 1);
	return __real_pthread_mutex_destroy(lock);
}

int __wrap_pthread_rwlock_init(pthread_rwlock_t *lock, const pthread_rwlockattr_t *how)
{
	atomic_fetch_add(&rwlocks, 1);
	return __real_pthread_rwlock_init(lock, how);
}

int __wrap_pthread_rwlock_destroy(pthread_rwlock_t *lock)
{
	atomic_fetch_sub(&rwlocks, 1);
	return __real_pthread_rwlock_destroy(lock);
}

int __wrap_pthread_cond_init(pthread_cond_t *cond, const pthread_condattr_t *how)
{
	atomic_fetch_add(&conditions, 1);
	return __real_pthread_cond_init(cond, how);
}

int __wrap_pthread_cond_destroy(pthread_cond_t *cond)
{
	atomic_fetch_sub(&conditions, 1);
	return __real_pthread_cond_destroy(cond);
}
/* NOLINTEND(bugprone-reserved-identifier) */

static struct rig rig;
static struct gmig_error err;

/* What others ask of a job while it runs and when it has ended. */
static void ask(struct gmig_job *job)
{
	static struct gmig_trace_record record[4];
	const uint64_t gpa = 3 * GMIG_PAGE_BYTES;
	struct gmig_job_info info;
	uint64_t ids[4];
	int status;

	gmig_job_info(job, &info);
	gmig_job_trace(job, 0, record, 4);
	ck_assert_int_eq(gmig_job_page_status(job, 0, 1, &status), 0);
	ck_assert_int_eq(gmig_job_pages(job, 1, &gpa, &status), 0);
	ck_assert_uint_ge(gmig_job_list(rig.gmig, ids, 4), 1);
	gmig_job_put(gmig_job_find(rig.gmig, info.id));
}

static void end(struct gmig_job *job)
{
	ask(job);
	gmig_job_wait(job);
	ask(job);
	gmig_job_put(job);
}

static struct gmig_job *start(unsigned int from, unsigned int to, enum gmig_mode mode)
{
	struct gmig_job_spec spec = rig_spec(from, to);
	struct gmig_job *job;

	spec.mode = mode;
	spec.trace = true;
	spec.threads = 2;
	spec.max_stall_ns = 1000000;
	spec.max_slowdown_ppm = 1000000;
	ck_assert_msg(!gmig_job_start(rig.gmig, &spec, &job, &err), "%s", err.text);
	return job;
}

static void create(bool small)
{
	const struct rig_options options = {.bytes = RAM, .nodes = 3, .small_pages = small};

	rig_create(&rig, &options);
}

static void nothing_is_left(void)
{
	ck_assert_uint_eq(held_locks(), 0);
	ck_assert_int_eq(atomic_load(&mutexes), 0);
	ck_assert_int_eq(atomic_load(&rwlocks), 0);
	ck_assert_int_eq(atomic_load(&conditions), 0);
}

static void destroy(void)
{
	ck_assert_int_gt(atomic_load(&mutexes), 10);
	rig_assert_clean(&rig);
	rig_destroy(&rig);
	nothing_is_left();
}

static void finish(void)
{
	ck_assert_uint_eq(rig_check_all(&rig), 0);
	destroy();
}

#ifndef GMIG_SANITIZED
START_TEST(program_ends_where_a_lock_is_given_back_that_was_not_taken)
{
	pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER, other = PTHREAD_MUTEX_INITIALIZER;
	pthread_rwlock_t rwlock = PTHREAD_RWLOCK_INITIALIZER;

	ck_assert_int_eq(pthread_mutex_lock(&other), 0);
	ck_assert_int_eq(pthread_mutex_trylock(&mutex), 0);
	ck_assert_int_eq(pthread_rwlock_rdlock(&rwlock), 0);
	ck_assert_int_eq(pthread_rwlock_tryrdlock(&rwlock), 0);
	ck_assert_uint_eq(held_locks(), 4);
	ck_assert_int_eq(pthread_mutex_unlock(&mutex), 0);
	ck_assert_int_eq(pthread_rwlock_unlock(&rwlock), 0);
	ck_assert_int_eq(pthread_rwlock_unlock(&rwlock), 0);
	ck_assert_uint_eq(held_locks(), 1);
	if (_i)
		pthread_rwlock_unlock(&rwlock);
	else
		pthread_mutex_unlock(&mutex);
}
END_TEST
#endif

START_TEST(job_that_is_paused_hurried_and_cancelled_gives_back_what_it_has)
{
	struct gmig_job *job;

	create(_i);
	end(start(0, 1, GMIG_MODE_AUTO));
	job = start(1, 2, GMIG_MODE_BLOCK);
	ck_assert_int_le(gmig_job_pause(job), 0);
	ck_assert_int_le(gmig_job_set_rate(job, GMIG_BLOCK_BYTES), 0);
	ck_assert_int_le(gmig_job_resume(job), 0);
	ck_assert_int_le(gmig_job_cancel(job), 0);
	end(job);
	rig_start(&rig, 2);
	end(start(1, 0, GMIG_MODE_READABLE));
	end(start(0, 2, GMIG_MODE_AUTO));
	ck_assert_uint_eq(rig_stop(&rig), 0);
	finish();
}
END_TEST

START_TEST(job_in_mode_lazy_gives_back_what_it_has)
{
	struct gmig_job_spec spec = rig_spec(0, 1);
	struct gmig_job *job;

	create(_i);
	rig_start(&rig, 2);
	spec.mode = GMIG_MODE_LAZY;
	spec.deadline_ns = 200000000;
	ck_assert_int_eq(gmig_job_start(rig.gmig, &spec, &job, &err), 0);
	end(job);
	ck_assert_uint_eq(rig_stop(&rig), 0);
	finish();
}
END_TEST

/* Two that contradict one another, a list, a policy, what is listed once more. */
START_TEST(jobs_that_know_of_one_another_give_back_what_they_have)
{
	const struct gmig_move_range range = {0, RAM / 2, 1};
	const struct gmig_move list = {.ranges = &range, .count = 1};
	struct gmig_bind_spec bind = {
	    .bytes = RAM, .policy = {.mode = GMIG_POLICY_BIND}, .flags = GMIG_BIND_MOVE};
	const uint64_t gpa = 0;
	const int node = 2;
	int status;
	const struct gmig_pages pages = {
	    .count = 1, .gpas = &gpa, .nodes = &node, .status = &status};
	struct gmig_job *job[3], *again;

	create(_i);
	job[0] = start(0, 1, GMIG_MODE_AUTO);
	job[1] = start(0, 2, GMIG_MODE_AUTO);
	ck_assert_int_eq(gmig_move_start(rig.gmig, &list, NULL, &job[2], &err), 0);
	for (unsigned int i = 0; i < 3; i++)
		end(job[i]);
	gmig_node_set_add(&bind.policy.nodes, 0);
	ck_assert_int_eq(gmig_bind(rig.gmig, &bind, &job[0], &err), 0);
	gmig_job_wait(job[0]);
	if (!gmig_job_retry(job[0], NULL, &again, &err))
		end(again);
	gmig_job_put(job[0]);
	ck_assert_int_ge(gmig_move_pages(rig.gmig, &pages, &err), 0);
	finish();
}
END_TEST

START_TEST(whoever_asks_about_a_guest_gives_back_what_he_has)
{
	const struct gmig_heat_share share = {0, GMIG_BLOCK_BYTES, 5, 0};
	const struct gmig_sampling how = {0};
	uint64_t bytes[GMIG_MAX_NODES], times[GMIG_TIME_BUCKETS], swapped;
	struct gmig_sampling_info sampling;
	struct gmig_heat_noted noted;
	struct gmig_check check;
	struct gmig_sample sample;
	struct gmig_stats stats;
	struct gmig_heat heat;
	struct gmig_map map;
	void *start_of;
	size_t done;

	create(_i);
	start_of = (void *)(uintptr_t)rig.ram;
	ck_assert_int_eq(gmig_refresh_topology(rig.gmig, &err), 0);
	ck_assert_int_eq(gmig_residency(rig.gmig, 0, bytes), 0);
	ck_assert_int_le(gmig_swapped(rig.gmig, 0, &swapped), 0);
	gmig_stats(rig.gmig, &stats);
	gmig_histogram(rig.gmig, GMIG_TIMES_STALL, times);
	ck_assert_int_eq(gmig_check(rig.gmig, &check, &err), 0);
	gmig_sample(rig.gmig, 4, &sample);
	ck_assert_int_eq(gmig_sampling_start(rig.gmig, &how, &err), 0);
	gmig_sampling_hold(rig.gmig, true);
	gmig_sampling_hold(rig.gmig, false);
	gmig_sampling_info(rig.gmig, &sampling);
	gmig_sampling_stop(rig.gmig);
	ck_assert_int_eq(gmig_heat_report(rig.gmig, &share, 1, &noted, &err), 0);
	gmig_heat(rig.gmig, 0, &heat, 1);
	ck_assert_int_le(gmig_map_at(rig.gmig, 0, &map), 0);
	ck_assert_int_eq(gmig_dma_begin(rig.gmig, start_of, GMIG_PAGE_BYTES), 0);
	gmig_dma_end(rig.gmig, start_of, GMIG_PAGE_BYTES);
	ck_assert_int_eq(gmig_fix_memory(rig.gmig, 0, GMIG_BLOCK_BYTES, true, &err), 0);
	end(start(0, 1, GMIG_MODE_AUTO));
	ck_assert_int_eq(gmig_fix_memory(rig.gmig, 0, GMIG_BLOCK_BYTES, false, &err), 0);
	ck_assert_uint_eq(rig_check_all(&rig), 0);
	ck_assert_int_eq(gmig_discard(rig.gmig, start_of, GMIG_BLOCK_BYTES, &done), 0);
	destroy();
}
END_TEST

START_TEST(job_of_a_process_gives_back_what_it_has)
{
	struct gmig_process_options options = {.pid = FAKE_PID, .sys = &fake_sys};
	struct gmig_job_spec spec = rig_spec(0, 1);
	struct gmig_process *process;
	struct gmig_topology *topology;
	struct gmig_job *job;

	fake_process_setup_on_four_nodes();
	fake_thread(FAKE_PID, "0-3");
	fake_sys.now_ns = gmig_sys_real.now_ns;
	fake_sys.sleep_ns = gmig_sys_real.sleep_ns;
	ck_assert_msg(!topology_create_at(tree_root, 0, &topology, &err), "%s", err.text);
	options.topology = topology;
	ck_assert_msg(!gmig_process_open(&options, &process, &err), "%s", err.text);
	spec.threads = 2;
	spec.trace = true;
	ck_assert_msg(!gmig_process_job_start(process, &spec, &job, &err), "%s", err.text);
	gmig_job_wait(job);
	gmig_job_put(job);
	ck_assert_int_gt(atomic_load(&mutexes), 0);
	ck_assert_int_gt(atomic_load(&rwlocks), 0);
	gmig_process_close(process);
	gmig_topology_put(topology);
	fake_process_teardown();
	nothing_is_left();
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("locks");
	TCase *tcase = tcase_create("locks");

	tcase_set_timeout(tcase, 60);
#ifndef GMIG_SANITIZED
	tcase_add_loop_test_raise_signal(
	    tcase, program_ends_where_a_lock_is_given_back_that_was_not_taken, SIGABRT, 0, 2);
#endif
	tcase_add_loop_test(tcase, job_that_is_paused_hurried_and_cancelled_gives_back_what_it_has,
			    0, 2);
	tcase_add_loop_test(tcase, job_in_mode_lazy_gives_back_what_it_has, 0, 2);
	tcase_add_loop_test(tcase, jobs_that_know_of_one_another_give_back_what_they_have, 0, 2);
	tcase_add_loop_test(tcase, whoever_asks_about_a_guest_gives_back_what_he_has, 0, 2);
	tcase_add_test(tcase, job_of_a_process_gives_back_what_it_has);
	suite_add_tcase(suite, tcase);
	return rig_main(suite);
}
