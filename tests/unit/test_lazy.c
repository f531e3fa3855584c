/*
 * Mode lazy: blocks wait out of reach, or without the right to write, and move when they are touched; whatever happens meanwhile,
 * nobody reads zeros, and nobody sleeps for ever.
 */
#include "../../migrate/gmig_dma.h"
#include "../../migrate/gmig_move.h"
#include "../../migrate/jobs/lazy.h"
#include "rig.h"

#include <errno.h>
#include <linux/userfaultfd.h>
#include <sched.h>
#include <unistd.h>

#define BLOCKS 8u
#define BYTES  (BLOCKS * GMIG_BLOCK_BYTES)

static struct rig rig;
static struct gmig_job *job;

/* ---- Helpers ----------------------------------------------------------------------------------------- */

/* Bit 0: small pages; bit 1: only writers move a block. */
#define FORMS 4
static bool is_small(int form)
{
	return form & 1;
}

static enum gmig_lazy lazy_of(int form)
{
	return form & 2 ? GMIG_LAZY_WRITE : GMIG_LAZY_ANY;
}

static struct gmig_job_spec lazy_spec(int form)
{
	struct gmig_job_spec spec = rig_spec(0, 1);

	spec.mode = GMIG_MODE_LAZY;
	spec.lazy = lazy_of(form);
	return spec;
}

static void start(const struct gmig_job_spec *spec)
{
	struct gmig_error err = {0};

	ck_assert_msg(gmig_job_start(rig.gmig, spec, &job, &err) == 0, "%s", err.text);
}

static struct gmig_job_info info_now(void)
{
	struct gmig_job_info info;

	gmig_job_info(job, &info);
	return info;
}

/* Whoever waits for the engine, and would for ever when it has given up. */
static void wait_on(void)
{
	ck_assert_int_eq(atomic_load(&rig.fatal), 0);
	sched_yield();
}

static void await_waiting(uint64_t blocks)
{
	while (info_now().lazy.waiting != blocks)
		wait_on();
}

static void await_moved(uint64_t bytes)
{
	while (info_now().moved_bytes < bytes)
		wait_on();
}

static void end_job(enum gmig_job_state state, struct gmig_job_info *info)
{
	gmig_job_wait(job);
	gmig_job_info(job, info);
	gmig_job_put(job);
	ck_assert_int_eq(info->state, state);
	ck_assert_uint_eq(info->lazy.waiting, 0);
}

static void begin(int form, unsigned int nodes)
{
	const struct rig_options options = {
	    .bytes = BYTES, .small_pages = is_small(form), .nodes = nodes};

	rig_create(&rig, &options);
}

static void finish(void)
{
	struct gmig_stats stats;

	ck_assert_uint_eq(rig_check_all(&rig), 0);
	gmig_stats(rig.gmig, &stats);
	ck_assert_uint_eq(stats.sleepers, 0);
	rig_assert_clean(&rig);
	rig_destroy(&rig);
}

/* All of a block lies there, and waits for nobody. */
static void assert_present(uint64_t block, unsigned int node)
{
	for (uint64_t i = 0; i < GMIG_BLOCK_PAGES; i++) {
		struct shadow_entry entry;

		ck_assert_int_eq(
		    shadow_lookup(rig.gmig->shadow, block * GMIG_BLOCK_PAGES + i, &entry), 0);
		ck_assert_int_eq(entry.state, SHADOW_PRESENT);
		ck_assert_uint_eq(entry.node, node);
	}
}

static enum shadow_state state_of(uint64_t block)
{
	struct shadow_entry entry;

	ck_assert_int_eq(shadow_lookup(rig.gmig->shadow, block * GMIG_BLOCK_PAGES, &entry), 0);
	return entry.state;
}

/* One page in the middle of it. */
static void write_block(uint64_t block)
{
	uint64_t page = block * GMIG_BLOCK_PAGES + 200;

	rig.counter[page]++;
	rig_write_page(&rig, page);
}

static uint64_t read_block(uint64_t block)
{
	return rig_check_page(&rig, block * GMIG_BLOCK_PAGES + 200);
}

/* ---- Touched ----------------------------------------------------------------------------------------- */

