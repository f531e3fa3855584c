/*
 * A UNIX socket that is listened on, in the file system. Of two programs that start at once on the
 * same path one gets it, the file has mode 0600 from its first moment, and only the file that was
 * made is removed.
 */
#ifndef CONTROL_LISTEN_H
#define CONTROL_LISTEN_H

#include "../migrate/gmig.h"

#include <sys/stat.h>
#include <sys/un.h>

struct control_socket {
	int fd;
	dev_t device; /* of the file, so that only our own is removed */
	ino_t inode;
	char path[sizeof(((struct sockaddr_un *)0)->sun_path)];
};

/* The directory of `path`, mode 0700 where it is missing, as all above it. */
int control_make_directory(const char *path, char *directory, size_t bytes, struct gmig_error *err);
/* Non-blocking listener. -EADDRINUSE somebody lives there, -EEXIST no socket, -ENAMETOOLONG,
 * -EBUSY, .. */
int control_listen(const char *path, struct control_socket *out, struct gmig_error *err);
/* Close, and remove the file if it is still the one that control_listen made. */
void control_unlisten(struct control_socket *sock);
/* Fill a UNIX address. -ENAMETOOLONG, -EINVAL empty. */
int control_address(const char *path, struct sockaddr_un *address, struct gmig_error *err);

#endif
