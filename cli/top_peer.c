#include "top_peer.h"

#include "../control/control.h"
#include "../control/line.h"
#include "../control/listen.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define LINE_BYTES (4u << 20)
#define EVENT	   "{\"event\""

struct top_peer {
	int fd;
	pid_t pid;
	bool ready;
	json_int_t id; /* of the last request */
	struct line_reader *reader;
	char input[16384];
	size_t head, tail;
};

static int connect_socket(const char *path, int *fd, pid_t *pid)
{
	struct sockaddr_un address;
	int rc = control_address(path, &address, NULL);

	if (rc)
		return rc;
	*fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (*fd < 0)
		return -errno;
	if (connect(*fd, (const struct sockaddr *)&address, sizeof(address)))
		rc = -errno;
	if (!rc)
		rc = control_check_peer(*fd, path, pid, NULL);
	if (rc)
		close(*fd);
	return rc;
}

int top_peer_create(const char *path, struct top_peer **out)
{
	struct top_peer *peer;
	pid_t pid = 0;
	int fd = -1, rc = connect_socket(path, &fd, &pid);

	if (rc)
		return rc;
	peer = calloc(1, sizeof(*peer));
	if (peer)
		peer->reader = line_reader_create(LINE_BYTES);
	if (!peer || !peer->reader) {
		close(fd);
		free(peer);
		return -ENOMEM;
	}
	peer->fd = fd;
	peer->pid = pid;
	*out = peer;
	return 0;
}

void top_peer_destroy(struct top_peer *peer)
{
	if (!peer)
		return;
	close(peer->fd);
	line_reader_destroy(peer->reader);
	free(peer);
}

int top_peer_fd(const struct top_peer *peer)
{
	return peer->fd;
}

pid_t top_peer_pid(const struct top_peer *peer)
{
	return peer->pid;
}

bool top_peer_is_ready(const struct top_peer *peer)
{
	return peer->ready;
}

int top_peer_send(struct top_peer *peer, const char *command, json_t *arguments)
{
	json_t *request = json_pack("{s:s, s:o*, s:I}", "execute", command, "arguments", arguments,
				    "id", ++peer->id);
	char *line = request ? json_dumps(request, CONTROL_DUMP_FLAGS) : NULL;
	size_t length = line ? strlen(line) : 0;
	ssize_t sent;

	json_decref(request);
	if (!line)
		return -ENOMEM;
	line[length] = '\n'; /* instead of its NUL */
	sent = send(peer->fd, line, length + 1, MSG_NOSIGNAL);
	free(line);
	/* One question at a time is short: a peer that has no room even for that does not read. */
	return sent == (ssize_t)length + 1 ? 0 : -EPIPE;
}

/* A whole line. Events come up to ten times a second and job, and are not worth decoding. */
static int take_line(struct top_peer *peer, json_t **message)
{
	size_t length;
	const char *line = line_reader_line(peer->reader, &length);
	const json_t *id;

	if (!strncmp(line, EVENT, strlen(EVENT)))
		return 0;
	*message = json_loadb(line, length, JSON_REJECT_DUPLICATES, NULL);
	if (!json_is_object(*message)) {
		json_decref(*message);
		*message = NULL;
		return -EPROTO;
	}
	id = json_object_get(*message, "id");
	if (peer->ready && json_is_integer(id) && json_integer_value(id) == peer->id)
		return 0;
	/* No answer to us: a greeting, an event, or an error for everybody, as of a server that lets nobody in. */
	if (json_object_get(*message, "QMP"))
		peer->ready = true;
	length = json_object_get(*message, "error") && !id;
	json_decref(*message);
	*message = NULL;
	return length ? -EPIPE : 0;
}

int top_peer_read(struct top_peer *peer, json_t **message)
{
	enum line_result result = LINE_NONE;

	*message = NULL;
	if (peer->head == peer->tail) {
		ssize_t count = recv(peer->fd, peer->input, sizeof(peer->input), 0);

		if (count < 0 && (errno == EAGAIN || errno == EINTR))
			return -EAGAIN;
		if (count <= 0)
			return -EPIPE;
		peer->head = 0;
		peer->tail = (size_t)count;
	}
	peer->head += line_reader_feed(peer->reader, peer->input + peer->head,
				       peer->tail - peer->head, &result);
	if (result == LINE_TOO_LONG)
		return -EMSGSIZE;
	return result == LINE_READY ? take_line(peer, message) : 0;
}
