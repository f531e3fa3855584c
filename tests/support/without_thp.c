/*
 * Runs COMMAND as on a host that gives no transparent huge pages: PR_SET_THP_DISABLE of prctl(2), which children inherit, and which
 * the engine asks about. Unlike a host that says never, the kernel then refuses MADV_COLLAPSE, too; the engine never asks for that
 * where it has no huge pages. What cases skip for that is as meant, and says so: suite.c.
 * usage: without_thp COMMAND [ARG..]
 */
#include <stdio.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <unistd.h>

int main(int argc, char **argv)
{
	if (argc < 2) {
		fprintf(stderr, "usage: without_thp COMMAND [ARG..]\n");
		return 2;
	}
	if (prctl(PR_SET_THP_DISABLE, 1, 0, 0, 0)) {
		perror("without_thp");
		return 77;
	}
	setenv("GMIG_TEST_WITHOUT_THP", "1", 1);
	execvp(argv[1], argv + 1);
	perror(argv[1]);
	return 127;
}
