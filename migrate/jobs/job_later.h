/* A job among others over the same memory: what it says to those that were accepted before it. See later.h. */
#ifndef GMIG_JOB_LATER_H
#define GMIG_JOB_LATER_H

#include "job_state.h"

/*
 * Does new memory follow the job? Then in the order in which jobs were accepted, whichever thread comes first: what a newer one
 * makes of a policy is made of what the older ones have made of it. Returns when all older ones have followed; 0, or -errno of
 * memory_ops.follow.
 */
bool job_follows(const struct gmig_job *job);
int job_follow_in_turn(struct gmig_job *job, const struct memory_follow *follow,
		       struct gmig_error *err);
/*
 * memory_ops.follow_end, when all that have been accepted by now follow: else new memory would lie where this job leaves it, and a
 * newer one, whose thread comes late, would no longer find the node that it takes it from.
 */
void job_follow_end_in_turn(struct gmig_job *job, const struct memory_follow *follow, bool keep);

/*
 * The plan is made (of a job over a part: the set, too): older jobs are told, and what they were just moving has settled when it
 * returns, unless the job is cancelled. By the job's thread. -ENOMEM.
 */
int job_later_begin(struct gmig_job *job, struct gmig_error *err);
/* The job ends. withdrawn: what it has not done is not to be done any more. */
void job_later_end(struct gmig_job *job, bool withdrawn);

/* A worker is about to claim what it has picked when later_generation() was `said`. false: it has to pick again. */
bool job_round_enter(struct gmig_job *job, unsigned int worker, unsigned int said);
/* Also when it has to pick again. */
void job_round_leave(struct gmig_job *job, unsigned int worker);

#endif
