#include "job_info.h"
#include "job_slowdown.h"

#include <errno.h>

static uint64_t minus(uint64_t a, uint64_t b)
{
	return a > b ? a - b : 0;
}

/* The total last: what is counted while we read makes `unreached` too large by it, never too small. */
void job_account(struct gmig_job *job, struct job_account *account)
{
	struct status_sum sum;

	status_sum(job->status, &sum);
	account->moved = sum.moved + atomic_load(&job->early_moved);
	account->remaining = sum.remaining;
	account->gone = sum.gone + atomic_load(&job->early_gone);
	account->by_others = sum.by_others + atomic_load(&job->early_by_others);
	account->total = atomic_load(&job->planned) + atomic_load(&job->more);
	account->unreached = minus(account->total, account->moved + account->gone +
						       account->by_others + account->remaining);
}

uint64_t job_moved(struct gmig_job *job)
{
	struct status_sum sum;

	status_sum(job->status, &sum);
	return sum.moved + atomic_load(&job->early_moved);
}

/* What was not reached says why the job ended before it. */
static void add_unreached(struct gmig_job_info *info, uint64_t pages)
{
	int error = info->state == GMIG_JOB_CANCELLED			 ? ECANCELED
		    : info->state == GMIG_JOB_FAILED && info->error.code ? -info->error.code
									 : EAGAIN;

	for (unsigned int i = 0; i < info->remaining_count; i++)
		if (info->remaining[i].error == error) {
			info->remaining[i].pages += pages;
			return;
		}
	if (info->remaining_count < GMIG_MAX_REMAINING)
		info->remaining[info->remaining_count++] = (struct gmig_remaining){error, pages};
}

/* Caller holds lock: a clock read before it could lie before the pause or the end. */
static void info_times(const struct gmig_job *job, struct gmig_job_info *info)
{
	uint64_t end = job_is_over(job->state) ? job->end_ns : job->memory->sys->now_ns();

	info->start_ns = job->start_ns;
	info->paused_ns = job->paused_ns;
	if (job->state == GMIG_JOB_PAUSED)
		info->paused_ns += end - job->pause_start_ns;
	info->elapsed_ns = end - job->start_ns - info->paused_ns;
}

/* Said of what is reported: the percentiles have been taken. Caller holds lock. */
static void info_max_stall(const struct gmig_job *job, struct gmig_job_info *info)
{
	const struct gmig_percentiles *waits = info->call.count ? &info->call : &info->stall;
	uint64_t limit = info->spec.max_stall_ns;

	if (!limit)
		return;
	info->max_stall_needs_ns = atomic_load(&job->work.stall_needs_ns);
	info->max_stall_late =
	    hist_count_over(info->call.count ? &job->work.call : &job->work.stall, limit);
	info->max_stall_met = waits->p99_ns <= limit;
	if (waits->p50_ns <= limit || info->call.count ||
	    !(job->choose[true].way[0].noted + job->choose[true].way[1].noted))
		return;
	if (job->mover->whole)
		info->max_stall_needs_ns = waits->p99_ns;
	else
		info->max_stall_needs_split = true;
}

