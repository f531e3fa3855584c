/* gmig top against scripted VMMs: who holds up nobody, whom a command gets to, and the command line. */
#include "host_tree.h"
#include "hostile_server.h"

#include "../../cli/top_ask.h"

#include <stdatomic.h>
#include <sys/resource.h>

static struct top_model model;
static struct top_ask *ask;

static void setup(void)
{
	struct gmig_error err = {0};

	fake_setup();
	ck_assert_int_eq(top_model_init(&model, "/nonexistent"), 0);
	ck_assert_int_eq(top_ask_create(&model, &ask, &err), 0);
}

static void teardown(void)
{
	top_ask_destroy(ask);
	top_model_free(&model);
	fake_teardown();
}

static struct top_guest *guest_named(const char *name)
{
	for (size_t i = 0; i < model.count; i++)
		if (!strcmp(model.guests[i]->name, name))
			return model.guests[i];
	ck_abort_msg("no guest '%s'", name);
}

/* A round to its end. */
static void one_round(void)
{
	top_ask_round(ask);
	while (top_ask_is_open(ask))
		top_ask_wait(ask, -1, 50);
	top_ask_wait(ask, -1, 0); /* whoever is late is marked */
}

static const char *outcome(void)
{
	const char *text = NULL;

	while (!text) {
		top_ask_wait(ask, -1, 50);
		text = top_ask_outcome(ask);
	}
	return text;
}

START_TEST(guest_that_answers_has_a_row)
{
	struct top_guest *guest;

	one_round();
	guest = guest_named("vm1");
	ck_assert(guest->answered);
	ck_assert_int_eq(guest->pid, getpid());
	ck_assert_uint_eq(guest->bytes, 1 << 30);
	ck_assert_str_eq(fake.log, "residency query-maps ");
	ck_assert_int_eq(json_integer_value(json_object_get(fake.arguments, "step")), 64 << 20);
	one_round();
	ck_assert_str_eq(fake.log, "residency query-maps residency ");
	ck_assert_uint_eq(model.count, 1);
}
END_TEST

/* One that is silent, one that sends lines without end, one that takes nobody: vm1 is shown beside each. */
static void beside(enum hostile_way way, const char *state)
{
	struct hostile_server other = {.way = way};
	char path[128];

	cli_limits.list_ms = 300;
	snprintf(path, sizeof(path), "%s/gmig/bad.sock", fake.directory);
	hostile_start(&other, path);
	one_round();
	ck_assert_str_eq(guest_named("bad")->state, state);
	ck_assert(!guest_named("bad")->answered);
	/* On a busy machine vm1 may be late, too, but is asked again. */
	for (int i = 0; i < 100 && !guest_named("vm1")->answered; i++)
		one_round();
	ck_assert(guest_named("vm1")->answered);
	top_ask_destroy(ask); /* it serves its client to the end */
	ask = NULL;
	hostile_stop(&other);
}

START_TEST(guest_that_does_not_greet_is_no_answer)
{
	beside(HOSTILE_NO_GREETING, "no answer");
}
END_TEST

START_TEST(guest_that_is_silent_is_no_answer)
{
	beside(HOSTILE_SILENT, "no answer");
}
END_TEST

START_TEST(guest_that_takes_no_connection_is_no_answer)
{
	beside(HOSTILE_FULL, "no answer");
}
END_TEST

START_TEST(guest_that_has_died_is_stale_and_then_gone)
{
	char path[128];
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	int fd = socket(AF_UNIX, SOCK_STREAM, 0);

	snprintf(path, sizeof(path), "%s/gmig/dead.sock", fake.directory);
	strcpy(address.sun_path, path);
	ck_assert_int_eq(bind(fd, (struct sockaddr *)&address, sizeof(address)), 0);
	close(fd);
	one_round();
	ck_assert_str_eq(guest_named("dead")->why, "stale");
	ck_assert_uint_eq(model.count, 2);
	unlink(path);
	one_round();
	ck_assert_uint_eq(model.count, 1);
}
END_TEST

