/* Port and memory-mapped I/O: who is asked, with which offset, and what nobody answers. */
#include "../../vmm/internal.h"

#include <check.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

struct device {
	uint64_t offset;
	unsigned int bytes, reads, writes;
	uint8_t written[8];
};

static struct vmm vmm;
static struct gmig_error err;

static void record(void *opaque, uint64_t offset, uint8_t *data, unsigned int bytes, bool write)
{
	struct device *device = opaque;

	device->offset = offset;
	device->bytes = bytes;
	if (write) {
		device->writes++;
		memcpy(device->written, data, bytes);
	} else {
		device->reads++;
		memset(data, 0x5a, bytes);
	}
}

static struct vmm_io range(struct device *device, uint64_t base, uint64_t bytes)
{
	return (struct vmm_io){
	    .name = "device", .base = base, .bytes = bytes, .access = record, .opaque = device};
}

static void setup(void)
{
	memset(&vmm, 0, sizeof(vmm));
	vmm_bus_init(&vmm.pio);
	vmm_bus_init(&vmm.mmio);
}

static void teardown(void)
{
	vmm_bus_destroy(&vmm.pio);
	vmm_bus_destroy(&vmm.mmio);
}

START_TEST(access_reaches_the_device_with_its_offset)
{
	struct device a = {0}, b = {0};
	struct vmm_io io_a = range(&a, 0x100, 8), io_b = range(&b, 0x108, 8);
	uint8_t data[4] = {1, 2, 3, 4};

	ck_assert_int_eq(vmm_pio_add(&vmm, &io_a, &err), 0);
	ck_assert_int_eq(vmm_pio_add(&vmm, &io_b, &err), 0);
	ck_assert(vmm_bus_access(&vmm.pio, 0x10c, data, 4, true));
	ck_assert_uint_eq(a.writes, 0);
	ck_assert_uint_eq(b.writes, 1);
	ck_assert_uint_eq(b.offset, 4);
	ck_assert_uint_eq(b.bytes, 4);
	ck_assert_mem_eq(b.written, data, 4);
	ck_assert(vmm_bus_access(&vmm.pio, 0x100, data, 1, false));
	ck_assert_uint_eq(a.reads, 1);
	ck_assert_uint_eq(data[0], 0x5a);
}
END_TEST

START_TEST(nobody_reads_as_all_ones)
{
	uint8_t data[8] = {0};

	ck_assert(!vmm_bus_access(&vmm.mmio, 0xfed00000, data, 8, false));
	for (unsigned int i = 0; i < 8; i++)
		ck_assert_uint_eq(data[i], 0xff);
	ck_assert(!vmm_bus_access(&vmm.mmio, 0xfed00000, data, 8, true));
}
END_TEST

START_TEST(access_over_the_end_of_a_range_is_nobodys)
{
	struct device a = {0}, b = {0};
	struct vmm_io io_a = range(&a, 0x100, 8), io_b = range(&b, 0x108, 8);
	uint8_t data[4] = {0};

	ck_assert_int_eq(vmm_pio_add(&vmm, &io_a, &err), 0);
	ck_assert_int_eq(vmm_pio_add(&vmm, &io_b, &err), 0);
	ck_assert(!vmm_bus_access(&vmm.pio, 0x106, data, 4, false));
	ck_assert_uint_eq(a.reads + b.reads, 0);
	ck_assert_uint_eq(data[3], 0xff);
}
END_TEST

START_TEST(overlap_is_refused_and_names_both)
{
	struct device a = {0};
	struct vmm_io first = range(&a, 0x100, 8), second = range(&a, 0x107, 1);

	second.name = "other";
	ck_assert_int_eq(vmm_pio_add(&vmm, &first, &err), 0);
	ck_assert_int_eq(vmm_pio_add(&vmm, &second, &err), -EBUSY);
	ck_assert_ptr_nonnull(strstr(err.text, "other"));
	ck_assert_ptr_nonnull(strstr(err.text, "device"));
	ck_assert_int_eq(vmm_mmio_add(&vmm, &second, &err), 0);
}
END_TEST

START_TEST(range_beyond_the_address_space_is_refused)
{
	struct device a = {0};
	struct vmm_io port = range(&a, 0xffff, 2), empty = range(&a, 0x10, 0);
	struct vmm_io memory = range(&a, UINT64_MAX - 15, 16);

	ck_assert_int_eq(vmm_pio_add(&vmm, &port, &err), -EINVAL);
	ck_assert_int_eq(vmm_pio_add(&vmm, &empty, &err), -EINVAL);
	ck_assert_int_eq(vmm_mmio_add(&vmm, &memory, &err), -EINVAL);
}
END_TEST

START_TEST(one_range_too_many_is_refused)
{
	struct device a = {0};

	for (unsigned int i = 0; i <= VMM_MAX_IO; i++) {
		struct vmm_io io = range(&a, i * 0x10, 0x10);

		ck_assert_int_eq(vmm_pio_add(&vmm, &io, &err), i < VMM_MAX_IO ? 0 : -ENOSPC);
	}
}
END_TEST

