/* gmig pin: on which CPUs of the host a guest's vCPUs run. */
#include "../migrate/gmig_nodes.h"
#include "cli.h"
#include "commands.h"
#include "units.h"

#define LAST_VCPU 4095 /* the VMM knows how many there are */

static struct {
	const char *vcpu, *node, *cpus;
	bool any, automatic;
} pin;

static int add_number(json_t *arguments, const char *name, const char *text, uint64_t max)
{
	struct gmig_error err = {0};
	uint64_t value;

	if (!text)
		return -1;
	if (units_parse_count(text, max, &value, &err))
		return cli_usage("pin", "--%s: %s", name, err.text);
	json_object_set_new(arguments, name, json_integer((json_int_t)value));
	return -1;
}

static int ask(const struct cli_args *args, json_t *arguments)
{
	int status;

	(void)args;
	if (!!pin.node + !!pin.cpus + pin.any + pin.automatic != 1)
		return cli_usage("pin", "one of --node, --cpus, --any and --auto is needed");
	status = add_number(arguments, "vcpu", pin.vcpu, LAST_VCPU);
	if (status < 0)
		status = add_number(arguments, "node", pin.node, GMIG_MAX_NODES - 1);
	if (pin.cpus)
		json_object_set_new(arguments, "cpus", json_string(pin.cpus));
	if (pin.any)
		json_object_set_new(arguments, "any", json_true());
	if (pin.automatic)
		json_object_set_new(arguments, "auto", json_true());
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
