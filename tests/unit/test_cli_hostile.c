/* gmig against servers that attack the terminal, or keep it waiting. */
#include "hostile_server.h"

#include <limits.h>
#include <semaphore.h>
#include <signal.h>
#include <sys/inotify.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>

static sem_t watched;

/* ---- Text of a guest or of a VMM ------------------------------------------------------------- */

static json_t *vmm_answer(const char *command)
{
	json_t *result, *answer;

	if (!strcmp(command, "job-cancel"))
		return json_pack("{s:{s:s, s:s}}", "error", "class", "G", "desc", "no such job");
	if (!strcmp(command, "query-residency"))
		result = fake_guest();
	else if (!strcmp(command, "query-jobs"))
		result = json_pack("[o]", fake_job("running", 1, 1 << 20));
	else if (!strcmp(command, "query-status"))
		result = json_pack("{s:s, s:i, s:s, s:s}", "name", "vm1", "pid", 1, "state", "x",
				   "guest", "probe");
	else if (!strcmp(command, "check-invariants") || !strcmp(command, "repair-table"))
		result = json_pack("{s:b, s:b, s:[{s:s, s:s}]}", "ok", 0, "done", 1, "breaches",
				   "invariant", "I1", "detail", "x");
	else if (!strcmp(command, "migrate-pages") || !strcmp(command, "move-pages") ||
		 !strcmp(command, "bind-memory"))
		result = fake_job("running", 1 << 20, 1 << 20);
	else
		result = fake_job("completed", 1 << 20, 1 << 20);
	if (!strcmp(command, "query-residency"))
		json_object_set_new(result, "migration", json_string("off"));
	answer = json_pack("{s:o}", "return", result);
	return answer;
}

static const struct {
	const char *words[8];
} vmm_commands[] = {
    {{"list"}},
    {{"show", "evil"}},
    {{"jobs", "evil"}},
    {{"check", "evil"}},
    {{"check", "evil", "--repair"}},
    {{"histogram", "evil"}},
    {{"cancel", "evil", "1"}},
    {{"pause-job", "evil", "1"}},
    {{"set-rate", "evil", "1", "2M"}},
    {{"wait", "evil", "1", "--timeout", "2"}},
    {{"migrate", "evil", "--from", "0", "--to", "1", "--detach"}},
};
#define VMM_COMMANDS (int)(sizeof(vmm_commands) / sizeof(vmm_commands[0]))

#define WORDS(w) (w)[0], (w)[1], (w)[2], (w)[3], (w)[4], (w)[5], (w)[6], (w)[7]

static struct hostile_server evil;

/* As guest `evil` beside vm1. */
static void start_as(struct hostile_server server)
{
	char path[108];

	snprintf(path, sizeof(path), "%s/gmig/evil.sock", fake.directory);
	evil = server; /* whole before its thread starts, which reads it without a lock */
	hostile_start(&evil, path);
}

static void start_evil(enum hostile_way way)
{
	start_as((struct hostile_server){.way = way, .answer = vmm_answer});
}

START_TEST(text_of_a_vmm_is_harmless_on_the_terminal)
{
	start_evil(HOSTILE_ANSWERS);
	gmig(WORDS(vmm_commands[_i].words), NULL);
	ck_assert(*out_text || *err_text);
	ck_harmless(out_text);
	ck_harmless(err_text);
	hostile_stop(&evil);
}
END_TEST

/* It says that it is somebody else, and goes away when it is asked how its job does. */
START_TEST(text_of_a_vmm_among_all_is_harmless_on_the_terminal)
{
	start_as((struct hostile_server){
	    .way = HOSTILE_ENDS, .answer = vmm_answer, .last_command = "query-jobs"});
	ck_assert_int_eq(
	    gmig("migrate", "--all", "--guest", "evil", "--from", "0", "--to", "1", NULL),
	    CLI_FAILED);
	ck_has(out_text, "evil: job 1");
	ck_harmless(out_text);
	ck_harmless(err_text);
	hostile_stop(&evil);
}
END_TEST

static json_t *impostor_answer(const char *command)
{
	if (!strcmp(command, "query-status"))
		return json_pack("{s:{s:s, s:i, s:s, s:s}}", "return", "name", "vm1", "pid", 1,
				 "state", "stale", "uri", "qemu:///system/other");
	return vmm_answer(command);
}

