/*
 * How a server takes its place in the file system.
 *
 * All of it happens under flock() of the directory, so that of two servers that start at once on a
 * stale socket only one removes it: the other sees a living one. The mode comes from fchmod()
 * before bind(): the file is never more open than 0600, and the process's umask is left alone
 * (other threads create files, too).
 */
#include "internal.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define LISTEN_BACKLOG	    64
#define LISTEN_LOCK_TRIES   200
#define LISTEN_LOCK_WAIT_NS 10000000

static void close_fd(int *fd)
{
	if (*fd >= 0)
		close(*fd);
}

int control_address(const char *path, struct sockaddr_un *address, struct gmig_error *err)
{
	size_t length = strlen(path);

	if (!length)
		return gmig_fail(err, -EINVAL, "the socket's path is empty");
	if (length >= sizeof(address->sun_path))
		return gmig_fail(
		    err, -ENAMETOOLONG,
		    "a socket's path has at most %zu bytes, this one has %zu: '%.200s'",
		    sizeof(address->sun_path) - 1, length, path);
	memset(address, 0, sizeof(*address));
	address->sun_family = AF_UNIX;
	memcpy(address->sun_path, path, length);
	return 0;
}

/* The caller closes it from now on. */
static int keep_fd(int *fd)
{
	int kept = *fd;

	*fd = -1;
	return kept;
}

/* mkdir -p, mode 0700 for what is missing. */
static int make_directories(char *directory, struct gmig_error *err)
{
	for (char *slash = directory + 1;; slash++) {
		char kept = *slash;

		if (kept != '/' && kept != '\0')
			continue;
		*slash = '\0';
		if (mkdir(directory, 0700) && errno != EEXIST)
			return gmig_fail(err, -errno, "cannot make the directory '%.200s': %s",
					 directory, strerror(errno));
		*slash = kept;
		if (!kept)
			return 0;
	}
}

/*
 * Whoever may write to the directory can put a socket of his own in the place of a guest's: clients would take him for it. The
 * sticky bit, as of /tmp, prevents that.
 */
static int check_directory(const char *directory, struct gmig_error *err)
{
	struct stat st;

	if (stat(directory, &st))
		return gmig_fail(err, -errno, "cannot look at the directory '%.200s': %s",
				 directory, strerror(errno));
	if (st.st_uid != geteuid() && st.st_uid != 0)
		return gmig_fail(err, -EPERM,
				 "the directory '%.120s' belongs to uid %u, who could put another "
				 "socket in the place of ours",
				 directory, st.st_uid);
	if (st.st_mode & (S_IWGRP | S_IWOTH) && !(st.st_mode & S_ISVTX))
		return gmig_fail(
		    err, -EPERM,
		    "others may write to the directory '%.120s', and put another socket "
		    "in the place of ours: chmod go-w",
		    directory);
	return 0;
}

int control_make_directory(const char *path, char *directory, size_t bytes, struct gmig_error *err)
{
	const char *slash = strrchr(path, '/');
	int rc;

	if (!slash || slash == path)
		snprintf(directory, bytes, "%s", slash ? "/" : ".");
	else
		snprintf(directory, bytes, "%.*s", (int)(slash - path), path);
	rc = make_directories(directory, err);
	return rc ? rc : check_directory(directory, err);
}

/* The directory of `path`, made if need be, open and locked. */
static int lock_directory(const char *path, struct gmig_error *err)
{
	char directory[sizeof(((struct sockaddr_un *)0)->sun_path)];
	int fd, rc = control_make_directory(path, directory, sizeof(directory), err);

	if (rc)
		return rc;
	fd = open(directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0)
		return gmig_fail(err, -errno, "cannot open the directory '%s': %s", directory,
				 strerror(errno));
	for (int i = 0; flock(fd, LOCK_EX | LOCK_NB); i++) {
		const struct timespec wait = {.tv_nsec = LISTEN_LOCK_WAIT_NS};

		if (errno != EWOULDBLOCK && errno != EINTR) {
			rc = gmig_fail(err, -errno, "cannot lock the directory '%s': %s", directory,
				       strerror(errno));
			close(fd);
			return rc;
		}
		if (i == LISTEN_LOCK_TRIES) {
			close(fd);
			return gmig_fail(err, -EBUSY,
					 "the directory '%s' stays locked by another program",
					 directory);
		}
		nanosleep(&wait, NULL);
	}
	return fd;
}

