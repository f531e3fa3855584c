/* Jobs as their users see them: status, cancel, pause, rate, several at once, the end of the
 * engine. */
#include "../../migrate/core/room.h"
#include "../../migrate/jobs/job_info.h"
#include "rig.h"

#include <errno.h>
#include <sys/mman.h>
#include <unistd.h>

#define BYTES (16ull << 20)

START_TEST(job_page_status_names_the_node_or_the_reason)
{
	struct rig_options options = {.bytes = BYTES, .untouched = true};
	struct gmig_job_spec spec = rig_spec(0, 1);
	struct gmig_error err;
	struct gmig_job *job;
	struct rig rig;
	int status[4];

	rig_create(&rig, &options);
	rig_write_page(&rig, 0);
	ck_assert_int_eq(gmig_job_start(rig.gmig, &spec, &job, &err), 0);
	gmig_job_wait(job);
	ck_assert_int_eq(gmig_job_page_status(job, 0, 4, status), 0);
	ck_assert_int_eq(status[3], 1);
	ck_assert_int_eq(gmig_job_page_status(job, GMIG_BLOCK_BYTES, 1, status), 0);
	ck_assert_int_eq(status[0], -ENOENT);
	ck_assert_int_eq(gmig_job_page_status(job, BYTES, 1, status), 0);
	ck_assert_int_eq(status[0], -EFAULT);
	ck_assert_int_eq(gmig_job_page_status(job, 5, 1, status), -EINVAL);
	gmig_job_put(job);
	rig_destroy(&rig);
}
END_TEST

START_TEST(job_of_a_swap_moves_each_page_once)
{
	struct rig_options options = {.bytes = BYTES, .small_pages = _i, .nodes = 2};
	struct gmig_job_spec half = rig_spec(0, 1), swap = {.from = {0, 1},
							    .to = {1, 0},
							    .from_count = 2,
							    .to_count = 2,
							    .threads = 2};
	uint64_t bytes[GMIG_MAX_NODES];
	struct gmig_job_info info;
	struct gmig_error err;
	struct gmig_job *job;
	struct rig rig;

	rig_create(&rig, &options);
	half.rate_bytes_per_second = 64ull << 20;
	ck_assert_int_eq(gmig_job_start(rig.gmig, &half, &job, &err), 0);
	do {
		gmig_job_info(job, &info);
		usleep(1000);
	} while (info.moved_bytes < BYTES / 2);
	gmig_job_cancel(job);
	gmig_job_wait(job);
	gmig_job_put(job);
	gmig_residency(rig.gmig, 0, bytes);
	uint64_t before = bytes[0];

	rig_move(&rig, &swap, &info);
	ck_assert_uint_eq(info.moved_bytes, BYTES);
	gmig_residency(rig.gmig, 0, bytes);
	ck_assert_uint_eq(bytes[1], before);
	ck_assert_uint_eq(rig_check_all(&rig), 0);
	rig_assert_clean(&rig);
	rig_destroy(&rig);
}
END_TEST

/* What new memory of vnode 0 lies on. */
static unsigned int node_of_new_memory(struct rig *rig, uint64_t offset)
{
	uint64_t before[GMIG_MAX_NODES], after[GMIG_MAX_NODES];

	gmig_residency(rig->gmig, 0, before);
	rig_write_page(rig, offset / GMIG_PAGE_BYTES);
	rig_settle(rig);
	gmig_residency(rig->gmig, 0, after);
	return after[0] > before[0] ? 0 : 1;
}

/* The guest's first half has gone without our knowing: the job takes what is there behind it. */
START_TEST(job_that_is_limited_takes_what_the_kernel_says_is_there)
{
	struct rig_options options = {.bytes = BYTES};
	struct gmig_job_spec spec = rig_spec(0, 1);
	uint64_t bytes[GMIG_MAX_NODES];
	struct gmig_job_info info;
	struct rig rig;

	rig_create(&rig, &options);
	for (uint64_t page = 0; page < BYTES / GMIG_PAGE_BYTES; page++)
		rig_write_page(&rig, page);
	/* The table does not know of it. */
	madvise((void *)rig.ram, BYTES / 2, MADV_DONTNEED);
	spec.max_bytes = GMIG_BLOCK_BYTES;
	rig_move(&rig, &spec, &info);
	ck_assert_uint_eq(info.total_bytes, GMIG_BLOCK_BYTES);
	ck_assert_uint_eq(info.moved_bytes, GMIG_BLOCK_BYTES);
	ck_assert_uint_eq(info.gone_bytes, 0);
	gmig_residency(rig.gmig, 0, bytes);
	ck_assert_uint_eq(bytes[1], GMIG_BLOCK_BYTES);
	rig_assert_clean(&rig);
	rig_destroy(&rig);
}
END_TEST

