/*
 * One migration looked at from close by: a record of each block from the engine, and what the guest
 * gets done in steps of a few milliseconds from before it to after it. Looking takes CPU time, so
 * this is a migration of its own, none of those whose speed is reported. One thread.
 */
#ifndef BENCH_WATCH_H
#define BENCH_WATCH_H

#include "runner.h"

#define WATCH_POINTS 4096

struct watch_point {
	double seconds; /* the end of the step, since the migration began; negative before it */
	double visits_per_second;
};

struct watch {
	struct cell cell;
	struct watch_point point[WATCH_POINTS];
	size_t count;
	double seconds; /* the migration took that long, by our clock */
	json_t
	    *records; /* owned: of all its jobs, as query-job-trace gives them, with "job" added */
};

/* A guest of its own for `cell`, twice back and forth to warm up, then the watched migration. */
int watch_migration(const struct runner_options *options, const struct cell *cell,
		    struct watch *watch, struct gmig_error *err);
void watch_clear(struct watch *watch);

#endif
