/* A gmigd that is killed while it moves a domain, and the next one: on a fake kernel, in a fake tree. */
#include "../../libvirt-hooks/move_journal.h"
#include "domain_books.h"
#include "failing_open.h"

#include <sys/wait.h>

static unsigned int steps, die_at;
static bool die_in_tell;
static uint64_t killed_max; /* --max of its move; 0: all */

static void dies_at_write(void *opaque, const char *path, const char *text)
{
	if (steps++ == die_at)
		_exit(9);
	threads_follow(opaque, path, text);
}

static void dies_at_move(void)
{
	if (steps++ == die_at)
		_exit(9);
}

static int dies_at_tell(void *opaque, const char *uuid, const struct gmig_node_set *nodes,
			struct gmig_error *error)
{
	if (die_in_tell || steps++ == die_at)
		_exit(9);
	return set_nodeset(opaque, uuid, nodes, error);
}

/* A daemon that moves the domain and is killed at step die_at. True: it was. */
static bool killed_daemon(void)
{
	int status;
	pid_t pid = fork();

	if (!pid) {
		struct gmig_job_spec spec = to_1;

		spec.max_bytes = killed_max;
		steps = 0;
		host.cpusets.before_write = dies_at_write;
		host.set_nodeset = dies_at_tell;
		fake_after_move = dies_at_move;
		open_domain();
		run(&spec);
		wait_ends(1);
		domain_put(domain);
		_exit(0);
	}
	ck_assert_int_eq(waitpid(pid, &status, 0), pid);
	ck_assert_msg(WIFEXITED(status), "%d", status);
	return WEXITSTATUS(status) == 9;
}

START_TEST(next_daemon_ends_what_a_killed_one_began)
{
	unsigned int deaths = 0;

	for (die_at = 0; killed_daemon(); die_at++) {
		atomic_store(&ends, 0);
		*lines = *told = '\0';
		deaths++;
		open_domain();
		if (strstr(lines, "goes on"))
			wait_ends(1);
		ck_assert_msg(!strcmp(told, "1"), "killed at %u: told '%s'", die_at, told);
		ck_assert(!has_note());
		ck_assert_msg(!strcmp(mems("/emulator"), "1") && !strcmp(mems("/vcpu0"), "1"),
			      "killed at %u: %s", die_at, mems("/emulator"));
		ck_assert(!has_journal());
		put_back();
	}
	/* Two groups, written twice, the moves between, and libvirt at the end. */
	ck_assert_uint_ge(deaths, 6);
}
END_TEST

/* Killed while libvirt was asked: its sets are narrow, and the journal of the move has gone. */
static void kill_at_tell(void)
{
	die_in_tell = true;
	die_at = UINT_MAX;
	ck_assert(killed_daemon());
	ck_assert(has_note());
}

START_TEST(nodeset_that_a_killed_daemon_has_not_told_is_told_when_libvirt_answers)
{
	kill_at_tell();
	ck_assert(!has_journal());
	libvirt_says = -ENOTCONN;
	open_domain();
	for (int i = 0; i < 20; i++) /* away for long: it is not given up */
		domain_set_facts(domain, &facts);
	expect_note("virsh numatune says otherwise");
	ck_assert(has_note());
	libvirt_says = 0;
	*told = '\0';
	unreadable = ".tell"; /* one that cannot be read now is read later */
	domain_put(domain);
	open_domain();
	domain_set_facts(domain, &facts);
	ck_assert_str_eq(told, "");
	unreadable = NULL;
	domain_set_facts(domain, &facts);
	ck_assert_str_eq(told, "1");
	ck_assert(!has_note());
	expect_note("");
	domain_put(domain);
	*told = '\0';
	open_domain();
	ck_assert_str_eq(told, "");
}
END_TEST

START_TEST(nodeset_that_does_not_hold_any_more_is_not_told)
{
	kill_at_tell();
	libvirt_says = -ETIMEDOUT;
	open_domain();
	ck_assert(has_note());
	libvirt_says = 0;
	*told = '\0';
	/* virsh numatune --live, by somebody */
	fake_file("cg" SCOPE "/emulator/cpuset.mems", "2\n");
	fake_file("cg" SCOPE "/vcpu0/cpuset.mems", "2\n");
	domain_set_facts(domain, &facts);
	ck_assert_str_eq(told, "");
	ck_assert(!has_note());
	expect_note("");
}
END_TEST

