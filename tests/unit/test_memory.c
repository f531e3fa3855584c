/* Where vnodes lie in guest-physical space, and the one way from a guest address to a pointer. */
#include "../../vmm/internal.h"
#include "../../vmm/memory.h"
#include "../../vmm/probe.h"

#include <check.h>
#include <errno.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>

#define MIB (1ull << 20)
#define GIB (1ull << 30)

static struct vmm_region region[VMM_MAX_REGIONS];

static size_t lay_out(const uint64_t *bytes, unsigned int nodes)
{
	struct vmm_options options = {.node_count = nodes};

	for (unsigned int i = 0; i < nodes; i++)
		options.node[i].mem_bytes = bytes[i];
	memset(region, 0, sizeof(region));
	return vmm_memory_layout(&options, region);
}

/* ---- Layout ---------------------------------------------------------------------------------- */

START_TEST(small_guest_is_one_region_at_zero)
{
	ck_assert_uint_eq(lay_out((const uint64_t[]){256 * MIB}, 1), 1);
	ck_assert_uint_eq(region[0].gpa, 0);
	ck_assert_uint_eq(region[0].bytes, 256 * MIB);
}
END_TEST

START_TEST(vnodes_follow_one_another)
{
	ck_assert_uint_eq(lay_out((const uint64_t[]){64 * MIB, 2 * MIB, 128 * MIB}, 3), 3);
	ck_assert_uint_eq(region[1].gpa, 64 * MIB);
	ck_assert_uint_eq(region[1].vnode, 1);
	ck_assert_uint_eq(region[2].gpa, 66 * MIB);
	ck_assert_uint_eq(region[2].bytes, 128 * MIB);
}
END_TEST

START_TEST(ram_that_ends_at_the_hole_has_one_region)
{
	ck_assert_uint_eq(lay_out((const uint64_t[]){3 * GIB}, 1), 1);
	ck_assert_uint_eq(region[0].bytes, VMM_HOLE_GPA);
}
END_TEST

START_TEST(vnode_around_the_hole_has_two_regions)
{
	ck_assert_uint_eq(lay_out((const uint64_t[]){2 * GIB, 2 * GIB, GIB}, 3), 4);
	ck_assert_uint_eq(region[1].vnode, 1);
	ck_assert_uint_eq(region[1].gpa, 2 * GIB);
	ck_assert_uint_eq(region[1].bytes, GIB);
	ck_assert_uint_eq(region[2].vnode, 1);
	ck_assert_uint_eq(region[2].gpa, 4 * GIB);
	ck_assert_uint_eq(region[2].bytes, GIB);
	ck_assert_uint_eq(region[3].vnode, 2);
	ck_assert_uint_eq(region[3].gpa, 5 * GIB);
}
END_TEST

START_TEST(next_vnode_after_the_hole_starts_at_4_gib)
{
	ck_assert_uint_eq(lay_out((const uint64_t[]){3 * GIB, GIB}, 2), 2);
	ck_assert_uint_eq(region[1].gpa, 4 * GIB);
}
END_TEST

START_TEST(most_regions_fit)
{
	const uint64_t bytes[VMM_MAX_VNODES] = {GIB, GIB, 2 * GIB, GIB, GIB, GIB, GIB, GIB};

	ck_assert_uint_eq(lay_out(bytes, VMM_MAX_VNODES), VMM_MAX_REGIONS);
	for (unsigned int i = 1; i < VMM_MAX_REGIONS; i++)
		ck_assert_uint_ge(region[i].gpa, region[i - 1].gpa + region[i - 1].bytes);
}
END_TEST

/* ---- Guest addresses ------------------------------------------------------------------------- */

/* Never followed: 0 .. 2 MiB and, behind a hole, 4 .. 6 MiB. */
static struct vmm vmm = {
    .region = {{.vnode = 0, .gpa = 0, .bytes = 2 * MIB, .hva = (uint8_t *)0x10000000},
	       {.vnode = 1, .gpa = 4 * MIB, .bytes = 2 * MIB, .hva = (uint8_t *)0x20000000}},
    .region_count = 2,
};

START_TEST(address_in_ram_becomes_a_pointer)
{
	ck_assert_ptr_eq(vmm_guest_ptr(&vmm, 0, 1), (void *)0x10000000);
	ck_assert_ptr_eq(vmm_guest_ptr(&vmm, 0x1000, 4096), (void *)0x10001000);
	ck_assert_ptr_eq(vmm_guest_ptr(&vmm, 0, 2 * MIB), (void *)0x10000000);
	ck_assert_ptr_eq(vmm_guest_ptr(&vmm, 6 * MIB - 1, 1), (void *)0x201fffff);
}
END_TEST

