/* virtio-blk on a file: data, errors, resets, what the driver does wrong. */
#include "blk_rig.h"
#include "fake_machine.h"

START_TEST(capacity_is_whole_sectors)
{
	start(false, SECTORS * 512 + 100);
	ck_assert_uint_eq(fake_read(&vmm, driver.device, 4), SECTORS);
	ck_assert_uint_eq(fake_read(&vmm, driver.device + 4, 4), 0);
	ck_assert_uint_eq(
	    fake_read(&vmm, driver.device + offsetof(struct virtio_blk_config, blk_size), 4), 512);
}
END_TEST

START_TEST(write_then_read_gives_the_data)
{
	uint8_t want[4096];
	uint32_t bytes;

	start(false, SECTORS * 512);
	for (unsigned int i = 0; i < sizeof(want); i++)
		want[i] = (uint8_t)(i * 7 + i / 256);
	for (int i = 0; i < 2; i++) {
		short_transfers = i;
		memcpy(data(), want, sizeof(want));
		ck_assert_uint_eq(request(VIRTIO_BLK_T_OUT, 8, sizeof(want), &bytes),
				  VIRTIO_BLK_S_OK);
		ck_assert_uint_eq(bytes, 1);
		memset(data(), 0, sizeof(want));
		ck_assert_uint_eq(request(VIRTIO_BLK_T_IN, 8, sizeof(want), &bytes),
				  VIRTIO_BLK_S_OK);
		ck_assert_uint_eq(bytes, sizeof(want) + 1);
		ck_assert_mem_eq(data(), want, sizeof(want));
	}
}
END_TEST

START_TEST(last_sector_works_and_beyond_fails)
{
	start(false, SECTORS * 512);
	ck_assert_uint_eq(request(VIRTIO_BLK_T_IN, SECTORS - 1, 512, NULL), VIRTIO_BLK_S_OK);
	ck_assert_uint_eq(request(VIRTIO_BLK_T_IN, SECTORS - 1, 1024, NULL), VIRTIO_BLK_S_IOERR);
	ck_assert_uint_eq(request(VIRTIO_BLK_T_OUT, SECTORS, 512, NULL), VIRTIO_BLK_S_IOERR);
	ck_assert_uint_eq(request(VIRTIO_BLK_T_OUT, UINT64_MAX, 512, NULL), VIRTIO_BLK_S_IOERR);
	ck_assert_uint_eq(request(VIRTIO_BLK_T_IN, UINT64_MAX / 512 + 1, 512, NULL),
			  VIRTIO_BLK_S_IOERR);
	ck_assert_uint_eq(request(VIRTIO_BLK_T_IN, 0, 500, NULL), VIRTIO_BLK_S_IOERR);
	ck_assert_uint_eq(request(VIRTIO_BLK_T_IN, 0, 512, NULL), VIRTIO_BLK_S_OK);
}
END_TEST

START_TEST(file_that_shrank_fails_reads)
{
	start(false, SECTORS * 512);
	ck_assert_int_eq(truncate(path, 512), 0);
	ck_assert_uint_eq(request(VIRTIO_BLK_T_IN, 1, 512, NULL), VIRTIO_BLK_S_IOERR);
}
END_TEST

START_TEST(flush_is_one_fdatasync)
{
	start(false, SECTORS * 512);
	ck_assert_uint_eq(request(VIRTIO_BLK_T_OUT, 0, 512, NULL), VIRTIO_BLK_S_OK);
	ck_assert_int_eq(syncs, 0);
	ck_assert_uint_eq(request(VIRTIO_BLK_T_FLUSH, 0, 0, NULL), VIRTIO_BLK_S_OK);
	ck_assert_int_eq(syncs, 1);
}
END_TEST

START_TEST(failed_system_call_is_an_io_error)
{
	start(false, SECTORS * 512);
	fail_transfer = EIO;
	ck_assert_uint_eq(request(VIRTIO_BLK_T_OUT, 0, 512, NULL), VIRTIO_BLK_S_IOERR);
	ck_assert_uint_eq(request(VIRTIO_BLK_T_IN, 0, 512, NULL), VIRTIO_BLK_S_IOERR);
	fail_transfer = 0;
	ck_assert_uint_eq(request(VIRTIO_BLK_T_OUT, 0, 512, NULL), VIRTIO_BLK_S_OK);
}
END_TEST

