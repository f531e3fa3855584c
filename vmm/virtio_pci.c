/* See virtio_pci.h. */
#include "virtio_pci.h"

#include <errno.h>
#include <limits.h>
#include <linux/pci_regs.h>
#include <linux/virtio_config.h>
#include <linux/virtio_pci.h>
#include <string.h>

#define VIRTIO_VENDOR	  0x1af4
#define VIRTIO_DEVICE_1_0 0x1040

/* BAR 0 has a page for each structure, so that a driver can map them separately. */
#define REGION_BYTES  0x1000u
#define REGION_COMMON 0x0000u
#define REGION_ISR    0x1000u
#define REGION_DEVICE 0x2000u
#define REGION_NOTIFY 0x3000u
#define BAR_BYTES     0x4000u

#define NOTIFY_MULTIPLIER 4u
#define ISR_QUEUE	  1u
#define ISR_CONFIG	  2u

#define FEATURE(bit) (1ull << (bit))
#define TRANSPORT_FEATURES                                                                         \
	(FEATURE(VIRTIO_F_VERSION_1) | FEATURE(VIRTIO_RING_F_INDIRECT_DESC) |                      \
	 FEATURE(VIRTIO_RING_F_EVENT_IDX))

/* ---- For the device's queue code ------------------------------------------------------------- */

bool virtio_device_is_live(const struct virtio_device *device)
{
	return pci_dma(device->pci) == PCI_DMA_OPEN && !device->stopping && !device->paused &&
	       device->status & VIRTIO_CONFIG_S_DRIVER_OK &&
	       !(device->status & VIRTIO_CONFIG_S_NEEDS_RESET);
}

void virtio_device_config_changed(struct virtio_device *device)
{
	device->config_generation++;
	device->config_changed = device->paused;
	if (device->paused || !(device->status & VIRTIO_CONFIG_S_DRIVER_OK))
		return;
	device->isr |= ISR_CONFIG;
	pci_msix_send(device->pci, device->config_vector);
}

static void needs_reset(struct virtio_device *device)
{
	if (device->status & VIRTIO_CONFIG_S_NEEDS_RESET)
		return;
	device->status |= VIRTIO_CONFIG_S_NEEDS_RESET;
	virtio_device_config_changed(device);
}

int virtio_device_pop(struct virtio_device *device, unsigned int queue, struct virtio_chain *chain)
{
	int ret;

	if (!virtio_device_is_live(device))
		return 0;
	ret = virtio_queue_pop(&device->queue[queue], chain);
	if (ret < 0)
		needs_reset(device);
	return ret;
}

void virtio_device_push(struct virtio_device *device, unsigned int queue, uint16_t head,
			uint32_t bytes)
{
	if (pci_dma(device->pci) == PCI_DMA_CLOSED)
		return;
	virtio_queue_push(&device->queue[queue], head, bytes);
	if (!virtio_queue_must_signal(&device->queue[queue]))
		return;
	device->isr |= ISR_QUEUE;
	pci_msix_send(device->pci, device->queue[queue].vector);
}

void virtio_device_fail(struct virtio_device *device, unsigned int queue, const char *why)
{
	virtio_queue_break(&device->queue[queue], why);
	needs_reset(device);
}

/* ---- Status ---------------------------------------------------------------------------------- */

/*
 * Lock held. Registers may be accessed while `stop` waits; this harms only the driver that does it.
 */
static void reset_locked(struct virtio_device *device)
{
	unsigned int i;

	device->stopping = true;
	device->ops->stop(device->opaque);
	device->stopping = false;
	device->features = 0;
	device->device_feature_select = device->driver_feature_select = 0;
	device->queue_select = 0;
	device->config_vector = VIRTIO_MSI_NO_VECTOR;
	device->isr = 0;
	device->config_changed = false;
	for (i = 0; i < device->queue_count; i++)
		virtio_queue_reset(&device->queue[i]);
	device->status = 0;
}

void virtio_device_reset(struct virtio_device *device)
{
	pthread_mutex_lock(&device->lock);
	reset_locked(device);
	pthread_mutex_unlock(&device->lock);
}

