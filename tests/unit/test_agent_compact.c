/* The agent packs hot small pages of a made-up process, within limits; DAMON's files are in a directory. Which blocks: test_agent_blocks.c. */
#include "../../guestagent/agent.h"
#include "../../guestagent/cgroup.h"
#include "../../guestagent/compact.h"
#include "../../guestagent/opener.h"
#include "agent_line.h"
#include "failing_open.h"
#include "fake_kernel.h"
#include "open_files.h"
#include "suite.h"

#include <fcntl.h>
#include <sys/wait.h>

#define KDAMOND "sys/kernel/mm/damon/admin/kdamonds/"
#define CONTEXT KDAMOND "0/contexts/0/"
#define SCHEME	CONTEXT "schemes/0/"

#define AT(number) (AGENT_HUGE_BYTES * (number))

/* ---- A process --------------------------------------------------------------------------------- */

/* Of fake_pages.h it has the addresses: 19 whole blocks. What is in each of them: */
#define BLOCKS 19
static struct {
	unsigned int small; /* so many pages from the first on; the next one is the zero page */
	bool huge;
	int refuse;  /* -errno of MADV_COLLAPSE */
	bool split;  /* made huge, it is as before at once */
	bool gone;   /* made huge, it is given back at once */
	bool unseen; /* made huge, it cannot be looked at */
} at[BLOCKS];
static bool frames_hidden;
static atomic_uint madvised, asked;
static unsigned int asked_until; /* then it has ended, and nobody has waited for it; 0: never */
static bool cancelled_by_look;
static const char *look_fails; /* once the job has begun */
static struct agent agent;

static long ask_where(pid_t pid, unsigned long count, void **pages, const int *nodes, int *status,
		      int flags)
{
	json_t *cancelled = NULL;

	(void)flags;
	ck_assert_ptr_null(nodes);
	if (pid != FAKE_PID)
		return -ESRCH;
	if (asked++ >= asked_until && asked_until)
		return -EINVAL;
	if (cancelled_by_look)
		agent_jobs_cancel(agent.jobs, 1, &cancelled, NULL);
	json_decref(cancelled);
	unreadable = look_fails;
	/* Not mapped. */
	for (unsigned long i = 0; i < count && (uintptr_t)pages[i] < FAKE_START; i++)
		status[i] = -EFAULT;
	if ((uintptr_t)pages[0] < FAKE_START)
		return 0;
	for (unsigned long i = 0; i < count; i++) {
		uint64_t page = ((uint64_t)(uintptr_t)pages[i] - FAKE_START) / AGENT_PAGE_BYTES;
		size_t block = page / 512;

		ck_assert_uint_lt(block, BLOCKS);
		page %= 512;
		status[i] = -ENOENT;
		if (at[block].unseen && at[block].huge)
			return -ENOMEM;
		if (at[block].huge || page < at[block].small)
			status[i] = 0;
		else if (page == at[block].small)
			status[i] = -EFAULT;
	}
	return 0;
}

/* Small pages of all blocks lie mixed: page n of each in block n of memory. Huge pages lie apart. The zero page is in block 0. */
static long frames(int pagemap, uint64_t *entries, size_t count, uint64_t first)
{
	size_t block = (first * AGENT_PAGE_BYTES - FAKE_START) / AGENT_HUGE_BYTES;

	(void)pagemap;
	for (size_t i = 0; i < count; i++) {
		uint64_t frame = at[block].huge ? (1000 + block) * 512 + i : (1 + i) * 512 + block;

		entries[i] = 0;
		if (at[block].huge || i <= at[block].small)
			entries[i] = 1ull << 63 | (frames_hidden ? 0 : frame);
		if (!at[block].huge && i == at[block].small && !frames_hidden)
			entries[i] = 1ull << 63 | 1;
	}
	return (long)(count * sizeof(*entries));
}

static int pidfd(pid_t pid)
{
	return pid == FAKE_PID ? open("/dev/null", O_RDONLY | O_CLOEXEC) : -ESRCH;
}

