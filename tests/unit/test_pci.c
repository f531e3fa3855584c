/* Configuration space by both ways, BARs that move, MSI-X masks; power and reset ports. */
#include "fake_machine.h"
#include "suite.h"

#include "../../vmm/boot.h"
#include "../../vmm/pci.h"
#include "../../vmm/power.h"

#include <linux/pci_regs.h>

#define BAR_BYTES 0x4000u

static struct vmm vmm;
static struct vmm_options options;
static struct device_context context;
static void *power, *bus;
static struct pci_function *function[2];
static unsigned int touched[2]; /* accesses to each function's BAR 0 */
static uint64_t last_offset;
static enum pci_dma told[4]; /* what function 0 was told of its DMA gate */
static unsigned int told_count;

static void bar_access(void *opaque, uint64_t offset, uint8_t *data, unsigned int bytes, bool write)
{
	if (!write)
		memset(data, 0x5a, bytes);
	last_offset = offset;
	++*(unsigned int *)opaque;
}

static void dma_changed(void *opaque, enum pci_dma dma)
{
	if (opaque != &touched[0])
		return;
	ck_assert_uint_lt(told_count, 4);
	told[told_count++] = dma;
	pci_msix_send(function[0], 1); /* as a request that ends */
}

static void setup(void)
{
	fake_vmm_init(&vmm, FAKE_REGION_BYTES);
	touched[0] = touched[1] = told_count = 0;
	context = (struct device_context){.vmm = &vmm, .options = &options};
	ck_assert_int_eq(power_device.create(&context, 0, &power, NULL), 0);
	ck_assert_int_eq(pci_device.create(&context, 0, &bus, NULL), 0);
	for (unsigned int i = 0; i < 2; i++) {
		const struct pci_spec spec = {.name = "test",
					      .vendor = 0x1234,
					      .device = (uint16_t)(0x5678 + i),
					      .class_code = 0x00ff00,
					      .revision = 3,
					      .msix_vectors = 4,
					      .bar = {{BAR_BYTES, bar_access}},
					      .dma_changed = dma_changed,
					      .opaque = &touched[i]};

		ck_assert_int_eq(pci_function_create(bus, &spec, &function[i], NULL), 0);
	}
}

static void teardown(void)
{
	pci_device.destroy(bus);
	power_device.destroy(power);
	fake_vmm_destroy(&vmm);
}

static uint64_t config(unsigned int slot, unsigned int offset)
{
	return VMM_ECAM_GPA + (slot << 15) + offset;
}

static uint32_t bar_low(unsigned int slot)
{
	return fake_read(&vmm, config(slot, PCI_BASE_ADDRESS_0), 4) & ~0xfu;
}

static void decode(unsigned int slot, bool on)
{
	fake_write(&vmm, config(slot, PCI_COMMAND), 2,
		   on ? PCI_COMMAND_MEMORY | PCI_COMMAND_MASTER : 0);
}

static uint32_t port_read(uint32_t address, unsigned int bytes)
{
	uint32_t value = 0;

	fake_pio(&vmm, 0xcf8, &address, 4, true);
	fake_pio(&vmm, 0xcfc + (address & 3), &value, bytes, false);
	return value;
}

START_TEST(empty_slot_reads_all_ones)
{
	ck_assert_uint_eq(fake_read(&vmm, config(9, 0), 4), 0xffffffff);
	ck_assert_uint_eq(fake_read(&vmm, config(1, 0) + (1 << 12), 4),
			  0xffffffff); /* function 1 */
	ck_assert_uint_eq(port_read(0x80000000u | 9 << 11, 4), 0xffffffff);
	ck_assert_uint_eq(port_read(0x80000000u | 1 << 16, 4), 0xffffffff); /* bus 1 */
	ck_assert_uint_eq(port_read(1 << 11, 4), 0xffffffff);		    /* not enabled */
}
END_TEST

START_TEST(host_bridge_is_at_slot_0)
{
	ck_assert_uint_eq(fake_read(&vmm, config(0, PCI_CLASS_REVISION), 4) >> 8, 0x060000);
}
END_TEST

START_TEST(both_ways_read_the_same)
{
	for (unsigned int slot = 0; slot < 4; slot++)
		for (unsigned int offset = 0; offset < 256; offset++) {
			uint32_t address = 0x80000000u | slot << 11 | offset;
			unsigned int bytes = offset & 1 ? 1 : offset & 2 ? 2 : 4;

			ck_assert_uint_eq(port_read(address, bytes),
					  fake_read(&vmm, config(slot, offset), bytes));
		}
}
END_TEST

