/*
 * ACPI tables of a hardware-reduced machine: RSDP, XSDT, FADT, DSDT, MADT, SRAT, SLIT, MCFG.
 * Hardware-reduced means that there is no ACPI interrupt, no PM1 registers and no legacy PIC; only
 * power-off, reset and the PM timer are named, as I/O ports.
 *
 * Source: ACPI Specification 6.5, chapters 4.1 (hardware-reduced), 5.2 (tables); PCI Firmware
 * Specification 3.3, 4.1.2 (MCFG).
 */
#include "boot.h"
#include "dsdt.h"

#include <errno.h>
#include <string.h>

#define RSDP_BYTES	36
#define RSDP_V1_BYTES	20 /* covered by the first of two checksums */
#define HEADER_BYTES	36
#define HEADER_LENGTH	4 /* offsets in the header */
#define HEADER_CHECKSUM 9
#define TABLE_ALIGN	16
#define OEM_ID		"GMIG\0"
#define OEM_TABLE_ID	"GMIGVMM" /* with its NUL: 8 bytes */
#define IO_APIC_ID	0
#define MAX_TABLES	5 /* in the XSDT */

enum fadt_field {
	FADT_DSDT = 40,
	FADT_PM_TMR_BLK = 76,
	FADT_PM_TMR_LEN = 91,
	FADT_IAPC_BOOT_ARCH = 109,
	FADT_FLAGS = 112,
	FADT_RESET_REG = 116,
	FADT_RESET_VALUE = 128,
	FADT_MINOR_VERSION = 131,
	FADT_X_DSDT = 140,
	FADT_X_PM_TMR_BLK = 208,
	FADT_SLEEP_CONTROL_REG = 244,
	FADT_SLEEP_STATUS_REG = 256,
	FADT_HYPERVISOR = 268,
	FADT_BYTES = 276,
};

#define FADT_FLAG_WBINVD	  (1u << 0)
#define FADT_FLAG_PROC_C1	  (1u << 2)
#define FADT_FLAG_PWR_BUTTON	  (1u << 4) /* no fixed power button */
#define FADT_FLAG_SLP_BUTTON	  (1u << 5)
#define FADT_FLAG_TMR_VAL_EXT	  (1u << 8) /* the PM timer has 32 bits */
#define FADT_FLAG_RESET_REG_SUP	  (1u << 10)
#define FADT_FLAG_HW_REDUCED	  (1u << 20)
#define IAPC_VGA_NOT_PRESENT	  (1u << 2)
#define IAPC_CMOS_RTC_NOT_PRESENT (1u << 5)
#define RESET_VALUE		  6

#define GAS_IO	       1
#define GAS_BYTE       1
#define GAS_DWORD      3
#define MADT_LAPIC     0
#define MADT_IOAPIC    1
#define MADT_LAPIC_NMI 4
#define SRAT_MEMORY    1
#define SRAT_X2APIC    2

/* A cursor over the buffer. `full` records an overflow, which is checked once, at the end. */
struct acpi_out {
	uint8_t *buffer;
	size_t bytes, used;
	uint64_t base_gpa;
	bool full;
	uint64_t tables[MAX_TABLES]; /* for the XSDT */
	unsigned int table_count;
};

static void put(struct acpi_out *out, const void *data, size_t bytes)
{
	if (bytes > out->bytes - out->used) {
		out->full = true;
		return;
	}
	if (data)
		memcpy(out->buffer + out->used, data, bytes);
	else
		memset(out->buffer + out->used, 0, bytes);
	out->used += bytes;
}

/* x86 is little-endian, as ACPI is. */
static void put8(struct acpi_out *out, uint8_t value)
{
	put(out, &value, sizeof(value));
}

static void put16(struct acpi_out *out, uint16_t value)
{
	put(out, &value, sizeof(value));
}

static void put32(struct acpi_out *out, uint32_t value)
{
	put(out, &value, sizeof(value));
}

static void put64(struct acpi_out *out, uint64_t value)
{
	put(out, &value, sizeof(value));
}

static void put_zeros(struct acpi_out *out, size_t bytes)
{
	put(out, NULL, bytes);
}

static uint8_t checksum(const uint8_t *data, size_t bytes)
{
	uint8_t sum = 0;

	while (bytes--)
		sum = (uint8_t)(sum + *data++);
	return (uint8_t)-sum;
}

