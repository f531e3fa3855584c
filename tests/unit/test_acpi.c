/* ACPI tables, parsed back as a guest would: found from the RSDP, checksums verified, numbers
 * compared with the input. */
#include "../../vmm/device.h"
#include "../../vmm/dsdt.h"
#include "acpi_machines.h"

#include <check.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

static uint8_t tables[VMM_ACPI_BYTES];
static size_t used;
static struct acpi_input input;

static uint32_t get32(const uint8_t *p)
{
	uint32_t value;

	memcpy(&value, p, sizeof(value));
	return value;
}

static uint64_t get64(const uint8_t *p)
{
	uint64_t value;

	memcpy(&value, p, sizeof(value));
	return value;
}

static void build(unsigned int which)
{
	input = acpi_machine(which);
	memset(tables, 0xaa, sizeof(tables));
	ck_assert_int_eq(acpi_build(&input, VMM_ACPI_GPA, tables, sizeof(tables), &used), 0);
	ck_assert_uint_le(used, sizeof(tables));
}

static uint8_t sum(const uint8_t *data, size_t bytes)
{
	uint8_t total = 0;

	while (bytes--)
		total = (uint8_t)(total + *data++);
	return total;
}

/* The table at a gpa: inside the buffer, checksum right. */
static const uint8_t *table_at(uint64_t gpa)
{
	const uint8_t *table = tables + (gpa - VMM_ACPI_GPA);

	ck_assert_uint_ge(gpa, VMM_ACPI_GPA + 36);
	ck_assert_uint_le(gpa + 36, VMM_ACPI_GPA + used);
	ck_assert_uint_eq(gpa % 16, 0);
	ck_assert_uint_ge(get32(table + 4), 36);
	ck_assert_uint_le(gpa + get32(table + 4), VMM_ACPI_GPA + used);
	ck_assert_uint_eq(sum(table, get32(table + 4)), 0);
	return table;
}

static const uint8_t *find(const char *signature)
{
	const uint8_t *xsdt = table_at(get64(tables + 24)), *found = NULL;

	ck_assert_mem_eq(xsdt, "XSDT", 4);
	for (uint32_t at = 36; at < get32(xsdt + 4); at += 8) {
		const uint8_t *table = table_at(get64(xsdt + at));

		if (!memcmp(table, signature, 4)) {
			ck_assert_ptr_null(found);
			found = table;
		}
	}
	ck_assert_ptr_nonnull(found);
	return found;
}

START_TEST(rsdp_leads_to_five_tables)
{
	build((unsigned int)_i);
	ck_assert_mem_eq(tables, "RSD PTR ", 8);
	ck_assert_uint_eq(tables[15], 2);
	ck_assert_uint_eq(sum(tables, 20), 0);
	ck_assert_uint_eq(get32(tables + 20), 36);
	ck_assert_uint_eq(sum(tables, 36), 0);
	ck_assert_uint_eq(get32(table_at(get64(tables + 24)) + 4), 36 + 5 * 8);
}
END_TEST

static void check_port(const uint8_t *gas, uint8_t bits, uint8_t access, uint64_t port)
{
	ck_assert_uint_eq(gas[0], 1); /* system I/O */
	ck_assert_uint_eq(gas[1], bits);
	ck_assert_uint_eq(gas[2], 0);
	ck_assert_uint_eq(gas[3], access);
	ck_assert_uint_eq(get64(gas + 4), port);
}

START_TEST(fadt_names_the_ports_of_power_off_reset_and_timer)
{
	const uint8_t *fadt;

	build((unsigned int)_i);
	fadt = find("FACP");
	ck_assert_uint_eq(get32(fadt + 4), 276);
	ck_assert_uint_eq(fadt[8], 6);
	ck_assert_uint_eq(get32(fadt + 112), 1u << 20 | 1u << 10 | 1u << 8 | 0x35);
	ck_assert_uint_eq(fadt[109], 1u << 2 | 1u << 5);
	check_port(fadt + 116, 8, 1, VMM_PORT_RESET);
	ck_assert_uint_eq(fadt[128], 6);
	check_port(fadt + 208, 32, 3, VMM_PORT_PMTMR);
	check_port(fadt + 244, 8, 1, VMM_PORT_SLEEP);
	check_port(fadt + 256, 8, 1, VMM_PORT_SLEEP + 1);
	ck_assert_uint_eq(get64(fadt + 140), get32(fadt + 40));
	ck_assert_mem_eq(table_at(get64(fadt + 140)), dsdt_aml, dsdt_aml_bytes);
}
END_TEST

