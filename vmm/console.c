/*
 * See console.h. Output goes through a ring: any thread fills it under `lock`, and one consumer at
 * a time (`write_lock`) empties it. No descriptor is set to O_NONBLOCK, because stdout's file
 * description is shared with the shell. Instead, poll() comes first, and a write is never larger
 * than what a terminal surely accepts.
 */
#include "console.h"
#include "console_file.h"
#include "kick.h"
#include "undo.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <termios.h>
#include <unistd.h>

#define RING_BYTES  (64u << 10) /* power of two */
#define WRITE_BYTES 256u	/* what a writable terminal accepts without blocking */
#define ESCAPE	    0x01	/* Ctrl-A */
#define RETRY_MS    100

struct console {
	struct vmm *vmm;
	struct console_device device;
	int in_fd, out_fd; /* -1: none */
	int slave_fd;	   /* pty: kept open, so that the master never reports a hang-up */
	bool own_fds;	   /* close in_fd and out_fd */
	bool lossy;	   /* drop output rather than delay the guest */
	const char *path;  /* of a file that output goes to; NULL: none */
	bool out_pollable;
	struct kick kick;

	pthread_mutex_t lock; /* guards ring, head, tail, dead */
	uint8_t ring[RING_BYTES];
	unsigned int head, tail; /* head - tail = bytes buffered */
	bool dead;		 /* the reader is gone: all output is dropped */

	pthread_mutex_t write_lock; /* one consumer; taken before lock */
	uint64_t lost_bytes;	    /* guarded by write_lock: since a write last worked */
	bool waiting;		    /* I/O thread: out_fd is in the loop for EPOLLOUT */

	pthread_mutex_t input_lock; /* guards the three below; taken before the device's lock */
	bool in_loop, paused, escaped;

	bool raw;
	int undo; /* of raw mode */
};

static bool out_writable(const struct console *console, int timeout_ms)
{
	struct pollfd pfd = {.fd = console->out_fd, .events = POLLOUT};

	if (!console->out_pollable)
		return true;
	return poll(&pfd, 1, timeout_ms) == 1;
}

/*
 * A file may have room again later: ENOSPC, EDQUOT, EFBIG (a limit; SIGXFSZ is ignored), a FIFO whose
 * reader left. Only this piece is lost. The reader of stdout does not come back: -1. Returns how
 * many bytes to take out of the ring.
 */
static ssize_t write_failed(struct console *console, unsigned int count, int error)
{
	if (!console->lost_bytes)
		vmm_log_guest(GMIG_LOG_WARNING, "console=%s output=lost reason=\"%s\"",
			      console->path ? console->path : "stdio", strerror(error));
	console->lost_bytes += count;
	return console->path ? (ssize_t)count : -1;
}

static void write_worked(struct console *console)
{
	if (!console->lost_bytes)
		return;
	vmm_log_guest(GMIG_LOG_INFO, "console=%s output=written lost_bytes=%llu", console->path,
		      (unsigned long long)console->lost_bytes);
	console->lost_bytes = 0;
}

/*
 * Write up to WRITE_BYTES. 1: some were written, 0: the ring is empty, -EAGAIN: the reader is slow.
 */
static int write_some(struct console *console, int timeout_ms)
{
	uint8_t chunk[WRITE_BYTES];
	unsigned int count, i;
	ssize_t done;

	pthread_mutex_lock(&console->lock);
	count = console->head - console->tail;
	if (count > WRITE_BYTES)
		count = WRITE_BYTES;
	for (i = 0; i < count; i++)
		chunk[i] = console->ring[(console->tail + i) % RING_BYTES];
	pthread_mutex_unlock(&console->lock);
	if (!count)
		return 0;
	if (!out_writable(console, timeout_ms))
		return -EAGAIN;
	done = write(console->out_fd, chunk, count);
	if (done < 0 && (errno == EINTR || errno == EAGAIN))
		return -EAGAIN;
	if (done < 0)
		done = write_failed(console, count, errno);
	else
		write_worked(console);
	pthread_mutex_lock(&console->lock);
	if (done < 0) {
		console->dead = true;
		console->tail = console->head;
	} else {
		console->tail += (unsigned int)done;
	}
	pthread_mutex_unlock(&console->lock);
	return 1;
}

static void out_ready(void *opaque, uint32_t events);

/* I/O thread. */
static void drain(void *opaque)
{
	struct console *console = opaque;
	int ret;

	pthread_mutex_lock(&console->write_lock);
	do
		ret = write_some(console, 0);
	while (ret > 0);
	pthread_mutex_unlock(&console->write_lock);
	if (ret < 0 && !console->waiting) {
		console->waiting =
		    !vmm_loop_add(console->vmm, console->out_fd, EPOLLOUT, out_ready, console);
		if (!console->waiting)
			kick_ring_later(&console->kick, RETRY_MS);
		return;
	}
	if (ret == 0 && console->waiting) {
		vmm_loop_remove(console->vmm, console->out_fd);
		console->waiting = false;
	}
	if (ret == 0)
		console->device.drained(console->device.opaque);
}