START_TEST(read_beyond_256_bytes_gives_zero)
{
	ck_assert_uint_eq(fake_read(&vmm, config(1, 0x100), 4), 0);
	ck_assert_uint_eq(fake_read(&vmm, config(1, 0xffc), 4), 0);
	fake_write(&vmm, config(1, 0xfc), 4, 0xffffffff);
	fake_write(&vmm, config(1, 0x1fc), 4, 0xffffffff);
}
END_TEST

START_TEST(write_changes_writable_bits_only)
{
	uint8_t before[256], after[256];
	unsigned int i;

	for (i = 0; i < 256; i++)
		before[i] = (uint8_t)fake_read(&vmm, config(1, i), 1);
	for (i = 0; i < 256; i++)
		if (i < PCI_BASE_ADDRESS_0 || i >= PCI_BASE_ADDRESS_0 + 24)
			fake_write(&vmm, config(1, i), 1, 0xff);
	for (i = 0; i < 256; i++)
		after[i] = (uint8_t)fake_read(&vmm, config(1, i), 1);
	ck_assert_mem_eq(before, after, PCI_COMMAND);
	ck_assert_mem_eq(before + PCI_STATUS, after + PCI_STATUS, PCI_CACHE_LINE_SIZE - PCI_STATUS);
	ck_assert_mem_eq(before + PCI_SUBSYSTEM_VENDOR_ID, after + PCI_SUBSYSTEM_VENDOR_ID, 16);
}
END_TEST

START_TEST(bar_sizing_tells_the_size)
{
	uint32_t low = bar_low(1);

	fake_write(&vmm, config(1, PCI_BASE_ADDRESS_0), 4, 0xffffffff);
	fake_write(&vmm, config(1, PCI_BASE_ADDRESS_1), 4, 0xffffffff);
	ck_assert_uint_eq(fake_read(&vmm, config(1, PCI_BASE_ADDRESS_0), 4), ~(BAR_BYTES - 1) | 4);
	ck_assert_uint_eq(fake_read(&vmm, config(1, PCI_BASE_ADDRESS_1), 4), 0xffffffff);
	fake_write(&vmm, config(1, PCI_BASE_ADDRESS_0), 4, low);
	fake_write(&vmm, config(1, PCI_BASE_ADDRESS_1), 4, 0);
	ck_assert_uint_eq(bar_low(1), low);
	/* BAR 4 is none. */
	fake_write(&vmm, config(1, PCI_BASE_ADDRESS_4), 4, 0xffffffff);
	ck_assert_uint_eq(fake_read(&vmm, config(1, PCI_BASE_ADDRESS_4), 4), 0);
}
END_TEST

START_TEST(bar_answers_only_while_decoded)
{
	uint32_t at = bar_low(1);

	fake_read(&vmm, at, 4);
	ck_assert_uint_eq(touched[0], 0);
	decode(1, true);
	ck_assert_uint_eq(fake_read(&vmm, at + 0x123, 1), 0x5a);
	ck_assert_uint_eq(touched[0], 1);
	ck_assert_uint_eq(last_offset, 0x123);
	decode(1, false);
	fake_read(&vmm, at, 4);
	ck_assert_uint_eq(touched[0], 1);
}
END_TEST

START_TEST(bar_moves_with_its_register)
{
	uint32_t at = bar_low(1);

	decode(1, true);
	fake_write(&vmm, config(1, PCI_BASE_ADDRESS_0), 4, 0xe1800000);
	fake_read(&vmm, at, 4);
	ck_assert_uint_eq(touched[0], 0);
	fake_read(&vmm, 0xe1800000, 4);
	ck_assert_uint_eq(touched[0], 1);
	/* Above 4 GiB. */
	fake_write(&vmm, config(1, PCI_BASE_ADDRESS_1), 4, 0x10);
	fake_read(&vmm, 0x10e1800000, 4);
	ck_assert_uint_eq(touched[0], 2);
	/* Where nothing can be. */
	fake_write(&vmm, config(1, PCI_BASE_ADDRESS_1), 4, 0xffffffff);
	fake_read(&vmm, 0xffffffffe1800000, 4);
	ck_assert_uint_eq(touched[0], 2);
}
END_TEST