START_TEST(address_outside_ram_is_null)
{
	static const struct {
		uint64_t gpa, bytes;
	} cases[] = {
	    {2 * MIB, 1},
	    {2 * MIB - 1, 2},
	    {0, 2 * MIB + 1},
	    {0, UINT64_MAX},
	    {1, UINT64_MAX},
	    {4 * MIB - 1, 1},
	    {4 * MIB - 1, 2},
	    {6 * MIB, 0},
	    {6 * MIB, 1},
	    {UINT64_MAX, 1},
	    {UINT64_MAX, 2},
	    {UINT64_MAX - 4095, 4096},
	    {UINT64_MAX - 4095, 8192},
	    {1ull << 63, 1},
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
		ck_assert_msg(!vmm_guest_ptr(&vmm, cases[i].gpa, cases[i].bytes),
			      "gpa 0x%llx, 0x%llx bytes", (unsigned long long)cases[i].gpa,
			      (unsigned long long)cases[i].bytes);
}
END_TEST

START_TEST(run_over_two_regions_is_null)
{
	struct vmm two = vmm;

	/* Neighbours in gpa, not in hva. */
	two.region[1].gpa = 2 * MIB;
	ck_assert_ptr_null(vmm_guest_ptr(&two, 2 * MIB - 4, 8));
	ck_assert_ptr_eq(vmm_guest_ptr(&two, 2 * MIB, 8), (void *)0x20000000);
}
END_TEST

START_TEST(regions_are_told_as_they_are)
{
	const struct vmm_region *regions;

	ck_assert_uint_eq(vmm_regions(&vmm, &regions), 2);
	ck_assert_ptr_eq(regions, vmm.region);
}
END_TEST

/* ---- Probe guest's share --------------------------------------------------------------------- */

START_TEST(probe_guest_must_fit)
{
	static const struct {
		uint64_t mem_bytes;
		unsigned int cpus;
		int ret;
	} cases[] = {
	    {2 * MIB, 1, 0},   {2 * MIB, 8, 0},		{8 * GIB, 8, 0},
	    {509 * GIB, 1, 0}, {510 * GIB, 1, -EINVAL},
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct vmm_options options = {.mem_bytes = cases[i].mem_bytes,
					      .cpus = cases[i].cpus};
		struct gmig_error err;

		ck_assert_msg(probe_check(&options, &err) == cases[i].ret, "%llu MiB",
			      (unsigned long long)(cases[i].mem_bytes / MIB));
	}
}
END_TEST

/* ---- KVM's slots ----------------------------------------------------------------------------- */

#define MAX_SLOTS 8

static struct kvm_userspace_memory_region slots[MAX_SLOTS];
static unsigned int slot_count;
static uint32_t address_bits;
static int refuse; /* errno for a slot */

/* Stands before the C library's. */
int ioctl(int fd, unsigned long request, ...)
{
	struct kvm_cpuid2 *cpuid;
	void *argument;
	va_list args;

	(void)fd;
	va_start(args, request);
	argument = va_arg(args, void *);
	va_end(args);
	if (request == KVM_GET_SUPPORTED_CPUID) {
		cpuid = argument;
		cpuid->nent = 1;
		cpuid->entries[0] =
		    (struct kvm_cpuid_entry2){.function = 0x80000008, .eax = address_bits};
		return 0;
	}
	errno = request == KVM_SET_USER_MEMORY_REGION ? refuse : ENOTTY;
	if (errno)
		return -1;
	ck_assert_uint_lt(slot_count, MAX_SLOTS);
	slots[slot_count++] = *(struct kvm_userspace_memory_region *)argument;
	return 0;
}

static int plug(const uint64_t *bytes, unsigned int nodes, struct gmig_error *err)
{
	struct vmm *machine = calloc(1, sizeof(*machine));
	int ret;

	ck_assert_ptr_nonnull(machine);
	machine->options.node_count = nodes;
	for (unsigned int i = 0; i < nodes; i++)
		machine->options.node[i].mem_bytes = bytes[i];
	machine->region_count = vmm_memory_layout(&machine->options, machine->region);
	for (size_t i = 0; i < machine->region_count; i++)
		machine->region[i].hva = (uint8_t *)(machine->region[i].gpa + (1ull << 44));
	slot_count = 0;
	ret = vmm_memory_plug(machine, err);
	free(machine);
	return ret;
}

START_TEST(region_larger_than_a_slot_takes_several)
{
	uint64_t end = VMM_HOLE_END_GPA;

	address_bits = 48;
	ck_assert_int_eq(plug((const uint64_t[]){16 * 1024 * GIB}, 1, NULL), 0);
	ck_assert_uint_eq(slots[0].memory_size, VMM_HOLE_GPA);
	for (unsigned int i = 1; i < slot_count; i++) {
		ck_assert_uint_eq(slots[i].slot, i);
		ck_assert_uint_eq(slots[i].guest_phys_addr, end);
		ck_assert_uint_eq(slots[i].userspace_addr, end + (1ull << 44));
		/* KVM_MEM_MAX_NR_PAGES */
		ck_assert_uint_le(slots[i].memory_size / GMIG_PAGE_BYTES, 0x7fffffff);
		end += slots[i].memory_size;
	}
	ck_assert_uint_eq(end, 16 * 1024 * GIB + GIB);
}
END_TEST

START_TEST(small_regions_have_a_slot_each)
{
	address_bits = 40;
	ck_assert_int_eq(plug((const uint64_t[]){2 * GIB, 0, 2 * GIB}, 3, NULL), 0);
	ck_assert_uint_eq(slot_count, 3);
	ck_assert_uint_eq(slots[2].guest_phys_addr, VMM_HOLE_END_GPA);
}
END_TEST

START_TEST(memory_above_the_guests_addresses_is_refused_in_words)
{
	static const uint32_t bits[] = {40, 40 << 16 | 48}; /* the second: guests have less */
	struct gmig_error err;

	for (unsigned int i = 0; i < 2; i++) {
		address_bits = bits[i];
		ck_assert_int_eq(plug((const uint64_t[]){1024 * GIB}, 1, &err), -EINVAL);
		ck_assert_ptr_nonnull(strstr(err.text, "40 bits"));
		ck_assert_ptr_nonnull(strstr(err.text, "would end at 1025 GiB"));
		ck_assert_uint_eq(slot_count, 0);
		ck_assert_int_eq(plug((const uint64_t[]){1023 * GIB}, 1, NULL), 0);
	}
}
END_TEST

START_TEST(slot_that_kvm_refuses_is_explained)
{
	struct gmig_error err;

	address_bits = 48;
	refuse = ENOMEM;
	ck_assert_int_eq(plug((const uint64_t[]){GIB}, 1, &err), -ENOMEM);
	ck_assert_ptr_nonnull(strstr(err.text, "1024 MiB of guest RAM at 0x0"));
	ck_assert_ptr_nonnull(strstr(err.text, "no memory for KVM's own tables"));
	refuse = EINVAL;
	ck_assert_int_eq(plug((const uint64_t[]){GIB}, 1, &err), -EINVAL);
	ck_assert_ptr_nonnull(strstr(err.text, "more than this KVM can address"));
	refuse = 0;
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("memory");
	TCase *tcase = tcase_create("memory");
	SRunner *runner;
	int failed;

	tcase_add_test(tcase, small_guest_is_one_region_at_zero);
	tcase_add_test(tcase, vnodes_follow_one_another);
	tcase_add_test(tcase, ram_that_ends_at_the_hole_has_one_region);
	tcase_add_test(tcase, vnode_around_the_hole_has_two_regions);
	tcase_add_test(tcase, next_vnode_after_the_hole_starts_at_4_gib);
	tcase_add_test(tcase, most_regions_fit);
	tcase_add_test(tcase, address_in_ram_becomes_a_pointer);
	tcase_add_test(tcase, address_outside_ram_is_null);
	tcase_add_test(tcase, run_over_two_regions_is_null);
	tcase_add_test(tcase, regions_are_told_as_they_are);
	tcase_add_test(tcase, probe_guest_must_fit);
	tcase_add_test(tcase, region_larger_than_a_slot_takes_several);
	tcase_add_test(tcase, small_regions_have_a_slot_each);
	tcase_add_test(tcase, memory_above_the_guests_addresses_is_refused_in_words);
	tcase_add_test(tcase, slot_that_kvm_refuses_is_explained);
	suite_add_tcase(suite, tcase);
	runner = srunner_create(suite);
	srunner_run_all(runner, CK_NORMAL);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
