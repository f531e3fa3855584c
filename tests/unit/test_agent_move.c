/* The agent moves pages: a status for each, jobs over processes, rate, cancel, what stays and why.
 */
#include <stdatomic.h>

#include "../../guestagent/agent.h"
#include "../../guestagent/move.h"
#include "failing_open.h"
#include "fake_kernel.h"

static void *pages[FAKE_PAGES + 1];
static int nodes[FAKE_PAGES + 1], status[FAKE_PAGES + 1];

/* The first `count` pages, all to node 1. */
static void want(size_t count)
{
	for (size_t i = 0; i < count; i++) {
		pages[i] = (void *)(uintptr_t)(FAKE_START + i * AGENT_PAGE_BYTES);
		nodes[i] = 1;
	}
}

static int move(size_t count)
{
	return agent_move_exact(FAKE_PID, count, pages, nodes, status, AGENT_MPOL_MF_MOVE);
}

START_TEST(exact_all_free_takes_one_call)
{
	want(1000);
	ck_assert_int_eq(move(1000), 0);
	ck_assert_uint_eq(fake_calls, 1);
	for (size_t i = 0; i < 1000; i++)
		ck_assert_int_eq(status[i], 1);
}
END_TEST

START_TEST(exact_one_busy_page_keeps_only_itself)
{
	fake_page[333].busy = true;
	want(1000);
	ck_assert_int_eq(move(1000), 0);
	for (size_t i = 0; i < 1000; i++)
		ck_assert_int_eq(status[i], i == 333 ? -EBUSY : 1);
	ck_assert_uint_lt(fake_calls, 50);
}
END_TEST

START_TEST(exact_each_reason_is_told)
{
	want(20);
	fake_page[3].node = FAKE_HOLE;
	fake_page[4].shared = true;
	fake_page[5].busy = true;
	fake_page[6].node = 1;
	pages[19] = (void *)(uintptr_t)0x1000;
	ck_assert_int_eq(move(20), 0);
	ck_assert_int_eq(status[2], 1);
	ck_assert_int_eq(status[3], -ENOENT);
	ck_assert_int_eq(status[4], -EACCES);
	ck_assert_int_eq(status[5], -EBUSY);
	ck_assert_int_eq(status[6], 1);
	ck_assert_int_eq(status[18], 1);
	ck_assert_int_eq(status[19], -EFAULT);
}
END_TEST

START_TEST(exact_full_node_is_not_tried_page_by_page)
{
	want(4000);
	fake_node_free[1] = 1000;
	ck_assert_int_eq(move(4000), 0);
	for (size_t i = 0; i < 4000; i++)
		ck_assert_int_eq(status[i], i < 1000 ? 1 : -ENOMEM);
	ck_assert_uint_lt(fake_calls, 100);
}
END_TEST

START_TEST(exact_refused_call_keeps_what_is_known)
{
	want(10);
	nodes[5] = 7;
	ck_assert_int_eq(move(10), -ENODEV);
	ck_assert_int_eq(status[4], 1);
	ck_assert_int_eq(status[5], MOVEPAGES_UNSET);
	fake_refuse = -EPERM;
	ck_assert_int_eq(move(10), -EPERM);
	ck_assert_int_eq(status[0], MOVEPAGES_UNSET);
	ck_assert_int_eq(move(0), 0);
}
END_TEST

START_TEST(exact_query_moves_nothing)
{
	want(3);
	fake_page[1].node = FAKE_HOLE;
	ck_assert_int_eq(agent_move_exact(FAKE_PID, 3, pages, NULL, status, 0), 0);
	ck_assert_int_eq(status[0], 0);
	ck_assert_int_eq(status[1], -ENOENT);
	ck_assert_uint_eq(fake_calls, 0);
}
END_TEST

/* ---- Jobs ------------------------------------------------------------------------------------ */

static struct agent agent;

/* Jobs sleep through this: their clock goes on by itself, or not at all while they really sleep. Set
 * by tests while jobs run. */
static atomic_bool in_real_time;

static void nap(uint64_t ns)
{
	if (atomic_load(&in_real_time))
		usleep(500);
	else
		fake_sleep(ns);
}

