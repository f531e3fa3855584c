/* Where the memory of a first touch comes from when not everything can be had. */
#include "../../migrate/core/log_limit.h"
#include "../../migrate/core/topology.h"
#include "../../migrate/core/uffd.h"
#include "../../migrate/memory/claim.h"
#include "../../migrate/memory/frame.h"
#include "../../migrate/memory/ledger.h"
#include "../../migrate/memory/region.h"
#include "rig.h"
#include "uffd_poison.h"

#include <errno.h>
#include <sched.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#define BLOCKS 8
#define BYTES  (BLOCKS * GMIG_BLOCK_BYTES)
#define WORKER GMIG_MAX_WORKERS /* whose pools vnode 0's fault thread uses */

static struct gmig_sys sys;
static struct rig rig;
static atomic_int no_huge, no_memory, populates;

static int advise(void *memory, size_t bytes, int advice)
{
	void *block = (void *)((uintptr_t)memory & ~(GMIG_BLOCK_BYTES - 1));
	int ret;

	if (advice != MADV_POPULATE_WRITE)
		return gmig_sys_real.advise(memory, bytes, advice);
	atomic_fetch_add(&populates, 1);
	if (atomic_load(&no_memory))
		return -ENOMEM;
	if (!atomic_load(&no_huge))
		return gmig_sys_real.advise(memory, bytes, advice);
	madvise(block, GMIG_BLOCK_BYTES, MADV_NOHUGEPAGE);
	ret = gmig_sys_real.advise(memory, bytes, advice);
	madvise(block, GMIG_BLOCK_BYTES, MADV_HUGEPAGE);
	return ret;
}

/* Moves into the region do `part_pages` and then fail. */
static atomic_int part_pages, no_copy, copies;
static atomic_uintptr_t ram; /* once it is there */

static int move_part(int fd, struct uffdio_move *move)
{
	struct uffdio_move part = *move;

	if (move->dst - atomic_load(&ram) >= BYTES || !atomic_load(&part_pages))
		return gmig_sys_real.ioctl(fd, UFFDIO_MOVE, move);
	if (move->len < GMIG_BLOCK_BYTES) { /* it goes on where it stopped */
		move->move = -EBUSY;
		return -EBUSY;
	}
	part.len = (__u64)atomic_load(&part_pages) * GMIG_PAGE_BYTES;
	if (!gmig_sys_real.ioctl(fd, UFFDIO_MOVE, &part))
		part.move = (__s64)part.len;
	move->move = part.move;
	return -EAGAIN;
}

static int control(int fd, unsigned long request, void *arg)
{
	if (request == UFFDIO_MOVE)
		return move_part(fd, arg);
	if (request == UFFDIO_COPY && atomic_load(&no_copy)) {
		atomic_fetch_add(&copies, 1);
		((struct uffdio_copy *)arg)->copy = -ENOMEM;
		return -ENOMEM;
	}
	return gmig_sys_real.ioctl(fd, request, arg);
}

/* A message that the kernel did not send, or sends late. */
static struct uffd_msg message;
static atomic_bool injected;
static atomic_uint
    served_at; /* what the fault thread has counted to when it has served the message */

static int wait_for(struct pollfd *fds, unsigned int count, int timeout_ms)
{
	int ret = gmig_sys_real.poll(fds, count, timeout_ms < 0 || timeout_ms > 1 ? 1 : timeout_ms);

	if (atomic_load(&injected)) {
		fds[0].revents |= POLLIN;
		return 1;
	}
	return ret;
}

static ssize_t receive(int fd, void *buffer, size_t bytes)
{
	if (!atomic_load(&injected))
		return gmig_sys_real.read(fd, buffer, bytes);
	memcpy(buffer, &message, sizeof(message));
	atomic_store(&served_at, atomic_load(&rig.gmig->vnodes[0].serving) + 2);
	atomic_store(&injected, false);
	return sizeof(message);
}

static _Atomic uint64_t frozen_ns; /* 0: the clock runs */

