/* The virtio transport as a driver sees it, on the rng device, which has one queue and no
 * configuration. */
#include "fake_machine.h"
#include "suite.h"
#include "virtio_driver.h"

#include <linux/virtio_ids.h>

#define VERSION_1 (1ull << VIRTIO_F_VERSION_1)
#define DATA_GPA  0x200000ull

static struct vmm vmm;
static struct vmm_options options;
static struct device_context context;
static void *bus, *rng;
static struct driver driver;

static void setup(void)
{
	fake_vmm_init(&vmm, FAKE_REGION_BYTES);
	context = (struct device_context){.vmm = &vmm, .options = &options};
	ck_assert_int_eq(pci_device.create(&context, 0, &bus, NULL), 0);
	ck_assert_int_eq(rng_device.create(&context, 0, &rng, NULL), 0);
	driver_probe(&driver, &vmm, VIRTIO_ID_RNG);
}

static void teardown(void)
{
	rng_device.destroy(rng);
	pci_device.destroy(bus);
	fake_vmm_destroy(&vmm);
}

static void select_queue(uint16_t queue)
{
	fake_write(&vmm, driver.common + VIRTIO_PCI_COMMON_Q_SELECT, 2, queue);
}

static uint32_t common(unsigned int offset, unsigned int bytes)
{
	return fake_read(&vmm, driver.common + offset, bytes);
}

START_TEST(features_are_offered)
{
	ck_assert_uint_eq(driver_offered(&driver), VERSION_1 | 1ull << VIRTIO_RING_F_EVENT_IDX |
						       1ull << VIRTIO_RING_F_INDIRECT_DESC);
	fake_write(&vmm, driver.common + VIRTIO_PCI_COMMON_DFSELECT, 4, 2);
	ck_assert_uint_eq(common(VIRTIO_PCI_COMMON_DF, 4), 0);
}
END_TEST

START_TEST(features_without_version_1_are_refused)
{
	ck_assert(!driver_negotiate(&driver, 0));
	ck_assert(!driver_negotiate(&driver, 1ull << VIRTIO_RING_F_EVENT_IDX));
	ck_assert(driver_negotiate(&driver, VERSION_1));
}
END_TEST

START_TEST(features_not_offered_are_refused)
{
	ck_assert(!driver_negotiate(&driver, VERSION_1 | 1));
	ck_assert(!driver_negotiate(&driver, VERSION_1 | 1ull << VIRTIO_F_ACCESS_PLATFORM));
}
END_TEST

START_TEST(features_are_fixed_after_features_ok)
{
	ck_assert(driver_negotiate(&driver, VERSION_1));
	fake_write(&vmm, driver.common + VIRTIO_PCI_COMMON_GFSELECT, 4, 0);
	fake_write(&vmm, driver.common + VIRTIO_PCI_COMMON_GF, 4, 0xffffffff);
	ck_assert_uint_eq(common(VIRTIO_PCI_COMMON_GF, 4), 0);
}
END_TEST

START_TEST(driver_ok_without_features_is_refused)
{
	driver_set_status(&driver, VIRTIO_CONFIG_S_ACKNOWLEDGE | VIRTIO_CONFIG_S_DRIVER |
				       VIRTIO_CONFIG_S_DRIVER_OK);
	ck_assert_uint_eq(driver_status(&driver),
			  VIRTIO_CONFIG_S_ACKNOWLEDGE | VIRTIO_CONFIG_S_DRIVER);
}
END_TEST

START_TEST(status_bits_go_only_by_reset)
{
	ck_assert(driver_negotiate(&driver, VERSION_1));
	driver_set_status(&driver, VIRTIO_CONFIG_S_ACKNOWLEDGE);
	ck_assert_uint_ne(driver_status(&driver) & VIRTIO_CONFIG_S_FEATURES_OK, 0);
	driver_set_status(&driver, VIRTIO_CONFIG_S_NEEDS_RESET | VIRTIO_CONFIG_S_ACKNOWLEDGE);
	ck_assert_uint_eq(driver_status(&driver) & VIRTIO_CONFIG_S_NEEDS_RESET, 0);
	driver_set_status(&driver, 0);
	ck_assert_uint_eq(driver_status(&driver), 0);
}
END_TEST

