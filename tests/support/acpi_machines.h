/* Machines that the ACPI tests describe: shared by test_acpi.c (parsed back) and test_acpi_iasl.c
 * (disassembled). */
#ifndef TEST_ACPI_MACHINES_H
#define TEST_ACPI_MACHINES_H

#include "../../vmm/boot.h"

#define ACPI_MACHINES 6
#define TEST_MIB      (1ull << 20)
#define TEST_GIB      (1ull << 30)

struct acpi_input acpi_machine(unsigned int which);

#endif
