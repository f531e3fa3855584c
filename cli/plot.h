/*
 * Plots by gnuplot, run as a child that reads a script and writes SVG or PNG; no file is left behind. One
 * thread. It is a program that a host has or has not, and no library: nothing that draws is loaded into what moves memory.
 */
#ifndef CLI_PLOT_H
#define CLI_PLOT_H

#include "../migrate/gmig_error.h"

#include <stddef.h>

#include <stdio.h>

/* -ENOENT, who wants to draw, and what to install, when gnuplot cannot be run. */
int plot_check(const char *who, struct gmig_error *err);
/*
 * Run the script and return its one plot in *svg (owned: free), beginning with "<svg": fit to stand
 * inside HTML. `name` is put before the ids in it, since those of a document must differ. -EIO with
 * gnuplot's own words, -ETIMEDOUT.
 */
int plot_svg(const char *name, unsigned int width, unsigned int height, const char *script,
	     char **svg, struct gmig_error *err);
/* The same as a PNG file of *bytes. */
int plot_png(unsigned int width, unsigned int height, const char *script, char **png, size_t *bytes,
	     struct gmig_error *err);
/*
 * As a string of gnuplot's, in single quotes: in double ones it would run what stands between backquotes. What a
 * terminal must not see (control/text.h) is '?'.
 */
void plot_text(FILE *out, const char *text);
/* As a word of a line of data, where double quotes are only quotes, and single ones are none. */
void plot_word(FILE *out, const char *text);

#endif
