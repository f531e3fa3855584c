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

/* ---- Past the host's cache ------------------------------------------------------------------- */

static void start_direct(int align)
{
	dio_align = align;
	options.disk_direct[0] = true;
	start(false, SECTORS * 512);
}

static void assert_that_pages_go_there_and_back(void)
{
	char on_disk[8192];

	memset(data(), 'x', 8192);
	ck_assert_uint_eq(request(VIRTIO_BLK_T_OUT, 8, 8192, NULL), VIRTIO_BLK_S_OK);
	file_read(on_disk, 4096, 8192);
	ck_assert_mem_eq(on_disk, data(), 8192);
	memset(data(), 0, 8192);
	ck_assert_uint_eq(request(VIRTIO_BLK_T_IN, 8, 8192, NULL), VIRTIO_BLK_S_OK);
	ck_assert_mem_eq(on_disk, data(), 8192);
}

START_TEST(disk_without_cache_transfers_straight_to_guest_memory)
{
	start_direct(512);
	assert_that_pages_go_there_and_back();
	ck_assert_uint_eq(vmm.dma_begun, 2);
	ck_assert_uint_eq(vmm.dma_now, 0);
}
END_TEST

/* The block is being moved. */
START_TEST(disk_without_cache_takes_its_own_buffer_when_memory_is_not_to_be_pinned)
{
	vmm.dma_refuse = true;
	start_direct(512);
	assert_that_pages_go_there_and_back();
	ck_assert_uint_eq(vmm.dma_begun, 0);
	ck_assert_uint_eq(vmm.dma_now, 0);
}
END_TEST

static uint8_t request_in_pieces(uint32_t type, uint64_t sector)
{
	const struct driver_piece pieces[] = {
	    {HEADER_GPA, sizeof(struct virtio_blk_outhdr), false},
	    {DATA_GPA, 4096, type == VIRTIO_BLK_T_IN},
	    {DATA_GPA + 4096 + 3, 1000, type == VIRTIO_BLK_T_IN},
	    {DATA_GPA + 4096 + 1003, 3096, type == VIRTIO_BLK_T_IN},
	    {STATUS_GPA, 1, true},
	};
	struct virtio_blk_outhdr *header = vmm_guest_ptr(&vmm, HEADER_GPA, sizeof(*header));

	*header = (struct virtio_blk_outhdr){.type = type, .sector = sector};
	driver_add(&driver, 0, pieces, 5);
	driver_notify(&driver, 0);
	driver_wait_used(&driver, 0);
	return *(uint8_t *)vmm_guest_ptr(&vmm, STATUS_GPA, 1);
}

START_TEST(disk_without_cache_takes_its_own_buffer_for_pieces_that_are_not_aligned)
{
	char on_disk[8192];

	start_direct(512);
	for (unsigned int i = 0; i < 8192 + 3; i++)
		data()[i] = (uint8_t)(i / 7);
	ck_assert_uint_eq(request_in_pieces(VIRTIO_BLK_T_OUT, 8), VIRTIO_BLK_S_OK);
	file_read(on_disk, 4096, 8192);
	ck_assert_mem_eq(on_disk, data(), 4096);
	ck_assert_mem_eq(on_disk + 4096, data() + 4096 + 3, 4096);
	memset(data(), 0, 8192 + 3);
	ck_assert_uint_eq(request_in_pieces(VIRTIO_BLK_T_IN, 8), VIRTIO_BLK_S_OK);
	ck_assert_mem_eq(on_disk, data(), 4096);
	ck_assert_mem_eq(on_disk + 4096, data() + 4096 + 3, 4096);
	ck_assert_uint_eq(vmm.dma_begun, 0);
}
END_TEST

/* A sector of 512 bytes on a file system of 4096. */
static void write_a_sector_in_a_block(int align)
{
	start_direct(align);
	memset(data(), 'a', 4096);
	ck_assert_uint_eq(request(VIRTIO_BLK_T_OUT, 8, 4096, NULL), VIRTIO_BLK_S_OK);
	memset(data(), 'b', 512);
	ck_assert_uint_eq(request(VIRTIO_BLK_T_OUT, 9, 512, NULL), VIRTIO_BLK_S_OK);
	ck_assert_uint_eq(request(VIRTIO_BLK_T_IN, 8, 4096, NULL), VIRTIO_BLK_S_OK);
	ck_assert(data()[511] == 'a' && data()[512] == 'b' && data()[1023] == 'b' &&
		  data()[1024] == 'a');
	ck_assert_uint_eq(vmm.dma_now, 0);
}

START_TEST(disk_without_cache_uses_it_for_less_than_a_block_of_the_file_system)
{
	write_a_sector_in_a_block(4096);
	ck_assert_uint_eq(vmm.dma_begun, 2);
}
END_TEST

START_TEST(disk_without_cache_on_a_file_system_that_has_none_uses_the_cache)
{
	write_a_sector_in_a_block(0);
	ck_assert_uint_eq(vmm.dma_begun, 0);
}
END_TEST

