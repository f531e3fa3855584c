/*
 * What the host may ask for: /etc/gmig/agent.conf, lines of `key = value`, '#' begins a comment.
 *
 *   commands = all | NAME..            commands that are carried out; guest-* always are
 *   users = all | UID..                processes of these users alone
 *   cgroups = all | /PATH..            processes in these cgroups or below, and these cgroups
 *   programs = all | NAME..            processes with these names (/proc/PID/comm)
 *   max-rate = SIZE                    bytes a second of a job, 0: no limit
 *   compact-hot = yes | no             that command, too, which `all` does not allow: no
 *
 * Several values have spaces between them; one that has spaces itself stands in "quotes". What can
 * be wrong is an error, never a line that does not apply: unknown keys and commands, a key twice,
 * names that no process can have. Kernel threads and the agent itself are never touched, whatever
 * the file says. Read once, before any thread; read only.
 */
#ifndef AGENT_CONF_H
#define AGENT_CONF_H

#include "proc.h"

/* The build says otherwise. */
#ifndef AGENT_CONF_PATH
#define AGENT_CONF_PATH "/etc/gmig/agent.conf"
#endif

struct agent_conf {
	/* Words, each with its NUL, and an empty one at the end; NULL: all. */
	char *commands, *users, *cgroups, *programs;
	uint64_t max_rate; /* bytes a second; 0: no limit */
	bool has_rate;	   /* the file has a line for it */
	bool compact_hot, has_compact;
};

struct agent_conf_file {
	const char *path;
	bool required; /* without it: a missing file allows everything */
	bool (*knows_command)(const char *name);
};

/* -ENOENT a required file is missing; -EINVAL names line and word; -EACCES. */
int agent_conf_read(const struct agent_conf_file *file, struct agent_conf *conf,
		    struct gmig_error *err);
/* text is changed. Fuzzed. */
int agent_conf_parse(char *text, bool (*knows_command)(const char *name), struct agent_conf *conf,
		     struct gmig_error *err);
void agent_conf_free(struct agent_conf *conf);

/* guest-* always; compact-hot by its own key alone, and never without a file. */
bool agent_conf_allows_command(const struct agent_conf *conf, const char *name);
/* -EPERM with the reason: a kernel thread, ourselves, or not on the list. */
int agent_conf_check_process(const struct agent_conf *conf, const struct agent_process *process,
			     struct gmig_error *err);
int agent_conf_check_cgroup(const struct agent_conf *conf, const char *cgroup,
			    struct gmig_error *err);
/* The rate that is kept to when `rate` was asked for. */
uint64_t agent_conf_rate(const struct agent_conf *conf, uint64_t rate);

#endif
