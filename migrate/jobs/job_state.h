/*
 * A job: what it consists of, its states, pause, cancel, rate, admission.
 *
 * job.lock guards state, rate and the counts of the job's threads; it is never held while a block
 * is worked on. What workers count is atomic. See engine.h for the order of locks.
 */
#ifndef GMIG_JOB_STATE_H
#define GMIG_JOB_STATE_H

#include "../core/rate.h"
#include "../movers/mover.h"
#include "choose.h"
#include "later.h"
#include "lazy.h"
#include "pace.h"
#include "plan.h"
#include "status.h"
#include "trace.h"
#include "workset.h"

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
	/* NULL once the memory is gone, written then under lock; the job's own threads have ended. */
	struct memory *memory;
	struct gmig_job *next; /* guarded by memory.jobs_lock, like this: */
	bool follows_yet;      /* new memory is to follow it, and does not yet: newer ones wait */
	atomic_uint refs;      /* the list's, the thread's, and callers'; the last one frees */
	/* Constant once started */
	const struct mover *mover;
	struct plan plan;
	struct status *status;
	struct trace *trace; /* NULL: not asked for */
	pthread_t thread;
	struct mover_job work; /* spec, id and histograms, as the mover sees them */
	struct later *later;   /* what later jobs say of its pages */
	struct lazy *lazy;     /* mode lazy: what waits for a touch; else NULL */
	/* The job's thread only: those that ran when it began to say something; references. */
	struct gmig_job **older;
	size_t older_count;
	atomic_uint rounds[GMIG_MAX_WORKERS]; /* odd: the worker moves what it has picked */

	pthread_mutex_t lock;
	pthread_cond_t changed; /* state, rate, or a worker ended */
	/* guarded by lock */
	enum gmig_job_state state;
	bool announce; /* the state changed and job_event has not said so */
	struct rate rate;
	struct pace pace;
	struct choose choose[2]; /* small pages, huge pages; for mode auto, and to count */
	uint64_t cost_ns[2];	 /* what a block has cost the guest lately: of small pages, huge */
	unsigned int working;	 /* workers that run */
	unsigned int passes;
	uint64_t start_ns, end_ns, pause_start_ns, paused_ns;
	struct gmig_error error;
	atomic_bool cancelled; /* state is CANCELLING: to be asked without the lock */

	struct slowdown_budget budget; /* guarded by memory.slowdown_lock until the job has ended */

	/* This pass: blocks to do. Constant while workers run. */
	struct memory_range *ranges;
	size_t range_count;
	struct workset set;
	atomic_bool has_looked; /* its set is made, or it has ended */
	bool is_planned;	/* the set is complete; the job's thread only, like the next two */
	unsigned int turns;	/* passes in which blocks waited, and were to have another turn */
	bool left_known; /* the last look found this on the nodes to be left, and nothing to move */
	uint64_t left_bytes;
	atomic_size_t next_block;
	atomic_size_t cut_block; /* the first one that a worker gave up */
	/* From here on the first pass reached nothing. Written by the job's thread while it has workers; read once it has ended. */
	uint64_t cut_gfn;
	atomic_uint refused_workers; /* that could not begin in this pass */
	atomic_bool no_memory;	     /* a block's results could not be reserved: the job fails */
	atomic_int blind; /* -errno: where a block lies could not be asked: the job fails */

	/*
	 * The work set in pages. planned: when it was made; more: what turned out to belong to it when a
	 * block's turn came; early: of the planned, what was not there any more then. What became of
	 * the others is in status; the rest was never reached. See job_account().
	 */
	atomic_ullong planned, more, early_moved, early_gone, early_by_others;
	uint64_t on_source; /* pages on the nodes to be left, at the end; guarded by lock */
};

/* Change the state; -EPERM for an event that the state does not know, -EALREADY when it is so
 * already. Caller holds lock. */
int job_change(struct gmig_job *job, enum job_event event);
/* The same, with the lock taken. */
int job_ask(struct gmig_job *job, enum job_event event);
static inline bool job_is_over(enum gmig_job_state state)
{
	return state >= GMIG_JOB_COMPLETED;
}
/* Frees what gmig_job_put() frees at the end; for a job that never ran. */
void job_free(struct gmig_job *job);
/* For those who ask between blocks; arg: the job. */
bool job_is_cancelled(void *arg);

/* Is there none any more? For a walk that has failed. */
bool job_memory_has_ended(struct gmig_job *job);

enum job_admission { JOB_ADMITTED, JOB_UNWANTED, JOB_REFUSED };
/*
 * Before a block is claimed: wait while the job is paused or over its rate. UNWANTED: wanted(arg),
 * asked once a second under job.lock, said that nothing is left to move, as when another job was
 * faster; REFUSED: the job is being cancelled. Neither has used up any of the rate.
 */
enum job_admission job_admit(struct gmig_job *job, uint64_t bytes, bool (*wanted)(void *),
			     void *arg);
/* How the ticket's pages are to be moved: mode and run_pages. */
void job_choose(struct gmig_job *job, struct mover_ticket *ticket);
/* How much of it may be out of reach at a time, by the stall budget. */
void job_pace(struct gmig_job *job, struct mover_ticket *ticket);
/* What it cost to move them, once they are settled; took_ns: 0: nobody knows. */
void job_note_cost(struct gmig_job *job, const struct mover_ticket *ticket, uint64_t took_ns);
/* Before a block is claimed: as long as the stall budget wants. */
void job_rest(struct gmig_job *job);
/* Of what was admitted, these bytes were not tried: others had moved them, or there was no frame. */
void job_unspent(struct gmig_job *job, uint64_t bytes);

#endif
