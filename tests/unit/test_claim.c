/* Claims: each is settled once, whatever happened meanwhile, and nobody who slept on it is forgotten. */
#include "../../migrate/jobs/job_list.h"
#include "../../migrate/memory/claim.h"
#include "../../migrate/memory/ledger.h"
#include "no_tables.h"
#include "rig.h"

#include <errno.h>
#include <sched.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#define BYTES (8ull << 20)

static struct rig rig;

static struct claim claim_of(uint64_t block_gfn, unsigned int first, unsigned int count, bool huge)
{
	struct claim claim = {.gmig = rig.gmig,
			      .region = &rig.gmig->regions[0],
			      .block_gfn = block_gfn,
			      .huge = huge,
			      .from = 0,
			      .to = 1,
			      .owner = 7,
			      .memory = BOOKS_KERNEL};

	bits_set_range(&claim.pages, first, count);
	return claim;
}

static void take(struct claim *claim)
{
	struct bits refused;

	claim_take(claim, &refused);
	ck_assert(bits_empty(&refused));
}

/* ---- Sleepers ---------------------------------------------------------------------------------- */

static void sleep_on(uint64_t gfn, int tid)
{
	struct stripe *stripe = engine_stripe(rig.gmig, gfn);
	struct sleeper *sleeper = malloc(sizeof(*sleeper));

	*sleeper =
	    (struct sleeper){stripe->sleepers, gfn, gmig_sys_real.now_ns(), tid, false, false};
	stripe->sleepers = sleeper;
	atomic_fetch_add(&rig.gmig->sleepers, 1);
}

START_TEST(claim_settled_ends_the_sleep_on_its_own_pages_only)
{
	struct claim_result nothing = {.stall = NULL};
	struct claim first, second;
	struct gmig_stats stats;

	rig_create(&rig, &(struct rig_options){.bytes = BYTES, .small_pages = true});
	first = claim_of(512, 0, 256, false);
	second = claim_of(512, 256, 256, false);
	take(&first);
	take(&second);
	sleep_on(512 + 100, 1001);
	sleep_on(512 + 300, 1002);
	claim_settle(&first, &nothing);
	gmig_stats(rig.gmig, &stats);
	ck_assert_uint_eq(stats.sleepers, 1);
	ck_assert_uint_eq(stats.stall.count, 1);
	claim_settle(&second, &nothing);
	gmig_stats(rig.gmig, &stats);
	ck_assert_uint_eq(stats.sleepers, 0);
	ck_assert_uint_eq(stats.stall.count, 2);
	rig_assert_clean(&rig);
	rig_destroy(&rig);
}
END_TEST

START_TEST(part_that_is_over_ends_the_sleep_on_its_pages_and_is_known)
{
	struct claim_result nothing = {.stall = NULL};
	struct stripe *stripe;
	struct claim claim;
	struct gmig_stats stats;

	rig_create(&rig, &(struct rig_options){.bytes = BYTES, .small_pages = true});
	claim = claim_of(512, 0, 512, false);
	take(&claim);
	sleep_on(512 + 100, 1001);
	sleep_on(512 + 300, 1002);
	claim_part_over(&claim, 64, 64, NULL);
	gmig_stats(rig.gmig, &stats);
	ck_assert_uint_eq(stats.sleepers, 1);
	ck_assert_uint_eq(claim.slept.threads, 1);
	stripe = engine_stripe(rig.gmig, 512);
	pthread_mutex_lock(&stripe->lock);
	ck_assert(claim_is_over(stripe, 512 + 64) && claim_is_over(stripe, 512 + 127));
	ck_assert(!claim_is_over(stripe, 512 + 63) && !claim_is_over(stripe, 512 + 128));
	pthread_mutex_unlock(&stripe->lock);
	claim_settle(&claim, &nothing);
	gmig_stats(rig.gmig, &stats);
	ck_assert_uint_eq(stats.sleepers, 0);
	ck_assert_uint_eq(claim.slept.threads, 2);
	ck_assert_uint_ge(claim.slept.ns, claim.slept.longest_ns);
	ck_assert(!claim_is_over(stripe, 512 + 64));
	rig_assert_clean(&rig);
	rig_destroy(&rig);
}
END_TEST

