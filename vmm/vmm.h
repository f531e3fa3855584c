/*
 * Inside gmig-vmm: what devices and the loader may ask of the machine. main.c has the order of
 * start-up.
 *
 * Threads: main (signals, waits for the end), one per vCPU, one I/O thread (loop.h) that serves
 * devices' file descriptors, that of the control socket, and libgmig's. Exits are dispatched on the
 * vCPU's own thread.
 */
#ifndef VMM_H
#define VMM_H

#include "../migrate/gmig.h"

#include <linux/kvm.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define VMM_MAX_VCPUS  64 /* bits of a mask */
#define VMM_MAX_VNODES 8  /* the engine takes up to GMIG_MAX_VNODES */
#define VMM_MAX_DISKS  4
#define VMM_MAX_PORTS  8
#define VMM_MAX_NETS   2

/* ---- Guest-physical map (memory.c) ----------------------------------------------------------- */

/*
 *   0 .. 0xa0000              RAM                       e820: RAM
 *   0xa0000 .. 0x100000       RAM, not reported as RAM; ACPI tables (RSDP at 0xe0000)
 *   0x100000 .. 3 GiB         RAM
 *   3 GiB .. 4 GiB            hole: ECAM, BARs, IOAPIC, LAPIC
 *   4 GiB ..                  RAM that did not fit below 3 GiB
 */
#define VMM_HOLE_GPA	   0xc0000000ull
#define VMM_HOLE_END_GPA   0x100000000ull
#define VMM_ECAM_GPA	   0xe0000000ull /* 1 bus: 1 MiB */
#define VMM_ECAM_BYTES	   0x100000ull
#define VMM_PCI_MMIO_GPA   0xe1000000ull /* BARs */
#define VMM_PCI_MMIO_BYTES 0x01000000ull
#define VMM_IOAPIC_GPA	   0xfec00000ull
#define VMM_LAPIC_GPA	   0xfee00000ull
#define VMM_TSS_GPA	   0xfffbd000ull /* KVM_SET_TSS_ADDR: 3 pages; identity map below */
#define VMM_ACPI_GPA	   0xe0000ull	 /* RSDP, then the tables, up to 1 MiB */
#define VMM_ACPI_BYTES	   0x20000ull

struct vmm;

/* A run of guest RAM that is contiguous in gpa and hva; libgmig calls it a region, too. Sorted by
 * gpa. */
struct vmm_region {
	unsigned int vnode;
	uint64_t gpa, bytes;
	uint8_t *hva;
};
size_t vmm_regions(const struct vmm *vmm, const struct vmm_region **regions);

/*
 * The only way from a guest address to a pointer. NULL unless gpa .. gpa+bytes is guest RAM within
 * one region. Valid from vmm_memory_create to vmm_memory_destroy. The memory may be migrated at any
 * time: an access may sleep for the blackout of a block, and one that pins the page over a system
 * call (O_DIRECT) is announced.
 */
void *vmm_guest_ptr(const struct vmm *vmm, uint64_t gpa, uint64_t bytes);
/*
 * Around a transfer that pins guest memory: gmig_dma_begin() and gmig_dma_end(). Any thread, without locks of the engine.
 * -EBUSY: it is not to be pinned now.
 */
int vmm_dma_begin(const struct vmm *vmm, const void *start, size_t bytes);
void vmm_dma_end(const struct vmm *vmm, const void *start, size_t bytes);
/* Guest memory that nobody needs the content of goes back to the host: gmig_discard(). Any thread; may sleep. */
int vmm_guest_discard(const struct vmm *vmm, const void *start, size_t bytes, size_t *done_bytes);

/* ---- Port and memory-mapped I/O (bus.c) ------------------------------------------------------ */

/* access: with `write` false it fills data[0..bytes). Runs on the thread of the vCPU that exited;
 * several may run at a time. 1 <= bytes <= 8. */
struct vmm_io {
	const char *name;
	uint64_t base, bytes; /* port or gpa range */
	void (*access)(void *opaque, uint64_t offset, uint8_t *data, unsigned int bytes,
		       bool write);
	void *opaque;
};
/* Register before the first vCPU runs. -EBUSY overlap, -ENOSPC. Reads outside all ranges give all
 * ones; writes have no effect. */
int vmm_pio_add(struct vmm *vmm, const struct vmm_io *io, struct gmig_error *err);
int vmm_mmio_add(struct vmm *vmm, const struct vmm_io *io, struct gmig_error *err);
/*
 * Move a range while the guest runs (PCI BARs). *io is what was passed to vmm_mmio_add; the range
 * is found by name, access, opaque and bytes. VMM_MMIO_NOWHERE (also as base in vmm_mmio_add): not
 * decoded. -EBUSY overlap, -ENOENT. Any thread; legal within an access handler.
 */
