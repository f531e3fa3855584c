/*
 * gmig inside: one table of commands, a file each. A command gets its own argv (argv[0] is its name) and returns the exit
 * status: 0 done, 1 failed, 2 usage, 3 completed with pages left.
 */
#ifndef CLI_H
#define CLI_H

#include "../control/control.h"

#include <stdbool.h>

enum cli_exit { CLI_OK = 0, CLI_FAILED = 1, CLI_USAGE = 2, CLI_LEFT = 3 };

struct cli_command {
	const char *name;
	const char *usage; /* what follows the name */
	const char *summary;
	int (*run)(int argc, char **argv);
};

extern const struct cli_command cli_commands[]; /* NULL name ends it */

#endif