static long advise(int fd, const struct iovec *range, size_t count, int advice)
{
	size_t block = ((uint64_t)(uintptr_t)range->iov_base - FAKE_START) / AGENT_HUGE_BYTES;

	ck_assert_int_ge(fd, 0);
	ck_assert_uint_eq(count, 1);
	ck_assert_uint_eq(range->iov_len, AGENT_HUGE_BYTES);
	ck_assert_int_eq(advice, AGENT_MADV_COLLAPSE);
	ck_assert_uint_lt(block, BLOCKS);
	madvised++;
	if (at[block].refuse)
		return at[block].refuse;
	at[block].huge = !at[block].split && !at[block].gone;
	at[block].small = at[block].gone ? 0 : at[block].small;
	return (long)AGENT_HUGE_BYTES;
}

static void allow(const char *conf)
{
	char text[128];

	snprintf(text, sizeof(text), "%s", conf);
	agent_conf_free(&agent.conf);
	ck_assert_int_eq(agent_conf_parse(text, agent_knows_command, &agent.conf, NULL), 0);
}

static void setup(void)
{
	fake_kernel_setup();
	fake_file("proc/77/pagemap", "%s", "");
	fake_sys_calls.pidfd_open = pidfd;
	fake_sys_calls.process_madvise = advise;
	fake_sys_calls.move_pages = ask_where;
	fake_sys_calls.pagemap_read = frames;
	memset(at, 0, sizeof(at));
	madvised = asked = asked_until = 0;
	cancelled_by_look = false;
	look_fails = NULL;
	frames_hidden = true;
	memset(&agent, 0, sizeof(agent));
	ck_assert_int_eq(agent_jobs_create(&agent.jobs, NULL), 0);
	allow("compact-hot = yes");
}

static void teardown(void)
{
	unreadable = look_fails = NULL;
	ck_assert(agent_jobs_destroy(agent.jobs, 120000));
	agent_conf_free(&agent.conf);
	fake_kernel_teardown();
}

static json_t *ask(const char *line)
{
	return agent_line(&agent, line);
}

#define COMPACT(arguments) "{\"execute\":\"compact-hot\",\"arguments\":{\"pid\":77" arguments "}}"
#define PRESENT		   ",\"heat\":\"present\""
#define ALL_OF_IT	   ",\"max_growth_ppm\":1000000,\"max_cpu_ppm\":1000000"

static json_t *run_job(const char *line)
{
	return agent_job_line(&agent, line);
}

static json_t *completed(const char *line)
{
	json_t *job = run_job(line);

	ck_assert_msg(!strcmp(word(job, "state"), "completed"), "%s%s", word(job, "desc"),
		      word(json_object_get(job, "error"), "desc"));
	return job;
}

static void expect_error(json_t *error, const char *name, const char *text)
{
	ck_assert_str_eq(word(error, "errno"), name);
	ck_assert_msg(strstr(word(error, "desc"), text) != NULL, "%s", word(error, "desc"));
	json_decref(error);
}

static void expect_span(const json_t *job, const char *name, json_int_t least, json_int_t most)
{
	ck_assert_int_eq(number(json_object_get(job, name), "at_least"), least);
	ck_assert_int_eq(number(json_object_get(job, name), "at_most"), most);
}

START_TEST(command_is_off_until_the_guest_names_it)
{
	static const char *const confs[] = {"", "commands = all", "commands = compact-hot",
					    "compact-hot = no",
					    "commands = collapse\ncompact-hot = yes"};

	for (size_t i = 0; i < sizeof(confs) / sizeof(confs[0]); i++) {
		allow(confs[i]);
		expect_error(ask(COMPACT(PRESENT)), "EPERM", "see commands and compact-hot in ");
	}
	/* No file at all. */
	agent_conf_free(&agent.conf);
	expect_error(ask(COMPACT(PRESENT)), "EPERM", "compact-hot");
	allow("compact-hot = yes\ncommands = compact-hot job-status");
	json_decref(completed(COMPACT(PRESENT)));
}
END_TEST

START_TEST(conf_with_a_wrong_compact_hot_is_refused)
{
	char twice[] = "compact-hot = yes\ncompact-hot = no", wrong[] = "compact-hot = all";
	struct agent_conf conf;
	struct gmig_error err = {0};

	ck_assert_int_eq(agent_conf_parse(twice, agent_knows_command, &conf, &err), -EINVAL);
	ck_assert_str_eq(err.text, "line 2: 'compact-hot' is there twice");
	ck_assert_int_eq(agent_conf_parse(wrong, agent_knows_command, &conf, &err), -EINVAL);
	ck_assert_str_eq(err.text, "line 1: 'compact-hot' is yes or no");
}
END_TEST

