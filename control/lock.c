/*
 * A guest's name, taken as its VMM starts: NAME.lock beside NAME.sock, locked by flock(2) for as
 * long as the VMM lives. So two VMMs of one name cannot start at once, and a client can tell a guest
 * whose socket is not there yet from one that does not exist. A file that a killed VMM left is not
 * locked, and is taken over.
 */
#include "../migrate/core/shortage.h"
#include "internal.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <string.h>
#include <sys/file.h>
#include <unistd.h>

#define LOCK_SUFFIX   ".lock"
#define SOCKET_SUFFIX ".sock"

/* Of the socket's path. False: it does not end as those of guests do. */
static bool lock_path(const char *socket_path, char *path, size_t bytes)
{
	size_t length = strlen(socket_path), suffix = strlen(SOCKET_SUFFIX);

	if (length < suffix || length >= bytes ||
	    strcmp(socket_path + length - suffix, SOCKET_SUFFIX) != 0)
		return false;
	snprintf(path, bytes, "%.*s" LOCK_SUFFIX, (int)(length - suffix), socket_path);
	return true;
}

bool control_is_starting(const char *socket_path)
{
	char path[PATH_MAX];
	bool locked;
	int fd;

	if (!lock_path(socket_path, path, sizeof(path)))
		return false;
	fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
	if (fd < 0)
		return is_shortage(errno); /* whoever waits for it asks again */
	/* Shared, and given back at once: a VMM that starts in this moment tries again. */
	locked = flock(fd, LOCK_SH | LOCK_NB) && errno == EWOULDBLOCK;
	close(fd);
	return locked;
}

/* Clients hold it for microseconds: see control_is_starting. -EADDRINUSE: it stays locked; else -errno. */
static int lock(int fd)
{
	for (int i = 0; i < 20; i++) {
		if (!flock(fd, LOCK_EX | LOCK_NB))
			return 0;
		if (errno != EWOULDBLOCK && errno != EINTR)
			return -errno;
		usleep(5000);
	}
	return -EADDRINUSE;
}

/* A VMM that ends removes its file: is the one that we have locked still the one of that name? 1, 0, or -errno: nobody can tell. */
static int is_current(int fd, const char *path)
{
	struct stat ours, there;

	if (fstat(fd, &ours))
		return -errno;
	if (lstat(path, &there))
		return errno == ENOENT ? 0 : -errno;
	return ours.st_dev == there.st_dev && ours.st_ino == there.st_ino;
}

int control_lock_name(const char *name, struct gmig_error *err)
{
	char socket_path[PATH_MAX], path[PATH_MAX], directory[PATH_MAX];
	int fd, rc = control_socket_path(name, socket_path, sizeof(socket_path), err);

	if (!rc)
		rc = control_make_directory(socket_path, directory, sizeof(directory), err);
	if (rc)
		return rc;
	lock_path(socket_path, path, sizeof(path));
	for (;;) {
		fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
		if (fd < 0)
			return gmig_fail(err, -errno, "cannot open '%.200s': %s", path,
					 strerror(errno));
		rc = lock(fd);
		if (rc) {
			close(fd);
			return rc == -EADDRINUSE
				   ? gmig_fail(err, rc,
					       "a VM named '%.64s' is running or starting: %.160s "
					       "is locked",
					       name, path)
				   : gmig_fail(err, rc, "cannot lock '%.200s': %s", path,
					       strerror(-rc));
		}
		rc = is_current(fd, path);
		if (rc > 0)
			return fd;
		close(fd);
		if (rc)
			return gmig_fail(err, rc, "cannot look at '%.200s': %s", path,
					 strerror(-rc));
	}
}

void control_unlock_name(const char *name, int fd)
{
	char socket_path[PATH_MAX], path[PATH_MAX];

	if (fd < 0)
		return;
	/* Before it is unlocked: nobody has taken it over. */
	if (!control_socket_path(name, socket_path, sizeof(socket_path), NULL) &&
	    lock_path(socket_path, path, sizeof(path)) && is_current(fd, path) > 0)
		unlink(path);
	close(fd);
}
