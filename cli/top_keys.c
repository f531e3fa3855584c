#include "top_keys.h"
#include "top_pages.h"

#include "../migrate/gmig.h"
#include "cli.h"

#include <stdlib.h>
#include <string.h>

#define PAGE_ROWS 10

void top_screen_init(struct top_screen *screen, enum top_key sort)
{
	*screen = (struct top_screen){.view = {.sort = sort}};
}

void top_screen_free(struct top_screen *screen)
{
	json_decref(screen->arguments);
	screen->arguments = NULL;
}

static struct top_guest *chosen(const struct top_screen *screen, const struct top_model *model)
{
	return top_model_find(model, screen->view.chosen);
}

/* ---- Questions ------------------------------------------------------------------------------- */

static void end_question(struct top_screen *screen, const char *message)
{
	screen->asks = TOP_ASKS_NOTHING;
	screen->about = 0;
	json_decref(screen->arguments);
	screen->arguments = NULL;
	snprintf(screen->line, sizeof(screen->line), "%s", message);
}

void top_screen_say(struct top_screen *screen, const char *text)
{
	if (screen->asks == TOP_ASKS_NOTHING)
		snprintf(screen->line, sizeof(screen->line), "%s", text);
}

/* Pause, resume or cancel the job that the guest's row shows. */
static void ask_about_job(struct top_screen *screen, const struct top_guest *guest, int key)
{
	bool paused = !strcmp(guest->job.state, "paused");
	const char *verb = key == 'c' ? "cancel" : paused ? "resume" : "pause";

	if (!guest->job.id[0]) {
		top_screen_say(screen, "no job is under way there");
		return;
	}
	snprintf(screen->command, sizeof(screen->command), "job-%s", verb);
	screen->arguments = json_pack("{s:s}", "id", guest->job.id);
	screen->about = guest->serial;
	screen->asks = TOP_ASKS_SURE;
	snprintf(screen->line, sizeof(screen->line), "%s job %s of %.32s, pid %d? y/n", verb,
		 guest->job.id, guest->name, (int)guest->pid);
}

static void show_typed(struct top_screen *screen, const struct top_guest *guest)
{
	snprintf(screen->line, sizeof(screen->line), "move memory of %.32s, pid %d, to node(s): %s",
		 guest->name, (int)guest->pid, screen->typed);
}

static void ask_for_nodes(struct top_screen *screen, const struct top_guest *guest)
{
	if (!guest->answered) {
		top_screen_say(screen, "the guest does not answer");
		return;
	}
	screen->asks = TOP_ASKS_NODES;
	screen->about = guest->serial;
	screen->typed[0] = '\0';
	show_typed(screen, guest);
}

/* From all nodes that its memory is on, but for those it goes to. */
static json_t *sources(const struct top_model *model, const struct top_guest *guest,
		       const uint16_t *to, int count)
{
	json_t *from = json_array();

	for (size_t i = 0; i < guest->on_count; i++) {
		bool is_target = false;

		for (int j = 0; j < count; j++)
			is_target |= to[j] == model->nodes[i];
		if (guest->on[i] && !is_target)
			json_array_append_new(from, json_integer(model->nodes[i]));
	}
	return from;
}

/* As "0,2"; a list that is too long for a question ends in dots. */
static void join(const json_t *numbers, char *text, size_t bytes)
{
	size_t i, length = 0;
	json_t *number;

	text[0] = '\0';
	json_array_foreach (numbers, i, number) {
		char one[24];

		snprintf(one, sizeof(one), "%s%lld", i ? "," : "",
			 (long long)json_integer_value(number));
		if (length + strlen(one) + 3 > bytes) {
			strcpy(text + length, "..");
			return;
		}
		length += strlen(strcpy(text + length, one));
	}
}

