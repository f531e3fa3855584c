/*
 * What a run found, for people and for scripts. Pure but for the stream written to. One thread.
 */
#ifndef BENCH_REPORT_H
#define BENCH_REPORT_H

#include "runner.h"
#include "target.h"

#include <stdio.h>

/* The object of the contract, and besides "noise", "quartiles" and, when targets were judged, "targets". NULL: no memory. */
json_t *report_json(const struct runner_report *report, const json_t *host,
		    const struct target_judgement *targets, size_t target_count);
/* One cell of it. */
json_t *report_cell_json(const struct cell_result *result);

void report_host(FILE *out, const json_t *host);
/* An object as lines of JSON on stdout, with the host as its member; steals it. */
void report_object(json_t *object);
void report_table(FILE *out, const struct runner_report *report);
/* Linux's own migration beside the cells; prints nothing where it was not measured. */
void report_kernel(FILE *out, const struct runner_report *report);
/* Returns how many targets were missed or not measured. */
unsigned int report_targets(FILE *out, const struct target_judgement *targets, size_t count);
void report_noise(FILE *out, const struct noise_verdict *noise);

/* Times in the order of a table's columns. */
#define REPORT_TIMES 7
extern const enum metric report_times[REPORT_TIMES];

/* "9.87 us", "1.2 ms"; "-" for NAN. */
void report_ns(double ns, char *text, size_t bytes);
/* "100%" only of all of it, "0%" only of nothing: else "<1%", ">99%"; "-" for NAN. */
void report_share(double ratio, char *text, size_t bytes);
/* What moved in the worst repetition, as a share of what was to move. */
double report_moved(const struct cell_result *result);
/* A sentence about the domain among the cells; false, and nothing: none is. */
bool report_domain(const struct runner_report *report, char *text, size_t bytes);

#endif
