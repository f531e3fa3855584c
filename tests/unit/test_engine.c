/* The engine moves memory under threads that write to it. */
#include "../../migrate/core/kernels.h"
#include "../../migrate/gmig_policy.h"
#include "rig.h"

#include <errno.h>
#include <signal.h>
#include <sys/mman.h>
#include <unistd.h>

#define BYTES (16ull << 20)

/* ---- Every mode, page size, source of frames, number of threads ---------------------------- */

struct cell {
	enum gmig_mode mode;
	bool small_pages;
	enum gmig_frames frames;
	unsigned int threads;
};

#define CELLS 24

static struct cell cell_of(int i)
{
	static const unsigned int threads[] = {1, 3};

	return (struct cell){.mode = i & 1    ? GMIG_MODE_BLOCK
				     : i & 16 ? GMIG_MODE_AUTO
					      : GMIG_MODE_READABLE,
			     .small_pages = i & 2,
			     .threads = threads[i >> 2 & 1],
			     .frames = (enum gmig_frames)(i >> 3)};
}

START_TEST(move_under_writers_loses_nothing)
{
	struct cell cell = cell_of(_i);
	struct rig rig;
	struct rig_options options = {.bytes = BYTES, .small_pages = cell.small_pages};
	struct gmig_job_info info;
	struct gmig_stats stats;

	rig_create(&rig, &options);
	rig_start(&rig, 2);
	for (unsigned int i = 0; i < 6; i++) {
		struct gmig_job_spec spec = rig_spec(i % 2, (i + 1) % 2);
		uint64_t bytes[GMIG_MAX_NODES];

		spec.mode = cell.mode;
		spec.frames = cell.frames;
		spec.threads = cell.threads;
		rig_move(&rig, &spec, &info);
		ck_assert_int_eq(info.state, GMIG_JOB_COMPLETED);
		ck_assert_uint_eq(info.moved_bytes, BYTES);
		ck_assert_uint_eq(info.remaining_bytes, 0);
		ck_assert_uint_eq(info.thp_split, 0);
		if (cell.mode != GMIG_MODE_BLOCK)
			ck_assert_uint_gt(info.rounds_readable, 0);
		if (cell.mode != GMIG_MODE_AUTO)
			ck_assert_uint_eq(cell.mode == GMIG_MODE_BLOCK ? info.rounds_readable
								       : info.rounds_block,
					  0);
		ck_assert_uint_ge(info.rounds_readable + info.rounds_block,
				  BYTES / GMIG_BLOCK_BYTES);
		ck_assert_uint_gt(info.blackout_write.count, 0);
		ck_assert_uint_gt(info.blackout_read.count, 0);
		gmig_residency(rig.gmig, 0, bytes);
		ck_assert_uint_eq(bytes[i % 2], 0);
		ck_assert_uint_eq(bytes[(i + 1) % 2], BYTES);
	}
	ck_assert_uint_eq(rig_stop(&rig), 0);
	ck_assert_uint_eq(rig_check_all(&rig), 0);
	gmig_stats(rig.gmig, &stats);
	ck_assert_uint_eq(stats.sleepers, 0);
	ck_assert_uint_eq(rig.gmig->thp ? stats.page_bytes_2m : stats.page_bytes_4k, BYTES);
	for (unsigned int node = 0; node < 2; node++)
		ck_assert_uint_le(stats.pool_bytes[node], 16ull << 20);
	rig_assert_clean(&rig);
	rig_destroy(&rig);
}
END_TEST

/* 512 is no multiple of 100: the last batch of a block is a smaller one. */
START_TEST(batch_is_what_is_out_of_reach_at_a_time)
{
	static const unsigned int batches[] = {0, 1, 100, GMIG_BLOCK_PAGES};
	unsigned int batch = batches[_i >> 1], blocks = (unsigned int)(BYTES / GMIG_BLOCK_BYTES);
	bool readable = _i & 1;
	unsigned int each = batch ? batch : readable ? 256 : GMIG_BLOCK_PAGES;

	for (unsigned int small = 0; small < 2; small++) {
		struct rig_options options = {.bytes = BYTES, .small_pages = small};
		struct gmig_job_spec spec = rig_spec(0, 1);
		struct gmig_job_info info;
		struct rig rig;

		rig_create(&rig, &options);
		spec.mode = readable ? GMIG_MODE_READABLE : GMIG_MODE_BLOCK;
		spec.batch_pages = batch;
		rig_move(&rig, &spec, &info);
		ck_assert_int_eq(info.state, GMIG_JOB_COMPLETED);
		ck_assert_uint_eq(info.moved_bytes, BYTES);
		ck_assert_uint_eq(info.blackout_read.count,
				  blocks *
				      (rig.gmig->thp ? 1 : (GMIG_BLOCK_PAGES + each - 1) / each));
		ck_assert_uint_eq(rig_check_all(&rig), 0);
		rig_assert_clean(&rig);
		rig_destroy(&rig);
	}
}
END_TEST

