#include "fleet_lock.h"

#include "../control/control.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

/* Who has it, for people. */
static int say_busy(int fd, struct gmig_error *err)
{
	char text[32] = "";
	ssize_t bytes = pread(fd, text, sizeof(text) - 1, 0);

	text[bytes > 0 ? bytes : 0] = '\0';
	return gmig_fail(err, -EBUSY,
			 "another gmig rebalance or drain runs here (process %ld): two plans would "
			 "fill the same memory",
			 strtol(text, NULL, 10));
}

int fleet_lock(struct gmig_error *err)
{
	char directory[PATH_MAX], path[PATH_MAX + 16];
	int fd, rc = control_socket_dir(directory, sizeof(directory), err);

	if (rc)
		return rc;
	if (mkdir(directory, 0700) && errno != EEXIST)
		return gmig_fail(err, -errno, "cannot make the directory %.160s: %s", directory,
				 strerror(errno));
	snprintf(path, sizeof(path), "%s/plan.lock", directory);
	fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (fd < 0)
		return gmig_fail(err, -errno, "cannot open %.160s: %s", path, strerror(errno));
	if (flock(fd, LOCK_EX | LOCK_NB)) {
		rc = say_busy(fd, err);
		close(fd);
		return rc;
	}
	if (ftruncate(fd, 0) || dprintf(fd, "%ld\n", (long)getpid()) < 0)
		return fd; /* locked all the same */
	return fd;
}