START_TEST(madt_lists_every_cpu_once_and_one_ioapic)
{
	const uint8_t *madt, *entry, *end;
	unsigned int cpus = 0, ioapics = 0, nmis = 0;

	build((unsigned int)_i);
	madt = find("APIC");
	ck_assert_uint_eq(get32(madt + 36), VMM_LAPIC_GPA);
	ck_assert_uint_eq(get32(madt + 40), 0);
	end = madt + get32(madt + 4);
	for (entry = madt + 44; entry < end; entry += entry[1]) {
		ck_assert_uint_ge(entry[1], 2);
		if (entry[0] == 0) {
			ck_assert_uint_eq(entry[1], 8);
			ck_assert_uint_eq(entry[2], cpus);
			ck_assert_uint_eq(entry[3], input.apic_id[cpus]);
			ck_assert_uint_eq(get32(entry + 4), 1);
			cpus++;
		} else if (entry[0] == 1) {
			ck_assert_uint_eq(entry[1], 12);
			ck_assert_uint_eq(get32(entry + 4), VMM_IOAPIC_GPA);
			ck_assert_uint_eq(get32(entry + 8), 0);
			ioapics++;
		} else {
			ck_assert_uint_eq(entry[0], 4);
			ck_assert_uint_eq(entry[1], 6);
			ck_assert_uint_eq(entry[2], 0xff);
			ck_assert_uint_eq(entry[5], 1);
			nmis++;
		}
	}
	ck_assert_ptr_eq(entry, end);
	ck_assert_uint_eq(cpus, input.cpus);
	ck_assert_uint_eq(ioapics, 1);
	ck_assert_uint_eq(nmis, 1);
}
END_TEST

static void check_memory(const uint8_t *entry, size_t i)
{
	ck_assert_uint_lt(i, input.region_count);
	ck_assert_uint_eq(entry[1], 40);
	ck_assert_uint_eq(get32(entry + 2), input.regions[i].vnode);
	ck_assert_uint_eq(get64(entry + 8), input.regions[i].gpa);
	ck_assert_uint_eq(get64(entry + 16), input.regions[i].bytes);
	ck_assert_uint_eq(get32(entry + 28), 1);
}

static unsigned int cpu_of(uint32_t apic_id)
{
	unsigned int cpu = 0;

	while (cpu < input.cpus && input.apic_id[cpu] != apic_id)
		cpu++;
	ck_assert_uint_lt(cpu, input.cpus);
	return cpu;
}

START_TEST(srat_says_of_which_node_each_cpu_and_region_is)
{
	const uint8_t *srat, *entry, *end;
	uint64_t cpus[VMM_MAX_VNODES] = {0};
	size_t regions = 0;

	build((unsigned int)_i);
	srat = find("SRAT");
	ck_assert_uint_eq(get32(srat + 36), 1);
	end = srat + get32(srat + 4);
	for (entry = srat + 48; entry < end; entry += entry[1]) {
		ck_assert_uint_ge(entry[1], 2);
		if (entry[0] == 1) {
			check_memory(entry, regions++);
			continue;
		}
		ck_assert_uint_eq(entry[0], 2);
		ck_assert_uint_eq(entry[1], 24);
		ck_assert_uint_lt(get32(entry + 4), input.node_count);
		ck_assert_uint_eq(get32(entry + 12), 1);
		cpus[get32(entry + 4)] ^= 1ull << cpu_of(get32(entry + 8));
	}
	ck_assert_ptr_eq(entry, end);
	ck_assert_uint_eq(regions, input.region_count);
	ck_assert_mem_eq(cpus, input.cpus_of_node, sizeof(cpus));
}
END_TEST

START_TEST(slit_has_the_distances_that_were_asked_for)
{
	const uint8_t *slit;

	build((unsigned int)_i);
	slit = find("SLIT");
	ck_assert_uint_eq(get64(slit + 36), input.node_count);
	ck_assert_uint_eq(get32(slit + 4), 44 + input.node_count * input.node_count);
	for (unsigned int a = 0; a < input.node_count; a++) {
		for (unsigned int b = 0; b < input.node_count; b++)
			ck_assert_uint_eq(slit[44 + a * input.node_count + b],
					  input.distance[a][b]);
	}
}
END_TEST

START_TEST(mcfg_names_the_configuration_space)
{
	const uint8_t *mcfg;

	build((unsigned int)_i);
	mcfg = find("MCFG");
	ck_assert_uint_eq(get32(mcfg + 4), 60);
	ck_assert_uint_eq(get64(mcfg + 44), VMM_ECAM_GPA);
	ck_assert_uint_eq(get32(mcfg + 52), 0); /* segment 0, buses 0 .. 0 */
}
END_TEST

