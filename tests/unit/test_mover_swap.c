/*
 * Mover swap, by a kernel whose swap and nodes are made up (swap_kernel.h). What a real kernel's swap does to the content:
 * test_swap.
 */
#include "../../migrate/core/topology.h"
#include "../../migrate/gmig_policy.h"
#include "../../migrate/memory/region.h"
#include "host_tree.h"
#include "suite.h"
#include "swap_kernel.h"

#include <sched.h>

#define BYTES (SWAP_PAGES * GMIG_PAGE_BYTES)

static struct gmig_topology *topology;
static struct gmig *gmig;
static _Atomic(struct gmig_job *) job;
static atomic_int warnings;

static void count_warning(void *opaque, enum gmig_log_level level, const char *text)
{
	(void)opaque, (void)text;
	if (level <= GMIG_LOG_WARNING)
		atomic_fetch_add(&warnings, 1);
}

/* A guest on node 0, all of whose memory is there. */
static void start(bool huge)
{
	static const struct tree_node nodes[] = {{0, 4096, 2048, "0-1", "10 20"},
						 {1, 4096, 2048, "2-3", "20 10"}};
	const struct gmig_region_spec spec = {.bytes = BYTES};
	struct gmig_options options = {
	    .unsafe_kernel = true, .sys = &swap_sys, .small_pages = !huge, .log = count_warning};
	struct gmig_error err;
	void *hva;

	swap_kernel_start(huge);
	tree_create();
	tree_nodes("0-1", nodes, 2);
	tree_cpuset("0-1");
	ck_assert_msg(!topology_create_at(tree_root, 0, &topology, &err), "%s", err.text);
	options.topology = topology;
	ck_assert_msg(!gmig_create(&options, &gmig, &err), "%s", err.text);
	ck_assert_msg(!gmig_region_add(gmig, &spec, &hva, &err), "%s", err.text);
	memset(hva, 1, BYTES);
	engine_settle_faults(gmig, 0);
	pthread_mutex_lock(&swap_kernel.lock);
	swap_kernel.ram = hva;
	pthread_mutex_unlock(&swap_kernel.lock);
	atomic_store(&warnings, 0);
}

static void check_clean(void)
{
	struct gmig_check check;
	struct gmig_error err;

	ck_assert_msg(!gmig_check(gmig, &check, &err), "%s", err.text);
	for (unsigned int i = 0; i < GMIG_INVARIANTS; i++)
		ck_assert_msg(!check.breach[i], "I%u: %s", i + 1, check.detail[i]);
}

static void end(void)
{
	check_clean();
	gmig_destroy(gmig);
	gmig_topology_put(topology);
	tree_remove();
}

static struct gmig_job_spec to_node_1(void)
{
	return (struct gmig_job_spec){
	    .from = {0}, .to = {1}, .from_count = 1, .to_count = 1, .mover = "swap"};
}

static void move(const struct gmig_job_spec *spec, struct gmig_job_info *info)
{
	struct gmig_error err = {0};
	struct gmig_job *started;

	ck_assert_msg(!gmig_job_start(gmig, spec, &started, &err), "%s", err.text);
	atomic_store(&job, started);
	gmig_job_wait(started);
	gmig_job_info(started, info);
	gmig_job_put(started);
	ck_assert_uint_eq(info->moved_bytes + info->remaining_bytes + info->gone_bytes +
			      info->by_others_bytes,
			  info->total_bytes);
}

/* By the made-up kernel: how many are mapped on that node. */
static unsigned int pages_on(int node)
{
	unsigned int count = 0;

	for (unsigned int i = 0; i < SWAP_PAGES; i++)
		count +=
		    swap_kernel.page[i].place == SWAP_MAPPED && swap_kernel.page[i].node == node;
	return count;
}

static uint64_t in_books_on(unsigned int node)
{
	uint64_t bytes[GMIG_MAX_NODES];

	ck_assert_int_eq(gmig_residency(gmig, 0, bytes), 0);
	return bytes[node] / GMIG_PAGE_BYTES;
}

