/*
 * Blocks that a device transfers to: no job takes one, and a device takes none that a job has. The device of the last tests
 * is the kernel, which reads a file into a region by O_DIRECT, as it does for a disk of a guest.
 */
#include "../../migrate/gmig_dma.h"
#include "../../migrate/memory/claim.h"
#include "direct_io.h"
#include "rig.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <sys/mman.h>
#include <unistd.h>

#define BYTES	   (8ull << 20)
#define BLOCKS	   (BYTES / GMIG_BLOCK_BYTES)
#define FILE_PAGES 64u

static struct rig rig;

static void *page(uint64_t number)
{
	return (void *)(uintptr_t)rig_page(&rig, number);
}

static struct claim claim_of(uint64_t block_gfn)
{
	struct claim claim = {.gmig = rig.gmig,
			      .region = &rig.gmig->regions[0],
			      .block_gfn = block_gfn,
			      .from = 0,
			      .to = 1,
			      .owner = 7,
			      .memory = BOOKS_KERNEL};

	bits_fill(&claim.pages);
	return claim;
}

static bool takes(uint64_t block_gfn)
{
	struct claim_result nothing = {.stall = NULL};
	struct claim claim = claim_of(block_gfn);
	struct bits refused;

	claim_take(&claim, &refused);
	if (bits_empty(&claim.pages)) {
		ck_assert(bits_full(&refused));
		return false;
	}
	claim_settle(&claim, &nothing);
	return true;
}

/* ---- Marks ------------------------------------------------------------------------------------- */

START_TEST(busy_block_is_claimed_when_its_last_transfer_has_ended)
{
	struct gmig_stats stats;

	rig_create(&rig, &(struct rig_options){.bytes = BYTES, .small_pages = true});
	ck_assert_int_eq(gmig_dma_begin(rig.gmig, page(600), GMIG_PAGE_BYTES), 0);
	ck_assert_int_eq(gmig_dma_begin(rig.gmig, page(512), 100), 0);
	ck_assert(takes(0) && takes(1024) && !takes(512));
	gmig_stats(rig.gmig, &stats);
	ck_assert_uint_eq(stats.busy_blocks, 1);
	gmig_dma_end(rig.gmig, page(512), 100);
	ck_assert(!takes(512));
	gmig_dma_end(rig.gmig, page(600), GMIG_PAGE_BYTES);
	ck_assert(takes(512));
	gmig_stats(rig.gmig, &stats);
	ck_assert_uint_eq(stats.dma_begun, 2);
	ck_assert_uint_eq(stats.dma_refused, 0);
	ck_assert_uint_eq(stats.claims_busy, 2);
	ck_assert_uint_eq(stats.busy_blocks, 0);
	rig_assert_clean(&rig);
	rig_destroy(&rig);
}
END_TEST

START_TEST(transfer_over_blocks_of_which_one_is_claimed_is_refused_whole)
{
	struct claim_result nothing = {.stall = NULL};
	struct gmig_stats stats;
	struct claim claim;
	struct bits refused;

	rig_create(&rig, &(struct rig_options){.bytes = BYTES, .small_pages = true});
	claim = claim_of(1024);
	claim_take(&claim, &refused);
	ck_assert(bits_empty(&refused));
	ck_assert_int_eq(gmig_dma_begin(rig.gmig, page(600), 3 * GMIG_BLOCK_BYTES / 2), -EBUSY);
	ck_assert_int_eq(gmig_dma_begin(rig.gmig, page(1024 + 511), GMIG_PAGE_BYTES), -EBUSY);
	ck_assert(takes(512));
	claim_settle(&claim, &nothing);
	ck_assert_int_eq(gmig_dma_begin(rig.gmig, page(600), 3 * GMIG_BLOCK_BYTES / 2), 0);
	ck_assert(!takes(512) && !takes(1024) && takes(1536) && takes(0));
	gmig_stats(rig.gmig, &stats);
	ck_assert_uint_eq(stats.busy_blocks, 2);
	gmig_dma_end(rig.gmig, page(600), 3 * GMIG_BLOCK_BYTES / 2);
	ck_assert(takes(512) && takes(1024));
	gmig_stats(rig.gmig, &stats);
	ck_assert_uint_eq(stats.dma_begun, 1);
	ck_assert_uint_eq(stats.dma_refused, 2);
	rig_assert_clean(&rig);
	rig_destroy(&rig);
}
END_TEST

