/*
 * The server: one thread, poll(), a bounded output queue for each client.
 *
 * (a) No client costs the server time: sockets are non-blocking, a client whose queue would pass
 *     its bound, or that takes nothing of it for stall_ms, is dropped.
 *
 * (b) A client that sends many requests at once and reads late is not dropped for that: while its
 *     queue is above the high-water mark its input is left where it is.
 *
 * (c) Commands run on the server's thread without the lock, so they may send events. An event that
 *     a command sends comes before its answer.
 *
 * Lock: server->lock guards the clients' queues, the list of clients, and `ending`. Only the
 * server's thread changes the list and reads sockets. No other lock is taken under it.
 */
#include "../migrate/core/wake.h"
#include "internal.h"
#include "line.h"
#include "text.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define SERVER_LINE_BYTES   (1u << 20)
#define SERVER_OUTPUT_BYTES (4u << 20)
#define SERVER_CLIENTS	    64
#define SERVER_STALL_MS	    30000
#define SERVER_HIGH_WATER   (64u << 10)
#define SERVER_INPUT_BYTES  (16u << 10)
#define SERVER_MAX_CLIENTS  1024

/* How often stalls are looked for, and how long accept rests when it cannot. */
#define SERVER_TICK_MS 100

/* Bytes [head, tail) wait to be sent. */
struct queue {
	char *bytes;
	size_t head, tail, capacity;
};

struct client {
	int fd;
	struct line_reader *reader;
	char input[SERVER_INPUT_BYTES]; /* [input_head, input_tail) is read, not yet looked at */
	size_t input_head, input_tail;
	bool input_ended;    /* the peer has shut its side down: answer what is there, then close */
	struct queue output; /* guarded by server->lock */
	bool dead;	     /* guarded by server->lock; the server's thread frees it */
	bool deaf;	     /* guarded by server->lock: peer is gone, its requests still count */
	uint64_t stalled_since_ns; /* guarded by server->lock; 0: has no unread output */
};

struct control_server {
	struct control_server_options options;
	char *name;
	struct control_dispatch dispatch;
	struct control_socket socket;
	int wake_fd;
	pthread_t thread;
	pthread_mutex_t lock;
	bool ending;		 /* guarded by lock */
	struct client **clients; /* guarded by lock */
	size_t client_count;	 /* guarded by lock */
	struct pollfd *polls;	 /* [0] wake_fd, [1] the socket, then the clients */
	bool accept_rests;	 /* the server's thread only: accept failed for want of resources */
};

static uint64_t now_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * 1000000000u + (uint64_t)ts.tv_nsec;
}

static void unlock(pthread_mutex_t **lock)
{
	pthread_mutex_unlock(*lock);
}

#define HOLD_LOCK(server)                                                                          \
	pthread_mutex_t *held CONTROL_CLEANUP(unlock) = &(server)->lock;                           \
	pthread_mutex_lock(held)

static void wake(struct control_server *server)
{
	wake_by(server->wake_fd);
}

/* ---- Output, all under the lock -------------------------------------------------------------- */

/* Room for `count` bytes at the tail, first by moving what waits to the front, then by growing. */
static bool queue_reserve(struct queue *queue, size_t count)
{
	size_t waiting = queue->tail - queue->head;
	size_t capacity = queue->capacity ? queue->capacity : 4096;
	char *bigger;

	if (queue->tail + count <= queue->capacity)
		return true;
	if (queue->head) {
		memmove(queue->bytes, queue->bytes + queue->head, waiting);
		queue->head = 0;
		queue->tail = waiting;
	}
	while (capacity < waiting + count)
		capacity *= 2;
	if (capacity == queue->capacity)
		return true;
	bigger = realloc(queue->bytes, capacity);
	if (!bigger)
		return false;
	queue->bytes = bigger;
	queue->capacity = capacity;
	return true;
}