START_TEST(tables_that_do_not_fit_are_refused_and_nothing_beyond_is_touched)
{
	static uint8_t small[VMM_ACPI_BYTES];
	size_t room, all;

	build(1);
	all = used;
	for (room = 0; room < all; room++) {
		memset(small, 0xaa, sizeof(small));
		ck_assert_int_eq(acpi_build(&input, VMM_ACPI_GPA, small, room, &used), -ENOSPC);
		for (size_t i = room; i < all; i++)
			ck_assert_uint_eq(small[i], 0xaa);
	}
	ck_assert_int_eq(acpi_build(&input, VMM_ACPI_GPA, small, all, &used), 0);
	ck_assert_uint_eq(used, all);
}
END_TEST

static bool dsdt_has(const void *bytes, size_t count)
{
	return memmem(dsdt_aml, dsdt_aml_bytes, bytes, count);
}

/* The resource descriptors in dsdt.asl, built from the headers' numbers. ACPI 6.5, 6.4.2 and 6.4.3.
 */
START_TEST(dsdt_has_the_addresses_of_the_headers)
{
	uint8_t ecam[12] = {0x86, 9, 0, 1};
	uint8_t bars[26] = {0x87, 23, 0, 0, 0x0c, 1};
	const uint8_t com1[] = {0x47,
				1,
				VMM_SERIAL_PORT & 0xff,
				VMM_SERIAL_PORT >> 8,
				VMM_SERIAL_PORT & 0xff,
				VMM_SERIAL_PORT >> 8,
				1,
				8,
				0x89,
				6,
				0,
				3,
				1,
				VMM_SERIAL_GSI,
				0,
				0,
				0};
	const uint8_t sleep[] = {0x47,
				 1,
				 VMM_PORT_SLEEP & 0xff,
				 VMM_PORT_SLEEP >> 8,
				 VMM_PORT_SLEEP & 0xff,
				 VMM_PORT_SLEEP >> 8,
				 1,
				 2};
	/* Edge, active high, exclusive: the event device's, before its method. */
	const uint8_t button[] = {0x89, 6, 0, 3, 1, VMM_POWER_GSI, 0, 0, 0, 0x79};
	const uint32_t bar_range[] = {
	    0, VMM_PCI_MMIO_GPA, VMM_PCI_MMIO_GPA + VMM_PCI_MMIO_BYTES - 1, 0, VMM_PCI_MMIO_BYTES};
	const uint32_t ecam_range[] = {VMM_ECAM_GPA, VMM_ECAM_BYTES};

	memcpy(ecam + 4, ecam_range, sizeof(ecam_range));
	memcpy(bars + 6, bar_range, sizeof(bar_range));
	ck_assert(dsdt_has(ecam, sizeof(ecam)));
	ck_assert(dsdt_has(bars, sizeof(bars)));
	ck_assert(dsdt_has(com1, sizeof(com1)));
	ck_assert(dsdt_has(sleep, sizeof(sleep)));
	ck_assert(dsdt_has("_S5_\x12", 5));
	ck_assert(dsdt_has(button, sizeof(button)));
	ck_assert(dsdt_has("_EVT", 4));
	ck_assert(dsdt_has("ACPI0013", 9));
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("acpi");
	TCase *tcase = tcase_create("tables");
	SRunner *runner;
	int failed;

	tcase_add_loop_test(tcase, rsdp_leads_to_five_tables, 0, ACPI_MACHINES);
	tcase_add_loop_test(tcase, fadt_names_the_ports_of_power_off_reset_and_timer, 0,
			    ACPI_MACHINES);
	tcase_add_loop_test(tcase, madt_lists_every_cpu_once_and_one_ioapic, 0, ACPI_MACHINES);
	tcase_add_loop_test(tcase, srat_says_of_which_node_each_cpu_and_region_is, 0,
			    ACPI_MACHINES);
	tcase_add_loop_test(tcase, slit_has_the_distances_that_were_asked_for, 0, ACPI_MACHINES);
	tcase_add_loop_test(tcase, mcfg_names_the_configuration_space, 0, ACPI_MACHINES);
	tcase_add_test(tcase, tables_that_do_not_fit_are_refused_and_nothing_beyond_is_touched);
	tcase_add_test(tcase, dsdt_has_the_addresses_of_the_headers);
	tcase_set_timeout(tcase, 60);
	suite_add_tcase(suite, tcase);
	runner = srunner_create(suite);
	srunner_run_all(runner, CK_ENV);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed ? 1 : 0;
}
