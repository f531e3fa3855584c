#include "toucher.h"

#include "../core/topology.h"

#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

#define PROCESSOR 39 /* its field in a stat file */

/* -errno: nobody knows. */
static int last_cpu(const struct gmig_sys *sys, int tid)
{
	char name[40], text[1024], *at;
	ssize_t got;
	int fd;

	snprintf(name, sizeof(name), "task/%d/stat", tid);
	fd = sys->open_proc(getpid(), name);
	if (fd < 0)
		return fd;
	got = gmig_sys_read_whole(sys, fd, text, sizeof(text) - 1);
	sys->close(fd);
	text[got < 0 ? 0 : got] = '\0';
	/* The second field, a name in brackets, may have blanks and brackets. */
	at = strrchr(text, ')');
	for (unsigned int field = 2; at && field < PROCESSOR; field++)
		at = strchr(at + 1, ' ');
	return at ? atoi(at) : -EIO;
}

static unsigned int node_of_cpu(struct gmig *gmig, unsigned int cpu)
{
	struct gmig_topology *topology = memory_topology(&gmig->memory);
	struct gmig_node_set nodes = *gmig_topology_nodes(topology);
	unsigned int found = GMIG_NO_NODE;

	gmig_node_set_each (node, &nodes) {
		uint64_t cpus[TOPOLOGY_CPU_WORDS];

		gmig_topology_cpus(topology, node, cpus, TOPOLOGY_CPU_WORDS);
		if (found == GMIG_NO_NODE && cpu < GMIG_MAX_CPUS && cpus[cpu / 64] >> cpu % 64 & 1)
			found = node;
	}
	gmig_topology_put(topology);
	return found;
}

static unsigned int node_of_thread(struct gmig *gmig, int tid)
{
	int cpu = tid ? last_cpu(gmig->sys, tid) : -ESRCH;

	return cpu < 0 ? GMIG_NO_NODE : node_of_cpu(gmig, (unsigned int)cpu);
}

unsigned int toucher_node(struct gmig *gmig, const struct region *region, int tid)
{
	const struct thread_list *list = atomic_load(&gmig->vnodes[region->vnode].threads);
	unsigned int count = list ? atomic_load(&list->count) : 0;
	unsigned int node = node_of_thread(gmig, tid);

	for (unsigned int i = 0; node == GMIG_NO_NODE && i < count; i++)
		node = node_of_thread(gmig, list->tid[i]);
	return node == GMIG_NO_NODE ? atomic_load(&region->preferred_node) : node;
}
