/*
 * move_pages(2) for guests, case by case as the kernel's own test suite has it (LTP move_pages01 to 12), on fake nodes; and the same
 * questions asked of the kernel and of libgmig about a process, which is this one's child.
 */
#include "../../migrate/gmig_move.h"
#include "../../migrate/jobs/plan_pages.h"
#include "rig.h"

#include <errno.h>
#include <numaif.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#define BYTES (8ull << 20)
#define PAGE  GMIG_PAGE_BYTES
#define FEW   4

static struct gmig_error err;
static struct rig rig;
static uint64_t gpas[FEW];
static int nodes[FEW], status[FEW];

static void guest(bool small_pages)
{
	struct rig_options options = {.bytes = BYTES, .small_pages = small_pages};

	memset(&err, 0, sizeof(err));
	rig_create(&rig, &options);
	for (unsigned int i = 0; i < FEW; i++) {
		gpas[i] = (i * 5 + 1) * PAGE;
		nodes[i] = 1;
		status[i] = 12345;
	}
}

static void guest_ends(void)
{
	ck_assert_uint_eq(rig_check_all(&rig), 0);
	rig_assert_clean(&rig);
	rig_destroy(&rig);
}

static long move(unsigned int flags)
{
	const struct gmig_pages pages = {
	    .count = FEW, .gpas = gpas, .nodes = nodes, .status = status, .flags = flags};

	return gmig_move_pages(rig.gmig, &pages, &err);
}

static long query(void)
{
	const struct gmig_pages pages = {.count = FEW, .gpas = gpas, .status = status};

	return gmig_move_pages(rig.gmig, &pages, &err);
}

static uint64_t on_node(unsigned int node)
{
	uint64_t bytes[GMIG_MAX_NODES];

	ck_assert_int_eq(gmig_residency(rig.gmig, 0, bytes), 0);
	return bytes[node];
}

/* ---- As LTP has it ------------------------------------------------------------------------------- */

/* move_pages01: nodes are NULL, the nodes of the pages come back */
START_TEST(move_pages01_query_gives_the_nodes)
{
	guest(_i);
	ck_assert_int_eq(query(), 0);
	for (unsigned int i = 0; i < FEW; i++)
		ck_assert_int_eq(status[i], 0);
	ck_assert_uint_eq(on_node(1), 0);
	guest_ends();
}
END_TEST

/* move_pages02: pages move to the node that is named, and no other ones do */
START_TEST(move_pages02_moves_the_listed_pages_only)
{
	guest(_i);
	ck_assert_int_eq(move(GMIG_MOVE), 0);
	for (unsigned int i = 0; i < FEW; i++)
		ck_assert_int_eq(status[i], 1);
	ck_assert_uint_eq(on_node(1), FEW * PAGE);
	ck_assert_int_eq(query(), 0);
	ck_assert_int_eq(status[0], 1);
	gpas[0] += PAGE;
	ck_assert_int_eq(query(), 0);
	ck_assert_int_eq(status[0], 0);
	guest_ends();
}
END_TEST

/* move_pages04: a page that is not there, and an address that is nobody's */
START_TEST(move_pages04_absent_page_and_bad_address_are_statuses)
{
	struct rig_options options = {.bytes = BYTES, .untouched = true, .small_pages = true};

	guest(true);
	rig_destroy(&rig);
	rig_create(&rig, &options);
	rig_write_page(&rig, 1);
	gpas[1] = GMIG_BLOCK_BYTES;
	gpas[2] = BYTES + 7 * PAGE;
	gpas[3] = ~0ull;
	ck_assert_int_eq(move(GMIG_MOVE), 0);
	ck_assert_int_eq(status[0], 1);
	ck_assert_int_eq(status[1], -ENOENT);
	ck_assert_int_eq(status[2], -EFAULT);
	ck_assert_int_eq(status[3], -EFAULT);
	ck_assert_int_eq(query(), 0);
	ck_assert_int_eq(status[1], -ENOENT);
	ck_assert_int_eq(status[3], -EFAULT);
	rig_assert_clean(&rig);
	rig_destroy(&rig);
}
END_TEST

