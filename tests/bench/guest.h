/*
 * A gmig-vmm with the probe guest, as a child, driven over its control socket. One thread owns a guest. The child dies with
 * us (PR_SET_PDEATHSIG); its socket lies in $XDG_RUNTIME_DIR, which main points to a directory of our own.
 */
#ifndef BENCH_GUEST_H
#define BENCH_GUEST_H

#include "../../migrate/gmig_error.h"

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#define GUEST_MAX_JOBS 8

struct guest_config {
	uint64_t mem_bytes;
	unsigned int vcpus;
	unsigned int fake_nodes; /* 0: the host's own nodes 0 and 1 */
	const char *page;	 /* "2M", "4K" */
	const char
	    *frames; /* not told to gmig-vmm; guests of different kinds keep their pools apart */
	bool plain;  /* --memory plain: only the kernel can move it */
	bool pin;    /* a vCPU thread a CPU, from the last one down */
};

struct guest;

/* Starts the child, waits until it answers and every page is there. The guest runs, load `write`. */
int guest_create(const struct guest_config *config, const char *vmm_path, const char *directory,
		 struct guest **out, struct gmig_error *err);
/* Quits the child, by force if it must; NULL is legal. */
void guest_destroy(struct guest *guest);
const struct guest_config *guest_config(const struct guest *guest);
pid_t guest_pid(const struct guest *guest);
/* The host node where the memory lies, by our own count of migrations. */
unsigned int guest_node(const struct guest *guest);

/* Let it run with that load (the load is told only when it is another one), or stop its vCPUs. */
int guest_run(struct guest *guest, const char *load, struct gmig_error *err);
int guest_pause(struct guest *guest, struct gmig_error *err);

struct guest_state {
	uint64_t sweeps, errors;
	uint64_t visits;			 /* pages; finer than sweeps */
	uint64_t resident_bytes[64], pool_bytes; /* pools of all nodes together */
	json_t *gap_ns;				 /* owned: json_decref */
};
int guest_state(struct guest *guest, struct guest_state *state, struct gmig_error *err);
/* Is its memory sampled for how much it is used, at the default rate? */
int guest_sample(struct guest *guest, bool on, struct gmig_error *err);
int guest_reset_gaps(struct guest *guest, struct gmig_error *err);
/* Pages that the running guest visits per second, watched for that long. */
int guest_throughput(struct guest *guest, unsigned int ms, double *visits_per_second,
		     struct gmig_error *err);

/* How often each time occurred since the guest's start, all migrations: [i] from 2^i ns to under twice that. */
#define GUEST_BUCKETS 64
struct guest_times {
	uint64_t blackout_read[GUEST_BUCKETS], blackout_write[GUEST_BUCKETS], stall[GUEST_BUCKETS];
};
int guest_times(struct guest *guest, struct guest_times *times, struct gmig_error *err);

struct guest_migration {
	const char *
	    mover; /* NULL, "uffd": gmig's; "swap": its other one; else kernel_mover.h's, of a plain guest on real nodes, not with guest_migrate_start */
	const char *mode, *frames;
	unsigned int threads, jobs;
	unsigned int batch;		/* 0: the mover's default */
	uint64_t rate_bytes_per_second; /* 0: none */
	uint64_t max_stall_ns;		/* 0: none */
	uint32_t max_slowdown_ppm;	/* 0: none */
	const char *order;		/* NULL: by address */
	const char *huge;		/* NULL: the default */
	bool trace, count_syscalls, count_instructions;
};

struct guest_outcome {
	json_t *job[GUEST_MAX_JOBS]; /* owned, as gmig-vmm gave them at their end */
	unsigned int jobs;	     /* 0: the kernel moved it, and this is what it did: */
	double moved_bytes, moved_ratio, seconds, thp_split;
	uint64_t begin_ns; /* CLOCK_MONOTONIC, just before the first command */
	uint64_t wall_ns;  /* from the first command to the last end, by our clock */
	uint64_t cpu_ns;   /* CPU time of the child in it, without its vCPU threads */
	double user_seconds,
	    system_seconds;	  /* the same as the kernel's clock ticks saw it: coarse */
	double visits_per_second; /* pages that the guest visited meanwhile */
	double
	    syscalls; /* of the child without its vCPU threads; NAN when not asked for, or not to be had */
	double
	    instructions; /* the same; in the lab of the whole machine, so the guest must be paused */
	const char *instructions_by; /* instructions_source(), or NULL */
	double
	    extra_bytes; /* the child's largest resident set, above that before its first migration; NAN: unknown */
};
void guest_outcome_clear(struct guest_outcome *outcome);

/* All memory to the other node (0 <-> 1); waits for the end. */
int guest_migrate(struct guest *guest, const struct guest_migration *migration,
		  struct guest_outcome *outcome, struct gmig_error *err);
/* Twice over, so that the pools hold what recycling needs and both nodes have been seen. */
int guest_warm_up(struct guest *guest, const struct guest_migration *migration,
		  struct gmig_error *err);
/* The same in two steps, for who wants to look meanwhile. guest_wait: -ETIMEDOUT not ended within timeout_ms. */
int guest_migrate_start(struct guest *guest, const struct guest_migration *migration,
			struct guest_outcome *outcome, struct gmig_error *err);
int guest_migrate_wait(struct guest *guest, struct guest_outcome *outcome, int timeout_ms,
		       struct gmig_error *err);

/* Append the records of a job that was started with `trace`, each with the job's id added as "job". */
int guest_trace(struct guest *guest, const json_t *job, json_t *records, struct gmig_error *err);

/* CPU time of the child so far: all threads, and of these the vCPUs'. */
int guest_cpu_ns(const struct guest *guest, uint64_t *all_ns, uint64_t *vcpu_ns);
/* How long the vCPU threads stood in line for a CPU so far, all together. */
int guest_vcpu_waited_ns(const struct guest *guest, uint64_t *waited_ns);

#endif
