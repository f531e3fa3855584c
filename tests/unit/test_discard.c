/* Memory that a guest gives back: it is the host's, it reads as zeros, and neither a job nor the books miss it. */
#include "../../migrate/core/uffd.h"
#include "../../migrate/gmig_discard.h"
#include "../../migrate/gmig_dma.h"
#include "../../migrate/gmig_heat.h"
#include "../../migrate/memory/claim.h"
#include "../../migrate/memory/region.h"
#include "rig.h"

#include <errno.h>
#include <sched.h>
#include <sys/mman.h>

#define BYTES  (8ull << 20)
#define BLOCKS (BYTES / GMIG_BLOCK_BYTES)
#define BLOCK  GMIG_BLOCK_PAGES

static struct rig rig;
static struct gmig_sys sys;

static int discard(uint64_t page, uint64_t pages, size_t *done)
{
	return gmig_discard(rig.gmig, (const void *)rig_page(&rig, page), pages * GMIG_PAGE_BYTES,
			    done);
}

static void expect(int wanted, uint64_t page, uint64_t pages, size_t wanted_pages)
{
	size_t done;

	ck_assert_int_eq(discard(page, pages, &done), wanted);
	ck_assert_uint_eq(done, wanted_pages * GMIG_PAGE_BYTES);
}

static uint64_t resident(void)
{
	uint64_t bytes[GMIG_MAX_NODES], sum = 0;

	ck_assert_int_eq(gmig_residency(rig.gmig, 0, bytes), 0);
	for (unsigned int node = 0; node < GMIG_MAX_NODES; node++)
		sum += bytes[node];
	return sum / GMIG_PAGE_BYTES;
}

/* Of the region, by the kernel. */
static unsigned int present(uint64_t block)
{
	struct region *region = &rig.gmig->regions[0];
	struct uffd_scan scan;

	ck_assert_int_eq(region->kind->scan(rig.gmig, region, block * BLOCK, &scan), 0);
	return bits_count(&scan.present);
}

static void expect_zeros(uint64_t page, uint64_t pages)
{
	for (uint64_t i = page; i < page + pages; i++)
		for (unsigned int word = 0; word < RIG_WORDS; word += 63)
			ck_assert_uint_eq(atomic_load(rig_page(&rig, i) + word), 0);
}

/* Written anew, so that all of the guest is as its counters say. */
static void end(uint64_t page, uint64_t pages)
{
	for (uint64_t i = page; i < page + pages; i++)
		rig_write_page(&rig, i);
	ck_assert_uint_eq(rig_check_all(&rig), 0);
	rig_settle(&rig);
	rig_assert_clean(&rig);
	rig_destroy(&rig);
}

static void start(bool small)
{
	rig_create(&rig, &(struct rig_options){.bytes = BYTES, .small_pages = small});
}

START_TEST(block_that_is_given_back_is_gone_and_reads_as_zeros)
{
	struct gmig_stats stats;

	start(_i);
	expect(0, BLOCK, BLOCK, BLOCK);
	ck_assert_uint_eq(resident(), (BLOCKS - 1) * BLOCK);
	ck_assert_uint_eq(present(1), 0);
	rig_assert_clean(&rig);
	expect(0, BLOCK, BLOCK, BLOCK); /* again: there is nothing */
	expect_zeros(BLOCK, BLOCK);
	rig_settle(&rig);
	ck_assert_uint_eq(resident(), BLOCKS * BLOCK);
	gmig_stats(rig.gmig, &stats);
	/* Given back as one, it came back as one. */
	if (rig.gmig->thp)
		ck_assert_uint_eq(stats.page_bytes_4k, 0);
	end(BLOCK, BLOCK);
}
END_TEST

static atomic_bool no_new_memory;

static int advise_with_old(void *memory, size_t bytes, int advice)
{
	if (advice == MADV_POPULATE_WRITE && atomic_load(&no_new_memory))
		return -ENOMEM;
	return gmig_sys_real.advise(memory, bytes, advice);
}

/*
 * What was in a frame before is never seen again by whom it serves next: after moves the free frames are full of what the guest has
 * written, and what is given back and touched anew is made of them, or of new memory.
 */
