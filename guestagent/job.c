/* Jobs, see job.h. */
#include "job.h"
#include "sys.h"

#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define STACK_BYTES    (512 * 1024)
#define SLICE_NS       20000000ull /* a sleeping job looks up this often */
#define STEPS_A_SECOND 20

enum agent_job_state { JOB_NONE, JOB_RUNNING, JOB_COMPLETED, JOB_FAILED, JOB_CANCELLED };

static const char *const state_names[] = {
    [JOB_NONE] = "none",     [JOB_RUNNING] = "running",	    [JOB_COMPLETED] = "completed",
    [JOB_FAILED] = "failed", [JOB_CANCELLED] = "cancelled",
};

struct agent_job {
	struct agent_jobs *jobs;
	const struct agent_job_ops *ops;
	void *context;
	uint64_t id;
	pthread_t thread;
	atomic_bool cancel;
	_Atomic uint64_t rate;
	uint64_t due_ns; /* the job's thread alone: when what was moved may have been moved */
	/* Guarded by jobs->lock. */
	enum agent_job_state state;
	uint64_t start_ns, end_ns;
	struct agent_job_counts counts;
	struct gmig_error err;
};

struct agent_jobs {
	pthread_mutex_t lock;
	uint64_t last_id; /* main thread */
	struct agent_job slot[AGENT_JOBS_KEPT];
};

/* ---- The job's thread ------------------------------------------------------------------------ */

bool agent_job_cancelled(const struct agent_job *job)
{
	return atomic_load_explicit(&job->cancel, memory_order_relaxed);
}

void agent_job_lock(struct agent_job *job)
{
	pthread_mutex_lock(&job->jobs->lock);
}

void agent_job_unlock(struct agent_job *job)
{
	pthread_mutex_unlock(&job->jobs->lock);
}

void agent_job_publish(struct agent_job *job, const struct agent_job_counts *counts)
{
	agent_job_lock(job);
	job->counts = *counts;
	agent_job_unlock(job);
}

uint64_t agent_job_step_bytes(const struct agent_job *job, uint64_t max_bytes)
{
	uint64_t rate = atomic_load_explicit(&job->rate, memory_order_relaxed);
	uint64_t step = rate / STEPS_A_SECOND;

	if (!rate || step > max_bytes)
		return max_bytes;
	step -= step % AGENT_PAGE_BYTES;
	return step ? step : AGENT_PAGE_BYTES;
}

/* The time that is due is kept from step to step, so that short steps add up to the rate. */
void agent_job_pace(struct agent_job *job, uint64_t bytes)
{
	uint64_t rate = atomic_load_explicit(&job->rate, memory_order_relaxed);
	uint64_t now_ns = agent_sys->now_ns();

	if (!rate) {
		job->due_ns = now_ns;
		return;
	}
	if (job->due_ns < now_ns)
		job->due_ns = now_ns;
	job->due_ns += (uint64_t)((double)bytes * 1e9 / (double)rate);
	while (now_ns < job->due_ns && !agent_job_cancelled(job)) {
		uint64_t left_ns = job->due_ns - now_ns;

		if (atomic_load_explicit(&job->rate, memory_order_relaxed) != rate)
			job->due_ns = now_ns; /* the new rate counts from now */
		else
			agent_sys->sleep_ns(left_ns < SLICE_NS ? left_ns : SLICE_NS);
		now_ns = agent_sys->now_ns();
	}
}

uint64_t agent_job_cpu_ns(void)
{
	struct timespec used = {0};

	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &used);
	return (uint64_t)used.tv_sec * 1000000000 + (uint64_t)used.tv_nsec;
}

static void *job_main(void *opaque)
{
	struct agent_job *job = opaque;
	struct gmig_error err = {0};
	int rc = job->ops->run(job, job->context, &err);

	if (job->ops->end)
		job->ops->end(job->context);
	agent_job_lock(job);
	job->end_ns = agent_sys->now_ns();
	job->err = err;
	if (rc)
		job->state = JOB_FAILED;
	else
		job->state = agent_job_cancelled(job) ? JOB_CANCELLED : JOB_COMPLETED;
	agent_job_unlock(job);
	return NULL;
}

/* ---- The table ------------------------------------------------------------------------------- */