START_TEST(job_over_a_part_moves_no_more_and_leaves_the_rest_as_it_was)
{
	struct rig_options options = {.bytes = BYTES, .small_pages = _i, .untouched = true};
	struct gmig_job_spec spec = rig_spec(0, 1);
	uint64_t bytes[GMIG_MAX_NODES];
	struct gmig_job_info info;
	struct rig rig;

	rig_create(&rig, &options);
	/* Half of it is there. */
	for (uint64_t page = 0; page < BYTES / 2 / GMIG_PAGE_BYTES; page++)
		rig_write_page(&rig, page);
	spec.max_bytes = BYTES / 4 + GMIG_PAGE_BYTES; /* no block is that small */
	rig_move(&rig, &spec, &info);
	ck_assert_int_eq(info.state, GMIG_JOB_COMPLETED);
	ck_assert_uint_eq(info.total_bytes, BYTES / 4);
	ck_assert_uint_eq(info.moved_bytes, BYTES / 4);
	ck_assert_uint_eq(info.remaining_bytes, 0);
	ck_assert_uint_eq(info.bytes_on_source, BYTES / 4);
	gmig_residency(rig.gmig, 0, bytes);
	ck_assert_uint_eq(bytes[0], BYTES / 4);
	ck_assert_uint_eq(bytes[1], BYTES / 4);
	/* A job over all takes the place of new memory with it; this one does not. */
	ck_assert_uint_eq(node_of_new_memory(&rig, BYTES - GMIG_BLOCK_BYTES), 0);
	spec.max_bytes = GMIG_PAGE_BYTES;
	rig_move(&rig, &spec, &info);
	ck_assert_uint_eq(info.total_bytes, 0);
	spec.max_bytes = 0;
	rig_move(&rig, &spec, &info);
	ck_assert_uint_eq(info.bytes_on_source, 0);
	rig_assert_clean(&rig);
	rig_destroy(&rig);
}
END_TEST

START_TEST(job_cancelled_says_what_was_not_reached)
{
	struct rig_options options = {.bytes = 4 * BYTES, .small_pages = _i};
	struct gmig_job_spec spec = rig_spec(0, 1);
	struct gmig_job_info info;
	struct gmig_error err;
	struct gmig_job *job;
	static int status[4 * BYTES / GMIG_PAGE_BYTES];
	uint64_t cancelled = 0;
	struct rig rig;

	rig_create(&rig, &options);
	rig_start(&rig, 2);
	spec.rate_bytes_per_second = 4ull << 20; /* far from its end when we look, however late */
	ck_assert_int_eq(gmig_job_start(rig.gmig, &spec, &job, &err), 0);
	do {
		usleep(1000);
		gmig_job_info(job, &info);
	} while (!info.moved_bytes);
	ck_assert_int_eq(gmig_job_cancel(job), 0);
	gmig_job_wait(job);
	ck_assert_int_eq(gmig_job_cancel(job), -ESRCH);
	gmig_job_info(job, &info);
	ck_assert_int_eq(info.state, GMIG_JOB_CANCELLED);
	ck_assert_uint_eq(info.remaining_count, 1);
	ck_assert_int_eq(info.remaining[0].error, ECANCELED);
	ck_assert_uint_eq(info.moved_bytes + info.remaining_bytes, 4 * BYTES);
	/* Page by page, too: also those whose block was waiting for its turn. */
	ck_assert_int_eq(gmig_job_page_status(job, 0, 4 * BYTES / GMIG_PAGE_BYTES, status), 0);
	for (unsigned int i = 0; i < 4 * BYTES / GMIG_PAGE_BYTES; i++)
		cancelled += status[i] == -ECANCELED;
	ck_assert_uint_eq(cancelled * GMIG_PAGE_BYTES, info.remaining_bytes);
	gmig_job_put(job);
	ck_assert_uint_eq(rig_stop(&rig), 0);
	ck_assert_uint_eq(rig_check_all(&rig), 0);
	rig_assert_clean(&rig);
	rig_destroy(&rig);
}
END_TEST

static _Atomic(struct gmig_job *) cancel_late;

