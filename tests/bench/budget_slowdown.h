/*
 * The slowdown budget in gmig-bench budget: how much of its throughput a guest keeps that may lose 5%, and how fast the move is,
 * against the best constant rate that leaves it as much, found by trying.
 */
#ifndef BENCH_BUDGET_SLOWDOWN_H
#define BENCH_BUDGET_SLOWDOWN_H

#include "bench.h"
#include "guest.h"

struct slow_run {
	double kept, bytes_per_second; /* of the guest's throughput; of the jobs */
	double counted,
	    worst;	  /* share that the jobs say was lost; of the last one's worst second */
	double best_rate; /* the highest constant rate that has kept 95%: 0: none that was tried */
};

struct slow_result {
	struct slow_run run[BENCH_MAX_REPS];
	unsigned int runs;
};

#define SLOW_ROWS 2

/* One run of row i, of 40 s: jobs for ten seconds, then the search. */
int slow_measure(struct guest *guest, unsigned int i, struct slow_result *result,
		 struct gmig_error *err);
void slow_print(const struct slow_result *results);
json_t *slow_json(const struct slow_result *results);
/* Prints what a row misses on stderr; false: it misses something. */
bool slow_check(unsigned int i, const struct slow_result *result);

#endif
