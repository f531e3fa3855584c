/* The job's thread: plan, passes, a second look, the end. */
#include "job.h"
#include "../core/heat.h"
#include "job_block.h"
#include "job_info.h"
#include "job_later.h"
#include "job_pass.h"
#include "job_slowdown.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define LATE_ROUNDS 2

static unsigned int follow_target(void *arg, unsigned int node)
{
	const struct gmig_job *job = arg;

	return job->plan.ops->target(&job->plan, 0, 0, node);
}

static struct memory_follow follow_of(struct gmig_job *job)
{
	return (struct memory_follow){
	    .owner = job->work.id,
	    .spec = &job->work.spec,
	    .target = follow_target,
	    .arg = job,
	};
}

static int walk_memory(void *arg, uint64_t gfn, uint64_t pages, shadow_visit *visit,
		       void *visit_arg)
{
	struct memory *memory = arg;

	if (memory->ops->walk_present)
		return memory->ops->walk_present(memory, gfn, pages, visit, visit_arg);
	return memory->ops->walk(memory, gfn, pages, visit, visit_arg);
}

/* What is known is made true first: a plan is only as good as the beliefs. */
static void refresh(struct gmig_job *job)
{
	for (size_t i = 0; i < job->range_count && !job_is_cancelled(job); i++)
		job->memory->ops->refresh(job->memory, &job->ranges[i], job_is_cancelled, job);
}

static int cannot_tell(int error, struct gmig_error *err)
{
	return gmig_fail(err, error, "cannot tell where the memory lies: %s",
			 gmig_errno_name(error));
}

static bool is_by_heat(const struct gmig_job_spec *spec)
{
	return spec->order == GMIG_ORDER_HOT_FIRST || spec->order == GMIG_ORDER_COLD_FIRST;
}

/* What is not known goes last. */
static unsigned int rank_of(void *arg, uint64_t gfn)
{
	struct gmig_job *job = arg;
	struct heat *heat = atomic_load(&job->memory->heat);
	unsigned int it =
	    heat ? heat_of(heat, gfn / GMIG_BLOCK_PAGES, job->memory->sys->now_ns()) : HEAT_UNKNOWN;

	if (it == HEAT_UNKNOWN)
		return WORKSET_RANKS - 1;
	return job->work.spec.order == GMIG_ORDER_HOT_FIRST ? HEAT_MAX - it : it - HEAT_COLD;
}
_Static_assert(HEAT_MAX - HEAT_COLD < WORKSET_RANKS - 1, "a rank for each heat, and for none");

/* -ECANCELED is no error: the set is empty then, and nothing was reached. */
static int make_set(struct gmig_job *job, bool late, struct gmig_error *err)
{
	const struct workset_options options = {
	    .ranges = job->ranges,
	    .range_count = job->range_count,
	    .walk = walk_memory,
	    .walk_arg = job->memory,
	    .late = late,
	    .max_pages = job->work.spec.max_bytes / GMIG_PAGE_BYTES,
	    .random_seed = job->work.spec.order_seed,
	    .rank = is_by_heat(&job->work.spec) ? rank_of : NULL,
	    .rank_arg = job,
	    .stop = job_is_cancelled,
	    .stop_arg = job,
	};
	const struct memory_ops *ops = job->memory->ops;
	int ret;

	workset_free(&job->set);
	ret = workset_build(&job->plan, &options, &job->set);
	/* What came meanwhile was never on the nodes to leave, and would count as moved by others. */
	if (!ret && !late && ops->held && !ops->held(job->memory)) {
		workset_free(&job->set);
		ret = workset_build(&job->plan, &options, &job->set);
	}
	job->is_planned |= !ret;
	return ret && ret != -ECANCELED ? cannot_tell(ret, err) : 0;
}

/* By the counters, without a walk; 0 for a memory that has none. */
static uint64_t bytes_on(struct gmig_job *job, const struct gmig_node_set *nodes)
{
	struct memory *memory = job->memory;
	uint64_t bytes = 0;

	if (memory->ops->on_node)
		gmig_node_set_each (node, nodes)
			bytes += memory->ops->on_node(memory, &job->work.spec, node);
	return bytes;
}

