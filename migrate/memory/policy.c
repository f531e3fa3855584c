#include "policy.h"

#include "../core/room.h"
#include "../core/sys.h"
#include "ledger.h"

#include <errno.h>
#include <stdatomic.h>
#include <stdlib.h>

#define REFRESH_NS	 10000000ull   /* between two looks at the room */
#define REFRESH_IDLE_NS	 1000000000ull /* while nothing is asked for */
#define REFRESH_TIGHT_NS 1000000ull    /* when little is left */
#define TIGHT_PAGES	 (long)(64 * GMIG_BLOCK_PAGES)
#define POLL_NS		 10000000ull	/* room may also be made by others */
#define WORKER_BYTES	 (256ull << 10) /* its threads and page tables */
#define REFUSED_NS	 10000000ull
#define REFUSED_DOUBLED	 7 /* 1.28 s */

/* One size on one node. Written without a lock: a hint, and a lost one costs a try. */
struct refusal {
	_Atomic uint64_t until_ns;
	atomic_uint count;
};

struct policy {
	const struct gmig_sys *sys;
	struct ledger *ledger;
	long extra_max;
	atomic_uint serial, waiters, workers;
	struct refusal refused[GMIG_MAX_NODES][2];

	pthread_mutex_t lock;
	pthread_cond_t freed;
	/* guarded by lock */
	long peak;	  /* of extra memory */
	long pending;	  /* reserved, and not in the ledger */
	long owned_max;	  /* pages that the engine may own in all, by the last look at the room */
	uint64_t look_ns; /* when that was; 0: never */
};

int policy_create(const struct policy_config *config, struct policy **out)
{
	struct policy *policy = calloc(1, sizeof(*policy));

	if (!policy)
		return -ENOMEM;
	policy->sys = config->sys;
	policy->ledger = config->ledger;
	policy->extra_max = (long)(config->extra_bytes_max / GMIG_PAGE_BYTES);
	pthread_mutex_init(&policy->lock, NULL);
	if (gmig_sys_cond_init(&policy->freed)) {
		pthread_mutex_destroy(&policy->lock);
		free(policy);
		return -ENOMEM;
	}
	*out = policy;
	return 0;
}

void policy_destroy(struct policy *policy)
{
	if (!policy)
		return;
	pthread_cond_destroy(&policy->freed);
	pthread_mutex_destroy(&policy->lock);
	free(policy);
}

/* ---- The budget; callers hold the lock --------------------------------------------------------- */

/* What the engine has from the kernel, the guest's memory included. */
static long owned(const struct policy *policy)
{
	return -ledger_sum(policy->ledger, LEDGER_OUTSIDE, LEDGER_OUTSIDE);
}

static long extra(const struct policy *policy)
{
	return ledger_sum(policy->ledger, LEDGER_POOL, LEDGER_FLIGHT);
}

/* Pages that the kernel may still be asked for. */
static long headroom(const struct policy *policy)
{
	long left = policy->owned_max - owned(policy) - policy->pending;

	return left > 0 ? left : 0;
}

/*
 * What is reserved may have been asked for already, and be missing in the room: it is taken off once more, rather than
 * forgotten.
 */
static void look(struct policy *policy, uint64_t now)
{
	struct room room;
	long pages;

	policy->sys->room(&room);
	pages = room.bytes > (1ull << 52) ? 1l << 40 : (long)(room.bytes / GMIG_PAGE_BYTES);
	policy->owned_max = owned(policy) + pages;
	policy->look_ns = now;
}

static void refresh(struct policy *policy, uint64_t after_ns)
{
	uint64_t now = policy->sys->now_ns(), age = now - policy->look_ns;

	if (!policy->look_ns || age >= after_ns ||
	    (after_ns == REFRESH_NS && age >= REFRESH_TIGHT_NS && headroom(policy) < TIGHT_PAGES))
		look(policy, now);
}

/* The most of extra memory that there may be now. */
static long extra_max(const struct policy *policy)
{
	long fits = extra(policy) + headroom(policy);

	return fits < policy->extra_max ? fits : policy->extra_max;
}

static bool fits(const struct policy *policy, enum policy_use use, long pages)
{
	long most = policy->extra_max;

	if (pages > headroom(policy))
		return false;
	if (use == POLICY_TOUCH)
		return true;
	if (use == POLICY_AHEAD)
		most = extra_max(policy) / 2;
	return extra(policy) + policy->pending + pages <= most;
}

int policy_reserve(struct policy *policy, enum policy_use use, unsigned int pages)
{
	int ret = -EDQUOT;

	pthread_mutex_lock(&policy->lock);
	refresh(policy, REFRESH_NS);
	if (fits(policy, use, pages)) {
		policy->pending += pages;
		if (use != POLICY_TOUCH && extra(policy) + policy->pending > policy->peak)
			policy->peak = extra(policy) + policy->pending;
		ret = 0;
	}
	pthread_mutex_unlock(&policy->lock);
	return ret;
}