START_TEST(bar_over_another_device_hides_until_moved_away)
{
	uint32_t other = bar_low(2);

	decode(1, true);
	decode(2, true);
	fake_write(&vmm, config(1, PCI_BASE_ADDRESS_0), 4, other);
	fake_read(&vmm, other, 4);
	ck_assert_uint_eq(touched[0], 0);
	ck_assert_uint_eq(touched[1], 1);
	fake_write(&vmm, config(1, PCI_BASE_ADDRESS_0), 4,
		   VMM_ECAM_GPA); /* nor over configuration space */
	ck_assert_uint_eq(fake_read(&vmm, config(1, PCI_VENDOR_ID), 2), 0x1234);
	fake_write(&vmm, config(1, PCI_BASE_ADDRESS_0), 4, 0xe1900000);
	fake_read(&vmm, 0xe1900000, 4);
	ck_assert_uint_eq(touched[0], 1);
}
END_TEST

START_TEST(reset_brings_bars_and_command_back)
{
	uint32_t at = bar_low(1);

	decode(1, true);
	fake_write(&vmm, config(1, PCI_BASE_ADDRESS_0), 4, 0xe1800000);
	pci_bus_reset(bus);
	ck_assert_uint_eq(bar_low(1), at);
	ck_assert_uint_eq(fake_read(&vmm, config(1, PCI_COMMAND), 2), 0);
	fake_read(&vmm, 0xe1800000, 4);
	fake_read(&vmm, at, 4);
	ck_assert_uint_eq(touched[0], 0);
	decode(1, true);
	fake_read(&vmm, at, 4);
	ck_assert_uint_eq(touched[0], 1);
}
END_TEST

/* ---- MSI-X ----------------------------------------------------------------------------------- */

static uint32_t msix_table;

static unsigned int find_msix(void)
{
	unsigned int at = fake_read(&vmm, config(1, PCI_CAPABILITY_LIST), 1), steps = 0;

	while (at && fake_read(&vmm, config(1, at), 1) != PCI_CAP_ID_MSIX) {
		ck_assert_uint_lt(steps++, 16);
		at = fake_read(&vmm, config(1, at + 1), 1);
	}
	return at;
}

static void msix_control(uint16_t value)
{
	fake_write(&vmm, config(1, find_msix() + PCI_MSIX_FLAGS), 2, value);
}

static void msix_entry(unsigned int vector, uint32_t data, bool masked)
{
	fake_write(&vmm, msix_table + 16 * vector, 4, 0xfee01000);
	fake_write(&vmm, msix_table + 16 * vector + 8, 4, data);
	fake_write(&vmm, msix_table + 16 * vector + 12, 4, masked);
}

static void msix_setup(void)
{
	decode(1, true);
	msix_table = fake_read(&vmm, config(1, PCI_BASE_ADDRESS_2), 4) & ~0xfu;
	ck_assert_uint_eq(fake_read(&vmm, config(1, find_msix() + PCI_MSIX_FLAGS), 2), 3);
	ck_assert_uint_eq(fake_read(&vmm, config(1, find_msix() + PCI_MSIX_TABLE), 4), 2);
}

START_TEST(msix_vector_is_delivered)
{
	msix_setup();
	msix_entry(2, 0x42, false);
	pci_msix_send(function[0], 2);
	ck_assert_uint_eq(vmm.msi_count, 0); /* not switched on */
	msix_control(PCI_MSIX_FLAGS_ENABLE);
	pci_msix_send(function[0], 2);
	ck_assert_uint_eq(vmm.msi_count, 1);
	ck_assert_uint_eq(vmm.msi_address, 0xfee01000);
	ck_assert_uint_eq(vmm.msi_data, 0x42);
	pci_msix_send(function[0], 4);
	pci_msix_send(function[0], PCI_NO_VECTOR);
	ck_assert_uint_eq(vmm.msi_count, 1);
}
END_TEST