static uint64_t now_ns(void)
{
	uint64_t frozen = atomic_load(&frozen_ns);

	return frozen ? frozen : gmig_sys_real.now_ns();
}

static void start(unsigned int nodes)
{
	struct rig_options options = {
	    .bytes = BYTES, .nodes = nodes, .untouched = true, .sys = &sys};

	sys = gmig_sys_real;
	sys.advise = advise;
	sys.ioctl = control;
	sys.poll = wait_for;
	sys.read = receive;
	sys.now_ns = now_ns;
	rig_create(&rig, &options);
	atomic_store(&ram, (uintptr_t)rig.ram);
}

static uint64_t resident(unsigned int node)
{
	uint64_t bytes[GMIG_MAX_NODES];

	rig_settle(&rig);
	gmig_residency(rig.gmig, 0, bytes);
	return bytes[node];
}

static void assert_sizes(uint64_t bytes_2m, uint64_t bytes_4k)
{
	struct gmig_stats stats;

	rig_settle(&rig);
	gmig_stats(rig.gmig, &stats);
	ck_assert_uint_eq(stats.page_bytes_2m, bytes_2m);
	ck_assert_uint_eq(stats.page_bytes_4k, bytes_4k);
}

static void touch_all(void)
{
	for (uint64_t page = 0; page < rig.pages; page += GMIG_BLOCK_PAGES)
		rig_write_page(&rig, page);
}

/* ---- Near before huge ------------------------------------------------------------------------- */

START_TEST(first_touch_without_a_near_huge_page_takes_near_small_ones)
{
	if (!thp_or_skip())
		return;
	start(4);
	atomic_store(&no_huge, 1);
	rig_write_page(&rig, 0);
	atomic_store(&no_huge, 0);
	ck_assert_uint_eq(resident(0), GMIG_BLOCK_BYTES);
	assert_sizes(0, GMIG_BLOCK_BYTES);
	/* And after a while huge ones again. */
	for (int i = 0; i < 1000 && policy_is_hopeless(rig.gmig->policy, 0, true); i++)
		usleep(1000);
	rig_write_page(&rig, GMIG_BLOCK_PAGES);
	assert_sizes(GMIG_BLOCK_BYTES, GMIG_BLOCK_BYTES);
	rig_assert_clean(&rig);
	rig_destroy(&rig);
}
END_TEST

START_TEST(first_touches_with_huge_pages_off_do_not_try_each_time)
{
	start(8);
	/* As the engine does not know: it asks once, when it is made. */
	ck_assert_int_eq(prctl(PR_SET_THP_DISABLE, 1, 0, 0, 0), 0);
	atomic_store(&frozen_ns, gmig_sys_real.now_ns());
	touch_all();
	ck_assert_uint_eq(resident(0), BYTES);
	ck_assert_int_eq(atomic_load(&populates), 1); /* of one page */
	atomic_fetch_add(&frozen_ns, 10000000);
	for (uint64_t page = 0; page < rig.pages; page++)
		rig_write_page(&rig, page);
	ck_assert_int_eq(atomic_load(&populates), 1); /* all had memory */
	atomic_store(&frozen_ns, 0);
	rig_assert_clean(&rig);
	rig_destroy(&rig);
}
END_TEST

START_TEST(first_touch_on_a_node_without_memory_takes_the_next_one)
{
	if (!thp_or_skip())
		return;
	start(2);
	atomic_store(&frozen_ns, gmig_sys_real.now_ns());
	/* Node 0 has refused: for 10 ms nobody asks it again. */
	policy_note(rig.gmig->policy, 0, false, false);
	rig_write_page(&rig, 0);
	atomic_store(&frozen_ns, 0);
	ck_assert_uint_eq(resident(1), GMIG_BLOCK_BYTES);
	assert_sizes(GMIG_BLOCK_BYTES, 0);
	rig_assert_clean(&rig);
	rig_destroy(&rig);
}
END_TEST

