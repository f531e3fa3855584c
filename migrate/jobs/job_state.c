#include "job_state.h"

#include <errno.h>
#include <stdlib.h>

#define ADMIT_LOOK_NS 1000000000ull /* who waits longer looks whether it is still worth it */

/* ---- States -------------------------------------------------------------------------------- */

#define NEXT(state) ((state) + 1) /* 0 = the event is refused */

static const unsigned char job_next[GMIG_JOB_CANCELLED + 1][JOB_EVENTS] = {
    [GMIG_JOB_CREATED] = {[JOB_RUN] = NEXT(GMIG_JOB_RUNNING),
			  [JOB_PAUSE] = NEXT(GMIG_JOB_PAUSED),
			  [JOB_CANCEL] = NEXT(GMIG_JOB_CANCELLING),
			  [JOB_FAIL] = NEXT(GMIG_JOB_FAILED)},
    [GMIG_JOB_RUNNING] = {[JOB_PAUSE] = NEXT(GMIG_JOB_PAUSED),
			  [JOB_CANCEL] = NEXT(GMIG_JOB_CANCELLING),
			  [JOB_FINISH] = NEXT(GMIG_JOB_COMPLETED),
			  [JOB_FAIL] = NEXT(GMIG_JOB_FAILED)},
    [GMIG_JOB_PAUSED] =
	{/* its thread begins: it was paused before */
	 [JOB_RUN] = NEXT(GMIG_JOB_PAUSED),
	 [JOB_RESUME] = NEXT(GMIG_JOB_RUNNING),
	 [JOB_CANCEL] = NEXT(GMIG_JOB_CANCELLING),
	 /* the last block was under way */
	 [JOB_FINISH] = NEXT(GMIG_JOB_COMPLETED),
	 [JOB_FAIL] = NEXT(GMIG_JOB_FAILED)},
    [GMIG_JOB_CANCELLING] = {[JOB_RUN] = NEXT(GMIG_JOB_CANCELLING),
			     /* the request came too late to stop anything */
			     [JOB_FINISH] = NEXT(GMIG_JOB_COMPLETED),
			     [JOB_STOP] = NEXT(GMIG_JOB_CANCELLED),
			     [JOB_FAIL] = NEXT(GMIG_JOB_FAILED)},
};

int job_change(struct gmig_job *job, enum job_event event)
{
	unsigned int next = job_next[job->state][event];
	uint64_t now;

	if (!next)
		return job_is_over(job->state) ? -ESRCH : -EALREADY;
	now = job->memory->sys->now_ns();
	if (job->state == GMIG_JOB_PAUSED) {
		job->paused_ns += now - job->pause_start_ns;
		rate_resume(&job->rate, now);
	}
	job->state = next - 1;
	if (job->state == GMIG_JOB_PAUSED) {
		job->pause_start_ns = now;
		rate_pause(&job->rate, now);
	}
	if (job_is_over(job->state))
		job->end_ns = now;
	atomic_store(&job->cancelled, job->state == GMIG_JOB_CANCELLING);
	job->announce = true;
	pthread_cond_broadcast(&job->changed);
	if (job->lazy)
		lazy_hold(job->lazy, job->state != GMIG_JOB_RUNNING);
	return 0;
}

enum job_admission job_admit(struct gmig_job *job, uint64_t bytes, bool (*wanted)(void *),
			     void *arg)
{
	const struct gmig_sys *sys = job->memory->sys;
	enum job_admission admission = JOB_UNWANTED;
	struct rate_ticket ticket;

	pthread_mutex_lock(&job->lock);
	rate_join(&job->rate, &ticket, bytes, sys->now_ns());
	do {
		uint64_t now = sys->now_ns(), wait;

		if (job->state == GMIG_JOB_CANCELLING) {
			admission = JOB_REFUSED;
		} else if (job->state == GMIG_JOB_PAUSED) {
			pthread_cond_wait(&job->changed, &job->lock);
		} else if (!(wait = rate_turn(&job->rate, &ticket, now))) {
			admission = JOB_ADMITTED;
		} else {
			sys->wait_until(&job->changed, &job->lock,
					now + (wait < ADMIT_LOOK_NS ? wait : ADMIT_LOOK_NS));
			if (wait > ADMIT_LOOK_NS && job->state == GMIG_JOB_RUNNING && !wanted(arg))
				break;
		}
	} while (admission == JOB_UNWANTED);
	if (admission != JOB_ADMITTED) {
		rate_leave(&job->rate, &ticket, sys->now_ns());
		pthread_cond_broadcast(&job->changed);
	}
	pthread_mutex_unlock(&job->lock);
	return admission;
}