START_TEST(libvirt_that_hangs_five_times_is_not_told_again)
{
	int tells = 0;

	libvirt_says = -ETIMEDOUT;
	open_domain();
	run(&to_1);
	wait_ends(1);
	ck_assert(has_note());
	for (int i = 0; i < 10; i++) {
		*told = '\0';
		domain_set_facts(domain, &facts);
		tells += *told != '\0';
	}
	ck_assert_int_eq(tells, 4);
	ck_assert(!has_note());
	expect_note("virsh numatune says otherwise");
}
END_TEST

START_TEST(next_daemon_does_not_move_more_than_the_killed_one_was_told_to)
{
	/* Both groups are wide, and nothing has moved that anybody has counted. */
	killed_max = 2000 * FAKE_PAGE_BYTES;
	die_at = 2;
	ck_assert(killed_daemon());
	open_domain();
	ck_assert_ptr_nonnull(strstr(lines, "of at most 8192000 bytes does not go on"));
	ck_assert_str_eq(mems("/emulator"), "0");
	ck_assert_int_eq(fake_page[0].node, 0);
	ck_assert(!has_journal());
}
END_TEST

/* Memory on nodes 0 and 3, which goes to 1 and 2 at the same time, page by page; then gmigd is killed. */
static void killed_with_two_moves(uint64_t second_max)
{
	int status;
	pid_t pid;

	half_on_node_3();
	fake_thread(77, "0,3");
	pid = fork();
	if (!pid) {
		struct gmig_job_spec one = to_1, two = to_1;
		struct gmig_job *job;

		one.rate_bytes_per_second = two.rate_bytes_per_second = 4096;
		two.from[0] = 3;
		two.to[0] = 2;
		two.max_bytes = second_max;
		open_domain();
		ck_assert_int_eq(domain_start_job(domain, &one, &job, &err), 0);
		ck_assert_int_eq(domain_start_job(domain, &two, &job, &err), 0);
		_exit(9);
	}
	ck_assert_int_eq(waitpid(pid, &status, 0), pid);
	ck_assert(WIFEXITED(status) && WEXITSTATUS(status) == 9);
	fake_thread(77, "0-3");
}

/* As fast as it goes. */
static void hurry(uint64_t id)
{
	struct gmig_job *job = gmig_process_job_find(domain_process(domain), id);

	ck_assert_ptr_nonnull(job);
	ck_assert_int_eq(gmig_job_set_rate(job, 0), 0);
	gmig_job_wait(job);
	gmig_job_put(job);
}

START_TEST(two_moves_of_a_killed_daemon_both_go_on)
{
	killed_with_two_moves(0);
	open_domain();
	hurry(1);
	hurry(2);
	wait_ends(2);
	ck_assert_str_eq(mems("/emulator"), "1-2");
	ck_assert_str_eq(told, "1-2");
	ck_assert(!has_journal());
}
END_TEST

START_TEST(move_of_a_part_that_was_killed_beside_another_is_said)
{
	killed_with_two_moves(1000 * FAKE_PAGE_BYTES);
	open_domain();
	ck_assert_ptr_nonnull(strstr(lines, "of at most 4096000 bytes does not go on"));
	ck_assert_ptr_nonnull(strstr(lines, "interrupted move goes on"));
	hurry(1);
	wait_ends(1);
	ck_assert_uint_eq(moved(5000, FAKE_PAGES), FAKE_PAGES - 5000);
	ck_assert_str_eq(mems("/emulator"), "1,3");
}
END_TEST

