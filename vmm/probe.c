#include "probe.h"

#include "internal.h"
#include "probe_abi.h"
#include "vcpu.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <time.h>

_Static_assert(offsetof(struct probe_stats, expect_va) == STATS_EXPECT, "probe_abi.h");
_Static_assert(offsetof(struct probe_stats, filled) == STATS_FILLED, "probe_abi.h");
_Static_assert(offsetof(struct probe_stats, errors) == STATS_ERRORS, "probe_abi.h");
_Static_assert(offsetof(struct probe_stats, gap_max_tsc) == STATS_GAP_MAX, "probe_abi.h");
_Static_assert(offsetof(struct probe_stats, interrupts) == STATS_INTERRUPTS, "probe_abi.h");
_Static_assert(offsetof(struct probe_stats, gap) == STATS_GAPS, "probe_abi.h");
_Static_assert(sizeof(struct probe_stats) <= PROBE_STATS_BYTES, "probe_abi.h");
_Static_assert(PROBE_STACK_GPA + VMM_MAX_VCPUS * PROBE_STACK_BYTES <= PROBE_TABLES_GPA,
	       "probe_abi.h");
_Static_assert(VMM_MAX_VCPUS *PROBE_STATS_BYTES <= GMIG_BLOCK_BYTES, "probe_abi.h");
_Static_assert((int)VMM_LOAD_WRITE == PROBE_WRITE && (int)VMM_LOAD_IDLE == PROBE_IDLE &&
		   (int)VMM_LOAD_RANDOM == PROBE_RANDOM && (int)VMM_LOAD_READ == PROBE_READ &&
		   (int)VMM_LOAD_HALF == PROBE_HALF,
	       "probe_abi.h");

extern const uint8_t probe_code[];
extern const uint64_t probe_code_bytes, probe_code_interrupt;

#define RFLAGS_FIXED  0x2ull
#define RFLAGS_IF     0x200ull
#define RFLAGS_IOPL_3 0x3000ull

#define PTE_TABLE 0x27ull /* present, write, user, accessed */
#define PTE_BLOCK 0xe7ull /* present, write, user, accessed, dirty, 2M */
#define PTE_PCD	  0x10ull

#define GIB	      (1ull << 30)
#define STI_BATCHES   64 /* 1024 pages: some 20 us of a sweep, about twice what the exit costs */
#define IDLE_SLEEP_NS 1000000l
#define TABLE_BYTES   4096ull
#define STATS_SLOT    500 /* KVM's; RAM has the first ones */
#define MAX_PROBE_RAM_BYTES                                                                        \
	(509 * GIB) /* one PML4 entry, less the hole and the blocks above the RAM */

/*
 * The guest's linear memory is the RAM without the hole: linear address 3 GiB is gpa 4 GiB. The
 * block above it is the local APIC, and the one above that has the statistics.
 */
#define EXTRA_BLOCKS 2

struct probe_layout {
	uint64_t linear_bytes;
	uint64_t tables_gpa, tables_bytes, expect_va, expect_bytes;
	uint64_t first_page, pages; /* the pages that are swept */
};

struct probe {
	struct vmm *vmm;
	struct probe_layout layout;
	uint32_t tsc_khz;
	bool populated;
	uint8_t *stats; /* of all vCPUs */
	pthread_mutex_t lock;
	uint64_t gap_before[PROBE_GAP_BUCKETS]; /* guarded by lock: the histogram at the last reset
						   of it */
};

static void lay_out(const struct vmm_options *options, struct probe_layout *layout)
{
	uint64_t directories;

	layout->linear_bytes = options->mem_bytes;
	directories = (options->mem_bytes + EXTRA_BLOCKS * GMIG_BLOCK_BYTES + GIB - 1) / GIB;
	layout->tables_gpa = PROBE_TABLES_GPA;
	layout->tables_bytes = (2 + directories) * TABLE_BYTES;
	layout->expect_va = layout->tables_gpa + layout->tables_bytes;
	layout->expect_bytes = options->mem_bytes / GMIG_PAGE_BYTES * 4;
	layout->first_page =
	    (layout->expect_va + layout->expect_bytes + GMIG_PAGE_BYTES - 1) / GMIG_PAGE_BYTES;
	layout->pages = 0;
	if (options->mem_bytes / GMIG_PAGE_BYTES > layout->first_page)
		layout->pages = options->mem_bytes / GMIG_PAGE_BYTES - layout->first_page;
}

