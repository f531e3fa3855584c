/* Command lines: options from a table, words, help, usage errors. */
#include "cli.h"

#include <stdarg.h>
#include <string.h>

const struct cli_command *cli_find_command(const char *name)
{
	for (const struct cli_command *command = cli_commands; command->name; command++)
		if (!strcmp(command->name, name))
			return command;
	return NULL;
}

int cli_usage(const char *command, const char *format, ...)
{
	va_list args;

	fprintf(stderr, "gmig%s%s: ", *command ? ": " : "", command);
	va_start(args, format);
	vfprintf(stderr, format, args);
	va_end(args);
	fprintf(stderr, "\ntry: gmig%s%s --help\n", *command ? " " : "", command);
	return CLI_USAGE;
}

void cli_print_commands(FILE *out)
{
	fputs("usage: gmig COMMAND [ARGUMENT]..\n"
	      "\n"
	      "Shows where the memory of running virtual machines lies on this NUMA host, and "
	      "moves it while they run.\n"
	      "\n"
	      "commands:\n",
	      out);
	for (const struct cli_command *command = cli_commands; command->name; command++)
		fprintf(out, "  %-11s %s\n", command->name, command->summary);
	fputs("\n"
	      "A VM is a guest's name, or the path of its control socket.\n"
	      "gmig COMMAND --help tells more; --json gives every result to scripts; --version.\n"
	      "exit status: 0 done, 1 failed, 2 wrong usage, 3 completed with pages left\n",
	      out);
}

static void print_option(FILE *out, const char *name, const char *placeholder, const char *help)
{
	char left[48];

	snprintf(left, sizeof(left), "--%s%s%s", name, placeholder ? " " : "",
		 placeholder ? placeholder : "");
	fprintf(out, "  %-22s %s\n", left, help);
}

void cli_print_help(FILE *out, const struct cli_command *command, const struct cli_option *options)
{
	fprintf(out, "usage: gmig %s%s%s\n\n%s\n\noptions:\n", command->name,
		*command->usage ? " " : "", command->usage, command->summary);
	for (; options && options->name; options++)
		print_option(out, options->name, options->placeholder, options->help);
	print_option(out, "help", NULL, "print this");
}

/* The option of argument "--name" or "--name=value"; *value is what follows the '=' or NULL. */
static const struct cli_option *find_option(const struct cli_option *option, const char *argument,
					    const char **value)
{
	size_t length = strcspn(argument + 2, "=");

	*value = argument[2 + length] ? argument + 2 + length + 1 : NULL;
	for (; option && option->name; option++)
		if (strlen(option->name) == length && !strncmp(option->name, argument + 2, length))
			return option;
	return NULL;
}

/* One option at argv[*i]; -1 or the exit status. */
static int take_option(char **argv, int *i, const struct cli_option *options)
{
	const char *value, *command = argv[0];
	const struct cli_option *option = find_option(options, argv[*i], &value);

	if (!option)
		return cli_usage(command, "there is no option '%s'", argv[*i]);
	if (option->flag) {
		if (value)
			return cli_usage(command, "--%s takes no value", option->name);
		*option->flag = true;
		return -1;
	}
	if (*option->text)
		return cli_usage(command, "--%s is given twice", option->name);
	if (!value)
		value = argv[++*i];
	if (!value)
		return cli_usage(command, "--%s needs a value: %s", option->name,
				 option->placeholder);
	*option->text = value;
	return -1;
}

int cli_parse(int argc, char **argv, struct cli_args *args)
{
	const struct cli_command *command = cli_find_command(argv[0]);
	bool options_end = false;

	args->word_count = 0;
	for (int i = 1; i < argc; i++) {
		int status;

		if (!options_end && (!strcmp(argv[i], "--help") || !strcmp(argv[i], "-h"))) {
			cli_print_help(stdout, command, args->options);
			return CLI_OK;
		}
		if (!options_end && !strcmp(argv[i], "--")) {
			options_end = true;
			continue;
		}
		if (options_end || argv[i][0] != '-' || !argv[i][1]) {
			if (args->word_count == args->max_words)
				return cli_usage(argv[0], "'%s' is one word too many", argv[i]);
			args->words[args->word_count++] = argv[i];
			continue;
		}
		if (argv[i][1] != '-')
			return cli_usage(argv[0], "there is no option '%s'", argv[i]);
		status = take_option(argv, &i, args->options);
		if (status >= 0)
			return status;
	}
	if (args->word_count < args->min_words)
		return cli_usage(argv[0], "too few words: gmig %s %s", argv[0], command->usage);
	return -1;
}