START_TEST(old_frames_serve_new_memory_without_what_was_in_them)
{
	struct gmig_job_info info;
	struct gmig_stats stats;
	uint64_t pooled;

	if (!_i && !thp_or_skip())
		return;
	atomic_store(&no_new_memory, false);
	sys = gmig_sys_real;
	sys.advise = advise_with_old;
	rig_create(&rig, &(struct rig_options){.bytes = BYTES, .small_pages = _i, .sys = &sys});
	for (unsigned int from = 0; from < 3; from++) {
		struct gmig_job_spec spec = rig_spec(from % 2, 1 - from % 2);

		spec.mode = from == 1 ? GMIG_MODE_BLOCK : GMIG_MODE_READABLE;
		rig_move(&rig, &spec, &info);
		rig_assert_moved_all(&info, BYTES);
	}
	gmig_stats(rig.gmig, &stats);
	pooled = stats.pool_bytes[0] + stats.pool_bytes[1];
	ck_assert_uint_gt(pooled, 0);
	atomic_store(&no_new_memory, true);
	expect(0, BLOCK, 2 * BLOCK, 2 * BLOCK);
	expect(0, 5, 3, 3);
	expect_zeros(BLOCK, 2 * BLOCK);
	gmig_stats(rig.gmig, &stats);
	/* Old ones were taken, but for small pages, which the kernel makes anew. */
	if (!_i)
		ck_assert_uint_lt(stats.pool_bytes[0] + stats.pool_bytes[1], pooled);
	atomic_store(&no_new_memory, false);
	expect_zeros(5, 3);
	/* New memory moves as what it is, too. */
	expect(0, BLOCK, BLOCK, BLOCK);
	rig_settle(&rig);
	for (unsigned int node = 0; node < 2; node++) {
		struct gmig_job_spec spec = rig_spec(node, 1 - node);

		rig_move(&rig, &spec, &info);
	}
	expect_zeros(BLOCK, 2 * BLOCK);
	expect_zeros(5, 3);
	for (uint64_t page = 5; page < 8; page++)
		rig_write_page(&rig, page);
	end(BLOCK, 2 * BLOCK);
}
END_TEST

/* The kernel splits the huge page before a part of it goes: else all of it would stay. */
static atomic_int advices[2]; /* MADV_COLD, MADV_DONTNEED */

static int advise_noted(void *memory, size_t bytes, int advice)
{
	if (advice == MADV_COLD)
		atomic_fetch_add(&advices[0], 1);
	if (advice == MADV_DONTNEED && atomic_load(&advices[0]))
		atomic_fetch_add(&advices[1], 1);
	return gmig_sys_real.advise(memory, bytes, advice);
}

START_TEST(part_of_a_huge_block_is_given_back_and_the_rest_stays)
{
	struct gmig_stats stats;

	if (!thp_or_skip())
		return;
	sys = gmig_sys_real;
	sys.advise = advise_noted;
	rig_create(&rig, &(struct rig_options){.bytes = BYTES, .sys = &sys});
	atomic_store(&advices[0], 0);
	atomic_store(&advices[1], 0);
	expect(0, BLOCK + 100, 30, 30);
	ck_assert_int_ge(atomic_load(&advices[0]), 1);
	ck_assert_int_ge(atomic_load(&advices[1]), 1);
	ck_assert_uint_eq(resident(), BLOCKS * BLOCK - 30);
	ck_assert_uint_eq(present(1), BLOCK - 30);
	gmig_stats(rig.gmig, &stats);
	ck_assert_uint_eq(stats.page_bytes_4k, (BLOCK - 30) * GMIG_PAGE_BYTES);
	for (uint64_t i = BLOCK; i < 2 * BLOCK; i++)
		if (i < BLOCK + 100 || i >= BLOCK + 130)
			ck_assert_uint_eq(rig_check_page(&rig, i), 0);
	rig_assert_clean(&rig);
	expect_zeros(BLOCK + 100, 30);
	end(BLOCK + 100, 30);
}
END_TEST