START_TEST(readonly_disk_refuses_writes)
{
	start(true, SECTORS * 512);
	ck_assert_uint_ne(driver_offered(&driver) & 1ull << VIRTIO_BLK_F_RO, 0);
	ck_assert_uint_eq(driver_offered(&driver) & CHANGES, 0);
	ck_assert_uint_eq(request(VIRTIO_BLK_T_IN, 0, 512, NULL), VIRTIO_BLK_S_OK);
	ck_assert_uint_eq(request(VIRTIO_BLK_T_OUT, 0, 512, NULL), VIRTIO_BLK_S_IOERR);
	ck_assert_uint_eq(request(VIRTIO_BLK_T_FLUSH, 0, 0, NULL), VIRTIO_BLK_S_OK);
	ck_assert_int_eq(syncs, 0);
}
END_TEST

START_TEST(identity_is_given)
{
	start(false, SECTORS * 512);
	ck_assert_uint_eq(request(VIRTIO_BLK_T_GET_ID, 0, VIRTIO_BLK_ID_BYTES, NULL),
			  VIRTIO_BLK_S_OK);
	ck_assert_str_eq((char *)data(), "gmig-disk0");
	ck_assert_uint_eq(request(VIRTIO_BLK_T_GET_ID, 0, 4, NULL),
			  VIRTIO_BLK_S_OK); /* cut short */
}
END_TEST

START_TEST(unknown_request_is_unsupported)
{
	start(false, SECTORS * 512);
	/* Not accepted by the driver. */
	ck_assert_uint_eq(request(VIRTIO_BLK_T_DISCARD, 0, 16, NULL), VIRTIO_BLK_S_UNSUPP);
	ck_assert_uint_eq(request(0x12345678, 0, 512, NULL), VIRTIO_BLK_S_UNSUPP);
}
END_TEST

START_TEST(request_in_any_pieces_works)
{
	/* Header in two, data in two, the status at the end of the last piece of data. */
	const struct driver_piece pieces[] = {
	    {HEADER_GPA, 5, false},
	    {HEADER_GPA + 5, 11, false},
	    {DATA_GPA, 100, true},
	    {DATA_GPA + 100, 413, true},
	};
	struct virtio_blk_outhdr *header = vmm_guest_ptr(&vmm, HEADER_GPA, sizeof(*header));
	struct vring_used_elem elem;

	start(false, SECTORS * 512);
	*header = (struct virtio_blk_outhdr){.type = VIRTIO_BLK_T_IN, .sector = 1};
	memset(data(), 0xee, 1024);
	driver_add(&driver, 0, pieces, 4);
	driver_notify(&driver, 0);
	elem = driver_wait_used(&driver, 0);
	ck_assert_uint_eq(elem.len, 513);
	ck_assert_uint_eq(data()[511], 0);
	ck_assert_uint_eq(data()[512], VIRTIO_BLK_S_OK);
	ck_assert_uint_eq(data()[513], 0xee);
}
END_TEST

static void expect_needs_reset(void)
{
	for (unsigned int tries = 0; !(driver_status(&driver) & VIRTIO_CONFIG_S_NEEDS_RESET);
	     tries++) {
		ck_assert_uint_lt(tries, 20000);
		poll(NULL, 0, 1);
	}
	driver_start(&driver, 0, 1);
	ck_assert_uint_eq(request(VIRTIO_BLK_T_IN, 0, 512, NULL), VIRTIO_BLK_S_OK);
}

START_TEST(request_without_header_asks_for_reset)
{
	const struct driver_piece pieces[] = {{HEADER_GPA, 15, false}, {STATUS_GPA, 1, true}};

	start(false, SECTORS * 512);
	driver_add(&driver, 0, pieces, 2);
	driver_notify(&driver, 0);
	expect_needs_reset();
}
END_TEST

START_TEST(request_without_status_asks_for_reset)
{
	const struct driver_piece pieces[] = {{HEADER_GPA, 16, false}};

	start(false, SECTORS * 512);
	driver_add(&driver, 0, pieces, 1);
	driver_notify(&driver, 0);
	expect_needs_reset();
}
END_TEST