static bool queue_append(struct queue *queue, const char *bytes, size_t count, size_t max_bytes)
{
	size_t waiting = queue->tail - queue->head;

	if (count > max_bytes || waiting > max_bytes - count || !queue_reserve(queue, count))
		return false;
	memcpy(queue->bytes + queue->tail, bytes, count);
	queue->tail += count;
	return true;
}

static size_t queue_waiting(const struct queue *queue)
{
	return queue->tail - queue->head;
}

static void client_queue(struct control_server *server, struct client *client, const char *bytes,
			 size_t count)
{
	if (client->dead || client->deaf)
		return;
	if (!queue_append(&client->output, bytes, count, server->options.max_output_bytes)) {
		client->dead = true;
		return;
	}
	if (!client->stalled_since_ns)
		client->stalled_since_ns = now_ns();
}

/* Send what the socket takes. */
static void client_flush(struct client *client)
{
	struct queue *queue = &client->output;

	while (queue_waiting(queue)) {
		ssize_t sent = send(client->fd, queue->bytes + queue->head, queue_waiting(queue),
				    MSG_NOSIGNAL | MSG_DONTWAIT);

		if (sent < 0 && errno == EINTR)
			continue;
		if (sent < 0 && errno == EAGAIN)
			return;
		if (sent < 0) {
			/* Whoever is there all the same sees the end, and does not wait for an answer. */
			shutdown(client->fd, SHUT_WR);
			client->deaf = true;
			queue->head = queue->tail;
			break;
		}
		queue->head += (size_t)sent;
		client->stalled_since_ns = now_ns();
	}
	client->stalled_since_ns = 0;
	if (queue->capacity <= SERVER_HIGH_WATER)
		return;
	free(queue->bytes);
	*queue = (struct queue){0};
}

/* ---- Requests, on the server's thread -------------------------------------------------------- */

static void client_answer(struct control_server *server, struct client *client, json_t *reply)
{
	size_t bytes = 0;
	char *line = reply ? control_line_of(reply, &bytes) : NULL;

	json_decref(reply);
	HOLD_LOCK(server);
	/* No memory for an answer: a client that waits for it would wait for ever. */
	if (!line)
		client->dead = true;
	else
		client_queue(server, client, line, bytes);
	client_flush(client);
	free(line);
}

static bool is_blank(const char *line, size_t length)
{
	for (size_t i = 0; i < length; i++)
		if (line[i] != ' ' && line[i] != '\t')
			return false;
	return true;
}

static void client_line(struct control_server *server, struct client *client)
{
	size_t length;
	const char *line = line_reader_line(client->reader, &length);

	if (is_blank(line, length))
		return;
	control_peer_asks(client->fd);
	client_answer(server, client, control_dispatch(&server->dispatch, line, length));
	control_peer_asks(-1);
}

static void client_line_too_long(struct control_server *server, struct client *client)
{
	char text[80];

	snprintf(text, sizeof(text), "a request is one line of at most %zu bytes",
		 server->options.max_line_bytes);
	client_answer(server, client, control_error_json(NULL, -E2BIG, text));
}

static bool client_may_go_on(struct control_server *server, struct client *client)
{
	HOLD_LOCK(server);
	return !client->dead && !server->ending &&
	       queue_waiting(&client->output) <= SERVER_HIGH_WATER;
}

/* Handle what has been read, as far as the high-water mark allows. */
static void client_handle_input(struct control_server *server, struct client *client)
{
	while (client->input_head < client->input_tail && client_may_go_on(server, client)) {
		enum line_result result;

		client->input_head +=
		    line_reader_feed(client->reader, client->input + client->input_head,
				     client->input_tail - client->input_head, &result);
		if (result == LINE_READY)
			client_line(server, client);
		else if (result == LINE_TOO_LONG)
			client_line_too_long(server, client);
	}
}

static void client_kill(struct control_server *server, struct client *client)
{
	HOLD_LOCK(server);
	client->dead = true;
}

