/*
 * Sampling: blocks are out of reach until they are missed, and come back; whatever happens meanwhile, nobody reads zeros, nobody
 * sleeps for ever, and what was not seen is not told.
 */
#include "../../migrate/core/heat.h"
#include "../../migrate/gmig_discard.h"
#include "../../migrate/gmig_dma.h"
#include "../../migrate/gmig_heat.h"
#include "../../migrate/movers/sampler.h"
#include "rig.h"

#include <errno.h>
#include <sched.h>
#include <unistd.h>

#define BLOCKS 8u
#define BYTES  (BLOCKS * GMIG_BLOCK_BYTES)
#define USED   3u /* blocks that the user of a guest uses */

static struct rig rig;

/* As fast as it can: all of the memory is out most of the time. */
static const struct gmig_sampling fast = {.blocks_per_second = GMIG_SAMPLING_RATE_MAX,
					  .max_slowdown_ppm = 1000000};

/* ---- Helpers ----------------------------------------------------------------------------------------- */

static struct gmig_sampling_info info_now(void)
{
	struct gmig_sampling_info info;

	gmig_sampling_info(rig.gmig, &info);
	return info;
}

static void wait_on(void)
{
	ck_assert_int_eq(atomic_load(&rig.fatal), 0);
	sched_yield();
}

static void start(const struct gmig_sampling *how)
{
	struct gmig_error err = {0};

	ck_assert_msg(gmig_sampling_start(rig.gmig, how, &err) == 0, "%s", err.text);
}

static void await_out(uint64_t blocks)
{
	while (info_now().waiting < blocks)
		wait_on();
}

static void begin(bool small)
{
	const struct rig_options options = {.bytes = BYTES, .small_pages = small};

	rig_create(&rig, &options);
}

static void finish(void)
{
	struct gmig_stats stats;

	gmig_sampling_stop(rig.gmig);
	ck_assert(!info_now().on);
	for (uint64_t page = 0; page < rig.pages; page++) {
		struct shadow_entry entry;

		ck_assert_int_eq(shadow_lookup(rig.gmig->shadow, page, &entry), 0);
		ck_assert_int_eq(entry.state, SHADOW_PRESENT);
	}
	gmig_stats(rig.gmig, &stats);
	ck_assert_uint_eq(stats.sleepers, 0);
	ck_assert_uint_eq(rig_check_all(&rig), 0);
	rig_assert_clean(&rig);
	rig_destroy(&rig);
}

static unsigned int heat_now(uint64_t block)
{
	return heat_of(rig.gmig->memory.heat, block, rig.gmig->sys->now_ns());
}

/* Milliseconds, in which it would take all of the memory several times. */
static void pass_time(void)
{
	struct gmig_check check;

	for (unsigned int i = 0; i < 100; i++)
		ck_assert_int_eq(gmig_check(rig.gmig, &check, NULL), 0);
}

/* ---- A user ------------------------------------------------------------------------------------------ */

static struct {
	pthread_t thread;
	atomic_bool stop;
	bool vcpu;
	uint64_t wrong;
} user;

/* Reads pages of some blocks all the time, and of no others; of all parts that a sample may consist of. */
static void *use_some(void *arg)
{
	(void)arg;
	if (user.vcpu)
		gmig_name_vcpu_thread(rig.gmig, 0, gettid());
	while (!atomic_load(&user.stop))
		for (uint64_t page = 0; page < USED * GMIG_BLOCK_PAGES; page += 16)
			user.wrong += rig_page(&rig, page)[0] != page;
	return NULL;
}

static void user_start(bool vcpu)
{
	user.vcpu = vcpu;
	user.wrong = 0;
	atomic_store(&user.stop, false);
	ck_assert_int_eq(pthread_create(&user.thread, NULL, use_some, NULL), 0);
}

static void user_stop(void)
{
	atomic_store(&user.stop, true);
	pthread_join(user.thread, NULL);
	ck_assert_uint_eq(user.wrong, 0);
}

/* ---- What is seen -------------------------------------------------------------------------------------- */

static bool is_as_used(struct gmig_heat *part)
{
	uint64_t used = USED * GMIG_BLOCK_BYTES;

	return gmig_heat(rig.gmig, 0, part, 1) == 1 && part->hot_bytes + part->warm_bytes == used &&
	       part->cold_bytes == BYTES - used;
}