/* Cancels the job when all is moved and the kernel is asked once more. */
static int ioctl_cancelling(int fd, unsigned long request, void *arg)
{
	struct gmig_job *job = atomic_load(&cancel_late);

	if (request == PAGEMAP_SCAN && job && job_moved(job) * GMIG_PAGE_BYTES == BYTES) {
		atomic_store(&cancel_late, NULL);
		ck_assert_int_eq(gmig_job_cancel(job), 0);
	}
	return gmig_sys_real.ioctl(fd, request, arg);
}

START_TEST(job_cancelled_when_all_is_moved_has_completed)
{
	struct gmig_sys sys = gmig_sys_real;
	struct rig_options options = {.bytes = BYTES, .small_pages = _i, .sys = &sys};
	struct gmig_job_spec spec = rig_spec(0, 1);
	struct gmig_job_info info;
	struct gmig_error err;
	struct gmig_job *job;
	struct rig rig;

	sys.ioctl = ioctl_cancelling;
	rig_create(&rig, &options);
	spec.rate_bytes_per_second = 1ull << 20; /* not done before the trap is set */
	ck_assert_int_eq(gmig_job_start(rig.gmig, &spec, &job, &err), 0);
	atomic_store(&cancel_late, job);
	ck_assert_int_eq(gmig_job_set_rate(job, 0), 0);
	gmig_job_wait(job);
	ck_assert_ptr_null(atomic_load(&cancel_late));
	gmig_job_info(job, &info);
	ck_assert_int_eq(info.state, GMIG_JOB_COMPLETED);
	ck_assert_uint_eq(info.moved_bytes, BYTES);
	ck_assert_uint_eq(info.remaining_bytes, 0);
	/* as it does for every job that completes */
	ck_assert_uint_eq(atomic_load(&rig.gmig->regions[0].preferred_node), 1);
	gmig_job_put(job);
	rig_assert_clean(&rig);
	rig_destroy(&rig);
}
END_TEST

/* Blocks that were under way have ended, and every worker waits for its turn. */
static void await_workers_in_line(struct gmig_job *job, unsigned int workers)
{
	unsigned int waiting;

	do {
		waiting = 0;
		usleep(1000);
		pthread_mutex_lock(&job->lock);
		for (struct rate_ticket *at = job->rate.line; at; at = at->next)
			waiting++;
		pthread_mutex_unlock(&job->lock);
	} while (waiting < workers);
}

START_TEST(job_paused_moves_nothing_until_resumed)
{
	struct rig_options options = {.bytes = 2 * BYTES};
	struct gmig_job_spec spec = rig_spec(0, 1);
	struct gmig_job_info info, later;
	struct gmig_error err;
	struct gmig_job *job;
	struct rig rig;

	rig_create(&rig, &options);
	spec.rate_bytes_per_second = 4ull << 20;
	spec.threads = 2;
	ck_assert_int_eq(gmig_job_start(rig.gmig, &spec, &job, &err), 0);
	do
		gmig_job_info(job, &info);
	while (!info.moved_bytes);
	ck_assert_int_eq(gmig_job_pause(job), 0);
	ck_assert_int_eq(gmig_job_pause(job), -EALREADY);
	await_workers_in_line(job, 2);
	gmig_job_info(job, &info);
	ck_assert_int_eq(info.state, GMIG_JOB_PAUSED);
	usleep(300000);
	gmig_job_info(job, &later);
	ck_assert_uint_eq(info.moved_bytes, later.moved_bytes);
	ck_assert_uint_ge(later.paused_ns, 300000000);
	ck_assert_int_eq(gmig_job_set_rate(job, 0), 0);
	ck_assert_int_eq(gmig_job_resume(job), 0);
	gmig_job_wait(job);
	gmig_job_info(job, &info);
	ck_assert_int_eq(info.state, GMIG_JOB_COMPLETED);
	ck_assert_uint_eq(info.moved_bytes, 2 * BYTES);
	gmig_job_put(job);
	rig_assert_clean(&rig);
	rig_destroy(&rig);
}
END_TEST

START_TEST(job_paused_can_be_cancelled)
{
	struct rig_options options = {.bytes = BYTES};
	struct gmig_job_spec spec = rig_spec(0, 1);
	struct gmig_job_info info;
	struct gmig_error err;
	struct gmig_job *job;
	struct rig rig;

	rig_create(&rig, &options);
	spec.rate_bytes_per_second = 1ull << 20;
	ck_assert_int_eq(gmig_job_start(rig.gmig, &spec, &job, &err), 0);
	ck_assert_int_eq(gmig_job_pause(job), 0);
	ck_assert_int_eq(gmig_job_cancel(job), 0);
	gmig_job_wait(job);
	gmig_job_info(job, &info);
	ck_assert_int_eq(info.state, GMIG_JOB_CANCELLED);
	gmig_job_put(job);
	rig_assert_clean(&rig);
	rig_destroy(&rig);
}
END_TEST

