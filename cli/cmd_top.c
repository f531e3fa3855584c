/* gmig top: all guests of this host at a glance, once a second. */
#include "../control/text.h"
#include "cli.h"
#include "commands.h"
#include "top_ask.h"
#include "top_draw.h"
#include "top_keys.h"
#include "top_score.h"
#include "top_terminal.h"
#include "units.h"

#include <errno.h>
#include <locale.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

#define MAX_DELAY 60  /* seconds */
#define DRAW_MS	  300 /* after a round begins: whoever has not answered by then is drawn as he was */
#define END_READS 3   /* of a terminal that is readable and has no key: it has gone */

struct top {
	struct top_model model;
	struct top_ask *ask;
	struct top_scores *scores; /* NULL: there was no memory for them */
	enum top_key sort;
	int delay_ms;
};

static volatile sig_atomic_t stopped;

static void on_stop(int number)
{
	(void)number;
	stopped = 1;
}

/* Answers are taken until everybody has answered or is late, and in any case until `until_ms`, if that is not 0. */
static void gather(struct top *top, int64_t until_ms)
{
	while (!stopped) {
		int64_t left_ms = until_ms - cli_now_ms();

		if (left_ms <= 0 && !top_ask_is_open(top->ask))
			return;
		if (left_ms < 0 || left_ms > 100)
			left_ms = 100;
		top_ask_wait(top->ask, -1, (int)left_ms);
	}
}

static int no_nodes(int rc, struct gmig_error *err)
{
	return gmig_fail(err, rc, "the host's nodes cannot be read: %s", strerror(-rc));
}

static int refresh(struct top *top, struct gmig_error *err)
{
	int rc = top_model_refresh(&top->model);

	return rc ? no_nodes(rc, err) : 0;
}

static int round_of(struct top *top, struct gmig_error *err)
{
	int rc = refresh(top, err);

	if (!rc)
		top_ask_round(top->ask);
	return rc;
}

static int timed_round_of(struct top *top, struct gmig_error *err)
{
	if (top->scores)
		top_scores_round(top->scores, &top->model, cli_now_ms());
	return round_of(top, err);
}

/* Rates need two looks, and so do scores. */
static int two_rounds(struct top *top, struct gmig_error *err)
{
	int64_t start_ms = cli_now_ms();
	int rc = round_of(top, err);

	if (rc)
		return rc;
	gather(top, 0);
	if (top->scores)
		top_scores_begin(top->scores, &top->model);
	gather(top, start_ms + top->delay_ms);
	if (top->scores)
		top_scores_end(top->scores, &top->model);
	rc = round_of(top, err);
	if (rc)
		return rc;
	gather(top, 0);
	return refresh(top, err); /* nodes that guests have named */
}

static void print_object(struct top *top)
{
	struct timespec now;

	clock_gettime(CLOCK_REALTIME, &now);
	top_model_sort(&top->model, top->sort);
	CLI_JSON object =
	    top_model_json(&top->model, (double)now.tv_sec + (double)now.tv_nsec / 1e9);

	cli_print_json(object);
	fflush(stdout);
}

/* As wide as the terminal, or as all texts need where there is none. */
static int print_table(struct top *top, struct gmig_error *err)
{
	struct top_view view = {.sort = top->sort, .bars = GMIG_MAX_NODES};
	struct winsize size = {0};
	struct top_page page;
	int width, height, rows;

	top_draw_size(&top->model, &width, &height);
	if (!ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) && size.ws_col)
		width = size.ws_col;
	if (top_page_init(&page, width, height))
		return gmig_fail(err, -ENOMEM, "out of memory");
	top_model_sort(&top->model, top->sort);
	rows = top_draw_main(&top->model, &view, &page);
	top_page_write(&page, rows, stdout);
	top_page_free(&page);
	return 0;
}

/* One object a second, until somebody ends us, or nobody reads them any more. */
static int stream(struct top *top, struct gmig_error *err)
{
	while (!stopped && !ferror(stdout)) {
		int64_t next_ms = cli_now_ms() + top->delay_ms;
		int rc = timed_round_of(top, err);

		if (rc)
			return rc;
		gather(top, next_ms);
		if (!stopped)
			print_object(top);
	}
	return 0;
}

/* ---- On a terminal --------------------------------------------------------------------------- */

static int draw(struct top *top, struct top_screen *screen, struct gmig_error *err)
{
	struct top_page page;
	int width, height;

	top->sort = screen->view.sort;
	top_model_sort(&top->model, top->sort);
	top_screen_refresh(screen, &top->model);
	top_terminal_size(&width, &height);
	if (top_page_init(&page, width, height))
		return gmig_fail(err, -ENOMEM, "out of memory");
	top_screen_draw(screen, &top->model, &page);
	top_terminal_show(&page);
	top_page_free(&page);
	return 0;
}

/* What was confirmed is done; what became of it is said. */
static void carry_out(struct top *top, struct top_screen *screen)
{
	struct gmig_error err = {0};
	const char *outcome = top_ask_outcome(top->ask);

	if (outcome)
		top_screen_say(screen, outcome);
	if (!screen->go)
		return;
	screen->go = false;
	if (top_ask_command(top->ask, screen->about, screen->command, screen->arguments, &err))
		top_screen_say(screen, err.text);
	screen->arguments = NULL;
}

