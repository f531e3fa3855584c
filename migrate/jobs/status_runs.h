/*
 * Results of pages as runs of pages with one result: what a job that has ended keeps (status.h).
 * Built once from its table; read-only afterwards.
 */
#ifndef GMIG_STATUS_RUNS_H
#define GMIG_STATUS_RUNS_H

#include "status_result.h"
#include "status_table.h"

/* A run goes to the next one's start. Each: gfn in the upper 48 bits, the result in the lower 16. */
struct status_runs {
	uint64_t reasons; /* pages in runs whose result is a reason */
	size_t count;
	uint64_t run[];
};

/*
 * For free(). Nobody may change the table meanwhile. Where the runs are too many for `bytes`, only
 * reasons are kept, from the lowest gfn up as far as there is room. NULL: no memory.
 */
struct status_runs *status_runs_build(const struct status_table *table, size_t bytes);

/* The result at gfn, and in *pages how many pages from there on surely have it. */
int16_t status_runs_get(const struct status_runs *runs, uint64_t gfn, uint64_t *pages);

#endif
