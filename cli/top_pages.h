/* The pages of `gmig top` below the main one: a guest with its vnodes, a vnode's ranges of memory, and the keys. One thread. */
#ifndef CLI_TOP_PAGES_H
#define CLI_TOP_PAGES_H

#include "top_model.h"
#include "top_page.h"

struct top_spot {
	size_t
	    row; /* of a guest: the vnode under the cursor, by its place in the list; of ranges: the first one shown */
	size_t first_node; /* scrolled, where there is no room for all of them */
};

void top_draw_guest(const struct top_model *model, const struct top_guest *guest,
		    const struct top_spot *spot, struct top_page *page);
/* The ranges of the vnode with this id. */
void top_draw_ranges(const struct top_model *model, const struct top_guest *guest, uint64_t vnode,
		     const struct top_spot *spot, struct top_page *page);
size_t top_range_count(const struct top_guest *guest, uint64_t vnode);
void top_draw_help(struct top_page *page);

#endif