START_TEST(moved_range_answers_at_its_new_place_only)
{
	struct device a = {0};
	struct vmm_io io = range(&a, 0xe1000000, 0x1000);
	uint8_t data[4];

	ck_assert_int_eq(vmm_mmio_add(&vmm, &io, &err), 0);
	ck_assert_int_eq(vmm_mmio_move(&vmm, &io, 0xe1800000), 0);
	ck_assert(!vmm_bus_access(&vmm.mmio, 0xe1000010, data, 4, false));
	ck_assert(vmm_bus_access(&vmm.mmio, 0xe1800010, data, 4, false));
	ck_assert_uint_eq(a.offset, 0x10);
	/* Found again by what it is, not by where it is. */
	ck_assert_int_eq(vmm_mmio_move(&vmm, &io, 0xe1800800), 0);
}
END_TEST

START_TEST(switched_off_range_answers_nowhere)
{
	struct device a = {0};
	struct vmm_io io = range(&a, VMM_MMIO_NOWHERE, 0x1000);
	uint8_t data[4];

	ck_assert_int_eq(vmm_mmio_add(&vmm, &io, &err), 0);
	ck_assert(!vmm_bus_access(&vmm.mmio, UINT64_MAX, data, 1, false));
	ck_assert(!vmm_bus_access(&vmm.mmio, 0, data, 1, false));
	ck_assert_int_eq(vmm_mmio_move(&vmm, &io, 0xe1000000), 0);
	ck_assert(vmm_bus_access(&vmm.mmio, 0xe1000fff, data, 1, false));
	ck_assert_int_eq(vmm_mmio_move(&vmm, &io, VMM_MMIO_NOWHERE), 0);
	ck_assert(!vmm_bus_access(&vmm.mmio, 0xe1000fff, data, 1, false));
}
END_TEST

START_TEST(move_onto_another_is_refused_and_changes_nothing)
{
	struct device a = {0}, b = {0};
	struct vmm_io io_a = range(&a, 0xe1000000, 0x1000), io_b = range(&b, 0xe1001000, 0x1000);
	struct vmm_io stranger = range(&a, 0xe1000000, 0x2000);
	uint8_t data[4];

	ck_assert_int_eq(vmm_mmio_add(&vmm, &io_a, &err), 0);
	ck_assert_int_eq(vmm_mmio_add(&vmm, &io_b, &err), 0);
	ck_assert_int_eq(vmm_mmio_move(&vmm, &io_a, 0xe1000800), -EBUSY);
	ck_assert_int_eq(vmm_mmio_move(&vmm, &stranger, 0xe2000000), -ENOENT);
	ck_assert_int_eq(vmm_mmio_move(&vmm, &io_a, UINT64_MAX - 1), -EINVAL);
	ck_assert(vmm_bus_access(&vmm.mmio, 0xe1000000, data, 4, false));
	ck_assert_uint_eq(a.reads, 1);
}
END_TEST

/* A PCI configuration write moves a BAR from within an access. */
static void move_other(void *opaque, uint64_t offset, uint8_t *data, unsigned int bytes, bool write)
{
	(void)offset;
	(void)data;
	(void)bytes;
	(void)write;
	ck_assert_int_eq(vmm_mmio_move(&vmm, opaque, 0xe3000000), 0);
}

START_TEST(handler_may_move_a_range)
{
	struct device a = {0};
	struct vmm_io bar = range(&a, 0xe1000000, 0x1000);
	struct vmm_io config = {.name = "config",
				.base = 0xe0000000,
				.bytes = 0x1000,
				.access = move_other,
				.opaque = &bar};
	uint8_t data[4] = {0};

	ck_assert_int_eq(vmm_mmio_add(&vmm, &bar, &err), 0);
	ck_assert_int_eq(vmm_mmio_add(&vmm, &config, &err), 0);
	ck_assert(vmm_bus_access(&vmm.mmio, 0xe0000000, data, 4, true));
	ck_assert(vmm_bus_access(&vmm.mmio, 0xe3000000, data, 4, false));
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("bus");
	TCase *tcase = tcase_create("bus");
	SRunner *runner;
	int failed;

	tcase_add_checked_fixture(tcase, setup, teardown);
	tcase_add_test(tcase, access_reaches_the_device_with_its_offset);
	tcase_add_test(tcase, nobody_reads_as_all_ones);
	tcase_add_test(tcase, access_over_the_end_of_a_range_is_nobodys);
	tcase_add_test(tcase, overlap_is_refused_and_names_both);
	tcase_add_test(tcase, range_beyond_the_address_space_is_refused);
	tcase_add_test(tcase, one_range_too_many_is_refused);
	tcase_add_test(tcase, moved_range_answers_at_its_new_place_only);
	tcase_add_test(tcase, switched_off_range_answers_nowhere);
	tcase_add_test(tcase, move_onto_another_is_refused_and_changes_nothing);
	tcase_add_test(tcase, handler_may_move_a_range);
	suite_add_tcase(suite, tcase);
	runner = srunner_create(suite);
	srunner_run_all(runner, CK_NORMAL);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
