#include "virt_call.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

struct virt_calls {
	atomic_uint refs;
	atomic_uint running;
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
	uint64_t end_ms;
} round_of_calls;

static uint64_t now_ms(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

void virt_begin_round(unsigned int ms)
{
	round_of_calls.limited = ms != 0;
	round_of_calls.silent = false;
	round_of_calls.end_ms = now_ms() + ms;
}

/* Of `ms`, what the round has left; 0: nothing. */
static int left_ms(int ms)
{
	uint64_t now = now_ms();

	if (!round_of_calls.limited)
		return ms;
	if (round_of_calls.silent || now >= round_of_calls.end_ms)
		return 0;
	return round_of_calls.end_ms - now < (uint64_t)ms ? (int)(round_of_calls.end_ms - now) : ms;
}

struct virt_calls *virt_calls_create(const struct virt_options *options)
{
	struct virt_calls *calls = calloc(1, sizeof(*calls));

	if (!calls)
		return NULL;
	calls->refs = 1;
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

static struct timespec deadline_in(int ms)
{
	struct timespec at;

	clock_gettime(CLOCK_MONOTONIC, &at);
	at.tv_sec += ms / 1000;
	at.tv_nsec += ms % 1000 * 1000000l;
	if (at.tv_nsec >= 1000000000l) {
		at.tv_nsec -= 1000000000l;
		at.tv_sec++;
	}
	return at;
}

static int await(struct running *running, int ms, struct gmig_error *err)
{
	const struct timespec deadline = deadline_in(ms);
	const char *what = running->call.what;
	int ret = 0;

	pthread_mutex_lock(&running->lock);
	while (!running->done && ret != ETIMEDOUT)
		ret = pthread_cond_timedwait(&running->ended, &running->lock, &deadline);
	if (running->done) {
		ret = running->result;
		if (ret && err)
			*err = running->err;
	} else {
		running->given_up = true;
		round_of_calls.silent = true;
		ret = gmig_fail(err, -ETIMEDOUT, "libvirt, %s: no answer within %d ms", what, ms);
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
	pthread_condattr_t monotonic;
	int ret = 0;

	ms = left_ms(ms);
	if (!ms) {
		free(running);
		refuse(call);
		return gmig_fail(err, -EBUSY,
				 "libvirt, %s: it did not answer another call in time, and is "
				 "asked again later",
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
		return await(running, ms, err);
	if (connection)
		virConnectClose(connection);
	atomic_fetch_sub(&calls->running, 1);
	pthread_mutex_lock(&running->lock);
	running->refs = 1;
	put(running);
	refuse(call);
	return gmig_fail(err, ret, "no thread for a call to libvirt: %s", strerror(-ret));
}
