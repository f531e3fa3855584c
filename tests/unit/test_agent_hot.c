/* The agent looks which memory is hot: zones, the plan of a scan, what comes of it, and jobs against DAMON's files in a directory. */
#include "../../guestagent/agent.h"
#include "../../guestagent/hot.h"
#include "../../guestagent/opener.h"
#include "../../guestagent/physical.h"
#include "agent_line.h"
#include "fake_kernel.h"
#include "suite.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/wait.h>

#define MIB	(1ull << 20)
#define KDAMOND "sys/kernel/mm/damon/admin/kdamonds/"
#define CONTEXT KDAMOND "0/contexts/0/"
#define SCHEME	CONTEXT "schemes/0/"

/* ---- Zones ------------------------------------------------------------------------------------- */

#define ZONE(name, start, spanned, managed)                                                        \
	"Node 0, zone " name "\n  pages free     5\n        spanned  " spanned                     \
	"\n        present  1\n        managed  " managed "\n  start_pfn:           " start "\n"

static struct agent_damon_range range[4];

START_TEST(zones_that_touch_are_one_range_of_whole_blocks)
{
	ck_assert_uint_eq(agent_parse_zones(ZONE("DMA", "1", "4095", "3840")
						ZONE("DMA32", "4096", "100", "90")
						    ZONE("Normal", "1048576", "512", "512")
							ZONE("Movable", "9000000", "512", "0"),
					    range, 4),
			  2);
	ck_assert_uint_eq(range[0].start, 0);
	ck_assert_uint_eq(range[0].end, 18 * MIB);
	ck_assert_uint_eq(range[1].start, 4096 * MIB);
	ck_assert_uint_eq(range[1].end, 4098 * MIB);
}
END_TEST

START_TEST(zones_out_of_order_are_put_in_order_and_too_many_are_joined)
{
	static const char text[] = ZONE("a", "5120", "512", "1") ZONE("b", "0", "512", "1")
	    ZONE("c", "2048", "512", "1") ZONE("d", "2560", "512", "1") ZONE("e", "1024", "4", "1");

	ck_assert_uint_eq(agent_parse_zones(text, range, 4), 4);
	ck_assert_uint_eq(range[0].start, 0);
	ck_assert_uint_eq(range[1].start, 4 * MIB);
	ck_assert_uint_eq(range[2].start, 8 * MIB);
	ck_assert_uint_eq(range[2].end, 12 * MIB);
	ck_assert_uint_eq(range[3].start, 20 * MIB);
	ck_assert_uint_eq(agent_parse_zones(text, range, 2), 2);
	ck_assert_uint_eq(range[0].start, 0);
	ck_assert_uint_eq(range[1].end, 22 * MIB);
}
END_TEST

START_TEST(zones_that_cannot_be_are_none)
{
	ck_assert_uint_eq(agent_parse_zones("", range, 4), 0);
	ck_assert_uint_eq(agent_parse_zones("start_pfn:", range, 4), 0);
	ck_assert_uint_eq(agent_parse_zones(ZONE("a", "99999999999999999999", "1", "1"), range, 4),
			  0);
	ck_assert_uint_eq(agent_parse_zones(ZONE("a", "1", "1099511627777", "1"), range, 4), 0);
	ck_assert_uint_eq(agent_parse_zones(ZONE("a", "x", "y", "z"), range, 4), 0);
}
END_TEST

/* ---- The plan ---------------------------------------------------------------------------------- */

static struct agent_hot_scan planned(uint64_t bytes, uint64_t seconds)
{
	struct agent_hot_scan scan = {.damon = {.range = {{0, bytes}}, .ranges = 1}};

	agent_hot_plan(&scan, seconds);
	ck_assert_int_eq(agent_damon_valid(&scan.damon, NULL), 0);
	return scan;
}

START_TEST(small_guest_has_each_block_looked_at)
{
	struct agent_hot_scan scan = planned(896 * MIB, 4);

	ck_assert(scan.exact);
	ck_assert_uint_eq(scan.damon.piece_bytes, 2 * MIB);
	ck_assert_uint_eq(scan.damon.min_regions, 448);
	/* None is split: there are more than half of these. */
	ck_assert_uint_gt(448, scan.damon.max_regions / 2);
	ck_assert_uint_ge(scan.damon.sample_us, 448 * 1000000ull / AGENT_HOT_RATE);
	ck_assert_uint_ge(scan.looks, 10);
	ck_assert_uint_le(scan.wait_us + scan.damon.aggr_us, 4000000);
	ck_assert_uint_eq(planned(2 * MIB, 1).damon.min_regions, 3);
}
END_TEST

