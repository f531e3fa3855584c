/*
 * A machine for tests of devices: guest RAM in two plain buffers that adjoin in guest-physical
 * space only, tables of I/O ranges, a loop that runs when told to, and a record of what was asked
 * of the machine. It stands in for memory.c, bus.c, loop.c, kvm.c and end.c, so only programs that
 * test devices link it (library testmachine).
 */
#ifndef FAKE_MACHINE_H
#define FAKE_MACHINE_H

#include "../../vmm/device_ops.h"
#include "../../vmm/vmm.h"

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define FAKE_REGION_BYTES (4ull << 20)
#define FAKE_RAM_BYTES	  (2 * FAKE_REGION_BYTES)
#define FAKE_MAX	  64

struct fake_fd {
	int fd; /* -1: free */
	uint32_t events;
	vmm_loop_ready *ready;
	void *opaque;
	bool rests;
};

struct vmm {
	struct vmm_region region[2];
	struct vmm_io pio[FAKE_MAX], mmio[FAKE_MAX];
	unsigned int pio_count, mmio_count;
	pthread_mutex_t lock; /* fds and the records below */
	struct fake_fd fd[FAKE_MAX];
	unsigned int msi_count;
	uint64_t msi_address;
	uint32_t msi_data;
	bool line[24];
	unsigned int edges[24];
	enum vmm_end end;
	unsigned int stops; /* vmm_stop_because */
	char stop_reason[GMIG_ERROR_TEXT];
	/* Transfers that pin memory: who hears of them, NULL: nobody; to be refused; announced ever, and now */
	int (*dma_begin)(struct gmig *gmig, const void *start, size_t bytes);
	void (*dma_end)(struct gmig *gmig, const void *start, size_t bytes);
	struct gmig *gmig;
	/* Memory that is given back: who hears of it; NULL: it becomes zeros, and is counted */
	int (*discard)(const void *start, size_t bytes, size_t *done_bytes);
	atomic_ullong discarded_bytes;
	atomic_bool dma_refuse;
	atomic_uint dma_begun, dma_now;
};

/* Called first on each thread that a device starts; NULL: nothing is. */
extern void (*fake_helper_begins)(void);

/* With two regions of this size each: FAKE_REGION_BYTES in the unit tests. */
void fake_vmm_init(struct vmm *vmm, uint64_t region_bytes);
void fake_vmm_destroy(struct vmm *vmm);

/* An access of the guest; what nobody answers reads as all ones. */
void fake_pio(struct vmm *vmm, uint64_t port, void *data, unsigned int bytes, bool write);
void fake_mmio(struct vmm *vmm, uint64_t gpa, void *data, unsigned int bytes, bool write);
uint8_t fake_in(struct vmm *vmm, uint16_t port);
void fake_out(struct vmm *vmm, uint16_t port, uint8_t value);
uint32_t fake_read(struct vmm *vmm, uint64_t gpa, unsigned int bytes);
void fake_write(struct vmm *vmm, uint64_t gpa, unsigned int bytes, uint32_t value);

/* Call handlers until none is ready; they run here only, on the test's thread. Returns false when
 * that does not end: a handler that spins. */
bool fake_loop_run(struct vmm *vmm);
/* Those that rest (vmm_loop_rest) are watched again; returns how many did. */
unsigned int fake_loop_end_rests(struct vmm *vmm);
/* Call the handler of fd with these events; no-op when there is none. */
void fake_loop_event(struct vmm *vmm, int fd, uint32_t events);

#endif
