/* The walk over another process's memory: each page and each hole, once, in order. */
#include "../../migrate/core/topology.h"
#include "../../migrate/memory/process_memory.h"
#include "fake_process.h"
#include "suite.h"

#include <errno.h>
#include <stdlib.h>

#define PAGE FAKE_PAGE_BYTES

static struct gmig_topology *topology;
static struct gmig_process *process;
static struct gmig_error err;

static void setup(void)
{
	struct gmig_process_options options = {.pid = FAKE_PID, .sys = &fake_sys};

	fake_process_setup_on_four_nodes();
	fake_thread(FAKE_PID, "0-3");
	ck_assert_msg(!topology_create_at(tree_root, 0, &topology, &err), "%s", err.text);
	options.topology = topology;
	ck_assert_msg(!gmig_process_open(&options, &process, &err), "%s", err.text);
}

static struct memory_range *ranges;
static size_t count;

static void teardown(void)
{
	free(ranges);
	gmig_process_close(process);
	gmig_topology_put(topology);
	fake_process_teardown();
}

static const struct gmig_job_spec all = {.from = {0}, .from_count = 1, .to = {1}, .to_count = 1};

struct walked {
	uint64_t next; /* what it has not told yet begins here */
	unsigned int blocks, pages, holes;
};

static int note_walk(void *arg, uint64_t gfn, const struct shadow_entry *entry)
{
	struct walked *walked = arg;

	ck_assert_uint_eq(gfn, walked->next);
	ck_assert_uint_eq(gfn % (1ull << entry->order), 0);
	walked->next = gfn + (1ull << entry->order);
	walked->blocks += entry->order != 0;
	walked->pages += entry->state == SHADOW_PRESENT;
	walked->holes += entry->state == SHADOW_NONE;
	return entry->state == SHADOW_PRESENT && entry->node == 3 ? -ECANCELED : 0;
}

static struct walked walk_block(uint64_t gfn, uint64_t pages, int expected)
{
	struct walked walked = {.next = gfn};
	int ret = process->memory.ops->walk(&process->memory, gfn, pages, note_walk, &walked);

	ck_assert_int_eq(ret, expected);
	return walked;
}

START_TEST(walk_of_a_block_tells_each_page_and_each_hole_once)
{
	const uint64_t first = FAKE_START / PAGE, block = (first + 511) / 512 * 512;
	struct walked walked;

	ck_assert_int_eq(process->memory.ops->ranges(&process->memory, &all, &ranges, &count), 0);
	/* Two blocks from there on are there; the first has a hole of one page, and one at its end. */
	fake_page[block - first + 7].node = FAKE_HOLE;
	fake_page[block - first + 511].node = FAKE_HOLE;
	walked = walk_block(block, 512, 0);
	ck_assert_uint_eq(walked.next, block + 512);
	ck_assert_uint_eq(walked.holes, 2);
	ck_assert_uint_eq(walked.pages, 510);
	ck_assert_uint_eq(walked.blocks, 0);
	/* All of it is one: a block is told as such, and a part of one page by page. */
	for (unsigned int i = 0; i < 512; i++)
		fake_page[block - first + i].node = FAKE_HOLE;
	walked = walk_block(block, 512, 0);
	ck_assert_uint_eq(walked.next, block + 512);
	ck_assert_uint_eq(walked.holes, 1);
	ck_assert_uint_eq(walked.blocks, 1);
	walked = walk_block(block + 1, 511, 0);
	ck_assert_uint_eq(walked.next, block + 512);
	ck_assert_uint_eq(walked.holes, 511);
	walked = walk_block(block, 511, 0);
	ck_assert_uint_eq(walked.next, block + 511);
	ck_assert_uint_eq(walked.holes, 511);
	/* Who is told may end it. */
	fake_page[block - first + 9].node = 3;
	walked = walk_block(block, 512, -ECANCELED);
	ck_assert_uint_eq(walked.next, block + 10);
}
END_TEST

/* ---- Ranges ------------------------------------------------------------------------------------ */

#define BLOCK (512ull * PAGE)