START_TEST(large_guest_costs_no_more_and_takes_longer)
{
	struct agent_hot_scan scan = planned(12ull << 40, 4);

	ck_assert(!scan.exact);
	ck_assert_uint_le(scan.damon.max_regions * 1000000ull / scan.damon.sample_us,
			  AGENT_HOT_RATE);
	ck_assert_uint_lt(scan.damon.min_regions, scan.damon.max_regions / 2);
	ck_assert_uint_ge(scan.looks, 10);
	ck_assert_uint_ge(scan.wait_us, 2 * scan.damon.aggr_us);
	ck_assert_uint_gt(scan.wait_us, 4000000);
}
END_TEST

START_TEST(plan_that_costs_too_much_is_not_carried_out)
{
	const struct agent_damon good = planned(896 * MIB, 4).damon;
	struct agent_damon bad = good;

	bad.sample_us = 1000;
	ck_assert_int_eq(agent_damon_valid(&bad, NULL), -EINVAL);
	bad = good;
	bad.piece_bytes = 4096;
	ck_assert_int_eq(agent_damon_valid(&bad, NULL), -EINVAL);
	bad = good;
	bad.ranges = 65;
	ck_assert_int_eq(agent_damon_valid(&bad, NULL), -EINVAL);
	bad = good;
	bad.range[0].end = 1ull << 50;
	ck_assert_int_eq(agent_damon_valid(&bad, NULL), -EINVAL);
	bad = good;
	bad.range[1] = bad.range[0];
	bad.ranges = 2;
	ck_assert_int_eq(agent_damon_valid(&bad, NULL), -EINVAL);
}
END_TEST

/* ---- What comes of it -------------------------------------------------------------------------- */

static void expect_run(const struct agent_hot_run *run, uint64_t block, uint64_t count,
		       uint32_t ppm)
{
	ck_assert_uint_eq(run->block, block);
	ck_assert_uint_eq(run->count, count);
	ck_assert_uint_eq(run->share_ppm, ppm);
}

START_TEST(blocks_that_are_used_alike_are_a_run)
{
	const struct agent_damon_seen seen[] = {{0, 2 * MIB, 3},
						{2 * MIB, 4 * MIB, 3},
						{4 * MIB, 6 * MIB, 10},
						{8 * MIB, 12 * MIB, 99}};
	struct agent_hot_run runs[9];

	ck_assert_uint_eq(agent_hot_runs(seen, 4, 10, runs), 3);
	expect_run(&runs[0], 0, 2, 300000);
	expect_run(&runs[1], 2, 1, 1000000);
	expect_run(&runs[2], 4, 2, 1000000);
}
END_TEST

/* Regions of a large guest have their borders anywhere. */
START_TEST(block_with_parts_of_several_regions_is_as_hot_as_the_hottest)
{
	const struct agent_damon_seen seen[] = {
	    {0, 5 * MIB, 0},
	    {5 * MIB, 5 * MIB + 4096, 10},
	    {5 * MIB + 4096, 5 * MIB + 8192, 5},
	    {5 * MIB + 8192, 11 * MIB, 0},
	    {11 * MIB, 12 * MIB, 1},
	};
	struct agent_hot_run runs[11];

	ck_assert_uint_eq(agent_hot_runs(seen, 5, 10, runs), 4);
	expect_run(&runs[0], 0, 2, 0);
	expect_run(&runs[1], 2, 1, 1000000);
	expect_run(&runs[2], 3, 2, 0);
	expect_run(&runs[3], 5, 1, 100000);
}
END_TEST

/* ---- Jobs -------------------------------------------------------------------------------------- */

static struct agent agent;

