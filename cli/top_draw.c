#include "top_draw.h"

#include <stddef.h>
#include <stdlib.h>
#include <string.h>

/* ---- Short numbers --------------------------------------------------------------------------- */

/* Five characters at most, up to 10,000 TiB. */
const char *top_gib(uint64_t bytes, char *text)
{
	double gib = (double)bytes / (1u << 30);

	if (!bytes)
		return strcpy(text, "0");
	if (gib >= 99999.5)
		snprintf(text, TOP_SHORT, "%.0fT", gib / 1024);
	else
		snprintf(text, TOP_SHORT,
			 gib < 9.995   ? "%.2f"
			 : gib < 99.95 ? "%.1f"
				       : "%.0f",
			 gib);
	return text;
}

const char *top_short_ns(int64_t ns, char *text)
{
	static const char *const units[] = {"ns", "us", "ms", "s"};
	double value = (double)ns;
	unsigned int unit = 0;

	if (ns <= 0)
		return strcpy(text, ns < 0 ? "-" : "0");
	for (; value >= 999.5 && unit < 3; unit++)
		value /= 1000;
	snprintf(text, TOP_SHORT, value < 9.95 && unit ? "%.1f%s" : "%.0f%s", value, units[unit]);
	return text;
}

/* Few MB/s are a rate, too. */
static const char *short_rate(double bytes_per_second, char *text)
{
	double rate = bytes_per_second / 1e6;

	if (bytes_per_second < 0)
		return strcpy(text, "-");
	snprintf(text, TOP_SHORT, rate > 0 && rate < 9.95 ? "%.1f" : "%.0f", rate);
	return text;
}

static const char *short_percent(double percent, char *text)
{
	if (percent < 0)
		return strcpy(text, "-");
	snprintf(text, TOP_SHORT, "%.0f", percent);
	return text;
}

uint8_t top_share(const struct gmig_node_set *home, unsigned int node, uint64_t part,
		  uint64_t whole)
{
	uint8_t look = TOP_PLAIN;

	if (!part)
		return TOP_DIM;
	if (home && gmig_node_set_count(home))
		look = gmig_node_set_has(home, node) ? TOP_NEAR : TOP_FAR;
	return part >= whole / 2 ? look | TOP_MUCH : look;
}

uint8_t top_heat_look(char digit)
{
	return digit >= '0' && digit <= '9' ? (uint8_t)(TOP_SHADE + (digit - '0') / 2) : TOP_DIM;
}

/* ---- Which columns there is room for --------------------------------------------------------- */

enum column { NAME, HOME, VCPU, MEM, LOC, SCORE, NODES, HEAT, MOVE, STALL, JOB, WHY, COLUMNS };

static const struct {
	const char *title;
	bool right;
} columns[COLUMNS] = {
    [NAME] = {"NAME", false},  [HOME] = {"HOME", false}, [VCPU] = {"VCPU%", true},
    [MEM] = {"MEM", true},     [LOC] = {"LOC%", true},	 [SCORE] = {"SCORE", true},
    [NODES] = {"", true},      [HEAT] = {"HEAT", false}, [MOVE] = {"MB/s", true},
    [STALL] = {"STALL", true}, [JOB] = {"JOB%", true},	 [WHY] = {"WHY", false},
};

#define SUMMARY_WIDTH 100
#define NAME_NARROW   12
#define WHY_LEAST     9

struct layout {
	int width[COLUMNS]; /* 0: not shown; of NODES: of all that are shown */
	int node_width;	    /* of each */
	size_t nodes, first_node;
};

static int total(const struct layout *layout)
{
	int sum = 0;

	for (int i = 0; i < COLUMNS; i++)
		sum += layout->width[i] ? layout->width[i] + 1 : 0;
	return sum - 1;
}

