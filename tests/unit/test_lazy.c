/*
 * Mode lazy: blocks wait out of reach, or without the right to write, and move when they are touched; whatever happens meanwhile,
 * nobody reads zeros, and nobody sleeps for ever.
 */
#include "../../migrate/gmig_dma.h"
#include "../../migrate/gmig_move.h"
#include "lazy_rig.h"

#include <linux/userfaultfd.h>
#include <sched.h>
#include <unistd.h>

/* ---- Touched ----------------------------------------------------------------------------------------- */

START_TEST(touched_block_moves_and_the_others_wait)
{
	const uint64_t order[BLOCKS] = {3, 0, 7, 1, 2, 6, 5, 4};
	/* Who is stopped while it waits touches once more, and waits once more (tests/fault/stalls). */
	const unsigned int more = getenv("GMIG_STALLED") ? BLOCKS : 0;
	struct gmig_job_spec spec = lazy_spec(_i);
	struct gmig_job_info info;

	begin(_i, 0);
	start(&spec);
	await_waiting(BLOCKS);
	ck_assert_uint_eq(info_now().moved_bytes, 0);
	for (unsigned int i = 0; i < BLOCKS; i++) {
		ck_assert_int_eq(state_of(order[i]), SHADOW_HINT);
		if (spec.lazy == GMIG_LAZY_ANY)
			ck_assert_uint_eq(read_block(order[i]), 0);
		else
			write_block(order[i]);
		await_moved((i + 1) * GMIG_BLOCK_BYTES);
		assert_present(order[i], 1);
		for (unsigned int k = i + 1; k < BLOCKS; k++)
			ck_assert_int_eq(state_of(order[k]), SHADOW_HINT);
	}
	end_job(GMIG_JOB_COMPLETED, &info);
	ck_assert_uint_eq(info.moved_bytes, BYTES);
	ck_assert_uint_eq(info.remaining_bytes, 0);
	ck_assert_uint_eq(info.lazy.touched_bytes, BYTES);
	ck_assert_uint_eq(info.lazy.swept_bytes, 0);
	ck_assert_uint_eq(info.lazy.given_back, 0);
	ck_assert_uint_ge(info.lazy.touches, BLOCKS);
	ck_assert_uint_le(info.lazy.touches, BLOCKS + more);
	ck_assert_uint_eq(info.lazy.touches_by_vcpu, 0);
	ck_assert_uint_eq(info.lazy.waiting_max, BLOCKS);
	ck_assert_uint_ge(info.stall.count, BLOCKS);
	ck_assert_uint_le(info.stall.count, BLOCKS + more);
	ck_assert_uint_eq(info.bytes_on_source, 0);
	finish();
}
END_TEST

START_TEST(reader_never_waits_where_only_writers_move_a_block)
{
	struct gmig_job_spec spec = lazy_spec(_i | 2);
	struct gmig_job_info info;

	begin(_i, 0);
	start(&spec);
	await_waiting(BLOCKS);
	ck_assert_uint_eq(rig_check_all(&rig), 0);
	info = info_now();
	ck_assert_uint_eq(info.lazy.touches, 0);
	ck_assert_uint_eq(info.lazy.waiting, BLOCKS);
	write_block(5);
	await_moved(GMIG_BLOCK_BYTES);
	assert_present(5, 1);
	gmig_job_cancel(job);
	end_job(GMIG_JOB_CANCELLED, &info);
	ck_assert_uint_eq(info.lazy.touched_bytes, GMIG_BLOCK_BYTES);
	write_block(4); /* may be written again */
	assert_present(4, 0);
	finish();
}
END_TEST

START_TEST(touch_by_a_named_thread_is_counted_as_a_vcpus)
{
	struct gmig_job_spec spec = lazy_spec(0);
	struct gmig_job_info info;

	begin(0, 0);
	ck_assert_int_eq(gmig_name_vcpu_thread(rig.gmig, 0, gettid()), 0);
	start(&spec);
	await_waiting(BLOCKS);
	ck_assert_uint_eq(rig_check_all(&rig), 0);
	end_job(GMIG_JOB_COMPLETED, &info);
	/* A thread that is stopped meanwhile touches once more. */
	ck_assert_uint_ge(info.lazy.touches, BLOCKS);
	ck_assert_uint_eq(info.lazy.touches_by_vcpu, info.lazy.touches);
	finish();
}
END_TEST