static int read_ranges(const struct gmig_job_spec *spec)
{
	free(ranges);
	ranges = NULL;
	return process->memory.ops->ranges(&process->memory, spec, &ranges, &count);
}

static void assert_range(size_t i, uint64_t first_block, uint64_t blocks)
{
	ck_assert_uint_lt(i, count);
	ck_assert_uint_eq(ranges[i].gfn, first_block * 512);
	ck_assert_uint_eq(ranges[i].pages, blocks * 512);
}

/* A mapping from one byte to another. */
static void map_text(char **at, uint64_t start, uint64_t end, const char *path)
{
	*at += sprintf(*at, "%llx-%llx rw-p 0 00:00 0 %s\nRss: 4 kB\n", (unsigned long long)start,
		       (unsigned long long)end, path);
}

#define GIB (1ull << 30)

START_TEST(ranges_are_whole_blocks_and_joined_where_little_is_between)
{
	char text[2000], *at = text;

	map_text(&at, BLOCK + PAGE, BLOCK + 2 * PAGE, "");
	map_text(&at, BLOCK + 3 * PAGE, 2 * BLOCK, "");
	map_text(&at, 2 * BLOCK, 3 * BLOCK + PAGE, "");
	map_text(&at, 9 * BLOCK, 10 * BLOCK, "/dev/x"); /* has no pages that could be moved */
	map_text(&at, 4 * BLOCK + 64 * GIB, 5 * BLOCK + 64 * GIB, "");
	map_text(&at, 6 * BLOCK + 128 * GIB, 7 * BLOCK + 128 * GIB, "");
	fake_file("77/smaps", "%s", text);
	ck_assert_int_eq(read_ranges(&all), 0);
	ck_assert_uint_eq(count, 2);
	assert_range(0, 1, 4 + 64 * GIB / BLOCK);
	assert_range(1, 6 + 128 * GIB / BLOCK, 1);
	/* What begins in a block that another has begun. */
	at = text;
	map_text(&at, BLOCK, BLOCK + PAGE, "");
	map_text(&at, BLOCK + 2 * PAGE, BLOCK + 3 * PAGE, "");
	fake_file("77/smaps", "%s", text);
	ck_assert_int_eq(read_ranges(&all), 0);
	ck_assert_uint_eq(count, 1);
	assert_range(0, 1, 1);
}
END_TEST

static unsigned int offered;

static bool counts_but_the_third(void *opaque, uint64_t start, uint64_t end)
{
	ck_assert_ptr_eq(opaque, &offered);
	ck_assert_uint_lt(start, end);
	return ++offered != 3;
}

START_TEST(ranges_of_a_limited_job_are_the_whole_blocks_of_what_counts)
{
	struct gmig_job_spec part = all;
	char text[2000], *at = text;

	map_text(&at, BLOCK + PAGE, 4 * BLOCK - PAGE, "");     /* blocks 2 */
	map_text(&at, 4 * BLOCK - PAGE, 5 * BLOCK - PAGE, ""); /* none is whole */
	map_text(&at, 6 * BLOCK, 8 * BLOCK, "");	       /* does not count */
	map_text(&at, 9 * BLOCK, 10 * BLOCK, "/dev/x");	       /* nobody is asked */
	map_text(&at, 10 * BLOCK, 12 * BLOCK, "");	       /* 10 and 11 */
	map_text(&at, 12 * BLOCK, 13 * BLOCK, "");	       /* 12, apart from them */
	fake_file("77/smaps", "%s", text);
	process->counts = counts_but_the_third;
	process->memory.opaque = &offered;
	part.max_bytes = 1;
	ck_assert_int_eq(read_ranges(&part), 0);
	ck_assert_uint_eq(offered, 5);
	ck_assert_uint_eq(count, 3);
	assert_range(0, 2, 1);
	assert_range(1, 10, 2);
	assert_range(2, 12, 1);
	/* One that is not limited has all of it, and asks nobody. */
	ck_assert_int_eq(read_ranges(&all), 0);
	ck_assert_uint_eq(offered, 5);
	ck_assert_uint_eq(count, 1);
	assert_range(0, 1, 12);
	/* Nor does one whose caller has no say. */
	process->counts = NULL;
	ck_assert_int_eq(read_ranges(&part), 0);
	ck_assert_uint_eq(count, 1);
}
END_TEST

