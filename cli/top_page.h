/*
 * A page of characters with their looks: what `gmig top` draws before a terminal or a file sees any of it. Text that goes onto it
 * is made safe (control/text.h): what is not printable, or not one column wide, becomes '?'. No state, any thread.
 */
#ifndef CLI_TOP_PAGE_H
#define CLI_TOP_PAGE_H

#include <stdint.h>
#include <stdio.h>
#include <wchar.h>

enum top_look {
	TOP_PLAIN,
	TOP_HEAD,  /* headings */
	TOP_DIM,   /* of little weight */
	TOP_BAD,   /* needs somebody */
	TOP_NEAR,  /* memory where vCPUs are */
	TOP_FAR,   /* memory elsewhere */
	TOP_SHADE, /* TOP_SHADE + 0 .. + TOP_SHADES - 1: cold to hot */
	TOP_SHADES = 5,
	TOP_LOOKS = TOP_SHADE + TOP_SHADES,
	TOP_MUCH = 0x40,   /* or'ed: most of it */
	TOP_CHOSEN = 0x80, /* or'ed: the row of the cursor */
};

struct top_cell {
	wchar_t character;
	uint8_t look;
};

struct top_page {
	int width, height;
	struct top_cell *cells; /* row by row */
};

/* All blank. -ENOMEM. */
int top_page_init(struct top_page *page, int width, int height);
void top_page_free(struct top_page *page);

/* From (x, y) on, at most `width` columns; what lies outside of the page is dropped. Returns the columns that the text took. */
int top_page_put(struct top_page *page, int x, int y, int width, uint8_t look, const char *text);
/* The same, flush right in `width` columns; all of them are '#' if it does not fit. */
void top_page_put_right(struct top_page *page, int x, int y, int width, uint8_t look,
			const char *text);
__attribute__((format(printf, 5, 6))) int top_page_print(struct top_page *page, int x, int y,
							 uint8_t look, const char *format, ...);
/* Or this look into a whole row. */
void top_page_mark(struct top_page *page, int y, uint8_t look);
/* Rows without their looks and without the blanks at their ends; `rows` of them. */
void top_page_write(const struct top_page *page, int rows, FILE *out);

#endif
