/* See pci.h. */
#include "pci.h"
#include "device_ops.h"
#include "power.h"

#include <errno.h>
#include <linux/pci_regs.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#define CONFIG_BYTES	   256u
#define SLOTS		   32u
#define PORT_ADDRESS	   0xcf8
#define PORT_ENABLE	   0x80000000u
#define BAR_MIN_BYTES	   4096u
#define MSIX_PBA_OFFSET	   0x800u
#define MSIX_ENTRY_BYTES   16u
#define MSIX_MASKED	   1u
#define HOST_BRIDGE_VENDOR 0x1b36 /* Red Hat's generic host bridge: known to need no quirk */
#define HOST_BRIDGE_DEVICE 0x0008
/* RAM ends below this address, and no physical address is above it. */
#define MAX_BAR_GPA 0x0000400000000000ull

struct pci_msix {
	pthread_mutex_t lock; /* guards all below but count and capability */
	unsigned int count, capability;
	bool enabled, masked;
	uint64_t pending;
	uint8_t table[PCI_MSIX_MAX_VECTORS * MSIX_ENTRY_BYTES];
};

struct pci_function {
	struct pci_bus *bus;
	struct pci_spec spec;
	uint8_t config[CONFIG_BYTES];	/* guarded by the bus lock */
	uint8_t power_on[CONFIG_BYTES]; /* constant once vCPUs run */
	uint8_t writable[CONFIG_BYTES]; /* constant once vCPUs run */
	unsigned int last_capability, free_config;
	/* enum pci_dma. Written with the bus lock and msix.lock held: so no message is on its way
	 * when it is closed. Devices read it under their own lock. */
	atomic_int dma;
	struct vmm_io bar[PCI_BARS]; /* base: the address that it decodes now */
	struct pci_msix msix;
};

struct pci_bus {
	struct vmm *vmm;
	pthread_mutex_t lock; /* guards address, config[] and BAR bases of all functions */
	uint32_t address;     /* port 0xcf8 */
	struct pci_function *function[SLOTS];
	uint64_t next_bar_gpa;
};

static void put16(uint8_t *at, uint16_t value)
{
	memcpy(at, &value, sizeof(value));
}

static void put32(uint8_t *at, uint32_t value)
{
	memcpy(at, &value, sizeof(value));
}

static uint16_t get16(const uint8_t *at)
{
	uint16_t value;

	memcpy(&value, at, sizeof(value));
	return value;
}

static bool overlaps(unsigned int a, unsigned int a_bytes, unsigned int b, unsigned int b_bytes)
{
	return a < b + b_bytes && b < a + a_bytes;
}

/* ---- MSI-X ----------------------------------------------------------------------------------- */

/* Lock held. */
static void msix_fire(struct pci_function *function, unsigned int vector)
{
	const uint8_t *entry = function->msix.table + vector * MSIX_ENTRY_BYTES;
	uint64_t address;
	uint32_t data;
	int ret;

	memcpy(&address, entry + PCI_MSIX_ENTRY_LOWER_ADDR, sizeof(address));
	memcpy(&data, entry + PCI_MSIX_ENTRY_DATA, sizeof(data));
	ret = vmm_irq_msi(function->bus->vmm, address, data);
	if (ret < 0)
		vmm_log_guest(GMIG_LOG_WARNING, "device=%s msi=%#llx data=%#x refused=%d",
			      function->spec.name, (unsigned long long)address, data, ret);
}

static bool msix_is_masked(const struct pci_msix *msix, unsigned int vector)
{
	return msix->masked ||
	       msix->table[vector * MSIX_ENTRY_BYTES + PCI_MSIX_ENTRY_VECTOR_CTRL] & MSIX_MASKED;
}

enum pci_dma pci_dma(const struct pci_function *function)
{
	return (enum pci_dma)atomic_load(&function->dma);
}

/* Lock held: send vectors that had to wait and need not any more. */
static void msix_send_pending(struct pci_function *function)
{
	struct pci_msix *msix = &function->msix;
	uint64_t left = msix->enabled && pci_dma(function) != PCI_DMA_CLOSED ? msix->pending : 0;

	while (left) {
		unsigned int vector = (unsigned int)__builtin_ctzll(left);

		left &= left - 1;
		if (msix_is_masked(msix, vector))
			continue;
		msix->pending &= ~(1ull << vector);
		msix_fire(function, vector);
	}
}

