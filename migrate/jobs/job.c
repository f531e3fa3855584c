#include "job.h"

#include "../memory/audit.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define TRACE_RECORDS 1024	    /* to begin with */
#define ADMIT_LOOK_NS 1000000000ull /* who waits longer looks whether it is still worth it */

/* ---- States -------------------------------------------------------------------------------- */

#define NEXT(state) ((state) + 1) /* 0 = the event is refused */

static const unsigned char job_next[GMIG_JOB_CANCELLED + 1][JOB_EVENTS] = {
    [GMIG_JOB_CREATED] = {[JOB_RUN] = NEXT(GMIG_JOB_RUNNING),
			  [JOB_CANCEL] = NEXT(GMIG_JOB_CANCELLING),
			  [JOB_FAIL] = NEXT(GMIG_JOB_FAILED)},
    [GMIG_JOB_RUNNING] = {[JOB_PAUSE] = NEXT(GMIG_JOB_PAUSED),
			  [JOB_CANCEL] = NEXT(GMIG_JOB_CANCELLING),
			  [JOB_FINISH] = NEXT(GMIG_JOB_COMPLETED),
			  [JOB_FAIL] = NEXT(GMIG_JOB_FAILED)},
    [GMIG_JOB_PAUSED] = {[JOB_RESUME] = NEXT(GMIG_JOB_RUNNING),
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
	now = job->gmig->sys->now_ns();
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
	job->announce = true;
	pthread_cond_broadcast(&job->changed);
	return 0;
}

enum job_admission job_admit(struct gmig_job *job, uint64_t bytes, bool (*wanted)(void *),
			     void *arg)
{
	const struct gmig_sys *sys = job->gmig->sys;
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
			if (wait > ADMIT_LOOK_NS && !wanted(arg))
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
	rate_give_back(&job->rate, bytes, job->gmig->sys->now_ns());
	pthread_cond_broadcast(&job->changed);
	pthread_mutex_unlock(&job->lock);
}

static int job_ask(struct gmig_job *job, enum job_event event)
{
	int ret;

	pthread_mutex_lock(&job->lock);
	ret = job_change(job, event);
	pthread_mutex_unlock(&job->lock);
	return ret;
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
		rate_set(&job->rate, bytes_per_second, job->gmig->sys->now_ns());
		pthread_cond_broadcast(&job->changed);
		ret = 0;
	}
	pthread_mutex_unlock(&job->lock);
	return ret;
}

/* ---- The job's thread ---------------------------------------------------------------------- */

void job_tell(struct gmig_job *job)
{
	const struct gmig_options *options = &job->gmig->options;
	struct gmig_job_info info;

	pthread_mutex_lock(&job->lock);
	job->announce = false;
	pthread_mutex_unlock(&job->lock);
	if (!options->job_event)
		return;
	gmig_job_info(job, &info);
	options->job_event(options->opaque, &info);
}

static bool takes_part(const struct gmig_job *job, const struct region *region)
{
	return !job->spec.vnodes || job->spec.vnodes >> region->vnode & 1;
}

/* The audit first: the plan is only as good as the beliefs. */
static int job_plan(struct gmig_job *job, struct gmig_error *err)
{
	struct plan_range ranges[ENGINE_REGIONS];
	struct gmig *gmig = job->gmig;
	const struct audit audit = {0};
	size_t count = 0;
	int ret = 0;

	for (unsigned int i = 0; i < atomic_load(&gmig->region_count) && !ret; i++) {
		struct region *region = &gmig->regions[i];

		if (!takes_part(job, region))
			continue;
		audit_run(gmig, region, region->gfn, region->pages, &audit);
		ranges[count].gfn = region->gfn;
		ranges[count++].pages = region->pages;
		ret = status_add_range(job->status, region->gfn, region->pages);
	}
	if (!ret)
		ret = plan_build(gmig->shadow, ranges, count, &job->map, &job->plan);
	if (ret)
		return gmig_fail(err, ret, "no memory for the plan");
	atomic_store(&job->total_bytes, job->plan->total_bytes);
	return 0;
}

/* Memory that the guest has not touched yet follows what it has. *preferred: where each region pointed
 * before; GMIG_NO_NODE: it does not take part. */
static int job_prefer(struct gmig_job *job, unsigned int *preferred, struct gmig_error *err)
{
	struct gmig *gmig = job->gmig;
	int ret = 0;

	for (unsigned int i = 0; i < atomic_load(&gmig->region_count) && !ret; i++) {
		struct region *region = &gmig->regions[i];
		unsigned int node = atomic_load(&region->preferred_node);

		if (!takes_part(job, region) || job->map.to[node] == GMIG_NO_NODE)
			continue;
		ret = region_prefer(gmig, region, job->id, job->map.to[node], err);
		if (!ret)
			preferred[i] = node;
	}
	return ret;
}