#define VMM_MMIO_NOWHERE UINT64_MAX
int vmm_mmio_move(struct vmm *vmm, const struct vmm_io *io, uint64_t new_base);

/* ---- Interrupts (kvm.c) ---------------------------------------------------------------------- */

/* Set the level of a GSI (IOAPIC pin). Any thread. */
void vmm_irq_line(struct vmm *vmm, unsigned int gsi, bool level);
/* Has the guest unmasked the IOAPIC's pin? Yes, too, where KVM has no memory to tell: a guest that listens is not to be ended for one that does not. Any thread. */
bool vmm_irq_unmasked(const struct vmm *vmm, unsigned int gsi);
/* Deliver an MSI (KVM_SIGNAL_MSI). Any thread. 0 or -errno; not fatal, since a guest may program an
 * invalid address. */
int vmm_irq_msi(struct vmm *vmm, uint64_t address, uint32_t data);

/* ---- The end (end.c) ------------------------------------------------------------------------- */

/* Why the guest ended. Reported on stderr, over the control socket (event SHUTDOWN) and as exit
 * status. */
enum vmm_end {
	VMM_END_NONE,
	VMM_END_POWER_OFF,    /* by the guest: exit 0 */
	VMM_END_REBOOT,	      /* by the guest: reset; with --no-reboot exit 0 */
	VMM_END_QUIT,	      /* control socket: exit 0 */
	VMM_END_SIGNAL,	      /* SIGTERM, SIGINT, SIGHUP: exit 0 after cancelling jobs */
	VMM_END_TRIPLE_FAULT, /* exit 3 */
	VMM_END_KVM_ERROR,    /* internal error, unexpected exit: exit 4 */
	VMM_END_MEMORY_LOST,  /* libgmig's fatal: exit 5 */
};
/* The first caller wins. Any thread; does not wait. `text` is copied. */
void vmm_end(struct vmm *vmm, enum vmm_end why, const char *text);

/*
 * Have main stop the guest as the command `stop` does, because it cannot go on without help.
 * `reason` is copied, and shown until the guest is continued. Any thread; does not wait.
 */
void vmm_stop_because(struct vmm *vmm, const char *reason);

/* ---- I/O thread (loop.c) --------------------------------------------------------------------- */

/*
 * Call `ready` on the I/O thread whenever fd has `events` (EPOLLIN..). One handler per fd.
 *
 * EPOLLERR and EPOLLHUP come whether asked for or not, and come again until the handler removes the
 * descriptor or takes the cause away. One that reports nothing else 16 times in a row is not watched
 * any more, and a line in the log says so.
 */
typedef void vmm_loop_ready(void *opaque, uint32_t events);
int vmm_loop_add(struct vmm *vmm, int fd, uint32_t events, vmm_loop_ready *ready, void *opaque);
int vmm_loop_modify(struct vmm *vmm, int fd, uint32_t events);
/* Do not watch fd for `ms` milliseconds: its handler cannot do now what it was called for, for want
 * of descriptors or memory. I/O thread. -ENOENT. */
int vmm_loop_rest(struct vmm *vmm, int fd, unsigned int ms);
/* When it returns, `ready` is not running and will not run (unless called on the I/O thread). */
void vmm_loop_remove(struct vmm *vmm, int fd);

/* ---- Threads of devices (threads.c) ---------------------------------------------------------- */

/* The calling thread begins or ends: it is placed by rule (placement.h) and shown to operators. */
enum vmm_helper { VMM_HELPER_IO, VMM_HELPER_BLK, VMM_HELPER_BALLOON };
void vmm_helper_begins(struct vmm *vmm, enum vmm_helper helper);
void vmm_helper_ends(struct vmm *vmm);

/* ---- Log ------------------------------------------------------------------------------------- */

/*
 * The text is `key=value`, of what device or vCPU first. Neither call waits for stderr (log.h), so
 * they are legal under any lock. Lines that a guest can trigger go through vmm_log_guest: of one
 * format about one thing (the first word of the text) it writes 10 at once, and after that one in
 * 6 s; held=N in the next line counts the others.
 */
__attribute__((format(printf, 2, 3))) void vmm_log(enum gmig_log_level level, const char *format,
						   ...);
__attribute__((format(printf, 2, 3))) void vmm_log_guest(enum gmig_log_level level,
							 const char *format, ...);

#endif