START_TEST(vmm_is_known_by_its_socket_whatever_it_says_of_itself)
{
	json_t *list, *entry;

	start_as((struct hostile_server){
	    .way = HOSTILE_ANSWERS, .answer = impostor_answer, .exact = true});
	ck_assert_int_eq(gmig("list", "--json", NULL), CLI_OK);
	list = out_json();
	entry = json_array_get(list, 0);
	ck_assert_str_eq(cli_text(entry, "name"), "evil");
	ck_assert_ptr_null(json_object_get(entry, "uri"));
	json_decref(list);
	/* Its job, and not vm1's; that it calls itself stale does not hide it. */
	hostile_stop(&evil);
	start_as((struct hostile_server){.way = HOSTILE_ENDS,
					 .answer = impostor_answer,
					 .last_command = "query-jobs",
					 .exact = true});
	fake.last = fake_job("completed", 1 << 30, 0);
	ck_assert_int_eq(gmig("migrate", "--all", "--from", "0", "--to", "1", NULL), CLI_FAILED);
	ck_has(out_text, "evil: job 1 failed");
	ck_has(out_text, "vm1: job 1 completed");
	ck_assert_ptr_null(strstr(strstr(fake.log, "migrate-pages ") + 1, "migrate-pages "));
	hostile_stop(&evil);
}
END_TEST

START_TEST(json_of_a_vmm_stays_exact)
{
	json_t *guest = fake_guest(), *want, *got;

	json_object_set_new(guest, "migration", json_string("off"));
	want = hostile_poison(guest);
	start_evil(HOSTILE_ANSWERS);
	ck_assert_int_eq(gmig("show", "evil", "--json", NULL), CLI_OK);
	got = out_json();
	ck_assert(json_equal(got, want));
	json_decref(got);
	/* An error's text, too. */
	ck_assert_int_eq(gmig("cancel", "evil", "1", "--json", NULL), CLI_FAILED);
	got = out_json();
	ck_assert_str_eq(cli_text(json_object_get(got, "error"), "desc"),
			 "no such job" HOSTILE_TEXT);
	ck_harmless(err_text);
	json_decref(got);
	json_decref(want);
	json_decref(guest);
	hostile_stop(&evil);
}
END_TEST

/* ---- Text of an agent ------------------------------------------------------------------------ */

static json_t *agent_answer(const char *command)
{
	static const struct {
		const char *command, *json;
	} answers[] = {
	    {"processes", "{\"processes\":[{\"pid\":1,\"comm\":\"x\",\"bytes\":5,\"nodes\":{\"0\":"
			  "20000000,\"1\":30000000},\"cpu_nodes\":[0],\"cpus\":\"0\"}]}"},
	    {"numa-maps", "{\"pid\":7,\"comm\":\"x\",\"nodes\":{\"0\":{\"4K\":1}},\"mappings\":[{"
			  "\"start\":\"0\",\"end\":\"1\",\"policy\":\"p\",\"what\":\"w\",\"pages\":"
			  "{\"0\":1}}]}"},
	    {"guest-info", "{\"agent\":\"a\",\"version\":\"1\",\"kernel\":\"6\","
			   "\"supported_commands\":[{\"name\":\"n\"}]}"},
	    {"numa-topology", "{\"nodes\":[{\"id\":0,\"cpus\":[0]},{\"id\":1,\"cpus\":[1]}]}"},
	    {"query-jobs", "[{\"id\":\"1\",\"kind\":\"k\",\"state\":\"s\"}]"},
	    {"job-status",
	     "{\"id\":\"1\",\"kind\":\"k\",\"state\":\"s\",\"error\":{\"desc\":\"d\"},"
	     "\"remaining\":{\"EBUSY\":1}}"},
	    {"stall-probe", "{\"id\":\"1\",\"kind\":\"k\",\"state\":\"running\"}"},
	    {"set-affinity", "{\"cpus\":\"0\"}"},
	    {"move-pages", "{\"status\":[1],\"errors\":{\"EBUSY\":1}}"},
	};

	for (size_t i = 0; i < sizeof(answers) / sizeof(answers[0]); i++)
		if (!strcmp(answers[i].command, command))
			return json_pack("{s:o}", "return", json_loads(answers[i].json, 0, NULL));
	return json_pack("{s:{s:s, s:i}}", "error", "desc", "no", "number", 1);
}