START_TEST(ranges_of_a_process_that_has_ended_are_none)
{
	ck_assert_int_eq(read_ranges(&all), 0);
	assert_range(0, FAKE_START / BLOCK, 20);
	fake_process_ends();
	ck_assert_int_eq(read_ranges(&all), -ESRCH);
	ck_assert_ptr_null(ranges);
	ck_assert_uint_eq(count, 0);
	ck_assert_uint_eq(process->maps.count, 1); /* what was known, still is */
}
END_TEST

START_TEST(nodes_of_mappings_are_read_for_a_job_that_leaves_some)
{
	const struct gmig_job_spec anywhere = {.to = {1}, .to_count = 1};

	ck_assert_int_eq(read_ranges(&all), 0);
	ck_assert_ptr_nonnull(process->maps.node);
	ck_assert(process_scans(process));
	ck_assert_int_eq(read_ranges(&anywhere), 0);
	ck_assert_ptr_null(process->maps.node);
	fake_no_scan = true;
	ck_assert_int_eq(read_ranges(&all), 0);
	ck_assert_ptr_null(process->maps.node);
	ck_assert(!process_scans(process));
}
END_TEST

/* ---- What is believed -------------------------------------------------------------------------- */

#define FIRST 3000u /* pages of the first of two mappings */

static void two_mappings(void)
{
	const unsigned long long middle = FAKE_START + FIRST * PAGE;

	fake_heap_pages = FIRST;
	fake_file(
	    "77/smaps",
	    "%llx-%llx rw-p 0 00:00 0 \nRss: 12000 kB\n%llx-%llx rw-p 0 00:00 0 \nRss: 4 kB\n",
	    FAKE_START, middle, middle, (unsigned long long)FAKE_END);
}

struct seen {
	uint64_t next;
	unsigned int pages, blocks, on[FAKE_NODES];
};

static int note_present(void *arg, uint64_t gfn, const struct shadow_entry *entry)
{
	struct seen *seen = arg;

	ck_assert_uint_ge(gfn, seen->next);
	seen->next = gfn + (1ull << entry->order);
	ck_assert_int_eq(entry->state, SHADOW_PRESENT);
	ck_assert(entry->order == 0 || entry->order == 9);
	ck_assert_uint_lt(entry->node, FAKE_NODES);
	seen->blocks += entry->order == 9;
	seen->pages += entry->order == 0;
	seen->on[entry->node] += 1u << entry->order;
	return 0;
}

static struct seen walk_all(bool believe)
{
	const struct memory_ops *ops = process->memory.ops;
	struct seen seen = {0};

	atomic_store(&fake_asked, 0);
	ck_assert_int_eq((believe ? ops->walk_present : ops->walk)(
			     &process->memory, FAKE_START / PAGE, 20 * 512, note_present, &seen),
			 0);
	return seen;
}

START_TEST(mapping_that_lies_on_one_node_is_not_asked_for)
{
	struct seen seen;

	two_mappings();
	fake_page[FIRST].node = 2;
	fake_page[FIRST + 1].node = FAKE_HOLE;
	fake_page[FIRST + 2].node = FAKE_ZERO;
	ck_assert_int_eq(read_ranges(&all), 0);
	seen = walk_all(true);
	ck_assert_uint_eq(seen.pages, FAKE_PAGES - 2);
	ck_assert_uint_eq(seen.on[2], 1);
	ck_assert_uint_eq(atomic_load(&fake_asked), FAKE_PAGES - FIRST - 2);
	/* A walk that believes nothing asks for all. */
	seen = walk_all(false);
	ck_assert_uint_eq(seen.pages, FAKE_PAGES - 2);
	ck_assert_uint_eq(atomic_load(&fake_asked), FAKE_PAGES - 2);
	ck_assert(process->memory.ops->held(&process->memory));
}
END_TEST

