/* The I/O thread: an epoll loop over devices' file descriptors, which vmm.h adds and removes. */
#ifndef VMM_LOOP_H
#define VMM_LOOP_H

#include "vmm.h"

#include <pthread.h>

#define VMM_MAX_FDS 64

struct vmm_loop_handler {
	int fd; /* -1: free */
	uint32_t generation;
	uint32_t events;	/* watched, unless it rests or is mute */
	uint64_t rest_until_ns; /* 0: it does not rest */
	unsigned int failures;	/* in a row: calls for EPOLLERR or EPOLLHUP alone */
	vmm_loop_ready *ready;
	void *opaque;
};

struct vmm_loop {
	pthread_mutex_t lock;
	pthread_cond_t idle;
	int epoll_fd, stop_fd;
	struct vmm_loop_handler handler[VMM_MAX_FDS]; /* guarded by lock */
	int running_fd; /* guarded by lock: whose handler runs now, -1 none */
	uint32_t next_generation;
	struct vmm *owner; /* of its thread, set before vmm_loop_create; NULL: nobody places it */
	pthread_t thread;
	bool started;
};

int vmm_loop_create(struct vmm_loop *loop, struct gmig_error *err);
/* Ends the thread and drops the remaining handlers. */
void vmm_loop_destroy(struct vmm_loop *loop);

#endif
