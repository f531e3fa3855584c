/* Regions whose owner maps and moves them: a device with a bank of memory on each node, beside RAM and alone. */
#include "../../migrate/core/uffd.h"
#include "../../migrate/gmig_discard.h"
#include "../../migrate/gmig_heat.h"
#include "../../migrate/gmig_move.h"
#include "../../migrate/gmig_policy.h"
#include "../../migrate/gmig_region.h"
#include "../../migrate/gmig_retire.h"
#include "rig.h"

#include <errno.h>
#include <limits.h>
#include <sched.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define BLOCKS 4u
#define BYTES  (BLOCKS * GMIG_BLOCK_BYTES)
#define PAGES  (BYTES / GMIG_PAGE_BYTES)
#define RAM    (2 * GMIG_BLOCK_BYTES)
#define NONE   0xff

/* ---- The device ------------------------------------------------------------------------------------- */

static struct {
	uint8_t *memory;
	atomic_uchar bank[PAGES]; /* the node of each page; NONE: it has not been written */
	atomic_uint calls, asked;
	atomic_int busy; /* so often a page is said to be busy */
	uint64_t forget; /* says nothing of this page, but leaves it; UINT64_MAX: of none */
	int refuse;	 /* of a whole call */
	int strange;	 /* a query says this of page 0, if it is not 0 */
	int lie; /* migrate() says this of each page, and leaves it; 0: it tells the truth */
} device;

static int device_query(void *opaque, uint64_t offset, size_t pages, int *status)
{
	uint64_t first = offset / GMIG_PAGE_BYTES;

	ck_assert_ptr_eq(opaque, &device);
	ck_assert_uint_eq(offset % GMIG_PAGE_BYTES, 0);
	ck_assert_uint_eq(first / GMIG_BLOCK_PAGES, (first + pages - 1) / GMIG_BLOCK_PAGES);
	ck_assert_uint_le(first + pages, PAGES);
	atomic_fetch_add(&device.asked, 1);
	for (size_t i = 0; i < pages; i++) {
		unsigned int bank = atomic_load(&device.bank[first + i]);

		status[i] = bank == NONE ? -ENOENT : (int)bank;
	}
	if (!first && device.strange)
		status[0] = device.strange;
	return 0;
}

static int device_migrate(void *opaque, uint64_t offset, size_t pages, unsigned int to, int *status)
{
	uint64_t first = offset / GMIG_PAGE_BYTES;

	ck_assert_ptr_eq(opaque, &device);
	ck_assert_uint_eq(first / GMIG_BLOCK_PAGES, (first + pages - 1) / GMIG_BLOCK_PAGES);
	atomic_fetch_add(&device.calls, 1);
	if (device.refuse)
		return device.refuse;
	for (uint64_t i = 0; i < pages; i++) {
		if (first + i == device.forget)
			continue;
		if (device.lie) {
			status[i] = device.lie;
			continue;
		}
		if (atomic_load(&device.bank[first + i]) == NONE) {
			status[i] = -ENOENT;
		} else if (atomic_load(&device.busy) > 0 && atomic_fetch_sub(&device.busy, 1) > 0) {
			status[i] = -EBUSY;
		} else {
			atomic_store(&device.bank[first + i], (unsigned char)to);
			status[i] = (int)to;
		}
	}
	return 0;
}

static int device_discard(void *opaque, uint64_t offset, size_t pages)
{
	ck_assert_ptr_eq(opaque, &device);
	for (uint64_t i = 0; i < pages; i++)
		atomic_store(&device.bank[offset / GMIG_PAGE_BYTES + i], NONE);
	memset(device.memory + offset, 0, pages * GMIG_PAGE_BYTES);
	return 0;
}

static const struct gmig_region_ops all_ops = {
    .query = device_query, .migrate = device_migrate, .discard = device_discard};

/* ---- The engine ------------------------------------------------------------------------------------- */

static struct gmig *gmig;
static uint8_t *ram;

static int add_device(const struct gmig_region_ops *ops, void *memory, struct gmig_error *err)
{
	const struct gmig_region_own own = {.memory = memory, .ops = ops, .opaque = &device};
	const struct gmig_region_spec spec = {
	    .gpa = 1ull << 30, .bytes = BYTES, .kind = GMIG_REGION_OWN, .own = &own};
	void *hva = NULL;
	int ret = gmig_region_add(gmig, &spec, &hva, err);

	ck_assert(ret || hva == memory);
	return ret;
}

