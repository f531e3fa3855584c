/*
 * A doorbell: any thread may ring it, and a function runs on the I/O thread. Several rings before
 * it runs cause one call. It has no lock of its own; the function may ring again.
 */
#ifndef VMM_KICK_H
#define VMM_KICK_H

#include "vmm.h"

struct kick {
	struct vmm *vmm;
	int fd; /* eventfd; -1: not created */
	void (*run)(void *opaque);
	void *opaque;
};

/* -EMFILE, -ENOMEM and what vmm_loop_add gives. *kick must stay where it is until kick_destroy. */
int kick_create(struct kick *kick, struct vmm *vmm, void (*run)(void *opaque), void *opaque);
/* Any thread, does not block. */
void kick_ring(struct kick *kick);
/* The same, but the function runs after `ms` milliseconds, earlier rings with it: what it wants is not to be had now. I/O thread. */
void kick_ring_later(struct kick *kick, unsigned int ms);
/* After return the function does not run any more. Legal on a struct whose fd is -1. */
void kick_destroy(struct kick *kick);

#endif
