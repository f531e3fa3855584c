/* Sets of CPUs of the host, and which of them are a node's. Pure; any thread. */
#ifndef VMM_PIN_H
#define VMM_PIN_H

#include "../migrate/gmig.h"

struct vmm_cpus {
	uint64_t word[GMIG_MAX_CPUS / 64]; /* bit n % 64 of word n / 64: CPU n */
};

bool vmm_cpus_has(const struct vmm_cpus *cpus, unsigned int cpu);
unsigned int vmm_cpus_count(const struct vmm_cpus *cpus);
bool vmm_cpus_equal(const struct vmm_cpus *a, const struct vmm_cpus *b);
/* into = into AND other, into OR other; and: whether any is left. */
bool vmm_cpus_and(struct vmm_cpus *into, const struct vmm_cpus *other);
void vmm_cpus_or(struct vmm_cpus *into, const struct vmm_cpus *other);
/*
 * "0,2-3", the List format of cpuset(7). -EINVAL: not such a list, or an empty one; -ERANGE: a CPU from GMIG_MAX_CPUS
 * on. *cpus is then undefined.
 */
int vmm_cpus_parse(const char *text, struct vmm_cpus *cpus, struct gmig_error *err);
/* The same text, "" for none; cut at a comma and ended by "..." when it does not fit. Returns text. */
const char *vmm_cpus_print(const struct vmm_cpus *cpus, char *text, size_t bytes);

/* All CPUs of these nodes. */
void vmm_cpus_of_nodes(const struct gmig_topology *topology, const struct gmig_node_set *nodes,
		       struct vmm_cpus *cpus);
/* The nodes that have any of these CPUs. */
struct gmig_node_set vmm_cpus_nodes(const struct gmig_topology *topology,
				    const struct vmm_cpus *cpus);
/*
 * The CPUs in `mine` of the nearest node to `node` that has any of them. This is usually the node
 * itself; a node without CPUs (CXL), or with none that this process may use, gets its neighbour's.
 * false: there are none.
 */
bool vmm_pin_choose(const struct gmig_topology *topology, unsigned int node,
		    const struct vmm_cpus *mine, struct vmm_cpus *wanted);

#endif