START_TEST(blocks_with_enough_small_pages_become_huge_and_the_bounds_are_told)
{
	json_t *job, *want;

	at[1].small = 64;
	at[2].small = 63;
	at[3].small = 512;
	job = completed(COMPACT(PRESENT ALL_OF_IT));
	ck_assert_str_eq(word(job, "heat"), "present");
	ck_assert(at[1].huge && !at[2].huge && at[3].huge);
	ck_assert_uint_eq(madvised, 2);
	ck_assert_int_eq(number(job, "collapsed"), 2);
	ck_assert_int_eq(number(job, "unverified"), 0);
	ck_assert_int_eq(number(job, "small_pages"), 576);
	ck_assert_int_eq(number(job, "growth_bytes"), 448 * 4096);
	ck_assert_int_eq(number(job, "moved_bytes"), 4 << 20);
	ck_assert_str_eq(word(job, "blocks_by"), "bounds");
	expect_span(job, "blocks_before", 2, 576);
	expect_span(job, "blocks_after", 2, 2);
	ck_assert(json_is_true(json_object_get(job, "complete")));
	want = json_pack("[[I,i,i,i],[I,i,i,i]]", (json_int_t)(FAKE_START + AT(3)), 512, 512, 0,
			 (json_int_t)(FAKE_START + AT(1)), 64, 64, 0);
	ck_assert(json_equal(json_object_get(job, "results"), want));
	json_decref(want);
	json_decref(job);
}
END_TEST

/* Sixteen are remembered. */
START_TEST(job_that_has_ended_keeps_no_descriptor)
{
	unsigned int before = open_files();

	at[1].small = 512;
	json_decref(completed(COMPACT(PRESENT ALL_OF_IT)));
	ck_assert_uint_eq(open_files(), before);
}
END_TEST

START_TEST(blocks_are_counted_by_frames_where_these_are_seen)
{
	json_t *job;

	frames_hidden = false;
	at[1].small = 64;
	at[3].small = 100;
	at[5].small = 150;
	at[5].refuse = -EAGAIN;
	job = completed(COMPACT(PRESENT ALL_OF_IT));
	ck_assert_str_eq(word(job, "blocks_by"), "frames");
	/* Not the zero page's, nor those of what stays. */
	expect_span(job, "blocks_before", 100, 100);
	expect_span(job, "blocks_after", 2, 2);
	json_decref(job);
}
END_TEST

START_TEST(huge_page_gone_or_unseen_is_not_told_as_one)
{
	json_t *job;

	at[1].small = 64;
	at[1].split = _i == 0;
	at[1].gone = _i == 1;
	at[1].unseen = _i >= 2;
	frames_hidden = _i != 3;
	job = completed(COMPACT(PRESENT ALL_OF_IT));
	ck_assert_int_eq(number(job, "unverified"), 1);
	expect_span(job, "blocks_after", _i != 1, 512);
	json_decref(job);
}
END_TEST

START_TEST(each_block_that_stays_says_why)
{
	static const int codes[] = {-EAGAIN, -ENOMEM, -EBUSY, -EINVAL};
	json_t *job, *remaining, *result;
	size_t i;

	for (size_t n = 0; n < 4; n++) {
		at[n].small = 100;
		at[n].refuse = codes[n];
	}
	at[9].small = 70;
	job = completed(COMPACT(PRESENT ALL_OF_IT));
	ck_assert_int_eq(number(job, "collapsed"), 1);
	remaining = json_object_get(job, "remaining");
	ck_assert_uint_eq(json_object_size(remaining), 4);
	ck_assert_int_eq(number(remaining, "EAGAIN"), 100);
	ck_assert_int_eq(number(remaining, "EINVAL"), 100);
	json_array_foreach (json_object_get(job, "results"), i, result)
		ck_assert_int_eq(json_integer_value(json_array_get(result, 3)),
				 i < 4 ? codes[i] : 0);
	ck_assert_uint_eq(i, 5);
	json_decref(job);
}
END_TEST

