/*
 * How a device is attached to the machine: one const ops struct per kind, listed in devices.c.
 * Devices are created in the order of that list, on the main thread before any vCPU runs, and
 * destroyed in reverse order.
 */
#ifndef VMM_DEVICE_OPS_H
#define VMM_DEVICE_OPS_H

#include "device.h"

struct pci_bus;

struct device_context {
	struct vmm *vmm;
	const struct vmm_options *options;
	struct pci_bus *pci; /* from `pci` on */
};

struct device_ops {
	const char *name;
	/* How many of this kind the options ask for. NULL: always one. */
	unsigned int (*count)(const struct vmm_options *options);
	int (*create)(struct device_context *context, unsigned int index, void **state,
		      struct gmig_error *err);
	/* Back to power-on; vCPUs are parked, the I/O thread runs. */
	void (*reset)(void *state);
	/*
	 * Between the two the device neither touches guest memory nor raises an interrupt. vCPUs are
	 * parked, the I/O thread runs. pause waits for requests in flight; -ETIMEDOUT, and then it
	 * is paused, too. Both are legal twice. NULL: does nothing unless a vCPU asks for it.
	 */
	int (*pause)(void *state, int timeout_ms, struct gmig_error *err);
	void (*resume)(void *state);
	/* Of a disk: what it is, and how it is served. Any thread. NULL: it is none. */
	void (*report)(void *state, struct vmm_disk *disk);
	/* vCPUs are gone, the I/O thread still runs. */
	void (*destroy)(void *state);
};

extern const struct device_ops serial_device, power_device, pci_device, blk_device, vconsole_device,
    net_device, rng_device, balloon_device;

#endif