static void check_moved(const struct gmig_job_info *info, unsigned int pages)
{
	ck_assert_int_eq(info->state, GMIG_JOB_COMPLETED);
	ck_assert_uint_eq(info->moved_bytes, pages * GMIG_PAGE_BYTES);
	ck_assert_uint_eq(pages_on(1), pages);
	ck_assert_uint_eq(in_books_on(1), pages);
	ck_assert_uint_eq(pages_on(0), SWAP_PAGES - pages);
	ck_assert_uint_eq(in_books_on(0), SWAP_PAGES - pages);
}

static void check_stayed(const struct gmig_job_info *info, unsigned int pages, int error)
{
	ck_assert_uint_eq(info->remaining_bytes, pages * GMIG_PAGE_BYTES);
	ck_assert_uint_eq(info->remaining_count, 1);
	ck_assert_msg(info->remaining[0].error == error, "%s",
		      gmig_errno_name(info->remaining[0].error));
}

/* ---- Moving ----------------------------------------------------------------------------------- */

START_TEST(pages_come_back_on_the_target)
{
	struct gmig_job_spec spec = to_node_1();
	struct gmig_job_info info;

	start(false);
	swap_kernel.slow = _i;
	move(&spec, &info);
	check_moved(&info, SWAP_PAGES);
	ck_assert_uint_eq(info.remaining_bytes, 0);
	ck_assert_uint_ge(info.call.count, 1);
	ck_assert_uint_eq(info.extra_bytes_max, 0);
	/* The region's policy is the target's: no block needs one of its own. */
	ck_assert_uint_eq(swap_kernel.block_binds, 0);
	end();
}
END_TEST

START_TEST(huge_page_is_split_and_joined_again)
{
	struct gmig_job_spec spec = to_node_1();
	struct gmig_job_info info;
	struct gmig_stats stats;

	start(true);
	if (huge_or_skip(gmig)) {
		spec.huge = _i ? GMIG_HUGE_SPLIT : GMIG_HUGE_PREFER;
		move(&spec, &info);
		check_moved(&info, SWAP_PAGES);
		ck_assert_uint_eq(info.thp_split, SWAP_BLOCKS);
		ck_assert_uint_eq(info.thp_joined, _i ? 0 : SWAP_BLOCKS);
		gmig_stats(gmig, &stats);
		ck_assert_uint_eq(stats.page_bytes_2m, _i ? 0 : BYTES);
	}
	end();
}
END_TEST

/* New memory goes where it went before, so that the region prefers node 0 all the while. */
START_TEST(block_of_a_part_has_a_policy_of_its_own_until_it_has_moved)
{
	struct gmig_job_spec spec = to_node_1();
	struct gmig_job_info info;

	start(false);
	spec.max_bytes = GMIG_BLOCK_BYTES;
	move(&spec, &info);
	check_moved(&info, GMIG_BLOCK_PAGES);
	ck_assert_uint_eq(swap_kernel.block_binds, 2);
	ck_assert_int_eq(swap_kernel.policy[0], 0);
	ck_assert_int_eq(swap_kernel.policy[1], 0);
	end();
}
END_TEST

START_TEST(policy_that_cannot_be_restored_is_told)
{
	struct gmig_job_spec spec = to_node_1();
	struct gmig_job_info info;

	start(false);
	spec.max_bytes = GMIG_BLOCK_BYTES;
	swap_kernel.prefer_error = -ENOMEM;
	move(&spec, &info);
	check_moved(&info, GMIG_BLOCK_PAGES);
	ck_assert_int_eq(atomic_load(&warnings), 1);
	end();
}
END_TEST

static void touch_all(void)
{
	pthread_mutex_lock(&swap_kernel.lock);
	for (unsigned int i = 0; i < SWAP_PAGES; i++)
		if (swap_kernel.page[i].place != SWAP_MAPPED)
			swap_touch_page(i);
	pthread_mutex_unlock(&swap_kernel.lock);
}

START_TEST(guest_that_touches_what_is_out_has_it_on_the_target)
{
	struct gmig_job_spec spec = to_node_1();
	struct gmig_job_info info;

	start(false);
	spec.max_bytes = GMIG_BLOCK_BYTES;
	swap_kernel.evicted = touch_all;
	move(&spec, &info);
	check_moved(&info, GMIG_BLOCK_PAGES);
	ck_assert_uint_eq(swap_kernel.evictions, 1);
	end();
}
END_TEST

