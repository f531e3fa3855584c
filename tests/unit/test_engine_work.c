/*
 * What a job says of its work is true: nothing counts as done that was not tried, and nothing is lost when
 * calls fail halfway, others hold blocks, or memory comes to a node that is being left.
 */
#include "../../migrate/jobs/job_list.h"
#include "rig.h"

#include <errno.h>
#include <sched.h>
#include <sys/mman.h>
#include <unistd.h>

#define BYTES  (16ull << 20)
#define BLOCKS (BYTES / GMIG_BLOCK_BYTES)

static struct rig rig;

/* ---- A kernel in which things happen at a certain call ------------------------------------------ */

/* Called before each UFFDIO_MOVE that takes pages out of the region, or puts some in. != 0: it fails so. */
typedef int out_hook(uint64_t first, uint64_t pages);
typedef int in_hook(uint64_t first, uint64_t pages, struct uffdio_move *move);

static struct {
	_Atomic(out_hook *) out;
	_Atomic(in_hook *) in;
	_Atomic(struct gmig_job *) job;
	atomic_int state;
} kernel;

static bool is_ram(uint64_t address)
{
	return address >= (uintptr_t)rig.ram && address < (uintptr_t)rig.ram + BYTES;
}

static uint64_t page_of(uint64_t address)
{
	return (address - (uintptr_t)rig.ram) / GMIG_PAGE_BYTES;
}

static int ioctl_watched(int fd, unsigned long request, void *arg)
{
	struct uffdio_move *move = arg;
	out_hook *out = atomic_load(&kernel.out);
	in_hook *in = atomic_load(&kernel.in);
	int ret = 0;

	if (request == UFFDIO_MOVE && rig.ram) {
		if (out && is_ram(move->src))
			ret = out(page_of(move->src), move->len / GMIG_PAGE_BYTES);
		if (in && is_ram(move->dst))
			ret = in(page_of(move->dst), move->len / GMIG_PAGE_BYTES, move);
		if (ret) {
			if (move->move <= 0)
				move->move = ret;
			return ret;
		}
	}
	return gmig_sys_real.ioctl(fd, request, arg);
}

static int (*waits)(pthread_cond_t *cond, pthread_mutex_t *mutex, uint64_t deadline_ns);

static void start(bool small_pages, bool untouched)
{
	static struct gmig_sys sys;

	sys = gmig_sys_real;
	sys.ioctl = ioctl_watched;
	if (waits)
		sys.wait_until = waits;
	rig_create(&rig, &(struct rig_options){.bytes = BYTES,
					       .small_pages = small_pages,
					       .untouched = untouched,
					       .sys = &sys});
}

static struct gmig_job *job_start_of(const struct gmig_job_spec *spec)
{
	struct gmig_error err = {0};
	struct gmig_job *job;

	ck_assert_msg(gmig_job_start(rig.gmig, spec, &job, &err) == 0, "%s", err.text);
	return job;
}

static void job_ends(struct gmig_job *job, struct gmig_job_info *info)
{
	gmig_job_wait(job);
	gmig_job_info(job, info);
}

static void assert_adds_up(const struct gmig_job_info *info)
{
	ck_assert_uint_eq(info->total_bytes, info->moved_bytes + info->remaining_bytes +
						 info->gone_bytes + info->by_others_bytes);
}

static uint64_t on_node(unsigned int node)
{
	uint64_t bytes[GMIG_MAX_NODES];

	ck_assert_int_eq(gmig_residency(rig.gmig, 0, bytes), 0);
	return bytes[node];
}

static void finish(void)
{
	ck_assert_uint_eq(rig_check_all(&rig), 0);
	rig_assert_clean(&rig);
	rig_destroy(&rig);
}

/* ---- Workers that are refused --------------------------------------------------------------------- */

/* The mover uffd, whose workers may be refused. */
static struct mover refusing;
static atomic_bool refuses;

static int begin_or_refuse(struct mover_worker *worker)
{
	return atomic_load(&refuses) ? -EAGAIN : mover_uffd.worker_begin(worker);
}