static void expect_heat(uint64_t hot_blocks, uint64_t unknown_blocks)
{
	struct gmig_heat heat;

	ck_assert_uint_eq(gmig_heat(rig.gmig, 0, &heat, 1), 1);
	ck_assert_uint_eq(heat.hot_bytes, hot_blocks * GMIG_BLOCK_BYTES);
	ck_assert_uint_eq(heat.unknown_bytes, unknown_blocks * GMIG_BLOCK_BYTES);
}

/* What comes into it next may be used otherwise; of the rest of a block that is still known. */
START_TEST(heat_of_a_block_is_forgotten_with_the_last_of_its_memory)
{
	const struct gmig_heat_share all = {0, BYTES, 900000, 0};
	struct gmig_error err;

	start(_i);
	ck_assert_int_eq(gmig_heat_report(rig.gmig, &all, 1, NULL, &err), 0);
	expect_heat(BLOCKS, 0);
	expect(0, 3 * BLOCK, BLOCK / 2, BLOCK / 2);
	expect_heat(BLOCKS, 0);
	expect(0, 3 * BLOCK + BLOCK / 2, BLOCK / 2, BLOCK / 2);
	expect_heat(BLOCKS - 1, 1);
	expect(0, 1 * BLOCK, 2 * BLOCK, 2 * BLOCK);
	expect_heat(BLOCKS - 3, 3);
	end(1 * BLOCK, 3 * BLOCK);
}
END_TEST

START_TEST(run_over_many_blocks_is_given_back)
{
	start(_i);
	expect(0, BLOCK / 2, 2 * BLOCK, 2 * BLOCK);
	ck_assert_uint_eq(resident(), (BLOCKS - 2) * BLOCK);
	ck_assert_uint_eq(present(1), 0);
	ck_assert_uint_eq(present(2), BLOCK / 2);
	rig_assert_clean(&rig);
	expect_zeros(BLOCK / 2, 2 * BLOCK);
	end(BLOCK / 2, 2 * BLOCK);
}
END_TEST

START_TEST(what_is_no_memory_of_the_guest_is_refused)
{
	const uint8_t *ram;
	size_t done;

	start(false);
	ram = (const uint8_t *)rig_page(&rig, 0);
	ck_assert_int_eq(gmig_discard(rig.gmig, ram, 0, &done), -EINVAL);
	ck_assert_int_eq(gmig_discard(rig.gmig, ram, 100, &done), -EINVAL);
	ck_assert_int_eq(gmig_discard(rig.gmig, ram + 8, GMIG_PAGE_BYTES, &done), -EINVAL);
	ck_assert_int_eq(gmig_discard(rig.gmig, ram + BYTES, GMIG_PAGE_BYTES, &done), -EFAULT);
	ck_assert_int_eq(gmig_discard(rig.gmig, ram - GMIG_PAGE_BYTES, GMIG_PAGE_BYTES, &done),
			 -EFAULT);
	expect(-EFAULT, 4 * BLOCK - 1, 2, 0);
	expect(-EFAULT, 0, UINT64_MAX / GMIG_PAGE_BYTES, 0);
	ck_assert_uint_eq(resident(), BLOCKS * BLOCK);
	end(0, 0);
}
END_TEST

/* ---- Blocks that somebody has -------------------------------------------------------------------- */

START_TEST(block_that_a_job_holds_waits_for_it)
{
	struct claim claim = {.to = 1, .owner = 7, .memory = BOOKS_KERNEL};
	struct claim_result nothing = {.stall = NULL};
	struct bits refused;

	start(_i);
	claim.gmig = rig.gmig;
	claim.region = &rig.gmig->regions[0];
	claim.block_gfn = BLOCK;
	claim.huge = rig.gmig->thp;
	bits_fill(&claim.pages);
	claim_take(&claim, &refused);
	ck_assert(bits_empty(&refused));
	expect(-EBUSY, BLOCK + 3, 1, 0);
	expect(-EBUSY, 0, 3 * BLOCK, BLOCK); /* as far as it goes */
	ck_assert_uint_eq(rig_check_page(&rig, BLOCK + 3), 0);
	claim_settle(&claim, &nothing);
	expect(0, BLOCK, BLOCK, BLOCK);
	ck_assert_uint_eq(resident(), (BLOCKS - 2) * BLOCK);
	end(0, 2 * BLOCK);
}
END_TEST

