/*
 * Devices as the machine sees them. A device is one file with one const ops struct; devices.c lists
 * them in start-up order. The serial port and power.c are not PCI; the virtio devices are on bus 0.
 */
#ifndef VMM_DEVICE_H
#define VMM_DEVICE_H

#include "options.h"
#include "vmm.h"

struct vmm_devices;

/* Create and register all devices that the options ask for: serial, PCI host bridge,
 * virtio-blk, -console, -net, -rng and -balloon. */
int vmm_devices_create(struct vmm *vmm, const struct vmm_options *options, struct vmm_devices **out,
		       struct gmig_error *err);
/*
 * Stop all work of the devices that vCPUs do not do: when it returns 0, guest memory and interrupt
 * lines stay as they are until vmm_devices_resume. vCPUs are parked. -ETIMEDOUT: a request takes
 * longer than timeout_ms (the text names it); the devices are paused, and a further call waits on.
 */
int vmm_devices_pause(struct vmm_devices *devices, int timeout_ms, struct gmig_error *err);
void vmm_devices_resume(struct vmm_devices *devices);
/* Back to the state after power-on, paused or not as before; vCPUs are parked, devices paused. */
void vmm_devices_reset(struct vmm_devices *devices);

/* How a disk is served. */
struct vmm_disk {
	const char *path; /* as it was given; valid as long as the devices are */
	bool readonly;
	bool direct;	 /* past the host's page cache */
	const char *aio; /* how: "io_uring", or "sync": one request at a time */
	/* Transfers, ever, of a direct disk: straight to guest memory, and by a buffer of gmig-vmm */
	uint64_t straight, bounced;
};
/* Any thread. Returns how many there are. */
unsigned int vmm_disks(const struct vmm_devices *devices, struct vmm_disk disk[VMM_MAX_DISKS]);

/* After the vCPUs have ended. Flushes disks. NULL is legal. */
void vmm_devices_destroy(struct vmm_devices *devices);

#define VMM_SERIAL_PORT 0x3f8
#define VMM_SERIAL_GSI	4
#define VMM_POWER_GSI	5 /* the power button: an edge (dsdt.asl) */

#endif
