/*
 * Tables for the shell's completion, from the same tables that the parser uses: bash arrays, which the build inserts into
 * packaging/gmig.bash-completion.in. A value's index is "COMMAND --OPTION" or "COMMAND N" for the N-th word; a value that
 * begins with '@' is a placeholder, which the script expands.
 */
#include "cli.h"
#include "commands.h"

#include <string.h>

static void print_names(FILE *out, const char *const *names)
{
	for (int i = 0; names[i]; i++)
		fprintf(out, "%s%s", i ? " " : "", names[i]);
}

static void print_options(FILE *out, const char *command, const struct cli_args *args)
{
	fprintf(out, "_gmig_options['%s']='", command);
	for (const struct cli_option *option = args->options; option && option->name; option++)
		fprintf(out, "--%s ", option->name);
	fprintf(out, "%s--help'\n", args->json_help ? "--json " : "");
}

static void print_values(FILE *out, const char *command, const struct cli_option *option)
{
	if (!option->placeholder)
		return;
	fprintf(out, "_gmig_values['%s --%s']='", command, option->name);
	if (option->choices)
		print_names(out, option->choices());
	else
		fprintf(out, "@%s", option->placeholder);
	fputs("'\n", out);
}

static void print_words(FILE *out, const char *command, const struct cli_args *args)
{
	static const char *const kinds[] = {
	    [CLI_WORD_TEXT] = "@TEXT",	     [CLI_WORD_VM] = "@VM",	[CLI_WORD_JOB] = "@JOB",
	    [CLI_WORD_COMMAND] = "@COMMAND", [CLI_WORD_VERB] = "@VERB",
	};

	for (int i = 0; i < args->max_words; i++) {
		fprintf(out, "_gmig_values['%s %d']='", command, i + 1);
		if (args->kinds[i] == CLI_WORD_VERB)
			print_names(out, args->verbs());
		else
			fputs(kinds[args->kinds[i]], out);
		fputs("'\n", out);
	}
}

void cli_print_completion(FILE *out, const char *command, const struct cli_args *args)
{
	print_options(out, command, args);
	for (const struct cli_option *option = args->options; option && option->name; option++)
		print_values(out, command, option);
	print_words(out, command, args);
}

int cli_print_completion_tables(void)
{
	char complete[] = CLI_COMPLETE;

	fputs("_gmig_commands='", stdout);
	for (const struct cli_command *command = cli_commands; command->name; command++)
		printf("%s%s", command == cli_commands ? "" : " ", command->name);
	puts("'");
	for (const struct cli_command *command = cli_commands; command->name; command++)
		command->run(2, (char *[]){(char *)command->name, complete, NULL});
	return CLI_OK;
}
