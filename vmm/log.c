/* See log.h. */
#include "log.h"
#include "deadline.h"
#include "sandbox.h"
#include "vmm.h"

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define LINES	   256u
#define LINE_BYTES 512u
#define PREFIX	   "gmig-vmm: "

static struct {
	pthread_mutex_t lock; /* a leaf */
	pthread_cond_t filled;
	char line[LINES][LINE_BYTES]; /* guarded by lock, as all below; its LF included */
	size_t bytes[LINES];
	_Atomic unsigned int head, tail; /* written under lock; head - tail lines wait */
	_Atomic unsigned long lost;	 /* and not yet told; written under lock */
	_Atomic bool started;
	_Atomic bool idle; /* the thread has nothing to write */
	struct log_budgets budgets;
} sink = {.lock = PTHREAD_MUTEX_INITIALIZER, .filled = PTHREAD_COND_INITIALIZER};

/* ---- Writing --------------------------------------------------------------------------------- */

/* As long as stderr takes it; false: it never will. */
static bool write_all(const char *line, size_t bytes)
{
	while (bytes) {
		struct pollfd pfd = {.fd = STDERR_FILENO, .events = POLLOUT};
		ssize_t done = write(STDERR_FILENO, line, bytes);

		if (done < 0 && errno == EAGAIN)
			poll(&pfd, 1, -1);
		else if (done < 0 && errno != EINTR)
			return false;
		if (done > 0) {
			line += done;
			bytes -= (size_t)done;
		}
	}
	return true;
}

/* Lock held. */
static bool is_empty(void)
{
	return atomic_load(&sink.head) == atomic_load(&sink.tail);
}

/* Lock held and dropped. The line stays in the ring until it is written, for log_flush(). */
static void write_next(void)
{
	unsigned int slot = atomic_load(&sink.tail) % LINES;
	bool written;

	pthread_mutex_unlock(&sink.lock);
	written = write_all(sink.line[slot], sink.bytes[slot]);
	pthread_mutex_lock(&sink.lock);
	atomic_fetch_add(&sink.tail, 1);
	if (!written)
		atomic_fetch_add(&sink.lost, 1);
}

/* Lock held and dropped. */
static void tell_lost(unsigned long lost)
{
	char line[64];
	int bytes = snprintf(line, sizeof(line), PREFIX "warning log lost=%lu\n", lost);
	bool written;

	pthread_mutex_unlock(&sink.lock);
	written = write_all(line, (size_t)bytes);
	pthread_mutex_lock(&sink.lock);
	if (written)
		atomic_fetch_sub(&sink.lost, lost);
}

static void *writer(void *opaque)
{
	unsigned long told = 0; /* in vain: not again before another is lost */
	struct gmig_error err;

	(void)opaque;
	pthread_setname_np(pthread_self(), "log");
	if (sandbox_enter(SANDBOX_LOG, &err))
		vmm_log(GMIG_LOG_WARNING, "log: %s", err.text);
	pthread_mutex_lock(&sink.lock);
	for (;;) {
		unsigned long lost = atomic_load(&sink.lost);

		if (!is_empty()) {
			write_next();
		} else if (lost && lost != told) {
			tell_lost(lost);
			told = atomic_load(&sink.lost);
		} else {
			atomic_store(&sink.idle, true);
			pthread_cond_wait(&sink.filled, &sink.lock);
		}
	}
	return NULL;
}

int log_start(void)
{
	pthread_t thread;
	int ret = pthread_create(&thread, NULL, writer, NULL);

	if (ret)
		return -ret;
	pthread_detach(thread);
	atomic_store(&sink.started, true);
	return 0;
}

bool log_flush(int timeout_ms)
{
	uint64_t until = deadline_now_ns() + (uint64_t)timeout_ms * 1000000u;

	if (!atomic_load(&sink.started))
		return true;
	while (!atomic_load(&sink.idle)) {
		if (deadline_now_ns() > until)
			return false;
		poll(NULL, 0, 1);
	}
	return true;
}

/* ---- Lines ----------------------------------------------------------------------------------- */

/* Without control characters: a name or a guest's word must not forge lines. Room for LF and NUL. */
static size_t finish_line(char *line)
{
	size_t bytes = strnlen(line, LINE_BYTES - 2);

	for (size_t i = 0; i < bytes; i++)
		if ((unsigned char)line[i] < ' ' || line[i] == 0x7f)
			line[i] = '?';
	line[bytes++] = '\n';
	line[bytes] = '\0';
	return bytes;
}

static void put_locked(const char *line, size_t bytes)
{
	unsigned int head = atomic_load(&sink.head);

	if (head - atomic_load(&sink.tail) == LINES) {
		atomic_fetch_add(&sink.lost, 1);
		return;
	}
	memcpy(sink.line[head % LINES], line, bytes);
	sink.bytes[head % LINES] = bytes;
	atomic_store(&sink.head, head + 1);
	atomic_store(&sink.idle, false);
	pthread_cond_signal(&sink.filled);
}

static void put(char *line)
{
	size_t bytes = finish_line(line);

	if (!atomic_load(&sink.started)) {
		write_all(line, bytes);
		return;
	}
	pthread_mutex_lock(&sink.lock);
	put_locked(line, bytes);
	pthread_mutex_unlock(&sink.lock);
}

static const char *level_name(enum gmig_log_level level)
{
	static const char *const names[] = {"error", "warning", "info", "debug"};

	return names[level];
}

void log_say(const char *text)
{
	char line[LINE_BYTES];

	snprintf(line, sizeof(line), PREFIX "%s", text);
	put(line);
}

void vmm_log(enum gmig_log_level level, const char *format, ...)
{
	char line[LINE_BYTES];
	size_t at = (size_t)snprintf(line, sizeof(line), PREFIX "%s ", level_name(level));
	va_list args;

	va_start(args, format);
	vsnprintf(line + at, sizeof(line) - at, format, args);
	va_end(args);
	put(line);
}

void vmm_log_guest(enum gmig_log_level level, const char *format, ...)
{
	char text[LINE_BYTES], line[LINE_BYTES], more[32] = "";
	unsigned long held;
	va_list args;
	bool pass;

	va_start(args, format);
	vsnprintf(text, sizeof(text), format, args);
	va_end(args);
	pthread_mutex_lock(&sink.lock);
	pass =
	    log_budgets_take(&sink.budgets, log_budget_key(format, text), deadline_now_ns(), &held);
	pthread_mutex_unlock(&sink.lock);
	if (!pass)
		return;
	if (held)
		snprintf(more, sizeof(more), " held=%lu", held);
	snprintf(line, sizeof(line), PREFIX "%s %.*s%s", level_name(level),
		 (int)(sizeof(line) - sizeof(more) - sizeof(PREFIX) - 10), text, more);
	put(line);
}
