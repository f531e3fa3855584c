/* virtio-blk when the host fails or has no room, and what it does to the file: flush, write-through,
 * discard, zeros. */
#include "blk_rig.h"
#include "fake_machine.h"

/* The kernel tells an error once, and marks the pages clean: a later success means nothing. */
START_TEST(flush_after_a_failed_one_never_succeeds)
{
	start(false, SECTORS * 512);
	fail_sync = EIO;
	ck_assert_uint_eq(request(VIRTIO_BLK_T_FLUSH, 0, 0, NULL), VIRTIO_BLK_S_IOERR);
	fail_sync = 0;
	ck_assert_uint_eq(request(VIRTIO_BLK_T_FLUSH, 0, 0, NULL), VIRTIO_BLK_S_IOERR);
	ck_assert_uint_eq(request(VIRTIO_BLK_T_OUT, 0, 512, NULL), VIRTIO_BLK_S_OK);
	ck_assert_uint_eq(request(VIRTIO_BLK_T_FLUSH, 0, 0, NULL), VIRTIO_BLK_S_IOERR);
	/* Not even for a guest that was rebooted. */
	blk_device.reset(blk);
	driver_start(&driver, FLUSH, 1);
	ck_assert_uint_eq(request(VIRTIO_BLK_T_FLUSH, 0, 0, NULL), VIRTIO_BLK_S_IOERR);
	ck_assert_int_eq(syncs, 1);
}
END_TEST

START_TEST(flush_without_room_fails_and_does_not_stop_the_guest)
{
	start(false, SECTORS * 512);
	fail_sync = ENOSPC;
	ck_assert_uint_eq(request(VIRTIO_BLK_T_FLUSH, 0, 0, NULL), VIRTIO_BLK_S_IOERR);
	fail_sync = 0;
	ck_assert_uint_eq(request(VIRTIO_BLK_T_FLUSH, 0, 0, NULL), VIRTIO_BLK_S_IOERR);
	ck_assert_uint_eq(vmm.stops, 0);
}
END_TEST

START_TEST(driver_without_flush_gets_write_through)
{
	start_with(false, SECTORS * 512, 0);
	ck_assert_uint_eq(request(VIRTIO_BLK_T_OUT, 0, 512, NULL), VIRTIO_BLK_S_OK);
	ck_assert_int_eq(last_write_flags & RWF_DSYNC, RWF_DSYNC);
	driver_start(&driver, FLUSH, 1);
	ck_assert_uint_eq(request(VIRTIO_BLK_T_OUT, 0, 512, NULL), VIRTIO_BLK_S_OK);
	ck_assert_int_eq(last_write_flags & RWF_DSYNC, 0);
	ck_assert_int_eq(syncs, 0);
	driver_start(&driver, CHANGES, 1);
	ck_assert_uint_eq(change(VIRTIO_BLK_T_WRITE_ZEROES, 0, 1, 0), VIRTIO_BLK_S_OK);
	ck_assert_int_eq(syncs, 1);
}
END_TEST

START_TEST(cache_that_cannot_be_dropped_is_tried_once)
{
	refuse_flags = DONTCACHE;
	start(false, SECTORS * 512);
	for (int i = 0; i < 3; i++) {
		ck_assert_uint_eq(request(VIRTIO_BLK_T_OUT, 0, 512, NULL), VIRTIO_BLK_S_OK);
		ck_assert_uint_eq(request(VIRTIO_BLK_T_IN, 0, 512, NULL), VIRTIO_BLK_S_OK);
	}
	ck_assert_int_le(refusals, 1); /* 0: a kernel on which it is not tried */
	refuse_flags = RWF_DSYNC;      /* an error, and no endless retry */
	driver_start(&driver, 0, 1);
	ck_assert_uint_eq(request(VIRTIO_BLK_T_OUT, 0, 512, NULL), VIRTIO_BLK_S_UNSUPP);
}
END_TEST

/* ---- No room on the host --------------------------------------------------------------------- */

static void wait_for_stop(unsigned int count)
{
	unsigned int stops = 0;

	for (unsigned int tries = 0; stops < count; tries++) {
		ck_assert_uint_lt(tries, 20000);
		poll(NULL, 0, 1);
		pthread_mutex_lock(&vmm.lock);
		stops = vmm.stops;
		pthread_mutex_unlock(&vmm.lock);
	}
	ck_assert_uint_eq(stops, count);
}