static void setup(void)
{
	struct gmig_error err = {0};

	fake_kernel_setup();
	fake_sys_calls.sleep_ns = nap;
	memset(&agent, 0, sizeof(agent));
	ck_assert_int_eq(agent_jobs_create(&agent.jobs, &err), 0);
}

static void teardown(void)
{
	unreadable = NULL;
	atomic_store(&in_real_time, true);
	ck_assert(agent_jobs_destroy(agent.jobs, 120000));
	agent_conf_free(&agent.conf);
	fake_kernel_teardown();
}

/* One line to the agent; its answer. */
static json_t *ask(const char *line)
{
	size_t bytes;
	char *text = agent_answer(&agent, line, strlen(line), &bytes);
	json_t *json;

	ck_assert_ptr_nonnull(text);
	ck_assert_int_eq(text[bytes - 1], '\n');
	json = json_loadb(text + (text[0] == (char)0xff), bytes - (text[0] == (char)0xff), 0, NULL);
	ck_assert_ptr_nonnull(json);
	free(text);
	return json;
}

static const char *text_of(const json_t *json, const char *a, const char *b)
{
	const char *text = json_string_value(json_object_get(json_object_get(json, a), b));

	return text ? text : "";
}

static json_int_t number_of(const json_t *json, const char *a, const char *b)
{
	return json_integer_value(json_object_get(json_object_get(json, a), b));
}

/* Start it, wait for its end; the job's last answer. */
static json_t *run(const char *line)
{
	json_t *json = ask(line);
	char request[128];

	ck_assert_msg(json_object_get(json, "return") != NULL, "%s",
		      text_of(json, "error", "desc"));
	snprintf(request, sizeof(request),
		 "{\"execute\":\"job-status\",\"arguments\":{\"id\":\"%s\"}}",
		 text_of(json, "return", "id"));
	while (!strcmp(text_of(json, "return", "state"), "running")) {
		json_decref(json);
		usleep(1000);
		json = ask(request);
	}
	return json;
}

#define MIGRATE "{\"execute\":\"migrate-pages\",\"arguments\":{\"pid\":77,\"from\":[0],\"to\":[1]"

START_TEST(job_moves_all_and_counts_it)
{
	json_t *json = run(MIGRATE "}}");

	ck_assert_str_eq(text_of(json, "return", "state"), "completed");
	ck_assert_int_eq(number_of(json, "return", "moved_bytes"), FAKE_PAGES * 4096);
	ck_assert_int_eq(number_of(json, "return", "total_bytes"), FAKE_PAGES * 4096);
	ck_assert_int_eq(number_of(json, "return", "done_bytes"), FAKE_PAGES * 4096);
	ck_assert_uint_eq(
	    json_object_size(json_object_get(json_object_get(json, "return"), "remaining")), 0);
	for (size_t i = 0; i < FAKE_PAGES; i++)
		ck_assert_int_eq(fake_page[i].node, 1);
	json_decref(json);
}
END_TEST

START_TEST(job_leaves_what_cannot_move_and_says_why)
{
	json_t *json, *left;

	fake_page[100].busy = true;
	fake_page[101].node = FAKE_HOLE;
	fake_page[5000].shared = true;
	fake_page[6000].busy_times = 3; /* a later pass gets it */
	fake_write_maps();
	json = run(MIGRATE ",\"shared\":false}}");
	left = json_object_get(json_object_get(json, "return"), "remaining");
	ck_assert_str_eq(text_of(json, "return", "state"), "completed");
	ck_assert_int_eq(json_integer_value(json_object_get(left, "EBUSY")), 1);
	ck_assert_int_eq(json_integer_value(json_object_get(left, "EACCES")), 1);
	ck_assert_uint_eq(json_object_size(left), 2);
	ck_assert_int_eq(number_of(json, "return", "moved_bytes"), (FAKE_PAGES - 3) * 4096);
	ck_assert_int_eq(fake_page[6000].node, 1);
	json_decref(json);
}
END_TEST

