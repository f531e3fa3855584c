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
 * virtio-blk, -console, -net and -rng. */
int vmm_devices_create(struct vmm *vmm, const struct vmm_options *options, struct vmm_devices **out,
		       struct gmig_error *err);
/* Back to the state after power-on; vCPUs are parked. */
void vmm_devices_reset(struct vmm_devices *devices);
/* After the vCPUs have ended. Flushes disks. NULL is legal. */
void vmm_devices_destroy(struct vmm_devices *devices);

#define VMM_SERIAL_PORT 0x3f8
#define VMM_SERIAL_GSI	4

#endif