/* Its files, of a machine with 8 MiB; three regions were seen. */
static void make_damon(const char *kdamonds)
{
	static const char *const files[] = {"0/state",
					    "0/contexts/nr_contexts",
					    "0/contexts/0/operations",
					    "0/contexts/0/targets/nr_targets",
					    "0/contexts/0/targets/0/regions/nr_regions",
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
	static const unsigned int hits[] = {100, 0, 3}, mib[] = {0, 4, 6, 8};

	fake_file(KDAMOND "nr_kdamonds", "%s", kdamonds);
	fake_file(KDAMOND "0/pid", "4242\n");
	fake_file("proc/4242/schedstat", "30000000 5 6\n");
	fake_file("proc/zoneinfo", ZONE("DMA", "0", "2048", "2000"));
	for (size_t i = 0; i < sizeof(files) / sizeof(files[0]); i++) {
		char name[160];

		snprintf(name, sizeof(name), KDAMOND "%s", files[i]);
		fake_file(name, "%s", "");
	}
	for (unsigned int i = 0; i < 4; i++) {
		char name[160];

		snprintf(name, sizeof(name), CONTEXT "targets/0/regions/%u/start", i);
		fake_file(name, "%s", "");
		snprintf(name, sizeof(name), CONTEXT "targets/0/regions/%u/end", i);
		fake_file(name, "%s", "");
	}
	for (unsigned int i = 0; i < 3; i++) {
		char name[160];

		snprintf(name, sizeof(name), SCHEME "tried_regions/%u/start", i);
		fake_file(name, "%llu\n", mib[i] * MIB);
		snprintf(name, sizeof(name), SCHEME "tried_regions/%u/end", i);
		fake_file(name, "%llu\n", mib[i + 1] * MIB);
		snprintf(name, sizeof(name), SCHEME "tried_regions/%u/nr_accesses", i);
		fake_file(name, "%u\n", hits[i]);
	}
}

static void setup(void)
{
	fake_kernel_setup();
	memset(&agent, 0, sizeof(agent));
	ck_assert_int_eq(agent_jobs_create(&agent.jobs, NULL), 0);
}

static void teardown(void)
{
	ck_assert(agent_jobs_destroy(agent.jobs, 120000));
	agent_conf_free(&agent.conf);
	fake_kernel_teardown();
}

static const char *text_in(const char *name)
{
	static char text[256];
	char path[PATH_MAX];

	snprintf(path, sizeof(path), "%s/%s", tree_root, name);
	ck_assert_int_ge(agent_read_text(path, text, sizeof(text)), 0);
	return text;
}

static json_t *ask(const char *line)
{
	return agent_line(&agent, line);
}

#define HOT(arguments) "{\"execute\":\"hot-pages\",\"arguments\":{" arguments "}}"
#define HOT_BLOCKS(arguments)                                                                      \
	"{\"execute\":\"hot-blocks\",\"arguments\":{\"id\":\"1\"" arguments "}}"

static json_t *run_job(const char *line)
{
	return agent_job_line(&agent, line);
}

START_TEST(scan_tells_what_was_used_and_leaves_no_damon)
{
	json_t *job, *blocks, *want;

	make_damon("0\n");
	job = run_job(HOT("\"seconds\":1"));
	ck_assert_msg(!strcmp(word(job, "state"), "completed"), "%s",
		      word(json_object_get(job, "error"), "desc"));
	ck_assert_str_eq(word(job, "source"), "damon");
	ck_assert_int_eq(number(job, "looks"), 100);
	ck_assert_int_eq(number(job, "hot_bytes"), 4 * MIB);
	ck_assert_int_eq(number(job, "cold_bytes"), 2 * MIB);
	ck_assert_int_eq(number(job, "warm_bytes"), 2 * MIB);
	ck_assert_int_ge(number(job, "cpu_ns"), 30000000);
	json_decref(job);
	blocks = ask(HOT_BLOCKS(""));
	want = json_loads("[[0,4194304,1000000],[4194304,2097152,0],[6291456,2097152,30000]]", 0,
			  NULL);
	ck_assert(json_equal(json_object_get(blocks, "blocks"), want));
	ck_assert_ptr_null(json_object_get(blocks, "next"));
	json_decref(blocks);
	json_decref(want);
	blocks = ask(HOT_BLOCKS(",\"first\":2"));
	ck_assert_uint_eq(json_array_size(json_object_get(blocks, "blocks")), 1);
	json_decref(blocks);
	blocks = ask(HOT_BLOCKS(",\"first\":77"));
	ck_assert_uint_eq(json_array_size(json_object_get(blocks, "blocks")), 0);
	json_decref(blocks);
	ck_assert_str_eq(text_in(KDAMOND "nr_kdamonds"), "0\n");
	ck_assert_str_eq(text_in(CONTEXT "operations"), "paddr");
	ck_assert_str_eq(text_in(SCHEME "action"), "stat");
	ck_assert_str_eq(text_in(CONTEXT "targets/0/regions/nr_regions"), "4");
	ck_assert_str_eq(text_in(CONTEXT "targets/0/regions/3/end"), "8388608");
	/* Of one descriptor, or copies of it. */
	ck_assert_str_eq(text_in(KDAMOND "0/state"), "onupdate_schemes_tried_regionsoff");
}
END_TEST

START_TEST(scan_without_a_source_says_which_one_it_would_need)
{
	json_t *error = ask(HOT(""));

	ck_assert_str_eq(word(error, "errno"), "EOPNOTSUPP");
	ck_assert_ptr_nonnull(strstr(word(error, "desc"), "CONFIG_DAMON_SYSFS"));
	json_decref(error);
}
END_TEST

START_TEST(damon_of_somebody_else_is_left_alone)
{
	json_t *job;

	make_damon("2\n");
	job = run_job(HOT(""));
	ck_assert_str_eq(word(job, "state"), "failed");
	ck_assert_str_eq(word(json_object_get(job, "error"), "errno"), "EBUSY");
	/* The kernel removes none that is on. */
	ck_assert_ptr_nonnull(
	    strstr(word(json_object_get(job, "error"), "desc"), "off to 0/state"));
	ck_assert_str_eq(text_in(KDAMOND "nr_kdamonds"), "2\n");
	ck_assert_str_eq(text_in(KDAMOND "0/state"), "");
	json_decref(job);
	job = ask(HOT_BLOCKS(""));
	ck_assert_str_eq(word(job, "errno"), "ENODATA");
	json_decref(job);
}
END_TEST

/* Its descriptor's directory is gone, as sysfs has it. */
static long removed(int state, const char *word)
{
	return strcmp(word, "off") != 0 ? agent_sys_real.damon_write(state, word) : -ENODEV;
}

START_TEST(damon_that_somebody_has_set_up_since_is_left_alone)
{
	json_t *job;

	make_damon("0\n");
	fake_sys_calls.damon_write = removed;
	job = run_job(HOT("\"seconds\":1"));
	ck_assert_str_eq(text_in(KDAMOND "nr_kdamonds"), "1\n");
	ck_assert_ptr_null(strstr(text_in(KDAMOND "0/state"), "off"));
	json_decref(job);
}
END_TEST

/* Its job may be in the kernel, and nobody waits for that. */
START_TEST(agent_without_an_opener_ends_damon_before_it_ends)
{
	const struct agent_damon damon = planned(8 * MIB, 1).damon;
	struct gmig_error err;
	int state;

	make_damon("0\n");
	state = agent_opener_damon(NULL, &damon, NULL);
	ck_assert_int_ge(state, 0);
	ck_assert_int_eq(agent_damon_on(state, NULL), 0);
	ck_assert_int_eq(agent_opener_damon(NULL, &damon, &err), -EBUSY);
	ck_assert_ptr_nonnull(strstr(err.text, "another job"));
	agent_opener_stop(NULL);
	ck_assert_str_eq(text_in(KDAMOND "nr_kdamonds"), "0\n");
	ck_assert_str_eq(text_in(KDAMOND "0/state"), "onoff");
	/* Whose it is from now on is not known. */
	fake_file(KDAMOND "nr_kdamonds", "1\n");
	agent_opener_damon_end(NULL, state);
	ck_assert_str_eq(text_in(KDAMOND "nr_kdamonds"), "1\n");
}
END_TEST

START_TEST(scan_that_costs_too_much_is_ended)
{
	json_t *job;

	make_damon("0\n");
	job = run_job(HOT("\"max_cpu_ppm\":1000"));
	ck_assert_str_eq(word(job, "state"), "failed");
	ck_assert_str_eq(word(json_object_get(job, "error"), "errno"), "EDQUOT");
	ck_assert_str_eq(text_in(KDAMOND "nr_kdamonds"), "0\n");
	ck_assert_ptr_null(strstr(text_in(KDAMOND "0/state"), "tried"));
	json_decref(job);
}
END_TEST

START_TEST(damon_that_fails_on_the_way_is_removed_again)
{
	char path[PATH_MAX];
	json_t *job;

	make_damon("0\n");
	snprintf(path, sizeof(path), "%s/" CONTEXT "targets/0/regions/3/end", tree_root);
	ck_assert_int_eq(unlink(path), 0);
	job = run_job(HOT(""));
	ck_assert_str_eq(word(job, "state"), "failed");
	ck_assert_ptr_nonnull(strstr(word(json_object_get(job, "error"), "desc"), "regions/3/end"));
	ck_assert_str_eq(text_in(KDAMOND "nr_kdamonds"), "0\n");
	json_decref(job);
}
END_TEST

START_TEST(damon_that_tells_nothing_or_nonsense_is_an_error)
{
	char path[PATH_MAX];
	json_t *job;

	make_damon("0\n");
	if (_i) {
		fake_file(SCHEME "tried_regions/1/end", "0\n");
	} else {
		snprintf(path, sizeof(path), "%s/" SCHEME "tried_regions/0/start", tree_root);
		ck_assert_int_eq(unlink(path), 0);
	}
	job = run_job(HOT(""));
	ck_assert_str_eq(word(job, "state"), "failed");
	ck_assert_str_eq(word(json_object_get(job, "error"), "errno"), "EIO");
	json_decref(job);
}
END_TEST

/* ---- The opener -------------------------------------------------------------------------------- */

/* A sanitizer needs system calls that the opener's filter refuses. */
#if defined(__SANITIZE_ADDRESS__) || UNDER_TSAN
#define OPENER_RUNS 0
#else
#define OPENER_RUNS 1
#endif

static struct agent_opener *opener;

static void start_opener(const char *commands)
{
	static const struct agent_port_options options = {.fd = -1};
	char text[64];

	make_damon("0\n");
	snprintf(text, sizeof(text), "commands = %s", commands);
	ck_assert_int_eq(agent_conf_parse(text, agent_knows_command, &agent.conf, NULL), 0);
	ck_assert_int_eq(agent_opener_start(&agent.conf, &options, &opener, NULL), 0);
}

/* An agent that is killed in the middle of it leaves no DAMON. */
START_TEST(opener_ends_damon_with_the_agent)
{
	const struct agent_damon damon = planned(8 * MIB, 1).damon;
	struct gmig_error err;
	int state;

	start_opener("hot-pages");
	/* Nobody's yet. */
	agent_opener_damon_end(opener, -1);
	ck_assert_str_eq(text_in(KDAMOND "0/state"), "");
	state = agent_opener_damon(opener, &damon, NULL);
	ck_assert_int_gt(state, 0);
	ck_assert_int_eq(agent_damon_on(state, NULL), 0);
	ck_assert_str_eq(text_in(KDAMOND "nr_kdamonds"), "1\n");
	ck_assert_int_eq(agent_opener_damon(opener, &damon, &err), -EBUSY);
	ck_assert_ptr_nonnull(strstr(err.text, "another job"));
	close(state);
	agent_opener_stop(opener);
	ck_assert_int_gt(wait(NULL), 0);
	ck_assert_str_eq(text_in(KDAMOND "nr_kdamonds"), "0\n");
	ck_assert_str_eq(text_in(KDAMOND "0/state"), "onoff");
}
END_TEST

/* A terminal that is closed, or a key, tells all of its processes. The agent's end is another matter. */
START_TEST(opener_outlives_signals_that_end_the_agent)
{
	static const int signals[] = {SIGHUP, SIGINT, SIGQUIT, SIGTERM, SIGUSR1, SIGALRM, SIGTSTP};
	const struct agent_damon damon = planned(8 * MIB, 1).damon;
	int state, status;

	/* Check gives each test a process group. */
	if (getpgrp() != getpid()) {
		skip_case(
		    "without a process group of its own (CK_FORK=no) it would end this program");
		return;
	}
	start_opener("hot-pages");
	state = agent_opener_damon(opener, &damon, NULL);
	ck_assert_int_gt(state, 0);
	ck_assert_int_eq(agent_damon_on(state, NULL), 0);
	for (size_t i = 0; i < sizeof(signals) / sizeof(signals[0]); i++) {
		signal(signals[i], SIG_IGN);
		ck_assert_int_eq(kill(0, signals[i]), 0);
	}
	close(state);
	agent_opener_stop(opener);
	ck_assert_int_gt(wait(&status), 0);
	ck_assert_msg(WIFEXITED(status), "ended by signal %d", WTERMSIG(status));
	ck_assert_str_eq(text_in(KDAMOND "nr_kdamonds"), "0\n");
	ck_assert_str_eq(text_in(KDAMOND "0/state"), "onoff");
}
END_TEST

/* The only child. */
static pid_t opener_pid(void)
{
	char name[64], text[64];

	snprintf(name, sizeof(name), "/proc/self/task/%d/children", (int)getpid());
	ck_assert_int_gt(agent_read_text(name, text, sizeof(text)), 0);
	return (pid_t)strtol(text, NULL, 10);
}

START_TEST(damon_is_off_though_the_opener_was_killed)
{
	const struct agent_damon damon = planned(8 * MIB, 1).damon;
	int state;

	start_opener("hot-pages");
	signal(SIGPIPE, SIG_IGN);
	state = agent_opener_damon(opener, &damon, NULL);
	ck_assert_int_gt(state, 0);
	ck_assert_int_eq(agent_damon_on(state, NULL), 0);
	ck_assert_int_eq(kill(opener_pid(), SIGKILL), 0);
	ck_assert_int_gt(wait(NULL), 0);
	agent_opener_damon_end(opener, state);
	ck_assert_str_eq(text_in(KDAMOND "0/state"), "onoff");
	agent_opener_stop(opener);
}
END_TEST

START_TEST(opener_starts_no_damon_that_is_not_allowed)
{
	struct agent_damon damon = planned(8 * MIB, 1).damon;
	struct gmig_error err;

	start_opener(_i ? "hot-pages" : "processes");
	damon.sample_us = _i ? 1 : damon.sample_us;
	ck_assert_int_eq(agent_opener_damon(opener, &damon, &err), _i ? -EINVAL : -EPERM);
	ck_assert_str_eq(text_in(KDAMOND "nr_kdamonds"), "0\n");
	agent_opener_stop(opener);
	ck_assert_int_gt(wait(NULL), 0);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("agent_hot");
	TCase *tcase = tcase_create("hot");

	tcase_add_checked_fixture(tcase, setup, teardown);
	tcase_set_timeout(tcase, 60);
	tcase_add_test(tcase, zones_that_touch_are_one_range_of_whole_blocks);
	tcase_add_test(tcase, zones_out_of_order_are_put_in_order_and_too_many_are_joined);
	tcase_add_test(tcase, zones_that_cannot_be_are_none);
	tcase_add_test(tcase, small_guest_has_each_block_looked_at);
	tcase_add_test(tcase, large_guest_costs_no_more_and_takes_longer);
	tcase_add_test(tcase, plan_that_costs_too_much_is_not_carried_out);
	tcase_add_test(tcase, blocks_that_are_used_alike_are_a_run);
	tcase_add_test(tcase, block_with_parts_of_several_regions_is_as_hot_as_the_hottest);
	tcase_add_test(tcase, scan_tells_what_was_used_and_leaves_no_damon);
	tcase_add_test(tcase, scan_without_a_source_says_which_one_it_would_need);
	tcase_add_test(tcase, damon_of_somebody_else_is_left_alone);
	tcase_add_test(tcase, damon_that_somebody_has_set_up_since_is_left_alone);
	tcase_add_test(tcase, agent_without_an_opener_ends_damon_before_it_ends);
	tcase_add_test(tcase, scan_that_costs_too_much_is_ended);
	tcase_add_test(tcase, damon_that_fails_on_the_way_is_removed_again);
	tcase_add_loop_test(tcase, damon_that_tells_nothing_or_nonsense_is_an_error, 0, 2);
	tcase_add_loop_test(tcase, opener_ends_damon_with_the_agent, 0, OPENER_RUNS);
	tcase_add_loop_test(tcase, opener_outlives_signals_that_end_the_agent, 0, OPENER_RUNS);
	tcase_add_loop_test(tcase, damon_is_off_though_the_opener_was_killed, 0, OPENER_RUNS);
	tcase_add_loop_test(tcase, opener_starts_no_damon_that_is_not_allowed, 0, 2 * OPENER_RUNS);
	suite_add_tcase(suite, tcase);
	return run_suite(suite);
}