/* On the job's thread, before its first pass; later events find it done, beside workers that use it. */
static void exchange_mover(void *opaque, const struct gmig_job_info *info)
{
	struct gmig_job *job = gmig_job_find(opaque, info->id);

	if (info->state == GMIG_JOB_RUNNING && job->mover != &refusing)
		job->mover = &refusing;
	gmig_job_put(job);
}

static void refuse_workers(void)
{
	refusing = mover_uffd;
	refusing.worker_begin = begin_or_refuse;
	atomic_store(&refuses, true);
	rig.gmig->memory.opaque = rig.gmig;
	rig.gmig->memory.job_event = exchange_mover;
}

START_TEST(job_whose_workers_are_refused_says_that_all_remains)
{
	struct gmig_job_spec spec = rig_spec(0, 1);
	struct gmig_job_info info;

	start(_i, false);
	refuse_workers();
	rig_move(&rig, &spec, &info);
	ck_assert_int_eq(info.state, GMIG_JOB_COMPLETED);
	ck_assert_uint_eq(info.moved_bytes, 0);
	ck_assert_uint_eq(info.remaining_bytes, BYTES);
	ck_assert_uint_eq(info.remaining_count, 1);
	ck_assert_int_eq(info.remaining[0].error, EAGAIN);
	ck_assert_uint_eq(info.bytes_on_source, BYTES);
	assert_adds_up(&info);
	atomic_store(&refuses, false);
	rig_move(&rig, &spec, &info);
	ck_assert_uint_eq(info.moved_bytes, BYTES);
	ck_assert_uint_eq(info.remaining_bytes, 0);
	ck_assert_uint_eq(info.bytes_on_source, 0);
	finish();
}
END_TEST

/* Only jobs wait like that, with their lock held. */
static const struct gmig_job *waiting_job(const pthread_mutex_t *mutex)
{
	const char *lock = (const char *)mutex;

	return (const void *)(lock - offsetof(struct gmig_job, lock));
}

/* In the third pass the other jobs end. */
static int wait_admitting_workers(pthread_cond_t *cond, pthread_mutex_t *mutex,
				  uint64_t deadline_ns)
{
	if (waiting_job(mutex)->passes == 3 && !atomic_exchange(&kernel.state, 1))
		atomic_store(&refuses, false);
	return gmig_sys_real.wait_until(cond, mutex, deadline_ns);
}

START_TEST(job_whose_workers_are_admitted_later_moves_all)
{
	struct gmig_sys sys = gmig_sys_real;
	struct gmig_job_spec spec = rig_spec(0, 1);
	struct gmig_job_info info;

	sys.wait_until = wait_admitting_workers;
	rig_create(&rig, &(struct rig_options){.bytes = BYTES, .small_pages = _i, .sys = &sys});
	refuse_workers();
	spec.threads = 4;
	rig_move(&rig, &spec, &info);
	ck_assert_uint_ge(info.passes, 3);
	ck_assert_uint_eq(info.moved_bytes, BYTES);
	ck_assert_uint_eq(info.remaining_bytes, 0);
	finish();
}
END_TEST

/* ---- Memory that comes while a job runs --------------------------------------------------------- */

static void *toucher(void *arg)
{
	rig_write_page(&rig, *(uint64_t *)arg);
	return NULL;
}

/* By a thread of the guest: whoever holds nothing may wait for it. */
static void guest_touches(uint64_t page)
{
	pthread_t thread;

	ck_assert_int_eq(pthread_create(&thread, NULL, toucher, &page), 0);
	pthread_join(thread, NULL);
	rig_settle(&rig);
}

#define LATE_PAGE (5 * GMIG_BLOCK_PAGES + 7) /* in a block that nobody has touched before */