static struct {
	_Atomic uintptr_t ram;		 /* of the rig; 0: none yet */
	atomic_uint holds, bad, outside; /* bad: not on and off in turn */
	atomic_bool held;
	atomic_int fail_at; /* the move that fails, counted down */
} held;

static void hold_counted(void *opaque, bool on)
{
	(void)opaque;
	if (atomic_exchange(&held.held, on) == on)
		atomic_fetch_add(&held.bad, 1);
	if (on)
		atomic_fetch_add(&held.holds, 1);
}

static int ioctl_held(int fd, unsigned long request, void *arg)
{
	struct uffdio_move *move = arg;
	uintptr_t ram = atomic_load(&held.ram);

	if (request != UFFDIO_MOVE || !ram ||
	    (move->dst - ram >= BYTES && move->src - ram >= BYTES))
		return gmig_sys_real.ioctl(fd, request, arg);
	if (!atomic_load(&held.held))
		atomic_fetch_add(&held.outside, 1);
	if (atomic_fetch_sub(&held.fail_at, 1) != 1)
		return gmig_sys_real.ioctl(fd, request, arg);
	move->move = -EBUSY;
	return -EBUSY;
}

/* _i: small pages, asked for, a move out or in fails */
START_TEST(vcpus_are_held_for_each_batch_of_small_pages_alone)
{
	struct gmig_sys sys = gmig_sys_real;
	struct rig_options options = {
	    .bytes = BYTES, .small_pages = _i & 1, .sys = &sys, .hold_vcpus = hold_counted};
	struct gmig_job_spec spec = rig_spec(0, 1);
	bool wanted;
	struct gmig_job_info info;
	struct rig rig;

	memset(&held, 0, sizeof(held));
	sys.ioctl = ioctl_held;
	rig_create(&rig, &options);
	wanted = !rig.gmig->thp && _i & 2;
	atomic_store(&held.fail_at, _i & 4 ? 3 : _i & 8 ? 4 : 0);
	atomic_store(&held.ram, (uintptr_t)rig.ram);
	rig_publish(&rig);
	spec.hold_vcpus = _i & 2;
	spec.mode = _i & 16 ? GMIG_MODE_BLOCK : GMIG_MODE_READABLE;
	rig_move(&rig, &spec, &info);
	ck_assert_int_eq(info.state, GMIG_JOB_COMPLETED);
	ck_assert_uint_eq(atomic_load(&held.bad), 0);
	ck_assert(!atomic_load(&held.held));
	ck_assert_uint_eq(atomic_load(&held.holds), wanted ? info.blackout_read.count : 0);
	if (wanted)
		ck_assert_uint_eq(atomic_load(&held.outside), 0);
	ck_assert_uint_eq(rig_check_all(&rig), 0);
	rig_assert_clean(&rig);
	rig_destroy(&rig);
}
END_TEST

START_TEST(vcpus_of_a_vmm_that_cannot_hold_them_are_not_asked_for)
{
	struct gmig_job_spec spec = rig_spec(0, 1);
	struct gmig_error err = {0};
	struct gmig_job *job = NULL;
	struct rig rig;

	rig_create(&rig, &(struct rig_options){.bytes = BYTES, .small_pages = true});
	spec.hold_vcpus = true;
	ck_assert_int_eq(gmig_job_start(rig.gmig, &spec, &job, &err), -EOPNOTSUPP);
	ck_assert_ptr_null(job);
	rig_assert_clean(&rig);
	rig_destroy(&rig);
}
END_TEST

/* ---- First touch --------------------------------------------------------------------------- */

