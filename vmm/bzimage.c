#include "bzimage.h"

#include <asm/bootparam.h>
#include <errno.h>
#include <string.h>

#define SECTOR_BYTES	  512ull
#define PARAGRAPH_BYTES	  16ull /* the unit of syssize */
#define DEFAULT_SECTS	  4u	/* what setup_sects 0 means */
#define BOOT_FLAG	  0xaa55u
#define HEADER_MAGIC	  0x53726448u /* "HdrS" */
#define OLDEST_PROTOCOL	  0x020cu
#define HEADER_NEEDED_END (offsetof(struct boot_params, hdr.init_size) + sizeof(uint32_t))
#define LOWEST_LOAD_GPA	  0x100000ull
#define LARGEST_ALIGN	  (1ull << 30)

/* Files that people pass by mistake, recognized by their first bytes. */
static const struct {
	const char *magic;
	size_t bytes;
	const char *what;
} mistakes[] = {
    {"\177ELF", 4,
     "an ELF file (vmlinux), which is not what a distribution boots: give its bzImage "
     "(/boot/vmlinuz-*) instead"},
    {"\x1f\x8b", 2, "gzip-compressed: give the bzImage itself, not a compressed copy or an initrd"},
    {"\3757zXZ", 5, "xz-compressed: give the bzImage itself, not a compressed copy"},
    {"\x28\xb5\x2f\xfd", 4,
     "zstd-compressed: give the bzImage itself, not a compressed copy or an initrd"},
    {"070701", 6, "a cpio archive: it looks like the initrd, not the kernel"},
    {"!<arch>\n", 8, "a package or ar archive: unpack the bzImage from it first"},
};

static int check_kind(const uint8_t *head, uint64_t file_bytes, struct gmig_error *err)
{
	if (!file_bytes)
		return gmig_fail(err, -ENOEXEC, "the file is empty");
	for (size_t i = 0; i < sizeof(mistakes) / sizeof(mistakes[0]); i++) {
		if (file_bytes < mistakes[i].bytes ||
		    memcmp(head, mistakes[i].magic, mistakes[i].bytes) != 0)
			continue;
		return gmig_fail(err, -ENOEXEC, "this is %s", mistakes[i].what);
	}
	return 0;
}

static int check_protocol(const struct setup_header *hdr, struct gmig_error *err)
{
	if (hdr->boot_flag != BOOT_FLAG)
		return gmig_fail(
		    err, -ENOEXEC,
		    "no boot sector: 0x%04x instead of 0xaa55 at byte 510, so no x86 kernel",
		    hdr->boot_flag);
	if (hdr->header != HEADER_MAGIC)
		return gmig_fail(
		    err, -ENOEXEC,
		    "no \"HdrS\" at byte 0x202: a boot sector, but not a Linux kernel");
	if (hdr->version < OLDEST_PROTOCOL)
		return gmig_fail(err, -ENOEXEC,
				 "boot protocol %u.%02u is too old, 2.12 (Linux 3.8) is needed",
				 hdr->version >> 8, hdr->version & 0xff);
	if (!(hdr->loadflags & LOADED_HIGH))
		return gmig_fail(err, -ENOEXEC,
				 "a zImage that loads below 1 MiB, a bzImage is needed");
	if (!(hdr->xloadflags & XLF_KERNEL_64))
		return gmig_fail(err, -ENOEXEC,
				 "no 64-bit entry point: a 32-bit kernel, give one for amd64");
	return 0;
}

/* Do the parts of the file end before the file does? */
static int check_extent(const struct setup_header *hdr, uint64_t file_bytes, struct bzimage *image,
			struct gmig_error *err)
{
	unsigned int sects = hdr->setup_sects ? hdr->setup_sects : DEFAULT_SECTS;
	uint64_t told_bytes = hdr->syssize * PARAGRAPH_BYTES;

