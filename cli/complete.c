/*
 * Tables for the shells' completions, from the same tables that the parser uses. The build inserts them into
 * packaging/gmig.SHELL-completion.in. What stands for a value is a list of words, or a placeholder: '@' and what is to be named, as
 * @VM or @NODES, which the shell's script expands.
 */
#include "cli.h"
#include "commands.h"

#include <stdlib.h>
#include <string.h>

/* One shell: what it writes for all commands together, for one, for one of its options, and for its N-th word. */
struct shell {
	const char *name;
	void (*commands)(FILE *out);
	void (*begin)(FILE *out, const char *command);
	void (*option)(FILE *out, const char *command, const struct cli_option *option);
	void (*end)(FILE *out);
	void (*value)(FILE *out, const char *command, const char *which, const char *value);
};

static const struct shell *shell; /* of this run; main thread */

/* In single quotes, for each of the shells: nothing between them means anything. */
static void print_quoted(FILE *out, const char *text)
{
	bool is_fish = !strcmp(shell->name, "fish");

	putc('\'', out);
	for (; *text; text++)
		if (*text == '\'')
			fputs(is_fish ? "\\'" : "'\\''", out);
		else if (*text == '\\' && is_fish)
			fputs("\\\\", out);
		else
			putc(*text, out);
	putc('\'', out);
}

/* The words that an option, or a word, may be, or its placeholder. */
static void print_choices(char *value, size_t bytes, const char *const *names,
			  const char *placeholder)
{
	size_t used = 0;

	if (!names)
		snprintf(value, bytes, "@%s", placeholder);
	for (int i = 0; names && names[i] && used < bytes; i++)
		used +=
		    (size_t)snprintf(value + used, bytes - used, "%s%s", i ? " " : "", names[i]);
}

static void print_option_value(char *value, size_t bytes, const struct cli_option *option)
{
	print_choices(value, bytes, option->choices ? option->choices() : NULL,
		      option->placeholder);
}

/* ---- bash: arrays; an index is "COMMAND --OPTION", or "COMMAND N" ----------------------------- */

static void bash_commands(FILE *out)
{
	fputs("_gmig_commands='", out);
	for (const struct cli_command *command = cli_commands; command->name; command++)
		fprintf(out, "%s%s", command == cli_commands ? "" : " ", command->name);
	fputs("'\n", out);
}

static void bash_begin(FILE *out, const char *command)
{
	fprintf(out, "_gmig_options['%s']='", command);
}

static void bash_option(FILE *out, const char *command, const struct cli_option *option)
{
	(void)command;
	fprintf(out, "--%s ", option->name);
}

static void bash_end(FILE *out)
{
	fputs("'\n", out);
}

static void bash_value(FILE *out, const char *command, const char *which, const char *value)
{
	fprintf(out, "_gmig_values['%s %s']='%s'\n", command, which, value);
}

/* ---- zsh: the same, with what each is for behind a colon --------------------------------------- */

static void zsh_commands(FILE *out)
{
	char text[256];

	fputs("_gmig_commands=(\n", out);
	for (const struct cli_command *command = cli_commands; command->name; command++) {
		snprintf(text, sizeof(text), "%s:%s", command->name, command->summary);
		print_quoted(out, text);
		putc('\n', out);
	}
	fputs(")\n", out);
}

static void zsh_begin(FILE *out, const char *command)
{
	fprintf(out, "_gmig_options+=(%s ", command);
}

/* A line each: the script cuts at the ends of lines. Adjacent quoted words are one. */
static void zsh_option(FILE *out, const char *command, const struct cli_option *option)
{
	char text[256];

	(void)command;
	snprintf(text, sizeof(text), "--%s:%s\n", option->name, option->help);
	print_quoted(out, text);
}

static void zsh_end(FILE *out)
{
	fputs(")\n", out);
}

static void zsh_value(FILE *out, const char *command, const char *which, const char *value)
{
	fprintf(out, "_gmig_values+=('%s %s' '%s')\n", command, which, value);
}

/* ---- fish: a line for each thing that can be offered ------------------------------------------ */

