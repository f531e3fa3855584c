/* gmig pause-job: Let a migration rest. */
#include "cli.h"
#include "commands.h"

int cmd_pause_job(int argc, char **argv)
{
	return cli_run_job_verb(argc, argv, "job-pause");
}