	image->code_offset = (sects + 1) * SECTOR_BYTES;
	if (image->code_offset >= file_bytes)
		return gmig_fail(
		    err, -ENOEXEC, "truncated: %u setup sectors reach byte %llu, the file has %llu",
		    sects, (unsigned long long)image->code_offset, (unsigned long long)file_bytes);
	image->code_bytes = file_bytes - image->code_offset;
	if (!told_bytes)
		return gmig_fail(err, -ENOEXEC,
				 "the header says the kernel has no code (syssize 0)");
	if (told_bytes > image->code_bytes)
		return gmig_fail(
		    err, -ENOEXEC, "truncated: the kernel has %llu bytes of code, the file %llu",
		    (unsigned long long)told_bytes, (unsigned long long)image->code_bytes);
	if (told_bytes <= BZIMAGE_ENTRY_OFFSET)
		return gmig_fail(err, -ENOEXEC,
				 "the kernel's %llu bytes of code end before its entry point",
				 (unsigned long long)told_bytes);
	if ((uint64_t)hdr->payload_offset + hdr->payload_length > image->code_bytes)
		return gmig_fail(err, -ENOEXEC,
				 "payload of %u bytes at %u lies beyond the end of the file",
				 hdr->payload_length, hdr->payload_offset);
	return 0;
}

static int check_placement(const struct setup_header *hdr, struct bzimage *image,
			   struct gmig_error *err)
{
	image->preferred_gpa = hdr->pref_address;
	image->align_bytes = hdr->kernel_alignment;
	image->init_bytes = hdr->init_size;
	image->relocatable = hdr->relocatable_kernel;
	image->initrd_end_gpa = (uint64_t)hdr->initrd_addr_max + 1;
	image->command_line_max = hdr->cmdline_size;
	if (!image->align_bytes || image->align_bytes & (image->align_bytes - 1) ||
	    image->align_bytes > LARGEST_ALIGN)
		return gmig_fail(err, -ENOEXEC,
				 "kernel alignment 0x%llx is not a power of two up to 1 GiB",
				 (unsigned long long)image->align_bytes);
	if (image->init_bytes < image->code_bytes)
		return gmig_fail(
		    err, -ENOEXEC, "wants %llu bytes of memory (init_size), less than its own %llu",
		    (unsigned long long)image->init_bytes, (unsigned long long)image->code_bytes);
	if (image->preferred_gpa < LOWEST_LOAD_GPA || image->preferred_gpa >> 52)
		return gmig_fail(err, -ENOEXEC,
				 "wants to be loaded at 0x%llx, which is no RAM above 1 MiB",
				 (unsigned long long)image->preferred_gpa);
	if (!image->command_line_max)
		return gmig_fail(err, -ENOEXEC, "takes no command line (cmdline_size 0)");
	return 0;
}

int bzimage_parse(const uint8_t *head, uint64_t file_bytes, struct bzimage *image,
		  struct gmig_error *err)
{
	struct setup_header hdr;
	uint64_t header_end;
	int ret;

	memset(image, 0, sizeof(*image));
	ret = check_kind(head, file_bytes, err);
	if (ret)
		return ret;
	if (file_bytes < BZIMAGE_HEAD_BYTES)
		return gmig_fail(err, -ENOEXEC, "truncated: %llu bytes cannot hold a boot header",
				 (unsigned long long)file_bytes);
	memcpy(&hdr, head + BZIMAGE_HEADER_OFFSET, sizeof(hdr));
	ret = check_protocol(&hdr, err);
	if (ret)
		return ret;
	/* Only the displacement of the jump says where the header ends. */
	header_end = offsetof(struct boot_params, hdr.header) + (hdr.jump >> 8);
	if (header_end < HEADER_NEEDED_END)
		return gmig_fail(err, -ENOEXEC,
				 "boot header ends at byte 0x%llx, too early for protocol %u.%02u",
				 (unsigned long long)header_end, hdr.version >> 8,
				 hdr.version & 0xff);
	if (header_end > BZIMAGE_HEAD_BYTES)
		header_end = BZIMAGE_HEAD_BYTES;
	ret = check_extent(&hdr, file_bytes, image, err);
	if (!ret)
		ret = check_placement(&hdr, image, err);
	if (ret)
		return ret;
	memcpy(image->header, head + BZIMAGE_HEADER_OFFSET, header_end - BZIMAGE_HEADER_OFFSET);
	return 0;
}
