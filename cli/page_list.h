/*
 * Lists of pages, as the user writes them: `gmig move --gpa 1G+64M,0x7000` and `--file`. And where the pages are, run by run, in
 * the list's order.
 */
#ifndef CLI_PAGE_LIST_H
#define CLI_PAGE_LIST_H

#include "../migrate/gmig_move.h"

#include <jansson.h>
#include <stdio.h>

struct page_ranges {
	struct gmig_move_range *range;
	size_t count, room;
};

/*
 * Each entry is ADDRESS[+SIZE], a number as in 0x7000, 28672 or 1G; one page without SIZE. node: where they go. -EINVAL,
 * -ERANGE, -E2BIG, -ENOMEM.
 */
int page_ranges_add(struct page_ranges *ranges, const char *text, int node, struct gmig_error *err);
/*
 * One entry and its node a line, `#` and what follows it is passed over; or JSON: [{"gpa": N, "bytes": N, "node": N}, ..].
 * node: of entries without one; -1: each has to have one. The text names the line.
 */
int page_ranges_read(struct page_ranges *ranges, FILE *file, int node, struct gmig_error *err);
void page_ranges_free(struct page_ranges *ranges);

/* status[i] of each page. */
typedef int page_ranges_ask(void *arg, const struct gmig_pages *pages, struct gmig_error *err);
#define PAGE_RANGES_ASK 16384 /* pages at a time, at most */
/*
 * Print "0x1000+8K node 1" or "0x1000+4K ENOENT" for each run of neighbours that are alike. With `result` print it, an
 * object, on one line, and in it "pages": [{"gpa", "bytes", "node" or "error"}, ..]. On stdout.
 */
int page_ranges_report(const struct page_ranges *ranges, const json_t *result, page_ranges_ask *ask,
		       void *arg, struct gmig_error *err);

#endif
