/* The plots of the HTML report: from figures to gnuplot's scripts. Pure but for plot_svg. One
 * thread. */
#ifndef BENCH_PLOTS_H
#define BENCH_PLOTS_H

#include "runner.h"
#include "watch.h"

/* Each gives one SVG (owned: free), or NULL in *svg when there is nothing to show. */
int plots_throughput(const struct runner_report *report, char **svg, struct gmig_error *err);
int plots_stall(const struct runner_report *report, char **svg, struct gmig_error *err);
int plots_blackout(const struct runner_report *report, char **svg, struct gmig_error *err);
/* What the guest gets done through one migration, and how long each block was closed in it. */
int plots_timeline(const struct watch *watch, char **svg, struct gmig_error *err);
int plots_blocks(const struct watch *watch, char **svg, struct gmig_error *err);
/* On which nodes those pages lay through it that it moved. */
int plots_residency(const struct watch *watch, char **svg, struct gmig_error *err);
/* Time against size of guest, where one kind of cell was measured with three sizes at least. */
int plots_growth(const struct runner_report *report, char **svg, struct gmig_error *err);
/* How far bytes per second of the sizes lie apart, (largest - smallest) / median; NAN without a
 * growth curve. */
double plots_growth_spread(const struct runner_report *report);

/* Indices of the cells, the fastest first. order has room for all. */
void plots_order(const struct runner_report *report, size_t *order);
/* What to call a cell: its name, when it has one, and what it is. */
void plots_label(const struct cell *cell, char *text, size_t bytes);

#endif
