/*
 * Mover hugetlb, call by call, over a host whose pools are a table (hugetlb_host.h): one ticket, any call of which fails, and a clock
 * that only calls move on. What becomes of it in a job: test_hugetlb.
 */
#include "../../migrate/core/uffd.h"
#include "../../migrate/movers/mover.h"
#include "../support/hugetlb_host.h"

#define FIRST  GMIG_BLOCK_PAGES /* of the block that moves: the second one */
#define ALWAYS 1000000

/* What calls take. */
#define PROTECT_NS   7
#define UNPROTECT_NS 20
#define REMAP_NS     3000
#define MOVE_NS	     50000

static struct mover_job job;
static struct mover_worker worker;
static struct mover_ticket ticket, more[8];
static atomic_int fatal, warnings;
static char warned[256];

/* ---- The kernel --------------------------------------------------------------------------------- */

static _Thread_local bool driven; /* this thread is the mover's */
static uint64_t clock_ns, cpu_reads;
static unsigned int naps;
static char calls[8000];

/* A call that fails, so many times: P protects, U takes that back, R remaps, M is move_pages(2), S looks. */
static struct rule {
	char op;
	int error;
	unsigned int times;
} rule;

static int called(char op, uint64_t ns)
{
	size_t at = strlen(calls);

	if (!driven)
		return 0;
	clock_ns += ns;
	if (at < sizeof(calls) - 1)
		calls[at] = op;
	if (rule.op != op || !rule.times)
		return 0;
	rule.times -= rule.times != ALWAYS;
	return rule.error;
}

static int driven_ioctl(int fd, unsigned long request, void *arg)
{
	const struct uffdio_writeprotect *protect = arg;
	bool on = request == UFFDIO_WRITEPROTECT && protect->mode & UFFDIO_WRITEPROTECT_MODE_WP;
	int error = 0;

	if (request == UFFDIO_WRITEPROTECT) {
		if (driven) {
			ck_assert_ptr_eq((uint8_t *)(uintptr_t)protect->range.start,
					 (uint8_t *)ram + FIRST * GMIG_PAGE_BYTES);
			ck_assert_uint_eq(protect->range.len, GMIG_BLOCK_BYTES);
		}
		error = called(on ? 'P' : 'U', on ? PROTECT_NS : UNPROTECT_NS);
	}
	return error ? error : ioctl_table(fd, request, arg);
}

static int driven_remap(void *from, size_t bytes, void *to)
{
	int error = called('R', REMAP_NS);

	if (driven) {
		ck_assert_ptr_eq((uint8_t *)to, (uint8_t *)ram + FIRST * GMIG_PAGE_BYTES);
		ck_assert_uint_eq(bytes, GMIG_BLOCK_BYTES);
	}
	return error ? error : remap_table(from, bytes, to);
}

static int move_status; /* that move_pages(2) has for the page instead of its own */

static long driven_move(pid_t pid, unsigned long count, void **pages, const int *nodes, int *status,
			int flags)
{
	int error = nodes ? called('M', MOVE_NS) : 0;

	if (error)
		return error;
	if (driven && nodes && move_status) {
		ck_assert_uint_eq(count, 1);
		ck_assert_ptr_eq((uint8_t *)pages[0], (uint8_t *)ram + FIRST * GMIG_PAGE_BYTES);
		ck_assert_int_eq(nodes[0], 1);
		status[0] = move_status;
		return 0;
	}
	return move_host(pid, count, pages, nodes, status, flags);
}

static uint64_t driven_now(void)
{
	return driven ? clock_ns : gmig_sys_real.now_ns();
}

static uint64_t driven_ran(void)
{
	return driven ? clock_ns + cpu_reads++ : gmig_sys_real.ran_ns();
}

static void driven_sleep(uint64_t ns)
{
	if (!driven)
		gmig_sys_real.sleep_ns(ns);
	naps += driven && ns == 1000000;
}

/* ---- One ticket --------------------------------------------------------------------------------- */

static void note_fatal(void *opaque, const struct gmig_error *error)
{
	(void)opaque, (void)error;
	atomic_fetch_add(&fatal, 1);
}

static void note_line(void *opaque, enum gmig_log_level level, const char *text)
{
	(void)opaque;
	if (level != GMIG_LOG_WARNING)
		return;
	atomic_fetch_add(&warnings, 1);
	snprintf(warned, sizeof(warned), "%s", text);
}

