/* gmig doctor: does migration work on this host, and if not, what to do. */
#include "cli.h"
#include "commands.h"
#include "doctor.h"

#include <linux/landlock.h>
#include <pwd.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/utsname.h>
#include <unistd.h>

static void topology_put(struct gmig_topology **topology)
{
	gmig_topology_put(*topology);
}

static void print_report(const json_t *report)
{
	const json_t *checks = json_object_get(report, "checks");
	size_t i;
	json_t *check;

	json_array_foreach (checks, i, check) {
		const char *state = cli_text(check, "state");

		printf("%-5s %-14s %s\n", strcmp(state, "fail") ? state : "FAIL",
		       cli_text(check, "name"), cli_text(check, "text"));
		if (json_object_get(check, "todo"))
			printf("%20s -> %s\n", "", cli_text(check, "todo"));
	}
	puts(json_is_true(json_object_get(report, "ok"))
		 ? "migration works here"
		 : "migration of gmig-vmm's guests does not work here");
}

int cmd_doctor(int argc, char **argv)
{
	struct cli_args args = {.json_help = "print the findings as JSON"};
	__attribute__((cleanup(topology_put))) struct gmig_topology *topology = NULL;
	struct gmig_features features;
	struct gmig_error err = {0};
	struct utsname name;
	const struct passwd *user = getpwuid(geteuid());
	const char *unsafe = getenv("GMIG_UNSAFE_KERNEL");
	struct doctor_host host = {.root = "", .user = user ? user->pw_name : "USER"};
	CLI_JSON report = NULL;
	int status = cli_parse(argc, argv, &args);

	if (status >= 0)
		return status;
	if (gmig_topology_create(0, &topology, &err))
		return cli_fail(args.json, &err);
	uname(&name);
	gmig_probe_features(&features);
	host.release = name.release;
	host.features = &features;
	host.topology = topology;
	host.landlock =
	    (int)syscall(SYS_landlock_create_ruleset, NULL, 0, LANDLOCK_CREATE_RULESET_VERSION);
	host.unsafe_kernel = unsafe && !strcmp(unsafe, "1");
	report = doctor_examine(&host);
	if (args.json)
		cli_print_json(report);
	else
		print_report(report);
	return json_is_true(json_object_get(report, "ok")) ? CLI_OK : CLI_FAILED;
}