void gmig_job_info(struct gmig_job *job, struct gmig_job_info *info)
{
	struct job_account pages;

	memset(info, 0, sizeof(*info));
	info->id = job->work.id;
	info->spec = job->work.spec;
	info->plan = job->plan.ops->name;
	info->extra_bytes_max = job->work.extra_bytes_max;
	info->thp_split = atomic_load(&job->work.thp_split);
	info->thp_joined = atomic_load(&job->work.thp_joined);
	if (job->lazy)
		lazy_info(job->lazy, &info->lazy);
	if (job->trace)
		info->trace_dropped = trace_dropped(job->trace);
	hist_summary(&job->work.blackout_read, &info->blackout_read);
	hist_summary(&job->work.blackout_write, &info->blackout_write);
	hist_summary(&job->work.stall, &info->stall);
	hist_summary(&job->work.call, &info->call);
	pthread_mutex_lock(&job->lock);
	info->state = job->state;
	info->spec.rate_bytes_per_second = job->rate.bytes_per_second;
	info->passes = job->passes;
	for (unsigned int i = 0; i < 2; i++) {
		info->rounds_readable += job->choose[i].way[0].noted;
		info->rounds_block += job->choose[i].way[1].noted;
	}
	info_max_stall(job, info);
	info_times(job, info);
	info->error = job->error;
	info->bytes_on_source = job->on_source * GMIG_PAGE_BYTES;
	pthread_mutex_unlock(&job->lock);
	job_account(job, &pages);
	info->remaining_count =
	    status_count_remaining(job->status, info->remaining, GMIG_MAX_REMAINING);
	if (job_is_over(info->state) && pages.unreached)
		add_unreached(info, pages.unreached);
	info->total_bytes = pages.total * GMIG_PAGE_BYTES;
	info->moved_bytes = pages.moved * GMIG_PAGE_BYTES;
	info->gone_bytes = pages.gone * GMIG_PAGE_BYTES;
	info->by_others_bytes = pages.by_others * GMIG_PAGE_BYTES;
	info->remaining_bytes = (pages.remaining + pages.unreached) * GMIG_PAGE_BYTES;
	job_slowdown_info(job, pages.moved + pages.remaining, pages.unreached, info);
}

void job_tell(struct gmig_job *job)
{
	const struct memory *memory = job->memory;
	struct gmig_job_info info;

	pthread_mutex_lock(&job->lock);
	job->announce = false;
	pthread_mutex_unlock(&job->lock);
	if (!memory->job_event)
		return;
	gmig_job_info(job, &info);
	memory->job_event(memory->opaque, &info);
}

/* ---- Single pages ------------------------------------------------------------------------------ */

static int where_visit(void *arg, uint64_t gfn, const struct shadow_entry *entry)
{
	int *where = arg;

	(void)gfn;
	*where = entry->state == SHADOW_NONE ? -ENOENT : entry->node;
	return 1;
}

/* Of a page whose result is not a reason to stay: where it is. */
static int page_now(struct memory *memory, uint64_t gfn)
{
	int where = -EFAULT;
	int ret = memory->ops->walk(memory, gfn, 1, where_visit, &where);

	return ret < 0 ? ret : where;
}

/* A list that is not kept names no page any more. What lies behind where the job was cut off it has not looked at. */
static bool is_behind_cut(const struct gmig_job *job, uint64_t gfn, int result)
{
	return (result == STATUS_NOT_TRIED || result == STATUS_NOT_KEPT) && gfn >= job->cut_gfn;
}

bool job_was_cut_off(const struct gmig_job *job, uint64_t gfn, int result, int now)
{
	if (now < 0 || (job->state != GMIG_JOB_CANCELLED && job->state != GMIG_JOB_FAILED))
		return false;
	if (job->plan.forgotten)
		return result == STATUS_WANTED || is_behind_cut(job, gfn, result);
	return (result == STATUS_NOT_TRIED || result == STATUS_WANTED) &&
	       plan_target(&job->plan, gfn, 0, (unsigned int)now) != GMIG_NO_NODE;
}

static int page_status(struct gmig_job *job, uint64_t gfn, int result)
{
	int now;

	if (status_is_reason(result) && result != -EFAULT)
		return result;
	now = page_now(job->memory, gfn);
	return job_was_cut_off(job, gfn, result, now) ? -ECANCELED : now;
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
		ret = job->memory ? 0 : -ESRCH;
		for (size_t k = i; k < end && !ret; k++)
			status[k] = page_status(job, gfn + k, status[k]);
		pthread_mutex_unlock(&job->lock);
	}
	return ret;
}

size_t gmig_job_trace(struct gmig_job *job, size_t first, struct gmig_trace_record *records,
		      size_t max)
{
	return job->trace ? trace_copy(job->trace, first, records, max) : 0;
}