/* Its thread may not have begun yet, and takes up the job as it is then. */
START_TEST(job_can_be_paused_as_soon_as_it_is_there)
{
	struct rig_options options = {.bytes = BYTES};
	struct gmig_job_spec spec = rig_spec(0, 1);
	struct gmig_job_info info;
	struct gmig_error err;
	struct gmig_job *job;
	struct rig rig;

	rig_create(&rig, &options);
	spec.rate_bytes_per_second = 4096; /* the first block has its turn in minutes */
	for (unsigned int i = 0; i < 50; i++) {
		ck_assert_int_eq(gmig_job_start(rig.gmig, &spec, &job, &err), 0);
		ck_assert_int_eq(gmig_job_pause(job), 0);
		ck_assert_int_eq(gmig_job_pause(job), -EALREADY);
		if (i % 2)
			ck_assert_int_eq(gmig_job_resume(job), 0);
		usleep(i * 10);
		gmig_job_info(job, &info);
		ck_assert_int_eq(info.state, i % 2 ? GMIG_JOB_RUNNING : GMIG_JOB_PAUSED);
		ck_assert_int_eq(gmig_job_cancel(job), 0);
		gmig_job_wait(job);
		gmig_job_put(job);
	}
	rig_assert_clean(&rig);
	rig_destroy(&rig);
}
END_TEST

START_TEST(job_rate_is_kept_and_a_new_one_holds_at_once)
{
	struct rig_options options = {.bytes = 4 * BYTES, .small_pages = _i};
	struct gmig_job_spec spec = rig_spec(0, 1);
	struct gmig_job_info info;
	struct gmig_error err;
	struct gmig_job *job;
	struct rig rig;
	double expected;

	rig_create(&rig, &options);
	spec.rate_bytes_per_second = 128ull << 20;
	ck_assert_int_eq(gmig_job_start(rig.gmig, &spec, &job, &err), 0);
	gmig_job_wait(job);
	gmig_job_info(job, &info);
	expected = (double)(4 * BYTES) / (128 << 20);
	ck_assert_double_ge((double)info.elapsed_ns / 1e9, expected * 0.97);
	ck_assert_double_le((double)info.elapsed_ns / 1e9,
			    expected * 4 + 10); /* others may keep the machine busy */
	gmig_job_put(job);

	spec = rig_spec(1, 0);
	spec.rate_bytes_per_second = 1ull << 20;
	ck_assert_int_eq(gmig_job_start(rig.gmig, &spec, &job, &err), 0);
	usleep(20000);
	ck_assert_int_eq(gmig_job_set_rate(job, 1ull << 30), 0);
	gmig_job_wait(job);
	gmig_job_info(job, &info);
	ck_assert_uint_eq(info.moved_bytes, 4 * BYTES);
	ck_assert_double_le((double)info.elapsed_ns / 1e9, 30.0);
	gmig_job_put(job);
	rig_destroy(&rig);
}
END_TEST

/* Nobody waits longer than 10 ms before looking again. */
static int wait_shortly(pthread_cond_t *cond, pthread_mutex_t *mutex, uint64_t deadline_ns)
{
	uint64_t soon = gmig_sys_real.now_ns() + 10000000;

	return gmig_sys_real.wait_until(cond, mutex, deadline_ns < soon ? deadline_ns : soon);
}

START_TEST(job_that_waits_for_its_rate_ends_when_others_did_its_work)
{
	struct gmig_sys sys = gmig_sys_real;
	struct rig_options options = {.bytes = BYTES, .small_pages = _i, .sys = &sys};
	struct gmig_job_spec slow = rig_spec(0, 1), fast = rig_spec(0, 1);
	struct gmig_job_info info;
	struct gmig_error err;
	struct gmig_job *job;
	struct rig rig;

	sys.wait_until = wait_shortly;
	rig_create(&rig, &options);
	slow.rate_bytes_per_second = 1000; /* its first block has its turn in half an hour */
	slow.threads = 4;
	ck_assert_int_eq(gmig_job_start(rig.gmig, &slow, &job, &err), 0);
	do
		gmig_job_info(job, &info);
	while (!info.passes);
	rig_move(&rig, &fast, &info);
	ck_assert_uint_eq(info.moved_bytes, BYTES);
	gmig_job_wait(job);
	gmig_job_info(job, &info);
	ck_assert_int_eq(info.state, GMIG_JOB_COMPLETED);
	ck_assert_uint_eq(info.moved_bytes, 0);
	ck_assert_uint_eq(info.remaining_bytes, 0);
	gmig_job_put(job);
	rig_assert_clean(&rig);
	rig_destroy(&rig);
}
END_TEST

