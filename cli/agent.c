/* The connection to a guest's agent, see agent.h. */
#include "agent.h"
#include "progress.h"

#include "../control/control.h"
#include "../control/line.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#define LINE_BYTES	 (16u << 20)
#define JOB_POLL_NS	 200000000
#define CONNECT_RETRY_NS 10000000
#define RESYNC		 "\xff"

struct cli_agent {
	int fd;
	json_int_t next_id;
	struct line_reader *reader;
	char input[16384];
	size_t head, tail;
};

/* ---- Lines ----------------------------------------------------------------------------------- */

/* Whoever is always ready, as one who sends noise without end, does not get around the deadline. */
static int wait_for(const struct cli_agent *agent, short events, int64_t deadline_ms,
		    struct gmig_error *err)
{
	int64_t left_ms;

	while ((left_ms = deadline_ms - cli_now_ms()) >= 0) {
		struct pollfd poller = {.fd = agent->fd, .events = events};
		int rc = poll(&poller, 1, (int)left_ms);

		if (rc > 0)
			return 0;
		if (rc < 0 && errno != EINTR)
			return gmig_fail(err, -errno, "poll: %s", strerror(errno));
	}
	return gmig_fail(
	    err, -ETIMEDOUT,
	    "the guest's agent does not answer: it does not run (in the guest: systemctl "
	    "status gmig-agent), or another client has its port");
}

static int closed(struct gmig_error *err)
{
	return gmig_fail(err, -EPIPE, "the connection to the guest's agent has ended");
}

static int send_text(struct cli_agent *agent, const char *text, size_t bytes, int64_t deadline_ms,
		     struct gmig_error *err)
{
	while (bytes) {
		ssize_t sent = send(agent->fd, text, bytes, MSG_NOSIGNAL | MSG_DONTWAIT);
		int rc = 0;

		if (sent > 0) {
			text += sent;
			bytes -= (size_t)sent;
		} else if (errno == EAGAIN) {
			rc = wait_for(agent, POLLOUT, deadline_ms, err);
		} else if (errno != EINTR) {
			return closed(err);
		}
		if (rc)
			return rc;
	}
	return 0;
}

/* The next line that is a JSON object, a new reference; *synced: a 0xFF came before it. Lines that
 * are not are the rest of somebody else's conversation. */
static int read_object(struct cli_agent *agent, int64_t deadline_ms, json_t **object, bool *synced,
		       struct gmig_error *err)
{
	for (;;) {
		enum line_result result = LINE_NONE;
		ssize_t got;
		int rc;

		while (agent->head < agent->tail && result != LINE_READY)
			agent->head += line_reader_feed(agent->reader, agent->input + agent->head,
							agent->tail - agent->head, &result);
		if (result == LINE_READY) {
			size_t length;
			const char *line = line_reader_line(agent->reader, &length);

			*synced = line_reader_resynced(agent->reader);
			*object = json_loadb(line, length, 0, NULL);
			if (json_is_object(*object))
				return 0;
			json_decref(*object);
			*object = NULL;
			continue;
		}
		rc = wait_for(agent, POLLIN, deadline_ms, err);
		if (rc)
			return rc;
		got = recv(agent->fd, agent->input, sizeof(agent->input), MSG_DONTWAIT);
		if (!got || (got < 0 && errno != EAGAIN && errno != EINTR))
			return closed(err);
		agent->head = 0;
		agent->tail = got > 0 ? (size_t)got : 0;
	}
}

/* ---- Connecting ------------------------------------------------------------------------------ */

/* EAGAIN: the queue of a living server is full. */
static int connect_until(int fd, const struct sockaddr_un *address, int64_t deadline_ms)
{
	const struct timespec pause = {.tv_nsec = CONNECT_RETRY_NS};

	while (connect(fd, (const struct sockaddr *)address, sizeof(*address))) {
		if (errno != EAGAIN && errno != EINTR)
			return -errno;
		if (cli_now_ms() >= deadline_ms)
			return -ETIMEDOUT;
		nanosleep(&pause, NULL);
	}
	return 0;
}

