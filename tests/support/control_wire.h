/*
 * For the tests of the control socket: a server with commands that echo or fail, in a directory of
 * its own, and a bare client that sees what is on the wire.
 */
#ifndef CONTROL_WIRE_H
#define CONTROL_WIRE_H

#include "../../control/control.h"
#include "suite.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <semaphore.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

/* The server under test. */
extern struct control_wire {
	char directory[64];
	char path[96]; /* of its socket: directory/run/vm1.sock */
	struct control_server *server;
	struct gmig_error err;
	sem_t held, release; /* of the command hold: it runs, it may end */
} wire;

/* Where the server listens: its commands are echo, fail, fail-silently, half-character, shout, hold. */
struct control_server_options wire_options(void);

/* Create the server; the test fails when it cannot. */
void wire_start(struct control_server_options opts);

/* Fixtures: a directory; the directory and a server. */
void wire_setup(void);
void wire_setup_started(void);
void wire_teardown(void);

/* ---- A bare client: what is on the wire ------------------------------------------------------ */

/* A connected socket, or -1. */
int dial_quietly(void);

/* One line, without its LF; fails when none comes in 10 s. "" at the end of the stream. */
const char *read_line(int fd);

void write_bytes(int fd, const char *bytes, size_t count);
void write_text(int fd, const char *text);

/* Connect and read the greeting. */
int dial(void);

/* Send a line, the answer must hold `part`. */
void ask(int fd, const char *line, const char *part);

/* A test case with the fixture `before` and wire_teardown. */
TCase *case_with(Suite *suite, const char *name, void (*before)(void));

/* The name can be locked, and is given back; the directory goes. */
void wire_expect_free(const char *name);

#endif