static void align(struct acpi_out *out)
{
	put_zeros(out, -out->used & (TABLE_ALIGN - 1));
}

/* Returns the table's offset, which table_end() takes. */
static size_t table_begin(struct acpi_out *out, const char *signature, uint8_t revision)
{
	size_t start;

	align(out);
	start = out->used;
	put(out, signature, 4);
	put32(out, 0); /* length and checksum: table_end() */
	put8(out, revision);
	put8(out, 0);
	put(out, OEM_ID, 6);
	put(out, OEM_TABLE_ID, 8);
	put32(out, 1);
	put(out, "GMIG", 4);
	put32(out, 1);
	return start;
}

/* Returns the table's gpa. */
static uint64_t table_end(struct acpi_out *out, size_t start)
{
	uint32_t length = (uint32_t)(out->used - start);
	uint8_t *table = out->buffer + start;

	if (!out->full) {
		memcpy(table + HEADER_LENGTH, &length, sizeof(length));
		table[HEADER_CHECKSUM] = checksum(table, length);
	}
	return out->base_gpa + start;
}

static void table_list(struct acpi_out *out, uint64_t gpa)
{
	out->tables[out->table_count++] = gpa;
}

static uint64_t put_dsdt(struct acpi_out *out)
{
	align(out);
	put(out, dsdt_aml, dsdt_aml_bytes);
	return out->base_gpa + out->used - dsdt_aml_bytes;
}

/* Generic address structure of an I/O port. */
static void set_port(uint8_t *field, uint16_t port, uint8_t bits, uint8_t access)
{
	const uint8_t gas[12] = {GAS_IO, bits, 0, access, port & 0xff, port >> 8};

	memcpy(field, gas, sizeof(gas));
}

static void set32(uint8_t *field, uint32_t value)
{
	memcpy(field, &value, sizeof(value));
}

static void put_fadt(struct acpi_out *out, uint64_t dsdt_gpa)
{
	uint8_t fadt[FADT_BYTES] = {0};
	size_t start = table_begin(out, "FACP", 6);

	set32(fadt + FADT_DSDT, (uint32_t)dsdt_gpa);
	set32(fadt + FADT_PM_TMR_BLK, VMM_PORT_PMTMR);
	fadt[FADT_PM_TMR_LEN] = 4;
	fadt[FADT_IAPC_BOOT_ARCH] = IAPC_VGA_NOT_PRESENT | IAPC_CMOS_RTC_NOT_PRESENT;
	set32(fadt + FADT_FLAGS, FADT_FLAG_WBINVD | FADT_FLAG_PROC_C1 | FADT_FLAG_PWR_BUTTON |
				     FADT_FLAG_SLP_BUTTON | FADT_FLAG_TMR_VAL_EXT |
				     FADT_FLAG_RESET_REG_SUP | FADT_FLAG_HW_REDUCED);
	set_port(fadt + FADT_RESET_REG, VMM_PORT_RESET, 8, GAS_BYTE);
	fadt[FADT_RESET_VALUE] = RESET_VALUE;
	fadt[FADT_MINOR_VERSION] = 5;
	memcpy(fadt + FADT_X_DSDT, &dsdt_gpa, sizeof(dsdt_gpa));
	set_port(fadt + FADT_X_PM_TMR_BLK, VMM_PORT_PMTMR, 32, GAS_DWORD);
	set_port(fadt + FADT_SLEEP_CONTROL_REG, VMM_PORT_SLEEP, 8, GAS_BYTE);
	set_port(fadt + FADT_SLEEP_STATUS_REG, VMM_PORT_SLEEP + 1, 8, GAS_BYTE);
	memcpy(fadt + FADT_HYPERVISOR, "GMIGVMM", 8);
	put(out, fadt + HEADER_BYTES, sizeof(fadt) - HEADER_BYTES);
	table_list(out, table_end(out, start));
}