static void *reset_device(void *opaque)
{
	(void)opaque;
	driver_set_status(&driver, 0);
	return NULL;
}

START_TEST(reset_waits_for_the_request_in_flight)
{
	pthread_t thread;

	start(false, SECTORS * 512);
	hold = 1;
	put_request(VIRTIO_BLK_T_IN, 0, 512);
	wait_until_held();
	ck_assert_int_eq(pthread_create(&thread, NULL, reset_device, NULL), 0);
	poll(NULL, 0, 20);
	hold = 0;
	ck_assert_int_eq(pthread_join(thread, NULL), 0);
	ck_assert_uint_eq(driver_status(&driver), 0);
	/* The worker is done with guest memory: what we write now stays. */
	memset(data(), 0x77, 512);
	poll(NULL, 0, 20);
	ck_assert_uint_eq(data()[0], 0x77);
	driver_start(&driver, 0, 1);
	ck_assert_uint_eq(request(VIRTIO_BLK_T_IN, 0, 512, NULL), VIRTIO_BLK_S_OK);
}
END_TEST

static void *clear_bus_master(void *opaque)
{
	driver_bus_master(&driver, false);
	atomic_store((atomic_int *)opaque, 1);
	return NULL;
}

START_TEST(bus_master_cleared_waits_for_the_request_in_flight)
{
	struct vring_used_elem elem;
	atomic_int cleared = 0;
	pthread_t thread;

	start(false, SECTORS * 512);
	hold = 1;
	memset(data(), 0x55, 512);
	put_request(VIRTIO_BLK_T_IN, 0, 512);
	wait_until_held();
	ck_assert_int_eq(pthread_create(&thread, NULL, clear_bus_master, &cleared), 0);
	poll(NULL, 0, 20); /* too short finds less, never more */
	ck_assert_int_eq(cleared, 0);
	hold = 0;
	ck_assert_int_eq(pthread_join(thread, NULL), 0);
	/* It ended, the driver knows, and the memory is the driver's. */
	ck_assert(driver_take_used(&driver, 0, &elem));
	ck_assert_uint_eq(data()[0], 0);
	memset(data(), 0x55, 512);
	put_request(VIRTIO_BLK_T_IN, 0, 512);
	poll(NULL, 0, 20);
	ck_assert(!driver_take_used(&driver, 0, &elem));
	ck_assert_uint_eq(data()[0], 0x55);
	driver_bus_master(&driver, true);
	driver_wait_used(&driver, 0);
	ck_assert_uint_eq(data()[0], 0);
}
END_TEST

START_TEST(many_requests_are_answered_in_order)
{
	struct virtio_blk_outhdr *header = vmm_guest_ptr(&vmm, HEADER_GPA, sizeof(*header));
	const struct driver_piece pieces[] = {
	    {HEADER_GPA, 16, false}, {DATA_GPA, 512, true}, {STATUS_GPA, 1, true}};

	start(false, SECTORS * 512);
	*header = (struct virtio_blk_outhdr){.type = VIRTIO_BLK_T_IN};
	for (unsigned int round = 0; round < 2000; round++) {
		uint16_t head[5];

		for (unsigned int i = 0; i < 5; i++)
			head[i] = driver_add(&driver, 0, pieces, 3);
		driver_notify(&driver, 0);
		for (unsigned int i = 0; i < 5; i++)
			ck_assert_uint_eq(driver_wait_used(&driver, 0).id, head[i]);
	}
}
END_TEST

START_TEST(disk_in_use_is_refused)
{
	struct gmig_error err;
	void *second;

	start(false, SECTORS * 512);
	ck_assert_int_eq(blk_device.create(&context, 0, &second, &err), -EBUSY);
	ck_assert_ptr_nonnull(strstr(err.text, "in use"));
}
END_TEST

START_TEST(readonly_disk_can_be_shared)
{
	void *second;

	start(true, SECTORS * 512);
	ck_assert_int_eq(blk_device.create(&context, 0, &second, NULL), 0);
	blk_device.destroy(second);
}
END_TEST

