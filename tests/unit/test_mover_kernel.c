/* Jobs on another process's memory, carried out by the kernel: here one that fails as Linux does. */
#include "../../migrate/core/topology.h"
#include "../../migrate/memory/process_memory.h"
#include "../../migrate/movers/mover.h"
#include "fake_process.h"

#include <check.h>
#include <limits.h>

#define HUGE_PAGES MOVEPAGES_HUGE_PAGES
#define PAGE	   FAKE_PAGE_BYTES

static struct gmig_topology *topology;
static struct gmig_process *process;
static struct gmig_job_info info;
static struct gmig_error err;

static void setup(void)
{
	fake_process_setup_on_four_nodes();
	fake_thread(FAKE_PID, "0-3");
	/* Workers wait in real time. */
	fake_sys.now_ns = gmig_sys_real.now_ns;
	fake_sys.sleep_ns = gmig_sys_real.sleep_ns;
	ck_assert_msg(!topology_create_at(tree_root, 0, &topology, &err), "%s", err.text);
	process = NULL;
}

static void teardown(void)
{
	gmig_process_close(process);
	gmig_topology_put(topology);
	fake_process_teardown();
}

static int open_process(bool private_only)
{
	const struct gmig_process_options options = {
	    .pid = FAKE_PID, .topology = topology, .private_only = private_only, .sys = &fake_sys};

	return gmig_process_open(&options, &process, &err);
}

static const struct gmig_job_spec to_1 = {.from = {0}, .from_count = 1, .to = {1}, .to_count = 1};

static struct gmig_job *start(const struct gmig_job_spec *spec)
{
	struct gmig_job *job = NULL;

	if (!process)
		ck_assert_msg(!open_process(false), "%s", err.text);
	ck_assert_msg(!gmig_process_job_start(process, spec, &job, &err), "%s", err.text);
	return job;
}

/* To its end; `info` has the result, whose sum is checked. */
static struct gmig_job *run(const struct gmig_job_spec *spec)
{
	struct gmig_job *job = start(spec);
	uint64_t remaining = 0;

	gmig_job_wait(job);
	gmig_job_info(job, &info);
	for (unsigned int i = 0; i < info.remaining_count; i++)
		remaining += info.remaining[i].pages * PAGE;
	ck_assert_uint_eq(remaining, info.remaining_bytes);
	ck_assert_uint_eq(info.total_bytes, info.moved_bytes + info.remaining_bytes +
						info.gone_bytes + info.by_others_bytes);
	return job;
}

/* For a clock that is a number. */
static int no_wait(pthread_cond_t *cond, pthread_mutex_t *mutex, uint64_t deadline_ns)
{
	const struct timespec soon = {.tv_nsec = 1000};

	(void)cond, (void)deadline_ns;
	pthread_mutex_unlock(mutex);
	nanosleep(&soon, NULL);
	pthread_mutex_lock(mutex);
	return -ETIMEDOUT;
}

static void run_to_1(void)
{
	gmig_job_put(run(&to_1));
}

static uint64_t pages_on(int node)
{
	uint64_t count = 0;

	for (size_t i = 0; i < FAKE_PAGES; i++)
		count += fake_page[i].node == node;
	return count;
}

static uint64_t remaining(int error)
{
	for (unsigned int i = 0; i < info.remaining_count; i++)
		if (info.remaining[i].error == error)
			return info.remaining[i].pages;
	return 0;
}

/* ---- What moves, and what remains ------------------------------------------------------------ */

START_TEST(job_moves_all_and_nothing_remains)
{
	run_to_1();
	ck_assert_int_eq(info.state, GMIG_JOB_COMPLETED);
	ck_assert_str_eq(info.spec.mover, "kernel");
	ck_assert_uint_eq(info.total_bytes, FAKE_PAGES * PAGE);
	ck_assert_uint_eq(info.moved_bytes, FAKE_PAGES * PAGE);
	ck_assert_uint_eq(info.bytes_on_source, 0);
	ck_assert_uint_eq(pages_on(1), FAKE_PAGES);
	ck_assert_int_eq(fake_named, FAKE_PID);
	/* 20 blocks. */
	ck_assert_uint_le(fake_calls, 20);
}
END_TEST

