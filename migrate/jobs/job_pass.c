/*
 * Passes over what is left, as Linux's page migration makes them: at most GMIG_MAX_PASSES, and only
 * while another try makes sense: after -EAGAIN or -EBUSY, or after -ENOMEM if this pass moved
 * something, since that made room.
 */
#include "job_pass.h"
#include "job_block.h"
#include "job_info.h"
#include "job_lazy.h"

#include <errno.h>
#include <stdlib.h>

#define TELL_NS		100000000ull
#define BACKOFF_NS	1000000ull
#define BACKOFF_MAX_NS	100000000ull
#define ROUNDS_A_SECOND 20
#define ROUND_NS	250000000ull
#define ROUND_PART	8 /* of a round, with a slowdown budget: all of one would be lost at once */
#define FIRST_BLOCKS	8 /* of a worker's first round: nothing is known of the host's speed */

/* ---- Workers ------------------------------------------------------------------------------- */

/*
 * Blocks of a round: all that the mover takes, but not more than 50 ms of the rate at once, nor than a slow host moves in ROUND_NS:
 * pause, cancel and rate are heard between rounds, and where pages lie is asked for at their beginning.
 */
static unsigned int round_blocks(const struct job_worker *worker)
{
	struct gmig_job *job = worker->job;
	uint64_t rate, blocks = job->mover->tickets;

	if (job->work.spec.max_slowdown_ppm && blocks > ROUND_PART)
		blocks /= ROUND_PART;
	pthread_mutex_lock(&job->lock);
	rate = job->rate.bytes_per_second;
	pthread_mutex_unlock(&job->lock);
	if (rate && rate / ROUNDS_A_SECOND / GMIG_BLOCK_BYTES < blocks)
		blocks = rate / ROUNDS_A_SECOND / GMIG_BLOCK_BYTES;
	if (worker->block_ns && ROUND_NS / worker->block_ns < blocks)
		blocks = ROUND_NS / worker->block_ns;
	return blocks ? (unsigned int)blocks : 1;
}

/* A worker ends early, with this block: the first of all counts. */
static void give_up(struct gmig_job *job, size_t block)
{
	size_t cut = atomic_load(&job->cut_block);

	while (block < cut && !atomic_compare_exchange_weak(&job->cut_block, &cut, block))
		;
}

/* Where the pass has ended, before the set changes. */
static uint64_t cut_gfn(struct gmig_job *job)
{
	size_t next = atomic_load(&job->next_block), cut = atomic_load(&job->cut_block);

	cut = next < cut ? next : cut;
	return cut < job->set.count ? workset_gfn(job->set.word[cut]) : UINT64_MAX;
}

static bool must_end(struct gmig_job *job)
{
	return atomic_load(&job->memory->fatal) || atomic_load(&job->no_memory) ||
	       atomic_load(&job->blind);
}

static void worker_loop(struct job_worker *worker)
{
	struct gmig_job *job = worker->job;
	unsigned int each = round_blocks(worker);
	size_t first;

	for (; (first = atomic_fetch_add(&job->next_block, each)) < job->set.count;
	     each = round_blocks(worker)) {
		size_t count = job->set.count - first < each ? job->set.count - first : each;

		atomic_store(&job->work.ahead, job->set.count - first - count);
		if (must_end(job) ||
		    !job_blocks(worker, &job->set.word[first], (unsigned int)count)) {
			give_up(job, first);
			break;
		}
	}
}

/*
 * Mode lazy: worker 0 takes blocks out, the others serve what is touched, and never wait for the rate. Once what was not touched
 * is swept they all move blocks, but for one that serves the last ones.
 */
static void worker_run(struct job_worker *worker)
{
	struct lazy *lazy = worker->job->lazy;
	unsigned int number = worker->mover.number;

	if (lazy && number)
		job_lazy_serve(worker, number > 1);
	else if (lazy)
		lazy_await(lazy);
	worker_loop(worker);
	if (!lazy || number)
		return;
	if (must_end(worker->job))
		lazy_hold(lazy, true);
	lazy_end(lazy);
	job_lazy_serve(worker, false);
}

/* false: it cannot. */
static bool worker_begin(struct job_worker *worker)
{
	struct gmig_job *job = worker->job;
	bool begun;

	worker->tickets = calloc(job->mover->tickets, sizeof(*worker->tickets));
	begun = worker->tickets && !job->mover->worker_begin(&worker->mover);
	if (job->lazy && worker->mover.number)
		lazy_server(job->lazy, begun);
	else if (job->lazy && !begun)
		lazy_end(job->lazy);
	return begun;
}

static void *worker_thread(void *arg)
{
	struct job_worker *worker = arg;
	struct gmig_job *job = worker->job;
	const struct gmig_thread thread = {.kind = GMIG_THREAD_COPY, .spec = &job->work.spec};

	memory_tell_thread(job->memory, &thread, true);
	if (worker_begin(worker)) {
		worker_run(worker);
		job->mover->worker_end(&worker->mover);
	} else {
		atomic_fetch_add(&job->refused_workers, 1);
	}
	free(worker->tickets);
	memory_tell_thread(job->memory, &thread, false);
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
	const struct gmig_sys *sys = job->memory->sys;
	uint64_t tell_at = sys->now_ns() + TELL_NS;

	pthread_mutex_lock(&job->lock);
	while (job->working) {
		int ret = job->announce ? 0 : sys->wait_until(&job->changed, &job->lock, tell_at);

		if (!job->announce && ret != -ETIMEDOUT)
			continue;
		tell_at = sys->now_ns() + TELL_NS;
		pthread_mutex_unlock(&job->lock);
		job_tell(job);
		pthread_mutex_lock(&job->lock);
	}
	pthread_mutex_unlock(&job->lock);
}

