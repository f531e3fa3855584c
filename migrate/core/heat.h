/*
 * How much blocks of 2 MiB are used: what samples of them have shown (movers/sampler.h), by the number of the block. Two bytes a
 * block, and three eighths for what has moved and what was reported; only for each GiB of which anything was ever seen.
 *
 * A sample takes a block away and looks how long it takes until somebody misses it. Heat is the logarithm of that: each quarter
 * octave is a step, from HEAT_COLD (nobody did, within the window) to HEAT_MAX. A new sample counts for half, so that old ones
 * fade, sample by sample. Of a block that a job has moved nothing counts until a window has passed: those that waited for the job
 * come back at once, which says nothing of how much the block is used.
 *
 * Or somebody else says how much a block is used: in which share of its looks at it. Such a report and samples have nothing to
 * take a mean of, so that the newer one of them is what is known.
 *
 * Any thread; a lock inside, a leaf, held for one GiB's blocks at most.
 *
 * Source: the generations of Linux's Documentation/mm/multigen_lru.rst, and the sampling of Documentation/mm/damon/design.rst.
 */
#ifndef GMIG_HEAT_H
#define GMIG_HEAT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define HEAT_WINDOW_NS	256000000ull /* how long a sample waits to be missed */
#define HEAT_GIB_BLOCKS 512u
#define HEAT_NODES	8 /* of a GiB's touchers */

#define HEAT_UNKNOWN 0u
#define HEAT_COLD    1u	 /* not missed within the window */
#define HEAT_HOT     26u /* from here on: missed within 4 ms, on average */
#define HEAT_MAX     62u /* within 8 us */

#define HEAT_HOT_PPM 500000u /* a report is of a hot block from here on */

struct heat;

/* -ENOMEM. NULL is legal to destroy. */
int heat_create(struct heat **out);
void heat_destroy(struct heat *heat);

/*
 * A sample: the block was missed after so long (from the window on: it was not), by a thread on that node (GMIG_NO_NODE: nobody
 * knows). -ENOMEM: it is not kept.
 */
int heat_note(struct heat *heat, uint64_t block, uint64_t after_ns, unsigned int node,
	      uint64_t now_ns);
/*
 * A report: so many millionths of the looks at the block found it used. -EAGAIN: it was moved within the last window, and the
 * report is not kept; -ENOMEM.
 */
int heat_report(struct heat *heat, uint64_t block, uint32_t share_ppm, uint64_t now_ns);
/* A job has moved it. Nothing to be kept of what was never seen. */
void heat_moved(struct heat *heat, uint64_t block, uint64_t now_ns);
/* Its memory is gone, and with it what was known. */
void heat_forget(struct heat *heat, uint64_t block);

/* HEAT_UNKNOWN to HEAT_MAX. */
unsigned int heat_of(struct heat *heat, uint64_t block, uint64_t now_ns);
/* Was it moved within the last window? Then a sample says nothing. */
bool heat_was_moved(struct heat *heat, uint64_t block, uint64_t now_ns);
/* Is anything known of any block? */
bool heat_is_known(struct heat *heat);

struct heat_sum {
	unsigned int hot, warm, cold; /* blocks; of the others nothing is known */
	unsigned int reported;	      /* of these, not by samples */
	/* When the newest sample of this GiB ended, or report came; 0: nothing is known of them. */
	uint64_t newest_ns;
	/* The nodes that missed them last, those of most blocks first; blocks 0: there are no more. */
	struct {
		unsigned int node, blocks;
	} by[HEAT_NODES];
};
/* Of blocks first..first+count, which are of one GiB. */
void heat_sum(struct heat *heat, uint64_t first, unsigned int count, uint64_t now_ns,
	      struct heat_sum *sum);

#endif
