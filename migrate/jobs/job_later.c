#include "job_later.h"

#include "plan_policy.h"

#include <errno.h>
#include <stdlib.h>

#define LOOK_NS 200000ull /* between looks at a round that is not over */

/* ---- Who runs already -------------------------------------------------------------------------- */

/* Is there a page that the two may want to have elsewhere? Of two policies that hold now there is none. */
static bool contradicts(const struct plan *older, const struct plan *plan)
{
	if (!older->ops->by_node || !plan->ops->by_node)
		return !older->policy || !plan->policy;
	gmig_node_set_each (node, &older->sources) {
		unsigned int target = older->map.to[node], other = plan->map.to[node];

		if ((other != GMIG_NO_NODE && other != target) ||
		    plan->map.to[target] != GMIG_NO_NODE || gmig_node_set_has(&plan->targets, node))
			return true;
	}
	return false;
}

/*
 * One accepted between the two, or one that has ended, may have made the older job bring pages elsewhere than its plan says: then
 * a newer one is told of even if its map and the older job's agree. Caller holds jobs_lock.
 */
static bool is_diverted(const struct gmig_job *other, const struct gmig_job *job)
{
	const struct gmig_job *between = job->memory->jobs;

	if (later_generation(other->later))
		return true;
	while (between && !(between->work.id > other->work.id && between->work.id < job->work.id &&
			    contradicts(&other->plan, &between->plan)))
		between = between->next;
	return between;
}

/* Caller holds jobs_lock. */
static bool is_older(struct gmig_job *other, const struct gmig_job *job)
{
	bool runs;

	if (other->work.id >= job->work.id)
		return false;
	if (!contradicts(&other->plan, &job->plan) && !is_diverted(other, job))
		return false;
	pthread_mutex_lock(&other->lock);
	runs = !job_is_over(other->state);
	pthread_mutex_unlock(&other->lock);
	return runs;
}

/* With a reference each. */
static int list_older(struct gmig_job *job)
{
	struct memory *memory = job->memory;
	struct gmig_job *other;
	size_t room = 0;
	int ret = 0;

	pthread_mutex_lock(&memory->jobs_lock);
	for (other = memory->jobs; other; other = other->next)
		room += other->work.id < job->work.id;
	if (room)
		job->older = calloc(room, sizeof(struct gmig_job *));
	if (room && !job->older)
		ret = -ENOMEM;
	for (other = memory->jobs; other && job->older && job->older_count < room;
	     other = other->next)
		if (is_older(other, job)) {
			atomic_fetch_add(&other->refs, 1);
			job->older[job->older_count++] = other;
		}
	pthread_mutex_unlock(&memory->jobs_lock);
	return ret;
}

/* ---- New memory -------------------------------------------------------------------------------- */

/* A job over a part leaves it as it is. */
bool job_follows(const struct gmig_job *job)
{
	return job->memory->ops->follow && job->plan.ops->by_node && !job->work.spec.max_bytes;
}

/* The list is in the order of acceptance. Caller holds jobs_lock. */
static bool is_preceded(const struct gmig_job *job)
{
	const struct gmig_job *other = job->memory->jobs;

	while (other && other->work.id < job->work.id && !other->follows_yet)
		other = other->next;
	return other && other->work.id < job->work.id;
}

int job_follow_in_turn(struct gmig_job *job, const struct memory_follow *follow,
		       struct gmig_error *err)
{
	struct memory *memory = job->memory;
	int ret;

	pthread_mutex_lock(&memory->jobs_lock);
	while (is_preceded(job))
		pthread_cond_wait(&memory->followed, &memory->jobs_lock);
	pthread_mutex_unlock(&memory->jobs_lock);
	ret = memory->ops->follow(memory, follow, err);
	pthread_mutex_lock(&memory->jobs_lock);
	job->follows_yet = false;
	pthread_cond_broadcast(&memory->followed);
	pthread_mutex_unlock(&memory->jobs_lock);
	return ret;
}

/* One of those accepted after the job, up to `newest`, does not follow yet. Caller holds jobs_lock. */
static bool is_awaited(const struct gmig_job *job, uint64_t newest)
{
	const struct gmig_job *other = job->memory->jobs;

	while (other && (other->work.id <= job->work.id || !other->follows_yet))
		other = other->next;
	return other && other->work.id <= newest;
}

