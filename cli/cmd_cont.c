/* gmig cont: Let the guest's CPUs go on. */
#include "cli.h"
#include "commands.h"

int cmd_cont(int argc, char **argv)
{
	return cli_run_plain(argc, argv, "cont", "running");
}
