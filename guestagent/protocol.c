/*
 * One request, in the QEMU guest agent's shapes: decode, check, run, answer. A line that is wrong
 * gets an answer that says how; the next line is a new beginning.
 */
#include "agent.h"
#include "move.h"
#include "sys.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define RESYNC	    ((char)0xff)
#define PRINT_FLAGS (JSON_COMPACT | JSON_REAL_PRECISION(6))

static void json_put(json_t **json)
{
	json_decref(*json);
}
#define JSON __attribute__((cleanup(json_put))) json_t *

/* ---- The table ------------------------------------------------------------------------------- */

static const struct agent_argument sync_arguments[] = {{"id", AGENT_INTEGER, true}, {0}};
static const struct agent_argument pid_arguments[] = {
    {"pid", AGENT_INTEGER, true}, {"mappings", AGENT_BOOL, false}, {0}};
static const struct agent_argument processes_arguments[] = {{"count", AGENT_INTEGER, false}, {0}};
static const struct agent_argument migrate_arguments[] = {
    {"pid", AGENT_INTEGER, false}, {"cgroup", AGENT_STRING, false}, {"all", AGENT_BOOL, false},
    {"from", AGENT_LIST, true},	   {"to", AGENT_LIST, true},	    {"rate", AGENT_INTEGER, false},
    {"shared", AGENT_BOOL, false}, {"method", AGENT_STRING, false}, {0}};
static const struct agent_argument move_arguments[] = {
    {"pid", AGENT_INTEGER, true},   {"addresses", AGENT_ARRAY, false},
    {"ranges", AGENT_ARRAY, false}, {"nodes", AGENT_NODES, false},
    {"shared", AGENT_BOOL, false},  {0}};
static const struct agent_argument affinity_arguments[] = {{"pid", AGENT_INTEGER, false},
							   {"cgroup", AGENT_STRING, false},
							   {"cpus", AGENT_LIST, false},
							   {"mems", AGENT_LIST, false},
							   {0}};
static const struct agent_argument collapse_arguments[] = {{"pid", AGENT_INTEGER, true},
							   {"ranges", AGENT_ARRAY, false},
							   {"rate", AGENT_INTEGER, false},
							   {0}};
static const struct agent_argument stall_arguments[] = {
    {"seconds", AGENT_INTEGER, true},	    {"bytes", AGENT_INTEGER, false},
    {"node", AGENT_INTEGER, false},	    {"cpu", AGENT_INTEGER, false},
    {"threshold_ns", AGENT_INTEGER, false}, {0}};
static const struct agent_argument hot_arguments[] = {
    {"seconds", AGENT_INTEGER, false}, {"max_cpu_ppm", AGENT_INTEGER, false}, {0}};
static const struct agent_argument compact_arguments[] = {{"pid", AGENT_INTEGER, true},
							  {"ranges", AGENT_ARRAY, false},
							  {"heat", AGENT_STRING, false},
							  {"seconds", AGENT_INTEGER, false},
							  {"least", AGENT_INTEGER, false},
							  {"max_bytes", AGENT_INTEGER, false},
							  {"max_growth_ppm", AGENT_INTEGER, false},
							  {"max_cpu_ppm", AGENT_INTEGER, false},
							  {"rate", AGENT_INTEGER, false},
							  {0}};
static const struct agent_argument blocks_arguments[] = {
    {"id", AGENT_STRING, true}, {"first", AGENT_INTEGER, false}, {0}};
static const struct agent_argument job_arguments[] = {{"id", AGENT_STRING, true}, {0}};
static const struct agent_argument rate_arguments[] = {
    {"id", AGENT_STRING, true}, {"rate", AGENT_INTEGER, true}, {0}};