START_TEST(no_page_is_no_error_and_no_job)
{
	const struct gmig_pages none = {.count = 0, .gpas = gpas, .nodes = nodes, .status = status};
	const struct gmig_move empty = {.count = 0};
	struct gmig_job *job;

	guest(true);
	ck_assert_int_eq(gmig_move_pages(rig.gmig, &none, &err), 0);
	ck_assert_uint_eq(gmig_job_list(rig.gmig, NULL, 0), 0);
	ck_assert_int_eq(gmig_move_start(rig.gmig, &empty, NULL, &job, &err), -ENOENT);
	guest_ends();
}
END_TEST

/* move_pages06: a node that is not there. Nothing has moved then, though the kernel moves what comes before it. */
START_TEST(move_pages06_node_that_is_not_online_is_enodev)
{
	static const int bad[] = {2, 63, -1, 1023, 1024, 100000};

	guest(_i);
	for (unsigned int i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		nodes[3] = bad[i];
		ck_assert_int_eq(move(GMIG_MOVE), -ENODEV);
	}
	ck_assert_uint_eq(on_node(1), 0);
	guest_ends();
}
END_TEST

/* move_pages08, which has gone with the kernel's own limit: too many */
START_TEST(move_pages08_too_many_pages_is_e2big)
{
	const struct gmig_pages many = {
	    .count = GMIG_MOVE_MAX + 1u, .gpas = gpas, .nodes = nodes, .status = status};
	const struct gmig_move move_many = {.count = GMIG_MOVE_MAX + 1u};
	struct gmig_job *job;

	guest(true);
	ck_assert_int_eq(gmig_move_pages(rig.gmig, &many, &err), -E2BIG);
	ck_assert_int_eq(gmig_move_start(rig.gmig, &move_many, NULL, &job, &err), -E2BIG);
	guest_ends();
}
END_TEST

/* move_pages09: all pages are where they are to be */
START_TEST(move_pages09_pages_that_are_there_already_are_no_error)
{
	guest(_i);
	nodes[0] = nodes[1] = nodes[2] = nodes[3] = 0;
	ck_assert_int_eq(move(GMIG_MOVE), 0);
	for (unsigned int i = 0; i < FEW; i++)
		ck_assert_int_eq(status[i], 0);
	ck_assert_uint_eq(on_node(0), BYTES);
	guest_ends();
}
END_TEST

/* move_pages10: flags that are not known */
START_TEST(move_pages10_flags_that_are_not_known_are_einval)
{
	guest(true);
	ck_assert_int_eq(move(1), -EINVAL);
	ck_assert_int_eq(move(GMIG_MOVE | 8), -EINVAL);
	ck_assert_uint_eq(on_node(1), 0);
	guest_ends();
}
END_TEST

/* move_pages11: MOVE_ALL without CAP_SYS_NICE */
static long without_rights(pid_t pid, unsigned long count, void **pages, const int *to, int *where,
			   int flags)
{
	return flags & MPOL_MF_MOVE_ALL
		   ? -EPERM
		   : gmig_sys_real.move_pages(pid, count, pages, to, where, flags);
}

START_TEST(move_pages11_move_all_without_cap_sys_nice_is_eperm)
{
	struct gmig_sys sys = gmig_sys_real;
	struct rig_options options = {.bytes = BYTES, .sys = &sys};

	guest(true);
	rig_destroy(&rig);
	sys.move_pages = without_rights;
	rig_create(&rig, &options);
	ck_assert_int_eq(move(GMIG_MOVE_ALL), -EPERM);
	ck_assert_int_eq(move(GMIG_MOVE), 0);
	guest_ends();
}
END_TEST

/* As move_pages12 does with hugetlb pages: those of a huge page move to and fro while it is used */
START_TEST(move_pages12_pages_of_a_huge_page_move_to_and_fro)
{
	struct gmig_job_info info;
	struct gmig_job *job;

	guest(false);
	rig_start(&rig, 2);
	for (unsigned int round = 0; round < 40; round++) {
		for (unsigned int i = 0; i < FEW; i++)
			nodes[i] = !(round & 1);
		ck_assert_int_ge(move(GMIG_MOVE), 0);
	}
	rig_stop(&rig);
	nodes[0] = nodes[1] = nodes[2] = nodes[3] = 0;
	ck_assert_int_eq(move(GMIG_MOVE), 0);
	ck_assert_uint_eq(on_node(0), BYTES);
	job = gmig_job_find(rig.gmig, 1);
	gmig_job_info(job, &info);
	ck_assert_str_eq(info.plan, "pages");
	ck_assert_uint_eq(info.spec.from_count, 0);
	ck_assert_uint_eq(info.spec.to_count, 1);
	gmig_job_put(job);
	guest_ends();
}
END_TEST

