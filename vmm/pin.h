/* Which CPUs of the host a vCPU runs on. Pure, except for vmm_pin(); any thread. */
#ifndef VMM_PIN_H
#define VMM_PIN_H

#include "../migrate/gmig.h"

struct vmm_cpus {
	uint64_t word[GMIG_MAX_CPUS / 64]; /* bit n % 64 of word n / 64: CPU n */
};

/*
 * The CPUs in `mine` of the nearest node to `node` that has any of them. This is usually the node
 * itself; a node without CPUs (CXL), or with none that this process may use, gets its neighbour's.
 * false: there are none.
 */
bool vmm_pin_choose(const struct gmig_topology *topology, unsigned int node,
		    const struct vmm_cpus *mine, struct vmm_cpus *wanted);
/* Pin the calling thread to these CPUs, as far as it may use them. -errno. */
int vmm_pin(const struct gmig_topology *topology, unsigned int node, struct gmig_error *err);

#endif