static int open_socket(const char *path, int64_t deadline_ms, struct gmig_error *err)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	int fd, code;
	bool refused;
	pid_t peer;

	if (strlen(path) >= sizeof(address.sun_path))
		return gmig_fail(err, -ENAMETOOLONG, "'%.120s' is too long for a socket", path);
	strcpy(address.sun_path, path);
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0)
		return gmig_fail(err, -errno, "no socket: %s", strerror(errno));
	code = connect_until(fd, &address, deadline_ms);
	refused = !code && control_check_peer(fd, path, &peer, err);
	if (!code && !refused)
		return fd;
	close(fd);
	if (refused)
		return -EPERM;
	if (code == -ETIMEDOUT)
		return gmig_fail(err, code, "the agent's port at '%s' takes no more connections",
				 path);
	return gmig_fail(err, code, "cannot connect to the agent's port at '%s': %s", path,
			 strerror(-code));
}

/* The 0xFF ends what an earlier client may have left half said. */
static int synchronize(struct cli_agent *agent, int64_t deadline_ms, struct gmig_error *err)
{
	uint32_t id = 0;
	char line[128];
	int rc;

	getrandom(&id, sizeof(id), GRND_NONBLOCK);
	snprintf(line, sizeof(line),
		 RESYNC "{\"execute\":\"guest-sync-delimited\",\"arguments\":{\"id\":%u}}\n", id);
	rc = send_text(agent, line, strlen(line), deadline_ms, err);
	while (!rc) {
		CLI_JSON object = NULL;
		const json_t *got;
		bool synced = false;

		rc = read_object(agent, deadline_ms, &object, &synced, err);
		got = json_object_get(object, "return");
		if (!rc && synced && json_is_integer(got) && json_integer_value(got) == id)
			break;
	}
	return rc;
}

int cli_agent_connect(const char *path, struct cli_agent **out, struct gmig_error *err)
{
	int64_t deadline_ms = cli_now_ms() + cli_limits.connect_ms;
	struct cli_agent *agent = calloc(1, sizeof(*agent));
	int rc;

	if (!agent)
		return gmig_fail(err, -ENOMEM, "out of memory");
	agent->fd = -1;
	agent->reader = line_reader_create(LINE_BYTES);
	rc = agent->reader ? open_socket(path, deadline_ms, err)
			   : gmig_fail(err, -ENOMEM, "out of memory");
	if (rc >= 0) {
		agent->fd = rc;
		rc = synchronize(agent, deadline_ms, err);
	}
	if (rc) {
		cli_agent_destroy(agent);
		return rc;
	}
	*out = agent;
	return 0;
}

int cli_agent_connect_vm(const char *vm, struct cli_agent **out, struct gmig_error *err)
{
	CLI_JSON status = NULL;
	size_t i;
	json_t *port;
	int rc = cli_ask(vm, "query-status", NULL, &status, err);

	if (rc)
		return rc;
	json_array_foreach (json_object_get(status, "ports"), i, port)
		if (!strcmp(cli_text(port, "name"), CLI_AGENT_PORT))
			return cli_agent_connect(cli_text(port, "path"), out, err);
	return gmig_fail(err, -ENXIO,
			 "guest '%.64s' has no port for an agent: start it with --port "
			 "name=" CLI_AGENT_PORT ",path=SOCKET",
			 vm);
}

void cli_agent_destroy(struct cli_agent *agent)
{
	if (!agent)
		return;
	if (agent->fd >= 0)
		close(agent->fd);
	line_reader_destroy(agent->reader);
	free(agent);
}

/* ---- Calls ----------------------------------------------------------------------------------- */

static int error_of(const json_t *error, struct gmig_error *err)
{
	const char *text = json_string_value(json_object_get(error, "desc"));
	json_int_t number = json_integer_value(json_object_get(error, "number"));

	return gmig_fail(err, number > 0 && number < 4096 ? (int)-number : -EREMOTEIO, "%s",
			 text ? text : "the agent gave an error without a text");
}

