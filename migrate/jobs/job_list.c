/* Starting jobs, finding them, forgetting them. */
#include "job_list.h"
#include "../core/heat.h"
#include "../core/reserved.h"
#include "../core/room.h"
#include "../core/topology.h"
#include "../movers/legal.h"
#include "job.h"
#include "job_info.h"
#include "job_later.h"
#include "plan_pages.h"
#include "plan_touch.h"

#include <errno.h>
#include <stdlib.h>

#define TRACE_RECORDS (64u << 10) /* kept at most: 4 MiB */

static bool moves_all(struct memory *memory, const struct gmig_job_spec *spec,
		      const struct mover *mover)
{
	const char *kind;

	for (unsigned int i = 0; (kind = memory->ops->kind(memory, spec, i)); i++)
		if (!legal_moves(kind, mover))
			return false;
	return true;
}

/*
 * The one that was asked for, NULL if there is none of that name; else the first that moves all of the memory. If none does, the
 * first of all: the table says why it does not.
 */
static const struct mover *choose_mover(struct memory *memory, const struct gmig_job_spec *spec)
{
	if (spec->mover && *spec->mover)
		return mover_find(spec->mover);
	for (unsigned int i = 0; mover_all[i]; i++)
		if (moves_all(memory, spec, mover_all[i]))
			return mover_all[i];
	return mover_all[0];
}

static int check_order(struct memory *memory, const struct gmig_job_spec *spec,
		       struct gmig_error *err)
{
	struct heat *heat = atomic_load(&memory->heat);

	if (spec->order > GMIG_ORDER_COLD_FIRST)
		return gmig_fail(err, -EINVAL, "order %d is not known", (int)spec->order);
	if ((spec->order == GMIG_ORDER_HOT_FIRST || spec->order == GMIG_ORDER_COLD_FIRST) &&
	    (!heat || !heat_is_known(heat)))
		return gmig_fail(err, -EOPNOTSUPP,
				 memory->pid
				     ? "order %s: nobody samples the accesses of a process"
				     : "order %s: there is no access history yet: switch sampling "
				       "on (gmig sample), or ask the guest's agent (gmig agent "
				       "hot-pages), and wait until it has seen something",
				 gmig_order_names()[spec->order]);
	if (spec->order_seed && spec->order != GMIG_ORDER_RANDOM)
		return gmig_fail(err, -EINVAL, "a seed is for order random");
	return 0;
}

static int check_lazy(const struct gmig_job_spec *spec, struct gmig_error *err)
{
	if (spec->lazy > GMIG_LAZY_WRITE)
		return gmig_fail(err, -EINVAL, "lazy %d is not known", (int)spec->lazy);
	if (spec->lazy_to > GMIG_LAZY_TO_TOUCHER)
		return gmig_fail(err, -EINVAL, "lazy_to %d is not known", (int)spec->lazy_to);
	if (spec->mode != GMIG_MODE_LAZY && (spec->lazy || spec->lazy_to || spec->deadline_ns))
		return gmig_fail(
		    err, -EINVAL,
		    "a deadline, what moves a block, and a toucher, are for mode lazy");
	return 0;
}

static int spec_check(struct memory *memory, const struct gmig_job_spec *spec,
		      struct gmig_error *err)
{
	const struct mover *mover = choose_mover(memory, spec);
	int ret = memory->ops->ready(memory, spec, err);

	if (ret)
		return ret;
	if (spec->threads > GMIG_MAX_WORKERS)
		return gmig_fail(err, -EINVAL, "%u threads: at most %u", spec->threads,
				 GMIG_MAX_WORKERS);
	if (spec->batch_pages > GMIG_BLOCK_PAGES)
		return gmig_fail(err, -EINVAL, "a batch of %u pages: at most %llu",
				 spec->batch_pages, (unsigned long long)GMIG_BLOCK_PAGES);
	if (spec->max_slowdown_ppm > SLOWDOWN_PPM)
		return gmig_fail(err, -EINVAL, "a slowdown of %u millionths is more than all",
				 spec->max_slowdown_ppm);
	ret = check_order(memory, spec, err);
	if (!ret)
		ret = check_lazy(spec, err);
	if (ret)
		return ret;
	if (spec->max_bytes && spec->max_bytes < GMIG_PAGE_BYTES)
		return gmig_fail(err, -EINVAL, "at most %llu bytes are less than a page",
				 (unsigned long long)spec->max_bytes);
	for (unsigned int i = 0; !ret && memory->ops->kind(memory, spec, i); i++)
		ret = legal_check(memory->ops->kind(memory, spec, i), mover, spec->mode, err);
	if (!ret)
		ret = mover->check(memory, spec, err);
	if (!ret && atomic_load(&memory->fatal))
		ret = gmig_fail(err, -ESHUTDOWN, "the engine met a fatal error");
	return ret;
}