START_TEST(transfer_outside_of_a_region_is_refused)
{
	uint8_t other[8];

	rig_create(&rig, &(struct rig_options){.bytes = BYTES, .small_pages = true});
	ck_assert_int_eq(gmig_dma_begin(rig.gmig, page(0), 0), -EINVAL);
	ck_assert_int_eq(gmig_dma_begin(rig.gmig, other, sizeof(other)), -EFAULT);
	ck_assert_int_eq(gmig_dma_begin(rig.gmig, page(512), BYTES), -EFAULT);
	ck_assert_int_eq(gmig_dma_begin(rig.gmig, page(1), SIZE_MAX), -EFAULT);
	ck_assert(takes(0) && takes(512));
	rig_destroy(&rig);
}
END_TEST

static uint64_t later_ns;

static uint64_t now_later(void)
{
	return gmig_sys_real.now_ns() + later_ns;
}

/* A device that never rests: what the job wants it gets, and what it wants no more goes to the device again. */
START_TEST(block_that_a_job_was_refused_begins_no_transfer_for_a_while)
{
	struct gmig_sys sys = gmig_sys_real;

	sys.now_ns = now_later;
	later_ns = 0;
	rig_create(&rig, &(struct rig_options){.bytes = BYTES, .small_pages = true, .sys = &sys});
	ck_assert_int_eq(gmig_dma_begin(rig.gmig, page(0), 1), 0);
	ck_assert(!takes(0));
	ck_assert_int_eq(gmig_dma_begin(rig.gmig, page(0), 1), -EBUSY);
	ck_assert_int_eq(gmig_dma_begin(rig.gmig, page(512), 1), 0);
	gmig_dma_end(rig.gmig, page(0), 1);
	ck_assert_int_eq(gmig_dma_begin(rig.gmig, page(0), 1), -EBUSY);
	ck_assert(takes(0));
	ck_assert_int_eq(gmig_dma_begin(rig.gmig, page(0), 1), 0);
	ck_assert(!takes(0));
	later_ns = 60000000000ull;
	ck_assert_int_eq(gmig_dma_begin(rig.gmig, page(0), 1), 0);
	gmig_dma_end(rig.gmig, page(0), 1);
	ck_assert(!takes(0));
	gmig_dma_end(rig.gmig, page(0), 1);
	gmig_dma_end(rig.gmig, page(512), 1);
	rig_destroy(&rig);
}
END_TEST

/* Blocks of one stripe lie 512 MiB apart. */
START_TEST(stripe_without_room_refuses_until_a_transfer_ends)
{
	const uint64_t step = ENGINE_STRIPES * GMIG_BLOCK_BYTES;
	uint8_t *ram;

	rig_create(&rig, &(struct rig_options){.bytes = (ENGINE_BUSY + 1) * step,
					       .untouched = true,
					       .small_pages = true});
	ram = page(0);
	for (uint64_t i = 0; i < ENGINE_BUSY; i++)
		ck_assert_int_eq(gmig_dma_begin(rig.gmig, ram + i * step, 4096), 0);
	ck_assert_int_eq(gmig_dma_begin(rig.gmig, ram + ENGINE_BUSY * step, 4096), -EBUSY);
	ck_assert_int_eq(gmig_dma_begin(rig.gmig, ram + step, 4096), 0);
	gmig_dma_end(rig.gmig, ram + step, 4096);
	gmig_dma_end(rig.gmig, ram + step, 4096);
	ck_assert_int_eq(gmig_dma_begin(rig.gmig, ram + ENGINE_BUSY * step, 4096), 0);
	ck_assert_int_eq(gmig_dma_begin(rig.gmig, ram + step, 4096), -EBUSY);
	rig_destroy(&rig);
}
END_TEST