START_TEST(job_moves_huge_pages_by_their_heads)
{
	json_t *json;

	for (size_t i = 512; i < 4096; i++)
		fake_page[i].huge = true;
	fake_write_maps();
	json = run(MIGRATE "}}");
	ck_assert_int_eq(number_of(json, "return", "moved_bytes"), FAKE_PAGES * 4096);
	ck_assert_uint_eq(
	    json_object_size(json_object_get(json_object_get(json, "return"), "remaining")), 0);
	json_decref(json);
}
END_TEST

START_TEST(job_keeps_to_the_rate)
{
	uint64_t before_ns = fake_now(), took_ns;
	json_t *json = run(MIGRATE ",\"rate\":4096000}}");

	took_ns = fake_now() - before_ns;
	ck_assert_int_eq(number_of(json, "return", "moved_bytes"), FAKE_PAGES * 4096);
	/* 10,000 pages at 1000 a second. */
	ck_assert_uint_ge(took_ns, 9900000000ull);
	ck_assert_uint_le(took_ns, 10200000000ull);
	json_decref(json);
}
END_TEST

START_TEST(job_rate_is_capped_by_the_guest)
{
	uint64_t before_ns = fake_now();
	json_t *json;

	agent.conf.max_rate = 4096000;
	json = run(MIGRATE "}}");
	ck_assert_int_eq(number_of(json, "return", "rate"), 4096000);
	ck_assert_uint_ge(fake_now() - before_ns, 9900000000ull);
	json_decref(json);
}
END_TEST

START_TEST(job_cancelled_ends_early_and_remembers_what_moved)
{
	json_t *json;

	atomic_store(&in_real_time, true); /* its clock does not go on by itself */
	json = ask(MIGRATE ",\"rate\":409600}}");
	ck_assert_str_eq(text_of(json, "return", "state"), "running");
	json_decref(json);
	json = ask("{\"execute\":\"job-cancel\",\"arguments\":{\"id\":\"1\"}}");
	json_decref(json);
	do {
		json = ask("{\"execute\":\"job-status\",\"arguments\":{\"id\":\"1\"}}");
		if (strcmp(text_of(json, "return", "state"), "running") != 0)
			break;
		json_decref(json);
	} while (1);
	ck_assert_str_eq(text_of(json, "return", "state"), "cancelled");
	ck_assert_int_lt(number_of(json, "return", "moved_bytes"), FAKE_PAGES * 4096);
	json_decref(json);
	json = ask("{\"execute\":\"job-cancel\",\"arguments\":{\"id\":\"1\"}}");
	ck_assert_str_eq(text_of(json, "error", "errno"), "EALREADY");
	json_decref(json);
}
END_TEST

START_TEST(job_by_process_uses_one_call)
{
	json_t *json;

	fake_page[7].busy = true;
	json = run(MIGRATE ",\"method\":\"migrate_pages\"}}");
	ck_assert_int_eq(number_of(json, "return", "moved_bytes"), (FAKE_PAGES - 1) * 4096);
	ck_assert_uint_eq(fake_calls, 0);
	json_decref(json);
}
END_TEST

START_TEST(job_that_is_refused_fails_with_the_call_and_a_hint)
{
	json_t *json, *error;

	fake_refuse = -EACCES;
	json = run(MIGRATE "}}");
	ck_assert_str_eq(text_of(json, "return", "state"), "failed");
	error = json_object_get(json_object_get(json, "return"), "error");
	ck_assert_str_eq(json_string_value(json_object_get(error, "errno")), "EACCES");
	ck_assert_ptr_nonnull(strstr(json_string_value(json_object_get(error, "desc")), "cpuset"));
	json_decref(json);
}
END_TEST

/* Process 77 goes on by its thread 78 alone. */
static void end_main_thread(void)
{
	fake_file("proc/78/status", "Name:\tworker\nTgid:\t77\nUid:\t1000\t1000\t1000\t1000\n"
				    "VmSize:\t 4 kB\nCpus_allowed_list:\t0-1\n");
	fake_file("proc/78/numa_maps", "%llx default anon=1 N0=%d kernelpagesize_kB=4\n",
		  FAKE_START, FAKE_PAGES);
	fake_file("proc/78/smaps", "%llx-%llx rw-p 00000000 00:00 0 \n", FAKE_START,
		  FAKE_START + FAKE_PAGES * AGENT_PAGE_BYTES);
	fake_file("proc/77/task/78/x", "x");
	fake_file("proc/77/numa_maps", "%s", "");
	fake_file("proc/77/status", "Name:\tworker\nTgid:\t77\nUid:\t1000\t1000\t1000\t1000\n");
}

