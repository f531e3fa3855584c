/*
 * The fault loop: one thread a vnode reads its userfaultfd. What it does with a message depends on
 * the shadow entry:
 *   CLAIMED, COPYING   note the sleeper; the remap (or the putback) will wake it
 *   NONE               first touch: a frame of the region's preferred node, else 4K pages, else any node
 *   PRESENT            a stale message: wake. But scan first: a page that somebody discarded is a first
 *                      touch, one that was left write-protected is released
 * It takes stripe.lock, never touches a region, and never waits for a thread that might.
 */
#ifndef GMIG_FAULT_H
#define GMIG_FAULT_H

#include "engine.h"

/* The vnode's uffd must be open. */
int fault_start(struct gmig *gmig, unsigned int vnode, struct fault **out, struct gmig_error *err);
/* Stops the thread and waits for it. NULL is legal. */
void fault_stop(struct fault *fault);

/*
 * The calling thread is about to read a region (a copy worker). Should it meet a hole that nobody
 * knew of, the fault thread fills it with zeros at once: it must not wait for itself. Threads are
 * remembered by tid until _leave.
 */
int fault_worker_enter(struct gmig *gmig);
void fault_worker_leave(struct gmig *gmig);

#endif