/* Before the move. Without numa_maps, for the plan and at the end, too. */
START_TEST(job_asks_for_each_page_once)
{
	/* What was said too long ago is asked for again: here no time passes, however slow the machine. */
	fake_sys.now_ns = fake_clock;
	fake_sys.wait_until = no_wait;
	fake_no_numa_maps = _i;
	run_to_1();
	ck_assert_uint_eq(info.moved_bytes, FAKE_PAGES * PAGE);
	ck_assert_uint_eq(info.bytes_on_source, 0);
	ck_assert_uint_le(fake_asked, (_i ? 3 : 1) * FAKE_PAGES);
	ck_assert_uint_ge(fake_asked, FAKE_PAGES);
}
END_TEST

/* Each time that they are told to lie on node 0 alone, a page comes that does not, until there are three. */
static int open_and_touch(pid_t pid, const char *name)
{
	static unsigned int touched;
	int fd = fake_open_proc(pid, name);

	if (!strcmp(name, "numa_maps") && ++touched <= 3)
		fake_page[100 * touched].node = 1;
	return fd;
}

/* It was never where the job moves from, so that nobody moved it away. */
START_TEST(job_page_that_comes_elsewhere_while_it_plans_is_not_its_business)
{
	for (unsigned int i = 1; i <= 3; i++)
		fake_page[100 * i].node = FAKE_HOLE;
	fake_sys.open_proc = open_and_touch;
	run_to_1();
	ck_assert_int_eq(info.state, GMIG_JOB_COMPLETED);
	ck_assert_uint_eq(info.by_others_bytes, 0);
	ck_assert_uint_eq(info.total_bytes, (FAKE_PAGES - 3) * PAGE);
	ck_assert_uint_eq(info.moved_bytes, (FAKE_PAGES - 3) * PAGE);
	ck_assert_uint_eq(pages_on(1), FAKE_PAGES);
}
END_TEST

/* numa_maps says at the end that not all of it came. */
START_TEST(job_of_mixed_memory_moves_what_is_on_its_node)
{
	for (size_t i = 0; i < FAKE_PAGES; i += 2)
		fake_page[i].node = 2;
	run_to_1();
	ck_assert_int_eq(info.state, GMIG_JOB_COMPLETED);
	ck_assert_uint_eq(info.moved_bytes, FAKE_PAGES / 2 * PAGE);
	ck_assert_uint_eq(info.total_bytes, FAKE_PAGES / 2 * PAGE);
	ck_assert_uint_eq(info.bytes_on_source, 0);
	ck_assert_uint_eq(pages_on(2), FAKE_PAGES / 2);
}
END_TEST

static unsigned int comes_back; /* so often */

static void page_5_comes_back(void)
{
	if (fake_page[5].node == 1 && comes_back) {
		comes_back--;
		fake_page[5].node = 0;
	}
}

START_TEST(job_page_that_came_back_moves_again)
{
	comes_back = 1;
	fake_after_move = page_5_comes_back;
	run_to_1();
	ck_assert_uint_eq(info.total_bytes, FAKE_PAGES * PAGE);
	ck_assert_uint_eq(info.moved_bytes, FAKE_PAGES * PAGE);
	ck_assert_uint_eq(info.bytes_on_source, 0);
	ck_assert_uint_eq(pages_on(1), FAKE_PAGES);
}
END_TEST

START_TEST(job_page_that_always_comes_back_is_not_called_moved)
{
	comes_back = 1000;
	fake_after_move = page_5_comes_back;
	run_to_1();
	ck_assert_int_eq(fake_page[5].node, 0);
	ck_assert_uint_eq(info.total_bytes, FAKE_PAGES * PAGE);
	ck_assert_uint_eq(info.moved_bytes, (FAKE_PAGES - 1) * PAGE);
	ck_assert_uint_eq(remaining(EAGAIN), 1);
	ck_assert_uint_eq(info.bytes_on_source, PAGE);
}
END_TEST