static void client_receive(struct control_server *server, struct client *client)
{
	ssize_t count;

	if (client->input_head < client->input_tail || client->input_ended)
		return;
	count = recv(client->fd, client->input, sizeof(client->input), MSG_DONTWAIT);
	if (count > 0) {
		client->input_head = 0;
		client->input_tail = (size_t)count;
	} else if (count == 0) {
		client->input_ended = true;
	} else if (errno != EAGAIN && errno != EINTR) {
		client_kill(server, client);
	}
}

static void client_serve(struct control_server *server, struct client *client, short events)
{
	if (events & POLLOUT) {
		HOLD_LOCK(server);
		client_flush(client);
	}
	if (events & (POLLIN | POLLHUP | POLLERR))
		client_receive(server, client);
	client_handle_input(server, client);
}

/* ---- Clients come and go, on the server's thread --------------------------------------------- */

static void client_free(struct client *client)
{
	if (!client)
		return;
	if (client->fd >= 0)
		close(client->fd);
	line_reader_destroy(client->reader);
	free(client->output.bytes);
	free(client);
}

static json_t *greeting(const struct control_server *server)
{
	int major = 0, minor = 0, micro = 0;

	sscanf(GMIG_VERSION, "%d.%d.%d", &major, &minor, &micro);
	return json_pack("{s:{s:{s:{s:i, s:i, s:i}, s:s}, s:[], s:o}}", "QMP", "version", "gmig",
			 "major", major, "minor", minor, "micro", micro, "package",
			 "gmig " GMIG_VERSION, "capabilities", "name",
			 control_text_json(server->name));
}

/* 0, or why this peer is not let in. */
static int check_peer(struct control_server *server, int fd, struct gmig_error *err)
{
	const gid_t *group = server->options.has_group ? &server->options.group : NULL;
	int rc = control_check_client(fd, group, err);

	if (rc)
		return rc;
	if (server->client_count >= server->options.max_clients)
		return gmig_fail(err, -EBUSY, "there are %zu clients already",
				 server->client_count);
	return 0;
}

/* A fresh socket's buffer takes one line: no queue is needed. */
static void refuse(int fd, const struct gmig_error *err)
{
	json_t *json CONTROL_CLEANUP(control_json_put) =
	    control_error_json(NULL, err->code, err->text);
	size_t bytes;
	char *line = json ? control_line_of(json, &bytes) : NULL;

	if (line)
		send(fd, line, bytes, MSG_NOSIGNAL | MSG_DONTWAIT);
	free(line);
	close(fd);
}

static struct client *client_create(int fd, size_t max_line_bytes)
{
	struct client *client = calloc(1, sizeof(*client));

	if (!client)
		return NULL;
	client->fd = fd;
	client->reader = line_reader_create(max_line_bytes);
	if (client->reader)
		return client;
	free(client);
	return NULL;
}

static void admit(struct control_server *server, int fd)
{
	struct gmig_error err = {0};
	struct client *client;
	size_t bytes = 0;
	json_t *json;
	char *line;

	if (check_peer(server, fd, &err)) {
		refuse(fd, &err);
		return;
	}
	client = client_create(fd, server->options.max_line_bytes);
	json = greeting(server);
	line = json ? control_line_of(json, &bytes) : NULL;
	json_decref(json);
	if (!client || !line) {
		if (client)
			client_free(client);
		else
			close(fd);
		free(line);
		return;
	}
	/* In the list and greeted in one go: no event can come before the greeting, none is missed
	 * after it. */
	HOLD_LOCK(server);
	server->clients[server->client_count++] = client;
	client_queue(server, client, line, bytes);
	client_flush(client);
	free(line);
}

/*
 * One a turn: between two, every client that has gone is noticed. A row of short visits could fill
 * the list with the dead otherwise.
 */
static void accept_client(struct control_server *server)
{
	int fd = accept4(server->socket.fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);

	if (fd >= 0) {
		admit(server, fd);
		return;
	}
	/* EMFILE and its like leave the peer in the queue and poll ready: rest, or we would spin.
	 */
	server->accept_rests = errno != EAGAIN && errno != EINTR && errno != ECONNABORTED;
}

