/*
 * The agent inside: a command is a row of a table, with its arguments' names and types. Commands
 * run on the main thread, one after the other; what takes long starts a job.
 */
#ifndef AGENT_H
#define AGENT_H

#include "conf.h"
#include "job.h"

struct agent_command;
struct agent_opener;

struct agent {
	struct agent_conf conf;
	struct agent_jobs *jobs;
	struct agent_opener *opener;	      /* opener.h; NULL: nothing is confined */
	const struct agent_command *commands; /* the table, for guest-info; agent_answer sets it */
};

enum agent_type {
	AGENT_INTEGER,
	AGENT_STRING,
	AGENT_BOOL,
	AGENT_ARRAY,
	AGENT_LIST,  /* numbers: an array, or a string like "0-3,8" */
	AGENT_NODES, /* an integer, or an array of them */
};

struct agent_argument {
	const char *name; /* NULL ends the table */
	enum agent_type type;
	bool required;
};

struct agent_command {
	const char *name;			/* NULL ends the table */
	const struct agent_argument *arguments; /* NULL: takes none */
	/* 0 and *result (a new reference; NULL: {}), or -errno and the text. */
	int (*run)(struct agent *agent, const json_t *arguments, json_t **result,
		   struct gmig_error *err);
	bool delimited; /* its answer has a 0xFF before it */
};

/* ---- protocol.c ------------------------------------------------------------------------------ */

/* One line in, one answer out: with its LF, from malloc. NULL: no memory. */
char *agent_answer(struct agent *agent, const char *line, size_t length, size_t *bytes);
/* Is there such a command? */
bool agent_knows_command(const char *name);
/* The answer to a line that was too long. */
char *agent_answer_too_long(size_t limit, size_t *bytes);

/* ---- arguments.c ----------------------------------------------------------------------------- */

/* Text that may be anything but UTF-8, such as a process's name: what is not ASCII becomes '?'
 * then. A new reference. */
json_t *agent_text_json(const char *text);
/* The arguments have been checked against the table: an integer, with a default. -ERANGE names the
 * argument. */
int agent_get_integer(const json_t *arguments, const char *name, int64_t low, int64_t high,
		      int64_t *value, struct gmig_error *err);
const char *agent_get_string(const json_t *arguments, const char *name);
bool agent_get_bool(const json_t *arguments, const char *name, bool otherwise);
/* {.."pid", "cgroup", "all"..}: the processes that are meant, all of them checked. Of a cgroup or
 * of all, those that are not to be touched are left out, and those that cannot be looked at. -EINVAL none or two
 * of the three are given; -EPERM; -ESRCH. */
struct agent_victims;
int agent_get_victims(struct agent *agent, const json_t *arguments, struct agent_victims *victims,
		      struct gmig_error *err);
/* One process by "pid", checked. */
int agent_get_process(struct agent *agent, const json_t *arguments, struct agent_process *process,
		      struct gmig_error *err);

/* ---- Commands, by file ----------------------------------------------------------------------- */

#define AGENT_RUN(name)                                                                            \
	int name(struct agent *agent, const json_t *arguments, json_t **result,                    \
		 struct gmig_error *err)

AGENT_RUN(agent_run_sync); /* cmd_guest.c */
AGENT_RUN(agent_run_ping);
AGENT_RUN(agent_run_info);
AGENT_RUN(agent_run_topology); /* cmd_query.c */
AGENT_RUN(agent_run_numa_maps);
AGENT_RUN(agent_run_processes);
AGENT_RUN(agent_run_migrate_pages); /* cmd_move.c */
AGENT_RUN(agent_run_move_pages);
AGENT_RUN(agent_run_set_affinity); /* cmd_affinity.c */
AGENT_RUN(agent_run_collapse);	   /* cmd_collapse.c */
AGENT_RUN(agent_run_stall_probe);  /* cmd_stall.c */
AGENT_RUN(agent_run_hot_pages);	   /* cmd_hot.c */
AGENT_RUN(agent_run_hot_blocks);
AGENT_RUN(agent_run_compact_hot); /* cmd_compact.c */
AGENT_RUN(agent_run_query_jobs);  /* cmd_jobs.c */
AGENT_RUN(agent_run_job_status);
AGENT_RUN(agent_run_job_cancel);
AGENT_RUN(agent_run_job_set_rate);
/* "id", a job's: -EINVAL it is no number. */
int agent_get_job_id(const json_t *arguments, uint64_t *id, struct gmig_error *err);

/* ---- port.c, confine.c: the process ---------------------------------------------------------- */

struct agent_port_options {
	const char *path; /* NULL: found by name */
	const char *name; /* of the virtio port */
	int fd;		  /* an open descriptor instead, whose end ends the agent; -1: none */
	bool wait;	  /* for the port to appear, instead of failing */
};
/* Serve until SIGTERM or SIGINT, or the end of fd. 0, -errno. */
int agent_port_serve(struct agent *agent, const struct agent_port_options *options,
		     struct gmig_error *err);

/* Only CAP_SYS_NICE and CAP_SYS_PTRACE are left, and no way to more. Before any thread. */
int agent_drop_capabilities(struct gmig_error *err);
/*
 * Only the system calls on the list from here on; others give EPERM. No file is opened for writing,
 * and none is read from elsewhere than its beginning, where /proc/PID/mem has nothing.
 */
int agent_install_filter(struct gmig_error *err);
/* No capability, and the few system calls of opener.c. */
int agent_confine_opener(struct gmig_error *err);

#endif
