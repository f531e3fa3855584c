#include "memory.h"

#include "../core/topology.h"

struct gmig_topology *memory_topology(struct memory *memory)
{
	struct gmig_topology *topology;

	pthread_mutex_lock(&memory->topology_lock);
	topology = gmig_topology_get(memory->topology);
	pthread_mutex_unlock(&memory->topology_lock);
	return topology;
}

/* Whoever looked last may not have looked latest: the higher generation stays, so that it only grows. */
static void adopt(struct memory *memory, struct gmig_topology *fresh)
{
	struct gmig_topology *old = NULL;

	pthread_mutex_lock(&memory->topology_lock);
	if (gmig_topology_generation(fresh) > gmig_topology_generation(memory->topology)) {
		old = memory->topology;
		memory->topology = gmig_topology_get(fresh);
	}
	pthread_mutex_unlock(&memory->topology_lock);
	gmig_topology_put(old);
}

int memory_topology_refresh(struct memory *memory, struct gmig_error *err)
{
	struct gmig_topology *topology = memory_topology(memory), *fresh;
	int ret = gmig_topology_refresh(topology, &fresh, err);

	if (!ret) {
		adopt(memory, fresh);
		gmig_topology_put(fresh);
	}
	gmig_topology_put(topology);
	return ret;
}

int memory_check_target(struct memory *memory, unsigned int node, const char *what,
			struct gmig_error *err)
{
	struct gmig_topology *topology = memory_topology(memory);
	int ret = topology_check_target(topology, NULL, node, what, err);

	gmig_topology_put(topology);
	return ret;
}
