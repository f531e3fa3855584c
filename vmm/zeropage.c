#include "zeropage.h"

#include <errno.h>
#include <string.h>

#define LOADER_UNDEFINED 0xff /* type_of_loader of one that has no number of its own */
#define VIDEO_NORMAL	 0xffff

#define E820_RAM      1
#define E820_RESERVED 2
#define E820_ACPI     3

static int e820_add(struct boot_params *params, uint64_t gpa, uint64_t end, uint32_t type)
{
	struct boot_e820_entry *entry = &params->e820_table[params->e820_entries];

	if (end <= gpa)
		return 0;
	if (params->e820_entries == E820_MAX_ENTRIES_ZEROPAGE)
		return -E2BIG;
	*entry = (struct boot_e820_entry){.addr = gpa, .size = end - gpa, .type = type};
	params->e820_entries++;
	return 0;
}

/* Runs of RAM from `gpa` on: adjacent regions become one entry, whatever their vnode (the SRAT has
 * that). */
static int e820_add_ram(struct boot_params *params, const struct bootram *ram, uint64_t gpa)
{
	for (size_t i = 0; i < ram->count; i++) {
		const struct vmm_region *region = &ram->regions[i];
		uint64_t start = region->gpa > gpa ? region->gpa : gpa;
		uint64_t end;
		int ret;

		if (region->gpa + region->bytes <= start)
			continue;
		end = bootram_run_end(ram, start);
		ret = e820_add(params, start, end, E820_RAM);
		if (ret)
			return ret;
		gpa = end;
	}
	return 0;
}

static int e820_build(struct boot_params *params, const struct bootram *ram)
{
	int ret = e820_add(params, 0, ZEROPAGE_LOW_END_GPA, E820_RAM);

	if (!ret)
		ret = e820_add(params, ZEROPAGE_LOW_END_GPA, 0xa0000, E820_RESERVED);
	if (!ret)
		ret = e820_add(params, VMM_ACPI_GPA, VMM_ACPI_GPA + VMM_ACPI_BYTES, E820_ACPI);
	if (!ret)
		ret = e820_add_ram(params, ram, ZEROPAGE_HIGH_GPA);
	if (!ret)
		ret = e820_add(params, VMM_ECAM_GPA, VMM_ECAM_GPA + VMM_ECAM_BYTES, E820_RESERVED);
	/*
	 * KVM uses its TSS (3 pages) and the page below on processors without unrestricted guests.
	 */
	if (!ret)
		ret = e820_add(params, VMM_TSS_GPA - 0x1000, VMM_TSS_GPA + 0x3000, E820_RESERVED);
	return ret;
}

int zeropage_build(const struct zeropage_input *input, struct boot_params *params)
{
	memset(params, 0, sizeof(*params));
	memcpy((uint8_t *)params + BZIMAGE_HEADER_OFFSET, input->image->header,
	       sizeof(input->image->header));
	params->hdr.type_of_loader = LOADER_UNDEFINED;
	params->hdr.loadflags &= (uint8_t)~CAN_USE_HEAP;
	params->hdr.vid_mode = VIDEO_NORMAL;
	params->hdr.code32_start = (uint32_t)input->kernel_gpa;
	params->hdr.cmd_line_ptr = (uint32_t)input->command_line_gpa;
	params->hdr.ramdisk_image = (uint32_t)input->initrd_gpa;
	params->hdr.ramdisk_size = (uint32_t)input->initrd_bytes;
	params->hdr.setup_data = 0; /* a list of addresses, which no file may choose */
	params->acpi_rsdp_addr = input->rsdp_gpa;
	return e820_build(params, &input->ram);
}
