/*
 * Jobs: what takes long runs on a thread of its own, is asked about, slowed down and cancelled by
 * the host. At most AGENT_JOBS_RUNNING at once; the last AGENT_JOBS_KEPT are remembered.
 *
 * agent_jobs_* run on the main thread alone; agent_job_* of a job's own run on its thread. The
 * fields of struct agent_job are guarded by its jobs' lock, but for the atomics.
 */
#ifndef AGENT_JOB_H
#define AGENT_JOB_H

#include "../migrate/gmig_error.h"

#include <jansson.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#define AGENT_JOBS_RUNNING 4
#define AGENT_JOBS_KEPT	   16
#define AGENT_MAX_ERRNO	   134

struct agent_job;
struct agent_jobs;

struct agent_job_ops {
	const char *kind; /* the command's name */
	/* The work. Its error ends the job as failed; a cancelled one returns 0. */
	int (*run)(struct agent_job *job, void *context, struct gmig_error *err);
	/* Add what is particular to the kind to the job's object. Lock held, main thread; NULL. */
	void (*describe)(const void *context, json_t *object);
	/* On the job's thread, when the work is over and before that is told: give descriptors back. What is told stays. NULL. */
	void (*end)(void *context);
	void (*free)(void *context);
};

/* Pages that stay, by reason: pages[n] of 4K each for errno n. */
struct agent_remaining {
	uint64_t pages[AGENT_MAX_ERRNO];
};

struct agent_job_counts {
	uint64_t total_bytes, done_bytes, moved_bytes;
	struct agent_remaining remaining;
};

int agent_jobs_create(struct agent_jobs **out, struct gmig_error *err);
/* Cancel all and wait up to timeout_ms; false: one still runs, nothing was freed. */
bool agent_jobs_destroy(struct agent_jobs *jobs, int timeout_ms);
/* Takes context over, also when it fails. rate: bytes a second, 0 for no limit. *out: the job's
 * object, a new reference. -EBUSY: too many run. */
int agent_jobs_start(struct agent_jobs *jobs, const struct agent_job_ops *ops, void *context,
		     uint64_t rate, json_t **out, struct gmig_error *err);
/* A new reference each. -ESRCH no such job; cancel and rate: -EALREADY it has ended. */
json_t *agent_jobs_json(struct agent_jobs *jobs);
int agent_jobs_status(struct agent_jobs *jobs, uint64_t id, json_t **out, struct gmig_error *err);
int agent_jobs_cancel(struct agent_jobs *jobs, uint64_t id, json_t **out, struct gmig_error *err);
/* The context of one of that kind that has completed: it is still, and there until another job
 * begins. -EINVAL another kind; -EBUSY it runs; -ENODATA it has not completed. */
int agent_jobs_result(struct agent_jobs *jobs, uint64_t id, const struct agent_job_ops *ops,
		      const void **context, struct gmig_error *err);
int agent_jobs_set_rate(struct agent_jobs *jobs, uint64_t id, uint64_t rate, json_t **out,
			struct gmig_error *err);

/* ---- On the job's thread --------------------------------------------------------------------- */

bool agent_job_cancelled(const struct agent_job *job);
/* Replace the counts that the host sees. */
void agent_job_publish(struct agent_job *job, const struct agent_job_counts *counts);
/* Call with what has just been moved: sleeps as the rate asks, ends early when cancelled. */
void agent_job_pace(struct agent_job *job, uint64_t bytes);
/* How many bytes make a sensible step: at most max_bytes, and 50 ms worth of the rate. */
uint64_t agent_job_step_bytes(const struct agent_job *job, uint64_t max_bytes);
/* For a describe that reads what run writes: the lock that both hold. */
void agent_job_lock(struct agent_job *job);
void agent_job_unlock(struct agent_job *job);

/* CPU time of the calling thread. */
uint64_t agent_job_cpu_ns(void);

/* {"EBUSY": 3}, a new reference. */
json_t *agent_remaining_json(const struct agent_remaining *remaining);
static inline void agent_remaining_add(struct agent_remaining *remaining, int code, uint64_t pages)
{
	int number = code < 0 ? -code : code;

	remaining->pages[number < AGENT_MAX_ERRNO ? number : 5] += pages; /* 5: EIO */
}
static inline uint64_t agent_remaining_total(const struct agent_remaining *remaining)
{
	uint64_t total = 0;

	for (int i = 0; i < AGENT_MAX_ERRNO; i++)
		total += remaining->pages[i];
	return total;
}

#endif