START_TEST(journal_forgets_a_move_that_has_ended_while_another_runs)
{
	struct gmig_job_spec slow = to_1, to_2 = to_1;
	struct move_journal journal;
	struct gmig_job *one;

	slow.rate_bytes_per_second = 4096;
	to_2.from[0] = 3;
	to_2.to[0] = 2;
	half_on_node_3();
	open_domain();
	ck_assert_int_eq(domain_start_job(domain, &slow, &one, &err), 0);
	ck_assert_int_eq(run(&to_2).state, GMIG_JOB_COMPLETED);
	wait_ends(1);
	ck_assert_int_eq(move_journal_read(journals, FAKE_UUID, &journal, &err), 0);
	ck_assert_uint_eq(journal.job_count, 1);
	ck_assert_uint_eq(journal.job[0].spec.to[0], 1);
	for (size_t i = 0; i < journal.count; i++)
		ck_assert(gmig_node_set_has(&journal.group[i].before, 2));
	ck_assert(journal.completed);
	move_journal_free(&journal);
	gmig_job_cancel(one);
	gmig_job_wait(one);
	wait_ends(2);
	ck_assert_str_eq(mems("/emulator"), "0,2");
	ck_assert_str_eq(told, "0,2");
	gmig_job_put(one);
}
END_TEST

START_TEST(nodeset_that_libvirt_has_not_heard_of_is_told_after_a_move_that_was_cancelled)
{
	struct gmig_job_spec slow = to_1;
	struct gmig_job *job;

	libvirt_says = -ENOTCONN;
	open_domain();
	run(&to_1);
	wait_ends(1);
	ck_assert(has_note());
	slow.rate_bytes_per_second = 4096;
	slow.from[0] = 1;
	slow.to[0] = 2;
	ck_assert_int_eq(domain_start_job(domain, &slow, &job, &err), 0);
	ck_assert(has_note());
	*told = '\0';
	domain_set_facts(domain, &facts);
	ck_assert_str_eq(told, "");
	gmig_job_cancel(job);
	gmig_job_wait(job);
	wait_ends(2);
	gmig_job_put(job);
	ck_assert_str_eq(mems("/emulator"), "1");
	ck_assert(has_note());
	libvirt_says = 0;
	*told = '\0';
	domain_set_facts(domain, &facts);
	ck_assert_str_eq(told, "1");
	ck_assert(!has_note());
}
END_TEST

/* One that cannot be started is no move that the next gmigd goes on with. */
static void expect_one_job(void)
{
	struct move_journal journal;

	ck_assert_int_eq(move_journal_read(journals, FAKE_UUID, &journal, &err), 0);
	ck_assert_uint_eq(journal.job_count, 1);
	ck_assert_uint_eq(journal.job[0].spec.to[0], 1);
	move_journal_free(&journal);
}

START_TEST(move_that_was_refused_beside_another_is_not_in_the_journal)
{
	struct gmig_job_spec slow = to_1, to_2 = to_1;
	struct gmig_job *one, *two;

	slow.rate_bytes_per_second = 4096;
	to_2.to[0] = 2;
	host.cpusets.before_write = refuses;
	open_domain();
	ck_assert_int_eq(domain_start_job(domain, &slow, &one, &err), 0);
	to_2.threads = UINT_MAX;
	ck_assert_int_eq(domain_start_job(domain, &to_2, &two, &err), -EINVAL);
	expect_one_job();
	to_2.to[0] = 3;
	to_2.threads = 0;
	refused = "0-3";
	ck_assert_int_lt(domain_start_job(domain, &to_2, &two, &err), 0);
	expect_one_job();
	accept_again("0-2");
	gmig_job_cancel(one);
	gmig_job_wait(one);
	wait_ends(1);
	gmig_job_put(one);
}
END_TEST

/* Cancelled, or all of its pages were the other one's by then. */
static void expect_gave_way(struct gmig_job *job)
{
	struct gmig_job_info info;

	gmig_job_wait(job);
	gmig_job_info(job, &info);
	ck_assert(domain_gave_way(domain, info.id));
	if (info.state == GMIG_JOB_COMPLETED)
		ck_assert_uint_gt(info.by_others_bytes, 0);
	else
		ck_assert_int_eq(info.state, GMIG_JOB_CANCELLED);
	ck_assert_ptr_nonnull(strstr(lines, "gives way"));
}