static long move_pages_of_a_leader_that_ends(pid_t pid, unsigned long count, void **at,
					     const int *to, int *where, int flags)
{
	static unsigned int calls;

	/* The second chunk finds it without memory. */
	if (pid == FAKE_PID && ++calls > 1) {
		end_main_thread();
		return -EINVAL;
	}
	return fake_move_pages(FAKE_PID, count, at, to, where, flags);
}

START_TEST(job_goes_on_by_another_thread_when_the_main_thread_ends)
{
	json_t *json;

	fake_sys_calls.move_pages = move_pages_of_a_leader_that_ends;
	fake_after_move = NULL;
	json = run(MIGRATE "}}");
	ck_assert_str_eq(text_of(json, "return", "state"), "completed");
	for (size_t i = 0; i < FAKE_PAGES; i++)
		ck_assert_int_eq(fake_page[i].node, 1);
	json_decref(json);
}
END_TEST

START_TEST(job_of_a_recycled_pid_touches_nobody)
{
	json_t *json;
	unsigned int calls;

	atomic_store(&in_real_time, true);
	json_decref(ask(MIGRATE ",\"rate\":8192000}}"));
	/* Another process has the number from here on. A job that has moved something by then waits for the clock. */
	fake_process(900);
	atomic_store(&in_real_time, false);
	do {
		json = ask("{\"execute\":\"job-status\",\"arguments\":{\"id\":\"1\"}}");
		if (strcmp(text_of(json, "return", "state"), "running") != 0)
			break;
		json_decref(json);
		usleep(1000);
	} while (1);
	ck_assert_str_eq(text_of(json, "return", "state"), "failed");
	ck_assert_int_lt(number_of(json, "return", "moved_bytes"), FAKE_PAGES * 4096);
	calls = fake_calls;
	ck_assert_uint_lt(calls, FAKE_PAGES / 100);
	json_decref(json);
}
END_TEST

START_TEST(jobs_are_limited_and_the_oldest_is_forgotten)
{
	json_t *json;

	atomic_store(&in_real_time, true);
	for (int i = 0; i < AGENT_JOBS_RUNNING; i++)
		json_decref(ask(MIGRATE ",\"rate\":4096}}"));
	json = ask(MIGRATE "}}");
	ck_assert_str_eq(text_of(json, "error", "errno"), "EBUSY");
	json_decref(json);
	for (int i = 1; i <= AGENT_JOBS_RUNNING; i++) {
		char line[80];

		snprintf(line, sizeof(line),
			 "{\"execute\":\"job-cancel\",\"arguments\":{\"id\":\"%d\"}}", i);
		json_decref(ask(line));
	}
	atomic_store(&in_real_time, false);
	for (int i = 0; i < AGENT_JOBS_KEPT; i++) {
		do {
			json = ask(MIGRATE "}}");
			if (json_object_get(json, "return"))
				break;
			json_decref(json);
			usleep(1000);
		} while (1);
		json_decref(json);
	}
	json = ask("{\"execute\":\"query-jobs\"}");
	ck_assert_uint_le(json_array_size(json_object_get(json, "return")), AGENT_JOBS_KEPT);
	json_decref(json);
	json = ask("{\"execute\":\"job-status\",\"arguments\":{\"id\":\"1\"}}");
	ck_assert_str_eq(text_of(json, "error", "errno"), "ESRCH");
	json_decref(json);
}
END_TEST

/* ---- What cannot be looked at ---------------------------------------------------------------- */

#define MIGRATE_ALL                                                                                \
	"{\"execute\":\"migrate-pages\",\"arguments\":{\"all\":true,\"from\":[0],\"to\":[1]"

