#include "top_pages.h"

#include "cli.h"
#include "top_draw.h"

#include <stdlib.h>
#include <string.h>

#define CELL	   7
#define HEAT_LEAST 4 /* columns for heat, of a vnode on many nodes */

/* Right-flush GiB in a column. */
static int put_gib(struct top_page *page, int x, int y, uint8_t look, uint64_t bytes)
{
	char text[TOP_SHORT];

	top_page_put_right(page, x, y, CELL, look, top_gib(bytes, text));
	return x + CELL + 1;
}

static int put_title(struct top_page *page, int x, int y, const char *title)
{
	top_page_put_right(page, x, y, CELL, TOP_HEAD, title);
	return x + CELL + 1;
}

/* The nodes' columns that there is room for, by their places in the model. */
struct columns {
	size_t first, end;
};

/* From `first` on, but none is wasted at the end; one at least. */
static struct columns columns_of(const struct top_model *model, size_t first, int room)
{
	size_t count = room >= CELL + 1 ? (size_t)room / (CELL + 1) : 1;

	if (count > model->node_count)
		count = model->node_count;
	if (first + count > model->node_count)
		first = model->node_count - count;
	return (struct columns){first, first + count};
}

static int put_node_titles(const struct top_model *model, const struct columns *columns,
			   struct top_page *page, int x, int y)
{
	for (size_t i = columns->first; i < columns->end; i++) {
		char title[TOP_SHORT];

		snprintf(title, sizeof(title), "N%u", model->nodes[i]);
		x = put_title(page, x, y, title);
	}
	return x;
}

/* Of an object of bytes, or of pages, by node. */
static int put_by_node(const struct top_model *model, const struct columns *columns,
		       struct top_page *page, int x, int y, const json_t *map)
{
	uint64_t unit = json_object_get(map, "unit") ? cli_number(map, "unit") : 1, all = 0;

	for (size_t i = 0; i < model->node_count; i++) {
		char key[16];

		snprintf(key, sizeof(key), "%u", model->nodes[i]);
		all += cli_number(map, key) * unit;
	}
	for (size_t i = columns->first; i < columns->end; i++) {
		char key[16];
		uint64_t bytes;

		snprintf(key, sizeof(key), "%u", model->nodes[i]);
		bytes = cli_number(map, key) * unit;
		x = put_gib(page, x, y, top_share(NULL, model->nodes[i], bytes, all), bytes);
	}
	return x;
}

/* ---- A guest --------------------------------------------------------------------------------- */

static uint64_t sum_of_maps(const struct top_guest *guest, const char *key)
{
	uint64_t sum = 0;
	json_t *run;
	size_t i;

	json_array_foreach (guest->maps, i, run)
		sum += cli_number(run, key);
	return sum * 4096;
}

static int put_kinds(const struct top_guest *guest, struct top_page *page, int y)
{
	char a[TOP_SHORT], b[TOP_SHORT], c[TOP_SHORT], d[TOP_SHORT];

	top_page_print(page, 0, y++, TOP_PLAIN,
		       "GiB: memory %s, huge pages %s, 4K pages %s, hugetlb %s",
		       top_gib(guest->bytes, a), top_gib(guest->huge_bytes, b),
		       top_gib(guest->small_bytes, c), top_gib(guest->pool_page_bytes, d));
	top_page_print(page, 0, y++, TOP_PLAIN, "swapped %s, untouched %s",
		       top_gib(guest->swapped_bytes, a), top_gib(guest->untouched_bytes, b));
	if (json_object_get(guest->residency, "locked_bytes"))
		top_page_print(page, 0, y++, TOP_PLAIN, "locked %s",
			       top_gib(guest->locked_bytes, a));
	else if (guest->maps)
		top_page_print(page, 0, y++, TOP_PLAIN,
			       "must not move %s, on its way %s, not where its policy wants it %s",
			       top_gib(sum_of_maps(guest, "fixed"), a),
			       top_gib(sum_of_maps(guest, "moving"), b),
			       top_gib(sum_of_maps(guest, "misplaced"), c));
	return y;
}

