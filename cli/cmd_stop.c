/* gmig stop: Stop the guest's CPUs. */
#include "cli.h"
#include "commands.h"

int cmd_stop(int argc, char **argv)
{
	return cli_run_plain(argc, argv, "stop", "stopped");
}