int virtio_device_pause(struct virtio_device *device, int timeout_ms, struct gmig_error *err)
{
	int ret = 0;

	pthread_mutex_lock(&device->lock);
	device->paused = true;
	if (device->ops->drain)
		ret = device->ops->drain(device->opaque, timeout_ms);
	pthread_mutex_unlock(&device->lock);
	return ret ? gmig_fail(err, ret, "device %s: a request does not end within %d ms",
			       device->ops->name, timeout_ms)
		   : 0;
}

void virtio_device_resume(struct virtio_device *device)
{
	pthread_mutex_lock(&device->lock);
	device->paused = false;
	if (device->config_changed)
		virtio_device_config_changed(device);
	if (virtio_device_is_live(device))
		device->ops->start(device->opaque);
	pthread_mutex_unlock(&device->lock);
}

static bool features_acceptable(const struct virtio_device *device)
{
	return !(device->features & ~device->offered) &&
	       virtio_device_has(device, VIRTIO_F_VERSION_1);
}

static void start_device(struct virtio_device *device)
{
	unsigned int i;

	for (i = 0; i < device->queue_count; i++)
		device->queue[i].event_idx = virtio_device_has(device, VIRTIO_RING_F_EVENT_IDX);
	device->ops->start(device->opaque);
}

static void write_status(struct virtio_device *device, uint8_t value)
{
	uint8_t old = device->status;

	if (device->stopping)
		return;
	if (!value) {
		reset_locked(device);
		return;
	}
	value |= old; /* only a reset clears bits */
	value = (uint8_t)(value & ~(VIRTIO_CONFIG_S_NEEDS_RESET & ~old));
	if (value & ~old & VIRTIO_CONFIG_S_FEATURES_OK && !features_acceptable(device))
		value &= (uint8_t)~VIRTIO_CONFIG_S_FEATURES_OK;
	/* No driver runs a device whose features were not settled. */
	if (!(value & VIRTIO_CONFIG_S_FEATURES_OK))
		value &= (uint8_t)~VIRTIO_CONFIG_S_DRIVER_OK;
	device->status = value;
	if (value & ~old & VIRTIO_CONFIG_S_DRIVER_OK)
		start_device(device);
}

/* ---- Common configuration -------------------------------------------------------------------- */

static struct virtio_queue *selected_queue(struct virtio_device *device)
{
	return device->queue_select < device->queue_count ? &device->queue[device->queue_select]
							  : NULL;
}

static uint32_t feature_word(uint64_t features, uint32_t select)
{
	return select < 2 ? (uint32_t)(features >> 32 * select) : 0;
}

static void read_common(struct virtio_device *device, uint32_t offset, uint8_t *data,
			unsigned int bytes)
{
	const struct virtio_queue *queue = selected_queue(device);
	struct virtio_pci_common_cfg common = {
	    .device_feature_select = device->device_feature_select,
	    .device_feature = feature_word(device->offered, device->device_feature_select),
	    .guest_feature_select = device->driver_feature_select,
	    .guest_feature = feature_word(device->features, device->driver_feature_select),
	    .msix_config = device->config_vector,
	    .num_queues = (uint16_t)device->queue_count,
	    .device_status = device->status,
	    .config_generation = device->config_generation,
	    .queue_select = device->queue_select,
	    .queue_msix_vector = VIRTIO_MSI_NO_VECTOR,
	};

	if (queue) {
		common.queue_size = queue->size;
		common.queue_msix_vector = queue->vector;
		common.queue_enable = queue->enabled;
		common.queue_notify_off = device->queue_select;
		common.queue_desc_lo = (uint32_t)queue->desc_gpa;
		common.queue_desc_hi = (uint32_t)(queue->desc_gpa >> 32);
		common.queue_avail_lo = (uint32_t)queue->avail_gpa;
		common.queue_avail_hi = (uint32_t)(queue->avail_gpa >> 32);
		common.queue_used_lo = (uint32_t)queue->used_gpa;
		common.queue_used_hi = (uint32_t)(queue->used_gpa >> 32);
	}
	memset(data, 0, bytes);
	if (offset + bytes <= sizeof(common))
		memcpy(data, (const uint8_t *)&common + offset, bytes);
}

