#include "bindings.h"

#include "../core/happens.h"

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
	unsigned int max; /* runs; constant */
	struct happens readers;
};

int bindings_create_with(unsigned int max, struct bindings **out)
{
	struct bindings *bindings = calloc(1, sizeof(*bindings));

	if (!bindings)
		return -ENOMEM;
	bindings->max = max;
	pthread_mutex_init(&bindings->lock, NULL);
	*out = bindings;
	return 0;
}

int bindings_create(struct bindings **out)
{
	return bindings_create_with(BINDINGS_MAX, out);
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
	happens_before(&bindings->readers);
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

/* Caller holds the lock; it is released. */
static void publish(struct bindings *bindings, struct snapshot *draft)
{
	struct snapshot *old = atomic_load(&bindings->now);

	if (!draft->count) {
		free(draft);
		draft = NULL;
	}
	atomic_store(&bindings->now, draft);
	pthread_mutex_unlock(&bindings->lock);
	if (old)
		urcu_bp_synchronize_rcu();
	happens_after(&bindings->readers);
	snapshot_free(old);
}

/* A writer gives up: nothing has changed. Caller holds the lock; it is released. */
static void discard(struct bindings *bindings, struct snapshot *draft)
{
	pthread_mutex_unlock(&bindings->lock);
	snapshot_free(draft);
}

static uint64_t min(uint64_t a, uint64_t b)
{
	return a < b ? a : b;
}

static uint64_t max(uint64_t a, uint64_t b)
{
	return a > b ? a : b;
}

#define SHARE_LOOKS 64 /* policies that are compared; more different ones need not be found */

/*
 * Many ranges mostly have few policies, set by calls of their own: one of those that are there is as good as the caller's, and
 * saves 1.5 KiB. Caller holds the lock.
 */
static struct mempolicy *share(const struct snapshot *now, struct mempolicy *policy)
{
	const struct mempolicy *seen[2] = {NULL, NULL};
	unsigned int looks = 0;

	for (unsigned int i = 0; now && policy && i < now->count && looks < SHARE_LOOKS; i++) {
		struct mempolicy *one = now->run[i].policy;

		if (one == seen[0] || one == seen[1])
			continue;
		if (mempolicy_equal(one, policy))
			return one;
		seen[looks++ % 2] = one;
	}
	return policy;
}

/* More than may be, and more than before: what takes some away is never refused. */
static bool is_too_much(const struct bindings *bindings, const struct snapshot *now,
			const struct snapshot *draft)
{
	return draft->count > bindings->max && draft->count > (now ? now->count : 0);
}

int bindings_set(struct bindings *bindings, uint64_t gfn, uint64_t pages, struct mempolicy *policy,
		 struct gmig_error *err)
{
	uint64_t end = gfn + pages;
	const struct snapshot *now;
	struct snapshot *draft;
	bool in = false, had_memory;

	pthread_mutex_lock(&bindings->lock);
	now = atomic_load(&bindings->now);
	policy = share(now, policy);
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
	if (draft && !is_too_much(bindings, now, draft)) {
		publish(bindings, draft);
		return 0;
	}
	had_memory = draft != NULL;
	discard(bindings, draft);
	return had_memory ? gmig_fail(err, -ENOMEM,
				      "%u ranges have a policy, which is as many as there may be: "
				      "join some of them first",
				      bindings->max)
			  : gmig_fail(err, -ENOMEM, "no memory for the policies of ranges");
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

#define CHANGED 8

/* Policies that have been changed already, the last few: alike runs have one policy then as before. */
struct changed {
	struct mempolicy *from[CHANGED], *to[CHANGED]; /* to: a reference */
	unsigned int next;
};

static int change_once(struct changed *changed, struct mempolicy *policy, bindings_changer *change,
		       void *arg, struct mempolicy **out)
{
	unsigned int i;
	int ret;

	for (i = 0; i < CHANGED; i++)
		if (changed->from[i] == policy) {
			*out = mempolicy_get(changed->to[i]);
			return 0;
		}
	ret = change(arg, policy, out);
	if (ret)
		return ret;
	i = changed->next++ % CHANGED;
	mempolicy_put(changed->to[i]);
	changed->from[i] = policy;
	changed->to[i] = mempolicy_get(*out);
	return 0;
}

static void forget_changed(struct changed *changed)
{
	for (unsigned int i = 0; i < CHANGED; i++)
		mempolicy_put(changed->to[i]);
}

int bindings_change(struct bindings *bindings, uint64_t gfn, uint64_t pages,
		    bindings_changer *change, void *arg)
{
	struct changed changed = {.next = 0};
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
			ret = change_once(&changed, run->policy, change, arg, &policy);
		else
			policy = mempolicy_get(run->policy);
		if (!ret)
			ret = change_run(draft, run, gfn, end, policy);
		mempolicy_put(policy);
	}
	forget_changed(&changed);
	if (ret)
		discard(bindings, draft);
	else
		publish(bindings, draft);
	return ret;
}

static int rebind(void *arg, struct mempolicy *policy, struct mempolicy **out)
{
	const struct gmig_node_set *mems = arg;

	if (memcmp(&policy->mems, mems, sizeof(*mems)) != 0)
		return mempolicy_rebind(policy, mems, out);
	*out = mempolicy_get(policy);
	return 0;
}

static bool is_stale(struct bindings *bindings, const struct gmig_node_set *mems)
{
	const struct snapshot *now;
	bool stale = false;

	urcu_bp_read_lock();
	now = atomic_load(&bindings->now);
	for (unsigned int i = 0; now && i < now->count && !stale; i++)
		stale = (i < 2 || now->run[i].policy != now->run[i - 2].policy) &&
			memcmp(&now->run[i].policy->mems, mems, sizeof(*mems)) != 0;
	happens_before(&bindings->readers);
	urcu_bp_read_unlock();
	return stale;
}

int bindings_rebind(struct bindings *bindings, const struct gmig_node_set *mems)
{
	if (gmig_node_set_empty(mems) || !is_stale(bindings, mems))
		return 0;
	return bindings_change(bindings, 0, UINT64_MAX, rebind, (void *)mems);
}