int probe_check(const struct vmm_options *options, struct gmig_error *err)
{
	struct probe_layout layout;

	if (options->mem_bytes > MAX_PROBE_RAM_BYTES)
		return gmig_fail(err, -EINVAL,
				 "the probe guest has page tables for at most %llu GiB of memory",
				 MAX_PROBE_RAM_BYTES / GIB);
	lay_out(options, &layout);
	if (layout.pages < options->cpus)
		return gmig_fail(err, -EINVAL, "the probe guest needs more than %llu MiB of memory",
				 (unsigned long long)options->mem_bytes >> 20);
	return 0;
}

/* ---- From linear addresses to memory --------------------------------------------------------- */

static uint64_t linear_to_gpa(uint64_t linear)
{
	return linear < VMM_HOLE_GPA ? linear : linear - VMM_HOLE_GPA + VMM_HOLE_END_GPA;
}

/* Regions and the hole end at multiples of 2 MiB, so a range within one block is contiguous. */
static void *linear_ptr(const struct probe *probe, uint64_t linear, uint64_t bytes)
{
	return vmm_guest_ptr(probe->vmm, linear_to_gpa(linear), bytes);
}

static volatile struct probe_stats *stats_of(const struct probe *probe, unsigned int cpu)
{
	return (volatile struct probe_stats *)(probe->stats + (size_t)cpu * PROBE_STATS_BYTES);
}

static volatile uint32_t *expect_of(const struct probe *probe, uint64_t page)
{
	return linear_ptr(probe, probe->layout.expect_va + page * 4, 4);
}

/* ---- The sleep port -------------------------------------------------------------------------- */

static void sleep_port(void *opaque, uint64_t offset, uint8_t *data, unsigned int bytes, bool write)
{
	struct timespec millisecond = {.tv_nsec = IDLE_SLEEP_NS};

	(void)opaque;
	(void)offset;
	(void)data;
	(void)bytes;
	if (write)
		nanosleep(&millisecond, NULL); /* a kick ends it early */
}

/*
 * A paravirtual KVM that runs ring 3 natively loses RFLAGS.IF as soon as the guest runs, because
 * the hardware's IF is the host's. The guest requests it again at intervals. Elsewhere IF is set
 * already.
 */
static void sti_port(void *opaque, uint64_t offset, uint8_t *data, unsigned int bytes, bool write)
{
	struct probe *probe = opaque;
	struct vmm_vcpu *vcpu;
	struct kvm_regs regs;

	(void)offset;
	(void)bytes;
	if (!write || data[0] >= probe->vmm->options.cpus)
		return;
	vcpu = &probe->vmm->vcpu[data[0]];
	if (!pthread_equal(vcpu->thread, pthread_self()) || ioctl(vcpu->fd, KVM_GET_REGS, &regs) ||
	    regs.rflags & RFLAGS_IF)
		return;
	regs.rflags |= RFLAGS_IF;
	ioctl(vcpu->fd, KVM_SET_REGS, &regs);
}

static size_t stats_bytes(const struct probe *probe)
{
	return (size_t)probe->vmm->options.cpus * PROBE_STATS_BYTES;
}