START_TEST(two_jobs_at_once_share_the_work_and_lose_nothing)
{
	struct rig_options options = {.bytes = 4 * BYTES, .small_pages = _i, .nodes = 3};
	struct gmig_job_spec a = rig_spec(0, 1), b = rig_spec(0, 2);
	struct gmig_job_info info_a, info_b;
	struct gmig_job *job_a, *job_b;
	struct gmig_error err;
	uint64_t bytes[GMIG_MAX_NODES];
	struct rig rig;

	rig_create(&rig, &options);
	rig_start(&rig, 2);
	a.threads = b.threads = 2;
	ck_assert_int_eq(gmig_job_start(rig.gmig, &a, &job_a, &err), 0);
	ck_assert_int_eq(gmig_job_start(rig.gmig, &b, &job_b, &err), 0);
	gmig_job_wait(job_a);
	gmig_job_wait(job_b);
	gmig_job_info(job_a, &info_a);
	gmig_job_info(job_b, &info_b);
	ck_assert_int_eq(info_a.state, GMIG_JOB_COMPLETED);
	ck_assert_int_eq(info_b.state, GMIG_JOB_COMPLETED);
	gmig_residency(rig.gmig, 0, bytes);
	ck_assert_uint_eq(bytes[0], 0);
	ck_assert_uint_eq(bytes[1], info_a.moved_bytes);
	ck_assert_uint_eq(bytes[2], info_b.moved_bytes);
	ck_assert_uint_eq(bytes[1] + bytes[2], 4 * BYTES);
	gmig_job_put(job_a);
	gmig_job_put(job_b);
	ck_assert_uint_eq(rig_stop(&rig), 0);
	ck_assert_uint_eq(rig_check_all(&rig), 0);
	rig_assert_clean(&rig);
	rig_destroy(&rig);
}
END_TEST

START_TEST(job_with_nothing_to_do_completes_at_once)
{
	struct rig_options options = {.bytes = BYTES};
	struct gmig_job_spec spec = rig_spec(1, 0);
	struct gmig_job_info info;
	struct rig rig;

	rig_create(&rig, &options);
	rig_move(&rig, &spec, &info);
	ck_assert_int_eq(info.state, GMIG_JOB_COMPLETED);
	ck_assert_uint_eq(info.total_bytes, 0);
	ck_assert_uint_eq(info.passes, 0);
	rig_destroy(&rig);
}
END_TEST

START_TEST(job_trace_has_a_record_for_each_block)
{
	struct rig_options options = {.bytes = BYTES, .small_pages = _i};
	struct gmig_trace_record records[2 * BYTES / GMIG_BLOCK_BYTES];
	struct gmig_job_spec spec = rig_spec(0, 1);
	uint64_t moved = 0, seen = 0;
	struct gmig_job_info info;
	struct gmig_error err;
	struct gmig_job *job;
	struct rig rig;
	size_t count;

	rig_create(&rig, &options);
	spec.trace = true;
	spec.threads = 2;
	ck_assert_int_eq(gmig_job_start(rig.gmig, &spec, &job, &err), 0);
	gmig_job_wait(job);
	gmig_job_info(job, &info);
	count = gmig_job_trace(job, 0, records, 2 * BYTES / GMIG_BLOCK_BYTES);
	ck_assert_uint_ge(count, BYTES / GMIG_BLOCK_BYTES);
	ck_assert_uint_le(count, 2 * BYTES / GMIG_BLOCK_BYTES);
	for (size_t i = 0; i < count; i++) {
		const struct gmig_trace_record *record = &records[i];

		ck_assert_uint_eq(record->gpa % GMIG_BLOCK_BYTES, 0);
		ck_assert_uint_lt(record->gpa, BYTES);
		ck_assert_uint_le(record->begin_ns, record->end_ns);
		ck_assert_uint_le(record->end_ns, info.elapsed_ns);
		ck_assert_uint_eq(record->from, 0);
		ck_assert_uint_eq(record->to, 1);
		ck_assert_uint_lt(record->worker, 2);
		ck_assert_int_eq(record->error != 0, record->moved_pages < record->pages);
		if (record->moved_pages) {
			ck_assert_uint_gt(record->blackout_read_ns, 0);
			ck_assert_uint_ge(record->blackout_write_ns, record->blackout_read_ns);
			ck_assert_uint_le(record->blackout_write_ns,
					  record->end_ns - record->begin_ns);
		}
		moved += record->moved_pages * GMIG_PAGE_BYTES;
		seen |= 1ull << record->gpa / GMIG_BLOCK_BYTES;
	}
	ck_assert_uint_eq(moved, info.moved_bytes);
	ck_assert_uint_eq(seen, (1ull << BYTES / GMIG_BLOCK_BYTES) - 1);
	/* The second half alone, and nothing behind the end. */
	records[0].end_ns = 0;
	ck_assert_uint_eq(gmig_job_trace(job, count - 1, records, 1), count);
	ck_assert_uint_gt(records[0].end_ns, 0);
	records[0].end_ns = 0;
	ck_assert_uint_eq(gmig_job_trace(job, count, records, 1), count);
	ck_assert_uint_eq(records[0].end_ns, 0);
	gmig_job_put(job);
	spec = rig_spec(1, 0);
	ck_assert_int_eq(gmig_job_start(rig.gmig, &spec, &job, &err), 0);
	gmig_job_wait(job);
	ck_assert_uint_eq(gmig_job_trace(job, 0, records, 1), 0); /* not asked for */
	gmig_job_put(job);
	rig_destroy(&rig);
}
END_TEST