START_TEST(full_disk_stops_the_guest_and_the_request_goes_on_later)
{
	static const int errors[] = {ENOSPC, EDQUOT};
	struct vring_used_elem elem;
	char got[512];

	start(false, SECTORS * 512);
	for (unsigned int i = 0; i < 2; i++) {
		vmm.stops = 0;
		fail_write = errors[i];
		memset(data(), 'a' + (int)i, 512);
		put_request(VIRTIO_BLK_T_OUT, 3, 512);
		wait_for_stop(1);
		ck_assert_ptr_nonnull(strstr(vmm.stop_reason, path));
		ck_assert_ptr_nonnull(strstr(vmm.stop_reason, strerror(errors[i])));
		ck_assert_int_eq(blk_device.pause(blk, 1000, NULL), 0); /* nothing is in flight */
		ck_assert(!driver_take_used(&driver, 0, &elem));
		blk_device.resume(blk); /* too early */
		wait_for_stop(2);
		ck_assert_int_eq(blk_device.pause(blk, 1000, NULL), 0);
		fail_write = 0;
		blk_device.resume(blk);
		driver_wait_used(&driver, 0);
		ck_assert_uint_eq(*(uint8_t *)vmm_guest_ptr(&vmm, STATUS_GPA, 1), VIRTIO_BLK_S_OK);
		file_read(got, 3 * 512, 512);
		ck_assert_mem_eq(got, data(), 512);
	}
	ck_assert_uint_eq(request(VIRTIO_BLK_T_FLUSH, 0, 0, NULL), VIRTIO_BLK_S_OK);
}
END_TEST

START_TEST(full_disk_with_on_full_error_is_an_io_error)
{
	options.disk_on_full[0] = VMM_ON_FULL_ERROR;
	start(false, SECTORS * 512);
	fail_write = ENOSPC;
	ck_assert_uint_eq(request(VIRTIO_BLK_T_OUT, 0, 512, NULL), VIRTIO_BLK_S_IOERR);
	ck_assert_uint_eq(vmm.stops, 0);
	options.disk_on_full[0] = VMM_ON_FULL_PAUSE;
}
END_TEST

START_TEST(reset_forgets_the_request_that_waits_for_room)
{
	struct vring_used_elem elem;

	start(false, SECTORS * 512);
	fail_write = ENOSPC;
	put_request(VIRTIO_BLK_T_OUT, 0, 512);
	wait_for_stop(1);
	driver_start(&driver, FLUSH, 1);
	ck_assert(!driver_take_used(&driver, 0, &elem));
	ck_assert_uint_eq(request(VIRTIO_BLK_T_IN, 0, 512, NULL), VIRTIO_BLK_S_OK);
	ck_assert_uint_eq(vmm.stops, 1);
}
END_TEST

START_TEST(bus_master_toggled_while_full_retries)
{
	start(false, SECTORS * 512);
	fail_write = ENOSPC;
	put_request(VIRTIO_BLK_T_OUT, 0, 512);
	wait_for_stop(1);
	driver_bus_master(&driver, false);
	ck_assert_int_eq(blk_device.pause(blk, 1000, NULL), 0);
	fail_write = 0;
	blk_device.resume(blk); /* cannot start it: the gate is closed */
	driver_bus_master(&driver, true);
	driver_wait_used(&driver, 0);
}
END_TEST

/* ---- Discard and zeros ----------------------------------------------------------------------- */

START_TEST(discard_frees_the_range_and_keeps_the_rest)
{
	char got[1024];

	start_with(false, 8192 * 512, FLUSH | CHANGES);
	file_fill('x', 8192 * 512);
	ck_assert_uint_eq(change(VIRTIO_BLK_T_DISCARD, 8, 4096, 0), VIRTIO_BLK_S_OK);
	ck_assert_int_eq(allocate_mode, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE);
	file_read(got, 7 * 512, 1024);
	ck_assert_int_eq(got[511], 'x');
	ck_assert_int_eq(got[512], 0);
	file_read(got, (8 + 4096 - 1) * 512, 1024);
	ck_assert_int_eq(got[511], 0);
	ck_assert_int_eq(got[512], 'x');
	/* A hint: a file system without holes is no error. */
	fail_allocate = EOPNOTSUPP;
	ck_assert_uint_eq(change(VIRTIO_BLK_T_DISCARD, 0, 1, 0), VIRTIO_BLK_S_OK);
	fail_allocate = EIO;
	ck_assert_uint_eq(change(VIRTIO_BLK_T_DISCARD, 0, 1, 0), VIRTIO_BLK_S_IOERR);
}
END_TEST