void job_unspent(struct gmig_job *job, uint64_t bytes)
{
	if (!bytes)
		return;
	pthread_mutex_lock(&job->lock);
	rate_give_back(&job->rate, bytes, job->memory->sys->now_ns());
	pthread_cond_broadcast(&job->changed);
	pthread_mutex_unlock(&job->lock);
}

void job_choose(struct gmig_job *job, struct mover_ticket *ticket)
{
	ticket->mode = job->work.spec.mode;
	pthread_mutex_lock(&job->lock);
	/* What does not wait for a touch moves as in mode auto. */
	if (ticket->mode == GMIG_MODE_AUTO || ticket->mode == GMIG_MODE_LAZY)
		ticket->mode = choose_mode(&job->choose[ticket->huge]);
	ticket->run_pages = pace_run_pages(&job->pace);
	pthread_mutex_unlock(&job->lock);
}

void job_pace(struct gmig_job *job, struct mover_ticket *ticket)
{
	pthread_mutex_lock(&job->lock);
	ticket->run_pages = pace_run_pages(&job->pace);
	pthread_mutex_unlock(&job->lock);
}

/* Of a mode that was asked for, too: the blocks are counted. */
void job_note_cost(struct gmig_job *job, const struct mover_ticket *ticket, uint64_t took_ns)
{
	const struct slept *slept = &ticket->claim.slept;
	bool in_parts = !ticket->huge && ticket->run_pages;
	const struct choose_sample cost = {
	    .mode = ticket->mode,
	    .took_ns = took_ns,
	    .part_ns = in_parts ? took_ns * ticket->run_pages / GMIG_BLOCK_PAGES : took_ns,
	    .slept_ns = slept->ns,
	    .writers = slept->writers,
	};
	struct pace_sample waits = {slept->longest_ns, slept->threads};

	if (ticket->call_ns)
		waits = (struct pace_sample){ticket->call_ns, 1};
	pthread_mutex_lock(&job->lock);
	if (took_ns)
		choose_note(&job->choose[ticket->huge], &cost);
	pace_note(&job->pace, &waits);
	pthread_mutex_unlock(&job->lock);
}

void job_rest(struct gmig_job *job)
{
	uint64_t rest_ns;

	pthread_mutex_lock(&job->lock);
	rest_ns = pace_rest_ns(&job->pace);
	pthread_mutex_unlock(&job->lock);
	if (rest_ns)
		job->memory->sys->sleep_ns(rest_ns);
}

int job_ask(struct gmig_job *job, enum job_event event)
{
	int ret;

	pthread_mutex_lock(&job->lock);
	ret = job_change(job, event);
	pthread_mutex_unlock(&job->lock);
	return ret;
}

bool job_is_cancelled(void *arg)
{
	struct gmig_job *job = arg;

	return atomic_load(&job->cancelled);
}

int gmig_job_pause(struct gmig_job *job)
{
	return job_ask(job, JOB_PAUSE);
}

int gmig_job_resume(struct gmig_job *job)
{
	return job_ask(job, JOB_RESUME);
}

int gmig_job_cancel(struct gmig_job *job)
{
	return job_ask(job, JOB_CANCEL);
}

int gmig_job_set_rate(struct gmig_job *job, uint64_t bytes_per_second)
{
	int ret = -ESRCH;

	pthread_mutex_lock(&job->lock);
	if (!job_is_over(job->state)) {
		rate_set(&job->rate, bytes_per_second, job->memory->sys->now_ns());
		pthread_cond_broadcast(&job->changed);
		ret = 0;
	}
	pthread_mutex_unlock(&job->lock);
	return ret;
}

void gmig_job_wait(struct gmig_job *job)
{
	pthread_mutex_lock(&job->lock);
	while (!job_is_over(job->state))
		pthread_cond_wait(&job->changed, &job->lock);
	pthread_mutex_unlock(&job->lock);
}

/* ---- The end ------------------------------------------------------------------------------- */

/* Needs no memory: the last handle may outlive it. */
void job_free(struct gmig_job *job)
{
	gmig_topology_put(job->work.topology);
	workset_free(&job->set);
	free(job->ranges);
	plan_destroy(&job->plan);
	later_destroy(job->later);
	lazy_destroy(job->lazy);
	status_destroy(job->status);
	trace_destroy(job->trace);
	pthread_cond_destroy(&job->changed);
	pthread_mutex_destroy(&job->lock);
	free(job);
}

void gmig_job_put(struct gmig_job *job)
{
	if (job && atomic_fetch_sub(&job->refs, 1) == 1)
		job_free(job);
}

bool job_memory_has_ended(struct gmig_job *job)
{
	struct gmig_error err;

	return job->memory->ops->ready(job->memory, &job->work.spec, &err) == -ESRCH;
}