/* The page becomes a hole while its block is moved, and somebody touches it. */
static struct {
	atomic_uintptr_t page;
	bool after; /* it was brought in; else: before it goes out */
	_Atomic(struct gmig_job *) job;
	pthread_t thread;
} hole;

static void *touch(void *arg)
{
	rig_word *word = arg;

	atomic_store(word, 4711);
	return NULL;
}

static void page_is_discarded_and_touched(uintptr_t page)
{
	madvise((void *)page, GMIG_PAGE_BYTES, MADV_DONTNEED);
	ck_assert_int_eq(pthread_create(&hole.thread, NULL, touch, (uint64_t *)page + 9), 0);
	while (!atomic_load(&rig.gmig->sleepers))
		sched_yield();
	/* No later pass comes by to wake it. */
	gmig_job_cancel(atomic_load(&hole.job));
}

static bool is_in(uintptr_t page, uint64_t start, uint64_t bytes)
{
	return page && page >= start && page - start < bytes;
}

static int ioctl_with_hole(int fd, unsigned long request, void *arg)
{
	const struct uffdio_move *move = arg;
	uintptr_t page = atomic_load(&hole.page);
	int ret;

	if (request != UFFDIO_MOVE || !is_in(page, hole.after ? move->dst : move->src, move->len))
		return gmig_sys_real.ioctl(fd, request, arg);
	while (!atomic_load(&hole.job))
		sched_yield();
	atomic_store(&hole.page, 0);
	if (!hole.after) {
		page_is_discarded_and_touched(page);
		return gmig_sys_real.ioctl(fd, request, arg);
	}
	ret = gmig_sys_real.ioctl(fd, request, arg);
	page_is_discarded_and_touched(page);
	return ret;
}

START_TEST(thread_that_sleeps_on_a_page_that_was_discarded_is_woken)
{
	struct gmig_sys sys = gmig_sys_real;
	struct rig_options options = {.bytes = BYTES, .small_pages = _i & 1, .sys = &sys};
	struct gmig_job_spec spec = rig_spec(0, 1);
	struct timespec deadline;
	struct gmig_error err;
	struct gmig_job *job;

	sys.ioctl = ioctl_with_hole;
	hole.after = _i & 4;
	rig_create(&rig, &options);
	atomic_store(&hole.page, (uintptr_t)rig_page(&rig, 700));
	spec.mode = _i & 2 ? GMIG_MODE_BLOCK : GMIG_MODE_READABLE;
	ck_assert_int_eq(gmig_job_start(rig.gmig, &spec, &job, &err), 0);
	atomic_store(&hole.job, job);
	gmig_job_wait(job);
	ck_assert_uint_eq(atomic_load(&hole.page), 0);
	clock_gettime(CLOCK_REALTIME, &deadline);
	deadline.tv_sec += 20;
	ck_assert_int_eq(pthread_timedjoin_np(hole.thread, NULL, &deadline), 0);
	ck_assert_uint_eq(rig_page(&rig, 700)[9], 4711);
	rig_write_page(&rig, 700);
	ck_assert_uint_eq(rig_check_all(&rig), 0);
	gmig_job_put(job);
	rig_assert_clean(&rig);
	rig_destroy(&rig);
}
END_TEST

/* ---- A hole that the mover's own reader meets ---------------------------------------------------- */

static struct {
	atomic_uintptr_t page; /* discarded when its block is protected */
	atomic_bool wrote;
	pthread_t writer;
} zeroed;

static void *write_late(void *arg)
{
	rig_word *word = arg;

	atomic_store(word, 4711);
	atomic_store(&zeroed.wrote, true);
	return NULL;
}