/* The nodes that a list names, which are all that the job's spec says of it. */
static int check_list(struct gmig_job *job, struct gmig_error *err)
{
	const struct gmig_topology *topology = job->work.topology;
	struct gmig_job_spec *spec = &job->work.spec;
	char what[32];
	int ret;

	if (!job->plan.list)
		return 0;
	job->plan.list->whole = job->mover->whole;
	gmig_node_set_each (node, &job->plan.targets) {
		snprintf(what, sizeof(what), "node %u", node);
		ret = topology_check_target(topology,
					    job->memory->pid ? gmig_topology_nodes(topology) : NULL,
					    node, what, err);
		if (ret)
			return ret;
		spec->to[spec->to_count++] = (uint16_t)node;
	}
	return 0;
}

/* Another program's cpuset is not ours: its memory looks into that, when asked whether it is ready. */
static int make_plan(struct gmig_job *job, const struct gmig_job_spec *spec, struct plan *given,
		     struct gmig_error *err)
{
	struct gmig_topology *topology = job->work.topology;
	struct plan_map map;
	int ret;

	if (given) {
		job->plan = *given;
		given->ops = NULL; /* it is the job's, which destroys it */
		return check_list(job, err);
	}
	ret = plan_map_build(spec, topology,
			     job->memory->pid ? gmig_topology_nodes(topology) : NULL, &map, err);
	if (!ret && spec->lazy_to == GMIG_LAZY_TO_TOUCHER)
		plan_touch_create(spec, &job->plan);
	else if (!ret)
		plan_create(&map, &job->plan);
	return ret;
}

static int job_create(struct memory *memory, const struct gmig_job_spec *spec, struct plan *plan,
		      struct gmig_job **out, struct gmig_error *err)
{
	struct gmig_job *job = calloc(1, sizeof(*job));
	int ret;

	if (!job)
		return gmig_fail(err, -ENOMEM, "no memory for a job");
	job->memory = memory;
	job->mover = choose_mover(memory, spec);
	job->work.memory = memory;
	memory_topology_refresh(memory, NULL); /* else the last look has to do */
	job->work.topology = memory_topology(memory);
	job->work.spec = *spec;
	job->work.spec.mover = job->mover->name;
	if (!job->work.spec.threads)
		job->work.spec.threads = 1;
	if (spec->order == GMIG_ORDER_RANDOM && !spec->order_seed)
		job->work.spec.order_seed = memory->sys->now_ns() % UINT32_MAX + 1;
	job->state = GMIG_JOB_CREATED;
	pthread_mutex_init(&job->lock, NULL);
	gmig_sys_cond_init(&job->changed);
	job->start_ns = memory->sys->now_ns();
	pace_init(&job->pace, spec->max_stall_ns);
	job->choose[false].limit_ns = job->choose[true].limit_ns = spec->max_stall_ns;
	rate_init(&job->rate, spec->rate_bytes_per_second, job->start_ns);
	ret = make_plan(job, spec, plan, err);
	if (!ret && ((spec->mode == GMIG_MODE_LAZY &&
		      lazy_create(memory->sys, job->start_ns, spec->deadline_ns, &job->lazy)) ||
		     later_create(job->mover->whole, &job->later) || status_create(&job->status) ||
		     (spec->trace && trace_create(TRACE_RECORDS, &job->trace))))
		ret = gmig_fail(err, -ENOMEM, "no memory for a job");
	if (ret) {
		job_free(job);
		return ret;
	}
	job->plan.later = later_target;
	job->plan.later_arg = job->later;
	*out = job;
	return 0;
}

