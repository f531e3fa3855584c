/* See undo.h. A slot goes free -> busy -> set -> free; only its owner or undo_all takes it on. */
#include "undo.h"
#include "log.h"
#include "signal_text.h"

#include <limits.h>
#include <stdatomic.h>
#include <stdbool.h>
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

static void (*report)(const void *context);

void undo_report_crash_by(void (*told)(const void *context))
{
	report = told;
}

/* By itself: a fault, or abort(3) by whoever found that it cannot go on. */
static bool is_crash(int number, const siginfo_t *info)
{
	return info->si_code > 0 ||
	       (number == SIGABRT && info->si_code == SI_TKILL && info->si_pid == getpid());
}

static void say_reason(int number, const siginfo_t *info)
{
	struct signal_text text = {.used = 0};

	signal_text_add(&text, "gmig-vmm: error shutdown reason=");
	signal_text_add(&text, is_crash(number, info) ? "crash" : "signal");
	signal_text_add(&text, " text=\"");
	signal_text_name(&text, number);
	if (info->si_code > 0) {
		signal_text_add(&text, " at 0x");
		signal_text_hex(&text, (uintptr_t)info->si_addr);
	} else {
		signal_text_add(&text, is_crash(number, info) ? " by itself" : " was sent to it");
	}
	if (number == SIGBUS && info->si_code == BUS_MCEERR_AR)
		signal_text_add(&text, ": broken memory");
	signal_text_add(&text, "\"");
	signal_text_say(&text);
}

void undo_fatal(int number, const siginfo_t *info, const void *context)
{
	static atomic_flag reported = ATOMIC_FLAG_INIT;

	undo_all();
	log_flush(CRASH_FLUSH_MS);
	say_reason(number, info);
	/* Once: it may crash itself, or another thread meanwhile. */
	if (report && is_crash(number, info) && !atomic_flag_test_and_set(&reported))
		report(context);
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
	undo_fatal(number, info, context);
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
