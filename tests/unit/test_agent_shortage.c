/* The agent has no descriptor to look with: what it cannot see is not taken for what is not there. */
#include "../../guestagent/agent.h"
#include "../../guestagent/cgroup.h"
#include "../../guestagent/maps.h"
#include "../../guestagent/opener.h"
#include "agent_line.h"
#include "failing_open.h"
#include "fake_kernel.h"
#include "suite.h"

#include <fcntl.h>
#include <signal.h>

static struct agent agent;

static void setup(void)
{
	fake_kernel_setup();
	memset(&agent, 0, sizeof(agent));
	ck_assert_int_eq(agent_jobs_create(&agent.jobs, NULL), 0);
}

static void teardown(void)
{
	unreadable = NULL;
	ck_assert(agent_jobs_destroy(agent.jobs, 120000));
	agent_conf_free(&agent.conf);
	fake_kernel_teardown();
}

static json_t *ask(const char *line)
{
	return agent_line(&agent, line);
}

/* The command fails with EMFILE, and says of what. */
static void expect_short(const char *line, const char *of)
{
	json_t *error = ask(line);

	ck_assert_msg(!strcmp(word(error, "errno"), "EMFILE"), "%s", word(error, "desc"));
	ck_assert_msg(strstr(word(error, "desc"), of) != NULL, "%s", word(error, "desc"));
	json_decref(error);
}

/* ---- Processes ------------------------------------------------------------------------------- */

START_TEST(process_of_which_a_file_cannot_be_read_is_not_told_as_ended)
{
	static const char *const files[] = {"/77/stat", "/77/status", "/77/cgroup"};
	struct agent_process process;
	struct gmig_error err = {0};

	unreadable = files[_i];
	ck_assert_int_eq(agent_process_read(FAKE_PID, &process, &err), -EMFILE);
	ck_assert_ptr_nonnull(strstr(err.text, "process 77: EMFILE"));
	if (!_i)
		ck_assert_int_eq(agent_process_check(FAKE_PID, 500, NULL), -EMFILE);
	if (_i == 1)
		ck_assert_int_eq(agent_process_entry(FAKE_PID), -EMFILE);
}
END_TEST

/* Its main thread has ended. */
START_TEST(threads_that_cannot_be_read_are_not_told_as_without_memory)
{
	static const char *const files[] = {"/78/status", "/78/stat"};
	struct agent_process process;

	fake_file("proc/77/status", "Name:\tworker\nTgid:\t77\nUid:\t1000\t1000\t1000\t1000\n");
	fake_file("proc/77/task/78/x", "x");
	fake_file("proc/78/status", "Name:\tworker\nTgid:\t77\nUid:\t1000\t1000\t1000\t1000\n"
				    "VmSize:\t 4 kB\nCpus_allowed_list:\t0-1\n");
	fake_file("proc/78/stat", "%s", "");
	unreadable = files[_i];
	ck_assert_int_eq(agent_process_read(FAKE_PID, &process, NULL), -EMFILE);
}
END_TEST

/* A kernel without NUMA, no process: neither is known. */
START_TEST(maps_of_a_process_that_cannot_be_read_are_not_told_as_nobodys)
{
	struct agent_usage usage;
	char path[PATH_MAX + 32];

	snprintf(path, sizeof(path), "%s/proc/77/numa_maps", tree_root);
	unlink(path);
	unreadable = "/77/stat";
	ck_assert_int_eq(agent_usage_read(FAKE_PID, true, &usage, NULL), -EMFILE);
}
END_TEST

START_TEST(list_of_processes_without_one_that_cannot_be_read_is_not_complete)
{
	static const char *const files[] = {"/77/stat", "/77/numa_maps", "/77/maps"};
	json_t *list;

	unreadable = files[_i];
	list = ask("{\"execute\":\"processes\"}");
	ck_assert_int_eq(number(list, "seen"), 0);
	ck_assert(json_is_false(json_object_get(list, "complete")));
	json_decref(list);
}
END_TEST