/* A page that nobody holds, and that the table has as held: its content may be in a slot. */
START_TEST(page_that_was_forgotten_while_it_was_moved_stays)
{
	struct stripe *stripe;
	struct books_event event = {.change = {.gfn = BLOCK + 5, .event = SHADOW_CLAIM, .node = 1},
				    .memory = BOOKS_KERNEL};

	start(true);
	event.region = &rig.gmig->regions[0];
	stripe = engine_stripe(rig.gmig, BLOCK);
	pthread_mutex_lock(&stripe->lock);
	ck_assert_int_eq(books_change(rig.gmig, &event, NULL), 0);
	pthread_mutex_unlock(&stripe->lock);
	expect(-EBUSY, BLOCK + 4, 3, 0);
	expect(0, BLOCK + 6, 3, 3);
	pthread_mutex_lock(&stripe->lock);
	event.change.event = SHADOW_PUTBACK;
	ck_assert_int_eq(books_change(rig.gmig, &event, NULL), 0);
	pthread_mutex_unlock(&stripe->lock);
	end(BLOCK + 6, 3);
}
END_TEST

START_TEST(block_that_a_device_transfers_to_waits_for_it)
{
	const void *page;

	start(_i);
	page = (const void *)rig_page(&rig, BLOCK + 9);
	ck_assert_int_eq(gmig_dma_begin(rig.gmig, page, 512), 0);
	expect(-EBUSY, BLOCK, BLOCK, 0);
	expect(0, 0, BLOCK, BLOCK);
	gmig_dma_end(rig.gmig, page, 512);
	expect(0, BLOCK, BLOCK, BLOCK);
	end(0, 2 * BLOCK);
}
END_TEST

/* ---- While a job runs ------------------------------------------------------------------------------ */

static atomic_int met; /* moves */

/* At the job's first move its block is refused, and another one, which its plan has, is given back. */
static int ioctl_between(int fd, unsigned long request, void *arg)
{
	const struct uffdio_move *move = arg;
	uint64_t block = request == UFFDIO_MOVE
			     ? (move->src - (uintptr_t)rig_page(&rig, 0)) / GMIG_BLOCK_BYTES
			     : BLOCKS;

	if (block < BLOCKS && !atomic_fetch_add(&met, 1)) {
		expect(-EBUSY, block * BLOCK, BLOCK, 0);
		expect(0, (BLOCKS - 1) * BLOCK, BLOCK, BLOCK);
		expect(0, (BLOCKS - 2) * BLOCK, 10, 10);
	}
	return gmig_sys_real.ioctl(fd, request, arg);
}

START_TEST(job_does_not_copy_what_was_given_back_meanwhile)
{
	struct gmig_job_spec spec = rig_spec(0, 1);
	struct gmig_job_info info;

	sys = gmig_sys_real;
	sys.ioctl = ioctl_between;
	atomic_store(&met, 0);
	rig_create(&rig, &(struct rig_options){.bytes = BYTES, .small_pages = _i & 1, .sys = &sys});
	spec.mode = _i & 2 ? GMIG_MODE_BLOCK : GMIG_MODE_READABLE;
	rig_move(&rig, &spec, &info);
	ck_assert_int_ge(atomic_load(&met), 1);
	ck_assert_int_eq(info.state, GMIG_JOB_COMPLETED);
	ck_assert_uint_eq(info.total_bytes, BYTES);
	ck_assert_uint_eq(info.gone_bytes, (BLOCK + 10) * GMIG_PAGE_BYTES);
	ck_assert_uint_eq(info.moved_bytes, BYTES - info.gone_bytes);
	ck_assert_uint_eq(info.remaining_bytes, 0);
	ck_assert_uint_eq(resident(), (BLOCKS - 1) * BLOCK - 10);
	rig_assert_clean(&rig);
	/* The next one does not even plan them. */
	spec = rig_spec(1, 0);
	rig_move(&rig, &spec, &info);
	ck_assert_uint_eq(info.total_bytes, BYTES - (BLOCK + 10) * GMIG_PAGE_BYTES);
	expect_zeros((BLOCKS - 1) * BLOCK, BLOCK);
	for (uint64_t i = 0; i < 10; i++)
		rig_write_page(&rig, (BLOCKS - 2) * BLOCK + i);
	end((BLOCKS - 1) * BLOCK, BLOCK);
}
END_TEST

