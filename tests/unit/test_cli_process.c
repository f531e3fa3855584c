/* gmig migrate pid:N against a kernel and a host of our own: usage, results, signals. */
#include "../../cli/cli.h"
#include "../../cli/process.h"
#include "../../migrate/core/topology.h"
#include "../../migrate/jobs/job_state.h"
#include "../support/fake_process.h"
#include "../support/fake_vmm.h"
#include "../support/host_tree.h"

#include <sys/wait.h>

static int four_nodes(struct gmig_topology **out, struct gmig_error *err)
{
	return topology_create_at(tree_root, 0, out, err);
}

static void setup(void)
{
	fake_process_setup_on_four_nodes();
	fake_thread(FAKE_PID, "0-1");
	fake_sys.now_ns = gmig_sys_real.now_ns;
	fake_sys.sleep_ns = gmig_sys_real.sleep_ns;
	cli_process_host.sys = &fake_sys;
	cli_process_host.topology = four_nodes;
}

#define MOVE "migrate", "pid:77", "--from", "0", "--to", "1"

/* ---- Usage ------------------------------------------------------------------------------------- */

static const struct {
	const char *target, *option, *value, *text;
} bad[] = {
    {"pid:", "--json", NULL, "is no process: pid: and its number"},
    {"pid:0", "--json", NULL, "is no process"},
    {"pid:7x", "--json", NULL, "is no process"},
    {"pid:-7", "--json", NULL, "is no process"},
    {"pid:99999999999", "--json", NULL, "is no process"},
    {"pid:77", "--detach", NULL, "--detach is for guests"},
    {"pid:77", "--with-guest", NULL, "--with-guest is for guests"},
    {"pid:77", "--vnode", "0", "--vnode is for guests"},
    {"pid:77", "--mode", "readable", "--mode is for guests"},
    {"pid:77", "--frames", "auto", "--frames is for guests"},
    {"pid:77", "--batch", "8", "--batch is for guests"},
    {"pid:77", "--hold-vcpus", NULL, "--hold-vcpus is for guests"},
    {"vm1", "--private", NULL, "--private is for processes"},
};

START_TEST(usage_of_a_guest_is_refused_for_a_process)
{
	ck_assert_int_eq(gmig("migrate", bad[_i].target, "--from", "0", "--to", "1", bad[_i].option,
			      bad[_i].value, NULL),
			 CLI_USAGE);
	ck_has(err_text, bad[_i].text);
	ck_assert_uint_eq(fake_calls, 0);
}
END_TEST

/* ---- Results ----------------------------------------------------------------------------------- */

START_TEST(migrate_that_moves_all_is_0)
{
	json_t *result;

	ck_assert_int_eq(gmig(MOVE, "--json", NULL), CLI_OK);
	ck_assert_str_eq(err_text, "");
	result = out_json();
	ck_assert_uint_eq(cli_number(result, "moved_bytes"), FAKE_PAGES * FAKE_PAGE_BYTES);
	ck_assert_uint_eq(cli_number(result, "remaining_bytes"), 0);
	ck_assert_uint_eq(cli_number(result, "pid"), FAKE_PID);
	ck_assert_str_eq(cli_text(result, "state"), "completed");
	json_decref(result);
}
END_TEST

