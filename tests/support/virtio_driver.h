/* The guest's half of a virtio device on PCI, small enough for tests. */
#ifndef VIRTIO_DRIVER_H
#define VIRTIO_DRIVER_H

#include "../../vmm/virtio_pci.h"
#include "fake_machine.h"

#include <check.h>
#include <linux/pci_regs.h>
#include <linux/virtio_config.h>
#include <linux/virtio_pci.h>

#define DRIVER_QUEUE_SIZE   16
#define DRIVER_RING_GPA	    0x10000ull /* rings of queue n: 64 KiB a queue */
#define DRIVER_NO_VERSION_1 (1ull << 63)

struct driver {
	struct vmm *vmm;
	uint64_t config_gpa; /* of the function, in the ECAM */
	uint64_t common, isr, device, notify;
	uint32_t notify_multiplier;
	unsigned int msix;
	uint16_t next_desc[VIRTIO_MAX_QUEUES], next_avail[VIRTIO_MAX_QUEUES],
	    next_used[VIRTIO_MAX_QUEUES];
	uint8_t next_free;
};

/* Find the device of this virtio type, decode its BARs, switch MSI-X on with vector n = data 0x40 +
 * n. */
void driver_probe(struct driver *driver, struct vmm *vmm, uint16_t type);

/* Bus Master Enable, which driver_probe sets. */
void driver_bus_master(struct driver *driver, bool on);
uint8_t driver_status(struct driver *driver);
void driver_set_status(struct driver *driver, uint8_t status);

/* Feature bits that the device offers. */
uint64_t driver_offered(struct driver *driver);

/* Up to FEATURES_OK; false: the device refused. */
bool driver_negotiate(struct driver *driver, uint64_t features);

/* The rings of a queue, in guest memory. */
struct vring_desc *driver_desc(struct driver *driver, unsigned int queue);
struct vring_avail *driver_avail(struct driver *driver, unsigned int queue);
struct vring_used *driver_used_ring(struct driver *driver, unsigned int queue);

void driver_setup_queue(struct driver *driver, unsigned int queue);

/* Everything up to DRIVER_OK, with `features` besides VERSION_1. */
void driver_start(struct driver *driver, uint64_t features, unsigned int queues);

struct driver_piece {
	uint64_t gpa;
	uint32_t bytes;
	bool writable;
};

/* Put a chain of `count` pieces into the available ring; no notification. Returns its head. */
uint16_t driver_add(struct driver *driver, unsigned int queue, const struct driver_piece *piece,
		    unsigned int count);

void driver_notify(struct driver *driver, unsigned int queue);

/* True and *elem: the device has given a chain back. */
bool driver_take_used(struct driver *driver, unsigned int queue, struct vring_used_elem *elem);

/* For devices with a thread of their own. */
struct vring_used_elem driver_wait_used(struct driver *driver, unsigned int queue);

#endif