static int longest(const struct top_model *model, size_t offset, int least, int most)
{
	size_t length = (size_t)least;

	for (size_t i = 0; i < model->count; i++) {
		size_t its = strlen((const char *)model->guests[i] + offset);

		length = its > length ? its : length;
	}
	return length > (size_t)most ? most : (int)length;
}

static void set_nodes(struct layout *layout, size_t nodes)
{
	layout->nodes = nodes;
	layout->width[NODES] = nodes ? (int)nodes * (layout->node_width + 1) - 1 : 0;
}

/* Leave out what matters least, until the rest fits; node columns that do not fit are scrolled to. */
static void fit(struct layout *layout, int width)
{
	int room;

	if (total(layout) > width && layout->width[NAME] > NAME_NARROW)
		layout->width[NAME] = NAME_NARROW;
	if (total(layout) > width)
		layout->width[HEAT] = TOP_HEAT / 2;
	if (total(layout) > width)
		layout->width[SCORE] = 0;
	if (total(layout) > width && layout->nodes > 4)
		set_nodes(layout, 4);
	if (total(layout) > width)
		layout->width[HEAT] = 0;
	if (total(layout) > width)
		layout->width[STALL] = 0;
	while (total(layout) > width && layout->nodes > 1)
		set_nodes(layout, layout->nodes - 1);
	for (int i = WHY; i > NAME && total(layout) > width; i--)
		if (i == NODES)
			set_nodes(layout, 0);
		else if (i != MEM)
			layout->width[i] = 0;
	room = width - total(layout);
	if (layout->width[WHY] && room > 0)
		layout->width[WHY] += room;
}

/* A star, and as many digits as the host's memory can take. The same all the time: columns that move cannot be read. */
static int node_width(const struct top_model *model)
{
	uint64_t bytes = 0;

	for (size_t i = 0; i < model->host.count; i++)
		bytes += model->host.nodes[i].total_bytes;
	return bytes >> 30 < 9999 ? 5 : 6;
}

static struct layout full_layout(const struct top_model *model)
{
	struct layout layout = {.width = {[HOME] = 4,
					  [VCPU] = 5,
					  [MEM] = 5,
					  [LOC] = 4,
					  [SCORE] = 7,
					  [HEAT] = TOP_HEAT,
					  [MOVE] = 5,
					  [STALL] = 5,
					  [JOB] = 4,
					  [WHY] = WHY_LEAST}};

	layout.width[NAME] = longest(model, offsetof(struct top_guest, name), 4, TOP_NAME);
	layout.node_width = node_width(model);
	set_nodes(&layout, model->node_count);
	return layout;
}

static struct layout layout_of(const struct top_model *model, struct top_view *view, int width)
{
	struct layout layout = full_layout(model);

	fit(&layout, width);
	if (view->first_node + layout.nodes > model->node_count)
		view->first_node = model->node_count - layout.nodes;
	layout.first_node = view->first_node;
	return layout;
}

void top_draw_size(const struct top_model *model, int *width, int *height)
{
	struct layout layout = full_layout(model);

	layout.width[WHY] = longest(model, offsetof(struct top_guest, why), WHY_LEAST, TOP_WHY);
	*width = total(&layout) > SUMMARY_WIDTH ? total(&layout) : SUMMARY_WIDTH;
	*height = (int)(model->host.count + model->count) + 4;
}

/* ---- Bars ------------------------------------------------------------------------------------ */

/* How many of `width` characters stand for that part of the whole. */
static int part_of(uint64_t part, uint64_t whole, int width)
{
	return whole ? (int)((double)part / (double)whole * width + 0.5) : 0;
}

