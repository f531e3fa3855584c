/* The agent packs the pages of a real process on the real kernel; in which blocks these lie is counted from outside. */
#include "../../guestagent/agent.h"
#include "../../guestagent/sys.h"
#include "agent_line.h"
#include "suite.h"

#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

static struct agent agent;

static json_t *ask(const char *line)
{
	return agent_line(&agent, line);
}

#define REAL_BLOCKS 4u
#define REAL_PAGES  128u /* of each */
#define BETWEEN	    15u	 /* pages of somebody else's between two of them */

static struct {
	pid_t pid;
	char *memory; /* at the same address here: it was mapped before the fork */
} child;

static char *map_aligned(size_t bytes)
{
	char *all = mmap(NULL, bytes + AGENT_HUGE_BYTES, PROT_READ | PROT_WRITE,
			 MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

	if (all == MAP_FAILED)
		abort();
	return (char *)(((uintptr_t)all + AGENT_HUGE_BYTES - 1) & ~(AGENT_HUGE_BYTES - 1));
}

/* Each page with its number in it; page n of a block is at 4 n, so that they lie all over it. */
static char *page_of(char *memory, size_t number)
{
	return memory + number / REAL_PAGES * AGENT_HUGE_BYTES +
	       number % REAL_PAGES * 4 * AGENT_PAGE_BYTES;
}

/* As a database has for a snapshot: it shares all of the memory, and does nothing. */
static void hold_a_copy(void)
{
	if (fork())
		return;
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	for (;;)
		pause();
}

static void be_child(int ready, int check, bool forks)
{
	size_t others = REAL_BLOCKS * REAL_PAGES * BETWEEN * AGENT_PAGE_BYTES;
	char *other = map_aligned(others), byte;

	prctl(PR_SET_PDEATHSIG, SIGKILL);
	/* Not by advice: what is to be huge later on would be khugepaged's at once. */
	prctl(PR_SET_THP_DISABLE, 1, 0, 0, 0);
	madvise(other, others, MADV_NOHUGEPAGE);
	for (size_t i = 0; i < REAL_BLOCKS * REAL_PAGES; i++) {
		*(size_t *)(void *)page_of(child.memory, i) = i + 1;
		for (size_t n = 0; n < BETWEEN; n++)
			other[(i * BETWEEN + n) * AGENT_PAGE_BYTES] = 1;
	}
	prctl(PR_SET_THP_DISABLE, 0, 0, 0, 0);
	if (forks)
		hold_a_copy();
	byte = 'r';
	if (write(ready, &byte, 1) != 1 || read(check, &byte, 1) != 1)
		_exit(1);
	for (size_t i = 0; i < REAL_BLOCKS * REAL_PAGES; i++)
		if (*(size_t *)(void *)page_of(child.memory, i) != i + 1)
			_exit(2);
	_exit(0);
}

/* In how many blocks do the pages that were touched lie? As root, without the agent's help. */
static size_t count_blocks(void)
{
	static uint64_t seen[REAL_BLOCKS * REAL_PAGES];
	size_t distinct = 0, n;
	char path[64];
	int fd;

	snprintf(path, sizeof(path), "/proc/%d/pagemap", (int)child.pid);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	for (size_t i = 0; i < REAL_BLOCKS * REAL_PAGES; i++) {
		uint64_t address = (uintptr_t)page_of(child.memory, i), entry = 0;

		ck_assert_int_eq(pread(fd, &entry, 8, (off_t)(address / 4096 * 8)), 8);
		ck_assert(entry >> 63);
		entry = (entry & ((1ull << 55) - 1)) / 512;
		ck_assert_uint_gt(entry, 0);
		for (n = 0; n < distinct && seen[n] != entry; n++)
			;
		if (n == distinct)
			seen[distinct++] = entry;
	}
	close(fd);
	return distinct;
}

/* NULL: it can be tried here. */
static const char *real_kernel_lacks(void)
{
	char *block = map_aligned(AGENT_HUGE_BYTES);
	const char *lacks = NULL;

	*block = 1;
	if (geteuid() != 0)
		lacks = "only root sees frame numbers";
	else if (access("/proc/self/numa_maps", R_OK))
		lacks = "this kernel has no /proc/PID/numa_maps";
	else if (madvise(block, AGENT_HUGE_BYTES, AGENT_MADV_COLLAPSE))
		lacks = "this kernel makes no huge page now";
	munmap(block, AGENT_HUGE_BYTES);
	return lacks;
}

static void expect_span(const json_t *job, const char *name, json_int_t blocks)
{
	ck_assert_int_eq(number(json_object_get(job, name), "at_least"), blocks);
	ck_assert_int_eq(number(json_object_get(job, name), "at_most"), blocks);
}

START_TEST(real_process_has_its_hot_pages_in_few_blocks)
{
	int ready[2], check[2], status;
	char conf[] = "compact-hot = yes", line[256], byte = 'c', *text;
	size_t before, after;
	json_t *job;

	ck_assert_int_eq(agent_jobs_create(&agent.jobs, NULL), 0);
	ck_assert_int_eq(agent_conf_parse(conf, agent_knows_command, &agent.conf, NULL), 0);
	child.memory = map_aligned(REAL_BLOCKS * AGENT_HUGE_BYTES);
	ck_assert_int_eq(pipe(ready), 0);
	ck_assert_int_eq(pipe(check), 0);
	child.pid = fork();
	if (!child.pid)
		be_child(ready[1], check[0], _i);
	ck_assert_int_eq(read(ready[0], &byte, 1), 1);
	before = count_blocks();
	snprintf(
	    line, sizeof(line),
	    "{\"execute\":\"compact-hot\",\"arguments\":{\"pid\":%d,\"ranges\":[{\"start\":\"%lx\","
	    "\"bytes\":%llu}]"
	    ",\"heat\":\"present\",\"max_growth_ppm\":1000000,\"max_cpu_ppm\":1000000}}",
	    (int)child.pid, (unsigned long)(uintptr_t)child.memory, REAL_BLOCKS * AGENT_HUGE_BYTES);
	job = ask(line);
	while (!strcmp(word(job, "state"), "running")) {
		json_decref(job);
		usleep(1000);
		job = ask("{\"execute\":\"job-status\",\"arguments\":{\"id\":\"1\"}}");
	}
	ck_assert_msg(!strcmp(word(job, "state"), "completed"), "%s%s", word(job, "desc"),
		      word(json_object_get(job, "error"), "desc"));
	after = count_blocks();
	printf("%u pages in %zu blocks before, %zu after; %.1f ms of CPU time\n",
	       REAL_BLOCKS * REAL_PAGES, before, after, (double)number(job, "cpu_ns") / 1e6);
	text = json_dumps(job, 0);
	ck_assert_msg(number(job, "collapsed") == REAL_BLOCKS, "%s", text);
	free(text);
	ck_assert_int_eq(number(job, "small_pages"), REAL_BLOCKS * REAL_PAGES);
	/* The other one keeps the small pages. */
	ck_assert_int_eq(number(job, "shared_pages"), _i ? REAL_BLOCKS * REAL_PAGES : 0);
	ck_assert_int_eq(number(job, "growth_bytes"),
			 REAL_BLOCKS * (_i ? 512 : 512 - REAL_PAGES) * 4096);
	ck_assert_uint_eq(after, REAL_BLOCKS);
	ck_assert_uint_gt(before, 2 * after);
	ck_assert_str_eq(word(job, "blocks_by"), "frames");
	expect_span(job, "blocks_before", (json_int_t)before);
	expect_span(job, "blocks_after", REAL_BLOCKS);
	json_decref(job);
	ck_assert(agent_jobs_destroy(agent.jobs, 60000));
	ck_assert_int_eq(write(check[1], &byte, 1), 1);
	ck_assert_int_eq(waitpid(child.pid, &status, 0), child.pid);
	ck_assert_int_eq(status, 0);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("agent_compact_real");
	TCase *tcase = tcase_create("process");
	const char *lacks = real_kernel_lacks();

	if (lacks) {
		printf("skipped: %s\n", lacks);
		return 77;
	}
	tcase_add_loop_test(tcase, real_process_has_its_hot_pages_in_few_blocks, 0, 2);
	suite_add_tcase(suite, tcase);
	return run_suite(suite);
}