START_TEST(msix_masked_vector_waits_and_shows_pending)
{
	msix_setup();
	msix_control(PCI_MSIX_FLAGS_ENABLE);
	msix_entry(1, 0x41, true);
	pci_msix_send(function[0], 1);
	pci_msix_send(function[0], 1);
	ck_assert_uint_eq(vmm.msi_count, 0);
	ck_assert_uint_eq(fake_read(&vmm, msix_table + 0x800, 4), 2);
	msix_entry(1, 0x51, false); /* the message as it is when it is sent */
	ck_assert_uint_eq(vmm.msi_count, 1);
	ck_assert_uint_eq(vmm.msi_data, 0x51);
	ck_assert_uint_eq(fake_read(&vmm, msix_table + 0x800, 4), 0);
}
END_TEST

START_TEST(msix_function_mask_holds_all_back)
{
	msix_setup();
	msix_control(PCI_MSIX_FLAGS_ENABLE | PCI_MSIX_FLAGS_MASKALL);
	msix_entry(0, 0x40, false);
	msix_entry(3, 0x43, false);
	pci_msix_send(function[0], 0);
	pci_msix_send(function[0], 3);
	ck_assert_uint_eq(vmm.msi_count, 0);
	msix_control(PCI_MSIX_FLAGS_ENABLE);
	ck_assert_uint_eq(vmm.msi_count, 2);
}
END_TEST

START_TEST(msix_entries_are_masked_after_reset)
{
	msix_setup();
	msix_control(PCI_MSIX_FLAGS_ENABLE);
	msix_entry(0, 0x40, false);
	pci_bus_reset(bus);
	decode(1, true);
	msix_control(PCI_MSIX_FLAGS_ENABLE);
	pci_msix_send(function[0], 0);
	ck_assert_uint_eq(vmm.msi_count, 0);
	ck_assert_uint_eq(fake_read(&vmm, msix_table + 12, 4), 1);
}
END_TEST

START_TEST(msix_table_access_outside_is_harmless)
{
	static const unsigned int offsets[] = {63, 64, 0x7fc, 0x7ff, 0x800, 0x807, 0x808, 0xffc};

	msix_setup();
	for (unsigned int i = 0; i < sizeof(offsets) / sizeof(offsets[0]); i++) {
		fake_write(&vmm, msix_table + offsets[i], 4, 0xffffffff);
		fake_read(&vmm, msix_table + offsets[i], 4);
	}
	ck_assert_uint_eq(fake_read(&vmm, msix_table + 0x800, 4), 0);
}
END_TEST

static void command(uint16_t value)
{
	fake_write(&vmm, config(1, PCI_COMMAND), 2, value);
}

START_TEST(msix_without_bus_master_waits_until_it_is_set)
{
	msix_setup();
	msix_entry(2, 0x42, false);
	msix_control(PCI_MSIX_FLAGS_ENABLE);
	command(PCI_COMMAND_MEMORY);
	vmm.msi_count = 0;
	pci_msix_send(function[0], 2);
	ck_assert_uint_eq(vmm.msi_count, 0);
	msix_entry(2, 0x43, false); /* nor by touching the table or the mask */
	msix_control(PCI_MSIX_FLAGS_ENABLE);
	ck_assert_uint_eq(vmm.msi_count, 0);
	command(PCI_COMMAND_MEMORY | PCI_COMMAND_MASTER);
	ck_assert_uint_eq(vmm.msi_count, 1);
	ck_assert_uint_eq(vmm.msi_data, 0x43);
}
END_TEST

START_TEST(dma_gate_follows_bus_master)
{
	ck_assert_int_eq(pci_dma(function[0]), PCI_DMA_CLOSED);
	command(PCI_COMMAND_MASTER);
	ck_assert_int_eq(pci_dma(function[0]), PCI_DMA_OPEN);
	ck_assert_int_eq(pci_dma(function[1]), PCI_DMA_CLOSED);
	command(PCI_COMMAND_MASTER | PCI_COMMAND_MEMORY);
	fake_write(&vmm, config(1, PCI_COMMAND + 1), 1, PCI_COMMAND_INTX_DISABLE >> 8);
	command(PCI_COMMAND_MEMORY);
	command(0);
	ck_assert_int_eq(pci_dma(function[0]), PCI_DMA_CLOSED);
	ck_assert_uint_eq(told_count, 2);
	ck_assert_int_eq(told[0], PCI_DMA_OPEN);
	ck_assert_int_eq(told[1], PCI_DMA_DRAINING);
	command(PCI_COMMAND_MASTER);
	pci_bus_reset(bus);
	ck_assert_int_eq(pci_dma(function[0]), PCI_DMA_CLOSED);
}
END_TEST