void pci_msix_send(struct pci_function *function, unsigned int vector)
{
	struct pci_msix *msix = &function->msix;

	if (vector >= msix->count)
		return;
	pthread_mutex_lock(&msix->lock);
	if (msix->enabled) {
		msix->pending |= 1ull << vector;
		msix_send_pending(function);
	}
	pthread_mutex_unlock(&msix->lock);
}

static void msix_read(const struct pci_msix *msix, uint64_t offset, uint8_t *data,
		      unsigned int bytes)
{
	unsigned int i;

	for (i = 0; i < bytes; i++) {
		uint64_t at = offset + i;

		if (at < msix->count * MSIX_ENTRY_BYTES)
			data[i] = msix->table[at];
		else if (at >= MSIX_PBA_OFFSET && at < MSIX_PBA_OFFSET + sizeof(msix->pending))
			data[i] = (uint8_t)(msix->pending >> 8 * (at - MSIX_PBA_OFFSET));
		else
			data[i] = 0;
	}
}

static void msix_access(void *opaque, uint64_t offset, uint8_t *data, unsigned int bytes,
			bool write)
{
	struct pci_function *function = opaque;
	struct pci_msix *msix = &function->msix;

	pthread_mutex_lock(&msix->lock);
	if (!write) {
		msix_read(msix, offset, data, bytes);
	} else if (offset + bytes <= msix->count * MSIX_ENTRY_BYTES) {
		memcpy(msix->table + offset, data, bytes);
		msix_send_pending(function);
	}
	pthread_mutex_unlock(&msix->lock);
}

/* The control word in configuration space was written. Bus lock held. */
static void msix_update_control(struct pci_function *function)
{
	uint16_t control = get16(function->config + function->msix.capability + PCI_MSIX_FLAGS);

	pthread_mutex_lock(&function->msix.lock);
	function->msix.enabled = control & PCI_MSIX_FLAGS_ENABLE;
	function->msix.masked = control & PCI_MSIX_FLAGS_MASKALL;
	msix_send_pending(function);
	pthread_mutex_unlock(&function->msix.lock);
}

static void msix_reset(struct pci_msix *msix)
{
	unsigned int i;

	pthread_mutex_lock(&msix->lock);
	msix->enabled = msix->masked = false;
	msix->pending = 0;
	memset(msix->table, 0, sizeof(msix->table));
	for (i = 0; i < msix->count; i++)
		msix->table[i * MSIX_ENTRY_BYTES + PCI_MSIX_ENTRY_VECTOR_CTRL] = MSIX_MASKED;
	pthread_mutex_unlock(&msix->lock);
}

/* ---- BARs: bus lock held, or vCPUs parked ---------------------------------------------------- */

static uint64_t bar_address(const struct pci_function *function, unsigned int bar)
{
	uint64_t address;

	memcpy(&address, function->config + PCI_BASE_ADDRESS_0 + 8 * bar, sizeof(address));
	return address & PCI_BASE_ADDRESS_MEM_MASK;
}

static int bar_move(struct pci_function *function, unsigned int bar, uint64_t gpa)
{
	struct vmm_io *io = &function->bar[bar];
	int ret = 0;

	if (io->base == gpa)
		return 0;
	ret = vmm_mmio_move(function->bus->vmm, io, gpa);
	if (!ret)
		io->base = gpa;
	return ret;
}

/* Move the decoded ranges to where the registers say. While a guest rewrites the two halves of an
 * address, the value may be anything. */
static void bar_update(struct pci_function *function, unsigned int bar)
{
	uint64_t gpa = VMM_MMIO_NOWHERE;

	if (!function->spec.bar[bar].bytes)
		return;
	if (get16(function->config + PCI_COMMAND) & PCI_COMMAND_MEMORY &&
	    bar_address(function, bar) < MAX_BAR_GPA)
		gpa = bar_address(function, bar);
	if (bar_move(function, bar, gpa))
		bar_move(function, bar, VMM_MMIO_NOWHERE);
}

static void bar_update_all(struct pci_function *function)
{
	unsigned int bar;

	for (bar = 0; bar < PCI_BARS; bar++)
		bar_update(function, bar);
}

/* ---- The DMA gate: bus lock held ------------------------------------------------------------- */

static void set_dma(struct pci_function *function, enum pci_dma dma)
{
	pthread_mutex_lock(&function->msix.lock);
	atomic_store(&function->dma, dma);
	msix_send_pending(function);
	pthread_mutex_unlock(&function->msix.lock);
}

