/* The arrangement of CPUs, and CPUID tables as a guest decodes them. No KVM. */
#include "suite.h"

#include "../../vmm/cpuid.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define FIXTURE_CPUS 12

/* Unequal vnodes, gaps in the lists of CPUs: 0-2,9 / 3-4,6-8 / 5,10-11. */
static const uint64_t fixture[] = {0x207, 0x1d8, 0xc20};
static struct cpu_place place[VMM_MAX_VCPUS];
static struct kvm_cpuid2 *cpuid;

static void setup(void)
{
	cpuid = calloc(1, sizeof(*cpuid) + CPUID_MAX_ENTRIES * sizeof(cpuid->entries[0]));
}

static void teardown(void)
{
	free(cpuid);
}

/* eax, ebx, ecx, edx. */
static void add(uint32_t function, uint32_t index, uint32_t eax, uint32_t ebx, uint32_t ecx,
		uint32_t edx)
{
	uint32_t flags = function == 4 || function == 7 || function == 0xb || function == 0xd ||
				 function == 0x8000001d
			     ? KVM_CPUID_FLAG_SIGNIFCANT_INDEX
			     : 0;

	cpuid->entries[cpuid->nent++] = (struct kvm_cpuid_entry2){.function = function,
								  .index = index,
								  .flags = flags,
								  .eax = eax,
								  .ebx = ebx,
								  .ecx = ecx,
								  .edx = edx};
}

static const struct kvm_cpuid_entry2 *get(uint32_t function, uint32_t index)
{
	const struct kvm_cpuid_entry2 *entry = cpuid_find(cpuid, function, index);

	ck_assert_ptr_nonnull(entry);
	return entry;
}

/* ---- Topology -------------------------------------------------------------------------------- */

START_TEST(vnodes_are_packages_and_apic_ids_are_unique)
{
	static const uint32_t want[FIXTURE_CPUS] = {0, 1, 2, 8, 9, 16, 10, 11, 12, 3, 17, 18};

	ck_assert_int_eq(cpu_topology_make(FIXTURE_CPUS, fixture, 3, place), 0);
	for (unsigned int cpu = 0; cpu < FIXTURE_CPUS; cpu++) {
		ck_assert_uint_eq(place[cpu].apic_id, want[cpu]);
		ck_assert_uint_eq(place[cpu].core_bits, 3); /* 5 CPUs */
	}
	ck_assert_uint_eq(place[9].package, 0);
	ck_assert_uint_eq(place[9].cores, 4);
}
END_TEST

START_TEST(the_cpu_that_boots_has_apic_id_0)
{
	/* vnode 0 has no CPU, vnode 1 has not the first. */
	static const uint64_t nodes[] = {0, 0x6, 0x9};

	ck_assert_int_eq(cpu_topology_make(4, nodes, 3, place), 0);
	ck_assert_uint_eq(place[0].apic_id, 0);
	ck_assert_uint_eq(place[3].apic_id, 1);
	ck_assert_uint_eq(place[1].apic_id, 8); /* no 8 ids in two packages */
	ck_assert_uint_eq(place[2].apic_id, 9);
}
END_TEST

START_TEST(sixty_four_cpus_fit_below_the_broadcast_id)
{
	static const uint64_t even[] = {0xff,	       0xff00,	      0xff0000,	     0xff000000,
					0xffull << 32, 0xffull << 40, 0xffull << 48, 0xffull << 56};
	static const uint64_t one[] = {UINT64_MAX};
	static const uint64_t lopsided[] = {1, 2, 4, 8, 16, ~31ull};

	ck_assert_int_eq(cpu_topology_make(64, even, 8, place), 0);
	ck_assert_uint_eq(place[63].apic_id, 63);
	ck_assert_int_eq(cpu_topology_make(64, one, 1, place), 0);
	ck_assert_uint_eq(place[63].apic_id, 63);
	ck_assert_int_eq(cpu_topology_make(64, lopsided, 6, place), -ERANGE);
}
END_TEST