START_TEST(command_reaches_its_guest_and_its_outcome_is_told)
{
	struct gmig_error err = {0};

	one_round();
	ck_assert_int_eq(top_ask_command(ask, guest_named("vm1")->serial, "job-cancel",
					 json_pack("{s:s}", "id", "1"), &err),
			 0);
	ck_assert_str_eq(outcome(), "job-cancel: job 1 is running");
	ck_assert_ptr_null(top_ask_outcome(ask));
	ck_has(fake.log, "job-cancel");
	ck_assert_int_eq(
	    top_ask_command(ask, guest_named("vm1")->serial, "no-such-thing", NULL, &err), 0);
	ck_has(outcome(), "no-such-thing");
}
END_TEST

/* It must not be carried out whenever the guest goes on again. */
START_TEST(command_to_a_guest_that_hangs_is_given_up)
{
	struct hostile_server other = {.way = HOSTILE_SILENT};
	struct gmig_error err = {0};
	const char *text = NULL;
	char path[128];

	cli_limits.list_ms = 200;
	snprintf(path, sizeof(path), "%s/gmig/bad.sock", fake.directory);
	hostile_start(&other, path);
	one_round();
	ck_assert_int_eq(top_ask_command(ask, guest_named("bad")->serial, "quit", NULL, &err), 0);
	ck_assert_int_eq(top_ask_command(ask, guest_named("vm1")->serial, "quit", NULL, &err),
			 -EBUSY);
	while (!text) {
		top_ask_round(ask);
		top_ask_wait(ask, -1, 50);
		text = top_ask_outcome(ask);
	}
	ck_assert_str_eq(text, "the guest does not answer: nothing was done");
	top_ask_destroy(ask);
	ask = NULL;
	hostile_stop(&other);
}
END_TEST

/* A guest whose commands `slow` and `cancel` are answered once they may be; its residency is `says`. */
static struct {
	struct control_server *server;
	char path[128];
	int gate[2];
	const char *says;
} scripted;

static int scripted_slow(void *opaque, const json_t *arguments, json_t **result,
			 struct gmig_error *err)
{
	char byte;

	(void)opaque;
	(void)arguments;
	(void)err;
	ck_assert_int_eq(read(scripted.gate[0], &byte, 1), 1);
	*result = fake_job("paused", 0, 0);
	return 0;
}

static int scripted_cancel(void *opaque, const json_t *arguments, json_t **result,
			   struct gmig_error *err)
{
	(void)opaque;
	(void)arguments;
	(void)err;
	*result = fake_job("cancelling", 0, 0);
	return 0;
}

static int scripted_residency(void *opaque, const json_t *arguments, json_t **result,
			      struct gmig_error *err)
{
	(void)opaque;
	(void)arguments;
	(void)err;
	*result = json_loads(scripted.says, JSON_DECODE_ANY, NULL);
	return 0;
}

static void start_scripted(const char *says)
{
	static const struct control_command commands[] = {
	    {"query-residency", NULL, scripted_residency},
	    {"slow", NULL, scripted_slow},
	    {"cancel", NULL, scripted_cancel},
	    {0}};
	struct control_server_options options = {
	    .path = scripted.path, .name = "odd", .commands = commands};
	struct gmig_error err = {0};

	scripted.says = says;
	ck_assert_int_eq(pipe(scripted.gate), 0);
	snprintf(scripted.path, sizeof(scripted.path), "%s/gmig/odd.sock", fake.directory);
	ck_assert_msg(!control_server_create(&options, &scripted.server, &err), "%s", err.text);
}

static void stop_scripted(void)
{
	control_server_destroy(scripted.server);
	close(scripted.gate[0]);
	close(scripted.gate[1]);
}

/* Or the second command would be reported as done that was never sent. */
START_TEST(late_answer_is_not_taken_for_that_to_the_next_command)
{
	struct gmig_error err = {0};
	const char *text = NULL;
	uint64_t serial;

	start_scripted("{\"state\":\"running\",\"vnodes\":[]}");
	cli_limits.list_ms = 200;
	one_round();
	serial = guest_named("odd")->serial;
	ck_assert_int_eq(top_ask_command(ask, serial, "slow", NULL, &err), 0);
	while (!text) {
		top_ask_round(ask);
		top_ask_wait(ask, -1, 50);
		text = top_ask_outcome(ask);
	}
	ck_assert_str_eq(text, "the guest has not answered yet: it may still be done");
	cli_limits.list_ms = 60000;
	ck_assert_int_eq(top_ask_command(ask, serial, "cancel", NULL, &err), 0);
	ck_assert_int_eq(write(scripted.gate[1], "x", 1), 1);
	ck_assert_str_eq(outcome(), "cancel: job 1 is cancelling");
	stop_scripted();
}
END_TEST