/* ---- What is ours --------------------------------------------------------------------------------- */

START_TEST(unsorted_list_keeps_its_order_and_the_last_entry_of_a_page_counts)
{
	guest(_i);
	gpas[0] = 900 * PAGE + 17; /* any address in the page */
	gpas[1] = 3 * PAGE;
	gpas[2] = 900 * PAGE;
	gpas[3] = 2 * PAGE;
	nodes[2] = nodes[3] = 0;
	ck_assert_int_eq(move(0), 0);
	ck_assert_int_eq(status[0], 0);
	ck_assert_int_eq(status[1], 1);
	ck_assert_int_eq(status[2], 0);
	ck_assert_int_eq(status[3], 0);
	ck_assert_uint_eq(on_node(1), PAGE);
	guest_ends();
}
END_TEST

START_TEST(page_of_a_huge_page_moves_alone_and_it_is_joined_when_it_is_whole)
{
	struct gmig_job_info info;
	struct gmig_job *job;
	struct gmig_move_range range = {.gpa = GMIG_BLOCK_BYTES + PAGE, .bytes = PAGE, .node = 1};
	const struct gmig_move one = {.ranges = &range, .count = 1};
	struct gmig_stats stats;

	guest(false);
	gmig_stats(rig.gmig, &stats);
	if (!stats.page_bytes_2m) {
		skip_case(NO_HUGE_PAGES);
		rig_destroy(&rig);
		return;
	}
	ck_assert_int_eq(gmig_move_start(rig.gmig, &one, NULL, &job, &err), 0);
	gmig_job_wait(job);
	gmig_job_info(job, &info);
	gmig_job_put(job);
	ck_assert_uint_eq(info.total_bytes, PAGE);
	ck_assert_uint_eq(info.moved_bytes, PAGE);
	ck_assert_uint_eq(info.thp_split, 1);
	ck_assert_uint_eq(on_node(1), PAGE);
	gmig_stats(rig.gmig, &stats);
	ck_assert_uint_eq(stats.page_bytes_4k, GMIG_BLOCK_BYTES);
	range.gpa = GMIG_BLOCK_BYTES;
	range.bytes = GMIG_BLOCK_BYTES;
	ck_assert_int_eq(gmig_move_start(rig.gmig, &one, NULL, &job, &err), 0);
	gmig_job_wait(job);
	gmig_job_info(job, &info);
	gmig_job_put(job);
	ck_assert_uint_eq(info.moved_bytes, GMIG_BLOCK_BYTES - PAGE);
	ck_assert_uint_eq(info.thp_joined, 1);
	gmig_stats(rig.gmig, &stats);
	ck_assert_uint_eq(stats.page_bytes_4k, 0);
	guest_ends();
}
END_TEST

START_TEST(list_with_half_pages_or_limits_of_its_own_is_einval)
{
	struct gmig_move_range range = {.gpa = PAGE + 1, .bytes = PAGE, .node = 1};
	const struct gmig_move one = {.ranges = &range, .count = 1};
	struct gmig_job_spec limits = {.max_bytes = PAGE};
	struct gmig_job *job;

	guest(true);
	ck_assert_int_eq(gmig_move_start(rig.gmig, &one, NULL, &job, &err), -EINVAL);
	range = (struct gmig_move_range){.gpa = PAGE, .bytes = 0, .node = 1};
	ck_assert_int_eq(gmig_move_start(rig.gmig, &one, NULL, &job, &err), -EINVAL);
	range.bytes = PAGE;
	ck_assert_int_eq(gmig_move_start(rig.gmig, &one, &limits, &job, &err), -EINVAL);
	guest_ends();
}
END_TEST

/* ---- The kernel and we, asked the same -------------------------------------------------------------- */

#define SHOWN 64

