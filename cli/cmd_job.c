/* gmig cancel, pause-job, resume-job, set-rate: what may be done with a migration. None waits for its end. */
#include "cli.h"
#include "commands.h"
#include "units.h"

static int ask_job(const struct cli_args *args, json_t *arguments)
{
	json_object_set_new(arguments, "id", json_string(args->words[1]));
	return -1;
}

static void print_state(const struct cli_args *args, const json_t *job)
{
	printf("job %s: %s\n", args->words[1], cli_text(job, "state"));
}

static int run_verb(int argc, char **argv, const char *command)
{
	struct cli_query query = {.command = command,
				  .args = {CLI_VM_JOB, .json_help = "print the job as JSON"},
				  .ask = ask_job,
				  .print = print_state};

	return cli_run_query(argc, argv, &query);
}

int cmd_cancel(int argc, char **argv)
{
	return run_verb(argc, argv, "job-cancel");
}

int cmd_pause_job(int argc, char **argv)
{
	return run_verb(argc, argv, "job-pause");
}

int cmd_resume_job(int argc, char **argv)
{
	return run_verb(argc, argv, "job-resume");
}

/* ---- set-rate -------------------------------------------------------------------------------- */

static int ask_rate(const struct cli_args *args, json_t *arguments)
{
	struct gmig_error err = {0};
	uint64_t rate;

	if (units_parse_size(args->words[2], &rate, &err))
		return cli_usage("set-rate", "RATE: %s", err.text);
	if (rate > INT64_MAX)
		return cli_usage("set-rate", "RATE: '%s' is too big", args->words[2]);
	json_object_set_new(arguments, "rate", json_integer((json_int_t)rate));
	return ask_job(args, arguments);
}

static void print_rate(const struct cli_args *args, const json_t *job)
{
	char text[UNITS_TEXT];

	if (cli_number(job, "rate"))
		printf("job %s: at most %s a second\n", args->words[1],
		       units_size(cli_number(job, "rate"), text));
	else
		printf("job %s: no limit\n", args->words[1]);
}

int cmd_set_rate(int argc, char **argv)
{
	struct cli_query query = {.command = "job-set-rate",
				  .args = {.kinds = {CLI_WORD_DOMAIN, CLI_WORD_JOB},
					   .min_words = 3,
					   .max_words = 3,
					   .json_help = "print the job as JSON"},
				  .ask = ask_rate,
				  .print = print_rate};

	return cli_run_query(argc, argv, &query);
}