/* Of a zombie the kernel says EINVAL, and its stat is there: while its blocks are found, or before one of them is made huge. */
START_TEST(process_that_has_ended_ends_the_job)
{
	json_t *job;

	at[0].small = at[1].small = 100;
	at[0].refuse = -ESRCH;
	asked_until = _i == 2 ? BLOCKS + 1 : _i * 5;
	job = run_job(COMPACT(PRESENT ALL_OF_IT));
	ck_assert_str_eq(word(job, "state"), "failed");
	ck_assert_str_eq(word(json_object_get(job, "error"), "errno"), "ESRCH");
	ck_assert_uint_eq(json_object_size(json_object_get(job, "remaining")), 0);
	ck_assert_uint_eq(madvised, !_i);
	json_decref(job);
}
END_TEST

/* 10,000 pages: 10% is 1000. */
START_TEST(memory_grows_by_no_more_than_its_limit)
{
	json_t *job;

	for (size_t i = 0; i < 4; i++)
		at[i].small = 112;
	at[4].small = 500;
	job = completed(COMPACT(PRESENT));
	/* 12 pages, then 400 and 400; two blocks stay. */
	ck_assert_int_eq(number(job, "collapsed"), 3);
	ck_assert_int_eq(number(job, "growth_bytes"), 812 * 4096);
	ck_assert_int_eq(number(json_object_get(job, "remaining"), "EDQUOT"), 224);
	ck_assert_uint_eq(madvised, 3);
	json_decref(job);
}
END_TEST

static void share(unsigned int pages)
{
	fake_file("proc/77/smaps",
		  "%llx-%llx rw-p 00000000 00:00 0 \nSize: 4 kB\nShared_Clean: 8 kB\n"
		  "Shared_Dirty: %u kB\nPrivate_Dirty: 4 kB\nAnonHugePages: 0 kB\n",
		  FAKE_START, FAKE_START + FAKE_PAGES * AGENT_PAGE_BYTES, pages * 4 - 8);
}

/* After fork(2), or by KSM: which pages of a mapping is not told. */
START_TEST(shared_pages_are_copied_and_count_as_growth)
{
	json_t *job;

	at[1].small = 64;
	at[3].small = 512;
	share(100);
	job = completed(COMPACT(PRESENT ALL_OF_IT));
	ck_assert_int_eq(number(job, "collapsed"), 2);
	ck_assert_int_eq(number(job, "shared_pages"), 164);
	ck_assert_int_eq(number(job, "growth_bytes"), (448 + 164) * 4096);
	expect_span(job, "blocks_before", 1, 576);
	json_decref(job);
}
END_TEST

START_TEST(shared_pages_are_copied_within_the_limit_alone)
{
	json_t *job;

	at[1].small = at[2].small = 512;
	share(2000);
	job = completed(COMPACT(PRESENT));
	ck_assert_int_eq(number(job, "collapsed"), 1);
	ck_assert_int_eq(number(job, "growth_bytes"), 2 << 20);
	ck_assert_int_eq(number(json_object_get(job, "remaining"), "EDQUOT"), 512);
	json_decref(job);
}
END_TEST

START_TEST(no_more_than_so_many_bytes_become_huge)
{
	json_t *job;

	for (size_t i = 0; i < BLOCKS; i++)
		at[i].small = 512;
	job = completed(COMPACT(PRESENT ",\"max_bytes\":6291456"));
	ck_assert_int_eq(number(job, "collapsed"), 3);
	ck_assert_int_eq(number(job, "candidates"), BLOCKS);
	ck_assert_int_eq(number(job, "unreached"), BLOCKS - 3);
	ck_assert_int_eq(number(job, "total_bytes"), 6 << 20);
	ck_assert_int_eq(number(job, "done_bytes"), 6 << 20);
	json_decref(job);
}
END_TEST

START_TEST(only_the_ranges_that_are_given_are_looked_at)
{
	json_t *job;

	for (size_t i = 0; i < BLOCKS; i++)
		at[i].small = 512;
	job = completed(
	    COMPACT(PRESENT ",\"ranges\":[{\"start\":\"7f0000400000\",\"bytes\":4194304}]"));
	ck_assert_int_eq(number(job, "collapsed"), 2);
	ck_assert(at[2].huge && at[3].huge);
	json_decref(job);
}
END_TEST

