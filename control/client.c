/*
 * The client: blocking calls over a non-blocking socket, events kept until they are asked for. Not
 * thread-safe: one thread owns a client.
 */
#include "internal.h"
#include "line.h"

#include <errno.h>
#include <poll.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define CLIENT_LINE_BYTES (64u << 20)
#define CLIENT_MAX_EVENTS 4096 /* kept during one call; then the oldest goes */
#define CLIENT_RETRY_MS	  10

struct control_client {
	int fd;
	int answer_ms; /* for a request and its answer; < 0: no limit */
	pid_t pid;
	json_int_t next_id;
	struct line_reader *reader;
	char input[16384]; /* [input_head, input_tail) is read, not yet looked at */
	size_t input_head, input_tail;
	json_t *events; /* array, oldest first */
	char *guest;	/* of a server of several; NULL: none */
};

static int64_t now_ms(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (int64_t)ts.tv_sec * 1000 + ts.tv_nsec / 1000000;
}

/* A deadline of -1 is none. */
static int64_t deadline_of(int timeout_ms)
{
	return timeout_ms < 0 ? -1 : now_ms() + timeout_ms;
}

/* A peer that is always ready must not get around the deadline: it comes first. */
static int wait_ready(int fd, short events, int64_t deadline_ms)
{
	struct pollfd poller = {.fd = fd, .events = events};
	int64_t left_ms = deadline_ms < 0 ? -1 : deadline_ms - now_ms();
	int rc;

	if (deadline_ms >= 0 && left_ms < 0)
		return -ETIMEDOUT;
	rc = poll(&poller, 1, (int)left_ms);
	if (rc < 0)
		return -errno;
	return rc ? 0 : -ETIMEDOUT;
}

/* ---- Lines in and out ------------------------------------------------------------------------ */

/* Whether it ended as it should or was killed, and wherever that is noticed. */
static int server_ended(struct gmig_error *err)
{
	return gmig_fail(err, -EPIPE, "the server has ended: the connection is closed");
}

static int no_answer(struct gmig_error *err)
{
	return gmig_fail(err, -ETIMEDOUT, "the server does not answer in time");
}

static int send_line(struct control_client *client, const char *line, size_t bytes,
		     int64_t deadline_ms, struct gmig_error *err)
{
	while (bytes) {
		ssize_t sent = send(client->fd, line, bytes, MSG_NOSIGNAL);

		if (sent >= 0) {
			line += sent;
			bytes -= (size_t)sent;
		} else if (errno == EAGAIN) {
			if (wait_ready(client->fd, POLLOUT, deadline_ms) == -ETIMEDOUT)
				return no_answer(err);
		} else if (errno != EINTR) {
			return server_ended(err);
		}
	}
	return 0;
}

static int parse_line(const struct control_client *client, json_t **message, struct gmig_error *err)
{
	size_t length;
	const char *line = line_reader_line(client->reader, &length);
	json_error_t error;

	*message = json_loadb(line, length, JSON_REJECT_DUPLICATES, &error);
	if (json_is_object(*message))
		return 0;
	json_decref(*message);
	*message = NULL;
	return gmig_fail(err, -EPROTO, "the server does not speak the control protocol: '%.60s'",
			 line);
}

/* The next message, a new reference. -EINTR, -ETIMEDOUT: nothing is lost, call again. */
static int read_message(struct control_client *client, int64_t deadline_ms, json_t **message,
			struct gmig_error *err)
{
	for (;;) {
		enum line_result result = LINE_NONE;
		ssize_t count;
		int rc;

		if (client->input_head < client->input_tail)
			client->input_head +=
			    line_reader_feed(client->reader, client->input + client->input_head,
					     client->input_tail - client->input_head, &result);
		if (result == LINE_READY)
			return parse_line(client, message, err);
		if (result == LINE_TOO_LONG)
			return gmig_fail(err, -EMSGSIZE,
					 "the server sent a line of more than %u bytes",
					 CLIENT_LINE_BYTES);
		if (client->input_head < client->input_tail)
			continue;
		rc = wait_ready(client->fd, POLLIN, deadline_ms);
		if (rc == -ETIMEDOUT)
			return no_answer(err);
		if (rc)
			return gmig_fail(err, rc, "%s",
					 rc == -EINTR ? "interrupted" : strerror(-rc));
		count = recv(client->fd, client->input, sizeof(client->input), 0);
		if (!count || (count < 0 && errno != EAGAIN && errno != EINTR))
			return server_ended(err);
		client->input_head = 0;
		client->input_tail = count > 0 ? (size_t)count : 0;
	}
}

