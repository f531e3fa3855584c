/*
 * Which memory a guest uses much: blocks of 2 MiB are sampled, a few at a time. A sampled block is taken out of the guest's reach,
 * without a copy, and comes back when the guest touches it; how long that takes is its heat. A block that nobody touches within
 * 256 ms is cold. What comes of it: gmig_heat(), and GMIG_ORDER_HOT_FIRST and _COLD_FIRST of jobs.
 *
 * Off unless it is switched on. A touch of a sampled block costs some ten to hundred microseconds; so the rate is bounded, and what
 * it costs is counted, and kept within a budget. Jobs, devices and discards go first: they get a sampled block at once.
 *
 * Memory: of GMIG_REGION_RAM only. What UFFDIO_MOVE cannot take out (hugetlbfs, files) stays unknown.
 *
 * Or an embedder says how much blocks are used, by what it knows of its guest: gmig_heat_report(). The agent in a guest finds
 * that out, for example. Of a block the newer one counts, a sample or a report.
 *
 * Threads and errors as in gmig.h. Source: the access sampling of Linux's Documentation/mm/damon/design.rst, without the accessed
 * bits that only the kernel sees.
 */
#ifndef GMIG_HEAT_PUBLIC_H
#define GMIG_HEAT_PUBLIC_H

#include "gmig.h"

#ifdef __cplusplus
extern "C" {
#endif

#pragma GCC visibility push(default)

#define GMIG_SAMPLING_RATE 128u /* blocks a second, by default */
#define GMIG_SAMPLING_RATE_MAX                                                                     \
	10000u /* at most 64 wait at a time: of cold ones 250 a second have their turn */
#define GMIG_SAMPLING_SLOWDOWN 5000u /* millionths of the vCPUs' time, by default: 0.5 % */

struct gmig_sampling {
	uint32_t blocks_per_second; /* 0: GMIG_SAMPLING_RATE */
	/* What the guest may lose to it; 0: GMIG_SAMPLING_SLOWDOWN. Counted as gmig_job_info.slowdown_ppm is. */
	uint32_t max_slowdown_ppm;
	uint64_t reserved[7];
};

/*
 * Switch sampling on, or change how it is done. What was seen before stays. -EINVAL a rate or budget that is too large;
 * -EOPNOTSUPP none of the guest's memory can be sampled, or migration is off; -ESHUTDOWN the engine met a fatal error; -ENOMEM,
 * -EAGAIN no thread.
 */
int gmig_sampling_start(struct gmig *gmig, const struct gmig_sampling *how, struct gmig_error *err);
/* Switch it off: all blocks are back when it returns, and what was seen stays. */
void gmig_sampling_stop(struct gmig *gmig);
/*
 * The guest's vCPUs stand still (on), or run again: what is not touched meanwhile is not cold. Blocks that are out come back, and
 * none is taken, until it is off. May be called whether sampling is on or not.
 */
void gmig_sampling_hold(struct gmig *gmig, bool on);

struct gmig_sampling_info {
	bool on, held;
	struct gmig_sampling how;
	uint64_t on_ns; /* for so long it has been on; like the counts, since it was switched on */
	uint64_t touched, untouched; /* samples that ended, and tell something */
	uint64_t touched_by_vcpu;    /* of those: by a thread that was named as one */
	uint64_t
	    given_up; /* that tell nothing: as somebody else wanted the block, or it could not be taken */
	uint64_t waiting;  /* blocks that are out now */
	uint64_t rounds;   /* times that all of the memory had its turn */
	uint64_t slept_ns; /* of all threads, on samples */
	uint64_t held_ns;  /* of calls that interrupt vCPUs */
	/* What it has cost an average vCPU, in parts per million of its time, and in the worst second. */
	uint32_t slowdown_ppm, slowdown_worst_ppm;
	uint64_t reserved[8];
};
/* What it has done, and what that has cost. */
void gmig_sampling_info(struct gmig *gmig, struct gmig_sampling_info *info);

/* What somebody says of a part of the memory: whole blocks of 2 MiB, each of them as much used as the others. */
struct gmig_heat_share {
	uint64_t gpa, bytes;
	/* Of the looks at a block, those that found it used, in millionths. From a half on it is hot, and at 0 cold. */
	uint32_t share_ppm;
	uint32_t reserved; /* 0 */
};

/* What became of a report. */
struct gmig_heat_noted {
	uint64_t noted_bytes;
	uint64_t outside_bytes; /* not the guest's memory: ignored */
	uint64_t
	    moved_bytes; /* of blocks that a job moved within the last quarter of a second: ignored */
	uint64_t reserved[5];
};
/*
 * A report, in the order of addresses, of the whole memory or a part; of what it does not have, what was known stays. Nothing of it
 * is believed but as heat: what is wrong, or a lie of a guest, can make the order of jobs worse, no more. Takes time in proportion
 * to the guest's memory that it has. noted may be NULL, and is filled on -ENOMEM, too.
 * -EINVAL, and nothing is noted: an address or a size that is no multiple of 2 MiB or beyond 2^48, a share above 1000000, parts that
 * overlap or are not in order.
 */
int gmig_heat_report(struct gmig *gmig, const struct gmig_heat_share *parts, size_t count,
		     struct gmig_heat_noted *noted, struct gmig_error *err);

#define GMIG_HEAT_NODES 8

struct gmig_heat_node {
	uint64_t node, bytes;
};

/* Of a part of the guest's memory: at most a GiB, and of one region. */
struct gmig_heat {
	uint64_t gpa, bytes;
	/*
	 * By what samples have shown: missed within 4 ms on average; within 256 ms; by nobody. Or by reports: used in at least half of
	 * the looks; in some; in none. unknown: never sampled or reported, not there, or moved in the last quarter of a second. Their
	 * sum is `bytes`. What has been given back since its last sample is in them.
	 */
	uint64_t hot_bytes, warm_bytes, cold_bytes, unknown_bytes;
	uint64_t
	    newest_age_ns; /* since the newest sample or report of this GiB; 0: nothing is known */
	/* The nodes on which those vCPUs ran that missed blocks last; bytes 0: there are no more. */
	struct gmig_heat_node by[GMIG_HEAT_NODES];
	uint64_t
	    reported_bytes; /* of hot, warm and cold: what gmig_heat_report() has said, not samples */
	uint64_t reserved[3];
};
/*
 * Parts in the order of their addresses, from the one that has `gpa`, or the next one: up to `max`. Returns how many it filled; 0:
 * there are no more.
 */
size_t gmig_heat(struct gmig *gmig, uint64_t gpa, struct gmig_heat *parts, size_t max);
/* The same, but parts end at multiples of step_bytes, too (of 2 MiB, not 0). */
size_t gmig_heat_parts(struct gmig *gmig, uint64_t gpa, uint64_t step_bytes,
		       struct gmig_heat *parts, size_t max);

#pragma GCC visibility pop

#ifdef __cplusplus
}
#endif
#endif
