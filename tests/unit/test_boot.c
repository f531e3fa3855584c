/* bzImage parser, zero page, placement and loader, against crafted kernels and a guest RAM of plain
 * memory. */
#include "../../vmm/boot.h"
#include "../../vmm/bootram.h"
#include "../../vmm/bzimage.h"
#include "../../vmm/zeropage.h"

#include <check.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#define MIB		  (1ull << 20)
#define KERNEL_BYTES	  0x12000u /* 5 sectors of setup code, the rest is loaded */
#define KERNEL_CODE	  2560u
#define KERNEL_CODE_BYTES (KERNEL_BYTES - KERNEL_CODE)
#define KERNEL_INIT_BYTES (20 * MIB)
#define MANY		  64

/* The guest: these stand in for memory.c's, so that no engine and no KVM is needed. */
struct vmm {
	struct vmm_region region[3];
	size_t count;
};

size_t vmm_regions(const struct vmm *vmm, const struct vmm_region **regions)
{
	*regions = vmm->region;
	return vmm->count;
}

static uint8_t kernel[KERNEL_BYTES];
static char directory[] = "/tmp/gmig-test-boot-XXXXXX";
static char kernel_path[64], initrd_path[64];

static void poke(uint64_t offset, unsigned int bytes, uint64_t value)
{
	memcpy(kernel + offset, &value, bytes);
}

static void make_kernel(void)
{
	for (unsigned int i = 0; i < KERNEL_BYTES; i++)
		kernel[i] = (uint8_t)(i * 7 + (i >> 8));
	memset(kernel, 0, KERNEL_CODE);
	poke(0x1f1, 1, 4);			     /* setup_sects */
	poke(0x1f4, 4, KERNEL_CODE_BYTES / 16 - 16); /* syssize: a signature may follow */
	poke(0x1fe, 2, 0xaa55);
	poke(0x200, 2, 0x6aeb); /* jump to 0x26c: the end of the header */
	memcpy(kernel + 0x202, "HdrS", 4);
	poke(0x206, 2, 0x20f);
	poke(0x211, 1, 1);
	poke(0x22c, 4, 0x7fffffff); /* initrd_addr_max */
	poke(0x230, 4, 2 * MIB);    /* alignment */
	poke(0x234, 1, 1);	    /* relocatable */
	poke(0x236, 2, 0x7f);
	poke(0x238, 4, 2047); /* cmdline_size */
	poke(0x248, 4, 0x100);
	poke(0x24c, 4, 0x1000);
	poke(0x250, 8, 0xdeadbeef); /* setup_data */
	poke(0x258, 8, 16 * MIB);   /* pref_address */
	poke(0x260, 4, KERNEL_INIT_BYTES);
}

static void write_file(const char *path, const void *data, size_t bytes)
{
	int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);

	ck_assert_int_ge(fd, 0);
	ck_assert_int_eq(write(fd, data, bytes), bytes);
	close(fd);
}

static void setup(void)
{
	make_kernel();
	strcpy(directory + sizeof(directory) - 7, "XXXXXX");
	ck_assert_ptr_nonnull(mkdtemp(directory));
	snprintf(kernel_path, sizeof(kernel_path), "%s/kernel", directory);
	snprintf(initrd_path, sizeof(initrd_path), "%s/initrd", directory);
}

static void teardown(void)
{
	unlink(kernel_path);
	unlink(initrd_path);
	rmdir(directory);
}

/* ---- What is wrong with a kernel ---- */

