/* Mode lazy: what of a block has no memory, what comes back at a time, a target without memory, debuggers, locked memory. */
#include "lazy_rig.h"

#include <linux/userfaultfd.h>
#include <sys/mman.h>
#include <sys/uio.h>
#include <unistd.h>

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

/* ---- A target that is full ---------------------------------------------------------------------------------- */

static atomic_bool is_full;

static int advise_full(void *memory, size_t bytes, int advice)
{
	if (advice == MADV_POPULATE_WRITE && atomic_load(&is_full))
		return -ENOMEM;
	return gmig_sys_real.advise(memory, bytes, advice);
}

START_TEST(target_without_memory_gives_back_what_is_touched)
{
	struct gmig_sys sys = gmig_sys_real;
	const struct rig_options options = {
	    .bytes = BYTES, .small_pages = is_small(_i), .sys = &sys};
	struct gmig_job_spec spec = lazy_spec(_i);
	struct gmig_job_info info;

	sys.advise = advise_full;
	rig_create(&rig, &options);
	atomic_store(&is_full, true);
	spec.frames = GMIG_FRAMES_FRESH;
	start(&spec);
	await_waiting(BLOCKS);
	for (unsigned int block = 0; block < BLOCKS; block++)
		write_block(block);
	end_job(GMIG_JOB_COMPLETED, &info);
	ck_assert_uint_eq(info.moved_bytes, 0);
	ck_assert_uint_eq(info.remaining_bytes, BYTES);
	ck_assert_uint_eq(info.remaining_count, 1);
	ck_assert_int_eq(info.remaining[0].error, ENOMEM);
	ck_assert_uint_eq(info.lazy.given_back, BLOCKS);
	assert_all_present(0);
	/* Not for good. */
	atomic_store(&is_full, false);
	spec.deadline_ns = 1;
	start(&spec);
	end_job(GMIG_JOB_COMPLETED, &info);
	ck_assert_uint_eq(info.moved_bytes, BYTES);
	finish();
}
END_TEST

/* ---- A debugger, and memory that is locked ---------------------------------------------------------------- */

START_TEST(debugger_that_reads_a_block_that_waits_finds_its_content)
{
	struct gmig_job_spec spec = lazy_spec(_i);
	rig_word *page;
	uint64_t words[2] = {~0ull, ~0ull};
	struct gmig_job_info info;
	struct iovec to = {words, sizeof(words)}, from = {.iov_len = sizeof(words)};

	begin(_i, 0);
	page = rig_page(&rig, 3 * GMIG_BLOCK_PAGES + 200);
	from.iov_base = (void *)page;
	start(&spec);
	await_waiting(BLOCKS);
	ck_assert_int_eq(process_vm_readv(getpid(), &to, 1, &from, 1, 0), sizeof(words));
	ck_assert_uint_eq(words[0], 3 * GMIG_BLOCK_PAGES + 200);
	if (spec.lazy == GMIG_LAZY_ANY)
		await_moved(GMIG_BLOCK_BYTES);
	ck_assert_int_eq(process_vm_writev(getpid(), &to, 1, &from, 1, 0), sizeof(words));
	await_moved(GMIG_BLOCK_BYTES);
	assert_present(3, 1);
	gmig_job_cancel(job);
	end_job(GMIG_JOB_CANCELLED, &info);
	finish();
}
END_TEST

START_TEST(memory_that_is_locked_waits_and_moves)
{
	struct gmig_job_spec spec = lazy_spec(_i);
	struct gmig_job_info info;

	if (mlockall(MCL_CURRENT | MCL_FUTURE)) {
		skip_case("mlockall(2) is refused");
		return;
	}
	begin(_i, 0);
	start(&spec);
	await_waiting(BLOCKS);
	for (unsigned int block = 0; block < BLOCKS / 2; block++)
		write_block(block);
	await_moved(BYTES / 2);
	gmig_job_cancel(job);
	end_job(GMIG_JOB_CANCELLED, &info);
	ck_assert_uint_eq(info.moved_bytes, BYTES / 2);
	finish();
	munlockall();
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
	tcase_add_loop_test(tcase, target_without_memory_gives_back_what_is_touched, 0, FORMS);
	tcase_add_loop_test(tcase, debugger_that_reads_a_block_that_waits_finds_its_content, 0,
			    FORMS);
	tcase_add_loop_test(tcase, memory_that_is_locked_waits_and_moves, 0, FORMS);
	suite_add_tcase(suite, tcase);
	return rig_main(suite);
}