START_TEST(job_says_while_it_runs_what_it_could_not_move_so_far)
{
	struct gmig_job_spec spec = rig_spec(0, 1);
	struct gmig_job_info info;
	struct gmig_error err;
	struct gmig_job *job;

	rig_create(&rig, &(struct rig_options){.bytes = 4 * BYTES, .small_pages = _i});
	ck_assert_int_eq(gmig_dma_begin(rig.gmig, page(0), 4096), 0);
	spec.rate_bytes_per_second = 8ull << 20; /* far from its end when we look */
	ck_assert_int_eq(gmig_job_start(rig.gmig, &spec, &job, &err), 0);
	do {
		usleep(1000);
		gmig_job_info(job, &info);
		ck_assert_int_eq(info.state <= GMIG_JOB_RUNNING, true);
	} while (!info.remaining_count);
	ck_assert_uint_eq(info.remaining_count, 1);
	ck_assert_int_eq(info.remaining[0].error, EBUSY);
	ck_assert_uint_eq(info.remaining[0].pages, GMIG_BLOCK_PAGES);
	ck_assert_int_eq(gmig_job_cancel(job), 0);
	gmig_job_wait(job);
	gmig_job_put(job);
	gmig_dma_end(rig.gmig, page(0), 4096);
	rig_assert_clean(&rig);
	rig_destroy(&rig);
}
END_TEST

START_TEST(block_that_stays_busy_is_what_remains_of_a_job)
{
	struct gmig_job_spec spec = rig_spec(0, 1);
	struct gmig_job_info info;

	rig_create(&rig, &(struct rig_options){.bytes = BYTES, .small_pages = _i});
	ck_assert_int_eq(gmig_dma_begin(rig.gmig, page(700), 4096), 0);
	rig_move(&rig, &spec, &info);
	ck_assert_int_eq(info.state, GMIG_JOB_COMPLETED);
	ck_assert_uint_eq(info.passes, GMIG_MAX_PASSES);
	ck_assert_uint_eq(info.remaining_bytes, GMIG_BLOCK_BYTES);
	ck_assert_uint_eq(info.remaining_count, 1);
	ck_assert_int_eq(info.remaining[0].error, EBUSY);
	rig_assert_clean(&rig);
	gmig_dma_end(rig.gmig, page(700), 4096);
	rig_move(&rig, &spec, &info);
	ck_assert_uint_eq(info.moved_bytes, GMIG_BLOCK_BYTES);
	ck_assert_uint_eq(rig_check_all(&rig), 0);
	rig_assert_clean(&rig);
	rig_destroy(&rig);
}
END_TEST

START_TEST(audit_finds_a_device_at_a_block_that_is_claimed)
{
	struct claim_result nothing = {.stall = NULL};
	struct gmig_check check;
	struct gmig_error err;
	struct stripe *stripe;
	struct claim claim;
	struct bits refused;

	rig_create(&rig, &(struct rig_options){.bytes = BYTES, .small_pages = true});
	stripe = engine_stripe(rig.gmig, 512);
	claim = claim_of(512);
	claim_take(&claim, &refused);
	stripe->busy[stripe->busy_count++] = (struct busy_block){.gfn = 512, .transfers = 1};
	ck_assert_int_eq(gmig_check(rig.gmig, &check, &err), 0);
	ck_assert(check.breach[1]);
	ck_assert_str_eq(check.detail[1], "a device transfers to block 0x200 while it is moved");
	claim_settle(&claim, &nothing);
	ck_assert_int_eq(gmig_check(rig.gmig, &check, &err), 0);
	ck_assert(!check.breach[1]);
	rig_destroy(&rig);
}
END_TEST

/* ---- A device ---------------------------------------------------------------------------------- */

/* Page n of the file has n in all of its words. */
static struct {
	int fd;
	uint64_t *bounce;
	unsigned int rounds, direct, bounced;
	uint64_t lost;
	atomic_bool done;
} device;