static const struct bad_kernel {
	uint64_t file_bytes; /* 0: all */
	uint64_t offset;
	unsigned int bytes;
	uint64_t value;
	const char *text; /* a part of what must be said */
} bad_kernels[] = {
    {1, 0, 1, 0, "1 bytes cannot hold"},
    {0x28f, 0, 1, 0, "655 bytes cannot hold"},
    {0, 0, 4, 0x464c457f, "ELF"},
    {3, 0, 3, 0x088b1f, "gzip"},
    {0, 0, 6, 0x5a587a37fd, "xz-compressed"},
    {0, 0, 4, 0xfd2fb528, "zstd"},
    {0, 0, 6, 0x313037303730, "cpio"},
    {0, 0, 8, 0x0a3e686372613c21, "ar archive"},
    {0, 0x1fe, 2, 0x55aa, "0x55aa instead of 0xaa55"},
    {0, 0x202, 4, 0x12345678, "HdrS"},
    {0, 0x206, 2, 0x20b, "protocol 2.11 is too old"},
    {0, 0x206, 2, 0, "protocol 0.00 is too old"},
    {0, 0x211, 1, 0, "zImage"},
    {0, 0x236, 2, 0x7e, "32-bit kernel"},
    {0, 0x201, 1, 0x10, "header ends at byte 0x212"},
    {0, 0x201, 1, 0x61, "header ends at byte 0x263"},
    {0, 0x1f1, 1, 255, "255 setup sectors reach byte 131072"},
    {0xa00, 0, 1, 0, "4 setup sectors reach byte 2560, the file has 2560"},
    {0, 0x1f4, 4, 0, "syssize 0"},
    {0, 0x1f4, 4, 0xffffffff, "68719476720 bytes of code"},
    {KERNEL_BYTES - 4096, 0, 1, 0, "truncated: the kernel has 70912 bytes of code, the file 67072"},
    {0, 0x1f4, 4, 32, "512 bytes of code end before its entry"},
    {0, 0x248, 4, 0xffffffff, "payload of 4096 bytes at 4294967295"},
    {0, 0x24c, 4, 0xfffffff0, "payload of 4294967280 bytes at 256"},
    {0, 0x230, 4, 0, "alignment 0x0 "},
    {0, 0x230, 4, 0x300000, "alignment 0x300000 "},
    {0, 0x230, 4, 0x80000000, "alignment 0x80000000 "},
    {0, 0x260, 4, 0, "wants 0 bytes of memory"},
    {0, 0x260, 4, KERNEL_CODE_BYTES - 1, "less than its own 71168"},
    {0, 0x258, 8, 0, "loaded at 0x0,"},
    {0, 0x258, 8, 0xffffffffffe00000, "loaded at 0xffffffffffe00000,"},
    {0, 0x238, 4, 0, "cmdline_size 0"},
};

static int parse_bad(const struct bad_kernel *bad, struct gmig_error *err)
{
	uint8_t head[BZIMAGE_HEAD_BYTES] = {0};
	uint64_t bytes = bad->file_bytes ? bad->file_bytes : KERNEL_BYTES;
	struct bzimage image;

	make_kernel();
	poke(bad->offset, bad->bytes, bad->value);
	memcpy(head, kernel, bytes < sizeof(head) ? bytes : sizeof(head));
	return bzimage_parse(head, bytes, &image, err);
}

START_TEST(kernel_that_is_spoiled_is_refused_with_the_reason)
{
	const struct bad_kernel *bad = &bad_kernels[_i];
	struct gmig_error err = {0};

	ck_assert_int_eq(parse_bad(bad, &err), -ENOEXEC);
	ck_assert_int_eq(err.code, -ENOEXEC);
	ck_assert_msg(strstr(err.text, bad->text), "'%s' is not in '%s'", bad->text, err.text);
}
END_TEST

START_TEST(kernel_refusals_are_all_different)
{
	static char text[MANY][GMIG_ERROR_TEXT];
	const size_t count = sizeof(bad_kernels) / sizeof(bad_kernels[0]);
	struct gmig_error err;

	for (size_t i = 0; i < count; i++) {
		parse_bad(&bad_kernels[i], &err);
		strcpy(text[i], err.text);
		for (size_t j = 0; j < i; j++)
			ck_assert_str_ne(text[i], text[j]);
	}
}
END_TEST