START_TEST(first_touch_reads_as_zeros_and_is_counted)
{
	struct rig_options options = {.bytes = BYTES, .small_pages = _i, .untouched = true};
	uint64_t bytes[GMIG_MAX_NODES];
	struct rig rig;

	rig_create(&rig, &options);
	gmig_residency(rig.gmig, 0, bytes);
	ck_assert_uint_eq(bytes[0], 0);
	ck_assert_uint_eq(rig_page(&rig, 700)[5], 0);
	rig_settle(&rig);
	gmig_residency(rig.gmig, 0, bytes);
	ck_assert_uint_eq(bytes[0], GMIG_BLOCK_BYTES);
	rig_assert_clean(&rig);
	rig_destroy(&rig);
}
END_TEST

START_TEST(first_touch_after_a_move_gets_no_old_content)
{
	struct rig_options options = {.bytes = BYTES, .untouched = true};
	struct gmig_job_spec spec = rig_spec(0, 1);
	struct gmig_job_info info;
	uint64_t bytes[GMIG_MAX_NODES];
	struct rig rig;

	rig_create(&rig, &options);
	for (uint64_t page = 0; page < 2 * GMIG_BLOCK_PAGES; page++)
		rig_write_page(&rig, page);
	rig_move(&rig, &spec, &info);
	/* the pool holds used frames now; and the preferred_node has moved with the memory */
	for (uint64_t page = 2 * GMIG_BLOCK_PAGES; page < rig.pages; page++)
		for (unsigned int i = 0; i < RIG_WORDS; i += 64)
			ck_assert_uint_eq(rig_page(&rig, page)[i], 0);
	rig_settle(&rig);
	gmig_residency(rig.gmig, 0, bytes);
	ck_assert_uint_eq(bytes[1], BYTES);
	rig_assert_clean(&rig);
	rig_destroy(&rig);
}
END_TEST

START_TEST(first_touch_by_many_threads_during_moves_loses_nothing)
{
	struct rig_options options = {.bytes = 4 * BYTES, .small_pages = _i, .untouched = true};
	struct gmig_job_info info;
	struct rig rig;

	rig_create(&rig, &options);
	/* counters of pages start at 0 and page numbers are written by no one: page 0's is right,
	 * others' are set */
	for (unsigned int i = 0; i < 8; i++) {
		struct gmig_job_spec spec = rig_spec(i % 2, (i + 1) % 2);
		uint64_t from = i * rig.pages / 8;

		for (uint64_t page = from; page < from + rig.pages / 8; page++)
			rig_write_page(&rig, page);
		rig_move(&rig, &spec, &info);
		ck_assert_int_eq(info.state, GMIG_JOB_COMPLETED);
	}
	ck_assert_uint_eq(rig_check_all(&rig), 0);
	rig_assert_clean(&rig);
	rig_destroy(&rig);
}
END_TEST

/* ---- Blocks that are not whole ------------------------------------------------------------- */

START_TEST(split_block_moves_as_small_pages_and_its_hole_stays_a_hole)
{
	struct rig_options options = {.bytes = BYTES};
	struct gmig_job_info info;
	struct gmig_job_spec spec = rig_spec(0, 1);
	struct gmig_stats stats;
	struct rig rig;

	rig_create(&rig, &options);
	/* as a balloon would, were it not asked to tell the table */
	ck_assert_int_eq(madvise((void *)rig_page(&rig, 700), 3 * GMIG_PAGE_BYTES, MADV_DONTNEED),
			 0);
	spec.mode = _i ? GMIG_MODE_BLOCK : GMIG_MODE_READABLE;
	rig_move(&rig, &spec, &info);
	ck_assert_int_eq(info.state, GMIG_JOB_COMPLETED);
	ck_assert_uint_eq(info.remaining_bytes, 0);
	gmig_stats(rig.gmig, &stats);
	ck_assert_uint_eq(stats.page_bytes_2m, rig.gmig->thp ? BYTES - GMIG_BLOCK_BYTES : 0);
	ck_assert_uint_eq(stats.page_bytes_4k,
			  (rig.gmig->thp ? GMIG_BLOCK_BYTES : BYTES) - 3 * GMIG_PAGE_BYTES);
	ck_assert_uint_eq(rig_page(&rig, 701)[100], 0);
	for (uint64_t page = 700; page < 703; page++)
		rig_write_page(&rig, page);
	ck_assert_uint_eq(rig_check_all(&rig), 0);
	rig_assert_clean(&rig);
	rig_destroy(&rig);
}
END_TEST