/* A child with touched pages, holes, a page that was only read, and an unmapped place. */
static pid_t child_with(uint8_t *at)
{
	int ready[2];
	char byte;
	pid_t child;

	ck_assert_int_eq(pipe(ready), 0);
	child = fork();
	if (!child) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		at = mmap(at, SHOWN * PAGE, PROT_READ | PROT_WRITE,
			  MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0);
		madvise(at, SHOWN * PAGE, MADV_NOHUGEPAGE);
		for (unsigned int i = 0; i < SHOWN; i += 2)
			at[i * PAGE] = 1;
		byte = *(volatile char *)&at[5 * PAGE]; /* the zero page */
		munmap(&at[8 * PAGE], 4 * PAGE);
		_exit(write(ready[1], &byte, 1) != 1 || pause());
	}
	ck_assert_int_eq(read(ready[0], &byte, 1), 1);
	close(ready[0]);
	close(ready[1]);
	return child;
}

/* move_pages(2) fails: with -errno. */
static int refusal_of(pid_t pid, void **pointers, const int *to, int *each, int flags)
{
	ck_assert_int_eq(move_pages(pid, SHOWN, pointers, to, each, flags), -1);
	return -errno;
}

START_TEST(kernel_and_libgmig_say_the_same_of_a_process)
{
	uint8_t *at =
	    mmap(NULL, SHOWN * PAGE, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	struct gmig_process_options options = {.pid = child_with(at)};
	int ours[SHOWN], theirs[SHOWN], to[SHOWN];
	struct gmig_process *process;
	uint64_t addresses[SHOWN];
	void *pointers[SHOWN];
	struct gmig_pages pages = {
	    .count = SHOWN, .gpas = addresses, .status = ours, .flags = GMIG_MOVE};
	int node, refusal;

	ck_assert_ptr_ne(at, MAP_FAILED);
	ck_assert_int_eq(gmig_topology_create(0, &options.topology, &err), 0);
	ck_assert_msg(!gmig_process_open(&options, &process, &err), "%s", err.text);
	node = (int)gmig_node_set_next(gmig_topology_nodes(options.topology), 0);
	for (unsigned int i = 0; i < SHOWN; i++) {
		pointers[i] = &at[i * PAGE];
		addresses[i] = (uintptr_t)pointers[i];
		to[i] = node;
	}
	ck_assert_int_eq(move_pages(options.pid, SHOWN, pointers, NULL, theirs, 0), 0);
	ck_assert_int_eq(gmig_process_move_pages(process, &pages, &err), 0);
	ck_assert_mem_eq(ours, theirs, sizeof(ours));
	ck_assert_int_eq(ours[0], node);
	ck_assert_int_lt(ours[1], 0);
	/* To a node on which they are, or would be. Kernels from 4.3 to 6.11 say EFAULT of an absent page then, and ENOENT when asked. */
	pages.nodes = to;
	ck_assert_int_eq(gmig_process_move_pages(process, &pages, &err), 0);
	ck_assert_mem_eq(ours, theirs, sizeof(ours));
	/* Call by call. */
	to[9] = 700;
	refusal = refusal_of(options.pid, pointers, to, theirs, MPOL_MF_MOVE);
	ck_assert_int_eq(gmig_process_move_pages(process, &pages, &err), refusal);
	to[9] = node;
	pages.flags = 1;
	refusal = refusal_of(options.pid, pointers, to, theirs, 1);
	ck_assert_int_eq(gmig_process_move_pages(process, &pages, &err), refusal);
	pages.flags = GMIG_MOVE;
	/* move_pages07: a process that has gone */
	kill(options.pid, SIGKILL);
	waitpid(options.pid, NULL, 0);
	refusal = refusal_of(options.pid, pointers, to, theirs, MPOL_MF_MOVE);
	ck_assert_int_eq(gmig_process_move_pages(process, &pages, &err), refusal);
	gmig_process_close(process);
	gmig_topology_put(options.topology);
	munmap(at, SHOWN * PAGE);
}
END_TEST

/* ---- What an ended job left ------------------------------------------------------------------------- */

/* It pays for each block before it moves: at one byte a second nothing does. */
static void cancel(struct gmig_job *job)
{
	struct gmig_job_info info;

	gmig_job_cancel(job);
	gmig_job_wait(job);
	gmig_job_info(job, &info);
	ck_assert_int_eq(info.state, GMIG_JOB_CANCELLED);
}

/* The rest of old by its own spec but the rate, and what that moves. */
static uint64_t take_up(struct gmig_job *old)
{
	struct gmig_job_spec spec;
	struct gmig_job_info info;
	struct gmig_job *job;

	ck_assert_msg(!gmig_job_rest(old, &spec, &err), "%s", err.text);
	spec.rate_bytes_per_second = 0;
	ck_assert_msg(!gmig_job_retry(old, &spec, &job, &err), "%s", err.text);
	gmig_job_wait(job);
	gmig_job_info(job, &info);
	ck_assert_int_eq(info.state, GMIG_JOB_COMPLETED);
	ck_assert_int_eq(gmig_job_retry(job, NULL, &job, &err), -ENODATA);
	ck_assert_ptr_nonnull(strstr(err.text, "nothing remains of job"));
	gmig_job_put(job);
	return info.moved_bytes;
}

START_TEST(list_of_a_cancelled_job_is_taken_up)
{
	const struct gmig_move_range range = {.gpa = PAGE, .bytes = 2 * PAGE, .node = 1};
	const struct gmig_move two = {.ranges = &range, .count = 1};
	struct gmig_job_spec slow = {.rate_bytes_per_second = 1};
	struct gmig_job *job, *none;

	guest(true);
	ck_assert_int_eq(gmig_move_start(rig.gmig, &two, &slow, &job, &err), 0);
	ck_assert_int_eq(gmig_job_retry(job, NULL, &none, &err), -EBUSY);
	ck_assert_ptr_nonnull(strstr(err.text, "has not ended"));
	cancel(job);
	ck_assert_uint_eq(on_node(1), 0);
	ck_assert_uint_eq(take_up(job), 2 * PAGE);
	ck_assert_uint_eq(on_node(1), 2 * PAGE);
	gmig_job_put(job);
	guest_ends();
}
END_TEST

START_TEST(list_that_is_not_kept_is_not_taken_up)
{
	static struct gmig_move_range ranges[PAGE_LIST_ENDED + 1];
	const struct gmig_move many = {.ranges = ranges, .count = PAGE_LIST_ENDED + 1};
	struct gmig_job_spec slow = {.rate_bytes_per_second = 1};
	struct gmig_job *job, *none;

	guest(true);
	for (unsigned int i = 0; i <= PAGE_LIST_ENDED; i++)
		ranges[i] = (struct gmig_move_range){.gpa = 2 * i * PAGE, .bytes = PAGE, .node = 1};
	ck_assert_int_eq(gmig_move_start(rig.gmig, &many, &slow, &job, &err), 0);
	cancel(job);
	ck_assert_int_eq(gmig_job_retry(job, NULL, &none, &err), -E2BIG);
	gmig_job_put(job);
	guest_ends();
}
END_TEST

/* It has moved some, and of the others it says that it has not come to them: where they are is not what was asked. */
START_TEST(list_that_is_not_kept_says_what_was_cut_off)
{
	static struct gmig_move_range ranges[2 * PAGE_LIST_ENDED];
	const struct gmig_move many = {.ranges = ranges, .count = 2 * PAGE_LIST_ENDED};
	struct gmig_job_spec slow = {.rate_bytes_per_second = _i ? GMIG_BLOCK_BYTES : 1};
	uint64_t pages = BYTES / PAGE, moved = 0, cut = 0;
	struct gmig_job_info info;
	struct gmig_job *job;
	int now;

	guest(true);
	for (unsigned int i = 0; i < many.count; i++)
		ranges[i] = (struct gmig_move_range){.gpa = 2 * i * PAGE, .bytes = PAGE, .node = 1};
	ck_assert_int_eq(gmig_move_start(rig.gmig, &many, &slow, &job, &err), 0);
	do {
		gmig_job_info(job, &info);
	} while (_i && !info.moved_bytes);
	cancel(job);
	gmig_job_info(job, &info);
	for (uint64_t page = 0; page < pages; page += 2) {
		ck_assert_int_eq(gmig_job_page_status(job, page * PAGE, 1, &now), 0);
		ck_assert(now == 1 || now == -ECANCELED);
		*(now == 1 ? &moved : &cut) += 1;
	}
	ck_assert_uint_eq(moved * PAGE, info.moved_bytes);
	ck_assert_uint_eq(moved + cut, pages / 2);
	ck_assert_uint_gt(cut, 0);
	/* An unlisted page of a block that is done is where it is; nobody's page is nobody's. */
	ck_assert_int_eq(gmig_job_page_status(job, PAGE, 1, &now), 0);
	ck_assert_int_eq(now, _i ? 0 : -ECANCELED);
	ck_assert_int_eq(gmig_job_page_status(job, BYTES, 1, &now), 0);
	ck_assert_int_eq(now, -EFAULT);
	gmig_job_put(job);
	guest_ends();
}
END_TEST

START_TEST(nodes_of_a_cancelled_job_are_taken_up)
{
	struct gmig_job_spec spec = rig_spec(0, 1);
	struct gmig_job *job;

	guest(_i);
	spec.rate_bytes_per_second = 1;
	spec.max_bytes = _i ? GMIG_BLOCK_BYTES : 0;
	ck_assert_int_eq(gmig_job_start(rig.gmig, &spec, &job, &err), 0);
	cancel(job);
	ck_assert_uint_eq(take_up(job), _i ? GMIG_BLOCK_BYTES : BYTES);
	gmig_job_put(job);
	guest_ends();
}
END_TEST

/* What the first job has brought to node 1 would go back. */
START_TEST(exchange_of_nodes_is_taken_up_only_if_nothing_moved)
{
	struct gmig_job_spec spec = {.from = {0, 1}, .from_count = 2, .to = {1, 0}, .to_count = 2};
	struct gmig_job_info info = {0};
	struct gmig_job *job, *none;

	guest(true);
	spec.rate_bytes_per_second = 1;
	ck_assert_int_eq(gmig_job_start(rig.gmig, &spec, &job, &err), 0);
	cancel(job);
	ck_assert_uint_eq(take_up(job), BYTES);
	gmig_job_put(job);
	spec.rate_bytes_per_second = 2 * GMIG_BLOCK_BYTES;
	ck_assert_int_eq(gmig_job_start(rig.gmig, &spec, &job, &err), 0);
	while (!info.moved_bytes)
		gmig_job_info(job, &info);
	cancel(job);
	ck_assert_int_eq(gmig_job_retry(job, NULL, &none, &err), -EOPNOTSUPP);
	gmig_job_put(job);
	guest_ends();
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("move_pages");
	TCase *tcase = tcase_create("move_pages");

	tcase_set_timeout(tcase, 60);
	tcase_add_loop_test(tcase, move_pages01_query_gives_the_nodes, 0, 2);
	tcase_add_loop_test(tcase, move_pages02_moves_the_listed_pages_only, 0, 2);
	tcase_add_test(tcase, move_pages04_absent_page_and_bad_address_are_statuses);
	tcase_add_test(tcase, no_page_is_no_error_and_no_job);
	tcase_add_loop_test(tcase, move_pages06_node_that_is_not_online_is_enodev, 0, 2);
	tcase_add_test(tcase, move_pages08_too_many_pages_is_e2big);
	tcase_add_loop_test(tcase, move_pages09_pages_that_are_there_already_are_no_error, 0, 2);
	tcase_add_test(tcase, move_pages10_flags_that_are_not_known_are_einval);
	tcase_add_test(tcase, move_pages11_move_all_without_cap_sys_nice_is_eperm);
	tcase_add_test(tcase, move_pages12_pages_of_a_huge_page_move_to_and_fro);
	tcase_add_loop_test(
	    tcase, unsorted_list_keeps_its_order_and_the_last_entry_of_a_page_counts, 0, 2);
	tcase_add_test(tcase, page_of_a_huge_page_moves_alone_and_it_is_joined_when_it_is_whole);
	tcase_add_test(tcase, list_with_half_pages_or_limits_of_its_own_is_einval);
	tcase_add_test(tcase, kernel_and_libgmig_say_the_same_of_a_process);
	tcase_add_test(tcase, list_of_a_cancelled_job_is_taken_up);
	tcase_add_test(tcase, list_that_is_not_kept_is_not_taken_up);
	tcase_add_loop_test(tcase, list_that_is_not_kept_says_what_was_cut_off, 0, 2);
	tcase_add_loop_test(tcase, nodes_of_a_cancelled_job_are_taken_up, 0, 2);
	tcase_add_test(tcase, exchange_of_nodes_is_taken_up_only_if_nothing_moved);
	suite_add_tcase(suite, tcase);
	return rig_main(suite);
}