static void job_prefer_end(struct gmig_job *job, const unsigned int *preferred, bool keep)
{
	for (unsigned int i = 0; i < ENGINE_REGIONS; i++)
		if (preferred[i] != GMIG_NO_NODE)
			region_prefer_end(job->gmig, &job->gmig->regions[i], job->id,
					  job->map.to[preferred[i]], keep);
}

static uint64_t pages_remaining(struct gmig_job *job);

/*
 * The work is over: what became of it. A cancel that arrives from here on has nothing left to stop,
 * and one that came before, but after the last page, stopped nothing either.
 */
static enum job_event job_outcome(struct gmig_job *job, int ret)
{
	bool cancelled;

	pthread_mutex_lock(&job->lock);
	cancelled = job->state == GMIG_JOB_CANCELLING;
	pthread_mutex_unlock(&job->lock);
	for (size_t i = 0; job->plan && (ret || cancelled) && i < job->plan->blocks; i++)
		job_block_unreached(job, job->plan->block_gfn[i]);
	if (ret)
		return JOB_FAIL;
	return cancelled && pages_remaining(job) ? JOB_STOP : JOB_FINISH;
}

static void job_finish(struct gmig_job *job, enum job_event outcome, const struct gmig_error *err)
{
	struct gmig *gmig = job->gmig;
	const struct audit audit = {0};

	for (unsigned int i = 0; job->plan && i < atomic_load(&gmig->region_count); i++)
		if (takes_part(job, &gmig->regions[i]))
			audit_run(gmig, &gmig->regions[i], gmig->regions[i].gfn,
				  gmig->regions[i].pages, &audit);
	/* Eight bytes a block, which nobody reads once the job has ended. */
	plan_destroy(job->plan);
	job->plan = NULL;
	pthread_mutex_lock(&job->lock);
	if (outcome == JOB_FAIL)
		job->error = *err;
	job_change(job, outcome);
	pthread_mutex_unlock(&job->lock);
}

static void *job_thread(void *arg)
{
	struct gmig_job *job = arg;
	struct gmig_error err = {0};
	unsigned int preferred[ENGINE_REGIONS];
	enum job_event outcome;
	int ret;

	job_ask(job, JOB_RUN);
	job_tell(job);
	for (unsigned int i = 0; i < ENGINE_REGIONS; i++)
		preferred[i] = GMIG_NO_NODE; /* so has a region that is added meanwhile */
	/* The preferred nodes first: what is touched after the plan was made must not land where the job moves
	 * memory away from. */
	ret = job_prefer(job, preferred, &err);
	engine_settle_faults(job->gmig);
	if (!ret)
		ret = job_plan(job, &err);
	if (!ret)
		ret = job_run_passes(job, &err);
	outcome = job_outcome(job, ret);
	job_prefer_end(job, preferred, outcome == JOB_FINISH);
	job_finish(job, outcome, &err);
	job_tell(job);
	gmig_job_put(job);
	return NULL;
}

/* ---- Starting and finding ------------------------------------------------------------------ */

static int spec_check(const struct gmig *gmig, const struct gmig_job_spec *spec,
		      struct gmig_error *err)
{
	if (gmig->plain)
		return gmig_fail(err, -EOPNOTSUPP, "%s", gmig->why_off);
	if (spec->mode != GMIG_MODE_READABLE && spec->mode != GMIG_MODE_BLOCK)
		return gmig_fail(err, -EINVAL, "mode %d is not known", (int)spec->mode);
	if (spec->frames > GMIG_FRAMES_RECYCLED)
		return gmig_fail(err, -EINVAL, "frames %d is not known", (int)spec->frames);
	if (spec->threads > GMIG_MAX_WORKERS)
		return gmig_fail(err, -EINVAL, "%u threads: at most %u", spec->threads,
				 GMIG_MAX_WORKERS);
	if (spec->batch_pages > GMIG_BLOCK_PAGES)
		return gmig_fail(err, -EINVAL, "a batch of %u pages: at most %llu",
				 spec->batch_pages, (unsigned long long)GMIG_BLOCK_PAGES);
	if (!mover_find(spec->mover))
		return gmig_fail(err, -EINVAL, "mover %s is not known", spec->mover);
	if (atomic_load(&gmig->fatal))
		return gmig_fail(err, -ESHUTDOWN, "the engine met a fatal error");
	return 0;
}