START_TEST(move_that_was_not_asked_for_gives_way_and_does_not_begin_beside_one_that_was)
{
	struct gmig_job_spec slow = to_1, to_2 = to_1;
	struct gmig_job *own, *by_hand;
	struct gmig_job_info info;

	slow.rate_bytes_per_second = to_2.rate_bytes_per_second = 4096;
	to_2.to[0] = 2;
	open_domain();
	ck_assert_int_eq(domain_start_unasked_job(domain, &slow, &own, &err), 0);
	/* Not to one that cannot begin. */
	to_2.threads = UINT_MAX;
	ck_assert_int_eq(domain_start_job(domain, &to_2, &by_hand, &err), -EINVAL);
	gmig_job_info(own, &info);
	ck_assert(!domain_gave_way(domain, info.id));
	ck_assert_int_lt(info.state, GMIG_JOB_CANCELLING);
	to_2.threads = 0;
	ck_assert_int_eq(domain_start_job(domain, &to_2, &by_hand, &err), 0);
	expect_gave_way(own);
	gmig_job_put(own);
	wait_ends(1);
	ck_assert_int_eq(domain_start_unasked_job(domain, &slow, &own, &err), -EINPROGRESS);
	gmig_job_cancel(by_hand);
	gmig_job_wait(by_hand);
	gmig_job_info(by_hand, &info);
	ck_assert(!domain_gave_way(domain, info.id));
	gmig_job_put(by_hand);
	wait_ends(2);
}
END_TEST

START_TEST(resumed_move_that_was_not_asked_for_gives_way)
{
	struct gmig_job_spec to_2 = to_1;
	struct gmig_job *job, *by_hand;
	int status;
	pid_t pid = fork();

	if (!pid) {
		struct gmig_job_spec slow = to_1;

		slow.rate_bytes_per_second = 4096;
		open_domain();
		ck_assert_int_eq(domain_start_unasked_job(domain, &slow, &job, &err), 0);
		_exit(9);
	}
	ck_assert_int_eq(waitpid(pid, &status, 0), pid);
	fake_thread(77, "0-1");
	open_domain();
	ck_assert_uint_eq(domain_resumed_unasked(domain), 1);
	/* Slow, too: it must not leave the other one nothing to move. */
	to_2.to[0] = 2;
	to_2.rate_bytes_per_second = 4096;
	ck_assert_int_eq(domain_start_job(domain, &to_2, &by_hand, &err), 0);
	job = gmig_process_job_find(domain_process(domain), 1);
	expect_gave_way(job);
	gmig_job_put(job);
	gmig_job_cancel(by_hand);
	gmig_job_wait(by_hand);
	gmig_job_put(by_hand);
	wait_ends(2);
}
END_TEST

START_TEST(journal_of_an_earlier_process_is_thrown_away)
{
	struct cpuset_scope none = {0};
	struct move_journal journal = {.uuid = FAKE_UUID,
				       .name = (char *)"web1",
				       .pid = FAKE_PID,
				       .start_time = 499,
				       .scope = &none};

	ck_assert_int_eq(move_journal_write(journals, &journal, &err), 0);
	open_domain();
	ck_assert(!has_journal());
	ck_assert_str_eq(lines, "");
}
END_TEST

static void leave_text(const char *text)
{
	fake_file("journals/" FAKE_UUID ".json", "%s", text);
}

static bool has_text(unsigned int i, const char *text)
{
	char path[PATH_MAX], found[256] = "";
	FILE *file;

	snprintf(path, sizeof(path), "%s/" FAKE_UUID ".json.bad-%u", journals, i);
	file = fopen(path, "r");
	if (!file)
		return false;
	if (!fgets(found, sizeof(found), file))
		*found = '\0';
	fclose(file);
	return !strcmp(found, text);
}

static void leave_job(pid_t pid, enum gmig_huge huge)
{
	struct move_journal_job job = {.spec = to_1};
	struct cpuset_scope none = {0};
	const struct move_journal journal = {.uuid = FAKE_UUID,
					     .name = (char *)"web1",
					     .pid = pid,
					     .start_time = 500,
					     .job = &job,
					     .job_count = 1,
					     .scope = &none};

	job.spec.huge = huge;
	ck_assert_int_eq(move_journal_write(journals, &journal, &err), 0);
}

