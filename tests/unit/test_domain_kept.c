/* Nodes that a domain's cpusets keep, and the next gmigd: on a fake kernel, in a fake tree. */
#include "../../libvirt-hooks/domains.h"
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

/* No room for it: it is said as long as this gmigd runs, and written when there is room and somebody asks. One that says otherwise does not stay. */
START_TEST(note_that_cannot_be_written_is_written_when_it_can_be)
{
	char path[PATH_MAX];

	file_path(path);
	strcat(path, ".new");
	fake_file(FILE_NAME,
		  "{\"version\":1,\"uuid\":\"" FAKE_UUID
		  "\",\"pid\":%d,\"start_time\":500,\"nodes\":\"2\"}",
		  FAKE_PID);
	fake_file("cg" SCOPE "/emulator/cpuset.mems", "0,2\n");
	ck_assert_int_eq(mkdir(path, 0700), 0); /* in the way of each write */
	move_in_part();
	expect_note("keep nodes 0");
	ck_assert_ptr_nonnull(strstr(lines, "a note of nodes that cpusets keep cannot be written"));
	*lines = '\0';
	expect_note("keep nodes 0");
	ck_assert_str_eq(lines, "");
	ck_assert(!is_on_disk());
	ck_assert_int_eq(rmdir(path), 0);
	expect_note("keep nodes 0");
	ck_assert(is_on_disk());
}
END_TEST

/* As at gmigd's start, of domains that nobody asks about. */
static void start_anew(void)
{
	struct domains *domains;

	domain_put(domain);
	domain = NULL;
	ck_assert_int_eq(domains_create(&host, "qemu:///system", NULL, 0, &domains, &err), 0);
	domains_recover(domains);
	domains_destroy(domains);
}

START_TEST(note_is_cut_to_what_is_kept_still_though_nobody_asks)
{
	move_in_part();
	start_anew();
	ck_assert(is_on_disk());
	fake_file("cg" SCOPE "/vcpu0/cpuset.mems", "1\n");
	fake_file("cg" SCOPE "/emulator/cpuset.mems", "1\n");
	start_anew();
	ck_assert(!is_on_disk());
}
END_TEST

/* Of a process that has gone there are no cpusets, and of one that goes in mid-move no note is left. */
START_TEST(domain_that_ends_takes_its_note_with_it)
{
	move_in_part();
	ck_assert(is_on_disk());
	fake_process_ends();
	domain_put(domain);
	domain = NULL;
	ck_assert(!is_on_disk());
}
END_TEST

START_TEST(nodes_that_the_operator_has_chosen_since_are_not_kept)
{
	struct gmig_node_set nodes = {{0}};

	gmig_node_set_add(&nodes, 0);
	move_in_part();
	domain_hear_nodeset(domain, &nodes); /* as libvirt has it from before */
	expect_note("keep nodes 0");
	gmig_node_set_add(&nodes, 1);
	domain_hear_nodeset(domain, &nodes);
	expect_note("");
	ck_assert(!is_on_disk());
}
END_TEST

static struct gmig_node_set these(const char *text)
{
	struct gmig_node_set nodes;

	ck_assert_int_eq(gmig_node_set_parse(text, &nodes, NULL), 0);
	return nodes;
}

/* virsh numatune. */
static void choose(const char *before, const char *now)
{
	const struct gmig_node_set first = these(before), then = these(now);

	domain_hear_nodeset(domain, &first);
	domain_hear_nodeset(domain, &then);
}

static void expect_journal_keeps(const char *nodes)
{
	struct move_journal journal;
	char text[64];

	ck_assert_msg(!move_journal_read(journals, FAKE_UUID, &journal, &err), "%s", err.text);
	ck_assert(journal.has_kept);
	ck_assert_str_eq(gmig_node_set_print(&journal.kept, text, sizeof(text)), nodes);
	move_journal_free(&journal);
}

START_TEST(journal_of_a_move_forgets_what_the_operator_has_chosen_meanwhile)
{
	struct gmig_job_spec slow = {.from = {1}, .from_count = 1, .to = {2}, .to_count = 1};
	struct gmig_job *job;

	slow.rate_bytes_per_second = 4096;
	move_in_part();
	ck_assert_int_eq(domain_start_job(domain, &slow, &job, &err), 0);
	expect_journal_keeps("0");
	choose("0", "0-1");
	expect_journal_keeps("");
	ck_assert(!is_on_disk());
	gmig_job_cancel(job);
	gmig_job_wait(job);
	gmig_job_put(job);
	wait_ends(2);
}
END_TEST