START_TEST(job_without_scan_moves_the_same)
{
	fake_no_scan = fake_holes_are_bad = true;
	for (size_t i = 0; i < 2 * HUGE_PAGES; i++)
		fake_page[i].huge = true;
	fake_page[5000].node = FAKE_HOLE;
	run_to_1();
	ck_assert_uint_eq(info.moved_bytes, (FAKE_PAGES - 1) * PAGE);
	ck_assert_uint_eq(info.remaining_bytes, 0);
	ck_assert(fake_page[0].huge && fake_page[HUGE_PAGES].huge);
}
END_TEST

START_TEST(job_what_remains_says_why)
{
	struct gmig_job *job;
	int status[4];

	fake_page[100].busy = true;
	fake_page[101].node = FAKE_HOLE;
	fake_page[102].node = FAKE_ZERO;
	fake_page[5000].shared = fake_page[5001].shared = true;
	fake_page[6000].busy_times = 3; /* a later pass moves it */
	fake_page[7000].node = 2;
	ck_assert_int_eq(open_process(true), 0);
	job = run(&to_1);
	ck_assert_int_eq(info.state, GMIG_JOB_COMPLETED);
	ck_assert_uint_eq(remaining(EBUSY), 1);
	ck_assert_uint_eq(remaining(EACCES), 2);
	ck_assert_uint_eq(info.moved_bytes, (FAKE_PAGES - 6) * PAGE);
	ck_assert_uint_eq(info.bytes_on_source, 3 * PAGE);
	ck_assert_int_eq(fake_page[6000].node, 1);
	ck_assert_int_eq(fake_page[7000].node, 2);
	ck_assert_uint_gt(info.passes, 1);
	ck_assert_int_eq(gmig_job_page_status(job, FAKE_START + 99 * PAGE, 4, status), 0);
	ck_assert_int_eq(status[0], 1);
	ck_assert_int_eq(status[1], -EBUSY);
	ck_assert_int_eq(status[2], -ENOENT);
	gmig_job_put(job);
}
END_TEST

START_TEST(job_shared_pages_move_with_the_right_to_it)
{
	fake_page[5000].shared = true;
	ck_assert_int_eq(open_process(false), 0);
	run_to_1();
	ck_assert_uint_eq(info.moved_bytes, FAKE_PAGES * PAGE);
}
END_TEST

START_TEST(job_huge_pages_are_one_address_and_count_whole)
{
	for (size_t i = 0; i < 16 * HUGE_PAGES; i++)
		fake_page[i].huge = true;
	/* A call that a busy machine holds up would make the next ones short. */
	fake_sys.now_ns = fake_clock;
	fake_sys.wait_until = no_wait;
	run_to_1();
	ck_assert_uint_eq(info.moved_bytes, FAKE_PAGES * PAGE);
	ck_assert_uint_eq(info.thp_split, 0);
	ck_assert(fake_page[0].huge);
	ck_assert_uint_le(fake_calls, 10);
}
END_TEST

/* Pages of hugetlb of 16 MiB: 8 blocks each, two pages and a hole. */
START_TEST(job_pages_larger_than_a_block_move_once_and_count_whole)
{
	struct gmig_job_spec spec = to_1;
	const uint64_t bytes = 2 * 4096 * PAGE;

	fake_huge_pages = 4096;
	fake_smaps("KernelPageSize: 16384 kB\nPrivate_Hugetlb: 32768 kB\nVmFlags: rd wr ht\n");
	for (size_t i = 0; i < 8192; i++)
		fake_page[i].huge = true;
	for (size_t i = 8192; i < FAKE_PAGES; i++)
		fake_page[i].node = FAKE_HOLE;
	/* One block has its turn after 40 ms: all of both pages are to be paid for. */
	spec.rate_bytes_per_second = 48ull << 20;
	gmig_job_put(run(&spec));
	ck_assert_int_eq(info.state, GMIG_JOB_COMPLETED);
	ck_assert_uint_eq(info.moved_bytes, bytes);
	ck_assert_uint_eq(info.by_others_bytes, 0);
	ck_assert_uint_eq(fake_calls, 2);
	ck_assert_uint_ge(info.elapsed_ns, 550000000);
}
END_TEST

