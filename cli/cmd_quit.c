/* gmig quit: end the guest, and wait until its VMM has closed the socket. */
#include "cli.h"
#include "commands.h"

#include <errno.h>

/* The VMM cancels its jobs first, which takes a moment, and sends events until it ends. */
static int await_end(struct control_client *client, struct gmig_error *err)
{
	int64_t left_ms, deadline_ms = cli_now_ms() + cli_limits.quit_ms;

	while ((left_ms = deadline_ms - cli_now_ms()) >= 0) {
		CLI_JSON event = NULL;
		int rc = control_next_event(client, (int)left_ms, &event, err);

		if (rc == -EPIPE)
			return 0;
		if (rc && rc != -EINTR && rc != -ETIMEDOUT)
			return rc;
	}
	return gmig_fail(err, -ETIMEDOUT, "the VMM was told to end, and has not done so in %d s",
			 cli_limits.quit_ms / 1000);
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
	    control_call(client, "quit", NULL, &result, &err) || await_end(client, &err))
		return cli_fail(args.json, &err);
	if (args.json)
		return cli_print_json(result);
	printf("%s: ended\n", args.words[0]);
	return CLI_OK;
}