/* Caller holds the lock. */
static bool client_is_stalled(const struct control_server *server, const struct client *client)
{
	return client->stalled_since_ns &&
	       now_ns() - client->stalled_since_ns > server->options.stall_ms * 1000000ull;
}

/*
 * Caller holds the lock. This thread may have been with a command for all of that time: a client that takes something now
 * has not stalled.
 */
static bool client_is_done(const struct control_server *server, struct client *client)
{
	if (client_is_stalled(server, client))
		client_flush(client);
	if (client->dead)
		return true;
	if (client->input_ended && client->input_head == client->input_tail &&
	    !queue_waiting(&client->output))
		return true;
	return client_is_stalled(server, client);
}

static void reap(struct control_server *server)
{
	size_t kept = 0;

	HOLD_LOCK(server);
	for (size_t i = 0; i < server->client_count; i++) {
		struct client *client = server->clients[i];

		if (client_is_done(server, client))
			client_free(client);
		else
			server->clients[kept++] = client;
	}
	server->client_count = kept;
}

/* ---- The thread ------------------------------------------------------------------------------ */

static short client_events(const struct client *client)
{
	size_t waiting = queue_waiting(&client->output);
	short events = waiting ? POLLOUT : 0;

	if (!client->input_ended && client->input_head == client->input_tail &&
	    waiting <= SERVER_HIGH_WATER)
		events |= POLLIN;
	return events;
}

/* Fill server->polls; returns how long poll may sleep, in ms. */
static int prepare_polls(struct control_server *server)
{
	int timeout = server->accept_rests ? SERVER_TICK_MS : -1;

	HOLD_LOCK(server);
	server->polls[0] = (struct pollfd){.fd = server->wake_fd, .events = POLLIN};
	server->polls[1] =
	    (struct pollfd){.fd = server->accept_rests ? -1 : server->socket.fd, .events = POLLIN};
	server->accept_rests = false;
	for (size_t i = 0; i < server->client_count; i++) {
		struct client *client = server->clients[i];

		server->polls[2 + i] =
		    (struct pollfd){.fd = client->fd, .events = client_events(client)};
		/* A peer that hung up makes poll ready whatever was asked for; its input may still
		 * wait for us. */
		if (client->input_ended && !(server->polls[2 + i].events))
			server->polls[2 + i].fd = -1;
		if (queue_waiting(&client->output))
			timeout = SERVER_TICK_MS;
	}
	return server->ending ? 0 : timeout;
}

static bool is_ending(struct control_server *server)
{
	HOLD_LOCK(server);
	return server->ending;
}

static void serve_once(struct control_server *server)
{
	int timeout = prepare_polls(server);
	size_t count = server->client_count; /* only this thread changes it */
	uint64_t drained;

	if (poll(server->polls, 2 + count, timeout) < 0)
		return;
	if (server->polls[0].revents && read(server->wake_fd, &drained, sizeof(drained)) < 0)
		drained = 0;
	for (size_t i = 0; i < count; i++)
		client_serve(server, server->clients[i], server->polls[2 + i].revents);
	reap(server);
	if (server->polls[1].revents)
		accept_client(server);
}

static void *server_thread(void *opaque)
{
	struct control_server *server = opaque;

	pthread_setname_np(pthread_self(), "gmig-control");
	if (server->options.begins)
		server->options.begins(server->options.opaque);
	while (!is_ending(server))
		serve_once(server);
	return NULL;
}

/* ---- Public ---------------------------------------------------------------------------------- */