START_TEST(job_huge_page_that_the_kernel_splits_is_counted)
{
	for (size_t i = 0; i < 4 * HUGE_PAGES; i++)
		fake_page[i].huge = true;
	for (size_t i = 4 * HUGE_PAGES; i < FAKE_PAGES; i++)
		fake_page[i].node = FAKE_HOLE;
	fake_node_free[1] = 2 * HUGE_PAGES + 100;
	run_to_1();
	ck_assert_int_eq(info.state, GMIG_JOB_COMPLETED);
	ck_assert_uint_ge(info.thp_split, 1);
	ck_assert_uint_eq(info.moved_bytes, pages_on(1) * PAGE);
	ck_assert_uint_eq(remaining(ENOMEM), pages_on(0));
	ck_assert_uint_gt(pages_on(1), 2 * HUGE_PAGES);
}
END_TEST

START_TEST(job_full_node_ends_with_enomem)
{
	fake_node_free[1] = 3000;
	run_to_1();
	ck_assert_int_eq(info.state, GMIG_JOB_COMPLETED);
	ck_assert_uint_eq(info.moved_bytes, 3000 * PAGE);
	ck_assert_uint_eq(remaining(ENOMEM), FAKE_PAGES - 3000);
	ck_assert_uint_lt(fake_calls, 200);
}
END_TEST

START_TEST(job_swaps_two_nodes)
{
	const struct gmig_job_spec swap = {
	    .from = {0, 1}, .from_count = 2, .to = {1, 0}, .to_count = 2};

	for (size_t i = 0; i < FAKE_PAGES; i += 3)
		fake_page[i].node = 1;
	fake_page[1].busy_times = 2; /* so that there are several passes */
	gmig_job_put(run(&swap));
	ck_assert_uint_eq(info.moved_bytes, FAKE_PAGES * PAGE);
	for (size_t i = 0; i < FAKE_PAGES; i++)
		ck_assert_int_eq(fake_page[i].node, i % 3 != 0);
}
END_TEST

START_TEST(job_with_threads_moves_each_page_once)
{
	struct gmig_job_spec spec = to_1;

	spec.threads = 4;
	fake_node_free[1] = FAKE_PAGES;
	gmig_job_put(run(&spec));
	ck_assert_uint_eq(info.moved_bytes, FAKE_PAGES * PAGE);
	ck_assert_uint_eq(fake_node_free[1], 0);
}
END_TEST

/* Each reads the maps at its start and at its end, while the others ask and scan. */
START_TEST(jobs_at_once_do_not_read_maps_that_change)
{
	struct gmig_job *job[16];

	for (size_t i = 0; i < FAKE_PAGES; i++)
		fake_page[i].node = 2;
	for (size_t i = 0; i < 16; i++)
		job[i] = start(&to_1);
	for (size_t i = 0; i < 16; i++) {
		gmig_job_wait(job[i]);
		gmig_job_info(job[i], &info);
		ck_assert_int_eq(info.state, GMIG_JOB_COMPLETED);
		gmig_job_put(job[i]);
	}
}
END_TEST

static int count_pages(void *arg, uint64_t gfn, const struct shadow_entry *entry)
{
	(void)gfn;
	*(uint64_t *)arg += entry->state == SHADOW_PRESENT;
	return 0;
}

START_TEST(walk_scans_each_page_once)
{
	struct memory_range *ranges;
	uint64_t pages = 0;
	size_t count;

	ck_assert_int_eq(open_process(false), 0);
	ck_assert_int_eq(process_ops.ranges(&process->memory, &to_1, &ranges, &count), 0);
	ck_assert_uint_eq(count, 1);
	fake_scanned = 0;
	ck_assert_int_eq(
	    process_ops.walk(&process->memory, ranges[0].gfn, ranges[0].pages, count_pages, &pages),
	    0);
	ck_assert_uint_eq(pages, FAKE_PAGES);
	ck_assert_uint_le(fake_scanned, FAKE_PAGES + FAKE_PAGES / 10);
	free(ranges);
}
END_TEST

static pthread_t job_thread_id;

/* The job's thread, which waits for the worker alone, reads the mappings. */
static int open_noting_thread(pid_t pid, const char *name)
{
	if (!strcmp(name, "smaps"))
		job_thread_id = pthread_self();
	return fake_open_proc(pid, name);
}

