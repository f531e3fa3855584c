#include "fleet_lock.h"

#include "../control/closed_nodes.h"
#include "../control/control.h"
#include "../migrate/core/whole.h"
#include "daemon.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

/* Who has it, for people. Others may write to the file: what is not the number of a process is not shown. */
static int say_busy(int fd, struct gmig_error *err)
{
	char text[32] = "", who[48] = "";
	ssize_t bytes = pread_whole(fd, text, sizeof(text) - 1, 0);
	size_t digits;

	text[bytes > 0 ? bytes : 0] = '\0';
	digits = strspn(text, "0123456789");
	if (digits && digits < 10 && !strcmp(text + digits, "\n"))
		snprintf(who, sizeof(who), " (process %.*s)", (int)digits, text);
	return gmig_fail(err, -EBUSY,
			 "another gmig rebalance or drain runs here%s: two plans would fill the "
			 "same memory; wait until it has ended",
			 who);
}

/* The descriptor, or -errno. */
static int lock_file(const char *path, int flags, struct gmig_error *err)
{
	int fd = open(path, O_RDWR | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK | flags, 0600), rc;

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

static int lock_own(struct gmig_error *err)
{
	const char *directory = closed_nodes_directory(0);
	char path[PATH_MAX + 16];

	if (!directory)
		return control_socket_dir(path, sizeof(path), err);
	if (mkdir(directory, 0700) && errno != EEXIST)
		return gmig_fail(err, -errno, "cannot make the directory %.160s: %s", directory,
				 strerror(errno));
	snprintf(path, sizeof(path), "%s/plan.lock", directory);
	return lock_file(path, O_CREAT, err);
}

/* gmigd has made it. -ENOENT: none has run; -EACCES: it does not serve this user. */
static int lock_gmigd(struct gmig_error *err)
{
	const char *socket = cli_daemon_socket(), *slash = strrchr(socket, '/');
	char path[PATH_MAX];

	if (!slash || snprintf(path, sizeof(path), "%.*s/" CONTROL_PLANS_LOCK,
			       (int)(slash - socket), socket) >= (int)sizeof(path))
		return -ENOENT;
	return lock_file(path, 0, err);
}

int fleet_lock(struct fleet_lock *lock, struct gmig_error *err)
{
	int rc;

	lock->own = lock_own(err);
	lock->gmigd = -1;
	if (lock->own < 0 && lock->own != -ENOENT)
		return lock->own;
	lock->gmigd = lock_gmigd(err);
	if (lock->gmigd >= 0 || lock->gmigd == -ENOENT || lock->gmigd == -EACCES)
		return 0;
	rc = lock->gmigd;
	fleet_unlock(lock);
	return rc;
}

void fleet_unlock(struct fleet_lock *lock)
{
	if (lock->own >= 0)
		close(lock->own);
	if (lock->gmigd >= 0)
		close(lock->gmigd);
	lock->own = lock->gmigd = -1;
}