START_TEST(write_zeroes_gives_zeros_by_every_way)
{
	/* With holes, without, and on a file system that cannot do either. */
	static const uint32_t flags[] = {VIRTIO_BLK_WRITE_ZEROES_FLAG_UNMAP, 0, 0};
	static const int modes[] = {FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE,
				    FALLOC_FL_ZERO_RANGE | FALLOC_FL_KEEP_SIZE,
				    FALLOC_FL_ZERO_RANGE | FALLOC_FL_KEEP_SIZE};
	char *got = malloc(400 * 512);

	start_with(false, 8192 * 512, FLUSH | CHANGES);
	for (int i = 0; i < 3; i++) {
		fail_allocate = i == 2 ? EOPNOTSUPP : 0;
		file_fill('x', 8192 * 512);
		ck_assert_uint_eq(change(VIRTIO_BLK_T_WRITE_ZEROES, 1, 300, flags[i]),
				  VIRTIO_BLK_S_OK);
		ck_assert_int_eq(allocate_mode, modes[i]);
		file_read(got, 0, 400 * 512);
		for (int at = 0; at < 400 * 512; at++)
			ck_assert_int_eq(got[at], at < 512 || at >= 301 * 512 ? 'x' : 0);
	}
	free(got);
}
END_TEST

START_TEST(write_zeroes_without_room_stops_the_guest)
{
	start_with(false, SECTORS * 512, FLUSH | CHANGES);
	fail_allocate = ENOSPC;
	put_change(VIRTIO_BLK_T_WRITE_ZEROES, 0, 1, 0);
	wait_for_stop(1);
	fail_allocate = 0;
	blk_device.resume(blk);
	driver_wait_used(&driver, 0);
}
END_TEST

START_TEST(bad_ranges_are_refused)
{
	static const struct {
		uint64_t sector;
		uint32_t sectors, flags;
		uint8_t status;
	} bad[] = {
	    {SECTORS, 1, 0, VIRTIO_BLK_S_IOERR},    {SECTORS - 1, 2, 0, VIRTIO_BLK_S_IOERR},
	    {UINT64_MAX, 1, 0, VIRTIO_BLK_S_IOERR}, {0, UINT32_MAX, 0, VIRTIO_BLK_S_IOERR},
	    {0, 1, 2, VIRTIO_BLK_S_UNSUPP},
	};

	start_with(false, SECTORS * 512, FLUSH | CHANGES);
	for (unsigned int i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		ck_assert_uint_eq(
		    change(VIRTIO_BLK_T_DISCARD, bad[i].sector, bad[i].sectors, bad[i].flags),
		    bad[i].status);
		ck_assert_uint_eq(
		    change(VIRTIO_BLK_T_WRITE_ZEROES, bad[i].sector, bad[i].sectors, bad[i].flags),
		    bad[i].status);
	}
	ck_assert_uint_eq(change(VIRTIO_BLK_T_DISCARD, 0, 1, 1), VIRTIO_BLK_S_UNSUPP);
	ck_assert_uint_eq(request(VIRTIO_BLK_T_DISCARD, 0, 15, NULL), VIRTIO_BLK_S_IOERR);
	ck_assert_uint_eq(request(VIRTIO_BLK_T_DISCARD, 0, 17 * 16, NULL), VIRTIO_BLK_S_IOERR);
	ck_assert_uint_eq(change(VIRTIO_BLK_T_DISCARD, SECTORS, 0, 0), VIRTIO_BLK_S_OK);
	ck_assert_int_eq(allocate_mode, 0); /* the file was left alone */
}
END_TEST

int main(void)
{
	const TTest *const tests[] = {
	    flush_after_a_failed_one_never_succeeds,
	    flush_without_room_fails_and_does_not_stop_the_guest,
	    driver_without_flush_gets_write_through,
	    cache_that_cannot_be_dropped_is_tried_once,
	    full_disk_stops_the_guest_and_the_request_goes_on_later,
	    full_disk_with_on_full_error_is_an_io_error,
	    reset_forgets_the_request_that_waits_for_room,
	    bus_master_toggled_while_full_retries,
	    discard_frees_the_range_and_keeps_the_rest,
	    write_zeroes_gives_zeros_by_every_way,
	    write_zeroes_without_room_stops_the_guest,
	    bad_ranges_are_refused,
	};

	return run_tests("virtio_blk_host", setup, teardown, tests,
			 sizeof(tests) / sizeof(tests[0]));
}