START_TEST(blocks_of_a_busy_guest_move_and_keep_their_content)
{
	struct gmig_job_info info;

	begin(_i, 0);
	rig_start(&rig, 2);
	for (unsigned int i = 0; i < 4; i++) {
		struct gmig_job_spec spec = lazy_spec(_i);

		spec.from[0] = i % 2;
		spec.to[0] = (i + 1) % 2;
		spec.threads = 1 + i % 2;
		start(&spec);
		end_job(GMIG_JOB_COMPLETED, &info);
		ck_assert_uint_eq(info.moved_bytes, BYTES);
		ck_assert_uint_eq(info.lazy.touched_bytes, BYTES);
		ck_assert_uint_eq(info.thp_split, 0);
	}
	ck_assert_uint_eq(rig_stop(&rig), 0);
	finish();
}
END_TEST

/* ---- A touch while its block is taken out --------------------------------------------------------------- */

#define REFUSED_MAX 3
static atomic_int refused = REFUSED_MAX;
static struct {
	atomic_bool armed;
	bool no_memory;
	pthread_t toucher;
	bool touched;
	uint64_t wrong;
} between;

static void *touch_first_page(void *arg)
{
	(void)arg;
	between.wrong = rig_check_page(&rig, 0);
	return NULL;
}

/* The first block has just left its place: somebody touches it, and sleeps, before the table says that it waits. */
static int ioctl_touch_between(int fd, unsigned long request, void *arg)
{
	const struct uffdio_move *move = arg;
	int ret = gmig_sys_real.ioctl(fd, request, arg);

	if (ret || request != UFFDIO_MOVE || move->src != (uintptr_t)rig.ram ||
	    !atomic_exchange(&between.armed, false))
		return ret;
	if (between.no_memory)
		atomic_store(&refused, 0);
	between.touched = !pthread_create(&between.toucher, NULL, touch_first_page, NULL);
	while (!atomic_load(&rig.gmig->sleepers) && atomic_load(&refused) < REFUSED_MAX)
		sched_yield();
	return ret;
}

/* No memory to note the first sleepers. */
void *__real_malloc(size_t bytes); // NOLINT(bugprone-reserved-identifier)
void *__wrap_malloc(size_t bytes); // NOLINT(bugprone-reserved-identifier)

void *__wrap_malloc(size_t bytes) // NOLINT(bugprone-reserved-identifier)
{
	if (bytes == sizeof(struct sleeper) && atomic_load(&refused) < REFUSED_MAX &&
	    atomic_fetch_add(&refused, 1) < REFUSED_MAX)
		return NULL;
	return __real_malloc(bytes);
}

/* Also when there is no memory to note it (2, 3). */
START_TEST(touch_while_its_block_is_taken_out_is_not_forgotten)
{
	struct gmig_sys sys = gmig_sys_real;
	const struct rig_options options = {
	    .bytes = BYTES, .small_pages = is_small(_i), .sys = &sys};
	struct gmig_job_spec spec = lazy_spec(0);
	struct gmig_job_info info;

	sys.ioctl = ioctl_touch_between;
	rig_create(&rig, &options);
	between.no_memory = _i & 2;
	atomic_store(&between.armed, true);
	start(&spec);
	await_moved(GMIG_BLOCK_BYTES);
	ck_assert(between.touched);
	pthread_join(between.toucher, NULL);
	ck_assert_uint_eq(between.wrong, 0);
	assert_present(0, 1);
	gmig_job_cancel(job);
	end_job(GMIG_JOB_CANCELLED, &info);
	ck_assert_uint_eq(info.lazy.touched_bytes, GMIG_BLOCK_BYTES);
	finish();
}
END_TEST

/* All blocks wait for a touch when a plain job comes, which completes. */
static void run_plain_beside(const struct gmig_job_spec *lazy, const struct gmig_job_spec *plain,
			     struct gmig_job_info *info)
{
	start(lazy);
	await_waiting(BLOCKS);
	rig_move(&rig, plain, info);
	ck_assert_int_eq(info->state, GMIG_JOB_COMPLETED);
}

/* ---- To whoever touches it -------------------------------------------------------------------------------- */

