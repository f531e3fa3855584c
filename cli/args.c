/* Command lines: options from a table, words, help, usage errors. */
#include "../migrate/gmig.h"
#include "cli.h"

#include <errno.h>
#include <stdarg.h>
#include <string.h>

int cli_usage(const char *command, const char *format, ...)
{
	char text[GMIG_ERROR_TEXT];
	va_list args;

	va_start(args, format);
	vsnprintf(text, sizeof(text), format, args); /* NOLINT */
	va_end(args);
	cli_complain("%s%s%s", command, *command ? ": " : "", text);
	fprintf(stderr, "try: gmig%s%s --help\n", *command ? " " : "", command);
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
	fputs(
	    "\n"
	    "A VM is a guest's name, or the path of its control socket.\n"
	    "gmig COMMAND --help tells more; --json gives every result to scripts; --quiet prints "
	    "nothing but errors; --version.\n"
	    "exit status: 0 done, 1 failed, 2 wrong usage, 3 completed, but pages remain, 4 a "
	    "budget was not held, 130 Ctrl-C\n",
	    out);
}

static void print_option(FILE *out, const struct cli_option *option)
{
	char left[48];

	snprintf(left, sizeof(left), "--%s%s%s", option->name, option->placeholder ? " " : "",
		 option->placeholder ? option->placeholder : "");
	fprintf(out, "  %-22s %s\n", left, option->help);
}

static void print_list(FILE *out, const char *const *names)
{
	for (int i = 0; names[i]; i++)
		fprintf(out, "%s%s", i ? ", " : "", names[i]);
	putc('\n', out);
}

/* The one of that name in the table, or NULL. */
static const struct cli_option *named(const struct cli_option *option, const char *name,
				      size_t length)
{
	for (; option && option->name; option++)
		if (strlen(option->name) == length && !strncmp(option->name, name, length))
			return option;
	return NULL;
}

void cli_common_options(struct cli_args *args, struct cli_option common[CLI_COMMON_OPTIONS + 1])
{
	static bool flag;
	const struct cli_option all[CLI_COMMON_OPTIONS] = {
	    {.name = "json", .help = args->json_help, .flag = &args->json},
	    {.name = "quiet",
	     .help = "print nothing but errors; the exit status tells",
	     .flag = &args->quiet},
	    {.name = "no-color", .help = "without colours, which only top has", .flag = &flag},
	    {.name = "help", .help = "print this", .flag = &flag},
	};
	size_t count = 0;

	for (size_t i = 0; i < CLI_COMMON_OPTIONS; i++) {
		bool fits = &args->json == all[i].flag	  ? args->json_help != NULL
			    : &args->quiet == all[i].flag ? !args->draws
							  : true;

		if (fits && !named(args->options, all[i].name, strlen(all[i].name)))
			common[count++] = all[i];
	}
	common[count] = (struct cli_option){0};
}

static void print_help(FILE *out, const struct cli_command *command, struct cli_args *args)
{
	struct cli_option common[CLI_COMMON_OPTIONS + 1];

	cli_common_options(args, common);
	fprintf(out, "usage: gmig %s%s%s\n\n%s\n\n", command->name, *command->usage ? " " : "",
		command->usage, command->summary);
	if (args->verbs) {
		fputs("VERB: ", out);
		print_list(out, args->verbs());
		putc('\n', out);
	}
	fputs("options:\n", out);
	for (const struct cli_option *option = args->options; option && option->name; option++) {
		print_option(out, option);
		if (option->choices) {
			fprintf(out, "  %-22s one of ", "");
			print_list(out, option->choices());
		}
	}
	for (const struct cli_option *option = common; option->name; option++)
		print_option(out, option);
}

static int take_value(const char *command, const struct cli_option *option, const char *value)
{
	struct gmig_error err = {0};

	if (*option->text)
		return cli_usage(command, "--%s is given twice", option->name);
	if (!value)
		return cli_usage(command, "--%s needs a value: %s", option->name,
				 option->placeholder);
	if (option->choices && gmig_name_index(option->name, option->choices(), value, &err) < 0)
		return cli_usage(command, "--%s", err.text);
	*option->text = value;
	return -1;
}

/* One option at argv[*i]; -1 or the exit status. */
static int take_option(char **argv, int *i, struct cli_args *args)
{
	const char *command = argv[0], *name = argv[*i] + 2;
	size_t length = strcspn(name, "=");
	const char *value = name[length] ? name + length + 1 : NULL;
	struct cli_option common[CLI_COMMON_OPTIONS + 1];
	const struct cli_option *option = named(args->options, name, length);

	cli_common_options(args, common);
	if (!option)
		option = named(common, name, length);
	if (!option)
		return cli_usage(command, "there is no option '%s'", argv[*i]);
	if (!option->flag)
		return take_value(command, option, value ? value : argv[++*i]);
	if (value)
		return cli_usage(command, "--%s takes no value", option->name);
	*option->flag = true;
	return -1;
}

static int take_word(const char *command, const char *word, struct cli_args *args)
{
	if (args->word_count == args->max_words)
		return cli_usage(command, "unexpected argument '%s'", word);
	args->words[args->word_count++] = word;
	return -1;
}

/* Whatever a command prints for people goes nowhere from now on. Errors go to stderr as ever. */
static int be_quiet(void)
{
	cli_progress_off();
	if (freopen("/dev/null", "w", stdout))
		return -1;
	cli_complain("--quiet: /dev/null cannot be written: %s", strerror(errno));
	return CLI_FAILED;
}

int cli_parse(int argc, char **argv, struct cli_args *args)
{
	const struct cli_command *command = cli_find_command(argv[0]);
	struct cli_option common[CLI_COMMON_OPTIONS + 1];
	bool options_end = false;
	int status = -1;

	args->word_count = 0;
	if (argc == 2 && !strcmp(argv[1], CLI_COMPLETE)) {
		cli_common_options(args, common);
		cli_print_completion(stdout, argv[0], args, common);
		return CLI_OK;
	}
	for (int i = 1; i < argc && status < 0; i++) {
		if (options_end || argv[i][0] != '-' || !argv[i][1]) {
			status = take_word(argv[0], argv[i], args);
		} else if (!strcmp(argv[i], "--help") || !strcmp(argv[i], "-h")) {
			print_help(stdout, command, args);
			return CLI_OK;
		} else if (!strcmp(argv[i], "--")) {
			options_end = true;
		} else if (argv[i][1] != '-') {
			status = cli_usage(argv[0], "there is no option '%s'", argv[i]);
		} else {
			status = take_option(argv, &i, args);
		}
	}
	if (status < 0 && args->word_count < args->min_words)
		return cli_usage(argv[0], "missing arguments: gmig %s %s", argv[0], command->usage);
	if (status < 0 && args->quiet)
		return args->json ? (cli_progress_off(), -1) : be_quiet();
	return status;
}