/* Needs no engine: the last handle may outlive it. */
static void job_free(struct gmig_job *job)
{
	plan_destroy(job->plan);
	status_destroy(job->status);
	trace_destroy(job->trace);
	pthread_cond_destroy(&job->changed);
	pthread_mutex_destroy(&job->lock);
	free(job);
}

static int job_create(struct gmig *gmig, const struct gmig_job_spec *spec, struct gmig_job **out,
		      struct gmig_error *err)
{
	struct gmig_job *job = calloc(1, sizeof(*job));
	int ret;

	if (!job)
		return gmig_fail(err, -ENOMEM, "no memory for a job");
	job->gmig = gmig;
	job->spec = *spec;
	job->mover = mover_find(spec->mover);
	job->spec.mover = job->mover->name;
	if (!job->spec.threads)
		job->spec.threads = 1;
	job->state = GMIG_JOB_CREATED;
	pthread_mutex_init(&job->lock, NULL);
	gmig_sys_cond_init(&job->changed);
	job->start_ns = gmig->sys->now_ns();
	rate_init(&job->rate, spec->rate_bytes_per_second, job->start_ns);
	ret = plan_map_build(spec, gmig_topology_nodes(gmig->options.topology), &job->map, err);
	if (!ret && (status_create(&job->status) ||
		     (spec->trace && trace_create(TRACE_RECORDS, &job->trace))))
		ret = gmig_fail(err, -ENOMEM, "no memory for a job");
	if (ret) {
		job_free(job);
		return ret;
	}
	*out = job;
	return 0;
}

/* Forget the oldest ended jobs. Caller holds engine.lock. */
static void jobs_forget(struct gmig *gmig)
{
	unsigned int ended = 0;

	for (struct gmig_job *job = gmig->jobs; job; job = job->next)
		ended += atomic_load(&job->refs) == 1;
	for (struct gmig_job **link = &gmig->jobs; *link && ended > ENGINE_ENDED;) {
		struct gmig_job *job = *link;

		if (atomic_load(&job->refs) > 1) {
			link = &job->next;
			continue;
		}
		*link = job->next;
		pthread_join(job->thread, NULL);
		job_free(job);
		ended--;
	}
}

/* References: the list's, the thread's, the caller's. Caller holds engine.lock. */
static int job_launch(struct gmig *gmig, struct gmig_job *job, struct gmig_error *err)
{
	struct gmig_job **link = &gmig->jobs;
	int ret;

	if (gmig->ending)
		return gmig_fail(err, -ESHUTDOWN, "the engine ends");
	job->id = gmig->next_job_id++;
	atomic_store(&job->refs, 3);
	ret = -pthread_create(&job->thread, NULL, job_thread, job);
	if (ret)
		return gmig_fail(err, ret, "cannot start the job's thread: %s",
				 gmig_errno_name(ret));
	while (*link)
		link = &(*link)->next;
	*link = job;
	jobs_forget(gmig);
	return 0;
}

int gmig_job_start(struct gmig *gmig, const struct gmig_job_spec *spec, struct gmig_job **out,
		   struct gmig_error *err)
{
	struct gmig_job *job = NULL;
	int ret = spec_check(gmig, spec, err);

	if (!ret)
		ret = job_create(gmig, spec, &job, err);
	if (ret)
		return ret;
	pthread_mutex_lock(&gmig->lock);
	ret = job_launch(gmig, job, err);
	pthread_mutex_unlock(&gmig->lock);
	if (ret) {
		job_free(job);
		return ret;
	}
	*out = job;
	return 0;
}

struct gmig_job *gmig_job_find(struct gmig *gmig, uint64_t id)
{
	struct gmig_job *job;

	pthread_mutex_lock(&gmig->lock);
	for (job = gmig->jobs; job && job->id != id; job = job->next)
		;
	if (job)
		atomic_fetch_add(&job->refs, 1);
	pthread_mutex_unlock(&gmig->lock);
	return job;
}

void gmig_job_put(struct gmig_job *job)
{
	if (job && atomic_fetch_sub(&job->refs, 1) == 1)
		job_free(job);
}

size_t gmig_job_list(struct gmig *gmig, uint64_t *ids, size_t max)
{
	size_t count = 0;

	pthread_mutex_lock(&gmig->lock);
	for (struct gmig_job *job = gmig->jobs; job; job = job->next) {
		if (count < max)
			ids[count] = job->id;
		count++;
	}
	pthread_mutex_unlock(&gmig->lock);
	return count;
}

