/*
 * What does not change while a guest runs (which nodes, how far, which CPUs) is read once;
 * libnuma's functions for it are not all thread-safe. Free memory is read each time.
 */
#include "../gmig.h"

#include <errno.h>
#include <numa.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define LOCAL_DISTANCE	10 /* as ACPI's SLIT has them */
#define REMOTE_DISTANCE 20
#define CPU_WORDS	128 /* 8192 CPUs, Linux's limit on x86 */
#define CPUS		(CPU_WORDS * 64)

struct gmig_topology {
	bool fake;
	bool host_has_numa;
	struct gmig_node_set nodes;
	uint8_t distance[GMIG_MAX_NODES][GMIG_MAX_NODES];
	uint64_t cpus[GMIG_MAX_NODES][CPU_WORDS];
};

static void set_cpu(uint64_t *mask, unsigned int cpu)
{
	mask[cpu / 64] |= 1ull << (cpu % 64);
}

static bool has_cpu(const uint64_t *mask, unsigned int cpu)
{
	return mask[cpu / 64] >> (cpu % 64) & 1;
}

/* Without NUMA in the kernel: one node with everything. */
static void read_flat(struct gmig_topology *topology)
{
	long count = sysconf(_SC_NPROCESSORS_CONF);

	gmig_node_set_add(&topology->nodes, 0);
	topology->distance[0][0] = LOCAL_DISTANCE;
	for (long cpu = 0; cpu < count && cpu < CPUS; cpu++)
		set_cpu(topology->cpus[0], (unsigned int)cpu);
}

static uint8_t read_distance(unsigned int a, unsigned int b)
{
	int distance = numa_distance((int)a, (int)b);

	/* 0: the kernel does not say. */
	if (distance <= 0 || distance > UINT8_MAX)
		return a == b ? LOCAL_DISTANCE : REMOTE_DISTANCE;
	return (uint8_t)distance;
}

static int read_cpus(unsigned int node, uint64_t *mask)
{
	struct bitmask *cpus = numa_allocate_cpumask();

	if (!cpus)
		return -ENOMEM;
	if (!numa_node_to_cpus((int)node, cpus)) {
		for (unsigned int cpu = 0; cpu < cpus->size && cpu < CPUS; cpu++) {
			if (numa_bitmask_isbitset(cpus, cpu))
				set_cpu(mask, cpu);
		}
	}
	numa_free_cpumask(cpus);
	return 0;
}

static int read_host(struct gmig_topology *topology)
{
	int max, ret;

	topology->host_has_numa = numa_available() >= 0;
	if (!topology->host_has_numa) {
		read_flat(topology);
		return 0;
	}
	max = numa_max_node();
	for (int node = 0; node <= max && node < (int)GMIG_MAX_NODES; node++) {
		if (!numa_bitmask_isbitset(numa_nodes_ptr, (unsigned int)node) ||
		    numa_node_size64(node, NULL) <= 0)
			continue;
		gmig_node_set_add(&topology->nodes, (unsigned int)node);
		ret = read_cpus((unsigned int)node, topology->cpus[node]);
		if (ret)
			return ret;
		for (int other = 0; other <= max && other < (int)GMIG_MAX_NODES; other++)
			topology->distance[node][other] =
			    read_distance((unsigned int)node, (unsigned int)other);
	}
	return gmig_node_set_empty(&topology->nodes) ? -ENODEV : 0;
}

/* Spread the host's CPUs over the fake nodes; with fewer CPUs than nodes, nodes share one. */
static void spread_cpus(struct gmig_topology *topology, const uint64_t *host, unsigned int count)
{
	unsigned int cpus = 0, nth = 0;

	for (unsigned int cpu = 0; cpu < CPUS; cpu++)
		cpus += has_cpu(host, cpu);
	for (unsigned int cpu = 0; cpu < CPUS; cpu++) {
		if (!has_cpu(host, cpu))
			continue;
		for (unsigned int node = nth % count; node < count; node += cpus)
			set_cpu(topology->cpus[node], cpu);
		nth++;
	}
}

