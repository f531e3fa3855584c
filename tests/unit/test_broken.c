/* Memory that cannot be read any more: its page stays, or is lost, and costs nobody else. */
#include "../../migrate/core/copy.h"
#include "../../migrate/gmig_discard.h"
#include "../../migrate/gmig_retire.h"
#include "../../migrate/memory/broken_pages.h"
#include "rig.h"

#include <errno.h>
#include <malloc.h>
#include <signal.h>
#include <sys/mman.h>

#define BYTES (16ull << 20)

/* The page breaks while the engine moves its block: when the right to write is taken, or (block)
 * when the pages go out. */
static struct {
	atomic_uintptr_t page;
	int uffd;
	int result;
} breaking;

/* What the engine has told of. */
static atomic_uint told;
static atomic_ullong told_gpa;

static void tell(void *opaque, uint64_t gpa)
{
	(void)opaque;
	atomic_fetch_add(&told, 1);
	atomic_store(&told_gpa, gpa);
}

static void assert_told_once(const struct rig *rig, uint64_t page)
{
	ck_assert_uint_eq(atomic_load(&told), 1);
	ck_assert_uint_eq(atomic_load(&told_gpa), page * GMIG_PAGE_BYTES);
	ck_assert_uint_eq(gmig_broken_bytes(rig->gmig), GMIG_PAGE_BYTES);
}

static void page_breaks(void)
{
	uintptr_t page = atomic_exchange(&breaking.page, 0);
	struct uffdio_poison poison = {.range = {page, GMIG_PAGE_BYTES}};

	madvise((void *)page, GMIG_PAGE_BYTES, MADV_DONTNEED);
	breaking.result = ioctl(breaking.uffd, UFFDIO_POISON, &poison) ? errno : 0;
}

static bool covers(uintptr_t start, size_t bytes)
{
	uintptr_t page = atomic_load(&breaking.page);

	return page && page >= start && page - start < bytes;
}

static int ioctl_breaking(int fd, unsigned long request, void *arg)
{
	if (request == UFFDIO_WRITEPROTECT) {
		const struct uffdio_writeprotect *protect = arg;

		if (protect->mode & UFFDIO_WRITEPROTECT_MODE_WP &&
		    covers(protect->range.start, protect->range.len))
			page_breaks();
	} else if (request == UFFDIO_MOVE) {
		const struct uffdio_move *move = arg;

		if (covers(move->src, move->len))
			page_breaks();
	}
	return gmig_sys_real.ioctl(fd, request, arg);
}

static void assert_all_but_one_moved(struct rig *rig, const struct gmig_job_info *info,
				     uint64_t broken)
{
	uint64_t wrong = 0;

	ck_assert_int_eq(info->state, GMIG_JOB_COMPLETED);
	ck_assert_uint_eq(info->moved_bytes, BYTES - GMIG_PAGE_BYTES);
	ck_assert_uint_eq(info->remaining_bytes, GMIG_PAGE_BYTES);
	ck_assert_uint_eq(info->remaining_count, 1);
	ck_assert_int_eq(info->remaining[0].error, EIO);
	ck_assert_uint_eq(atomic_load(&rig->fatal), 0);
	for (uint64_t page = 0; page < rig->pages; page++)
		if (page != broken)
			wrong += rig_check_page(rig, page);
	ck_assert_uint_eq(wrong, 0);
}

START_TEST(page_that_cannot_be_read_stays_and_costs_nobody_else)
{
	struct gmig_sys sys = gmig_sys_real;
	struct rig_options options = {
	    .bytes = BYTES, .small_pages = !(_i & 2), .sys = &sys, .memory_broke = tell};
	struct gmig_job_spec spec = rig_spec(0, 1);
	struct gmig_job_info info;
	uint64_t gpa = 0;
	sigset_t all;
	struct rig rig;

	/* as in a program whose threads leave signals to one of them */
	sigfillset(&all);
	pthread_sigmask(SIG_BLOCK, &all, NULL);
	sys.ioctl = ioctl_breaking;
	rig_create(&rig, &options);
	breaking.uffd = rig.gmig->vnodes[0].uffd;
	atomic_store(&breaking.page, (uintptr_t)rig_page(&rig, 300));
	spec.mode = _i & 1 ? GMIG_MODE_BLOCK : GMIG_MODE_READABLE;
	rig_move(&rig, &spec, &info);
	ck_assert_int_eq(breaking.result, 0);
	ck_assert_uint_eq(atomic_load(&breaking.page), 0);
	assert_all_but_one_moved(&rig, &info, 300);
	assert_told_once(&rig, 300);
	/* A second job meets it, too, and then the kernel tells of it. */
	spec = rig_spec(1, 0);
	rig_move(&rig, &spec, &info);
	ck_assert_int_eq(gmig_memory_broke(rig.gmig, rig_page(&rig, 300), &gpa), -EALREADY);
	assert_told_once(&rig, 300);
	rig_destroy(&rig);
}
END_TEST

