/*
 * Text that somebody else wrote (a guest, its agent, a VMM), made safe for a terminal. All that a
 * program prints for people and that came over a socket goes through here; JSON output does not,
 * since it escapes by itself and stays exact. No state, any thread.
 */
#ifndef CONTROL_TEXT_H
#define CONTROL_TEXT_H

#include <jansson.h>

/*
 * Replaces in place, each by one '?': control characters (C0 with newline and tab, DEL, C1),
 * bidirectional controls, line and paragraph separators, and bytes that are not UTF-8. What is left
 * neither moves the cursor, nor starts an escape sequence, nor reorders its line. Returns text.
 */
char *control_text_safe(char *text);
/* A JSON string of text that may have been cut within a character: what is not UTF-8 becomes '?'. */
json_t *control_text_json(const char *text);
/* A deep copy with all strings and keys made safe; keys that become equal are one. A new reference;
 * NULL for NULL or when there is no memory. */
json_t *control_json_safe(const json_t *json);

#endif