static const struct {
	const char *words[8];
} agent_verbs[] = {
    {{"ping"}},
    {{"info"}},
    {{"topology"}},
    {{"ps"}},
    {{"maps", "--pid", "7"}},
    {{"move", "--pid", "7", "--addresses", "1"}},
    {{"affinity", "--pid", "7", "--cpus", "0"}},
    {{"jobs"}},
    {{"job", "1"}},
    {{"migrate", "--all", "--from-vnode", "0", "--to-vnode", "1"}},
};
#define AGENT_VERBS (int)(sizeof(agent_verbs) / sizeof(agent_verbs[0]))

/* At the port of guest vm1's agent. last_command: what it does not answer any more; NULL: it answers all. */
static void start_agent(enum hostile_way way, const char *last_command)
{
	char path[108];

	snprintf(path, sizeof(path), "%s/agent.sock", fake.directory);
	evil = (struct hostile_server){.way = way,
				       .answer = agent_answer,
				       .is_agent = true,
				       .last_command = last_command,
				       .exact = last_command != NULL};
	hostile_start(&evil, path);
	fake.ports = json_pack("[{s:s, s:s}]", "name", "org.gmig.agent.0", "path", path);
}

START_TEST(text_of_an_agent_is_harmless_on_the_terminal)
{
	start_agent(HOSTILE_ANSWERS, NULL);
	gmig("agent", "vm1", WORDS(agent_verbs[_i].words), NULL);
	ck_assert(*out_text || *err_text);
	ck_harmless(out_text);
	ck_harmless(err_text);
	hostile_stop(&evil);
}
END_TEST

START_TEST(text_of_an_agent_beside_a_migration_is_harmless_on_the_terminal)
{
	start_agent(HOSTILE_ANSWERS, NULL);
	fake.last = fake_job("completed", 1 << 30, 0);
	gmig("migrate", "vm1", "--from", "0", "--to", "1", "--with-guest", NULL);
	ck_has(out_text, "in the guest: process 1");
	ck_harmless(out_text);
	ck_harmless(err_text);
	hostile_stop(&evil);
}
END_TEST

/* ---- Peers that keep gmig waiting ------------------------------------------------------------- */

/*
 * All short; what a case waits for must be the limit that it is about. A peer that answers first, and
 * keeps gmig waiting then, has AT_WORK_MS: a busy machine is not a silent one. Both are far from the
 * limits of use and from IN_TIME_MS.
 */
#define SILENT_MS  100
#define AT_WORK_MS 2000
#define IN_TIME_MS 9500

static void set_limits(int ms)
{
	cli_limits = (struct cli_limits){.connect_ms = ms,
					 .answer_ms = ms * 3 / 2,
					 .watch_ms = ms * 3 / 2,
					 .long_ms = ms * 2,
					 .list_ms = ms * 3 / 2,
					 .quit_ms = ms};
}

static int64_t elapsed_ms(int64_t since_ms)
{
	return cli_now_ms() - since_ms;
}

static const struct {
	enum hostile_way way;
	const char *text;
} waits[] = {
    {HOSTILE_FULL, "takes no more connections"},
    {HOSTILE_NO_GREETING, "does not answer"},
    {HOSTILE_SILENT, "does not answer"},
    {HOSTILE_CHATTERS, "does not answer"},
};
#define WAITS (int)(sizeof(waits) / sizeof(waits[0]))

START_TEST(command_to_a_vmm_that_keeps_it_waiting_fails_in_time)
{
	static const struct {
		const char *words[8];
	} commands[] = {
	    {{"show", "evil"}},
	    {{"show", "evil", "--fresh"}},
	    {{"check", "evil"}},
	    {{"jobs", "evil"}},
	    {{"check", "evil", "--repair"}},
	    {{"quit", "evil"}},
	    {{"migrate", "evil", "--from", "0", "--to", "1"}},
	    {{"agent", "evil", "ping"}},
	};

	start_evil(waits[_i].way);
	set_limits(SILENT_MS);
	for (size_t i = 0; i < sizeof(commands) / sizeof(commands[0]); i++) {
		int64_t start_ms = cli_now_ms();

		ck_assert_int_eq(gmig(WORDS(commands[i].words), NULL), CLI_FAILED);
		ck_assert_int_lt(elapsed_ms(start_ms), IN_TIME_MS);
		ck_has(err_text, waits[_i].text);
	}
	hostile_stop(&evil);
}
END_TEST

