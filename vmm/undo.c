/* See undo.h. A slot goes free -> busy -> set -> free; only its owner or undo_all takes it on. */
#include "undo.h"
#include "log.h"

#include <limits.h>
#include <poll.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define MAX_SLOTS      32
#define CRASH_FLUSH_MS 100 /* for the lines before */

enum slot_state { SLOT_FREE, SLOT_BUSY, SLOT_SET };

static struct slot {
	_Atomic int state;
	int fd; /* terminal; -1: a file */
	struct termios saved;
	dev_t device;
	ino_t inode;
	char path[PATH_MAX];
} slots[MAX_SLOTS];

static struct slot *take_free(void)
{
	for (unsigned int i = 0; i < MAX_SLOTS; i++) {
		int expected = SLOT_FREE;

		if (atomic_compare_exchange_strong(&slots[i].state, &expected, SLOT_BUSY))
			return &slots[i];
	}
	return NULL;
}

int undo_terminal(int fd, const struct termios *saved)
{
	struct slot *slot = take_free();

	if (!slot)
		return UNDO_NOTHING;
	slot->fd = fd;
	slot->saved = *saved;
	atomic_store(&slot->state, SLOT_SET);
	return (int)(slot - slots);
}

int undo_file(const char *path)
{
	struct slot *slot;
	struct stat stat;

	if (strlen(path) >= sizeof(slot->path) || lstat(path, &stat))
		return UNDO_NOTHING;
	slot = take_free();
	if (!slot)
		return UNDO_NOTHING;
	slot->fd = -1;
	slot->device = stat.st_dev;
	slot->inode = stat.st_ino;
	strcpy(slot->path, path);
	atomic_store(&slot->state, SLOT_SET);
	return (int)(slot - slots);
}

/* A process in the background that sets its terminal would be stopped by SIGTTOU. */
static void restore_terminal(const struct slot *slot)
{
	sigset_t block, old;

	sigemptyset(&block);
	sigaddset(&block, SIGTTOU);
	pthread_sigmask(SIG_BLOCK, &block, &old);
	/* Not TCSADRAIN, which waits for a terminal that nobody reads. */
	tcsetattr(slot->fd, TCSANOW, &slot->saved);
	pthread_sigmask(SIG_SETMASK, &old, NULL);
}

static void remove_file(const struct slot *slot)
{
	struct stat stat;

	if (!lstat(slot->path, &stat) && stat.st_dev == slot->device && stat.st_ino == slot->inode)
		unlink(slot->path);
}

void undo_now(int number)
{
	struct slot *slot;
	int expected = SLOT_SET;

	if (number == UNDO_NOTHING)
		return;
	slot = &slots[number];
	if (!atomic_compare_exchange_strong(&slot->state, &expected, SLOT_BUSY))
		return;
	if (slot->fd >= 0)
		restore_terminal(slot);
	else
		remove_file(slot);
	atomic_store(&slot->state, SLOT_FREE);
}

void undo_forget(int number)
{
	if (number != UNDO_NOTHING)
		atomic_store(&slots[number].state, SLOT_FREE);
}

void undo_all(void)
{
	for (int i = 0; i < MAX_SLOTS; i++)
		undo_now(i);
}

/* ---- Fatal signals: async-signal-safe functions only ------------------------------------------ */

static struct sigaction previous[NSIG]; /* the default action, or a sanitizer's handler */

static size_t append(char *line, size_t at, size_t bytes, const char *text)
{
	while (*text && at < bytes)
		line[at++] = *text++;
	return at;
}

static size_t append_hex(char *line, size_t at, size_t bytes, uintptr_t value)
{
	for (int shift = 60; shift >= 0 && at < bytes; shift -= 4)
		if (value >> shift || !shift)
			line[at++] = "0123456789abcdef"[value >> shift & 15];
	return at;
}

/* SIGSEGV; SIGRTMIN+3: those have no names of their own. */
static size_t append_name(char *line, size_t at, size_t bytes, int number)
{
	const char *name = sigabbrev_np(number);
	const int above = number - SIGRTMIN;
	const char digits[] = {(char)('0' + above / 10 % 10), (char)('0' + above % 10), '\0'};

	at = append(line, at, bytes, "SIG");
	if (name)
		return append(line, at, bytes, name);
	at = append(line, at, bytes, "RTMIN+");
	return append(line, at, bytes, above < 10 ? digits + 1 : digits);
}

/* A stderr that nobody reads must not keep the process. */
static void say(const char *line, size_t bytes)
{
	struct pollfd pfd = {.fd = STDERR_FILENO, .events = POLLOUT};
	ssize_t ignored;

	if (poll(&pfd, 1, 0) != 1)
		return;
	ignored = write(STDERR_FILENO, line, bytes);
	(void)ignored;
}

void undo_fatal(int number, const siginfo_t *info)
{
	char line[160];
	size_t at = 0;

	undo_all();
	log_flush(CRASH_FLUSH_MS);
	at = append(line, at, sizeof(line) - 1, "gmig-vmm: error shutdown reason=");
	at = append(line, at, sizeof(line) - 1, info->si_code > 0 ? "crash" : "signal");
	at = append(line, at, sizeof(line) - 1, " text=\"");
	at = append_name(line, at, sizeof(line) - 1, number);
	if (info->si_code > 0) {
		at = append(line, at, sizeof(line) - 1, " at 0x");
		at = append_hex(line, at, sizeof(line) - 1, (uintptr_t)info->si_addr);
	} else {
		at = append(line, at, sizeof(line) - 1, " was sent to it");
	}
	if (number == SIGBUS && info->si_code == BUS_MCEERR_AR)
		at = append(line, at, sizeof(line) - 1, ": broken memory");
	at = append(line, at, sizeof(line) - 1, "\"");
	line[at++] = '\n';
	say(line, at);
	sigaction(number, &previous[number], NULL);
	/* A fault happens again when the handler returns, now with its address for the core or a
	 * sanitizer's report. */
	if (info->si_code > 0 &&
	    (number == SIGSEGV || number == SIGBUS || number == SIGFPE || number == SIGILL))
		return;
	raise(number);
}

static void on_fatal(int number, siginfo_t *info, void *context)
{
	(void)context;
	undo_fatal(number, info);
}

static void undo_on(int number)
{
	struct sigaction action = {.sa_sigaction = on_fatal, .sa_flags = SA_SIGINFO};

	sigaction(number, &action, &previous[number]);
	/* Ignored on purpose, as SIGQUIT in a shell's background. */
	if (previous[number].sa_handler == SIG_IGN)
		signal(number, SIG_IGN);
}

void undo_on_fatal_signals(void)
{
	static const int numbers[] = {SIGSEGV, SIGABRT, SIGFPE,	 SIGILL,   SIGSYS,  SIGTRAP,
				      SIGQUIT, SIGXCPU, SIGALRM, SIGUSR1,  SIGUSR2, SIGVTALRM,
				      SIGPROF, SIGPOLL, SIGPWR,	 SIGSTKFLT};

	for (size_t i = 0; i < sizeof(numbers) / sizeof(numbers[0]); i++)
		undo_on(numbers[i]);
	for (int number = SIGRTMIN; number <= SIGRTMAX; number++)
		undo_on(number);
}