static void pretend(struct gmig_topology *topology, unsigned int count)
{
	uint64_t host[CPU_WORDS] = {0};

	for (unsigned int node = 0; node < GMIG_MAX_NODES; node++) {
		for (unsigned int word = 0; word < CPU_WORDS; word++)
			host[word] |= topology->cpus[node][word];
	}
	memset(topology->cpus, 0, sizeof(topology->cpus));
	memset(topology->distance, 0, sizeof(topology->distance));
	topology->fake = true;
	memset(&topology->nodes, 0, sizeof(topology->nodes));
	for (unsigned int node = 0; node < count; node++)
		gmig_node_set_add(&topology->nodes, node);
	for (unsigned int a = 0; a < count; a++) {
		for (unsigned int b = 0; b < count; b++)
			topology->distance[a][b] = a == b ? LOCAL_DISTANCE : REMOTE_DISTANCE;
	}
	spread_cpus(topology, host, count);
}

int gmig_topology_create(unsigned int fake_nodes, struct gmig_topology **out,
			 struct gmig_error *err)
{
	struct gmig_topology *topology;
	int ret;

	if (fake_nodes > GMIG_MAX_NODES)
		return gmig_fail(err, -EINVAL, "%u fake nodes are more than %u", fake_nodes,
				 GMIG_MAX_NODES);
	topology = calloc(1, sizeof(*topology));
	if (!topology)
		return gmig_fail(err, -ENOMEM, "no memory for the list of nodes");
	ret = read_host(topology);
	if (ret) {
		free(topology);
		return gmig_fail(err, ret,
				 ret == -ENOMEM ? "no memory for the list of nodes"
						: "this host shows no node with memory");
	}
	if (fake_nodes)
		pretend(topology, fake_nodes);
	*out = topology;
	return 0;
}

void gmig_topology_destroy(struct gmig_topology *topology)
{
	free(topology);
}

bool gmig_topology_is_fake(const struct gmig_topology *topology)
{
	return topology->fake;
}

const struct gmig_node_set *gmig_topology_nodes(const struct gmig_topology *topology)
{
	return &topology->nodes;
}

static bool is_there(const struct gmig_topology *topology, unsigned int node)
{
	return gmig_node_set_has(&topology->nodes, node);
}

unsigned int gmig_topology_distance(const struct gmig_topology *topology, unsigned int a,
				    unsigned int b)
{
	if (!is_there(topology, a) || !is_there(topology, b))
		return 0;
	return topology->distance[a][b];
}

static void host_memory(uint64_t *total, uint64_t *free_now)
{
	uint64_t page = (uint64_t)sysconf(_SC_PAGESIZE);

	*total = (uint64_t)sysconf(_SC_PHYS_PAGES) * page;
	*free_now = (uint64_t)sysconf(_SC_AVPHYS_PAGES) * page;
}

static void node_memory(const struct gmig_topology *topology, unsigned int node, uint64_t *total,
			uint64_t *free_now)
{
	long long node_free = 0, size;

	*total = 0;
	*free_now = 0;
	if (!is_there(topology, node))
		return;
	if (topology->fake || !topology->host_has_numa) {
		host_memory(total, free_now);
		return;
	}
	size = numa_node_size64((int)node, &node_free);
	if (size > 0) {
		*total = (uint64_t)size;
		*free_now = node_free > 0 ? (uint64_t)node_free : 0;
	}
}

uint64_t gmig_topology_total_bytes(const struct gmig_topology *topology, unsigned int node)
{
	uint64_t total, free_now;

	node_memory(topology, node, &total, &free_now);
	return total;
}

uint64_t gmig_topology_free_bytes(const struct gmig_topology *topology, unsigned int node)
{
	uint64_t total, free_now;

	node_memory(topology, node, &total, &free_now);
	return free_now;
}

void gmig_topology_cpus(const struct gmig_topology *topology, unsigned int node, uint64_t *mask,
			size_t words)
{
	memset(mask, 0, words * sizeof(*mask));
	if (is_there(topology, node))
		memcpy(mask, topology->cpus[node],
		       (words < CPU_WORDS ? words : CPU_WORDS) * sizeof(*mask));
}