void policy_release(struct policy *policy, unsigned int pages)
{
	pthread_mutex_lock(&policy->lock);
	policy->pending -= pages;
	pthread_mutex_unlock(&policy->lock);
}

void policy_look(struct policy *policy)
{
	pthread_mutex_lock(&policy->lock);
	look(policy, policy->sys->now_ns());
	pthread_mutex_unlock(&policy->lock);
}

uint64_t policy_extra_max(struct policy *policy)
{
	long pages;

	pthread_mutex_lock(&policy->lock);
	refresh(policy, REFRESH_IDLE_NS);
	pages = extra_max(policy);
	pthread_mutex_unlock(&policy->lock);
	return (uint64_t)pages * GMIG_PAGE_BYTES;
}

uint64_t policy_extra(struct policy *policy)
{
	long pages = extra(policy);

	return pages > 0 ? (uint64_t)pages * GMIG_PAGE_BYTES : 0;
}

uint64_t policy_extra_peak(struct policy *policy)
{
	long pages;

	pthread_mutex_lock(&policy->lock);
	pages = policy->peak;
	pthread_mutex_unlock(&policy->lock);
	return (uint64_t)pages * GMIG_PAGE_BYTES;
}

long policy_keep(struct policy *policy, long watermark_pages)
{
	long most = (long)(policy_extra_max(policy) / GMIG_PAGE_BYTES) / 4;

	return most < watermark_pages ? most : watermark_pages;
}

/* ---- Waiting ----------------------------------------------------------------------------------- */

unsigned int policy_serial(struct policy *policy)
{
	return atomic_load(&policy->serial);
}

void policy_freed(struct policy *policy)
{
	atomic_fetch_add(&policy->serial, 1);
	if (!atomic_load(&policy->waiters))
		return;
	pthread_mutex_lock(&policy->lock);
	pthread_cond_broadcast(&policy->freed);
	pthread_mutex_unlock(&policy->lock);
}

bool policy_wait(struct policy *policy, unsigned int serial, uint64_t until_ns)
{
	uint64_t now = policy->sys->now_ns(), until = now + POLL_NS;
	bool again;

	if (until > until_ns)
		until = until_ns;
	/* Before the serial is read, so that policy_freed() sees one of us or we see it. */
	atomic_fetch_add(&policy->waiters, 1);
	pthread_mutex_lock(&policy->lock);
	again = now < until_ns &&
		(policy->pending > 0 || ledger_total(policy->ledger, LEDGER_FLIGHT) > 0 ||
		 policy_serial(policy) != serial);
	while (again && policy_serial(policy) == serial)
		if (policy->sys->wait_until(&policy->freed, &policy->lock, until) == -ETIMEDOUT)
			break;
	pthread_mutex_unlock(&policy->lock);
	atomic_fetch_sub(&policy->waiters, 1);
	return again;
}

/* ---- Workers ----------------------------------------------------------------------------------- */

/* All of them, of all jobs. */
static unsigned int workers_max(struct policy *policy)
{
	return (unsigned int)(policy_extra_max(policy) / (GMIG_BLOCK_BYTES + WORKER_BYTES));
}

unsigned int policy_workers(struct policy *policy, unsigned int asked)
{
	unsigned int most = workers_max(policy), busy = atomic_load(&policy->workers);
	unsigned int fit = most > busy + 1 ? most - busy : 1;

	return fit < asked ? fit : asked;
}

int policy_worker_enter(struct policy *policy, bool first)
{
	if (atomic_fetch_add(&policy->workers, 1) < workers_max(policy) || first)
		return 0;
	atomic_fetch_sub(&policy->workers, 1);
	return -EAGAIN;
}

void policy_worker_leave(struct policy *policy)
{
	atomic_fetch_sub(&policy->workers, 1);
}

/* ---- Refusals ---------------------------------------------------------------------------------- */

bool policy_is_hopeless(struct policy *policy, unsigned int node, bool huge)
{
	uint64_t until = atomic_load(&policy->refused[node][huge].until_ns);

	return until && policy->sys->now_ns() < until;
}

void policy_note(struct policy *policy, unsigned int node, bool huge, bool had)
{
	struct refusal *refusal = &policy->refused[node][huge];
	unsigned int count;

	if (had) {
		if (atomic_load(&refusal->until_ns)) {
			atomic_store(&refusal->until_ns, 0);
			atomic_store(&refusal->count, 0);
		}
		return;
	}
	count = atomic_fetch_add(&refusal->count, 1);
	if (count > REFUSED_DOUBLED)
		count = REFUSED_DOUBLED;
	atomic_store(&refusal->until_ns, policy->sys->now_ns() + (REFUSED_NS << count));
}
