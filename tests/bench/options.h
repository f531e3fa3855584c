/*
 * gmig-bench's options, for all of its commands. Pure but for the search for gmig-vmm beside our own binary.
 */
#ifndef BENCH_OPTIONS_H
#define BENCH_OPTIONS_H

#include "cell.h"

#include <stdbool.h>

struct domain;

struct bench_options {
	struct cell_axes axes;
	bool axes_given;    /* else the command's own cells */
	uint64_t mem_bytes; /* the first one given */
	bool mem_given;
	unsigned int reps; /* 0: the command's own number */
	unsigned int fake_nodes;
	bool json, check, pin, kernel_rate, help;
	const char *csv_path, *trace_path,
	    *html_path; /* NULL: not asked for; they point into argv */
	char vmm_path[4096];
	const char *domain_name; /* NULL: none; points into argv */
	/* placement's: guests 0: a random number; fleet_path NULL: random hosts */
	unsigned int hosts, guests, steps, seed;
	const char *fleet_path;
	bool placement_given;  /* one of these */
	struct domain *domain; /* the same, opened: main's to close */
};

/* argv[0] is the command's name. -EINVAL and a text of its own for each thing that is wrong. */
int bench_options_parse(int argc, char **argv, struct bench_options *options,
			struct gmig_error *err);
const char *bench_options_help(void);
/* "512M", "2G"; a plain number is MiB. A multiple of 2 MiB. */
int bench_parse_mem(const char *text, uint64_t *bytes);

#endif
