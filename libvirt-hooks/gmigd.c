/*
 * gmigd: shows where the memory of libvirt's QEMU domains lies, and moves it when told. See daemon.h.
 *
 * Exit status: 0 ended by a signal, 1 it could not start, 2 wrong usage.
 */
#include "../control/finish.h"
#include "../control/standard_fds.h"
#include "daemon.h"
#include "daemon_log.h"

#include <getopt.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>

#define DEFAULT_URI    "qemu:///system"
#define DEFAULT_SOCKET "/run/gmig/gmigd.sock"
#define DEFAULT_STATE  "/run/gmig/gmigd"
#define DEFAULT_RUN    "/run/libvirt/qemu"

static void usage(FILE *out)
{
	fputs("usage: gmigd [OPTION]..\n"
	      "\n"
	      "Shows where the memory of libvirt's running QEMU domains lies, and moves it when "
	      "told: gmig(1) asks it.\n"
	      "\n"
	      "  --connect URI     libvirt's; default " DEFAULT_URI "\n"
	      "  --socket PATH     of the control socket; default " DEFAULT_SOCKET "\n"
	      "  --state DIR       for what must survive a kill; default " DEFAULT_STATE "\n"
	      "  --group GROUP     whose members may use the socket; default: root alone\n"
	      "  --run-dir DIR     libvirt's pid files; default " DEFAULT_RUN "\n"
	      "  --verbose         more lines\n"
	      "  --help, --version\n",
	      out);
}

static void block_signals(void)
{
	sigset_t signals;

	sigemptyset(&signals);
	sigaddset(&signals, SIGTERM);
	sigaddset(&signals, SIGINT);
	sigaddset(&signals, SIGHUP); /* a terminal that goes is no reason to end */
	sigprocmask(SIG_BLOCK, &signals, NULL);
	signal(SIGPIPE, SIG_IGN);
}

/* -1: go on; else the exit status. */
static int parse(int argc, char **argv, struct daemon_options *options)
{
	static const struct option known[] = {{"connect", required_argument, NULL, 'c'},
					      {"socket", required_argument, NULL, 's'},
					      {"state", required_argument, NULL, 'd'},
					      {"group", required_argument, NULL, 'g'},
					      {"run-dir", required_argument, NULL, 'r'},
					      {"verbose", no_argument, NULL, 'v'},
					      {"help", no_argument, NULL, 'h'},
					      {"version", no_argument, NULL, 'V'},
					      {0}};
	int letter;

	while ((letter = getopt_long(argc, argv, "", known, NULL)) >= 0) {
		switch (letter) {
		case 'c':
			options->uri = optarg;
			break;
		case 's':
			options->socket = optarg;
			break;
		case 'd':
			options->state = optarg;
			break;
		case 'g':
			options->group = optarg;
			break;
		case 'r':
			options->run_dir = optarg;
			break;
		case 'v':
			options->verbose = true;
			break;
		case 'h':
			usage(stdout);
			return 0;
		case 'V':
			puts("gmigd " GMIG_VERSION);
			return 0;
		default:
			usage(stderr);
			return 2;
		}
	}
	if (optind == argc)
		return -1;
	fprintf(stderr, "gmigd: unexpected argument '%s'\n", argv[optind]);
	return 2;
}

int main(int argc, char **argv)
{
	struct daemon_options options = {.uri = DEFAULT_URI,
					 .socket = DEFAULT_SOCKET,
					 .state = DEFAULT_STATE,
					 .run_dir = DEFAULT_RUN};
	struct gmig_error err = {0};
	int status = standard_fds_fill() ? EXIT_FAILURE : parse(argc, argv, &options);

	if (status >= 0)
		return finish_stdout("gmigd", status);
	block_signals();
	daemon_log_start(options.verbose);
	if (!daemon_run(&options, &err))
		return EXIT_SUCCESS;
	daemon_log(GMIG_LOG_ERROR, err.text);
	return EXIT_FAILURE;
}
