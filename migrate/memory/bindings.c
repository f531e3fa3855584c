#include "bindings.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <urcu-bp.h>

struct run {
	uint64_t gfn, pages;
	struct mempolicy *policy; /* a reference */
};

/* Constant once published. */
struct snapshot {
	unsigned int count;
	struct run run[];
};

struct bindings {
	_Atomic(struct snapshot *) now; /* RCU: writers hold lock. NULL: no runs */
	pthread_mutex_t lock;
};

int bindings_create(struct bindings **out)
{
	struct bindings *bindings = calloc(1, sizeof(*bindings));

	if (!bindings)
		return -ENOMEM;
	pthread_mutex_init(&bindings->lock, NULL);
	*out = bindings;
	return 0;
}

static void snapshot_free(struct snapshot *snapshot)
{
	for (unsigned int i = 0; snapshot && i < snapshot->count; i++)
		mempolicy_put(snapshot->run[i].policy);
	free(snapshot);
}

void bindings_destroy(struct bindings *bindings)
{
	if (!bindings)
		return;
	snapshot_free(atomic_load(&bindings->now));
	pthread_mutex_destroy(&bindings->lock);
	free(bindings);
}

/* ---- Readers ----------------------------------------------------------------------------------- */

/* The first run that ends behind gfn; count: none. */
static unsigned int search(const struct snapshot *snapshot, uint64_t gfn)
{
	unsigned int low = 0, high = snapshot ? snapshot->count : 0;

	while (low < high) {
		unsigned int middle = (low + high) / 2;

		if (snapshot->run[middle].gfn + snapshot->run[middle].pages > gfn)
			high = middle;
		else
			low = middle + 1;
	}
	return low;
}

struct mempolicy *bindings_get_run(struct bindings *bindings, uint64_t gfn, uint64_t *end)
{
	struct mempolicy *policy = NULL;
	const struct snapshot *now;
	unsigned int at;

	*end = UINT64_MAX;
	if (!atomic_load(&bindings->now))
		return NULL;
	urcu_bp_read_lock();
	now = atomic_load(&bindings->now);
	at = search(now, gfn);
	if (now && at < now->count) {
		const struct run *run = &now->run[at];

		*end = run->gfn > gfn ? run->gfn : run->gfn + run->pages;
		/* The snapshot has a reference until all who read it now have ended. */
		if (run->gfn <= gfn)
			policy = mempolicy_get(run->policy);
	}
	urcu_bp_read_unlock();
	return policy;
}

struct mempolicy *bindings_get(struct bindings *bindings, uint64_t gfn)
{
	uint64_t end;

	return bindings_get_run(bindings, gfn, &end);
}

/* ---- Writers ----------------------------------------------------------------------------------- */

/* Room for what a writer may make of a snapshot: two more runs for a range, or one split at both ends. */
static struct snapshot *draft_of(const struct snapshot *now)
{
	unsigned int room = (now ? now->count : 0) + 3;

	return calloc(1, sizeof(struct snapshot) + room * sizeof(struct run));
}

/* At the end, to which it may be joined. */
static void append(struct snapshot *draft, uint64_t gfn, uint64_t end, struct mempolicy *policy)
{
	struct run *last = draft->count ? &draft->run[draft->count - 1] : NULL;

	if (end <= gfn || !policy)
		return;
	if (last && last->gfn + last->pages == gfn && mempolicy_equal(last->policy, policy)) {
		last->pages += end - gfn;
		return;
	}
	draft->run[draft->count++] = (struct run){gfn, end - gfn, mempolicy_get(policy)};
}

/* Caller holds the lock; it is released. On an error the draft is nothing. */
static int publish(struct bindings *bindings, struct snapshot *draft)
{
	struct snapshot *old = atomic_load(&bindings->now);

	if (draft->count > BINDINGS_MAX) {
		pthread_mutex_unlock(&bindings->lock);
		snapshot_free(draft);
		return -ENOMEM;
	}
	if (!draft->count) {
		free(draft);
		draft = NULL;
	}
	atomic_store(&bindings->now, draft);
	pthread_mutex_unlock(&bindings->lock);
	if (old)
		urcu_bp_synchronize_rcu();
	snapshot_free(old);
	return 0;
}

