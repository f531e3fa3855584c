/*
 * How pages that a guest gives up go back to the host.
 *
 * Those of a balloon are collected by block of 2 MiB (balloon_pages.h). One that is there as a whole goes back as a whole; of the
 * others what was given goes back after BALLOON_SETTLE_MS without news, or when there is no place to remember more, at the price
 * of a split huge page. A block that is being moved, or that a device transfers to, waits.
 *
 * The calls may sleep in the kernel and wait for jobs: without the device's lock. One thread at a time; the counters may be read by
 * any.
 */
#ifndef VMM_BALLOON_GIVE_H
#define VMM_BALLOON_GIVE_H

#include "balloon_pages.h"
#include "vmm.h"

#define BALLOON_SETTLE_MS 100

struct balloon_giver {
	struct vmm *vmm;
	struct balloon_pages pages;
	unsigned int
	    wait_left_ms; /* that it may wait for jobs from now on, where it must not be later */
	/* Pages, ever: given back to the host; of these, that were reported as free; that it could not take; that are not RAM */
	atomic_ullong given, reported, kept, strange;
};

/* The page is the host's, now or soon. */
void balloon_give_page(struct balloon_giver *giver, uint64_t gfn);
/* It is the guest's again. */
void balloon_take_page(struct balloon_giver *giver, uint64_t gfn);
/* All that was collected goes back now. What a job holds on to for longer than may be waited for stays. */
void balloon_give_all(struct balloon_giver *giver);
/* When there is something that has settled, by deadline_now_ns(); UINT64_MAX: nothing will. */
uint64_t balloon_settled_ns(struct balloon_giver *giver);
/* Up to `blocks` blocks that have settled. */
void balloon_give_settled(struct balloon_giver *giver, unsigned int blocks);
/*
 * Free memory, which is the guest's again when this returns: at once, or not at all. Of its first and last page only as much
 * counts as is whole.
 */
void balloon_give_run(struct balloon_giver *giver, void *start, size_t bytes);

#endif
