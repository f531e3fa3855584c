/* gmig: see and move the memory of running guests. */
#include "../control/finish.h"
#include "../control/standard_fds.h"
#include "cli.h"

#include <signal.h>

int main(int argc, char **argv)
{
	if (standard_fds_fill())
		return 1;
	/* A reader of our output that goes away is an ordinary error, and no reason to die
	 * in mid-job. */
	signal(SIGPIPE, SIG_IGN);
	return finish_stdout("gmig", cli_main(argc, argv));
}
