/*
 * The I/O thread: epoll over the devices' file descriptors. Handlers run without the lock, one at a
 * time. `generation` detects a stale event: its descriptor was removed, and the number is used
 * again.
 */
#include "loop.h"
#include "../migrate/core/wake.h"
#include "deadline.h"
#include "internal.h"

#include <errno.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <time.h>
#include <unistd.h>

#define RETRY_NS     100000000ull
#define MAX_FAILURES 16 /* a handler that takes no notice of them would spin */

static struct vmm_loop_handler *find(struct vmm_loop *loop, int fd)
{
	for (unsigned int i = 0; i < VMM_MAX_FDS; i++)
		if (loop->handler[i].fd == fd)
			return &loop->handler[i];
	return NULL;
}

static uint64_t event_key(const struct vmm_loop_handler *handler)
{
	return (uint64_t)handler->generation << 32 | (uint32_t)handler->fd;
}

/* Lock held. operation: EPOLL_CTL_ADD or EPOLL_CTL_MOD. */
static int watch(struct vmm_loop *loop, const struct vmm_loop_handler *handler, int operation)
{
	struct epoll_event event = {.events = handler->events, .data.u64 = event_key(handler)};

	return epoll_ctl(loop->epoll_fd, operation, handler->fd, &event) ? -errno : 0;
}

int vmm_loop_add(struct vmm *vmm, int fd, uint32_t events, vmm_loop_ready *ready, void *opaque)
{
	struct vmm_loop *loop = &vmm->loop;
	struct vmm_loop_handler *handler;
	int ret = 0;

	if (fd < 0 || !ready)
		return -EINVAL;
	pthread_mutex_lock(&loop->lock);
	handler = find(loop, fd) ? NULL : find(loop, -1);
	if (!handler) {
		ret = find(loop, fd) ? -EEXIST : -ENOSPC;
		goto out;
	}
	*handler = (struct vmm_loop_handler){.fd = fd,
					     .generation = ++loop->next_generation,
					     .events = events,
					     .ready = ready,
					     .opaque = opaque};
	ret = watch(loop, handler, EPOLL_CTL_ADD);
	if (ret)
		handler->fd = -1;
out:
	pthread_mutex_unlock(&loop->lock);
	return ret;
}

int vmm_loop_modify(struct vmm *vmm, int fd, uint32_t events)
{
	struct vmm_loop *loop = &vmm->loop;
	struct vmm_loop_handler *handler;
	int ret = -ENOENT;

	pthread_mutex_lock(&loop->lock);
	handler = fd < 0 ? NULL : find(loop, fd);
	if (handler) {
		handler->events = events;
		ret = handler->rest_until_ns ? 0 : watch(loop, handler, EPOLL_CTL_MOD);
	}
	pthread_mutex_unlock(&loop->lock);
	return ret;
}

/* NULL: nobody handles it. Caller holds loop->lock. */
static struct vmm_loop_handler *unwatch(struct vmm_loop *loop, int fd)
{
	struct vmm_loop_handler *handler = fd < 0 ? NULL : find(loop, fd);

	if (handler)
		epoll_ctl(loop->epoll_fd, EPOLL_CTL_DEL, fd, NULL);
	return handler;
}

int vmm_loop_rest(struct vmm *vmm, int fd, unsigned int ms)
{
	struct vmm_loop *loop = &vmm->loop;
	struct vmm_loop_handler *handler;

	pthread_mutex_lock(&loop->lock);
	handler = unwatch(loop, fd);
	if (handler) {
		handler->rest_until_ns = deadline_now_ns() + ms * 1000000ull;
	}
	pthread_mutex_unlock(&loop->lock);
	return handler ? 0 : -ENOENT;
}

/* Watch those that have rested. How long the others still rest, for epoll_wait; -1: nobody rests. */
static int end_rests(struct vmm_loop *loop)
{
	uint64_t now = deadline_now_ns(), next = UINT64_MAX;

	pthread_mutex_lock(&loop->lock);
	for (unsigned int i = 0; i < VMM_MAX_FDS; i++) {
		struct vmm_loop_handler *handler = &loop->handler[i];

		if (handler->fd < 0 || !handler->rest_until_ns)
			continue;
		if (handler->rest_until_ns > now) {
			next = handler->rest_until_ns < next ? handler->rest_until_ns : next;
			continue;
		}
		if (!watch(loop, handler, EPOLL_CTL_ADD)) {
			handler->rest_until_ns = 0;
			continue;
		}
		/* No memory, or too many watches of this user: nobody else would try again. */
		handler->rest_until_ns = now + RETRY_NS;
		next = handler->rest_until_ns < next ? handler->rest_until_ns : next;
	}
	pthread_mutex_unlock(&loop->lock);
	return next == UINT64_MAX ? -1 : (int)((next - now) / 1000000 + 1);
}