START_TEST(command_to_an_agent_that_keeps_it_waiting_fails_in_time)
{
	int64_t start_ms;

	start_agent(waits[_i].way, NULL);
	set_limits(AT_WORK_MS);
	start_ms = cli_now_ms();
	ck_assert_int_eq(gmig("agent", "vm1", "ps", NULL), CLI_FAILED);
	ck_assert_int_lt(elapsed_ms(start_ms), IN_TIME_MS);
	ck_has(err_text, waits[_i].text);
	hostile_stop(&evil);
}
END_TEST

START_TEST(quit_of_a_vmm_that_never_ends_fails_in_time)
{
	int64_t start_ms = cli_now_ms();

	set_limits(AT_WORK_MS);
	ck_assert_int_eq(gmig("quit", "vm1", NULL), CLI_FAILED);
	ck_assert_int_lt(elapsed_ms(start_ms), IN_TIME_MS);
	ck_has(err_text, "the VMM was told to end, and has not done so");
}
END_TEST

/* Greets and answers up to `command`. */
static void start_until(enum hostile_way way, const char *command)
{
	start_as((struct hostile_server){
	    .way = way, .answer = vmm_answer, .last_command = command, .exact = true});
	set_limits(AT_WORK_MS);
}

START_TEST(migrate_of_a_vmm_that_falls_silent_names_the_job_and_how_to_find_it)
{
	json_t *result;

	start_until(HOSTILE_ANSWERS, "query-jobs");
	ck_assert_int_eq(gmig("migrate", "evil", "--from", "0", "--to", "1", "--json", NULL),
			 CLI_FAILED);
	ck_assert_str_eq(err_text, "gmig: job 1: the server does not answer in time; it may go on: "
				   "gmig jobs evil\n");
	result = out_json();
	ck_assert_str_eq(cli_text(result, "job"), "1");
	ck_assert_str_eq(cli_text(result, "state"), "unknown");
	json_decref(result);
	hostile_stop(&evil);
}
END_TEST

static const struct {
	const char *command, *words[8];
} job_commands[] = {
    {"move-pages", {"move", "evil", "--gpa", "0", "--to", "1"}},
    {"bind-memory", {"bind", "evil", "--range=0+4K", "--policy", "bind", "--nodes", "1", "--move"}},
    {"migrate-pages", {"migrate", "--all", "--guest", "evil", "--from=0", "--to=1"}},
};

START_TEST(job_of_a_vmm_that_falls_silent_may_go_on)
{
	start_until(HOSTILE_ANSWERS, "query-jobs");
	ck_assert_int_eq(gmig(WORDS(job_commands[_i].words), NULL), CLI_FAILED);
	ck_has(job_commands[_i].words[1][0] == '-' ? out_text : err_text, "may go on");
	ck_has(job_commands[_i].words[1][0] == '-' ? out_text : err_text, "gmig jobs evil");
	hostile_stop(&evil);
	/* And what is not answered at all may be carried out. */
	start_until(HOSTILE_ANSWERS, job_commands[_i].command);
	ck_assert_int_eq(gmig(WORDS(job_commands[_i].words), NULL), CLI_FAILED);
	ck_has(err_text, "the server does not answer in time");
	ck_has(err_text, "the migration may start or go on all the same");
	hostile_stop(&evil);
}
END_TEST

START_TEST(migrate_that_is_not_answered_says_that_it_may_start)
{
	start_until(HOSTILE_ANSWERS, "migrate-pages");
	ck_assert_int_eq(gmig("migrate", "evil", "--from", "0", "--to", "1", NULL), CLI_FAILED);
	ck_assert_str_eq(err_text, "gmig: the server does not answer in time; the migration may "
				   "start or go on all the same: gmig jobs evil\n");
	hostile_stop(&evil);
}
END_TEST

/* As after kill -9, wherever it is noticed. */
START_TEST(vmm_that_ends_is_told_in_one_text)
{
	static const char *const at[] = {"query-jobs", "migrate-pages"};
	static const char *const texts[] = {
	    "gmig: job 1: the server has ended: the connection is closed\n",
	    "gmig: the server has ended: the connection is closed\n"};

	start_until(HOSTILE_ENDS, at[_i]);
	ck_assert_int_eq(gmig("migrate", "evil", "--from", "0", "--to", "1", NULL), CLI_FAILED);
	ck_assert_str_eq(err_text, texts[_i]);
	/* The socket file stays after a kill. */
	shutdown(evil.listener, SHUT_RDWR);
	pthread_join(evil.thread, NULL);
	ck_assert_int_eq(gmig("show", "evil", NULL), CLI_FAILED);
	ck_has(err_text, "gmig: the server has ended: nobody listens at '");
	close(evil.listener);
	unlink(evil.path);
}
END_TEST

