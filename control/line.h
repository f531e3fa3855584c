/*
 * Line framing: bytes in, lines out. One message is one line; CRLF and LF both end one; a 0xFF byte
 * discards what was gathered (the guest agent's resynchronisation); a line over the limit is
 * reported once and skipped to its end. No JSON here, libc only, so that the guest agent can link
 * it statically. Not thread-safe: one reader owns it.
 */
#ifndef CONTROL_LINE_H
#define CONTROL_LINE_H

#include <stdbool.h>
#include <stddef.h>

struct line_reader;

enum line_result { LINE_NONE, LINE_READY, LINE_TOO_LONG };

/* max_bytes: longest line accepted, without its end. NULL when there is no memory. */
struct line_reader *line_reader_create(size_t max_bytes);
void line_reader_destroy(struct line_reader *reader);
/* Take bytes[0..count); returns how many were taken: stops after a line's end, so that the caller
 * loops. */
size_t line_reader_feed(struct line_reader *reader, const char *bytes, size_t count,
			enum line_result *result);
/* The line after LINE_READY: NUL-terminated, *length without its end; valid until the next feed.
 * May hold NUL bytes. */
const char *line_reader_line(const struct line_reader *reader, size_t *length);
/* Did a 0xFF come before the current line (guest-sync-delimited)? */
bool line_reader_resynced(const struct line_reader *reader);

#endif
