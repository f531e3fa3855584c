/*
 * The slowdown budget of a job: what its blocks cost the guest, and when the next one may go. What counts is the time that
 * threads slept on pages of a job, divided by the vCPUs, and that in which these were interrupted: each call that takes a right
 * away or gives it back interrupts the CPUs that run the guest, for as long as the call lasts at most. While memory is copied
 * the guest reaches its own more slowly: an eighth of that time counts, as runs of the probe guest on a busy machine suggested.
 */
#ifndef GMIG_JOB_SLOWDOWN_H
#define GMIG_JOB_SLOWDOWN_H

#include "job_state.h"

/* The job's thread: from its first block on, and until after its last. */
void job_slowdown_begin(struct gmig_job *job);
void job_slowdown_end(struct gmig_job *job);

/* What these tickets will cost, going by the last ones. */
uint64_t job_expected_ns(struct gmig_job *job, const struct mover_ticket *tickets,
			 unsigned int count);
/* Wait until the budget has room for it, which is reserved then. As job_admit(). */
enum job_admission job_afford(struct gmig_job *job, uint64_t expected_ns, bool (*wanted)(void *),
			      void *arg);
/* What a settled ticket has cost an average vCPU. */
uint64_t job_lost_ns(struct gmig_job *job, const struct mover_ticket *ticket);
/* What was reserved has cost this much in the end. */
void job_charge(struct gmig_job *job, uint64_t expected_ns, uint64_t lost_ns);

/* For gmig_job_info(), whose elapsed_ns is set by then: pages that are done with, and that nobody has begun with. */
void job_slowdown_info(struct gmig_job *job, uint64_t done, uint64_t unreached,
		       struct gmig_job_info *info);

#endif
