/* What is told of a job. */
#ifndef GMIG_JOB_INFO_H
#define GMIG_JOB_INFO_H

#include "job_state.h"

struct job_account {
	uint64_t total, moved, remaining, gone, by_others, unreached; /* pages */
};
/* Where the work set's pages are by now. unreached is what no other number has: total is their sum. */
void job_account(struct gmig_job *job, struct job_account *account);
/* Pages moved so far. */
uint64_t job_moved(struct gmig_job *job);
/* Tell job_event what there is to tell; called by the job's thread only. */
void job_tell(struct gmig_job *job);

/* A page that the job meant to move and did not reach. Caller holds lock. */
bool job_was_cut_off(const struct gmig_job *job, uint64_t gfn, int result, int now);

#endif