/* The guest's write returns when the last transfer has ended: it may use the memory again. */
static void follow_bus_master(struct pci_function *function)
{
	const struct pci_spec *spec = &function->spec;
	bool open = get16(function->config + PCI_COMMAND) & PCI_COMMAND_MASTER;

	if (open == (pci_dma(function) == PCI_DMA_OPEN))
		return;
	set_dma(function, open ? PCI_DMA_OPEN : PCI_DMA_DRAINING);
	if (spec->dma_changed)
		spec->dma_changed(spec->opaque, pci_dma(function));
	if (!open)
		set_dma(function, PCI_DMA_CLOSED);
}

/* ---- Configuration space --------------------------------------------------------------------- */

static void config_write(struct pci_function *function, unsigned int offset, const uint8_t *data,
			 unsigned int bytes)
{
	const struct pci_spec *spec = &function->spec;
	unsigned int i, msix = function->msix.capability;

	for (i = 0; i < bytes && offset + i < CONFIG_BYTES; i++) {
		uint8_t mask = function->writable[offset + i],
			*byte = &function->config[offset + i];

		*byte = (uint8_t)((*byte & ~mask) | (data[i] & mask));
	}
	if (overlaps(offset, bytes, PCI_COMMAND, 2) ||
	    overlaps(offset, bytes, PCI_BASE_ADDRESS_0, 8 * PCI_BARS))
		bar_update_all(function);
	if (overlaps(offset, bytes, PCI_COMMAND, 2))
		follow_bus_master(function);
	if (msix && overlaps(offset, bytes, msix + PCI_MSIX_FLAGS, 2))
		msix_update_control(function);
	if (spec->config_access && offset >= PCI_STD_HEADER_SIZEOF &&
	    offset + bytes <= CONFIG_BYTES)
		spec->config_access(spec->opaque, function->config, offset, bytes, true);
}

static void config_read(struct pci_function *function, unsigned int offset, uint8_t *data,
			unsigned int bytes)
{
	const struct pci_spec *spec = &function->spec;
	unsigned int i;

	if (spec->config_access && offset >= PCI_STD_HEADER_SIZEOF &&
	    offset + bytes <= CONFIG_BYTES)
		spec->config_access(spec->opaque, function->config, offset, bytes, false);
	for (i = 0; i < bytes; i++)
		data[i] = offset + i < CONFIG_BYTES ? function->config[offset + i] : 0;
}

static struct pci_function *find_function(const struct pci_bus *bus, unsigned int devfn)
{
	return devfn & 7 ? NULL : bus->function[devfn >> 3 & (SLOTS - 1)];
}

/* Offset within the ECAM: slot, function number and 12 bits of register. */
static void ecam_access(void *opaque, uint64_t offset, uint8_t *data, unsigned int bytes,
			bool write)
{
	struct pci_bus *bus = opaque;
	struct pci_function *function = find_function(bus, (unsigned int)(offset >> 12) & 0xff);
	unsigned int at = (unsigned int)offset & 0xfff;

	if (!function) {
		if (!write)
			memset(data, 0xff, bytes);
		return;
	}
	pthread_mutex_lock(&bus->lock);
	if (write)
		config_write(function, at, data, bytes);
	else
		config_read(function, at, data, bytes);
	pthread_mutex_unlock(&bus->lock);
}

static void address_port_access(struct pci_bus *bus, unsigned int offset, uint8_t *data,
				unsigned int bytes, bool write)
{
	pthread_mutex_lock(&bus->lock);
	if (!write)
		memcpy(data, (uint8_t *)&bus->address + offset, bytes);
	else if (bytes == 4)
		memcpy(&bus->address, data, bytes);
	pthread_mutex_unlock(&bus->lock);
}

static void data_port_access(struct pci_bus *bus, unsigned int offset, uint8_t *data,
			     unsigned int bytes, bool write)
{
	uint32_t address;

	pthread_mutex_lock(&bus->lock);
	address = bus->address;
	pthread_mutex_unlock(&bus->lock);
	if (!(address & PORT_ENABLE) || address >> 16 & 0xff) {
		if (!write)
			memset(data, 0xff, bytes);
		return;
	}
	ecam_access(bus, (uint64_t)(address >> 8 & 0xff) << 12 | (address & 0xfc) | offset, data,
		    bytes, write);
}

/* 0xcf8..0xcff. A single byte at 0xcf9 is the reset register. */
static void port_access(void *opaque, uint64_t offset, uint8_t *data, unsigned int bytes,
			bool write)
{
	struct pci_bus *bus = opaque;

	if (offset == 1 && bytes == 1) {
		if (write)
			power_reset_write(bus->vmm, data[0]);
		else
			data[0] = power_reset_read();
	} else if (offset + bytes <= 4) {
		address_port_access(bus, (unsigned int)offset, data, bytes, write);
	} else if (offset >= 4 && offset + bytes <= 8) {
		data_port_access(bus, (unsigned int)offset - 4, data, bytes, write);
	} else if (!write) {
		memset(data, 0xff, bytes);
	}
}