START_TEST(mapping_that_does_not_hold_is_asked_for_again)
{
	struct seen seen;

	two_mappings();
	ck_assert_int_eq(read_ranges(&all), 0);
	ck_assert(process->memory.ops->held(&process->memory));
	walk_all(true);
	ck_assert_uint_eq(atomic_load(&fake_asked), 0);
	fake_page[FIRST - 1].node = 1;
	seen = walk_all(true);
	ck_assert_uint_eq(seen.on[1], 0); /* it is not known yet */
	ck_assert(!process->memory.ops->held(&process->memory));
	seen = walk_all(true);
	ck_assert_uint_eq(seen.on[1], 1);
	ck_assert_uint_eq(atomic_load(&fake_asked), FIRST);
	ck_assert(process->memory.ops->held(&process->memory));
	/* All of it on another node is no better. */
	for (size_t i = FIRST; i < FAKE_PAGES; i++)
		fake_page[i].node = 3;
	ck_assert(!process->memory.ops->held(&process->memory));
	seen = walk_all(true);
	ck_assert_uint_eq(seen.on[3], FAKE_PAGES - FIRST);
	ck_assert_uint_eq(atomic_load(&fake_asked), FAKE_PAGES);
}
END_TEST

START_TEST(without_numa_maps_nothing_is_believed_any_more)
{
	two_mappings();
	ck_assert_int_eq(read_ranges(&all), 0);
	fake_no_numa_maps = true;
	ck_assert(!process->memory.ops->held(&process->memory));
	ck_assert_ptr_null(process->maps.node);
	ck_assert(process->memory.ops->held(&process->memory));
	walk_all(true);
	ck_assert_uint_eq(atomic_load(&fake_asked), FAKE_PAGES);
}
END_TEST

START_TEST(walk_tells_huge_pages_as_blocks)
{
	struct seen seen;

	for (size_t i = 512; i < 3 * 512; i++)
		fake_page[i].huge = true;
	for (size_t i = 2 * 512; i < 3 * 512; i++)
		fake_page[i].node = 1;
	ck_assert_int_eq(read_ranges(&all), 0);
	seen = walk_all(false);
	ck_assert_uint_eq(seen.blocks, 2);
	ck_assert_uint_eq(seen.pages, FAKE_PAGES - 2 * 512);
	ck_assert_uint_eq(seen.on[1], 512);
	/* Of pages of hugetlbfs, which are larger than a block, each block. */
	fake_smaps("KernelPageSize: 4096 kB\nVmFlags: ht\n");
	ck_assert_int_eq(read_ranges(&all), 0);
	seen = walk_all(false);
	ck_assert_uint_eq(seen.blocks, 20);
	ck_assert_uint_eq(seen.pages, 0);
	ck_assert_uint_eq(atomic_load(&fake_asked), 20);
}
END_TEST

/* Nothing is there to be scanned: a mapping without a page is not asked for. */
START_TEST(walk_without_scan_passes_over_what_has_no_page)
{
	const unsigned long long middle = FAKE_START + FIRST * PAGE;

	fake_no_scan = true;
	fake_file("77/smaps",
		  "%llx-%llx rw-p 0 00:00 0 \nRss: 0 kB\n%llx-%llx rw-p 0 00:00 0 \nRss: 4 kB\n",
		  FAKE_START, middle, middle, (unsigned long long)FAKE_END);
	ck_assert_int_eq(read_ranges(&all), 0);
	ck_assert_uint_eq(walk_all(false).pages, FAKE_PAGES - FIRST);
	ck_assert_uint_eq(atomic_load(&fake_asked), FAKE_PAGES - FIRST);
}
END_TEST

static int fail_scan(int fd, unsigned long request, void *argument)
{
	(void)fd, (void)request, (void)argument;
	return -EIO;
}

static long fail_ask(pid_t pid, unsigned long pages, void **page, const int *nodes, int *status,
		     int flags)
{
	(void)pid, (void)page, (void)nodes, (void)status, (void)flags;
	return pages ? -EPERM : 0;
}

