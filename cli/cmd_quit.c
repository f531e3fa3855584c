/* gmig powerdown, quit: ask the guest to end, or end it, and wait until its VMM has closed the socket. */
#include "cli.h"
#include "commands.h"

#include <errno.h>
#include <stdlib.h>

#define MAX_WAIT_S 86400

/* The VMM cancels its jobs first, which takes a moment, and sends events until it ends. */
static int await_end(struct control_client *client, int limit_ms, const char *who,
		     struct gmig_error *err)
{
	int64_t left_ms, deadline_ms = cli_now_ms() + limit_ms;

	while ((left_ms = deadline_ms - cli_now_ms()) >= 0) {
		CLI_JSON event = NULL;
		int rc = control_next_event(client, (int)left_ms, &event, err);

		if (rc == -EPIPE)
			return 0;
		if (rc && rc != -EINTR && rc != -ETIMEDOUT)
			return rc;
	}
	return gmig_fail(err, -ETIMEDOUT, "%s was told to end, and has not done so in %d s", who,
			 limit_ms / 1000);
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

/* -1: *seconds is set; else the exit status of a usage error. */
static int parse_wait(const char *text, long *seconds)
{
	char *end;

	*seconds = 0;
	if (!text)
		return -1;
	*seconds = strtol(text, &end, 10);
	if (end == text || *end || *seconds < 1 || *seconds > MAX_WAIT_S)
		return cli_usage("powerdown", "--wait: '%s' is not 1 to %d seconds", text,
				 MAX_WAIT_S);
	return -1;
}

int cmd_powerdown(int argc, char **argv)
{
	const char *wait = NULL;
	const struct cli_option options[] = {
	    {"wait", "SECONDS", "wait until the guest has ended, at most so long", .text = &wait},
	    {0},
	};
	struct cli_args args = {CLI_VM, .options = options,
				.json_help = "print the answer as JSON"};
	CLI_CLIENT client = NULL;
	CLI_JSON result = NULL;
	struct gmig_error err = {0};
	long seconds;
	int status = cli_parse(argc, argv, &args);

	if (status < 0)
		status = parse_wait(wait, &seconds);
	if (status >= 0)
		return status;
	if (cli_connect(args.words[0], &client, &err) ||
	    control_call(client, "powerdown", NULL, &result, &err) ||
	    (seconds && await_end(client, (int)seconds * 1000, "the guest", &err)))
		return cli_fail(args.json, &err);
	if (args.json)
		return cli_print_json(result);
	printf("%s: %s\n", args.words[0], seconds ? "ended" : "told to power down");
	return CLI_OK;
}