/* The clock goes on while the worker waits, and by no other wait. */
static int wait_by_the_clock(pthread_cond_t *cond, pthread_mutex_t *mutex, uint64_t deadline_ns)
{
	const struct timespec soon = {.tv_nsec = 100000};
	uint64_t now = fake_clock();

	(void)cond;
	if (!pthread_equal(pthread_self(), job_thread_id)) {
		if (deadline_ns > now)
			__atomic_fetch_add(&fake_ns, deadline_ns - now, __ATOMIC_RELAXED);
		return -ETIMEDOUT;
	}
	pthread_mutex_unlock(mutex);
	nanosleep(&soon, NULL);
	pthread_mutex_lock(mutex);
	return -ETIMEDOUT;
}

/* Calls take a quarter of the time that the rate gives them, or no time at all. */
static const struct {
	uint64_t mib_a_second, ns_a_page;
} rates[] = {{80, 12000}, {80, 0}, {8, 12000}};

START_TEST(job_keeps_to_the_rate)
{
	struct gmig_job_spec spec = to_1;
	double rate, want = (double)(rates[_i].mib_a_second << 20);

	for (size_t i = 4 * HUGE_PAGES; i < 8 * HUGE_PAGES; i++)
		fake_page[i].huge = true;
	fake_sys.now_ns = fake_clock;
	fake_sys.open_proc = open_noting_thread;
	fake_sys.wait_until = wait_by_the_clock;
	fake_ns_a_page = rates[_i].ns_a_page;
	spec.rate_bytes_per_second = rates[_i].mib_a_second << 20;
	gmig_job_put(run(&spec));
	rate = (double)info.moved_bytes / ((double)info.elapsed_ns / 1e9);
	ck_assert_uint_eq(info.moved_bytes, FAKE_PAGES * PAGE);
	ck_assert_msg(rate > 0.9 * want && rate < 1.05 * want, "%.1f MiB/s", rate / (1 << 20));
}
END_TEST

/* ---- Calls ----------------------------------------------------------------------------------- */

static unsigned long longest_call;

static long measured_move(pid_t pid, unsigned long count, void **pages, const int *nodes,
			  int *status, int flags)
{
	if (nodes && count > longest_call)
		longest_call = count;
	return fake_timed_move(pid, count, pages, nodes, status, flags);
}

/* 20 us a page: all that there is room for takes 82 ms, and each call costs all CPUs something. */
START_TEST(call_is_as_long_as_there_is_room)
{
	fake_sys.now_ns = fake_clock;
	fake_sys.wait_until = no_wait;
	fake_sys.move_pages = measured_move;
	fake_ns_a_page = 20000;
	run_to_1();
	ck_assert_uint_eq(info.moved_bytes, FAKE_PAGES * PAGE);
	ck_assert_uint_eq(longest_call, MOVEPAGES_CHUNK_UNITS);
	ck_assert_uint_le(info.call.count, FAKE_PAGES / MOVEPAGES_CHUNK_UNITS + 1);
}
END_TEST

/* Once it is known: 200 us a page are 102 ms a block, 1 ms a page 512 ms. */
START_TEST(calls_on_a_slow_host_are_short)
{
	fake_sys.now_ns = fake_clock;
	fake_sys.wait_until = no_wait;
	fake_sys.move_pages = measured_move;
	fake_ns_a_page = _i ? 1000000 : 200000;
	run_to_1();
	ck_assert_uint_eq(info.moved_bytes, FAKE_PAGES * PAGE);
	ck_assert_uint_le(longest_call, MOVEPAGES_CHUNK_UNITS);
	ck_assert_uint_ge(info.call.count,
			  (_i ? 1 : 0.5) * (FAKE_PAGES - MOVEPAGES_CHUNK_UNITS) / HUGE_PAGES);
	/* Nothing is asked for twice because it was said too long ago. */
	ck_assert_uint_le(fake_asked, FAKE_PAGES);
}
END_TEST

