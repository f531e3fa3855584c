#include "virt_call.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define SLICE_MS 50 /* a call that is waited for sees so late that no time is left for it */

struct virt_calls {
	atomic_uint refs;
	atomic_uint running;
	atomic_bool silent;	 /* the last one was not answered; true before the first answer */
	_Atomic uint64_t end_ms; /* of all calls, see virt_end_calls(); UINT64_MAX: none yet */
	void (*before_call)(void *opaque, const char *what);
	void *opaque;
};

/* One call: the caller and the thread have a reference each. */
struct running {
	struct virt_calls *calls;
	struct virt_call call;
	virConnectPtr connection;
	pthread_mutex_t lock;
	pthread_cond_t ended;
	unsigned int refs; /* guarded by lock, as all below */
	bool done, given_up;
	int result;
	struct gmig_error err;
};

/* Of the calling thread. */
static _Thread_local struct {
	bool limited, silent; /* silent: a call of this round was not answered */
	bool (*is_over)(void);
	uint64_t end_ms;
} round_of_calls;

static uint64_t now_ms(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

void virt_begin_round(unsigned int ms, bool (*is_over)(void))
{
	round_of_calls.limited = ms != 0;
	round_of_calls.silent = false;
	round_of_calls.is_over = is_over;
	round_of_calls.end_ms = now_ms() + ms;
}

void virt_calls_end(struct virt_calls *calls, int ms)
{
	atomic_store(&calls->end_ms, now_ms() + (atomic_load(&calls->silent) ? 0 : (uint64_t)ms));
}

/* Nobody has let it wait: we end. */
static bool is_ending(const struct virt_calls *calls)
{
	return atomic_load(&calls->end_ms) != UINT64_MAX ||
	       (round_of_calls.is_over && round_of_calls.is_over());
}

/* When a call that begins now is given up. No later than now: it is not to begin. */
static uint64_t deadline_of(const struct virt_calls *calls, int ms)
{
	uint64_t until = now_ms() + (uint64_t)ms, end = atomic_load(&calls->end_ms);

	if (round_of_calls.limited) {
		if (round_of_calls.silent || (round_of_calls.is_over && round_of_calls.is_over()))
			return 0;
		if (round_of_calls.end_ms < until)
			until = round_of_calls.end_ms;
	}
	return end < until ? end : until;
}

struct virt_calls *virt_calls_create(const struct virt_options *options)
{
	struct virt_calls *calls = calloc(1, sizeof(*calls));

	if (!calls)
		return NULL;
	calls->refs = 1;
	calls->silent = true;
	calls->end_ms = UINT64_MAX;
	calls->before_call = options->before_call;
	calls->opaque = options->opaque;
	return calls;
}

void virt_calls_put(struct virt_calls *calls)
{
	if (calls && atomic_fetch_sub(&calls->refs, 1) == 1)
		free(calls);
}

int virt_error(const char *what, struct gmig_error *err)
{
	const virError *last = virGetLastError();
	int code = -EIO;

	if (last && last->code == VIR_ERR_NO_DOMAIN)
		code = -ESRCH;
	else if (last &&
		 (last->code == VIR_ERR_OPERATION_UNSUPPORTED ||
		  last->code == VIR_ERR_CONFIG_UNSUPPORTED ||
		  last->code == VIR_ERR_OPERATION_INVALID || last->code == VIR_ERR_NO_SUPPORT ||
		  last->code == VIR_ERR_ARGUMENT_UNSUPPORTED))
		code = -EOPNOTSUPP;
	return gmig_fail(err, code, "libvirt, %s: %.200s", what,
			 last && last->message ? last->message : "no reason is given");
}

/* Under its lock; gives the lock back. The last one frees. */
static void put(struct running *running)
{
	bool last = --running->refs == 0;
	struct virt_calls *calls = running->calls;

	pthread_mutex_unlock(&running->lock);
	if (!last)
		return;
	pthread_cond_destroy(&running->ended);
	pthread_mutex_destroy(&running->lock);
	free(running);
	virt_calls_put(calls);
}

static void *call_thread(void *opaque)
{
	struct running *running = opaque;
	struct virt_calls *calls = running->calls;
	struct gmig_error err = {0};
	int ret;

	pthread_setname_np(pthread_self(), "gmigd-call");
	if (calls->before_call)
		calls->before_call(calls->opaque, running->call.what);
	ret = running->call.run(&running->call, running->connection, &err);
	atomic_store(&calls->silent, false);
	/* May be the last reference, and so end the connection: that, too, can take its time. */
	if (running->connection)
		virConnectClose(running->connection);
	pthread_mutex_lock(&running->lock);
	if ((running->given_up || ret) && running->call.release)
		running->call.release(running->call.arguments);
	running->result = ret;
	running->err = err;
	running->done = true;
	atomic_fetch_sub(&calls->running, 1);
	pthread_cond_signal(&running->ended);
	put(running);
	return NULL;
}

/* Signals are for main. */
static int start(struct running *running)
{
	sigset_t all, before;
	pthread_attr_t attributes;
	pthread_t thread;
	int ret;

	sigfillset(&all);
	pthread_attr_init(&attributes);
	pthread_attr_setdetachstate(&attributes, PTHREAD_CREATE_DETACHED);
	pthread_sigmask(SIG_SETMASK, &all, &before);
	ret = pthread_create(&thread, &attributes, call_thread, running);
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	pthread_attr_destroy(&attributes);
	return -ret;
}

/* Woken, or a while later: no longer than until `until_ms`, on now_ms()'s clock. */
static void wait_a_while(struct running *running, uint64_t until_ms)
{
	uint64_t at_ms = now_ms() + SLICE_MS;
	struct timespec at;

	if (at_ms > until_ms)
		at_ms = until_ms;
	at = (struct timespec){.tv_sec = (time_t)(at_ms / 1000),
			       .tv_nsec = (long)(at_ms % 1000) * 1000000l};
	pthread_cond_timedwait(&running->ended, &running->lock, &at);
}

static int await(struct running *running, uint64_t until_ms, struct gmig_error *err)
{
	const char *what = running->call.what;
	uint64_t began_ms = now_ms();
	int ret;

	pthread_mutex_lock(&running->lock);
	while (!running->done && now_ms() < until_ms &&
	       now_ms() < atomic_load(&running->calls->end_ms))
		wait_a_while(running, until_ms);
	if (running->done) {
		ret = running->result;
		if (ret && err)
			*err = running->err;
	} else {
		running->given_up = true;
		round_of_calls.silent = true;
		atomic_store(&running->calls->silent, true);
		ret = gmig_fail(err, -ETIMEDOUT, "libvirt, %s: no answer within %llu ms", what,
				(unsigned long long)(now_ms() - began_ms));
	}
	put(running);
	return ret;
}

static int refuse(const struct virt_call *call)
{
	if (call->release)
		call->release(call->arguments);
	return 0;
}

int virt_call(struct virt_calls *calls, virConnectPtr connection, const struct virt_call *call,
	      int ms, struct gmig_error *err)
{
	struct running *running = calloc(1, sizeof(*running));
	uint64_t until_ms = deadline_of(calls, ms);
	pthread_condattr_t monotonic;
	int ret = 0;

	if (until_ms <= now_ms()) {
		free(running);
		refuse(call);
		return gmig_fail(err, -EBUSY,
				 is_ending(calls)
				     ? "libvirt, %s: it is not asked any more, as gmigd "
				       "is to end"
				     : "libvirt, %s: it did not answer another call in "
				       "time, and is asked again later",
				 call->what);
	}
	if (!running) {
		refuse(call);
		return gmig_fail(err, -ENOMEM, "out of memory");
	}
	if (atomic_fetch_add(&calls->running, 1) >= VIRT_CALLS_MAX) {
		atomic_fetch_sub(&calls->running, 1);
		free(running);
		refuse(call);
		return gmig_fail(err, -EBUSY,
				 "libvirt, %s: it does not answer, %d calls wait for it",
				 call->what, VIRT_CALLS_MAX);
	}
	atomic_fetch_add(&calls->refs, 1);
	*running =
	    (struct running){.calls = calls, .call = *call, .connection = connection, .refs = 2};
	pthread_mutex_init(&running->lock, NULL);
	pthread_condattr_init(&monotonic);
	pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
	pthread_cond_init(&running->ended, &monotonic);
	pthread_condattr_destroy(&monotonic);
	if (connection)
		virConnectRef(connection);
	ret = start(running);
	if (!ret)
		return await(running, until_ms, err);
	if (connection)
		virConnectClose(connection);
	atomic_fetch_sub(&calls->running, 1);
	pthread_mutex_lock(&running->lock);
	running->refs = 1;
	put(running);
	refuse(call);
	return gmig_fail(err, ret, "no thread for a call to libvirt: %s", strerror(-ret));
}
