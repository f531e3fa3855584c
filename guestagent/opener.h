/*
 * The only process of the agent that opens anything for writing. The agent itself, which reads what
 * a host sends, may open files to read them alone (confine.c): otherwise, with CAP_SYS_PTRACE and
 * uid 0, one that a host has taken over could write /proc/PID/mem. Landlock would be the tool, but
 * it refuses /proc/PID/numa_maps and move_pages(2) of every process outside of its domain, too
 * (security/landlock/task.c, hook_ptrace_access_check; Linux 5.13 to 6.18).
 *
 * The opener is forked before the agent is confined, gives up all capabilities, and does three
 * things when asked over a socket pair: it opens the port, the one of the options; it writes the
 * CPUs and nodes of a cgroup on the allow-list; and it sets up DAMON, within limits, and removes it.
 * It ends with the agent.
 */
#ifndef AGENT_OPENER_H
#define AGENT_OPENER_H

#include "agent.h"
#include "damon.h"

/* Before any thread, and before the agent is confined. conf and options are the opener's from the
 * fork on: what the agent does with its own copies changes nothing. */
int agent_opener_start(const struct agent_conf *conf, const struct agent_port_options *options,
		       struct agent_opener **out, struct gmig_error *err);
/* Each asks the opener; NULL: does it itself. The port, non-blocking: a descriptor or -errno. */
int agent_opener_port(struct agent_opener *opener, const struct agent_port_options *options,
		      struct gmig_error *err);
/* file: cpuset.cpus or cpuset.mems. -EPERM: not on the allow-list; -ENOENT, .. */
int agent_opener_write(struct agent_opener *opener, const struct agent_conf *conf,
		       const char *cgroup, const char *file, const struct agent_set *set,
		       struct gmig_error *err);
/* As agent_damon_begin() and _end(). Any thread. -EPERM: hot-pages, or for a process compact-hot or that process, is not on the
 * allow-list. */
int agent_opener_damon(struct agent_opener *opener, const struct agent_damon *damon,
		       struct gmig_error *err);
/* With the descriptor that agent_opener_damon() gave, which is closed. It is off also when the opener has been killed. */
void agent_opener_damon_end(struct agent_opener *opener, int state);
/* Ends the opener, and with it the DAMON that it has set up. NULL: ends the one that was set up without an opener, whoever waits for it. */
void agent_opener_stop(struct agent_opener *opener);

#endif