struct count_on {
	const struct gmig_node_set *nodes;
	uint64_t bytes;
};

static int count_visit(void *arg, uint64_t gfn, const struct shadow_entry *entry)
{
	struct count_on *count = arg;

	(void)gfn;
	if (entry->state != SHADOW_NONE && gmig_node_set_has(count->nodes, entry->node))
		count->bytes += entry->order ? GMIG_BLOCK_BYTES : GMIG_PAGE_BYTES;
	return 0;
}

/*
 * By a walk over all that is there now, also what came after the plan; or by the second look, if nothing has moved since.
 * -errno: nobody knows; *bytes is what may be there then.
 */
static int walk_bytes_on(struct gmig_job *job, const struct gmig_node_set *nodes, uint64_t *bytes)
{
	struct memory *memory = job->memory;
	struct count_on count = {.nodes = nodes, .bytes = job->left_known ? job->left_bytes : 0};
	struct memory_range *ranges = NULL;
	struct job_account pages;
	size_t range_count = 0;
	int ret = 0;

	if (!job->left_known)
		ret = memory->ops->ranges(memory, &job->work.spec, &ranges, &range_count);
	for (size_t i = 0; i < range_count && ret >= 0; i++)
		ret = walk_memory(memory, ranges[i].gfn, ranges[i].pages, count_visit, &count);
	free(ranges);
	*bytes = count.bytes;
	if (ret >= 0 || job_memory_has_ended(job))
		return 0;
	job_account(job, &pages);
	*bytes = (pages.total - pages.gone) * GMIG_PAGE_BYTES;
	return ret;
}

static void refresh_set(struct gmig_job *job)
{
	const struct workset *set = &job->set;

	for (size_t i = 0; i < set->count && !job_is_cancelled(job); i++) {
		struct memory_range range = {workset_gfn(set->word[i]), GMIG_BLOCK_PAGES};

		job->memory->ops->refresh(job->memory, &range, job_is_cancelled, job);
	}
}

struct recount {
	const struct plan *plan;
	struct bits selected;
	unsigned int pages;
};

static int recount_visit(void *arg, uint64_t gfn, const struct shadow_entry *entry)
{
	struct recount *recount = arg;

	if (entry->state != SHADOW_NONE)
		recount->pages += plan_select(recount->plan, gfn, entry, &recount->selected);
	return 0;
}

/* Does every block of the set still have the pages that it was put there for? */
static bool set_is_true(struct gmig_job *job)
{
	struct memory *memory = job->memory;

	for (size_t i = 0; i < job->set.count; i++) {
		struct recount recount = {.plan = &job->plan};

		memory->ops->walk(memory, workset_gfn(job->set.word[i]), GMIG_BLOCK_PAGES,
				  recount_visit, &recount);
		if (recount.pages != workset_pages(job->set.word[i]))
			return false;
	}
	return true;
}

#define LIMITED_LOOKS 4

/*
 * A job that takes a part asks the kernel about that part alone, so that 2 MiB of a guest of 12 TiB begin to move at once.
 * What others have moved makes another part of it, which is asked about again. When it does not find as much as it may take,
 * or no end of it, all of the memory is asked about. *done: the set is made. A process's pages are asked about each time anyway.
 */
static int make_limited_set(struct gmig_job *job, bool *done, struct gmig_error *err)
{
	uint64_t most = job->work.spec.max_bytes / GMIG_PAGE_BYTES;
	int ret = make_set(job, false, err);

	*done = job->memory->pid != 0;
	for (unsigned int i = 0; i < LIMITED_LOOKS && !ret && !*done; i++) {
		if (most - job->set.pages >= GMIG_BLOCK_PAGES)
			break;
		refresh_set(job);
		*done = set_is_true(job);
		if (!*done)
			ret = make_set(job, false, err);
	}
	return ret;
}