/* Of a later version, that did not say so, or of a disk that lies. */
START_TEST(journal_with_values_that_are_none_is_not_understood)
{
	fake_thread(77, "0-1");
	leave_job(FAKE_PID, GMIG_HUGE_SPLIT);
	open_domain();
	ck_assert_msg(strstr(lines, "goes on") != NULL, "%s", lines);
	wait_ends(1);
	for (int i = 0; i < 2; i++) {
		domain_put(domain);
		*lines = '\0';
		fake_thread(77, "0-1");
		leave_job(i ? 0 : FAKE_PID,
			  i ? GMIG_HUGE_KEEP : (enum gmig_huge)(GMIG_HUGE_SPLIT + 1));
		open_domain();
		ck_assert_ptr_nonnull(strstr(lines, "cannot be understood"));
		ck_assert_ptr_null(strstr(lines, "goes on"));
	}
}
END_TEST

static int open_nothing(pid_t pid, const char *name)
{
	(void)pid, (void)name;
	return -EMFILE;
}

START_TEST(journal_that_cannot_be_understood_is_kept_and_said)
{
	char path[PATH_MAX];
	struct gmig_job *job;

	leave_text("{\"version\":1,\"uuid\":"); /* cut short */
	fake_file("cg" SCOPE "/emulator/cpuset.mems", "0-1\n");
	fake_file("cg" SCOPE "/vcpu0/cpuset.mems", "0-1\n");
	fake_thread(77, "0-1");
	open_domain();
	ck_assert_ptr_nonnull(strstr(lines, "cannot be understood"));
	ck_assert_ptr_nonnull(strstr(lines, ".json.bad-1"));
	expect_note("cannot be understood");
	/* Not by itself; and when asked, not before it was looked at. */
	ck_assert_int_eq(domain_start_unasked_job(domain, &to_1, &job, &err), -EBUSY);
	ck_assert_ptr_nonnull(strstr(err.text, "cannot be understood"));
	fake_sys.open_proc = open_nothing;
	ck_assert_int_lt(domain_start_job(domain, &to_1, &job, &err), 0);
	ck_assert_ptr_null(strstr(lines, "its cpusets allow nodes"));
	fake_sys.open_proc = fake_open_proc;
	run(&to_1);
	wait_ends(1);
	ck_assert_ptr_nonnull(strstr(lines, "its cpusets allow nodes 0-1, its memory lies on 0"));
	ck_assert_str_eq(mems("/emulator"), "1");
	ck_assert(has_text(1, "{\"version\":1,\"uuid\":"));
	expect_note("cannot be understood");
	/* The next gmigd says it, too, until somebody has removed it. */
	domain_put(domain);
	open_domain();
	expect_note(".json.bad-1'");
	snprintf(path, sizeof(path), "%s/" FAKE_UUID ".json.bad-1", journals);
	ck_assert_int_eq(unlink(path), 0);
	expect_note("");
}
END_TEST

START_TEST(journals_that_cannot_be_understood_are_kept_up_to_four)
{
	static const char *const texts[] = {"{\"version\":2}", "", "[", "x", "y", "z"};

	for (size_t i = 0; i < 6; i++) {
		leave_text(texts[i]);
		open_domain();
		domain_put(domain);
		domain = NULL;
	}
	for (unsigned int i = 0; i < 3; i++)
		ck_assert(has_text(i + 1, texts[i]));
	ck_assert(has_text(4, "z"));
	ck_assert(!has_text(5, "z"));
	ck_assert(!has_journal());
}
END_TEST

