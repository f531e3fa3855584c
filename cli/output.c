/* What goes to stdout, and errors. */
#include "cli.h"

#include <errno.h>

#include "../control/text.h"

#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#define TABLE_COLUMNS 80

void cli_complain(const char *format, ...)
{
	char text[2 * GMIG_ERROR_TEXT];
	va_list args;

	va_start(args, format);
	vsnprintf(text, sizeof(text), format, args);
	va_end(args);
	fprintf(stderr, "gmig: %s\n", control_text_safe(text));
}

const char *cli_state_of(int rc)
{
	switch (rc) {
	case -EPIPE:
	case -ENOENT:
		return "gone";
	case -ECONNREFUSED:
		return "stale";
	case -ETIMEDOUT:
		return "silent";
	case -EACCES:
	case -EPERM:
		return "no right";
	case -EPROTO:
	case -EMSGSIZE:
		return "not understood";
	default: /* -EAGAIN its queue is full; -EMFILE, -ENOMEM, .. it cannot be asked, or refuses */
		return "no answer";
	}
}

int cli_fail(bool json, const struct gmig_error *err)
{
	CLI_JSON object = json ? control_error_json(NULL, err->code, err->text) : NULL;

	cli_complain("%s", err->text);
	if (object)
		cli_print_json(object);
	return CLI_FAILED;
}

int cli_print_json(const json_t *json)
{
	json_dumpf(json, stdout, CONTROL_DUMP_FLAGS);
	putchar('\n');
	return CLI_OK;
}

/* ---- Tables ---------------------------------------------------------------------------------- */

/* Characters, not bytes: continuation bytes take no room. */
static int cell_width(const char *cell, size_t length)
{
	int width = 0;

	for (size_t i = 0; i < length; i++)
		width += ((unsigned char)cell[i] & 0xc0) != 0x80;
	return width;
}

struct layout {
	int width[TABLE_COLUMNS];
	bool right[TABLE_COLUMNS];
};

static void measure(const char *text, struct layout *layout)
{
	bool first = true;

	memset(layout, 0, sizeof(*layout));
	for (const char *row = text; *row;
	     row += strcspn(row, "\n"), row += *row == '\n', first = false) {
		const char *end = row + strcspn(row, "\n"), *cell = row;

		for (int column = 0; column < TABLE_COLUMNS && cell <= end; column++) {
			size_t length = strcspn(cell, "\t\n");
			int width = cell_width(cell, length);

			if (first && *cell == '>') {
				layout->right[column] = true;
				width--;
			}
			if (width > layout->width[column])
				layout->width[column] = width;
			cell += length + 1;
		}
	}
}

static void print_cell(FILE *out, const char *cell, size_t length)
{
	char *copy = strndup(cell, length);

	if (copy)
		fputs(control_text_safe(copy), out);
	free(copy);
}

static void print_row(FILE *out, const char *row, const struct layout *layout, bool first)
{
	const char *end = row + strcspn(row, "\n"), *cell = row;

	for (int column = 0; column < TABLE_COLUMNS && cell <= end; column++) {
		size_t length = strcspn(cell, "\t\n");
		bool marked = first && *cell == '>';
		int pad = layout->width[column] - cell_width(cell + marked, length - marked);
		bool last = cell + length >= end;

		if (column)
			fputs("  ", out);
		if (layout->right[column])
			fprintf(out, "%*s", pad, "");
		print_cell(out, cell + marked, length - marked);
		if (!layout->right[column] && !last)
			fprintf(out, "%*s", pad, "");
		cell += length + 1;
	}
	putc('\n', out);
}

void cli_print_table(FILE *out, const char *text)
{
	struct layout layout;
	bool first = true;

	measure(text, &layout);
	for (const char *row = text; *row;
	     row += strcspn(row, "\n"), row += *row == '\n', first = false)
		print_row(out, row, &layout, first);
}

/* ---- Members of answers ---------------------------------------------------------------------- */

uint64_t cli_number(const json_t *object, const char *key)
{
	const json_t *value = json_object_get(object, key);

	if (json_is_integer(value) && json_integer_value(value) > 0)
		return (uint64_t)json_integer_value(value);
	if (json_is_real(value) && json_real_value(value) > 0 && json_real_value(value) < 1.8e19)
		return (uint64_t)json_real_value(value);
	return 0;
}

double cli_real(const json_t *object, const char *key)
{
	return json_number_value(json_object_get(object, key));
}

const char *cli_text(const json_t *object, const char *key)
{
	const char *text = json_string_value(json_object_get(object, key));

	return text ? text : "-";
}

void cli_print_rows(void (*fill)(FILE *rows, const json_t *object), const json_t *object)
{
	char *rows = NULL;
	size_t bytes;
	FILE *memory = open_memstream(&rows, &bytes);

	if (!memory)
		return;
	fill(memory, object);
	fclose(memory);
	cli_print_table(stdout, rows);
	free(rows);
}