static void give_back(void)
{
	pthread_mutex_lock(&swap_kernel.lock);
	swap_kernel.page[5].place = swap_kernel.page[700].place = SWAP_GONE;
	pthread_mutex_unlock(&swap_kernel.lock);
}

START_TEST(pages_that_were_given_back_meanwhile_are_gone)
{
	struct gmig_job_spec spec = to_node_1();
	struct gmig_job_info info;

	start(false);
	swap_kernel.evicted = give_back;
	move(&spec, &info);
	ck_assert_uint_eq(info.gone_bytes, 2 * GMIG_PAGE_BYTES);
	ck_assert_uint_eq(info.moved_bytes, (SWAP_PAGES - 2) * GMIG_PAGE_BYTES);
	ck_assert_uint_eq(info.remaining_bytes, 0);
	ck_assert_uint_eq(pages_on(1), SWAP_PAGES - 2);
	gmig_destroy(gmig);
	gmig_topology_put(topology);
	tree_remove();
}
END_TEST

/* Of a page that the kernel has moved since, the books say where it was. */
START_TEST(strict_binding_asks_the_kernel_where_pages_are)
{
	const struct gmig_bind_spec spec = {.gpa = GMIG_BLOCK_BYTES,
					    .bytes = GMIG_BLOCK_BYTES,
					    .flags = GMIG_BIND_STRICT,
					    .policy = {.mode = GMIG_POLICY_BIND, .nodes = {{1}}}};
	struct gmig_error err;
	struct gmig_job *none;

	start(false);
	pthread_mutex_lock(&swap_kernel.lock);
	swap_kernel.page[_i].node = 1;
	pthread_mutex_unlock(&swap_kernel.lock);
	ck_assert_int_eq(gmig_bind(gmig, &spec, &none, &err),
			 _i >= (int)GMIG_BLOCK_PAGES ? -EIO : 0);
	ck_assert_uint_eq(in_books_on(1), _i >= (int)GMIG_BLOCK_PAGES ? 1 : 0);
	gmig_destroy(gmig);
	gmig_topology_put(topology);
	tree_remove();
}
END_TEST

/* ---- What stays ------------------------------------------------------------------------------- */

START_TEST(page_that_is_pinned_stays_and_is_not_tried_for_long)
{
	struct gmig_job_spec spec = to_node_1();
	struct gmig_job_info info;

	start(_i);
	swap_kernel.page[7].pinned = true;
	move(&spec, &info);
	check_moved(&info, SWAP_PAGES - 1);
	check_stayed(&info, 1, EBUSY);
	ck_assert_uint_eq(info.passes, GMIG_MAX_PASSES);
	ck_assert_uint_le(swap_kernel.evictions, 2 * GMIG_MAX_PASSES + 8);
	end();
}
END_TEST

START_TEST(page_that_the_guest_keeps_writing_to_stays_in_the_end)
{
	struct gmig_job_spec spec = to_node_1();
	struct gmig_job_info info;

	start(false);
	swap_kernel.slow = true;
	swap_kernel.page[9].rewritten = true;
	move(&spec, &info);
	check_moved(&info, SWAP_PAGES - 1);
	check_stayed(&info, 1, EAGAIN);
	end();
}
END_TEST

START_TEST(target_without_memory_is_the_reason)
{
	struct gmig_job_spec spec = to_node_1();
	struct gmig_job_info info;

	start(false);
	swap_kernel.node_pages = 600;
	move(&spec, &info);
	check_moved(&info, 600);
	check_stayed(&info, SWAP_PAGES - 600, ENOMEM);
	end();
}
END_TEST

START_TEST(host_without_swap_is_told_before_anything_is_evicted)
{
	struct gmig_job_spec spec = to_node_1();
	struct gmig_job *started;
	struct gmig_error err;

	start(false);
	swap_kernel.free_pages = _i ? GMIG_BLOCK_PAGES - 1 : 0;
	ck_assert_int_eq(gmig_job_start(gmig, &spec, &started, &err), -ENOSPC);
	ck_assert_ptr_nonnull(strstr(err.text, "needs swap"));
	ck_assert_ptr_nonnull(strstr(err.text, _i ? "2044 KiB" : " 0 KiB"));
	ck_assert_uint_eq(swap_kernel.evictions, 0);
	end();
}
END_TEST

