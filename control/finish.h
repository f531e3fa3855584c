/* The last thing main() does: was all that was printed written? */
#ifndef CONTROL_FINISH_H
#define CONTROL_FINISH_H

#include <stdio.h>

/*
 * Flushes stdout. Returns status, but 1 for 0 when stdout did not take everything, with the reason
 * on stderr: a script that got half of an output must not believe it.
 */
static inline int finish_stdout(const char *program, int status)
{
	if (!fflush(stdout) && !ferror(stdout))
		return status;
	fprintf(stderr, "%s: cannot write the result: %m\n", program);
	return status ? status : 1;
}

#endif