int cli_agent_call(struct cli_agent *agent, const char *command, json_t *arguments, json_t **result,
		   struct gmig_error *err)
{
	int64_t deadline_ms = cli_now_ms() + cli_limits.answer_ms;
	json_int_t id = ++agent->next_id;
	CLI_JSON request =
	    json_pack("{s:s, s:o*, s:I}", "execute", command, "arguments", arguments, "id", id);
	char *line = request ? json_dumps(request, JSON_COMPACT) : NULL;
	int rc;

	if (!line)
		return gmig_fail(err, -ENOMEM, "out of memory");
	rc = send_text(agent, line, strlen(line), deadline_ms, err);
	if (!rc)
		rc = send_text(agent, "\n", 1, deadline_ms, err);
	free(line);
	while (!rc) {
		CLI_JSON answer = NULL;
		const json_t *its_id;
		bool synced;

		rc = read_object(agent, deadline_ms, &answer, &synced, err);
		its_id = json_object_get(answer, "id");
		if (rc || !json_is_integer(its_id) || json_integer_value(its_id) != id)
			continue;
		if (json_object_get(answer, "error"))
			return error_of(json_object_get(answer, "error"), err);
		if (result)
			*result = json_incref(json_object_get(answer, "return"));
		return 0;
	}
	return rc;
}

/* ---- Jobs ------------------------------------------------------------------------------------ */

/* What the progress bar reads, from the agent's words. Jobs that take a time, and no amount, say that. */
static void show(json_t *job)
{
	double seconds = cli_real(job, "seconds");
	CLI_JSON picture = NULL;
	char text[96];

	if (!cli_number(job, "total_bytes")) {
		snprintf(text, sizeof(text), "%.40s: %.1f s", cli_text(job, "kind"), seconds);
		cli_progress_text(text);
		return;
	}
	json_object_set_new(
	    job, "bytes_per_second",
	    json_real(seconds > 0 ? (double)cli_number(job, "moved_bytes") / seconds : 0));
	/* As of all that the kernel moves, nobody knows how long whom it kept waiting. */
	picture = json_copy(job);
	json_object_set_new(picture, "mover", json_string("kernel"));
	cli_progress_show(picture);
}

static int watch_once(struct cli_agent *agent, json_t **job, bool *cancelled,
		      struct gmig_error *err)
{
	const struct timespec pause = {.tv_nsec = JOB_POLL_NS};
	json_t *id = json_object_get(*job, "id");
	json_t *newer = NULL;
	int rc = 0;

	if (cli_was_interrupted() && !*cancelled) {
		*cancelled = true;
		rc = cli_agent_call(agent, "job-cancel", json_pack("{s:O}", "id", id), NULL, err);
		if (rc == -EALREADY)
			rc = 0;
	}
	nanosleep(&pause, NULL);
	if (!rc)
		rc = cli_agent_call(agent, "job-status", json_pack("{s:O}", "id", id), &newer, err);
	if (rc)
		return rc;
	json_decref(*job);
	*job = newer;
	show(*job);
	return 0;
}

int cli_agent_run_job(struct cli_agent *agent, const char *command, json_t *arguments, json_t **job,
		      struct gmig_error *err)
{
	struct sigaction before;
	bool cancelled = false;
	int rc;

	/* Before it is started: a job that nobody has heard of yet would go on behind Ctrl-C. */
	cli_catch_interrupt(&before);
	rc = cli_agent_call(agent, command, arguments, job, err);
	if (!rc)
		show(*job);
	while (!rc && !cli_job_ended(*job))
		rc = watch_once(agent, job, &cancelled, err);
	cli_progress_clear();
	sigaction(SIGINT, &before, NULL);
	return rc;
}

enum cli_exit cli_agent_job_exit(const json_t *job)
{
	if (strcmp(cli_text(job, "state"), "completed") != 0)
		return CLI_FAILED;
	return json_object_size(json_object_get(job, "remaining")) ||
		       json_object_size(json_object_get(job, "unread_processes"))
		   ? CLI_REMAINING
		   : CLI_OK;
}
