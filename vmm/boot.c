/*
 * Where things go in guest RAM:
 *
 *   0x1000            GDT
 *   0x7000            zero page
 *   0x8000 .. 0x9000  stack, grows down
 *   0x9000 .. 0xf000  page tables: 4 GiB in 2 MiB pages, each at its own address
 *   0x20000 ..        command line
 *   0xe0000 ..        RSDP and ACPI tables
 *   0xffff0           where a PC's firmware starts: a few instructions that request a reset
 *   16 MiB ..         kernel: at the address its header prefers, with init_size bytes reserved
 *   .. 3 GiB          initrd, as high as the kernel allows
 *
 * The kernel copies what it needs of the low part before it uses that memory, and then sets up
 * page tables, GDT and stack of its own.
 */
#include "boot.h"
#include "../migrate/core/whole.h"
#include "cpu_topology.h"

#include "bootram.h"
#include "bzimage.h"
#include "zeropage.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define GDT_GPA		     0x1000ull
#define ZEROPAGE_GPA	     0x7000ull
#define STACK_TOP_GPA	     0x9000ull
#define PAGE_TABLES_GPA	     0x9000ull
#define COMMAND_LINE_GPA     0x20000ull
#define COMMAND_LINE_ROOM    0x10000ull
#define RESET_VECTOR_GPA     0xffff0ull
#define DEFAULT_COMMAND_LINE "console=ttyS0"

#define PAGE_DIRECTORIES 4 /* 1 GiB each */
#define PTE_PRESENT	 (1ull << 0)
#define PTE_WRITE	 (1ull << 1)
#define PTE_HUGE	 (1ull << 7)

#define GDT_ENTRIES 4
#define GDT_CODE64  0x00af9b000000ffffull /* selector 0x10 */
#define GDT_DATA    0x00cf93000000ffffull /* selector 0x18 */

/* What is to be loaded: consistent, and known to fit into low RAM. */
struct boot_plan {
	int kernel_fd, initrd_fd; /* initrd_fd -1: none */
	struct bzimage image;
	const char *command_line;
	uint64_t kernel_gpa;
	uint64_t initrd_gpa, initrd_bytes;
};

static void plan_close(struct boot_plan *plan)
{
	if (plan->kernel_fd >= 0)
		close(plan->kernel_fd);
	if (plan->initrd_fd >= 0)
		close(plan->initrd_fd);
}

#define PLAN_CLEANUP __attribute__((cleanup(plan_close)))

/*
 * *fd and *bytes of a regular file that is not empty. kept: a descriptor of it, or -1. O_NONBLOCK: opening a FIFO must not block.
 */
static int file_open(const char *what, const char *path, int kept, int *fd, uint64_t *bytes,
		     struct gmig_error *err)
{
	struct stat st;
	int ret;

	if (kept >= 0)
		*fd = fcntl(kept, F_DUPFD_CLOEXEC, 0);
	else
		*fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
	if (*fd < 0) {
		ret = -errno;
		return gmig_fail(err, ret, "%s %s: cannot open: %s", what, path, strerror(-ret));
	}
	if (fstat(*fd, &st)) {
		ret = -errno;
		return gmig_fail(err, ret, "%s %s: cannot stat: %s", what, path, strerror(-ret));
	}
	if (S_ISDIR(st.st_mode))
		return gmig_fail(err, -EISDIR, "%s %s: is a directory", what, path);
	if (!S_ISREG(st.st_mode))
		return gmig_fail(err, -ENOEXEC, "%s %s: is not a regular file", what, path);
	*bytes = (uint64_t)st.st_size;
	return 0;
}

static int kernel_open(const char *path, int kept, struct boot_plan *plan, struct gmig_error *err)
{
	uint8_t head[BZIMAGE_HEAD_BYTES] = {0};
	struct gmig_error why;
	uint64_t bytes = 0;
	ssize_t want, got;
	int ret;

	ret = file_open("kernel", path, kept, &plan->kernel_fd, &bytes, err);
	if (ret)
		return ret;
	want = bytes < sizeof(head) ? (ssize_t)bytes : (ssize_t)sizeof(head);
	got = pread_whole(plan->kernel_fd, (char *)head, (size_t)want, 0);
	if (got != want)
		return gmig_fail(err, -EIO, "kernel %s: cannot read: %s", path,
				 got < 0 ? strerror(errno) : "it became shorter");
	ret = bzimage_parse(head, bytes, &plan->image, &why);
	if (ret)
		return gmig_fail(err, ret, "kernel %s: %s", path, why.text);
	return 0;
}

