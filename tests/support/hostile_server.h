/*
 * A server that means ill, at the path of a guest's control socket or of an agent's port: it answers
 * with text that attacks the terminal, or keeps its client waiting. A thread of its own serves one
 * client after another; set the members, then start it.
 */
#ifndef HOSTILE_SERVER_H
#define HOSTILE_SERVER_H

#include "fake_vmm.h"

#include <pthread.h>

enum hostile_way {
	HOSTILE_ANSWERS,     /* with `answer`, its strings poisoned */
	HOSTILE_NO_GREETING, /* accepts, and says nothing */
	HOSTILE_SILENT,	     /* greets (or synchronizes), and then says nothing */
	HOSTILE_CHATTERS,    /* the same, but sends lines without end, none of them an answer */
	HOSTILE_FULL,	     /* takes no connection: its queue is full */
	HOSTILE_ENDS,	     /* answers, and closes the connection at `last_command` */
};

struct hostile_server {
	enum hostile_way way;
	bool exact;    /* answers are not poisoned */
	bool is_agent; /* no greeting; answers guest-sync-delimited */
	/* The whole answer ({"return": ..} or {"error": ..}) to a command, without its id; a new
	 * reference. */
	json_t *(*answer)(const char *command);
	const char *last_command; /* answers up to this one; is silent from it on. NULL: all */

	char path[108];
	int listener, fillers[8];
	pthread_t thread;
};

/* Escape sequence, bell, C1, bidi override, line separator, and a newline that forges a row. */
#define HOSTILE_TEXT                                                                               \
	"\x1b]0;x\x07\x7f\xc2\x9b"                                                                 \
	"31m\xe2\x80\xae\xe2\x80\xa8\nvm9\t1\trunning"

void hostile_start(struct hostile_server *server, const char *path);
void hostile_stop(struct hostile_server *server);

/* A copy whose strings end in HOSTILE_TEXT; each object has it as a key, too. A new reference. */
json_t *hostile_poison(const json_t *json);
/* No character in text that moves the cursor or reorders the line, newlines excepted. */
void ck_harmless(const char *text);

#endif
