/* See cpu_topology.h. */
#include "cpu_topology.h"

#include <errno.h>

/* On AMD's family 17h, models 0 to 1fh, Linux takes each 8 APIC ids for one last-level cache, whatever
 * CPUID says: two packages must not share them. */
#define LEAST_IDS 8

static unsigned int bits_for(unsigned int count)
{
	unsigned int bits = 0;

	while (1u << bits < count)
		bits++;
	return bits;
}

/* The CPUs of the vnode that has this one. */
static uint64_t siblings_of(unsigned int cpu, const uint64_t *cpus_of_node, unsigned int node_count)
{
	for (unsigned int node = 0; node < node_count; node++)
		if (cpus_of_node[node] >> cpu & 1)
			return cpus_of_node[node];
	return 1ull << cpu;
}

static unsigned int count_below(uint64_t mask, unsigned int cpu)
{
	return (unsigned int)__builtin_popcountll(mask & ((1ull << cpu) - 1));
}

int cpu_topology_make(unsigned int cpus, const uint64_t *cpus_of_node, unsigned int node_count,
		      struct cpu_place *place)
{
	unsigned int packages = 0, largest = 1;

	for (unsigned int cpu = 0; cpu < cpus; cpu++) {
		uint64_t siblings = siblings_of(cpu, cpus_of_node, node_count);
		unsigned int first = (unsigned int)__builtin_ctzll(siblings);

		place[cpu].core = count_below(siblings, cpu);
		place[cpu].cores = (unsigned int)__builtin_popcountll(siblings);
		place[cpu].package = first == cpu ? packages++ : place[first].package;
		if (place[cpu].cores > largest)
			largest = place[cpu].cores;
	}
	if (packages > 1 && largest < LEAST_IDS)
		largest = LEAST_IDS;
	for (unsigned int cpu = 0; cpu < cpus; cpu++) {
		place[cpu].core_bits = bits_for(largest);
		place[cpu].apic_id = place[cpu].package << place[cpu].core_bits | place[cpu].core;
		if (place[cpu].apic_id > CPU_MAX_APIC_ID)
			return -ERANGE;
	}
	return 0;
}