/* An answer without memory is not one of a guest that has none. */
START_TEST(answer_of_another_version_is_not_understood)
{
	static const char *const odd[] = {"{}", "[]", "7", "{\"vnodes\":{\"0\":1}}",
					  "{\"state\":\"running\",\"vnodes\":null}"};

	for (size_t i = 0; i < sizeof(odd) / sizeof(odd[0]); i++) {
		start_scripted(odd[i]);
		one_round();
		ck_assert(!guest_named("odd")->answered);
		ck_assert_str_eq(guest_named("odd")->why, "not understood");
		ck_assert(guest_named("vm1")->answered);
		stop_scripted();
		one_round();
		one_round();
	}
}
END_TEST

/* The name is there again, the guest is not: the question was about the one that ended. */
START_TEST(command_does_not_reach_another_guest_of_that_name)
{
	struct control_server_options options = {.path = fake.socket, .name = "vm1"};
	static const struct control_command none[] = {{0}};
	struct gmig_error err = {0};
	uint64_t serial;

	one_round();
	serial = guest_named("vm1")->serial;
	control_server_destroy(fake.server);
	options.commands = none;
	ck_assert_int_eq(control_server_create(&options, &fake.server, &err), 0);
	ck_assert_int_eq(top_ask_command(ask, serial, "quit", NULL, &err), 0);
	ck_assert_str_eq(outcome(), "the guest has ended");
	one_round();
	one_round();
	ck_assert_ptr_null(top_model_find(&model, serial));
	ck_assert_uint_ne(guest_named("vm1")->serial, serial);
	ck_assert_int_eq(top_ask_command(ask, serial, "quit", NULL, &err), -ESRCH);
	ck_assert_str_eq(err.text, "the guest has ended");
}
END_TEST

/* ---- gmigd ----------------------------------------------------------------------------------- */

/* A scripted gmigd of one domain; `said` is what it was asked, with whom it was asked about. */
static struct {
	struct control_server *server;
	char path[128], said[512];
	_Atomic pid_t pid;	    /* of the domain; 0: there is no domain */
	atomic_bool refuses, hangs; /* set while it answers */
	int gate[2];
} gmigd;

static int say_guests(void *opaque, const json_t *arguments, json_t **result,
		      struct gmig_error *err)
{
	char byte;

	(void)opaque;
	(void)arguments;
	if (gmigd.refuses)
		return gmig_fail(err, -EAGAIN, "libvirt is busy");
	if (gmigd.hangs && read(gmigd.gate[0], &byte, 1) != 1)
		return -EIO;
	*result = gmigd.pid ? json_pack("{s:b, s:[{s:s, s:s, s:i, s:s}]}", "connected", 1, "guests",
					"name", "web1", "uuid", "u-1", "pid", (int)gmigd.pid,
					"state", "running")
			    : json_pack("{s:b, s:[]}", "connected", 1, "guests");
	return 0;
}

static void note(const char *command, const json_t *arguments)
{
	size_t length = strlen(gmigd.said);

	snprintf(gmigd.said + length, sizeof(gmigd.said) - length, "%s(%s) ", command,
		 cli_text(arguments, "guest"));
}

static int say_residency(void *opaque, const json_t *arguments, json_t **result,
			 struct gmig_error *err)
{
	(void)opaque;
	(void)err;
	note("residency", arguments);
	*result = fake_guest();
	return 0;
}

static int take_cancel(void *opaque, const json_t *arguments, json_t **result,
		       struct gmig_error *err)
{
	(void)opaque;
	(void)err;
	note("cancel", arguments);
	*result = fake_job("cancelling", 0, 0);
	return 0;
}

