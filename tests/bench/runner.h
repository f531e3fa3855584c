/*
 * Runs cells: one guest for each kind that the cells need, all but the measured one stopped; repetitions interleaved, so
 * that a slow minute hits every cell alike. One thread.
 */
#ifndef BENCH_RUNNER_H
#define BENCH_RUNNER_H

#include "cell.h"
#include "kernel_rate.h"

struct domain;

struct runner_options {
	const char *vmm_path;  /* gmig-vmm */
	const char *directory; /* for logs */
	unsigned int fake_nodes, reps;
	double
	    budget_seconds; /* 0: none; else fewer repetitions, but not fewer than min_reps, when time runs out */
	unsigned int min_reps;
	bool pin;
	struct domain *domain; /* of the cells that have one; NULL when none does */
	/* Optional: called before each repetition of each cell. */
	void (*progress)(void *opaque, const struct cell *cell, unsigned int rep,
			 unsigned int reps);
	void *opaque;
};

struct runner_memcpy {
	double one_thread, best; /* medians over the run, bytes per second */
	unsigned int best_threads;
};

struct runner_report {
	struct cell_result **results; /* owned, one a cell */
	size_t count;
	struct runner_memcpy memcpy;
	struct kernel_rate
	    kernel[KERNEL_RATE_PAGES]; /* Linux's own migration, where it was asked for */
	struct noise_verdict noise;
	double seconds;
	bool fake; /* nodes are pretended */
};

/* Free memory that these cells take when they are run together; fake: on pretended nodes. */
uint64_t runner_need_bytes(const struct cell *cells, size_t count, bool fake);
/* -errno and the text when a guest cannot start, a migration fails, or the guest finds an error in its memory. */
int runner_run(const struct runner_options *options, const struct cell *cells, size_t count,
	       struct runner_report *report, struct gmig_error *err);
void runner_report_clear(struct runner_report *report);

#endif
