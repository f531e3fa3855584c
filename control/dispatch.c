/*
 * One request: decode, check, run, answer. Every way in which a line can be wrong has a text of its
 * own; the connection lives on, because the line framing tells where the next request begins.
 */
#include "internal.h"
#include "text.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

static const char *const type_names[] = {
    [CONTROL_STRING] = "a string",    [CONTROL_INTEGER] = "an integer",
    [CONTROL_BOOL] = "true or false", [CONTROL_ARRAY] = "an array",
    [CONTROL_OBJECT] = "an object",
};

static const char *json_type_name(const json_t *json)
{
	switch (json_typeof(json)) {
	case JSON_OBJECT:
		return "an object";
	case JSON_ARRAY:
		return "an array";
	case JSON_STRING:
		return "a string";
	case JSON_INTEGER:
		return "an integer";
	case JSON_REAL:
		return "a number with a fraction";
	case JSON_TRUE:
	case JSON_FALSE:
		return "true or false";
	case JSON_NULL:
		return "null";
	}
	return "something else";
}

json_t *control_error_json(const char *class, int code, const char *text)
{
	const char *name = strerrorname_np(code < 0 ? -code : code);

	return json_pack("{s:{s:s, s:o, s:s}}", "error", "class", class ? class : "GenericError",
			 "desc", control_text_json(text), "errno", name ? name : "EIO");
}

char *control_line_of(const json_t *json, size_t *bytes)
{
	size_t length = json_dumpb(json, NULL, 0, CONTROL_DUMP_FLAGS);
	char *line;

	if (!length)
		return NULL;
	line = malloc(length + 1);
	if (!line)
		return NULL;
	if (json_dumpb(json, line, length, CONTROL_DUMP_FLAGS) != length) {
		free(line);
		return NULL;
	}
	line[length] = '\n';
	*bytes = length + 1;
	return line;
}

/* ---- Decoding -------------------------------------------------------------------------------- */

static int decode_failed(const json_error_t *error, struct gmig_error *err)
{
	switch (json_error_code(error)) {
	case json_error_out_of_memory:
		return gmig_fail(err, -ENOMEM, "no memory for the request");
	case json_error_stack_overflow:
		return gmig_fail(err, -E2BIG, "the request is nested too deeply, at byte %d",
				 error->position);
	case json_error_invalid_utf8:
		return gmig_fail(err, -EILSEQ, "the request is not UTF-8, at byte %d",
				 error->position);
	case json_error_null_character:
	case json_error_null_byte_in_key:
		return gmig_fail(err, -EINVAL, "\\u0000 is not allowed in the request, at byte %d",
				 error->position);
	case json_error_duplicate_key:
		return gmig_fail(err, -EINVAL, "a member is there twice, at byte %d",
				 error->position);
	case json_error_numeric_overflow:
		return gmig_fail(err, -ERANGE, "a number is out of range, at byte %d",
				 error->position);
	case json_error_premature_end_of_input:
		return gmig_fail(err, -EINVAL, "the request ends too early: it must be one line");
	case json_error_end_of_input_expected:
		return gmig_fail(err, -EINVAL, "there is more after the request, at byte %d",
				 error->position);
	default:
		return gmig_fail(err, -EINVAL, "the request is not JSON, at byte %d: %.160s",
				 error->position, error->text);
	}
}

static int decode(const char *line, size_t length, json_t **request, struct gmig_error *err)
{
	const char *nul = memchr(line, '\0', length);
	json_error_t error;

	if (nul)
		return gmig_fail(err, -EINVAL, "the request has a NUL byte, at byte %zu",
				 (size_t)(nul - line) + 1);
	*request = json_loadb(line, length, JSON_REJECT_DUPLICATES | JSON_DECODE_ANY, &error);
	if (!*request)
		return decode_failed(&error, err);
	if (!json_is_object(*request))
		return gmig_fail(err, -EINVAL, "a request is an object, this is %s",
				 json_type_name(*request));
	return 0;
}