START_TEST(discarded_page_under_writers_is_served_again)
{
	struct rig_options options = {.bytes = BYTES, .small_pages = _i};
	struct gmig_job_info info;
	struct rig rig;

	rig_create(&rig, &options);
	for (unsigned int i = 0; i < 10; i++) {
		struct gmig_job_spec spec = rig_spec(i % 2, (i + 1) % 2);
		uint64_t page = 100 + i * 313;

		madvise((void *)rig_page(&rig, page), GMIG_PAGE_BYTES, MADV_DONTNEED);
		if (i & 1)
			ck_assert_uint_eq(rig_page(&rig, page)[9], 0);
		rig_move(&rig, &spec, &info);
		ck_assert_int_eq(info.state, GMIG_JOB_COMPLETED);
		rig_write_page(&rig, page);
	}
	ck_assert_uint_eq(rig_check_all(&rig), 0);
	rig_assert_clean(&rig);
	rig_destroy(&rig);
}
END_TEST

/* Between looking and discarding, a guest writes. */
static struct {
	atomic_uintptr_t page;
	atomic_bool go, wrote;
	const atomic_ullong *sleepers; /* of the engine */
} late;

static int advise_late(void *memory, size_t bytes, int advice)
{
	if (advice == MADV_DONTNEED && (uintptr_t)memory == atomic_load(&late.page)) {
		atomic_store(&late.go, true);
		while (!atomic_load(&late.wrote) && !atomic_load(late.sleepers))
			usleep(50);
	}
	return gmig_sys_real.advise(memory, bytes, advice);
}

static void *write_late(void *arg)
{
	rig_word *word = arg;

	while (!atomic_load(&late.go))
		usleep(50);
	atomic_store(word, 4711);
	atomic_store(&late.wrote, true);
	return NULL;
}

START_TEST(zero_page_that_is_written_while_discarded_keeps_the_write)
{
	struct gmig_sys sys = gmig_sys_real;
	struct rig_options options = {.bytes = BYTES, .small_pages = true, .sys = &sys};
	struct gmig_job_spec spec = rig_spec(0, 1);
	struct uffdio_zeropage zero = {.range.len = GMIG_PAGE_BYTES};
	struct gmig_job_info info;
	pthread_t writer;
	struct rig rig;

	sys.advise = advise_late;
	rig_create(&rig, &options);
	zero.range.start = (uintptr_t)rig_page(&rig, 300);
	madvise((void *)rig_page(&rig, 300), GMIG_PAGE_BYTES, MADV_DONTNEED);
	ck_assert_int_eq(ioctl(rig.gmig->vnodes[0].uffd, UFFDIO_ZEROPAGE, &zero), 0);
	late.sleepers = &rig.gmig->sleepers;
	atomic_store(&late.page, (uintptr_t)rig_page(&rig, 300));
	pthread_create(&writer, NULL, write_late, (void *)(rig_page(&rig, 300) + 9));
	spec.mode = _i ? GMIG_MODE_BLOCK : GMIG_MODE_READABLE;
	rig_move(&rig, &spec, &info);
	ck_assert(atomic_load(&late.go));
	pthread_join(writer, NULL);
	ck_assert_uint_eq(rig_page(&rig, 300)[9], 4711);
	ck_assert_uint_eq(info.moved_bytes, BYTES - GMIG_PAGE_BYTES);
	rig_write_page(&rig, 300);
	ck_assert_uint_eq(rig_check_all(&rig), 0);
	rig_assert_clean(&rig);
	rig_destroy(&rig);
}
END_TEST

/* A host without free huge pages: what the engine asks for its frames comes in small ones. */
static atomic_bool fragmented;

static int advise_fragmented(void *memory, size_t bytes, int advice)
{
	if (advice == MADV_HUGEPAGE && atomic_load(&fragmented))
		advice = MADV_NOHUGEPAGE;
	if (advice == MADV_COLLAPSE && atomic_load(&fragmented))
		return -ENOMEM;
	return gmig_sys_real.advise(memory, bytes, advice);
}

