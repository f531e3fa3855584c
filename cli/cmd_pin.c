/* gmig pin: on which CPUs of the host a guest's vCPUs run. */
#include "../migrate/gmig_nodes.h"
#include "cli.h"
#include "commands.h"

#define LAST_VCPU 4095 /* the VMM knows how many there are */

static struct {
	const char *vcpu, *node, *cpus;
	bool any, automatic;
} pin;

static int ask(const struct cli_args *args, json_t *arguments)
{
	const struct cli_value vcpu = {"pin", "vcpu", NULL, pin.vcpu};
	const struct cli_value node = {"pin", "node", NULL, pin.node};
	int status;

	(void)args;
	if (!!pin.node + !!pin.cpus + pin.any + pin.automatic != 1)
		return cli_usage("pin", "one of --node, --cpus, --any and --auto is needed");
	status = cli_add_count(arguments, &vcpu, LAST_VCPU);
	if (status < 0)
		status = cli_add_count(arguments, &node, GMIG_MAX_NODES - 1);
	cli_add_text(arguments, "cpus", pin.cpus);
	cli_add_flag(arguments, "any", pin.any);
	cli_add_flag(arguments, "auto", pin.automatic);
	return status;
}

static void print_vcpus(FILE *rows, const json_t *answer)
{
	cli_threads_table(rows, json_object_get(answer, "vcpus"), NULL);
}

static void print_pinned(const struct cli_args *args, const json_t *answer)
{
	(void)args;
	cli_print_rows(print_vcpus, answer);
	if (json_object_get(answer, "refused"))
		printf("without CPUs %s: offline, or outside the VM's cpuset\n",
		       cli_text(answer, "refused"));
}

int cmd_pin(int argc, char **argv)
{
	const struct cli_option options[] = {
	    {.name = "vcpu",
	     .placeholder = "N",
	     .help = "this vCPU; default: all",
	     .text = &pin.vcpu},
	    {.name = "node",
	     .placeholder = "NODE",
	     .help = "the CPUs of this host node",
	     .text = &pin.node},
	    {.name = "cpus",
	     .placeholder = "LIST",
	     .help = "these CPUs of the host: 3 or 0,2-3",
	     .text = &pin.cpus},
	    {.name = "any",
	     .help = "all CPUs that the VM may use; it does not follow memory",
	     .flag = &pin.any},
	    {.name = "auto",
	     .help = "where the VM's rule has it: at its vnode's memory, which it follows",
	     .flag = &pin.automatic},
	    {0},
	};
	struct cli_query query = {.command = "pin-vcpu",
				  .args = {CLI_VM, .options = options,
					   .json_help = "print where all threads run as JSON"},
				  .ask = ask,
				  .print = print_pinned};

	pin.vcpu = pin.node = pin.cpus = NULL;
	pin.any = pin.automatic = false;
	return cli_run_query(argc, argv, &query);
}