/* On a host that is busy the user may not come to its blocks for a while, so that these are cold for a while. */
START_TEST(used_blocks_are_hot_and_others_cold)
{
	struct gmig_sampling_info info;
	struct gmig_heat part;

	begin(_i & 1);
	user_start(_i & 2);
	start(&fast);
	do {
		wait_on();
		info = info_now();
	} while (info.rounds < 2 || info.touched < 20 * USED || !is_as_used(&part));
	user_stop();
	ck_assert_uint_eq(part.gpa, 0);
	ck_assert_uint_eq(part.bytes, BYTES);
	ck_assert_uint_eq(part.unknown_bytes, 0);
	ck_assert_uint_gt(part.newest_age_ns, 0);
	/* Its CPUs are of both nodes. */
	ck_assert_uint_eq(part.by[0].bytes + part.by[1].bytes,
			  _i & 2 ? USED * GMIG_BLOCK_BYTES : 0);
	ck_assert_uint_eq(info.touched_by_vcpu, _i & 2 ? info.touched : 0);
	ck_assert_uint_gt(info.slept_ns, 0);
	ck_assert_uint_gt(info.held_ns, 0);
	ck_assert_uint_gt(info.slowdown_ppm, 0);
	ck_assert_uint_eq(gmig_heat(rig.gmig, BYTES, &part, 1), 0);
	finish();
}
END_TEST

/* A page of the last block is touched while that is out, and the block comes back at once. */
START_TEST(missed_block_comes_back_with_its_content)
{
	uint64_t page = (BLOCKS - 1) * GMIG_BLOCK_PAGES;
	struct gmig_sampling_info info;

	begin(_i);
	start(&fast);
	await_out(BLOCKS);
	info = info_now();
	ck_assert_uint_eq(info.touched + info.untouched, 0);
	for (unsigned int i = 0; i < GMIG_BLOCK_PAGES; i++) {
		rig.counter[page + i]++;
		rig_write_page(&rig, page + i);
	}
	while (!info_now().touched)
		wait_on();
	finish();
}
END_TEST

START_TEST(memory_without_content_is_not_sampled)
{
	const struct rig_options options = {.bytes = BYTES, .untouched = true};
	struct gmig_sampling_info info;
	struct gmig_heat part;

	rig_create(&rig, &options);
	start(&fast);
	do {
		wait_on();
		info = info_now();
	} while (info.rounds < 100);
	ck_assert_uint_eq(info.waiting + info.touched + info.untouched + info.given_up, 0);
	ck_assert_uint_eq(gmig_heat(rig.gmig, 0, &part, 1), 1);
	ck_assert_uint_eq(part.unknown_bytes, BYTES);
	ck_assert_uint_eq(part.newest_age_ns, 0);
	gmig_sampling_stop(rig.gmig);
	rig_assert_clean(&rig);
	rig_destroy(&rig);
}
END_TEST

/* ---- It stands aside ------------------------------------------------------------------------------------ */

START_TEST(job_gets_blocks_that_are_out_and_nothing_is_known_of_them_for_a_window)
{
	struct gmig_job_spec spec = rig_spec(0, 1);
	struct gmig_job_info job;
	struct gmig_heat part;

	begin(_i);
	start(&fast);
	await_out(BLOCKS);
	rig_move(&rig, &spec, &job);
	ck_assert_uint_eq(gmig_heat(rig.gmig, 0, &part, 1), 1);
	ck_assert_int_eq(job.state, GMIG_JOB_COMPLETED);
	ck_assert_uint_eq(job.moved_bytes, BYTES);
	ck_assert_uint_eq(job.remaining_bytes, 0);
	ck_assert_uint_eq(job.bytes_on_source, 0);
	ck_assert_uint_gt(info_now().given_up, 0);
	/* Unless that took longer, on a machine that is busy. */
	if (job.elapsed_ns < HEAT_WINDOW_NS / 2)
		ck_assert_uint_eq(part.unknown_bytes, BYTES);
	finish();
}
END_TEST

START_TEST(jobs_checks_and_writers_go_on_beside_it)
{
	begin(_i);
	rig_start(&rig, 2);
	start(&fast);
	for (unsigned int i = 0; i < 6; i++) {
		struct gmig_job_spec spec = rig_spec(i % 2, !(i % 2));
		struct gmig_job_info job;
		struct gmig_check check;

		spec.mode = i % 3 == 2 ? GMIG_MODE_LAZY : GMIG_MODE_AUTO;
		spec.deadline_ns = i % 3 == 2 ? 100000000 : 0;
		rig_move(&rig, &spec, &job);
		ck_assert_int_eq(job.state, GMIG_JOB_COMPLETED);
		ck_assert_uint_eq(job.moved_bytes + job.remaining_bytes, BYTES);
		ck_assert_int_eq(gmig_check(rig.gmig, &check, NULL), 0);
		for (unsigned int k = 0; k < GMIG_INVARIANTS; k++)
			ck_assert_msg(!check.breach[k], "%s", check.detail[k]);
	}
	ck_assert_uint_eq(rig_stop(&rig), 0);
	finish();
}
END_TEST