START_TEST(without_huge_frames_blocks_move_as_small_pages)
{
	struct gmig_sys sys = gmig_sys_real;
	struct rig_options options = {.bytes = BYTES, .sys = &sys};
	struct gmig_job_spec spec = rig_spec(0, 1), back = rig_spec(1, 0);
	struct gmig_job_info info;
	struct gmig_stats stats;
	struct rig rig;

	if (!thp_or_skip())
		return;
	sys.advise = advise_fragmented;
	rig_create(&rig, &options);
	gmig_stats(rig.gmig, &stats);
	ck_assert_uint_eq(stats.page_bytes_2m, BYTES);
	rig_start(&rig, 2);
	atomic_store(&fragmented, true);
	spec.frames = GMIG_FRAMES_FRESH;
	spec.mode = _i ? GMIG_MODE_BLOCK : GMIG_MODE_READABLE;
	rig_move(&rig, &spec, &info);
	ck_assert_int_eq(info.state, GMIG_JOB_COMPLETED);
	ck_assert_uint_eq(info.moved_bytes, BYTES);
	ck_assert_uint_eq(info.remaining_bytes, 0);
	ck_assert_uint_eq(info.thp_split, BYTES / GMIG_BLOCK_BYTES);
	gmig_stats(rig.gmig, &stats);
	ck_assert_uint_eq(stats.page_bytes_2m, 0);
	atomic_store(&fragmented, false);
	rig_move(&rig, &back, &info);
	ck_assert_uint_eq(info.moved_bytes, BYTES);
	ck_assert_uint_eq(info.thp_split, 0);
	/* There are huge pages again: the blocks become what they were. */
	ck_assert_uint_eq(info.thp_joined, BYTES / GMIG_BLOCK_BYTES);
	gmig_stats(rig.gmig, &stats);
	ck_assert_uint_eq(stats.page_bytes_2m, BYTES);
	ck_assert_uint_eq(rig_stop(&rig), 0);
	ck_assert_uint_eq(rig_check_all(&rig), 0);
	rig_assert_clean(&rig);
	rig_destroy(&rig);
}
END_TEST

/* ---- Without migration --------------------------------------------------------------------- */

START_TEST(plain_engine_gives_memory_and_refuses_jobs)
{
	struct gmig_options options = {.plain = true};
	struct gmig_region_spec region = {.bytes = BYTES};
	struct gmig_job_spec spec = rig_spec(0, 1);
	struct gmig_bind_spec bind = {.bytes = BYTES, .policy = {.mode = GMIG_POLICY_LOCAL}};
	struct gmig_map map;
	struct gmig_topology *topology;
	uint64_t bytes[GMIG_MAX_NODES];
	struct gmig_error err;
	struct gmig_job *job;
	struct gmig *gmig;
	void *ram;

	ck_assert_int_eq(gmig_topology_create(2, &topology, &err), 0);
	options.topology = topology;
	ck_assert_int_eq(gmig_create(&options, &gmig, &err), 0);
	ck_assert_int_eq(gmig_region_add(gmig, &region, &ram, &err), 0);
	memset(ram, 1, BYTES);
	ck_assert_ptr_nonnull(gmig_why_off(gmig));
	ck_assert_int_eq(gmig_job_start(gmig, &spec, &job, &err), -EOPNOTSUPP);
	ck_assert_int_eq(gmig_residency(gmig, 0, bytes), 0);
	ck_assert_uint_eq(bytes[0], BYTES);
	err.text[0] = '\0';
	ck_assert_int_eq(gmig_bind(gmig, &bind, &job, &err), -EOPNOTSUPP);
	ck_assert_ptr_null(job);
	ck_assert_str_eq(err.text, gmig_why_off(gmig));
	ck_assert_int_eq(gmig_fix_memory(gmig, 0, BYTES, true, &err), -EOPNOTSUPP);
	ck_assert_int_eq(gmig_map_at(gmig, 0, &map), -EOPNOTSUPP);
	/* Nodes that are none: where memory would be, as far as it is there. */
	region =
	    (struct gmig_region_spec){.vnode = 1, .host_node = 1, .gpa = BYTES, .bytes = BYTES};
	ck_assert_int_eq(gmig_region_add(gmig, &region, &ram, &err), 0);
	ck_assert_int_eq(gmig_residency(gmig, 1, bytes), 0);
	ck_assert_uint_eq(bytes[1], 0);
	memset(ram, 1, GMIG_BLOCK_BYTES);
	ck_assert_int_eq(gmig_residency(gmig, 1, bytes), 0);
	ck_assert_uint_eq(bytes[1], GMIG_BLOCK_BYTES);
	ck_assert_uint_eq(bytes[0], 0);
	gmig_destroy(gmig);
	gmig_topology_put(topology);
}
END_TEST

