/* gmig resume-job: Let a paused migration go on. */
#include "cli.h"
#include "commands.h"

int cmd_resume_job(int argc, char **argv)
{
	return cli_run_job_verb(argc, argv, "job-resume");
}