/* Whatever the clock of the files says: it may have jumped since. */
START_TEST(unreadable_journal_is_of_the_process_for_which_it_was_set_aside)
{
	const struct timespec long_ago[2] = {{.tv_sec = 1}, {.tv_sec = 1}};
	char path[PATH_MAX];

	fake_file("sys/kernel/random/boot_id", "1b7c52f0-3c1e-4a52-8d6b-7a9c1d2e3f40\n");
	leave_text("{");
	open_domain();
	snprintf(path, sizeof(path), "%s/" FAKE_UUID ".json.bad-1", journals);
	ck_assert_int_eq(utimensat(AT_FDCWD, path, long_ago, 0), 0);
	expect_note("cannot be understood");
	domain_put(domain);
	open_domain();
	expect_note("cannot be understood");
	/* The host was started anew, or the domain: the next process has done nothing. */
	fake_file("sys/kernel/random/boot_id", "9e2d3aa1-66a1-4f93-9ca1-d0f4b65de6a1\n");
	expect_note("");
	unreadable = "/boot_id"; /* or has not been: that cannot be told now */
	expect_note("cannot be understood");
	unreadable = NULL;
	unlink(path);
	leave_text("{");
	domain_put(domain);
	open_domain();
	expect_note("cannot be understood");
	domain_put(domain);
	fake_stat(501);
	open_domain();
	expect_note("");
	ck_assert(has_text(1, "{"));
	/* It is not known whose it is: it is said. */
	snprintf(path, sizeof(path), "%s/" FAKE_UUID ".aside", journals);
	ck_assert_int_eq(unlink(path), 0);
	expect_note("cannot be understood");
	/* Nor was it when it was set aside. */
	leave_text("{");
	domain_put(domain);
	unreadable = "/boot_id";
	open_domain();
	unreadable = NULL;
	expect_note("cannot be understood");
}
END_TEST

/* Which boot this is cannot be read when it is set aside, or not when somebody asks: it is said, and nothing is moved unasked. */
START_TEST(unreadable_journal_of_a_boot_that_is_not_known_is_said)
{
	struct gmig_job *job;

	fake_file("sys/kernel/random/boot_id", "1b7c52f0-3c1e-4a52-8d6b-7a9c1d2e3f40\n");
	for (int i = 0; i < 2; i++) {
		leave_text("{");
		unreadable = i ? NULL : "/boot_id";
		open_domain();
		unreadable = i ? "/boot_id" : NULL;
		expect_note("cannot be understood");
		ck_assert_int_eq(domain_start_unasked_job(domain, &to_1, &job, &err), -EBUSY);
		unreadable = NULL;
		expect_note("cannot be understood");
		domain_put(domain);
		domain = NULL;
	}
}
END_TEST

START_TEST(journal_that_breaks_while_it_is_needed_refuses_the_move_once)
{
	struct gmig_job *job;

	host.cpusets.before_write = refuses;
	refused = "1";
	open_domain();
	run(&to_1);
	wait_ends(1);
	ck_assert(has_journal());
	accept_again("0-1");
	leave_text("{");
	ck_assert_int_eq(domain_start_job(domain, &to_1, &job, &err), -EBADMSG);
	ck_assert(has_text(1, "{"));
	ck_assert_str_eq(mems("/emulator"), "0-1");
}
END_TEST

/* ---- Read later ------------------------------------------------------------------------------ */

/* Nobody knows whether a move is to go on: that is said, and no other one begins. */
static void expect_unread(const char *why)
{
	struct domain_cpusets cpusets;
	struct gmig_job *job;

	ck_assert_int_eq(domain_cpusets(domain, &cpusets, &err), 0);
	ck_assert(cpusets.widened);
	ck_assert_msg(strstr(cpusets.note, why) != NULL, "%s", cpusets.note);
	ck_assert_int_eq(domain_start_job(domain, &to_1, &job, &err), -EIO);
	ck_assert_msg(strstr(err.text, why) != NULL, "%s", err.text);
	ck_assert_int_eq(domain_start_unasked_job(domain, &to_1, &job, &err), -EIO);
	ck_assert_int_eq(fake_page[0].node, 0);
}

static void expect_moved(void)
{
	ck_assert_str_eq(mems("/emulator"), "1");
	ck_assert_str_eq(mems("/vcpu0"), "1");
	ck_assert_str_eq(told, "1");
	ck_assert(!has_journal());
	expect_note("");
}

