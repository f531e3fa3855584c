/* See signal_text.h. */
#include "signal_text.h"

#include <poll.h>
#include <signal.h>
#include <string.h>
#include <unistd.h>

#define ROOM (sizeof((struct signal_text *)NULL)->line - 1) /* and the line's end */

static void add(struct signal_text *text, char letter)
{
	if (text->used < ROOM)
		text->line[text->used++] = letter;
}

void signal_text_add(struct signal_text *text, const char *words)
{
	while (*words)
		add(text, *words++);
}

void signal_text_hex(struct signal_text *text, uint64_t value)
{
	for (int shift = 60; shift >= 0; shift -= 4)
		if (value >> shift || !shift)
			add(text, "0123456789abcdef"[value >> shift & 15]);
}

void signal_text_number(struct signal_text *text, uint64_t value)
{
	char digits[20];
	size_t count = 0;

	do {
		digits[count++] = (char)('0' + value % 10);
		value /= 10;
	} while (value);
	while (count)
		add(text, digits[--count]);
}

void signal_text_name(struct signal_text *text, int signal)
{
	const char *name = sigabbrev_np(signal);

	signal_text_add(text, "SIG");
	if (name) {
		signal_text_add(text, name);
		return;
	}
	signal_text_add(text, "RTMIN+");
	signal_text_number(text, (uint64_t)(signal - SIGRTMIN));
}

void signal_text_say(struct signal_text *text)
{
	struct pollfd pfd = {.fd = STDERR_FILENO, .events = POLLOUT};
	ssize_t ignored;

	text->line[text->used++] = '\n';
	if (poll(&pfd, 1, 0) == 1) {
		ignored = write(STDERR_FILENO, text->line, text->used);
		(void)ignored;
	}
	text->used = 0;
}
