#include "pin.h"

#include <errno.h>
#include <sched.h>
#include <string.h>

bool vmm_pin_choose(const struct gmig_topology *topology, unsigned int node,
		    const struct vmm_cpus *mine, struct vmm_cpus *wanted)
{
	struct gmig_node_set left = *gmig_topology_online(topology);

	while (!gmig_node_set_empty(&left)) {
		unsigned int nearest = gmig_topology_nearest(topology, node, &left);
		uint64_t any = 0;

		gmig_topology_cpus(topology, nearest, wanted->word, GMIG_MAX_CPUS / 64);
		for (unsigned int i = 0; i < GMIG_MAX_CPUS / 64; i++) {
			wanted->word[i] &= mine->word[i];
			any |= wanted->word[i];
		}
		if (any)
			return true;
		gmig_node_set_remove(&left, nearest);
	}
	return false;
}

int vmm_pin(const struct gmig_topology *topology, unsigned int node, struct gmig_error *err)
{
	/* A cpu_set_t ends at CPU 1023; the calls take one of any size, in longs. */
	struct vmm_cpus mine = {{0}}, wanted;

	if (sched_getaffinity(0, sizeof(mine), (cpu_set_t *)mine.word))
		return gmig_fail(err, -errno, "sched_getaffinity(2): %s", strerror(errno));
	if (!vmm_pin_choose(topology, node, &mine, &wanted))
		return gmig_fail(err, -ENODEV, "no node has a CPU that this process may use");
	if (sched_setaffinity(0, sizeof(wanted), (const cpu_set_t *)wanted.word))
		return gmig_fail(err, -errno, "sched_setaffinity(2): %s", strerror(errno));
	return 0;
}