/* The members of the request itself. Borrowed references. */
struct envelope {
	const char *name;
	json_t *arguments; /* NULL: none */
	json_t *id;	   /* NULL: none */
	bool unknown;	   /* there is no such command */
};

static int open_envelope(json_t *request, struct envelope *envelope, struct gmig_error *err)
{
	const char *key, *name = NULL;
	json_t *value;

	envelope->id = json_object_get(request, "id");
	json_object_foreach (request, key, value) {
		if (!strcmp(key, "execute")) {
			if (!json_is_string(value))
				return gmig_fail(err, -EINVAL,
						 "'execute' is a string, here it is %s",
						 json_type_name(value));
			name = json_string_value(value);
		} else if (!strcmp(key, "arguments")) {
			if (!json_is_object(value))
				return gmig_fail(err, -EINVAL,
						 "'arguments' is an object, here it is %s",
						 json_type_name(value));
			envelope->arguments = value;
		} else if (strcmp(key, "id") != 0) {
			return gmig_fail(err, -EINVAL, "a request has no member '%.64s'", key);
		}
	}
	if (!name)
		return gmig_fail(err, -EINVAL, "the request has no member 'execute'");
	envelope->name = name;
	return 0;
}

/* ---- Arguments ------------------------------------------------------------------------------- */

static bool type_fits(const json_t *value, enum control_type type)
{
	switch (type) {
	case CONTROL_STRING:
		return json_is_string(value);
	case CONTROL_INTEGER:
		return json_is_integer(value);
	case CONTROL_BOOL:
		return json_is_boolean(value);
	case CONTROL_ARRAY:
		return json_is_array(value);
	case CONTROL_OBJECT:
		return json_is_object(value);
	}
	return false;
}

static const struct control_argument *find_argument(const struct control_command *command,
						    const char *name)
{
	for (const struct control_argument *argument = command->arguments;
	     argument && argument->name; argument++)
		if (!strcmp(argument->name, name))
			return argument;
	return NULL;
}

static int check_arguments(const struct control_command *command, json_t *arguments,
			   struct gmig_error *err)
{
	const char *key;
	json_t *value;

	json_object_foreach (arguments, key, value) {
		const struct control_argument *argument = find_argument(command, key);

		if (!argument && !command->arguments)
			return gmig_fail(err, -EINVAL, "'%s' takes no arguments, here is '%.64s'",
					 command->name, key);
		if (!argument)
			return gmig_fail(err, -EINVAL, "'%s' has no argument '%.64s'",
					 command->name, key);
		if (!type_fits(value, argument->type))
			return gmig_fail(err, -EINVAL, "argument '%s' of '%s' is %s, here it is %s",
					 argument->name, command->name, type_names[argument->type],
					 json_type_name(value));
	}
	for (const struct control_argument *argument = command->arguments;
	     argument && argument->name; argument++)
		if (argument->required && !json_object_get(arguments, argument->name))
			return gmig_fail(err, -EINVAL, "argument '%s' of '%s' is missing",
					 argument->name, command->name);
	return 0;
}

/* ---- Built-in commands ----------------------------------------------------------------------- */

static int run_capabilities(void *opaque, const json_t *arguments, json_t **result,
			    struct gmig_error *err)
{
	(void)opaque;
	(void)result;
	if (json_array_size(json_object_get(arguments, "enable")))
		return gmig_fail(err, -EINVAL, "no capability is offered, so none can be enabled");
	return 0;
}

static json_t *describe_arguments(const struct control_argument *argument)
{
	static const char *const names[] = {
	    [CONTROL_STRING] = "string", [CONTROL_INTEGER] = "integer", [CONTROL_BOOL] = "boolean",
	    [CONTROL_ARRAY] = "array",	 [CONTROL_OBJECT] = "object",
	};
	json_t *list = json_array();

	for (; argument && argument->name; argument++)
		json_array_append_new(list, json_pack("{s:s, s:s, s:b}", "name", argument->name,
						      "type", names[argument->type], "required",
						      argument->required));
	return list;
}

