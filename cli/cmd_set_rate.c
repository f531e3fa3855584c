/* gmig set-rate: a running migration's limit. */
#include "cli.h"
#include "commands.h"
#include "units.h"

int cmd_set_rate(int argc, char **argv)
{
	bool json = false;
	const struct cli_option options[] = {
	    {.name = "json", .help = "print the job as JSON", .flag = &json},
	    {0},
	};
	struct cli_args args = {.options = options, .min_words = 3, .max_words = 3};
	CLI_JSON job = NULL;
	struct gmig_error err = {0};
	char text[UNITS_TEXT];
	uint64_t rate;
	int status = cli_parse(argc, argv, &args);

	if (status >= 0)
		return status;
	if (units_parse_size(args.words[2], &rate, &err))
		return cli_usage(argv[0], "RATE: %s", err.text);
	if (rate > INT64_MAX)
		return cli_usage(argv[0], "RATE: '%s' is too big", args.words[2]);
	if (cli_ask(args.words[0], "job-set-rate",
		    json_pack("{s:s, s:I}", "id", args.words[1], "rate", (json_int_t)rate), &job,
		    &err))
		return cli_fail(json, &err);
	if (json)
		return cli_print_json(job);
	if (rate)
		printf("job %s: at most %s a second\n", args.words[1], units_size(rate, text));
	else
		printf("job %s: no limit\n", args.words[1]);
	return CLI_OK;
}