static void start_daemon(void)
{
	static const struct control_argument about[] = {
	    {"guest", CONTROL_STRING, true}, {"id", CONTROL_STRING, false}, {0}};
	static const struct control_command commands[] = {{"query-guests", NULL, say_guests},
							  {"query-residency", about, say_residency},
							  {"job-cancel", about, take_cancel},
							  {0}};
	struct control_server_options options = {
	    .path = gmigd.path, .name = "gmigd", .commands = commands};
	struct gmig_error err = {0};

	snprintf(gmigd.path, sizeof(gmigd.path), "%s/gmigd.sock", fake.directory);
	setenv("GMIGD_SOCKET", gmigd.path, 1);
	gmigd.pid = getpid();
	model.root = ""; /* processes are the system's */
	ck_assert_msg(!control_server_create(&options, &gmigd.server, &err), "%s", err.text);
}

START_TEST(domains_are_rows_and_are_asked_for_by_their_uuid)
{
	start_daemon();
	one_round();
	ck_assert(guest_named("web1")->answered);
	ck_assert(guest_named("web1")->is_domain);
	ck_assert_uint_eq(guest_named("web1")->bytes, 1 << 30);
	ck_assert_str_eq(gmigd.said, "residency(u-1) ");
	ck_assert(guest_named("vm1")->answered);
	ck_assert_uint_eq(model.count, 2);
	gmigd.pid = 0;
	one_round();
	one_round();
	ck_assert_uint_eq(model.count, 1);
	control_server_destroy(gmigd.server);
}
END_TEST

/* What it said last is not shown as what is. */
START_TEST(domains_of_a_gmigd_that_hangs_are_no_answer)
{
	start_daemon();
	one_round();
	gmigd.refuses = true;
	one_round();
	one_round();
	ck_assert(guest_named("web1")->answered);
	gmigd.refuses = false;
	cli_limits.list_ms = 200;
	ck_assert_int_eq(pipe(gmigd.gate), 0);
	gmigd.hangs = true;
	one_round();
	one_round();
	ck_assert(!guest_named("web1")->answered);
	ck_assert_str_eq(guest_named("web1")->why, "no answer");
	gmigd.hangs = false;
	ck_assert_int_eq(write(gmigd.gate[1], "xx", 2), 2);
	cli_limits.list_ms = 60000;
	one_round();
	one_round();
	ck_assert(guest_named("web1")->answered);
	control_server_destroy(gmigd.server);
}
END_TEST

/* A directory in the place of the process's stat: it is there, and cannot be read. */
static const char *no_host(void)
{
	tree_create();
	tree_write("", "/proc/%d/stat/is-no-file", (int)gmigd.pid);
	return tree_root;
}

START_TEST(command_reaches_no_other_process_of_a_domain)
{
	struct gmig_error err = {0};
	uint64_t serial, ticks;

	start_daemon();
	one_round();
	serial = guest_named("web1")->serial;
	ck_assert_int_eq(
	    top_ask_command(ask, serial, "job-cancel", json_pack("{s:s}", "id", "1"), &err), 0);
	ck_assert_str_eq(outcome(), "job-cancel: job 1 is cancelling");
	ck_has(gmigd.said, "cancel(u-1) ");
	gmigd.said[0] = '\0';
	/* It cannot be seen whether its process is that one, now or when it was shown. */
	model.root = no_host();
	ck_assert_int_eq(top_ask_command(ask, serial, "job-cancel", NULL, &err), 0);
	ck_assert_str_eq(outcome(),
			 "nothing was done: it cannot be seen whether the guest still runs");
	ck_assert_str_eq(gmigd.said, "");
	one_round();
	ck_assert_uint_eq(guest_named("web1")->serial, serial);
	model.root = "";
	tree_remove();
	gmigd.said[0] = '\0';
	ticks = guest_named("web1")->start_ticks;
	guest_named("web1")->start_ticks = 0;
	ck_assert_int_eq(top_ask_command(ask, serial, "job-cancel", NULL, &err), 0);
	ck_has(outcome(), "it cannot be seen whether");
	ck_assert_str_eq(gmigd.said, "");
	/* It has that number, but began at another time. */
	guest_named("web1")->start_ticks = ticks + 1;
	ck_assert_int_eq(top_ask_command(ask, serial, "job-cancel", NULL, &err), 0);
	ck_assert_str_eq(outcome(), "the guest has ended");
	ck_assert_str_eq(gmigd.said, "");
	gmigd.pid = getppid();
	one_round();
	one_round();
	ck_assert_uint_ne(guest_named("web1")->serial, serial);
	ck_assert_int_eq(top_ask_command(ask, serial, "job-cancel", NULL, &err), -ESRCH);
	control_server_destroy(gmigd.server);
}
END_TEST

