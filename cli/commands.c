#include "cli.h"

const struct cli_command cli_commands[] = {
	{0},
};
