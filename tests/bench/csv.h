/*
 * Comma-separated values as RFC 4180 has them, but with LF: the raw samples of a run, and the
 * blocks of one migration. A first line names the columns; a figure that was not measured is an
 * empty field. Pure but for the stream. One thread.
 */
#ifndef BENCH_CSV_H
#define BENCH_CSV_H

#include "runner.h"

#include <stdio.h>

/* One field: in quotes, with quotes doubled, when it holds a comma, a quote or the end of a line.
 */
void csv_text(FILE *out, const char *text);
/* One line a repetition of a cell: what the cell is, which repetition, then every metric. */
void csv_samples(FILE *out, const struct runner_report *report);
/* One line a record of query-job-trace. */
void csv_trace(FILE *out, const json_t *records);

#endif
