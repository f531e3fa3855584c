/*
 * Guest RAM as the loader writes it: runs of guest-physical addresses that may cross the regions of
 * several vnodes. Runs on the main thread while no vCPU runs. A write may sleep for the first touch
 * of a block.
 */
#ifndef VMM_BOOTRAM_H
#define VMM_BOOTRAM_H

#include "vmm.h"

struct bootram {
	const struct vmm_region *regions; /* sorted by gpa */
	size_t count;
};

/* Where the contiguous RAM that starts at gpa ends; gpa itself if there is none. */
uint64_t bootram_run_end(const struct bootram *ram, uint64_t gpa);

/* Each 0 or -EFAULT when gpa .. gpa+bytes is not all RAM. */
int bootram_write(const struct bootram *ram, uint64_t gpa, const void *data, uint64_t bytes);
int bootram_zero(const struct bootram *ram, uint64_t gpa, uint64_t bytes);
/* Reads `bytes` of fd at offset. Also -ENODATA: the file has become shorter; -errno of pread(2). */
int bootram_read(const struct bootram *ram, uint64_t gpa, int fd, uint64_t offset, uint64_t bytes);

#endif