START_TEST(job_specs_that_make_no_sense_are_refused)
{
	struct rig_options options = {.bytes = BYTES};
	struct gmig_job_spec spec = rig_spec(0, 1);
	struct gmig_error err;
	struct gmig_job *job;
	struct rig rig;

	rig_create(&rig, &options);
	spec.to[0] = 7;
	ck_assert_int_eq(gmig_job_start(rig.gmig, &spec, &job, &err), -ENODEV);
	spec = rig_spec(0, 1);
	spec.threads = GMIG_MAX_WORKERS + 1;
	ck_assert_int_eq(gmig_job_start(rig.gmig, &spec, &job, &err), -EINVAL);
	spec = rig_spec(0, 1);
	spec.batch_pages = GMIG_BLOCK_PAGES + 1;
	ck_assert_int_eq(gmig_job_start(rig.gmig, &spec, &job, &err), -EINVAL);
	spec = rig_spec(0, 1);
	spec.max_bytes = GMIG_PAGE_BYTES - 1;
	ck_assert_int_eq(gmig_job_start(rig.gmig, &spec, &job, &err), -EINVAL);
	spec = rig_spec(0, 1);
	spec.mover = "camel";
	ck_assert_int_eq(gmig_job_start(rig.gmig, &spec, &job, &err), -EINVAL);
	spec = rig_spec(0, 1);
	spec.from_count = 0;
	ck_assert_int_eq(gmig_job_start(rig.gmig, &spec, &job, &err), -EINVAL);
	rig_destroy(&rig);
}
END_TEST

START_TEST(destroy_in_the_middle_of_jobs_ends_them)
{
	struct rig_options options = {.bytes = 4 * BYTES};
	struct gmig_job_spec spec = rig_spec(0, 1);
	struct gmig_error err;
	struct gmig_job *job;
	struct rig rig;

	rig_create(&rig, &options);
	spec.rate_bytes_per_second = 32ull << 20;
	ck_assert_int_eq(gmig_job_start(rig.gmig, &spec, &job, &err), 0);
	usleep(50000);
	rig_destroy(&rig);
	gmig_job_put(job);
}
END_TEST

START_TEST(handle_held_past_the_engines_end_still_tells_what_the_job_did)
{
	struct rig_options options = {.bytes = 4 * BYTES};
	struct gmig_job_spec spec = rig_spec(0, 1);
	struct gmig_trace_record record;
	struct gmig_job *running, *ended, *again;
	struct gmig_job_info info;
	struct gmig_error err;
	struct rig rig;
	int status;

	rig_create(&rig, &options);
	spec.trace = true;
	ck_assert_int_eq(gmig_job_start(rig.gmig, &spec, &ended, &err), 0);
	gmig_job_wait(ended);
	spec = rig_spec(1, 0);
	spec.rate_bytes_per_second = 1ull << 20;
	ck_assert_int_eq(gmig_job_start(rig.gmig, &spec, &running, &err), 0);
	again = gmig_job_find(rig.gmig, 1);
	ck_assert_ptr_eq(again, ended);
	rig_destroy(&rig);

	gmig_job_wait(running);
	gmig_job_info(running, &info);
	ck_assert_int_eq(info.state, GMIG_JOB_CANCELLED);
	ck_assert_uint_eq(info.moved_bytes + info.remaining_bytes, 4 * BYTES);
	ck_assert_int_eq(gmig_job_pause(running), -ESRCH);
	ck_assert_int_eq(gmig_job_resume(running), -ESRCH);
	ck_assert_int_eq(gmig_job_cancel(running), -ESRCH);
	ck_assert_int_eq(gmig_job_set_rate(running, 1), -ESRCH);
	ck_assert_int_eq(gmig_job_page_status(running, 0, 1, &status), -ESRCH);
	gmig_job_put(running);

	gmig_job_put(again);
	gmig_job_info(ended, &info);
	ck_assert_int_eq(info.state, GMIG_JOB_COMPLETED);
	ck_assert_uint_eq(info.moved_bytes, 4 * BYTES);
	ck_assert_uint_gt(gmig_job_trace(ended, 0, &record, 1), 0);
	gmig_job_put(ended);
}
END_TEST