static void ask_about_move(struct top_screen *screen, const struct top_model *model,
			   const struct top_guest *guest)
{
	uint16_t to[GMIG_MAX_NODES];
	struct gmig_error err = {0};
	int count = gmig_node_list_parse(screen->typed, to, GMIG_MAX_NODES, &err);
	char from_text[80], to_text[80];
	json_t *from, *nodes;

	if (count <= 0) {
		end_question(screen, count < 0 ? err.text : "nothing was done");
		return;
	}
	from = sources(model, guest, to, count);
	nodes = json_array();
	for (int i = 0; i < count; i++)
		json_array_append_new(nodes, json_integer(to[i]));
	if (!json_array_size(from)) {
		json_decref(from);
		json_decref(nodes);
		end_question(screen, "all of its memory is there");
		return;
	}
	join(from, from_text, sizeof(from_text));
	join(nodes, to_text, sizeof(to_text));
	strcpy(screen->command, "migrate-pages");
	screen->arguments = json_pack("{s:o, s:o}", "from", from, "to", nodes);
	screen->asks = TOP_ASKS_SURE;
	snprintf(screen->line, sizeof(screen->line), "move memory of %.32s, pid %d: %s to %s? y/n",
		 guest->name, (int)guest->pid, from_text, to_text);
}

static void type(struct top_screen *screen, const struct top_model *model, int key)
{
	const struct top_guest *guest = top_model_find(model, screen->about);
	size_t length = strlen(screen->typed);

	if (key == TOP_ENTER) {
		ask_about_move(screen, model, guest);
		return;
	}
	if (key == TOP_BACK && length)
		screen->typed[length - 1] = '\0';
	else if (key == TOP_BACK || key == 27) {
		end_question(screen, "nothing was done");
		return;
	} else if (((key >= '0' && key <= '9') || key == ',' || key == '-') &&
		   length + 1 < sizeof(screen->typed)) {
		screen->typed[length] = (char)key;
		screen->typed[length + 1] = '\0';
	}
	show_typed(screen, guest);
}

/* Only y is a yes. */
static void answer(struct top_screen *screen, int key)
{
	if (key != 'y' && key != 'Y') {
		end_question(screen, "nothing was done");
		return;
	}
	screen->asks = TOP_ASKS_NOTHING;
	screen->line[0] = '\0';
	screen->go = true;
}

/* ---- Moving about ---------------------------------------------------------------------------- */

static void move_cursor(struct top_screen *screen, const struct top_model *model, int by)
{
	long at = 0;

	for (size_t i = 0; i < model->count; i++)
		if (model->guests[i]->serial == screen->view.chosen)
			at = (long)i;
	at += by;
	if (at >= (long)model->count)
		at = (long)model->count - 1;
	if (at < 0)
		at = 0;
	screen->view.chosen = model->count ? model->guests[at]->serial : 0;
}

static void scroll_row(size_t *row, size_t count, int by)
{
	long at = (long)*row + by;

	if (at >= (long)count)
		at = (long)count - 1;
	*row = at > 0 ? (size_t)at : 0;
}

static void move(struct top_screen *screen, const struct top_model *model, int by)
{
	const struct top_guest *guest = chosen(screen, model);

	if (screen->place == TOP_ALL)
		move_cursor(screen, model, by);
	else if (guest && screen->place == TOP_ONE)
		scroll_row(&screen->row,
			   json_array_size(json_object_get(guest->residency, "vnodes")), by);
	else if (guest && screen->place == TOP_RANGES)
		scroll_row(&screen->first_row, top_range_count(guest, screen->vnode), by);
}

static void enter(struct top_screen *screen, const struct top_model *model)
{
	const struct top_guest *guest = chosen(screen, model);
	const json_t *vnodes = guest ? json_object_get(guest->residency, "vnodes") : NULL;

	if (!guest)
		return;
	if (screen->place == TOP_ALL) {
		screen->place = TOP_ONE;
		screen->row = 0;
	} else if (screen->place == TOP_ONE && screen->row < json_array_size(vnodes)) {
		screen->place = TOP_RANGES;
		screen->vnode = cli_number(json_array_get(vnodes, screen->row), "id");
		screen->first_row = 0;
	}
}

static void leave(struct top_screen *screen)
{
	screen->place = screen->place == TOP_RANGES ? TOP_ONE : TOP_ALL;
}

/* How many of them there is room for is known to whoever draws them. */
static void scroll_nodes(struct top_screen *screen, const struct top_model *model, int by)
{
	if (by > 0 && screen->view.first_node + 1 < model->node_count)
		screen->view.first_node++;
	else if (by < 0 && screen->view.first_node)
		screen->view.first_node--;
}