START_TEST(first_touch_on_nodes_without_memory_takes_the_nearest_that_has_some)
{
	static const uint8_t from_0[] = {10, 30, 20, 25};
	static const unsigned int nearest[] = {2, 3, 1};

	if (!thp_or_skip())
		return;
	start(4);
	memcpy(rig.topology->distance, from_0, sizeof(from_0));
	rig_publish(&rig);
	atomic_store(&frozen_ns, gmig_sys_real.now_ns());
	policy_note(rig.gmig->policy, 0, false, false);
	for (unsigned int i = 0; i < 3; i++) {
		rig_write_page(&rig, (uint64_t)i * GMIG_BLOCK_PAGES);
		ck_assert_uint_eq(resident(nearest[i]), GMIG_BLOCK_BYTES);
		policy_note(rig.gmig->policy, nearest[i], false, false);
	}
	atomic_store(&frozen_ns, 0);
	rig_assert_clean(&rig);
	rig_destroy(&rig);
}
END_TEST

/* ---- Halfway ---------------------------------------------------------------------------------- */

START_TEST(first_touch_that_came_in_partly_is_counted_once)
{
	static const int parts[] = {1, 100, 511};
	unsigned int page = _i & 1 ? 0 : GMIG_BLOCK_PAGES - 1; /* inside, and behind the part */

	if (!thp_or_skip())
		return;
	start(2);
	atomic_store(&part_pages, parts[_i / 2]);
	rig_write_page(&rig, page);
	rig_settle(&rig); /* the first part has woken us */
	atomic_store(&part_pages, 0);
	ck_assert_uint_eq(resident(0), GMIG_BLOCK_BYTES);
	assert_sizes(0, GMIG_BLOCK_BYTES);
	for (unsigned int i = 0; i < GMIG_BLOCK_PAGES; i++)
		if (i != page)
			ck_assert_uint_eq(*rig_page(&rig, i), 0);
	rig_assert_clean(&rig);
	/* The rest of the frame is not served as a huge one. */
	rig_write_page(&rig, GMIG_BLOCK_PAGES);
	assert_sizes(GMIG_BLOCK_BYTES, GMIG_BLOCK_BYTES);
	rig_assert_clean(&rig);
	rig_destroy(&rig);
}
END_TEST

/* ---- Broken ----------------------------------------------------------------------------------- */

/* Nothing new can be had, and the used frames that lie there are broken but the last one. */
START_TEST(first_touch_gets_no_broken_frame_and_kills_nobody)
{
	struct frame_want want = {.node = 0, .worker = WORKER, .huge = true};
	struct slot *slot[3];
	struct gmig_stats stats;

	if (!thp_or_skip())
		return;
	start(2);
	for (int i = 0; i < 3; i++)
		ck_assert_int_eq(frame_take(rig.gmig->frames, &want, &slot[i]), 0);
	for (int i = 0; i < 3; i++) {
		uint8_t *at = slot[i]->hva + 100 * GMIG_PAGE_BYTES;
		struct uffdio_poison poison = {.range = {(uintptr_t)at, GMIG_PAGE_BYTES}};

		memset(slot[i]->hva, 7, GMIG_BLOCK_BYTES);
		slot[i]->clean = false;
		if (i) {
			ck_assert_int_eq(madvise(at, GMIG_PAGE_BYTES, MADV_DONTNEED), 0);
			ck_assert_int_eq(
			    sys.ioctl(frame_uffd(rig.gmig->frames), UFFDIO_POISON, &poison), 0);
		}
		frame_give(rig.gmig->frames, slot[i]);
	}
	atomic_store(&no_memory, 1);
	ck_assert_uint_eq(*rig_page(&rig, 5), 0);
	atomic_store(&no_memory, 0);
	ck_assert_uint_eq(resident(0), GMIG_BLOCK_BYTES);
	assert_sizes(GMIG_BLOCK_BYTES, 0);
	gmig_stats(rig.gmig, &stats);
	ck_assert_uint_eq(stats.quarantine_bytes[0], 2 * GMIG_PAGE_BYTES);
	rig_assert_clean(&rig);
	rig_destroy(&rig);
}
END_TEST

/* ---- Without memory --------------------------------------------------------------------------- */