/* Process 78, with a page where it is to be. */
static void make_neighbour(void)
{
	fake_file(
	    "proc/78/stat",
	    "78 (other) S 1 78 78 0 -1 4194304 1 0 0 0 5 5 0 0 20 0 1 0 600 1 1 1 1 1 1 1 1 0 "
	    "0 0 0 0 0 0 17 1 0 0 0 0 0 0\n");
	fake_file("proc/78/status", "Name:\tother\nTgid:\t78\nUid:\t1000\t1000\t1000\t1000\n"
				    "VmSize:\t 4 kB\nCpus_allowed_list:\t0-1\n");
	fake_file("proc/78/cgroup", "0::/\n");
	fake_file("proc/78/numa_maps", "%llx default anon=1 N1=1 kernelpagesize_kB=4\n",
		  FAKE_START);
	fake_file("proc/78/smaps", "%llx-%llx rw-p 00000000 00:00 0 \n", FAKE_START,
		  FAKE_START + AGENT_PAGE_BYTES);
}

static json_int_t count_of(const json_t *job, const char *object, const char *reason)
{
	return number_of(json_object_get(job, "return"), object, reason);
}

START_TEST(process_that_cannot_be_looked_at_is_not_told_as_ended)
{
	static const char *const files[] = {"/77/stat", "/77/status", "/77/cgroup"};
	json_t *json;

	unreadable = files[_i];
	json = ask(MIGRATE "}}");
	ck_assert_str_eq(text_of(json, "error", "errno"), "EMFILE");
	json_decref(json);
}
END_TEST

START_TEST(process_of_many_that_cannot_be_looked_at_is_counted_by_its_reason)
{
	json_t *json;

	make_neighbour();
	unreadable = "/78/stat";
	json = run(MIGRATE_ALL "}}");
	ck_assert_str_eq(text_of(json, "return", "state"), "completed");
	ck_assert_int_eq(number_of(json, "return", "processes"), 1);
	ck_assert_int_eq(number_of(json, "return", "skipped_processes"), 1);
	ck_assert_int_eq(count_of(json, "unread_processes", "EMFILE"), 1);
	ck_assert_uint_eq(fake_pages_on(1), FAKE_PAGES);
	json_decref(json);
}
END_TEST

static const char *then_unreadable;

static long move_pages_and_run_short(pid_t pid, unsigned long count, void **at, const int *to,
				     int *where, int flags)
{
	long rc = fake_move_pages(pid, count, at, to, where, flags);

	unreadable = then_unreadable;
	return rc;
}

START_TEST(job_that_cannot_look_in_the_middle_fails_and_says_why)
{
	static const char *const files[] = {"/77/stat", "/77/numa_maps", "/77/smaps", "/77/status"};
	json_t *json, *error;

	fake_page[9].busy = true; /* there is a second pass */
	fake_sys_calls.move_pages = move_pages_and_run_short;
	fake_after_move = NULL;
	then_unreadable = files[_i];
	json = run(MIGRATE "}}");
	ck_assert_str_eq(text_of(json, "return", "state"), "failed");
	error = json_object_get(json_object_get(json, "return"), "error");
	ck_assert_str_eq(json_string_value(json_object_get(error, "errno")), "EMFILE");
	ck_assert_ptr_nonnull(strstr(json_string_value(json_object_get(error, "desc")), "open(2)"));
	ck_assert_int_eq(count_of(json, "remaining", "EBUSY"), 1);
	json_decref(json);
}
END_TEST

/* Of the rest of its pages the reason is told, or of the process if nobody knows how many they are. */
START_TEST(job_of_many_goes_on_and_tells_of_whom_it_could_not_look_at)
{
	static const struct {
		const char *file, *counts;
	} cases[] = {{"/77/stat", "remaining"},
		     {"/77/numa_maps", "unread_processes"},
		     {"/77/status", "unread_processes"}};
	json_t *json;

	make_neighbour();
	fake_page[9].busy = true;
	fake_sys_calls.move_pages = move_pages_and_run_short;
	then_unreadable = cases[_i].file;
	json = run(MIGRATE_ALL "}}");
	ck_assert_str_eq(text_of(json, "return", "state"), "completed");
	ck_assert_int_eq(count_of(json, cases[_i].counts, "EMFILE"),
			 _i ? 1 : (json_int_t)fake_pages_on(0));
	ck_assert_int_eq(count_of(json, "remaining", "EBUSY"), _i ? 1 : 0);
	json_decref(json);
}
END_TEST