static int initrd_open(const char *path, int kept, struct boot_plan *plan, struct gmig_error *err)
{
	int ret = file_open("initrd", path, kept, &plan->initrd_fd, &plan->initrd_bytes, err);

	if (!ret && !plan->initrd_bytes)
		return gmig_fail(err, -ENOEXEC, "initrd %s: the file is empty", path);
	return ret;
}

static int command_line_check(struct boot_plan *plan, struct gmig_error *err)
{
	uint64_t room = COMMAND_LINE_ROOM - 1;
	size_t length = strlen(plan->command_line);

	if (room > plan->image.command_line_max)
		room = plan->image.command_line_max;
	if (length > room)
		return gmig_fail(err, -E2BIG,
				 "kernel command line of %zu characters: this kernel takes %llu",
				 length, (unsigned long long)room);
	return 0;
}

static uint64_t align_up(uint64_t value, uint64_t align)
{
	return (value + align - 1) & ~(align - 1);
}

/*
 * The address that the header prefers, or, if the RAM ends before it and the kernel is relocatable,
 * the lowest possible one. All sums are far below 2^64: preferred_gpa < 2^52, init_bytes < 2^32.
 */
static int kernel_place(const char *path, uint64_t low_end, struct boot_plan *plan,
			struct gmig_error *err)
{
	const struct bzimage *image = &plan->image;
	uint64_t lowest = align_up(ZEROPAGE_HIGH_GPA, image->align_bytes);

	plan->kernel_gpa = align_up(image->preferred_gpa, image->align_bytes);
	if (plan->kernel_gpa + image->init_bytes > low_end && image->relocatable)
		plan->kernel_gpa = lowest;
	if (plan->kernel_gpa + image->init_bytes <= low_end)
		return 0;
	return gmig_fail(
	    err, -ENOMEM,
	    "kernel %s: wants %llu MiB of memory from %llu MiB on, the guest has %llu MiB "
	    "(below 3 GiB)",
	    path, (unsigned long long)(image->init_bytes + 0xfffff) >> 20,
	    (unsigned long long)plan->kernel_gpa >> 20, (unsigned long long)low_end >> 20);
}

static int initrd_place(const char *path, uint64_t low_end, struct boot_plan *plan,
			struct gmig_error *err)
{
	uint64_t floor = plan->kernel_gpa + plan->image.init_bytes;
	uint64_t end = low_end < plan->image.initrd_end_gpa ? low_end : plan->image.initrd_end_gpa;

	if (plan->initrd_bytes <= end && ((end - plan->initrd_bytes) & ~0xfffull) >= floor) {
		plan->initrd_gpa = (end - plan->initrd_bytes) & ~0xfffull;
		return 0;
	}
	return gmig_fail(
	    err, -ENOMEM,
	    "initrd %s: %llu KiB do not fit between the kernel, which ends at %llu MiB, and "
	    "%llu MiB",
	    path, (unsigned long long)(plan->initrd_bytes + 1023) >> 10,
	    (unsigned long long)floor >> 20, (unsigned long long)end >> 20);
}

/* low_end: where the RAM that starts at 0 ends. plan_close() is correct after any result. */
static int plan_make(const struct vmm_options *options, uint64_t low_end, struct boot_plan *plan,
		     struct gmig_error *err)
{
	int ret;

	*plan = (struct boot_plan){.kernel_fd = -1, .initrd_fd = -1};
	plan->command_line = options->append ? options->append : DEFAULT_COMMAND_LINE;
	ret =
	    kernel_open(options->kernel, options->kernel_kept ? options->kernel_fd : -1, plan, err);
	if (!ret && options->initrd)
		ret = initrd_open(options->initrd, options->kernel_kept ? options->initrd_fd : -1,
				  plan, err);
	if (!ret)
		ret = command_line_check(plan, err);
	if (!ret)
		ret = kernel_place(options->kernel, low_end, plan, err);
	if (!ret && options->initrd)
		ret = initrd_place(options->initrd, low_end, plan, err);
	return ret;
}