static void add_machine(void)
{
	add(0, 0, 0x1f, 0, 0, 0);
	add(1, 0, 0x00a00f11, 0x01020800, 1u << 5, 0);
	add(4, 0, 0x1c004121, 0, 0, 0); /* L1d shared by 2, 8 cores */
	add(4, 3, 0x1c03c163, 0, 0, 0); /* L3 shared by 16 */
	add(4, 4, 0, 0, 0, 0);
	add(0xb, 0, 0, 0, 0, 0);
	add(0x1f, 0, 0, 0, 0, 0);
	add(0x80000001, 0, 0, 0, 1u << 2, 0);
	add(0x80000008, 0, 0x3030, 0, 0x7001, 0);
	add(0x8000001d, 0, 0x00004121, 0, 0, 0);
	add(0x8000001d, 3, 0x0003c163, 0, 0, 0);
	add(0x8000001e, 0, 0, 0, 0, 0);
}

/* As Intel's manual tells software to do: shift the id by the width of a level. */
START_TEST(a_guest_finds_a_package_a_vnode_with_a_cache_of_its_own)
{
	for (unsigned int cpu = 0; cpu < FIXTURE_CPUS; cpu++) {
		uint32_t id, width;

		cpuid->nent = 0;
		add_machine();
		ck_assert_int_eq(cpu_topology_make(FIXTURE_CPUS, fixture, 3, place), 0);
		ck_assert_int_eq(cpuid_adjust(cpuid, &place[cpu], true), 0);
		id = get(0xb, 0)->edx;
		width = get(0xb, 1)->eax;
		ck_assert_uint_eq(id, place[cpu].apic_id);
		ck_assert(fixture[id >> width] >> cpu & 1);
		ck_assert_uint_eq(get(0xb, 0)->eax, 0); /* no threads */
		ck_assert_uint_eq(get(0xb, 0)->ecx, 0x100);
		ck_assert_uint_eq(get(0xb, 1)->ecx, 0x201);
		ck_assert_uint_eq(get(0xb, 1)->ebx,
				  (uint32_t)__builtin_popcountll(fixture[id >> width]));
		ck_assert_uint_eq(get(0xb, 2)->ebx, 0);
		ck_assert_ptr_null(cpuid_find(cpuid, 0x1f, 0));
		/* Initial APIC id, ids of the package, HTT. */
		ck_assert_uint_eq(get(1, 0)->ebx >> 24, id);
		ck_assert_uint_eq(get(1, 0)->ebx >> 16 & 0xff, 1u << width);
		ck_assert_uint_ne(get(1, 0)->edx & 1u << 28, 0);
		ck_assert_uint_eq(get(1, 0)->ecx & 1u << 5, 0); /* VMX */
		/* Intel: L1 of a core, L3 of the package. */
		ck_assert_uint_eq(get(4, 0)->eax, 0x1c000121);
		ck_assert_uint_eq(get(4, 3)->eax, 0x1c01c163);
		ck_assert_uint_eq(get(4, 4)->eax, 0);
		/* AMD. */
		ck_assert_uint_eq(get(0x80000001, 0)->ecx, 2);
		ck_assert_uint_eq(get(0x80000008, 0)->ecx >> 12, width);
		ck_assert_uint_eq(get(0x80000008, 0)->ecx & 0xff, place[cpu].cores - 1);
		ck_assert_uint_eq(get(0x8000001d, 0)->eax, 0x00000121);
		ck_assert_uint_eq(get(0x8000001d, 3)->eax, 0x0001c163);
		ck_assert_uint_eq(get(0x8000001e, 0)->eax, id);
		ck_assert_uint_eq(get(0x8000001e, 0)->ebx, place[cpu].core);
		ck_assert_uint_eq(get(0x8000001e, 0)->ecx, id >> width);
	}
}
END_TEST

/* As some emulated CPUs are. */
START_TEST(the_second_level_is_the_last_where_there_is_no_third)
{
	static const uint64_t nodes[] = {0xf};

	add(0, 0, 0xd, 0, 0, 0);
	add(4, 0, 0x121, 0, 0, 0); /* L1d */
	add(4, 2, 0x143, 0, 0, 0); /* L2 */
	add(0x8000001d, 0, 0x121, 0, 0, 0);
	add(0x8000001d, 2, 0x143, 0, 0, 0);
	ck_assert_int_eq(cpu_topology_make(4, nodes, 1, place), 0);
	ck_assert_int_eq(cpuid_adjust(cpuid, &place[0], false), 0);
	ck_assert_uint_eq(get(4, 0)->eax >> 14 & 0xfff, 0);
	ck_assert_uint_eq(get(4, 2)->eax >> 14 & 0xfff, 3);
	ck_assert_uint_eq(get(0x8000001d, 0)->eax >> 14 & 0xfff, 0);
	ck_assert_uint_eq(get(0x8000001d, 2)->eax >> 14 & 0xfff, 3);
}
END_TEST

