/* The first thing main() does: no file of ours becomes somebody's stdin, stdout or stderr. */
#ifndef CONTROL_STANDARD_FDS_H
#define CONTROL_STANDARD_FDS_H

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <unistd.h>

/*
 * A program may be started with descriptors 0 to 2 closed. The next files that it opens would get these numbers: what is
 * printed, logged or said by a guest would go into them. Each gets /dev/null instead, opened the wrong way round, so that reading
 * and writing fail as on a closed one. Before anything else is opened. -errno of open(2).
 */
static inline int standard_fds_fill(void)
{
	for (int fd = STDIN_FILENO; fd <= STDERR_FILENO; fd++)
		if (fcntl(fd, F_GETFD) < 0 &&
		    open("/dev/null", fd == STDIN_FILENO ? O_WRONLY : O_RDONLY) < 0)
			return -errno;
	return 0;
}

#endif