START_TEST(job_that_has_ended_keeps_less_than_a_mebibyte)
{
	struct rig_options options = {.bytes = BYTES, .small_pages = true};
	struct gmig_job_spec spec = rig_spec(0, 1);
	struct gmig_error err;
	struct gmig_job *job;
	struct rig rig;
	int status[2];

	rig_create(&rig, &options);
	ck_assert_int_eq(gmig_job_start(rig.gmig, &spec, &job, &err), 0);
	gmig_job_wait(job);
	while (atomic_load(&job->refs) > 2) /* its thread */
		usleep(1000);
	ck_assert_int_eq(status_set(job->status, 0, 1, 0), -EINVAL); /* squeezed */
	ck_assert_ptr_null(job->set.word);
	ck_assert_ptr_null(job->ranges);
	/* 64 KiB: the status itself, with a counter for each errno */
	ck_assert_uint_le(sizeof(*job) + STATUS_ENDED_BYTES + (64 << 10), 1 << 20);
	ck_assert_int_eq(gmig_job_page_status(job, BYTES - 2 * GMIG_PAGE_BYTES, 2, status), 0);
	ck_assert_int_eq(status[1], 1);
	gmig_job_put(job);
	rig_destroy(&rig);
}
END_TEST

START_TEST(jobs_are_remembered_up_to_a_limit)
{
	struct rig_options options = {.bytes = GMIG_BLOCK_BYTES, .untouched = true};
	struct gmig_job_spec more = rig_spec(0, 1);
	struct gmig_job_info info;
	uint64_t ids[200];
	struct rig rig;

	rig_create(&rig, &options);
	for (unsigned int i = 0; i < 150; i++) {
		struct gmig_job_spec spec = rig_spec(i % 2, (i + 1) % 2);

		rig_move(&rig, &spec, &info);
		ck_assert_uint_eq(info.id, i + 1);
	}
	/* 64, once the threads of the others have ended, and the last one. */
	while (gmig_job_list(rig.gmig, ids, 200) > 65)
		rig_move(&rig, &more, &info);
	ck_assert_uint_ne(ids[0], 1);
	rig_destroy(&rig);
}
END_TEST

/* ---- Threads --------------------------------------------------------------------------------- */

static struct {
	atomic_int begun[3], running[3], wrong;
} threads;

static _Thread_local int own_kind = -1;

/* In the child of the test: each kind's threads, and whether each call is the thread's own. */
static void count_thread(void *opaque, const struct gmig_thread *thread, bool begins)
{
	bool has_spec = thread->spec && thread->spec->to_count == 1 && thread->spec->to[0] == 1;

	(void)opaque;
	if (has_spec != (thread->kind != GMIG_THREAD_FAULT) || thread->vnode)
		atomic_fetch_add(&threads.wrong, 1);
	if (own_kind != (begins ? -1 : (int)thread->kind))
		atomic_fetch_add(&threads.wrong, 1);
	own_kind = begins ? (int)thread->kind : -1;
	atomic_fetch_add(&threads.begun[thread->kind], begins);
	atomic_fetch_add(&threads.running[thread->kind], begins ? 1 : -1);
}

