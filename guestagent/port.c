/*
 * The port: has it opened, reads lines from it, writes answers to it, and never blocks. One thread.
 *
 * A virtio port without a host at its other end reads as an end of file and polls as hung up, for
 * as long as nobody is there: then SIGIO tells of the change, with a look every second besides. The
 * guest's kernel may hand out a new host's first bytes before it knows of the host, so for
 * GRACE_NS the end of file means nothing; after that, what was half read and what nobody took is
 * dropped. A host that comes sooner may find the rest of an earlier conversation: that is what
 * guest-sync is for.
 * A host that is there but does not read stops us from reading more, once AGENT_OUTPUT_BYTES of
 * answers wait: so it costs a bounded amount of memory, and no time.
 */
#include "../control/line.h"
#include "../migrate/core/shortage.h"
#include "agent.h"
#include "opener.h"
#include "sys.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/signalfd.h>
#include <unistd.h>

#define LINE_BYTES	  (1024ul * 1024)
#define OUTPUT_BYTES	  (1024ul * 1024)
#define OUTPUT_KEPT_BYTES 65536ul
#define INPUT_BYTES	  16384
#define LOOK_AGAIN_MS	  1000
#define GRACE_NS	  2000000000ull

struct port {
	struct agent *agent;
	const struct agent_port_options *options;
	int fd, end_signals, io_signals;
	bool absent;	   /* nobody is at the other end, as it seems */
	bool forgotten;	   /* ... and for so long that what it left is dropped */
	uint64_t since_ns; /* when absent began */
	bool ended;	   /* SIGTERM, or the end of a descriptor that was given */
	struct line_reader *reader;
	char input[INPUT_BYTES];
	size_t input_head, input_tail;
	char *output;
	size_t output_head, output_tail, output_capacity;
};

/* ---- Opening it ------------------------------------------------------------------------------ */

static int open_port(struct port *port, struct gmig_error *err)
{
	port->fd = agent_opener_port(port->agent->opener, port->options, err);
	if (port->fd < 0)
		return port->fd;
	fcntl(port->fd, F_SETOWN, getpid());
	fcntl(port->fd, F_SETFL, O_NONBLOCK | O_ASYNC);
	return 0;
}

/* ---- Writing --------------------------------------------------------------------------------- */

static size_t unsent(const struct port *port)
{
	return port->output_tail - port->output_head;
}

/* An answer that there is no memory for is not given; the host's next guest-sync will do. */
static void queue(struct port *port, const char *bytes, size_t count)
{
	if (port->output_tail + count > port->output_capacity) {
		size_t capacity = unsent(port) + count;
		char *bigger;

		if (unsent(port))
			memmove(port->output, port->output + port->output_head, unsent(port));
		port->output_tail -= port->output_head;
		port->output_head = 0;
		if (capacity > port->output_capacity) {
			bigger = realloc(port->output, capacity);
			if (!bigger)
				return;
			port->output = bigger;
			port->output_capacity = capacity;
		}
	}
	memcpy(port->output + port->output_tail, bytes, count);
	port->output_tail += count;
}

static void drop_output(struct port *port)
{
	port->output_head = port->output_tail = 0;
	if (port->output_capacity <= OUTPUT_KEPT_BYTES)
		return;
	free(port->output);
	port->output = NULL;
	port->output_capacity = 0;
}

/* -errno: the port is gone. */
static int write_some(struct port *port)
{
	while (unsent(port)) {
		ssize_t wrote = write(port->fd, port->output + port->output_head, unsent(port));

		if (wrote < 0 && errno == EINTR)
			continue;
		if (wrote < 0)
			return errno == EAGAIN ? 0 : -errno;
		port->output_head += (size_t)wrote;
	}
	drop_output(port);
	return 0;
}

/* ---- Reading --------------------------------------------------------------------------------- */

static void reply(struct port *port, char *line, size_t bytes)
{
	if (!line)
		return;
	queue(port, line, bytes);
	free(line);
}

/* Lines that have been read, as long as the host takes the answers. */
static void answer_lines(struct port *port)
{
	while (port->input_head < port->input_tail && unsent(port) < OUTPUT_BYTES) {
		enum line_result result;
		size_t length, bytes = 0;
		const char *line;
		char *text;

		port->input_head += line_reader_feed(port->reader, port->input + port->input_head,
						     port->input_tail - port->input_head, &result);
		if (result == LINE_TOO_LONG) {
			text = agent_answer_too_long(LINE_BYTES, &bytes);
			reply(port, text, bytes);
		}
		if (result != LINE_READY)
			continue;
		line = line_reader_line(port->reader, &length);
		if (!length)
			continue;
		text = agent_answer(port->agent, line, length, &bytes);
		reply(port, text, bytes);
	}
}

/* What an earlier host left half said, and what it did not take. */
static void forget(struct port *port)
{
	struct line_reader *fresh = line_reader_create(LINE_BYTES);

	if (fresh) {
		line_reader_destroy(port->reader);
		port->reader = fresh;
	}
	port->input_head = port->input_tail = 0;
	drop_output(port);
	port->forgotten = true;
}

/* An end of file: a descriptor's is final, a port's may pass. */
static void host_left(struct port *port)
{
	uint64_t now_ns = agent_sys->now_ns();

	if (port->options->fd >= 0) {
		port->ended = true;
		return;
	}
	if (!port->absent) {
		port->absent = true;
		port->forgotten = false;
		port->since_ns = now_ns;
	}
	if (!port->forgotten && now_ns - port->since_ns > GRACE_NS)
		forget(port);
}