/* Beside guest RAM: libgmig does not know of it. */
static int plug_stats(struct probe *probe, struct gmig_error *err)
{
	struct kvm_userspace_memory_region slot = {.slot = STATS_SLOT,
						   .guest_phys_addr = PROBE_STATS_GPA,
						   .memory_size = stats_bytes(probe)};
	void *stats = mmap(NULL, stats_bytes(probe), PROT_READ | PROT_WRITE,
			   MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	if (stats == MAP_FAILED)
		return gmig_fail(err, -errno, "no memory for the probe guest's statistics: %s",
				 strerror(errno));
	probe->stats = stats;
	slot.userspace_addr = (uintptr_t)stats;
	if (ioctl(probe->vmm->vm_fd, KVM_SET_USER_MEMORY_REGION, &slot))
		return gmig_fail(err, -errno, "KVM refuses the probe guest's statistics: %s",
				 strerror(errno));
	return 0;
}

int probe_create(struct vmm *vmm, struct probe **out, struct gmig_error *err)
{
	struct vmm_io sleep_io = {
	    .name = "probe-sleep", .base = PROBE_SLEEP_PORT, .bytes = 1, .access = sleep_port};
	struct vmm_io sti_io = {
	    .name = "probe-sti", .base = PROBE_STI_PORT, .bytes = 1, .access = sti_port};
	struct probe *probe = calloc(1, sizeof(*probe));
	int khz = ioctl(vmm->vcpu[0].fd, KVM_GET_TSC_KHZ, 0);
	int ret;

	if (!probe)
		return gmig_fail(err, -ENOMEM, "no memory for the probe guest");
	if (khz <= 0) {
		free(probe);
		return gmig_fail(err, -EIO, "KVM_GET_TSC_KHZ: %s", khz ? strerror(errno) : "0");
	}
	probe->vmm = vmm;
	probe->tsc_khz = (uint32_t)khz;
	pthread_mutex_init(&probe->lock, NULL);
	lay_out(&vmm->options, &probe->layout);
	sti_io.opaque = probe;
	ret = plug_stats(probe, err);
	if (!ret)
		ret = vmm_pio_add(vmm, &sleep_io, err);
	if (!ret)
		ret = vmm_pio_add(vmm, &sti_io, err);
	if (ret) {
		probe_destroy(probe);
		return ret;
	}
	*out = probe;
	return 0;
}

void probe_destroy(struct probe *probe)
{
	if (!probe)
		return;
	if (probe->stats)
		munmap(probe->stats, stats_bytes(probe));
	pthread_mutex_destroy(&probe->lock);
	free(probe);
}

/* ---- Loading --------------------------------------------------------------------------------- */

/*
 * The first time, write all memory that is not swept, so that every page has content and all of the
 * guest's RAM is resident. The counters start at zero, like fresh RAM. A reset keeps them, as it
 * keeps the pages.
 */
static void populate(struct probe *probe)
{
	uint64_t end = probe->layout.first_page * GMIG_PAGE_BYTES;

	for (uint64_t at = 0; at < end && !probe->populated; at += GMIG_PAGE_BYTES)
		memset(linear_ptr(probe, at, GMIG_PAGE_BYTES), 0, GMIG_PAGE_BYTES);
	probe->populated = true;
}

/* The tables are in the first GiB but may cross blocks, so each entry is looked up separately. */
static void set_entry(const struct probe *probe, uint64_t table_gpa, uint64_t index, uint64_t value)
{
	uint64_t *entry = linear_ptr(probe, table_gpa + index * 8, 8);

	*entry = value;
}

static void build_tables(const struct probe *probe)
{
	uint64_t pml4 = probe->layout.tables_gpa, pdpt = pml4 + TABLE_BYTES,
		 directories = pdpt + TABLE_BYTES;
	uint64_t blocks = probe->layout.linear_bytes / GMIG_BLOCK_BYTES;

	set_entry(probe, pml4, 0, pdpt | PTE_TABLE);
	for (uint64_t i = 0; i * TABLE_BYTES < probe->layout.tables_bytes - 2 * TABLE_BYTES; i++)
		set_entry(probe, pdpt, i, (directories + i * TABLE_BYTES) | PTE_TABLE);
	for (uint64_t i = 0; i < blocks; i++)
		set_entry(probe, directories, i, linear_to_gpa(i * GMIG_BLOCK_BYTES) | PTE_BLOCK);
	set_entry(probe, directories, blocks, VMM_LAPIC_GPA | PTE_BLOCK | PTE_PCD);
	set_entry(probe, directories, blocks + 1, PROBE_STATS_GPA | PTE_BLOCK);
}

static void build_segments(const struct probe *probe)
{
	uint64_t *gdt = linear_ptr(probe, PROBE_GDT_GPA, 0x1000);
	uint64_t *idt = linear_ptr(probe, PROBE_IDT_GPA, 0x1000);
	uint64_t handler = PROBE_CODE_GPA + probe_code_interrupt;

	memset(gdt, 0, 0x1000);
	gdt[5] = 0x00cff3000000ffff; /* 0x28: data, ring 3 */
	gdt[6] = 0x00affb000000ffff; /* 0x30: 64-bit code, ring 3 */
	memset(idt, 0, 0x1000);
	idt[2 * PROBE_VECTOR] =
	    (handler & 0xffff) | 0x33ull << 16 | 0xee00ull << 32 | (handler >> 16 & 0xffff) << 48;
	idt[2 * PROBE_VECTOR + 1] = handler >> 32;
}

static void fill_stats(const struct probe *probe, unsigned int cpu)
{
	const struct vmm_options *options = &probe->vmm->options;
	volatile struct probe_stats *stats = stats_of(probe, cpu);
	uint64_t from = probe->layout.pages * cpu / options->cpus;
	uint64_t to = probe->layout.pages * (cpu + 1) / options->cpus;
	uint64_t pages = (to - from) * options->probe_touch_percent / 100;

	memset((void *)stats, 0, sizeof(*stats));
	stats->first_page = probe->layout.first_page + from;
	stats->pages = pages ? pages : 1;
	stats->load = options->load;
	stats->threshold_tsc = (uint64_t)PROBE_GAP_NS * probe->tsc_khz / 1000000;
	stats->expect_va = probe->layout.expect_va;
	stats->lapic_va = options->probe_interrupts ? probe->layout.linear_bytes : 0;
	stats->cpu = cpu;
	stats->sti = options->probe_interrupts ? STI_BATCHES : 0;
	stats->random = 0x9e3779b97f4a7c15ull * (cpu + 1);
}

static int load_vcpu(const struct probe *probe, struct vmm_vcpu *vcpu, struct gmig_error *err)
{
	struct vmm_long_mode mode = {
	    .cr3 = probe->layout.tables_gpa,
	    .gdt_gpa = PROBE_GDT_GPA,
	    .gdt_limit = 7 * 8 - 1,
	    .idt_gpa = PROBE_IDT_GPA,
	    .idt_limit = 0xfff,
	    .cpl = 3,
	};
	struct kvm_mp_state runnable = {.mp_state = KVM_MP_STATE_RUNNABLE};
	struct kvm_regs regs = {
	    .rip = PROBE_CODE_GPA,
	    .rsp = PROBE_STACK_GPA + (vcpu->id + 1ull) * PROBE_STACK_BYTES - 16,
	    .rdi = probe->layout.linear_bytes + GMIG_BLOCK_BYTES +
		   (uint64_t)vcpu->id * PROBE_STATS_BYTES,
	    .rflags = RFLAGS_FIXED | RFLAGS_IOPL_3, /* OUT works in ring 3 */
	};
	int ret;

	if (probe->vmm->options.probe_interrupts)
		regs.rflags |= RFLAGS_IF;
	if (ioctl(vcpu->fd, KVM_SET_MP_STATE, &runnable))
		return gmig_fail(err, -errno, "KVM_SET_MP_STATE: %s", strerror(errno));
	ret = vmm_vcpu_set_long_mode(vcpu, &mode, err);
	if (ret)
		return ret;
	if (ioctl(vcpu->fd, KVM_SET_REGS, &regs))
		return gmig_fail(err, -errno, "KVM_SET_REGS: %s", strerror(errno));
	return 0;
}

int probe_load(struct probe *probe, struct gmig_error *err)
{
	int ret = 0;

	populate(probe);
	memcpy(linear_ptr(probe, PROBE_CODE_GPA, probe_code_bytes), probe_code, probe_code_bytes);
	build_tables(probe);
	build_segments(probe);
	pthread_mutex_lock(&probe->lock);
	memset(probe->gap_before, 0, sizeof(probe->gap_before));
	for (unsigned int i = 0; i < probe->vmm->options.cpus; i++)
		fill_stats(probe, i);
	pthread_mutex_unlock(&probe->lock);
	for (unsigned int i = 0; i < probe->vmm->options.cpus && !ret; i++)
		ret = load_vcpu(probe, &probe->vmm->vcpu[i], err);
	return ret;
}

void probe_repair(struct probe *probe)
{
	for (unsigned int i = 0; i < probe->vmm->options.cpus; i++) {
		volatile uint32_t *expect;
		volatile uint64_t *word;
		struct kvm_regs regs;
		uint64_t page;

		if (ioctl(probe->vmm->vcpu[i].fd, KVM_GET_REGS, &regs))
			continue;
		page = regs.r12; /* written by the guest: check it */
		if (page < probe->layout.first_page ||
		    page - probe->layout.first_page >= probe->layout.pages)
			continue;
		expect = expect_of(probe, page);
		word = linear_ptr(probe, page * GMIG_PAGE_BYTES + (page & 63) * 64, 8);
		if (*word == (page << 32 | (uint64_t)(*expect + 1)))
			*expect += 1;
	}
}

/* ---- Statistics ------------------------------------------------------------------------------ */

static uint64_t to_ns(const struct probe *probe, uint64_t ticks)
{
	return (uint64_t)((unsigned __int128)ticks * 1000000 / probe->tsc_khz);
}

/* The largest value of a bucket. */
static uint64_t bucket_top(unsigned int i)
{
	unsigned int shift = i >> PROBE_GAP_SUB_BITS;
	uint64_t sub = i & ((1u << PROBE_GAP_SUB_BITS) - 1);

	if (!shift)
		return sub;
	return ((1ull << PROBE_GAP_SUB_BITS | sub) + 1) * (1ull << (shift - 1)) - 1;
}

/* Sum of all vCPUs' histograms. Caller holds the lock, or does not use gap_before. */
static void sum_gaps(const struct probe *probe, uint64_t *gap)
{
	memset(gap, 0, PROBE_GAP_BUCKETS * sizeof(*gap));
	for (unsigned int cpu = 0; cpu < probe->vmm->options.cpus; cpu++) {
		volatile struct probe_stats *stats = stats_of(probe, cpu);

		for (unsigned int i = 0; i < PROBE_GAP_BUCKETS; i++)
			gap[i] += stats->gap[i];
	}
}

static uint64_t quantile(const struct probe *probe, const uint64_t *gap, uint64_t count,
			 unsigned int permille)
{
	uint64_t wanted = (count * permille + 999) / 1000, seen = 0;

	for (unsigned int i = 0; i < PROBE_GAP_BUCKETS && count; i++) {
		seen += gap[i];
		if (seen >= wanted)
			return to_ns(probe, bucket_top(i));
	}
	return 0;
}

static void summarise_gaps(const struct probe *probe, uint64_t max_ns, struct gmig_percentiles *out)
{
	uint64_t gap[PROBE_GAP_BUCKETS], count = 0;

	sum_gaps(probe, gap);
	for (unsigned int i = 0; i < PROBE_GAP_BUCKETS; i++) {
		gap[i] -= probe->gap_before[i];
		count += gap[i];
	}
	*out = (struct gmig_percentiles){
	    .count = count,
	    .p50_ns = quantile(probe, gap, count, 500),
	    .p99_ns = quantile(probe, gap, count, 990),
	    .p999_ns = quantile(probe, gap, count, 999),
	    .max_ns = max_ns,
	};
	/* The upper end of a bucket may be above its largest value. */
	if (out->p50_ns > max_ns)
		out->p50_ns = max_ns;
	if (out->p99_ns > max_ns)
		out->p99_ns = max_ns;
	if (out->p999_ns > max_ns)
		out->p999_ns = max_ns;
}

void probe_summarise(const struct probe *probe, struct probe_summary *summary)
{
	struct probe *mutable = (struct probe *)probe;
	uint64_t max_tsc = 0;

	*summary =
	    (struct probe_summary){.filled = true, .load = (enum vmm_load)stats_of(probe, 0)->load};
	pthread_mutex_lock(&mutable->lock);
	for (unsigned int cpu = 0; cpu < probe->vmm->options.cpus; cpu++) {
		volatile struct probe_stats *stats = stats_of(probe, cpu);

		if (stats->errors && !summary->errors)
			snprintf(summary->first_error, sizeof(summary->first_error),
				 "vcpu=%u page=0x%llx seen=0x%llx wanted=0x%llx", cpu,
				 (unsigned long long)stats->error_page,
				 (unsigned long long)stats->error_seen,
				 (unsigned long long)stats->error_wanted);
		summary->visits += stats->visits;
		summary->sweeps += stats->sweeps;
		summary->errors += stats->errors;
		summary->interrupts += stats->interrupts;
		summary->filled &= stats->filled != 0;
		if (stats->gap_max_tsc > max_tsc)
			max_tsc = stats->gap_max_tsc;
	}
	summarise_gaps(probe, to_ns(probe, max_tsc), &summary->gap);
	pthread_mutex_unlock(&mutable->lock);
}

void probe_set_load(struct probe *probe, enum vmm_load load)
{
	for (unsigned int cpu = 0; cpu < probe->vmm->options.cpus; cpu++)
		stats_of(probe, cpu)->load = load;
}

void probe_reset_gaps(struct probe *probe)
{
	pthread_mutex_lock(&probe->lock);
	sum_gaps(probe, probe->gap_before);
	for (unsigned int cpu = 0; cpu < probe->vmm->options.cpus; cpu++)
		stats_of(probe, cpu)->gap_max_tsc = 0;
	pthread_mutex_unlock(&probe->lock);
}