/* A huge page is charged before the small ones are given back; a cgroup that is full would reclaim. */
START_TEST(cgroup_without_room_keeps_its_small_pages)
{
	json_t *job;

	at[0].small = 512;
	fake_file("cgroup/work.slice/memory.max", "104857600\n");
	fake_file("cgroup/work.slice/memory.current", "102760448\n");
	fake_file("cgroup/work.slice/a/memory.max", "max\n");
	fake_file("cgroup/work.slice/a/memory.current", "4096\n");
	job = completed(COMPACT(PRESENT));
	ck_assert_int_eq(number(job, "collapsed"), 0);
	ck_assert_int_eq(number(json_object_get(job, "remaining"), "ENOSPC"), 512);
	ck_assert_uint_eq(madvised, 0);
	json_decref(job);
}
END_TEST

static uint64_t headroom(const char *cgroup)
{
	uint64_t bytes;

	ck_assert_int_eq(agent_cgroup_headroom(cgroup, &bytes), 0);
	return bytes;
}

/* Beyond its limit the guest would kill a process. */
START_TEST(cgroup_of_which_a_limit_cannot_be_read_keeps_its_small_pages)
{
	static const char *const files[] = {"/a/memory.max", "/work.slice/memory.high",
					    "/a/memory.current", "/77/stat"};
	json_t *job;

	at[0].small = 512;
	fake_file("cgroup/work.slice/memory.high", "max\n");
	fake_file("cgroup/work.slice/a/memory.max", "104857600\n");
	fake_file("cgroup/work.slice/a/memory.current", "104857600\n");
	look_fails = files[_i];
	job = completed(COMPACT(PRESENT));
	ck_assert_int_eq(number(job, "collapsed"), 0);
	ck_assert_int_eq(number(json_object_get(job, "remaining"), "EMFILE"), 512);
	ck_assert_uint_eq(madvised, 0);
	json_decref(job);
}
END_TEST

START_TEST(cgroup_with_room_is_no_hindrance_and_high_counts_as_well)
{
	ck_assert_uint_eq(headroom("/none"), UINT64_MAX);
	fake_file("cgroup/a/memory.max", "1000\n");
	fake_file("cgroup/a/memory.high", "700\n");
	fake_file("cgroup/a/memory.current", "100\n");
	fake_file("cgroup/a/b/memory.max", "max\n");
	ck_assert_uint_eq(headroom("/a/b"), 600);
	fake_file("cgroup/a/b/memory.max", "50\n");
	fake_file("cgroup/a/b/memory.current", "60\n");
	ck_assert_uint_eq(headroom("/a/b"), 0);
}
END_TEST

static unsigned int slept;

static void count_sleep(uint64_t ns)
{
	__atomic_add_fetch(&slept, 1, __ATOMIC_RELAXED);
	fake_sleep(ns);
}

static long advise_slowly(int fd, const struct iovec *range, size_t count, int advice)
{
	uint64_t until_ns = agent_job_cpu_ns() + 15000000;

	while (agent_job_cpu_ns() < until_ns)
		;
	return advise(fd, range, count, advice);
}

/* 15 ms of a hundredth of a CPU are 1.5 s, of which one is given away: 25 slices. */
START_TEST(job_rests_when_its_share_of_the_cpu_is_used)
{
	json_t *job;

	slept = 0;
	fake_sys_calls.sleep_ns = count_sleep;
	fake_sys_calls.process_madvise = advise_slowly;
	at[0].small = 512;
	job = completed(COMPACT(PRESENT ",\"max_cpu_ppm\":10000"));
	ck_assert_int_ge(number(job, "cpu_ns"), 15000000);
	ck_assert_uint_ge(__atomic_load_n(&slept, __ATOMIC_RELAXED), 24);
	json_decref(job);
}
END_TEST

static atomic_bool gate_open;

/* The job waits in the kernel until the test has cancelled it. */
static long advise_and_wait(int fd, const struct iovec *range, size_t count, int advice)
{
	long got = advise(fd, range, count, advice);

	while (!atomic_load(&gate_open))
		usleep(1000);
	return got;
}

START_TEST(job_that_is_cancelled_says_what_it_has_done)
{
	json_t *job;

	atomic_store(&gate_open, false);
	fake_sys_calls.process_madvise = advise_and_wait;
	for (size_t i = 0; i < BLOCKS; i++)
		at[i].small = 512;
	json_decref(ask(COMPACT(PRESENT ALL_OF_IT)));
	while (!atomic_load(&madvised))
		usleep(1000);
	json_decref(ask("{\"execute\":\"job-cancel\",\"arguments\":{\"id\":\"1\"}}"));
	atomic_store(&gate_open, true);
	job = run_job("{\"execute\":\"job-status\",\"arguments\":{\"id\":\"1\"}}");
	ck_assert_str_eq(word(job, "state"), "cancelled");
	ck_assert_int_eq(number(job, "collapsed"), 1);
	ck_assert_int_eq(number(job, "unreached"), BLOCKS - 1);
	expect_span(job, "blocks_after", 1, 1);
	json_decref(job);
}
END_TEST