/* ---- Errors that came over the line ---------------------------------------------------------- */

static int errno_of_name(const char *name)
{
	for (int code = 1; name && code < 256; code++) {
		const char *known = strerrorname_np(code);

		if (known && !strcmp(known, name))
			return -code;
	}
	return -EREMOTEIO;
}

static int remote_error(const json_t *error, struct gmig_error *err)
{
	const char *text = json_string_value(json_object_get(error, "desc"));

	return gmig_fail(err, errno_of_name(json_string_value(json_object_get(error, "errno"))),
			 "%s", text ? text : "the server gave an error without a text");
}

/* ---- Connecting ------------------------------------------------------------------------------ */

/* EAGAIN is a full queue of a living server. */
static int connect_until(int fd, const struct sockaddr_un *address, int64_t deadline_ms)
{
	while (connect(fd, (const struct sockaddr *)address, sizeof(*address))) {
		const struct timespec pause = {.tv_nsec = CLIENT_RETRY_MS * 1000000};

		if (errno == EINTR)
			continue;
		if (errno != EAGAIN)
			return -errno;
		if (deadline_ms >= 0 && now_ms() >= deadline_ms)
			return -ETIMEDOUT;
		nanosleep(&pause, NULL);
	}
	return 0;
}

static int connect_failed(int rc, const char *path, struct gmig_error *err)
{
	switch (rc) {
	case -ENOENT:
		return gmig_fail(err, rc, "there is no socket '%s'", path);
	case -ECONNREFUSED:
		return gmig_fail(err, rc, "the server has ended: nobody listens at '%s'", path);
	case -EACCES:
		return gmig_fail(err, rc, "no right to connect to '%s': it belongs to another user",
				 path);
	case -ETIMEDOUT:
		return gmig_fail(err, rc, "the server at '%s' takes no more connections", path);
	default:
		return gmig_fail(err, rc, "cannot connect to '%s': %s", path, strerror(-rc));
	}
}

int control_check_peer(int fd, const char *path, pid_t *pid, struct gmig_error *err)
{
	struct ucred peer;
	socklen_t bytes = sizeof(peer);

	if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &bytes))
		return gmig_fail(err, -errno, "cannot tell who listens at '%s': %s", path,
				 strerror(errno));
	*pid = peer.pid;
	if (geteuid() == 0 || peer.uid == 0 || peer.uid == geteuid())
		return 0;
	return gmig_fail(err, -EPERM, "uid %u listens at '%s': that is no guest of uid %u",
			 peer.uid, path, geteuid());
}

static int read_greeting(struct control_client *client, int64_t deadline_ms, struct gmig_error *err)
{
	json_t *message CONTROL_CLEANUP(control_json_put) = NULL;
	int rc;

	do {
		rc = read_message(client, deadline_ms, &message, err);
	} while (rc == -EINTR);
	if (rc)
		return rc;
	if (json_object_get(message, "error"))
		return remote_error(json_object_get(message, "error"), err);
	if (!json_object_get(message, "QMP"))
		return gmig_fail(err, -EPROTO, "the server's first line is no greeting");
	return 0;
}

static struct control_client *client_alloc(void)
{
	struct control_client *client = calloc(1, sizeof(*client));

	if (!client)
		return NULL;
	client->answer_ms = CONTROL_ANSWER_MS;
	client->fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	client->reader = line_reader_create(CLIENT_LINE_BYTES);
	client->events = json_array();
	if (client->fd >= 0 && client->reader && client->events)
		return client;
	control_client_destroy(client);
	return NULL;
}

int control_connect(const char *path, int timeout_ms, struct control_client **out,
		    struct gmig_error *err)
{
	int64_t deadline_ms = deadline_of(timeout_ms);
	struct control_client *client;
	struct sockaddr_un address;
	int rc;

	rc = control_address(path, &address, err);
	if (rc)
		return rc;
	client = client_alloc();
	if (!client)
		return gmig_fail(err, -ENOMEM, "no memory or file descriptor for a connection");
	rc = connect_until(client->fd, &address, deadline_ms);
	if (rc)
		connect_failed(rc, path, err);
	else
		rc = control_check_peer(client->fd, path, &client->pid, err);
	if (!rc)
		rc = read_greeting(client, deadline_ms, err);
	if (rc) {
		control_client_destroy(client);
		return rc;
	}
	*out = client;
	return 0;
}