int agent_jobs_create(struct agent_jobs **out, struct gmig_error *err)
{
	struct agent_jobs *jobs = calloc(1, sizeof(*jobs));

	if (!jobs)
		return gmig_fail(err, -ENOMEM, "out of memory");
	pthread_mutex_init(&jobs->lock, NULL);
	*out = jobs;
	return 0;
}

static enum agent_job_state state_of(struct agent_job *job)
{
	enum agent_job_state state;

	agent_job_lock(job);
	state = job->state;
	agent_job_unlock(job);
	return state;
}

/* End what is left of one that has ended. */
static void clear(struct agent_job *job)
{
	if (!job->ops)
		return;
	pthread_join(job->thread, NULL);
	job->ops->free(job->context);
	memset(job, 0, sizeof(*job));
}

static unsigned int running(struct agent_jobs *jobs)
{
	unsigned int count = 0;

	for (int i = 0; i < AGENT_JOBS_KEPT; i++)
		count += jobs->slot[i].ops && state_of(&jobs->slot[i]) == JOB_RUNNING;
	return count;
}

bool agent_jobs_destroy(struct agent_jobs *jobs, int timeout_ms)
{
	if (!jobs)
		return true;
	for (int i = 0; i < AGENT_JOBS_KEPT; i++)
		atomic_store(&jobs->slot[i].cancel, true);
	for (; running(jobs) && timeout_ms > 0; timeout_ms -= 10)
		agent_sys->sleep_ns(10000000);
	if (running(jobs))
		return false;
	for (int i = 0; i < AGENT_JOBS_KEPT; i++)
		clear(&jobs->slot[i]);
	pthread_mutex_destroy(&jobs->lock);
	free(jobs);
	return true;
}

/* An unused slot, else the one of the oldest that has ended. */
static struct agent_job *free_slot(struct agent_jobs *jobs)
{
	struct agent_job *oldest = NULL;

	for (int i = 0; i < AGENT_JOBS_KEPT; i++) {
		struct agent_job *job = &jobs->slot[i];

		if (!job->ops)
			return job;
		if (state_of(job) != JOB_RUNNING && (!oldest || job->id < oldest->id))
			oldest = job;
	}
	if (oldest)
		clear(oldest);
	return oldest;
}

static json_t *job_json(struct agent_job *job)
{
	uint64_t end_ns;
	char id[24];
	json_t *object;

	agent_job_lock(job);
	end_ns = job->state == JOB_RUNNING ? agent_sys->now_ns() : job->end_ns;
	snprintf(id, sizeof(id), "%llu", (unsigned long long)job->id);
	object = json_pack(
	    "{s:s, s:s, s:s, s:I, s:I, s:I, s:I, s:o, s:f}", "id", id, "kind", job->ops->kind,
	    "state", state_names[job->state], "rate", (json_int_t)atomic_load(&job->rate),
	    "total_bytes", (json_int_t)job->counts.total_bytes, "done_bytes",
	    (json_int_t)job->counts.done_bytes, "moved_bytes", (json_int_t)job->counts.moved_bytes,
	    "remaining", agent_remaining_json(&job->counts.remaining), "seconds",
	    (double)(end_ns - job->start_ns) / 1e9);
	if (object && job->ops->describe)
		job->ops->describe(job->context, object);
	if (object && job->state == JOB_FAILED)
		json_object_set_new(object, "error",
				    json_pack("{s:s, s:s, s:i}", "desc", job->err.text, "errno",
					      agent_errno_name(job->err.code), "number",
					      -job->err.code));
	agent_job_unlock(job);
	return object;
}

static int job_result(struct agent_job *job, json_t **out, struct gmig_error *err)
{
	*out = job_json(job);
	return *out ? 0 : gmig_fail(err, -ENOMEM, "out of memory");
}

static int start_thread(struct agent_job *job)
{
	pthread_attr_t attributes;
	int rc;

	pthread_attr_init(&attributes);
	pthread_attr_setstacksize(&attributes, STACK_BYTES);
	rc = pthread_create(&job->thread, &attributes, job_main, job);
	pthread_attr_destroy(&attributes);
	return -rc;
}