/* 25 pages are half of it at 1 us each; the clock says that they take as long as 20 us each. */
START_TEST(stall_budget_bounds_what_one_call_moves)
{
	struct gmig_job_spec spec = to_1;

	fake_sys.now_ns = fake_clock;
	fake_sys.wait_until = no_wait;
	fake_sys.move_pages = measured_move;
	fake_ns_a_page = _i ? 20000 : 100;
	spec.max_stall_ns = 50000;
	gmig_job_put(run(&spec));
	ck_assert_uint_eq(info.moved_bytes, FAKE_PAGES * PAGE);
	ck_assert_uint_eq(pages_on(1), FAKE_PAGES);
	ck_assert_uint_ge(info.call.count, FAKE_PAGES / GMIG_BLOCK_PAGES);
	ck_assert(info.max_stall_met == !_i);
	ck_assert(!info.max_stall_needs_split);
	ck_assert_uint_ge(longest_call, 25);
	ck_assert_uint_le(longest_call, _i ? 25 : GMIG_BLOCK_PAGES);
	ck_assert(_i ? info.max_stall_late > 0 : info.max_stall_late == 0);
}
END_TEST

/* ---- Refusals and ends ------------------------------------------------------------------------ */

static int refused(const struct gmig_job_spec *spec)
{
	struct gmig_job *job = NULL;

	if (!process)
		ck_assert_int_eq(open_process(false), 0);
	return gmig_process_job_start(process, spec, &job, &err);
}

START_TEST(job_outside_the_cpuset_is_eacces_with_the_set)
{
	fake_thread(FAKE_PID, "0,2");
	ck_assert_int_eq(refused(&to_1), -EACCES);
	ck_assert_ptr_nonnull(strstr(err.text, "nodes 0,2, not on 1"));
	ck_assert_uint_eq(fake_calls, 0);
}
END_TEST

START_TEST(job_names_the_thread_whose_cpuset_has_the_node)
{
	fake_thread(FAKE_PID, "0");
	fake_thread(81, "0-1");
	fake_thread_pid = 81;
	run_to_1();
	ck_assert_uint_eq(info.moved_bytes, FAKE_PAGES * PAGE);
	ck_assert_int_eq(fake_named, 81);
}
END_TEST

START_TEST(job_absent_node_is_enodev)
{
	struct gmig_job_spec spec = to_1;

	spec.to[0] = 7;
	fake_thread(FAKE_PID, "0-7");
	ck_assert_int_eq(refused(&spec), -ENODEV);
}
END_TEST

START_TEST(job_options_of_another_mover_are_refused)
{
	struct gmig_job_spec spec = to_1;

	spec.mover = "uffd";
	ck_assert_int_eq(refused(&spec), -EINVAL);
	spec = to_1;
	spec.mode = GMIG_MODE_BLOCK;
	ck_assert_int_eq(refused(&spec), -EINVAL);
	spec = to_1;
	spec.frames = GMIG_FRAMES_RECYCLED;
	ck_assert_int_eq(refused(&spec), -EINVAL);
	spec = to_1;
	spec.batch_pages = 64;
	ck_assert_int_eq(refused(&spec), -EINVAL);
	spec = to_1;
	spec.hold_vcpus = true;
	ck_assert_int_eq(refused(&spec), -EINVAL);
	spec = to_1;
	spec.vnodes = 1;
	ck_assert_int_eq(refused(&spec), -EINVAL);
}
END_TEST

START_TEST(open_on_fake_nodes_is_refused)
{
	struct gmig_topology *fake_nodes;
	const struct gmig_process_options options = {.pid = FAKE_PID, .sys = &fake_sys};
	struct gmig_process_options with = options;

	ck_assert_int_eq(gmig_process_open(&options, &process, &err), -EINVAL);
	ck_assert_int_eq(gmig_topology_create(2, &fake_nodes, &err), 0);
	with.topology = fake_nodes;
	ck_assert_int_eq(gmig_process_open(&with, &process, &err), -EINVAL);
	gmig_topology_put(fake_nodes);
}
END_TEST

static long no_right_to_shared(pid_t pid, unsigned long count, void **pages, const int *nodes,
			       int *status, int flags)
{
	if (flags & MPOL_MF_MOVE_ALL)
		return -EPERM;
	return fake_move_pages(pid, count, pages, nodes, status, flags);
}

START_TEST(job_shared_pages_stay_without_the_right_to_it)
{
	fake_sys.move_pages = no_right_to_shared;
	fake_page[5000].shared = true;
	run_to_1();
	ck_assert_int_eq(info.state, GMIG_JOB_COMPLETED);
	ck_assert_uint_eq(remaining(EACCES), 1);
}
END_TEST