/* Narrowing has failed: the journal is the next gmigd's, and all else in it stays. */
START_TEST(journal_that_was_left_forgets_what_the_operator_has_chosen_since)
{
	const struct gmig_job_spec on = {.from = {1}, .from_count = 1, .to = {2}, .to_count = 1};
	struct move_journal journal;

	host.cpusets.before_write = refuses;
	refused = "0,2";
	move_in_part();
	run(&on);
	wait_ends(2);
	expect_journal_keeps("0");
	choose("0", "0-1");
	expect_journal_keeps("");
	ck_assert_int_eq(move_journal_read(journals, FAKE_UUID, &journal, &err), 0);
	ck_assert(journal.narrowing && journal.completed && journal.count);
	for (size_t i = 0; i < journal.count; i++)
		ck_assert(gmig_node_set_has(&journal.group[i].before, 2));
	move_journal_free(&journal);
	accept_again("0-2");
}
END_TEST

START_TEST(note_that_is_read_later_keeps_nothing_that_was_chosen_since)
{
	move_in_part();
	unreadable = ".kept";
	next_gmigd();
	choose("0", "0-1");
	unreadable = NULL;
	expect_note("");
	ck_assert(!is_on_disk());
}
END_TEST

START_TEST(damaged_journal_is_said_beside_what_is_kept)
{
	move_in_part();
	domain_put(domain);
	fake_file("journals/" FAKE_UUID ".json", "{");
	open_domain();
	expect_note("its cpusets keep nodes 0: ");
	expect_note(".json.bad-1'");
}
END_TEST

/* A note that cannot be understood changes nothing of what gmigd may do. */
START_TEST(damaged_note_keeps_no_move_back)
{
	struct gmig_job *job;

	fake_file(FILE_NAME, "{");
	open_domain();
	ck_assert_msg(!domain_start_unasked_job(domain, &to_1, &job, &err), "%s", err.text);
	gmig_job_wait(job);
	gmig_job_put(job);
	wait_ends(1);
}
END_TEST

/* It is of before the move: 0 was the target since. */
START_TEST(note_that_could_not_be_read_before_a_move_says_nothing_behind_it)
{
	const struct gmig_job_spec back = {.from = {1}, .from_count = 1, .to = {0}, .to_count = 1};

	move_in_part();
	unreadable = ".kept";
	next_gmigd();
	run(&back);
	wait_ends(2);
	unreadable = NULL;
	fake_file("cg" SCOPE "/emulator/cpuset.mems", "0,2\n");
	expect_note("");
	ck_assert(!is_on_disk());
}
END_TEST

static void leave_journal(const char *kept)
{
	struct move_journal journal = {.uuid = FAKE_UUID,
				       .name = (char *)"web1",
				       .uid = UID,
				       .pid = FAKE_PID,
				       .start_time = 500,
				       .narrowing = true,
				       .kept = these(kept)};

	ck_assert_int_eq(move_journal_write(journals, &journal, &err), 0);
}

/* Killed when it had written the journal with what is kept now, and not the note. Also where the journal is read late. */
START_TEST(journal_of_a_move_knows_better_than_the_note)
{
	struct node_journal old = {
	    .uuid = FAKE_UUID, .pid = FAKE_PID, .start_time = 500, .nodes = these("3")};

	fake_file("cg" SCOPE "/vcpu0/cpuset.mems", "0,3\n");
	for (int late = 0; late < 2; late++) {
		ck_assert_int_eq(node_journal_write(journals, NODE_JOURNAL_KEPT, &old, &err), 0);
		leave_journal("");
		unreadable = late ? ".json" : NULL;
		open_domain();
		unreadable = NULL;
		domain_set_facts(domain, &facts);
		expect_note("");
		ck_assert(!is_on_disk() && !has_journal());
		domain_put(domain);
		domain = NULL;
	}
}
END_TEST

START_TEST(journal_that_is_read_later_keeps_what_it_says_without_what_was_chosen_since)
{
	fake_file("cg" SCOPE "/vcpu0/cpuset.mems", "0,3\n");
	for (int chosen = 0; chosen < 2; chosen++) {
		leave_journal("3");
		unreadable = ".json";
		open_domain();
		if (chosen)
			choose("0", "0,3");
		unreadable = NULL;
		domain_set_facts(domain, &facts);
		expect_note(chosen ? "" : "its cpusets keep nodes 3: ");
		ck_assert(is_on_disk() == !chosen && !has_journal());
		domain_put(domain);
		domain = NULL;
	}
}
END_TEST

/* ---- Killed ---------------------------------------------------------------------------------- */

/* At each change of the state directory, and at each write to a cpuset. */
static unsigned int steps, die_at;
static bool dies;

static void pages_path(char path[PATH_MAX])
{
	snprintf(path, PATH_MAX, "%s/pages", tree_root);
}

/* The guest's memory outlives it. */
static void die(void)
{
	char path[PATH_MAX];
	FILE *file;

	pages_path(path);
	file = fopen(path, "w");
	if (!file || fwrite(fake_page, sizeof(fake_page), 1, file) != 1 || fclose(file))
		_exit(1);
	_exit(9);
}