void vmm_loop_remove(struct vmm *vmm, int fd)
{
	struct vmm_loop *loop = &vmm->loop;
	struct vmm_loop_handler *handler;

	pthread_mutex_lock(&loop->lock);
	handler = unwatch(loop, fd);
	if (handler) {
		handler->fd = -1;
		if (!pthread_equal(pthread_self(), loop->thread))
			while (loop->running_fd == fd)
				pthread_cond_wait(&loop->idle, &loop->lock);
	}
	pthread_mutex_unlock(&loop->lock);
}

/*
 * Lock held, after the call. Its generation: it was not removed, nor its number used again. True: it
 * fails for ever and is not watched any more.
 */
static bool is_mute_now(struct vmm_loop *loop, const struct vmm_loop_handler *called,
			uint32_t events)
{
	struct vmm_loop_handler *handler = find(loop, called->fd);

	if (!handler || handler->generation != called->generation)
		return false;
	handler->failures = events & ~(uint32_t)(EPOLLERR | EPOLLHUP) ? 0 : handler->failures + 1;
	if (handler->failures != MAX_FAILURES)
		return false;
	epoll_ctl(loop->epoll_fd, EPOLL_CTL_DEL, handler->fd, NULL);
	return true;
}

static void dispatch(struct vmm_loop *loop, const struct epoll_event *event)
{
	int fd = (int)(uint32_t)event->data.u64;
	bool mute;
	struct vmm_loop_handler *handler, copy;

	pthread_mutex_lock(&loop->lock);
	handler = find(loop, fd);
	if (!handler || event_key(handler) != event->data.u64) {
		pthread_mutex_unlock(&loop->lock);
		return;
	}
	copy = *handler;
	loop->running_fd = fd;
	pthread_mutex_unlock(&loop->lock);

	copy.ready(copy.opaque, event->events);

	pthread_mutex_lock(&loop->lock);
	loop->running_fd = -1;
	mute = is_mute_now(loop, &copy, event->events);
	pthread_cond_broadcast(&loop->idle);
	pthread_mutex_unlock(&loop->lock);
	if (mute)
		vmm_log(GMIG_LOG_WARNING, "io fd=%d events=%#x reason=\"fails for ever\"", fd,
			event->events);
}

static void *loop_thread(void *opaque)
{
	struct vmm_loop *loop = opaque;
	struct epoll_event events[16];

	pthread_setname_np(pthread_self(), "io");
	if (loop->owner)
		vmm_helper_begins(loop->owner, VMM_HELPER_IO);
	for (;;) {
		int count = epoll_wait(loop->epoll_fd, events, 16, end_rests(loop));

		if (count < 0 && errno != EINTR) {
			vmm_log(GMIG_LOG_ERROR, "io thread ends: epoll_wait: %s", strerror(errno));
			return NULL;
		}
		for (int i = 0; i < count; i++) {
			if (events[i].data.u64 == UINT64_MAX)
				return NULL;
			dispatch(loop, &events[i]);
		}
	}
}

int vmm_loop_create(struct vmm_loop *loop, struct gmig_error *err)
{
	struct epoll_event event = {.events = EPOLLIN, .data.u64 = UINT64_MAX};
	int ret;

	pthread_mutex_init(&loop->lock, NULL);
	pthread_cond_init(&loop->idle, NULL);
	for (unsigned int i = 0; i < VMM_MAX_FDS; i++)
		loop->handler[i].fd = -1;
	loop->running_fd = -1;
	loop->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
	loop->stop_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (loop->epoll_fd < 0 || loop->stop_fd < 0 ||
	    epoll_ctl(loop->epoll_fd, EPOLL_CTL_ADD, loop->stop_fd, &event))
		return gmig_fail(err, -errno, "cannot set up the I/O thread: %s", strerror(errno));
	ret = pthread_create(&loop->thread, NULL, loop_thread, loop);
	if (ret)
		return gmig_fail(err, -ret, "cannot start the I/O thread: %s", strerror(ret));
	loop->started = true;
	return 0;
}

void vmm_loop_destroy(struct vmm_loop *loop)
{
	if (loop->started) {
		wake_by(loop->stop_fd);
		pthread_join(loop->thread, NULL);
		loop->started = false;
	}
	if (loop->epoll_fd >= 0)
		close(loop->epoll_fd);
	if (loop->stop_fd >= 0)
		close(loop->stop_fd);
	loop->epoll_fd = loop->stop_fd = -1;
}
