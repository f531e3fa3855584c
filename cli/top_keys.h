/*
 * What the keys of `gmig top` do: which page is shown, where its cursor is, what is asked. Pure: no terminal, no guest; a key comes
 * in, and perhaps an action comes out, which was confirmed. One thread.
 *
 * No key does anything to a guest by itself: it makes a question, and `y` answers it. A question is about one guest, by its serial
 * number (top_model.h): when that one is gone there is no other that the answer could be taken for.
 */
#ifndef CLI_TOP_KEYS_H
#define CLI_TOP_KEYS_H

#include "top_draw.h"

enum top_place { TOP_ALL, TOP_ONE, TOP_RANGES, TOP_HELP };

/* Keys that are no character. */
enum {
	TOP_UP = 0x110000,
	TOP_DOWN,
	TOP_LEFT,
	TOP_RIGHT,
	TOP_PAGE_UP,
	TOP_PAGE_DOWN,
	TOP_ENTER,
	TOP_BACK
};

struct top_screen {
	enum top_place place;
	struct top_view view;  /* of TOP_ALL; view.chosen is the guest of all places */
	size_t row, first_row; /* of TOP_ONE: the vnode; of TOP_RANGES: the first one shown */
	uint64_t vnode;	       /* of TOP_RANGES: its id */
	bool quit;

	/* What is asked in the last line, about the chosen guest as it was then. */
	enum { TOP_ASKS_NOTHING, TOP_ASKS_NODES, TOP_ASKS_SURE } asks;
	uint64_t about;
	char typed[64];
	char line[400]; /* the question, or a message; "" none */

	/* The action that is asked about; after a `y`, `go` is set and whoever carries it out takes `arguments`. */
	bool go;
	char command[24];
	json_t *arguments;
};

void top_screen_init(struct top_screen *screen, enum top_key sort);
void top_screen_free(struct top_screen *screen);
/* A key: a character, or one of the above. */
void top_screen_key(struct top_screen *screen, const struct top_model *model, int key);
/* The model is new: the cursor goes to a guest that is there, and a question about one that has gone ends. */
void top_screen_refresh(struct top_screen *screen, const struct top_model *model);
/* Show this in the last line until the next key, unless something is being asked. */
void top_screen_say(struct top_screen *screen, const char *text);
/* Draw the place with its last line. */
void top_screen_draw(struct top_screen *screen, const struct top_model *model,
		     struct top_page *page);

#endif