/* RAM on node 0, if it is wanted, and the device, whose pages are on node 0. */
static void begin(const struct gmig_region_ops *ops, bool with_ram)
{
	struct gmig_options options = {0};
	const struct gmig_region_spec spec = {.bytes = RAM};
	struct gmig_error err = {0};
	void *hva;

	memset(&device, 0, sizeof(device));
	device.forget = UINT64_MAX;
	ck_assert_int_eq(posix_memalign((void **)&device.memory, GMIG_BLOCK_BYTES, BYTES), 0);
	memset(device.memory, 7, BYTES);
	ck_assert_int_eq(gmig_topology_create(3, &options.topology, NULL), 0);
	ck_assert_msg(!gmig_create(&options, &gmig, &err), "%s", err.text);
	gmig_topology_put(options.topology);
	if (with_ram) {
		ck_assert_msg(!gmig_region_add(gmig, &spec, &hva, &err), "%s", err.text);
		ram = hva;
		memset(ram, 5, RAM);
	}
	ck_assert_msg(!add_device(ops, device.memory, &err), "%s", err.text);
}

static void assert_invariants(void)
{
	struct gmig_check check;

	ck_assert_int_eq(gmig_check(gmig, &check, NULL), 0);
	for (unsigned int i = 0; i < sizeof(check.breach) / sizeof(check.breach[0]); i++)
		ck_assert_msg(!check.breach[i], "I%u: %s", i + 1, check.detail[i]);
}

static void finish(void)
{
	assert_invariants();
	gmig_destroy(gmig);
	for (uint64_t i = 0; i < BYTES; i += GMIG_PAGE_BYTES)
		ck_assert_uint_eq(device.memory[i],
				  atomic_load(&device.bank[i / GMIG_PAGE_BYTES]) == NONE ? 0 : 7);
	free(device.memory);
}

static uint64_t in_bank(unsigned int node)
{
	uint64_t pages = 0;

	for (unsigned int i = 0; i < PAGES; i++)
		pages += atomic_load(&device.bank[i]) == node;
	return pages;
}

/* What a look that is short of time has not come to, an audit has. */
static uint64_t resident(unsigned int node)
{
	uint64_t bytes[GMIG_MAX_NODES];
	struct gmig_check check;

	ck_assert_int_eq(gmig_check(gmig, &check, NULL), 0);
	ck_assert_int_eq(gmig_residency(gmig, 0, bytes), 0);
	return bytes[node];
}

static struct gmig_job *run(unsigned int from, unsigned int to, const char *mover,
			    struct gmig_job_info *info)
{
	struct gmig_job_spec spec = rig_spec(from, to);
	struct gmig_error err = {0};
	struct gmig_job *job;

	spec.mover = mover;
	ck_assert_msg(!gmig_job_start(gmig, &spec, &job, &err), "%s", err.text);
	gmig_job_wait(job);
	gmig_job_info(job, info);
	return job;
}

static int status_of(struct gmig_job *job, uint64_t gpa)
{
	int status;

	ck_assert_int_eq(gmig_job_page_status(job, gpa, 1, &status), 0);
	return status;
}

/* ---- Moving ----------------------------------------------------------------------------------------- */

START_TEST(owner_moves_its_pages_beside_ram)
{
	struct gmig_job_info info;
	uint64_t ram_bytes = _i ? RAM : 0;

	begin(&all_ops, _i);
	ck_assert_uint_eq(resident(0), ram_bytes + BYTES);
	for (unsigned int round = 0; round < 4; round++) {
		unsigned int from = round % 2;

		gmig_job_put(run(from, 1 - from, NULL, &info));
		ck_assert_int_eq(info.state, GMIG_JOB_COMPLETED);
		ck_assert_uint_eq(info.moved_bytes, ram_bytes + BYTES);
		ck_assert_uint_eq(info.bytes_on_source, 0);
		ck_assert_uint_eq(in_bank(1 - from), PAGES);
		ck_assert_uint_eq(resident(1 - from), ram_bytes + BYTES);
	}
	/* Of a block at most, once each. */
	ck_assert_uint_eq(atomic_load(&device.calls), 4 * BLOCKS);
	for (uint64_t at = 0; _i && at < RAM; at += 1000)
		ck_assert_uint_eq(ram[at], 5);
	finish();
}
END_TEST

