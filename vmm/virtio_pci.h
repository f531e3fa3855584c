/*
 * A virtio 1.x device on PCI, modern transport only: what is common to balloon, blk, console, net and rng.
 * The device's own file has a const ops struct and takes chains from the queues.
 *
 * Threads: registers are accessed on vCPU threads; queues are served on the I/O thread or on the
 * device's own. The device lock guards everything in struct virtio_device and what the device keeps
 * beside it, its configuration included. `start`, `stop` and `config_written` are called with it. `notify` is called without it,
 * and only rings a doorbell.
 *
 * Source: Virtual I/O Device 1.2, 2.1 (status), 2.2 (features), 4.1 (PCI).
 */
#ifndef VMM_VIRTIO_PCI_H
#define VMM_VIRTIO_PCI_H

#include "pci.h"
#include "virtio_queue.h"

#include <pthread.h>

#define VIRTIO_MAX_QUEUES (2 * (VMM_MAX_PORTS + 2))

struct virtio_ops {
	const char *name;
	uint16_t id;	     /* virtio device type */
	uint32_t class_code; /* PCI, 24 bits */
	/* Queues may be served: the driver has set DRIVER_OK (features are settled, queues enabled),
	 * the machine goes on after a pause, or the DMA gate has opened again. */
	void (*start)(void *opaque);
	/* Reset by the driver or the machine: forget chains; wait for what is in flight (may drop
	 * the lock to wait). */
	void (*stop)(void *opaque);
	/*
	 * Paused, or Bus Master Enable cleared: wait for requests in flight (may drop the lock to wait). -ETIMEDOUT after
	 * timeout_ms. NULL: none is in flight while the lock is free.
	 */
	int (*drain)(void *opaque, int timeout_ms);
	/* The driver has added to this queue. */
	void (*notify)(void *opaque, unsigned int queue);
	/* The driver has written to the configuration, within the masks of virtio_spec. NULL: none can be written. */
	void (*config_written)(void *opaque);
};

/* Bytes of the configuration that the driver may write. */
struct virtio_config_mask {
	unsigned int offset, bytes; /* bytes 0 ends a list */
};

struct virtio_spec {
	const struct virtio_ops *ops;
	void *opaque;
	uint64_t features; /* besides those of the transport */
	void *config;	   /* device configuration; kept, not copied */
	unsigned int config_bytes;
	const struct virtio_config_mask *writable; /* NULL: the guest may read it only */
	const uint16_t *queue_sizes;
	unsigned int queue_count;
};

struct virtio_device {
	const struct virtio_ops *ops;
	void *opaque;
	struct vmm *vmm;
	struct pci_function *pci;
	uint8_t *config; /* guarded by lock */
	const struct virtio_config_mask *writable;
	unsigned int config_bytes, config_capability, queue_count;
	uint64_t offered;

	pthread_mutex_t lock; /* guards all below */
	uint64_t features;    /* accepted by the driver */
	uint32_t device_feature_select, driver_feature_select;
	uint16_t queue_select, config_vector;
	uint8_t status, isr;
	uint8_t config_generation; /* one more for each change that the device made */
	bool stopping;		   /* a reset waits for the device */
	bool paused;		   /* by the machine; a reset does not end it */
	bool config_changed;	   /* while paused: the driver is to be told */
	struct virtio_queue queue[VIRTIO_MAX_QUEUES];
};

/* Fills *device, which must stay where it is, and puts it on the bus. */
int virtio_device_create(struct virtio_device *device, struct vmm *vmm, struct pci_bus *bus,
			 const struct virtio_spec *spec, struct gmig_error *err);
/* vCPUs are gone and the device's threads ended. */
void virtio_device_destroy(struct virtio_device *device);
/* As a reset by the driver. vCPUs are parked. Takes the lock. */
void virtio_device_reset(struct virtio_device *device);

/* See struct device_ops. Take the lock; not on the I/O thread. */
int virtio_device_pause(struct virtio_device *device, int timeout_ms, struct gmig_error *err);
void virtio_device_resume(struct virtio_device *device);

/* ---- For the device's queue code; lock held -------------------------------------------------- */

/* The driver is ready, nothing is broken, the machine is not paused and the DMA gate is open: queues
 * may be served. A device that keeps a chain asks again before it continues with it. */
bool virtio_device_is_live(const struct virtio_device *device);
static inline bool virtio_device_has(const struct virtio_device *device, unsigned int feature)
{
	return device->features >> feature & 1;
}
/* virtio_queue_pop, or 0 while the DMA gate is not open; a broken queue puts the device in the state "needs reset". */
int virtio_device_pop(struct virtio_device *device, unsigned int queue, struct virtio_chain *chain);
/* Push and, if the driver wants it, interrupt. Nothing while the DMA gate is closed. */
void virtio_device_push(struct virtio_device *device, unsigned int queue, uint16_t head,
			uint32_t bytes);
/*
 * The device has changed its configuration: interrupt the driver (after a pause, if there is one). What the driver reads in
 * parts it reads again, by the generation.
 */
void virtio_device_config_changed(struct virtio_device *device);
/* The driver sent something invalid in this queue: needs reset. */
void virtio_device_fail(struct virtio_device *device, unsigned int queue, const char *why);

#endif
