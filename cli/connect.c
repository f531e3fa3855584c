/* Talking to a VM. */
#include "cli.h"

#include <limits.h>
#include <string.h>

/* A VMM that has been stopped or hangs accepts, but does not greet. */
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

int cli_run_plain(int argc, char **argv, const char *command, const char *done)
{
	bool json = false;
	const struct cli_option options[] = {
	    {.name = "json", .help = "print the answer as JSON", .flag = &json},
	    {0},
	};
	struct cli_args args = {.options = options, .min_words = 1, .max_words = 1};
	CLI_JSON result = NULL;
	struct gmig_error err = {0};
	int status = cli_parse(argc, argv, &args);

	if (status >= 0)
		return status;
	if (cli_ask(args.words[0], command, NULL, &result, &err))
		return cli_fail(json, &err);
	if (json)
		return cli_print_json(result);
	printf("%s: %s\n", args.words[0], done);
	return CLI_OK;
}

int cli_run_job_verb(int argc, char **argv, const char *command)
{
	bool json = false;
	const struct cli_option options[] = {
	    {.name = "json", .help = "print the job as JSON", .flag = &json},
	    {0},
	};
	struct cli_args args = {.options = options, .min_words = 2, .max_words = 2};
	CLI_JSON job = NULL;
	struct gmig_error err = {0};
	int status = cli_parse(argc, argv, &args);

	if (status >= 0)
		return status;
	if (cli_ask(args.words[0], command, json_pack("{s:s}", "id", args.words[1]), &job, &err))
		return cli_fail(json, &err);
	if (json)
		return cli_print_json(job);
	printf("job %s: %s\n", args.words[1], cli_text(job, "state"));
	return CLI_OK;
}
