/*
 * A job carries a plan out: a thread of its own that runs passes, copy workers that move one block
 * at a time, and, where frames come from the kernel, a zeroer beside each worker that has them
 * zeroed ahead.
 *
 * job.lock guards state, rate and the counts of the job's threads; it is never held while a block
 * is worked on. What workers count is atomic. See engine.h for the order of locks.
 */
#ifndef GMIG_JOB_H
#define GMIG_JOB_H

#include "../core/rate.h"
#include "../memory/engine.h"
#include "../movers/mover.h"
#include "plan.h"
#include "status.h"
#include "trace.h"

enum job_event {
	JOB_RUN,    /* the job's thread starts */
	JOB_PAUSE,  /* asked for */
	JOB_RESUME, /* asked for */
	JOB_CANCEL, /* asked for */
	JOB_FINISH, /* nothing left to do, or to try */
	JOB_STOP,   /* ended by a cancel, with work left */
	JOB_FAIL,
	JOB_EVENTS,
};

struct gmig_job {
	/* NULL once the engine is gone, written then under lock; the job's own threads have ended. */
	struct gmig *gmig;
	struct gmig_job *next; /* guarded by engine.lock */
	atomic_uint refs;      /* the list's, the thread's, and callers'; the last one frees */
	/* Constant once started */
	uint64_t id;
	struct gmig_job_spec spec;
	const struct mover *mover;
	struct plan_map map;
	struct plan *plan;
	struct status *status;
	struct trace *trace; /* NULL: not asked for */
	pthread_t thread;

	pthread_mutex_t lock;
	pthread_cond_t changed; /* state, rate, or a worker ended */
	/* guarded by lock */
	enum gmig_job_state state;
	bool announce; /* the state changed and job_event has not said so */
	bool joined;
	struct rate rate;
	unsigned int working; /* workers that run */
	unsigned int passes;
	uint64_t start_ns, end_ns, pause_start_ns, paused_ns;
	struct gmig_error error;

	/* This pass: blocks to do. todo is constant while workers run. */
	uint64_t *todo;
	size_t todo_count;
	atomic_size_t todo_next;
	atomic_uint full[GMIG_MAX_NODES]; /* times in a row that a node had no frame */

	atomic_ullong total_bytes, moved_bytes, thp_split;
	struct hist blackout_read, blackout_write, stall;
};

/* Change the state; -EPERM for an event that the state does not know, -EALREADY when it is so
 * already. Caller holds lock. */
int job_change(struct gmig_job *job, enum job_event event);
static inline bool job_is_over(enum gmig_job_state state)
{
	return state >= GMIG_JOB_COMPLETED;
}
enum job_admission { JOB_ADMITTED, JOB_UNWANTED, JOB_REFUSED };
/*
 * Before a block is claimed: wait while the job is paused or over its rate. UNWANTED: wanted(arg),
 * asked once a second under job.lock, said that nothing is left to move, as when another job was
 * faster; REFUSED: the job is being cancelled. Neither has used up any of the rate.
 */
enum job_admission job_admit(struct gmig_job *job, uint64_t bytes, bool (*wanted)(void *),
			     void *arg);
/* Of what was admitted, these bytes were not tried: others had moved them, or there was no frame. */
void job_unspent(struct gmig_job *job, uint64_t bytes);

/*
 * Cancel all jobs of the engine, wait for them, release them. No job can be started any more. Jobs
 * that a caller holds live on without the engine until their last put.
 */
void job_end_all(struct gmig *gmig);

/* ---- job_pass.c ---------------------------------------------------------------------------- */

/* Run the passes. On the job's thread. */
int job_run_passes(struct gmig_job *job, struct gmig_error *err);
/* Tell job_event what there is to tell; called by the job's thread only. */
void job_tell(struct gmig_job *job);

/* ---- job_block.c --------------------------------------------------------------------------- */

struct job_worker {
	struct gmig_job *job;
	unsigned int number;	    /* in its job, from 0 */
	unsigned int index;	    /* of its pools */
	bool again;		    /* a later pass: only pages that are worth another try */
	atomic_uint target, source; /* nodes of the current block, for the zeroer */
};

/* Move what is to be moved of one block and note the results. false: the job is being cancelled. */
bool job_block(struct job_worker *worker, uint64_t block_gfn);
/* Note -ECANCELED for what the job did not reach. */
void job_block_unreached(struct gmig_job *job, uint64_t block_gfn);

#endif