/* All keys that wait; true: there was one, or the size has changed. */
static bool take_keys(struct top *top, struct top_screen *screen, bool readable, int *ends)
{
	bool any = false;
	int key;

	while ((key = top_terminal_key()) >= 0) {
		any = true;
		if (key)
			top_screen_key(screen, &top->model, key);
		carry_out(top, screen);
	}
	*ends = readable && !any ? *ends + 1 : 0;
	top_ask_maps(top->ask, screen->place == TOP_ONE || screen->place == TOP_RANGES
				   ? screen->view.chosen
				   : 0);
	return any;
}

static int watch(struct top *top, struct top_screen *screen, struct gmig_error *err)
{
	int64_t begun_ms = 0, now_ms;
	bool drawn = true;
	int rc = 0, ends = 0;

	while (!rc && !stopped && !screen->quit && ends < END_READS) {
		int64_t until_ms;
		bool readable, is_due;

		now_ms = cli_now_ms();
		if (now_ms - begun_ms >= top->delay_ms) {
			rc = timed_round_of(top, err);
			begun_ms = now_ms;
			drawn = false;
		}
		until_ms = begun_ms + (drawn ? top->delay_ms : DRAW_MS);
		readable = top_ask_wait(top->ask, STDIN_FILENO,
					until_ms > now_ms ? (int)(until_ms - now_ms) : 0);
		carry_out(top, screen);
		is_due =
		    !drawn && (!top_ask_is_open(top->ask) || cli_now_ms() - begun_ms >= DRAW_MS);
		if ((take_keys(top, screen, readable, &ends) || is_due) && !rc)
			rc = draw(top, screen, err);
		drawn |= is_due;
	}
	return rc;
}

static int interact(struct top *top, bool colours, struct gmig_error *err)
{
	struct top_screen screen;
	int rc = top_terminal_open(colours, err);

	if (rc)
		return rc;
	top_screen_init(&screen, top->sort);
	rc = watch(top, &screen, err);
	top_screen_free(&screen);
	top_terminal_close();
	return rc;
}

/* ---- The command ----------------------------------------------------------------------------- */

struct how {
	bool once, json, no_color;
};

/* A connection to each guest, of which there may be more than the 1024 that a shell allows. */
static void allow_files(void)
{
	struct rlimit limit;

	if (getrlimit(RLIMIT_NOFILE, &limit))
		return;
	limit.rlim_cur = limit.rlim_max;
	setrlimit(RLIMIT_NOFILE, &limit);
}

static int run(struct top *top, const struct how *how)
{
	bool once = how->once, json = how->json;
	const char *no_color = getenv("NO_COLOR");
	struct gmig_error err = {0};
	int rc = top_model_init(&top->model, "");

	allow_files();
	if (rc)
		no_nodes(rc, &err);
	else
		rc = top_ask_create(&top->model, &top->ask, &err);
	if (!rc)
		top_ask_spare(top->ask, top->delay_ms < 2000);
	top->scores = top_scores_create();
	if (!rc && once)
		rc = two_rounds(top, &err);
	if (!rc && once && json)
		print_object(top);
	else if (!rc && once)
		rc = print_table(top, &err);
	else if (!rc && json)
		rc = stream(top, &err);
	else if (!rc)
		rc = interact(top, !how->no_color && !(no_color && *no_color), &err);
	top_scores_destroy(top->scores);
	top_ask_destroy(top->ask);
	top_model_free(&top->model);
	return rc ? cli_fail(json, &err) : CLI_OK;
}

static int read_options(struct top *top, const char *sort, const char *delay)
{
	struct gmig_error err = {0};
	uint64_t ns = UNITS_SECOND_NS;

	for (enum top_key key = TOP_BY_NAME; sort && top_keys()[key]; key++)
		if (!strcmp(sort, top_keys()[key]))
			top->sort = key;
	if (delay && units_parse_seconds(delay, MAX_DELAY, &ns, &err))
		return cli_usage("top", "--delay: %s", err.text);
	if (ns < UNITS_SECOND_NS)
		return cli_usage("top", "--delay: at least one second");
	top->delay_ms = (int)(ns / 1000000);
	return -1;
}

int cmd_top(int argc, char **argv)
{
	const char *sort = NULL, *delay = NULL;
	struct how how = {0};
	const struct cli_option options[] = {
	    {.name = "once", .help = "print a table after two looks, and end", .flag = &how.once},
	    {.name = "no-color",
	     .help = "without colours, as with NO_COLOR",
	     .flag = &how.no_color},
	    {.name = "delay",
	     .placeholder = "TIME",
	     .help = "between two looks, 1s to 60s [1s]",
	     .text = &delay},
	    {.name = "sort",
	     .placeholder = "KEY",
	     .help = "the order of guests [name]",
	     .text = &sort,
	     .choices = top_keys},
	    {0},
	};
	struct cli_args args = {.options = options,
				.json_help = "print an object at each look, for programs",
				.draws = true};
	const struct sigaction action = {.sa_handler = on_stop, .sa_flags = (int)SA_RESETHAND};
	struct top top = {.delay_ms = 1000};
	int status = cli_parse(argc, argv, &args);

	if (status < 0)
		status = read_options(&top, sort, delay);
	if (status >= 0)
		return status;
	setlocale(LC_CTYPE, "");
	stopped = 0;
	sigaction(SIGINT, &action, NULL);
	sigaction(SIGTERM, &action, NULL);
	how.json = args.json;
	return run(&top, &how);
}
