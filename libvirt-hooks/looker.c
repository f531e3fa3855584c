#include "looker.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define LOOKS_MAX 16 /* at a time */

struct looker {
	pthread_mutex_t lock;
	pthread_cond_t ended; /* a look has ended */
	/* guarded by lock */
	struct {
		struct domain *domain; /* NULL: free */
		uint64_t number;
	} running[LOOKS_MAX];
	uint64_t numbers;
	unsigned int count;
};

struct look_thread {
	struct looker *looker;
	struct domain *domain; /* a reference */
	struct domain_look look;
};

int looker_create(struct looker **out, struct gmig_error *err)
{
	struct looker *looker = calloc(1, sizeof(*looker));
	pthread_condattr_t monotonic;

	if (!looker)
		return gmig_fail(err, -ENOMEM, "out of memory");
	pthread_mutex_init(&looker->lock, NULL);
	pthread_condattr_init(&monotonic);
	pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
	pthread_cond_init(&looker->ended, &monotonic);
	pthread_condattr_destroy(&monotonic);
	*out = looker;
	return 0;
}

void looker_destroy(struct looker *looker)
{
	if (!looker)
		return;
	pthread_mutex_lock(&looker->lock);
	while (looker->count)
		pthread_cond_wait(&looker->ended, &looker->lock);
	pthread_mutex_unlock(&looker->lock);
	pthread_cond_destroy(&looker->ended);
	pthread_mutex_destroy(&looker->lock);
	free(looker);
}

/* Under the lock. Its slot, or -1: none runs. */
static int find_running(const struct looker *looker, const struct domain *domain)
{
	for (int i = 0; i < LOOKS_MAX; i++)
		if (looker->running[i].domain == domain)
			return i;
	return -1;
}

static void *look_thread(void *opaque)
{
	struct look_thread *thread = opaque;
	struct looker *looker = thread->looker;
	struct domain *domain = thread->domain;

	pthread_setname_np(pthread_self(), "gmigd-look");
	domain_look(domain, &thread->look, NULL); /* the domain keeps it */
	free(thread);
	pthread_mutex_lock(&looker->lock);
	looker->running[find_running(looker, domain)].domain = NULL;
	pthread_cond_broadcast(&looker->ended);
	pthread_mutex_unlock(&looker->lock);
	domain_put(domain); /* may be the last one, and wait for jobs */
	pthread_mutex_lock(&looker->lock);
	looker->count--;
	pthread_cond_broadcast(&looker->ended);
	pthread_mutex_unlock(&looker->lock);
	return NULL;
}

/* Under the lock. The slot of a look that has begun now, or -EAGAIN. */
static int start_look(struct looker *looker, struct domain *domain)
{
	struct look_thread *thread = malloc(sizeof(*thread));
	int slot = find_running(looker, NULL);
	sigset_t all, before;
	pthread_t id;
	int ret;

	if (!thread || slot < 0 || looker->count >= LOOKS_MAX) {
		free(thread);
		return -EAGAIN;
	}
	thread->looker = looker;
	thread->domain = domain_get(domain);
	looker->running[slot].domain = domain;
	looker->running[slot].number = ++looker->numbers;
	looker->count++;
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &before);
	ret = pthread_create(&id, NULL, look_thread, thread);
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	if (!ret) {
		pthread_detach(id);
		return slot;
	}
	looker->running[slot].domain = NULL;
	looker->count--;
	domain_put(domain); /* the caller has one */
	free(thread);
	return -EAGAIN;
}

static struct timespec deadline_in(int ms)
{
	struct timespec at;

	clock_gettime(CLOCK_MONOTONIC, &at);
	at.tv_nsec += ms % 1000 * 1000000l;
	at.tv_sec += ms / 1000 + at.tv_nsec / 1000000000l;
	at.tv_nsec %= 1000000000l;
	return at;
}

/* A look that runs already may have begun too early: it is waited for all the same, and its age is told. */
static void await_look(struct looker *looker, struct domain *domain, int wait_ms)
{
	const struct timespec deadline = deadline_in(wait_ms);
	uint64_t number;
	int slot, ret = 0;

	pthread_mutex_lock(&looker->lock);
	slot = find_running(looker, domain);
	if (slot < 0)
		slot = start_look(looker, domain);
	number = slot < 0 ? 0 : looker->running[slot].number;
	while (slot >= 0 && ret != ETIMEDOUT && looker->running[slot].domain == domain &&
	       looker->running[slot].number == number)
		ret = pthread_cond_timedwait(&looker->ended, &looker->lock, &deadline);
	pthread_mutex_unlock(&looker->lock);
}

int looker_ask(struct looker *looker, struct domain *domain, uint64_t max_age_ns, int wait_ms,
	       struct domain_look *look, struct gmig_error *err)
{
	if (!domain_last_look(domain, max_age_ns, look))
		return 0;
	await_look(looker, domain, wait_ms);
	if (!domain_last_look(domain, UINT64_MAX, look))
		return 0;
	if (domain_has_ended(domain))
		return gmig_fail(err, -ESRCH, "domain %.60s has ended", domain_name(domain));
	return gmig_fail(err, -EAGAIN, "the memory of domain %.60s is being looked at: ask again",
			 domain_name(domain));
}
