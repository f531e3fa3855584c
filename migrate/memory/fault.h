/*
 * The fault loop: one thread a vnode reads its userfaultfd. What it does with a message depends on
 * the shadow entry:
 *   CLAIMED, COPYING   note the sleeper; the remap (or the putback) will wake it. The claim's own reader would wait for
 *                      itself: it gets a page of zeros
 *   HINT               note the sleeper, and tell whoever has the page wait: its content is in a slot, so nothing is ever
 *                      filled in here
 *   NONE               first touch (first_touch.h). Without memory its toucher sleeps, and it is tried again every 10 ms
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

#endif
