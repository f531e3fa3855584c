/*
 * An engine whose guest's memory is reserved, but not there: of any size, on two fake nodes. Moves,
 * protection and looks at the page map are pretended to succeed at once; tables, books, plans, jobs
 * and audits are real. Their costs must not grow with the guest. One thread.
 */
#ifndef BENCH_GHOST_H
#define BENCH_GHOST_H

#include "../../migrate/gmig.h"

/* What an operator or a vCPU waits for, the longest of several tries, on the wall's clock. */
struct ghost_waits {
	double start_ns;      /* from gmig_job_start() to the first block: look, and plan */
	double statistics_ns; /* gmig_stats() and gmig_residency(), CPU time */
	double cancel_ns; /* from gmig_job_cancel() to the job's end, from its start to its moves */
	double lock_ns;	  /* for a lock that a fault needs, while gmig_check() runs */
	double kept_bytes; /* by a job that has ended */
};

/* All of the guest is touched on node 0; for gmig_destroy(). -EOPNOTSUPP: no userfaultfd; -ENOMEM. */
int ghost_create(uint64_t guest_bytes, bool small, struct gmig **out, struct gmig_error *err);
int ghost_measure(struct gmig *gmig, struct ghost_waits *waits, struct gmig_error *err);

#endif