static void unread_swap(struct room *room)
{
	*room = (struct room){.unread = ENFILE};
}

START_TEST(swap_that_cannot_be_looked_at_is_not_no_swap)
{
	struct gmig_job_spec spec = to_node_1();
	struct gmig_job *started;
	struct gmig_error err;

	start(false);
	swap_sys.swap_room = unread_swap;
	ck_assert_int_eq(gmig_job_start(gmig, &spec, &started, &err), -EAGAIN);
	ck_assert_ptr_nonnull(strstr(err.text, "Too many open files in system"));
	end();
}
END_TEST

static void fill_swap(void)
{
	pthread_mutex_lock(&swap_kernel.lock);
	swap_kernel.free_pages = 0;
	pthread_mutex_unlock(&swap_kernel.lock);
}

/* As swapoff(8) has it: what is out by then can be read. */
START_TEST(swap_that_ends_half_way_leaves_the_rest_where_it_is)
{
	struct gmig_job_spec spec = to_node_1();
	struct gmig_job_info info;

	start(false);
	spec.rate_bytes_per_second = 40ull << 20; /* a block a round */
	swap_kernel.evicted = fill_swap;
	move(&spec, &info);
	check_moved(&info, GMIG_BLOCK_PAGES);
	check_stayed(&info, GMIG_BLOCK_PAGES, ENOSPC);
	end();
}
END_TEST

START_TEST(swap_that_is_full_within_a_round_is_the_reason)
{
	struct gmig_job_spec spec = to_node_1();
	struct gmig_job_info info;

	start(false);
	swap_kernel.free_pages = 700;
	move(&spec, &info);
	check_moved(&info, 700);
	check_stayed(&info, SWAP_PAGES - 700, ENOSPC);
	end();
}
END_TEST

START_TEST(memory_that_was_locked_since_stays_for_good)
{
	struct gmig_job_spec spec = to_node_1();
	struct gmig_job_info info;

	start(_i);
	swap_kernel.locked_pages = SWAP_PAGES;
	move(&spec, &info);
	check_moved(&info, 0);
	check_stayed(&info, SWAP_PAGES, EPERM);
	ck_assert_uint_eq(info.passes, 1);
	end();
}
END_TEST

/* What was evicted before the kernel met them is not left in swap. */
START_TEST(pages_that_were_locked_stay_alone)
{
	struct gmig_job_spec spec = to_node_1();
	struct gmig_job_info info;
	uint64_t bytes;

	start(_i);
	swap_kernel.locked_from = 100;
	swap_kernel.locked_pages = 10;
	move(&spec, &info);
	check_moved(&info, SWAP_PAGES - 10);
	check_stayed(&info, 10, EPERM);
	ck_assert_int_eq(gmig_swapped(gmig, 0, &bytes), 0);
	ck_assert_uint_eq(bytes, 0);
	end();
}
END_TEST

/* It counts as being in swap, as for the kernel. */
START_TEST(page_that_cannot_be_read_from_swap_is_told_and_the_others_move)
{
	struct gmig_job_spec spec = to_node_1();
	struct gmig_job_info info;
	uint64_t bytes;

	start(_i);
	swap_kernel.page[3].broken = true;
	move(&spec, &info);
	ck_assert_int_eq(info.state, GMIG_JOB_COMPLETED);
	ck_assert_uint_eq(info.moved_bytes, BYTES - GMIG_PAGE_BYTES);
	check_stayed(&info, 1, EIO);
	ck_assert_uint_eq(in_books_on(1), SWAP_PAGES - 1);
	ck_assert_uint_eq(in_books_on(0), 0);
	ck_assert_int_eq(gmig_swapped(gmig, 0, &bytes), 0);
	ck_assert_uint_eq(bytes, GMIG_PAGE_BYTES);
	end();
}
END_TEST

static void cancel(void)
{
	while (!atomic_load(&job))
		sched_yield();
	gmig_job_cancel(atomic_load(&job));
}