START_TEST(job_that_is_cancelled_while_it_looks_has_not_looked_at_all)
{
	json_t *job;

	at[0].small = 512;
	cancelled_by_look = true;
	job = run_job(COMPACT(PRESENT ALL_OF_IT));
	ck_assert_str_eq(word(job, "state"), "cancelled");
	ck_assert(json_is_false(json_object_get(job, "complete")));
	ck_assert_uint_eq(madvised, 0);
	json_decref(job);
}
END_TEST

/* Of terabytes of addresses, with little memory: numa_maps tells how much there is. */
START_TEST(mapping_is_looked_at_until_its_pages_were_seen)
{
	json_t *job;

	at[1].small = 512;
	fake_file("proc/77/numa_maps", "%llx default anon=1 N0=%d kernelpagesize_kB=4\n",
		  FAKE_START, _i ? 575 : 576);
	job = completed(COMPACT(PRESENT ALL_OF_IT));
	ck_assert_int_eq(number(job, "collapsed"), 1);
	ck_assert(json_is_true(json_object_get(job, "complete")));
	/* It lives, and the block before and after; 64 pages could be one more. */
	ck_assert_uint_eq(asked, (_i ? 2 : BLOCKS) + 3);
	json_decref(job);
}
END_TEST

/* Which of them are huge is told for a whole mapping alone. */
START_TEST(full_block_beside_huge_pages_is_left_alone)
{
	json_t *job;

	at[1].small = 511;
	at[2].small = 512;
	at[3].huge = true;
	fake_file("proc/77/smaps",
		  "%llx-%llx rw-p 00000000 00:00 0 \nSize: 4 kB\nAnonHugePages: 2048 kB\n",
		  FAKE_START, FAKE_START + FAKE_PAGES * AGENT_PAGE_BYTES);
	job = completed(COMPACT(PRESENT ALL_OF_IT));
	ck_assert_int_eq(number(job, "collapsed"), 1);
	ck_assert_int_eq(number(job, "unclear"), 2);
	ck_assert(at[1].huge && !at[2].huge);
	json_decref(job);
}
END_TEST

static int end_meanwhile(pid_t pid)
{
	fake_process(501);
	return pidfd(pid);
}

START_TEST(pid_that_has_changed_hands_is_left_alone)
{
	at[1].small = 512;
	fake_sys_calls.pidfd_open = end_meanwhile;
	expect_error(ask(COMPACT(PRESENT)), "ESRCH", "has ended");
	ck_assert_uint_eq(madvised, 0);
}
END_TEST

START_TEST(numbers_that_cannot_be_are_refused)
{
	expect_error(ask(COMPACT(PRESENT ",\"least\":1")), "ERANGE", "least");
	expect_error(ask(COMPACT(PRESENT ",\"least\":513")), "ERANGE", "least");
	expect_error(ask(COMPACT(PRESENT ",\"max_bytes\":4096")), "ERANGE", "max_bytes");
	expect_error(ask(COMPACT(PRESENT ",\"max_growth_ppm\":1000001")), "ERANGE", "growth");
	expect_error(ask(COMPACT(",\"heat\":\"guess\"")), "EINVAL", "damon or present");
	expect_error(ask(COMPACT("")), "EOPNOTSUPP", "CONFIG_DAMON_SYSFS");
}
END_TEST

/* ---- By DAMON ---------------------------------------------------------------------------------- */