/* A vCPU that reads its half of memory until the job is over. */
struct half {
	pthread_t thread;
	unsigned int first; /* block */
	cpu_set_t cpus;
	uint64_t wrong;
};

static void *sweep_half(void *arg)
{
	struct half *half = arg;

	pthread_setaffinity_np(pthread_self(), sizeof(half->cpus), &half->cpus);
	gmig_name_vcpu_thread(rig.gmig, 0, gettid());
	while (info_now().state < GMIG_JOB_COMPLETED)
		for (unsigned int i = 0; i < BLOCKS / 2; i++)
			half->wrong += read_block(half->first + i);
	return NULL;
}

/* One of its CPUs that this process may use. false: there is none. */
static bool cpu_of(unsigned int node, cpu_set_t *cpus)
{
	uint64_t mask[GMIG_MAX_CPUS / 64];
	cpu_set_t own;

	gmig_topology_cpus(rig.topology, node, mask, GMIG_MAX_CPUS / 64);
	sched_getaffinity(0, sizeof(own), &own);
	CPU_ZERO(cpus);
	for (unsigned int cpu = 0; cpu < CPU_SETSIZE; cpu++)
		if (CPU_ISSET(cpu, &own) && mask[cpu / 64] >> cpu % 64 & 1) {
			CPU_SET(cpu, cpus);
			return true;
		}
	return false;
}

static struct gmig_job_spec toucher_spec(int form)
{
	struct gmig_job_spec spec = lazy_spec(form);

	spec.to[0] = 0;
	spec.to[1] = 1;
	spec.to_count = 2;
	spec.lazy_to = GMIG_LAZY_TO_TOUCHER;
	return spec;
}

START_TEST(each_half_ends_on_the_node_of_its_toucher)
{
	struct gmig_job_spec spec = toucher_spec(_i);
	struct half half[2] = {{.first = 0}, {.first = BLOCKS / 2}};
	struct gmig_job_info info;

	begin(_i, 0);
	if (!cpu_of(0, &half[0].cpus) || !cpu_of(1, &half[1].cpus)) {
		skip_case("it takes two CPUs");
		finish();
		return;
	}
	start(&spec);
	await_waiting(BLOCKS);
	for (unsigned int i = 0; i < 2; i++)
		pthread_create(&half[i].thread, NULL, sweep_half, &half[i]);
	gmig_job_wait(job);
	for (unsigned int i = 0; i < 2; i++) {
		pthread_join(half[i].thread, NULL);
		ck_assert_uint_eq(half[i].wrong, 0);
	}
	end_job(GMIG_JOB_COMPLETED, &info);
	ck_assert_uint_eq(info.moved_bytes, BYTES / 2);
	ck_assert_uint_eq(info.by_others_bytes, BYTES / 2);
	ck_assert_uint_eq(info.remaining_bytes, 0);
	ck_assert_uint_eq(info.lazy.touched_bytes, BYTES / 2);
	ck_assert_uint_eq(info.lazy.in_place_bytes, BYTES / 2);
	ck_assert_uint_eq(info.lazy.given_back, 0);
	ck_assert_uint_eq(info.lazy.touches_by_vcpu, info.lazy.touches);
	ck_assert_str_eq(info.plan, "touch");
	for (unsigned int block = 0; block < BLOCKS; block++)
		assert_present(block, block >= BLOCKS / 2);
	finish();
}
END_TEST

START_TEST(touch_by_a_thread_that_nobody_knows_counts_for_its_vnode)
{
	struct gmig_job_spec spec = toucher_spec(0);
	struct gmig_job_info info;

	begin(0, 0);
	start(&spec);
	await_waiting(BLOCKS);
	ck_assert_uint_eq(rig_check_all(&rig), 0);
	end_job(GMIG_JOB_COMPLETED, &info);
	ck_assert_uint_eq(info.moved_bytes, 0);
	ck_assert_uint_eq(info.lazy.in_place_bytes, BYTES);
	ck_assert_uint_eq(info.lazy.touches_by_vcpu, 0);
	assert_all_present(0);
	finish();
}
END_TEST