static uint64_t min(uint64_t a, uint64_t b)
{
	return a < b ? a : b;
}

static uint64_t max(uint64_t a, uint64_t b)
{
	return a > b ? a : b;
}

int bindings_set(struct bindings *bindings, uint64_t gfn, uint64_t pages, struct mempolicy *policy,
		 struct gmig_error *err)
{
	uint64_t end = gfn + pages;
	const struct snapshot *now;
	struct snapshot *draft;
	int ret = -ENOMEM;
	bool in = false;

	pthread_mutex_lock(&bindings->lock);
	now = atomic_load(&bindings->now);
	draft = draft_of(now);
	for (unsigned int i = 0; draft && now && i < now->count; i++) {
		const struct run *run = &now->run[i];
		uint64_t run_end = run->gfn + run->pages;

		append(draft, run->gfn, min(run_end, gfn), run->policy);
		if (!in && run_end > gfn) {
			append(draft, gfn, end, policy);
			in = true;
		}
		append(draft, max(run->gfn, end), run_end, run->policy);
	}
	if (draft && !in)
		append(draft, gfn, end, policy);
	if (draft)
		ret = publish(bindings, draft);
	else
		pthread_mutex_unlock(&bindings->lock);
	return ret ? gmig_fail(err, ret,
			       "no memory for the policy, or more than %u ranges have one",
			       BINDINGS_MAX)
		   : 0;
}

/* One run: what of it is in from..end gets its new policy. */
static int change_run(struct snapshot *draft, const struct run *run, uint64_t from, uint64_t end,
		      struct mempolicy *policy)
{
	uint64_t run_end = run->gfn + run->pages;

	append(draft, run->gfn, min(run_end, from), run->policy);
	append(draft, max(run->gfn, from), min(run_end, end), policy);
	append(draft, max(run->gfn, end), run_end, run->policy);
	return 0;
}

int bindings_change(struct bindings *bindings, uint64_t gfn, uint64_t pages,
		    bindings_changer *change, void *arg)
{
	uint64_t end = gfn + pages;
	const struct snapshot *now;
	struct snapshot *draft;
	int ret = 0;

	pthread_mutex_lock(&bindings->lock);
	now = atomic_load(&bindings->now);
	draft = draft_of(now);
	if (!draft)
		ret = -ENOMEM;
	for (unsigned int i = 0; !ret && now && i < now->count; i++) {
		const struct run *run = &now->run[i];
		struct mempolicy *policy = NULL;

		if (run->gfn < end && run->gfn + run->pages > gfn)
			ret = change(arg, run->policy, &policy);
		else
			policy = mempolicy_get(run->policy);
		if (!ret)
			ret = change_run(draft, run, gfn, end, policy);
		mempolicy_put(policy);
	}
	if (!ret)
		return publish(bindings, draft);
	pthread_mutex_unlock(&bindings->lock);
	snapshot_free(draft);
	return ret;
}

struct rebind {
	const struct gmig_node_set *mems;
};

static int rebind_one(void *arg, const struct mempolicy *policy, struct mempolicy **out)
{
	const struct rebind *to = arg;

	if (!memcmp(&policy->mems, to->mems, sizeof(policy->mems)))
		return mempolicy_copy(policy, out);
	return mempolicy_rebind(policy, to->mems, out);
}

static int rebind(void *arg, struct mempolicy *policy, struct mempolicy **out)
{
	return mempolicy_change(policy, rebind_one, arg, out);
}

static bool is_stale(struct bindings *bindings, const struct gmig_node_set *mems)
{
	const struct snapshot *now;
	bool stale = false;

	urcu_bp_read_lock();
	now = atomic_load(&bindings->now);
	for (unsigned int i = 0; now && i < now->count && !stale; i++)
		stale = memcmp(&now->run[i].policy->mems, mems, sizeof(*mems)) != 0;
	urcu_bp_read_unlock();
	return stale;
}

int bindings_rebind(struct bindings *bindings, const struct gmig_node_set *mems)
{
	struct rebind to = {mems};

	if (gmig_node_set_empty(mems) || !is_stale(bindings, mems))
		return 0;
	return bindings_change(bindings, 0, UINT64_MAX, rebind, &to);
}