/* The page is a hole, filled with zeros for the reader; once they are copied, a guest writes to it. */
static int ioctl_with_reader(int fd, unsigned long request, void *arg)
{
	const struct uffdio_writeprotect *protect = arg;
	const struct uffdio_move *move = arg;
	uintptr_t page = atomic_load(&zeroed.page);
	int ret;

	if (request == UFFDIO_MOVE && is_in(page, move->src, move->len)) {
		atomic_store(&zeroed.page, 0);
		ck_assert_int_eq(
		    pthread_create(&zeroed.writer, NULL, write_late, (uint64_t *)page + 9), 0);
		while (!atomic_load(&zeroed.wrote) && !atomic_load(&rig.gmig->sleepers))
			sched_yield();
	}
	/* The block has been looked at before: it was whole then. */
	if (request == UFFDIO_MOVE || request != UFFDIO_WRITEPROTECT ||
	    !(protect->mode & UFFDIO_WRITEPROTECT_MODE_WP) ||
	    !is_in(page, protect->range.start, protect->range.len))
		return gmig_sys_real.ioctl(fd, request, arg);
	ret = gmig_sys_real.ioctl(fd, request, arg);
	madvise((void *)page, GMIG_PAGE_BYTES, MADV_DONTNEED);
	return ret;
}

START_TEST(write_to_a_page_that_was_filled_for_the_copy_is_not_lost)
{
	struct gmig_sys sys = gmig_sys_real;
	struct rig_options options = {.bytes = BYTES, .small_pages = true, .sys = &sys};
	struct gmig_job_spec spec = rig_spec(0, 1);
	struct gmig_job_info info;

	sys.ioctl = ioctl_with_reader;
	rig_create(&rig, &options);
	atomic_store(&zeroed.page, (uintptr_t)rig_page(&rig, 700));
	rig_move(&rig, &spec, &info);
	ck_assert_uint_eq(atomic_load(&zeroed.page), 0);
	pthread_join(zeroed.writer, NULL);
	ck_assert_uint_eq(rig_page(&rig, 700)[8], 0);
	ck_assert_uint_eq(rig_page(&rig, 700)[9], 4711);
	rig_write_page(&rig, 700);
	ck_assert_uint_eq(rig_check_all(&rig), 0);
	rig_assert_clean(&rig);
	rig_destroy(&rig);
}
END_TEST

/* ---- Halfway ----------------------------------------------------------------------------------- */

START_TEST(claim_settled_halfway_keeps_the_books_even_without_memory_for_its_split)
{
	const struct shadow_alloc alloc = {table_alloc, table_release};
	struct claim_result half = {.stall = NULL};
	uint64_t bytes[GMIG_MAX_NODES];
	struct claim claim;

	if (!thp_or_skip())
		return;
	rig_create(&rig, &(struct rig_options){.bytes = BYTES, .untouched = true});
	shadow_destroy(rig.gmig->shadow);
	ck_assert_int_eq(shadow_create(&alloc, &rig.gmig->shadow), 0);
	ck_assert_int_eq(shadow_reserve(rig.gmig->shadow, 0, rig.pages), 0);
	rig_publish(&rig);
	for (uint64_t page = 0; page < rig.pages; page++)
		rig_write_page(&rig, page);
	rig_settle(&rig);
	claim = claim_of(512, 0, GMIG_BLOCK_PAGES, true);
	take(&claim);
	bits_set_range(&half.moved, 0, 100);
	atomic_store(&no_tables, _i);
	claim_settle(&claim, &half);
	atomic_store(&no_tables, false);
	gmig_residency(rig.gmig, 0, bytes);
	ck_assert_uint_eq(bytes[0] + bytes[1], BYTES);
	ck_assert_uint_eq(bytes[1], _i ? GMIG_BLOCK_BYTES : 100 * GMIG_PAGE_BYTES);
	rig_assert_clean(&rig);
	rig_destroy(&rig);
}
END_TEST