static void write_driver_features(struct virtio_device *device, uint32_t value)
{
	uint32_t select = device->driver_feature_select;
	uint64_t mask = 0xffffffffull << 32 * (select & 1);

	if (select < 2 && !(device->status & VIRTIO_CONFIG_S_FEATURES_OK))
		device->features = (device->features & ~mask) | (uint64_t)value << 32 * select;
}

/* A vector that does not exist reads back as "no vector": this tells the driver. */
static uint16_t checked_vector(const struct virtio_device *device, uint32_t value)
{
	return value <= device->queue_count ? (uint16_t)value : VIRTIO_MSI_NO_VECTOR;
}

static void set_half(uint64_t *gpa, uint32_t value, bool high)
{
	if (high)
		*gpa = (*gpa & 0xffffffffull) | (uint64_t)value << 32;
	else
		*gpa = (*gpa & ~0xffffffffull) | value;
}

static void write_queue(struct virtio_device *device, uint32_t offset, uint32_t value)
{
	struct virtio_queue *queue = selected_queue(device);

	if (!queue)
		return;
	if (offset == VIRTIO_PCI_COMMON_Q_MSIX) {
		queue->vector = checked_vector(device, value);
		return;
	}
	if (queue->enabled) /* size and addresses are fixed until the next reset */
		return;
	switch (offset) {
	case VIRTIO_PCI_COMMON_Q_SIZE:
		queue->size = (uint16_t)value;
		break;
	case VIRTIO_PCI_COMMON_Q_DESCLO:
	case VIRTIO_PCI_COMMON_Q_DESCHI:
		set_half(&queue->desc_gpa, value, offset == VIRTIO_PCI_COMMON_Q_DESCHI);
		break;
	case VIRTIO_PCI_COMMON_Q_AVAILLO:
	case VIRTIO_PCI_COMMON_Q_AVAILHI:
		set_half(&queue->avail_gpa, value, offset == VIRTIO_PCI_COMMON_Q_AVAILHI);
		break;
	case VIRTIO_PCI_COMMON_Q_USEDLO:
	case VIRTIO_PCI_COMMON_Q_USEDHI:
		set_half(&queue->used_gpa, value, offset == VIRTIO_PCI_COMMON_Q_USEDHI);
		break;
	case VIRTIO_PCI_COMMON_Q_ENABLE:
		if (value == 1 && virtio_queue_enable(queue)) {
			virtio_queue_break(queue, "rings outside RAM, or of a bad size");
			needs_reset(device);
		}
		break;
	default:
		break;
	}
}

static void write_common(struct virtio_device *device, uint32_t offset, uint32_t value)
{
	switch (offset) {
	case VIRTIO_PCI_COMMON_DFSELECT:
		device->device_feature_select = value;
		break;
	case VIRTIO_PCI_COMMON_GFSELECT:
		device->driver_feature_select = value;
		break;
	case VIRTIO_PCI_COMMON_GF:
		write_driver_features(device, value);
		break;
	case VIRTIO_PCI_COMMON_MSIX:
		device->config_vector = checked_vector(device, value);
		break;
	case VIRTIO_PCI_COMMON_STATUS:
		write_status(device, (uint8_t)value);
		break;
	case VIRTIO_PCI_COMMON_Q_SELECT:
		device->queue_select = (uint16_t)value;
		break;
	default:
		write_queue(device, offset, value);
	}
}

/* ---- BAR 0 ----------------------------------------------------------------------------------- */

static void common_access(struct virtio_device *device, uint32_t offset, uint8_t *data,
			  unsigned int bytes, bool write)
{
	uint32_t value = 0;

	if (!write) {
		read_common(device, offset, data, bytes);
		return;
	}
	if (bytes == 8) {
		common_access(device, offset, data, 4, true);
		common_access(device, offset + 4, data + 4, 4, true);
		return;
	}
	memcpy(&value, data, bytes < 4 ? bytes : 4);
	write_common(device, offset, value);
}

