/*
 * The host's end of the serial console: stdio, a file, a pty, or nothing. Output is buffered and
 * written on the I/O thread, so that a vCPU never sleeps on a terminal. Input is read there, too,
 * but never more than the device has room for.
 *
 * Lock order: input lock, the device's own, the ring's. So console_put and console_has_room may be
 * called under the device's lock, console_resume_input may not (`room` and `input` are called with
 * the input lock held).
 */
#ifndef VMM_CONSOLE_H
#define VMM_CONSOLE_H

#include "vmm.h"

struct console;

/* The device. All functions run on the I/O thread. */
struct console_device {
	size_t (*room)(void *opaque); /* how many bytes may come now */
	void (*input)(void *opaque, const uint8_t *data, size_t bytes); /* at most that many */
	void (*drained)(void *opaque); /* all output so far was passed to the host */
	void *opaque;
};

/*
 * spec: stdio | file:PATH | pty | none. The pty's name is in the log. A terminal is switched
 * to raw mode; append: what a file holds already stays. Ctrl-A x ends the guest, and Ctrl-A Ctrl-A sends a Ctrl-A. -EINVAL unknown spec;
 * errors of open.
 */
int console_create(struct vmm *vmm, const char *spec, bool append,
		   const struct console_device *device, struct console **out,
		   struct gmig_error *err);
/* Writes the buffered output (waits up to a second for a slow reader) and restores the terminal.
 * NULL is legal. */
void console_destroy(struct console *console);

/* Is there room for a byte? A pty or `none` always has room and drops what nobody reads. */
bool console_has_room(struct console *console);
/* Any thread. Dropped when there is no room. */
void console_put(struct console *console, uint8_t byte);
/* The device has room again: continue to read. Any thread. */
void console_resume_input(struct console *console);
/* Waits until the output has been written, at most `timeout_ms`. Not on the I/O thread. */
void console_flush(struct console *console, int timeout_ms);

#endif
