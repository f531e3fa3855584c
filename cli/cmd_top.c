/* gmig top: all guests of this host at a glance, once a second. */
#include "../control/text.h"
#include "cli.h"
#include "commands.h"
#include "top_ask.h"
#include "top_draw.h"
#include "units.h"

#include <errno.h>
#include <locale.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <time.h>
#include <unistd.h>

#define MAX_DELAY 60 /* seconds */

struct top {
	struct top_model model;
	struct top_ask *ask;
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

static int round_of(struct top *top, struct gmig_error *err)
{
	if (top_model_refresh(&top->model))
		return gmig_fail(err, -ENOMEM, "out of memory");
	top_ask_round(top->ask);
	return 0;
}

/* Rates need two looks. */
static int two_rounds(struct top *top, struct gmig_error *err)
{
	int64_t start_ms = cli_now_ms();
	int rc = round_of(top, err);

	if (rc)
		return rc;
	gather(top, start_ms + top->delay_ms);
	rc = round_of(top, err);
	if (rc)
		return rc;
	gather(top, 0);
	if (top_model_refresh(&top->model)) /* nodes that guests have named */
		return gmig_fail(err, -ENOMEM, "out of memory");
	return 0;
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
		int rc = round_of(top, err);

		if (rc)
			return rc;
		gather(top, next_ms);
		if (!stopped)
			print_object(top);
	}
	return 0;
}

static int run(struct top *top, bool once, bool json)
{
	struct gmig_error err = {0};
	int rc = top_model_init(&top->model, "");

	if (rc)
		gmig_error_set(&err, rc, "out of memory");
	else
		rc = top_ask_create(&top->model, &top->ask, &err);
	if (!rc)
		top_ask_spare(top->ask, top->delay_ms < 2000);
	if (!rc && once)
		rc = two_rounds(top, &err);
	if (!rc && once && json)
		print_object(top);
	else if (!rc && once)
		rc = print_table(top, &err);
	else if (!rc)
		rc = stream(top, &err);
	top_ask_destroy(top->ask);
	top_model_free(&top->model);
	return rc ? cli_fail(json, &err) : CLI_OK;
}

static int read_options(struct top *top, const char *sort, const char *delay)
{
	struct gmig_error err = {0};
	uint64_t seconds = 1;

	for (enum top_key key = TOP_BY_NAME; sort && top_keys()[key]; key++)
		if (!strcmp(sort, top_keys()[key]))
			top->sort = key;
	if (delay && units_parse_count(delay, MAX_DELAY, &seconds, &err))
		return cli_usage("top", "--delay: %s", err.text);
	if (!seconds)
		return cli_usage("top", "--delay: at least one second");
	top->delay_ms = (int)seconds * 1000;
	return -1;
}

int cmd_top(int argc, char **argv)
{
	const char *sort = NULL, *delay = NULL;
	bool once = false;
	const struct cli_option options[] = {
	    {.name = "once", .help = "print a table after two looks, and end", .flag = &once},
	    {.name = "delay",
	     .placeholder = "SECONDS",
	     .help = "time between two looks, 1 to 60 [1]",
	     .text = &delay},
	    {.name = "sort",
	     .placeholder = "KEY",
	     .help = "the order of guests [name]",
	     .text = &sort,
	     .choices = top_keys},
	    {0},
	};
	struct cli_args args = {.options = options,
				.json_help = "print an object at each look, for programs"};
	const struct sigaction action = {.sa_handler = on_stop, .sa_flags = (int)SA_RESETHAND};
	struct top top = {.delay_ms = 1000};
	int status = cli_parse(argc, argv, &args);

	if (status < 0)
		status = read_options(&top, sort, delay);
	if (status < 0 && !once && !args.json)
		status = cli_usage("top", "--once or --json: how is it to be shown?");
	if (status >= 0)
		return status;
	setlocale(LC_CTYPE, "");
	stopped = 0;
	sigaction(SIGINT, &action, NULL);
	sigaction(SIGTERM, &action, NULL);
	return run(&top, once, args.json);
}