static void *touch_first_page(void *arg)
{
	(void)arg;
	rig_write_page(&rig, 0);
	return NULL;
}

START_TEST(first_touch_without_memory_sleeps_and_does_not_flood_the_log)
{
	uint64_t begin_ns = gmig_sys_real.now_ns();
	int windows, lines, tries;
	unsigned long long faults;
	pthread_t thread;

	start(2);
	atomic_store(&no_memory, 1);
	atomic_store(&no_copy, 1);
	ck_assert_int_eq(pthread_create(&thread, NULL, touch_first_page, NULL), 0);
	while (atomic_load(&copies) < 20)
		usleep(1000);
	lines = atomic_load(&rig.warnings);
	windows = 1 + (int)((gmig_sys_real.now_ns() - begin_ns) / LOG_LIMIT_NS);
	ck_assert_int_ge(lines, 1);
	ck_assert_int_le(lines, 2 + windows);
	/* It is tried several times for one fault; a thread that is stopped, or that a signal wakes, has another one. */
	do {
		faults = atomic_load(&rig.gmig->faults);
		tries = atomic_load(&copies);
		while (atomic_load(&copies) < tries + 3)
			usleep(1000);
	} while (atomic_load(&rig.gmig->faults) != faults);
	atomic_store(&no_memory, 0);
	atomic_store(&no_copy, 0);
	pthread_join(thread, NULL);
	ck_assert_uint_eq(resident(0), GMIG_BLOCK_BYTES);
	atomic_store(&rig.warnings, 0);
	rig_assert_clean(&rig);
	rig_destroy(&rig);
}
END_TEST

/* ---- The reader of a claim -------------------------------------------------------------------- */

/* Returns when the message has been served: that it was read says nothing of that. */
static void inject(uint64_t page, int tid)
{
	const atomic_uint *serving = &rig.gmig->vnodes[0].serving;

	message = (struct uffd_msg){.event = UFFD_EVENT_PAGEFAULT};
	message.arg.pagefault.address = (uintptr_t)rig_page(&rig, page);
	message.arg.pagefault.feat.ptid = (__u32)tid;
	atomic_store(&injected, true);
	while (atomic_load(&injected) || (int)(atomic_load(serving) - atomic_load(&served_at)) < 0)
		usleep(100);
}

static bool is_hole(unsigned int page)
{
	struct uffd_scan scan;

	ck_assert_int_eq(uffd_scan(rig.gmig->sys, rig.gmig->pagemap, (void *)rig.ram, &scan), 0);
	return !bits_get(&scan.present, page);
}

/* A page of a claimed block is out, or was never there: only for who reads it now is it filled. */
START_TEST(hole_of_a_claimed_block_is_filled_for_its_reader_alone)
{
	struct claim claim = {.gmig = NULL, .to = 1, .memory = BOOKS_SLOT};
	struct claim_result nothing = {.stall = NULL};
	int tid = (int)syscall(SYS_gettid);
	struct bits refused;

	start(2);
	atomic_store(&no_huge, 1);
	rig_write_page(&rig, 0);
	rig_settle(&rig);
	claim.gmig = rig.gmig;
	claim.region = &rig.gmig->regions[0];
	bits_fill(&claim.pages);
	claim_take(&claim, &refused);
	ck_assert(bits_empty(&refused));
	ck_assert_int_eq(madvise((void *)rig_page(&rig, 9), GMIG_PAGE_BYTES, MADV_DONTNEED), 0);
	inject(9, tid); /* late: it does not read any more */
	ck_assert(is_hole(9));
	claim_read_begin(&claim);
	inject(9, tid + 1); /* somebody else */
	ck_assert(is_hole(9));
	inject(9, tid);
	ck_assert(!is_hole(9));
	claim_read_end(&claim);
	ck_assert_int_eq(madvise((void *)rig_page(&rig, 9), GMIG_PAGE_BYTES, MADV_DONTNEED), 0);
	inject(9, tid);
	ck_assert(is_hole(9));
	bits_set(&nothing.gone, 9);
	bits_clear_range(&claim.pages, 9, 1);
	claim_settle(&claim, &nothing);
	rig_destroy(&rig);
}
END_TEST