static void next_sort(struct top_screen *screen)
{
	screen->view.sort++;
	if (!top_keys()[screen->view.sort])
		screen->view.sort = TOP_BY_NAME;
}

static void act(struct top_screen *screen, const struct top_model *model, int key)
{
	const struct top_guest *guest = chosen(screen, model);

	if (!guest)
		top_screen_say(screen, "no guest is chosen");
	else if (key == 'm')
		ask_for_nodes(screen, guest);
	else
		ask_about_job(screen, guest, key);
}

static void plain_key(struct top_screen *screen, const struct top_model *model, int key)
{
	switch (key) {
	case 'q':
		screen->quit = true;
		break;
	case TOP_UP:
	case 'k':
		move(screen, model, -1);
		break;
	case TOP_DOWN:
	case 'j':
		move(screen, model, 1);
		break;
	case TOP_PAGE_UP:
		move(screen, model, -PAGE_ROWS);
		break;
	case TOP_PAGE_DOWN:
		move(screen, model, PAGE_ROWS);
		break;
	case TOP_LEFT:
	case TOP_RIGHT:
		scroll_nodes(screen, model, key == TOP_RIGHT ? 1 : -1);
		break;
	case TOP_ENTER:
		enter(screen, model);
		break;
	case TOP_BACK:
	case 27:
		leave(screen);
		break;
	case 's':
		next_sort(screen);
		break;
	case 'h':
	case '?':
		screen->place = screen->place == TOP_HELP ? TOP_ALL : TOP_HELP;
		break;
	case 'm':
	case 'p':
	case 'c':
		act(screen, model, key);
		break;
	default:
		break;
	}
}

void top_screen_key(struct top_screen *screen, const struct top_model *model, int key)
{
	top_screen_refresh(screen, model);
	if (screen->asks == TOP_ASKS_NODES) {
		type(screen, model, key);
	} else if (screen->asks == TOP_ASKS_SURE) {
		answer(screen, key);
	} else {
		screen->line[0] = '\0';
		plain_key(screen, model, key);
	}
}

void top_screen_refresh(struct top_screen *screen, const struct top_model *model)
{
	if (screen->asks != TOP_ASKS_NOTHING && !top_model_find(model, screen->about))
		end_question(screen, "the guest has ended: nothing was done");
	if (!chosen(screen, model)) {
		screen->view.chosen = model->count ? model->guests[0]->serial : 0;
		if (screen->place != TOP_HELP)
			screen->place = TOP_ALL;
	}
}

/* ---- Drawing --------------------------------------------------------------------------------- */

static const char *keys_line(const struct top_screen *screen)
{
	switch (screen->place) {
	case TOP_ALL:
		return "q quit  enter guest  s sort  m move  p pause/resume  c cancel  h help";
	case TOP_ONE:
		return "q quit  esc back  enter ranges of the vnode  m move  p pause/resume  c "
		       "cancel";
	default:
		return "q quit  esc back";
	}
}

void top_screen_draw(struct top_screen *screen, const struct top_model *model,
		     struct top_page *page)
{
	const struct top_guest *guest = chosen(screen, model);
	struct top_spot spot = {screen->place == TOP_ONE ? screen->row : screen->first_row,
				screen->view.first_node};

	screen->view.last_line = screen->line[0] ? screen->line : keys_line(screen);
	if (screen->place == TOP_HELP)
		top_draw_help(page);
	else if (screen->place == TOP_ONE && guest)
		top_draw_guest(model, guest, &spot, page);
	else if (screen->place == TOP_RANGES && guest)
		top_draw_ranges(model, guest, screen->vnode, &spot, page);
	else
		top_draw_main(model, &screen->view, page);
	for (int x = 0; x < page->width; x++)
		top_page_put(page, x, page->height - 1, 1, TOP_PLAIN, " ");
	top_page_put(page, 0, page->height - 1, page->width,
		     screen->asks == TOP_ASKS_NOTHING ? TOP_HEAD : TOP_BAD, screen->view.last_line);
}
