/* Which CPUs of the host a vCPU keeps to. Pure but for vmm_pin(); any thread. */
#ifndef VMM_PIN_H
#define VMM_PIN_H

#include "../migrate/gmig.h"

struct vmm_cpus {
	uint64_t word[GMIG_MAX_CPUS / 64]; /* bit n % 64 of word n / 64: CPU n */
};

/*
 * The CPUs in `mine` of the node nearest to `node` that has any of them: the node itself, as a rule; one without CPUs
 * (CXL), or whose CPUs this process may not use, gives its neighbour's. false: there are none.
 */
bool vmm_pin_choose(const struct gmig_topology *topology, unsigned int node,
		    const struct vmm_cpus *mine, struct vmm_cpus *wanted);
/* Keep the calling thread to them, as far as it may use them. -errno. */
int vmm_pin(const struct gmig_topology *topology, unsigned int node, struct gmig_error *err);

#endif