/* Numbers of one width: those of all nodes stand below each other. Returns the length. */
static int bar_words(const struct top_node *node, char *words, size_t bytes)
{
	uint64_t used =
	    node->total_bytes > node->free_bytes ? node->total_bytes - node->free_bytes : 0;
	char a[TOP_SHORT], b[TOP_SHORT], c[TOP_SHORT], d[TOP_SHORT];
	int length = snprintf(words, bytes, "used %5s free %5s huge %5s", top_gib(used, a),
			      top_gib(node->free_bytes, b), top_gib(node->huge_bytes, c));

	if (node->pool_bytes && length > 0 && (size_t)length < bytes)
		length += snprintf(words + length, bytes - (size_t)length, " pool %5s/%5s",
				   top_gib(node->pool_bytes - node->pool_free_bytes, c),
				   top_gib(node->pool_bytes, d));
	return length;
}

/* The same for all nodes, so that they can be compared. 0: no room. */
static int bar_width(const struct top_host *host, int room)
{
	char words[5 * TOP_SHORT + 40];
	int most = 0;

	for (size_t i = 0; i < host->count; i++) {
		int length = bar_words(&host->nodes[i], words, sizeof(words));

		most = length > most ? length : most;
	}
	room -= most + 3;
	return room > 50 ? 50 : room >= 8 ? room : 0;
}

static int put_bar(struct top_page *page, int x, int y, const struct top_node *node, int width)
{
	uint64_t used =
	    node->total_bytes > node->free_bytes ? node->total_bytes - node->free_bytes : 0;
	uint64_t huge = node->huge_bytes + node->pool_bytes;
	int huge_end = part_of(huge < used ? huge : used, node->total_bytes, width);
	int used_end = part_of(used, node->total_bytes, width);

	top_page_put(page, x++, y, 1, TOP_PLAIN, "[");
	for (int i = 0; i < width; i++, x++)
		if (i < huge_end)
			top_page_put(page, x, y, 1, TOP_SHADE + 1, "H");
		else
			top_page_put(page, x, y, 1, i < used_end ? TOP_SHADE + 2 : TOP_DIM,
				     i < used_end ? "#" : ".");
	top_page_put(page, x, y, 1, TOP_PLAIN, "]");
	return x + 2;
}

static void draw_node(struct top_page *page, int y, const struct top_host *host, size_t at)
{
	char words[5 * TOP_SHORT + 40];
	int x = top_page_print(page, 0, y, TOP_HEAD, "node %-3u ", host->nodes[at].id);
	int width = bar_width(host, page->width - x);

	if (width)
		x = put_bar(page, x, y, &host->nodes[at], width);
	bar_words(&host->nodes[at], words, sizeof(words));
	top_page_put(page, x, y, page->width, TOP_PLAIN, words);
}

/* ---- Rows ------------------------------------------------------------------------------------ */

/* As "0-2,5"; what does not fit ends in a '+'. */
static void home_text(const struct gmig_node_set *home, size_t width, char *text)
{
	size_t length = 0;

	text[0] = '\0';
	for (unsigned int node = 0; node < GMIG_MAX_NODES; node++) {
		unsigned int last = node;
		char run[TOP_SHORT];

		if (!gmig_node_set_has(home, node))
			continue;
		while (gmig_node_set_has(home, last + 1))
			last++;
		if (last > node)
			snprintf(run, sizeof(run), "%s%u-%u", length ? "," : "", node, last);
		else
			snprintf(run, sizeof(run), "%s%u", length ? "," : "", node);
		if (length + strlen(run) > width) {
			text[length < width ? length : width - 1] = '+';
			text[length < width ? length + 1 : width] = '\0';
			return;
		}
		length += strlen(strcpy(text + length, run));
		node = last;
	}
	if (!length)
		strcpy(text, "-");
}

static void put_nodes(struct top_page *page, int x, int y, const struct layout *layout,
		      const struct top_model *model, const struct top_guest *guest)
{
	for (size_t i = 0; i < layout->nodes; i++, x += layout->node_width + 1) {
		size_t at = layout->first_node + i;
		uint64_t bytes = at < guest->on_count ? guest->on[at] : 0;
		char gib[TOP_SHORT], text[TOP_SHORT + 1];

		/* A star without colours, too: that is where its vCPUs are. */
		snprintf(text, sizeof(text), "%s%s", top_gib(bytes, gib),
			 gmig_node_set_has(&guest->home, model->nodes[at]) ? "*" : " ");
		if (!guest->answered)
			strcpy(text, "- ");
		top_page_put_right(
		    page, x, y, layout->node_width,
		    top_share(&guest->home, model->nodes[at], bytes, guest->resident_bytes), text);
	}
}