static void put_madt(struct acpi_out *out, const struct acpi_input *input)
{
	size_t start = table_begin(out, "APIC", 5);

	put32(out, VMM_LAPIC_GPA);
	put32(out, 0); /* no dual 8259 */
	for (unsigned int cpu = 0; cpu < input->cpus; cpu++) {
		put8(out, MADT_LAPIC);
		put8(out, 8);
		put8(out, (uint8_t)cpu); /* processor's UID, then its APIC id */
		put8(out, (uint8_t)input->apic_id[cpu]);
		put32(out, 1); /* enabled */
	}
	put8(out, MADT_IOAPIC);
	put8(out, 12);
	put16(out, IO_APIC_ID);
	put32(out, VMM_IOAPIC_GPA);
	put32(out, 0); /* first GSI */
	put8(out, MADT_LAPIC_NMI);
	put8(out, 6);
	put8(out, 0xff); /* all processors */
	put16(out, 0);	 /* edge, active high: as the bus */
	put8(out, 1);	 /* LINT1 */
	table_list(out, table_end(out, start));
}

static void put_srat_cpus(struct acpi_out *out, const struct acpi_input *input, uint32_t node)
{
	for (unsigned int cpu = 0; cpu < input->cpus; cpu++) {
		if (!(input->cpus_of_node[node] >> cpu & 1))
			continue;
		put8(out, SRAT_X2APIC);
		put8(out, 24);
		put16(out, 0);
		put32(out, node);
		put32(out, input->apic_id[cpu]);
		put32(out, 1); /* enabled */
		put_zeros(out, 8);
	}
}

/* A node without CPUs has memory entries only, one without memory CPU entries only; a node that is
 * split around the hole has two of memory. */
static void put_srat(struct acpi_out *out, const struct acpi_input *input)
{
	size_t start = table_begin(out, "SRAT", 3);

	put32(out, 1);
	put_zeros(out, 8);
	for (unsigned int node = 0; node < input->node_count; node++)
		put_srat_cpus(out, input, node);
	for (size_t i = 0; i < input->region_count; i++) {
		put8(out, SRAT_MEMORY);
		put8(out, 40);
		put32(out, input->regions[i].vnode);
		put16(out, 0);
		put64(out, input->regions[i].gpa);
		put64(out, input->regions[i].bytes);
		put32(out, 0);
		put32(out, 1); /* enabled */
		put_zeros(out, 8);
	}
	table_list(out, table_end(out, start));
}

static void put_slit(struct acpi_out *out, const struct acpi_input *input)
{
	size_t start = table_begin(out, "SLIT", 1);

	put64(out, input->node_count);
	for (unsigned int a = 0; a < input->node_count; a++)
		put(out, input->distance[a], input->node_count);
	table_list(out, table_end(out, start));
}

static void put_mcfg(struct acpi_out *out)
{
	size_t start = table_begin(out, "MCFG", 1);

	put_zeros(out, 8);
	put64(out, VMM_ECAM_GPA);
	put16(out, 0); /* segment */
	put8(out, 0);  /* first and last bus */
	put8(out, (uint8_t)((VMM_ECAM_BYTES >> 20) - 1));
	put32(out, 0);
	table_list(out, table_end(out, start));
}

static void set_rsdp(uint8_t *rsdp, uint64_t xsdt_gpa)
{
	const uint32_t length = RSDP_BYTES;

	memcpy(rsdp, "RSD PTR ", 8); /* NOLINT(bugprone-not-null-terminated-result): no text */
	memcpy(rsdp + 9, OEM_ID, 6);
	rsdp[15] = 2; /* revision */
	memcpy(rsdp + 20, &length, sizeof(length));
	memcpy(rsdp + 24, &xsdt_gpa, sizeof(xsdt_gpa));
	rsdp[8] = checksum(rsdp, RSDP_V1_BYTES);
	rsdp[32] = checksum(rsdp, RSDP_BYTES);
}

int acpi_build(const struct acpi_input *input, uint64_t base_gpa, uint8_t *buffer, size_t bytes,
	       size_t *used)
{
	struct acpi_out out = {.buffer = buffer, .bytes = bytes, .base_gpa = base_gpa};
	uint64_t dsdt_gpa, xsdt_gpa;
	size_t start;

	put_zeros(&out, RSDP_BYTES);
	dsdt_gpa = put_dsdt(&out);
	put_fadt(&out, dsdt_gpa);
	put_madt(&out, input);
	put_srat(&out, input);
	put_slit(&out, input);
	put_mcfg(&out);
	start = table_begin(&out, "XSDT", 1);
	for (unsigned int i = 0; i < out.table_count; i++)
		put64(&out, out.tables[i]);
	xsdt_gpa = table_end(&out, start);
	if (out.full)
		return -ENOSPC;
	set_rsdp(buffer, xsdt_gpa);
	*used = out.used;
	return 0;
}
