/*
 * gmig-bench's commands: one file each. Each returns the exit status.
 */
#ifndef BENCH_H
#define BENCH_H

#include "options.h"

#include <errno.h>
#include <stdio.h>

enum bench_exit { BENCH_OK = 0, BENCH_FAILED = 1, BENCH_USAGE = 2, BENCH_CANNOT = 77 };

/* directory: private, for sockets and logs; $XDG_RUNTIME_DIR points there. */
struct bench_command {
	const char *name;
	int (*run)(const struct bench_options *options, const char *directory);
	bool no_guest;	/* needs neither KVM nor userfaultfd */
	bool files;	/* knows --csv, --trace, --html and --kernel-rate */
	bool domain;	/* knows --domain */
	bool placement; /* knows --csv, --hosts and those with it */
};

int bench_move(const struct bench_options *options, const char *directory);
int bench_quick(const struct bench_options *options, const char *directory);
int bench_paper(const struct bench_options *options, const char *directory);
int bench_full(const struct bench_options *options, const char *directory);
int bench_scale(const struct bench_options *options, const char *directory);
int bench_steady(const struct bench_options *options, const char *directory);
int bench_memory(const struct bench_options *options, const char *directory);
int bench_first(const struct bench_options *options, const char *directory);
int bench_budget(const struct bench_options *options, const char *directory);
int bench_heat(const struct bench_options *options, const char *directory);
int bench_placement(const struct bench_options *options, const char *directory);

/* "gmig-bench: text" on stderr; returns BENCH_FAILED, or BENCH_CANNOT when the machine cannot. */
static inline int bench_failed(const struct gmig_error *err)
{
	fprintf(stderr, "gmig-bench: %s\n", err->text);
	return err->code == -EOPNOTSUPP ? BENCH_CANNOT : BENCH_FAILED;
}

#endif