static void device_open(void)
{
	char path[] = "device-XXXXXX";
	int fd = mkostemp(path, O_DIRECT);

	device.fd = fd;
	device.bounce =
	    mmap(NULL, GMIG_PAGE_BYTES, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	ck_assert_ptr_ne(device.bounce, MAP_FAILED);
	ck_assert_int_ge(fd, 0);
	unlink(path);
	for (uint64_t n = 0; n < FILE_PAGES; n++) {
		for (unsigned int i = 0; i < RIG_WORDS; i++)
			device.bounce[i] = n;
		ck_assert_int_eq(
		    pwrite(fd, device.bounce, GMIG_PAGE_BYTES, (off_t)(n * GMIG_PAGE_BYTES)),
		    GMIG_PAGE_BYTES);
	}
}

static void device_close(void)
{
	close(device.fd);
	munmap(device.bounce, GMIG_PAGE_BYTES);
}

/* As a disk does: into the guest's page if it may, else to a page of its own, and from there by the processor. */
static void device_reads(uint64_t n, uint64_t to)
{
	off_t at = (off_t)(n * GMIG_PAGE_BYTES);

	if (!gmig_dma_begin(rig.gmig, page(to), GMIG_PAGE_BYTES)) {
		ck_assert_int_eq(pread(device.fd, page(to), GMIG_PAGE_BYTES, at), GMIG_PAGE_BYTES);
		gmig_dma_end(rig.gmig, page(to), GMIG_PAGE_BYTES);
		device.direct++;
		return;
	}
	ck_assert_int_eq(pread(device.fd, device.bounce, GMIG_PAGE_BYTES, at), GMIG_PAGE_BYTES);
	for (unsigned int i = 0; i < RIG_WORDS; i++)
		atomic_store_explicit(&rig_page(&rig, to)[i], device.bounce[i],
				      memory_order_relaxed);
	device.bounced++;
}

/* One page of each block, near its begin, where the copy is early: it is looked at before it is written again. */
static void *device_thread(void *arg)
{
	uint64_t stamp[BLOCKS], seed = 1;

	(void)arg;
	for (uint64_t block = 0; block < BLOCKS; block++)
		stamp[block] = UINT64_MAX;
	for (unsigned int round = 0; round < device.rounds; round++) {
		uint64_t block, at;

		seed = seed * 6364136223846793005ull + 1442695040888963407ull;
		block = seed >> 33;
		block %= BLOCKS;
		at = block * GMIG_BLOCK_PAGES + 3;
		device.lost += stamp[block] != UINT64_MAX && rig_page(&rig, at)[17] != stamp[block];
		stamp[block] = (stamp[block] + 1) % FILE_PAGES;
		device_reads(stamp[block], at);
	}
	for (uint64_t block = 0; block < BLOCKS; block++)
		device.lost += stamp[block] != UINT64_MAX &&
			       rig_page(&rig, block * GMIG_BLOCK_PAGES + 3)[17] != stamp[block];
	atomic_store(&device.done, true);
	return NULL;
}

/* The soak asks for more. */
static unsigned int rounds(unsigned int usual)
{
	const char *asked = getenv("GMIG_DMA_ROUNDS");

	return asked ? (unsigned int)strtoul(asked, NULL, 10) : usual;
}

START_TEST(device_that_reads_into_blocks_that_move_back_and_forth_loses_nothing)
{
	const enum gmig_mode modes[] = {GMIG_MODE_READABLE, GMIG_MODE_AUTO, GMIG_MODE_BLOCK};
	struct rig_options options = {.bytes = BYTES, .small_pages = _i & 1};
	struct gmig_job_spec there = rig_spec(0, 1), back = rig_spec(1, 0);
	struct gmig_job_info info;
	uint64_t moved = 0;
	pthread_t thread;

	device_open();
	/* Huge pages in `readable`: the one way in which most would be lost. */
	device.rounds = rounds(_i ? 300 : 1500);
	device.direct = device.bounced = 0;
	device.lost = 0;
	atomic_store(&device.done, false);
	there.mode = back.mode = modes[_i / 2];
	rig_create(&rig, &options);
	ck_assert_int_eq(pthread_create(&thread, NULL, device_thread, NULL), 0);
	for (bool home = false; !atomic_load(&device.done); home = !home) {
		rig_move(&rig, home ? &back : &there, &info);
		ck_assert_int_eq(info.state, GMIG_JOB_COMPLETED);
		moved += info.moved_bytes;
	}
	pthread_join(thread, NULL);
	ck_assert_uint_eq(device.lost, 0);
	ck_assert_uint_eq(device.direct + device.bounced, device.rounds);
	ck_assert_uint_gt(device.direct, 0);
	ck_assert_uint_ge(moved, BYTES);
	rig_assert_clean(&rig);
	rig_destroy(&rig);
	device_close();
}
END_TEST

/* ---- The moment -------------------------------------------------------------------------------- */

/* A block is claimed and about to be protected when a device wants to write to it. */
static struct {
	atomic_uintptr_t page;
	atomic_bool asked;
	atomic_int answer;
	pthread_t thread;
} moment;

static void *device_at_the_moment(void *arg)
{
	(void)arg;
	int ret = gmig_dma_begin(rig.gmig, page(512), GMIG_PAGE_BYTES);

	if (!ret)
		gmig_dma_end(rig.gmig, page(512), GMIG_PAGE_BYTES);
	atomic_store(&moment.answer, ret);
	atomic_store(&moment.asked, true);
	device_reads(7, 512);
	return NULL;
}

static bool reaches(uint64_t start, uint64_t bytes)
{
	uintptr_t at = atomic_load(&moment.page);

	return at && at >= start && at - start < bytes;
}

static int ioctl_at_the_moment(int fd, unsigned long request, void *arg)
{
	const struct uffdio_writeprotect *protect = arg;

	if (request == UFFDIO_WRITEPROTECT && protect->mode & UFFDIO_WRITEPROTECT_MODE_WP &&
	    reaches(protect->range.start, protect->range.len)) {
		atomic_store(&moment.page, 0);
		ck_assert_int_eq(pthread_create(&moment.thread, NULL, device_at_the_moment, NULL),
				 0);
		while (!atomic_load(&moment.asked))
			sched_yield();
	}
	return gmig_sys_real.ioctl(fd, request, arg);
}

START_TEST(device_that_begins_when_its_block_is_claimed_is_refused_and_loses_nothing)
{
	struct gmig_sys sys = gmig_sys_real;
	struct rig_options options = {.bytes = BYTES, .small_pages = _i, .sys = &sys};
	struct gmig_job_spec spec = rig_spec(0, 1);
	struct gmig_job_info info;

	device_open();
	device.direct = device.bounced = 0;
	sys.ioctl = ioctl_at_the_moment;
	spec.mode = GMIG_MODE_READABLE;
	rig_create(&rig, &options);
	atomic_store(&moment.asked, false);
	atomic_store(&moment.page, (uintptr_t)page(512));
	rig_publish(&rig);
	rig_move(&rig, &spec, &info);
	ck_assert_uint_eq(info.moved_bytes, BYTES);
	ck_assert_uint_eq(atomic_load(&moment.page), 0);
	pthread_join(moment.thread, NULL);
	ck_assert_int_eq(atomic_load(&moment.answer), -EBUSY);
	ck_assert_uint_eq(rig_page(&rig, 512)[17], 7);
	rig_write_page(&rig, 512);
	ck_assert_uint_eq(rig_check_all(&rig), 0);
	rig_assert_clean(&rig);
	rig_destroy(&rig);
	device_close();
}
END_TEST

/* Memory that is not there yet comes with the pin. */
START_TEST(device_that_reads_into_untouched_memory_gets_it)
{
	rig_create(&rig,
		   &(struct rig_options){.bytes = BYTES, .untouched = true, .small_pages = _i});
	device_open();
	device.direct = device.bounced = 0;
	device_reads(5, 512 + 9);
	ck_assert_uint_eq(device.direct, 1);
	ck_assert_uint_eq(rig_page(&rig, 512 + 9)[17], 5);
	rig_settle(&rig);
	rig_assert_clean(&rig);
	rig_destroy(&rig);
	device_close();
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("busy");
	TCase *marks = tcase_create("marks"), *devices = tcase_create("devices");

	tcase_set_timeout(marks, 60);
	tcase_set_timeout(devices, 300);
	tcase_add_test(marks, busy_block_is_claimed_when_its_last_transfer_has_ended);
	tcase_add_test(marks, transfer_over_blocks_of_which_one_is_claimed_is_refused_whole);
	tcase_add_test(marks, transfer_outside_of_a_region_is_refused);
	tcase_add_test(marks, block_that_a_job_was_refused_begins_no_transfer_for_a_while);
	tcase_add_test(marks, stripe_without_room_refuses_until_a_transfer_ends);
	tcase_add_loop_test(marks, job_says_while_it_runs_what_it_could_not_move_so_far, 0, 2);
	tcase_add_loop_test(marks, block_that_stays_busy_is_what_remains_of_a_job, 0, 2);
	tcase_add_test(marks, audit_finds_a_device_at_a_block_that_is_claimed);
	suite_add_tcase(suite, marks);
	if (has_direct()) {
		tcase_add_loop_test(
		    devices, device_that_reads_into_blocks_that_move_back_and_forth_loses_nothing,
		    0, 6);
		tcase_add_loop_test(
		    devices,
		    device_that_begins_when_its_block_is_claimed_is_refused_and_loses_nothing, 0,
		    2);
		tcase_add_loop_test(devices, device_that_reads_into_untouched_memory_gets_it, 0, 2);
		suite_add_tcase(suite, devices);
	} else {
		puts("skip cases with a device - this directory's file system has no O_DIRECT");
	}
	return rig_main(suite);
}
