/*
 * What the files of control/ share. No threads here: dispatch and listen work on their arguments
 * alone.
 */
#ifndef CONTROL_INTERNAL_H
#define CONTROL_INTERNAL_H

#include "control.h"
#include "listen.h"

#define CONTROL_CLEANUP(function) __attribute__((cleanup(function)))

static inline void control_json_put(json_t **json)
{
	json_decref(*json);
}

/* ---- dispatch.c: one line in, one answer out ------------------------------------------------- */

#define CONTROL_TABLES 2

struct control_dispatch {
	struct control_table tables[CONTROL_TABLES]; /* commands NULL: empty */
	int (*admit)(void *opaque, const char *command, struct gmig_error *err); /* or NULL */
	void *opaque;								 /* for it */
};

/*
 * Decode the line, check the arguments against the command's table, run it. Always an answer, a new
 * reference; NULL only when there is no memory. Blocks as long as the command does.
 */
json_t *control_dispatch(const struct control_dispatch *dispatch, const char *line, size_t length);
/* json on one line with its LF, from malloc; *bytes its length. NULL: no memory. */
char *control_line_of(const json_t *json, size_t *bytes);

/* ---- peer.c: who may talk to a server -------------------------------------------------------- */

/* 0: root, our own uid, or a member of *group (NULL: no group). -EPERM and why not. */
int control_check_client(int fd, const gid_t *group, struct gmig_error *err);
/* The command that this thread runs next is asked for over this socket; -1: by nobody else. */
void control_peer_asks(int fd);
/* Mode 0660 and the group; a directory of ours that only we could enter may be entered by all. */
int control_share_socket(const struct control_socket *sock, gid_t group, struct gmig_error *err);

#endif