START_TEST(region_without_an_op_stays_with_EPERM)
{
	const struct gmig_region_ops ops = {.query = device_query};
	struct gmig_job_info info;
	struct gmig_job *job;
	size_t done;

	begin(&ops, true);
	job = run(0, 1, NULL, &info);
	ck_assert_int_eq(info.state, GMIG_JOB_COMPLETED);
	ck_assert_uint_eq(info.passes, 1);
	ck_assert_uint_eq(info.moved_bytes, RAM);
	ck_assert_uint_eq(info.remaining_bytes, BYTES);
	ck_assert_int_eq(info.remaining[0].error, EPERM);
	ck_assert_int_eq(status_of(job, (1ull << 30) + 8192), -EPERM);
	ck_assert_int_eq(status_of(job, 8192), 1);
	gmig_job_put(job);
	ck_assert_int_eq(gmig_discard(gmig, device.memory, GMIG_PAGE_BYTES, &done), -EOPNOTSUPP);
	finish();
}
END_TEST

/* So that a small part of a large guest begins to move at once. */
START_TEST(job_over_a_part_asks_about_that_part_alone)
{
	struct gmig_job_spec spec = rig_spec(0, 1);
	struct gmig_job_info info;
	struct gmig_job *job;
	unsigned int before;

	begin(&all_ops, false);
	ck_assert_uint_eq(resident(0), BYTES);
	spec.max_bytes = GMIG_BLOCK_BYTES;
	before = atomic_load(&device.asked);
	ck_assert_int_eq(gmig_job_start(gmig, &spec, &job, NULL), 0);
	gmig_job_wait(job);
	gmig_job_info(job, &info);
	gmig_job_put(job);
	/* Before it moves, and afterwards. */
	ck_assert_uint_le(atomic_load(&device.asked) - before, 2);
	ck_assert_uint_eq(info.moved_bytes, GMIG_BLOCK_BYTES);
	finish();
}
END_TEST

START_TEST(pages_that_are_busy_are_tried_again)
{
	struct gmig_job_info info;

	begin(&all_ops, false);
	atomic_store(&device.busy, 700);
	gmig_job_put(run(0, 2, NULL, &info));
	ck_assert_uint_eq(info.moved_bytes, BYTES);
	ck_assert_uint_gt(info.passes, 1);
	ck_assert_uint_eq(in_bank(2), PAGES);
	finish();
}
END_TEST

START_TEST(page_that_stays_is_told_with_its_reason)
{
	struct gmig_job_info info;
	struct gmig_job *job;

	begin(&all_ops, false);
	device.forget = 600;
	job = run(0, 1, NULL, &info);
	ck_assert_uint_eq(info.moved_bytes, BYTES - GMIG_PAGE_BYTES);
	ck_assert_int_eq(status_of(job, (1ull << 30) + 600 * GMIG_PAGE_BYTES), -EAGAIN);
	gmig_job_put(job);
	device.refuse = -EIO;
	gmig_job_put(run(1, 2, NULL, &info));
	ck_assert_uint_eq(info.moved_bytes, 0);
	ck_assert_int_eq(info.remaining[0].error, EIO);
	ck_assert_uint_eq(info.remaining_bytes, BYTES - GMIG_PAGE_BYTES);
	finish();
}
END_TEST

/* Numbers that are 1, the target, in 16 bits; no errno; the least there is. */
static const int nonsense[] = {1 - 65536, -4096, -40000, INT_MIN};

START_TEST(answer_that_is_no_errno_is_EIO)
{
	struct gmig_job_info info;
	struct gmig_job *job;

	begin(&all_ops, false);
	for (unsigned int whole = 0; whole < 2; whole++) {
		device.lie = whole ? 0 : nonsense[_i];
		device.refuse = whole ? nonsense[_i] : 0;
		job = run(0, 1, NULL, &info);
		ck_assert_uint_eq(info.moved_bytes, 0);
		ck_assert_uint_eq(info.remaining_bytes, BYTES);
		ck_assert_int_eq(info.remaining[0].error, EIO);
		ck_assert_int_eq(status_of(job, 1ull << 30), -EIO);
		gmig_job_put(job);
	}
	finish();
}
END_TEST

START_TEST(named_pages_move_alone)
{
	const uint64_t gpas[] = {(1ull << 30) + 4096, (1ull << 30) + 3 * GMIG_BLOCK_BYTES};
	const int nodes[] = {2, 1};
	int status[2];
	const struct gmig_pages pages = {
	    .count = 2, .gpas = gpas, .nodes = nodes, .status = status};

	begin(&all_ops, true);
	ck_assert_int_eq(gmig_move_pages(gmig, &pages, NULL), 0);
	ck_assert_int_eq(status[0], 2);
	ck_assert_int_eq(status[1], 1);
	ck_assert_uint_eq(in_bank(0), PAGES - 2);
	ck_assert_uint_eq(atomic_load(&device.bank[1]), 2);
	finish();
}
END_TEST