int vmm_boot_keep(struct vmm_options *options, struct gmig_error *err)
{
	uint64_t bytes;
	int ret = 0;

	options->kernel_fd = options->initrd_fd = -1;
	if (options->kernel)
		ret = file_open("kernel", options->kernel, -1, &options->kernel_fd, &bytes, err);
	if (!ret && options->initrd)
		ret = file_open("initrd", options->initrd, -1, &options->initrd_fd, &bytes, err);
	options->kernel_kept = !ret;
	return ret;
}

int vmm_boot_check(const struct vmm_options *options, struct gmig_error *err)
{
	PLAN_CLEANUP struct boot_plan plan = {.kernel_fd = -1, .initrd_fd = -1};
	uint64_t low_end = options->mem_bytes;

	if (!options->kernel)
		return 0;
	if (low_end > VMM_HOLE_GPA)
		low_end = VMM_HOLE_GPA;
	return plan_make(options, low_end, &plan, err);
}

/* The text for what bootram_read() returned. */
static int file_result(const char *what, const char *path, int ret, struct gmig_error *err)
{
	if (ret == -ENODATA)
		return gmig_fail(err, -EIO, "%s %s: became shorter while it was read", what, path);
	if (ret)
		return gmig_fail(err, -EIO, "%s %s: cannot read it into the guest: %s", what, path,
				 strerror(-ret));
	return 0;
}

static int load_files(const struct bootram *ram, const struct vmm_options *options,
		      const struct boot_plan *plan, struct gmig_error *err)
{
	int ret;

	ret = bootram_read(ram, plan->kernel_gpa, plan->kernel_fd, plan->image.code_offset,
			   plan->image.code_bytes);
	ret = file_result("kernel", options->kernel, ret, err);
	if (ret || plan->initrd_fd < 0)
		return ret;
	ret = bootram_read(ram, plan->initrd_gpa, plan->initrd_fd, 0, plan->initrd_bytes);
	return file_result("initrd", options->initrd, ret, err);
}

static int write_zeropage(const struct bootram *ram, const struct boot_plan *plan)
{
	const struct zeropage_input input = {
	    .image = &plan->image,
	    .ram = *ram,
	    .kernel_gpa = plan->kernel_gpa,
	    .command_line_gpa = COMMAND_LINE_GPA,
	    .initrd_gpa = plan->initrd_gpa,
	    .initrd_bytes = plan->initrd_bytes,
	    .rsdp_gpa = VMM_ACPI_GPA,
	};
	struct boot_params params;
	int ret;

	ret = zeropage_build(&input, &params);
	if (!ret)
		ret = bootram_write(ram, ZEROPAGE_GPA, &params, sizeof(params));
	if (!ret)
		ret = bootram_write(ram, COMMAND_LINE_GPA, plan->command_line,
				    strlen(plan->command_line) + 1);
	return ret;
}

static int write_page_tables(const struct bootram *ram)
{
	const uint64_t pdpt_gpa = PAGE_TABLES_GPA + 0x1000, pd_gpa = PAGE_TABLES_GPA + 0x2000;
	uint64_t table[512] = {pdpt_gpa | PTE_PRESENT | PTE_WRITE};
	int ret;

	ret = bootram_write(ram, PAGE_TABLES_GPA, table, sizeof(table));
	memset(table, 0, sizeof(table));
	for (unsigned int i = 0; i < PAGE_DIRECTORIES; i++)
		table[i] = (pd_gpa + i * 0x1000ull) | PTE_PRESENT | PTE_WRITE;
	if (!ret)
		ret = bootram_write(ram, pdpt_gpa, table, sizeof(table));
	for (unsigned int i = 0; i < PAGE_DIRECTORIES && !ret; i++) {
		for (unsigned int j = 0; j < 512; j++)
			table[j] = (i * 512ull + j) << 21 | PTE_PRESENT | PTE_WRITE | PTE_HUGE;
		ret = bootram_write(ram, pd_gpa + i * 0x1000ull, table, sizeof(table));
	}
	return ret;
}