static int open_and_run_short(pid_t pid)
{
	(void)pid;
	unreadable = "/77/stat";
	return open("/dev/null", O_RDONLY | O_CLOEXEC);
}

START_TEST(process_that_cannot_be_looked_at_again_is_not_collapsed)
{
	fake_sys_calls.pidfd_open = open_and_run_short;
	expect_short("{\"execute\":\"collapse\",\"arguments\":{\"pid\":77}}", "process 77");
}
END_TEST

static long no_memory_to_look(pid_t pid, unsigned long count, void **pages, const int *nodes,
			      int *status, int flags)
{
	(void)pid, (void)count, (void)pages, (void)nodes, (void)status, (void)flags;
	return -ENOMEM;
}

static int some_pidfd(pid_t pid)
{
	(void)pid;
	return open("/dev/null", O_RDONLY | O_CLOEXEC);
}

START_TEST(blocks_that_cannot_be_looked_at_are_not_told_as_empty)
{
	json_t *job;

	fake_sys_calls.pidfd_open = some_pidfd;
	fake_sys_calls.move_pages = no_memory_to_look;
	job = agent_job_line(&agent, "{\"execute\":\"collapse\",\"arguments\":{\"pid\":77}}");
	ck_assert_int_eq(number(json_object_get(job, "remaining"), "ENOMEM"),
			 FAKE_PAGES / 512 * 512);
	json_decref(job);
}
END_TEST

static long no_right_to_look(pid_t pid, unsigned long count, void **pages, const int *nodes,
			     int *status, int flags)
{
	(void)pid, (void)count, (void)pages, (void)nodes, (void)status, (void)flags;
	return -EPERM;
}

START_TEST(collapse_that_may_not_look_names_the_call_that_was_refused)
{
	json_t *job, *error;

	fake_sys_calls.pidfd_open = some_pidfd;
	fake_sys_calls.move_pages = no_right_to_look;
	job = agent_job_line(&agent, "{\"execute\":\"collapse\",\"arguments\":{\"pid\":77}}");
	error = json_object_get(job, "error");
	ck_assert_ptr_nonnull(
	    strstr(json_string_value(json_object_get(error, "desc")), "move_pages(2)"));
	json_decref(job);
}
END_TEST

static long no_memory_for_a_block(pid_t pid, unsigned long count, void **pages, const int *nodes,
				  int *status, int flags)
{
	if (pages[0] == (void *)(uintptr_t)(FAKE_START + 4 * AGENT_HUGE_BYTES))
		return -ENOMEM;
	return fake_move_pages(pid, count, pages, nodes, status, flags);
}

START_TEST(blocks_that_were_not_looked_at_are_not_told_as_all)
{
	char conf[] = "compact-hot = yes";
	json_t *job;

	ck_assert_int_eq(agent_conf_parse(conf, agent_knows_command, &agent.conf, NULL), 0);
	fake_sys_calls.pidfd_open = some_pidfd;
	fake_sys_calls.move_pages = no_memory_for_a_block;
	job = agent_job_line(&agent,
			     "{\"execute\":\"compact-hot\",\"arguments\":{\"pid\":77,\"heat\":"
			     "\"present\",\"max_bytes\":2097152,\"max_growth_ppm\":0}}");
	ck_assert_str_eq(word(job, "state"), "completed");
	ck_assert(json_is_false(json_object_get(job, "complete")));
	json_decref(job);
}
END_TEST

/* ---- Cgroups --------------------------------------------------------------------------------- */

static const char *cpus_of(const char *cgroup)
{
	static char text[64];
	char path[PATH_MAX + 64];

	snprintf(path, sizeof(path), "%s/cgroup%s/cpuset.cpus", tree_root, cgroup);
	ck_assert_int_ge(agent_read_text(path, text, sizeof(text)), 0);
	return text;
}

#define CONFINE "{\"execute\":\"set-affinity\",\"arguments\":{\"cgroup\":\"%s\",\"cpus\":\"1\"}}"