static int no_userfaultfd(void)
{
	return -ENOSYS;
}

static int no_right(void)
{
	return -EPERM;
}

static int no_move(int fd, unsigned long request, void *arg)
{
	return request == UFFDIO_MOVE ? -EINVAL : gmig_sys_real.ioctl(fd, request, arg);
}

/* Linux without userfaultfd, without the right, older than 6.8. */
START_TEST(host_that_cannot_move_is_told_or_runs_plain)
{
	static const int codes[] = {-ENOSYS, -EPERM, -ENOSYS};
	static const char *const says[] = {"userfaultfd", "udev", "6.8"};
	struct gmig_sys sys = gmig_sys_real;
	struct gmig_options options = {.sys = &sys};
	struct gmig_region_spec region = {.bytes = BYTES};
	struct gmig_job_spec spec = rig_spec(0, 1);
	struct gmig_topology *topology;
	struct gmig_error err = {0};
	struct gmig_job *job;
	struct gmig *gmig;
	void *ram;

	if (_i == 2)
		sys.ioctl = no_move;
	else
		sys.userfaultfd = _i ? no_right : no_userfaultfd;
	ck_assert_int_eq(gmig_topology_create(2, &topology, &err), 0);
	options.topology = topology;
	ck_assert_int_eq(gmig_create(&options, &gmig, &err), codes[_i]);
	ck_assert_msg(strstr(err.text, says[_i]) != NULL, "%s", err.text);
	options.off_if_unavailable = true;
	ck_assert_int_eq(gmig_create(&options, &gmig, &err), 0);
	ck_assert_ptr_nonnull(strstr(gmig_why_off(gmig), says[_i]));
	ck_assert_int_eq(gmig_region_add(gmig, &region, &ram, &err), 0);
	memset(ram, 1, BYTES);
	ck_assert_int_eq(gmig_job_start(gmig, &spec, &job, &err), -EOPNOTSUPP);
	gmig_destroy(gmig);
	gmig_topology_put(topology);
}
END_TEST

static void kernel_that_damages(struct kernel_name *name)
{
	*name = (struct kernel_name){.release = "6.18.19"};
}

START_TEST(kernel_that_damages_memory_is_refused_unless_asked_for)
{
	struct gmig_sys sys = gmig_sys_real;
	struct gmig_options options = {.sys = &sys};
	struct gmig_topology *topology;
	struct gmig_error err = {0};
	struct gmig *gmig;

	sys.kernel_name = kernel_that_damages;
	ck_assert_int_eq(gmig_topology_create(2, &topology, &err), 0);
	options.topology = topology;
	ck_assert_int_eq(gmig_create(&options, &gmig, &err), -EOPNOTSUPP);
	ck_assert_msg(strstr(err.text, "CVE-2026-31397") != NULL, "%s", err.text);
	options.off_if_unavailable = true;
	ck_assert_int_eq(gmig_create(&options, &gmig, &err), 0);
	ck_assert_ptr_nonnull(strstr(gmig_why_off(gmig), "6.18.20"));
	gmig_destroy(gmig);
	options.unsafe_kernel = true;
	ck_assert_int_eq(gmig_create(&options, &gmig, &err), 0);
	ck_assert_ptr_null(gmig_why_off(gmig));
	gmig_destroy(gmig);
	gmig_topology_put(topology);
}
END_TEST

/* ---- Beliefs ------------------------------------------------------------------------------- */

static atomic_int real_node;

static int query_told(size_t count, void **pages, int *status)
{
	(void)pages;
	for (size_t i = 0; i < count; i++)
		status[i] = atomic_load(&real_node);
	return 0;
}

