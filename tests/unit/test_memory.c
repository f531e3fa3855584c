/* Where vnodes lie in guest-physical space, and the one way from a guest address to a pointer. */
#include "../../vmm/internal.h"
#include "../../vmm/memory.h"
#include "../../vmm/probe.h"

#include <check.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

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
	suite_add_tcase(suite, tcase);
	runner = srunner_create(suite);
	srunner_run_all(runner, CK_NORMAL);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