/* "62>98": now, and what a plan would reach. */
static void score_text(const struct top_guest *guest, char *text)
{
	char now[TOP_SHORT], possible[TOP_SHORT];

	if (guest->score_now < 0)
		strcpy(text, "-");
	else
		snprintf(text, TOP_SHORT + TOP_HEAT, "%.8s>%.8s",
			 short_percent(guest->score_now, now),
			 short_percent(guest->score_possible, possible));
}

static void cell_text(const struct top_guest *guest, enum column column, int width, char *text)
{
	switch (column) {
	case HOME:
		home_text(&guest->home, (size_t)width, text);
		break;
	case VCPU:
		short_percent(guest->vcpu_percent, text);
		break;
	case MEM:
		top_gib(guest->bytes, text);
		break;
	case LOC:
		short_percent(guest->local_percent, text);
		break;
	case SCORE:
		score_text(guest, text);
		break;
	case MOVE:
		short_rate(guest->job.bytes_per_second, text);
		break;
	case STALL:
		top_short_ns(guest->stall_p99_ns, text);
		break;
	case JOB:
		short_percent(guest->job.percent, text);
		break;
	default:
		strcpy(text, "-");
		break;
	}
}

/* With half the digits each stands for two pieces, and is the hotter one. */
static void heat_text(const struct top_guest *guest, int width, char *text)
{
	for (int i = 0; i < width; i++) {
		char a = guest->heat[i * TOP_HEAT / width],
		     b = guest->heat[(i + 1) * TOP_HEAT / width - 1];

		text[i] = a > b ? a : b;
	}
	text[width] = '\0';
}

static void put_cell(struct top_page *page, int x, int y, const struct top_guest *guest,
		     enum column column, int width)
{
	char text[TOP_SHORT + TOP_HEAT];

	if (column == NAME)
		top_page_put(page, x, y, width, TOP_PLAIN, guest->name);
	else if (column == WHY)
		top_page_put(page, x, y, width, guest->answered ? TOP_PLAIN : TOP_BAD, guest->why);
	else if (column == HEAT && !guest->is_domain) {
		heat_text(guest, width, text);
		for (int i = 0; i < width; i++)
			top_page_put(page, x + i, y, 1, top_heat_look(text[i]),
				     (char[]){text[i], 0});
	} else {
		cell_text(guest, column, width, text);
		if (columns[column].right)
			top_page_put_right(page, x, y, width, TOP_PLAIN, text);
		else
			top_page_put(page, x, y, width, TOP_PLAIN, text);
	}
}

static void put_row(struct top_page *page, int y, const struct layout *layout,
		    const struct top_model *model, const struct top_guest *guest)
{
	int x = 0;

	for (enum column column = NAME; column < COLUMNS; column++) {
		int width = layout->width[column];

		if (!width)
			continue;
		if (column == NODES)
			put_nodes(page, x, y, layout, model, guest);
		else if (!guest->answered && column != NAME && column != WHY)
			top_page_put_right(page, x, y, columns[column].right ? width : 1, TOP_DIM,
					   "-");
		else
			put_cell(page, x, y, guest, column, width);
		x += width + 1;
	}
}