void control_client_destroy(struct control_client *client)
{
	if (!client)
		return;
	if (client->fd >= 0)
		close(client->fd);
	line_reader_destroy(client->reader);
	json_decref(client->events);
	free(client->guest);
	free(client);
}

int control_client_set_guest(struct control_client *client, const char *guest)
{
	char *copy = guest ? strdup(guest) : NULL;

	if (guest && !copy)
		return -ENOMEM;
	free(client->guest);
	client->guest = copy;
	return 0;
}

/* Events that name a guest are its own only. */
static bool is_for_us(const struct control_client *client, const json_t *event)
{
	const char *guest =
	    json_string_value(json_object_get(json_object_get(event, "data"), "guest"));

	return !client->guest || !guest || !strcmp(guest, client->guest);
}

/* ---- Calls and events ------------------------------------------------------------------------ */

static void keep_event(struct control_client *client, json_t *message)
{
	if (!is_for_us(client, message))
		return;
	if (json_array_size(client->events) >= CLIENT_MAX_EVENTS)
		json_array_remove(client->events, 0);
	json_array_append(client->events, message);
}

/* The answer with our id, a new reference. Signals do not end the wait: the command has been given.
 */
static int await_answer(struct control_client *client, json_int_t id, int64_t deadline_ms,
			json_t **answer, struct gmig_error *err)
{
	for (;;) {
		json_t *message CONTROL_CLEANUP(control_json_put) = NULL;
		const json_t *its_id;
		int rc = read_message(client, deadline_ms, &message, err);

		if (rc == -EINTR)
			continue;
		if (rc)
			return rc;
		its_id = json_object_get(message, "id");
		if (json_object_get(message, "event")) {
			keep_event(client, message);
		} else if (json_is_integer(its_id) && json_integer_value(its_id) == id) {
			*answer = json_incref(message);
			return 0;
		} else if (!its_id && json_object_get(message, "error")) {
			/* The request could not even be decoded, or the server lets nobody in. */
			return remote_error(json_object_get(message, "error"), err);
		}
	}
}

static int send_request(struct control_client *client, const char *command, json_t *arguments,
			int64_t deadline_ms, struct gmig_error *err)
{
	json_t *request CONTROL_CLEANUP(control_json_put) = NULL;
	size_t bytes = 0;
	char *line;
	int rc;

	/* json_pack takes `arguments` over even when it fails. */
	request = json_pack("{s:s, s:o*, s:I}", "execute", command, "arguments", arguments, "id",
			    client->next_id);
	line = request ? control_line_of(request, &bytes) : NULL;
	if (!line)
		return gmig_fail(err, -ENOMEM, "no memory for the request");
	rc = send_line(client, line, bytes, deadline_ms, err);
	free(line);
	return rc;
}

int control_call(struct control_client *client, const char *command, json_t *arguments,
		 json_t **result, struct gmig_error *err)
{
	json_t *answer CONTROL_CLEANUP(control_json_put) = NULL;
	int64_t deadline_ms = deadline_of(client->answer_ms);
	json_int_t id = ++client->next_id;
	int rc;

	if (client->guest) {
		arguments = arguments ? arguments : json_object();
		json_object_set_new(arguments, "guest", json_string(client->guest));
	}
	rc = send_request(client, command, arguments, deadline_ms, err);
	if (!rc)
		rc = await_answer(client, id, deadline_ms, &answer, err);
	if (rc)
		return rc;
	if (json_object_get(answer, "error"))
		return remote_error(json_object_get(answer, "error"), err);
	if (!json_object_get(answer, "return"))
		return gmig_fail(err, -EPROTO, "the server's answer to '%s' has no result",
				 command);
	if (result)
		*result = json_incref(json_object_get(answer, "return"));
	return 0;
}

int control_next_event(struct control_client *client, int timeout_ms, json_t **event,
		       struct gmig_error *err)
{
	int64_t deadline_ms = deadline_of(timeout_ms);

	if (json_array_size(client->events)) {
		*event = json_incref(json_array_get(client->events, 0));
		json_array_remove(client->events, 0);
		return 0;
	}
	for (;;) {
		json_t *message = NULL;
		int rc = read_message(client, deadline_ms, &message, err);

		if (rc)
			return rc;
		if (json_object_get(message, "event") && is_for_us(client, message)) {
			*event = message;
			return 0;
		}
		json_decref(message); /* or an answer to a call that was given up */
	}
}

void control_client_set_limit(struct control_client *client, int answer_ms)
{
	client->answer_ms = answer_ms;
}

pid_t control_client_pid(const struct control_client *client)
{
	return client->pid;
}