START_TEST(queue_registers_read_back)
{
	driver_setup_queue(&driver, 0);
	ck_assert_uint_eq(common(VIRTIO_PCI_COMMON_NUMQ, 2), 1);
	ck_assert_uint_eq(common(VIRTIO_PCI_COMMON_Q_ENABLE, 2),
			  0); /* 16 are more than this device has */
	ck_assert_uint_ne(driver_status(&driver) & VIRTIO_CONFIG_S_NEEDS_RESET, 0);
	driver_set_status(&driver, 0);
	ck_assert_uint_eq(common(VIRTIO_PCI_COMMON_Q_SIZE, 2), 8);
	fake_write(&vmm, driver.common + VIRTIO_PCI_COMMON_Q_AVAILHI, 4, 0x12345678);
	fake_write(&vmm, driver.common + VIRTIO_PCI_COMMON_Q_AVAILLO, 4, 0x9abcdef0);
	ck_assert_uint_eq(common(VIRTIO_PCI_COMMON_Q_AVAILHI, 4), 0x12345678);
	ck_assert_uint_eq(common(VIRTIO_PCI_COMMON_Q_AVAILLO, 4), 0x9abcdef0);
	/* There is no queue 1. */
	select_queue(1);
	ck_assert_uint_eq(common(VIRTIO_PCI_COMMON_Q_SIZE, 2), 0);
	fake_write(&vmm, driver.common + VIRTIO_PCI_COMMON_Q_ENABLE, 2, 1);
	select_queue(0xffff);
	fake_write(&vmm, driver.common + VIRTIO_PCI_COMMON_Q_ENABLE, 2, 1);
	ck_assert_uint_eq(common(VIRTIO_PCI_COMMON_Q_ENABLE, 2), 0);
}
END_TEST

START_TEST(vector_that_does_not_exist_reads_as_none)
{
	fake_write(&vmm, driver.common + VIRTIO_PCI_COMMON_MSIX, 2, 2);
	ck_assert_uint_eq(common(VIRTIO_PCI_COMMON_MSIX, 2), VIRTIO_MSI_NO_VECTOR);
	fake_write(&vmm, driver.common + VIRTIO_PCI_COMMON_MSIX, 2, 1);
	ck_assert_uint_eq(common(VIRTIO_PCI_COMMON_MSIX, 2), 1);
	select_queue(0);
	fake_write(&vmm, driver.common + VIRTIO_PCI_COMMON_Q_MSIX, 2, 2);
	ck_assert_uint_eq(common(VIRTIO_PCI_COMMON_Q_MSIX, 2), VIRTIO_MSI_NO_VECTOR);
}
END_TEST

/* A ring of 8, which rng has. */
static void start_rng(void)
{
	ck_assert(driver_negotiate(&driver, VERSION_1));
	fake_write(&vmm, driver.common + VIRTIO_PCI_COMMON_MSIX, 2, 0);
	select_queue(0);
	fake_write(&vmm, driver.common + VIRTIO_PCI_COMMON_Q_SIZE, 2, 8);
	fake_write(&vmm, driver.common + VIRTIO_PCI_COMMON_Q_MSIX, 2, 1);
	fake_write(&vmm, driver.common + VIRTIO_PCI_COMMON_Q_DESCLO, 4, DRIVER_RING_GPA);
	fake_write(&vmm, driver.common + VIRTIO_PCI_COMMON_Q_AVAILLO, 4, DRIVER_RING_GPA + 0x1000);
	fake_write(&vmm, driver.common + VIRTIO_PCI_COMMON_Q_USEDLO, 4, DRIVER_RING_GPA + 0x2000);
	fake_write(&vmm, driver.common + VIRTIO_PCI_COMMON_Q_ENABLE, 2, 1);
	memset(vmm_guest_ptr(&vmm, DRIVER_RING_GPA, 0x3000), 0, 0x3000);
	driver_set_status(&driver, driver_status(&driver) | VIRTIO_CONFIG_S_DRIVER_OK);
}

