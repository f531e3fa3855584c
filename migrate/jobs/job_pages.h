/* What became of the pages of a list, and where pages lie; in the list's order. Any thread. */
#ifndef GMIG_JOB_PAGES_H
#define GMIG_JOB_PAGES_H

#include "job_state.h"

/* Where the kernel says that they are. -errno: it could not be asked. */
int job_query_pages(struct memory *memory, size_t count, const uint64_t *gpas, int *status);
/* As gmig_job_pages(). */
int job_pages(struct gmig_job *job, size_t count, const uint64_t *gpas, int *status);

#endif