void control_server_event(struct control_server *server, const char *name, json_t *data)
{
	struct timespec now;
	json_t *event;
	size_t bytes;
	char *line;

	clock_gettime(CLOCK_REALTIME, &now);
	event = json_pack("{s:s, s:o, s:{s:I, s:I}}", "event", name, "data",
			  data ? data : json_object(), "timestamp", "seconds",
			  (json_int_t)now.tv_sec, "microseconds", (json_int_t)(now.tv_nsec / 1000));
	line = event ? control_line_of(event, &bytes) : NULL;
	json_decref(event);
	if (!line)
		return;
	pthread_mutex_lock(&server->lock);
	for (size_t i = 0; i < server->client_count; i++)
		client_queue(server, server->clients[i], line, bytes);
	pthread_mutex_unlock(&server->lock);
	free(line);
	wake(server);
}

static void server_free(struct control_server *server)
{
	if (server->wake_fd >= 0)
		close(server->wake_fd);
	pthread_mutex_destroy(&server->lock);
	free(server->clients);
	free(server->polls);
	free(server->name);
	free(server);
}

static struct control_server *server_alloc(const struct control_server_options *options)
{
	struct control_server *server = calloc(1, sizeof(*server));

	if (!server)
		return NULL;
	server->options = *options;
	server->options.path = NULL; /* the caller's strings need not live on */
	server->options.name = NULL;
	server->dispatch = (struct control_dispatch){
	    {{options->commands, options->opaque}, options->more}, options->admit, options->opaque};
	if (!options->max_line_bytes)
		server->options.max_line_bytes = SERVER_LINE_BYTES;
	if (!options->max_output_bytes)
		server->options.max_output_bytes = SERVER_OUTPUT_BYTES;
	if (!options->stall_ms)
		server->options.stall_ms = SERVER_STALL_MS;
	if (!options->max_clients)
		server->options.max_clients = SERVER_CLIENTS;
	if (server->options.max_clients > SERVER_MAX_CLIENTS)
		server->options.max_clients = SERVER_MAX_CLIENTS;
	pthread_mutex_init(&server->lock, NULL);
	server->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	server->clients = calloc(server->options.max_clients, sizeof(struct client *));
	server->polls = calloc(server->options.max_clients + 2, sizeof(*server->polls));
	server->name = strdup(options->name ? options->name : "");
	if (server->wake_fd >= 0 && server->clients && server->polls && server->name)
		return server;
	server_free(server);
	return NULL;
}

/*
 * Signals are for the process's own threads to handle, not for this one and those that its commands start. But not those of a
 * fault: the kernel would end the process without calling its handler.
 */
static int start_thread(struct control_server *server)
{
	static const int faults[] = {SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGTRAP, SIGSYS, SIGABRT};
	sigset_t all, before;
	int rc;

	sigfillset(&all);
	for (size_t i = 0; i < sizeof(faults) / sizeof(faults[0]); i++)
		sigdelset(&all, faults[i]);
	pthread_sigmask(SIG_SETMASK, &all, &before);
	rc = pthread_create(&server->thread, NULL, server_thread, server);
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	return -rc;
}

int control_server_create(const struct control_server_options *options, struct control_server **out,
			  struct gmig_error *err)
{
	struct control_server *server = server_alloc(options);
	int rc;

	if (!server)
		return gmig_fail(err, -ENOMEM, "no memory for the control server");
	rc = control_listen(options->path, &server->socket, err);
	if (rc) {
		server_free(server);
		return rc;
	}
	if (options->has_group)
		rc = control_share_socket(&server->socket, options->group, err);
	if (!rc) {
		rc = start_thread(server);
		if (rc)
			gmig_fail(err, rc, "cannot start the control server's thread: %s",
				  strerror(-rc));
	}
	if (rc) {
		control_unlisten(&server->socket);
		server_free(server);
		return rc;
	}
	*out = server;
	return 0;
}

void control_server_destroy(struct control_server *server)
{
	if (!server)
		return;
	pthread_mutex_lock(&server->lock);
	server->ending = true;
	pthread_mutex_unlock(&server->lock);
	wake(server);
	pthread_join(server->thread, NULL);
	control_unlisten(&server->socket);
	for (size_t i = 0; i < server->client_count; i++) {
		client_flush(server->clients[i]);
		client_free(server->clients[i]);
	}
	server_free(server);
}