static void ask(uint32_t bytes)
{
	struct vring_desc *desc = driver_desc(&driver, 0);
	struct vring_avail *avail = driver_avail(&driver, 0);

	desc[0] = (struct vring_desc){.addr = DATA_GPA, .len = bytes, .flags = VRING_DESC_F_WRITE};
	avail->ring[avail->idx % 8] = 0;
	avail->idx++;
	driver_notify(&driver, 0);
	ck_assert(fake_loop_run(&vmm));
}

START_TEST(request_is_answered_with_an_interrupt)
{
	struct vring_used *used = driver_used_ring(&driver, 0);
	const uint8_t *data = vmm_guest_ptr(&vmm, DATA_GPA, 4096);
	unsigned int i, zero = 0;

	start_rng();
	ask(4096);
	ck_assert_uint_eq(used->idx, 1);
	ck_assert_uint_eq(used->ring[0].len, 4096);
	ck_assert_uint_eq(vmm.msi_count, 1);
	ck_assert_uint_eq(vmm.msi_data, 0x41);
	for (i = 0; i < 4096; i++)
		zero += !data[i];
	ck_assert_uint_lt(zero, 100); /* 16 to be expected */
	ck_assert_uint_eq(fake_read(&vmm, driver.isr, 1), 1);
	ck_assert_uint_eq(fake_read(&vmm, driver.isr, 1), 0);
}
END_TEST

START_TEST(huge_request_is_answered_in_part)
{
	start_rng();
	ask(FAKE_RAM_BYTES - DATA_GPA);
	ck_assert_uint_eq(driver_used_ring(&driver, 0)->ring[0].len, 65536);
}
END_TEST

START_TEST(request_before_driver_ok_is_left_alone)
{
	start_rng();
	driver_set_status(&driver, 0);
	ask(16);
	ck_assert_uint_eq(driver_used_ring(&driver, 0)->idx, 0);
}
END_TEST

START_TEST(request_without_bus_master_waits_until_it_is_set)
{
	uint8_t *data = vmm_guest_ptr(&vmm, DATA_GPA, 64);

	start_rng();
	driver_bus_master(&driver, false);
	memset(data, 0x77, 64);
	ask(64);
	ck_assert_uint_eq(driver_used_ring(&driver, 0)->idx, 0);
	ck_assert_uint_eq(vmm.msi_count, 0);
	for (unsigned int i = 0; i < 64; i++)
		ck_assert_uint_eq(data[i], 0x77);
	driver_bus_master(&driver, true); /* without a second notification */
	ck_assert(fake_loop_run(&vmm));
	ck_assert_uint_eq(driver_used_ring(&driver, 0)->idx, 1);
	ck_assert_uint_eq(vmm.msi_count, 1);
}
END_TEST

START_TEST(failure_without_bus_master_interrupts_when_it_is_set)
{
	start_rng();
	driver_bus_master(&driver, false);
	driver_setup_queue(&driver, 0); /* enabled already: ignored */
	driver_set_status(&driver, 0);
	ck_assert(driver_negotiate(&driver, VERSION_1));
	fake_write(&vmm, driver.common + VIRTIO_PCI_COMMON_MSIX, 2, 0);
	driver_set_status(&driver, driver_status(&driver) | VIRTIO_CONFIG_S_DRIVER_OK);
	driver_setup_queue(&driver, 0); /* too long for this device */
	ck_assert_uint_ne(driver_status(&driver) & VIRTIO_CONFIG_S_NEEDS_RESET, 0);
	ck_assert_uint_eq(vmm.msi_count, 0);
	driver_bus_master(&driver, true);
	ck_assert_uint_eq(vmm.msi_count, 1);
	ck_assert_uint_eq(vmm.msi_data, 0x40);
}
END_TEST

START_TEST(nonsense_in_the_ring_asks_for_reset_and_tells_the_driver)
{
	start_rng();
	driver_desc(&driver, 0)[0] = (struct vring_desc){.addr = UINT64_MAX, .len = 16};
	driver_avail(&driver, 0)->idx = 1;
	driver_notify(&driver, 0);
	ck_assert(fake_loop_run(&vmm));
	ck_assert_uint_ne(driver_status(&driver) & VIRTIO_CONFIG_S_NEEDS_RESET, 0);
	ck_assert_uint_eq(vmm.msi_count, 1);
	ck_assert_uint_eq(vmm.msi_data, 0x40); /* configuration change */
	ask(16);
	ck_assert_uint_eq(driver_used_ring(&driver, 0)->idx, 0);
	/* And after the reset it works again. */
	start_rng();
	ask(16);
	ck_assert_uint_eq(driver_used_ring(&driver, 0)->idx, 1);
}
END_TEST