static int write_gdt(const struct bootram *ram)
{
	static const uint64_t gdt[GDT_ENTRIES] = {0, 0, GDT_CODE64, GDT_DATA};

	return bootram_write(ram, GDT_GPA, gdt, sizeof(gdt));
}

/*
 * Linux restarts a hardware-reduced machine without EFI like a PC without ACPI: it enters real mode
 * and jumps to F000:FFF0. Only these instructions are there.
 */
static int write_reset_vector(const struct bootram *ram)
{
	/* clang-format off */
	static const uint8_t code[] = {
		0xba, VMM_PORT_RESET & 0xff, VMM_PORT_RESET >> 8, /* mov dx, VMM_PORT_RESET */
		0xb0, 0x06,	/* mov al, 6 */
		0xee,		/* out dx, al */
		0xfa,		/* cli */
		0xf4,		/* hlt */
		0xeb, 0xfc,	/* jmp to cli */
	};
	/* clang-format on */

	return bootram_write(ram, RESET_VECTOR_GPA, code, sizeof(code));
}

static int write_acpi(const struct bootram *ram, const struct vmm_options *options,
		      struct gmig_error *err)
{
	struct acpi_input input = {
	    .cpus = options->cpus,
	    .node_count = options->node_count,
	    .regions = ram->regions,
	    .region_count = ram->count,
	};
	struct cpu_place place[VMM_MAX_VCPUS];
	uint8_t *tables = calloc(1, VMM_ACPI_BYTES);
	size_t used = 0;
	int ret;

	if (!tables)
		return gmig_fail(err, -ENOMEM, "no memory for ACPI tables");
	for (unsigned int i = 0; i < options->node_count; i++)
		input.cpus_of_node[i] = options->node[i].cpus;
	cpu_topology_make(input.cpus, input.cpus_of_node, input.node_count, place);
	for (unsigned int i = 0; i < options->cpus; i++)
		input.apic_id[i] = place[i].apic_id;
	memcpy(input.distance, options->distance, sizeof(input.distance));
	ret = acpi_build(&input, VMM_ACPI_GPA, tables, RESET_VECTOR_GPA - VMM_ACPI_GPA, &used);
	if (!ret)
		ret = bootram_write(ram, VMM_ACPI_GPA, tables, used);
	free(tables);
	if (ret)
		return gmig_fail(err, ret, "cannot build the ACPI tables: %s", strerror(-ret));
	return 0;
}

int vmm_boot_load(const struct vmm *vmm, const struct vmm_options *options,
		  struct vmm_boot_entry *entry, struct gmig_error *err)
{
	PLAN_CLEANUP struct boot_plan plan = {.kernel_fd = -1, .initrd_fd = -1};
	struct bootram ram;
	int ret;

	ram.count = vmm_regions(vmm, &ram.regions);
	ret = plan_make(options, bootram_run_end(&ram, 0), &plan, err);
	if (!ret)
		ret = load_files(&ram, options, &plan, err);
	if (!ret)
		ret = write_acpi(&ram, options, err);
	if (ret)
		return ret;
	ret = write_zeropage(&ram, &plan);
	if (!ret)
		ret = write_page_tables(&ram);
	if (!ret)
		ret = write_gdt(&ram);
	if (!ret)
		ret = write_reset_vector(&ram);
	if (ret)
		return gmig_fail(err, ret, "cannot write the boot data: %s", strerror(-ret));
	*entry = (struct vmm_boot_entry){
	    .rip = plan.kernel_gpa + BZIMAGE_ENTRY_OFFSET,
	    .rsi = ZEROPAGE_GPA,
	    .rsp = STACK_TOP_GPA,
	    .cr3 = PAGE_TABLES_GPA,
	    .gdt_gpa = GDT_GPA,
	    .gdt_limit = GDT_ENTRIES * sizeof(uint64_t) - 1,
	};
	return 0;
}
