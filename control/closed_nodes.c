#include "closed_nodes.h"
#include "../migrate/core/shortage.h"
#include "../migrate/core/whole.h"
#include "control.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define FILE_NAME "closed-nodes"
#define STEP_MS	  10
#define LIST_MAX  8192 /* all 1,024 nodes one by one are 5 KiB */

const char *closed_nodes_system = "/run/gmig";
uid_t (*closed_nodes_user)(void) = geteuid;
unsigned int closed_nodes_wait_ms = 2000;

/* Not where root's login keeps its sockets: gmigd, and everybody else, look here. */
static const char *roots_directory(void)
{
	const char *other = getenv("GMIG_SYSTEM_DIR");

	return other && *other ? other : closed_nodes_system;
}

const char *closed_nodes_directory(unsigned int i)
{
	static _Thread_local char own[PATH_MAX];
	struct gmig_error err;

	if (!closed_nodes_user())
		return i ? NULL : roots_directory();
	if (i)
		return i == 1 ? closed_nodes_system : NULL;
	return control_socket_dir(own, sizeof(own), &err) ? NULL : own;
}

/* ---- Reading --------------------------------------------------------------------------------- */

static int parse(char *text, const char *path, struct gmig_node_set *closed, struct gmig_error *err)
{
	uint16_t nodes[GMIG_MAX_NODES];
	struct gmig_error why;
	int count;

	text[strcspn(text, "\n")] = '\0';
	if (!*text)
		return 0;
	count = gmig_node_list_parse(text, nodes, GMIG_MAX_NODES, &why);
	if (count < 0)
		return gmig_fail(err, -EIO, "%.160s is to have a list of nodes: %.80s", path,
				 why.text);
	for (int i = 0; i < count; i++)
		gmig_node_set_add(closed, nodes[i]);
	return 0;
}

/* Whoever else could write the file could keep memory off nodes, or have it on those that are to be taken out. */
static int check_owner(int fd, const char *path, struct gmig_error *err)
{
	struct stat st;

	if (fstat(fd, &st) || !S_ISREG(st.st_mode))
		return gmig_fail(err, -EIO, "%.160s is no file", path);
	if ((st.st_uid && st.st_uid != geteuid()) || (st.st_mode & (S_IWGRP | S_IWOTH)))
		return gmig_fail(err, -EPERM, "%.160s can be written by others: it is not believed",
				 path);
	return 0;
}

/*
 * EACCES. To a user who may not enter the directory the list is no news. Whoever sees the file, as a sandbox lets him (Landlock
 * stops open(2), not stat(2)), knows that there is a list and not what it says; one line feed closes nothing.
 */
static int refuse_unreadable(const char *path, struct gmig_error *err)
{
	struct stat st;

	if (lstat(path, &st))
		return is_shortage(errno) ? gmig_fail(err, -EIO, "cannot look at %.160s: %s", path,
						      strerror(errno))
					  : 0;
	if (S_ISREG(st.st_mode) && st.st_size <= 1)
		return 0;
	return gmig_fail(err, -EIO,
			 "cannot read %.160s: its mode, or a sandbox that is older than its "
			 "directory, is in the way; such a guest is to be started again",
			 path);
}

static int read_file(const char *directory, struct gmig_node_set *closed, struct gmig_error *err)
{
	char path[PATH_MAX], text[LIST_MAX + 1];
	ssize_t bytes;
	int fd, rc;

	if (snprintf(path, sizeof(path), "%s/" FILE_NAME, directory) >= (int)sizeof(path))
		return gmig_fail(err, -ENAMETOOLONG, "the path of " FILE_NAME " is too long");
	fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
	if (fd < 0 && (errno == ENOENT || errno == ENOTDIR))
		return 0;
	if (fd < 0 && errno == EACCES)
		return refuse_unreadable(path, err);
	if (fd < 0)
		return gmig_fail(err, -EIO, "cannot read %.160s: %s", path, strerror(errno));
	rc = check_owner(fd, path, err);
	bytes = rc ? 0 : read_whole(fd, text, sizeof(text) - 1);
	close(fd);
	if (!rc && (bytes < 0 || (size_t)bytes == sizeof(text) - 1))
		rc = gmig_fail(err, -EIO, "%.160s is too long, or cannot be read", path);
	if (rc)
		return rc;
	text[bytes] = '\0';
	return parse(text, path, closed, err);
}

int closed_nodes_read(struct gmig_node_set *closed, struct gmig_error *err)
{
	const char *own = closed_nodes_directory(0), *roots = closed_nodes_directory(1);
	int rc = 0;

	*closed = (struct gmig_node_set){{0}};
	if (own)
		rc = read_file(own, closed, err);
	if (!rc && roots && (!own || strcmp(own, roots) != 0))
		rc = read_file(roots, closed, err);
	return rc;
}

