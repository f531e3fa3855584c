/*
 * What outlives the process: a terminal in raw mode, sockets in the file system. Each is entered
 * here when it is made, and undone however the process ends: in order by its owner, or all at once
 * by undo_all(), before _exit and in the handler of a fatal signal.
 *
 * Any thread; no locks. undo_now and undo_all may be called in a signal handler.
 */
#ifndef VMM_UNDO_H
#define VMM_UNDO_H

#include <signal.h>
#include <termios.h>

#define UNDO_NOTHING (-1)

/* A slot for undo_now and undo_forget, or UNDO_NOTHING when there is none left. */
int undo_terminal(int fd, const struct termios *saved);
/* Remove `path` if it is still the file that it is now: somebody else may have taken the place. */
int undo_file(const char *path);
/* Undo this one. UNDO_NOTHING is legal. */
void undo_now(int slot);
/* It was undone already. UNDO_NOTHING is legal. */
void undo_forget(int slot);
void undo_all(void);

/* Signals that end the process by default, also those of real time: undo everything, say the reason on stderr, and end. */
void undo_on_fatal_signals(void);
/* What is called once when the process crashes, after all is undone and the reason is said; see crash.h. Before the handlers are set. */
void undo_report_crash_by(void (*told)(const void *context));
/* The handler's work, for one who handles the signal itself and cannot. */
void undo_fatal(int number, const siginfo_t *info, const void *context);

#endif