/* ---- Building a function --------------------------------------------------------------------- */

void pci_make_writable(struct pci_function *function, unsigned int offset, unsigned int bytes)
{
	memset(function->writable + offset, 0xff, bytes);
}

int pci_add_capability(struct pci_function *function, uint8_t id, const void *body,
		       unsigned int bytes)
{
	unsigned int at = function->free_config;
	uint8_t *config = function->config;

	if (at + 2 + bytes > CONFIG_BYTES)
		return -ENOSPC;
	config[at + PCI_CAP_LIST_ID] = id;
	config[at + PCI_CAP_LIST_NEXT] = 0;
	memcpy(config + at + 2, body, bytes);
	config[function->last_capability ? function->last_capability + 1 : PCI_CAPABILITY_LIST] =
	    (uint8_t)at;
	config[PCI_STATUS] |= PCI_STATUS_CAP_LIST;
	function->last_capability = at;
	function->free_config = (at + 2 + bytes + 3) & ~3u;
	memcpy(function->power_on, config, CONFIG_BYTES);
	return (int)at;
}

static int add_bar(struct pci_function *function, unsigned int bar, struct gmig_error *err)
{
	struct pci_bus *bus = function->bus;
	const struct pci_bar_spec *spec = &function->spec.bar[bar];
	struct vmm_io *io = &function->bar[bar];
	uint64_t gpa = (bus->next_bar_gpa + spec->bytes - 1) & ~(spec->bytes - 1),
		 mask = ~(spec->bytes - 1);

	if (!spec->bytes)
		return 0;
	if (spec->bytes < BAR_MIN_BYTES || spec->bytes & (spec->bytes - 1))
		return gmig_fail(err, -EINVAL, "%s: BAR %u of %llu bytes", function->spec.name, bar,
				 (unsigned long long)spec->bytes);
	if (gpa + spec->bytes > VMM_PCI_MMIO_GPA + VMM_PCI_MMIO_BYTES)
		return gmig_fail(err, -ENOSPC, "%s: no room for a BAR", function->spec.name);
	bus->next_bar_gpa = gpa + spec->bytes;
	*io = (struct vmm_io){function->spec.name, VMM_MMIO_NOWHERE, spec->bytes, spec->access,
			      spec->access == msix_access ? function : function->spec.opaque};
	gpa |= PCI_BASE_ADDRESS_MEM_TYPE_64;
	memcpy(function->config + PCI_BASE_ADDRESS_0 + 8 * bar, &gpa, sizeof(gpa));
	memcpy(function->writable + PCI_BASE_ADDRESS_0 + 8 * bar, &mask, sizeof(mask));
	return vmm_mmio_add(bus->vmm, io, err);
}

static int add_msix(struct pci_function *function)
{
	struct {
		uint16_t control;
		uint32_t table, pba;
	} __attribute__((packed)) body = {
	    .control = (uint16_t)(function->spec.msix_vectors - 1),
	    .table = 2 * PCI_MSIX_BAR,
	    .pba = MSIX_PBA_OFFSET | 2 * PCI_MSIX_BAR,
	};
	int at = pci_add_capability(function, PCI_CAP_ID_MSIX, &body, sizeof(body));

	if (at < 0)
		return at;
	function->msix.count = function->spec.msix_vectors;
	function->msix.capability = (unsigned int)at;
	put16(function->writable + at + PCI_MSIX_FLAGS,
	      PCI_MSIX_FLAGS_ENABLE | PCI_MSIX_FLAGS_MASKALL);
	msix_reset(&function->msix);
	return 0;
}

static void fill_header(struct pci_function *function)
{
	const struct pci_spec *spec = &function->spec;
	uint8_t *config = function->config;

	put16(config + PCI_VENDOR_ID, spec->vendor);
	put16(config + PCI_DEVICE_ID, spec->device);
	put32(config + PCI_CLASS_REVISION, spec->class_code << 8 | spec->revision);
	put16(config + PCI_SUBSYSTEM_VENDOR_ID, spec->subsystem_vendor);
	put16(config + PCI_SUBSYSTEM_ID, spec->subsystem);
	put16(function->writable + PCI_COMMAND,
	      PCI_COMMAND_IO | PCI_COMMAND_MEMORY | PCI_COMMAND_MASTER | PCI_COMMAND_INTX_DISABLE);
	function->writable[PCI_CACHE_LINE_SIZE] = 0xff;
	function->writable[PCI_INTERRUPT_LINE] = 0xff;
	function->free_config = PCI_STD_HEADER_SIZEOF;
}

