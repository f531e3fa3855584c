/* Talking to a VM. */
#include "cli.h"
#include "daemon.h"

#include "../control/text.h"

#include <errno.h>
#include <limits.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define START_POLL_NS 5000000

/* A VMM that is stopped or hangs still accepts connections, but sends no greeting. */
struct cli_limits cli_limits = {.start_ms = 5000,
				.grace_ms = 500,
				.connect_ms = 10000,
				.answer_ms = CONTROL_ANSWER_MS,
				.watch_ms = 120000,
				.long_ms = 600000,
				.list_ms = 2000,
				.follow_ms = 1000,
				.quit_ms = 30000,
				.balloon_ms = 30000};

int64_t cli_now_ms(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (int64_t)ts.tv_sec * 1000 + ts.tv_nsec / 1000000;
}

/* What to do about a guest that cannot be reached: the error's text says what is wrong, and no more. */
static int advise(int rc, struct gmig_error *err)
{
	struct gmig_error what;
	const char *next;

	if (!err)
		return rc;
	what = *err;
	switch (rc) {
	case -ENOENT:
		next = "gmig list tells what runs here";
		break;
	case -ECONNREFUSED:
		next = "gmig list calls it stale; a new guest of that name takes its place";
		break;
	case -EACCES:
		next = "run gmig as that user, or as root";
		break;
	case -ETIMEDOUT:
		next = "it hangs, or somebody has stopped its process (kill -CONT)";
		break;
	default:
		return rc;
	}
	return gmig_fail(err, rc, "%.235s; %s", what.text, next);
}

/* To a guest that is starting: `gmig-vmm .. & gmig ..` must do what it seems to. */
static int connect_when_started(const char *path, struct control_client **client,
				struct gmig_error *err)
{
	const struct timespec pause = {.tv_nsec = START_POLL_NS};
	int64_t start_ms = cli_now_ms();

	for (;;) {
		int rc = control_connect(path, cli_limits.connect_ms, client, err);
		int64_t waited_ms = cli_now_ms() - start_ms;

		if (rc != -ENOENT && rc != -ECONNREFUSED)
			return rc ? advise(rc, err) : 0;
		if (waited_ms >= cli_limits.start_ms ||
		    (waited_ms >= cli_limits.grace_ms && !control_is_starting(path)))
			return advise(rc, err);
		nanosleep(&pause, NULL);
	}
}

#define AMBIGUOUS_MS                                                                               \
	500 /* gmigd is asked for no longer about a guest that has a socket of its own */

/* A guest of gmig-vmm goes first; that a domain has its name must be told, or somebody moves the wrong one. */
static void tell_ambiguous(const char *vm)
{
	CLI_CLIENT domain = NULL;

	if (!access(cli_daemon_socket(), F_OK) &&
	    !cli_daemon_connect(vm, AMBIGUOUS_MS, &domain, NULL))
		cli_complain(
		    "'%.64s' is taken for the guest of gmig-vmm; a domain of libvirt has that "
		    "name, too: qemu:///system/%.64s",
		    vm, vm);
}

/* By its name: one's own socket, or one that is about to come, else gmigd. */
static int connect_named(const char *vm, struct control_client **client, struct gmig_error *err)
{
	struct gmig_error other = {0};
	char path[PATH_MAX];
	int rc = control_socket_path(vm, path, sizeof(path), err);
	int absent = !rc && access(path, F_OK) ? errno : 0;

	/* A domain of that name is another guest. Who may not enter the directory has none there. */
	if (absent && absent != ENOENT && absent != ENOTDIR && absent != EACCES)
		return gmig_fail(err, -absent, "cannot look at '%.160s': %s", path,
				 strerror(absent));
	if (!rc && !absent) {
		rc = connect_when_started(path, client, err);
		if (!rc)
			tell_ambiguous(vm);
		return rc;
	}
	/* Also a name that no guest of gmig-vmm can have. */
	if (!cli_daemon_connect(vm, cli_limits.connect_ms, client, &other))
		return 0;
	if (rc)
		return rc;
	rc = connect_when_started(path, client, err);
	if (rc == -ENOENT && !strncmp(vm, "pid:", 4))
		return gmig_fail(err, rc,
				 "'%.64s' is a process, and no guest: gmig migrate and gmig move "
				 "move its memory, and no other command is for it",
				 vm);
	/* Which of the two says more of it. */
	if (rc == -ENOENT && other.code != -ENOENT && other.code != -ECONNREFUSED)
		rc = gmig_fail(err, other.code, "no guest of gmig-vmm, and gmigd says: %.250s",
			       other.text);
	return rc;
}

int cli_connect(const char *vm, struct control_client **client, struct gmig_error *err)
{
	int rc;

	if (cli_is_domain(vm))
		rc = cli_daemon_connect(vm, cli_limits.connect_ms, client, err);
	else if (strchr(vm, '/'))
		rc = connect_when_started(vm, client, err);
	else
		rc = connect_named(vm, client, err);
	if (!rc)
		control_client_set_limit(*client, cli_limits.answer_ms);
	return rc;
}

static int ask(const char *vm, const struct cli_query *query, json_t *arguments, json_t **result,
	       struct gmig_error *err)
{
	CLI_CLIENT client = NULL;
	int rc = cli_connect(vm, &client, err);

	if (rc) {
		json_decref(arguments);
		return rc;
	}
	if (query->is_long && *query->is_long)
		control_client_set_limit(client, cli_limits.long_ms);
	return control_call(client, query->command, arguments, result, err);
}

int cli_ask(const char *vm, const char *command, json_t *arguments, json_t **result,
	    struct gmig_error *err)
{
	const struct cli_query query = {.command = command};

	return ask(vm, &query, arguments, result, err);
}

static int print_answer(const struct cli_query *query, const json_t *answer)
{
	CLI_JSON safe = query->args.json ? NULL : control_json_safe(answer);

	if (query->args.json)
		cli_print_json(answer);
	else
		query->print(&query->args, safe);
	return query->status ? (int)query->status(answer) : CLI_OK;
}

/* A job that is not there, or has ended. */
static void add_jobs(const char *vm, struct gmig_error *err)
{
	const struct gmig_error what = *err;

	gmig_error_set(err, what.code, "%.200s; gmig jobs %.64s lists them", what.text, vm);
}

int cli_run_query(int argc, char **argv, struct cli_query *query)
{
	int status = cli_parse(argc, argv, &query->args);
	struct gmig_error err = {0};
	CLI_JSON arguments = NULL;
	CLI_JSON answer = NULL;

	if (status >= 0)
		return status;
	arguments = json_object();
	status = query->ask ? query->ask(&query->args, arguments) : -1;
	if (status >= 0)
		return status;
	if (ask(query->args.words[0], query, json_incref(arguments), &answer, &err)) {
		if (err.code == -ESRCH && query->args.kinds[1] == CLI_WORD_JOB)
			add_jobs(query->args.words[0], &err);
		return cli_fail(query->args.json, &err);
	}
	return print_answer(query, answer);
}