static void fish_commands(FILE *out)
{
	fputs("set -g __gmig_commands", out);
	for (const struct cli_command *command = cli_commands; command->name; command++)
		fprintf(out, " %s", command->name);
	putc('\n', out);
	for (const struct cli_command *command = cli_commands; command->name; command++) {
		fprintf(out, "complete -c gmig -n __gmig_no_command -a %s -d ", command->name);
		print_quoted(out, command->summary);
		putc('\n', out);
	}
}

static void fish_begin(FILE *out, const char *command)
{
	(void)out;
	(void)command;
}

static void fish_option(FILE *out, const char *command, const struct cli_option *option)
{
	char value[512];

	if (option->placeholder) {
		print_option_value(value, sizeof(value), option);
		fprintf(out, "set -ga __gmig_valued '%s --%s'\n", command, option->name);
		fprintf(out,
			"complete -c gmig -n '__gmig_command %s' -l %s %s -a '(__gmig_expand %s)' "
			"-d ",
			command, option->name,
			!strcmp(value, "@PATH") || !strcmp(value, "@FILE") ? "-rF" : "-x", value);
	} else {
		fprintf(out, "complete -c gmig -n '__gmig_command %s' -l %s -d ", command,
			option->name);
	}
	print_quoted(out, option->help);
	putc('\n', out);
}

static void fish_end(FILE *out)
{
	(void)out;
}

static void fish_value(FILE *out, const char *command, const char *which, const char *value)
{
	/* Options have theirs already. */
	if (which[0] != '-')
		fprintf(out, "complete -c gmig -n '__gmig_word %s %s' -a '(__gmig_expand %s)'\n",
			command, which, value);
}

static const struct shell shells[] = {
    {"bash", bash_commands, bash_begin, bash_option, bash_end, bash_value},
    {"zsh", zsh_commands, zsh_begin, zsh_option, zsh_end, zsh_value},
    {"fish", fish_commands, fish_begin, fish_option, fish_end, fish_value},
};

/* ---- All --------------------------------------------------------------------------------------- */

static void print_options(FILE *out, const char *command, const struct cli_args *args,
			  const struct cli_option *common)
{
	shell->begin(out, command);
	for (const struct cli_option *option = args->options; option && option->name; option++)
		shell->option(out, command, option);
	for (const struct cli_option *option = common; option->name; option++)
		shell->option(out, command, option);
	shell->end(out);
}

static void print_values(FILE *out, const char *command, const struct cli_option *option)
{
	char which[64], value[512];

	if (!option->placeholder)
		return;
	snprintf(which, sizeof(which), "--%s", option->name);
	print_option_value(value, sizeof(value), option);
	shell->value(out, command, which, value);
}

static void print_words(FILE *out, const char *command, const struct cli_args *args)
{
	static const char *const kinds[] = {
	    [CLI_WORD_TEXT] = "TEXT", [CLI_WORD_VM] = "VM",	      [CLI_WORD_DOMAIN] = "DOMAIN",
	    [CLI_WORD_JOB] = "JOB",   [CLI_WORD_COMMAND] = "COMMAND", [CLI_WORD_VERB] = "VERB",
	};

	for (int i = 0; i < args->max_words; i++) {
		char which[16], value[512];
		bool is_verb = args->kinds[i] == CLI_WORD_VERB;

		snprintf(which, sizeof(which), "%d", i + 1);
		print_choices(value, sizeof(value), is_verb ? args->verbs() : NULL,
			      kinds[args->kinds[i]]);
		shell->value(out, command, which, value);
	}
}

void cli_print_completion(FILE *out, const char *command, const struct cli_args *args,
			  const struct cli_option *common)
{
	if (!shell)
		shell = &shells[0];
	print_options(out, command, args, common);
	for (const struct cli_option *option = args->options; option && option->name; option++)
		print_values(out, command, option);
	print_words(out, command, args);
}

int cli_print_completion_tables(const char *name)
{
	char complete[] = CLI_COMPLETE;

	shell = NULL;
	for (size_t i = 0; i < sizeof(shells) / sizeof(shells[0]); i++)
		if (!name || !strcmp(shells[i].name, name)) {
			shell = &shells[i];
			break;
		}
	if (!shell) {
		cli_complain("there are no tables for the shell '%s'", name);
		return CLI_USAGE;
	}
	shell->commands(stdout);
	for (const struct cli_command *command = cli_commands; command->name; command++)
		command->run(2, (char *[]){(char *)command->name, complete, NULL});
	return CLI_OK;
}