static void out_ready(void *opaque, uint32_t events)
{
	(void)events;
	drain(opaque);
}

bool console_has_room(struct console *console)
{
	bool room;

	if (console->lossy)
		return true;
	pthread_mutex_lock(&console->lock);
	room = console->dead || console->head - console->tail < RING_BYTES;
	pthread_mutex_unlock(&console->lock);
	return room;
}

void console_put(struct console *console, uint8_t byte)
{
	bool first = false;

	pthread_mutex_lock(&console->lock);
	if (console->out_fd < 0 || console->dead) {
		first = true; /* the device must still hear that its byte was written */
	} else if (console->head - console->tail < RING_BYTES) {
		first = console->head == console->tail;
		console->ring[console->head++ % RING_BYTES] = byte;
	}
	pthread_mutex_unlock(&console->lock);
	if (first)
		kick_ring(&console->kick);
}

void console_flush(struct console *console, int timeout_ms)
{
	if (console->out_fd < 0)
		return;
	pthread_mutex_lock(&console->write_lock);
	while (write_some(console, console->lossy ? 0 : timeout_ms) > 0)
		;
	pthread_mutex_unlock(&console->write_lock);
}

/* ---- Input ----------------------------------------------------------------------------------- */

/* Remove Ctrl-A sequences; returns how many bytes remain. */
static size_t filter_escape(struct console *console, uint8_t *data, size_t bytes)
{
	size_t i, kept = 0;

	for (i = 0; i < bytes; i++) {
		if (console->escaped) {
			console->escaped = false;
			if (data[i] == 'x') {
				vmm_end(console->vmm, VMM_END_QUIT, "Ctrl-A x on the console");
				continue;
			}
			if (data[i] != ESCAPE)
				continue;
		} else if (data[i] == ESCAPE) {
			console->escaped = true;
			continue;
		}
		data[kept++] = data[i];
	}
	return kept;
}

static void stop_input(struct console *console)
{
	if (console->in_loop)
		vmm_loop_remove(console->vmm, console->in_fd);
	console->in_loop = false;
}

static void in_ready(void *opaque, uint32_t events)
{
	struct console *console = opaque;
	uint8_t data[256];
	size_t room;
	ssize_t got;

	(void)events;
	pthread_mutex_lock(&console->input_lock);
	room = console->device.room(console->device.opaque);
	if (!room) {
		/* Remove it from the loop: a hang-up would be reported again and again. */
		stop_input(console);
		console->paused = true;
		goto out;
	}
	got = read(console->in_fd, data, room < sizeof(data) ? room : sizeof(data));
	if (got < 0 && (errno == EINTR || errno == EAGAIN))
		goto out;
	if (got <= 0) {
		stop_input(console);
		goto out;
	}
	if (console->raw)
		got = (ssize_t)filter_escape(console, data, (size_t)got);
	if (got)
		console->device.input(console->device.opaque, data, (size_t)got);
out:
	pthread_mutex_unlock(&console->input_lock);
}

void console_resume_input(struct console *console)
{
	pthread_mutex_lock(&console->input_lock);
	if (console->paused) {
		console->paused = false;
		console->in_loop =
		    !vmm_loop_add(console->vmm, console->in_fd, EPOLLIN, in_ready, console);
	}
	pthread_mutex_unlock(&console->input_lock);
}

/* ---- Start and end --------------------------------------------------------------------------- */

/* Only in the foreground: a background job that touches the terminal is stopped. */
static void make_raw(struct console *console)
{
	struct termios saved, raw;

	if (!isatty(console->in_fd) || tcgetpgrp(console->in_fd) != getpgrp())
		return;
	if (tcgetattr(console->in_fd, &saved))
		return;
	raw = saved;
	raw.c_iflag &=
	    ~(tcflag_t)(IGNBRK | BRKINT | PARMRK | ISTRIP | INLCR | IGNCR | ICRNL | IXON);
	raw.c_lflag &= ~(tcflag_t)(ECHO | ECHONL | ICANON | IEXTEN | ISIG);
	raw.c_cc[VMIN] = 1;
	raw.c_cc[VTIME] = 0;
	console->undo = undo_terminal(console->in_fd, &saved);
	console->raw = !tcsetattr(console->in_fd, TCSANOW, &raw);
}