START_TEST(a_single_cpu_has_no_siblings)
{
	static const uint64_t nodes[] = {1};

	add_machine();
	ck_assert_int_eq(cpu_topology_make(1, nodes, 1, place), 0);
	ck_assert_int_eq(cpuid_adjust(cpuid, &place[0], false), 0);
	ck_assert_uint_eq(get(0xb, 1)->eax, 0);
	ck_assert_uint_eq(get(1, 0)->edx & 1u << 28, 0);
	ck_assert_uint_eq(get(4, 3)->eax, 0x163);
	ck_assert_uint_eq(get(0x80000001, 0)->ecx, 0);
}
END_TEST

START_TEST(table_without_room_is_refused)
{
	static const uint64_t nodes[] = {1};

	add(0, 0, 0xd, 0, 0, 0);
	while (cpuid->nent < CPUID_MAX_ENTRIES - 2)
		add(0x40000000, 0, 0, 0, 0, 0);
	ck_assert_int_eq(cpu_topology_make(1, nodes, 1, place), 0);
	ck_assert_int_eq(cpuid_adjust(cpuid, &place[0], false), -E2BIG);
}
END_TEST

/* ---- Extended state -------------------------------------------------------------------------- */

#define XSAVE	    (1u << 26)
#define AVX	    (1u << 28)
#define EBX7_AVX2   (1u << 5)
#define EBX7_MPX    (1u << 14)
#define EBX7_AVX512 (1u << 16 | 1u << 30)
#define ECX7_PKU    (1u << 3)
#define ECX7_SHSTK  (1u << 7)

/* Leaf 0dh of a host with everything up to protection keys, and CET. */
static void add_state(uint32_t ecx1, uint32_t ebx7, uint32_t ecx7)
{
	add(1, 0, 0, 0, ecx1, 0);
	add(7, 0, 0, ebx7, ecx7, 0);
	add(0xd, 0, 0x2ff, 2696, 2696, 0);
	add(0xd, 1, 0xf, 2696, 0x1800, 0);
	add(0xd, 2, 256, 576, 0, 0);
	add(0xd, 3, 64, 960, 0, 0);
	add(0xd, 4, 64, 1024, 0, 0);
	add(0xd, 5, 64, 1088, 0, 0);
	add(0xd, 6, 512, 1152, 0, 0);
	add(0xd, 7, 1024, 1664, 0, 0);
	add(0xd, 9, 8, 2688, 0, 0);
	add(0xd, 11, 16, 0, 1, 0);
	add(0xd, 12, 24, 0, 1, 0);
}

/* What Linux checks at boot: the size for the components that it enables is the size it adds up. */
static void check_consistent(uint32_t components, uint32_t bytes)
{
	ck_assert_uint_eq(get(0xd, 0)->eax, components);
	ck_assert_uint_eq(get(0xd, 0)->edx, 0);
	ck_assert_uint_eq(get(0xd, 0)->ebx, 576);
	ck_assert_uint_eq(get(0xd, 0)->ecx, bytes);
	for (uint32_t i = 2; i < 11; i++)
		ck_assert_int_eq(cpuid_find(cpuid, 0xd, i) != NULL, components >> i & 1);
}

START_TEST(state_of_features_that_are_absent_is_not_enumerated)
{
	add_state(XSAVE, 0, 0);
	cpuid_adjust_xstate(cpuid);
	check_consistent(3, 576);
	ck_assert_uint_eq(get(0xd, 1)->ecx, 0);
	ck_assert_uint_eq(get(0xd, 1)->ebx, 576);
	ck_assert_ptr_null(cpuid_find(cpuid, 0xd, 11));
}
END_TEST

START_TEST(state_of_features_that_are_there_stays)
{
	add_state(XSAVE | AVX, EBX7_AVX2 | EBX7_AVX512, ECX7_PKU | ECX7_SHSTK);
	cpuid_adjust_xstate(cpuid);
	check_consistent(0x2e7, 2696);
	ck_assert_uint_eq(get(7, 0)->ebx, EBX7_AVX2 | EBX7_AVX512);
	ck_assert_uint_eq(get(0xd, 1)->ecx, 0x1800);
	ck_assert_ptr_nonnull(cpuid_find(cpuid, 0xd, 12));
	cpuid->nent = 0;
	add_state(XSAVE | AVX, EBX7_MPX, 0);
	cpuid_adjust_xstate(cpuid);
	check_consistent(0x1f, 1088);
}
END_TEST

