/*
 * A scripted agent for the tests of gmig: the host's end of its port, a UNIX socket in the fake
 * VMM's directory, served by a thread that has one client at a time. A test sets the answers before
 * it calls gmig; the last answer to a command stays. Needs fake_vmm.
 */
#ifndef FAKE_AGENT_H
#define FAKE_AGENT_H

#include "../../cli/agent.h"
#include "../../control/line.h"
#include "fake_vmm.h"

#include <pthread.h>

#define FAKE_AGENT_ANSWERS 16

extern struct fake_agent {
	pthread_t thread;
	int listener;
	char path[108];
	struct {
		const char *command;
		json_t *answers; /* of them, each a whole answer without its id */
		size_t given;
	} answer[FAKE_AGENT_ANSWERS];
	json_t *asked;	       /* [{"execute", "arguments"}], without the sync */
	const char *stale;     /* sent before the first answer to a client */
	const char *before;    /* sent before each answer */
	const char *end_at;    /* at this command the connection ends */
	const char *signal_at; /* at this command, SIGINT to ourselves */
	bool silent;	       /* takes all and says nothing */
} fake_agent;

/* Add an answer (JSON) to the script of `command`. */
void fake_agent_answer(const char *command, const char *json);

/* After fake_setup: the fake VMM tells of the port. */
void fake_agent_setup(void);
void fake_agent_teardown(void);

/* The i-th thing that was asked for: the command, and its arguments as JSON. */
void ck_asked(size_t i, const char *command, const char *arguments);

/* A case with it, and with the VMM of fake_vmm.h. */
TCase *fake_agent_case(Suite *suite, const char *name);

/* What it says of a job; more: further members. */
#define JOB(state, moved, more)                                                                    \
	"{\"return\":{\"id\":\"3\",\"kind\":\"migrate-pages\",\"state\":\"" state                  \
	"\",\"rate\":0,\"total_bytes\":8388608,\"done_bytes\":" moved ",\"moved_bytes\":" moved    \
	",\"seconds\":2.0," more "}}"

#endif