START_TEST(agent_job_that_falls_silent_names_the_job)
{
	start_agent(HOSTILE_ANSWERS, "job-status");
	set_limits(AT_WORK_MS);
	ck_assert_int_eq(gmig("agent", "vm1", "stall-probe", NULL), CLI_FAILED);
	ck_has(err_text, "gmig: job 1: the guest's agent does not answer");
	ck_has(err_text, "; the job may go on: gmig agent vm1 jobs");
	hostile_stop(&evil);
}
END_TEST

/* ---- A guest that is starting ----------------------------------------------------------------- */

static int name_lock;

/* The VMM: it has its name, and listens when somebody has looked at that. */
static void *start_late(void *opaque)
{
	char room[sizeof(struct inotify_event) + NAME_MAX + 1], path[108];
	int watch = inotify_init1(IN_CLOEXEC);

	snprintf(path, sizeof(path), "%s/gmig/evil.lock", fake.directory);
	ck_assert_int_ge(inotify_add_watch(watch, path, IN_OPEN), 0);
	sem_post(&watched);
	ck_assert_int_gt(read(watch, room, sizeof(room)), 0);
	close(watch);
	snprintf(path, sizeof(path), "%s/gmig/evil.sock", fake.directory);
	evil = (struct hostile_server){.way = HOSTILE_ANSWERS, .answer = vmm_answer, .exact = true};
	hostile_start(&evil, path);
	return opaque;
}

START_TEST(command_on_a_guest_that_is_starting_waits_for_it)
{
	struct gmig_error err = {0};
	pthread_t thread;

	sem_init(&watched, 0, 0);
	name_lock = control_lock_name("evil", &err);
	ck_assert_msg(name_lock >= 0, "%s", err.text);
	pthread_create(&thread, NULL, start_late, NULL);
	sem_wait(&watched);
	ck_assert_int_eq(gmig("jobs", "evil", NULL), CLI_OK);
	ck_assert_str_eq(err_text, "");
	pthread_join(thread, NULL);
	hostile_stop(&evil);
	control_unlock_name("evil", name_lock);
}
END_TEST

START_TEST(command_on_a_guest_that_never_starts_fails_in_time)
{
	int64_t start_ms = cli_now_ms();

	name_lock = control_lock_name("evil", NULL);
	ck_assert_int_ge(name_lock, 0);
	cli_limits.start_ms = 100;
	ck_assert_int_eq(gmig("jobs", "evil", NULL), CLI_FAILED);
	ck_has(err_text, "there is no socket '");
	ck_assert_int_ge(elapsed_ms(start_ms), 100);
	ck_assert_int_lt(elapsed_ms(start_ms), 5000); /* the limit of use */
	control_unlock_name("evil", name_lock);
}
END_TEST

#define SILENT 40

START_TEST(list_asks_all_guests_at_once)
{
	struct hostile_server silent[SILENT];
	json_t *list;
	int64_t took_ms;

	for (int i = 0; i < SILENT; i++) {
		char path[108];

		snprintf(path, sizeof(path), "%s/gmig/s%02d.sock", fake.directory, i);
		silent[i] =
		    (struct hostile_server){.way = i % 2 ? HOSTILE_SILENT : HOSTILE_NO_GREETING};
		hostile_start(&silent[i], path);
	}
	set_limits(AT_WORK_MS);
	took_ms = cli_now_ms();
	ck_assert_int_eq(gmig("list", "--json", NULL), CLI_OK);
	took_ms = elapsed_ms(took_ms);
	list = out_json();
	ck_assert_uint_eq(json_array_size(list), SILENT + 1);
	for (int i = 0; i < SILENT; i++)
		ck_assert_str_eq(cli_text(json_array_get(list, (size_t)i), "state"), "silent");
	ck_assert_str_eq(cli_text(json_array_get(list, SILENT), "state"), "running");
	json_decref(list);
	for (int i = 0; i < SILENT; i++)
		hostile_stop(&silent[i]);
	/* One after the other they are 40 times 4.5 s. */
	ck_assert_int_lt(took_ms, 60000);
}
END_TEST

