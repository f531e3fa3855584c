/*
 * Plots by gnuplot, run as a child that reads a script and writes SVG; no file is left behind. One
 * thread.
 */
#ifndef BENCH_PLOT_H
#define BENCH_PLOT_H

#include "../../migrate/gmig_error.h"

#include <stdio.h>

/* -ENOENT and what to install when gnuplot cannot be run. */
int plot_check(struct gmig_error *err);
/*
 * Run the script and return its one plot in *svg (owned: free), beginning with "<svg": fit to stand
 * inside HTML. `name` is put before the ids in it, since those of a document must differ. -EIO with
 * gnuplot's own words, -ETIMEDOUT.
 */
int plot_svg(const char *name, unsigned int width, unsigned int height, const char *script,
	     char **svg, struct gmig_error *err);
/* As a string of gnuplot's, in double quotes. */
void plot_text(FILE *out, const char *text);

#endif