/* A device that is refused takes a buffer, and copies: that is an access as well. */
START_TEST(device_that_is_refused_gets_the_block_by_touching_it)
{
	int ret;

	begin(_i);
	start(&fast);
	do {
		await_out(BLOCKS);
		ret = gmig_dma_begin(rig.gmig, (void *)rig_page(&rig, 100), GMIG_PAGE_BYTES);
		if (!ret)
			gmig_dma_end(rig.gmig, (void *)rig_page(&rig, 100), GMIG_PAGE_BYTES);
	} while (!ret); /* the block had just come back */
	ck_assert_int_eq(ret, -EBUSY);
	while (gmig_dma_begin(rig.gmig, (void *)rig_page(&rig, 100), GMIG_PAGE_BYTES))
		for (uint64_t page = 0; page < GMIG_BLOCK_PAGES; page += 16)
			ck_assert_uint_eq(rig_check_page(&rig, page), 0);
	gmig_dma_end(rig.gmig, (void *)rig_page(&rig, 100), GMIG_PAGE_BYTES);
	/* It is counted once the block is back, and may have come back just before it was touched. */
	while (!info_now().touched) {
		ck_assert_uint_eq(rig_check_page(&rig, 0), 0);
		wait_on();
	}
	finish();
}
END_TEST

START_TEST(discard_gets_blocks_that_are_out_and_what_was_known_of_them_goes)
{
	size_t done = 0;

	begin(_i);
	start(&fast);
	await_out(BLOCKS);
	while (done < BYTES) {
		size_t part = 0;
		int ret = gmig_discard(rig.gmig, (uint8_t *)rig.ram + done, BYTES - done, &part);

		ck_assert(!ret || ret == -EBUSY);
		done += part;
		wait_on();
	}
	/* Had they waited to their end, none would have been given up. */
	ck_assert_uint_gt(info_now().given_up, 0);
	gmig_sampling_stop(rig.gmig);
	for (uint64_t block = 0; block < BLOCKS; block++)
		ck_assert_uint_eq(heat_now(block), HEAT_UNKNOWN);
	for (uint64_t page = 0; page < rig.pages; page++) {
		ck_assert_uint_eq(rig_page(&rig, page)[0], 0);
		rig_write_page(&rig, page);
	}
	rig_settle(&rig);
	finish();
}
END_TEST

/* ---- Limits ---------------------------------------------------------------------------------------------- */

START_TEST(guest_that_stands_still_is_not_cold)
{
	struct gmig_sampling_info info;

	begin(false);
	gmig_sampling_hold(rig.gmig, true);
	start(&fast);
	info = info_now();
	ck_assert(info.on && info.held);
	gmig_sampling_hold(rig.gmig, false);
	await_out(BLOCKS);
	gmig_sampling_hold(rig.gmig, true);
	while (info_now().waiting)
		wait_on();
	info = info_now();
	ck_assert_uint_eq(info.touched + info.untouched, 0);
	ck_assert_uint_eq(info.given_up, BLOCKS);
	pass_time();
	ck_assert_uint_eq(info_now().waiting + info_now().given_up, BLOCKS);
	/* It lasts, on and off. */
	gmig_sampling_stop(rig.gmig);
	start(&fast);
	pass_time();
	ck_assert_uint_eq(info_now().waiting + info_now().given_up, 0);
	finish();
}
END_TEST

START_TEST(nothing_is_taken_beyond_the_budget_and_the_rate)
{
	const struct gmig_sampling dear = {.blocks_per_second = 10000, .max_slowdown_ppm = 1};
	const struct gmig_sampling slow = {.blocks_per_second = 1, .max_slowdown_ppm = 1000000};
	struct gmig_sampling_info info;

	begin(false);
	start(&dear); /* the first block is 100 s away */
	pass_time();
	info = info_now();
	ck_assert_uint_eq(info.waiting + info.given_up, 0);
	ck_assert_uint_eq(info.how.max_slowdown_ppm, 1);
	start(&slow);
	await_out(1);
	pass_time();
	info = info_now();
	ck_assert_uint_le(info.waiting + info.untouched, 1 + info.on_ns / 1000000000);
	finish();
}
END_TEST