static int put_jobs(const struct top_guest *guest, struct top_page *page, int y)
{
	const json_t *jobs = json_object_get(guest->residency, "jobs");

	/* The newest first: old ones may be many. */
	for (size_t i = json_array_size(jobs); i-- > 0 && y < page->height - 1;) {
		const json_t *job = json_array_get(jobs, i);
		char moved[TOP_SHORT], remaining[TOP_SHORT];
		const char *key;
		json_t *value;
		int x = top_page_print(page, 0, y, cli_job_ended(job) ? TOP_DIM : TOP_PLAIN,
				       "job %s %s: %s moved, %s remain", cli_text(job, "id"),
				       cli_text(job, "state"),
				       top_gib(cli_number(job, "moved_bytes"), moved),
				       top_gib(cli_number(job, "remaining_bytes"), remaining));

		json_object_foreach (json_object_get(job, "remaining"), key, value)
			x += top_page_print(page, x, y, TOP_BAD, "; %s", cli_reason(key));
		if (json_object_get(job, "error"))
			top_page_print(page, x, y, TOP_BAD, "; %s", cli_text(job, "error"));
		y++;
	}
	return y;
}

/* Rows for vnodes, so that some of the jobs are seen, too. */
static size_t vnode_rows(const struct top_guest *guest, const struct top_page *page, int y)
{
	size_t jobs = json_array_size(json_object_get(guest->residency, "jobs"));
	int rows = page->height - 1 - y - (jobs > 2 ? 4 : jobs ? (int)jobs + 1 : 0);

	return rows > 1 ? (size_t)rows : 1;
}

static int put_vnodes(const struct top_model *model, const struct top_guest *guest,
		      const struct top_spot *spot, struct top_page *page, int y)
{
	const json_t *vnodes = json_object_get(guest->residency, "vnodes");
	size_t rows = vnode_rows(guest, page, y + 1);
	size_t first = spot->row >= rows ? spot->row - rows + 1 : 0;
	int x = put_title(page, CELL + 1, y, "SIZE");
	struct columns columns;

	top_page_put(page, 0, y, CELL, TOP_HEAD, "VNODE");
	x = put_title(page, x, y, "SWAPPED");
	columns = columns_of(model, spot->first_node, page->width - x);
	put_node_titles(model, &columns, page, x, y++);
	for (size_t i = first; i < json_array_size(vnodes) && i < first + rows; i++, y++) {
		const json_t *vnode = json_array_get(vnodes, i);

		top_page_print(page, 0, y, TOP_PLAIN, "%llu",
			       (unsigned long long)cli_number(vnode, "id"));
		x = put_gib(page, CELL + 1, y, TOP_PLAIN, cli_number(vnode, "bytes"));
		x = put_gib(page, x, y, TOP_PLAIN, cli_number(vnode, "swapped_bytes"));
		put_by_node(model, &columns, page, x, y, json_object_get(vnode, "resident"));
		if (i == spot->row)
			top_page_mark(page, y, TOP_CHOSEN);
	}
	return y;
}

void top_draw_guest(const struct top_model *model, const struct top_guest *guest,
		    const struct top_spot *spot, struct top_page *page)
{
	int y = 0, x = top_page_print(page, 0, y, TOP_HEAD, "%s", guest->name);

	top_page_print(page, x, y++, TOP_PLAIN, ", pid %d, %s%s%s", (int)guest->pid,
		       guest->state[0] ? guest->state : "unknown", guest->why[0] ? ": " : "",
		       guest->why);
	if (!guest->answered)
		return;
	y = put_kinds(guest, page, y);
	top_page_print(page, 0, y++, TOP_PLAIN, "heat %s%s", guest->heat,
		       json_is_true(json_object_get(guest->sampling, "on"))
			   ? ""
			   : ", not sampled (gmig sample)");
	y = put_vnodes(model, guest, spot, page, y + 1);
	put_jobs(guest, page, y + 1);
}

/* ---- Ranges ---------------------------------------------------------------------------------- */

size_t top_range_count(const struct top_guest *guest, uint64_t vnode)
{
	size_t count = 0, i;
	json_t *run;

	json_array_foreach (guest->maps, i, run)
		count += cli_number(run, "vnode") == vnode;
	return count;
}

/* How hot a part is, as in the rows of guests. */
static char digit_of(const json_t *part)
{
	double hot = (double)cli_number(part, "hot"), warm = (double)cli_number(part, "warm");
	double known = hot + warm + (double)cli_number(part, "cold");

	return known > 0 ? (char)('0' + (int)((hot + warm / 2) / known * 9 + 0.5)) : '.';
}