/* ready: what poll says of the port. -errno: it is gone. */
static int read_some(struct port *port, short ready)
{
	bool pending = port->input_head < port->input_tail;
	ssize_t got = -1;

	if (pending && ready & POLLHUP) {
		host_left(port);
		return 0;
	}
	errno = EAGAIN;
	if (!pending)
		got = read(port->fd, port->input, sizeof(port->input));
	if (!got) {
		host_left(port);
		return 0;
	}
	if (got < 0 && errno == EINTR)
		return 0;
	if (got < 0 && errno != EAGAIN)
		return -errno;
	port->absent = false;
	if (pending)
		return 0;
	port->input_head = 0;
	port->input_tail = got > 0 ? (size_t)got : 0;
	return 0;
}

/* ---- Waiting --------------------------------------------------------------------------------- */

static void drain(int signals)
{
	struct signalfd_siginfo info;

	while (read(signals, &info, sizeof(info)) == sizeof(info))
		;
}

/* A second, a signal that ends us, or a change at the port. */
static void wait_for_host(struct port *port)
{
	struct pollfd polled[] = {{.fd = port->end_signals, .events = POLLIN},
				  {.fd = port->io_signals, .events = POLLIN}};

	if (poll(polled, 2, LOOK_AGAIN_MS) < 0)
		return;
	port->ended |= polled[0].revents != 0;
	drain(port->io_signals);
}

/* Until there is something to do at the port. *ready: what poll says of it. */
static int wait_for_port(struct port *port, short *ready)
{
	bool full = unsent(port) >= OUTPUT_BYTES;
	/* Lines that were left until the host had taken some answers do not make it readable. */
	bool pending = port->input_head < port->input_tail && !full;
	struct pollfd polled[] = {
	    {.fd = port->end_signals, .events = POLLIN},
	    {.fd = port->fd,
	     .events = (short)((full ? 0 : POLLIN) | (unsent(port) ? POLLOUT : 0))}};

	*ready = 0;
	if (port->absent)
		wait_for_host(port);
	if (poll(polled, 2, pending || port->absent ? 0 : -1) < 0)
		return errno == EINTR ? 0 : -errno;
	port->ended |= polled[0].revents != 0;
	*ready = polled[1].revents;
	return 0;
}

static int serve_once(struct port *port)
{
	short ready;
	int rc = wait_for_port(port, &ready);

	/* With a host gone, write() would wait for one: reading comes first and tells. */
	if (!rc && (port->absent || ready & (POLLIN | POLLHUP | POLLERR)))
		rc = read_some(port, ready);
	if (!rc && unsent(port))
		rc = write_some(port);
	if (!rc)
		answer_lines(port);
	if (!rc && unsent(port))
		rc = write_some(port);
	return rc;
}

/* ---- The life of a port ---------------------------------------------------------------------- */

static int open_signals(struct port *port)
{
	sigset_t end, io;

	sigemptyset(&end);
	sigaddset(&end, SIGTERM);
	sigaddset(&end, SIGINT);
	sigemptyset(&io);
	sigaddset(&io, SIGIO);
	signal(SIGPIPE, SIG_IGN);
	pthread_sigmask(SIG_BLOCK, &end, NULL);
	pthread_sigmask(SIG_BLOCK, &io, NULL);
	port->end_signals = signalfd(-1, &end, SFD_CLOEXEC | SFD_NONBLOCK);
	port->io_signals = signalfd(-1, &io, SFD_CLOEXEC | SFD_NONBLOCK);
	return port->end_signals < 0 || port->io_signals < 0 ? -errno : 0;
}

/* It may be plugged in late, or out and in again; or there is nothing to look with now. */
static int open_or_wait(struct port *port, struct gmig_error *err)
{
	bool told = false;

	for (;;) {
		int rc = open_port(port, err);

		if ((rc != -ENOENT && !is_shortage(rc)) || !port->options->wait || port->ended)
			return rc;
		if (!told)
			fprintf(stderr, "gmig-agent: %s; waiting for it\n", err->text);
		told = true;
		wait_for_host(port);
	}
}

static int serve_port(struct port *port, struct gmig_error *err)
{
	int rc = 0;

	if (port->options->fd >= 0) {
		port->fd = port->options->fd;
		fcntl(port->fd, F_SETFL, O_NONBLOCK);
	} else {
		rc = open_or_wait(port, err);
	}
	if (rc || port->ended)
		return rc;
	while (!rc && !port->ended)
		rc = serve_once(port);
	forget(port);
	port->absent = false;
	close(port->fd);
	port->fd = -1;
	if (rc)
		gmig_fail(err, rc, "the port is gone: %s", strerror(-rc));
	return rc;
}

int agent_port_serve(struct agent *agent, const struct agent_port_options *options,
		     struct gmig_error *err)
{
	struct port *port = calloc(1, sizeof(*port));
	int rc;

	if (!port)
		return gmig_fail(err, -ENOMEM, "out of memory");
	port->agent = agent;
	port->options = options;
	port->reader = line_reader_create(LINE_BYTES);
	rc = port->reader ? open_signals(port) : -ENOMEM;
	if (rc)
		gmig_fail(err, rc, "cannot start: %s", strerror(-rc));
	while (!rc) {
		bool ended;

		rc = serve_port(port, err);
		ended = port->ended;
		/* Unplugged: wait for another, if that is wanted. */
		if (ended || options->fd >= 0 || !options->wait)
			break;
		if (rc == -ENODEV || rc == -EIO || rc == -ENXIO) {
			fprintf(stderr, "gmig-agent: %s; waiting for another\n", err->text);
			rc = 0;
		}
	}
	line_reader_destroy(port->reader);
	free(port->output);
	free(port);
	return rc;
}
