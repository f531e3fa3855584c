/* gmig stop, cont: stop the guest's CPUs, and let them run. */
#include "cli.h"
#include "commands.h"

static void print_stopped(const struct cli_args *args, const json_t *answer)
{
	(void)answer;
	printf("%s: stopped\n", args->words[0]);
}

static void print_running(const struct cli_args *args, const json_t *answer)
{
	(void)answer;
	printf("%s: running\n", args->words[0]);
}

int cmd_stop(int argc, char **argv)
{
	struct cli_query query = {.command = "stop",
				  .args = {CLI_VM, .json_help = "print the answer as JSON"},
				  .print = print_stopped};

	return cli_run_query(argc, argv, &query);
}

int cmd_cont(int argc, char **argv)
{
	struct cli_query query = {.command = "cont",
				  .args = {CLI_VM, .json_help = "print the answer as JSON"},
				  .print = print_running};

	return cli_run_query(argc, argv, &query);
}
