/* gmig powerdown, quit: ask the guest to end, or end it, and wait until its VMM has closed the socket. */
#include "cli.h"
#include "commands.h"
#include "units.h"

#include <errno.h>

#define MAX_WAIT_S 86400

/* The VMM cancels its jobs first, which takes a moment, and sends events until it ends. */
static int await_end(struct control_client *client, int limit_ms, const char *who,
		     struct gmig_error *err)
{
	int64_t left_ms, deadline_ms = cli_now_ms() + limit_ms;
	char limit[UNITS_TEXT];

	while ((left_ms = deadline_ms - cli_now_ms()) >= 0) {
		CLI_JSON event = NULL;
		int rc = control_next_event(client, (int)left_ms, &event, err);

		if (rc == -EPIPE)
			return 0;
		if (rc && rc != -EINTR && rc != -ETIMEDOUT)
			return rc;
	}
	return gmig_fail(err, -ETIMEDOUT, "%s was told to end, and has not done so in %s", who,
			 units_time((uint64_t)limit_ms * 1000000, limit));
}

int cmd_quit(int argc, char **argv)
{
	struct cli_args args = {CLI_VM, .json_help = "print the answer as JSON"};
	CLI_CLIENT client = NULL;
	CLI_JSON result = NULL;
	struct gmig_error err = {0};
	int status = cli_parse(argc, argv, &args);

	if (status >= 0)
		return status;
	if (cli_connect(args.words[0], &client, &err) ||
	    control_call(client, "quit", NULL, &result, &err) ||
	    await_end(client, cli_limits.quit_ms, "the VMM", &err))
		return cli_fail(args.json, &err);
	if (args.json)
		return cli_print_json(result);
	printf("%s: ended\n", args.words[0]);
	return CLI_OK;
}

/* -1: *limit_ms is set, 0 if nobody is to wait; else the exit status of a usage error. */
static int parse_wait(const char *text, int *limit_ms)
{
	struct gmig_error err = {0};
	uint64_t ns = 0;

	*limit_ms = 0;
	if (text && units_parse_seconds(text, MAX_WAIT_S, &ns, &err))
		return cli_usage("powerdown", "--wait: %s", err.text);
	*limit_ms = (int)(ns / 1000000);
	if (text && !*limit_ms)
		return cli_usage("powerdown", "--wait: '%.40s' is no time to wait", text);
	return -1;
}

/* A guest that has no driver for the button can be ended otherwise alone. */
static int press(struct control_client *client, const char *vm, json_t **result,
		 struct gmig_error *err)
{
	struct gmig_error what = {0};
	int rc = control_call(client, "powerdown", NULL, result, &what);

	if (!rc)
		return 0;
	if (rc != -EOPNOTSUPP)
		return gmig_fail(err, rc, "%s", what.text);
	return gmig_fail(err, rc, "%.200s; gmig quit %.64s ends the guest at once", what.text, vm);
}

int cmd_powerdown(int argc, char **argv)
{
	const char *wait = NULL;
	const struct cli_option options[] = {
	    {"wait", "TIME", "wait until the guest has ended, at most so long: 60s", .text = &wait},
	    {0},
	};
	struct cli_args args = {CLI_VM, .options = options,
				.json_help = "print the answer as JSON"};
	CLI_CLIENT client = NULL;
	CLI_JSON result = NULL;
	struct gmig_error err = {0};
	int limit_ms;
	int status = cli_parse(argc, argv, &args);

	if (status < 0)
		status = parse_wait(wait, &limit_ms);
	if (status >= 0)
		return status;
	if (cli_connect(args.words[0], &client, &err) ||
	    press(client, args.words[0], &result, &err) ||
	    (limit_ms && await_end(client, limit_ms, "the guest", &err)))
		return cli_fail(args.json, &err);
	if (args.json)
		return cli_print_json(result);
	printf("%s: %s\n", args.words[0], limit_ms ? "ended" : "told to power down");
	return CLI_OK;
}