/* Forget the oldest ended jobs. Caller holds jobs_lock. */
static void jobs_forget(struct memory *memory)
{
	unsigned int ended = 0;

	for (struct gmig_job *job = memory->jobs; job; job = job->next)
		ended += atomic_load(&job->refs) == 1;
	for (struct gmig_job **link = &memory->jobs; *link && ended > JOB_ENDED;) {
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

/* References: the list's, the thread's, the caller's. Caller holds jobs_lock. */
static int job_launch(struct memory *memory, struct gmig_job *job, struct gmig_error *err)
{
	struct gmig_job **link = &memory->jobs;
	int ret;

	if (memory->ending)
		return gmig_fail(err, -ESHUTDOWN, "the engine ends");
	job->work.id = memory->next_job_id++;
	atomic_store(&job->refs, 3);
	job->follows_yet = job_follows(job);
	ret = -pthread_create(&job->thread, NULL, job_thread, job);
	if (ret)
		return gmig_fail(err, ret, "cannot start the job's thread: %s",
				 gmig_errno_name(ret));
	while (*link)
		link = &(*link)->next;
	*link = job;
	jobs_forget(memory);
	return 0;
}

/*
 * What a job takes beside frames: its books (130 KiB), what its results take, and a stack of which each thread touches some pages; and
 * as much again for those who ask about it. A cgroup that has not got it kills the guest for it.
 */
#define JOB_BYTES    (512ull << 10)
#define THREAD_BYTES (32ull << 10)

static int check_room(const struct memory *memory, unsigned int threads, struct gmig_error *err)
{
	/* More of them are refused later, with their own words. */
	uint64_t bytes =
	    JOB_BYTES + THREAD_BYTES * (threads < GMIG_MAX_WORKERS ? threads : GMIG_MAX_WORKERS);
	struct room room;

	memory->sys->room(&room);
	return room_check(&room, "a job", bytes, err);
}

static int start(struct memory *memory, const struct gmig_job_spec *spec, struct plan *plan,
		 struct gmig_job **out, struct gmig_error *err)
{
	struct gmig_job *job;
	int ret = RESERVED_UNUSED(spec, err);

	if (ret)
		return ret;
	if (!choose_mover(memory, spec))
		return gmig_fail(err, -EINVAL, "mover %s is not known", spec->mover);
	ret = check_room(memory, spec->threads, err);
	if (ret)
		return ret;
	ret = job_create(memory, spec, plan, &job, err);
	if (ret)
		return ret;
	ret = spec_check(memory, &job->work.spec, err); /* with the nodes of its plan */
	if (!ret) {
		pthread_mutex_lock(&memory->jobs_lock);
		ret = job_launch(memory, job, err);
		pthread_mutex_unlock(&memory->jobs_lock);
	}
	if (ret) {
		job_free(job);
		return ret;
	}
	*out = job;
	return 0;
}

int job_start(struct memory *memory, const struct gmig_job_spec *spec, struct plan *plan,
	      struct gmig_job **out, struct gmig_error *err)
{
	int ret = start(memory, spec, plan, out, err);

	if (plan)
		plan_destroy(plan);
	return ret;
}

struct gmig_job *job_find(struct memory *memory, uint64_t id)
{
	struct gmig_job *job;

	pthread_mutex_lock(&memory->jobs_lock);
	for (job = memory->jobs; job && job->work.id != id; job = job->next)
		;
	if (job)
		atomic_fetch_add(&job->refs, 1);
	pthread_mutex_unlock(&memory->jobs_lock);
	return job;
}

size_t job_list(struct memory *memory, uint64_t *ids, size_t max)
{
	size_t count = 0;

	pthread_mutex_lock(&memory->jobs_lock);
	for (struct gmig_job *job = memory->jobs; job; job = job->next) {
		if (count < max)
			ids[count] = job->work.id;
		count++;
	}
	pthread_mutex_unlock(&memory->jobs_lock);
	return count;
}

void job_end_all(struct memory *memory)
{
	struct gmig_job *job, *next;

	pthread_mutex_lock(&memory->jobs_lock);
	memory->ending = true;
	job = memory->jobs;
	memory->jobs = NULL;
	pthread_mutex_unlock(&memory->jobs_lock);
	for (struct gmig_job *each = job; each; each = each->next)
		gmig_job_cancel(each);
	for (; job; job = next) {
		next = job->next;
		pthread_join(job->thread, NULL);
		/* Whoever looks through the job at the memory holds this lock. */
		pthread_mutex_lock(&job->lock);
		job->memory = NULL;
		pthread_mutex_unlock(&job->lock);
		gmig_job_put(job);
	}
}
