/* gmig balloon: how much memory a guest keeps for itself, and how much it gives back to the host. */
#include "../control/text.h"
#include "cli.h"
#include "commands.h"
#include "progress.h"
#include "units.h"

#include <errno.h>
#include <string.h>

#define LOOK_MS	    250 /* without an event */
#define MAX_SECONDS 86400

struct balloon {
	const char *vm;
	struct control_client *client;
	int64_t limit_ms; /* without progress */
	bool json, no_wait;
};

/* ---- In words -------------------------------------------------------------------------------- */

static void print_stats(const json_t *balloon)
{
	const json_t *stats = json_object_get(balloon, "stats");
	char available[UNITS_TEXT], total[UNITS_TEXT], age[UNITS_TEXT];

	if (!json_object_get(stats, "available_bytes"))
		return;
	printf("in the guest %s of %s are available (said %s ago)\n",
	       units_size(cli_number(stats, "available_bytes"), available),
	       units_size(cli_number(stats, "total_bytes"), total),
	       units_ns(cli_number(balloon, "stats_age_ns"), age));
}

static void print_balloon(const char *vm, const json_t *balloon)
{
	uint64_t actual = cli_number(balloon, "actual"), target = cli_number(balloon, "target");
	bool driver = json_is_true(json_object_get(balloon, "driver"));
	char has[UNITS_TEXT], most[UNITS_TEXT], told[UNITS_TEXT], given[UNITS_TEXT];

	printf("%s: has %s of %s", vm, units_size(actual, has),
	       units_size(cli_number(balloon, "maximum"), most));
	if (actual != target)
		printf(", and is to have %s", units_size(target, told));
	printf("%s\n", driver ? "" : "; no driver in the guest answers (virtio_balloon)");
	if (cli_number(balloon, "given_back_bytes"))
		printf("given back to the host since the start: %s, of that %s as free pages\n",
		       units_size(cli_number(balloon, "given_back_bytes"), given),
		       units_size(cli_number(balloon, "reported_bytes"), told));
	if (cli_number(balloon, "kept_bytes"))
		printf("%s of what it gave stayed with the host's process: see its log\n",
		       units_size(cli_number(balloon, "kept_bytes"), given));
	print_stats(balloon);
}

static int answer(const struct balloon *balloon, const json_t *state)
{
	CLI_JSON safe = control_json_safe(state);

	if (balloon->json)
		return cli_print_json(state);
	print_balloon(balloon->vm, safe);
	return CLI_OK;
}

static uint64_t distance(uint64_t a, uint64_t b)
{
	return a > b ? a - b : b - a;
}

/* began: what it had then, and when that was. */
static void show_progress(const json_t *state, uint64_t began, int64_t began_ms)
{
	uint64_t actual = cli_number(state, "actual"), target = cli_number(state, "target");
	uint64_t done = distance(actual, began);
	int64_t ms = cli_now_ms() - began_ms;
	char has[UNITS_TEXT], told[UNITS_TEXT], more[96];
	const struct cli_progress progress = {
	    .done_bytes = done,
	    .shown_bytes = done,
	    .total_bytes = distance(target, began),
	    .bytes_per_second = ms > 0 ? (double)done * 1000 / (double)ms : 0,
	    .verb = target < began ? " given back" : " taken again",
	    .more = more};

	snprintf(more, sizeof(more), "has %s, is to have %s", units_size(actual, has),
		 units_size(target, told));
	cli_progress_draw(&progress);
}

/* ---- Waiting --------------------------------------------------------------------------------- */

static int look(const struct balloon *balloon, json_t **state, struct gmig_error *err)
{
	json_decref(*state);
	*state = NULL;
	return control_call(balloon->client, "query-balloon", NULL, state, err);
}

/* No progress for so long: why, as far as that is known. */
static int gave_up(const struct balloon *balloon, const json_t *state, struct gmig_error *err)
{
	char has[UNITS_TEXT], told[UNITS_TEXT];
	char limit[UNITS_TEXT];

	units_size(cli_number(state, "actual"), has);
	units_size(cli_number(state, "target"), told);
	if (!json_is_true(json_object_get(state, "driver")))
		return gmig_fail(err, -ETIMEDOUT,
				 "no driver in the guest answers (Linux: virtio_balloon); when one "
				 "comes the guest is to have %s",
				 told);
	return gmig_fail(err, -ETIMEDOUT,
			 "no progress for %s: the guest has %s and is to have %s; it goes on "
			 "trying, unless it is stopped or cannot spare more",
			 units_time((uint64_t)balloon->limit_ms * 1000000, limit), has, told);
}

