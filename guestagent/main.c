/*
 * gmig-agent: runs in a guest and moves processes' memory between the guest's own nodes when the
 * host asks. Start-up: options, allow-list, capabilities, port, filter; then the main loop.
 */
#include "../control/finish.h"
#include "../control/standard_fds.h"
#include "agent.h"
#include "opener.h"

#include <errno.h>
#include <getopt.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <unistd.h>

#define PORT_NAME      "org.gmig.agent.0"
#define END_TIMEOUT_MS 3000

enum { EXIT_OK = 0, EXIT_FAILED = 1, EXIT_USAGE = 2 };

struct options {
	struct agent_port_options port;
	const char *config;
	bool unconfined, check;
};

static const char usage[] =
    "usage: gmig-agent [OPTION]..\n"
    "\n"
    "Runs in a guest and moves processes' memory between the guest's memory nodes when the host\n"
    "asks for it over a virtio port.\n"
    "\n"
    "  --name NAME     the virtio port's name (" PORT_NAME ")\n"
    "  --port PATH     the port's device, instead of finding it by name\n"
    "  --fd N          serve an open descriptor, and end when it does\n"
    "  --wait          wait for the port if it is not there\n"
    "  --config FILE   the allow-list, which must be there (" AGENT_CONF_PATH ", if it is)\n"
    "  --check-config  read the allow-list, say what is wrong with it, and end\n"
    "  --unconfined    keep capabilities and system calls: for debuggers and sanitizers\n"
    "  --help, --version\n";

static int parse_fd(const char *text, int *fd)
{
	char *end;
	long value = strtol(text, &end, 10);

	if (end == text || *end || value < 0 || value > 1048576) {
		fprintf(stderr, "gmig-agent: --fd: '%s' is no descriptor\n", text);
		return EXIT_USAGE;
	}
	*fd = (int)value;
	return -1;
}

/* -1: go on; else the exit status. */
static int parse_options(int argc, char **argv, struct options *options)
{
	static const struct option known[] = {
	    {"name", required_argument, NULL, 'n'},   {"port", required_argument, NULL, 'p'},
	    {"fd", required_argument, NULL, 'f'},     {"wait", no_argument, NULL, 'w'},
	    {"config", required_argument, NULL, 'c'}, {"check-config", no_argument, NULL, 'k'},
	    {"unconfined", no_argument, NULL, 'u'},   {"help", no_argument, NULL, 'h'},
	    {"version", no_argument, NULL, 'v'},      {0},
	};
	int status = -1, option;

	while (status < 0 && (option = getopt_long(argc, argv, "h", known, NULL)) != -1) {
		switch (option) {
		case 'n':
			options->port.name = optarg;
			break;
		case 'p':
			options->port.path = optarg;
			break;
		case 'f':
			status = parse_fd(optarg, &options->port.fd);
			break;
		case 'w':
			options->port.wait = true;
			break;
		case 'c':
			options->config = optarg;
			break;
		case 'k':
			options->check = true;
			break;
		case 'u':
			options->unconfined = true;
			break;
		case 'h':
			fputs(usage, stdout);
			return finish_stdout("gmig-agent", EXIT_OK);
		case 'v':
			puts("gmig-agent " GMIG_VERSION "\nallow-list: " AGENT_CONF_PATH);
			return finish_stdout("gmig-agent", EXIT_OK);
		default:
			return EXIT_USAGE;
		}
	}
	if (status < 0 && optind < argc) {
		fprintf(stderr, "gmig-agent: '%s' is one word too many\n", argv[optind]);
		return EXIT_USAGE;
	}
	return status;
}

static int refuse(const struct gmig_error *err)
{
	fprintf(stderr, "gmig-agent: %s\n", err->text);
	return EXIT_FAILED;
}

static int confine(const struct options *options, struct agent *agent, struct gmig_error *err)
{
	int rc;

	if (options->unconfined)
		return 0;
	rc = agent_opener_start(&agent->conf, &options->port, &agent->opener, err);
	if (!rc)
		rc = agent_drop_capabilities(err);
	if (!rc)
		rc = agent_install_filter(err);
	return rc;
}

/* A file that was named must be there: without it everything would be allowed. */
static int read_config(const struct options *options, struct agent_conf *conf,
		       struct gmig_error *err)
{
	const struct agent_conf_file file = {.path = options->config ? options->config
								     : AGENT_CONF_PATH,
					     .required = options->config || options->check,
					     .knows_command = agent_knows_command};
	int rc = agent_conf_read(&file, conf, err);

	if (!rc && !file.required && access(file.path, F_OK))
		fprintf(stderr, "gmig-agent: there is no %s: the host may ask for everything\n",
			file.path);
	return rc;
}

static int serve(const struct options *options, struct agent *agent)
{
	struct gmig_error err = {0};
	int rc = agent_port_serve(agent, &options->port, &err);

	agent_opener_stop(agent->opener);
	/* A job that sleeps in the kernel cannot be waited for: the end of the process ends it. */
	if (!agent_jobs_destroy(agent->jobs, END_TIMEOUT_MS))
		fprintf(stderr, "gmig-agent: a job has not ended\n");
	else
		agent_conf_free(&agent->conf);
	return rc ? refuse(&err) : EXIT_OK;
}

int main(int argc, char **argv)
{
	struct options options = {.port = {.name = PORT_NAME, .fd = -1}, .config = NULL};
	struct agent agent = {0};
	struct gmig_error err = {0};
	int status;

	if (standard_fds_fill())
		return EXIT_FAILED;
	status = parse_options(argc, argv, &options);
	if (status >= 0)
		return status;
	if (read_config(&options, &agent.conf, &err))
		return refuse(&err);
	if (options.check) {
		agent_conf_free(&agent.conf);
		return EXIT_OK;
	}
	prctl(PR_SET_NAME, "gmig-agent", 0, 0, 0);
	if (confine(&options, &agent, &err) || agent_jobs_create(&agent.jobs, &err))
		return refuse(&err);
	return serve(&options, &agent);
}