/* Nobody touches anything: a lazy job would have its blocks wait for ever. */
START_TEST(block_that_waits_for_a_touch_is_let_go)
{
	struct gmig_job_spec spec = rig_spec(0, 1);
	struct shadow_entry entry = {.state = SHADOW_NONE};
	struct gmig_job *job;
	uint64_t block = 0;
	size_t done;

	start(_i);
	spec.mode = GMIG_MODE_LAZY;
	ck_assert_int_eq(gmig_job_start(rig.gmig, &spec, &job, NULL), 0);
	for (unsigned int i = 0; entry.state != SHADOW_HINT; i++) {
		ck_assert_uint_lt(i, 2000000);
		block = i % BLOCKS;
		ck_assert_int_eq(shadow_lookup(rig.gmig->shadow, block * BLOCK, &entry), 0);
		sched_yield();
	}
	while (discard(block * BLOCK, BLOCK, &done) == -EBUSY)
		sched_yield();
	gmig_job_cancel(job);
	gmig_job_wait(job);
	gmig_job_put(job);
	ck_assert_uint_eq(resident(), (BLOCKS - 1) * BLOCK);
	end(block * BLOCK, BLOCK);
}
END_TEST

/* Two blocks are given back and touched again as fast as that goes, while jobs move everything to and fro. */
static atomic_bool giver_ends;

static void *give_and_touch(void *arg)
{
	unsigned long *given = arg;

	for (unsigned int round = 0; !atomic_load(&giver_ends); round++) {
		uint64_t page = round % 2 * BLOCK + round * 37 % 256, pages = 1 + round * 61 % 256;
		size_t done;
		int ret;

		if (round % 8 == 0)
			page = round % 16 / 8 * BLOCK, pages = BLOCK;
		ret = discard(page, pages, &done);
		ck_assert(!ret || ret == -EBUSY);
		*given += done / GMIG_PAGE_BYTES;
		for (uint64_t i = page; i < page + pages; i += 7)
			atomic_store(rig_page(&rig, i), round);
	}
	return NULL;
}

START_TEST(pages_that_come_and_go_while_all_moves_leave_the_books_right)
{
	struct gmig_job_spec spec;
	struct gmig_job_info info;
	unsigned long given = 0;
	pthread_t giver;

	start(_i);
	atomic_store(&giver_ends, false);
	ck_assert_int_eq(pthread_create(&giver, NULL, give_and_touch, &given), 0);
	for (unsigned int i = 0; i < 8; i++) {
		spec = rig_spec(i % 2, 1 - i % 2);
		rig_move(&rig, &spec, &info);
		ck_assert_uint_eq(info.total_bytes, info.moved_bytes + info.remaining_bytes +
							info.gone_bytes + info.by_others_bytes);
	}
	atomic_store(&giver_ends, true);
	pthread_join(giver, NULL);
	ck_assert_uint_gt(given, 0);
	end(0, 2 * BLOCK);
}
END_TEST

/* ---- Other kinds ----------------------------------------------------------------------------------- */

START_TEST(memory_with_a_file_gets_a_hole_that_peers_see)
{
	struct gmig_region_file file;
	uint64_t *peer;

	rig_create(&rig,
		   &(struct rig_options){.bytes = BYTES, .real = true, .kind = GMIG_REGION_MEMFD});
	ck_assert_int_eq(gmig_region_file(rig.gmig, 0, &file), 0);
	peer = mmap(NULL, BYTES, PROT_READ, MAP_SHARED, file.fd, 0);
	ck_assert_ptr_ne(peer, MAP_FAILED);
	ck_assert_uint_ne(peer[(BLOCK + 6) * RIG_WORDS + 5], 0);
	expect(0, BLOCK + 1, 200, 200);
	expect(0, 2 * BLOCK, BLOCK, BLOCK);
	ck_assert_uint_eq(peer[(BLOCK + 6) * RIG_WORDS + 5], 0);
	ck_assert_uint_eq(peer[2 * BLOCK * RIG_WORDS + 5], 0);
	ck_assert_uint_ne(peer[(BLOCK + 201) * RIG_WORDS + 5], 0);
	munmap(peer, BYTES);
	for (uint64_t i = 0; i < 200; i++)
		rig_write_page(&rig, BLOCK + 1 + i);
	end(2 * BLOCK, BLOCK);
}
END_TEST