static void put_heading(struct top_page *page, int y, const struct layout *layout,
			const struct top_model *model)
{
	int x = 0;

	for (enum column column = NAME; column < COLUMNS; column++) {
		int width = layout->width[column];

		for (size_t i = 0; column == NODES && i < layout->nodes; i++) {
			char title[TOP_SHORT];

			snprintf(title, sizeof(title), "N%u", model->nodes[layout->first_node + i]);
			top_page_put_right(page, x + (int)i * (layout->node_width + 1), y,
					   layout->node_width - 1, TOP_HEAD, title);
		}
		if (width && columns[column].right)
			top_page_put_right(page, x, y, width, TOP_HEAD, columns[column].title);
		else if (width)
			top_page_put(page, x, y, width, TOP_HEAD, columns[column].title);
		x += width ? width + 1 : 0;
	}
}

/* ---- The page -------------------------------------------------------------------------------- */

static void put_summary(const struct top_model *model, const struct top_view *view,
			const struct layout *layout, struct top_page *page)
{
	size_t answer = 0, moving = 0;
	int x;

	for (size_t i = 0; i < model->count; i++) {
		answer += model->guests[i]->answered;
		moving += model->guests[i]->job.id[0] != '\0';
	}
	x = top_page_print(page, 0, 0, TOP_HEAD, "gmig top: %zu guest%s", model->count,
			   model->count == 1 ? "" : "s");
	if (layout->nodes < model->node_count)
		x += top_page_print(page, x, 0, TOP_PLAIN, ", nodes %zu to %zu of %zu",
				    layout->first_node + 1, layout->first_node + layout->nodes,
				    model->node_count);
	if (answer < model->count)
		x += top_page_print(page, x, 0, TOP_BAD, ", %zu without an answer",
				    model->count - answer);
	x += top_page_print(page, x, 0, TOP_PLAIN, ", %zu with a job, by %s", moving,
			    top_keys()[view->sort]);
	if (model->fake_nodes)
		top_page_print(page, x, 0, TOP_BAD, ", %u fake nodes (pretended)",
			       model->fake_nodes);
}

static int put_bars(const struct top_model *model, const struct top_view *view,
		    struct top_page *page)
{
	int count = (int)model->host.count, most = view->bars ? view->bars : page->height / 3;

	if (count <= most) {
		for (int i = 0; i < count; i++)
			draw_node(page, 1 + i, &model->host, (size_t)i);
		return count;
	}
	for (int i = 0; i < most - 1; i++)
		draw_node(page, 1 + i, &model->host, (size_t)i);
	if (most > 0)
		top_page_print(page, 0, most, TOP_DIM, "%d more nodes", count - most + 1);
	return most > 0 ? most : 0;
}

/* Scroll so that the chosen guest is among `rows`. */
static void scroll(const struct top_model *model, struct top_view *view, size_t rows)
{
	for (size_t i = 0; i < model->count && view->chosen; i++) {
		if (model->guests[i]->serial != view->chosen)
			continue;
		if (i < view->first_guest)
			view->first_guest = i;
		if (i >= view->first_guest + rows)
			view->first_guest = i - rows + 1;
	}
	if (view->first_guest + rows > model->count)
		view->first_guest = model->count > rows ? model->count - rows : 0;
}

int top_draw_main(const struct top_model *model, struct top_view *view, struct top_page *page)
{
	struct layout layout = layout_of(model, view, page->width);
	int y = 1 + put_bars(model, view, page), rows;

	put_summary(model, view, &layout, page);
	put_heading(page, y++, &layout, model);
	rows = page->height - y - (view->last_line != NULL);
	scroll(model, view, rows > 0 ? (size_t)rows : 1);
	for (size_t i = view->first_guest; i < model->count && rows-- > 0; i++, y++) {
		put_row(page, y, &layout, model, model->guests[i]);
		if (model->guests[i]->serial == view->chosen)
			top_page_mark(page, y, TOP_CHOSEN);
	}
	if (!model->count)
		top_page_put(page, 0, y++, page->width, TOP_PLAIN, "no guests run here");
	if (view->last_line)
		top_page_put(page, 0, page->height - 1, page->width, TOP_HEAD, view->last_line);
	return y;
}