START_TEST(walk_that_the_kernel_refuses_ends_with_its_error)
{
	const struct memory_ops *ops = process->memory.ops;
	struct seen seen = {0};

	ck_assert_int_eq(read_ranges(&all), 0);
	fake_sys.move_pages = fail_ask;
	ck_assert_int_eq(ops->walk(&process->memory, FAKE_START / PAGE, 1024, note_present, &seen),
			 -EPERM);
	fake_sys.ioctl = fail_scan;
	ck_assert_int_eq(ops->walk(&process->memory, FAKE_START / PAGE, 1024, note_present, &seen),
			 -EIO);
	ck_assert_uint_eq(seen.next, 0);
}
END_TEST

/* ---- The rest ---------------------------------------------------------------------------------- */

START_TEST(page_size_is_that_of_the_mapping)
{
	fake_file("77/smaps",
		  "%llx-%llx rw-p 0 00:00 0 \nKernelPageSize: 2048 kB\nVmFlags: ht\n"
		  "%llx-%llx rw-p 0 00:00 0 \nRss: 4 kB\n",
		  2 * BLOCK, 4 * BLOCK, 5 * BLOCK, 6 * BLOCK);
	ck_assert_int_eq(read_ranges(&all), 0);
	ck_assert_uint_eq(process_page_size(process, 2 * 512 - 1), 1);
	ck_assert_uint_eq(process_page_size(process, 2 * 512), 512);
	ck_assert_uint_eq(process_page_size(process, 4 * 512 - 1), 512);
	ck_assert_uint_eq(process_page_size(process, 4 * 512), 1);
	ck_assert_uint_eq(process_page_size(process, 5 * 512), 1);
	ck_assert_uint_eq(process_page_size(process, 6 * 512), 1);
}
END_TEST

START_TEST(pages_are_asked_for_by_their_addresses)
{
	const uint64_t first = FAKE_START / PAGE;
	const uint64_t gfns[3] = {first, first + 5, first + 7};
	int status[3];

	fake_page[5].node = 2;
	fake_page[7].node = FAKE_HOLE;
	ck_assert_int_eq(process->memory.ops->query(&process->memory, 3, gfns, status), 0);
	ck_assert_int_eq(status[0], 0);
	ck_assert_int_eq(status[1], 2);
	ck_assert_int_eq(status[2], -ENOENT);
	ck_assert_ptr_eq(process->memory.ops->address(&process->memory, first + 5),
			 (void *)(FAKE_START + 5 * PAGE));
	ck_assert_str_eq(process->memory.ops->kind(&process->memory, &all, 0), "process");
	ck_assert_ptr_null(process->memory.ops->kind(&process->memory, &all, 1));
}
END_TEST

START_TEST(nothing_of_a_process_is_claimed)
{
	struct bits refused;

	memset(&refused, 0xff, sizeof(refused));
	process->memory.ops->claim(&process->memory, NULL, &refused);
	ck_assert(bits_empty(&refused));
	ck_assert(process->memory.ops->unclaimed);
}
END_TEST

START_TEST(job_is_ready_when_all_of_its_targets_may_have_memory)
{
	const struct gmig_job_spec two = {.to = {1, 3}, .to_count = 2};
	const struct gmig_node_set set = process_targets(&two);

	for (unsigned int node = 0; node < GMIG_MAX_NODES; node++)
		ck_assert_int_eq(gmig_node_set_has(&set, node), node == 1 || node == 3);
	ck_assert_int_eq(process->memory.ops->ready(&process->memory, &two, &err), 0);
	fake_thread(FAKE_PID, "0-2");
	ck_assert_int_eq(process->memory.ops->ready(&process->memory, &two, &err), -EACCES);
	ck_assert_ptr_nonnull(strstr(err.text, "nodes 0-2, not on 3"));
	fake_process_ends();
	ck_assert_int_eq(process->memory.ops->ready(&process->memory, &two, &err), -ESRCH);
}
END_TEST

/* ---- Opening ----------------------------------------------------------------------------------- */

static int open_with(const struct gmig_process_options *options)
{
	struct gmig_process *other = NULL;
	int ret = gmig_process_open(options, &other, &err);

	ck_assert(!ret == (other != NULL));
	gmig_process_close(other);
	return ret;
}