START_TEST(what_nobody_touches_in_time_stays_and_says_so)
{
	struct gmig_job_spec spec = toucher_spec(_i);
	struct gmig_job_info info;

	begin(_i, 0);
	spec.deadline_ns = 150000000;
	start(&spec);
	end_job(GMIG_JOB_COMPLETED, &info);
	ck_assert_uint_eq(info.moved_bytes, 0);
	ck_assert_uint_eq(info.remaining_bytes, BYTES);
	ck_assert_uint_eq(info.remaining_count, 1);
	ck_assert_int_eq(info.remaining[0].error, ETIMEDOUT);
	spec.deadline_ns = 1; /* no time to take anything out */
	start(&spec);
	end_job(GMIG_JOB_COMPLETED, &info);
	ck_assert_uint_eq(info.remaining_bytes, BYTES);
	ck_assert_int_eq(info.remaining[0].error, ETIMEDOUT);
	assert_all_present(0);
	finish();
}
END_TEST

START_TEST(plain_job_has_what_waits_for_its_toucher)
{
	struct gmig_job_spec spec = toucher_spec(_i), plain = rig_spec(0, 1);
	struct gmig_job_info info, other;

	begin(_i, 0);
	run_plain_beside(&spec, &plain, &other);
	ck_assert_uint_eq(other.moved_bytes, BYTES);
	end_job(GMIG_JOB_COMPLETED, &info);
	ck_assert_uint_eq(info.moved_bytes, 0);
	ck_assert_uint_eq(info.by_others_bytes, BYTES);
	assert_all_present(1);
	finish();
}
END_TEST

/* ---- Not touched ----------------------------------------------------------------------------------------- */

START_TEST(what_nobody_touches_is_swept_before_the_deadline)
{
	struct gmig_job_spec spec = lazy_spec(_i);
	struct gmig_job_info info;

	begin(_i, 0);
	spec.deadline_ns = 150000000;
	spec.threads = 2;
	start(&spec);
	end_job(GMIG_JOB_COMPLETED, &info);
	ck_assert_uint_eq(info.moved_bytes, BYTES);
	ck_assert_uint_eq(info.lazy.touched_bytes, 0);
	ck_assert_uint_eq(info.lazy.swept_bytes, BYTES);
	assert_all_present(1);
	finish();
}
END_TEST

START_TEST(deadline_that_has_come_moves_all_at_once)
{
	struct gmig_job_spec spec = lazy_spec(_i);
	struct gmig_job_info info;

	begin(_i, 0);
	spec.deadline_ns = 1;
	start(&spec);
	end_job(GMIG_JOB_COMPLETED, &info);
	ck_assert_uint_eq(info.moved_bytes, BYTES);
	ck_assert_uint_eq(info.lazy.waiting_max, 0);
	ck_assert_uint_eq(info.lazy.swept_bytes, BYTES);
	finish();
}
END_TEST

/* ---- Given back ------------------------------------------------------------------------------------------- */

START_TEST(cancelled_job_gives_everything_back)
{
	struct gmig_job_spec spec = lazy_spec(_i);
	struct gmig_job_info info;

	begin(_i, 0);
	start(&spec);
	await_waiting(BLOCKS);
	write_block(2);
	await_moved(GMIG_BLOCK_BYTES);
	ck_assert_int_eq(gmig_job_cancel(job), 0);
	end_job(GMIG_JOB_CANCELLED, &info);
	ck_assert_uint_eq(info.moved_bytes, GMIG_BLOCK_BYTES);
	ck_assert_uint_eq(info.remaining_bytes, BYTES - GMIG_BLOCK_BYTES);
	ck_assert_uint_eq(info.remaining_count, 1);
	ck_assert_int_eq(info.remaining[0].error, ECANCELED);
	ck_assert_uint_eq(info.lazy.given_back, BLOCKS - 1);
	for (unsigned int block = 0; block < BLOCKS; block++)
		assert_present(block, block == 2);
	finish();
}
END_TEST

