#include "acpi_machines.h"

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
	struct acpi_input input = {0};

	switch (which) {
	case 0:
		input = (struct acpi_input){1, 1, {1}, {{10}}, one, 1};
		break;
	case 1:
		input = (struct acpi_input){
		    4,
		    4,
		    {0x5, 0x2, 0, 0x8},
		    {{10, 21, 31, 41}, {21, 10, 22, 32}, {31, 22, 10, 23}, {42, 32, 23, 10}},
		    split,
		    5,
		};
		break;
	default:
		input = (struct acpi_input){
		    .cpus = 8, .node_count = 8, .regions = eight, .region_count = 8};
		for (unsigned int a = 0; a < 8; a++) {
			input.cpus_of_node[a] = 0x80ull >> a;
			for (unsigned int b = 0; b < 8; b++)
				input.distance[a][b] =
				    a == b ? 10 : (uint8_t)(20 + 30 * (a > b ? a - b : b - a));
		}
	}
	return input;
}
