/* gmig jobs: a guest's migrations. */
#include "cli.h"
#include "commands.h"

#include <stdlib.h>

static void print_jobs(const json_t *jobs)
{
	char *rows = NULL;
	size_t bytes;
	FILE *memory = json_array_size(jobs) ? open_memstream(&rows, &bytes) : NULL;

	if (!memory)
		return;
	cli_job_table(memory, jobs);
	fclose(memory);
	cli_print_table(stdout, rows);
	free(rows);
}

int cmd_jobs(int argc, char **argv)
{
	bool json = false;
	const struct cli_option options[] = {
	    {.name = "json", .help = "print an array of jobs", .flag = &json},
	    {0},
	};
	struct cli_args args = {.options = options, .min_words = 1, .max_words = 1};
	CLI_JSON jobs = NULL;
	struct gmig_error err = {0};
	int status = cli_parse(argc, argv, &args);

	if (status >= 0)
		return status;
	if (cli_ask(args.words[0], "query-jobs", NULL, &jobs, &err))
		return cli_fail(json, &err);
	if (json)
		return cli_print_json(jobs);
	print_jobs(jobs);
	return CLI_OK;
}