static void renew(struct mover_ticket *it)
{
	*it = (struct mover_ticket){.block_gfn = FIRST, .to = 1, .huge = true};
	bits_fill(&it->pages);
}

static void start(int first, int second)
{
	pools_of(STAND_IN, first, second);
	sys.ioctl = driven_ioctl;
	sys.remap = driven_remap;
	sys.move_pages = driven_move;
	sys.now_ns = driven_now;
	sys.ran_ns = driven_ran;
	sys.sleep_ns = driven_sleep;
	start_with(&(struct gmig_options){.sys = &sys, .log = note_line, .fatal = note_fatal},
		   GMIG_REGION_HUGETLB);
	publish();
	touch_all();
	job = (struct mover_job){
	    .memory = &gmig->memory, .topology = topology, .spec = spec_of(0, 1), .id = 4711};
	job.spec.threads = 3;
	ck_assert_int_eq(mover_hugetlb.begin(&job, &err), 0);
	worker = (struct mover_worker){.job = &job};
	ck_assert_int_eq(mover_hugetlb.worker_begin(&worker), 0);
	renew(&ticket);
	atomic_store(&warnings, 0);
}

static void claim_it(void)
{
	struct bits refused;

	ticket.claim = (struct claim){.gmig = gmig,
				      .region = engine_region_of_gfn(gmig, FIRST),
				      .block_gfn = FIRST,
				      .huge = true,
				      .to = 1,
				      .owner = job.id,
				      .memory = mover_hugetlb.memory,
				      .pages = ticket.pages};
	claim_take(&ticket.claim, &refused);
	ck_assert(bits_empty(&refused));
}

static void move(void)
{
	struct mover_ticket *tickets[] = {&ticket};

	claim_it();
	clock_ns = gmig_sys_real.now_ns();
	cpu_reads = naps = 0;
	memset(calls, 0, sizeof(calls));
	driven = true;
	mover_hugetlb.move(&worker, tickets, 1);
	driven = false;
}

static void run_it(void)
{
	ck_assert_int_eq(mover_hugetlb.prepare(&worker, &ticket), 0);
	move();
}

static void finish(void)
{
	const struct claim_result result = {ticket.moved, ticket.gone, ticket.broken, &job.stall};

	rule.times = 0;
	if (ticket.lost)
		claim_abandon(&ticket.claim);
	else
		claim_settle(&ticket.claim, &result);
	mover_hugetlb.finish(&worker, &ticket);
	ck_assert_ptr_null(ticket.staging);
}

static void end_job(void)
{
	mover_hugetlb.worker_end(&worker);
	mover_hugetlb.end(&job);
	ck_assert_ptr_null(job.state);
	end();
}

static void check_pages(bool moved, bool gone, int error)
{
	ck_assert_uint_eq(bits_count(&ticket.moved), moved ? GMIG_BLOCK_PAGES : 0);
	ck_assert_uint_eq(bits_count(&ticket.gone), gone ? GMIG_BLOCK_PAGES : 0);
	for (unsigned int i = 0; !gone && i < GMIG_BLOCK_PAGES; i++)
		ck_assert_int_eq(ticket.error[i], error);
}

static void check_hist(const struct hist *hist, uint64_t count, uint64_t ns)
{
	struct gmig_percentiles all;

	hist_summary(hist, &all);
	ck_assert_uint_eq(all.count, count);
	ck_assert_uint_eq(all.max_ns, ns);
}

/* ---- By a page of ours -------------------------------------------------------------------------- */

START_TEST(page_is_protected_copied_and_exchanged)
{
	start(8, 8);
	run_it();
	ck_assert_str_eq(calls, "PR");
	check_pages(true, false, 0);
	ck_assert_ptr_null(ticket.staging);
	ck_assert_uint_eq(ticket.blackout_read_ns, REMAP_NS);
	ck_assert_uint_eq(ticket.blackout_write_ns, PROTECT_NS + REMAP_NS);
	check_hist(&job.blackout_read, 1, REMAP_NS);
	check_hist(&gmig->blackout_read, 1, REMAP_NS);
	check_hist(&job.blackout_write, 1, PROTECT_NS + REMAP_NS);
	check_hist(&gmig->blackout_write, 1, PROTECT_NS + REMAP_NS);
	/* A tick for the copy, and one for the rest. */
	ck_assert_uint_eq(ticket.copy_ns, 1);
	ck_assert_uint_eq(ticket.held_ns, PROTECT_NS + REMAP_NS + 2);
	ck_assert_uint_eq(ticket.call_ns, 0);
	ck_assert_int_eq(ticket.mode, GMIG_MODE_READABLE);
	finish();
	ck_assert_uint_eq(resident(1), GMIG_BLOCK_BYTES);
	/* Of the target's pool it has one, and its own is free. */
	ck_assert_int_eq(atomic_load(&pool_free[1]), 7);
	ck_assert_int_eq(atomic_load(&pool_free[0]), 8 - (int)BLOCKS + 1);
	assert_content();
	assert_clean();
	end_job();
}
END_TEST