int pci_function_create(struct pci_bus *bus, const struct pci_spec *spec, struct pci_function **out,
			struct gmig_error *err)
{
	struct pci_function *function;
	unsigned int slot = 0, bar;
	int ret = 0;

	while (slot < SLOTS && bus->function[slot])
		slot++;
	if (slot == SLOTS || spec->msix_vectors > PCI_MSIX_MAX_VECTORS)
		return gmig_fail(err, -ENOSPC, "%s: no PCI slot, or too many vectors", spec->name);
	function = calloc(1, sizeof(*function));
	if (!function)
		return gmig_fail(err, -ENOMEM, "%s: out of memory", spec->name);
	function->bus = bus;
	function->spec = *spec;
	pthread_mutex_init(&function->msix.lock, NULL);
	bus->function[slot] = function;
	fill_header(function);
	if (spec->msix_vectors) {
		function->spec.bar[PCI_MSIX_BAR] =
		    (struct pci_bar_spec){BAR_MIN_BYTES, msix_access};
		ret = add_msix(function);
	}
	for (bar = 0; !ret && bar < PCI_BARS; bar++)
		ret = add_bar(function, bar, err);
	memcpy(function->power_on, function->config, CONFIG_BYTES);
	/* A half-built function belongs to the bus and is freed with it. */
	if (!ret)
		*out = function;
	return ret;
}

/* ---- The bus --------------------------------------------------------------------------------- */

int pci_bus_create(struct vmm *vmm, struct pci_bus **out, struct gmig_error *err)
{
	static const struct pci_spec host_bridge = {.name = "host-bridge",
						    .vendor = HOST_BRIDGE_VENDOR,
						    .device = HOST_BRIDGE_DEVICE,
						    .class_code = 0x060000};
	struct pci_bus *bus = calloc(1, sizeof(*bus));
	const struct vmm_io ports = {"pci-config", PORT_ADDRESS, 8, port_access, bus};
	const struct vmm_io ecam = {"pci-ecam", VMM_ECAM_GPA, VMM_ECAM_BYTES, ecam_access, bus};
	struct pci_function *bridge;
	int ret;

	if (!bus)
		return gmig_fail(err, -ENOMEM, "pci: out of memory");
	bus->vmm = vmm;
	bus->next_bar_gpa = VMM_PCI_MMIO_GPA;
	pthread_mutex_init(&bus->lock, NULL);
	ret = pci_function_create(bus, &host_bridge, &bridge, err);
	if (!ret)
		ret = vmm_pio_add(vmm, &ports, err);
	if (!ret)
		ret = vmm_mmio_add(vmm, &ecam, err);
	if (ret) {
		pci_bus_destroy(bus);
		return ret;
	}
	*out = bus;
	return 0;
}

void pci_bus_destroy(struct pci_bus *bus)
{
	unsigned int slot;

	if (!bus)
		return;
	for (slot = 0; slot < SLOTS; slot++) {
		if (!bus->function[slot])
			continue;
		pthread_mutex_destroy(&bus->function[slot]->msix.lock);
		free(bus->function[slot]);
	}
	pthread_mutex_destroy(&bus->lock);
	free(bus);
}

void pci_bus_reset(struct pci_bus *bus)
{
	unsigned int slot;

	pthread_mutex_lock(&bus->lock);
	bus->address = 0;
	for (slot = 0; slot < SLOTS; slot++) {
		struct pci_function *function = bus->function[slot];

		if (!function)
			continue;
		memcpy(function->config, function->power_on, CONFIG_BYTES);
		set_dma(function, PCI_DMA_CLOSED);
		msix_reset(&function->msix);
		bar_update_all(function);
	}
	pthread_mutex_unlock(&bus->lock);
}

static int bus_device_create(struct device_context *context, unsigned int index, void **state,
			     struct gmig_error *err)
{
	int ret = pci_bus_create(context->vmm, &context->pci, err);

	(void)index;
	*state = context->pci;
	return ret;
}

static void bus_device_reset(void *state)
{
	pci_bus_reset(state);
}

static void bus_device_destroy(void *state)
{
	pci_bus_destroy(state);
}

const struct device_ops pci_device = {
    .name = "pci",
    .create = bus_device_create,
    .reset = bus_device_reset,
    .destroy = bus_device_destroy,
};
