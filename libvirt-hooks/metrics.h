/*
 * What gmigd measured, as Prometheus' text format 0.0.4 in a file for node_exporter's textfile collector. Pure: a plain snapshot goes
 * in, the caller owns all of it. Any thread; two that write one path at once leave the file of one of them.
 */
#ifndef METRICS_H
#define METRICS_H

#include "../migrate/gmig_error.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Bytes of a domain's RAM on one node in pages of one size. Each (node, page_bytes) is there once for a domain. */
struct metrics_memory {
	unsigned int node;
	uint64_t page_bytes;
	uint64_t bytes;
};

/* virDomainJobType's numbers, which libvirt's exporters show. */
enum metrics_job_type {
	METRICS_JOB_NONE = 0,
	METRICS_JOB_RUNNING = 1,
	METRICS_JOB_COMPLETED = 3,
	METRICS_JOB_FAILED = 4,
	METRICS_JOB_CANCELLED = 5,
};

/* The domain's running or last job; with METRICS_JOB_NONE only the type is written. */
struct metrics_job {
	enum metrics_job_type type;
	double elapsed_seconds;
	double remaining_seconds; /* NAN: not known */
	uint64_t total_bytes, processed_bytes, remaining_bytes;
	uint64_t rate_bytes; /* the limit, a second; 0: none, which is written as +Inf */
};

/* A value that is NAN is not known, and not written. */
struct metrics_domain {
	const char *name;
	const struct metrics_memory *memory;
	size_t memory_count;
	double local_ratio;    /* 0..1: of its memory on the nodes of its vCPUs */
	double score;	       /* affinity, 0..100 */
	double score_possible; /* after the best plan */
	double scan_timestamp; /* seconds since 1970 */
	bool policy_wrong;     /* its metadata or configuration is refused */
	struct metrics_job job;
};

struct metrics_snapshot {
	const char *version;
	const struct metrics_domain *domains;
	size_t domain_count;
	double host_score, host_score_possible;
	double scan_duration_seconds;
	double scan_cpu_seconds; /* of all scans since gmigd started */
};

/* The name of the i-th metric; NULL behind the last. */
const char *metrics_name(size_t i);

/*
 * The whole text in *text, which the caller frees. -EINVAL: two domains have the same name, which would make a collector refuse all
 * of it; -ENOMEM.
 */
int metrics_print(const struct metrics_snapshot *snapshot, char **text, struct gmig_error *err);

/*
 * Write it to `path`: into a new file beside it, mode 0644, which then takes its place, so that a reader sees the old text or the new
 * one. Never follows a symbolic link in the last part of the path. Not synced to disk: after a crash of the host it is worth nothing.
 * -errno of open(2), write(2), rename(2), as -ENOSPC: the old file is as it was; and as metrics_print().
 */
int metrics_write(const char *path, const struct metrics_snapshot *snapshot,
		  struct gmig_error *err);

#endif
