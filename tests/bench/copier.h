/*
 * The limit: cold 2 MiB copies between two buffers, in the same run as the migrations. memcpy(3), huge pages, every block
 * copied once a pass, so that none is in a cache when its turn comes. Called from one thread; starts its own for more.
 */
#ifndef BENCH_COPIER_H
#define BENCH_COPIER_H

#include "../../migrate/gmig_error.h"

#include <stdint.h>

struct copier;

struct copier_result {
	double
	    bytes_per_second; /* one thread: 2 MiB over the median copy; more: all bytes over the time of all */
	double block_ns; /* median time of one copy */
	double cpu_seconds_per_gb;
};

/* Maps and touches two buffers of `bytes` (a multiple of 2 MiB). -ENOMEM. */
int copier_create(uint64_t bytes, struct copier **out, struct gmig_error *err);
void copier_destroy(struct copier *copier);
/* Copies a whole buffer once. 1 <= threads <= 16. */
int copier_measure(struct copier *copier, unsigned int threads, struct copier_result *result,
		   struct gmig_error *err);

/*
 * Touch that much free memory and free it again. A host that is a virtual machine itself may have lent it back to its own
 * host; the faults that bring it back cost milliseconds a block, are none of the migration's work, and memcpy has none.
 */
int copier_warm_free_memory(uint64_t bytes, struct gmig_error *err);

#endif
