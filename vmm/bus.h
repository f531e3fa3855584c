/* I/O ranges, by port or by address, and their handlers. vmm.h has the calls that register them. */
#ifndef VMM_BUS_H
#define VMM_BUS_H

#include "vmm.h"

#include <pthread.h>

#define VMM_MAX_IO 64

struct vmm_bus {
	pthread_rwlock_t lock;
	struct vmm_io io[VMM_MAX_IO]; /* guarded by lock */
	unsigned int count;
};

void vmm_bus_init(struct vmm_bus *bus);
void vmm_bus_destroy(struct vmm_bus *bus);
/* One access. false: no range has it; a read gave all ones. */
bool vmm_bus_access(struct vmm_bus *bus, uint64_t address, uint8_t *data, unsigned int bytes,
		    bool write);

#endif