START_TEST(process_is_opened_between_real_nodes_only)
{
	struct gmig_process_options options = {.pid = FAKE_PID, .sys = &fake_sys};
	struct gmig_topology *fake;

	ck_assert_int_eq(open_with(&options), -EINVAL);
	ck_assert_str_eq(err.text, "processes are moved between real nodes only, not fake ones");
	ck_assert_int_eq(gmig_topology_create(2, &fake, NULL), 0);
	options.topology = fake;
	ck_assert_int_eq(open_with(&options), -EINVAL);
	options.topology = topology;
	ck_assert_int_eq(open_with(&options), 0);
	options.pid = 78;
	ck_assert_int_eq(open_with(&options), -ESRCH);
	options.pid = FAKE_PID;
	memset(options.reserved, 1, sizeof(options.reserved));
	ck_assert_int_eq(open_with(&options), -E2BIG);
	gmig_topology_put(fake);
	gmig_process_close(NULL);
	ck_assert_str_eq(gmig_process_name(process), "worker (x) y");
}
END_TEST

START_TEST(pages_that_others_map_are_moved_unless_they_are_left_out)
{
	struct gmig_process_options options = {
	    .pid = FAKE_PID, .sys = &fake_sys, .topology = topology, .private_only = true};
	struct gmig_process *other;

	ck_assert(process->shared);
	ck_assert_int_eq(gmig_process_open(&options, &other, &err), 0);
	ck_assert(!other->shared && other->process->can_shared);
	gmig_process_close(other);
}
END_TEST

START_TEST(job_of_a_process_is_by_the_kernel_and_is_found_by_its_number)
{
	struct gmig_job_spec spec = all;
	struct gmig_job_info info;
	struct gmig_job *job, *found;
	uint64_t ids[2];

	for (unsigned int i = 0; i < 3; i++) {
		spec.mover = i == 0 ? NULL : i == 1 ? "" : "kernel";
		ck_assert_msg(!gmig_process_job_start(process, &spec, &job, &err), "%s", err.text);
		gmig_job_wait(job);
		gmig_job_info(job, &info);
		ck_assert_int_eq(info.state, GMIG_JOB_COMPLETED);
		ck_assert_uint_eq(info.id, i + 1);
		ck_assert_uint_eq(info.moved_bytes, i ? 0 : FAKE_PAGES * PAGE);
		found = gmig_process_job_find(process, i + 1);
		ck_assert_ptr_eq(found, job);
		gmig_job_put(found);
		ck_assert_ptr_null(gmig_process_job_find(process, i + 2));
		ck_assert_uint_eq(gmig_process_job_list(process, ids, 2), i + 1);
		gmig_job_put(job);
	}
	ck_assert_uint_eq(ids[0], 1);
	ck_assert_uint_eq(ids[1], 2);
	ck_assert_uint_eq(fake_pages_on(1), FAKE_PAGES);
}
END_TEST

int main(void)
{
	const TTest *const tests[] = {
	    walk_of_a_block_tells_each_page_and_each_hole_once,
	    ranges_are_whole_blocks_and_joined_where_little_is_between,
	    ranges_of_a_limited_job_are_the_whole_blocks_of_what_counts,
	    ranges_of_a_process_that_has_ended_are_none,
	    nodes_of_mappings_are_read_for_a_job_that_leaves_some,
	    mapping_that_lies_on_one_node_is_not_asked_for,
	    mapping_that_does_not_hold_is_asked_for_again,
	    without_numa_maps_nothing_is_believed_any_more,
	    walk_tells_huge_pages_as_blocks,
	    walk_without_scan_passes_over_what_has_no_page,
	    walk_that_the_kernel_refuses_ends_with_its_error,
	    page_size_is_that_of_the_mapping,
	    pages_are_asked_for_by_their_addresses,
	    nothing_of_a_process_is_claimed,
	    job_is_ready_when_all_of_its_targets_may_have_memory,
	    process_is_opened_between_real_nodes_only,
	    pages_that_others_map_are_moved_unless_they_are_left_out,
	    job_of_a_process_is_by_the_kernel_and_is_found_by_its_number,
	};

	return run_tests("process_walk", setup, teardown, tests, sizeof(tests) / sizeof(tests[0]));
}