static void find_memory(void)
{
	char path[PATH_MAX];
	FILE *file;

	pages_path(path);
	file = fopen(path, "r");
	ck_assert_uint_eq(fread(fake_page, sizeof(fake_page), 1, file), 1);
	fclose(file);
}

static void step(void)
{
	if (dies && steps++ == die_at)
		die();
}

int __real_rename(const char *from, const char *to);
int __wrap_rename(const char *from, const char *to);
int __real_unlink(const char *path);
int __wrap_unlink(const char *path);

int __wrap_rename(const char *from, const char *to)
{
	step();
	return __real_rename(from, to);
}

int __wrap_unlink(const char *path)
{
	step();
	return __real_unlink(path);
}

static void dies_at_write(void *opaque, const char *path, const char *text)
{
	step();
	threads_follow(opaque, path, text);
}

struct life {
	struct gmig_job_spec first, second; /* from_count 0: there is none */
	bool busy;			    /* a thousand pages do not move */
};

static bool killed_gmigd(const struct life *life)
{
	int status;
	pid_t pid = fork();

	if (!pid) {
		host.cpusets.before_write = dies_at_write;
		hold(life->busy);
		open_domain();
		dies = !life->second.from_count;
		run(&life->first);
		wait_ends(1);
		dies = true;
		if (life->second.from_count) {
			run(&life->second);
			wait_ends(2);
		}
		domain_put(domain);
		_exit(0);
	}
	ck_assert_int_eq(waitpid(pid, &status, 0), pid);
	ck_assert_msg(WIFEXITED(status), "%d", status);
	return WEXITSTATUS(status) == 9;
}

static void judge(unsigned int number)
{
	bool wide = !strcmp(mems("/emulator"), "0-1");
	struct domain_cpusets cpusets;

	/* What it says at first may be taken back at once. */
	for (int i = 0; i < 2; i++)
		do {
			ck_assert_int_eq(domain_cpusets(domain, &cpusets, &err), 0);
		} while (cpusets.widened);
	ck_assert_msg(wide == (strstr(cpusets.note, "its cpusets keep nodes ") != NULL),
		      "life %u, killed at %u: cpusets %s, note '%s'", number, die_at,
		      mems("/emulator"), cpusets.note);
}

/* Whenever it was killed, by the next one and the one after that: where cpusets are wide it is said why, and where they are not nothing is. */
START_TEST(wherever_gmigd_is_killed_it_is_said_why_cpusets_are_wide)
{
	static const struct gmig_job_spec part = {.from = {0},
						  .from_count = 1,
						  .to = {1},
						  .to_count = 1,
						  .max_bytes = 3 * GMIG_BLOCK_BYTES};
	static const struct gmig_job_spec part_back = {
	    .from = {1}, .from_count = 1, .to = {0}, .to_count = 1, .max_bytes = GMIG_BLOCK_BYTES};
	static const struct gmig_job_spec back = {
	    .from = {1}, .from_count = 1, .to = {0}, .to_count = 1};
	const struct life lives[] = {
	    {.first = to_1, .busy = true},
	    {.first = part},
	    {.first = part, .second = part_back},
	    {.first = part, .second = to_1},
	    {.first = part, .second = part},
	    {.first = part, .second = back},
	    {.first = to_1, .second = back, .busy = true},
	};
	unsigned int deaths = 0;

	for (unsigned int i = 0; i < sizeof(lives) / sizeof(lives[0]); i++)
		for (die_at = 0; killed_gmigd(&lives[i]); die_at++, deaths++) {
			atomic_store(&ends, 0);
			*lines = '\0';
			find_memory();
			open_domain();
			if (strstr(lines, "goes on"))
				wait_ends(1);
			judge(i);
			next_gmigd();
			judge(i);
			put_back();
			hold(false);
			open_domain(); /* takes back what was said */
			expect_note("");
			put_back();
		}
	ck_assert_uint_ge(deaths, 30);
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
	    note_that_cannot_be_written_is_written_when_it_can_be,
	    note_is_cut_to_what_is_kept_still_though_nobody_asks,
	    domain_that_ends_takes_its_note_with_it,
	    nodes_that_the_operator_has_chosen_since_are_not_kept,
	    journal_of_a_move_forgets_what_the_operator_has_chosen_meanwhile,
	    journal_that_was_left_forgets_what_the_operator_has_chosen_since,
	    note_that_is_read_later_keeps_nothing_that_was_chosen_since,
	    damaged_journal_is_said_beside_what_is_kept,
	    damaged_note_keeps_no_move_back,
	    note_that_could_not_be_read_before_a_move_says_nothing_behind_it,
	    journal_of_a_move_knows_better_than_the_note,
	    journal_that_is_read_later_keeps_what_it_says_without_what_was_chosen_since,
	    wherever_gmigd_is_killed_it_is_said_why_cpusets_are_wide,
	};

	return run_tests("domain_kept", setup, teardown, tests, sizeof(tests) / sizeof(tests[0]));
}
