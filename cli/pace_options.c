#include "pace_options.h"
#include "../migrate/gmig.h"
#include "units.h"

#include <string.h>

static int add_max_slowdown(const char *command, json_t *arguments, const char *text)
{
	struct gmig_error err = {0};
	uint32_t ppm;

	if (!text)
		return -1;
	if (units_parse_share(text, &ppm, &err))
		return cli_usage(command, "--max-slowdown: %s", err.text);
	json_object_set_new(arguments, "max-slowdown", json_integer(ppm));
	return -1;
}

static int add_order(const char *command, json_t *arguments, const struct cli_pace *pace)
{
	struct gmig_error err = {0};
	uint64_t seed;

	if (pace->order)
		json_object_set_new(arguments, "order", json_string(pace->order));
	if (!pace->order_seed)
		return -1;
	if (!pace->order || strcmp(pace->order, "random") != 0)
		return cli_usage(command, "--order-seed is for --order random");
	if (units_parse_count(pace->order_seed, INT64_MAX, &seed, &err))
		return cli_usage(command, "--order-seed: %s", err.text);
	if (!seed)
		return cli_usage(command, "--order-seed: 0 is none");
	json_object_set_new(arguments, "order-seed", json_integer((json_int_t)seed));
	return -1;
}

int cli_add_pace(const char *command, json_t *arguments, const struct cli_pace *pace)
{
	int status = add_max_slowdown(command, arguments, pace->max_slowdown);

	return status < 0 ? add_order(command, arguments, pace) : status;
}