START_TEST(memory_moved_by_somebody_else_is_noticed_and_no_breach)
{
	struct gmig_sys sys = gmig_sys_real;
	struct rig_options options = {.bytes = BYTES, .small_pages = _i, .real = true, .sys = &sys};
	uint64_t bytes[GMIG_MAX_NODES];
	struct gmig_check check;
	struct rig rig;

	sys.query_nodes = query_told;
	rig_create(&rig, &options);
	rig_assert_clean(&rig);
	atomic_store(&real_node, 3);
	ck_assert_int_eq(gmig_check(rig.gmig, &check, NULL), 0);
	ck_assert_uint_eq(check.corrected_pages, BYTES / GMIG_PAGE_BYTES);
	ck_assert_uint_eq(check.checked_pages, BYTES / GMIG_PAGE_BYTES);
	gmig_residency(rig.gmig, 0, bytes);
	ck_assert_uint_eq(bytes[3], BYTES);
	ck_assert_uint_eq(bytes[0], 0);
	rig_assert_clean(&rig);
	rig_destroy(&rig);
}
END_TEST

static atomic_ullong clock_ns;

static uint64_t clock_by_hand(void)
{
	return atomic_load(&clock_ns);
}

START_TEST(age_counts_from_the_last_whole_comparison)
{
	struct gmig_sys sys = gmig_sys_real;
	struct rig_options options = {.bytes = BYTES, .sys = &sys};
	struct gmig_sample sample;
	struct gmig_check check;
	struct rig rig;

	sys.now_ns = clock_by_hand;
	atomic_store(&clock_ns, 1000);
	rig_create(&rig, &options);
	atomic_store(&clock_ns, 5000);
	ck_assert_uint_eq(gmig_audit_age_ns(rig.gmig), 4000);
	gmig_sample(rig.gmig, 3, &sample);
	ck_assert_uint_eq(gmig_audit_age_ns(rig.gmig), 4000);
	ck_assert_int_eq(gmig_check(rig.gmig, &check, NULL), 0);
	ck_assert_uint_eq(gmig_audit_age_ns(rig.gmig), 0);
	atomic_store(&clock_ns, 7000);
	ck_assert_uint_eq(gmig_audit_age_ns(rig.gmig), 2000);
	rig_destroy(&rig);
}
END_TEST

START_TEST(samples_walk_over_all_memory_and_notice_what_others_moved)
{
	struct gmig_sys sys = gmig_sys_real;
	struct rig_options options = {.bytes = BYTES, .small_pages = _i, .real = true, .sys = &sys};
	uint64_t blocks = BYTES / GMIG_BLOCK_BYTES, corrected = 0;
	struct gmig_sample sample;
	struct rig rig;

	sys.query_nodes = query_told;
	rig_create(&rig, &options);
	gmig_sample(rig.gmig, 2, &sample);
	ck_assert_uint_eq(sample.checked_pages, 2 * GMIG_BLOCK_PAGES);
	ck_assert_uint_eq(sample.corrected_pages, 0);
	gmig_sample(rig.gmig, 1000, &sample);
	ck_assert_uint_eq(sample.checked_pages, blocks * GMIG_BLOCK_PAGES);
	atomic_store(&real_node, 3);
	gmig_sample(rig.gmig, 1, &sample);
	ck_assert_uint_eq(sample.corrected_pages, GMIG_BLOCK_PAGES);
	/* Each block comes up before long. */
	for (unsigned int i = 0; i < 4 * blocks; i++) {
		gmig_sample(rig.gmig, 1, &sample);
		corrected += sample.corrected_pages;
	}
	ck_assert_uint_eq(corrected, (blocks - 1) * GMIG_BLOCK_PAGES);
	rig_assert_clean(&rig);
	rig_destroy(&rig);
}
END_TEST

