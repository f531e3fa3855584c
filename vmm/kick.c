/* See kick.h. */
#include "kick.h"

#include <errno.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <unistd.h>

static void kick_ready(void *opaque, uint32_t events)
{
	struct kick *kick = opaque;
	uint64_t rings;

	(void)events;
	/* Cleared before the work is done, so that a ring during the work is not lost. */
	if (read(kick->fd, &rings, sizeof(rings)) != sizeof(rings))
		return;
	kick->run(kick->opaque);
}

int kick_create(struct kick *kick, struct vmm *vmm, void (*run)(void *opaque), void *opaque)
{
	int ret;

	*kick = (struct kick){.vmm = vmm, .run = run, .opaque = opaque};
	kick->fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
	if (kick->fd < 0)
		return -errno;
	ret = vmm_loop_add(vmm, kick->fd, EPOLLIN, kick_ready, kick);
	if (ret) {
		close(kick->fd);
		kick->fd = -1;
	}
	return ret;
}

void kick_ring(struct kick *kick)
{
	uint64_t one = 1;
	/* Fails only when the counter is full, and then the doorbell has been rung already. */
	ssize_t ignored = write(kick->fd, &one, sizeof(one));

	(void)ignored;
}

void kick_ring_later(struct kick *kick, unsigned int ms)
{
	vmm_loop_rest(kick->vmm, kick->fd, ms);
	kick_ring(kick);
}

void kick_destroy(struct kick *kick)
{
	if (kick->fd < 0)
		return;
	vmm_loop_remove(kick->vmm, kick->fd);
	close(kick->fd);
	kick->fd = -1;
}
