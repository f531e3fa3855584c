/*
 * libFuzzer target for what a peer of the control socket can send: line framing, JSON, arguments.
 * The first byte of the input says how the rest is cut into pieces.
 *
 * Checked besides crashes and leaks: pieces give the same lines as one feed does; every line has
 * exactly one answer, which is one line of JSON with either a result or an error of the right
 * shape, and which carries the request's id when there was one that could be read.
 */
#include "../../control/internal.h"
#include "../../control/line.h"

#include <errno.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#define MAX_LINE_BYTES 2048

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void must(bool condition)
{
	if (!condition)
		abort();
}

/* ---- Commands with the real argument tables -------------------------------------------------- */

static int run_echo(void *opaque, const json_t *arguments, json_t **result, struct gmig_error *err)
{
	(void)opaque;
	(void)err;
	*result = json_deep_copy(arguments);
	return 0;
}

/* Fails with the peer's own text in the error's, where it may be cut within a character. */
static int run_fail(void *opaque, const json_t *arguments, json_t **result, struct gmig_error *err)
{
	const char *id = json_string_value(json_object_get(arguments, "id"));

	(void)opaque;
	(void)result;
	return gmig_fail(err, -ESRCH, "there is no job '%.9s', nor '%.500s'", id, id);
}

static const struct control_argument migrate_arguments[] = {
    {.name = "from", .type = CONTROL_ARRAY, .required = true},
    {.name = "to", .type = CONTROL_ARRAY, .required = true},
    {.name = "vnode", .type = CONTROL_INTEGER},
    {.name = "mode", .type = CONTROL_STRING},
    {.name = "flag", .type = CONTROL_BOOL},
    {.name = "object", .type = CONTROL_OBJECT},
    {0},
};
static const struct control_argument id_arguments[] = {
    {.name = "id", .type = CONTROL_STRING, .required = true},
    {0},
};
static const struct control_command commands[] = {
    {.name = "migrate-pages", .arguments = migrate_arguments, .run = run_echo},
    {.name = "job-cancel", .arguments = id_arguments, .run = run_fail},
    {.name = "stop", .run = run_echo},
    {0},
};

/* ---- One line -------------------------------------------------------------------------------- */

static void check_error(const json_t *error)
{
	const char *class = json_string_value(json_object_get(error, "class"));
	const char *text = json_string_value(json_object_get(error, "desc"));

	must(class && (!strcmp(class, "GenericError") || !strcmp(class, "CommandNotFound")));
	must(text && *text);
	must(json_is_string(json_object_get(error, "errno")));
}

static void check_answer(const char *line, size_t length, const json_t *answer)
{
	const json_t *result = json_object_get(answer, "return");
	const json_t *error = json_object_get(answer, "error");
	json_t *request = json_loadb(line, length, JSON_REJECT_DUPLICATES, NULL);
	json_t *id = json_object_get(request, "id");

	must(!result != !error);
	must(json_object_size(answer) == (json_object_get(answer, "id") ? 2 : 1));
	if (error)
		check_error(error);
	if (id && !memchr(line, '\0', length))
		must(json_equal(id, json_object_get(answer, "id")));
	if (!request)
		must(error != NULL);
	json_decref(request);
}

static void handle_line(const char *line, size_t length)
{
	const struct control_dispatch dispatch = {.tables = {{commands, NULL}}};
	json_t *answer = control_dispatch(&dispatch, line, length), *again;
	size_t bytes = 0;
	char *text;

	must(answer != NULL);
	check_answer(line, length, answer);
	text = control_line_of(answer, &bytes);
	must(text && bytes > 1);
	must(memchr(text, '\n', bytes) == text + bytes - 1);
	again = json_loadb(text, bytes, JSON_REJECT_DUPLICATES, NULL);
	must(again != NULL);
	json_decref(again);
	free(text);
	json_decref(answer);
}

/* ---- Framing --------------------------------------------------------------------------------- */

struct lines {
	uint64_t hash;
	size_t ready, too_long;
};

static void add_line(struct lines *lines, const char *line, size_t length, bool resynced)
{
	uint64_t hash = lines->hash ^ (length << 1 | resynced);

	for (size_t i = 0; i < length; i++)
		hash = (hash ^ (uint8_t)line[i]) * 1099511628211u;
	lines->hash = hash;
	lines->ready++;
}

static struct lines feed(const char *bytes, size_t size, size_t piece, bool handle)
{
	struct line_reader *reader = line_reader_create(MAX_LINE_BYTES);
	struct lines lines = {0};

	must(reader != NULL);
	while (size) {
		size_t count = size < piece ? size : piece, length;
		enum line_result result;
		size_t taken = line_reader_feed(reader, bytes, count, &result);
		const char *line;

		must(taken > 0 && taken <= count);
		bytes += taken;
		size -= taken;
		lines.too_long += result == LINE_TOO_LONG;
		if (result != LINE_READY)
			continue;
		line = line_reader_line(reader, &length);
		must(length <= MAX_LINE_BYTES && line[length] == '\0');
		must(!memchr(line, '\n', length) && !memchr(line, 0xff, length));
		add_line(&lines, line, length, line_reader_resynced(reader));
		if (handle)
			handle_line(line, length);
	}
	line_reader_destroy(reader);
	return lines;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct lines whole, pieces;

	if (!size)
		return 0;
	whole = feed((const char *)data + 1, size - 1, size, true);
	pieces = feed((const char *)data + 1, size - 1, 1 + data[0] % 64, false);
	must(whole.hash == pieces.hash && whole.ready == pieces.ready &&
	     whole.too_long == pieces.too_long);
	return 0;
}