void job_end_all(struct gmig *gmig)
{
	struct gmig_job *job, *next;

	pthread_mutex_lock(&gmig->lock);
	gmig->ending = true;
	job = gmig->jobs;
	gmig->jobs = NULL;
	pthread_mutex_unlock(&gmig->lock);
	for (struct gmig_job *each = job; each; each = each->next)
		gmig_job_cancel(each);
	for (; job; job = next) {
		next = job->next;
		pthread_join(job->thread, NULL);
		/* Whoever looks through the job at the engine's memory holds this lock. */
		pthread_mutex_lock(&job->lock);
		job->gmig = NULL;
		pthread_mutex_unlock(&job->lock);
		gmig_job_put(job);
	}
}

/* ---- Asking -------------------------------------------------------------------------------- */

void gmig_job_wait(struct gmig_job *job)
{
	pthread_mutex_lock(&job->lock);
	while (!job_is_over(job->state))
		pthread_cond_wait(&job->changed, &job->lock);
	pthread_mutex_unlock(&job->lock);
}

/* Pages that were discarded meanwhile did not stay anywhere. */
static void info_remaining(struct gmig_job *job, struct gmig_job_info *info)
{
	struct gmig_remaining all[GMIG_MAX_REMAINING + 1];
	unsigned int count = status_count_remaining(job->status, all, GMIG_MAX_REMAINING + 1);

	info->remaining_bytes = 0;
	for (unsigned int i = 0; i < count && info->remaining_count < GMIG_MAX_REMAINING; i++) {
		if (all[i].error == ENOENT)
			continue;
		info->remaining[info->remaining_count++] = all[i];
		info->remaining_bytes += all[i].pages * GMIG_PAGE_BYTES;
	}
}

static uint64_t pages_remaining(struct gmig_job *job)
{
	struct gmig_job_info info = {0};

	info_remaining(job, &info);
	return info.remaining_bytes / GMIG_PAGE_BYTES;
}

/* Caller holds lock: a clock read before it could lie before the pause or the end. */
static void info_times(const struct gmig_job *job, struct gmig_job_info *info)
{
	uint64_t end = job_is_over(job->state) ? job->end_ns : job->gmig->sys->now_ns();

	info->start_ns = job->start_ns;
	info->paused_ns = job->paused_ns;
	if (job->state == GMIG_JOB_PAUSED)
		info->paused_ns += end - job->pause_start_ns;
	info->elapsed_ns = end - job->start_ns - info->paused_ns;
}

void gmig_job_info(struct gmig_job *job, struct gmig_job_info *info)
{
	memset(info, 0, sizeof(*info));
	info->id = job->id;
	info->spec = job->spec;
	info->total_bytes = atomic_load(&job->total_bytes);
	info->moved_bytes = atomic_load(&job->moved_bytes);
	info->thp_split = atomic_load(&job->thp_split);
	if (info->total_bytes > info->moved_bytes)
		info->remaining_bytes = info->total_bytes - info->moved_bytes;
	hist_summary(&job->blackout_read, &info->blackout_read);
	hist_summary(&job->blackout_write, &info->blackout_write);
	hist_summary(&job->stall, &info->stall);
	pthread_mutex_lock(&job->lock);
	info->state = job->state;
	info->spec.rate_bytes_per_second = job->rate.bytes_per_second;
	info->passes = job->passes;
	info_times(job, info);
	info->error = job->error;
	pthread_mutex_unlock(&job->lock);
	if (job_is_over(info->state))
		info_remaining(job, info);
}

/* Of a page that took no part: where it is. */
static int page_now(struct gmig *gmig, uint64_t gfn)
{
	struct shadow_entry entry;

	if (shadow_lookup(gmig->shadow, gfn, &entry))
		return -EFAULT;
	return entry.state == SHADOW_NONE ? -ENOENT : entry.node;
}

size_t gmig_job_trace(struct gmig_job *job, size_t first, struct gmig_trace_record *records,
		      size_t max)
{
	return job->trace ? trace_copy(job->trace, first, records, max) : 0;
}

int gmig_job_page_status(struct gmig_job *job, uint64_t gpa, size_t pages, int *status)
{
	uint64_t gfn = gpa / GMIG_PAGE_BYTES;
	int ret = 0;

	if (gpa % GMIG_PAGE_BYTES)
		return -EINVAL;
	status_get(job->status, gfn, pages, status);
	for (size_t i = 0; i < pages && !ret; i += GMIG_BLOCK_PAGES) {
		size_t end = pages - i < GMIG_BLOCK_PAGES ? pages : i + GMIG_BLOCK_PAGES;

		pthread_mutex_lock(&job->lock);
		ret = job->gmig ? 0 : -ESRCH;
		for (size_t k = i; k < end && !ret; k++)
			if (status[k] == STATUS_NOT_TRIED || status[k] == -EFAULT || status[k] >= 0)
				status[k] = page_now(job->gmig, gfn + k);
		pthread_mutex_unlock(&job->lock);
	}
	return ret;
}
