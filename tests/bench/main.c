/*
 * gmig-bench: a private directory for the guests, one command, and away with the directory. The command runs in a child,
 * so that the directory goes whatever ends it: Ctrl-C, SIGTERM, a crash.
 */
#include "../../control/finish.h"
#include "../../control/standard_fds.h"
#include "bench.h"
#include "domain.h"
#include "host.h"
#include "kernel_rate.h"

#include <errno.h>
#include <ftw.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

static const struct bench_command commands[] = {
    {.name = "quick", .run = bench_quick, .files = true, .domain = true},
    {.name = "move", .run = bench_move, .files = true, .domain = true},
    {.name = "paper", .run = bench_paper, .files = true},
    {.name = "full", .run = bench_full, .files = true},
    {.name = "steady", .run = bench_steady},
    {.name = "memory", .run = bench_memory},
    {.name = "budget", .run = bench_budget},
    {.name = "heat", .run = bench_heat},
    {.name = "first", .run = bench_first, .no_guest = true},
    {.name = "scale", .run = bench_scale, .no_guest = true},
    {.name = "placement", .run = bench_placement, .no_guest = true, .placement = true},
};

static volatile pid_t child;

static void pass_on(int number)
{
	if (child > 0)
		kill(child, number);
}

static int remove_one(const char *path, const struct stat *st, int kind, struct FTW *ftw)
{
	(void)st;
	(void)kind;
	(void)ftw;
	return remove(path);
}

/* The guests end after the child: each is told by the kernel, and removes its socket itself. */
static void remove_directory(const char *directory)
{
	for (unsigned int tries = 0; tries < 50; tries++) {
		if (!nftw(directory, remove_one, 8, FTW_DEPTH | FTW_PHYS))
			return;
		usleep(100000);
	}
	fprintf(stderr, "gmig-bench: %s is left behind: %s\n", directory, strerror(errno));
}

static int run_in_directory(const struct bench_command *command,
			    const struct bench_options *options)
{
	const char *base = getenv("TMPDIR");
	struct sigaction action = {.sa_handler = pass_on};
	pid_t parent = getpid();
	char directory[256];
	int status = 0;

	if (snprintf(directory, sizeof(directory), "%s/gmig-bench.XXXXXX",
		     base && *base ? base : "/tmp") >= (int)sizeof(directory) ||
	    !mkdtemp(directory)) {
		fprintf(stderr, "gmig-bench: no directory of our own: %s\n", strerror(errno));
		return BENCH_FAILED;
	}
	setenv("XDG_RUNTIME_DIR", directory, 1);
	child = fork();
	if (!child) {
		prctl(PR_SET_PDEATHSIG, SIGTERM);
		if (getppid() != parent)
			_exit(BENCH_FAILED);
		exit(command->run(options, directory));
	}
	if (child < 0) {
		fprintf(stderr, "gmig-bench: %s\n", strerror(errno));
		remove_directory(directory);
		return BENCH_FAILED;
	}
	sigaction(SIGINT, &action, NULL);
	sigaction(SIGTERM, &action, NULL);
	sigaction(SIGHUP, &action, NULL);
	while (waitpid(child, &status, 0) < 0 && errno == EINTR)
		;
	remove_directory(directory);
	if (WIFEXITED(status))
		return WEXITSTATUS(status);
	fprintf(stderr, "gmig-bench: ended by signal %d (%s)\n", WTERMSIG(status),
		strsignal(WTERMSIG(status)));
	return 128 + WTERMSIG(status);
}

static int run_command(const struct bench_command *command, struct bench_options *options)
{
	struct gmig_error err = {0};
	int status;

	if (options->domain_name && domain_open(options->domain_name, &options->domain, &err))
		return bench_failed(&err);
	status = run_in_directory(command, options);
	/* Here, not in the child: whatever ended that one. */
	if (domain_close(options->domain, &err)) {
		bench_failed(&err);
		status = status ? status : BENCH_FAILED;
	}
	return status;
}

static const char *domain_misused(const struct bench_command *command,
				  const struct bench_options *options)
{
	if (!options->domain_name)
		return NULL;
	if (!command->domain)
		return "--domain is for quick and move";
	return options->fake_nodes ? "--domain moves memory between real nodes: --fake-nodes 0"
				   : NULL;
}

/* What a command says to options that are others'. */
static const char *files_misused(const struct bench_command *command,
				 const struct bench_options *options)
{
	bool csv = options->csv_path && !command->placement;

	if (!command->files &&
	    (csv || options->trace_path || options->html_path || options->kernel_rate))
		return command->placement
			   ? "has no --trace, --html and --kernel-rate; quick, move, paper "
			     "and full do"
			   : "has no --csv, --trace, --html and --kernel-rate; quick, move, "
			     "paper and full do";
	return options->placement_given && !command->placement
		   ? "has no --hosts, --guests, --steps, --seed and --fleet; placement does"
		   : NULL;
}

int main(int argc, char **argv)
{
	const struct bench_command *command = NULL;
	struct bench_options options;
	struct gmig_error err = {0};

	if (standard_fds_fill())
		return BENCH_FAILED;
	if (argc >= 2 && (!strcmp(argv[1], "--help") || !strcmp(argv[1], "-h"))) {
		fputs(bench_options_help(), stdout);
		return finish_stdout("gmig-bench", BENCH_OK);
	}
	if (argc >= 2 && !strcmp(argv[1], "--version")) {
		printf("gmig-bench %s\n", GMIG_VERSION);
		return finish_stdout("gmig-bench", BENCH_OK);
	}
	for (size_t i = 0; argc >= 2 && i < sizeof(commands) / sizeof(commands[0]); i++)
		if (!strcmp(commands[i].name, argv[1]))
			command = &commands[i];
	if (!command) {
		fprintf(stderr, "gmig-bench: %s%s\n%s",
			argc >= 2 ? "no command " : "which command?", argc >= 2 ? argv[1] : "",
			bench_options_help());
		return BENCH_USAGE;
	}
	if (bench_options_parse(argc - 1, argv + 1, &options, &err)) {
		fprintf(stderr, "gmig-bench: %s\n", err.text);
		return BENCH_USAGE;
	}
	if (options.help) {
		fputs(bench_options_help(), stdout);
		return finish_stdout("gmig-bench", BENCH_OK);
	}
	if (files_misused(command, &options)) {
		fprintf(stderr, "gmig-bench: %s %s\n", command->name,
			files_misused(command, &options));
		return BENCH_USAGE;
	}
	if (domain_misused(command, &options)) {
		fprintf(stderr, "gmig-bench: %s\n", domain_misused(command, &options));
		return BENCH_USAGE;
	}
	if (options.kernel_rate && kernel_rate_check(&err)) {
		fprintf(stderr, "gmig-bench: %s\n", err.text);
		return BENCH_CANNOT;
	}
	if (!command->no_guest && host_check(&err)) {
		fprintf(stderr, "gmig-bench: cannot measure here: %s\n", err.text);
		return BENCH_CANNOT;
	}
	return run_command(command, &options);
}