START_TEST(page_that_cannot_be_protected_or_exchanged_stays_and_is_opened)
{
	static const struct {
		char op;
		const char *calls;
		uint64_t reads;
	} cases[] = {{'P', "PU", 0}, {'R', "PRU", 1}};

	start(8, 8);
	rule = (struct rule){cases[_i].op, -EBUSY, 1};
	run_it();
	ck_assert_str_eq(calls, cases[_i].calls);
	check_pages(false, false, -EBUSY);
	check_hist(&job.blackout_read, cases[_i].reads,
		   cases[_i].reads * (REMAP_NS + UNPROTECT_NS));
	check_hist(&job.blackout_write, 1, PROTECT_NS + UNPROTECT_NS + cases[_i].reads * REMAP_NS);
	ck_assert(!ticket.lost);
	/* The page that was taken for it goes back. */
	ck_assert_ptr_nonnull(ticket.staging);
	ck_assert_int_eq(atomic_load(&pool_free[1]), 7);
	finish();
	ck_assert_int_eq(atomic_load(&pool_free[1]), 8);
	ck_assert_uint_eq(resident(1), 0);
	touch_all();
	assert_content();
	assert_clean();
	end_job();
}
END_TEST

START_TEST(right_to_write_is_given_back_within_200_tries)
{
	start(8, 8);
	rule = (struct rule){'U', -ENOMEM, 199};
	atomic_store(&remap_fails, 1);
	run_it();
	ck_assert_uint_eq(naps, 199);
	ck_assert_uint_eq(strlen(calls), 2 + 200);
	check_pages(false, false, -ENOMEM);
	ck_assert(!ticket.lost);
	finish();
	ck_assert_int_eq(atomic_load(&fatal), 0);
	touch_all();
	assert_clean();
	end_job();
}
END_TEST

START_TEST(right_to_write_that_cannot_be_given_back_is_told_and_the_block_stays_closed)
{
	start(8, 8);
	rule = (struct rule){'U', -EIO, ALWAYS};
	atomic_store(&remap_fails, 1);
	run_it();
	ck_assert_uint_eq(naps, 199);
	check_pages(false, false, -EIO);
	ck_assert(ticket.lost);
	ck_assert_int_eq(atomic_load(&fatal), 1);
	finish();
	/* Nor is the copy thrown away: it may be the only one. */
	ck_assert_int_eq(atomic_load(&pool_free[1]), 7);
	end_job();
}
END_TEST

START_TEST(page_that_was_thrown_away_meanwhile_is_gone)
{
	start(8, 8);
	ck_assert_int_eq(mover_hugetlb.prepare(&worker, &ticket), 0);
	ck_assert_int_eq(
	    madvise((void *)(ram + FIRST * GMIG_PAGE_BYTES), GMIG_BLOCK_BYTES, MADV_DONTNEED), 0);
	move();
	ck_assert_str_eq(calls, "PU");
	check_pages(false, true, 0);
	check_hist(&job.blackout_read, 0, 0);
	finish();
	ck_assert_int_eq(atomic_load(&pool_free[1]), 8);
	ck_assert_uint_eq(resident(0), BYTES - GMIG_BLOCK_BYTES);
	end_job();
}
END_TEST

/* Of the guest: the copy does not come to its end. */
START_TEST(page_that_cannot_be_read_stays_with_eio)
{
	struct uffdio_poison poison = {.range = {0, GMIG_PAGE_BYTES}};

	start(8, 8);
	ck_assert_int_eq(mover_hugetlb.prepare(&worker, &ticket), 0);
	poison.range.start = (uintptr_t)ram + (FIRST + 100) * GMIG_PAGE_BYTES;
	ck_assert_int_eq(madvise((void *)(uintptr_t)poison.range.start, GMIG_PAGE_BYTES, // NOLINT
				 MADV_DONTNEED),
			 0);
	ck_assert_int_eq(ioctl(gmig->vnodes[0].uffd, UFFDIO_POISON, &poison), 0);
	move();
	ck_assert_str_eq(calls, "PU");
	check_pages(false, false, -EIO);
	ck_assert(!ticket.lost);
	finish();
	ck_assert_int_eq(atomic_load(&pool_free[1]), 8);
	end_job();
}
END_TEST

