/* What an ended job left, as a new job: by the same node map, list or policy. See gmig_move.h. */
#include "gmig_move.h"
#include "jobs/job_info.h"
#include "jobs/job_list.h"
#include "jobs/plan_pages.h"
#include "jobs/plan_policy.h"

#include <errno.h>
#include <string.h>

/* Late comers to a node that was to be left count, too, but not for a job over a part. */
static bool has_rest(const struct gmig_job_info *info)
{
	return info->state != GMIG_JOB_COMPLETED || info->remaining_bytes ||
	       (info->bytes_on_source && !info->spec.max_bytes);
}

/* A list and a policy name the goal of each page; a node map that sends pages on from where it brought others does not. */
static bool is_clear(const struct gmig_job *job, const struct gmig_job_info *info)
{
	struct gmig_node_set both = job->plan.sources;

	gmig_node_set_and(&both, &job->plan.targets);
	return !job->plan.ops->by_node || !info->moved_bytes || gmig_node_set_empty(&both);
}

static bool has_no_list(struct gmig_job *job, const struct gmig_job_info *info)
{
	bool dropped;

	pthread_mutex_lock(&job->lock);
	dropped = !strcmp(info->plan, "pages") && !job->plan.list;
	pthread_mutex_unlock(&job->lock);
	return dropped;
}

/* A policy may mean other nodes now than it did when the job was started. */
static void name_nodes(struct gmig_job *job, struct gmig_job_spec *spec)
{
	const struct plan_policy *policy = job->plan.policy;
	struct gmig_node_set nodes = {{0}};

	if (!policy)
		return;
	pthread_mutex_lock(&job->lock);
	if (job->memory)
		policy->nodes(policy->arg, policy->gfn, policy->pages, &nodes);
	pthread_mutex_unlock(&job->lock);
	gmig_node_set_each (node, &nodes)
		spec->to[spec->to_count++] = (uint16_t)node;
}

int gmig_job_rest(struct gmig_job *job, struct gmig_job_spec *spec, struct gmig_error *err)
{
	struct gmig_job_info info;
	unsigned long long id;

	gmig_job_info(job, &info);
	id = info.id;
	if (!job_is_over(info.state))
		return gmig_fail(err, -EBUSY, "job %llu is %s: it has not ended", id,
				 gmig_job_state_name(info.state));
	if (!has_rest(&info))
		return gmig_fail(err, -ENODATA, "nothing remains of job %llu", id);
	if (has_no_list(job, &info))
		return gmig_fail(err, -E2BIG,
				 "the list of job %llu is not kept, it is longer than %u entries: "
				 "give it anew",
				 id, PAGE_LIST_ENDED);
	if (!is_clear(job, &info))
		return gmig_fail(
		    err, -EOPNOTSUPP,
		    "job %llu brought pages to nodes that it also takes from: what has "
		    "arrived there would go on; name other nodes in a new job",
		    id);
	*spec = info.spec;
	name_nodes(job, spec);
	if (spec->max_bytes > info.remaining_bytes && info.remaining_bytes)
		spec->max_bytes = info.remaining_bytes;
	return 0;
}

/* A copy of what is kept: the list within PAGE_LIST_ENDED runs. Caller holds job.lock. */
static int copy_plan(const struct gmig_job *job, struct plan *plan)
{
	const struct page_list *list = job->plan.list;
	struct page_list *copy;

	if (job->plan.policy)
		return plan_policy_create(job->plan.policy, plan);
	if (!list)
		return -E2BIG;
	copy = page_list_create(list->count);
	if (!copy)
		return -ENOMEM;
	memcpy(copy->run, list->run, list->count * sizeof(list->run[0]));
	plan_pages_create(copy, plan);
	return 0;
}

/* What remains is found by the new job's thread, as always. */
static int start(struct gmig_job *job, struct gmig_job_spec *spec, struct gmig_job **out,
		 struct gmig_error *err)
{
	bool by_node = job->plan.ops->by_node || job->plan.by_touch;
	struct plan plan = {.ops = NULL};
	struct memory *memory;
	int ret = 0;

	pthread_mutex_lock(&job->lock);
	memory = job->memory;
	if (memory && !by_node)
		ret = copy_plan(job, &plan);
	pthread_mutex_unlock(&job->lock);
	if (!memory)
		return gmig_fail(err, -ESRCH, "the memory of job %llu is gone",
				 (unsigned long long)job->work.id);
	if (ret)
		return gmig_fail(err, ret, "no memory for a job");
	if (!by_node)
		spec->from_count = spec->to_count = 0; /* the plan names them again */
	return job_start(memory, spec, by_node ? NULL : &plan, out, err);
}

int gmig_job_retry(struct gmig_job *job, const struct gmig_job_spec *limits, struct gmig_job **out,
		   struct gmig_error *err)
{
	struct gmig_job_spec rest, spec;
	int ret = gmig_job_rest(job, &rest, err);

	if (ret)
		return ret;
	spec = limits ? *limits : rest;
	memcpy(spec.from, rest.from, sizeof(spec.from));
	memcpy(spec.to, rest.to, sizeof(spec.to));
	spec.from_count = rest.from_count;
	spec.to_count = rest.to_count;
	spec.vnodes = rest.vnodes;
	spec.max_bytes = rest.max_bytes;
	return start(job, &spec, out, err);
}
