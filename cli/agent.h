/*
 * The guest's agent, seen from the host: a connection to the UNIX socket at the host's end of its
 * port, one client at a time. The main thread owns it. docs/agent.md has the protocol.
 */
#ifndef CLI_AGENT_H
#define CLI_AGENT_H

#include "cli.h"

#define CLI_AGENT_PORT "org.gmig.agent.0"

struct cli_agent;

/*
 * Connect and resynchronise: what an earlier client left unread is thrown away. -ENOENT,
 * -ECONNREFUSED, -EACCES; -ETIMEDOUT: no agent runs in the guest, or another client has the port.
 */
int cli_agent_connect(const char *path, struct cli_agent **out, struct gmig_error *err);
/* The same to a gmig-vmm guest, which is asked for the path. -ENXIO: it has no such port. */
int cli_agent_connect_vm(const char *vm, struct cli_agent **out, struct gmig_error *err);
void cli_agent_destroy(struct cli_agent *agent);
/* Steals arguments (may be NULL). An error of the agent is -errno with its text. */
int cli_agent_call(struct cli_agent *agent, const char *command, json_t *arguments, json_t **result,
		   struct gmig_error *err);
/*
 * Start a job and watch it to its end: Ctrl-C cancels it. *job is its last state, a new reference;
 * *failed its error, when it has one.
 */
int cli_agent_run_job(struct cli_agent *agent, const char *command, json_t *arguments, json_t **job,
		      struct gmig_error *err);
/* As migrations end: 0, 1 failed or cancelled, 3 pages are left. */
enum cli_exit cli_agent_job_exit(const json_t *job);
/* "3 pages stay: EBUSY (..)", a line each; the job has been made safe. */
void cli_agent_print_remaining(FILE *out, const json_t *job);

static inline void cli_agent_put(struct cli_agent **agent)
{
	cli_agent_destroy(*agent);
}
#define CLI_AGENT __attribute__((cleanup(cli_agent_put))) struct cli_agent *

/* ---- agent_gather.c: processes together with their memory ------------------------------------ */

/*
 * Which processes have their memory on several vnodes, or run elsewhere than it is: [{"pid",
 * "comm", "vnode", "cpus", "from": [..], "bytes"}]. vnode >= 0: those alone that have memory there.
 * *all: the agent has looked at every process, and told of each that may be out of place.
 */
int cli_gather_plan(struct cli_agent *agent, int vnode, json_t **plan, bool *all,
		    struct gmig_error *err);
/* For people; the plan need not be safe. */
void cli_gather_print(FILE *out, const json_t *plan, bool all);
/* After cli_gather_run: what became of it. */
void cli_gather_report(FILE *out, const json_t *plan);
/* After cli_gather_run: has a process refused? */
bool cli_gather_refused(const json_t *plan);
/* Carry it out: each process's object gets "moved_bytes" and "remaining", or "error". */
int cli_gather_run(struct cli_agent *agent, json_t *plan, uint64_t rate, struct gmig_error *err);

/* ---- agent_heat.c: how much the guest's memory is used ---------------------------------------- */

/*
 * After a job of hot-pages: its blocks, which become a member of the job, and go to the VMM of that name, which keeps them for show
 * --heat and --order; what it says is another member. vm NULL: only the former. -EBADMSG: the agent's answer cannot be.
 */
int cli_agent_take_heat(struct cli_agent *agent, const char *vm, json_t *job,
			struct gmig_error *err);

/* ---- agent_print.c: answers that have been made safe (control/text.h) ------------------------- */

void cli_agent_print_topology(const json_t *result);
void cli_agent_print_processes(const json_t *result);
void cli_agent_print_maps(const json_t *result);
void cli_agent_print_info(const json_t *result);
void cli_agent_print_jobs(const json_t *jobs);
void cli_agent_print_job(const json_t *job);
void cli_agent_print_moves(const json_t *result);

#endif