START_TEST(threads_of_the_engine_tell_their_owner_when_they_begin_and_end)
{
	struct rig_options options = {.bytes = BYTES, .thread = count_thread};
	struct gmig_job_spec spec = rig_spec(0, 1);
	struct gmig_error err;
	struct gmig_job *job;
	struct rig rig;

	rig_create(&rig, &options);
	ck_assert_int_eq(atomic_load(&threads.running[GMIG_THREAD_FAULT]), 1);
	spec.threads = 2;
	spec.frames = GMIG_FRAMES_FRESH;
	ck_assert_int_eq(gmig_job_start(rig.gmig, &spec, &job, &err), 0);
	gmig_job_wait(job);
	gmig_job_put(job);
	ck_assert_int_ge(atomic_load(&threads.begun[GMIG_THREAD_COPY]), 1);
	ck_assert_int_ge(atomic_load(&threads.begun[GMIG_THREAD_ZERO]), 1);
	ck_assert_int_eq(atomic_load(&threads.running[GMIG_THREAD_COPY]), 0);
	ck_assert_int_eq(atomic_load(&threads.running[GMIG_THREAD_ZERO]), 0);
	rig_destroy(&rig);
	ck_assert_int_eq(atomic_load(&threads.running[GMIG_THREAD_FAULT]), 0);
	ck_assert_int_eq(atomic_load(&threads.wrong), 0);
}
END_TEST

static _Atomic uint64_t left_bytes;

static void room_left(struct room *room)
{
	*room = (struct room){.left_bytes = atomic_load(&left_bytes), .limit = "/a/group"};
}

/* A group that has not got what a job takes itself would end in its OOM killer, with the guest. */
START_TEST(job_that_its_cgroup_has_no_memory_for_is_refused)
{
	struct gmig_sys sys = gmig_sys_real;
	struct rig_options options = {.bytes = BYTES, .sys = &sys};
	struct gmig_job_spec spec = rig_spec(0, 1);
	struct gmig_job_info info;
	struct gmig_error err;
	struct gmig_job *job;
	struct rig rig;

	sys.room = room_left;
	atomic_store(&left_bytes, (512 << 10) + 4 * (32 << 10) - 1);
	rig_create(&rig, &options);
	spec.threads = 4;
	ck_assert_int_eq(gmig_job_start(rig.gmig, &spec, &job, &err), -ENOMEM);
	ck_assert_msg(strstr(err.text, "639 KiB") && strstr(err.text, "/a/group"), "%s", err.text);
	atomic_fetch_add(&left_bytes, 1);
	ck_assert_int_eq(gmig_job_start(rig.gmig, &spec, &job, &err), 0);
	gmig_job_wait(job);
	gmig_job_info(job, &info);
	gmig_job_put(job);
	ck_assert_int_eq(info.state, GMIG_JOB_COMPLETED);
	rig_destroy(&rig);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("engine_jobs");
	TCase *tcase = tcase_create("jobs");

	tcase_set_timeout(tcase, 60);
	tcase_add_test(tcase, job_page_status_names_the_node_or_the_reason);
	tcase_add_test(tcase, threads_of_the_engine_tell_their_owner_when_they_begin_and_end);
	tcase_add_loop_test(tcase, job_of_a_swap_moves_each_page_once, 0, 2);
	tcase_add_test(tcase, job_that_is_limited_takes_what_the_kernel_says_is_there);
	tcase_add_loop_test(tcase, job_over_a_part_moves_no_more_and_leaves_the_rest_as_it_was, 0,
			    2);
	tcase_add_loop_test(tcase, job_cancelled_says_what_was_not_reached, 0, 2);
	tcase_add_loop_test(tcase, job_cancelled_when_all_is_moved_has_completed, 0, 2);
	tcase_add_test(tcase, job_paused_moves_nothing_until_resumed);
	tcase_add_test(tcase, job_paused_can_be_cancelled);
	tcase_add_test(tcase, job_can_be_paused_as_soon_as_it_is_there);
	tcase_add_loop_test(tcase, job_rate_is_kept_and_a_new_one_holds_at_once, 0, 2);
	tcase_add_loop_test(tcase, job_that_waits_for_its_rate_ends_when_others_did_its_work, 0, 2);
	tcase_add_loop_test(tcase, two_jobs_at_once_share_the_work_and_lose_nothing, 0, 2);
	tcase_add_test(tcase, job_with_nothing_to_do_completes_at_once);
	tcase_add_loop_test(tcase, job_trace_has_a_record_for_each_block, 0, 2);
	tcase_add_test(tcase, job_that_its_cgroup_has_no_memory_for_is_refused);
	tcase_add_test(tcase, job_specs_that_make_no_sense_are_refused);
	tcase_add_test(tcase, destroy_in_the_middle_of_jobs_ends_them);
	tcase_add_test(tcase, handle_held_past_the_engines_end_still_tells_what_the_job_did);
	tcase_add_test(tcase, job_that_has_ended_keeps_less_than_a_mebibyte);
	tcase_add_test(tcase, jobs_are_remembered_up_to_a_limit);
	suite_add_tcase(suite, tcase);
	return rig_main(suite);
}