START_TEST(regions_that_overlap_or_are_crooked_are_refused)
{
	struct rig_options options = {.bytes = BYTES, .untouched = true};
	struct gmig_region_spec bad[] = {
	    {.gpa = GMIG_BLOCK_BYTES, .bytes = GMIG_BLOCK_BYTES},
	    {.gpa = BYTES + 4096, .bytes = GMIG_BLOCK_BYTES},
	    {.gpa = BYTES, .bytes = 4096},
	    {.gpa = BYTES, .bytes = 0},
	    {.gpa = BYTES, .bytes = GMIG_BLOCK_BYTES, .vnode = GMIG_MAX_VNODES},
	};
	struct gmig_region_spec nowhere = {.gpa = BYTES, .bytes = GMIG_BLOCK_BYTES, .host_node = 9};
	struct gmig_error err;
	struct rig rig;
	void *ram;

	rig_create(&rig, &options);
	for (unsigned int i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		ck_assert_int_eq(gmig_region_add(rig.gmig, &bad[i], &ram, &err), -EINVAL);
	ck_assert_int_eq(gmig_region_add(rig.gmig, &nowhere, &ram, &err), -ENODEV);
	rig_destroy(&rig);
}
END_TEST

/* Both ends of what was measured, at powers of two, and nothing outside of them. */
static void ck_histogram(struct gmig *gmig, enum gmig_times which,
			 const struct gmig_percentiles *times)
{
	uint64_t count[GMIG_TIME_BUCKETS], sum = 0;

	gmig_histogram(gmig, which, count);
	for (unsigned int i = 0; i < GMIG_TIME_BUCKETS; i++) {
		sum += count[i];
		ck_assert_msg(!count[i] || !i || 1ull << i <= times->max_ns,
			      "%llu times of 2^%u ns, the longest took %llu ns",
			      (unsigned long long)count[i], i, (unsigned long long)times->max_ns);
	}
	ck_assert_uint_eq(sum, times->count);
	if (times->count)
		ck_assert_uint_gt(count[63 - __builtin_clzll(times->max_ns)], 0);
}

START_TEST(histograms_have_the_times_of_the_statistics)
{
	const struct rig_options options = {.bytes = 4 * GMIG_BLOCK_BYTES, .small_pages = _i};
	struct gmig_job_spec spec = rig_spec(0, 1);
	struct gmig_job_info info;
	struct gmig_stats stats;
	struct rig rig;

	rig_create(&rig, &options);
	rig_move(&rig, &spec, &info);
	gmig_stats(rig.gmig, &stats);
	ck_assert_uint_gt(stats.blackout_read.count, 0);
	ck_histogram(rig.gmig, GMIG_TIMES_BLACKOUT_READ, &stats.blackout_read);
	ck_histogram(rig.gmig, GMIG_TIMES_BLACKOUT_WRITE, &stats.blackout_write);
	ck_histogram(rig.gmig, GMIG_TIMES_STALL, &stats.stall);
	rig_assert_clean(&rig);
	rig_destroy(&rig);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("engine");
	TCase *tcase = tcase_create("moves");

	tcase_set_timeout(tcase, 60);
	tcase_add_loop_test(tcase, move_under_writers_loses_nothing, 0, CELLS);
	tcase_add_loop_test(tcase, batch_is_what_is_out_of_reach_at_a_time, 0, 8);
	tcase_add_loop_test(tcase, vcpus_are_held_for_each_batch_of_small_pages_alone, 0, 32);
	tcase_add_test(tcase, vcpus_of_a_vmm_that_cannot_hold_them_are_not_asked_for);
	tcase_add_loop_test(tcase, first_touch_reads_as_zeros_and_is_counted, 0, 2);
	tcase_add_test(tcase, first_touch_after_a_move_gets_no_old_content);
	tcase_add_loop_test(tcase, first_touch_by_many_threads_during_moves_loses_nothing, 0, 2);
	tcase_add_loop_test(tcase, split_block_moves_as_small_pages_and_its_hole_stays_a_hole, 0,
			    2);
	tcase_add_loop_test(tcase, discarded_page_under_writers_is_served_again, 0, 2);
	tcase_add_loop_test(tcase, zero_page_that_is_written_while_discarded_keeps_the_write, 0, 2);
	tcase_add_loop_test(tcase, without_huge_frames_blocks_move_as_small_pages, 0, 2);
	tcase_add_loop_test(tcase, histograms_have_the_times_of_the_statistics, 0, 2);
	suite_add_tcase(suite, tcase);
	tcase = tcase_create("beliefs");
	tcase_set_timeout(tcase, 60);
	tcase_add_test(tcase, plain_engine_gives_memory_and_refuses_jobs);
	tcase_add_loop_test(tcase, host_that_cannot_move_is_told_or_runs_plain, 0, 3);
	tcase_add_test(tcase, kernel_that_damages_memory_is_refused_unless_asked_for);
	tcase_add_loop_test(tcase, memory_moved_by_somebody_else_is_noticed_and_no_breach, 0, 2);
	tcase_add_test(tcase, age_counts_from_the_last_whole_comparison);
	tcase_add_loop_test(tcase, samples_walk_over_all_memory_and_notice_what_others_moved, 0, 2);
	tcase_add_test(tcase, regions_that_overlap_or_are_crooked_are_refused);
	suite_add_tcase(suite, tcase);
	return rig_main(suite);
}