START_TEST(dma_gate_lets_out_what_ends_while_it_closes)
{
	msix_setup();
	msix_entry(1, 0x41, false);
	msix_control(PCI_MSIX_FLAGS_ENABLE);
	command(PCI_COMMAND_MEMORY);
	ck_assert_int_eq(told[told_count - 1], PCI_DMA_DRAINING);
	ck_assert_uint_eq(vmm.msi_count, 1);
}
END_TEST

/* ---- Power ----------------------------------------------------------------------------------- */

START_TEST(sleep_register_powers_off)
{
	fake_out(&vmm, VMM_PORT_SLEEP, 5 << 2);
	ck_assert_int_eq(vmm.end, VMM_END_NONE); /* the enable bit is missing */
	fake_out(&vmm, VMM_PORT_SLEEP, 5 << 2 | 0x20);
	ck_assert_int_eq(vmm.end, VMM_END_POWER_OFF);
}
END_TEST

START_TEST(reset_register_reboots_but_the_address_port_does_not)
{
	uint32_t address = 0x80000600u; /* the byte at 0xcf9 would be a reset */

	fake_pio(&vmm, 0xcf8, &address, 4, true);
	ck_assert_int_eq(vmm.end, VMM_END_NONE);
	address = 0;
	fake_pio(&vmm, 0xcf8, &address, 4, false);
	ck_assert_uint_eq(address, 0x80000600u);
	fake_out(&vmm, VMM_PORT_RESET, 2);
	ck_assert_int_eq(vmm.end, VMM_END_NONE);
	fake_out(&vmm, VMM_PORT_RESET, 6);
	ck_assert_int_eq(vmm.end, VMM_END_REBOOT);
}
END_TEST

START_TEST(keyboard_controller_reboots)
{
	ck_assert_uint_eq(fake_in(&vmm, 0x64), 0); /* ready for a command */
	fake_out(&vmm, 0x64, 0xd1);
	ck_assert_int_eq(vmm.end, VMM_END_NONE);
	fake_out(&vmm, 0x64, 0xfe);
	ck_assert_int_eq(vmm.end, VMM_END_REBOOT);
}
END_TEST

START_TEST(pm_timer_counts_at_its_rate_and_wraps)
{
	uint32_t first = 0, second = 0;

	ck_assert_uint_eq(power_timer_value(0), 0);
	ck_assert_uint_eq(power_timer_value(1000000000ull), 3579545);
	ck_assert_uint_eq(power_timer_value(100000000ull), 357954);
	ck_assert_uint_eq(power_timer_value(3600ull * 1000000000ull),
			  (uint32_t)(3600ull * 3579545));
	ck_assert_uint_eq(power_timer_value(86400ull * 365 * 1000000000ull),
			  (uint32_t)(86400ull * 365 * 3579545));
	fake_pio(&vmm, VMM_PORT_PMTMR, &first, 4, false);
	poll(NULL, 0, 10);
	fake_pio(&vmm, VMM_PORT_PMTMR, &second, 4, false);
	ck_assert_uint_gt(second - first, 35000);
}
END_TEST

int main(void)
{
	const TTest *const tests[] = {
	    empty_slot_reads_all_ones,
	    host_bridge_is_at_slot_0,
	    both_ways_read_the_same,
	    read_beyond_256_bytes_gives_zero,
	    write_changes_writable_bits_only,
	    bar_sizing_tells_the_size,
	    bar_answers_only_while_decoded,
	    bar_moves_with_its_register,
	    bar_over_another_device_hides_until_moved_away,
	    reset_brings_bars_and_command_back,
	    msix_vector_is_delivered,
	    msix_masked_vector_waits_and_shows_pending,
	    msix_function_mask_holds_all_back,
	    msix_entries_are_masked_after_reset,
	    msix_table_access_outside_is_harmless,
	    msix_without_bus_master_waits_until_it_is_set,
	    dma_gate_follows_bus_master,
	    dma_gate_lets_out_what_ends_while_it_closes,
	    sleep_register_powers_off,
	    reset_register_reboots_but_the_address_port_does_not,
	    keyboard_controller_reboots,
	    pm_timer_counts_at_its_rate_and_wraps,
	};

	return run_tests("pci", setup, teardown, tests, sizeof(tests) / sizeof(tests[0]));
}
