/* gmig wait: until a job has ended, or all that run in a guest; the exit status is that of gmig migrate. */
#include "../control/text.h"
#include "cli.h"
#include "commands.h"
#include "units.h"

#include <errno.h>
#include <string.h>

#define WAIT_MAX_SECONDS (365 * 24 * 3600)

struct wait {
	const char *vm, *id; /* id NULL: all that run */
	struct cli_watch watch;
	uint64_t timeout_ns;
	json_t *results; /* one for each job, as gmig migrate --json prints it */
	bool json;
};

static int report_unended(const struct wait *wait, const json_t *job, const struct gmig_error *err)
{
	CLI_JSON safe = control_json_safe(job);
	struct gmig_error longer;
	char after[UNITS_TEXT];

	if (err->code == -ETIME)
		gmig_error_set(&longer, err->code, "job %.20s: %.100s (after %s)",
			       cli_text(safe, "id"), err->text,
			       units_time(wait->timeout_ns, after));
	else
		gmig_error_set(&longer, err->code, "job %.20s: %.200s", cli_text(safe, "id"),
			       err->text);
	return cli_fail(wait->json, &longer);
}

/* Steals nothing; the exit status of one job. */
static int wait_for(struct wait *wait, struct control_client *client, const json_t *listed)
{
	CLI_JSON job = json_deep_copy(listed);
	struct gmig_error err = {0};

	if (cli_watch_job(client, &wait->watch, &job, &err))
		return report_unended(wait, job, &err);
	if (wait->json)
		json_array_append_new(wait->results, cli_job_result(job));
	else
		cli_job_summary(stdout, job);
	return (int)cli_job_exit(job);
}

static bool is_wanted(const struct wait *wait, const json_t *job)
{
	return wait->id ? !strcmp(cli_text(job, "id"), wait->id) : !cli_job_ended(job);
}

static int wait_for_all(struct wait *wait, struct control_client *client, const json_t *jobs)
{
	int status = CLI_OK, found = 0;
	struct gmig_error err;
	size_t i;
	json_t *job;

	json_array_foreach (jobs, i, job) {
		if (!is_wanted(wait, job))
			continue;
		found++;
		status = cli_worse(status, wait_for(wait, client, job));
	}
	if (!found && wait->id) {
		gmig_error_set(&err, -ESRCH,
			       "there is no job %.20s in %.64s; gmig jobs %.64s lists them",
			       wait->id, wait->vm, wait->vm);
		return cli_fail(wait->json, &err);
	}
	if (wait->json && found == (int)json_array_size(wait->results))
		cli_print_json(wait->id ? json_array_get(wait->results, 0) : wait->results);
	else if (!wait->json && !found)
		puts("no migration runs");
	return status;
}

static int run(struct wait *wait)
{
	CLI_CLIENT client = NULL;
	CLI_JSON jobs = NULL;
	struct gmig_error err = {0};

	if (cli_connect(wait->vm, &client, &err) ||
	    control_call(client, "query-jobs", NULL, &jobs, &err))
		return cli_fail(wait->json, &err);
	control_client_set_limit(client, cli_limits.watch_ms);
	return wait_for_all(wait, client, jobs);
}

int cmd_wait(int argc, char **argv)
{
	const char *timeout = NULL;
	const struct cli_option options[] = {
	    {.name = "timeout",
	     .placeholder = "TIME",
	     .help = "wait no longer: 90s; the migration goes on",
	     .text = &timeout},
	    {0},
	};
	struct cli_args args = {.kinds = {CLI_WORD_DOMAIN, CLI_WORD_JOB},
				.min_words = 1,
				.max_words = 2,
				.options = options,
				.json_help = "print the result as one line of JSON"};
	int status = cli_parse(argc, argv, &args);
	struct wait wait = {0};
	struct gmig_error err;

	if (status >= 0)
		return status;
	if (timeout && units_parse_seconds(timeout, WAIT_MAX_SECONDS, &wait.timeout_ns, &err))
		return cli_usage("wait", "--timeout: %s", err.text);
	wait.vm = args.words[0];
	wait.id = args.word_count > 1 ? args.words[1] : NULL;
	wait.json = args.json;
	/* 0 asks: has it ended? */
	wait.watch.deadline_ms = timeout ? cli_now_ms() + (int64_t)(wait.timeout_ns / 1000000) : 0;
	wait.results = json_array();
	status = run(&wait);
	json_decref(wait.results);
	return status;
}