int agent_jobs_start(struct agent_jobs *jobs, const struct agent_job_ops *ops, void *context,
		     uint64_t rate, json_t **out, struct gmig_error *err)
{
	unsigned int busy = running(jobs);
	struct agent_job *job = busy < AGENT_JOBS_RUNNING ? free_slot(jobs) : NULL;
	int rc;

	if (!job) {
		ops->free(context);
		return gmig_fail(err, -EBUSY,
				 "%u jobs run already: wait for one, or cancel it: EBUSY (%d)",
				 busy, EBUSY);
	}
	job->jobs = jobs;
	job->ops = ops;
	job->context = context;
	job->id = ++jobs->last_id;
	job->state = JOB_RUNNING;
	job->start_ns = agent_sys->now_ns();
	atomic_store(&job->rate, rate);
	rc = start_thread(job);
	if (rc) {
		ops->free(context);
		memset(job, 0, sizeof(*job));
		return gmig_fail(err, rc, "cannot start a thread: %s", strerror(-rc));
	}
	return job_result(job, out, err);
}

static struct agent_job *find(struct agent_jobs *jobs, uint64_t id, struct gmig_error *err)
{
	for (int i = 0; i < AGENT_JOBS_KEPT; i++)
		if (jobs->slot[i].ops && jobs->slot[i].id == id)
			return &jobs->slot[i];
	gmig_fail(err, -ESRCH, "there is no job %llu; the last %d are remembered",
		  (unsigned long long)id, AGENT_JOBS_KEPT);
	return NULL;
}

json_t *agent_jobs_json(struct agent_jobs *jobs)
{
	json_t *list = json_array();
	uint64_t first =
	    jobs->last_id > AGENT_JOBS_KEPT * 4 ? jobs->last_id - AGENT_JOBS_KEPT * 4 : 0;

	/* Oldest first; a slot that has long been running may be older than those around it. */
	for (int i = 0; i < AGENT_JOBS_KEPT; i++)
		if (jobs->slot[i].ops && jobs->slot[i].id <= first)
			json_array_append_new(list, job_json(&jobs->slot[i]));
	for (uint64_t id = first + 1; id <= jobs->last_id; id++) {
		struct agent_job *job = find(jobs, id, NULL);

		if (job)
			json_array_append_new(list, job_json(job));
	}
	return list;
}

int agent_jobs_status(struct agent_jobs *jobs, uint64_t id, json_t **out, struct gmig_error *err)
{
	struct agent_job *job = find(jobs, id, err);

	return job ? job_result(job, out, err) : -ESRCH;
}

int agent_jobs_result(struct agent_jobs *jobs, uint64_t id, const struct agent_job_ops *ops,
		      const void **context, struct gmig_error *err)
{
	struct agent_job *job = find(jobs, id, err);
	enum agent_job_state state = job ? state_of(job) : JOB_NONE;

	if (!job)
		return -ESRCH;
	if (job->ops != ops)
		return gmig_fail(err, -EINVAL, "job %llu is one of %s, not of %s",
				 (unsigned long long)id, job->ops->kind, ops->kind);
	if (state != JOB_COMPLETED)
		return gmig_fail(err, state == JOB_RUNNING ? -EBUSY : -ENODATA,
				 "job %llu is %s: it has no result", (unsigned long long)id,
				 state_names[state]);
	*context = job->context;
	return 0;
}

static struct agent_job *find_running(struct agent_jobs *jobs, uint64_t id, int *rc,
				      struct gmig_error *err)
{
	struct agent_job *job = find(jobs, id, err);

	*rc = job ? 0 : -ESRCH;
	if (job && state_of(job) != JOB_RUNNING)
		*rc = gmig_fail(err, -EALREADY, "job %llu has ended", (unsigned long long)id);
	return job;
}

int agent_jobs_cancel(struct agent_jobs *jobs, uint64_t id, json_t **out, struct gmig_error *err)
{
	int rc;
	struct agent_job *job = find_running(jobs, id, &rc, err);

	if (rc)
		return rc;
	atomic_store(&job->cancel, true);
	return job_result(job, out, err);
}

int agent_jobs_set_rate(struct agent_jobs *jobs, uint64_t id, uint64_t rate, json_t **out,
			struct gmig_error *err)
{
	int rc;
	struct agent_job *job = find_running(jobs, id, &rc, err);

	if (rc)
		return rc;
	atomic_store(&job->rate, rate);
	return job_result(job, out, err);
}

json_t *agent_remaining_json(const struct agent_remaining *left)
{
	json_t *object = json_object();

	for (int number = 0; number < AGENT_MAX_ERRNO; number++)
		if (left->pages[number])
			json_object_set_new(object, agent_errno_name(number),
					    json_integer((json_int_t)left->pages[number]));
	return object;
}
