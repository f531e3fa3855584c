/* Tell a thread that it has something to do, by an eventfd(2). Safe in signal handlers; leaves errno alone. */
#ifndef GMIG_WAKE_H
#define GMIG_WAKE_H

#include <errno.h>
#include <stdint.h>
#include <unistd.h>

/*
 * A full counter wakes as well. Nothing else should fail, and whoever is not woken may be waited for without end: so it is
 * done again.
 */
static inline void wake_by(int fd)
{
	const uint64_t one = 1;
	int error = errno;

	for (int i = 0; i < 100; i++)
		if (write(fd, &one, sizeof(one)) == sizeof(one))
			break;
	errno = error;
}

#endif