static int worker_start(struct gmig_job *job, struct job_worker *worker, pthread_t *id)
{
	int ret;

	pthread_mutex_lock(&job->lock);
	job->working++;
	pthread_mutex_unlock(&job->lock);
	ret = -pthread_create(id, NULL, worker_thread, worker);
	if (ret) {
		pthread_mutex_lock(&job->lock);
		job->working--;
		pthread_mutex_unlock(&job->lock);
	}
	return ret;
}

/* How many to start. Mode lazy: one more, which takes out. */
static unsigned int useful_workers(struct gmig_job *job)
{
	unsigned int useful = job->work.spec.threads;

	if (job->mover->workers)
		useful = job->mover->workers(&job->work);
	if (!job->lazy)
		return useful;
	if (useful == GMIG_MAX_WORKERS)
		useful--;
	lazy_begin(job->lazy, useful);
	return useful + 1;
}

/* Fewer workers than asked for are slower, but no fault; none at all is one. *none: those that there were got no room. */
static int pass_run(struct gmig_job *job, bool again, bool *none)
{
	struct job_worker workers[GMIG_MAX_WORKERS];
	pthread_t ids[GMIG_MAX_WORKERS];
	unsigned int started = 0, useful = useful_workers(job);
	int ret = 0;

	atomic_store(&job->next_block, 0);
	atomic_store(&job->cut_block, SIZE_MAX);
	atomic_store(&job->work.ahead, job->set.count);
	atomic_store(&job->refused_workers, 0);
	while (started < useful && !ret) {
		workers[started] = (struct job_worker){
		    .job = job,
		    .mover = {.job = &job->work, .number = started},
		    .again = again,
		    .block_ns = ROUND_NS / FIRST_BLOCKS,
		};
		ret = worker_start(job, &workers[started], &ids[started]);
		started += !ret;
	}
	for (unsigned int i = started ? started : 1; job->lazy && i < useful; i++)
		lazy_server(job->lazy, false);
	workers_wait(job);
	for (unsigned int i = 0; i < started; i++)
		pthread_join(ids[i], NULL);
	*none = atomic_load(&job->refused_workers) == started;
	return started ? 0 : ret;
}

/* ---- Passes -------------------------------------------------------------------------------- */

static bool has_no_memory(struct gmig_job *job, uint64_t gfn)
{
	int result[GMIG_BLOCK_PAGES];

	status_get(job->status, gfn, GMIG_BLOCK_PAGES, result);
	for (unsigned int i = 0; i < GMIG_BLOCK_PAGES; i++)
		if (result[i] == -ENOMEM)
			return true;
	return false;
}

/* Keep the blocks that want another pass. */
static void set_reduce(struct gmig_job *job, bool room_was_made)
{
	struct workset *set = &job->set;
	size_t kept = 0;

	for (size_t i = 0; i < set->count && !job_is_cancelled(job); i++) {
		uint64_t gfn = workset_gfn(set->word[i]);
		bool keep = status_block_wants_retry(job->status, gfn);

		if (keep) {
			job_block_review(job, set->word[i]);
			keep = status_block_wants_retry(job->status, gfn);
		}
		if (keep || (room_was_made && has_no_memory(job, gfn)))
			set->word[kept++] = set->word[i];
	}
	set->count = kept;
}

/* false: cancelled meanwhile */
static bool backoff(struct gmig_job *job, unsigned int pass)
{
	const struct gmig_sys *sys = job->memory->sys;
	uint64_t ns = BACKOFF_NS << (pass < GMIG_MAX_PASSES ? pass : GMIG_MAX_PASSES);
	uint64_t until = sys->now_ns() + (ns < BACKOFF_MAX_NS ? ns : BACKOFF_MAX_NS);
	bool go;

	pthread_mutex_lock(&job->lock);
	while (job->state != GMIG_JOB_CANCELLING)
		if (sys->wait_until(&job->changed, &job->lock, until) == -ETIMEDOUT)
			break;
	go = job->state != GMIG_JOB_CANCELLING;
	pthread_mutex_unlock(&job->lock);
	return go;
}

/* Returns the passes that there were. */
static unsigned int pass_begin(struct gmig_job *job)
{
	unsigned int passes;

	pthread_mutex_lock(&job->lock);
	passes = job->passes++;
	pthread_mutex_unlock(&job->lock);
	return passes;
}

int job_run_passes(struct gmig_job *job, bool again, struct gmig_error *err)
{
	while (job->set.count && job->passes - job->turns < GMIG_MAX_PASSES &&
	       !job_is_cancelled(job) && !atomic_load(&job->blind)) {
		uint64_t moved = job_moved(job);
		unsigned int pass = pass_begin(job);
		bool none;
		int ret;

		if (job->plan.ops->pass)
			job->plan.ops->pass(&job->plan);
		ret = pass_run(job, again, &none);

		if (!pass)
			job->cut_gfn = cut_gfn(job);
		if (ret)
			return gmig_fail(err, ret, "cannot start a copy worker: %s",
					 gmig_errno_name(ret));
		if (atomic_load(&job->memory->fatal))
			return gmig_fail(err, -EIO, "a block could not be put back: see the log");
		if (atomic_load(&job->no_memory))
			return gmig_fail(err, -ENOMEM, "no memory for the results of a block");
		if (job->lazy && lazy_put_off(job->lazy))
			job->turns++;
		/* Nobody could begin: nothing of this pass was tried, and all of it is to be. */
		if (!none) {
			set_reduce(job, job_moved(job) > moved);
			again = true;
		}
		if (job->set.count && !backoff(job, pass - (pass < job->turns ? pass : job->turns)))
			break;
	}
	return 0;
}
