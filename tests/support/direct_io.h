/* Files that are read and written past the page cache. */
#ifndef TEST_DIRECT_IO_H
#define TEST_DIRECT_IO_H

#include <fcntl.h>
#include <stdbool.h>
#include <stdlib.h>
#include <unistd.h>

/* Whether this directory's file system has O_DIRECT. */
static inline bool has_direct(void)
{
	char path[] = "direct-XXXXXX";
	int fd = mkostemp(path, O_DIRECT);

	if (fd >= 0)
		close(fd);
	unlink(path);
	return fd >= 0;
}

#endif