START_TEST(move_of_listed_pages_reports_each_run)
{
	char list[96], path[128], *line;
	json_t *result, *pages;
	FILE *file;

	snprintf(list, sizeof(list), "0x%llx+8K", (unsigned long long)FAKE_START);
	ck_assert_int_eq(gmig("move", "pid:77", "--gpa", list, "--query", NULL), CLI_OK);
	ck_has(out_text, "+8K node 0");
	ck_assert_int_eq(gmig("move", "pid:77", "--gpa", list, "--to", "1", "--json", NULL),
			 CLI_OK);
	result = out_json();
	ck_assert_uint_eq(cli_number(result, "moved_bytes"), 2 * FAKE_PAGE_BYTES);
	pages = json_object_get(result, "pages");
	ck_assert_uint_eq(json_array_size(pages), 1);
	ck_assert_uint_eq(cli_number(json_array_get(pages, 0), "bytes"), 2 * FAKE_PAGE_BYTES);
	ck_assert_uint_eq(cli_number(json_array_get(pages, 0), "node"), 1);
	json_decref(result);
	/* By a file: in its order, with nodes of its own, and one page that is nobody's. */
	snprintf(path, sizeof(path), "%s/list", fake.directory);
	file = fopen(path, "we");
	ck_assert_ptr_nonnull(file);
	fprintf(file, "# back\n0x%llx 0\n\n0x%llx+4K\t1 # stays\n0x1000\n",
		(unsigned long long)FAKE_START + FAKE_PAGE_BYTES, (unsigned long long)FAKE_START);
	fclose(file);
	ck_assert_int_eq(gmig("move", "pid:77", "--file", path, "--to", "1", "--json", NULL),
			 CLI_OK);
	line = strstr(out_text, "\"pages\":");
	ck_assert_ptr_nonnull(line);
	ck_has(line, "\"bytes\":4096,\"node\":0},{");
	ck_has(line, "\"bytes\":4096,\"node\":1},{\"gpa\":4096,\"bytes\":4096,\"error\":\"E");
}
END_TEST

static const struct {
	const char *option, *value, *text;
} bad_lists[] = {
    {"--to", "1", "which pages?"},
    {"--gpa", "0x1000", "--to is missing"},
    {"--gpa", "0x10", "is not made of pages of 4K"},
    {"--gpa", "0xg", "hexadecimal digits, or a size: '0xg'"},
    {"--gpa", "1G+0", "is not made of pages of 4K"},
    {"--gpa", "", "here it is empty"},
    {"--file", "/nonexistent/list", "/nonexistent/list: No such file"},
};

START_TEST(move_of_a_list_that_makes_no_sense_is_refused)
{
	const char *option = bad_lists[_i].option;
	int status = gmig("move", "pid:77", option, bad_lists[_i].value, NULL);

	ck_assert_int_eq(status, strcmp(option, "--file") ? CLI_USAGE : CLI_FAILED);
	ck_has(err_text, bad_lists[_i].text);
	ck_assert_int_eq(gmig("move", "pid:77", "--query", "--gpa", "0x1000", "--to", "1", NULL),
			 CLI_USAGE);
}
END_TEST

static const struct {
	const char *text, *said;
} bad_files[] = {
    {"[{\"gpa\":4096,\"node\":1},", "list: line 1: this is no JSON: "},
    {"[{\"gpa\":4096,\n\"no", "list: line 2: this is no JSON: "},
    {"[{\"gpa\":4096,\"node\":1}", "near end of file"},
    {"[{\"gpa\":4096,\"node\":1}] x", "list: line 1: this is no JSON: "},
    {"[{\"gpa\":\"4K\",\"node\":1}]", "list: entry 0: an entry is {"},
    {"[]", "the list has no page"},
    {"0x1000 1\n0x2000 1 2\n", "list: line 2: there is more than an address and a node"},
    {"0x1000 999999\n", "list: line 1: "},
};

START_TEST(move_of_a_file_that_is_cut_or_wrong_is_usage_and_says_where)
{
	char path[128];
	FILE *file;

	snprintf(path, sizeof(path), "%s/list", fake.directory);
	file = fopen(path, "we");
	ck_assert_ptr_nonnull(file);
	fputs(bad_files[_i].text, file);
	fclose(file);
	ck_assert_int_eq(gmig("move", "pid:77", "--file", path, "--json", NULL), CLI_USAGE);
	ck_has(err_text, bad_files[_i].said);
	ck_has(err_text, "\ntry: gmig move --help\n");
	ck_assert_str_eq(out_text, "");
}
END_TEST

START_TEST(migrate_in_words_tells_no_times_that_nobody_knows)
{
	ck_assert_int_eq(gmig(MOVE, NULL), CLI_OK);
	ck_has(out_text, "job 1 completed: 39.1M moved");
	ck_assert_ptr_null(strstr(out_text, "blackout"));
}
END_TEST

START_TEST(migrate_that_leaves_pages_is_3_and_says_why)
{
	fake_page[5].shared = fake_page[6].shared = true;
	ck_assert_int_eq(gmig(MOVE, "--private", NULL), CLI_REMAINING);
	ck_has(out_text, "8K remaining:\n  2 pages of 4K: EACCES, shared with another process");
	ck_assert_int_eq(gmig(MOVE, NULL), CLI_OK);
	ck_has(out_text, "8K moved");
}
END_TEST

