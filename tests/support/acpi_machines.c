#include "acpi_machines.h"

#include "../../vmm/cpu_topology.h"

#include <stdlib.h>

struct acpi_input acpi_machine(unsigned int which)
{
	static const struct vmm_region one[] = {{0, 0, 512 * TEST_MIB, NULL}};
	/* Node 1 is split around the hole, node 2 has no CPUs. */
	static const struct vmm_region split[] = {
	    {0, 0, 2 * TEST_GIB, NULL},
	    {1, 2 * TEST_GIB, TEST_GIB, NULL},
	    {1, VMM_HOLE_END_GPA, 3 * TEST_GIB, NULL},
	    {2, VMM_HOLE_END_GPA + 3 * TEST_GIB, 2 * TEST_MIB, NULL},
	    {3, VMM_HOLE_END_GPA + 3 * TEST_GIB + 2 * TEST_MIB, TEST_GIB, NULL},
	};
	static const struct vmm_region eight[] = {
	    {0, 0, TEST_MIB * 2, NULL},
	    {1, TEST_MIB * 2, TEST_MIB * 2, NULL},
	    {2, TEST_MIB * 4, TEST_MIB * 2, NULL},
	    {3, TEST_MIB * 6, TEST_MIB * 2, NULL},
	    {4, TEST_MIB * 8, TEST_MIB * 2, NULL},
	    {5, TEST_MIB * 10, TEST_MIB * 2, NULL},
	    {6, TEST_MIB * 12, TEST_MIB * 2, NULL},
	    {7, TEST_MIB * 14, TEST_MIB * 2, NULL},
	};
	/* Unequal vnodes, gaps in the lists of CPUs, distances that differ by direction. */
	static const struct vmm_region uneven[] = {
	    {0, 0, TEST_GIB, NULL},
	    {1, TEST_GIB, 2 * TEST_GIB, NULL},
	    {2, VMM_HOLE_END_GPA, 3 * TEST_GIB, NULL},
	};
	/* Node 0 has only CPUs, node 2 only memory. */
	static const struct vmm_region apart[] = {
	    {1, 0, TEST_GIB, NULL},
	    {2, TEST_GIB, TEST_GIB, NULL},
	};
	static const struct acpi_input machines[ACPI_MACHINES] = {
	    {.cpus = 1,
	     .node_count = 1,
	     .cpus_of_node = {1},
	     .distance = {{10}},
	     .regions = one,
	     .region_count = 1},
	    {.cpus = 4,
	     .node_count = 4,
	     .cpus_of_node = {0x5, 0x2, 0, 0x8},
	     .distance = {{10, 21, 31, 41}, {21, 10, 22, 32}, {31, 22, 10, 23}, {42, 32, 23, 10}},
	     .regions = split,
	     .region_count = 5},
	    {.cpus = 8, .node_count = 8, .regions = eight, .region_count = 8},
	    {.cpus = 12,
	     .node_count = 3,
	     .cpus_of_node = {0x207, 0x1d8, 0xc20},
	     .distance = {{10, 15, 20}, {20, 10, 25}, {25, 30, 10}},
	     .regions = uneven,
	     .region_count = 3},
	    {.cpus = 4,
	     .node_count = 3,
	     .cpus_of_node = {0x3, 0xc, 0},
	     .distance = {{10, 20, 255}, {20, 10, 20}, {255, 20, 10}},
	     .regions = apart,
	     .region_count = 2},
	    {.cpus = 64,
	     .node_count = 2,
	     .cpus_of_node = {0xffffffff, 0xffffffff00000000},
	     .distance = {{10, 20}, {20, 10}},
	     .regions = uneven,
	     .region_count = 2},
	};
	struct acpi_input input = machines[which];
	struct cpu_place place[VMM_MAX_VCPUS];

	for (unsigned int a = 0; which == 2 && a < 8; a++) {
		input.cpus_of_node[a] = 0x80ull >> a;
		for (unsigned int b = 0; b < 8; b++)
			input.distance[a][b] =
			    a == b ? 10 : (uint8_t)(20 + 30 * (a > b ? a - b : b - a));
	}
	if (cpu_topology_make(input.cpus, input.cpus_of_node, input.node_count, place))
		abort();
	for (unsigned int cpu = 0; cpu < input.cpus; cpu++)
		input.apic_id[cpu] = place[cpu].apic_id;
	return input;
}