/* The target is full just now: the first touch falls back to a node that is being left. */
static int touch_falls_back(uint64_t first, uint64_t pages)
{
	struct region *region = &rig.gmig->regions[0];

	(void)first;
	(void)pages;
	if (!atomic_exchange(&kernel.state, 1)) {
		ck_assert_uint_eq(atomic_load(&region->preferred_node), 1);
		atomic_store(&region->preferred_node, 0);
		guest_touches(LATE_PAGE);
		atomic_store(&region->preferred_node, 1);
	}
	return 0;
}

static void write_first_blocks(uint64_t blocks)
{
	for (uint64_t page = 0; page < blocks * GMIG_BLOCK_PAGES; page++)
		rig_write_page(&rig, page);
}

START_TEST(first_touch_that_fell_back_to_a_node_being_left_is_moved_too)
{
	struct gmig_job_spec spec = rig_spec(0, 1);
	struct gmig_job_info info;

	start(_i, true);
	write_first_blocks(2);
	atomic_store(&kernel.out, touch_falls_back);
	rig_move(&rig, &spec, &info);
	ck_assert_int_eq(atomic_load(&kernel.state), 1);
	ck_assert_int_eq(info.state, GMIG_JOB_COMPLETED);
	ck_assert_uint_eq(info.moved_bytes, 3 * GMIG_BLOCK_BYTES);
	ck_assert_uint_eq(info.remaining_bytes, 0);
	ck_assert_uint_eq(info.bytes_on_source, 0);
	assert_adds_up(&info);
	ck_assert_uint_eq(on_node(0), 0);
	ck_assert_uint_eq(rig_check_page(&rig, LATE_PAGE), 0);
	rig_assert_clean(&rig);
	rig_destroy(&rig);
}
END_TEST

/* The same, but the kernel does not let that block go. */
static int touch_falls_back_for_good(uint64_t first, uint64_t pages)
{
	touch_falls_back(first, pages);
	return first / GMIG_BLOCK_PAGES == LATE_PAGE / GMIG_BLOCK_PAGES ? -EBUSY : 0;
}

START_TEST(first_touch_that_fell_back_and_cannot_be_moved_is_told)
{
	struct gmig_job_spec spec = rig_spec(0, 1);
	struct gmig_job_info info;

	start(_i, true);
	write_first_blocks(2);
	atomic_store(&kernel.out, touch_falls_back_for_good);
	rig_move(&rig, &spec, &info);
	ck_assert_int_eq(info.state, GMIG_JOB_COMPLETED);
	ck_assert_uint_eq(info.moved_bytes, 2 * GMIG_BLOCK_BYTES);
	ck_assert_uint_eq(info.remaining_bytes, GMIG_BLOCK_BYTES);
	ck_assert_int_eq(info.remaining[0].error, EBUSY);
	ck_assert_uint_eq(info.bytes_on_source, GMIG_BLOCK_BYTES);
	assert_adds_up(&info);
	ck_assert_uint_eq(rig_check_page(&rig, LATE_PAGE), 0);
	rig_assert_clean(&rig);
	rig_destroy(&rig);
}
END_TEST

#define SWAP_PAGE (6 * GMIG_BLOCK_PAGES + 5)

static int touch_at_new_home(uint64_t first, uint64_t pages)
{
	(void)first;
	(void)pages;
	if (!atomic_exchange(&kernel.state, 1))
		guest_touches(SWAP_PAGE);
	return 0;
}

START_TEST(page_touched_while_nodes_swap_stays_on_its_new_node)
{
	struct gmig_job_spec swap = {.from = {0, 1}, .to = {1, 0}, .from_count = 2, .to_count = 2};
	struct gmig_job_info info;
	struct gmig_job *job;
	int status;

	start(_i, false);
	madvise((void *)rig_page(&rig, SWAP_PAGE), GMIG_PAGE_BYTES, MADV_DONTNEED);
	rig_assert_clean(&rig);
	atomic_store(&kernel.out, touch_at_new_home);
	job = job_start_of(&swap);
	job_ends(job, &info);
	ck_assert_int_eq(atomic_load(&kernel.state), 1);
	ck_assert_uint_eq(info.moved_bytes, BYTES - GMIG_PAGE_BYTES);
	ck_assert_uint_eq(info.remaining_bytes, 0);
	assert_adds_up(&info);
	ck_assert_int_eq(gmig_job_page_status(job, SWAP_PAGE * GMIG_PAGE_BYTES, 1, &status), 0);
	ck_assert_int_eq(status, 1);
	ck_assert_uint_eq(on_node(1), BYTES);
	gmig_job_put(job);
	finish();
}
END_TEST