START_TEST(migrate_of_a_part_moves_no_more)
{
	json_t *result;

	ck_assert_int_eq(gmig(MOVE, "--max", "8M", "--json", NULL), CLI_OK);
	result = out_json();
	ck_assert_uint_le(cli_number(result, "moved_bytes"), 8 << 20);
	ck_assert_uint_gt(cli_number(result, "moved_bytes"), 6 << 20);
	ck_assert_uint_eq(cli_number(result, "bytes_on_source"),
			  FAKE_PAGES * FAKE_PAGE_BYTES - cli_number(result, "moved_bytes"));
	json_decref(result);
}
END_TEST

START_TEST(migrate_refused_is_1_with_the_reason)
{
	json_t *result;

	ck_assert_int_eq(gmig("migrate", "pid:78", "--from", "0", "--to", "1", NULL), CLI_FAILED);
	ck_has(err_text, "there is no process 78");
	ck_assert_int_eq(gmig("migrate", "pid:77", "--from", "0", "--to", "2", "--json", NULL),
			 CLI_FAILED);
	ck_has(err_text, "nodes 0-1, not on 2");
	result = out_json();
	ck_assert_str_eq(cli_text(json_object_get(result, "error"), "errno"), "EACCES");
	json_decref(result);
	ck_assert_int_eq(gmig("migrate", "pid:77", "--from", "0", "--to", "9", NULL), CLI_FAILED);
	ck_has(err_text, "node 9");
}
END_TEST

START_TEST(migrate_of_a_process_that_ends_is_1)
{
	fake_after_move = fake_process_ends;
	ck_assert_int_eq(gmig(MOVE, NULL), CLI_FAILED);
	ck_has(out_text, "process 77 (worker (x) y) has ended");
}
END_TEST

/* ---- Signals ----------------------------------------------------------------------------------- */

/* With this rate a round is one block, and one call. */
#define MOVE_SLOWLY MOVE, "--rate", "40M"

/* Sent by the worker inside the first call that moves, which ends once the job has obeyed: a signal
 * that is late would find no job any more. */
static int signal_at_move;
static enum gmig_job_state state_wanted;
static atomic_bool state_reached;

/* What waits at the job's lock knows its state; resumed: after so many waits in a pause, 0 never. */
static unsigned int waits, resumed_after;
static unsigned int calls_at_pause, calls_at_resume; /* guarded by the job's lock */

static void send_signal(void)
{
	if (!signal_at_move)
		return;
	kill(getpid(), signal_at_move);
	signal_at_move = 0;
	while (!atomic_load(&state_reached))
		gmig_sys_real.sleep_ns(1000000);
}

static int wait_in_state(pthread_cond_t *cond, pthread_mutex_t *mutex, uint64_t deadline_ns)
{
	const struct gmig_job *job =
	    (void *)((char *)mutex - offsetof(struct gmig_job, lock)); /* a process has no others */

	if (job->state == state_wanted) {
		waits++;
		if (waits == 1) {
			calls_at_pause = atomic_load(&fake_calls);
			atomic_store(&state_reached, true);
		}
		if (waits == resumed_after) {
			calls_at_resume = atomic_load(&fake_calls);
			kill(getpid(), SIGUSR2);
		}
	}
	return gmig_sys_real.wait_until(cond, mutex, deadline_ns);
}

static void signal_and_await(int number, enum gmig_job_state state)
{
	signal_at_move = number;
	state_wanted = state;
	fake_after_move = send_signal;
	fake_sys.wait_until = wait_in_state;
}

START_TEST(signal_to_end_cancels_and_tells_what_was_done)
{
	static const int numbers[] = {SIGINT, SIGTERM};
	json_t *result;

	sigset_t all;

	signal_and_await(numbers[_i % 2], GMIG_JOB_CANCELLING);
	sigfillset(&all);
	if (_i >= 2) /* as whoever starts gmig may have done */
		pthread_sigmask(SIG_SETMASK, &all, NULL);
	ck_assert_int_eq(gmig(MOVE_SLOWLY, "--json", NULL), _i % 2 ? CLI_FAILED : CLI_INTERRUPTED);
	result = out_json();
	ck_assert_str_eq(cli_text(result, "state"), "cancelled");
	ck_assert_uint_gt(cli_number(json_object_get(result, "remaining"), "ECANCELED"), 0);
	json_decref(result);
}
END_TEST

