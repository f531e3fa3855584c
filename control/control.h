/*
 * The control socket: QMP's shapes over a UNIX socket, strictly one JSON object a line. Server
 * (vmm, gmigd) and client (cli, bench, tests).
 *
 *   server -> {"QMP": {"version": {..}, "capabilities": []}}          greeting, once
 *   client -> {"execute": NAME, "arguments": {..}, "id": ANY}
 *   server -> {"return": .., "id": ANY}
 *          or {"error": {"class": "GenericError", "desc": "..", "errno": "EPERM"}, "id": ANY}
 *   server -> {"event": NAME, "data": {..}, "timestamp": {"seconds", "microseconds"}}   any time
 * after the greeting
 *
 * `qmp_capabilities` is answered with {} and is not required. Class CommandNotFound for an unknown
 * command.
 *
 * Server threads: one poll thread serves all clients; commands run on it, so a command must not
 * block for long: one that takes time starts a job. control_server_event may be called from any
 * thread. Each client has a bounded output queue; one that does not read loses its connection,
 * never the server's time.
 */
#ifndef CONTROL_H
#define CONTROL_H

#include "../migrate/gmig_error.h"

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

/* ---- Server ---------------------------------------------------------------------------------- */

enum control_type { CONTROL_STRING, CONTROL_INTEGER, CONTROL_BOOL, CONTROL_ARRAY, CONTROL_OBJECT };

struct control_argument {
	const char *name; /* NULL ends the table */
	enum control_type type;
	bool required;
};

/*
 * Arguments have been checked against the table when run is called: unknown names, missing and
 * mistyped ones are refused with a text of their own. 0 and *result (a new reference; NULL = {}),
 * or -errno and the text.
 */
struct control_command {
	const char *name;			  /* NULL ends the table */
	const struct control_argument *arguments; /* NULL: takes none */
	int (*run)(void *opaque, const json_t *arguments, json_t **result, struct gmig_error *err);
};

struct control_table {
	const struct control_command *commands;
	void *opaque; /* for their run */
};

struct control_server_options {
	/* Of the socket, mode 0600; missing directories are made, mode 0700. Copied, as is name. */
	const char *path;
	const char *name; /* for the greeting */
	/* NULL-ended, must live as long as the server; query-commands and qmp_capabilities are
	 * built in. */
	const struct control_command *commands;
	void *opaque;
	void (*begins)(void *opaque); /* NULL, or called first on the server's thread */
	/* NULL, or asked before each command, on the server's thread: another answer than 0 is the command's. */
	int (*admit)(void *opaque, const char *command, struct gmig_error *err);
	/* A second table, as guest_commands (guest.h); commands NULL: there is none. */
	struct control_table more;
	/*
	 * With has_group the socket belongs to this group, mode 0660, its directory may be entered by all (mode 0711 if it was
	 * made by us), and peers are accepted that are root, of our uid, or members of the group, by their process's groups
	 * (SO_PEERGROUPS).
	 */
	bool has_group;
	gid_t group;
	size_t max_line_bytes; /* 0 = 1 MiB */
	size_t max_clients;    /* 0 = 64; one more is told so and closed */
	/* A client is dropped when its unread output would pass max_output_bytes (0 = 4 MiB), or
	 * when it has taken none of it for stall_ms (0 = 30000). */
	size_t max_output_bytes;
	unsigned int stall_ms;
};

struct control_server;

/*
 * For a command: has the peer that asks for it CAP_SYS_NICE, by its process's capabilities where these can be read, else by
 * being root? No, where they cannot be read for want of descriptors or memory. Those of another user namespace, which anybody may have who makes one, do not count. Of a command that nobody asks for over a socket: has this process?
 */
bool control_peer_is_privileged(void);
/* The same for CAP_SYS_ADMIN. */
bool control_peer_is_administrator(void);
/* For a log: who asks for the command, by what the kernel knew as it connected; of a command that nobody asks for, this process. */
void control_peer(pid_t *pid, uid_t *uid);

/*
 * Listen and start the thread. A stale socket file (nobody listens) is taken over; a living one is
 * -EADDRINUSE. Peers of another uid (SO_PEERCRED; root is allowed, and see has_group) are refused with an error line.
 * -ENAMETOOLONG path; -EPERM the directory belongs to somebody who is not root, or others may write to it.
 */
