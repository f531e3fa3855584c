/* gmig help: all commands, or one. */
#include "cli.h"
#include "commands.h"

int cmd_help(int argc, char **argv)
{
	struct cli_args args = {.kinds = {CLI_WORD_COMMAND}, .max_words = 1};
	const struct cli_command *command;
	int status = cli_parse(argc, argv, &args);
	char help[] = "--help";

	if (status >= 0)
		return status;
	if (!args.word_count) {
		cli_print_commands(stdout);
		return CLI_OK;
	}
	command = cli_find_command(args.words[0]);
	if (!command)
		return cli_usage(argv[0], "there is no command '%s'", args.words[0]);
	/* Only the command itself knows its options. */
	return command->run(2, (char *[]){(char *)command->name, help, NULL});
}