static const struct agent_command commands[] = {
    {"guest-sync", sync_arguments, agent_run_sync, false},
    {"guest-sync-delimited", sync_arguments, agent_run_sync, true},
    {"guest-ping", NULL, agent_run_ping, false},
    {"guest-info", NULL, agent_run_info, false},
    {"numa-topology", NULL, agent_run_topology, false},
    {"numa-maps", pid_arguments, agent_run_numa_maps, false},
    {"processes", processes_arguments, agent_run_processes, false},
    {"migrate-pages", migrate_arguments, agent_run_migrate_pages, false},
    {"move-pages", move_arguments, agent_run_move_pages, false},
    {"set-affinity", affinity_arguments, agent_run_set_affinity, false},
    {"collapse", collapse_arguments, agent_run_collapse, false},
    {"stall-probe", stall_arguments, agent_run_stall_probe, false},
    {"hot-pages", hot_arguments, agent_run_hot_pages, false},
    {"hot-blocks", blocks_arguments, agent_run_hot_blocks, false},
    {"compact-hot", compact_arguments, agent_run_compact_hot, false},
    {"query-jobs", NULL, agent_run_query_jobs, false},
    {"job-status", job_arguments, agent_run_job_status, false},
    {"job-cancel", job_arguments, agent_run_job_cancel, false},
    {"job-set-rate", rate_arguments, agent_run_job_set_rate, false},
    {0},
};

static const struct agent_command *find_command(const char *name)
{
	for (const struct agent_command *command = commands; command->name; command++)
		if (!strcmp(command->name, name))
			return command;
	return NULL;
}

bool agent_knows_command(const char *name)
{
	return find_command(name);
}

/* ---- Decoding -------------------------------------------------------------------------------- */

static int decode(const char *line, size_t length, json_t **request, struct gmig_error *err)
{
	json_error_t error;

	*request = json_loadb(line, length, JSON_REJECT_DUPLICATES, &error);
	if (!*request)
		return gmig_fail(err, -EINVAL,
				 "the line is not one JSON object, at byte %d: %.160s",
				 error.position, error.text);
	if (!json_is_object(*request))
		return gmig_fail(err, -EINVAL, "a request is a JSON object");
	return 0;
}

static bool type_fits(const json_t *value, enum agent_type type)
{
	switch (type) {
	case AGENT_INTEGER:
		return json_is_integer(value);
	case AGENT_STRING:
		return json_is_string(value);
	case AGENT_BOOL:
		return json_is_boolean(value);
	case AGENT_ARRAY:
		return json_is_array(value);
	case AGENT_LIST:
		return json_is_array(value) || json_is_string(value);
	case AGENT_NODES:
		return json_is_array(value) || json_is_integer(value);
	}
	return false;
}

static const char *const type_names[] = {
    [AGENT_INTEGER] = "an integer",
    [AGENT_STRING] = "a string",
    [AGENT_BOOL] = "true or false",
    [AGENT_ARRAY] = "an array",
    [AGENT_LIST] = "an array of numbers or a string like \"0-3,8\"",
    [AGENT_NODES] = "a number or an array of numbers",
};

static const struct agent_argument *find_argument(const struct agent_command *command,
						  const char *name)
{
	const struct agent_argument *argument = command->arguments;

	for (; argument && argument->name; argument++)
		if (!strcmp(argument->name, name))
			return argument;
	return NULL;
}

static int check_arguments(const struct agent_command *command, json_t *arguments,
			   struct gmig_error *err)
{
	const char *key;
	json_t *value;

	json_object_foreach (arguments, key, value) {
		const struct agent_argument *argument = find_argument(command, key);

		if (!argument)
			return gmig_fail(err, -EINVAL, "'%s' has no argument '%.64s'",
					 command->name, key);
		if (!type_fits(value, argument->type))
			return gmig_fail(err, -EINVAL, "argument '%s' of '%s' is %s",
					 argument->name, command->name, type_names[argument->type]);
	}
	for (const struct agent_argument *argument = command->arguments; argument && argument->name;
	     argument++)
		if (argument->required && !json_object_get(arguments, argument->name))
			return gmig_fail(err, -EINVAL, "argument '%s' of '%s' is missing",
					 argument->name, command->name);
	return 0;
}

/* ---- Running --------------------------------------------------------------------------------- */

