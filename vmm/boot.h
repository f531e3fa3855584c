/*
 * Boot of a Linux guest: bzImage loader, zero page, e820, initial page tables, and the register state of vCPU 0 (64-bit
 * entry of the boot protocol), ACPI tables. Runs once per (re)start on the main thread while no vCPU runs.
 *
 * Source: Documentation/arch/x86/boot.rst; ACPI 6.5 for the tables.
 */
#ifndef VMM_BOOT_H
#define VMM_BOOT_H

#include "options.h"
#include "vmm.h"

struct vmm_boot_entry {
	uint64_t rip, rsi, rsp, cr3; /* long mode, paging on, IF = 0, CS 0x10, DS 0x18 */
	uint64_t gdt_gpa;
	uint16_t gdt_limit;
};

/*
 * Read, check and place kernel, initrd, command line, zero page, GDT and page tables in guest RAM. Nothing in a file is
 * trusted. -ENOEXEC not a kernel (text says why: truncated, no boot sector, too old a protocol, no 64-bit entry, ELF and
 * what to give instead), -ENOMEM does not fit, -EIO.
 */
int vmm_boot_load(const struct vmm *vmm, const struct vmm_options *options,
		  struct vmm_boot_entry *entry, struct gmig_error *err);
/* Checks the files as far as that goes without a guest: called before anything starts. */
int vmm_boot_check(const struct vmm_options *options, struct gmig_error *err);

/* RSDP and tables at VMM_ACPI_GPA; also buildable into a plain buffer for tests and iasl. */
struct acpi_input {
	unsigned int cpus;
	unsigned int node_count;
	uint64_t cpus_of_node[VMM_MAX_VNODES];
	uint8_t distance[VMM_MAX_VNODES][VMM_MAX_VNODES];
	const struct vmm_region *regions;
	size_t region_count;
};
/* -ENOSPC: does not fit into bytes. *used: bytes written. Physical addresses assume buffer[0] is at base_gpa. */
int acpi_build(const struct acpi_input *input, uint64_t base_gpa, uint8_t *buffer, size_t bytes,
	       size_t *used);

/* Fixed hardware (power.c): ports named in the FADT. */
#define VMM_PORT_SLEEP 0x600 /* sleep control; status at +1 */
#define VMM_PORT_RESET 0xcf9
#define VMM_PORT_PMTMR 0x608 /* 32-bit, 3.579545 MHz */

#endif
