/* Nodes that a domain's cpusets keep, and the next gmigd: on a fake kernel, in a fake tree. */
#include "../../libvirt-hooks/node_journal.h"
#include "domain_books.h"
#include "failing_open.h"

#include <sys/stat.h>
#include <sys/wait.h>

#define FILE_NAME "journals/" FAKE_UUID ".kept"

static void hold(bool busy)
{
	for (int i = 0; i < 1000; i++)
		fake_page[i].busy = busy;
}

/* A gmigd whose move leaves memory on node 0. */
static void move_in_part(void)
{
	hold(true);
	open_domain();
	run(&to_1);
	wait_ends(1);
	expect_note("keep nodes 0");
}

static void next_gmigd(void)
{
	domain_put(domain);
	*lines = '\0';
	open_domain();
}

static bool is_on_disk(void)
{
	struct node_journal journal;

	return !node_journal_read(journals, NODE_JOURNAL_KEPT, FAKE_UUID, &journal, NULL);
}

static void file_path(char path[PATH_MAX])
{
	snprintf(path, PATH_MAX, "%s/" FILE_NAME, tree_root);
}

START_TEST(next_gmigd_says_which_nodes_are_kept_until_a_move_is_completed)
{
	move_in_part();
	for (int i = 0; i < 2; i++) {
		next_gmigd();
		expect_note("its cpusets keep nodes 0: ");
		ck_assert_ptr_nonnull(strstr(lines, "its cpusets keep nodes 0: "));
	}
	hold(false);
	run(&to_1);
	wait_ends(2);
	ck_assert_str_eq(mems("/emulator"), "1");
	expect_note("");
	ck_assert(!is_on_disk());
	next_gmigd();
	expect_note("");
	ck_assert_ptr_null(strstr(lines, "keep"));
}
END_TEST

/* Back to the node that was kept: it is the target, and kept no more; what did not go back is. */
START_TEST(next_gmigd_hears_of_a_move_back)
{
	const struct gmig_job_spec back = {.from = {1}, .from_count = 1, .to = {0}, .to_count = 1};

	move_in_part();
	next_gmigd();
	run(&back);
	wait_ends(2);
	ck_assert_str_eq(mems("/emulator"), "0");
	expect_note("");
	ck_assert(!is_on_disk());
}
END_TEST

START_TEST(node_that_somebody_took_away_while_no_gmigd_ran_is_not_said)
{
	move_in_part();
	domain_put(domain);
	*lines = '\0';
	fake_file("cg" SCOPE "/vcpu0/cpuset.mems", "1\n");
	fake_file("cg" SCOPE "/emulator/cpuset.mems", "1\n");
	open_domain();
	expect_note("");
	ck_assert_str_eq(lines, "");
	ck_assert(!is_on_disk());
}
END_TEST

/* virsh numatune, to the node that was kept or to the other one. */
START_TEST(node_that_is_left_alone_is_not_kept)
{
	move_in_part();
	fake_file("cg" SCOPE "/vcpu0/cpuset.mems", "0\n");
	expect_note("keep nodes 0");
	fake_file("cg" SCOPE "/emulator/cpuset.mems", "0\n");
	expect_note("");
	ck_assert(!is_on_disk());
}
END_TEST

START_TEST(note_of_an_earlier_process_goes)
{
	struct node_journal journal = {.uuid = FAKE_UUID, .pid = FAKE_PID, .start_time = 499};

	gmig_node_set_add(&journal.nodes, 0);
	ck_assert_int_eq(node_journal_write(journals, NODE_JOURNAL_KEPT, &journal, &err), 0);
	open_domain();
	expect_note("");
	ck_assert(!is_on_disk());
}
END_TEST

START_TEST(note_that_cannot_be_read_now_is_read_later)
{
	move_in_part();
	unreadable = ".kept";
	next_gmigd();
	ck_assert_ptr_nonnull(strstr(lines, ".kept' cannot be read: "));
	*lines = '\0';
	expect_note("");
	expect_note("");
	ck_assert_str_eq(lines, "");
	unreadable = NULL;
	expect_note("its cpusets keep nodes 0: ");
}
END_TEST

START_TEST(note_that_cannot_be_understood_is_set_aside)
{
	move_in_part();
	domain_put(domain);
	fake_file(FILE_NAME, "{\"version\":1,\"nodes\":\"zero\"}");
	open_domain();
	expect_note(".kept.bad-1'");
	ck_assert(!is_on_disk());
}
END_TEST

/* No room for it: it is said as long as this gmigd runs, and written when there is room and something changes, or is asked again. */
START_TEST(note_that_cannot_be_written_is_written_with_the_next_move)
{
	char path[PATH_MAX];

	file_path(path);
	strcat(path, ".new");
	ck_assert_int_eq(mkdir(path, 0700), 0); /* in the way of each write */
	move_in_part();
	ck_assert_ptr_nonnull(strstr(lines, "a note of nodes that cpusets keep cannot be written"));
	ck_assert(!is_on_disk());
	ck_assert_int_eq(rmdir(path), 0);
	run(&to_1);
	wait_ends(2);
	expect_note("keep nodes 0");
	ck_assert(is_on_disk());
}
END_TEST

/* ---- Killed ---------------------------------------------------------------------------------- */

static unsigned int steps, die_at;

static void dies_at_write(void *opaque, const char *path, const char *text)
{
	if (steps++ == die_at)
		_exit(9);
	threads_follow(opaque, path, text);
}

static bool killed_gmigd(void)
{
	int status;
	pid_t pid = fork();

	if (!pid) {
		host.cpusets.before_write = dies_at_write;
		hold(true);
		open_domain();
		run(&to_1);
		wait_ends(1);
		domain_put(domain);
		_exit(0);
	}
	ck_assert_int_eq(waitpid(pid, &status, 0), pid);
	ck_assert_msg(WIFEXITED(status), "%d", status);
	return WEXITSTATUS(status) == 9;
}

/* At whatever write it was killed, and the next one ended after that: whoever comes then says why the cpusets are wide. */
START_TEST(wherever_gmigd_is_killed_the_one_after_the_next_says_what_is_kept)
{
	unsigned int deaths = 0;

	for (die_at = 0; killed_gmigd(); die_at++, deaths++) {
		atomic_store(&ends, 0);
		*lines = '\0';
		hold(true);
		open_domain();
		if (strstr(lines, "goes on"))
			wait_ends(1);
		next_gmigd();
		ck_assert_msg(!strcmp(mems("/emulator"), "0-1"), "killed at %u: %s", die_at,
			      mems("/emulator"));
		expect_note("its cpusets keep nodes 0: ");
		put_back();
		hold(false);
		open_domain(); /* takes back what was said */
		expect_note("");
		put_back();
	}
	ck_assert_uint_ge(deaths, 2);
}
END_TEST

int main(void)
{
	const TTest *const tests[] = {
	    next_gmigd_says_which_nodes_are_kept_until_a_move_is_completed,
	    next_gmigd_hears_of_a_move_back,
	    node_that_somebody_took_away_while_no_gmigd_ran_is_not_said,
	    node_that_is_left_alone_is_not_kept,
	    note_of_an_earlier_process_goes,
	    note_that_cannot_be_read_now_is_read_later,
	    note_that_cannot_be_understood_is_set_aside,
	    note_that_cannot_be_written_is_written_with_the_next_move,
	    wherever_gmigd_is_killed_the_one_after_the_next_says_what_is_kept,
	};

	return run_tests("domain_kept", setup, teardown, tests, sizeof(tests) / sizeof(tests[0]));
}
