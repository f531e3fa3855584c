/*
 * Passes over what is left, as Linux's page migration makes them: at most GMIG_MAX_PASSES, and only
 * while another try makes sense: after -EAGAIN or -EBUSY, or after -ENOMEM if this pass moved
 * something, since that made room.
 */
#include "../memory/audit.h"
#include "../memory/fault.h"
#include "job.h"

#include <errno.h>
#include <stdlib.h>

#define TELL_NS	       100000000ull
#define BACKOFF_NS     1000000ull
#define BACKOFF_MAX_NS 100000000ull

/* ---- The zeroer: a thread beside a worker that has frames zeroed ahead, and gives back what is
 * too much  */

struct zeroer {
	struct job_worker *worker;
	pthread_t thread;
	bool started;
	pthread_mutex_t lock;
	pthread_cond_t wanted;
	bool ending;	 /* guarded by lock */
	unsigned blocks; /* guarded by lock: blocks that the worker has begun */
};

static unsigned int stock_size(struct gmig_job *job)
{
	size_t next = atomic_load(&job->todo_next);
	size_t left = next < job->todo_count ? job->todo_count - next : 0;

	return left < FRAME_BATCH ? (unsigned int)left : FRAME_BATCH;
}

/* One step of work; false: nothing to do until the worker begins another block. */
static bool supply(struct zeroer *zeroer)
{
	struct job_worker *worker = zeroer->worker;
	struct gmig_job *job = worker->job;
	unsigned int target = atomic_load(&worker->target), source = atomic_load(&worker->source);
	struct frame_want want = {.node = target,
				  .worker = worker->index,
				  .huge = !job->gmig->options.small_pages,
				  .clean = job->spec.frames == GMIG_FRAMES_FRESH};

	if (target == GMIG_NO_NODE)
		return false;
	bits_fill(&want.need);
	frame_trim(job->gmig->frames, source);
	if (atomic_load(&job->full[target]))
		return false;
	return frame_stock(job->gmig->frames, &want, stock_size(job)) == 1;
}

static void *zeroer_thread(void *arg)
{
	struct zeroer *zeroer = arg;
	unsigned int seen;
	bool ending = false;

	while (!ending) {
		pthread_mutex_lock(&zeroer->lock);
		seen = zeroer->blocks;
		pthread_mutex_unlock(&zeroer->lock);
		while (!ending && supply(zeroer)) {
			pthread_mutex_lock(&zeroer->lock);
			ending = zeroer->ending;
			pthread_mutex_unlock(&zeroer->lock);
		}
		pthread_mutex_lock(&zeroer->lock);
		while (!zeroer->ending && zeroer->blocks == seen)
			pthread_cond_wait(&zeroer->wanted, &zeroer->lock);
		ending = zeroer->ending;
		pthread_mutex_unlock(&zeroer->lock);
	}
	return NULL;
}

/* Frames that go round need none made ahead. A zeroer that cannot be started is no loss but
 * speed. */
static void zeroer_start(struct zeroer *zeroer, struct job_worker *worker)
{
	struct gmig_job *job = worker->job;

	*zeroer = (struct zeroer){.worker = worker};
	if (job->gmig->fake && job->spec.frames != GMIG_FRAMES_FRESH)
		return;
	pthread_mutex_init(&zeroer->lock, NULL);
	pthread_cond_init(&zeroer->wanted, NULL);
	zeroer->started = !pthread_create(&zeroer->thread, NULL, zeroer_thread, zeroer);
}

static void zeroer_wake(struct zeroer *zeroer)
{
	if (!zeroer->started)
		return;
	pthread_mutex_lock(&zeroer->lock);
	zeroer->blocks++;
	pthread_cond_signal(&zeroer->wanted);
	pthread_mutex_unlock(&zeroer->lock);
}

static void zeroer_stop(struct zeroer *zeroer)
{
	if (!zeroer->started)
		return;
	pthread_mutex_lock(&zeroer->lock);
	zeroer->ending = true;
	pthread_cond_signal(&zeroer->wanted);
	pthread_mutex_unlock(&zeroer->lock);
	pthread_join(zeroer->thread, NULL);
	pthread_cond_destroy(&zeroer->wanted);
	pthread_mutex_destroy(&zeroer->lock);
}