/* The opener has descriptors of its own, and would write it. */
START_TEST(cgroup_that_may_be_the_agents_own_is_not_touched)
{
	static const char *const files[] = {"stat", "status", "cgroup"};
	char line[128], file[64];

	fake_self("/ours");
	fake_file("cgroup/ours/cpuset.cpus", "0-1\n");
	snprintf(line, sizeof(line), CONFINE, "/ours");
	snprintf(file, sizeof(file), "/%d/%s", (int)getpid(), files[_i]);
	unreadable = file;
	expect_short(line, "open(2) on process");
	ck_assert_str_eq(cpus_of("/ours"), "0-1\n");
}
END_TEST

START_TEST(cgroup_that_is_another_ones_is_set_and_the_agents_own_is_not)
{
	json_t *answer;
	char line[128];

	fake_self("/ours");
	fake_file("cgroup/ours/cpuset.cpus", "0-1\n");
	fake_file("cgroup/other/cpuset.cpus", "0-1\n");
	snprintf(line, sizeof(line), CONFINE, "/ours");
	answer = ask(line);
	ck_assert_str_eq(word(answer, "errno"), "EPERM");
	json_decref(answer);
	ck_assert_str_eq(cpus_of("/ours"), "0-1\n");
	snprintf(line, sizeof(line), CONFINE, "/other");
	answer = ask(line);
	ck_assert_str_eq(word(answer, "desc"), "");
	json_decref(answer);
	ck_assert_int_eq(cpus_of("/other")[0], '1');
}
END_TEST

/* cgroup.procs opens, and a read of it fails. */
START_TEST(cgroup_of_which_the_members_cannot_be_read_is_not_taken_for_empty)
{
	AGENT_PIDS pids = {0};

	fake_file("cgroup/a/cgroup.procs", "1\n");
	fake_file(_i ? "cgroup/a/b/cgroup.procs" : "cgroup/a/b/cgroup.procs/is-no-file", "%s", "");
	unreadable = _i ? "/b/cgroup.procs" : NULL;
	ck_assert_int_eq(agent_pids_cgroup("/a", &pids, NULL), _i ? -EMFILE : -EISDIR);
}
END_TEST

/* access(2) of each path that ends so fails with ENOMEM; NULL: none. */
static const char *unseen;

int __real_access(const char *path, int mode);
int __wrap_access(const char *path, int mode);

int __wrap_access(const char *path, int mode)
{
	size_t length = strlen(path), end = unseen ? strlen(unseen) : 0;

	if (!end || length < end || strcmp(path + length - end, unseen) != 0)
		return __real_access(path, mode);
	errno = ENOMEM;
	return -1;
}

/* A cgroup without a limit, or none at all: neither is known. */
START_TEST(cgroup_that_cannot_be_looked_for_is_not_told_as_missing)
{
	static const char *const files[] = {"/cgroup/cgroup.procs", "/cgroup/a"};
	AGENT_PIDS pids = {0};
	char path[PATH_MAX];
	uint64_t bytes;

	fake_file("cgroup/a/cgroup.procs", "1\n");
	fake_file("cgroup/a/memory.max", "1000\n");
	fake_file("cgroup/a/memory.current", "100\n");
	unseen = files[_i];
	ck_assert_int_eq(agent_pids_cgroup("/a", &pids, NULL), -ENOMEM);
	ck_assert_int_eq(agent_cgroup_path("/a", "cpuset.cpus", path, sizeof(path), NULL), -ENOMEM);
	ck_assert_int_eq(agent_cgroup_headroom("/a", &bytes), _i ? 0 : -ENOMEM);
	unseen = NULL;
}
END_TEST

/* ---- Nodes ----------------------------------------------------------------------------------- */

START_TEST(nodes_that_cannot_be_read_are_an_error_and_not_zero)
{
	static const char *const files[] = {"/node/online", "/node1/cpulist", "/node1/meminfo",
					    "/node0/distance", "/kernel/numa_balancing"};

	unreadable = files[_i];
	expect_short("{\"execute\":\"numa-topology\"}", files[_i]);
}
END_TEST

