/* A process whose main thread has ended while another runs on: real threads, the real kernel. */
#include "suite.h"

#include "../../guestagent/agent.h"
#include "../../guestagent/maps.h"
#include "../../guestagent/sys.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#define BYTES (4u << 20)

/* What the child tells of itself. */
static struct child {
	pid_t pid, thread;
	char *memory;
} child;

static struct agent agent;

static void *run_on(void *opaque)
{
	const int *pipe_end = opaque;
	struct child self = {.pid = getpid(), .thread = gettid()};

	self.memory = mmap(NULL, BYTES, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	memset(self.memory, 1, BYTES);
	if (write(*pipe_end, &self, sizeof(self)) != sizeof(self))
		_exit(1);
	for (;;)
		pause();
	return NULL;
}

static void be_child(int *pipe_end)
{
	pthread_t thread;

	prctl(PR_SET_PDEATHSIG, SIGKILL);
	prctl(PR_SET_NAME, "leaderless");
	pthread_create(&thread, NULL, run_on, pipe_end);
	pthread_exit(NULL);
}

/* Until the main thread is a zombie. */
static void await_end_of_leader(void)
{
	struct agent_process process;
	char path[64], text[4096];
	const char *state;

	snprintf(path, sizeof(path), "/proc/%d/stat", (int)child.pid);
	do {
		ck_assert_int_gt(agent_read_text(path, text, sizeof(text)), 0);
		ck_assert_int_eq(agent_parse_stat(text, &process), 0);
		state = strrchr(text, ')') + 2;
		sched_yield();
	} while (*state != 'Z');
}

static void setup(void)
{
	int ends[2];
	pid_t pid;

	ck_assert_int_eq(pipe(ends), 0);
	pid = fork();
	ck_assert_int_ge(pid, 0);
	if (!pid)
		be_child(&ends[1]);
	ck_assert_int_eq(read(ends[0], &child, sizeof(child)), sizeof(child));
	ck_assert_int_eq(child.pid, pid);
	close(ends[0]);
	close(ends[1]);
	await_end_of_leader();
	ck_assert_int_eq(agent_jobs_create(&agent.jobs, NULL), 0);
}

static void teardown(void)
{
	agent_jobs_destroy(agent.jobs, 5000);
	kill(child.pid, SIGKILL);
	waitpid(child.pid, NULL, 0);
}

/* The answer to a request, "%d" in which is the child. */
__attribute__((format(printf, 1, 2))) static json_t *ask(const char *format, ...)
{
	char request[512], *line;
	va_list args;
	size_t bytes;
	json_t *answer;

	va_start(args, format);
	vsnprintf(request, sizeof(request), format, args);
	va_end(args);
	line = agent_answer(&agent, request, strlen(request), &bytes);
	answer = json_loadb(line, bytes, 0, NULL);
	ck_assert_msg(answer != NULL, "%s", line);
	free(line);
	return answer;
}

static json_t *returned(json_t *answer)
{
	char *text = json_dumps(answer, 0);

	ck_assert_msg(json_object_get(answer, "return") != NULL, "%s", text);
	free(text);
	return json_object_get(answer, "return");
}

START_TEST(leaderless_process_is_reached_by_a_living_thread)
{
	struct agent_process process;
	struct agent_usage usage;

	ck_assert_int_eq(agent_process_read(child.pid, &process, NULL), 0);
	ck_assert(!process.kernel);
	ck_assert_int_eq(process.entry, child.thread);
	ck_assert_str_eq(process.comm, "leaderless");
	ck_assert_int_gt(agent_set_count(&process.cpus), 0);
	ck_assert_int_eq(agent_usage_read(process.entry, false, &usage, NULL), 0);
	ck_assert_uint_ge(usage.total_bytes, BYTES);
}
END_TEST

/* On a busy host there may be no time to look at all processes, and this one is among the newest. */
START_TEST(leaderless_process_is_listed)
{
	bool found = false, complete = false;

	while (!found && !complete) {
		json_t *answer = ask("{\"execute\":\"processes\",\"arguments\":{\"count\":1000}}"),
		       *process;
		size_t i;

		json_array_foreach (json_object_get(returned(answer), "processes"), i, process)
			if (json_integer_value(json_object_get(process, "pid")) == child.pid)
				found =
				    json_integer_value(json_object_get(process, "bytes")) >= BYTES;
		complete = json_is_true(json_object_get(returned(answer), "complete"));
		json_decref(answer);
	}
	ck_assert(found);
}
END_TEST

START_TEST(leaderless_process_has_maps_and_pages)
{
	json_t *answer =
	    ask("{\"execute\":\"numa-maps\",\"arguments\":{\"pid\":%d}}", (int)child.pid);

	ck_assert_int_ge(json_integer_value(json_object_get(returned(answer), "bytes")), BYTES);
	json_decref(answer);
	answer =
	    ask("{\"execute\":\"move-pages\",\"arguments\":{\"pid\":%d,\"addresses\":[\"%p\"]}}",
		(int)child.pid, (void *)child.memory);
	ck_assert_int_ge(
	    json_integer_value(json_array_get(json_object_get(returned(answer), "status"), 0)), 0);
	json_decref(answer);
}
END_TEST

/* From the node it is on to the same: all that a host with one node can do, by the same calls. */
START_TEST(leaderless_process_is_moved)
{
	static const char *const methods[] = {"move_pages", "migrate_pages"};
	json_t *answer =
	    ask("{\"execute\":\"migrate-pages\",\"arguments\":{\"pid\":%d,\"from\":\"0\","
		"\"to\":\"0\",\"method\":\"%s\"}}",
		(int)child.pid, methods[_i]);
	const char *state;
	char id[32];

	snprintf(id, sizeof(id), "%s", json_string_value(json_object_get(returned(answer), "id")));
	do {
		json_decref(answer);
		answer = ask("{\"execute\":\"job-status\",\"arguments\":{\"id\":\"%s\"}}", id);
		state = json_string_value(json_object_get(returned(answer), "state"));
		sched_yield();
	} while (!strcmp(state, "created") || !strcmp(state, "running"));
	ck_assert_str_eq(state, "completed");
	json_decref(answer);
}
END_TEST

START_TEST(leaderless_process_cannot_be_collapsed_and_it_says_why)
{
	json_t *answer =
	    ask("{\"execute\":\"collapse\",\"arguments\":{\"pid\":%d}}", (int)child.pid);
	const char *text =
	    json_string_value(json_object_get(json_object_get(answer, "error"), "desc"));

	ck_assert_ptr_nonnull(text);
	ck_assert_ptr_nonnull(strstr(text, "the main thread of process"));
	json_decref(answer);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("agent_leader");
	TCase *tcase = tcase_create("leaderless");

	if (UNDER_TSAN) {
		puts("skipped: ThreadSanitizer has a thread of its own in each process");
		return 77;
	}
	if (access("/proc/self/numa_maps", R_OK)) {
		puts("skipped: this kernel has no /proc/PID/numa_maps");
		return 77;
	}
	tcase_add_checked_fixture(tcase, setup, teardown);
	tcase_set_timeout(tcase, 60);
	tcase_add_test(tcase, leaderless_process_is_reached_by_a_living_thread);
	tcase_add_test(tcase, leaderless_process_is_listed);
	tcase_add_test(tcase, leaderless_process_has_maps_and_pages);
	tcase_add_loop_test(tcase, leaderless_process_is_moved, 0, 2);
	tcase_add_test(tcase, leaderless_process_cannot_be_collapsed_and_it_says_why);
	suite_add_tcase(suite, tcase);
	return run_suite(suite);
}
