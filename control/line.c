/* Line framing, see line.h. libc only: the guest agent links this file statically. */
#include "line.h"

#include <stdlib.h>
#include <string.h>

#define LINE_FIRST_BYTES 512
#define LINE_KEEP_BYTES	 (64 * 1024)
#define LINE_RESYNC	 0xff

struct line_reader {
	size_t max_bytes;
	size_t length;	 /* gathered, with a CR that may turn out to be half of an end */
	size_t capacity; /* of buffer */
	char *buffer;
	bool ready;    /* buffer holds a whole line: start anew at the next feed */
	bool skipping; /* the line was too long: drop up to its end */
	bool resynced; /* a 0xFF came before the line that is gathered now */
};

struct line_reader *line_reader_create(size_t max_bytes)
{
	struct line_reader *reader = calloc(1, sizeof(*reader));

	if (!reader)
		return NULL;
	reader->max_bytes = max_bytes;
	reader->capacity = LINE_FIRST_BYTES;
	reader->buffer = malloc(reader->capacity);
	if (!reader->buffer) {
		free(reader);
		return NULL;
	}
	return reader;
}

void line_reader_destroy(struct line_reader *reader)
{
	if (!reader)
		return;
	free(reader->buffer);
	free(reader);
}

/* Forget the line that was handed out; a buffer that one long line blew up is not kept. */
static void line_begin(struct line_reader *reader)
{
	char *smaller;

	reader->ready = false;
	reader->resynced = false;
	reader->length = 0;
	if (reader->capacity <= LINE_KEEP_BYTES)
		return;
	smaller = realloc(reader->buffer, LINE_FIRST_BYTES);
	if (!smaller)
		return;
	reader->buffer = smaller;
	reader->capacity = LINE_FIRST_BYTES;
}

/* Room for `bytes` and a NUL. */
static bool line_reserve(struct line_reader *reader, size_t bytes)
{
	size_t capacity = reader->capacity;
	char *bigger;

	if (bytes < capacity)
		return true;
	while (capacity <= bytes)
		capacity *= 2;
	bigger = realloc(reader->buffer, capacity);
	if (!bigger)
		return false;
	reader->buffer = bigger;
	reader->capacity = capacity;
	return true;
}

/*
 * Append a run without ends. False when the line cannot fit any more: one byte over the limit is
 * let in only as a CR, because the LF that makes it an end may follow. A line there is no memory
 * for is too long as well.
 */
static bool line_append(struct line_reader *reader, const char *bytes, size_t count)
{
	size_t length = reader->length + count;
	char last = count ? bytes[count - 1] : 0;

	if (reader->length > reader->max_bytes)
		return false;
	if (length > reader->max_bytes && (length > reader->max_bytes + 1 || last != '\r'))
		return false;
	if (!line_reserve(reader, length))
		return false;
	memcpy(reader->buffer + reader->length, bytes, count);
	reader->length = length;
	return true;
}

/* How many bytes come before the next LF or 0xFF. */
static size_t line_run(const char *bytes, size_t count)
{
	const char *end = memchr(bytes, '\n', count);
	const char *resync;

	if (end)
		count = (size_t)(end - bytes);
	resync = memchr(bytes, LINE_RESYNC, count);
	return resync ? (size_t)(resync - bytes) : count;
}

static void line_end(struct line_reader *reader)
{
	if (reader->length && reader->buffer[reader->length - 1] == '\r')
		reader->length--;
	reader->buffer[reader->length] = '\0';
	reader->ready = true;
}

size_t line_reader_feed(struct line_reader *reader, const char *bytes, size_t count,
			enum line_result *result)
{
	size_t taken = 0;

	*result = LINE_NONE;
	if (reader->ready)
		line_begin(reader);
	while (taken < count) {
		size_t run = line_run(bytes + taken, count - taken);

		if (!reader->skipping && run && !line_append(reader, bytes + taken, run)) {
			reader->skipping = true;
			reader->length = 0;
			*result = LINE_TOO_LONG;
			return taken + run;
		}
		taken += run;
		if (taken == count)
			break;
		if ((unsigned char)bytes[taken++] == LINE_RESYNC) {
			reader->skipping = false;
			reader->length = 0;
			reader->resynced = true;
			continue;
		}
		if (reader->skipping) {
			reader->skipping = false;
			reader->resynced = false;
			continue;
		}
		line_end(reader);
		*result = LINE_READY;
		return taken;
	}
	return taken;
}

const char *line_reader_line(const struct line_reader *reader, size_t *length)
{
	*length = reader->length;
	return reader->buffer;
}

bool line_reader_resynced(const struct line_reader *reader)
{
	return reader->resynced;
}