/* Its files for one range; blocks 1 and 2 of the process have been looked at, and the second is hot. */
static void make_damon(const char *operations)
{
	static const char *const files[] = {"0/state",
					    "0/contexts/nr_contexts",
					    "0/contexts/0/operations",
					    "0/contexts/0/targets/nr_targets",
					    "0/contexts/0/targets/0/pid_target",
					    "0/contexts/0/targets/0/regions/nr_regions",
					    "0/contexts/0/targets/0/regions/0/start",
					    "0/contexts/0/targets/0/regions/0/end",
					    "0/contexts/0/targets/0/regions/1/start",
					    "0/contexts/0/targets/0/regions/1/end",
					    "0/contexts/0/monitoring_attrs/intervals/sample_us",
					    "0/contexts/0/monitoring_attrs/intervals/aggr_us",
					    "0/contexts/0/monitoring_attrs/intervals/update_us",
					    "0/contexts/0/monitoring_attrs/nr_regions/min",
					    "0/contexts/0/monitoring_attrs/nr_regions/max",
					    "0/contexts/0/schemes/nr_schemes",
					    "0/contexts/0/schemes/0/action",
					    "0/contexts/0/schemes/0/access_pattern/sz/max",
					    "0/contexts/0/schemes/0/access_pattern/nr_accesses/max",
					    "0/contexts/0/schemes/0/access_pattern/age/max"};

	fake_file(KDAMOND "nr_kdamonds", "0\n");
	fake_file(KDAMOND "0/pid", "4242\n");
	fake_file("proc/4242/schedstat", "30000000 5 6\n");
	fake_file(CONTEXT "avail_operations", "%s", operations);
	for (size_t i = 0; i < sizeof(files) / sizeof(files[0]); i++) {
		char name[160];

		snprintf(name, sizeof(name), KDAMOND "%s", files[i]);
		fake_file(name, "%s", "");
	}
	for (unsigned int i = 0; i < 2; i++) {
		char name[160];

		snprintf(name, sizeof(name), SCHEME "tried_regions/%u/start", i);
		fake_file(name, "%llu\n", FAKE_START + AT(1 + i));
		snprintf(name, sizeof(name), SCHEME "tried_regions/%u/end", i);
		fake_file(name, "%llu\n", FAKE_START + AT(2 + i));
		snprintf(name, sizeof(name), SCHEME "tried_regions/%u/nr_accesses", i);
		fake_file(name, "%u\n", i ? 25 : 5);
	}
}

static const char *text_in(const char *name)
{
	static char text[256];
	char path[PATH_MAX];

	snprintf(path, sizeof(path), "%s/%s", tree_root, name);
	ck_assert_int_ge(agent_read_text(path, text, sizeof(text)), 0);
	return text;
}

/* A second: 100 looks of 5 ms. 5 of them are 26 pages of 512, 25 are 128. */
START_TEST(damon_tells_which_blocks_are_hot)
{
	json_t *job, *result;

	make_damon("vaddr\nfvaddr\npaddr\n");
	at[1].small = at[2].small = 200;
	job = completed(COMPACT(",\"seconds\":1" ALL_OF_IT));
	ck_assert_str_eq(word(job, "heat"), "damon");
	ck_assert_int_eq(number(job, "looks"), 100);
	ck_assert_int_eq(number(job, "candidates"), 1);
	ck_assert(!at[1].huge && at[2].huge);
	result = json_array_get(json_object_get(job, "results"), 0);
	ck_assert_int_eq(json_integer_value(json_array_get(result, 2)), 128);
	ck_assert_int_ge(number(job, "cpu_ns"), 30000000);
	ck_assert_str_eq(text_in(CONTEXT "operations"), "fvaddr");
	ck_assert_str_eq(text_in(CONTEXT "targets/0/pid_target"), "77");
	ck_assert_str_eq(text_in(CONTEXT "targets/0/regions/0/start"), "139637978824704");
	ck_assert_str_eq(text_in(KDAMOND "nr_kdamonds"), "0\n");
	json_decref(job);
}
END_TEST

START_TEST(damon_for_physical_memory_alone_is_not_enough)
{
	json_t *job;

	make_damon("paddr\n");
	at[1].small = at[2].small = 200;
	job = run_job(COMPACT(""));
	ck_assert_str_eq(word(job, "state"), "failed");
	ck_assert_ptr_nonnull(
	    strstr(word(json_object_get(job, "error"), "desc"), "CONFIG_DAMON_VADDR"));
	ck_assert_str_eq(text_in(KDAMOND "nr_kdamonds"), "0\n");
	ck_assert_uint_eq(madvised, 0);
	json_decref(job);
}
END_TEST

/* A sanitizer needs system calls that the opener's filter refuses. */
#if defined(__SANITIZE_ADDRESS__) || UNDER_TSAN
#define OPENER_RUNS 0
#else
#define OPENER_RUNS 1
#endif

