/*
 * A scripted VMM for the tests of gmig: control_server_create with commands that answer from
 * memory, in this process, without KVM. The fake's thread runs the commands; a test changes the script before it calls gmig.
 */
#ifndef FAKE_VMM_H
#define FAKE_VMM_H

#include "../../cli/cli.h"
#include "suite.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

/* What the fake does after it has answered migrate-pages, job-cancel or query-jobs. */
extern struct fake {
	struct control_server *server;
	char directory[64]; /* XDG_RUNTIME_DIR */
	char socket[96];
	json_t *arguments; /* of the last migrate-pages, bind-memory or pin-vcpu */
	json_t *cpus;	   /* the answer to pin-vcpu */
	json_t *retired;   /* the answer to retire-page */
	json_t *
	    balloon; /* of query-balloon: its answers, one after the other, and the last one again */
	json_t *
	    maps; /* of query-maps and query-heat: answers, one after the other; sample-memory takes from the next */
	json_t *job;	       /* as query-jobs shows it */
	json_t *last;	       /* how the job ends: becomes job by an event, NULL: runs on */
	bool tell;	       /* send the end as an event; else only query-jobs knows */
	int queries_until_end; /* 0, 1: not told, it ends at the first query-jobs; 2: at the second .. */
	bool interrupt_on_start; /* SIGINT to ourselves before migrate-pages is answered */
	bool interrupt_on_query; /* SIGINT to ourselves at the next query-jobs */
	bool end_on_query;	 /* close the connection at the next query-jobs */
	int forget_at;		 /* from this query-jobs on no job is listed; 0: never */
	int refuse;		 /* errno for migrate-pages and pin-vcpu, 0: accept */
	int refused_queries;	 /* so many query-jobs are, behind the first, with ENOMEM */
	int refuse_numa,
	    refuse_residency; /* errno for query-numa, and query-residency; 0: it answers */
	bool breach;	      /* check-invariants finds one */
	json_t *repairs;      /* of repair-table: its answers, one after the other */
	json_t *ports;	      /* of query-status */
	json_t *more;	      /* replaces members of query-residency */
	json_t *
	    numa; /* a list: members of query-numa, one call's after the other, the last ones for good */
	char log[512];	    /* commands that came, each and a space */
	atomic_uint logged; /* how many: for threads that do not wait for an answer */
} fake;

/* A job as query-jobs shows it; of a guest as query-residency does. The caller owns them. */
json_t *fake_job(const char *state, json_int_t moved, json_int_t left);
json_t *fake_guest(void);

extern char out_text[16384], err_text[16384];

/* Run gmig with these arguments in this process; its exit status, its output in out_, err_text. */
int gmig(const char *first, ...);

/* stdout as JSON; its last line when there are several. */
json_t *out_json(void);

#define ck_has(text, part) ck_assert_msg(strstr(text, part) != NULL, "no '%s' in '%s'", part, text)

void fake_setup(void);
void fake_teardown(void);

/* A test case with this fixture. */
TCase *fake_case(Suite *suite, const char *name);

#endif
