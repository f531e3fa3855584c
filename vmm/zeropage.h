/*
 * The zero page (struct boot_params): it gives the kernel its memory map, command line, initrd and
 * ACPI tables. Pure.
 *
 * Source: Documentation/arch/x86/zero-page.rst.
 */
#ifndef VMM_ZEROPAGE_H
#define VMM_ZEROPAGE_H

#include "bootram.h"
#include "bzimage.h"

#include <asm/bootparam.h>

#define ZEROPAGE_LOW_END_GPA                                                                       \
	0x9fc00ull /* where a PC's extended BIOS data begins: the end of low RAM */
#define ZEROPAGE_HIGH_GPA 0x100000ull

struct zeropage_input {
	const struct bzimage *image;
	struct bootram ram;
	uint64_t kernel_gpa;
	uint64_t command_line_gpa; /* below 4 GiB, as the next two */
	uint64_t initrd_gpa, initrd_bytes;
	uint64_t rsdp_gpa;
};

/* -E2BIG: more runs of RAM than the zero page can name. */
int zeropage_build(const struct zeropage_input *input, struct boot_params *params);

#endif