START_TEST(kernel_header_of_any_single_wild_byte_is_parsed_or_refused)
{
	struct bzimage image;
	struct gmig_error err;

	for (unsigned int offset = 0x1f1; offset < BZIMAGE_HEAD_BYTES; offset++) {
		make_kernel();
		for (unsigned int value = 0; value < 256; value++) {
			poke(offset, 1, value);
			if (bzimage_parse(kernel, KERNEL_BYTES, &image, &err))
				continue;
			ck_assert_uint_lt(image.code_offset, KERNEL_BYTES);
			ck_assert_uint_eq(image.code_offset + image.code_bytes, KERNEL_BYTES);
			ck_assert_uint_ge(image.init_bytes, image.code_bytes);
		}
	}
}
END_TEST

START_TEST(kernel_header_is_read_as_written)
{
	struct bzimage image;

	ck_assert_int_eq(bzimage_parse(kernel, KERNEL_BYTES, &image, NULL), 0);
	ck_assert_uint_eq(image.code_offset, KERNEL_CODE);
	ck_assert_uint_eq(image.code_bytes, KERNEL_CODE_BYTES);
	ck_assert_uint_eq(image.preferred_gpa, 16 * MIB);
	ck_assert_uint_eq(image.align_bytes, 2 * MIB);
	ck_assert_uint_eq(image.init_bytes, KERNEL_INIT_BYTES);
	ck_assert(image.relocatable);
	ck_assert_uint_eq(image.initrd_end_gpa, 0x80000000);
	ck_assert_uint_eq(image.command_line_max, 2047);
	ck_assert_mem_eq(image.header, kernel + 0x1f1, 0x26c - 0x1f1);
	for (unsigned int i = 0x26c; i < 0x290; i++)
		ck_assert_uint_eq(image.header[i - 0x1f1], 0);
}
END_TEST

START_TEST(kernel_with_setup_sects_zero_has_four)
{
	struct bzimage image;

	poke(0x1f1, 1, 0);
	ck_assert_int_eq(bzimage_parse(kernel, KERNEL_BYTES, &image, NULL), 0);
	ck_assert_uint_eq(image.code_offset, KERNEL_CODE);
}
END_TEST

/* ---- Guest RAM ---- */

static struct vmm guest;

