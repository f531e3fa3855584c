/* gmig sample: switch it on and off that a guest's memory is sampled for how much it is used. */
#include "cli.h"
#include "commands.h"
#include "heat.h"
#include "units.h"

#include "../migrate/gmig_heat.h"

#include <string.h>

static const char *rate, *max_slowdown;

static const char *const *verbs(void)
{
	static const char *const names[] = {"on", "off", NULL};

	return names;
}

static int add_max_slowdown(json_t *arguments)
{
	struct gmig_error err = {0};
	uint32_t ppm;

	if (!max_slowdown)
		return -1;
	if (units_parse_share(max_slowdown, &ppm, &err))
		return cli_usage("sample", "--max-slowdown: %s", err.text);
	json_object_set_new(arguments, "max-slowdown", json_integer(ppm));
	return -1;
}

static int ask(const struct cli_args *args, json_t *arguments)
{
	const struct cli_value blocks = {"sample", "rate", NULL, rate};
	struct gmig_error err = {0};
	int which = gmig_name_index("sample VM", verbs(), args->words[1], &err);
	int status;

	if (which < 0)
		return cli_usage("sample", "%s", err.text);
	if (which == 1 && (rate || max_slowdown))
		return cli_usage("sample", "--rate and --max-slowdown are for `sample VM on`");
	json_object_set_new(arguments, "on", json_boolean(which == 0));
	status = cli_add_count(arguments, &blocks, GMIG_SAMPLING_RATE_MAX);
	if (status < 0 && rate && !json_integer_value(json_object_get(arguments, "rate")))
		status = cli_usage("sample", "--rate: 0 is none");
	return status < 0 ? add_max_slowdown(arguments) : status;
}

static void print_answer(const struct cli_args *args, const json_t *answer)
{
	(void)args;
	cli_print_sampling(answer);
}

int cmd_sample(int argc, char **argv)
{
	const struct cli_option options[] = {
	    {.name = "rate",
	     .placeholder = "N",
	     .help = "blocks of 2 MiB that are looked at in a second, at most [128]",
	     .text = &rate},
	    {.name = "max-slowdown",
	     .placeholder = "SHARE",
	     .help = "what the guest may lose to it: 1% [0.5%]",
	     .text = &max_slowdown},
	    {0},
	};
	struct cli_query query = {
	    .command = "sample-memory",
	    .args = {.kinds = {CLI_WORD_VM, CLI_WORD_VERB},
		     .verbs = verbs,
		     .min_words = 2,
		     .max_words = 2,
		     .options = options,
		     .json_help = "print the answer as JSON"},
	    .ask = ask,
	    .print = print_answer,
	};

	rate = max_slowdown = NULL;
	return cli_run_query(argc, argv, &query);
}
