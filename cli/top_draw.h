/* How the model of `gmig top` looks on a page: the nodes' bars, and a row a guest. Nothing here knows a terminal. One thread. */
#ifndef CLI_TOP_DRAW_H
#define CLI_TOP_DRAW_H

#include "top_model.h"
#include "top_page.h"

struct top_view {
	enum top_key sort;     /* named in the heading; the model is sorted by whoever has it */
	uint64_t chosen;       /* serial of the guest under the cursor; 0: none */
	size_t first_guest;    /* scrolled; moved so that the chosen one is seen */
	size_t first_node;     /* the same of the nodes' columns */
	const char *last_line; /* a question or a message instead of the keys; NULL: the keys */
	int bars;	       /* at most so many rows of bars; 0: a third of the page */
};

/* Width that shows all columns with whole texts, and height that shows all rows. */
void top_draw_size(const struct top_model *model, int *width, int *height);
/* Draw all of the main page. Returns the rows that are not blank. */
int top_draw_main(const struct top_model *model, struct top_view *view, struct top_page *page);

/* Short numbers; GiB, but TiB with a T where there are 100,000 of them. Each fills text[TOP_SHORT] and returns it. */
#define TOP_SHORT 24
const char *top_gib(uint64_t bytes, char *text);
const char *top_short_ns(int64_t ns, char *text);
/* Of memory on a node: whether vCPUs are there, where `home` is known (NULL: it is not), and whether it is half of `whole` or more. */
uint8_t top_share(const struct gmig_node_set *home, unsigned int node, uint64_t part,
		  uint64_t whole);
/* Of a digit of heat; of '.', too. */
uint8_t top_heat_look(char digit);

#endif