START_TEST(paused_job_holds_nothing_and_goes_on_when_it_is_resumed)
{
	struct gmig_job_spec spec = lazy_spec(_i);
	struct gmig_job_info info;

	begin(_i, 0);
	start(&spec);
	await_waiting(BLOCKS);
	ck_assert_int_eq(gmig_job_pause(job), 0);
	await_waiting(0);
	for (unsigned int block = 0; block < BLOCKS; block++) {
		while (state_of(block) != SHADOW_PRESENT)
			sched_yield();
		assert_present(block, 0);
		write_block(block);
	}
	ck_assert_uint_eq(info_now().moved_bytes, 0);
	ck_assert_int_eq(gmig_job_resume(job), 0);
	await_waiting(BLOCKS);
	for (unsigned int block = 0; block < BLOCKS; block++)
		write_block(block);
	end_job(GMIG_JOB_COMPLETED, &info);
	ck_assert_uint_eq(info.moved_bytes, BYTES);
	ck_assert_uint_eq(info.lazy.given_back, BLOCKS);
	ck_assert_uint_eq(info.lazy.touched_bytes, BYTES);
	finish();
}
END_TEST

START_TEST(engine_that_ends_while_blocks_wait_takes_them_along)
{
	struct gmig_job_spec spec = lazy_spec(_i);
	struct gmig_job_info info;

	begin(_i, 0);
	start(&spec);
	await_waiting(BLOCKS);
	rig_destroy(&rig);
	end_job(GMIG_JOB_CANCELLED, &info);
	ck_assert_uint_eq(info.lazy.given_back, BLOCKS);
}
END_TEST

/* ---- Beside others ------------------------------------------------------------------------------------------ */

START_TEST(block_that_waits_counts_where_its_content_lies)
{
	struct gmig_job_spec spec = lazy_spec(_i);
	uint64_t bytes[GMIG_MAX_NODES];
	struct gmig_job_info info;

	begin(_i, 0);
	start(&spec);
	await_waiting(BLOCKS);
	gmig_residency(rig.gmig, 0, bytes);
	ck_assert_uint_eq(bytes[0], BYTES);
	ck_assert_uint_eq(bytes[1], 0);
	rig_assert_clean(&rig);
	gmig_job_cancel(job);
	end_job(GMIG_JOB_CANCELLED, &info);
	finish();
}
END_TEST

START_TEST(repair_does_not_wait_for_what_waits)
{
	struct gmig_job_spec spec = lazy_spec(_i);
	struct gmig_repair result = {0};
	struct gmig_job_info info;
	uint64_t id = 0;

	begin(_i, 0);
	start(&spec);
	await_waiting(BLOCKS);
	while (!result.done)
		ck_assert_int_eq(gmig_repair(rig.gmig, &id, 1000000, &result, NULL), 0);
	ck_assert(result.ok);
	ck_assert_uint_eq(result.busy_pages, 0);
	ck_assert_uint_eq(result.compared_pages, 0);
	ck_assert_uint_eq(info_now().lazy.waiting, BLOCKS);
	gmig_job_cancel(job);
	end_job(GMIG_JOB_CANCELLED, &info);
	finish();
}
END_TEST

START_TEST(job_with_the_same_goal_finds_waiting_blocks_moved)
{
	struct gmig_job_spec spec = lazy_spec(_i), plain = rig_spec(0, 1);
	struct gmig_job_info info, other;

	begin(_i, 0);
	run_plain_beside(&spec, &plain, &other);
	ck_assert_uint_eq(other.remaining_bytes, 0);
	end_job(GMIG_JOB_COMPLETED, &info);
	ck_assert_uint_eq(info.moved_bytes + other.moved_bytes, BYTES);
	ck_assert_uint_eq(info.lazy.touched_bytes, 0);
	assert_all_present(1);
	finish();
}
END_TEST

START_TEST(later_job_that_goes_elsewhere_has_the_waiting_blocks)
{
	struct gmig_job_spec spec = lazy_spec(_i), plain = rig_spec(0, 2);
	struct gmig_job_info info, other;

	begin(_i, 3);
	run_plain_beside(&spec, &plain, &other);
	ck_assert_uint_eq(other.moved_bytes, BYTES);
	end_job(GMIG_JOB_COMPLETED, &info);
	ck_assert_uint_eq(info.moved_bytes, 0);
	ck_assert_uint_eq(info.by_others_bytes, BYTES);
	assert_all_present(2);
	finish();
}
END_TEST

