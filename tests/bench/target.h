/*
 * The targets and who falls short of them. Pure. A target speaks of the cells it matches; one that no measured cell matches
 * is not judged, and the report says so.
 */
#ifndef BENCH_TARGET_H
#define BENCH_TARGET_H

#include "runner.h"

enum target_outcome { TARGET_MET, TARGET_MISSED, TARGET_NOT_MEASURED };

struct target_judgement {
	const char *name;
	enum target_outcome outcome;
	double value, bound;
	const char *unit; /* "x memcpy", "us", "pages" */
	bool at_least;	  /* value must be >= bound, else <= */
};

#define TARGET_MAX 24

/*
 * Judge all; returns how many judgements were written (at most TARGET_MAX). What takes an option or many minutes to measure
 * (Linux's own migration, growth), or a second CPU, is left out when it was not measured.
 */
size_t target_judge(const struct runner_report *report, struct target_judgement *out);

#endif
