/* gmig jobs: a guest's migrations. */
#include "cli.h"
#include "commands.h"

static void print_jobs(const struct cli_args *args, const json_t *jobs)
{
	(void)args;
	if (json_array_size(jobs))
		cli_print_rows(cli_job_table, jobs);
	cli_job_reasons(stdout, jobs);
}

int cmd_jobs(int argc, char **argv)
{
	struct cli_query query = {.command = "query-jobs",
				  .args = {CLI_DOMAIN, .json_help = "print an array of jobs"},
				  .print = print_jobs};

	return cli_run_query(argc, argv, &query);
}