/* An agent that was taken over is not obeyed by the opener. */
START_TEST(opener_has_damon_look_at_allowed_processes_alone)
{
	static const struct agent_port_options options = {.fd = -1};
	static const struct {
		const char *conf;
		int32_t pid;
		int rc;
	} cases[] = {
	    {"commands = hot-pages", 77, -EPERM},
	    {"commands = hot-pages\ncompact-hot = yes", 77, -EPERM},
	    {"compact-hot = yes\nusers = 7", 77, -EPERM},
	    {"compact-hot = yes", 78, -ESRCH},
	    {"compact-hot = yes\nusers = 1000", 77, 0},
	};
	struct agent_opener *opener;
	int rc;
	struct agent_damon damon = {.range = {{AT(1), AT(3)}},
				    .ranges = 1,
				    .pid = cases[_i].pid,
				    .piece_bytes = AGENT_HUGE_BYTES,
				    .sample_us = 5000,
				    .aggr_us = 100000,
				    .min_regions = 3,
				    .max_regions = 5};

	make_damon("fvaddr\n");
	allow(cases[_i].conf);
	ck_assert_int_eq(agent_opener_start(&agent.conf, &options, &opener, NULL), 0);
	rc = agent_opener_damon(opener, &damon, NULL);
	ck_assert_int_eq(rc > 0 ? 0 : rc, cases[_i].rc);
	agent_opener_damon_end(opener, rc > 0 ? rc : -1);
	agent_opener_stop(opener);
	ck_assert_int_gt(wait(NULL), 0);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("agent_compact");
	TCase *tcase = tcase_create("jobs");
	tcase_add_checked_fixture(tcase, setup, teardown);
	tcase_add_test(tcase, command_is_off_until_the_guest_names_it);
	tcase_add_test(tcase, conf_with_a_wrong_compact_hot_is_refused);
	tcase_add_test(tcase, blocks_with_enough_small_pages_become_huge_and_the_bounds_are_told);
	tcase_add_test(tcase, job_that_has_ended_keeps_no_descriptor);
	tcase_add_test(tcase, blocks_are_counted_by_frames_where_these_are_seen);
	tcase_add_loop_test(tcase, huge_page_gone_or_unseen_is_not_told_as_one, 0, 4);
	tcase_add_test(tcase, shared_pages_are_copied_and_count_as_growth);
	tcase_add_test(tcase, shared_pages_are_copied_within_the_limit_alone);
	tcase_add_test(tcase, each_block_that_stays_says_why);
	tcase_add_loop_test(tcase, process_that_has_ended_ends_the_job, 0, 3);
	tcase_add_test(tcase, memory_grows_by_no_more_than_its_limit);
	tcase_add_test(tcase, no_more_than_so_many_bytes_become_huge);
	tcase_add_test(tcase, only_the_ranges_that_are_given_are_looked_at);
	tcase_add_test(tcase, cgroup_without_room_keeps_its_small_pages);
	tcase_add_loop_test(tcase, cgroup_of_which_a_limit_cannot_be_read_keeps_its_small_pages, 0,
			    4);
	tcase_add_test(tcase, cgroup_with_room_is_no_hindrance_and_high_counts_as_well);
	tcase_add_test(tcase, job_rests_when_its_share_of_the_cpu_is_used);
	tcase_add_test(tcase, job_that_is_cancelled_says_what_it_has_done);
	tcase_add_test(tcase, job_that_is_cancelled_while_it_looks_has_not_looked_at_all);
	tcase_add_loop_test(tcase, mapping_is_looked_at_until_its_pages_were_seen, 0, 2);
	tcase_add_test(tcase, full_block_beside_huge_pages_is_left_alone);
	tcase_add_test(tcase, pid_that_has_changed_hands_is_left_alone);
	tcase_add_test(tcase, numbers_that_cannot_be_are_refused);
	tcase_add_test(tcase, damon_tells_which_blocks_are_hot);
	tcase_add_test(tcase, damon_for_physical_memory_alone_is_not_enough);
	if (OPENER_RUNS)
		tcase_add_loop_test(tcase, opener_has_damon_look_at_allowed_processes_alone, 0, 5);
	suite_add_tcase(suite, tcase);
	return run_suite(suite);
}
