/* Options with a value, on their way into a command's arguments. */
#include "../migrate/core/nodeset.h"
#include "../migrate/gmig.h"
#include "cli.h"
#include "units.h"

static int refuse(const struct cli_value *value, const struct gmig_error *err)
{
	return cli_usage(value->command, "--%s: %s", value->option, err->text);
}

static int put(json_t *arguments, const struct cli_value *value, uint64_t number)
{
	json_object_set_new(arguments, value->key ? value->key : value->option,
			    json_integer((json_int_t)number));
	return -1;
}

int cli_add_count(json_t *arguments, const struct cli_value *value, uint64_t max)
{
	struct gmig_error err = {0};
	uint64_t number;

	if (!value->text)
		return -1;
	if (units_parse_count(value->text, max, &number, &err))
		return refuse(value, &err);
	return put(arguments, value, number);
}

int cli_add_size(json_t *arguments, const struct cli_value *value)
{
	struct gmig_error err = {0};
	uint64_t bytes;

	if (!value->text)
		return -1;
	if (units_parse_size(value->text, &bytes, &err))
		return refuse(value, &err);
	if (bytes > INT64_MAX)
		return cli_usage(value->command, "--%s: '%s' is too big", value->option,
				 value->text);
	return put(arguments, value, bytes);
}

int cli_add_nodes(const char *command, json_t *arguments, const char *name, const char *text)
{
	uint16_t nodes[GMIG_MAX_NODES];
	struct gmig_error err = {0};
	int count = nodeset_choose(text, NULL, nodes, GMIG_MAX_NODES, &err);
	json_t *list;

	if (count < 0)
		return cli_usage(command, "--%s: %s", name, err.text);
	list = json_array();
	if (nodeset_is_choice(text))
		json_array_append_new(list, json_string(text));
	else
		for (int i = 0; i < count; i++)
			json_array_append_new(list, json_integer(nodes[i]));
	json_object_set_new(arguments, name, list);
	return -1;
}

void cli_add_text(json_t *arguments, const char *key, const char *text)
{
	if (text)
		json_object_set_new(arguments, key, json_string(text));
}

void cli_add_flag(json_t *arguments, const char *key, bool on)
{
	if (on)
		json_object_set_new(arguments, key, json_true());
}
