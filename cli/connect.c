/* Talking to a VM. */
#include "cli.h"

#include "../control/text.h"

#include <limits.h>
#include <string.h>

/* A VMM that is stopped or hangs still accepts connections, but sends no greeting. */
#define CONNECT_TIMEOUT_MS 10000

int cli_connect(const char *vm, struct control_client **client, struct gmig_error *err)
{
	char path[PATH_MAX];
	int rc;

	if (strchr(vm, '/'))
		return control_connect(vm, CONNECT_TIMEOUT_MS, client, err);
	rc = control_socket_path(vm, path, sizeof(path), err);
	if (rc)
		return rc;
	return control_connect(path, CONNECT_TIMEOUT_MS, client, err);
}

int cli_ask(const char *vm, const char *command, json_t *arguments, json_t **result,
	    struct gmig_error *err)
{
	CLI_CLIENT client = NULL;
	int rc = cli_connect(vm, &client, err);

	if (rc) {
		json_decref(arguments);
		return rc;
	}
	return control_call(client, command, arguments, result, err);
}

static int print_answer(const struct cli_query *query, const json_t *answer)
{
	CLI_JSON safe = query->args.json ? NULL : control_json_safe(answer);

	if (query->args.json)
		cli_print_json(answer);
	else
		query->print(&query->args, safe);
	return query->status ? (int)query->status(answer) : CLI_OK;
}

int cli_run_query(int argc, char **argv, struct cli_query *query)
{
	int status = cli_parse(argc, argv, &query->args);
	struct gmig_error err = {0};
	CLI_JSON arguments = NULL;
	CLI_JSON answer = NULL;

	if (status >= 0)
		return status;
	arguments = json_object();
	status = query->ask ? query->ask(&query->args, arguments) : -1;
	if (status >= 0)
		return status;
	if (cli_ask(query->args.words[0], query->command, json_incref(arguments), &answer, &err))
		return cli_fail(query->args.json, &err);
	return print_answer(query, answer);
}
