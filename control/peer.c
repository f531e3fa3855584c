/* Who may talk to a server, and the socket that is shared with a group. See internal.h. */
#include "../migrate/core/shortage.h"
#include "internal.h"

#include <errno.h>
#include <linux/capability.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#ifndef SO_PEERGROUPS
#define SO_PEERGROUPS 59 /* Linux 4.13 */
#endif

#define MAX_GROUPS 65536 /* NGROUPS_MAX */

/*
 * Its supplementary groups, as they were when it connected: its own, not what a file says of its user. 0 and *found, or -ENOMEM. A
 * kernel that does not tell them tells of no member.
 */
static int find_member(int fd, gid_t group, bool *found)
{
	socklen_t bytes = MAX_GROUPS * sizeof(gid_t);
	gid_t *groups = malloc(bytes);

	*found = false;
	if (!groups)
		return -ENOMEM;
	if (!getsockopt(fd, SOL_SOCKET, SO_PEERGROUPS, groups, &bytes))
		for (size_t i = 0; i < bytes / sizeof(gid_t) && !*found; i++)
			*found = groups[i] == group;
	free(groups);
	return 0;
}

int control_check_client(int fd, const gid_t *group, struct gmig_error *err)
{
	struct ucred peer;
	socklen_t bytes = sizeof(peer);
	bool member = false;

	if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &bytes))
		return gmig_fail(err, -errno, "the peer's uid cannot be told");
	if (peer.uid == 0 || peer.uid == geteuid())
		return 0;
	if (group && peer.gid == *group)
		return 0;
	if (group && find_member(fd, *group, &member))
		return gmig_fail(err, -ENOMEM, "no memory for the groups of uid %u", peer.uid);
	if (member)
		return 0;
	if (group)
		return gmig_fail(err, -EPERM,
				 "uid %u is not in group %u, which may control guests here",
				 peer.uid, *group);
	return gmig_fail(err, -EPERM, "uid %u may not control a guest of uid %u", peer.uid,
			 geteuid());
}

static _Thread_local int asking = -1;

void control_peer_asks(int fd)
{
	asking = fd;
}

/* -errno; -EIO: it says nothing. */
static int read_ids(const char *path, char *ids, size_t bytes)
{
	FILE *file = fopen(path, "re");
	size_t got;
	int ret = 0;

	if (!file)
		return -errno;
	got = fread(ids, 1, bytes - 1, file);
	if (ferror(file) || !got)
		ret = -EIO;
	(void)fclose(file);
	ids[got] = '\0';
	return ret;
}

/*
 * By the ids of both: in a namespace within ours they differ, unless a privileged process made it. A kernel without user
 * namespaces has no such files. Whatever else keeps them from being read is no yes.
 */
static bool is_in_our_namespace(pid_t pid)
{
	char path[40], ours[1024], theirs[1024];
	int ret = read_ids("/proc/self/uid_map", ours, sizeof(ours));

	snprintf(path, sizeof(path), "/proc/%d/uid_map", (int)pid);
	if (ret)
		return ret == -ENOENT;
	return !read_ids(path, theirs, sizeof(theirs)) && !strcmp(ours, theirs);
}

/*
 * CapEff of /proc/PID/status; 0 and *capabilities, or -errno. None, if it does not run as that user any more: somebody who has
 * connected may go on as a program of root's (setuid), and leave the connection to another process.
 */
static int read_capabilities(pid_t pid, uid_t uid, unsigned long long *capabilities)
{
	unsigned int real, effective, saved;
	bool is_user = false;
	char path[40], line[128];
	int ret = -ENODATA;
	FILE *file;

	snprintf(path, sizeof(path), "/proc/%d/status", (int)pid);
	file = fopen(path, "re");
	if (!file)
		return -errno;
	while (ret && fgets(line, sizeof(line), file)) {
		if (sscanf(line, "Uid: %u %u %u", &real, &effective, &saved) == 3)
			is_user = real == uid && effective == uid && saved == uid;
		if (!strncmp(line, "CapEff:", 7)) {
			*capabilities = is_user ? strtoull(line + 7, NULL, 16) : 0;
			ret = 0;
		}
	}
	if (ret && ferror(file))
		ret = -errno;
	(void)fclose(file);
	return ret;
}

static int find_peer(struct ucred *peer)
{
	socklen_t bytes = sizeof(*peer);

	*peer = (struct ucred){.pid = getpid(), .uid = geteuid()};
	return asking >= 0 ? getsockopt(asking, SOL_SOCKET, SO_PEERCRED, peer, &bytes) : 0;
}

void control_peer(pid_t *pid, uid_t *uid)
{
	struct ucred peer;

	if (find_peer(&peer))
		peer = (struct ucred){.pid = 0, .uid = (uid_t)-1};
	*pid = peer.pid;
	*uid = peer.uid;
}

/*
 * Its process may have ended, and its number may be another's by now: that one is of this host, too, and the answer late. Where
 * status is not to be had at all, its uid decides: in a sandbox, which has no other process's files, with hidepid, and of a peer
 * outside of our pid namespace or one that has ended. It is the uid in our namespace, so that nobody is root here by making one of his
 * own. Where status is only not to be read now, nobody is.
 */
static bool peer_has(unsigned int capability)
{
	unsigned long long capabilities = 0;
	struct ucred peer;
	int ret;

	if (find_peer(&peer))
		return false;
	ret = read_capabilities(peer.pid, peer.uid, &capabilities);
	if (ret)
		return peer.uid == 0 && !is_shortage(ret);
	return capabilities >> capability & 1 && is_in_our_namespace(peer.pid);
}

bool control_peer_is_privileged(void)
{
	return peer_has(CAP_SYS_NICE);
}

bool control_peer_is_administrator(void)
{
	return peer_has(CAP_SYS_ADMIN);
}

int control_share_socket(const struct control_socket *sock, gid_t group, struct gmig_error *err)
{
	char directory[sizeof(sock->path)];
	char *slash;
	struct stat st;

	snprintf(directory, sizeof(directory), "%s", sock->path);
	slash = strrchr(directory, '/');
	if (slash && slash != directory) {
		*slash = '\0';
		/* As control_make_directory() makes it. To enter is enough: names of others' sockets are not for all to read. */
		if (!stat(directory, &st) && st.st_uid == geteuid() &&
		    (st.st_mode & 0777) == 0700 && chmod(directory, 0711))
			return gmig_fail(err, -errno, "cannot open the directory '%.100s': %s",
					 directory, strerror(errno));
	}
	if (lchown(sock->path, (uid_t)-1, group) || chmod(sock->path, 0660))
		return gmig_fail(err, -errno, "cannot give '%.100s' to group %u: %s", sock->path,
				 group, strerror(errno));
	return 0;
}
