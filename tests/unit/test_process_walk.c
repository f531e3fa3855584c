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

static void teardown(void)
{
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
	struct memory_range *ranges;
	size_t count;
	struct walked walked;

	ck_assert_int_eq(process->memory.ops->ranges(&process->memory, &all, &ranges, &count), 0);
	free(ranges);
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

int main(void)
{
	const TTest *const tests[] = {walk_of_a_block_tells_each_page_and_each_hole_once};

	return run_tests("process_walk", setup, teardown, tests, sizeof(tests) / sizeof(tests[0]));
}
