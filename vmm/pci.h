/*
 * PCI bus 0: host bridge at 00:00.0 and type 0 functions, one per slot. Configuration space through
 * ECAM (VMM_ECAM_GPA) and ports 0xcf8/0xcfc; 64-bit memory BARs that the guest may move; MSI-X with
 * a mask bit per vector. No INTx.
 *
 * Accesses come from vCPU threads; the bus lock guards configuration space and BAR addresses, each
 * function's MSI-X lock its table. Lock order: bus, the device's own lock, MSI-X. So pci_msix_send
 * may be called under a device's lock, and no device calls into configuration space.
 *
 * A function touches guest memory, and sends messages, only while its DMA gate is open. The gate
 * follows Bus Master Enable in the command register: a kernel that takes over from another one
 * (kexec) clears it so that the old kernel's buffers are not written any more.
 *
 * Source: PCI Local Bus 3.0 (chapter 6: configuration space, 6.2.2: command register, 6.8.2: MSI-X),
 * PCI Express 7.2.2 (ECAM).
 */
#ifndef VMM_PCI_H
#define VMM_PCI_H

#include "vmm.h"

#define PCI_BARS	     3 /* 64-bit each: BAR register 2 * i and the one after it */
#define PCI_MSIX_MAX_VECTORS 64
#define PCI_MSIX_BAR	     1 /* the second of them, when msix_vectors > 0; served by pci.c */
#define PCI_NO_VECTOR	     0xffff

struct pci_bus;
struct pci_function;

enum pci_dma {
	PCI_DMA_CLOSED,	  /* no access to guest memory, no message */
	PCI_DMA_DRAINING, /* what is in flight may end, nothing new begins */
	PCI_DMA_OPEN,
};

struct pci_bar_spec {
	uint64_t bytes; /* power of two >= 4096; 0: no such BAR */
	void (*access)(void *opaque, uint64_t offset, uint8_t *data, unsigned int bytes,
		       bool write);
};

struct pci_spec {
	const char *name; /* kept, not copied */
	uint16_t vendor, device, subsystem_vendor, subsystem;
	uint32_t class_code; /* 24 bits: class, subclass, interface */
	uint8_t revision;
	unsigned int msix_vectors; /* 0: no MSI-X; at most PCI_MSIX_MAX_VECTORS */
	struct pci_bar_spec bar[PCI_BARS];
	/*
	 * Optional: configuration space at `offset` (above the header) is about to be read, or has
	 * been written. `config` is the whole of it. Bus lock held.
	 */
	void (*config_access)(void *opaque, uint8_t *config, unsigned int offset,
			      unsigned int bytes, bool write);
	/*
	 * Optional: the DMA gate has become DRAINING or OPEN. DRAINING: returns when nothing is in
	 * flight any more; the gate is closed afterwards. Bus lock held.
	 */
	void (*dma_changed)(void *opaque, enum pci_dma dma);
	void *opaque;
};

int pci_bus_create(struct vmm *vmm, struct pci_bus **out, struct gmig_error *err);
/* Frees the functions, too. NULL is legal. */
void pci_bus_destroy(struct pci_bus *bus);
/* Power-on state of all functions: BARs at their first addresses, decoding off. vCPUs are parked.
 */
void pci_bus_reset(struct pci_bus *bus);

/* In the next free slot. -ENOSPC no slot or no room for the BARs. Belongs to the bus. */
int pci_function_create(struct pci_bus *bus, const struct pci_spec *spec, struct pci_function **out,
			struct gmig_error *err);
/*
 * Append a capability: `body` is what follows id and next pointer. Before the first vCPU runs.
 * Returns its offset in configuration space or -ENOSPC.
 */
int pci_add_capability(struct pci_function *function, uint8_t id, const void *body,
		       unsigned int bytes);
/* Let the guest write config[offset..+bytes). */
void pci_make_writable(struct pci_function *function, unsigned int offset, unsigned int bytes);

/* Any thread: the function's DMA gate. */
enum pci_dma pci_dma(const struct pci_function *function);
/*
 * Any thread. A vector is kept pending while it is masked or the DMA gate is closed. Out of range:
 * ignored.
 */
void pci_msix_send(struct pci_function *function, unsigned int vector);

#endif
