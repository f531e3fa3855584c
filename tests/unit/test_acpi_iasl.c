/*
 * ACPI tables before an outside judge: ACPICA's iasl disassembles each without a complaint, prints
 * the numbers that went in, and compiles dsdt.asl to the bytes that are checked in. Exit 77 where
 * iasl is not installed.
 */
#include "../../vmm/dsdt.h"
#include "acpi_machines.h"

#include <check.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static uint8_t tables[VMM_ACPI_BYTES];
static char directory[] = "/tmp/gmig-test-acpi-XXXXXX";

static void setup(void)
{
	strcpy(directory + sizeof(directory) - 7, "XXXXXX");
	ck_assert_ptr_nonnull(mkdtemp(directory));
}

static void teardown(void)
{
	char command[128];

	snprintf(command, sizeof(command), "rm -rf %s", directory);
	ck_assert_int_eq(system(command), 0);
}

/* stdout and stderr of a command; its status must be 0. */
static char *output_of(const char *command)
{
	static char text[1 << 20];
	FILE *pipe = popen(command, "r");
	size_t bytes;

	ck_assert_ptr_nonnull(pipe);
	bytes = fread(text, 1, sizeof(text) - 1, pipe);
	text[bytes] = 0;
	ck_assert_msg(pclose(pipe) == 0, "%s: %s", command, text);
	return text;
}

static void write_file(const char *path, const void *data, size_t bytes)
{
	FILE *file = fopen(path, "w");

	ck_assert_ptr_nonnull(file);
	ck_assert_uint_eq(fwrite(data, 1, bytes, file), bytes);
	fclose(file);
}

/* Disassembles the table and returns iasl's listing. */
static const char *disassemble(const uint8_t *table)
{
	char path[64], command[256];
	uint32_t bytes;
	const char *said;

	memcpy(&bytes, table + 4, sizeof(bytes));
	snprintf(path, sizeof(path), "%s/%.4s.dat", directory, (const char *)table);
	write_file(path, table, bytes);
	snprintf(command, sizeof(command), "iasl -d %s 2>&1", path);
	said = output_of(command);
	ck_assert_msg(!strcasestr(said, "error") && !strcasestr(said, "warning"), "%s", said);
	snprintf(command, sizeof(command), "cat %s/%.4s.dsl", directory, (const char *)table);
	said = output_of(command);
	ck_assert_msg(!strstr(said, "****") && !strcasestr(said, "invalid") &&
			  !strcasestr(said, "incorrect") && !strcasestr(said, "unknown"),
		      "%s", said);
	return said;
}

static unsigned int times(const char *text, const char *what)
{
	unsigned int count = 0;

	while ((text = strstr(text, what))) {
		text += strlen(what);
		count++;
	}
	return count;
}

static void check_listing(const char *signature, const char *text, const struct acpi_input *input)
{
	char line[64];

	if (!strncmp(signature, "APIC", 4)) {
		ck_assert_uint_eq(times(text, "[Processor Local APIC]"), input->cpus);
	} else if (!strncmp(signature, "SRAT", 4)) {
		ck_assert_uint_eq(times(text, "[Processor Local x2APIC Affinity]"), input->cpus);
		ck_assert_uint_eq(times(text, "[Memory Affinity]"), input->region_count);
		for (size_t i = 0; i < input->region_count; i++) {
			snprintf(line, sizeof(line), "Address Length : %016llX",
				 (unsigned long long)input->regions[i].bytes);
			ck_assert_msg(strstr(text, line), "no '%s' in %s", line, text);
		}
	} else if (!strncmp(signature, "SLIT", 4)) {
		snprintf(line, sizeof(line), "Localities : %016X", input->node_count);
		ck_assert_msg(strstr(text, line), "no '%s' in %s", line, text);
	} else if (!strncmp(signature, "FACP", 4)) {
		ck_assert_ptr_nonnull(strstr(text, "Hardware Reduced (V5) : 1"));
		ck_assert_ptr_nonnull(strstr(text, "Reset Register Supported (V2) : 1"));
	}
}

START_TEST(every_table_disassembles_without_a_complaint)
{
	const struct acpi_input input = acpi_machine((unsigned int)_i);
	const uint8_t *xsdt, *table;
	uint64_t gpa;
	uint32_t bytes;
	size_t used;

	ck_assert_int_eq(acpi_build(&input, VMM_ACPI_GPA, tables, sizeof(tables), &used), 0);
	memcpy(&gpa, tables + 24, sizeof(gpa));
	xsdt = tables + (gpa - VMM_ACPI_GPA);
	disassemble(xsdt);
	memcpy(&bytes, xsdt + 4, sizeof(bytes));
	for (uint32_t at = 36; at < bytes; at += 8) {
		memcpy(&gpa, xsdt + at, sizeof(gpa));
		table = tables + (gpa - VMM_ACPI_GPA);
		check_listing((const char *)table, disassemble(table), &input);
	}
}
END_TEST

START_TEST(dsdt_disassembles_without_a_complaint)
{
	const char *text = disassemble(dsdt_aml);

	ck_assert_uint_eq(times(text, "Device ("), 5);
	ck_assert_ptr_nonnull(strstr(text, "Name (_S5"));
}
END_TEST

/* iasl writes its own version into the header, so bytes 28 to 35 and the checksum are not compared.
 */
START_TEST(dsdt_is_what_its_source_compiles_to)
{
	char command[4096], path[64];
	static uint8_t aml[4096];
	size_t bytes;
	FILE *file;

	snprintf(command, sizeof(command),
		 "iasl -vs -p %s/dsdt " TEST_SOURCE_DIR "/vmm/dsdt.asl 2>&1", directory);
	ck_assert_ptr_nonnull(strstr(output_of(command), "0 Errors, 0 Warnings"));
	snprintf(path, sizeof(path), "%s/dsdt.aml", directory);
	file = fopen(path, "r");
	ck_assert_ptr_nonnull(file);
	bytes = fread(aml, 1, sizeof(aml), file);
	fclose(file);
	ck_assert_uint_eq(bytes, dsdt_aml_bytes);
	ck_assert_mem_eq(aml, dsdt_aml, 9);
	ck_assert_mem_eq(aml + 10, dsdt_aml + 10, 18);
	ck_assert_mem_eq(aml + 36, dsdt_aml + 36, bytes - 36);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("acpi_iasl");
	TCase *tcase = tcase_create("iasl");
	SRunner *runner;
	int failed;

	if (system("command -v iasl >/dev/null")) {
		puts("skipped: iasl is not installed (Debian: acpica-tools)");
		return 77;
	}
	tcase_add_checked_fixture(tcase, setup, teardown);
	tcase_add_loop_test(tcase, every_table_disassembles_without_a_complaint, 0, ACPI_MACHINES);
	tcase_add_test(tcase, dsdt_disassembles_without_a_complaint);
	tcase_add_test(tcase, dsdt_is_what_its_source_compiles_to);
	tcase_set_timeout(tcase, 60);
	suite_add_tcase(suite, tcase);
	runner = srunner_create(suite);
	srunner_run_all(runner, CK_ENV);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed ? 1 : 0;
}