static void map_region(unsigned int vnode, uint64_t gpa, uint64_t bytes)
{
	void *hva = mmap(NULL, bytes, PROT_READ | PROT_WRITE,
			 MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

	ck_assert_ptr_ne(hva, MAP_FAILED);
	guest.region[guest.count++] = (struct vmm_region){vnode, gpa, bytes, hva};
}

/* Low RAM of 60 MiB in two vnodes, the border in the middle of the kernel; 4 MiB above the hole. */
static void guest_setup(void)
{
	setup();
	guest.count = 0;
	map_region(0, 0, 16 * MIB + 0x8000);
	map_region(1, 16 * MIB + 0x8000, 44 * MIB - 0x8000);
	map_region(1, VMM_HOLE_END_GPA, 4 * MIB);
}

static void guest_teardown(void)
{
	while (guest.count) {
		guest.count--;
		munmap(guest.region[guest.count].hva, guest.region[guest.count].bytes);
	}
	teardown();
}

static uint8_t *at(uint64_t gpa)
{
	for (size_t i = 0; i < guest.count; i++) {
		if (gpa - guest.region[i].gpa < guest.region[i].bytes)
			return guest.region[i].hva + (gpa - guest.region[i].gpa);
	}
	ck_abort_msg("0x%llx is no RAM", (unsigned long long)gpa);
	return NULL;
}

static struct bootram guest_ram(void)
{
	return (struct bootram){guest.region, guest.count};
}

START_TEST(ram_run_ends_at_the_first_gap)
{
	const struct bootram ram = guest_ram();

	ck_assert_uint_eq(bootram_run_end(&ram, 0), 60 * MIB);
	ck_assert_uint_eq(bootram_run_end(&ram, 60 * MIB), 60 * MIB);
	ck_assert_uint_eq(bootram_run_end(&ram, VMM_HOLE_END_GPA + 1), VMM_HOLE_END_GPA + 4 * MIB);
}
END_TEST

START_TEST(ram_write_over_the_end_writes_nothing)
{
	const struct bootram ram = guest_ram();
	static const uint8_t data[16] = {1, 2, 3};

	ck_assert_int_eq(bootram_write(&ram, 60 * MIB - 8, data, 16), -EFAULT);
	ck_assert_int_eq(bootram_zero(&ram, UINT64_MAX - 4, 16), -EFAULT);
	ck_assert_int_eq(bootram_write(&ram, 0, data, UINT64_MAX), -EFAULT);
	ck_assert_int_eq(bootram_read(&ram, VMM_HOLE_GPA, 0, 0, 16), -EFAULT);
	ck_assert_uint_eq(*at(60 * MIB - 8), 0);
}
END_TEST

START_TEST(ram_write_crosses_regions)
{
	const struct bootram ram = guest_ram();
	uint8_t data[8] = {1, 2, 3, 4, 5, 6, 7, 8};

	ck_assert_int_eq(bootram_write(&ram, 16 * MIB + 0x7ffc, data, 8), 0);
	ck_assert_mem_eq(at(16 * MIB + 0x7ffc), data, 4);
	ck_assert_mem_eq(at(16 * MIB + 0x8000), data + 4, 4);
	ck_assert_int_eq(bootram_zero(&ram, 16 * MIB + 0x7fff, 2), 0);
	ck_assert_uint_eq(*at(16 * MIB + 0x7ffe), 3);
	ck_assert_uint_eq(*at(16 * MIB + 0x7fff), 0);
	ck_assert_uint_eq(*at(16 * MIB + 0x8000), 0);
	ck_assert_uint_eq(*at(16 * MIB + 0x8001), 6);
}
END_TEST

/* ---- What a set of options can be booted with ---- */

static struct vmm_options options_for_60_mib(void)
{
	static struct vmm_options options;

	memset(&options, 0, sizeof(options));
	options.cpus = 2;
	options.mem_bytes = 60 * MIB;
	options.node_count = 2;
	options.node[0].cpus = 1;
	options.node[1].cpus = 2;
	options.distance[0][0] = options.distance[1][1] = 10;
	options.distance[0][1] = options.distance[1][0] = 20;
	options.kernel = kernel_path;
	return options;
}

enum bad_option {
	KERNEL_MISSING,
	KERNEL_DIRECTORY,
	KERNEL_FIFO,
	KERNEL_EMPTY,
	KERNEL_SPOILED,
	KERNEL_WANTS_ALL,
	KERNEL_WANTS_FAR,
	RAM_TOO_SMALL,
	INITRD_MISSING,
	INITRD_DIRECTORY,
	INITRD_FIFO,
	INITRD_EMPTY,
	INITRD_TOO_BIG,
	INITRD_NO_ROOM_BELOW_ITS_LIMIT,
	COMMAND_LINE_TOO_LONG,
	BAD_OPTIONS,
};

static const struct {
	int code;
	const char *text;
} bad_option_results[BAD_OPTIONS] = {
    [KERNEL_MISSING] = {-ENOENT, "cannot open: No such file"},
    [KERNEL_DIRECTORY] = {-EISDIR, "is a directory"},
    [KERNEL_FIFO] = {-ENOEXEC, "is not a regular file"},
    [KERNEL_EMPTY] = {-ENOEXEC, "the file is empty"},
    [KERNEL_SPOILED] = {-ENOEXEC, "too old"},
    [KERNEL_WANTS_ALL] = {-ENOMEM, "wants 4096 MiB of memory from 2 MiB on, the guest has 60 MiB"},
    [KERNEL_WANTS_FAR] = {-ENOMEM, "wants 20 MiB of memory from 1048576 MiB on"},
    [RAM_TOO_SMALL] = {-ENOMEM, "from 2 MiB on, the guest has 16 MiB"},
    [INITRD_MISSING] = {-ENOENT, "initrd /nowhere/at/all: cannot open: No such file"},
    [INITRD_DIRECTORY] = {-EISDIR, "initrd /: is a directory"},
    [INITRD_FIFO] = {-ENOEXEC, "initrd: is not a regular file"},
    [INITRD_EMPTY] = {-ENOEXEC, "initrd: the file is empty"},
    [INITRD_TOO_BIG] = {-ENOMEM,
			"25600 KiB do not fit between the kernel, which ends at 36 MiB, and 60"},
    [INITRD_NO_ROOM_BELOW_ITS_LIMIT] = {-ENOMEM,
					"1 KiB do not fit between the kernel, which ends at "
					"36 MiB, and 32"},
    [COMMAND_LINE_TOO_LONG] = {-E2BIG, "2048 characters: this kernel takes 2047"},
};

static char long_line[2049];

static void spoil_kernel(enum bad_option which)
{
	if (which == KERNEL_SPOILED)
		poke(0x206, 2, 0x201);
	if (which == KERNEL_WANTS_ALL)
		poke(0x260, 4, 0xffffffff);
	if (which == KERNEL_WANTS_FAR) {
		poke(0x258, 8, 1ull << 40);
		poke(0x234, 1, 0);
	}
	if (which == INITRD_NO_ROOM_BELOW_ITS_LIMIT)
		poke(0x22c, 4, 32 * MIB - 1);
	write_file(kernel_path, kernel, which == KERNEL_EMPTY ? 0 : sizeof(kernel));
}

static int check_bad_option(enum bad_option which, struct gmig_error *err)
{
	struct vmm_options options = options_for_60_mib();

	make_kernel();
	spoil_kernel(which);
	if (which == KERNEL_MISSING)
		options.kernel = "/nowhere/at/all";
	if (which == KERNEL_DIRECTORY)
		options.kernel = directory;
	if (which == KERNEL_FIFO || which == INITRD_FIFO)
		ck_assert_int_eq(mkfifo(initrd_path, 0600), 0);
	else if (which >= INITRD_EMPTY)
		write_file(initrd_path, "x", which == INITRD_EMPTY ? 0 : 1);
	if (which == KERNEL_FIFO)
		options.kernel = initrd_path;
	if (which == RAM_TOO_SMALL)
		options.mem_bytes = 16 * MIB;
	if (which >= INITRD_MISSING)
		options.initrd = initrd_path;
	if (which == INITRD_MISSING)
		options.initrd = "/nowhere/at/all";
	if (which == INITRD_DIRECTORY)
		options.initrd = "/";
	if (which == INITRD_TOO_BIG)
		ck_assert_int_eq(truncate(initrd_path, 25 * MIB), 0);
	memset(long_line, 'a', sizeof(long_line) - 1);
	if (which == COMMAND_LINE_TOO_LONG)
		options.append = long_line;
	return vmm_boot_check(&options, err);
}

START_TEST(option_that_cannot_be_booted_is_refused_with_the_reason)
{
	struct gmig_error err = {0};

	ck_assert_int_eq(check_bad_option((enum bad_option)_i, &err), bad_option_results[_i].code);
	ck_assert_msg(strstr(err.text, bad_option_results[_i].text), "'%s' is not in '%s'",
		      bad_option_results[_i].text, err.text);
}
END_TEST

START_TEST(option_that_can_be_booted_passes)
{
	struct vmm_options options = options_for_60_mib();

	write_file(kernel_path, kernel, sizeof(kernel));
	ck_assert_int_eq(vmm_boot_check(&options, NULL), 0);
	write_file(initrd_path, "x", 1);
	options.initrd = initrd_path;
	ck_assert_int_eq(truncate(initrd_path, 24 * MIB), 0); /* exactly */
	options.append = long_line;
	memset(long_line, 'a', 2047);
	long_line[2047] = 0;
	ck_assert_int_eq(vmm_boot_check(&options, NULL), 0);
	options.kernel = NULL;
	ck_assert_int_eq(vmm_boot_check(&options, NULL), 0);
}
END_TEST

/* ---- Loading ---- */

static uint64_t table_entry(uint64_t table_gpa, unsigned int index)
{
	uint64_t entry;

	memcpy(&entry, at(table_gpa + index * 8ull), sizeof(entry));
	return entry;
}

START_TEST(loader_puts_kernel_and_initrd_where_the_header_wants_them)
{
	struct vmm_options options = options_for_60_mib();
	struct vmm_boot_entry entry;
	struct boot_params params;
	static char initrd[5000];

	memset(initrd, 'i', sizeof(initrd));
	write_file(kernel_path, kernel, sizeof(kernel));
	write_file(initrd_path, initrd, sizeof(initrd));
	options.initrd = initrd_path;
	options.append = "console=ttyS0 quiet";
	ck_assert_int_eq(vmm_boot_load(&guest, &options, &entry, NULL), 0);
	ck_assert_uint_eq(entry.rip, 16 * MIB + 0x200);
	for (unsigned int i = 0; i < KERNEL_CODE_BYTES; i++) /* crosses the regions' border */
		ck_assert_uint_eq(*at(16 * MIB + i), kernel[KERNEL_CODE + i]);
	memcpy(&params, at(entry.rsi), sizeof(params));
	ck_assert_uint_eq(params.hdr.ramdisk_image, 60 * MIB - 8192);
	ck_assert_uint_eq(params.hdr.ramdisk_size, sizeof(initrd));
	ck_assert_mem_eq(at(params.hdr.ramdisk_image), initrd, sizeof(initrd));
	ck_assert_str_eq((char *)at(params.hdr.cmd_line_ptr), "console=ttyS0 quiet");
	ck_assert_uint_eq(params.hdr.type_of_loader, 0xff);
	ck_assert_uint_eq(params.hdr.setup_data, 0);
	ck_assert_uint_eq(params.hdr.version, 0x20f);
	ck_assert_uint_eq(params.acpi_rsdp_addr, VMM_ACPI_GPA);
	ck_assert_mem_eq(at(VMM_ACPI_GPA), "RSD PTR ", 8);
}
END_TEST

START_TEST(loader_maps_four_gib_at_their_own_addresses)
{
	struct vmm_options options = options_for_60_mib();
	struct vmm_boot_entry entry;
	uint64_t pdpt, pd;

	write_file(kernel_path, kernel, sizeof(kernel));
	ck_assert_int_eq(vmm_boot_load(&guest, &options, &entry, NULL), 0);
	ck_assert_uint_eq(table_entry(entry.cr3, 0) & 0xfff, 3);
	ck_assert_uint_eq(table_entry(entry.cr3, 1), 0);
	pdpt = table_entry(entry.cr3, 0) & ~0xfffull;
	ck_assert_uint_eq(table_entry(pdpt, 4), 0);
	for (unsigned int i = 0; i < 2048; i++) {
		pd = table_entry(pdpt, i / 512);
		ck_assert_uint_eq(pd & 0xfff, 3);
		ck_assert_uint_eq(table_entry(pd & ~0xfffull, i % 512), i * 2 * MIB | 0x83);
	}
	ck_assert_uint_eq(entry.gdt_limit, 31);
	ck_assert_uint_eq(table_entry(entry.gdt_gpa, 2), 0x00af9b000000ffff);
	ck_assert_uint_eq(table_entry(entry.gdt_gpa, 3), 0x00cf93000000ffff);
	ck_assert_uint_lt(entry.rsp, 0x9fc00);
}
END_TEST

START_TEST(loader_tells_the_kernel_its_memory)
{
	static const struct boot_e820_entry wanted[] = {
	    {0, 0x9fc00, 1},
	    {0x9fc00, 0x400, 2},
	    {VMM_ACPI_GPA, VMM_ACPI_BYTES, 3},
	    {MIB, 59 * MIB, 1},
	    {VMM_HOLE_END_GPA, 4 * MIB, 1},
	    {VMM_ECAM_GPA, VMM_ECAM_BYTES, 2},
	    {VMM_TSS_GPA - 0x1000, 0x4000, 2},
	};
	struct vmm_options options = options_for_60_mib();
	struct vmm_boot_entry entry;
	struct boot_params params;

	write_file(kernel_path, kernel, sizeof(kernel));
	ck_assert_int_eq(vmm_boot_load(&guest, &options, &entry, NULL), 0);
	memcpy(&params, at(entry.rsi), sizeof(params));
	ck_assert_uint_eq(params.e820_entries, sizeof(wanted) / sizeof(wanted[0]));
	ck_assert_mem_eq(params.e820_table, wanted, sizeof(wanted));
	ck_assert_str_eq((char *)at(params.hdr.cmd_line_ptr), "console=ttyS0");
	ck_assert_uint_eq(params.hdr.ramdisk_image, 0);
	ck_assert_uint_eq(params.hdr.ramdisk_size, 0);
}
END_TEST

/* mov dx, 0xcf9; mov al, 6; out dx, al */
START_TEST(loader_leaves_a_reset_where_firmware_would_start)
{
	static const uint8_t code[] = {0xba, 0xf9, 0x0c, 0xb0, 6, 0xee};
	struct vmm_options options = options_for_60_mib();
	struct vmm_boot_entry entry;

	write_file(kernel_path, kernel, sizeof(kernel));
	ck_assert_int_eq(vmm_boot_load(&guest, &options, &entry, NULL), 0);
	ck_assert_mem_eq(at(0xffff0), code, sizeof(code));
}
END_TEST

START_TEST(loader_moves_a_relocatable_kernel_down_when_ram_ends_early)
{
	struct vmm_options options = options_for_60_mib();
	struct vmm_boot_entry entry;

	poke(0x258, 8, 48 * MIB);
	write_file(kernel_path, kernel, sizeof(kernel));
	ck_assert_int_eq(vmm_boot_load(&guest, &options, &entry, NULL), 0);
	ck_assert_uint_eq(entry.rip, 2 * MIB + 0x200);
	poke(0x258, 8, 17 * MIB); /* not a multiple of the alignment */
	write_file(kernel_path, kernel, sizeof(kernel));
	ck_assert_int_eq(vmm_boot_load(&guest, &options, &entry, NULL), 0);
	ck_assert_uint_eq(entry.rip, 18 * MIB + 0x200);
}
END_TEST

START_TEST(loader_leaves_guest_alone_when_the_file_went_bad_since_the_check)
{
	struct vmm_options options = options_for_60_mib();
	struct vmm_boot_entry entry;
	struct gmig_error err;

	write_file(kernel_path, kernel, sizeof(kernel));
	ck_assert_int_eq(vmm_boot_check(&options, NULL), 0);
	write_file(kernel_path, kernel, 4096);
	ck_assert_int_eq(vmm_boot_load(&guest, &options, &entry, &err), -ENOEXEC);
	ck_assert_uint_eq(*at(16 * MIB), 0);
	ck_assert_uint_eq(*at(0x7000 + 0x1fe), 0);
}
END_TEST

/* A reset in a sandbox, or after an update of the kernel on the host. */
START_TEST(loader_keeps_to_the_files_that_were_there_at_the_start)
{
	struct vmm_options options = options_for_60_mib(), late;
	struct vmm_boot_entry entry;
	struct gmig_error err;

	write_file(kernel_path, kernel, sizeof(kernel));
	write_file(initrd_path, "first", 5);
	options.initrd = initrd_path;
	late = options;
	ck_assert_int_eq(vmm_boot_keep(&options, NULL), 0);
	ck_assert_int_eq(unlink(kernel_path), 0);
	ck_assert_int_eq(unlink(initrd_path), 0);
	write_file(initrd_path, "other", 5);
	ck_assert_int_eq(vmm_boot_load(&guest, &late, &entry, &err), -ENOENT);
	for (int i = 0; i < 2; i++) {
		ck_assert_msg(!vmm_boot_load(&guest, &options, &entry, &err), "%s", err.text);
		ck_assert_mem_eq(at(60 * MIB - 4096), "first", 5);
	}
	close(options.kernel_fd);
	close(options.initrd_fd);
	ck_assert_int_eq(vmm_boot_keep(&late, &err), -ENOENT);
}
END_TEST

START_TEST(zeropage_with_more_runs_than_it_can_name_is_refused)
{
	static struct vmm_region regions[200];
	struct zeropage_input input = {.ram = {regions, 200}};
	struct boot_params params;
	struct bzimage image;

	for (unsigned int i = 0; i < 200; i++)
		regions[i] = (struct vmm_region){0, i * 4 * MIB, 2 * MIB, (uint8_t *)1};
	ck_assert_int_eq(bzimage_parse(kernel, KERNEL_BYTES, &image, NULL), 0);
	input.image = &image;
	ck_assert_int_eq(zeropage_build(&input, &params), -E2BIG);
	input.ram.count = 100;
	ck_assert_int_eq(zeropage_build(&input, &params), 0);
	ck_assert_uint_eq(params.e820_entries, 105);
}
END_TEST

int main(void)
{
	const int bad_count = sizeof(bad_kernels) / sizeof(bad_kernels[0]);
	Suite *suite = suite_create("boot");
	TCase *parse = tcase_create("bzimage"), *load = tcase_create("load");
	SRunner *runner;
	int failed;

	tcase_add_checked_fixture(parse, setup, teardown);
	tcase_add_loop_test(parse, kernel_that_is_spoiled_is_refused_with_the_reason, 0, bad_count);
	tcase_add_test(parse, kernel_refusals_are_all_different);
	tcase_add_test(parse, kernel_header_of_any_single_wild_byte_is_parsed_or_refused);
	tcase_add_test(parse, kernel_header_is_read_as_written);
	tcase_add_test(parse, kernel_with_setup_sects_zero_has_four);
	tcase_add_loop_test(parse, option_that_cannot_be_booted_is_refused_with_the_reason, 0,
			    BAD_OPTIONS);
	tcase_add_test(parse, option_that_can_be_booted_passes);
	tcase_add_test(parse, zeropage_with_more_runs_than_it_can_name_is_refused);
	tcase_set_timeout(parse, 60);
	suite_add_tcase(suite, parse);
	tcase_add_checked_fixture(load, guest_setup, guest_teardown);
	tcase_add_test(load, ram_run_ends_at_the_first_gap);
	tcase_add_test(load, ram_write_over_the_end_writes_nothing);
	tcase_add_test(load, ram_write_crosses_regions);
	tcase_add_test(load, loader_puts_kernel_and_initrd_where_the_header_wants_them);
	tcase_add_test(load, loader_maps_four_gib_at_their_own_addresses);
	tcase_add_test(load, loader_tells_the_kernel_its_memory);
	tcase_add_test(load, loader_leaves_a_reset_where_firmware_would_start);
	tcase_add_test(load, loader_moves_a_relocatable_kernel_down_when_ram_ends_early);
	tcase_add_test(load, loader_leaves_guest_alone_when_the_file_went_bad_since_the_check);
	tcase_add_test(load, loader_keeps_to_the_files_that_were_there_at_the_start);
	suite_add_tcase(suite, load);
	runner = srunner_create(suite);
	srunner_run_all(runner, CK_ENV);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed ? 1 : 0;
}