START_TEST(once_prints_a_table_or_an_object)
{
	const json_t *guest;
	json_t *all;

	ck_assert_int_eq(gmig("top", "--once", NULL), CLI_OK);
	ck_has(out_text, "gmig top: 1 guest, ");
	ck_has(out_text, "\nNAME HOME VCPU%");
	ck_has(out_text, "\nvm1 ");
	ck_has(out_text, "2 fake nodes (pretended)");
	ck_assert_int_eq(gmig("top", "--once", "--json", NULL), CLI_OK);
	all = out_json();
	guest = json_array_get(json_object_get(all, "guests"), 0);
	ck_assert_str_eq(cli_text(guest, "name"), "vm1");
	ck_assert_uint_eq(cli_number(guest, "bytes"), 1 << 30);
	json_decref(all);
}
END_TEST

/* 1024 guests are more connections than most shells allow. */
START_TEST(as_many_guests_are_asked_as_the_system_lets_it)
{
	struct rlimit limit;

	ck_assert_int_eq(getrlimit(RLIMIT_NOFILE, &limit), 0);
	limit.rlim_cur = limit.rlim_max < 256 ? limit.rlim_max : 256;
	ck_assert_int_eq(setrlimit(RLIMIT_NOFILE, &limit), 0);
	ck_assert_int_eq(gmig("top", "--once", NULL), CLI_OK);
	ck_assert_int_eq(getrlimit(RLIMIT_NOFILE, &limit), 0);
	ck_assert_uint_eq(limit.rlim_cur, limit.rlim_max);
}
END_TEST

START_TEST(bad_options_are_usage)
{
	ck_assert_int_eq(gmig("top", "--once", "--sort", "colour", NULL), CLI_USAGE);
	ck_assert_int_eq(gmig("top", "--once", "--delay", "0", NULL), CLI_USAGE);
	ck_assert_int_eq(gmig("top", "--once", "--delay", "61", NULL), CLI_USAGE);
	ck_assert_int_eq(gmig("top", "vm1", NULL), CLI_USAGE);
	ck_assert_str_eq(fake.log, "");
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("top_ask");
	TCase *tcase = tcase_create("ask"), *line = fake_case(suite, "command line");

	tcase_add_checked_fixture(tcase, setup, teardown);
	tcase_add_test(tcase, guest_that_answers_has_a_row);
	tcase_add_test(tcase, guest_that_does_not_greet_is_no_answer);
	tcase_add_test(tcase, guest_that_is_silent_is_no_answer);
	tcase_add_test(tcase, guest_that_takes_no_connection_is_no_answer);
	tcase_add_test(tcase, guest_that_has_died_is_stale_and_then_gone);
	tcase_add_test(tcase, command_reaches_its_guest_and_its_outcome_is_told);
	tcase_add_test(tcase, command_to_a_guest_that_hangs_is_given_up);
	tcase_add_test(tcase, late_answer_is_not_taken_for_that_to_the_next_command);
	tcase_add_test(tcase, answer_of_another_version_is_not_understood);
	tcase_add_test(tcase, command_does_not_reach_another_guest_of_that_name);
	tcase_add_test(tcase, domains_are_rows_and_are_asked_for_by_their_uuid);
	tcase_add_test(tcase, domains_of_a_gmigd_that_hangs_are_no_answer);
	tcase_add_test(tcase, command_reaches_no_other_process_of_a_domain);
	suite_add_tcase(suite, tcase);
	tcase_add_test(line, once_prints_a_table_or_an_object);
	tcase_add_test(line, as_many_guests_are_asked_as_the_system_lets_it);
	tcase_add_test(line, bad_options_are_usage);
	return run_suite(suite);
}