/* -EADDRINUSE when a server accepts at the address, 0 when nobody does. */
static int test_living(const struct sockaddr_un *address, struct gmig_error *err)
{
	int fd CONTROL_CLEANUP(close_fd) =
	    socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

	if (fd < 0)
		return gmig_fail(err, -errno, "cannot create a socket: %s", strerror(errno));
	/* EAGAIN: it listens, its queue is full. */
	if (!connect(fd, (const struct sockaddr *)address, sizeof(*address)) || errno == EAGAIN)
		return gmig_fail(err, -EADDRINUSE, "a server lives at '%s' already",
				 address->sun_path);
	if (errno == ECONNREFUSED)
		return 0;
	return gmig_fail(err, -errno, "cannot tell whether a server lives at '%s': %s",
			 address->sun_path, strerror(errno));
}

/* Under the directory's lock: make room at the address. */
static int remove_stale(const struct sockaddr_un *address, struct gmig_error *err)
{
	struct stat st;
	int rc;

	if (lstat(address->sun_path, &st))
		return errno == ENOENT ? 0
				       : gmig_fail(err, -errno, "cannot look at '%s': %s",
						   address->sun_path, strerror(errno));
	if (!S_ISSOCK(st.st_mode))
		return gmig_fail(err, -EEXIST, "'%s' is there and is not a socket",
				 address->sun_path);
	rc = test_living(address, err);
	if (rc)
		return rc;
	if (unlink(address->sun_path))
		return gmig_fail(err, -errno, "cannot remove the stale socket '%s': %s",
				 address->sun_path, strerror(errno));
	return 0;
}

static int bind_and_listen(int fd, const struct sockaddr_un *address, struct stat *st,
			   struct gmig_error *err)
{
	if (fchmod(fd, 0600))
		return gmig_fail(err, -errno, "cannot set the socket's mode: %s", strerror(errno));
	if (bind(fd, (const struct sockaddr *)address, sizeof(*address)))
		return gmig_fail(err, -errno, "cannot bind '%s': %s", address->sun_path,
				 strerror(errno));
	if (lstat(address->sun_path, st) || listen(fd, LISTEN_BACKLOG)) {
		int rc = gmig_fail(err, -errno, "cannot listen at '%s': %s", address->sun_path,
				   strerror(errno));

		unlink(address->sun_path);
		return rc;
	}
	return 0;
}

int control_listen(const char *path, struct control_socket *out, struct gmig_error *err)
{
	int lock CONTROL_CLEANUP(close_fd) = -1;
	int fd CONTROL_CLEANUP(close_fd) = -1;
	struct sockaddr_un address;
	struct stat st;
	int rc;

	rc = control_address(path, &address, err);
	if (rc)
		return rc;
	lock = lock_directory(path, err);
	if (lock < 0)
		return lock;
	rc = remove_stale(&address, err);
	if (rc)
		return rc;
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0)
		return gmig_fail(err, -errno, "cannot create a socket: %s", strerror(errno));
	rc = bind_and_listen(fd, &address, &st, err);
	if (rc)
		return rc;
	*out = (struct control_socket){.fd = keep_fd(&fd), .device = st.st_dev, .inode = st.st_ino};
	memcpy(out->path, address.sun_path, sizeof(out->path));
	return 0;
}

void control_unlisten(struct control_socket *sock)
{
	int lock CONTROL_CLEANUP(close_fd) = lock_directory(sock->path, NULL);
	struct stat st;

	(void)lock; /* held until we return */
	/* Whoever takes the place over sees a dead listener and removes the file: under the lock it
	 * is his or ours. */
	close(sock->fd);
	sock->fd = -1;
	if (!lstat(sock->path, &st) && st.st_dev == sock->device && st.st_ino == sock->inode)
		unlink(sock->path);
}