static void isr_access(struct virtio_device *device, uint8_t *data, unsigned int bytes, bool write)
{
	if (write)
		return;
	memset(data, 0, bytes);
	data[0] = device->isr;
	device->isr = 0;
}

static void config_read(const struct virtio_device *device, uint32_t offset, uint8_t *data,
			unsigned int bytes)
{
	unsigned int i;

	for (i = 0; i < bytes; i++)
		data[i] = offset + i < device->config_bytes ? device->config[offset + i] : 0;
}

static bool is_writable(const struct virtio_device *device, uint32_t at)
{
	const struct virtio_config_mask *mask = device->writable;

	while (mask && mask->bytes && at - mask->offset >= mask->bytes)
		mask++;
	return mask && mask->bytes;
}

/* What may not be written stays as it is. */
static void config_write(struct virtio_device *device, uint32_t offset, const uint8_t *data,
			 unsigned int bytes)
{
	bool written = false;

	for (unsigned int i = 0; i < bytes; i++) {
		if (!is_writable(device, offset + i))
			continue;
		device->config[offset + i] = data[i];
		written = true;
	}
	if (written)
		device->ops->config_written(device->opaque);
}

static void notify_access(struct virtio_device *device, uint32_t offset, uint8_t *data,
			  unsigned int bytes, bool write)
{
	unsigned int queue = offset / NOTIFY_MULTIPLIER;

	if (!write)
		memset(data, 0, bytes);
	else if (queue < device->queue_count)
		device->ops->notify(device->opaque, queue);
}

static void bar_access(void *opaque, uint64_t offset, uint8_t *data, unsigned int bytes, bool write)
{
	struct virtio_device *device = opaque;
	uint32_t region = (uint32_t)offset & ~(REGION_BYTES - 1),
		 at = (uint32_t)offset & (REGION_BYTES - 1);

	if (region == REGION_NOTIFY) {
		notify_access(device, at, data, bytes, write);
		return;
	}
	pthread_mutex_lock(&device->lock);
	if (region == REGION_COMMON)
		common_access(device, at, data, bytes, write);
	else if (region == REGION_ISR)
		isr_access(device, data, bytes, write);
	else if (write)
		config_write(device, at, data, bytes);
	else
		config_read(device, at, data, bytes);
	pthread_mutex_unlock(&device->lock);
}

/* Bus lock held. */
static void dma_changed(void *opaque, enum pci_dma dma)
{
	struct virtio_device *device = opaque;

	pthread_mutex_lock(&device->lock);
	/* Whoever popped a chain while the gate was open is done with it when we have the lock, or
	 * says so in `drain`. */
	if (dma == PCI_DMA_DRAINING && device->ops->drain)
		device->ops->drain(device->opaque, INT_MAX);
	/* For what was added in the meantime the driver does not notify a second time. */
	if (virtio_device_is_live(device))
		device->ops->start(device->opaque);
	pthread_mutex_unlock(&device->lock);
}

/* ---- Capabilities ---------------------------------------------------------------------------- */

/*
 * Access to BARs through configuration space, for firmware that cannot map them: an access to the
 * data field is an access to the BAR at the offset in the capability. Bus lock held.
 */
static void config_window(void *opaque, uint8_t *config, unsigned int offset, unsigned int bytes,
			  bool write)
{
	struct virtio_device *device = opaque;
	unsigned int at = device->config_capability, data = at + sizeof(struct virtio_pci_cap);
	struct virtio_pci_cap cap;

	if (!at || offset != data || bytes > 4)
		return;
	memcpy(&cap, config + at, sizeof(cap));
	if (cap.bar != 0 || cap.length != bytes || cap.offset % bytes ||
	    cap.offset > BAR_BYTES - bytes)
		return;
	bar_access(device, cap.offset, config + data, bytes, write);
}