/* Killed when both groups were wide, and nothing had moved. What the next one cannot read is the journal, or what its cpusets are. */
START_TEST(move_of_a_killed_daemon_goes_on_when_its_journal_can_be_read)
{
	static const char *const endings[] = {".json", "/self/mountinfo"};
	static const char *const says[] = {".json' cannot be read: Too many open files",
					   "the cpusets of process 77: Too many open files"};

	for (int i = 0; i < 4; i++) {
		atomic_store(&ends, 0);
		die_at = 2;
		ck_assert(killed_daemon());
		*lines = *told = '\0';
		unreadable = endings[i % 2];
		open_domain();
		ck_assert_msg(strstr(lines, says[i % 2]) != NULL, "%s", lines);
		*lines = '\0';
		domain_set_facts(domain, &facts);
		if (!(i % 2))
			expect_unread(says[0]);
		ck_assert_str_eq(lines, "");
		ck_assert_str_eq(mems("/emulator"), "0-1");
		unreadable = NULL;
		/* Whether libvirt lists it or is away. */
		if (i < 2)
			domain_set_facts(domain, &facts);
		else
			domain_go_on(domain);
		ck_assert_ptr_nonnull(strstr(lines, "interrupted move goes on"));
		wait_ends(1);
		expect_moved();
		put_back();
	}
}
END_TEST

START_TEST(move_that_was_left_and_could_not_be_read_goes_on_beside_one_that_is_asked_for)
{
	die_at = 2;
	ck_assert(killed_daemon());
	unreadable = ".json";
	open_domain();
	unreadable = NULL;
	run(&to_1);
	ck_assert_ptr_nonnull(strstr(lines, "interrupted move goes on"));
	wait_ends(2);
	expect_moved();
}
END_TEST

START_TEST(journal_of_an_earlier_process_that_is_read_later_is_thrown_away)
{
	die_at = 2;
	ck_assert(killed_daemon());
	put_back(); /* its cpusets are the new one's own */
	fake_stat(501);
	unreadable = ".json";
	open_domain();
	unreadable = NULL;
	domain_set_facts(domain, &facts);
	ck_assert(!has_journal());
	ck_assert_ptr_null(strstr(lines, "goes on"));
	expect_note("");
	ck_assert_str_eq(mems("/emulator"), "0");
}
END_TEST

int main(void)
{
	const TTest *const tests[] = {
	    next_daemon_ends_what_a_killed_one_began,
	    nodeset_that_a_killed_daemon_has_not_told_is_told_when_libvirt_answers,
	    nodeset_that_does_not_hold_any_more_is_not_told,
	    libvirt_that_hangs_five_times_is_not_told_again,
	    next_daemon_does_not_move_more_than_the_killed_one_was_told_to,
	    two_moves_of_a_killed_daemon_both_go_on,
	    move_of_a_part_that_was_killed_beside_another_is_said,
	    journal_forgets_a_move_that_has_ended_while_another_runs,
	    nodeset_that_libvirt_has_not_heard_of_is_told_after_a_move_that_was_cancelled,
	    move_that_was_refused_beside_another_is_not_in_the_journal,
	    move_that_was_not_asked_for_gives_way_and_does_not_begin_beside_one_that_was,
	    resumed_move_that_was_not_asked_for_gives_way,
	    journal_of_an_earlier_process_is_thrown_away,
	    journal_with_values_that_are_none_is_not_understood,
	    journal_that_cannot_be_understood_is_kept_and_said,
	    journals_that_cannot_be_understood_are_kept_up_to_four,
	    unreadable_journal_is_of_the_process_for_which_it_was_set_aside,
	    unreadable_journal_of_a_boot_that_is_not_known_is_said,
	    journal_that_breaks_while_it_is_needed_refuses_the_move_once,
	    move_of_a_killed_daemon_goes_on_when_its_journal_can_be_read,
	    move_that_was_left_and_could_not_be_read_goes_on_beside_one_that_is_asked_for,
	    journal_of_an_earlier_process_that_is_read_later_is_thrown_away,
	};

	return run_tests("domain_killed", setup, teardown, tests, sizeof(tests) / sizeof(tests[0]));
}
