/* gmig: see and move the memory of running guests. */
#include "cli.h"

#include <signal.h>
#include <stdlib.h>

int main(int argc, char **argv)
{
	int status;

	/* A reader of our output that goes away is an ordinary error, and no reason to die
	 * in mid-job. */
	signal(SIGPIPE, SIG_IGN);
	status = cli_main(argc, argv);
	/* A script that got half a result must not believe it. */
	if (fflush(stdout) || ferror(stdout)) {
		perror("gmig: cannot write the result");
		return status == CLI_OK ? CLI_FAILED : status;
	}
	return status;
}
