/* The jobs of a memory: starting, finding, forgetting. */
#ifndef GMIG_JOB_LIST_H
#define GMIG_JOB_LIST_H

#include "job_state.h"

#define JOB_ENDED 64 /* ended jobs that are remembered */

/* plan: its own, which is the job's from here on, or is destroyed; NULL: by the nodes of spec. */
int job_start(struct memory *memory, const struct gmig_job_spec *spec, struct plan *plan,
	      struct gmig_job **out, struct gmig_error *err);
struct gmig_job *job_find(struct memory *memory, uint64_t id);
size_t job_list(struct memory *memory, uint64_t *ids, size_t max);
/*
 * Cancel all jobs of the memory, wait for them, release them. No job can be started any more. Jobs
 * that a caller holds live on without the memory until their last put.
 */
void job_end_all(struct memory *memory);

#endif