START_TEST(signal_to_pause_lets_it_rest_until_resumed)
{
	signal_and_await(SIGUSR1, GMIG_JOB_PAUSED);
	resumed_after = 5;
	ck_assert_int_eq(gmig(MOVE_SLOWLY, NULL), CLI_OK);
	ck_assert_uint_ge(waits, resumed_after);
	ck_assert_uint_eq(calls_at_pause, 1);
	ck_assert_uint_eq(calls_at_resume, calls_at_pause);
	ck_assert_uint_gt(fake_calls, calls_at_resume);
}
END_TEST

static char state_of(pid_t pid)
{
	char path[64], text[512] = "";
	const char *end;
	FILE *file;

	snprintf(path, sizeof(path), "/proc/%d/stat", (int)pid);
	file = fopen(path, "r");
	if (!file || !fgets(text, sizeof(text), file))
		text[0] = '\0';
	if (file)
		fclose(file);
	end = strrchr(text, ')');
	return end ? end[2] : 'X';
}

/* A shell: continues a program once it has stopped. Exits with 0 when it had. */
static pid_t start_shell(void)
{
	pid_t us = getpid(), shell;

	await_rest();
	shell = fork();
	if (shell)
		return shell;
	for (int i = 0; i < 5000; i++) {
		if (state_of(us) == 'T') {
			kill(us, SIGCONT);
			_exit(0);
		}
		usleep(10000);
	}
	_exit(1);
}

static void on_continue(int number)
{
	(void)number;
	atomic_store(&state_reached, true);
}

/* The job's pause may be over before any of its threads has run again: the end of the stop is what is awaited. */
START_TEST(signal_of_the_terminal_stops_it_and_the_job_goes_on_with_it)
{
	pid_t shell = start_shell();
	int status;

	signal(SIGCONT, on_continue);
	signal_at_move = SIGTSTP;
	fake_after_move = send_signal;
	ck_assert_int_eq(gmig(MOVE_SLOWLY, NULL), CLI_OK);
	ck_assert_int_eq(waitpid(shell, &status, 0), shell);
	ck_assert_int_eq(status, 0);
	ck_has(out_text, "completed");
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("cli_process");
	TCase *tcase = tcase_create("all");

	tcase_add_checked_fixture(tcase, setup, fake_process_teardown);
	tcase_set_timeout(tcase, 60);
	tcase_add_loop_test(tcase, usage_of_a_guest_is_refused_for_a_process, 0,
			    sizeof(bad) / sizeof(bad[0]));
	tcase_add_test(tcase, migrate_that_moves_all_is_0);
	tcase_add_test(tcase, move_of_listed_pages_reports_each_run);
	tcase_add_loop_test(tcase, move_of_a_list_that_makes_no_sense_is_refused, 0,
			    sizeof(bad_lists) / sizeof(bad_lists[0]));
	tcase_add_loop_test(tcase, move_of_a_file_that_is_cut_or_wrong_is_usage_and_says_where, 0,
			    sizeof(bad_files) / sizeof(bad_files[0]));
	tcase_add_test(tcase, migrate_in_words_tells_no_times_that_nobody_knows);
	tcase_add_test(tcase, migrate_that_leaves_pages_is_3_and_says_why);
	tcase_add_test(tcase, migrate_of_a_part_moves_no_more);
	tcase_add_test(tcase, migrate_refused_is_1_with_the_reason);
	tcase_add_test(tcase, migrate_of_a_process_that_ends_is_1);
	tcase_add_loop_test(tcase, signal_to_end_cancels_and_tells_what_was_done, 0, 4);
	tcase_add_test(tcase, signal_to_pause_lets_it_rest_until_resumed);
	tcase_add_test(tcase, signal_of_the_terminal_stops_it_and_the_job_goes_on_with_it);
	suite_add_tcase(suite, tcase);
	return run_suite(suite);
}