START_TEST(fixed_range_of_it_is_never_asked_for)
{
	struct gmig_job_info info;

	begin(&all_ops, false);
	ck_assert_int_eq(
	    gmig_fix_memory(gmig, (1ull << 30) + GMIG_BLOCK_BYTES, GMIG_PAGE_BYTES, true, NULL), 0);
	gmig_job_put(run(0, 1, NULL, &info));
	ck_assert_uint_eq(info.remaining_bytes, GMIG_BLOCK_BYTES);
	ck_assert_uint_eq(in_bank(0), GMIG_BLOCK_PAGES);
	ck_assert_uint_eq(atomic_load(&device.calls), BLOCKS - 1);
	finish();
}
END_TEST

/* ---- Where it lies ------------------------------------------------------------------------------------ */

START_TEST(table_learns_what_the_owner_did)
{
	struct gmig_job_info info;
	size_t done;

	begin(&all_ops, false);
	ck_assert_uint_eq(resident(0), BYTES);
	/* By itself: some go to node 2, one is gone. */
	for (unsigned int i = 0; i < 100; i++)
		atomic_store(&device.bank[i], 2);
	ck_assert_int_eq(device_discard(&device, 100 * GMIG_PAGE_BYTES, 1), 0);
	gmig_job_put(run(0, 1, NULL, &info));
	ck_assert_uint_eq(info.moved_bytes, BYTES - 101 * GMIG_PAGE_BYTES);
	ck_assert_uint_eq(resident(2), 100 * GMIG_PAGE_BYTES);
	ck_assert_uint_eq(resident(1), BYTES - 101 * GMIG_PAGE_BYTES);
	/* The guest gives back. */
	ck_assert_int_eq(gmig_discard(gmig, device.memory, 2 * GMIG_BLOCK_BYTES, &done), 0);
	ck_assert_uint_eq(done, 2 * GMIG_BLOCK_BYTES);
	ck_assert_uint_eq(in_bank(NONE), 2 * GMIG_BLOCK_PAGES);
	ck_assert_uint_eq(resident(2), 0);
	/* A node that there cannot be is no answer. */
	device.strange = (int)GMIG_MAX_NODES + 5;
	gmig_job_put(run(1, 0, NULL, &info));
	ck_assert_uint_eq(info.moved_bytes, BYTES - 2 * GMIG_BLOCK_BYTES);
	device.strange = 0;
	finish();
}
END_TEST

/* Without a query the kernel is asked, which knows of the one node that there really is. */
START_TEST(kernel_is_asked_where_the_owner_says_nothing)
{
	const struct gmig_region_ops ops = {.migrate = device_migrate};
	struct gmig_job_info info;
	const struct gmig_populate how = {.threads = 2};

	begin(&ops, false);
	ck_assert_uint_eq(resident(0), BYTES);
	ck_assert_int_eq(gmig_populate(gmig, &how, NULL), 0);
	gmig_job_put(run(0, 1, NULL, &info));
	ck_assert_uint_eq(info.moved_bytes, BYTES);
	finish();
}
END_TEST

/* It may keep writers off by a userfaultfd of its own. */
START_TEST(owner_s_write_protection_is_no_page_that_was_left_protected)
{
	const struct gmig_region_ops ops = {.migrate = device_migrate};
	int fd;

	begin(&ops, false);
	ck_assert_int_eq(uffd_open(&gmig_sys_real, UFFD_FEATURE_PAGEFAULT_FLAG_WP, &fd, NULL), 0);
	ck_assert_int_eq(
	    uffd_register(&gmig_sys_real, fd, device.memory, BYTES, UFFDIO_REGISTER_MODE_WP), 0);
	ck_assert_uint_eq(resident(0), BYTES);
	ck_assert_int_eq(uffd_protect(&gmig_sys_real, fd, device.memory, 5 * GMIG_PAGE_BYTES, true),
			 0);
	assert_invariants();
	close(fd); /* the protection goes with it: allocators write to what is freed */
	finish();
}
END_TEST

/* ---- Refusals ------------------------------------------------------------------------------------------ */

