/* gmig-bench: a private directory for the children, one command, and away with the directory. */
#include "bench.h"
#include "host.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static const struct bench_command commands[] = {
	{ .name = "quick", .run = bench_quick, .files = true },
	{ .name = "move", .run = bench_move, .files = true },
	{ .name = "paper", .run = bench_paper, .files = true },
	{ .name = "full", .run = bench_full, .files = true },
	{ .name = "steady", .run = bench_steady },
	{ .name = "memory", .run = bench_memory },
	{ .name = "scale", .run = bench_scale, .no_guest = true },
};

int bench_failed(const struct gmig_error *err)
{
	fprintf(stderr, "gmig-bench: %s\n", err->text);
	return err->code == -EOPNOTSUPP ? BENCH_CANNOT : BENCH_FAILED;
}

static int run_in_directory(const struct bench_command *command, const struct bench_options *options)
{
	const char *base = getenv("TMPDIR");
	char directory[256], sockets[300];
	int status;

	if (snprintf(directory, sizeof(directory), "%s/gmig-bench.XXXXXX", base && *base ? base : "/tmp") >=
		    (int)sizeof(directory) ||
	    !mkdtemp(directory)) {
		fprintf(stderr, "gmig-bench: no directory of our own: %s\n", strerror(errno));
		return BENCH_FAILED;
	}
	setenv("XDG_RUNTIME_DIR", directory, 1);
	status = command->run(options, directory);
	snprintf(sockets, sizeof(sockets), "%s/gmig", directory);
	rmdir(sockets);
	if (rmdir(directory))
		fprintf(stderr, "gmig-bench: %s is left behind: %s\n", directory, strerror(errno));
	return status;
}

int main(int argc, char **argv)
{
	const struct bench_command *command = NULL;
	struct bench_options options;
	struct gmig_error err = { 0 };

	if (argc >= 2 && (!strcmp(argv[1], "--help") || !strcmp(argv[1], "-h"))) {
		fputs(bench_options_help(), stdout);
		return BENCH_OK;
	}
	if (argc >= 2 && !strcmp(argv[1], "--version")) {
		printf("gmig-bench %s\n", GMIG_VERSION);
		return BENCH_OK;
	}
	for (size_t i = 0; argc >= 2 && i < sizeof(commands) / sizeof(commands[0]); i++)
		if (!strcmp(commands[i].name, argv[1]))
			command = &commands[i];
	if (!command) {
		fprintf(stderr, "gmig-bench: %s%s\n%s", argc >= 2 ? "no command " : "which command?",
			argc >= 2 ? argv[1] : "", bench_options_help());
		return BENCH_USAGE;
	}
	if (bench_options_parse(argc - 1, argv + 1, &options, &err)) {
		fprintf(stderr, "gmig-bench: %s\n", err.text);
		return BENCH_USAGE;
	}
	if (options.help) {
		fputs(bench_options_help(), stdout);
		return BENCH_OK;
	}
	if (!command->files && (options.csv_path || options.trace_path || options.html_path)) {
		fprintf(stderr, "gmig-bench: %s writes no files; quick, move, paper and full do\n", command->name);
		return BENCH_USAGE;
	}
	if (!command->no_guest && host_check(&err)) {
		fprintf(stderr, "gmig-bench: cannot measure here: %s\n", err.text);
		return BENCH_CANNOT;
	}
	return run_in_directory(command, &options);
}