START_TEST(plain_memory_is_given_back_too)
{
	struct gmig_topology *topology;
	const struct gmig_region_spec region = {.bytes = BYTES};
	struct gmig_options options = {.plain = true};
	unsigned char there[BYTES / GMIG_PAGE_BYTES];
	size_t done, count = 0;
	struct gmig *gmig;
	void *ram;

	ck_assert_int_eq(gmig_topology_create(2, &topology, NULL), 0);
	options.topology = topology;
	ck_assert_int_eq(gmig_create(&options, &gmig, NULL), 0);
	ck_assert_int_eq(gmig_region_add(gmig, &region, &ram, NULL), 0);
	memset(ram, 1, BYTES);
	ck_assert_int_eq(gmig_discard(gmig, (uint8_t *)ram + GMIG_PAGE_BYTES, BYTES / 2, &done), 0);
	ck_assert_uint_eq(done, BYTES / 2);
	ck_assert_int_eq(mincore(ram, BYTES, there), 0);
	for (size_t i = 0; i < sizeof(there); i++)
		count += there[i] & 1;
	ck_assert_uint_eq(count, BYTES / 2 / GMIG_PAGE_BYTES);
	gmig_destroy(gmig);
	gmig_topology_put(topology);
}
END_TEST

/* A region of huge pages, without the host's pool: only what is asked is of interest. */
START_TEST(less_than_a_page_of_hugetlbfs_is_refused)
{
	start(false);
	rig.gmig->regions[0].hugetlb = true;
	expect(-EOPNOTSUPP, BLOCK + 1, 1, 0);
	expect(-EOPNOTSUPP, BLOCK, BLOCK + 1, BLOCK);
	rig.gmig->regions[0].hugetlb = false;
	end(BLOCK, BLOCK);
}
END_TEST

static Suite *suite(void)
{
	Suite *suite = suite_create("discard");
	TCase *tcase = tcase_create("discard");

	tcase_set_timeout(tcase, 60);

	tcase_add_loop_test(tcase, block_that_is_given_back_is_gone_and_reads_as_zeros, 0, 2);
	tcase_add_loop_test(tcase, old_frames_serve_new_memory_without_what_was_in_them, 0, 2);
	tcase_add_test(tcase, part_of_a_huge_block_is_given_back_and_the_rest_stays);
	tcase_add_loop_test(tcase, heat_of_a_block_is_forgotten_with_the_last_of_its_memory, 0, 2);
	tcase_add_loop_test(tcase, run_over_many_blocks_is_given_back, 0, 2);
	tcase_add_test(tcase, what_is_no_memory_of_the_guest_is_refused);
	tcase_add_loop_test(tcase, block_that_a_job_holds_waits_for_it, 0, 2);
	tcase_add_test(tcase, page_that_was_forgotten_while_it_was_moved_stays);
	tcase_add_loop_test(tcase, block_that_a_device_transfers_to_waits_for_it, 0, 2);
	tcase_add_loop_test(tcase, job_does_not_copy_what_was_given_back_meanwhile, 0, 4);
	tcase_add_loop_test(tcase, block_that_waits_for_a_touch_is_let_go, 0, 2);
	tcase_add_loop_test(tcase, pages_that_come_and_go_while_all_moves_leave_the_books_right, 0,
			    2);
	tcase_add_test(tcase, memory_with_a_file_gets_a_hole_that_peers_see);
	tcase_add_test(tcase, plain_memory_is_given_back_too);
	tcase_add_test(tcase, less_than_a_page_of_hugetlbfs_is_refused);
	suite_add_tcase(suite, tcase);
	return suite;
}

int main(void)
{
	return rig_main(suite());
}