static int job_plan(struct gmig_job *job, struct gmig_error *err)
{
	struct memory *memory = job->memory;
	int ret = memory->ops->ranges(memory, &job->work.spec, &job->ranges, &job->range_count);
	bool made = false;

	if (ret)
		return gmig_fail(err, ret, "cannot list the memory to move: %s",
				 gmig_errno_name(ret));
	/* Of all of it: where nothing moves that is 16 bytes a GiB, many ranges are more. */
	for (size_t i = 0; i < job->range_count && !ret; i++)
		ret = status_add_range(job->status, job->ranges[i].gfn, job->ranges[i].pages);
	if (!ret && job->plan.ops->make)
		ret = job->plan.ops->make(&job->plan);
	if (!ret && job->plan.ops->narrow)
		ret = job->plan.ops->narrow(&job->plan, &job->ranges, &job->range_count);
	if (ret)
		return gmig_fail(err, ret, "no memory for the plan");
	/* Whoever is cancelled in here has an empty set. */
	if (!job->work.spec.max_bytes)
		ret = job_later_begin(job, err);
	/* Until the set is made, or for a job that is cancelled before. */
	atomic_store(&job->planned, bytes_on(job, &job->plan.sources) / GMIG_PAGE_BYTES);
	if (!ret && job->work.spec.max_bytes)
		ret = make_limited_set(job, &made, err);
	if (!ret && !made) {
		refresh(job);
		ret = make_set(job, false, err);
	}
	if (job->is_planned)
		atomic_store(&job->planned, job->set.pages);
	if (!ret && job->work.spec.max_bytes)
		ret = job_later_begin(job, err);
	return ret;
}

/*
 * Of the blocks that were visited already, those that have something new. Their pages were counted
 * then; what is new counts when it is found.
 */
static void keep_new(struct gmig_job *job)
{
	struct workset *set = &job->set;
	size_t kept = 0;

	for (size_t i = 0; i < set->count && !job_is_cancelled(job); i++)
		if (job_block_is_new(job, set->word[i]))
			set->word[kept++] = set->word[i] - workset_pages(set->word[i]);
	set->count = kept;
}

/* Reads the mappings again, where there are some: are the ranges of the job still all that there is? */
static bool ranges_stand(struct gmig_job *job)
{
	struct memory *memory = job->memory;
	struct memory_range *ranges = NULL;
	size_t count = 0;
	bool stand;

	stand = !memory->ops->ranges(memory, &job->work.spec, &ranges, &count) &&
		count == job->range_count && !memcmp(ranges, job->ranges, count * sizeof(*ranges));
	free(ranges);
	return stand;
}

/* What is new is in the set then. last: nothing moves any more. */
static int look_again(struct gmig_job *job, bool last, struct gmig_error *err)
{
	bool stand = !job->memory->ops->on_node && ranges_stand(job);
	int ret;

	refresh(job);
	ret = make_set(job, true, err);
	job->left_bytes = job->set.on_left * GMIG_PAGE_BYTES;
	keep_new(job);
	job->left_known = stand && !ret && !job_is_cancelled(job) && (last || !job->set.count);
	return ret;
}

/*
 * Memory may have come to a node that was to be left: a first touch that found no room elsewhere, a
 * block that another job held and put back, the kernel. So the kernel is asked again, and what is there
 * is moved, too.
 */
static int second_look(struct gmig_job *job, struct gmig_error *err)
{
	/* What the kernel has said of the last pages, too, is looked at. */
	const unsigned int looks = LATE_ROUNDS + job->memory->ops->unclaimed;
	int ret = 0;

	for (unsigned int i = 0; i < looks && !ret && !job_is_cancelled(job); i++) {
		bool last = i == LATE_ROUNDS;
		uint64_t moved;

		/* What a later command brings to these nodes is to stay there. */
		if (later_feeds(job->later, &job->plan.sources))
			break;
		ret = look_again(job, last, err);
		if (ret || last || !job->set.count)
			break;
		moved = job_moved(job);
		ret = job_run_passes(job, true, err);
		if (job_moved(job) == moved)
			break;
	}
	return ret;
}