START_TEST(touched_block_moves_and_the_others_wait)
{
	const uint64_t order[BLOCKS] = {3, 0, 7, 1, 2, 6, 5, 4};
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
	ck_assert_uint_eq(info.lazy.touches, BLOCKS);
	ck_assert_uint_eq(info.lazy.touches_by_vcpu, 0);
	ck_assert_uint_eq(info.lazy.waiting_max, BLOCKS);
	ck_assert_uint_eq(info.stall.count, BLOCKS);
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
	ck_assert_uint_eq(info.lazy.touches, BLOCKS);
	ck_assert_uint_eq(info.lazy.touches_by_vcpu, BLOCKS);
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

static struct {
	atomic_bool armed;
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
	between.touched = !pthread_create(&between.toucher, NULL, touch_first_page, NULL);
	while (!atomic_load(&rig.gmig->sleepers))
		sched_yield();
	return ret;
}

START_TEST(touch_while_its_block_is_taken_out_is_not_forgotten)
{
	struct gmig_sys sys = gmig_sys_real;
	const struct rig_options options = {
	    .bytes = BYTES, .small_pages = is_small(_i), .sys = &sys};
	struct gmig_job_spec spec = lazy_spec(0);
	struct gmig_job_info info;

	sys.ioctl = ioctl_touch_between;
	rig_create(&rig, &options);
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
	for (unsigned int block = 0; block < BLOCKS; block++)
		assert_present(block, 1);
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

START_TEST(job_with_the_same_goal_finds_waiting_blocks_moved)
{
	struct gmig_job_spec spec = lazy_spec(_i), plain = rig_spec(0, 1);
	struct gmig_job_info info, other;

	begin(_i, 0);
	start(&spec);
	await_waiting(BLOCKS);
	rig_move(&rig, &plain, &other);
	ck_assert_int_eq(other.state, GMIG_JOB_COMPLETED);
	ck_assert_uint_eq(other.remaining_bytes, 0);
	end_job(GMIG_JOB_COMPLETED, &info);
	ck_assert_uint_eq(info.moved_bytes + other.moved_bytes, BYTES);
	ck_assert_uint_eq(info.lazy.touched_bytes, 0);
	for (unsigned int block = 0; block < BLOCKS; block++)
		assert_present(block, 1);
	finish();
}
END_TEST

START_TEST(later_job_that_goes_elsewhere_has_the_waiting_blocks)
{
	struct gmig_job_spec spec = lazy_spec(_i), plain = rig_spec(0, 2);
	struct gmig_job_info info, other;

	begin(_i, 3);
	start(&spec);
	await_waiting(BLOCKS);
	rig_move(&rig, &plain, &other);
	ck_assert_int_eq(other.state, GMIG_JOB_COMPLETED);
	ck_assert_uint_eq(other.moved_bytes, BYTES);
	end_job(GMIG_JOB_COMPLETED, &info);
	ck_assert_uint_eq(info.moved_bytes, 0);
	ck_assert_uint_eq(info.by_others_bytes, BYTES);
	for (unsigned int block = 0; block < BLOCKS; block++)
		assert_present(block, 2);
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

/* ---- The queue, by a clock of its own ------------------------------------------------------------------------ */

static struct lazy *lazy;
static struct gmig_sys clocked;
static atomic_ullong clock_ns;

static uint64_t clock_now(void)
{
	return atomic_load(&clock_ns);
}

/* Nothing changes while this thread is alone: time passes. */
static int clock_wait(pthread_cond_t *cond, pthread_mutex_t *mutex, uint64_t deadline_ns)
{
	(void)cond, (void)mutex;
	if (deadline_ns > clock_now())
		atomic_store(&clock_ns, deadline_ns);
	return -ETIMEDOUT;
}

#define SECOND 1000000000ull

static void setup_queue(void)
{
	clocked = gmig_sys_real;
	clocked.now_ns = clock_now;
	clocked.wait_until = clock_wait;
	atomic_store(&clock_ns, 5 * SECOND);
	ck_assert_int_eq(lazy_create(&clocked, 5 * SECOND, 20 * SECOND, &lazy), 0);
	lazy_begin(lazy, 1);
	lazy_server(lazy, true);
}

static void teardown_queue(void)
{
	lazy_destroy(lazy);
}

static void add(struct lazy_block *block, uint64_t number)
{
	*block = (struct lazy_block){
	    .lazy = lazy, .block_gfn = number * GMIG_BLOCK_PAGES, .bytes = GMIG_BLOCK_BYTES};
	ck_assert(lazy_room(lazy));
	lazy_add(block);
}

static void expect_next(struct lazy_block *block, enum lazy_why why)
{
	ck_assert_ptr_eq(lazy_next(lazy, true), block);
	ck_assert_int_eq(block->why, why);
}

START_TEST(touched_blocks_come_first_in_the_order_of_touches)
{
	const struct claim_touch touch = {.tid = 1}, want = {.tid = 0};
	struct lazy_block block[4];

	for (unsigned int i = 0; i < 4; i++)
		add(&block[i], i);
	lazy_touch(&block[3], &touch);
	lazy_touch(&block[1], &want);
	lazy_touch(&block[3], &touch);
	expect_next(&block[3], LAZY_TOUCHED);
	expect_next(&block[1], LAZY_WANTED);
	lazy_touch(&block[1], &touch); /* it is worked on already */
	expect_next(&block[0], LAZY_SWEPT);
	ck_assert_uint_eq(clock_now(), 25 * SECOND);
	expect_next(&block[2], LAZY_SWEPT);
	ck_assert_ptr_null(lazy_next(lazy, true));
}
END_TEST

START_TEST(block_that_was_touched_before_it_was_listed_is_due_at_once)
{
	const struct claim_touch touch = {.tid = 1, .vcpu = true};
	struct lazy_block block = {.lazy = lazy, .bytes = GMIG_BLOCK_BYTES};
	struct gmig_lazy_info info;

	lazy_touch(&block, &touch);
	lazy_add(&block);
	expect_next(&block, LAZY_TOUCHED);
	lazy_done(&block, GMIG_BLOCK_BYTES, 0, false);
	lazy_info(lazy, &info);
	ck_assert_uint_eq(info.touched_bytes, GMIG_BLOCK_BYTES);
	ck_assert_uint_eq(info.touches_by_vcpu, 1);
	ck_assert(!lazy_put_off(lazy));
}
END_TEST

START_TEST(oldest_block_makes_room_when_others_had_to_go_back)
{
	struct lazy_block block[3];

	for (unsigned int i = 0; i < 3; i++) {
		add(&block[i], i);
		atomic_fetch_add(&clock_ns, SECOND / 10);
	}
	lazy_hold(lazy, true);
	expect_next(&block[0], LAZY_HELD);
	lazy_done(&block[0], 0, 0, true);
	lazy_hold(lazy, false);
	ck_assert(lazy_put_off(lazy));
	expect_next(&block[1], LAZY_TURN);
	ck_assert_uint_eq(clock_now(), 6 * SECOND + SECOND / 10);
	expect_next(&block[2], LAZY_TURN);
}
END_TEST

START_TEST(no_more_than_so_many_wait_until_the_sweep)
{
	static struct lazy_block block[LAZY_BLOCKS];
	struct gmig_lazy_info info;

	for (unsigned int i = 0; i < LAZY_BLOCKS; i++)
		add(&block[i], i);
	/* Nobody serves, so that there is no room before the sweep, and then nothing waits any more. */
	ck_assert(!lazy_room(lazy));
	ck_assert_uint_eq(clock_now(), 25 * SECOND);
	lazy_info(lazy, &info);
	ck_assert_uint_eq(info.waiting_max, LAZY_BLOCKS);
	expect_next(&block[0], LAZY_SWEPT);
}
END_TEST

START_TEST(sweep_begins_as_early_as_the_rest_takes)
{
	struct lazy_block block;

	add(&block, 0);
	/* 100 MiB at 50 MiB/s, and one half more. */
	lazy_expect(lazy, 100 << 20, 50 << 20, 1);
	expect_next(&block, LAZY_SWEPT);
	ck_assert_uint_eq(clock_now(), 22 * SECOND);
}
END_TEST

START_TEST(slow_copies_begin_a_sweep_earlier)
{
	struct lazy_block block;

	add(&block, 0);
	lazy_hold(lazy, true);
	expect_next(&block, LAZY_HELD);
	lazy_done(&block, GMIG_BLOCK_BYTES, 8 * SECOND, false);
	lazy_hold(lazy, false);
	add(&block, 1);
	/* A byte takes 7/8 of what was thought, and an eighth of what it took. */
	lazy_expect(lazy, 2 * GMIG_BLOCK_BYTES, 0, 1);
	expect_next(&block, LAZY_SWEPT);
	ck_assert_uint_le(clock_now(), 22 * SECOND);
	ck_assert_uint_ge(clock_now(), 21 * SECOND);
}
END_TEST

START_TEST(results_are_needed_until_all_parts_are_done_with)
{
	ck_assert(lazy_release(lazy, 512)); /* nothing of it waits */
	lazy_keep(lazy, 512);
	lazy_keep(lazy, 512);
	lazy_keep(lazy, 1024);
	ck_assert(!lazy_release(lazy, 512));
	ck_assert(!lazy_release(lazy, 512));
	ck_assert(lazy_release(lazy, 512));
	ck_assert(!lazy_release(lazy, 1024));
	ck_assert(lazy_release(lazy, 1024));
}
END_TEST

START_TEST(without_a_server_nothing_waits)
{
	lazy_begin(lazy, 1);
	lazy_server(lazy, false);
	ck_assert(!lazy_await(lazy));
	ck_assert(!lazy_room(lazy));
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("lazy");
	TCase *tcase = tcase_create("blocks"), *queue = tcase_create("queue");

	tcase_set_timeout(tcase, 30);
	tcase_add_loop_test(tcase, touched_block_moves_and_the_others_wait, 0, FORMS);
	tcase_add_loop_test(tcase, reader_never_waits_where_only_writers_move_a_block, 0, 2);
	tcase_add_test(tcase, touch_by_a_named_thread_is_counted_as_a_vcpus);
	tcase_add_loop_test(tcase, blocks_of_a_busy_guest_move_and_keep_their_content, 0, FORMS);
	tcase_add_loop_test(tcase, touch_while_its_block_is_taken_out_is_not_forgotten, 0, 2);
	tcase_add_loop_test(tcase, what_nobody_touches_is_swept_before_the_deadline, 0, FORMS);
	tcase_add_loop_test(tcase, deadline_that_has_come_moves_all_at_once, 0, FORMS);
	tcase_add_loop_test(tcase, cancelled_job_gives_everything_back, 0, FORMS);
	tcase_add_loop_test(tcase, paused_job_holds_nothing_and_goes_on_when_it_is_resumed, 0,
			    FORMS);
	tcase_add_loop_test(tcase, engine_that_ends_while_blocks_wait_takes_them_along, 0, FORMS);
	tcase_add_loop_test(tcase, block_that_waits_counts_where_its_content_lies, 0, FORMS);
	tcase_add_loop_test(tcase, job_with_the_same_goal_finds_waiting_blocks_moved, 0, FORMS);
	tcase_add_loop_test(tcase, later_job_that_goes_elsewhere_has_the_waiting_blocks, 0, FORMS);
	tcase_add_loop_test(tcase, device_does_not_pin_a_block_that_waits, 0, FORMS);
	tcase_add_test(tcase, options_of_mode_lazy_are_refused_in_other_modes);
	tcase_add_checked_fixture(queue, setup_queue, teardown_queue);
	tcase_add_test(queue, touched_blocks_come_first_in_the_order_of_touches);
	tcase_add_test(queue, block_that_was_touched_before_it_was_listed_is_due_at_once);
	tcase_add_test(queue, oldest_block_makes_room_when_others_had_to_go_back);
	tcase_add_test(queue, no_more_than_so_many_wait_until_the_sweep);
	tcase_add_test(queue, sweep_begins_as_early_as_the_rest_takes);
	tcase_add_test(queue, slow_copies_begin_a_sweep_earlier);
	tcase_add_test(queue, results_are_needed_until_all_parts_are_done_with);
	tcase_add_test(queue, without_a_server_nothing_waits);
	suite_add_tcase(suite, tcase);
	suite_add_tcase(suite, queue);
	return rig_main(suite);
}