/* A file's peer punches a hole into a huge page that stays where it is: only what is in the hole has gone. */
START_TEST(claim_of_a_huge_page_that_stays_but_for_a_hole_keeps_the_rest)
{
	const struct shadow_alloc alloc = {table_alloc, table_release};
	struct claim_result result = {.stall = NULL};
	uint64_t bytes[GMIG_MAX_NODES];
	struct claim claim;

	if (!thp_or_skip())
		return;
	rig_create(&rig, &(struct rig_options){.bytes = BYTES, .untouched = true});
	shadow_destroy(rig.gmig->shadow);
	ck_assert_int_eq(shadow_create(&alloc, &rig.gmig->shadow), 0);
	ck_assert_int_eq(shadow_reserve(rig.gmig->shadow, 0, rig.pages), 0);
	rig_publish(&rig);
	for (uint64_t page = 0; page < rig.pages; page++)
		rig_write_page(&rig, page);
	rig_settle(&rig);
	claim = claim_of(512, 0, GMIG_BLOCK_PAGES, true);
	take(&claim);
	bits_set_range(&result.gone, 5, 2);
	madvise((void *)(uintptr_t)rig_page(&rig, 512 + 5), 2 * GMIG_PAGE_BYTES, MADV_DONTNEED);
	atomic_store(&no_tables, _i);
	claim_settle(&claim, &result);
	atomic_store(&no_tables, false);
	gmig_residency(rig.gmig, 0, bytes);
	/* Without memory for the split, the audit finds the hole. */
	ck_assert_uint_eq(bytes[0], BYTES - (_i ? 0 : 2 * GMIG_PAGE_BYTES));
	rig_assert_clean(&rig);
	gmig_residency(rig.gmig, 0, bytes);
	ck_assert_uint_eq(bytes[0], BYTES - 2 * GMIG_PAGE_BYTES);
	rig_destroy(&rig);
}
END_TEST

static atomic_uint calls_on_nothing;

static int ioctl_counted(int fd, unsigned long request, void *arg)
{
	if (fd < 0)
		atomic_fetch_add(&calls_on_nothing, 1);
	return gmig_sys_real.ioctl(fd, request, arg);
}

/* It would fail, and be tried for milliseconds, for each block that moves. */
START_TEST(claim_settled_of_memory_without_a_userfaultfd_wakes_nobody)
{
	struct claim_result nothing = {.stall = NULL};
	struct gmig_sys sys = gmig_sys_real;
	struct gmig_check check;
	struct claim claim;

	sys.ioctl = ioctl_counted;
	rig_create(
	    &rig, &(struct rig_options){
		      .bytes = BYTES, .kind = GMIG_REGION_MEMFD, .small_pages = true, .sys = &sys});
	ck_assert_int_eq(gmig_check(rig.gmig, &check, NULL), 0);
	claim = claim_of(512, 0, 256, false);
	take(&claim);
	atomic_store(&calls_on_nothing, 0);
	claim_settle(&claim, &nothing);
	ck_assert_uint_eq(atomic_load(&calls_on_nothing), 0);
	rig_assert_clean(&rig);
	rig_destroy(&rig);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("claim");
	TCase *tcase = tcase_create("claim");

	tcase_set_timeout(tcase, 60);
	tcase_add_test(tcase, claim_settled_ends_the_sleep_on_its_own_pages_only);
	tcase_add_test(tcase, part_that_is_over_ends_the_sleep_on_its_pages_and_is_known);
	tcase_add_loop_test(tcase, thread_that_sleeps_on_a_page_that_was_discarded_is_woken, 0, 8);
	tcase_add_test(tcase, write_to_a_page_that_was_filled_for_the_copy_is_not_lost);
	tcase_add_loop_test(
	    tcase, claim_settled_halfway_keeps_the_books_even_without_memory_for_its_split, 0, 2);
	tcase_add_loop_test(tcase, claim_of_a_huge_page_that_stays_but_for_a_hole_keeps_the_rest, 0,
			    2);
	tcase_add_test(tcase, claim_settled_of_memory_without_a_userfaultfd_wakes_nobody);
	suite_add_tcase(suite, tcase);
	return rig_main(suite);
}