/* ---- Workers ------------------------------------------------------------------------------- */

static void worker_loop(struct job_worker *worker, struct zeroer *zeroer)
{
	struct gmig_job *job = worker->job;
	unsigned int source;
	size_t i;

	while ((i = atomic_fetch_add(&job->todo_next, 1)) < job->todo_count) {
		if (atomic_load(&job->gmig->fatal) || !job_block(worker, job->todo[i]))
			break;
		source = atomic_load(&worker->source);
		if (source == GMIG_NO_NODE)
			continue; /* nothing was to be moved yet: others were faster */
		if (zeroer->started) {
			zeroer_wake(zeroer);
			frame_trim_late(job->gmig->frames, source);
		} else if (i % FRAME_BATCH == 0) {
			frame_trim(job->gmig->frames, source);
		}
	}
}

static void *worker_thread(void *arg)
{
	struct job_worker *worker = arg;
	struct gmig_job *job = worker->job;
	struct zeroer zeroer;

	/* A worker that is not known could wait for ever on a hole that nobody knew of. */
	if (!fault_worker_enter(job->gmig)) {
		zeroer_start(&zeroer, worker);
		worker_loop(worker, &zeroer);
		zeroer_stop(&zeroer);
		fault_worker_leave(job->gmig);
	}
	pthread_mutex_lock(&job->lock);
	job->working--;
	pthread_cond_broadcast(&job->changed);
	pthread_mutex_unlock(&job->lock);
	return NULL;
}

/* Wait for the workers, telling progress. On the job's thread; nothing but waiting is done under
 * the lock. */
static void workers_wait(struct gmig_job *job)
{
	uint64_t tell_at = job->gmig->sys->now_ns() + TELL_NS;

	pthread_mutex_lock(&job->lock);
	while (job->working) {
		int ret = job->announce
			      ? 0
			      : job->gmig->sys->wait_until(&job->changed, &job->lock, tell_at);

		if (!job->announce && ret != -ETIMEDOUT)
			continue;
		tell_at = job->gmig->sys->now_ns() + TELL_NS;
		pthread_mutex_unlock(&job->lock);
		job_tell(job);
		pthread_mutex_lock(&job->lock);
	}
	pthread_mutex_unlock(&job->lock);
}

static int pass_run(struct gmig_job *job, bool again)
{
	unsigned int threads = job->spec.threads;
	struct job_worker workers[GMIG_MAX_WORKERS];
	pthread_t ids[GMIG_MAX_WORKERS];
	unsigned int started = 0;
	int ret = 0;

	atomic_store(&job->todo_next, 0);
	for (unsigned int node = 0; node < GMIG_MAX_NODES; node++)
		atomic_store(&job->full[node], 0);
	while (started < threads && !ret) {
		struct job_worker *worker = &workers[started];

		*worker = (struct job_worker){
		    .job = job,
		    .number = started,
		    /* Jobs start at different pools, so that they share none as long as there are
		       enough. */
		    .index = (unsigned int)((job->id * 5 + started) % GMIG_MAX_WORKERS),
		    .again = again,
		    .target = GMIG_NO_NODE,
		    .source = GMIG_NO_NODE,
		};
		pthread_mutex_lock(&job->lock);
		job->working++;
		pthread_mutex_unlock(&job->lock);
		ret = -pthread_create(&ids[started], NULL, worker_thread, worker);
		if (ret) {
			pthread_mutex_lock(&job->lock);
			job->working--;
			pthread_mutex_unlock(&job->lock);
		} else {
			started++;
		}
	}
	workers_wait(job);
	for (unsigned int i = 0; i < started; i++)
		pthread_join(ids[i], NULL);
	return started ? 0 : ret;
}

/* ---- Passes -------------------------------------------------------------------------------- */

struct others {
	struct gmig_job *job;
	uint64_t pages;
};

