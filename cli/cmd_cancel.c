/* gmig cancel: End a migration. Does not wait for the end. */
#include "cli.h"
#include "commands.h"

int cmd_cancel(int argc, char **argv)
{
	return cli_run_job_verb(argc, argv, "job-cancel");
}
