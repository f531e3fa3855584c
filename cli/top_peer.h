/*
 * One connection to a control socket (control/control.h) that never waits: the greeting and answers are taken as they come, events
 * are thrown away unread. One thread owns it.
 */
#ifndef CLI_TOP_PEER_H
#define CLI_TOP_PEER_H

#include <jansson.h>
#include <stdbool.h>
#include <sys/types.h>

struct top_peer;

/* -EAGAIN its queue is full; -ECONNREFUSED nobody listens; -EACCES, -EPERM it is somebody else's; others as connect(2). */
int top_peer_create(const char *path, struct top_peer **out);
void top_peer_destroy(struct top_peer *peer);
int top_peer_fd(const struct top_peer *peer);
/* By SO_PEERCRED. */
pid_t top_peer_pid(const struct top_peer *peer);
/* Has it greeted? */
bool top_peer_is_ready(const struct top_peer *peer);
/* Send a request; steals arguments. -EPIPE: it could not be sent as a whole, the connection is of no use any more. -ENOMEM. */
int top_peer_send(struct top_peer *peer, const char *command, json_t *arguments);
/*
 * Take what has come. 0: *message is an answer to the last request, a new reference, or NULL for anything else; call again. -EAGAIN:
 * nothing more for now. -EPIPE it has ended, -EPROTO it does not speak the protocol, -EMSGSIZE its line is too long.
 */
int top_peer_read(struct top_peer *peer, json_t **message);

#endif