START_TEST(job_of_a_process_that_ends_fails_with_esrch)
{
	fake_after_move = fake_process_ends;
	run_to_1();
	ck_assert_int_eq(info.state, GMIG_JOB_FAILED);
	ck_assert_int_eq(info.error.code, -ESRCH);
	ck_assert_ptr_nonnull(strstr(info.error.text, "has ended"));
}
END_TEST

static void narrow(void)
{
	fake_thread(FAKE_PID, "0");
	fake_allowed = 1;
}

START_TEST(job_whose_cpuset_narrows_fails_with_the_set)
{
	fake_after_move = narrow;
	run_to_1();
	ck_assert_int_eq(info.state, GMIG_JOB_FAILED);
	ck_assert_int_eq(info.error.code, -EACCES);
	ck_assert_ptr_nonnull(strstr(info.error.text, "nodes 0, not on 1"));
	ck_assert_uint_gt(info.moved_bytes, 0);
}
END_TEST

START_TEST(job_cancelled_tells_what_it_did)
{
	struct gmig_job_spec spec = to_1;
	struct gmig_job *job;

	/* The first 32 blocks would have their turn after an hour. */
	spec.rate_bytes_per_second = FAKE_PAGES * PAGE / 3600;
	job = start(&spec);
	ck_assert_int_eq(gmig_job_cancel(job), 0);
	gmig_job_wait(job);
	gmig_job_info(job, &info);
	gmig_job_put(job);
	ck_assert_int_eq(info.state, GMIG_JOB_CANCELLED);
	ck_assert_uint_eq(info.moved_bytes + remaining(ECANCELED) * PAGE, info.total_bytes);
}
END_TEST

START_TEST(close_ends_a_job_that_runs)
{
	struct gmig_job_spec spec = to_1;
	struct gmig_job *job;

	spec.rate_bytes_per_second = 4096;
	job = start(&spec);
	gmig_process_close(process);
	process = NULL;
	gmig_job_info(job, &info);
	ck_assert_int_eq(info.state, GMIG_JOB_CANCELLED);
	ck_assert_int_eq(gmig_job_cancel(job), -ESRCH);
	gmig_job_put(job);
}
END_TEST

/* The process gives a page back before it is moved, and touches it again later. */
static long move_pages_with_hole(pid_t pid, unsigned long count, void **pages, const int *nodes,
				 int *status, int flags)
{
	static atomic_uint moves;

	if (nodes && count && atomic_fetch_add(&moves, 1) < 2)
		fake_page[5].node = atomic_load(&moves) == 1 ? FAKE_HOLE : 0;
	return fake_move_pages(pid, count, pages, nodes, status, flags);
}

START_TEST(job_page_that_was_gone_and_is_back_moves)
{
	fake_sys.move_pages = move_pages_with_hole;
	run_to_1();
	ck_assert_int_eq(info.state, GMIG_JOB_COMPLETED);
	ck_assert_uint_eq(info.moved_bytes, FAKE_PAGES * PAGE);
	ck_assert_uint_eq(info.gone_bytes, 0);
	ck_assert_uint_eq(info.bytes_on_source, 0);
	ck_assert_int_eq(fake_page[5].node, 1);
}
END_TEST

/* The kernel cannot say where some pages lie: for want of memory, or since the process has taken other rights for a moment. */
static atomic_uint questions;
static unsigned int refused_from, refused_until;

static long move_pages_refused(pid_t pid, unsigned long count, void **pages, const int *nodes,
			       int *status, int flags)
{
	unsigned int number = nodes || !count ? 0 : atomic_fetch_add(&questions, 1) + 1;

	if (number >= refused_from && number <= refused_until)
		return -EPERM;
	return fake_move_pages(pid, count, pages, nodes, status, flags);
}

