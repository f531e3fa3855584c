/* Mode lazy, of blocks of small pages: what of them has no memory, and what comes back at a time. */
#include "lazy_rig.h"

#include <linux/userfaultfd.h>
#include <sys/mman.h>

/* ---- A page without memory, in a block that waits -------------------------------------------------------- */

#define HOLE (GMIG_BLOCK_PAGES + 100)
static struct {
	atomic_bool armed;
	pthread_t toucher;
	atomic_bool back;
	uint64_t read;
} hole;

static void *touch_hole(void *arg)
{
	const rig_word *page = rig_page(&rig, HOLE);

	(void)arg;
	hole.read = page[0];
	atomic_store(&hole.back, true);
	return NULL;
}

/* The first block's turn has come: somebody throws away a page of the second one, as the kernel does with one full of zeros. */
static int ioctl_throw_away(int fd, unsigned long request, void *arg)
{
	const struct uffdio_writeprotect *protect = arg;
	const struct uffdio_move *move = arg;
	uintptr_t first = (uintptr_t)rig.ram;
	bool begins =
	    (request == UFFDIO_MOVE && move->src - first < GMIG_BLOCK_BYTES) ||
	    (request == UFFDIO_WRITEPROTECT && protect->range.start - first < GMIG_BLOCK_BYTES);

	if (begins && atomic_exchange(&hole.armed, false))
		ck_assert_int_eq(
		    madvise((void *)rig_page(&rig, HOLE), GMIG_PAGE_BYTES, MADV_DONTNEED), 0);
	return gmig_sys_real.ioctl(fd, request, arg);
}

/* 0: any access moves a block; 1: a write. */
START_TEST(page_without_memory_is_no_trap_while_its_block_waits)
{
	struct gmig_sys sys = gmig_sys_real;
	const struct rig_options options = {.bytes = BYTES, .small_pages = true, .sys = &sys};
	struct gmig_job_spec spec = lazy_spec(_i ? 3 : 1);
	struct gmig_job_info info;

	sys.ioctl = ioctl_throw_away;
	rig_create(&rig, &options);
	atomic_store(&hole.armed, true);
	start(&spec);
	await_waiting(BLOCKS);
	ck_assert(!atomic_load(&hole.armed));
	ck_assert_int_eq(pthread_create(&hole.toucher, NULL, touch_hole, NULL), 0);
	while (!atomic_load(&hole.back))
		wait_on();
	pthread_join(hole.toucher, NULL);
	ck_assert_uint_eq(hole.read, 0);
	ck_assert_uint_eq(info_now().lazy.waiting, BLOCKS);
	/* What came since is the guest's, and stays when the rest of the block comes back. */
	rig.counter[HOLE]++;
	rig_write_page(&rig, HOLE);
	write_block(1);
	await_moved(GMIG_BLOCK_BYTES - GMIG_PAGE_BYTES);
	rig_settle(&rig);
	assert_present(1, 1);
	gmig_job_cancel(job);
	end_job(GMIG_JOB_CANCELLED, &info);
	ck_assert_uint_eq(info.moved_bytes, GMIG_BLOCK_BYTES - GMIG_PAGE_BYTES);
	ck_assert_uint_eq(info.gone_bytes, GMIG_PAGE_BYTES);
	finish();
}
END_TEST

/* ---- A stall budget --------------------------------------------------------------------------------------- */

#define PAGES_AT_ONCE 10 /* of a budget of 20 us, before anything is known */
static struct {
	atomic_bool armed;
	atomic_ullong first;	    /* page that left the slot, or its place, first */
	atomic_uint moves, longest; /* pages */
} parts;

/* What comes back from a slot, or (write) leaves its place. */
static int ioctl_count_parts(int fd, unsigned long request, void *arg)
{
	const struct uffdio_move *move = arg;
	uintptr_t first = (uintptr_t)rig.ram, at;

	if (request == UFFDIO_MOVE && atomic_load(&parts.armed)) {
		at = (move->dst - first < BYTES ? move->dst : move->src) - first;
		if (!atomic_fetch_add(&parts.moves, 1))
			atomic_store(&parts.first, at / GMIG_PAGE_BYTES);
		if (move->len / GMIG_PAGE_BYTES > atomic_load(&parts.longest))
			atomic_store(&parts.longest, (unsigned int)(move->len / GMIG_PAGE_BYTES));
	}
	return gmig_sys_real.ioctl(fd, request, arg);
}

START_TEST(stall_budget_brings_a_block_in_parts_and_the_touched_page_first)
{
	struct gmig_sys sys = gmig_sys_real;
	const struct rig_options options = {.bytes = BYTES, .small_pages = true, .sys = &sys};
	struct gmig_job_spec spec = lazy_spec(_i ? 3 : 1);
	struct gmig_job_info info;

	sys.ioctl = ioctl_count_parts;
	rig_create(&rig, &options);
	spec.max_stall_ns = 2000 * PAGES_AT_ONCE;
	start(&spec);
	await_waiting(BLOCKS);
	atomic_store(&parts.armed, true);
	write_block(3);
	await_moved(GMIG_BLOCK_BYTES);
	atomic_store(&parts.armed, false);
	ck_assert_uint_eq(atomic_load(&parts.first), 3 * GMIG_BLOCK_PAGES + 200);
	ck_assert_uint_eq(atomic_load(&parts.longest), PAGES_AT_ONCE);
	assert_present(3, 1);
	gmig_job_cancel(job);
	end_job(GMIG_JOB_CANCELLED, &info);
	ck_assert_uint_eq(info.moved_bytes, GMIG_BLOCK_BYTES);
	ck_assert_uint_ge(info.stall.count, 1);
	finish();
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("lazy_parts");
	TCase *tcase = tcase_create("parts");

	tcase_set_timeout(tcase, 30);
	tcase_add_loop_test(tcase, page_without_memory_is_no_trap_while_its_block_waits, 0, 2);
	tcase_add_loop_test(tcase, stall_budget_brings_a_block_in_parts_and_the_touched_page_first,
			    0, 2);
	suite_add_tcase(suite, tcase);
	return rig_main(suite);
}
