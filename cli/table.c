/* The table of commands, as those below it see it: commands.c hands it down. */
#include "cli.h"

#include <string.h>

const struct cli_command *cli_commands;

const struct cli_command *cli_find_command(const char *name)
{
	for (const struct cli_command *command = cli_commands; command->name; command++)
		if (!strcmp(command->name, name))
			return command;
	return NULL;
}
