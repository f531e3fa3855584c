/*
 * The I/O thread: epoll over the devices' file descriptors. Handlers run without the lock, one at a
 * time. `generation` detects a stale event: its descriptor was removed, and the number is used
 * again.
 */
#include "loop.h"
#include "internal.h"

#include <errno.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <unistd.h>

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

int vmm_loop_add(struct vmm *vmm, int fd, uint32_t events, vmm_loop_ready *ready, void *opaque)
{
	struct vmm_loop *loop = &vmm->loop;
	struct vmm_loop_handler *handler;
	struct epoll_event event = {.events = events};
	int ret = 0;

	if (fd < 0 || !ready)
		return -EINVAL;
	pthread_mutex_lock(&loop->lock);
	handler = find(loop, fd) ? NULL : find(loop, -1);
	if (!handler) {
		ret = find(loop, fd) ? -EEXIST : -ENOSPC;
		goto out;
	}
	*handler = (struct vmm_loop_handler){
	    .fd = fd, .generation = ++loop->next_generation, .ready = ready, .opaque = opaque};
	event.data.u64 = event_key(handler);
	if (epoll_ctl(loop->epoll_fd, EPOLL_CTL_ADD, fd, &event)) {
		ret = -errno;
		handler->fd = -1;
	}
out:
	pthread_mutex_unlock(&loop->lock);
	return ret;
}

int vmm_loop_modify(struct vmm *vmm, int fd, uint32_t events)
{
	struct vmm_loop *loop = &vmm->loop;
	struct vmm_loop_handler *handler;
	struct epoll_event event = {.events = events};
	int ret = -ENOENT;

	pthread_mutex_lock(&loop->lock);
	handler = fd < 0 ? NULL : find(loop, fd);
	if (handler) {
		event.data.u64 = event_key(handler);
		ret = epoll_ctl(loop->epoll_fd, EPOLL_CTL_MOD, fd, &event) ? -errno : 0;
	}
	pthread_mutex_unlock(&loop->lock);
	return ret;
}

void vmm_loop_remove(struct vmm *vmm, int fd)
{
	struct vmm_loop *loop = &vmm->loop;
	struct vmm_loop_handler *handler;

	pthread_mutex_lock(&loop->lock);
	handler = fd < 0 ? NULL : find(loop, fd);
	if (handler) {
		epoll_ctl(loop->epoll_fd, EPOLL_CTL_DEL, fd, NULL);
		handler->fd = -1;
		if (!pthread_equal(pthread_self(), loop->thread))
			while (loop->running_fd == fd)
				pthread_cond_wait(&loop->idle, &loop->lock);
	}
	pthread_mutex_unlock(&loop->lock);
}

static void dispatch(struct vmm_loop *loop, const struct epoll_event *event)
{
	int fd = (int)(uint32_t)event->data.u64;
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
	pthread_cond_broadcast(&loop->idle);
	pthread_mutex_unlock(&loop->lock);
}

static void *loop_thread(void *opaque)
{
	struct vmm_loop *loop = opaque;
	struct epoll_event events[16];

	pthread_setname_np(pthread_self(), "io");
	for (;;) {
		int count = epoll_wait(loop->epoll_fd, events, 16, -1);

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
		eventfd_write(loop->stop_fd, 1);
		pthread_join(loop->thread, NULL);
		loop->started = false;
	}
	if (loop->epoll_fd >= 0)
		close(loop->epoll_fd);
	if (loop->stop_fd >= 0)
		close(loop->stop_fd);
	loop->epoll_fd = loop->stop_fd = -1;
}
