/*
 * What is measured, as data: a cell is one way to move a guest's memory, a sample is one repetition of it, a metric one
 * figure of a sample. Everything else (runner, reports, targets) goes over these tables, so that a new mover or load is a
 * new row. Pure; one thread.
 */
#ifndef BENCH_CELL_H
#define BENCH_CELL_H

#include "../../migrate/gmig_error.h"
#include "stats.h"

#include <jansson.h>
#include <stdint.h>

#define BENCH_MAX_CELLS 256
#define BENCH_MAX_REPS	101

/* Strings are static names, the same as in the JSON. */
struct cell {
	const char *mover, *mode, *page, *load, *frames;
	unsigned int threads, vcpus, jobs;
	unsigned int
	    batch; /* small pages exchanged at a time; of move_pages: addresses in a call; 0: the default */
	uint64_t mem_bytes;
	const char *name; /* NULL, or what a preset calls it */
	const char *
	    domain; /* NULL: a probe guest of ours; else that domain of libvirt (domain.h), load "own" */
};

/* All alike but the number of jobs and the guest's size. */
bool cell_same_kind(const struct cell *a, const struct cell *b);
/*
 * "2M recycled readable write" and what differs from one thread, vCPU, job, and from a guest of 1 GiB. A domain's:
 * "domain by virsh, 2M" without its name, which may be as long as it likes.
 */
void cell_name(const struct cell *cell, char *text, size_t bytes);

enum metric {
	METRIC_BYTES_PER_SECOND, /* what the job reports: moved bytes over its seconds */
	METRIC_WALL_BYTES_PER_SECOND, /* moved bytes over the client's clock, from the command to the last job's end */
	METRIC_MEMCPY_BYTES_PER_SECOND,
	METRIC_MEMCPY_RATIO,
	METRIC_MOVED_RATIO, /* of what lay elsewhere: a peer may leave some of it behind */
	METRIC_COLD_COPY_NS,
	METRIC_TLB_FLUSH_NS, /* of another CPU, flush.h */
	METRIC_CPU_SECONDS_PER_GB,
	METRIC_USER_SECONDS_PER_GB,   /* the same in two, by the kernel's clock ticks of 10 ms: */
	METRIC_SYSTEM_SECONDS_PER_GB, /* only the sums over many repetitions mean something */
	METRIC_MEMCPY_CPU_SECONDS_PER_GB,
	METRIC_THP_SPLIT,
	METRIC_PASSES,
	METRIC_GUEST_BEFORE, /* pages that the guest visits per second: for 20 ms before, */
	METRIC_GUEST_DURING, /* from the command to the last job's end, */
	METRIC_GUEST_AFTER,  /* and for 20 ms after */
	METRIC_EXTRA_BYTES, /* largest resident set meanwhile, above that before the guest's first migration */
	/* Four each, in the order of cell_percentiles: p50, p99, p999, max */
	METRIC_BLACKOUT_READ_NS,
	METRIC_BLACKOUT_WRITE_NS = METRIC_BLACKOUT_READ_NS + 4,
	METRIC_STALL_NS = METRIC_BLACKOUT_WRITE_NS + 4,
	METRIC_GAP_NS = METRIC_STALL_NS + 4,
	METRIC_COUNT = METRIC_GAP_NS + 4,
};

#define CELL_PERCENTILES 4
extern const char *const cell_percentiles[CELL_PERCENTILES];
/* "memcpy_ratio", "blackout_read_p99_ns": column names. Static. */
const char *metric_name(enum metric metric);

struct sample {
	double value[METRIC_COUNT]; /* NAN: not measured (nobody slept, say) */
};

void sample_clear(struct sample *sample);
/* The three rates, from memcpy's in the sample; 0 when nothing moved. */
void sample_set_rate(struct sample *sample, double moved_bytes, double seconds,
		     double wall_seconds);
/* {"count","p50","p99","p999","max"} into value[first..first+4); count 0 or absent leaves NAN. Keeps the larger one. */
void sample_add_percentiles(struct sample *sample, enum metric first, const json_t *percentiles);
/* Closed, stall, thp_split and passes of a job object as gmig-vmm gives it; several jobs of one repetition add up. */
int sample_add_job(struct sample *sample, const json_t *job, struct gmig_error *err);

/* How many times lasted from 2^i ns to under 2^(i+1) ns. */
#define CELL_BUCKETS 64
struct cell_times {
	uint64_t blackout_read[CELL_BUCKETS], blackout_write[CELL_BUCKETS], stall[CELL_BUCKETS];
};

struct cell_result {
	struct cell cell;
	struct cell_times times; /* of all repetitions */
	double
	    syscalls_per_mib; /* of gmig-vmm without its vCPUs, in a migration of its own; NAN: not counted */
	double
	    instructions_per_page; /* of 4 KiB, in another, with the guest paused; NAN: not counted */
	const char *instructions_by; /* "pmu", "lab"; NULL: not counted */
	unsigned int count;
	struct sample sample[BENCH_MAX_REPS];
};

/* Summary of one metric over the repetitions. */
void cell_summary(const struct cell_result *result, enum metric metric, struct stats_summary *out);
double cell_median(const struct cell_result *result, enum metric metric);
/* Share of the CPU time that was spent in the kernel, all repetitions together; NAN: not enough to tell. */
double cell_system_share(const struct cell_result *result);

/* Lists of what to vary; a NULL or 0 count takes the default. Product in a fixed order. */
struct cell_axes {
	const char *mover[4], *page[4], *frames[4], *load[8], *mode[4];
	unsigned int threads[8], vcpus[8], jobs[8], batch[8];
	uint64_t mem_bytes[8];
	unsigned int movers, pages, frame_kinds, loads, modes, thread_counts, vcpu_counts,
	    job_counts, batches, mems;
};

/* mem_bytes: for axes without one. Cells of the product, at most `max`; returns how many there are (more than max: not all were written). */
size_t cell_product(const struct cell_axes *axes, uint64_t mem_bytes, struct cell *cells,
		    size_t max);
/* The cells that the targets are judged by. */
size_t cell_target_preset(uint64_t mem_bytes, struct cell *cells, size_t max);
/* Ten that show the range: what helps, what costs. */
size_t cell_quick_preset(uint64_t mem_bytes, struct cell *cells, size_t max);
/* One job and four at once, in pairs: cells[i], cells[i + 1]. swap: and a pair by gmig's mover swap, the last. */
size_t cell_paper_preset(uint64_t mem_bytes, bool swap, struct cell *cells, size_t max);

/* Moves domains only; domain.h. */
extern const char cell_mover_virsh[];
/* gmig's own, in a guest like that of uffd's cells; mode "swap" is its one way. Of paper alone. */
extern const char cell_mover_swap[];
/* Does any of them need two real nodes? */
bool cell_needs_nodes(const struct cell *cells, size_t count);
/*
 * Append the kernel's own movers (kernel_mover.h), each once for each page size, load, number of vCPUs and size of guest
 * among the first `count` cells; returns how many there are then, at most max.
 */
size_t cell_add_peers(struct cell *cells, size_t count, const char *mover, size_t max);

/*
 * The movers of the axes (none: gmig's) for cells that are gmig's; virsh has none of these. Returns how many cells there are
 * then.
 */
size_t cell_choose_movers(const struct cell_axes *axes, struct cell *cells, size_t count,
			  size_t max);

/* The static name equal to text among those an axis allows; NULL: none. axis: "mover", "page", "frames", "load", "mode". */
const char *cell_axis_name(const char *axis, const char *text);

#endif
