/*
 * The balloon as operators see it (commands_balloon.c); the device is virtio_balloon.c. Any thread; neither call waits for the
 * guest.
 */
#ifndef VMM_BALLOON_H
#define VMM_BALLOON_H

#include "vmm.h"

#include <linux/virtio_balloon.h>

struct vmm_devices;

struct vmm_balloon {
	uint64_t maximum_bytes;		/* of the guest: all of its memory */
	uint64_t target_bytes;		/* what it is to have */
	uint64_t actual_bytes;		/* what it has, by its driver's word */
	bool driver;			/* there is one */
	bool deflate_on_oom, reporting; /* offered, and taken by the driver */
	/* Ever: given back to the host; of this, what was reported as free; what it could not take, since a job held it, or an error */
	uint64_t given_bytes, reported_bytes, kept_bytes;
	uint64_t strange_pages; /* given, but no memory of the guest's; ever */
	/* By the driver, as of stats_age_ns ago; bit i of stats_known: stats[i] was told (VIRTIO_BALLOON_S_*) */
	uint32_t stats_known;
	uint64_t stats[VIRTIO_BALLOON_S_NR], stats_age_ns;
};

/* What the guest is to have from now on. -ENODEV: there is no balloon; -EINVAL: none at all, or more than it can have. */
int vmm_balloon_set(struct vmm_devices *devices, uint64_t guest_bytes, struct gmig_error *err);
/* Also asks the driver for new statistics, at most once a second; they are there at a later call. -ENODEV. */
int vmm_balloon_get(struct vmm_devices *devices, struct vmm_balloon *balloon,
		    struct gmig_error *err);

/*
 * Who is to hear of the guest's size when it has changed, at most four times a second, from the balloon's own thread. Before the
 * first vCPU runs, or while they are parked. Without a balloon nobody hears.
 */
typedef void vmm_balloon_changed(struct vmm *vmm, uint64_t guest_bytes);
void vmm_balloon_listen(struct vmm_devices *devices, vmm_balloon_changed *changed);

/* The same for the device's own state (device_ops.h). */
void balloon_listen(void *state, vmm_balloon_changed *changed);
int balloon_set(void *state, uint64_t guest_bytes, struct gmig_error *err);
void balloon_get(void *state, struct vmm_balloon *balloon);

#endif
