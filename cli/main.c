/* gmig: see and move the memory of running guests. */
#include "../control/finish.h"
#include "../control/standard_fds.h"
#include "cli.h"

#include <signal.h>

/*
 * A shell that runs us in a loop ends the loop only when it sees us end by the signal; for one that asks for a number it is 130, too.
 * What was to be printed has been printed.
 */
static void end_by_interrupt(void)
{
	signal(SIGINT, SIG_DFL);
	raise(SIGINT);
}

int main(int argc, char **argv)
{
	int status;

	if (standard_fds_fill())
		return 1;
	/* A reader of our output that goes away is an ordinary error, and no reason to die
	 * in mid-job. */
	signal(SIGPIPE, SIG_IGN);
	status = finish_stdout("gmig", cli_main(argc, argv));
	if (status == CLI_INTERRUPTED)
		end_by_interrupt();
	return status;
}