/* ---- Before ------------------------------------------------------------------------------------- */

START_TEST(node_that_has_no_page_four_times_in_a_row_is_not_asked_again_in_this_pass)
{
	start(8, 0);
	for (unsigned int i = 0; i < 3; i++)
		ck_assert_int_eq(mover_hugetlb.prepare(&worker, &ticket), -ENOMEM);
	ck_assert_ptr_null(ticket.staging);
	/* One that has a page begins the row anew. */
	atomic_store(&pool_free[1], 1);
	renew(&more[0]);
	ck_assert_int_eq(mover_hugetlb.prepare(&worker, &more[0]), 0);
	for (unsigned int i = 0; i < 4; i++)
		ck_assert_int_eq(mover_hugetlb.prepare(&worker, &ticket), -ENOMEM);
	mover_hugetlb.finish(&worker, &more[0]);
	ck_assert_int_eq(atomic_load(&pool_free[1]), 1);
	ck_assert_int_eq(mover_hugetlb.prepare(&worker, &ticket), -ENOMEM);
	/* The next pass begins with the first worker. */
	worker.number = 1;
	ck_assert_int_eq(mover_hugetlb.worker_begin(&worker), 0);
	ck_assert_int_eq(mover_hugetlb.prepare(&worker, &ticket), -ENOMEM);
	worker.number = 0;
	ck_assert_int_eq(mover_hugetlb.worker_begin(&worker), 0);
	ck_assert_int_eq(mover_hugetlb.prepare(&worker, &ticket), 0);
	mover_hugetlb.finish(&worker, &ticket);
	ck_assert_int_eq(atomic_load(&warnings), 0);
	end_job();
}
END_TEST

START_TEST(cgroup_that_allows_no_page_is_told_once_and_the_kernel_moves)
{
	start(8, 8);
	atomic_store(&group_bytes, GMIG_BLOCK_BYTES - 1);
	for (unsigned int i = 0; i < 3; i++) {
		ck_assert_int_eq(mover_hugetlb.prepare(&worker, &ticket), 0);
		ck_assert_ptr_null(ticket.staging);
	}
	ck_assert_int_eq(atomic_load(&warnings), 1);
	ck_assert_ptr_nonnull(strstr(warned, "job=4711"));
	ck_assert_ptr_nonnull(strstr(warned, "cgroup /sys/fs/cgroup/vm is reached"));
	ck_assert_ptr_nonnull(strstr(warned, "move_pages(2) moves the rest"));
	/* It is not asked again in this pass. */
	atomic_store(&group_bytes, UINT64_MAX);
	ck_assert_int_eq(mover_hugetlb.prepare(&worker, &ticket), 0);
	ck_assert_ptr_null(ticket.staging);
	ck_assert_int_eq(mover_hugetlb.worker_begin(&worker), 0);
	ck_assert_int_eq(mover_hugetlb.prepare(&worker, &ticket), 0);
	ck_assert_ptr_nonnull(ticket.staging);
	mover_hugetlb.finish(&worker, &ticket);
	end_job();
}
END_TEST

/* With just enough room in the cgroup it is the node that has none. */
START_TEST(cgroup_with_room_for_a_page_is_not_the_reason)
{
	start(8, 0);
	atomic_store(&group_bytes, GMIG_BLOCK_BYTES);
	ck_assert_int_eq(mover_hugetlb.prepare(&worker, &ticket), -ENOMEM);
	ck_assert_int_eq(atomic_load(&warnings), 0);
	end_job();
}
END_TEST

START_TEST(mappings_that_are_many_are_told_once_and_the_kernel_moves)
{
	start(8, 8);
	mover_hugetlb.worker_end(&worker);
	mover_hugetlb.end(&job);
	atomic_store(&map_limit_told, 8000);
	ck_assert_int_eq(mover_hugetlb.begin(&job, &err), 0);
	ck_assert_int_eq(mover_hugetlb.worker_begin(&worker), 0);
	for (unsigned int i = 0; i < 3; i++) {
		ck_assert_int_eq(mover_hugetlb.prepare(&worker, &ticket), 0);
		ck_assert_ptr_null(ticket.staging);
	}
	ck_assert_int_eq(atomic_load(&warnings), 1);
	ck_assert_ptr_nonnull(strstr(warned, "vm.max_map_count is 8000"));
	end_job();
}
END_TEST