#define MANY 300

/* A process that listens at so many sockets, and is stopped: the kernel still takes connections for it. */
static pid_t start_stopped(void)
{
	pid_t pid = fork();
	int status;

	if (!pid) {
		for (int i = 0; i < MANY; i++) {
			struct sockaddr_un address = {.sun_family = AF_UNIX};
			int fd = socket(AF_UNIX, SOCK_STREAM, 0);

			snprintf(address.sun_path, sizeof(address.sun_path),
				 "%.80s/gmig/h%03d.sock", fake.directory, i);
			if (bind(fd, (struct sockaddr *)&address, sizeof(address)) || listen(fd, 8))
				_exit(1);
		}
		raise(SIGSTOP);
		_exit(0);
	}
	ck_assert_int_eq(waitpid(pid, &status, WUNTRACED), pid);
	ck_assert(WIFSTOPPED(status));
	return pid;
}

/* With few files open at a time, and then also with no right to more of them. */
START_TEST(list_of_many_that_are_stopped_names_each_and_takes_no_longer)
{
	const struct rlimit files = {.rlim_cur = 128, .rlim_max = _i ? 256 : 4096};
	pid_t stopped = start_stopped();
	json_t *list = json_array(), *entry;
	struct gmig_error err;
	int silent = 0;
	int64_t took_ms;
	size_t at;

	ck_assert_int_eq(setrlimit(RLIMIT_NOFILE, &files), 0);
	cli_limits.list_ms = 1000;
	took_ms = cli_now_ms();
	ck_assert_int_eq(cli_list_guests(list, &err), 0);
	took_ms = elapsed_ms(took_ms);
	kill(stopped, SIGKILL);
	waitpid(stopped, NULL, 0);
	json_array_foreach (list, at, entry)
		silent += !strcmp(cli_text(entry, "state"), "silent");
	ck_assert_int_eq(silent, MANY);
	json_decref(list);
	/* One round, or four; one after the other they take 300 s. */
	ck_assert_int_lt(took_ms, _i ? 60000 : 30000);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("cli-hostile");
	TCase *tcase = fake_case(suite, "text");

	tcase_add_loop_test(tcase, text_of_a_vmm_is_harmless_on_the_terminal, 0, VMM_COMMANDS);
	tcase_add_test(tcase, text_of_a_vmm_among_all_is_harmless_on_the_terminal);
	tcase_add_test(tcase, vmm_is_known_by_its_socket_whatever_it_says_of_itself);
	tcase_add_test(tcase, json_of_a_vmm_stays_exact);
	tcase_add_loop_test(tcase, text_of_an_agent_is_harmless_on_the_terminal, 0, AGENT_VERBS);
	tcase_add_test(tcase, text_of_an_agent_beside_a_migration_is_harmless_on_the_terminal);
	tcase = fake_case(suite, "waits");
	tcase_add_loop_test(tcase, command_to_a_vmm_that_keeps_it_waiting_fails_in_time, 0, WAITS);
	tcase_add_loop_test(tcase, command_to_an_agent_that_keeps_it_waiting_fails_in_time, 0,
			    WAITS);
	tcase_add_test(tcase, quit_of_a_vmm_that_never_ends_fails_in_time);
	tcase_add_test(tcase, command_on_a_guest_that_is_starting_waits_for_it);
	tcase_add_test(tcase, command_on_a_guest_that_never_starts_fails_in_time);
	tcase_add_test(tcase, list_asks_all_guests_at_once);
	tcase_add_loop_test(tcase, list_of_many_that_are_stopped_names_each_and_takes_no_longer, 0,
			    2);
	tcase_add_test(tcase, migrate_of_a_vmm_that_falls_silent_names_the_job_and_how_to_find_it);
	tcase_add_loop_test(tcase, job_of_a_vmm_that_falls_silent_may_go_on, 0, 3);
	tcase_add_test(tcase, migrate_that_is_not_answered_says_that_it_may_start);
	tcase_add_loop_test(tcase, vmm_that_ends_is_told_in_one_text, 0, 2);
	tcase_add_test(tcase, agent_job_that_falls_silent_names_the_job);
	return run_suite(suite);
}