static long migrate_pages_and_run_short(pid_t pid, const struct agent_set *from,
					const struct agent_set *to)
{
	(void)from;
	(void)to;
	unreadable = then_unreadable;
	return pid == FAKE_PID ? 0 : -ESRCH;
}

START_TEST(job_by_process_that_cannot_look_behind_it_fails)
{
	json_t *json, *error;

	fake_sys_calls.migrate_pages = migrate_pages_and_run_short;
	then_unreadable = "/77/numa_maps";
	json = run(MIGRATE ",\"method\":\"migrate_pages\"}}");
	ck_assert_str_eq(text_of(json, "return", "state"), "failed");
	error = json_object_get(json_object_get(json, "return"), "error");
	ck_assert_str_eq(json_string_value(json_object_get(error, "errno")), "EMFILE");
	json_decref(json);
}
END_TEST

static long end_of_leader_and_short(pid_t pid, unsigned long count, void **at, const int *to,
				    int *where, int flags)
{
	(void)count, (void)at, (void)to, (void)where, (void)flags;
	ck_assert_int_eq(pid, FAKE_PID);
	end_main_thread();
	unreadable = then_unreadable;
	return -ESRCH;
}

/* The main thread has ended, and the process goes on by another one, which nobody can see now. */
START_TEST(process_of_which_the_other_thread_cannot_be_seen_is_not_told_as_ended)
{
	json_t *json;

	make_neighbour();
	fake_sys_calls.move_pages = end_of_leader_and_short;
	then_unreadable = "/78/status";
	json = run(MIGRATE "}}");
	ck_assert_str_eq(text_of(json, "return", "state"), "failed");
	ck_assert_str_eq(json_string_value(json_object_get(
			     json_object_get(json_object_get(json, "return"), "error"), "errno")),
			 "EMFILE");
	json_decref(json);
}
END_TEST

/* ---- move-pages ------------------------------------------------------------------------------ */

START_TEST(move_pages_gives_one_status_a_page)
{
	json_t *json, *list;

	fake_page[1].node = FAKE_HOLE;
	fake_page[2].shared = true;
	json = ask("{\"execute\":\"move-pages\",\"arguments\":{\"pid\":77,\"ranges\":[{\"start\":"
		   "\"0x7f0000000000\",\"bytes\":16384}],\"nodes\":1}}");
	list = json_object_get(json_object_get(json, "return"), "status");
	ck_assert_uint_eq(json_array_size(list), 4);
	ck_assert_int_eq(json_integer_value(json_array_get(list, 0)), 1);
	ck_assert_int_eq(json_integer_value(json_array_get(list, 1)), -ENOENT);
	ck_assert_int_eq(json_integer_value(json_array_get(list, 2)), -EACCES);
	ck_assert_int_eq(json_integer_value(json_array_get(list, 3)), 1);
	json_decref(json);
	json = ask("{\"execute\":\"move-pages\",\"arguments\":{\"pid\":77,\"addresses\":"
		   "[139637976727552,\"0x7f0000003000\"]}}");
	list = json_object_get(json_object_get(json, "return"), "status");
	ck_assert_int_eq(json_integer_value(json_array_get(list, 1)), 1);
	json_decref(json);
}
END_TEST

