/*
 * How the guest's CPUs are arranged: each vnode that has CPUs is a package (socket) of its own, with
 * a last-level cache of its own. So packages and caches never span vnodes, which Linux takes for a
 * broken SRAT. Pure.
 *
 * The APIC id is the number of the package above the number of the core; the bits of the core are as
 * many as the largest package needs, at least 3 if there are several. Packages count in the order of their first CPU: CPU 0, which
 * boots, has APIC id 0.
 *
 * Source: Intel SDM 3A, 10.9 (hierarchical ids); AMD APM 3, E.4.7 (80000008h, ApicIdCoreIdSize).
 */
#ifndef VMM_CPU_TOPOLOGY_H
#define VMM_CPU_TOPOLOGY_H

#include "vmm.h"

#define CPU_MAX_APIC_ID 254u /* 255 is broadcast; above it, interrupts need remapping */

struct cpu_place {
	uint32_t apic_id;
	unsigned int package, core;
	unsigned int cores; /* of the package */
	unsigned int core_bits;
};

/*
 * place[0..cpus). cpus_of_node: bit masks that cover each CPU once. -ERANGE: an APIC id would be
 * over CPU_MAX_APIC_ID (many vnodes, one of them with many CPUs).
 */
int cpu_topology_make(unsigned int cpus, const uint64_t *cpus_of_node, unsigned int node_count,
		      struct cpu_place *place);

#endif