/* Of the part that the address is in; '.': nothing is known of it. */
static char heat_at(const struct top_guest *guest, uint64_t gpa)
{
	json_t *part;
	size_t i;

	json_array_foreach (guest->heat_parts, i, part) {
		uint64_t first = cli_number(part, "gpa");

		if (gpa >= first && gpa < first + cli_number(part, "bytes"))
			return digit_of(part);
	}
	return '.';
}

/* As many digits as there are parts in the run, or as there is room for: each is the first part of its piece. */
static void put_heat(const struct top_guest *guest, const json_t *run, struct top_page *page, int x,
		     int y)
{
	uint64_t bytes = cli_number(run, "bytes"), step = top_guest_heat_step(guest);
	uint64_t room = page->width > x ? (uint64_t)(page->width - x) : 0;
	uint64_t parts = bytes / step + (bytes % step != 0), digits = parts < room ? parts : room;

	for (uint64_t i = 0; i < digits; i++) {
		char text[2] = {heat_at(guest, cli_number(run, "gpa") + bytes / digits * i), 0};

		top_page_put(page, x + (int)i, y, 1, top_heat_look(text[0]), text);
	}
}

static void put_run(const struct top_model *model, const struct columns *columns,
		    const struct top_guest *guest, const json_t *run, struct top_page *page, int y)
{
	static const char *const counts[] = {"huge", "small", "swapped", "untouched", "fixed"};
	json_t *pages = json_copy(json_object_get(run, "pages"));
	int x = CELL + 7;

	top_page_print(page, 0, y, TOP_PLAIN, "%09llx", (unsigned long long)cli_number(run, "gpa"));
	x = put_gib(page, 10, y, TOP_PLAIN, cli_number(run, "bytes"));
	for (size_t i = 0; i < sizeof(counts) / sizeof(counts[0]); i++)
		x = put_gib(page, x, y, TOP_PLAIN, cli_number(run, counts[i]) * 4096);
	json_object_set_new(pages, "unit", json_integer(4096));
	x = put_by_node(model, columns, page, x, y, pages);
	json_decref(pages);
	put_heat(guest, run, page, x, y);
}

void top_draw_ranges(const struct top_model *model, const struct top_guest *guest, uint64_t vnode,
		     const struct top_spot *spot, struct top_page *page)
{
	static const char *const titles[] = {"SIZE", "HUGE", "4K", "SWAPPED", "UNTOUCH", "FIXED"};
	struct columns columns;
	size_t i, at = 0;
	json_t *run;
	int x = 10, y = 1;

	top_page_print(page, 0, 0, TOP_HEAD, "%s, vnode %llu: %zu range%s", guest->name,
		       (unsigned long long)vnode, top_range_count(guest, vnode),
		       top_range_count(guest, vnode) == 1 ? "" : "s");
	if (!guest->maps) {
		top_page_put(page, 0, 2, page->width, TOP_PLAIN,
			     guest->is_domain ? "gmigd does not tell the ranges of a domain"
					      : "not answered yet");
		return;
	}
	top_page_put(page, 0, y, 9, TOP_HEAD, "FROM");
	for (i = 0; i < sizeof(titles) / sizeof(titles[0]); i++)
		x = put_title(page, x, y, titles[i]);
	columns = columns_of(model, spot->first_node, page->width - x - HEAT_LEAST);
	x = put_node_titles(model, &columns, page, x, y);
	top_page_put(page, x, y++, page->width, TOP_HEAD, "HEAT");
	json_array_foreach (guest->maps, i, run) {
		if (cli_number(run, "vnode") != vnode || at++ < spot->row)
			continue;
		if (y >= page->height - 1)
			break;
		put_run(model, &columns, guest, run, page, y++);
	}
}

/* ---- Keys ------------------------------------------------------------------------------------ */

void top_draw_help(struct top_page *page)
{
	static const char *const lines[] = {
	    "up, down, page up, page down: choose a guest, a vnode, or scroll",
	    "left, right: nodes that there is no room for",
	    "enter: the guest, the vnode's ranges; esc, backspace: back",
	    "s: another order of guests",
	    "m: move the guest's memory to nodes that are asked for",
	    "p: pause or resume the guest's job; c: cancel it; y confirms, any other key does not",
	    "q: quit; h: this page, and back",
	    "",
	    "H in a bar: huge pages; #: other memory in use; a star: vCPUs are at this node",
	};

	for (size_t i = 0; i < sizeof(lines) / sizeof(lines[0]); i++)
		top_page_put(page, 0, (int)i, page->width, TOP_PLAIN, lines[i]);
}