START_TEST(threads_beyond_64_are_known)
{
	start(2);
	for (int tid = 1; tid <= 300; tid++)
		ck_assert_int_eq(gmig_name_vcpu_thread(rig.gmig, 0, tid), 0);
	inject(0, 300);
	ck_assert_uint_eq(atomic_load(&rig.gmig->faults_known_thread), 1);
	inject(0, 301);
	ck_assert_uint_eq(atomic_load(&rig.gmig->faults_known_thread), 1);
	rig_destroy(&rig);
}
END_TEST

/* ---- Faults of others --------------------------------------------------------------------------- */

static struct {
	atomic_bool armed, held, release;
} service;

/* The first frame that is made while armed takes as long as the test wants. Of a huge page: small ones need not be made ahead. */
static int advise_held(void *memory, size_t bytes, int advice)
{
	if (advice == MADV_POPULATE_WRITE && atomic_exchange(&service.armed, false)) {
		atomic_store(&service.held, true);
		while (!atomic_load(&service.release))
			sched_yield();
	}
	return gmig_sys_real.advise(memory, bytes, advice);
}

static void *touch_of_vnode_1(void *arg)
{
	*(volatile uint8_t *)arg = 1;
	return NULL;
}

START_TEST(job_on_one_vnode_does_not_wait_for_the_faults_of_another)
{
	const struct gmig_region_spec second = {.vnode = 1, .gpa = BYTES, .bytes = BYTES};
	struct gmig_job_spec spec = rig_spec(0, 1);
	struct gmig_error err = {0};
	struct gmig_job_info info;
	pthread_t thread;
	void *other;

	if (!thp_or_skip())
		return;
	sys = gmig_sys_real;
	sys.advise = advise_held;
	rig_create(&rig, &(struct rig_options){.bytes = BYTES, .sys = &sys});
	ck_assert_int_eq(gmig_region_add(rig.gmig, &second, &other, &err), 0);
	atomic_store(&service.armed, true);
	ck_assert_int_eq(pthread_create(&thread, NULL, touch_of_vnode_1, other), 0);
	while (!atomic_load(&service.held))
		sched_yield();
	spec.vnodes = 1;
	rig_move(&rig, &spec, &info);
	ck_assert_int_eq(info.state, GMIG_JOB_COMPLETED);
	ck_assert_uint_eq(info.moved_bytes, BYTES);
	ck_assert(!atomic_load(&service.release)); /* the fault is held in service still */
	atomic_store(&service.release, true);
	pthread_join(thread, NULL);
	ck_assert_uint_eq(rig_check_all(&rig), 0);
	rig_assert_clean(&rig);
	rig_destroy(&rig);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("first_touch");
	TCase *tcase = tcase_create("faults");

	tcase_set_timeout(tcase, 60);
	tcase_add_test(tcase, first_touch_without_a_near_huge_page_takes_near_small_ones);
	tcase_add_test(tcase, first_touches_with_huge_pages_off_do_not_try_each_time);
	tcase_add_test(tcase, first_touch_on_a_node_without_memory_takes_the_next_one);
	tcase_add_test(tcase, first_touch_on_nodes_without_memory_takes_the_nearest_that_has_some);
	tcase_add_loop_test(tcase, first_touch_that_came_in_partly_is_counted_once, 0, 6);
	tcase_add_test(tcase, first_touch_gets_no_broken_frame_and_kills_nobody);
	tcase_add_test(tcase, first_touch_without_memory_sleeps_and_does_not_flood_the_log);
	tcase_add_test(tcase, hole_of_a_claimed_block_is_filled_for_its_reader_alone);
	tcase_add_test(tcase, threads_beyond_64_are_known);
	tcase_add_test(tcase, job_on_one_vnode_does_not_wait_for_the_faults_of_another);
	suite_add_tcase(suite, tcase);
	return rig_main(suite);
}
