/*
 * What order hot-first is worth: of a guest with 10% hot memory, which share of its accesses is local by the time that so much of
 * the job's bytes has moved. The guest is a thread on an engine of our own: what KVM costs is no part of it. One thread.
 */
#ifndef BENCH_HEAT_ORDER_H
#define BENCH_HEAT_ORDER_H

#include "../../migrate/gmig.h"

#define HEAT_POINTS 10

struct heat_curve {
	double
	    local[HEAT_POINTS]; /* share of accesses, when heat_share[i] of the bytes have moved */
	double for_90;		/* share of the bytes after which 90% of the accesses are local */
};

struct heat_order {
	struct heat_curve by_address, hot_first;
	double seconds;	      /* for which it was sampled before */
	double rounds;	      /* times that all blocks had their turn meanwhile */
	double hot_share;     /* of accesses, that went to the hot tenth */
	double accesses_rate; /* per second */
	double slowdown;      /* share of its time that sampling has cost */
};

extern const double heat_share[HEAT_POINTS];

/* bytes: of the guest, a multiple of 20 MiB at least. -errno. */
int heat_order_measure(uint64_t bytes, struct heat_order *order, struct gmig_error *err);

#endif