/* It has just gone offline, and the kernel balances nothing. */
START_TEST(node_without_files_is_told_without_sizes)
{
	static const char *const files[] = {"cpulist", "meminfo", "distance"};
	json_t *topology, *node;

	for (size_t i = 0; i < 3; i++) {
		char path[PATH_MAX + 64];

		snprintf(path, sizeof(path), "%s/sys/devices/system/node/node1/%s", tree_root,
			 files[i]);
		ck_assert_int_eq(unlink(path), 0);
	}
	topology = ask("{\"execute\":\"numa-topology\"}");
	ck_assert(json_is_false(json_object_get(topology, "numa_balancing")));
	node = json_array_get(json_object_get(topology, "nodes"), 0);
	ck_assert_int_eq(number(node, "total_bytes"), 1024000);
	node = json_array_get(json_object_get(topology, "nodes"), 1);
	ck_assert_int_eq(number(node, "id"), 1);
	ck_assert_ptr_null(json_object_get(node, "total_bytes"));
	ck_assert_ptr_null(json_object_get(node, "free_bytes"));
	ck_assert_uint_eq(json_array_size(json_object_get(node, "cpus")), 0);
	ck_assert_uint_eq(json_array_size(json_object_get(node, "distance")), 0);
	json_decref(topology);
}
END_TEST

START_TEST(memory_is_not_told_as_remote_where_nodes_cannot_be_read)
{
	static const char *const files[] = {"/node/online", "/node0/cpulist"};

	unreadable = files[_i];
	expect_short("{\"execute\":\"processes\"}", files[_i]);
}
END_TEST

START_TEST(nodes_that_cannot_be_read_are_not_told_as_missing)
{
	unreadable = "/node/has_memory";
	expect_short(
	    "{\"execute\":\"migrate-pages\",\"arguments\":{\"pid\":77,\"from\":[0],\"to\":[1]}}",
	    "has_memory");
	unreadable = "/node1/cpulist";
	expect_short("{\"execute\":\"stall-probe\",\"arguments\":{\"seconds\":1,\"node\":1}}",
		     "cpulist");
}
END_TEST

/* ---- The port, and DAMON --------------------------------------------------------------------- */

static struct gmig_error port_error;

static int open_port(const char *name)
{
	const struct agent_port_options options = {.name = name, .fd = -1};

	return agent_opener_port(NULL, &options, &port_error);
}

/* One that is not there may be waited for. */
START_TEST(port_of_which_the_name_cannot_be_read_is_not_told_as_missing)
{
	fake_file("sys/class/virtio-ports/vport8p1/name", "org.gmig.agent.0\n");
	fake_file("sys/class/virtio-ports/vport9p1/name", "another\n");
	ck_assert_int_eq(open_port("none"), -ENOENT);
	unreadable = "/vport8p1/name";
	ck_assert_int_eq(open_port("org.gmig.agent.0"), -EMFILE);
	ck_assert_ptr_null(strstr(port_error.text, "there is no virtio port"));
	/* The device that it leads to, which this host has not. */
	unreadable = "/vport9p1/name";
	ck_assert_int_eq(open_port("org.gmig.agent.0"), -ENOENT);
	ck_assert_ptr_nonnull(strstr(port_error.text, "/dev/vport8p1: "));
}
END_TEST

/* The next look finds it. It waits in between, until it is told to end. */
START_TEST(port_of_which_the_name_cannot_be_read_is_waited_for)
{
	const struct agent_port_options options = {
	    .name = "org.gmig.agent.0", .fd = -1, .wait = true};
	sigset_t end;

	fake_file("sys/class/virtio-ports/vport8p1/name", "org.gmig.agent.0\n");
	open_fails = 0;
	open_error = EMFILE;
	sigemptyset(&end);
	sigaddset(&end, SIGTERM);
	pthread_sigmask(SIG_BLOCK, &end, NULL);
	raise(SIGTERM);
	ck_assert_int_eq(agent_port_serve(&agent, &options, &port_error), -ENOENT);
	ck_assert_ptr_nonnull(strstr(port_error.text, "/dev/vport8p1: "));
}
END_TEST

