/*
 * Lines that a signal's handler writes: async-signal-safe, without locks, memory or the C library's streams. What has no room in a
 * line is cut off.
 */
#ifndef VMM_SIGNAL_TEXT_H
#define VMM_SIGNAL_TEXT_H

#include <stddef.h>
#include <stdint.h>

struct signal_text {
	char line[256];
	size_t used;
};

void signal_text_add(struct signal_text *text, const char *words);
/* Without 0x. */
void signal_text_hex(struct signal_text *text, uint64_t value);
void signal_text_number(struct signal_text *text, uint64_t value);
/* SIGSEGV; SIGRTMIN+3: those have no names of their own. */
void signal_text_name(struct signal_text *text, int signal);
/* To stderr, as a line, unless nobody reads it there, which must not keep the process. Empty afterwards. */
void signal_text_say(struct signal_text *text);

#endif