START_TEST(features_whose_state_is_absent_go)
{
	add_state(XSAVE | AVX, EBX7_AVX2 | EBX7_AVX512, ECX7_PKU);
	((struct kvm_cpuid_entry2 *)get(0xd, 0))->eax = 0x63; /* no AVX, half of AVX-512 */
	cpuid_adjust_xstate(cpuid);
	check_consistent(3, 576);
	ck_assert_uint_eq(get(1, 0)->ecx, XSAVE);
	ck_assert_uint_eq(get(7, 0)->ebx, 0);
	ck_assert_uint_eq(get(7, 0)->ecx, 0);
}
END_TEST

START_TEST(avx512_without_avx_goes)
{
	add_state(XSAVE, EBX7_AVX512, 0);
	cpuid_adjust_xstate(cpuid);
	check_consistent(3, 576);
	ck_assert_uint_eq(get(7, 0)->ebx, 0);
}
END_TEST

START_TEST(without_xsave_there_is_no_leaf)
{
	add_state(AVX, EBX7_AVX2, ECX7_PKU);
	cpuid_adjust_xstate(cpuid);
	ck_assert_ptr_null(cpuid_find(cpuid, 0xd, 0));
	ck_assert_ptr_null(cpuid_find(cpuid, 0xd, 1));
	ck_assert_uint_eq(get(1, 0)->ecx, 0);
	ck_assert_uint_eq(get(7, 0)->ebx, 0);
}
END_TEST

START_TEST(compacted_size_is_given_only_where_it_is_used)
{
	add_state(XSAVE | AVX, 0, 0);
	((struct kvm_cpuid_entry2 *)get(0xd, 1))->eax = 1; /* XSAVEOPT alone */
	cpuid_adjust_xstate(cpuid);
	ck_assert_uint_eq(get(0xd, 1)->ebx, 0);
}
END_TEST

/* QEMU's guests have these two bits by its own doing, too: KVM's list leaves them out. */
START_TEST(amds_guest_is_told_that_it_can_recover_and_intels_has_no_bit_for_it)
{
	cpuid->nent = 0;
	add(0, 0, 0x10, 0x68747541, 0x444d4163, 0x69746e65);
	add(0x80000007, 0, 0, 0, 0, 0x100);
	cpuid_offer_recovery(cpuid);
	ck_assert_uint_eq(get(0x80000007, 0)->ebx, 3);
	ck_assert_uint_eq(get(0x80000007, 0)->edx, 0x100);
	cpuid->nent = 0;
	add(0, 0, 0x10, 0x756e6547, 0x6c65746e, 0x49656e69);
	add(0x80000007, 0, 0, 0, 0, 0x100);
	cpuid_offer_recovery(cpuid);
	ck_assert_uint_eq(get(0x80000007, 0)->ebx, 0);
	cpuid->nent = 0;
	add(0, 0, 0x10, 0x68747541, 0x444d4163, 0x69746e65);
	cpuid_offer_recovery(cpuid); /* no such leaf */
}
END_TEST

int main(void)
{
	const TTest *const tests[] = {
	    vnodes_are_packages_and_apic_ids_are_unique,
	    the_cpu_that_boots_has_apic_id_0,
	    sixty_four_cpus_fit_below_the_broadcast_id,
	    a_guest_finds_a_package_a_vnode_with_a_cache_of_its_own,
	    the_second_level_is_the_last_where_there_is_no_third,
	    a_single_cpu_has_no_siblings,
	    table_without_room_is_refused,
	    state_of_features_that_are_absent_is_not_enumerated,
	    state_of_features_that_are_there_stays,
	    features_whose_state_is_absent_go,
	    avx512_without_avx_goes,
	    without_xsave_there_is_no_leaf,
	    compacted_size_is_given_only_where_it_is_used,
	    amds_guest_is_told_that_it_can_recover_and_intels_has_no_bit_for_it,
	};

	return run_tests("cpuid", setup, teardown, tests, sizeof(tests) / sizeof(tests[0]));
}
