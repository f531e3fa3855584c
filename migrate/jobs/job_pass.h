/* Workers and passes. */
#ifndef GMIG_JOB_PASS_H
#define GMIG_JOB_PASS_H

#include "job_state.h"

/* Run the passes over job->set. again: the first one also takes up what is worth another try. On the job's thread. */
int job_run_passes(struct gmig_job *job, bool again, struct gmig_error *err);

#endif