int closed_nodes_check(const uint16_t *nodes, unsigned int count, const char *what,
		       struct gmig_error *err)
{
	struct gmig_node_set closed;
	int rc = closed_nodes_read(&closed, err);

	for (unsigned int i = 0; i < count && !rc; i++)
		if (gmig_node_set_has(&closed, nodes[i]))
			rc = gmig_fail(
			    err, -EACCES,
			    "%s: host node %u is closed; gmig drain --node %u --undo opens it",
			    what, nodes[i], nodes[i]);
	return rc;
}

/* ---- Changing -------------------------------------------------------------------------------- */

static int write_file(int directory, const struct gmig_node_set *closed)
{
	char text[LIST_MAX];
	size_t length;
	int fd, rc = 0;

	gmig_node_set_print(closed, text, sizeof(text) - 1);
	strcat(text, "\n");
	length = strlen(text);
	unlinkat(directory, "." FILE_NAME, 0); /* of one who was killed here */
	fd = openat(directory, "." FILE_NAME, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW,
		    0644);
	if (fd < 0)
		return -errno;
	errno = 0;
	/* Whatever the umask is: others are to know. */
	if (fchmod(fd, 0644) || !write_whole(fd, text, length))
		rc = errno ? -errno : -ENOSPC;
	if (close(fd) && !rc)
		rc = -errno;
	if (!rc && renameat(directory, "." FILE_NAME, directory, FILE_NAME))
		rc = -errno;
	if (rc)
		unlinkat(directory, "." FILE_NAME, 0);
	return rc;
}

/* Under the directory's lock: two that change it at once both count. */
static int change(int directory, const char *path, const struct gmig_node_set *close_these,
		  const struct gmig_node_set *open_these, struct gmig_node_set *closed,
		  struct gmig_error *err)
{
	int rc;

	*closed = (struct gmig_node_set){{0}};
	rc = read_file(path, closed, err);
	if (rc)
		return rc;
	gmig_node_set_each (node, close_these)
		gmig_node_set_add(closed, node);
	gmig_node_set_minus(closed, open_these);
	rc = write_file(directory, closed);
	return rc ? gmig_fail(err, rc, "cannot write %.160s/" FILE_NAME ": %s", path, strerror(-rc))
		  : 0;
}

/* Root's list holds for everybody, so that everybody has to reach it; what else is there has modes of its own. */
static void let_all_enter(int directory)
{
	struct stat st;

	if (!fstat(directory, &st) && st.st_uid == geteuid())
		fchmod(directory, (st.st_mode & 07777) | S_IXGRP | S_IXOTH);
}

/* Whoever may read the directory can hold its lock: gmigd, which serves others in the meantime, waits for nobody without end. */
static int lock(int directory, const char *path, struct gmig_error *err)
{
	const struct timespec step = {.tv_nsec = STEP_MS * 1000000};

	for (unsigned int ms = 0; flock(directory, LOCK_EX | LOCK_NB); ms += STEP_MS) {
		if (errno != EWOULDBLOCK && errno != EINTR)
			return gmig_fail(err, -errno, "cannot lock the directory %.160s: %s", path,
					 strerror(errno));
		if (ms >= closed_nodes_wait_ms)
			return gmig_fail(err, -EBUSY,
					 "no node is closed or opened: another process has locked "
					 "the directory %.160s for %u ms",
					 path, closed_nodes_wait_ms);
		nanosleep(&step, NULL);
	}
	return 0;
}

int closed_nodes_change(const struct gmig_node_set *close_these,
			const struct gmig_node_set *open_these, struct gmig_node_set *closed,
			struct gmig_error *err)
{
	struct gmig_node_set both;
	const char *own = closed_nodes_directory(0);
	char unused[PATH_MAX];
	int directory, rc = 0;

	if (!own)
		return control_socket_dir(unused, sizeof(unused), err);
	if (mkdir(own, 0700) && errno != EEXIST)
		return gmig_fail(err, -errno, "cannot make the directory %.160s: %s", own,
				 strerror(errno));
	directory = open(own, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (directory >= 0 && !closed_nodes_user())
		let_all_enter(directory);
	rc = directory < 0 ? gmig_fail(err, -errno, "cannot open the directory %.160s: %s", own,
				       strerror(errno))
			   : lock(directory, own, err);
	if (!rc)
		rc = change(directory, own, close_these, open_these, closed, err);
	if (directory >= 0)
		close(directory);
	if (!rc)
		rc = closed_nodes_read(&both, err);
	if (rc)
		return rc;
	*closed = both;
	gmig_node_set_and(&both, open_these);
	if (!gmig_node_set_empty(&both))
		return gmig_fail(err, -EACCES, "node %u is closed by root, for everybody",
				 gmig_node_set_next(&both, 0));
	return 0;
}