static int others_visit(void *arg, uint64_t gfn, const struct shadow_entry *entry)
{
	struct others *others = arg;
	struct gmig_job *job = others->job;
	unsigned int pages = entry->order ? GMIG_BLOCK_PAGES : 1;
	int result;

	status_get(job->status, gfn, 1, &result);
	if (result != -EBUSY && result != -EAGAIN)
		return 0;
	if (entry->state != SHADOW_PRESENT || job->map.to[entry->node] != GMIG_NO_NODE)
		return 0;
	status_set(job->status, gfn, pages, entry->node);
	others->pages += pages;
	return 0;
}

/* What another job held is where it should be by now, if that job moved it: nothing is left to do
 * there, and it was never this job's to move. */
static void note_moved_by_others(struct gmig_job *job, uint64_t block_gfn)
{
	struct others others = {.job = job};

	shadow_walk(job->gmig->shadow, block_gfn, GMIG_BLOCK_PAGES, others_visit, &others);
	if (others.pages)
		atomic_fetch_sub(&job->total_bytes, others.pages * GMIG_PAGE_BYTES);
}

/* Keep the blocks that want another pass. */
static void todo_reduce(struct gmig_job *job, bool room_was_made)
{
	size_t kept = 0;

	for (size_t i = 0; i < job->todo_count; i++) {
		int result[GMIG_BLOCK_PAGES];
		bool keep = status_block_wants_retry(job->status, job->todo[i]);

		if (keep) {
			note_moved_by_others(job, job->todo[i]);
			keep = status_block_wants_retry(job->status, job->todo[i]);
		}
		if (!keep && room_was_made) {
			status_get(job->status, job->todo[i], GMIG_BLOCK_PAGES, result);
			for (unsigned int k = 0; k < GMIG_BLOCK_PAGES && !keep; k++)
				keep = result[k] == -ENOMEM;
		}
		if (keep)
			job->todo[kept++] = job->todo[i];
	}
	job->todo_count = kept;
}

/* false: cancelled meanwhile */
static bool backoff(struct gmig_job *job, unsigned int pass)
{
	uint64_t ns = BACKOFF_NS << pass;
	uint64_t until;
	bool go;

	until = job->gmig->sys->now_ns() + (ns < BACKOFF_MAX_NS ? ns : BACKOFF_MAX_NS);
	pthread_mutex_lock(&job->lock);
	while (job->state != GMIG_JOB_CANCELLING)
		if (job->gmig->sys->wait_until(&job->changed, &job->lock, until) == -ETIMEDOUT)
			break;
	go = job->state != GMIG_JOB_CANCELLING;
	pthread_mutex_unlock(&job->lock);
	return go;
}

static void trim_all(struct gmig_job *job)
{
	for (unsigned int node = 0; node < GMIG_MAX_NODES; node++)
		frame_trim(job->gmig->frames, node);
}

/* A job that wants fresh frames has no use for the target's pool: it would only be memory on top.
 */
static void drain_targets(struct gmig_job *job)
{
	for (unsigned int node = 0; node < GMIG_MAX_NODES; node++)
		if (job->map.to[node] != GMIG_NO_NODE)
			frame_drain(job->gmig->frames, job->map.to[node]);
}

int job_run_passes(struct gmig_job *job, struct gmig_error *err)
{
	if (job->spec.frames == GMIG_FRAMES_FRESH)
		drain_targets(job);
	job->todo = job->plan->block_gfn;
	job->todo_count = job->plan->blocks;
	for (unsigned int pass = 0; pass < GMIG_MAX_PASSES && job->todo_count; pass++) {
		unsigned long long moved = atomic_load(&job->moved_bytes);
		int ret;

		pthread_mutex_lock(&job->lock);
		job->passes = pass + 1;
		pthread_mutex_unlock(&job->lock);
		ret = pass_run(job, pass > 0);
		if (ret)
			return gmig_fail(err, ret, "cannot start a copy worker: %s",
					 gmig_errno_name(ret));
		if (atomic_load(&job->gmig->fatal))
			return gmig_fail(err, -EIO, "a block could not be put back: see the log");
		todo_reduce(job, atomic_load(&job->moved_bytes) > moved);
		if (job->todo_count && !backoff(job, pass))
			break;
	}
	trim_all(job);
	return 0;
}