/* ---- A block that another job holds ------------------------------------------------------------- */

#define HELD_BLOCK 1

/* A holds the block until B has met it twice; then A gives it back, and ends. */
static struct {
	_Atomic(struct gmig_job *) a, b;
	atomic_bool held;
} two;

static int held_and_given_back(uint64_t first, uint64_t pages)
{
	struct gmig_job_info info;

	(void)pages;
	if (first / GMIG_BLOCK_PAGES != HELD_BLOCK)
		return 0;
	if (atomic_exchange(&two.held, true)) {
		gmig_job_info(two.a, &info);
		return info.state == GMIG_JOB_CANCELLED ? 0 : -EBUSY;
	}
	do {
		struct gmig_job *b = atomic_load(&two.b);

		sched_yield();
		info.passes = 0;
		if (b)
			gmig_job_info(b, &info);
	} while (info.passes < 3);
	gmig_job_cancel(two.a);
	return -EBUSY;
}

static bool is_at_work(struct gmig_job *job)
{
	bool works;

	if (pthread_mutex_trylock(&job->lock))
		return true;
	works = job->working;
	pthread_mutex_unlock(&job->lock);
	return works;
}

/* Between passes: a block that the other job holds, however long the host lets it, uses up no more than three. */
static int wait_for_the_other(pthread_cond_t *cond, pthread_mutex_t *mutex, uint64_t deadline_ns)
{
	const struct gmig_job *job = waiting_job(mutex);
	struct gmig_job *other = atomic_load(job == atomic_load(&two.a) ? &two.b : &two.a);
	int ret = gmig_sys_real.wait_until(cond, mutex, deadline_ns);

	while (other && job->passes >= 3 && !job->working && is_at_work(other))
		gmig_sys_real.wait_until(cond, mutex, gmig_sys_real.now_ns() + 1000000);
	return ret;
}

START_TEST(block_that_another_job_held_at_plan_time_and_put_back_is_moved)
{
	struct gmig_job_spec spec = rig_spec(0, 1);
	struct gmig_job_info a, b;

	waits = wait_for_the_other;
	start(_i, false);
	atomic_store(&kernel.out, held_and_given_back);
	spec.batch_pages = GMIG_BLOCK_PAGES;
	atomic_store(&two.a, job_start_of(&spec));
	while (!atomic_load(&two.held))
		sched_yield();
	atomic_store(&two.b, job_start_of(&spec));
	job_ends(two.a, &a);
	job_ends(two.b, &b);
	ck_assert_int_eq(a.state, GMIG_JOB_CANCELLED);
	ck_assert_uint_eq(a.moved_bytes, GMIG_BLOCK_BYTES);
	ck_assert_int_eq(b.state, GMIG_JOB_COMPLETED);
	ck_assert_uint_eq(b.total_bytes, BYTES - GMIG_BLOCK_BYTES);
	ck_assert_uint_eq(b.moved_bytes, BYTES - GMIG_BLOCK_BYTES);
	ck_assert_uint_eq(b.remaining_bytes, 0);
	ck_assert_uint_eq(b.bytes_on_source, 0);
	assert_adds_up(&a);
	assert_adds_up(&b);
	gmig_job_put(two.a);
	gmig_job_put(two.b);
	finish();
}
END_TEST

/* ---- Two jobs with the same work ---------------------------------------------------------------- */

static atomic_bool watching;