/* What is left of it is not aligned any more. */
START_TEST(disk_without_cache_ends_a_transfer_that_was_cut_short)
{
	char on_disk[8192];

	start_direct(512);
	short_transfers = 1;
	for (unsigned int i = 0; i < 8192; i++)
		data()[i] = (uint8_t)(i / 7);
	ck_assert_uint_eq(request(VIRTIO_BLK_T_OUT, 8, 8192, NULL), VIRTIO_BLK_S_OK);
	file_read(on_disk, 4096, 8192);
	ck_assert_mem_eq(on_disk, data(), 8192);
	ck_assert_uint_eq(vmm.dma_begun, 1);
	ck_assert_uint_eq(vmm.dma_now, 0);
}
END_TEST

START_TEST(disk_without_cache_tells_errors_and_the_end_of_its_file)
{
	start_direct(512);
	fail_transfer = EIO;
	ck_assert_uint_eq(request(VIRTIO_BLK_T_OUT, 8, 4096, NULL), VIRTIO_BLK_S_IOERR);
	ck_assert_uint_eq(request(VIRTIO_BLK_T_IN, 8, 4096, NULL), VIRTIO_BLK_S_IOERR);
	fail_transfer = 0;
	ck_assert_int_eq(truncate(path, 9 * 512), 0);
	ck_assert_uint_eq(request(VIRTIO_BLK_T_IN, 8, 4096, NULL), VIRTIO_BLK_S_IOERR);
	ck_assert_uint_eq(request(VIRTIO_BLK_T_IN, 8, 512, NULL), VIRTIO_BLK_S_OK);
	ck_assert_uint_gt(vmm.dma_begun, 0);
	ck_assert_uint_eq(vmm.dma_now, 0);
}
END_TEST

static struct vmm_disk report(void)
{
	struct vmm_disk disk;

	blk_device.report(blk, &disk);
	return disk;
}

/* As a file system that does not say what it wants does. */
START_TEST(disk_without_cache_uses_it_from_the_first_refusal_on)
{
	char on_disk[4096];

	start_direct(512);
	ck_assert(report().direct);
	fail_direct = EINVAL;
	memset(data(), 'x', 4096);
	ck_assert_uint_eq(request(VIRTIO_BLK_T_OUT, 8, 4096, NULL), VIRTIO_BLK_S_OK);
	file_read(on_disk, 4096, 4096);
	ck_assert_mem_eq(on_disk, data(), 4096);
	ck_assert(!report().direct);
	fail_direct = 0;
	ck_assert_uint_eq(request(VIRTIO_BLK_T_OUT, 8, 4096, NULL), VIRTIO_BLK_S_OK);
	ck_assert_uint_eq(vmm.dma_begun, 1);
	ck_assert_uint_eq(vmm.dma_now, 0);
}
END_TEST

START_TEST(disk_without_cache_counts_its_transfers)
{
	start_direct(512);
	ck_assert_str_eq(report().path, path);
	ck_assert_uint_eq(request(VIRTIO_BLK_T_IN, 8, 4096, NULL), VIRTIO_BLK_S_OK);
	ck_assert_uint_eq(request(VIRTIO_BLK_T_OUT, 8, 4096, NULL), VIRTIO_BLK_S_OK);
	vmm.dma_refuse = true;
	ck_assert_uint_eq(request(VIRTIO_BLK_T_IN, 8, 4096, NULL), VIRTIO_BLK_S_OK);
	ck_assert_uint_eq(report().straight, 2);
	ck_assert_uint_eq(report().bounced, 1);
}
END_TEST

#define NEED_DIRECT 8 /* of the tests: the last ones */

/* Whether the tests' directory is on a file system that has O_DIRECT. */
static bool has_direct(void)
{
	char name[] = "/tmp/gmig-test-direct-XXXXXX";
	int fd = mkostemp(name, O_DIRECT);

	if (fd < 0) {
		printf("skipped: disks without cache, /tmp has no O_DIRECT\n");
		return false;
	}
	close(fd);
	unlink(name);
	return true;
}

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
	    disk_without_cache_on_a_file_system_that_has_none_uses_the_cache,
	    /* these need O_DIRECT */
	    disk_without_cache_transfers_straight_to_guest_memory,
	    disk_without_cache_takes_its_own_buffer_when_memory_is_not_to_be_pinned,
	    disk_without_cache_takes_its_own_buffer_for_pieces_that_are_not_aligned,
	    disk_without_cache_uses_it_for_less_than_a_block_of_the_file_system,
	    disk_without_cache_ends_a_transfer_that_was_cut_short,
	    disk_without_cache_tells_errors_and_the_end_of_its_file,
	    disk_without_cache_uses_it_from_the_first_refusal_on,
	    disk_without_cache_counts_its_transfers,
	};
	size_t count = sizeof(tests) / sizeof(tests[0]);

	return run_tests("virtio_blk_host", setup, teardown, tests,
			 has_direct() ? count : count - NEED_DIRECT);
}
