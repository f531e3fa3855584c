/*
 * A job carries a plan out: a thread of its own that runs passes, and copy workers that move one round
 * of blocks at a time. It knows the memory, the plan and the mover by their operations only.
 *
 * Files, each of which uses those before it:
 *   job_state.c   what a job is; states, pause, cancel, rate, admission
 *   job_slowdown.c  what a job costs the guest, and the budget for it
 *   job_info.c    what is told of a job
 *   job_later.c   what a job says to those that were accepted before it
 *   job_round.c   the steps of a ticket, and its results
 *   job_lazy.c    tickets that wait for a touch
 *   job_block.c   the pages of a block
 *   job_pass.c    workers and passes
 *   job.c         the job's thread
 *   job_list.c    starting, finding, forgetting
 */
#ifndef GMIG_JOB_H
#define GMIG_JOB_H

/* The job's thread; arg: the job. */
void *job_thread(void *arg);

#endif
