/* What the engine holds beside the guest's memory: bounded, whoever asks; broken parts cost a pass. */
#include "../../migrate/memory/frame.h"
#include "rig.h"
#include "uffd_poison.h"

#include <errno.h>
#include <sys/mman.h>

#define BYTES (64ull << 20)

static struct gmig_sys sys;
static struct rig rig;

/* ---- By what the kernel was asked for --------------------------------------------------------- */

static atomic_bool counting;
static atomic_llong extra, extra_most;

static void count(long long bytes)
{
	long long now = atomic_fetch_add(&extra, bytes) + bytes, most = atomic_load(&extra_most);

	while (now > most && !atomic_compare_exchange_weak(&extra_most, &most, now))
		;
}

/* All that is given back is a slot's: the guest's memory never leaves but through one. */
static int advise_counted(void *memory, size_t bytes, int advice)
{
	int ret = gmig_sys_real.advise(memory, bytes, advice);

	if (!atomic_load(&counting))
		return ret;
	if (advice == MADV_POPULATE_WRITE && !ret && bytes > GMIG_PAGE_BYTES)
		count((long long)bytes);
	if (advice == MADV_DONTNEED && !ret)
		count(-(long long)bytes);
	return ret;
}

static void create(struct rig_options *options)
{
	sys = gmig_sys_real;
	sys.advise = advise_counted;
	options->sys = &sys;
	rig_create(&rig, options);
}

START_TEST(extra_memory_is_bounded_whatever_the_number_of_threads)
{
	static const unsigned int threads[] = {1, 4, 16};
	struct rig_options options = {.bytes = 2 * BYTES};
	struct gmig_job_spec spec = rig_spec(0, 1);
	struct gmig_job_info info;
	struct gmig_stats stats;

	if (!thp_or_skip())
		return;
	create(&options);
	atomic_store(&counting, true);
	spec.threads = threads[_i];
	spec.frames = GMIG_FRAMES_FRESH;
	rig_move(&rig, &spec, &info);
	ck_assert_uint_eq(info.moved_bytes, 2 * BYTES);
	ck_assert_uint_eq(info.extra_bytes_max, 64ull << 20);
	ck_assert_int_gt(atomic_load(&extra_most), 0);
	ck_assert_int_le(atomic_load(&extra_most), (long long)info.extra_bytes_max);
	gmig_stats(rig.gmig, &stats);
	ck_assert_uint_le(stats.extra_bytes_peak, info.extra_bytes_max);
	ck_assert_int_le(atomic_load(&extra_most), (long long)stats.extra_bytes_peak);
	ck_assert_uint_le(stats.extra_bytes, stats.extra_bytes_peak);
	printf("%u threads: %lld MiB\n", spec.threads, atomic_load(&extra_most) >> 20);
	rig_assert_clean(&rig);
	rig_destroy(&rig);
}
END_TEST

static struct gmig_job *start_job(unsigned int threads)
{
	struct gmig_job_spec spec = rig_spec(0, 1);
	struct gmig_error err;
	struct gmig_job *job;

	spec.threads = threads;
	spec.frames = GMIG_FRAMES_FRESH;
	ck_assert_msg(!gmig_job_start(rig.gmig, &spec, &job, &err), "%s", err.text);
	return job;
}

/* More threads than there were places in a table once; and frames for a few of them only. */
START_TEST(eighty_workers_with_frames_for_three_move_all)
{
	struct rig_options options = {.bytes = BYTES, .extra_bytes_max = 3 * GMIG_BLOCK_BYTES};
	struct gmig_job *jobs[5];
	uint64_t bytes[GMIG_MAX_NODES];

	create(&options);
	rig_start(&rig, 2);
	atomic_store(&counting, true);
	for (int i = 0; i < 5; i++)
		jobs[i] = start_job(16);
	for (int i = 0; i < 5; i++) {
		gmig_job_wait(jobs[i]);
		gmig_job_put(jobs[i]);
	}
	gmig_residency(rig.gmig, 0, bytes);
	ck_assert_uint_eq(bytes[1], BYTES);
	ck_assert_int_le(atomic_load(&extra_most), (long long)(3 * GMIG_BLOCK_BYTES));
	ck_assert_uint_eq(rig_stop(&rig), 0);
	ck_assert_uint_eq(rig_check_all(&rig), 0);
	rig_assert_clean(&rig);
	rig_destroy(&rig);
}
END_TEST