START_TEST(what_cannot_be_is_refused_in_words)
{
	const struct rig_options options = {.bytes = BYTES, .untouched = true};
	struct gmig_sampling how = {.blocks_per_second = GMIG_SAMPLING_RATE_MAX + 1};
	struct gmig_options plain = {.plain = true};
	struct gmig_error err;
	struct gmig *gmig;

	rig_create(&rig, &options);
	ck_assert_int_eq(gmig_sampling_start(rig.gmig, &how, &err), -EINVAL);
	how = (struct gmig_sampling){.max_slowdown_ppm = 1000001};
	ck_assert_int_eq(gmig_sampling_start(rig.gmig, &how, &err), -EINVAL);
	how = (struct gmig_sampling){.reserved = {1}};
	ck_assert_int_eq(gmig_sampling_start(rig.gmig, &how, &err), -E2BIG);
	ck_assert(!info_now().on);
	how = (struct gmig_sampling){0};
	start(&how);
	ck_assert_uint_eq(info_now().how.blocks_per_second, GMIG_SAMPLING_RATE);
	ck_assert_uint_eq(info_now().how.max_slowdown_ppm, GMIG_SAMPLING_SLOWDOWN);
	plain.topology = rig.topology;
	ck_assert_int_eq(gmig_create(&plain, &gmig, &err), 0);
	ck_assert_int_eq(gmig_sampling_start(gmig, &how, &err), -EOPNOTSUPP);
	ck_assert_ptr_nonnull(strstr(err.text, "migration is off"));
	gmig_destroy(gmig);
	plain.plain = false;
	/* No memory of a kind that can be taken out: none at all. */
	ck_assert_int_eq(gmig_create(&plain, &gmig, &err), 0);
	ck_assert_int_eq(gmig_sampling_start(gmig, &how, &err), -EOPNOTSUPP);
	ck_assert_ptr_nonnull(strstr(err.text, "UFFDIO_MOVE"));
	gmig_destroy(gmig);
	/* On while its engine ends. */
	rig_assert_clean(&rig);
	rig_destroy(&rig);
}
END_TEST

/* All places are used, and no more. */
START_TEST(as_many_blocks_are_out_as_there_are_places_for)
{
	const struct rig_options options = {.bytes = (SAMPLER_BLOCKS + 8) * GMIG_BLOCK_BYTES,
					    .small_pages = true,
					    .untouched = true};

	rig_create(&rig, &options);
	for (uint64_t page = 17; page < rig.pages; page += GMIG_BLOCK_PAGES)
		rig_write_page(&rig, page);
	rig_settle(&rig);
	start(&fast);
	for (uint64_t most = 0, now; most<SAMPLER_BLOCKS; most = now> most ? now : most) {
		now = info_now().waiting;
		ck_assert_uint_le(now, SAMPLER_BLOCKS);
		wait_on();
	}
	gmig_sampling_stop(rig.gmig);
	for (uint64_t page = 17; page < rig.pages; page += GMIG_BLOCK_PAGES)
		ck_assert_uint_eq(rig_check_page(&rig, page), 0);
	rig_assert_clean(&rig);
	rig_destroy(&rig);
}
END_TEST

/* Whoever looks for memory where there is none does not do it all the time: 256 blocks, and then a pause. */
START_TEST(guest_without_memory_costs_little)
{
	const struct rig_options options = {.bytes = BYTES, .untouched = true};
	const uint64_t finds = 10;
	uint64_t begin_ns;

	rig_create(&rig, &options);
	begin_ns = gmig_sys_real.now_ns();
	start(&fast);
	while (info_now().rounds < finds * 256 / BLOCKS)
		wait_on();
	ck_assert_uint_ge(gmig_sys_real.now_ns() - begin_ns, (finds - 1) * 10000000);
	ck_assert_uint_eq(info_now().touched + info_now().untouched, 0);
	gmig_sampling_stop(rig.gmig);
	rig_assert_clean(&rig);
	rig_destroy(&rig);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("sampling");
	TCase *tcase = tcase_create("sampling");

	tcase_set_timeout(tcase, 60);
	tcase_add_loop_test(tcase, used_blocks_are_hot_and_others_cold, 0, 4);
	tcase_add_loop_test(tcase, missed_block_comes_back_with_its_content, 0, 2);
	tcase_add_test(tcase, memory_without_content_is_not_sampled);
	tcase_add_loop_test(
	    tcase, job_gets_blocks_that_are_out_and_nothing_is_known_of_them_for_a_window, 0, 2);
	tcase_add_loop_test(tcase, jobs_checks_and_writers_go_on_beside_it, 0, 2);
	tcase_add_loop_test(tcase, device_that_is_refused_gets_the_block_by_touching_it, 0, 2);
	tcase_add_loop_test(tcase, discard_gets_blocks_that_are_out_and_what_was_known_of_them_goes,
			    0, 2);
	tcase_add_test(tcase, guest_that_stands_still_is_not_cold);
	tcase_add_test(tcase, nothing_is_taken_beyond_the_budget_and_the_rate);
	tcase_add_test(tcase, as_many_blocks_are_out_as_there_are_places_for);
	tcase_add_test(tcase, guest_without_memory_costs_little);
	tcase_add_test(tcase, what_cannot_be_is_refused_in_words);
	suite_add_tcase(suite, tcase);
	return rig_main(suite);
}