START_TEST(region_that_makes_no_sense_is_refused)
{
	struct gmig_region_ops later = all_ops;
	const struct gmig_region_own own = {.memory = device.memory, .ops = &all_ops};
	struct gmig_region_own own_twice = {.ops = &all_ops};
	struct gmig_region_spec spec = {.gpa = 2ull << 30, .bytes = BYTES, .own = &own};
	struct gmig_job_spec lazy = rig_spec(0, 1);
	struct gmig_bind_spec bind = {
	    .gpa = 1ull << 30, .bytes = BYTES, .policy = {.mode = GMIG_POLICY_LOCAL}};
	struct gmig_error err = {0};
	struct gmig_job *job;
	void *hva;

	begin(&all_ops, false);
	own_twice.memory = device.memory + GMIG_BLOCK_BYTES;
	ck_assert_int_eq(gmig_region_add(gmig, &spec, &hva, &err), -EINVAL);
	ck_assert_ptr_nonnull(strstr(err.text, "only a region of kind own"));
	spec.kind = GMIG_REGION_OWN;
	spec.own = NULL;
	ck_assert_int_eq(gmig_region_add(gmig, &spec, &hva, &err), -EINVAL);
	ck_assert_int_eq(add_device(&all_ops, device.memory + GMIG_PAGE_BYTES, &err), -EINVAL);
	ck_assert_int_eq(add_device(&all_ops, NULL, &err), -EINVAL);
	ck_assert_int_eq(add_device(NULL, device.memory, &err), -EINVAL);
	/* Of memory that another region has, and of more than there are addresses. */
	spec.own = &own_twice;
	ck_assert_int_eq(gmig_region_add(gmig, &spec, &hva, &err), -EINVAL);
	ck_assert_ptr_nonnull(strstr(err.text, "another region"));
	spec.bytes = UINT64_MAX / GMIG_BLOCK_BYTES * GMIG_BLOCK_BYTES - (4ull << 30);
	ck_assert_int_eq(gmig_region_add(gmig, &spec, &hva, &err), -EINVAL);
	later.reserved[2] = 1;
	ck_assert_int_eq(add_device(&later, device.memory, &err), -E2BIG);
	lazy.mode = GMIG_MODE_LAZY;
	ck_assert_int_eq(gmig_job_start(gmig, &lazy, &job, &err), -EINVAL);
	ck_assert_ptr_nonnull(strstr(err.text, "no mode lazy for memory of kind own"));
	ck_assert_int_eq(gmig_bind(gmig, &bind, &job, &err), -EOPNOTSUPP);
	finish();
}
END_TEST

/* Nobody but its owner takes its blocks out, or puts them into other frames. */
START_TEST(memory_is_neither_sampled_nor_put_into_our_frames)
{
	const struct gmig_retire_spec retire = {.gpa = 1ull << 30, .keep = true};
	const struct gmig_sampling how = {.blocks_per_second = 1000};
	struct gmig_sampling_info info;
	struct gmig_retired retired;
	struct gmig_error err = {0};

	begin(&all_ops, _i);
	ck_assert_int_eq(gmig_retire(gmig, &retire, &retired, &err), -EOPNOTSUPP);
	ck_assert_int_eq(gmig_sampling_start(gmig, &how, &err), _i ? 0 : -EOPNOTSUPP);
	if (_i) {
		do {
			sched_yield();
			gmig_sampling_info(gmig, &info);
		} while (info.untouched < 20);
		gmig_sampling_stop(gmig);
	}
	ck_assert_uint_eq(atomic_load(&device.calls), 0);
	finish();
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("own");
	TCase *tcase = tcase_create("own");

	tcase_add_loop_test(tcase, owner_moves_its_pages_beside_ram, 0, 2);
	tcase_add_test(tcase, region_without_an_op_stays_with_EPERM);
	tcase_add_test(tcase, job_over_a_part_asks_about_that_part_alone);
	tcase_add_test(tcase, pages_that_are_busy_are_tried_again);
	tcase_add_test(tcase, page_that_stays_is_told_with_its_reason);
	tcase_add_loop_test(tcase, answer_that_is_no_errno_is_EIO, 0,
			    sizeof(nonsense) / sizeof(nonsense[0]));
	tcase_add_test(tcase, named_pages_move_alone);
	tcase_add_test(tcase, fixed_range_of_it_is_never_asked_for);
	tcase_add_test(tcase, table_learns_what_the_owner_did);
	tcase_add_test(tcase, kernel_is_asked_where_the_owner_says_nothing);
	tcase_add_test(tcase, owner_s_write_protection_is_no_page_that_was_left_protected);
	tcase_add_test(tcase, region_that_makes_no_sense_is_refused);
	tcase_add_loop_test(tcase, memory_is_neither_sampled_nor_put_into_our_frames, 0, 2);
	suite_add_tcase(suite, tcase);
	return rig_main(suite);
}