static void describe_commands(const struct control_command *command, json_t *list)
{
	for (; command && command->name; command++)
		json_array_append_new(list,
				      json_pack("{s:s, s:o}", "name", command->name, "arguments",
						describe_arguments(command->arguments)));
}

static int run_query_commands(void *opaque, const json_t *arguments, json_t **result,
			      struct gmig_error *err);

static const struct control_argument capability_arguments[] = {
    {.name = "enable", .type = CONTROL_ARRAY},
    {0},
};

static const struct control_command built_in[] = {
    {.name = "qmp_capabilities", .arguments = capability_arguments, .run = run_capabilities},
    {.name = "query-commands", .run = run_query_commands},
    {0},
};

/* opaque is the dispatch, not the server's. */
static int run_query_commands(void *opaque, const json_t *arguments, json_t **result,
			      struct gmig_error *err)
{
	const struct control_dispatch *dispatch = opaque;

	(void)arguments;
	*result = json_array();
	if (!*result)
		return gmig_fail(err, -ENOMEM, "no memory for the answer");
	describe_commands(built_in, *result);
	for (int i = 0; i < CONTROL_TABLES; i++)
		describe_commands(dispatch->tables[i].commands, *result);
	return 0;
}

/* ---- Dispatch -------------------------------------------------------------------------------- */

static const struct control_command *find_command(const struct control_command *command,
						  const char *name)
{
	for (; command && command->name; command++)
		if (!strcmp(command->name, name))
			return command;
	return NULL;
}

/* In our own table, whose opaque is the dispatch, and then the server's. */
static const struct control_command *look_up(const struct control_dispatch *dispatch,
					     const char *name, void **opaque)
{
	const struct control_command *command = find_command(built_in, name);

	*opaque = (void *)dispatch;
	for (int i = 0; i < CONTROL_TABLES && !command; i++) {
		command = find_command(dispatch->tables[i].commands, name);
		*opaque = dispatch->tables[i].opaque;
	}
	return command;
}

static int run_command(const struct control_dispatch *dispatch, struct envelope *envelope,
		       json_t **result, struct gmig_error *err)
{
	void *opaque;
	const struct control_command *command = look_up(dispatch, envelope->name, &opaque);
	json_t *arguments CONTROL_CLEANUP(control_json_put) = json_incref(envelope->arguments);
	int rc;

	envelope->unknown = !command;
	if (!command)
		return gmig_fail(err, -ENOSYS, "there is no command '%.64s'", envelope->name);
	if (!arguments)
		arguments = json_object();
	if (!arguments)
		return gmig_fail(err, -ENOMEM, "no memory for the request");
	rc = check_arguments(command, arguments, err);
	if (!rc && dispatch->admit)
		rc = dispatch->admit(dispatch->opaque, command->name, err);
	if (rc)
		return rc;
	rc = command->run(opaque, arguments, result, err);
	if (rc && err && !err->text[0])
		gmig_fail(err, rc, "%s: %s", command->name, strerror(-rc));
	return rc;
}

json_t *control_dispatch(const struct control_dispatch *dispatch, const char *line, size_t length)
{
	json_t *request CONTROL_CLEANUP(control_json_put) = NULL;
	struct envelope envelope = {.name = ""};
	struct gmig_error err = {0};
	json_t *result = NULL, *reply;
	int rc;

	rc = decode(line, length, &request, &err);
	if (!rc)
		rc = open_envelope(request, &envelope, &err);
	if (!rc)
		rc = run_command(dispatch, &envelope, &result, &err);
	if (!rc) {
		reply = json_pack("{s:o}", "return", result ? result : json_object());
	} else {
		json_decref(result);
		reply =
		    control_error_json(envelope.unknown ? "CommandNotFound" : NULL, rc, err.text);
	}
	if (reply && envelope.id)
		json_object_set(reply, "id", envelope.id);
	return reply;
}
