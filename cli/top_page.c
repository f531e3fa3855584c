#include "top_page.h"

#include "../control/text.h"

#include <errno.h>
#include <limits.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

int top_page_init(struct top_page *page, int width, int height)
{
	size_t count = (size_t)width * (size_t)height;

	*page = (struct top_page){.width = width, .height = height};
	page->cells = calloc(count + 1, sizeof(*page->cells));
	if (!page->cells)
		return -ENOMEM;
	for (size_t i = 0; i < count; i++)
		page->cells[i].character = L' ';
	return 0;
}

void top_page_free(struct top_page *page)
{
	free(page->cells);
	*page = (struct top_page){0};
}

/* The character at *text, which is UTF-8; *text is moved behind it. */
static wchar_t next_character(const char **text)
{
	unsigned char first = (unsigned char)*(*text)++;
	unsigned int more = first < 0x80 ? 0 : first < 0xe0 ? 1 : first < 0xf0 ? 2 : 3;
	unsigned int character = more ? first & (0x3fu >> more) : first;

	for (; more; more--)
		character = character << 6 | ((unsigned char)*(*text)++ & 0x3fu);
	/* A locale that does not know the character, or knows it as wide or as a part of another one. */
	return character < 0x80 || wcwidth((wchar_t)character) == 1 ? (wchar_t)character : L'?';
}

int top_page_put(struct top_page *page, int x, int y, int width, uint8_t look, const char *text)
{
	size_t bytes = strlen(text) + 1;
	char small[128], *longer = bytes > sizeof(small) ? malloc(bytes) : NULL;
	char *copy = longer ? longer : small;
	const char *at;
	int taken = 0;

	/* Without memory a long text is cut. */
	if (!longer && bytes > sizeof(small))
		bytes = sizeof(small);
	memcpy(copy, text, bytes);
	copy[bytes - 1] = '\0';
	at = control_text_safe(copy);
	for (; *at && taken < width; taken++) {
		wchar_t character = next_character(&at);

		if (y >= 0 && y < page->height && x + taken >= 0 && x + taken < page->width)
			page->cells[y * page->width + x + taken] =
			    (struct top_cell){character, look};
	}
	free(longer);
	return taken;
}

/* How many columns the text takes: a character is one. */
static int columns_of(const char *text)
{
	int columns = 0;

	for (; *text; text++)
		columns += ((unsigned char)*text & 0xc0) != 0x80;
	return columns;
}

void top_page_put_right(struct top_page *page, int x, int y, int width, uint8_t look,
			const char *text)
{
	int columns = columns_of(text);

	/* A number without some of its digits is another number. */
	for (int i = 0; i < width && columns > width; i++)
		top_page_put(page, x + i, y, 1, look, "#");
	if (columns > width)
		return;
	top_page_put(page, x + width - columns, y, width, look, text);
}

int top_page_print(struct top_page *page, int x, int y, uint8_t look, const char *format, ...)
{
	char text[1024];
	va_list args;

	va_start(args, format);
	/* clang-tidy 14 forgets what va_start() is behind the first file of a run. */
	vsnprintf(text, sizeof(text), format, args); /* NOLINT */
	va_end(args);
	return top_page_put(page, x, y, INT_MAX, look, text);
}

void top_page_mark(struct top_page *page, int y, uint8_t look)
{
	for (int x = 0; x < page->width && y >= 0 && y < page->height; x++)
		page->cells[y * page->width + x].look |= look;
}

void top_page_write(const struct top_page *page, int rows, FILE *out)
{
	for (int y = 0; y < page->height && y < rows; y++) {
		const struct top_cell *row = page->cells + y * page->width;
		int end = page->width;

		while (end && row[end - 1].character == L' ')
			end--;
		for (int x = 0; x < end; x++) {
			char bytes[MB_LEN_MAX];
			mbstate_t state = {0};
			size_t length = wcrtomb(bytes, row[x].character, &state);

			if (length == (size_t)-1)
				putc('?', out);
			else
				fwrite(bytes, 1, length, out);
		}
		putc('\n', out);
	}
}