START_TEST(job_has_a_page_beside_for_each_worker)
{
	start(8, 8);
	ck_assert_uint_eq(atomic_load(&job.extra_bytes_max), 3 * GMIG_BLOCK_BYTES);
	ck_assert_uint_eq(mover_hugetlb.workers(&job), 3);
	end_job();
}
END_TEST

/* ---- By the kernel ------------------------------------------------------------------------------ */

START_TEST(page_that_the_kernel_moves_is_where_it_says)
{
	start(8, 8);
	move();
	ck_assert_str_eq(calls, "M");
	check_pages(true, false, 0);
	ck_assert_uint_eq(ticket.call_ns, MOVE_NS);
	ck_assert_uint_eq(ticket.held_ns, MOVE_NS);
	ck_assert_uint_eq(ticket.copy_ns, 0);
	check_hist(&job.call, 1, MOVE_NS);
	check_hist(&job.blackout_read, 0, 0);
	finish();
	ck_assert_uint_eq(resident(1), GMIG_BLOCK_BYTES);
	assert_content();
	assert_clean();
	end_job();
}
END_TEST

START_TEST(page_that_the_kernel_leaves_stays_with_its_reason)
{
	static const struct {
		int status, told;
	} cases[] = {{-ENOMEM, -ENOMEM},
		     {-EBUSY, -EBUSY},
		     {2, -EBUSY},
		     {-ENOENT, -ENOENT},
		     {-EFAULT, -EFAULT}};

	start(8, 8);
	move_status = cases[_i].status;
	move();
	check_pages(false, false, cases[_i].told);
	move_status = 0;
	finish();
	ck_assert_uint_eq(resident(1), 0);
	end_job();
}
END_TEST

START_TEST(page_that_the_kernel_finds_nowhere_is_gone)
{
	start(8, 8);
	ck_assert_int_eq(
	    madvise((void *)(ram + FIRST * GMIG_PAGE_BYTES), GMIG_BLOCK_BYTES, MADV_DONTNEED), 0);
	move_status = _i ? -EFAULT : -ENOENT;
	move();
	check_pages(false, true, 0);
	move_status = 0;
	finish();
	end_job();
}
END_TEST

START_TEST(call_that_the_kernel_refuses_is_the_reason)
{
	start(8, 8);
	rule = (struct rule){'M', -EPERM, 1};
	move();
	check_pages(false, false, -EPERM);
	ck_assert_uint_eq(ticket.call_ns, MOVE_NS);
	finish();
	end_job();
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("mover_hugetlb");
	TCase *tcase = tcase_create("mover_hugetlb");
	struct gmig_features features;

	if (gmig_probe_features(&features)) {
		printf("skipped: %s\n", features.why);
		return 77;
	}
	tcase_add_test(tcase, page_is_protected_copied_and_exchanged);
	tcase_add_loop_test(tcase, page_that_cannot_be_protected_or_exchanged_stays_and_is_opened,
			    0, 2);
	tcase_add_test(tcase, right_to_write_is_given_back_within_200_tries);
	tcase_add_test(tcase,
		       right_to_write_that_cannot_be_given_back_is_told_and_the_block_stays_closed);
	tcase_add_test(tcase, page_that_was_thrown_away_meanwhile_is_gone);
	tcase_add_test(tcase, page_that_cannot_be_read_stays_with_eio);
	tcase_add_test(tcase,
		       node_that_has_no_page_four_times_in_a_row_is_not_asked_again_in_this_pass);
	tcase_add_test(tcase, cgroup_that_allows_no_page_is_told_once_and_the_kernel_moves);
	tcase_add_test(tcase, cgroup_with_room_for_a_page_is_not_the_reason);
	tcase_add_test(tcase, mappings_that_are_many_are_told_once_and_the_kernel_moves);
	tcase_add_test(tcase, job_has_a_page_beside_for_each_worker);
	tcase_add_test(tcase, page_that_the_kernel_moves_is_where_it_says);
	tcase_add_loop_test(tcase, page_that_the_kernel_leaves_stays_with_its_reason, 0, 5);
	tcase_add_loop_test(tcase, page_that_the_kernel_finds_nowhere_is_gone, 0, 2);
	tcase_add_test(tcase, call_that_the_kernel_refuses_is_the_reason);
	suite_add_tcase(suite, tcase);
	return run_suite(suite);
}