START_TEST(device_does_not_pin_a_block_that_waits)
{
	struct gmig_job_spec spec = lazy_spec(_i);
	struct gmig_job_info info;
	void *at;

	begin(_i, 0);
	at = rig_page(&rig, 3 * GMIG_BLOCK_PAGES);
	ck_assert_int_eq(gmig_dma_begin(rig.gmig, rig_page(&rig, 0), GMIG_PAGE_BYTES), 0);
	start(&spec);
	/* The pinned one does not wait. */
	await_waiting(BLOCKS - 1);
	ck_assert_int_eq(gmig_dma_begin(rig.gmig, at, GMIG_PAGE_BYTES), -EBUSY);
	write_block(3);
	await_moved(GMIG_BLOCK_BYTES);
	gmig_dma_end(rig.gmig, rig_page(&rig, 0), GMIG_PAGE_BYTES);
	gmig_job_cancel(job);
	end_job(GMIG_JOB_CANCELLED, &info);
	ck_assert_int_eq(gmig_dma_begin(rig.gmig, at, GMIG_PAGE_BYTES), 0);
	gmig_dma_end(rig.gmig, at, GMIG_PAGE_BYTES);
	finish();
}
END_TEST

START_TEST(options_of_mode_lazy_are_refused_in_other_modes)
{
	struct gmig_job_spec spec = rig_spec(0, 1);
	struct gmig_error err = {0};

	begin(0, 0);
	spec.deadline_ns = 1;
	ck_assert_int_eq(gmig_job_start(rig.gmig, &spec, &job, &err), -EINVAL);
	ck_assert_ptr_nonnull(strstr(err.text, "mode lazy"));
	spec.deadline_ns = 0;
	spec.lazy = GMIG_LAZY_WRITE;
	ck_assert_int_eq(gmig_job_start(rig.gmig, &spec, &job, &err), -EINVAL);
	spec.mode = GMIG_MODE_LAZY;
	spec.lazy = (enum gmig_lazy)7;
	ck_assert_int_eq(gmig_job_start(rig.gmig, &spec, &job, &err), -EINVAL);
	ck_assert_ptr_nonnull(strstr(err.text, "lazy 7"));
	finish();
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("lazy");
	TCase *tcase = tcase_create("blocks");

	tcase_set_timeout(tcase, 30);
	tcase_add_loop_test(tcase, touched_block_moves_and_the_others_wait, 0, FORMS);
	tcase_add_loop_test(tcase, reader_never_waits_where_only_writers_move_a_block, 0, 2);
	tcase_add_test(tcase, touch_by_a_named_thread_is_counted_as_a_vcpus);
	tcase_add_loop_test(tcase, blocks_of_a_busy_guest_move_and_keep_their_content, 0, FORMS);
	tcase_add_loop_test(tcase, touch_while_its_block_is_taken_out_is_not_forgotten, 0, 4);
	tcase_add_loop_test(tcase, each_half_ends_on_the_node_of_its_toucher, 0, 2);
	tcase_add_test(tcase, touch_by_a_thread_that_nobody_knows_counts_for_its_vnode);
	tcase_add_loop_test(tcase, what_nobody_touches_in_time_stays_and_says_so, 0, FORMS);
	tcase_add_loop_test(tcase, plain_job_has_what_waits_for_its_toucher, 0, FORMS);
	tcase_add_loop_test(tcase, what_nobody_touches_is_swept_before_the_deadline, 0, FORMS);
	tcase_add_loop_test(tcase, deadline_that_has_come_moves_all_at_once, 0, FORMS);
	tcase_add_loop_test(tcase, cancelled_job_gives_everything_back, 0, FORMS);
	tcase_add_loop_test(tcase, paused_job_holds_nothing_and_goes_on_when_it_is_resumed, 0,
			    FORMS);
	tcase_add_loop_test(tcase, engine_that_ends_while_blocks_wait_takes_them_along, 0, FORMS);
	tcase_add_loop_test(tcase, block_that_waits_counts_where_its_content_lies, 0, FORMS);
	tcase_add_loop_test(tcase, repair_does_not_wait_for_what_waits, 0, FORMS);
	tcase_add_loop_test(tcase, job_with_the_same_goal_finds_waiting_blocks_moved, 0, FORMS);
	tcase_add_loop_test(tcase, later_job_that_goes_elsewhere_has_the_waiting_blocks, 0, FORMS);
	tcase_add_loop_test(tcase, device_does_not_pin_a_block_that_waits, 0, FORMS);
	tcase_add_test(tcase, options_of_mode_lazy_are_refused_in_other_modes);
	suite_add_tcase(suite, tcase);
	return rig_main(suite);
}
