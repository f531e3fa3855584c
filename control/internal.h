/*
 * What the files of control/ share. No threads here: dispatch and listen work on their arguments
 * alone.
 */
#ifndef CONTROL_INTERNAL_H
#define CONTROL_INTERNAL_H

#include "control.h"

#include <sys/stat.h>
#include <sys/un.h>

#define CONTROL_CLEANUP(function) __attribute__((cleanup(function)))

static inline void control_json_put(json_t **json)
{
	json_decref(*json);
}

/* ---- dispatch.c: one line in, one answer out ------------------------------------------------- */

#define CONTROL_TABLES 2

struct control_dispatch {
	struct control_table tables[CONTROL_TABLES]; /* commands NULL: empty */
};

/*
 * Decode the line, check the arguments against the command's table, run it. Always an answer, a new
 * reference; NULL only when there is no memory. Blocks as long as the command does.
 */
json_t *control_dispatch(const struct control_dispatch *dispatch, const char *line, size_t length);
/* json on one line with its LF, from malloc; *bytes its length. NULL: no memory. */
char *control_line_of(const json_t *json, size_t *bytes);

/* ---- listen.c: the socket in the file system ------------------------------------------------- */

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