/* Once a page is out, it breaks where it lies then. */
static int ioctl_breaking_outside(int fd, unsigned long request, void *arg)
{
	const struct uffdio_move *move = arg;
	int ret = gmig_sys_real.ioctl(fd, request, arg);

	if (request == UFFDIO_MOVE && !ret && covers(move->src, move->len)) {
		uintptr_t page = atomic_load(&breaking.page);

		atomic_store(&breaking.page, move->dst + (page - move->src));
		breaking.uffd = fd;
		page_breaks();
	}
	return ret;
}

static void read_word(void *arg)
{
	(void)*(const volatile uint64_t *)arg;
}

/*
 * A lazy job whose deadline is over before the page is out moves what it holds first: the place that breaks then is empty. How long
 * that takes depends on the machine: with more time it is tried again.
 */
static void move_until_page_breaks_outside(struct rig *rig, const struct rig_options *options,
					   struct gmig_job_spec *spec, struct gmig_job_info *info)
{
	for (;; spec->deadline_ns *= 4) {
		rig_create(rig, options);
		atomic_store(&breaking.page, (uintptr_t)rig_page(rig, 300));
		rig_move(rig, spec, info);
		if (info->moved_bytes != BYTES || !spec->deadline_ns ||
		    spec->deadline_ns > 10000000000ull)
			return;
		ck_assert_uint_eq(rig_check_all(rig), 0);
		ck_assert_uint_eq(atomic_load(&told), 0);
		rig_destroy(rig);
	}
}

START_TEST(page_that_breaks_while_it_is_out_hurts_its_reader_only)
{
	struct gmig_sys sys = gmig_sys_real;
	struct rig_options options = {
	    .bytes = BYTES, .small_pages = !(_i & 1), .sys = &sys, .memory_broke = tell};
	struct gmig_job_spec spec = rig_spec(0, 1);
	struct gmig_job_info info;
	struct gmig_stats stats;
	struct gmig_check check;
	uint64_t swapped;
	struct rig rig;

	sys.ioctl = ioctl_breaking_outside;
	spec.mode = _i & 2 ? GMIG_MODE_LAZY : GMIG_MODE_BLOCK;
	spec.deadline_ns = _i & 2 ? 100000000 : 0;
	move_until_page_breaks_outside(&rig, &options, &spec, &info);
	ck_assert_int_eq(breaking.result, 0);
	ck_assert_uint_eq(atomic_load(&breaking.page), 0);
	assert_all_but_one_moved(&rig, &info, 300);
	ck_assert(!copy_try(read_word, rig_page(&rig, 300)));
	gmig_stats(rig.gmig, &stats);
	ck_assert_uint_eq(stats.quarantine_bytes[0], GMIG_PAGE_BYTES);
	assert_told_once(&rig, 300);
	gmig_swapped(rig.gmig, 0, &swapped);
	ck_assert_uint_eq(swapped, GMIG_PAGE_BYTES);
	ck_assert_int_eq(gmig_check(rig.gmig, &check, NULL), 0);
	for (unsigned int i = 0; i < GMIG_INVARIANTS; i++)
		ck_assert_msg(!check.breach[i], "I%u: %s", i + 1, check.detail[i]);
	rig_destroy(&rig);
}
END_TEST

/* The kernel tells of it before anybody touches it. */
START_TEST(page_that_is_told_to_be_broken_is_counted_once)
{
	struct rig_options options = {.bytes = BYTES, .small_pages = _i, .memory_broke = tell};
	struct gmig_stats stats;
	uint64_t swapped, gpa = 0;
	struct rig rig;
	int local = 0;
	size_t done;

	rig_create(&rig, &options);
	ck_assert_int_eq(gmig_memory_broke(rig.gmig, rig_page(&rig, 300), &gpa), -ENOENT);
	breaking.uffd = rig.gmig->vnodes[0].uffd;
	atomic_store(&breaking.page, (uintptr_t)rig_page(&rig, 300));
	page_breaks();
	ck_assert_int_eq(gmig_memory_broke(rig.gmig, &local, &gpa), -EFAULT);
	ck_assert_int_eq(gmig_memory_broke(rig.gmig, (char *)rig_page(&rig, 300) + 64, &gpa), 0);
	ck_assert_uint_eq(gpa, 300 * GMIG_PAGE_BYTES);
	ck_assert_int_eq(gmig_memory_broke(rig.gmig, rig_page(&rig, 300), &gpa), -EALREADY);
	assert_told_once(&rig, 300);
	gmig_swapped(rig.gmig, 0, &swapped);
	ck_assert_uint_eq(swapped, GMIG_PAGE_BYTES);
	gmig_stats(rig.gmig, &stats);
	ck_assert_uint_eq(stats.page_bytes_2m, rig.gmig->thp ? BYTES - GMIG_BLOCK_BYTES : 0);
	/* What the guest gives back is whole when it comes again, and may break again. */
	ck_assert_int_eq(gmig_discard(rig.gmig, rig_page(&rig, 0), 2 * GMIG_BLOCK_BYTES, &done), 0);
	rig_write_page(&rig, 300);
	rig_settle(&rig);
	atomic_store(&breaking.page, (uintptr_t)rig_page(&rig, 300));
	page_breaks();
	ck_assert_int_eq(gmig_memory_broke(rig.gmig, rig_page(&rig, 300), &gpa), 0);
	ck_assert_uint_eq(atomic_load(&told), 2);
	rig_destroy(&rig);
}
END_TEST