static int open_pty(struct console *console, struct gmig_error *err)
{
	char name[64];
	struct termios raw;

	console->own_fds = true;
	console->lossy = true;
	console->in_fd = posix_openpt(O_RDWR | O_NOCTTY | O_CLOEXEC);
	if (console->in_fd < 0)
		return gmig_fail(err, -errno, "console: no pty: %s", strerror(errno));
	if (grantpt(console->in_fd) || unlockpt(console->in_fd) ||
	    ptsname_r(console->in_fd, name, sizeof(name)))
		return gmig_fail(err, -errno, "console: pty: %s", strerror(errno));
	console->slave_fd = open(name, O_RDWR | O_NOCTTY | O_CLOEXEC);
	if (console->slave_fd < 0)
		return gmig_fail(err, -errno, "console: %s: %s", name, strerror(errno));
	if (!tcgetattr(console->slave_fd, &raw)) {
		cfmakeraw(&raw);
		tcsetattr(console->slave_fd, TCSANOW, &raw);
	}
	/* A second descriptor for the same pty: the loop allows one handler per descriptor. */
	console->out_fd = fcntl(console->in_fd, F_DUPFD_CLOEXEC, 3);
	if (console->out_fd < 0)
		return gmig_fail(err, -errno, "console: pty: %s", strerror(errno));
	vmm_log(GMIG_LOG_INFO, "console at %s", name);
	return 0;
}

static int open_spec(struct console *console, const char *spec, bool append, struct gmig_error *err)
{
	int ret;

	if (!strcmp(spec, "none")) {
		console->lossy = true;
		return 0;
	}
	if (!strcmp(spec, "stdio")) {
		console->in_fd = STDIN_FILENO;
		console->out_fd = STDOUT_FILENO;
		make_raw(console);
		return 0;
	}
	if (!strcmp(spec, "pty"))
		return open_pty(console, err);
	if (strncmp(spec, "file:", 5) != 0 || !spec[5])
		return gmig_fail(err, -EINVAL,
				 "console '%s' is none of stdio, file:PATH, pty, none", spec);
	console->own_fds = true;
	console->path = spec + 5;
	ret = console_file_open(console->path, append, err);
	if (ret >= 0)
		console->out_fd = ret;
	return ret < 0 ? ret : 0;
}

static bool is_pollable(int fd)
{
	struct epoll_event event = {.events = 0};
	int epoll = epoll_create1(EPOLL_CLOEXEC), ret;

	if (epoll < 0)
		return false;
	ret = epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &event);
	close(epoll);
	return !ret;
}

int console_create(struct vmm *vmm, const char *spec, bool append,
		   const struct console_device *device, struct console **out,
		   struct gmig_error *err)
{
	struct console *console = calloc(1, sizeof(*console));
	int ret;

	if (!console)
		return gmig_fail(err, -ENOMEM, "console: out of memory");
	*console = (struct console){.vmm = vmm,
				    .device = *device,
				    .in_fd = -1,
				    .out_fd = -1,
				    .slave_fd = -1,
				    .undo = UNDO_NOTHING};
	console->kick.fd = -1;
	pthread_mutex_init(&console->lock, NULL);
	pthread_mutex_init(&console->write_lock, NULL);
	pthread_mutex_init(&console->input_lock, NULL);
	ret = open_spec(console, spec, append, err);
	if (ret)
		goto fail;
	console->out_pollable = console->out_fd >= 0 && is_pollable(console->out_fd);
	ret = kick_create(&console->kick, vmm, drain, console);
	if (ret) {
		gmig_fail(err, ret, "console: %s", strerror(-ret));
		goto fail;
	}
	/* Refused when stdin is a plain file or closed. Then the guest gets no input; this is no
	 * error. */
	pthread_mutex_lock(&console->input_lock);
	if (console->in_fd >= 0)
		console->in_loop = !vmm_loop_add(vmm, console->in_fd, EPOLLIN, in_ready, console);
	pthread_mutex_unlock(&console->input_lock);
	*out = console;
	return 0;
fail:
	console_destroy(console);
	return ret;
}

void console_destroy(struct console *console)
{
	if (!console)
		return;
	kick_destroy(&console->kick);
	if (console->waiting)
		vmm_loop_remove(console->vmm, console->out_fd);
	/* Without the lock: the handler may hold it, and the removal waits for the handler. No vCPU
	 * runs any more. */
	if (console->in_fd >= 0)
		vmm_loop_remove(console->vmm, console->in_fd);
	console_flush(console, 1000);
	undo_now(console->undo);
	if (console->own_fds) {
		if (console->in_fd >= 0)
			close(console->in_fd);
		if (console->out_fd >= 0)
			close(console->out_fd);
	}
	if (console->slave_fd >= 0)
		close(console->slave_fd);
	pthread_mutex_destroy(&console->lock);
	pthread_mutex_destroy(&console->write_lock);
	pthread_mutex_destroy(&console->input_lock);
	free(console);
}