static int job_work(struct gmig_job *job, struct gmig_error *err)
{
	int ret = job_plan(job, err);

	atomic_store(&job->has_looked, true);
	job->work.looks_again = job->plan.ops->by_node && !job->work.spec.max_bytes;
	if (!ret)
		ret = job->mover->begin(&job->work, err);
	if (ret)
		return ret;
	job_slowdown_begin(job);
	ret = job_run_passes(job, false, err);
	if (!ret && job->work.looks_again)
		ret = second_look(job, err);
	/* What could not be found is not done with: the memory may be gone as a whole. */
	if (!ret)
		ret = job->memory->ops->ready(job->memory, &job->work.spec, err);
	if (!ret && atomic_load(&job->blind))
		ret = cannot_tell(atomic_load(&job->blind), err);
	job_slowdown_end(job);
	job->mover->end(&job->work);
	if (!ret && job->plan.ops->verify && !job_is_cancelled(job))
		ret = job->plan.ops->verify(&job->plan, err);
	return ret;
}

/*
 * The work is over: what became of it. A cancel that arrives from here on has nothing left to stop,
 * and one that came before, but after the last page, stopped nothing either.
 */
static enum job_event job_outcome(struct gmig_job *job, int ret)
{
	struct job_account pages;

	job_account(job, &pages);
	if (ret)
		return JOB_FAIL;
	if (!job_is_cancelled(job))
		return JOB_FINISH;
	return !job->is_planned || pages.remaining + pages.unreached ? JOB_STOP : JOB_FINISH;
}

/* Does new memory go on to where the job moved what there was? Not when others moved all of it. */
static bool job_keeps(struct gmig_job *job, enum job_event outcome)
{
	struct job_account pages;

	job_account(job, &pages);
	return outcome == JOB_FINISH && (pages.moved || !pages.by_others);
}

static void job_end(struct gmig_job *job, enum job_event outcome, struct gmig_error *err)
{
	uint64_t bytes = bytes_on(job, &job->plan.left);
	int ret = 0;

	if (!job->memory->ops->on_node && job->plan.ops->by_node)
		ret = walk_bytes_on(job, &job->plan.left, &bytes);
	if (ret && outcome == JOB_FINISH) {
		outcome = JOB_FAIL;
		cannot_tell(ret, err);
	}

	atomic_store(&job->has_looked, true);
	job_later_end(job, outcome == JOB_STOP);
	/* Nobody reads these once the job has ended. */
	workset_free(&job->set);
	free(job->ranges);
	job->ranges = NULL;
	pthread_mutex_lock(&job->lock);
	if (outcome == JOB_FAIL)
		job->error = *err;
	job->on_source = bytes / GMIG_PAGE_BYTES;
	if (job->plan.ops->forget)
		job->plan.ops->forget(&job->plan);
	job_change(job, outcome);
	pthread_mutex_unlock(&job->lock);
}

/*
 * Where new memory goes changes first: what is touched after the plan was made must not land where the
 * job moves memory away from.
 */
void *job_thread(void *arg)
{
	struct gmig_job *job = arg;
	const struct memory_follow follow = follow_of(job);
	struct gmig_error err = {0};
	enum job_event outcome;
	bool follows = false;
	int ret = 0;

	job_ask(job, JOB_RUN);
	job_tell(job);
	if (job_follows(job)) {
		ret = job_follow_in_turn(job, &follow, &err);
		follows = !ret;
	}
	if (!ret)
		ret = job_work(job, &err);
	outcome = job_outcome(job, ret);
	if (follows)
		job_follow_end_in_turn(job, &follow, job_keeps(job, outcome));
	job_end(job, outcome, &err);
	job_tell(job);
	/* After the end was told, since it may take a while: 70 ms at 12 TiB if each GiB has a page
	 * that differs. Who asks meanwhile gets the same answers. */
	status_end(job->status);
	gmig_job_put(job);
	return NULL;
}