START_TEST(move_pages_refusals_have_name_number_and_advice)
{
	static const struct {
		const char *arguments, *name, *says;
	} bad[] = {
	    {"\"pid\":77,\"addresses\":[\"0x7f0000000000\"],\"nodes\":9", "ENODEV",
	     "numa-topology"},
	    {"\"pid\":77,\"addresses\":[\"0x7f0000000000\"],\"nodes\":-1", "ENODEV", "(19)"},
	    {"\"pid\":78,\"addresses\":[\"0x7f0000000000\"],\"nodes\":1", "ESRCH", "78"},
	    {"\"pid\":77,\"nodes\":1", "EINVAL", "'addresses' and 'ranges'"},
	    {"\"pid\":77,\"addresses\":[1,2],\"nodes\":[1]", "EINVAL", "1 nodes for 2"},
	    {"\"pid\":77,\"addresses\":[1],\"nodes\":[\"x\"]", "EINVAL", "a node is a number"},
	    {"\"pid\":77,\"ranges\":[{\"start\":0,\"bytes\":99999999}],\"nodes\":1", "E2BIG",
	     "migrate-pages"},
	    {"\"pid\":0,\"addresses\":[1]", "ERANGE", "'pid' is 0"},
	};

	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		char line[256];
		json_t *json;

		snprintf(line, sizeof(line), "{\"execute\":\"move-pages\",\"arguments\":{%s}}",
			 bad[i].arguments);
		json = ask(line);
		ck_assert_msg(!strcmp(text_of(json, "error", "errno"), bad[i].name), "%s: %s", line,
			      text_of(json, "error", "desc"));
		ck_assert_msg(strstr(text_of(json, "error", "desc"), bad[i].says) != NULL, "%s: %s",
			      line, text_of(json, "error", "desc"));
		json_decref(json);
	}
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("agent_move");
	TCase *exact = tcase_create("exact"), *jobs = tcase_create("jobs");
	SRunner *runner = srunner_create(suite);
	int failed;

	tcase_add_checked_fixture(exact, fake_kernel_setup, fake_kernel_teardown);
	tcase_add_test(exact, exact_all_free_takes_one_call);
	tcase_add_test(exact, exact_one_busy_page_keeps_only_itself);
	tcase_add_test(exact, exact_each_reason_is_told);
	tcase_add_test(exact, exact_full_node_is_not_tried_page_by_page);
	tcase_add_test(exact, exact_refused_call_keeps_what_is_known);
	tcase_add_test(exact, exact_query_moves_nothing);
	suite_add_tcase(suite, exact);
	tcase_add_checked_fixture(jobs, setup, teardown);
	tcase_set_timeout(jobs, 60);
	tcase_add_test(jobs, job_moves_all_and_counts_it);
	tcase_add_test(jobs, job_leaves_what_cannot_move_and_says_why);
	tcase_add_test(jobs, job_moves_huge_pages_by_their_heads);
	tcase_add_test(jobs, job_keeps_to_the_rate);
	tcase_add_test(jobs, job_rate_is_capped_by_the_guest);
	tcase_add_test(jobs, job_cancelled_ends_early_and_remembers_what_moved);
	tcase_add_test(jobs, job_by_process_uses_one_call);
	tcase_add_test(jobs, job_that_is_refused_fails_with_the_call_and_a_hint);
	tcase_add_test(jobs, job_of_a_recycled_pid_touches_nobody);
	tcase_add_test(jobs, job_goes_on_by_another_thread_when_the_main_thread_ends);
	tcase_add_test(jobs, jobs_are_limited_and_the_oldest_is_forgotten);
	tcase_add_loop_test(jobs, process_that_cannot_be_looked_at_is_not_told_as_ended, 0, 3);
	tcase_add_test(jobs, process_of_many_that_cannot_be_looked_at_is_counted_by_its_reason);
	tcase_add_loop_test(jobs, job_that_cannot_look_in_the_middle_fails_and_says_why, 0, 4);
	tcase_add_loop_test(jobs, job_of_many_goes_on_and_tells_of_whom_it_could_not_look_at, 0, 3);
	tcase_add_test(jobs, job_by_process_that_cannot_look_behind_it_fails);
	tcase_add_test(jobs, process_of_which_the_other_thread_cannot_be_seen_is_not_told_as_ended);
	tcase_add_test(jobs, move_pages_gives_one_status_a_page);
	tcase_add_test(jobs, move_pages_refusals_have_name_number_and_advice);
	suite_add_tcase(suite, jobs);
	srunner_run_all(runner, CK_NORMAL);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
