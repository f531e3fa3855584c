/*
 * Moving pages: move_pages(2) with a status for every page, and a walk that brings a process's
 * memory from some nodes to others. No state but the caller's; any thread.
 */
#ifndef AGENT_MOVE_H
#define AGENT_MOVE_H

#include "../migrate/core/movepages.h"
#include "job.h"
#include "nodes.h"

#include <sys/types.h>

#define AGENT_MOVE_PASSES 10

/*
 * movepages_exact() by the agent's system calls; nodes NULL: movepages_ask(). flags: MPOL_MF_*.
 */
int agent_move_exact(pid_t pid, size_t count, void **pages, const int *nodes, int *status,
		     int flags);

struct agent_move {
	struct agent_mapping mapping;
	bool shared;	 /* pages that other processes map, too */
	bool by_process; /* migrate_pages(2): one call a process, no progress within it */
};

struct agent_victim {
	pid_t pid;
	uint64_t start_time; /* a pid that has changed hands is left alone */
};

struct agent_victims {
	struct agent_victim *victim; /* free() it */
	size_t count;
	size_t skipped; /* left out: not to be touched, or not to be looked at */
	/* Processes of which a look has failed, by reason: left out, or in the middle of a move, which then cannot tell what remains
	 * of them. Guarded by the job's lock once there is a job. */
	struct agent_remaining unread;
};

/*
 * Move the memory of each of these processes; what the walk finds is added to *counts and published
 * as it goes. Ends early when the job is cancelled. 0, or -errno when there is one process, and it
 * could not be moved, or not be looked at.
 */
int agent_move_processes(struct agent_job *job, const struct agent_move *move,
			 struct agent_victims *victims, struct gmig_error *err);

#endif