static void *sums_watched(void *arg)
{
	struct gmig_job *job = arg;
	struct gmig_job_info info;
	uint64_t moved = 0;

	while (atomic_load(&watching)) {
		gmig_job_info(job, &info);
		assert_adds_up(&info);
		ck_assert_uint_le(info.total_bytes, BYTES);
		ck_assert_uint_ge(info.moved_bytes, moved);
		moved = info.moved_bytes;
		sched_yield();
	}
	return NULL;
}

START_TEST(sums_of_two_identical_jobs_add_up_at_every_moment)
{
	struct gmig_job_spec spec = rig_spec(0, 1);
	struct gmig_job_info info[2];
	struct gmig_job *job[2];
	pthread_t watcher[2];

	waits = wait_for_the_other;
	start(_i, false);
	rig_start(&rig, 2);
	atomic_store(&watching, true);
	spec.rate_bytes_per_second = 64ull << 20;
	spec.threads = 2;
	for (unsigned int i = 0; i < 2; i++) {
		job[i] = job_start_of(&spec);
		atomic_store(i ? &two.b : &two.a, job[i]);
		ck_assert_int_eq(pthread_create(&watcher[i], NULL, sums_watched, job[i]), 0);
	}
	for (unsigned int i = 0; i < 2; i++)
		job_ends(job[i], &info[i]);
	atomic_store(&watching, false);
	for (unsigned int i = 0; i < 2; i++) {
		pthread_join(watcher[i], NULL);
		assert_adds_up(&info[i]);
		ck_assert_int_eq(info[i].state, GMIG_JOB_COMPLETED);
		ck_assert_uint_eq(info[i].remaining_bytes, 0);
		ck_assert_uint_eq(info[i].bytes_on_source, 0);
		gmig_job_put(job[i]);
	}
	ck_assert_uint_eq(info[0].moved_bytes + info[1].moved_bytes, BYTES);
	ck_assert_uint_eq(rig_stop(&rig), 0);
	finish();
}
END_TEST

/* ---- Calls that fail halfway -------------------------------------------------------------------- */

#define BAD_PAGE (1 * GMIG_BLOCK_PAGES + 100)

static atomic_int refusals;

/* Pages before the bad one go in, then the kernel says EBUSY, so often. */
static int in_halfway(uint64_t first, uint64_t pages, struct uffdio_move *move)
{
	struct uffdio_move head = *move;

	if (BAD_PAGE < first || BAD_PAGE >= first + pages || atomic_load(&refusals) == 0)
		return 0;
	move->move = 0;
	if (first == BAD_PAGE) {
		atomic_fetch_sub(&refusals, 1);
		return -EBUSY;
	}
	head.len = (BAD_PAGE - first) * GMIG_PAGE_BYTES;
	if (gmig_sys_real.ioctl(rig.gmig->vnodes[0].uffd, UFFDIO_MOVE, &head))
		return (int)head.move;
	move->move = (int64_t)head.len;
	return -EAGAIN;
}

/* i & 1: small pages; i & 2: mode block. */
START_TEST(block_whose_remap_fails_halfway_keeps_books_and_content)
{
	struct gmig_job_spec forth = rig_spec(0, 1), back = rig_spec(1, 0);
	struct gmig_job_info info;

	forth.mode = back.mode = _i & 2 ? GMIG_MODE_BLOCK : GMIG_MODE_READABLE;
	start(_i & 1, false);
	rig_start(&rig, 2);
	atomic_store(&kernel.in, in_halfway);
	atomic_store(&refusals, 5); /* all tries, and the first of the putback */
	rig_move(&rig, &forth, &info);
	ck_assert_int_eq(atomic_load(&refusals), 0);
	ck_assert_uint_eq(info.moved_bytes, BYTES);
	ck_assert_uint_gt(info.passes, 1);
	assert_adds_up(&info);
	ck_assert_uint_eq(on_node(1), BYTES);
	rig_assert_clean(&rig);
	/* What the failure left in the pools serves nobody wrongly. */
	for (unsigned int i = 0; i < 3; i++) {
		rig_move(&rig, &back, &info);
		ck_assert_uint_eq(info.moved_bytes, BYTES);
		rig_assert_clean(&rig);
		rig_move(&rig, &forth, &info);
		ck_assert_uint_eq(info.moved_bytes, BYTES);
	}
	ck_assert_uint_eq(rig_stop(&rig), 0);
	finish();
}
END_TEST