/* ---- Broken frames ---------------------------------------------------------------------------- */

/* A free frame for node 1 of which page 100 raises SIGBUS, in the pool of the first job's first worker. */
static void put_broken_frame(bool huge)
{
	struct frame_want want = {.node = 1, .worker = 5, .huge = huge};
	struct uffdio_poison poison = {.range = {.len = GMIG_PAGE_BYTES}};
	struct slot *slot;
	uint8_t *at;

	bits_fill(&want.need);
	ck_assert_int_eq(frame_take(rig.gmig->frames, &want, &slot), 0);
	at = slot->hva + 100 * GMIG_PAGE_BYTES;
	ck_assert_int_eq(madvise(at, GMIG_PAGE_BYTES, MADV_DONTNEED), 0);
	poison.range.start = (uintptr_t)at;
	ck_assert_int_eq(ioctl(frame_uffd(rig.gmig->frames), UFFDIO_POISON, &poison), 0);
	frame_give(rig.gmig->frames, slot);
}

START_TEST(broken_frame_costs_another_pass_and_no_page)
{
	struct rig_options options = {.bytes = BYTES, .small_pages = _i & 1};
	struct gmig_job_spec there = rig_spec(0, 1), back = rig_spec(1, 0);
	struct gmig_job_info info;
	struct gmig_stats stats;

	if (!(_i & 1) && !thp_or_skip())
		return;
	create(&options);
	put_broken_frame(!(_i & 1));
	rig_start(&rig, 2);
	there.mode = _i & 2 ? GMIG_MODE_BLOCK : GMIG_MODE_READABLE;
	rig_move(&rig, &there, &info);
	ck_assert_uint_eq(info.moved_bytes, BYTES);
	ck_assert_uint_eq(info.remaining_bytes, 0);
	ck_assert_uint_eq(info.thp_split, 0);
	ck_assert_uint_eq(info.passes, 2);
	gmig_stats(rig.gmig, &stats);
	ck_assert_uint_eq(stats.quarantine_bytes[1], GMIG_PAGE_BYTES);
	rig_move(&rig, &back, &info);
	ck_assert_uint_eq(info.moved_bytes, BYTES);
	rig_move(&rig, &there, &info);
	ck_assert_uint_eq(info.moved_bytes, BYTES);
	ck_assert_uint_eq(rig_stop(&rig), 0);
	ck_assert_uint_eq(rig_check_all(&rig), 0);
	rig_assert_clean(&rig);
	rig_destroy(&rig);
}
END_TEST

START_TEST(check_of_a_broken_free_frame_kills_nobody)
{
	struct rig_options options = {.bytes = BYTES, .small_pages = _i};
	struct gmig_stats stats;

	if (!_i && !thp_or_skip())
		return;
	create(&options);
	put_broken_frame(!_i);
	rig_assert_clean(&rig);
	gmig_stats(rig.gmig, &stats);
	ck_assert_uint_eq(stats.quarantine_bytes[1], GMIG_PAGE_BYTES);
	rig_destroy(&rig);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("extra");
	TCase *tcase = tcase_create("memory");

	tcase_set_timeout(tcase, 60);
	tcase_add_loop_test(tcase, extra_memory_is_bounded_whatever_the_number_of_threads, 0, 3);
	tcase_add_test(tcase, eighty_workers_with_frames_for_three_move_all);
	tcase_add_loop_test(tcase, broken_frame_costs_another_pass_and_no_page, 0, 4);
	tcase_add_loop_test(tcase, check_of_a_broken_free_frame_kills_nobody, 0, 2);
	suite_add_tcase(suite, tcase);
	return rig_main(suite);
}