void job_follow_end_in_turn(struct gmig_job *job, const struct memory_follow *follow, bool keep)
{
	struct memory *memory = job->memory;
	uint64_t newest;

	pthread_mutex_lock(&memory->jobs_lock);
	newest = memory->next_job_id - 1;
	while (is_awaited(job, newest))
		pthread_cond_wait(&memory->followed, &memory->jobs_lock);
	pthread_mutex_unlock(&memory->jobs_lock);
	memory->ops->follow_end(memory, follow, keep);
}

/* ---- What is said ------------------------------------------------------------------------------ */

static struct page_list *list_of_range(uint64_t gfn, uint64_t pages)
{
	struct page_list *list = page_list_create(1);

	if (list)
		list->run[0] = (struct page_run){gfn, 0, pages};
	return list;
}

/* A job over a part says something of these blocks only. */
static struct page_list *list_of_set(const struct workset *set)
{
	struct page_list *list = page_list_create(set->count);

	for (size_t i = 0; list && i < set->count; i++)
		list->run[i] = (struct page_run){workset_gfn(set->word[i]), 0, GMIG_BLOCK_PAGES};
	return list;
}

static int make_word(struct gmig_job *job, struct later_word *word)
{
	const struct plan_policy *policy = job->plan.policy;

	*word = (struct later_word){.id = job->work.id};
	if (job->plan.ops->by_node && !job->work.spec.max_bytes) {
		word->map = &job->plan.map;
		word->ranges = job->ranges;
		word->range_count = job->range_count;
		return 0;
	}
	if (job->plan.list)
		word->pages = page_list_get(job->plan.list);
	else if (policy)
		word->pages = list_of_range(policy->gfn, policy->pages);
	else
		word->pages = page_list_sorted(list_of_set(&job->set));
	return word->pages ? 0 : -ENOMEM;
}

/* What this job brings to nodes that the older one leaves is not for that one: it has found its own pages before. */
static void wait_for_set(struct gmig_job *job, struct gmig_job *older)
{
	struct gmig_node_set both = job->plan.targets;

	gmig_node_set_and(&both, &older->plan.sources);
	while (!gmig_node_set_empty(&both) && !atomic_load(&older->has_looked) &&
	       !job_is_cancelled(job))
		job->memory->sys->sleep_ns(LOOK_NS);
}

/* Nobody who picked its pages before it was told so moves them any more. */
static void wait_for_rounds(struct gmig_job *job, struct gmig_job *older)
{
	for (unsigned int i = 0; i < GMIG_MAX_WORKERS; i++) {
		unsigned int round = atomic_load(&older->rounds[i]);

		while (round % 2 && atomic_load(&older->rounds[i]) == round &&
		       !job_is_cancelled(job))
			job->memory->sys->sleep_ns(LOOK_NS);
	}
}

int job_later_begin(struct gmig_job *job, struct gmig_error *err)
{
	struct later_word word;
	int ret = list_older(job);

	if (!ret && !job->older_count)
		return 0;
	if (!ret)
		ret = make_word(job, &word);
	if (ret)
		return gmig_fail(err, ret, "no memory for a job");
	for (size_t i = 0; !ret && i < job->older_count && job->older[i]; i++)
		ret = later_add(job->older[i]->later, &word);
	page_list_put(word.pages);
	if (ret)
		return gmig_fail(err, ret, "no memory to tell job %llu of this one",
				 (unsigned long long)job->older[0]->work.id);
	for (size_t i = 0; i < job->older_count && job->older[i]; i++) {
		wait_for_set(job, job->older[i]);
		wait_for_rounds(job, job->older[i]);
	}
	return 0;
}

void job_later_end(struct gmig_job *job, bool withdrawn)
{
	for (size_t i = 0; i < job->older_count; i++) {
		later_end(job->older[i]->later, job->work.id, withdrawn);
		gmig_job_put(job->older[i]);
	}
	free(job->older);
	job->older = NULL;
	job->older_count = 0;
	later_forget(job->later);
}

/* ---- Those who are told ------------------------------------------------------------------------ */

/*
 * The number is odd before the word is looked for, and the word is said before the number is looked at: one of the two is seen.
 */
bool job_round_enter(struct gmig_job *job, unsigned int worker, unsigned int said)
{
	atomic_fetch_add(&job->rounds[worker], 1);
	return later_generation(job->later) == said;
}

void job_round_leave(struct gmig_job *job, unsigned int worker)
{
	atomic_fetch_add(&job->rounds[worker], 1);
}