/* An event comes with each change, or nothing does. */
static int pause_a_moment(const struct balloon *balloon, struct gmig_error *err)
{
	CLI_JSON event = NULL;
	int rc = control_next_event(balloon->client, LOOK_MS, &event, err);

	return rc == -ETIMEDOUT || rc == -EINTR ? 0 : rc;
}

static int wait_until(const struct balloon *balloon, json_t **state, struct gmig_error *err)
{
	uint64_t target, began, last = UINT64_MAX;
	int64_t began_ms = cli_now_ms(), since_ms = began_ms;
	int rc = look(balloon, state, err);

	target = cli_number(*state, "target");
	began = cli_number(*state, "actual");
	while (!rc && cli_number(*state, "actual") != target) {
		if (cli_number(*state, "target") != target)
			return gmig_fail(err, -ECANCELED,
					 "somebody else has told the guest another size");
		if (cli_number(*state, "actual") != last)
			since_ms = cli_now_ms();
		last = cli_number(*state, "actual");
		if (cli_now_ms() - since_ms >= balloon->limit_ms)
			return gave_up(balloon, *state, err);
		show_progress(*state, began, began_ms);
		rc = pause_a_moment(balloon, err);
		if (!rc)
			rc = look(balloon, state, err);
	}
	return rc;
}

/* ---- The command ----------------------------------------------------------------------------- */

/* "max": all of the guest's memory, which the VMM knows. */
static int tell(const struct balloon *balloon, const char *size, struct gmig_error *err)
{
	CLI_JSON state = NULL;
	uint64_t bytes = 0;
	int rc = 0;

	if (!strcmp(size, "max")) {
		rc = look(balloon, &state, err);
		bytes = cli_number(state, "maximum");
	} else {
		rc = units_parse_size(size, &bytes, err);
	}
	if (rc)
		return rc;
	return control_call(balloon->client, "balloon",
			    json_pack("{s:I}", "value", (json_int_t)bytes), NULL, err);
}

static int run(const struct balloon *balloon, const char *size)
{
	CLI_JSON state = NULL;
	struct gmig_error err = {0};
	int rc = size ? tell(balloon, size, &err) : 0;

	if (!rc)
		rc = size && !balloon->no_wait ? wait_until(balloon, &state, &err)
					       : look(balloon, &state, &err);
	cli_progress_clear();
	return rc ? cli_fail(balloon->json, &err) : answer(balloon, state);
}

int cmd_balloon(int argc, char **argv)
{
	const char *timeout = NULL;
	struct balloon balloon = {.limit_ms = cli_limits.balloon_ms};
	const struct cli_option options[] = {
	    {.name = "no-wait",
	     .help = "tell the guest, and do not wait until it has that size",
	     .flag = &balloon.no_wait},
	    {.name = "timeout",
	     .placeholder = "TIME",
	     .help = "give up after so long without progress; default: 30s",
	     .text = &timeout},
	    {0},
	};
	struct cli_args args = {.kinds = {CLI_WORD_VM, CLI_WORD_TEXT},
				.min_words = 1,
				.max_words = 2,
				.options = options,
				.json_help = "print what the guest has as one line of JSON"};
	CLI_CLIENT client = NULL;
	struct gmig_error err = {0};
	uint64_t value;
	int status = cli_parse(argc, argv, &args);

	if (status >= 0)
		return status;
	if (args.words[1] && strcmp(args.words[1], "max") != 0 &&
	    (units_parse_size(args.words[1], &value, &err) || value > INT64_MAX))
		return cli_usage("balloon", "'%s' is neither a size nor max", args.words[1]);
	if (timeout && units_parse_seconds(timeout, MAX_SECONDS, &value, &err))
		return cli_usage("balloon", "--timeout: %s", err.text);
	if (timeout)
		balloon.limit_ms = (int64_t)(value / 1000000);
	if (cli_connect(args.words[0], &client, &err))
		return cli_fail(args.json, &err);
	balloon.vm = args.words[0];
	balloon.client = client;
	balloon.json = args.json;
	return run(&balloon, args.words[1]);
}