START_TEST(bad_disk_is_refused_with_a_reason)
{
	static const char *const bad[] = {"/no/such/file", "/tmp", "/dev/null"};
	struct gmig_error err;

	options.disk_count = 1;
	for (unsigned int i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		options.disk[0] = bad[i];
		err.text[0] = 0;
		ck_assert_int_lt(blk_device.create(&context, 0, &blk, &err), 0);
		ck_assert_ptr_nonnull(strstr(err.text, bad[i]));
	}
	options.disk[0] = path; /* empty */
	ck_assert_int_eq(blk_device.create(&context, 0, &blk, &err), -EINVAL);
	blk = NULL;
}
END_TEST

START_TEST(end_of_guest_flushes)
{
	start(false, SECTORS * 512);
	blk_device.destroy(blk);
	blk = NULL;
	ck_assert_int_eq(syncs, 1);
}
END_TEST

START_TEST(pause_waits_for_the_request_in_flight)
{
	struct gmig_error err;
	struct vring_used_elem elem;

	start(false, SECTORS * 512);
	hold = 1;
	put_request(VIRTIO_BLK_T_IN, 0, 512);
	while (!held)
		poll(NULL, 0, 1);
	ck_assert_int_eq(blk_device.pause(blk, 1, &err), -ETIMEDOUT);
	ck_assert_ptr_nonnull(strstr(err.text, "blk"));
	hold = 0;
	ck_assert_int_eq(blk_device.pause(blk, 20000, &err), 0);
	ck_assert(driver_take_used(&driver, 0, &elem));
	blk_device.resume(blk);
	ck_assert_uint_eq(request(VIRTIO_BLK_T_IN, 0, 512, NULL), VIRTIO_BLK_S_OK);
}
END_TEST

START_TEST(paused_disk_takes_no_request_until_it_resumes)
{
	struct vring_used_elem elem;
	unsigned int msis;

	start(false, SECTORS * 512);
	ck_assert_int_eq(blk_device.pause(blk, 20000, NULL), 0);
	hold = 1; /* a worker that takes it nevertheless is seen in `held` */
	msis = vmm.msi_count;
	put_request(VIRTIO_BLK_T_IN, 0, 512);
	poll(NULL, 0, 20);
	ck_assert_int_eq(held, 0);
	ck_assert(!driver_take_used(&driver, 0, &elem));
	ck_assert_uint_eq(vmm.msi_count, msis);
	hold = 0;
	blk_device.resume(blk);
	driver_wait_used(&driver, 0);
	ck_assert_uint_eq(*(uint8_t *)vmm_guest_ptr(&vmm, STATUS_GPA, 1), VIRTIO_BLK_S_OK);
}
END_TEST

START_TEST(paused_disk_stays_paused_over_a_reset)
{
	struct vring_used_elem elem;

	start(false, SECTORS * 512);
	ck_assert_int_eq(blk_device.pause(blk, 20000, NULL), 0);
	blk_device.reset(blk);
	driver_start(&driver, 0, 1);
	put_request(VIRTIO_BLK_T_IN, 0, 512);
	poll(NULL, 0, 20);
	ck_assert(!driver_take_used(&driver, 0, &elem));
	blk_device.resume(blk);
	driver_wait_used(&driver, 0);
}
END_TEST

int main(void)
{
	const TTest *const tests[] = {
	    capacity_is_whole_sectors,
	    write_then_read_gives_the_data,
	    last_sector_works_and_beyond_fails,
	    file_that_shrank_fails_reads,
	    flush_is_one_fdatasync,
	    failed_system_call_is_an_io_error,
	    readonly_disk_refuses_writes,
	    identity_is_given,
	    unknown_request_is_unsupported,
	    request_in_any_pieces_works,
	    request_without_header_asks_for_reset,
	    request_without_status_asks_for_reset,
	    reset_waits_for_the_request_in_flight,
	    bus_master_cleared_waits_for_the_request_in_flight,
	    many_requests_are_answered_in_order,
	    disk_in_use_is_refused,
	    readonly_disk_can_be_shared,
	    bad_disk_is_refused_with_a_reason,
	    end_of_guest_flushes,
	    pause_waits_for_the_request_in_flight,
	    paused_disk_takes_no_request_until_it_resumes,
	    paused_disk_stays_paused_over_a_reset,
	};

	return run_tests("virtio_blk", setup, teardown, tests, sizeof(tests) / sizeof(tests[0]));
}