START_TEST(machine_reset_is_a_device_reset)
{
	start_rng();
	rng_device.reset(rng);
	pci_device.reset(bus);
	vmm.msi_count = 0;
	driver_probe(&driver, &vmm, VIRTIO_ID_RNG);
	ck_assert_uint_eq(driver_status(&driver), 0);
	ck_assert_uint_eq(common(VIRTIO_PCI_COMMON_MSIX, 2), VIRTIO_MSI_NO_VECTOR);
	start_rng();
	ask(16);
	ck_assert_uint_eq(driver_used_ring(&driver, 0)->idx, 1);
}
END_TEST

START_TEST(notification_of_absent_queue_is_ignored)
{
	start_rng();
	fake_write(&vmm, driver.notify + 4, 2, 1);
	fake_write(&vmm, driver.notify + 0xffc, 4, 0xffffffff);
	ck_assert(fake_loop_run(&vmm));
}
END_TEST

START_TEST(window_in_configuration_space_reaches_the_registers)
{
	uint64_t at = 0;
	unsigned int cap = fake_read(&vmm, driver.config_gpa + PCI_CAPABILITY_LIST, 1);

	for (; cap; cap = fake_read(&vmm, driver.config_gpa + cap + 1, 1))
		if (fake_read(&vmm, driver.config_gpa + cap, 1) == PCI_CAP_ID_VNDR &&
		    fake_read(&vmm, driver.config_gpa + cap + 3, 1) == VIRTIO_PCI_CAP_PCI_CFG)
			at = driver.config_gpa + cap;
	ck_assert_uint_ne(at, 0);
	fake_write(&vmm, at + VIRTIO_PCI_CAP_BAR, 1, 0);
	fake_write(&vmm, at + VIRTIO_PCI_CAP_OFFSET, 4, VIRTIO_PCI_COMMON_STATUS);
	fake_write(&vmm, at + VIRTIO_PCI_CAP_LENGTH, 4, 1);
	fake_write(&vmm, at + 16, 1, VIRTIO_CONFIG_S_ACKNOWLEDGE);
	ck_assert_uint_eq(driver_status(&driver), VIRTIO_CONFIG_S_ACKNOWLEDGE);
	ck_assert_uint_eq(fake_read(&vmm, at + 16, 1), VIRTIO_CONFIG_S_ACKNOWLEDGE);
	/* Beyond the BAR: nothing happens. */
	fake_write(&vmm, at + VIRTIO_PCI_CAP_LENGTH, 4, 4);
	fake_write(&vmm, at + VIRTIO_PCI_CAP_OFFSET, 4, 0xfffffffc);
	fake_write(&vmm, at + 16, 4, 0xffffffff);
	fake_read(&vmm, at + 16, 4);
	fake_write(&vmm, at + VIRTIO_PCI_CAP_BAR, 1, 2);
	fake_read(&vmm, at + 16, 4);
}
END_TEST

int main(void)
{
	const TTest *const tests[] = {
	    features_are_offered,
	    features_without_version_1_are_refused,
	    features_not_offered_are_refused,
	    features_are_fixed_after_features_ok,
	    driver_ok_without_features_is_refused,
	    status_bits_go_only_by_reset,
	    queue_registers_read_back,
	    vector_that_does_not_exist_reads_as_none,
	    request_is_answered_with_an_interrupt,
	    huge_request_is_answered_in_part,
	    request_before_driver_ok_is_left_alone,
	    request_without_bus_master_waits_until_it_is_set,
	    failure_without_bus_master_interrupts_when_it_is_set,
	    nonsense_in_the_ring_asks_for_reset_and_tells_the_driver,
	    machine_reset_is_a_device_reset,
	    notification_of_absent_queue_is_ignored,
	    window_in_configuration_space_reaches_the_registers,
	};

	return run_tests("virtio_pci", setup, teardown, tests, sizeof(tests) / sizeof(tests[0]));
}