static int add_structure(struct virtio_device *device, uint8_t type, uint32_t offset,
			 uint32_t bytes)
{
	/* As in the header, without id and next pointer, and with room for what may follow. */
	struct {
		struct virtio_pci_cap cap;
		uint32_t extra; /* multiplier of notify, data of the configuration window */
	} body = {.cap = {.cfg_type = type, .bar = 0, .offset = offset, .length = bytes}};
	bool more = type == VIRTIO_PCI_CAP_NOTIFY_CFG || type == VIRTIO_PCI_CAP_PCI_CFG;

	body.cap.cap_len = more ? sizeof(body) : sizeof(body.cap);
	if (type == VIRTIO_PCI_CAP_NOTIFY_CFG)
		body.extra = NOTIFY_MULTIPLIER;
	return pci_add_capability(device->pci, PCI_CAP_ID_VNDR, (uint8_t *)&body + 2,
				  body.cap.cap_len - 2u);
}

static int add_structures(struct virtio_device *device)
{
	int ret = add_structure(device, VIRTIO_PCI_CAP_COMMON_CFG, REGION_COMMON,
				sizeof(struct virtio_pci_common_cfg));

	if (ret >= 0)
		ret = add_structure(device, VIRTIO_PCI_CAP_ISR_CFG, REGION_ISR, 1);
	if (ret >= 0 && device->config_bytes)
		ret = add_structure(device, VIRTIO_PCI_CAP_DEVICE_CFG, REGION_DEVICE,
				    device->config_bytes);
	if (ret >= 0)
		ret = add_structure(device, VIRTIO_PCI_CAP_NOTIFY_CFG, REGION_NOTIFY,
				    device->queue_count * NOTIFY_MULTIPLIER);
	if (ret >= 0)
		ret = add_structure(device, VIRTIO_PCI_CAP_PCI_CFG, 0, 0);
	if (ret < 0)
		return ret;
	device->config_capability = (unsigned int)ret;
	pci_make_writable(device->pci, device->config_capability + VIRTIO_PCI_CAP_BAR, 1);
	pci_make_writable(device->pci, device->config_capability + VIRTIO_PCI_CAP_OFFSET, 12);
	return 0;
}

int virtio_device_create(struct virtio_device *device, struct vmm *vmm, struct pci_bus *bus,
			 const struct virtio_spec *spec, struct gmig_error *err)
{
	const struct pci_spec pci = {
	    .name = spec->ops->name,
	    .vendor = VIRTIO_VENDOR,
	    .device = VIRTIO_DEVICE_1_0 + spec->ops->id,
	    .subsystem_vendor = VIRTIO_VENDOR,
	    .subsystem = 0x1100,
	    .class_code = spec->ops->class_code,
	    .revision = 1,
	    .msix_vectors = spec->queue_count + 1,
	    .bar = {{BAR_BYTES, bar_access}},
	    .config_access = config_window,
	    .dma_changed = dma_changed,
	    .opaque = device,
	};
	unsigned int i;
	int ret;

	*device = (struct virtio_device){
	    .ops = spec->ops,
	    .opaque = spec->opaque,
	    .vmm = vmm,
	    .config = spec->config,
	    .config_bytes = spec->config_bytes,
	    .writable = spec->writable,
	    .queue_count = spec->queue_count,
	    .offered = spec->features | TRANSPORT_FEATURES,
	    .config_vector = VIRTIO_MSI_NO_VECTOR,
	};
	pthread_mutex_init(&device->lock, NULL);
	if (spec->queue_count > VIRTIO_MAX_QUEUES)
		return gmig_fail(err, -EINVAL, "%s: too many queues", spec->ops->name);
	for (i = 0; i < spec->queue_count; i++)
		virtio_queue_init(&device->queue[i], vmm, spec->ops->name, spec->queue_sizes[i]);
	ret = pci_function_create(bus, &pci, &device->pci, err);
	if (ret)
		return ret;
	ret = add_structures(device);
	return ret ? gmig_fail(err, ret, "%s: capabilities do not fit", spec->ops->name) : 0;
}

void virtio_device_destroy(struct virtio_device *device)
{
	pthread_mutex_destroy(&device->lock);
}
