/*
 * gmigd: shows where the memory of libvirt's QEMU domains lies, and moves it when told. See daemon.h.
 *
 * Exit status: 0 ended by a signal, 1 it could not start, 2 wrong usage.
 */
#include "../control/finish.h"
#include "../control/standard_fds.h"
#include "conf.h"
#include "daemon.h"
#include "daemon_log.h"
#include "hook_message.h"
#include "rights.h"

#include <getopt.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>

#define DEFAULT_RUN "/run/libvirt/qemu"

static void usage(FILE *out)
{
	fputs(
	    "usage: gmigd [OPTION]..\n"
	    "\n"
	    "Shows where the memory of libvirt's running QEMU domains lies, and moves it when "
	    "told: gmig(1) asks it.\n"
	    "\n"
	    "  --config FILE     gmigd.conf(5); default " GMIGD_CONF_PATH "\n"
	    "  --check-config    read it, print what it says, and end\n"
	    "  --finish          put right what a killed gmigd has left of its moves, and end\n"
	    "  --connect URI     libvirt's, in the place of what the file says, as the next three\n"
	    "  --socket PATH     of the control socket\n"
	    "  --state DIR       for what must survive a kill\n"
	    "  --group GROUP     whose members may use the socket; \"\": root alone\n"
	    "  --run-dir DIR     libvirt's pid files; default " DEFAULT_RUN "\n"
	    "  --verbose         more lines\n"
	    "  --help, --version\n",
	    out);
}

struct command_line {
	struct daemon_options options; /* NULL: what the file says */
	const char *config;
	bool check;
};

static void block_signals(void)
{
	sigset_t signals;

	sigemptyset(&signals);
	sigaddset(&signals, SIGTERM);
	sigaddset(&signals, SIGINT);
	sigaddset(&signals, SIGHUP);
	sigprocmask(SIG_BLOCK, &signals, NULL);
	signal(SIGPIPE, SIG_IGN);
}

/* One option; false: it is none. */
static bool take(struct command_line *line, int letter)
{
	const struct {
		int letter;
		const char **text;
	} texts[] = {{'f', &line->config},	   {'c', &line->options.uri},
		     {'s', &line->options.socket}, {'d', &line->options.state},
		     {'g', &line->options.group},  {'r', &line->options.run_dir}};

	for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++)
		if (texts[i].letter == letter) {
			*texts[i].text = optarg;
			return true;
		}
	line->check |= letter == 'k';
	line->options.verbose |= letter == 'v';
	line->options.finish |= letter == 'F';
	return letter == 'k' || letter == 'v' || letter == 'F';
}

/* -1: go on; else the exit status. */
static int parse(int argc, char **argv, struct command_line *line)
{
	static const struct option known[] = {
	    {"config", required_argument, NULL, 'f'}, {"check-config", no_argument, NULL, 'k'},
	    {"finish", no_argument, NULL, 'F'},	      {"connect", required_argument, NULL, 'c'},
	    {"socket", required_argument, NULL, 's'}, {"state", required_argument, NULL, 'd'},
	    {"group", required_argument, NULL, 'g'},  {"run-dir", required_argument, NULL, 'r'},
	    {"verbose", no_argument, NULL, 'v'},      {"help", no_argument, NULL, 'h'},
	    {"version", no_argument, NULL, 'V'},      {0}};
	int letter;

	while ((letter = getopt_long(argc, argv, "", known, NULL)) >= 0) {
		if (letter == 'h')
			usage(stdout);
		else if (letter == 'V')
			puts("gmigd " GMIG_VERSION);
		else if (take(line, letter))
			continue;
		else
			fputs("try: gmigd --help\n", stderr);
		return letter == 'h' || letter == 'V' ? EXIT_SUCCESS : 2;
	}
	if (optind == argc)
		return -1;
	fprintf(stderr, "gmigd: unexpected argument '%s'\n", argv[optind]);
	return 2;
}

/* What the command line leaves open, the file says. */
static void complete(struct daemon_options *options, const struct gmigd_conf *conf)
{
	options->conf = conf;
	if (!options->uri)
		options->uri = conf->uri;
	if (!options->socket)
		options->socket = conf->socket;
	if (!options->state)
		options->state = conf->state;
	if (!options->group)
		options->group = conf->group;
	if (!options->group || !*options->group)
		options->group = NULL;
	if (!options->run_dir)
		options->run_dir = DEFAULT_RUN;
	options->hook_socket = HOOK_SOCKET_PATH;
	options->call_ms = (unsigned int)(conf->libvirt_timeout_ns / 1000000);
}

static int run(struct command_line *line)
{
	struct gmigd_conf *conf = NULL;
	struct gmig_error err = {0};
	int ret = gmigd_conf_read(line->config, &conf, &err);

	if (!ret) {
		line->options.config = line->config;
		complete(&line->options, conf);
		ret = rights_filter(&err);
		if (!ret)
			ret = daemon_run(&line->options, &err);
	}
	if (ret)
		daemon_log(GMIG_LOG_ERROR, err.text);
	gmigd_conf_destroy(conf);
	return ret ? EXIT_FAILURE : EXIT_SUCCESS;
}

int main(int argc, char **argv)
{
	struct command_line line = {.config = GMIGD_CONF_PATH};
	int status = standard_fds_fill() ? EXIT_FAILURE : parse(argc, argv, &line);

	if (status < 0 && line.check)
		status = gmigd_conf_check(line.config, stdout);
	if (status >= 0)
		return finish_stdout("gmigd", status);
	block_signals();
	daemon_log_start(line.options.verbose);
	return run(&line);
}