int control_server_create(const struct control_server_options *options, struct control_server **out,
			  struct gmig_error *err);
/* Flushes what can be written at once, closes, removes the socket file. Not from a command. NULL is
 * legal. */
void control_server_destroy(struct control_server *server);
/* Queue an event for all clients; steals data (NULL = {}). Never waits for a client. */
void control_server_event(struct control_server *server, const char *name, json_t *data);

/* ---- Client ---------------------------------------------------------------------------------- */

struct control_client;

/* Connect and read the greeting. -ENOENT no such socket, -ECONNREFUSED nobody listens, -EACCES, -EPERM
 * it belongs to a uid that is neither ours nor root (root may connect to all), -ETIMEDOUT. timeout_ms <
 * 0: for ever. */
int control_connect(const char *path, int timeout_ms, struct control_client **out,
		    struct gmig_error *err);
/*
 * Who listens at the other end of a connected socket (SO_PEERCRED)? It may have been put there by anybody who may write to its
 * directory: -EPERM unless it is of our uid or root's; root may ask everyone's guests. *pid: his.
 */
int control_check_peer(int fd, const char *path, pid_t *pid, struct gmig_error *err);
void control_client_destroy(struct control_client *client);
/*
 * Execute and wait for the answer; steals arguments (may be NULL). Events that come meanwhile are
 * kept for control_next_event. An error answer is -errno from its "errno" (-EREMOTEIO when it has
 * none) with desc as text. -ETIMEDOUT when request and answer take longer than the client's limit,
 * whatever else the server sends meanwhile: the command may have been carried out.
 */
int control_call(struct control_client *client, const char *command, json_t *arguments,
		 json_t **result, struct gmig_error *err);
/* The next event (new reference); waits timeout_ms. -ETIMEDOUT, -EPIPE the server is gone, -EINTR a
 * signal came. */
int control_next_event(struct control_client *client, int timeout_ms, json_t **event,
		       struct gmig_error *err);
/* How long each control_call from here on may take, CONTROL_ANSWER_MS unless set; < 0: for ever. */
#define CONTROL_ANSWER_MS 30000
void control_client_set_limit(struct control_client *client, int answer_ms);
/*
 * Of a server of several guests: every control_call from here on has the argument `guest`, and control_next_event passes over events
 * of other guests. NULL: none. -ENOMEM.
 */
int control_client_set_guest(struct control_client *client, const char *guest);
/* The peer's pid by SO_PEERCRED. */
pid_t control_client_pid(const struct control_client *client);

/* How all programs print JSON: 15 digits say 0.246 where 17 say 0.24600000000000001. */
#define CONTROL_DUMP_FLAGS (JSON_COMPACT | JSON_ENCODE_ANY | JSON_REAL_PRECISION(15))
/* An error as it goes over the line, {"error": ..}, a new reference. class NULL: GenericError;
 * code: -errno. */
json_t *control_error_json(const char *class, int code, const char *text);

/* ---- Where a VM's socket is ------------------------------------------------------------------ */

/* Beside gmigd's socket, with the same group: held by a plan that is carried out. */
#define CONTROL_PLANS_LOCK "gmigd-plans.lock"
/*
 * $XDG_RUNTIME_DIR/gmig/NAME.sock; for root without that variable /run/gmig/NAME.sock. -EINVAL:
 * NAME is empty, has a slash or a leading dot, or is over 64 bytes; -ENOENT no directory to be had.
 */
int control_socket_path(const char *name, char *path, size_t bytes, struct gmig_error *err);
int control_socket_dir(char *path, size_t bytes, struct gmig_error *err);
/*
 * Take a guest's name, before its socket is there: NAME.lock beside it. A descriptor that holds the
 * lock as long as it is open, or -EADDRINUSE: a VM of that name runs or starts; others as
 * control_socket_path. control_unlock_name removes the file; fd < 0: nothing.
 */
int control_lock_name(const char *name, struct gmig_error *err);
void control_unlock_name(const char *name, int fd);
/* Has a VMM taken the name of the guest whose socket that is? Then the socket is there, or comes. Yes, too, if that cannot be looked at now. */
bool control_is_starting(const char *socket_path);

#endif