#define KDAMONDS "sys/kernel/mm/damon/admin/kdamonds/"

START_TEST(damon_of_which_the_operations_cannot_be_read_is_not_told_as_without)
{
	struct agent_damon damon = {.range = {{AGENT_HUGE_BYTES, 3 * AGENT_HUGE_BYTES}},
				    .ranges = 1,
				    .pid = FAKE_PID,
				    .piece_bytes = AGENT_HUGE_BYTES,
				    .sample_us = 5000,
				    .aggr_us = 100000,
				    .min_regions = 3,
				    .max_regions = 5};

	fake_file(KDAMONDS "nr_kdamonds", "0\n");
	fake_file(KDAMONDS "0/state", "%s", "");
	fake_file(KDAMONDS "0/contexts/nr_contexts", "%s", "");
	ck_assert_int_eq(agent_opener_damon(NULL, &damon, NULL), -EOPNOTSUPP);
	fake_file(KDAMONDS "nr_kdamonds", "0\n");
	fake_file(KDAMONDS "0/contexts/0/avail_operations", "fvaddr\n");
	unreadable = "/avail_operations";
	ck_assert_int_eq(agent_opener_damon(NULL, &damon, NULL), -EMFILE);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("agent_shortage");
	TCase *tcase = tcase_create("all");

	tcase_add_checked_fixture(tcase, setup, teardown);
	tcase_add_loop_test(tcase, process_of_which_a_file_cannot_be_read_is_not_told_as_ended, 0,
			    3);
	tcase_add_loop_test(tcase, threads_that_cannot_be_read_are_not_told_as_without_memory, 0,
			    2);
	tcase_add_test(tcase, maps_of_a_process_that_cannot_be_read_are_not_told_as_nobodys);
	tcase_add_loop_test(
	    tcase, list_of_processes_without_one_that_cannot_be_read_is_not_complete, 0, 3);
	tcase_add_test(tcase, process_that_cannot_be_looked_at_again_is_not_collapsed);
	tcase_add_test(tcase, blocks_that_cannot_be_looked_at_are_not_told_as_empty);
	tcase_add_test(tcase, collapse_that_may_not_look_names_the_call_that_was_refused);
	tcase_add_test(tcase, blocks_that_were_not_looked_at_are_not_told_as_all);
	tcase_add_loop_test(tcase, cgroup_that_may_be_the_agents_own_is_not_touched, 0, 3);
	tcase_add_test(tcase, cgroup_that_is_another_ones_is_set_and_the_agents_own_is_not);
	tcase_add_loop_test(
	    tcase, cgroup_of_which_the_members_cannot_be_read_is_not_taken_for_empty, 0, 2);
	tcase_add_loop_test(tcase, cgroup_that_cannot_be_looked_for_is_not_told_as_missing, 0, 2);
	tcase_add_loop_test(tcase, nodes_that_cannot_be_read_are_an_error_and_not_zero, 0, 5);
	tcase_add_test(tcase, node_without_files_is_told_without_sizes);
	tcase_add_loop_test(tcase, memory_is_not_told_as_remote_where_nodes_cannot_be_read, 0, 2);
	tcase_add_test(tcase, nodes_that_cannot_be_read_are_not_told_as_missing);
	tcase_add_test(tcase, port_of_which_the_name_cannot_be_read_is_not_told_as_missing);
	tcase_add_test(tcase, port_of_which_the_name_cannot_be_read_is_waited_for);
	tcase_add_test(tcase, damon_of_which_the_operations_cannot_be_read_is_not_told_as_without);
	suite_add_tcase(suite, tcase);
	return run_suite(suite);
}
