/* Mode lazy, migrate on fault: how a ticket waits for a touch, and what is done with it then. See lazy.h. */
#ifndef GMIG_JOB_LAZY_H
#define GMIG_JOB_LAZY_H

#include "job_round.h"

/*
 * The worker's one ticket, which was admitted, is taken out of its touchers' reach and waits. Returns how many of its pages were
 * tried: of what is given back later, the rate is given back then.
 */
unsigned int job_lazy_take(struct job_worker *worker);
/* Move what was touched, and give back what is to be given back, until nothing waits any more; as lazy_next(). */
void job_lazy_serve(struct job_worker *worker, bool leaves);

#endif