static int in_halfway_for_good(uint64_t first, uint64_t pages, struct uffdio_move *move)
{
	int ret = in_halfway(first, pages, move);

	/* Spent: what comes next is the putback, which goes well. */
	if (!ret && BAD_PAGE >= first && BAD_PAGE < first + pages)
		atomic_store(&refusals, 4);
	return ret;
}

START_TEST(huge_block_that_moves_only_half_lies_on_both_nodes)
{
	struct gmig_job_spec forth = rig_spec(0, 1);
	struct gmig_job_info info;
	struct gmig_job *job;
	int status[2];

	start(false, false);
	atomic_store(&kernel.in, in_halfway_for_good);
	atomic_store(&refusals, 4);
	job = job_start_of(&forth);
	job_ends(job, &info);
	ck_assert_uint_eq(info.moved_bytes + info.remaining_bytes, BYTES);
	ck_assert_uint_gt(info.remaining_bytes, 0);
	ck_assert_uint_eq(info.bytes_on_source, info.remaining_bytes);
	ck_assert_uint_eq(on_node(0), info.remaining_bytes);
	ck_assert_int_eq(gmig_job_page_status(job, (BAD_PAGE - 1) * GMIG_PAGE_BYTES, 2, status), 0);
	ck_assert_int_eq(status[0], 1);
	ck_assert_int_eq(status[1], -EBUSY);
	gmig_job_put(job);
	finish();
}
END_TEST

/* ---- Small runs --------------------------------------------------------------------------------- */

static struct {
	atomic_uint calls;
	atomic_uchar times[BYTES / GMIG_PAGE_BYTES];
} out;

static int out_counted(uint64_t first, uint64_t pages)
{
	atomic_fetch_add(&out.calls, 1);
	for (uint64_t i = first; i < first + pages; i++)
		atomic_fetch_add(&out.times[i], 1);
	return 0;
}

static int out_but_for_one(int fd, unsigned long request, void *arg)
{
	struct uffdio_move *move = arg, head;
	uint64_t first;
	int ret;

	if (request != UFFDIO_MOVE || !rig.ram || !is_ram(move->src))
		return gmig_sys_real.ioctl(fd, request, arg);
	first = page_of(move->src);
	if (BAD_PAGE < first || BAD_PAGE >= first + move->len / GMIG_PAGE_BYTES) {
		out_counted(first, move->len / GMIG_PAGE_BYTES);
		return gmig_sys_real.ioctl(fd, request, arg);
	}
	/* The run ends before the bad page, which the kernel does not give away. */
	out_counted(first, BAD_PAGE - first);
	move->move = -EBUSY;
	if (first == BAD_PAGE)
		return -EBUSY;
	head = *move;
	head.len = (BAD_PAGE - first) * GMIG_PAGE_BYTES;
	ret = gmig_sys_real.ioctl(fd, request, &head);
	move->move = ret ? head.move : (int64_t)head.len;
	return -EAGAIN;
}