/* Once, in whatever question of the job it is. */
START_TEST(job_that_cannot_ask_fails_and_calls_nothing_gone_or_left)
{
	unsigned int all;

	fake_no_numa_maps = _i;
	fake_sys.move_pages = move_pages_refused;
	refused_from = refused_until = UINT_MAX;
	run_to_1();
	ck_assert_int_eq(info.state, GMIG_JOB_COMPLETED);
	all = atomic_load(&questions);
	ck_assert_uint_ge(all, 20); /* of each block */
	for (unsigned int first = 1; first <= all; first++) {
		for (size_t i = 0; i < FAKE_PAGES; i++)
			fake_page[i].node = 0;
		atomic_store(&questions, 0);
		refused_from = refused_until = first;
		run_to_1();
		ck_assert_uint_eq(info.gone_bytes, 0);
		ck_assert_uint_eq(info.by_others_bytes, 0);
		if (info.state == GMIG_JOB_COMPLETED) {
			ck_assert_uint_eq(info.bytes_on_source, pages_on(0) * PAGE);
			continue;
		}
		ck_assert_int_eq(info.state, GMIG_JOB_FAILED);
		ck_assert_int_eq(info.error.code, -EPERM);
		ck_assert_uint_ge(info.bytes_on_source, pages_on(0) * PAGE);
	}
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("mover_kernel");
	TCase *moves = tcase_create("moves"), *ends = tcase_create("ends");
	SRunner *runner = srunner_create(suite);
	int failed;

	tcase_add_checked_fixture(moves, setup, teardown);
	tcase_set_timeout(moves, 60);
	tcase_add_test(moves, job_moves_all_and_nothing_remains);
	tcase_add_loop_test(moves, job_asks_for_each_page_once, 0, 2);
	tcase_add_test(moves, job_page_that_comes_elsewhere_while_it_plans_is_not_its_business);
	tcase_add_test(moves, job_of_mixed_memory_moves_what_is_on_its_node);
	tcase_add_test(moves, job_page_that_came_back_moves_again);
	tcase_add_test(moves, job_page_that_always_comes_back_is_not_called_moved);
	tcase_add_test(moves, job_without_scan_moves_the_same);
	tcase_add_test(moves, job_what_remains_says_why);
	tcase_add_test(moves, job_shared_pages_move_with_the_right_to_it);
	tcase_add_test(moves, job_huge_pages_are_one_address_and_count_whole);
	tcase_add_test(moves, job_pages_larger_than_a_block_move_once_and_count_whole);
	tcase_add_test(moves, job_huge_page_that_the_kernel_splits_is_counted);
	tcase_add_test(moves, job_full_node_ends_with_enomem);
	tcase_add_test(moves, job_swaps_two_nodes);
	tcase_add_test(moves, job_with_threads_moves_each_page_once);
	tcase_add_test(moves, jobs_at_once_do_not_read_maps_that_change);
	tcase_add_loop_test(moves, job_keeps_to_the_rate, 0, sizeof(rates) / sizeof(rates[0]));
	tcase_add_test(moves, walk_scans_each_page_once);
	tcase_add_test(moves, call_is_as_long_as_there_is_room);
	tcase_add_loop_test(moves, calls_on_a_slow_host_are_short, 0, 2);
	tcase_add_loop_test(moves, stall_budget_bounds_what_one_call_moves, 0, 2);
	suite_add_tcase(suite, moves);
	tcase_add_checked_fixture(ends, setup, teardown);
	tcase_set_timeout(ends, 60);
	tcase_add_test(ends, job_outside_the_cpuset_is_eacces_with_the_set);
	tcase_add_test(ends, job_names_the_thread_whose_cpuset_has_the_node);
	tcase_add_test(ends, job_absent_node_is_enodev);
	tcase_add_test(ends, job_options_of_another_mover_are_refused);
	tcase_add_test(ends, open_on_fake_nodes_is_refused);
	tcase_add_test(ends, job_shared_pages_stay_without_the_right_to_it);
	tcase_add_test(moves, job_page_that_was_gone_and_is_back_moves);
	tcase_add_loop_test(ends, job_that_cannot_ask_fails_and_calls_nothing_gone_or_left, 0, 2);
	tcase_add_test(ends, job_of_a_process_that_ends_fails_with_esrch);
	tcase_add_test(ends, job_whose_cpuset_narrows_fails_with_the_set);
	tcase_add_test(ends, job_cancelled_tells_what_it_did);
	tcase_add_test(ends, close_ends_a_job_that_runs);
	suite_add_tcase(suite, ends);
	srunner_run_all(runner, CK_NORMAL);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
