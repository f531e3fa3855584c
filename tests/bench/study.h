/*
 * A study: groups of cells that are run one group after the other, and everything that was asked
 * for about them: table, JSON, CSV, trace, HTML. move, quick, paper and full are studies. One
 * thread.
 */
#ifndef BENCH_STUDY_H
#define BENCH_STUDY_H

#include "bench.h"
#include "report.h"

#define STUDY_MAX_GROUPS 8

struct study {
	const char *title;
	/* Guests live as long as their group; repetitions are interleaved within it. */
	struct {
		struct cell *cells;
		size_t count;
	} group[STUDY_MAX_GROUPS];
	size_t groups;
	unsigned int reps, min_reps;
	double budget_seconds; /* 0: none */
	bool judge;	       /* with --check: against the targets */
	/* Optional: what the figures say, behind the table and as an object for the JSON (NULL:
	 * nothing). */
	void (*conclude)(FILE *out, const struct runner_report *report);
	json_t *(*conclude_json)(const struct runner_report *report);
};

/* Returns the exit status. Cells that this machine has no memory for are left out, and named on
 * stderr. */
int study_run(const struct study *study, const struct bench_options *options,
	      const char *directory);

#endif