/* To the kernel a broken page is in swap, and so it is to the books once they have been compared. */
START_TEST(page_known_to_be_broken_stays_with_eio_at_once)
{
	struct rig_options options = {
	    .bytes = BYTES, .small_pages = !(_i & 1), .memory_broke = tell};
	struct gmig_job_spec spec = rig_spec(0, 1);
	struct gmig_job_info info;
	uint64_t gpa = 0;
	struct rig rig;

	rig_create(&rig, &options);
	breaking.uffd = rig.gmig->vnodes[0].uffd;
	atomic_store(&breaking.page, (uintptr_t)rig_page(&rig, 300));
	page_breaks();
	ck_assert_int_eq(breaking.result, 0);
	rig_assert_clean(&rig);
	spec.mode = _i & 2 ? GMIG_MODE_BLOCK : GMIG_MODE_READABLE;
	rig_move(&rig, &spec, &info);
	assert_all_but_one_moved(&rig, &info, 300);
	ck_assert_uint_eq(info.passes, 1);
	/* It is in the books already when the kernel's word comes. */
	ck_assert_int_eq(gmig_memory_broke(rig.gmig, rig_page(&rig, 300), &gpa), 0);
	assert_told_once(&rig, 300);
	rig_destroy(&rig);
}
END_TEST

/* More than there is room for at first; malloc_usable_size(3) is what a list may have. */
START_TEST(many_broken_pages_are_each_known)
{
	struct broken_pages broken = {.gfn = NULL};

	broken_pages_init(&broken);
	for (uint64_t gfn = 0; gfn < 1000; gfn++)
		ck_assert(broken_pages_add(&broken, 7 * gfn));
	ck_assert_uint_ge(malloc_usable_size(broken.gfn), 1000 * sizeof(*broken.gfn));
	for (uint64_t gfn = 0; gfn < 1000; gfn++)
		ck_assert(!broken_pages_add(&broken, 7 * gfn));
	broken_pages_remove(&broken, 7, 1);
	ck_assert(broken_pages_add(&broken, 7));
	broken_pages_destroy(&broken);
}
END_TEST

static bool is_known(struct broken_pages *broken, uint64_t gfn)
{
	size_t count = atomic_load(&broken->count);

	for (size_t i = 0; i < count; i++)
		if (broken->gfn[i] == gfn)
			return true;
	return false;
}

START_TEST(broken_pages_given_back_are_forgotten_and_their_neighbours_not)
{
	struct broken_pages broken = {.gfn = NULL};

	broken_pages_init(&broken);
	broken_pages_remove(&broken, 0, UINT64_MAX); /* of none */
	for (uint64_t gfn = 10; gfn < 20; gfn++)
		ck_assert(broken_pages_add(&broken, gfn));
	broken_pages_remove(&broken, 13, 0);
	broken_pages_remove(&broken, 20, 5);
	broken_pages_remove(&broken, 5, 5);
	ck_assert_uint_eq(atomic_load(&broken.count), 10);
	broken_pages_remove(&broken, 13, 4);
	ck_assert_uint_eq(atomic_load(&broken.count), 6);
	for (uint64_t gfn = 10; gfn < 20; gfn++)
		ck_assert_int_eq(is_known(&broken, gfn), gfn < 13 || gfn >= 17);
	broken_pages_remove(&broken, 19, 1);
	ck_assert(!is_known(&broken, 19) && is_known(&broken, 18));
	broken_pages_remove(&broken, 0, UINT64_MAX);
	ck_assert_uint_eq(atomic_load(&broken.count), 0);
	ck_assert(broken_pages_add(&broken, 10));
	broken_pages_destroy(&broken);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("broken");
	TCase *tcase = tcase_create("memory");

	tcase_add_loop_test(tcase, page_that_cannot_be_read_stays_and_costs_nobody_else, 0, 4);
	tcase_add_loop_test(tcase, page_that_breaks_while_it_is_out_hurts_its_reader_only, 0, 4);
	tcase_add_loop_test(tcase, page_that_is_told_to_be_broken_is_counted_once, 0, 2);
	tcase_add_loop_test(tcase, page_known_to_be_broken_stays_with_eio_at_once, 0, 4);
	tcase_add_test(tcase, many_broken_pages_are_each_known);
	tcase_add_test(tcase, broken_pages_given_back_are_forgotten_and_their_neighbours_not);
	suite_add_tcase(suite, tcase);
	return rig_main(suite);
}