START_TEST(cancel_is_heard_after_a_round_and_nothing_is_left_in_swap)
{
	struct gmig_job_spec spec = to_node_1();
	struct gmig_job_info info;

	start(false);
	spec.rate_bytes_per_second = 20ull << 20; /* a block a round, with 0.1 s between */
	swap_kernel.slow = true;
	swap_kernel.evicted = cancel;
	move(&spec, &info);
	ck_assert_int_eq(info.state, GMIG_JOB_CANCELLED);
	ck_assert_uint_eq(info.moved_bytes, GMIG_BLOCK_BYTES);
	ck_assert_uint_eq(pages_on(0), GMIG_BLOCK_PAGES);
	ck_assert_uint_eq(pages_on(1), GMIG_BLOCK_PAGES);
	/* The region's own again. */
	ck_assert_int_eq(swap_kernel.policy[0], 0);
	ck_assert_int_eq(swap_kernel.policy[1], 0);
	end();
}
END_TEST

/* ---- Options ---------------------------------------------------------------------------------- */

START_TEST(option_that_it_has_not_is_refused_in_words)
{
	static const struct {
		struct gmig_job_spec spec;
		const char *words;
	} cases[] = {
	    {{.frames = GMIG_FRAMES_FRESH}, "frames"},
	    {{.batch_pages = 1}, "batches"},
	    {{.hold_vcpus = true}, "vCPUs"},
	    {{.huge = GMIG_HUGE_KEEP}, "huge"},
	    {{.max_stall_ns = 1000000}, "stall budget"},
	    {{.move_all = true}, "other processes"},
	    {{.mode = GMIG_MODE_BLOCK}, "mode block"},
	    {{.mode = GMIG_MODE_LAZY}, "mode lazy"},
	};
	struct gmig_job *started;
	struct gmig_error err;

	start(false);
	for (unsigned int i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct gmig_job_spec spec = cases[i].spec;

		spec.from_count = spec.to_count = 1;
		spec.to[0] = 1;
		spec.mover = "swap";
		ck_assert_int_eq(gmig_job_start(gmig, &spec, &started, &err), -EINVAL);
		ck_assert_msg(strstr(err.text, cases[i].words) != NULL, "%s", err.text);
	}
	end();
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("mover_swap");
	TCase *tcase = tcase_create("mover_swap");
	struct gmig_features features;

	if (gmig_probe_features(&features)) {
		printf("skipped: %s\n", features.why);
		return 77;
	}
	tcase_add_loop_test(tcase, pages_come_back_on_the_target, 0, 2);
	tcase_add_loop_test(tcase, huge_page_is_split_and_joined_again, 0, 2);
	tcase_add_test(tcase, block_of_a_part_has_a_policy_of_its_own_until_it_has_moved);
	tcase_add_test(tcase, policy_that_cannot_be_restored_is_told);
	tcase_add_test(tcase, guest_that_touches_what_is_out_has_it_on_the_target);
	tcase_add_test(tcase, pages_that_were_given_back_meanwhile_are_gone);
	tcase_add_loop_test(tcase, strict_binding_asks_the_kernel_where_pages_are, 511, 513);
	tcase_add_loop_test(tcase, page_that_is_pinned_stays_and_is_not_tried_for_long, 0, 2);
	tcase_add_test(tcase, page_that_the_guest_keeps_writing_to_stays_in_the_end);
	tcase_add_test(tcase, target_without_memory_is_the_reason);
	tcase_add_test(tcase, swap_that_cannot_be_looked_at_is_not_no_swap);
	tcase_add_loop_test(tcase, host_without_swap_is_told_before_anything_is_evicted, 0, 2);
	tcase_add_test(tcase, swap_that_ends_half_way_leaves_the_rest_where_it_is);
	tcase_add_test(tcase, swap_that_is_full_within_a_round_is_the_reason);
	tcase_add_loop_test(tcase, memory_that_was_locked_since_stays_for_good, 0, 2);
	tcase_add_loop_test(tcase, pages_that_were_locked_stay_alone, 0, 2);
	tcase_add_loop_test(tcase, page_that_cannot_be_read_from_swap_is_told_and_the_others_move,
			    0, 2);
	tcase_add_test(tcase, cancel_is_heard_after_a_round_and_nothing_is_left_in_swap);
	tcase_add_test(tcase, option_that_it_has_not_is_refused_in_words);
	suite_add_tcase(suite, tcase);
	return run_suite(suite);
}