START_TEST(page_that_stays_costs_no_other_page_a_second_move)
{
	struct gmig_sys sys = gmig_sys_real;
	struct gmig_job_spec spec = rig_spec(0, 1);
	struct gmig_job_info info;
	unsigned int expected;

	sys.ioctl = out_but_for_one;
	spec.mode = _i ? GMIG_MODE_BLOCK : GMIG_MODE_READABLE;
	spec.batch_pages = GMIG_BLOCK_PAGES;
	rig_create(&rig, &(struct rig_options){.bytes = BYTES, .small_pages = true, .sys = &sys});
	rig_move(&rig, &spec, &info);
	ck_assert_uint_eq(info.moved_bytes, BYTES - GMIG_PAGE_BYTES);
	ck_assert_uint_eq(info.remaining_bytes, GMIG_PAGE_BYTES);
	ck_assert_int_eq(info.remaining[0].error, EBUSY);
	for (uint64_t page = 0; page < rig.pages; page++)
		ck_assert_msg(atomic_load(&out.times[page]) == (page != BAD_PAGE),
			      "page %lu left %u times", (unsigned long)page,
			      atomic_load(&out.times[page]));
	/* A call a block; in the block with the bad page: up to it, the page, behind it; and the page in each
	 * pass after the first. */
	expected = (unsigned int)BLOCKS + 2 + info.passes - 1;
	ck_assert_uint_eq(atomic_load(&out.calls), expected);
	finish();
}
END_TEST

START_TEST(page_that_cannot_come_in_costs_those_that_did_no_second_move)
{
	struct gmig_job_spec spec = rig_spec(0, 1);
	struct gmig_job_info info;

	start(true, false);
	atomic_store(&kernel.out, out_counted);
	atomic_store(&kernel.in, in_halfway);
	atomic_store(&refusals, 5);
	spec.mode = _i ? GMIG_MODE_BLOCK : GMIG_MODE_READABLE;
	spec.batch_pages = 128;
	rig_move(&rig, &spec, &info);
	ck_assert_uint_eq(info.moved_bytes, BYTES);
	for (uint64_t page = 0; page < rig.pages; page++) {
		/* of the same part: these were put back with it */
		bool again = page >= BAD_PAGE && page < BAD_PAGE / 128 * 128 + 128;

		ck_assert_msg(atomic_load(&out.times[page]) == 1u + again, "page %lu left %u times",
			      (unsigned long)page, atomic_load(&out.times[page]));
	}
	finish();
}
END_TEST

START_TEST(blackout_in_mode_block_counts_each_part)
{
	static const unsigned int batches[] = {0, 1, 100, GMIG_BLOCK_PAGES};
	struct gmig_job_spec spec = rig_spec(0, 1);
	unsigned int batch = batches[_i], parts;
	struct gmig_job_info info;

	start(true, false);
	spec.mode = GMIG_MODE_BLOCK;
	spec.batch_pages = batch;
	rig_move(&rig, &spec, &info);
	parts = batch ? (GMIG_BLOCK_PAGES + batch - 1) / batch : 1;
	ck_assert_uint_eq(info.blackout_read.count, BLOCKS * parts);
	ck_assert_uint_eq(info.blackout_write.count, BLOCKS * parts);
	finish();
}
END_TEST

/* ---- Size --------------------------------------------------------------------------------------- */

static atomic_int scans_after_cancel;
static int cancel_at_scan;

/* A kernel that is slow to answer: as if the guest were as large as its time says. */
static int ioctl_slow(int fd, unsigned long request, void *arg)
{
	struct gmig_job *job = atomic_load(&kernel.job);

	if (request == PAGEMAP_SCAN && job) {
		if (atomic_fetch_add(&kernel.state, 1) + 1 == cancel_at_scan)
			gmig_job_cancel(job);
		else if (atomic_load(&job->cancelled))
			atomic_fetch_add(&scans_after_cancel, 1);
	}
	return gmig_sys_real.ioctl(fd, request, arg);
}

static void hold_until_known(struct gmig_job **job, const struct gmig_job_spec *spec)
{
	/* The trap is set before the job may look at the first block. */
	struct stripe *stripe = engine_stripe(rig.gmig, 0);

	pthread_mutex_lock(&stripe->lock);
	*job = job_start_of(spec);
	atomic_store(&kernel.job, *job);
	pthread_mutex_unlock(&stripe->lock);
}

