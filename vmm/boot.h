/*
 * Boot of a Linux guest: bzImage loader, zero page, e820, initial page tables, ACPI tables, and the
 * register state of vCPU 0 (64-bit entry of the boot protocol). Runs on the main thread at each
 * start and reset, while no vCPU runs.
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
 * Read and check kernel and initrd, and place them in guest RAM with command line, zero page, GDT
 * and page tables. Nothing in a file is trusted. -ENOEXEC: not a kernel (the text says why:
 * truncated, no boot sector, protocol too old, no 64-bit entry, an ELF file and what to use
 * instead); -ENOMEM: it does not fit; -EIO.
 */
int vmm_boot_load(const struct vmm *vmm, const struct vmm_options *options,
		  struct vmm_boot_entry *entry, struct gmig_error *err);
/*
 * Keep kernel and initrd open: a reset loads the files that the VM started with, whatever has taken their places since, and in a
 * sandbox, which opens nothing. For good. Errors as vmm_boot_load, for files that cannot be opened.
 */
int vmm_boot_keep(struct vmm_options *options, struct gmig_error *err);
/* Checks the files as far as possible without a guest; called before anything starts. */
int vmm_boot_check(const struct vmm_options *options, struct gmig_error *err);

/* RSDP and tables at VMM_ACPI_GPA. They can also be built into a buffer, for tests and iasl. */
struct acpi_input {
	unsigned int cpus;
	unsigned int node_count;
	uint64_t cpus_of_node[VMM_MAX_VNODES];
	uint8_t distance[VMM_MAX_VNODES][VMM_MAX_VNODES];
	const struct vmm_region *regions;
	size_t region_count;
	uint32_t apic_id[VMM_MAX_VCPUS]; /* at most CPU_MAX_APIC_ID */
};
/* -ENOSPC: they do not fit. *used: bytes written. Physical addresses assume that buffer[0] is at
 * base_gpa. */
int acpi_build(const struct acpi_input *input, uint64_t base_gpa, uint8_t *buffer, size_t bytes,
	       size_t *used);

/* Fixed hardware (power.c): ports named in the FADT. */
#define VMM_PORT_SLEEP 0x600 /* sleep control; status at +1 */
#define VMM_PORT_RESET 0xcf9
#define VMM_PORT_PMTMR 0x608 /* 32-bit, 3.579545 MHz */

#endif