struct exchange {
	const struct agent_command *command; /* NULL: none was found */
	bool unknown;
	json_t *result;
};

static int run_command(struct agent *agent, const struct agent_command *command,
		       const json_t *request, json_t **result, struct gmig_error *err)
{
	JSON arguments = json_incref(json_object_get(request, "arguments"));
	int rc;

	if (!agent_conf_allows_command(&agent->conf, command->name))
		return gmig_fail(err, -EPERM,
				 "'%s' is not on the guest's allow-list: see commands%s in %s: "
				 "EPERM (%d)",
				 command->name,
				 strcmp(command->name, "compact-hot") ? "" : " and compact-hot",
				 AGENT_CONF_PATH, EPERM);
	if (!arguments)
		arguments = json_object();
	if (!arguments)
		return gmig_fail(err, -ENOMEM, "out of memory");
	if (!json_is_object(arguments))
		return gmig_fail(err, -EINVAL, "'arguments' is an object");
	rc = check_arguments(command, arguments, err);
	return rc ? rc : command->run(agent, arguments, result, err);
}

static int run_request(struct agent *agent, const json_t *request, struct exchange *exchange,
		       struct gmig_error *err)
{
	const char *name = json_string_value(json_object_get(request, "execute"));
	const char *key;
	json_t *value;

	json_object_foreach ((json_t *)request, key, value)
		if (strcmp(key, "execute") != 0 && strcmp(key, "arguments") != 0 &&
		    strcmp(key, "id") != 0)
			return gmig_fail(err, -EINVAL, "a request has no member '%.64s'", key);
	if (!name)
		return gmig_fail(err, -EINVAL, "the request has no 'execute' with a name");
	exchange->command = find_command(name);
	exchange->unknown = !exchange->command;
	if (exchange->unknown)
		return gmig_fail(err, -ENOSYS, "there is no command '%.64s': guest-info lists them",
				 name);
	return run_command(agent, exchange->command, request, &exchange->result, err);
}

/* ---- Answers --------------------------------------------------------------------------------- */

static json_t *error_json(const char *class, int code, const char *text)
{
	return json_pack("{s:{s:s, s:o, s:s, s:i}}", "error", "class", class, "desc",
			 agent_text_json(text), "errno", agent_errno_name(code), "number", -code);
}

/* With a LF behind it, and room for a 0xFF before it. */
static char *print(const json_t *json, bool delimited, size_t *bytes)
{
	size_t length = json ? json_dumpb(json, NULL, 0, PRINT_FLAGS) : 0;
	char *line = length ? malloc(length + 2) : NULL;

	if (!line)
		return NULL;
	if (delimited)
		line[0] = RESYNC;
	json_dumpb(json, line + delimited, length, PRINT_FLAGS);
	line[length + delimited] = '\n';
	*bytes = length + delimited + 1;
	return line;
}

char *agent_answer(struct agent *agent, const char *line, size_t length, size_t *bytes)
{
	struct exchange exchange = {0};
	struct gmig_error err = {0};
	JSON request = NULL;
	JSON reply = NULL;
	json_t *id;
	int rc = decode(line, length, &request, &err);

	agent->commands = commands;
	if (!rc)
		rc = run_request(agent, request, &exchange, &err);
	if (!rc) {
		reply =
		    json_pack("{s:o}", "return", exchange.result ? exchange.result : json_object());
	} else {
		json_decref(exchange.result);
		reply = error_json(exchange.unknown ? "CommandNotFound" : "GenericError", rc,
				   err.text[0] ? err.text : strerror(-rc));
	}
	id = json_object_get(request, "id");
	if (reply && id)
		json_object_set(reply, "id", id);
	return print(reply, exchange.command && exchange.command->delimited && !rc, bytes);
}

char *agent_answer_too_long(size_t limit, size_t *bytes)
{
	struct gmig_error err = {0};
	JSON reply = NULL;

	gmig_fail(&err, -E2BIG, "a line of more than %zu bytes", limit);
	reply = error_json("GenericError", err.code, err.text);
	return print(reply, false, bytes);
}