START_TEST(cancel_while_the_plan_is_made_is_heard_at_the_next_block)
{
	struct gmig_sys sys = gmig_sys_real;
	struct gmig_job_spec spec = rig_spec(0, 1);
	struct gmig_job_info info;
	struct gmig_job *job;

	sys.ioctl = ioctl_slow;
	rig_create(&rig,
		   &(struct rig_options){.bytes = 1ull << 30, .untouched = true, .sys = &sys});
	write_first_blocks(4);
	cancel_at_scan = 10;
	hold_until_known(&job, &spec);
	job_ends(job, &info);
	ck_assert_int_eq(info.state, GMIG_JOB_CANCELLED);
	ck_assert_int_eq(atomic_load(&scans_after_cancel), 0);
	ck_assert_uint_eq(info.passes, 0);
	ck_assert_uint_eq(info.total_bytes, 4 * GMIG_BLOCK_BYTES);
	ck_assert_uint_eq(info.remaining_bytes, 4 * GMIG_BLOCK_BYTES);
	ck_assert_uint_eq(info.bytes_on_source, 4 * GMIG_BLOCK_BYTES);
	gmig_job_put(job);
	rig_assert_clean(&rig);
	rig_destroy(&rig);
}
END_TEST

START_TEST(statistics_ask_neither_the_table_nor_the_kernel)
{
	struct gmig_job_spec spec = rig_spec(0, 1);
	struct gmig_job_info info;
	struct shadow *shadow;
	struct gmig_stats stats;

	start(_i, false);
	rig_move(&rig, &spec, &info);
	shadow = rig.gmig->shadow;
	rig.gmig->shadow = NULL; /* whoever walks it dies */
	gmig_stats(rig.gmig, &stats);
	ck_assert_uint_eq(on_node(1), BYTES);
	rig.gmig->shadow = shadow;
	ck_assert_uint_eq(stats.page_bytes_2m + stats.page_bytes_4k, BYTES);
	ck_assert_uint_eq(rig.gmig->thp ? stats.page_bytes_4k : stats.page_bytes_2m, 0);
	finish();
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("engine_work");
	TCase *tcase = tcase_create("truth");

	tcase_set_timeout(tcase, 60);
	tcase_add_loop_test(tcase, job_whose_workers_are_refused_says_that_all_remains, 0, 2);
	tcase_add_loop_test(tcase, job_whose_workers_are_admitted_later_moves_all, 0, 2);
	tcase_add_loop_test(tcase, first_touch_that_fell_back_to_a_node_being_left_is_moved_too, 0,
			    2);
	tcase_add_loop_test(tcase, first_touch_that_fell_back_and_cannot_be_moved_is_told, 0, 2);
	tcase_add_loop_test(tcase, page_touched_while_nodes_swap_stays_on_its_new_node, 0, 2);
	tcase_add_loop_test(tcase, block_that_another_job_held_at_plan_time_and_put_back_is_moved,
			    0, 2);
	tcase_add_loop_test(tcase, sums_of_two_identical_jobs_add_up_at_every_moment, 0, 2);
	suite_add_tcase(suite, tcase);
	tcase = tcase_create("halfway");
	tcase_set_timeout(tcase, 60);
	tcase_add_loop_test(tcase, block_whose_remap_fails_halfway_keeps_books_and_content, 0, 4);
	tcase_add_test(tcase, huge_block_that_moves_only_half_lies_on_both_nodes);
	tcase_add_loop_test(tcase, page_that_stays_costs_no_other_page_a_second_move, 0, 2);
	tcase_add_loop_test(tcase, page_that_cannot_come_in_costs_those_that_did_no_second_move, 0,
			    2);
	tcase_add_loop_test(tcase, blackout_in_mode_block_counts_each_part, 0, 4);
	suite_add_tcase(suite, tcase);
	tcase = tcase_create("size");
	tcase_set_timeout(tcase, 60);
	tcase_add_test(tcase, cancel_while_the_plan_is_made_is_heard_at_the_next_block);
	tcase_add_loop_test(tcase, statistics_ask_neither_the_table_nor_the_kernel, 0, 2);
	suite_add_tcase(suite, tcase);
	return rig_main(suite);
}
