/*
 * Looks at domains' memory for a thread that may not wait for long: a look takes up to 50 ms for each GiB, and the control server has
 * one thread for all clients. Each look runs on a thread of its own, one a domain at a time; whoever asks waits so long and no longer, and gets the
 * newest look there is, with its age.
 *
 * Lock: the looker's own, a leaf. Any thread may ask.
 */
#ifndef LOOKER_H
#define LOOKER_H

#include "domain.h"

struct looker;

int looker_create(struct looker **out, struct gmig_error *err);
/* Waits for the looks that run. NULL is legal. */
void looker_destroy(struct looker *looker);
/*
 * A look that began no longer than max_age_ns ago; or, if there is none within wait_ms, the last one. -EAGAIN: there is none at
 * all yet; what the look failed with.
 */
int looker_ask(struct looker *looker, struct domain *domain, uint64_t max_age_ns, int wait_ms,
	       struct domain_look *look, struct gmig_error *err);

#endif
