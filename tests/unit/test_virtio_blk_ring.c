/* virtio-blk with an io_uring: many requests in flight, which end in any order. */
#include "blk_rig.h"
#include "fake_machine.h"

#define PAGE 4096u

/* Request n has the n-th page of the data, of the disk, and header and status of its own. */
static void put(unsigned int n, uint32_t type)
{
	const uint64_t header_gpa = HEADER_GPA + 64 * n, status_gpa = STATUS_GPA + n;
	const bool flush = type == VIRTIO_BLK_T_FLUSH;
	const struct driver_piece pieces[] = {
	    {header_gpa, sizeof(struct virtio_blk_outhdr), false},
	    {flush ? status_gpa : DATA_GPA + n * PAGE, flush ? 1 : PAGE, type != VIRTIO_BLK_T_OUT},
	    {status_gpa, 1, true},
	};
	struct virtio_blk_outhdr *header = vmm_guest_ptr(&vmm, header_gpa, sizeof(*header));

	*header = (struct virtio_blk_outhdr){.type = type, .sector = n * PAGE / 512};
	*(uint8_t *)vmm_guest_ptr(&vmm, status_gpa, 1) = NO_STATUS;
	driver_add(&driver, 0, pieces, flush ? 2 : 3);
	driver_notify(&driver, 0);
}

static uint8_t status(unsigned int n)
{
	return *(uint8_t *)vmm_guest_ptr(&vmm, STATUS_GPA + n, 1);
}

static uint8_t *page(unsigned int n)
{
	return (uint8_t *)vmm_guest_ptr(&vmm, DATA_GPA + n * PAGE, PAGE);
}

static void start_ring(void)
{
	fake_ring_missing = 0;
	dio_align = 512;
	options.disk_direct[0] = true;
	start(false, SECTORS * 512);
}

static struct vmm_disk report(void)
{
	struct vmm_disk disk;

	blk_device.report(blk, &disk);
	return disk;
}

static bool nothing_used(void)
{
	struct vring_used_elem elem;

	return !driver_take_used(&driver, 0, &elem);
}

START_TEST(requests_end_in_the_order_of_the_host)
{
	char on_disk[PAGE];

	start_ring();
	ck_assert_str_eq(report().aio, "io_uring");
	for (unsigned int n = 0; n < 3; n++) {
		memset(page(n), 'a' + (int)n, PAGE);
		put(n, VIRTIO_BLK_T_OUT);
	}
	fake_ring_await(3);
	ck_assert_uint_eq(vmm.dma_now, 3);
	ck_assert(nothing_used());
	ck_assert(fake_ring_end(2).iov->iov_base == page(2));
	driver_wait_used(&driver, 0);
	ck_assert(status(0) == NO_STATUS && status(1) == NO_STATUS && status(2) == VIRTIO_BLK_S_OK);
	ck_assert_uint_eq(vmm.dma_now, 2);
	fake_ring_end(0);
	driver_wait_used(&driver, 0);
	ck_assert(status(0) == VIRTIO_BLK_S_OK && status(1) == NO_STATUS);
	fake_ring_end(0);
	driver_wait_used(&driver, 0);
	ck_assert_uint_eq(status(1), VIRTIO_BLK_S_OK);
	ck_assert_uint_eq(vmm.dma_now, 0);
	file_read(on_disk, 2 * PAGE, PAGE);
	ck_assert_mem_eq(on_disk, page(2), PAGE);
	ck_assert_uint_eq(report().straight, 3);
}
END_TEST

START_TEST(flush_waits_for_all_that_flies_and_nothing_overtakes_it)
{
	start_ring();
	put(0, VIRTIO_BLK_T_OUT);
	put(1, VIRTIO_BLK_T_OUT);
	fake_ring_await(2);
	put(2, VIRTIO_BLK_T_FLUSH);
	put(3, VIRTIO_BLK_T_OUT);
	fake_ring_end(1);
	driver_wait_used(&driver, 0);
	ck_assert_int_eq(syncs, 0);
	ck_assert_uint_eq(fake_ring_count(), 1);
	fake_ring_end(0);
	driver_wait_used(&driver, 0);
	driver_wait_used(&driver, 0);
	ck_assert_uint_eq(status(2), VIRTIO_BLK_S_OK);
	ck_assert_int_eq(syncs, 1);
	fake_ring_await(1);
	fake_ring_end(0);
	driver_wait_used(&driver, 0);
	ck_assert_uint_eq(status(3), VIRTIO_BLK_S_OK);
}
END_TEST

START_TEST(memory_that_is_not_to_be_pinned_flies_by_a_buffer)
{
	char on_disk[PAGE];
	struct blk_ring_io io;

	start_ring();
	vmm.dma_refuse = true;
	memset(page(1), 'x', PAGE);
	put(1, VIRTIO_BLK_T_OUT);
	fake_ring_await(1);
	io = fake_ring_end(0);
	driver_wait_used(&driver, 0);
	ck_assert_ptr_ne(io.iov->iov_base, page(1));
	file_read(on_disk, PAGE, PAGE);
	ck_assert_mem_eq(on_disk, page(1), PAGE);
	memset(page(1), 0, PAGE);
	put(1, VIRTIO_BLK_T_IN);
	fake_ring_await(1);
	fake_ring_end(0);
	driver_wait_used(&driver, 0);
	ck_assert_mem_eq(on_disk, page(1), PAGE);
	ck_assert_uint_eq(vmm.dma_begun, 0);
	ck_assert_uint_eq(report().bounced, 2);
}
END_TEST

START_TEST(request_that_lands_in_part_is_done_again)
{
	char on_disk[PAGE];

	start_ring();
	for (unsigned int i = 0; i < PAGE; i++)
		page(1)[i] = (uint8_t)(i / 7);
	put(1, VIRTIO_BLK_T_OUT);
	put(2, VIRTIO_BLK_T_IN);
	fake_ring_await(2);
	fake_ring_end_part(0, 512);
	fake_ring_await(1);
	ck_assert(nothing_used());
	fake_ring_end(0);
	driver_wait_used(&driver, 0);
	driver_wait_used(&driver, 0);
	ck_assert(status(1) == VIRTIO_BLK_S_OK && status(2) == VIRTIO_BLK_S_OK);
	file_read(on_disk, PAGE, PAGE);
	ck_assert_mem_eq(on_disk, page(1), PAGE);
	ck_assert_uint_eq(vmm.dma_now, 0);
}
END_TEST

START_TEST(errors_and_the_end_of_the_file_are_io_errors)
{
	start_ring();
	put(1, VIRTIO_BLK_T_IN);
	fake_ring_await(1);
	fake_ring_end_with(0, -EIO);
	driver_wait_used(&driver, 0);
	ck_assert_uint_eq(status(1), VIRTIO_BLK_S_IOERR);
	ck_assert_int_eq(truncate(path, 0), 0);
	put(1, VIRTIO_BLK_T_IN);
	fake_ring_await(1);
	fake_ring_end_with(0, 0);
	driver_wait_used(&driver, 0);
	ck_assert_uint_eq(status(1), VIRTIO_BLK_S_IOERR);
	ck_assert_uint_eq(vmm.dma_now, 0);
}
END_TEST

START_TEST(what_the_ring_refuses_goes_another_way)
{
	static const int results[] = {-EINVAL, -EAGAIN, -EOPNOTSUPP, -ECANCELED};

	start_ring();
	for (unsigned int i = 0; i < 4; i++) {
		put(1, VIRTIO_BLK_T_OUT);
		fake_ring_await(1);
		fake_ring_end_with(0, results[i]);
		driver_wait_used(&driver, 0);
		ck_assert_uint_eq(status(1), VIRTIO_BLK_S_OK);
	}
	ck_assert(report().direct);
}
END_TEST

static void wait_for_stop(void)
{
	for (unsigned int tries = 0, stops = 0; !stops; tries++) {
		ck_assert_uint_lt(tries, 20000);
		poll(NULL, 0, 1);
		pthread_mutex_lock(&vmm.lock);
		stops = vmm.stops;
		pthread_mutex_unlock(&vmm.lock);
	}
}

START_TEST(full_disk_stops_the_guest_and_all_requests_go_on_later)
{
	start_ring();
	for (unsigned int n = 0; n < 3; n++)
		put(n, VIRTIO_BLK_T_OUT);
	fake_ring_await(3);
	fail_write = ENOSPC;
	fake_ring_end_with(1, -ENOSPC);
	fake_ring_end_with(1, -ENOSPC);
	fake_ring_end(0);
	driver_wait_used(&driver, 0);
	wait_for_stop();
	ck_assert_int_eq(blk_device.pause(blk, 1000, NULL), 0);
	ck_assert(nothing_used());
	fail_write = 0;
	blk_device.resume(blk);
	driver_wait_used(&driver, 0);
	driver_wait_used(&driver, 0);
	for (unsigned int n = 0; n < 3; n++)
		ck_assert_uint_eq(status(n), VIRTIO_BLK_S_OK);
}
END_TEST

/* ---- Reset, pause, the end --------------------------------------------------------------------- */

static void *reset_thread(void *done)
{
	driver_set_status(&driver, 0);
	atomic_store((atomic_bool *)done, true);
	return NULL;
}

START_TEST(reset_waits_for_all_that_flies)
{
	atomic_bool done = false;
	pthread_t thread;

	start_ring();
	put(0, VIRTIO_BLK_T_IN);
	put(1, VIRTIO_BLK_T_OUT);
	fake_ring_await(2);
	ck_assert_int_eq(pthread_create(&thread, NULL, reset_thread, &done), 0);
	fake_ring_end(0);
	poll(NULL, 0, 20); /* too short finds less, never more */
	ck_assert(!atomic_load(&done));
	fake_ring_end(0);
	pthread_join(thread, NULL);
	ck_assert_uint_eq(vmm.dma_now, 0);
	driver_start(&driver, FLUSH, 1);
	put(0, VIRTIO_BLK_T_IN);
	fake_ring_await(1);
	fake_ring_end(0);
	driver_wait_used(&driver, 0);
	ck_assert_uint_eq(status(0), VIRTIO_BLK_S_OK);
}
END_TEST

START_TEST(pause_waits_for_all_that_flies_and_takes_nothing_new)
{
	start_ring();
	put(0, VIRTIO_BLK_T_IN);
	fake_ring_await(1);
	ck_assert_int_eq(blk_device.pause(blk, 1, NULL), -ETIMEDOUT);
	put(1, VIRTIO_BLK_T_IN);
	fake_ring_end(0);
	ck_assert_int_eq(blk_device.pause(blk, 10000, NULL), 0);
	driver_wait_used(&driver, 0);
	ck_assert_uint_eq(fake_ring_count(), 0);
	blk_device.resume(blk);
	fake_ring_await(1);
	fake_ring_end(0);
	driver_wait_used(&driver, 0);
	ck_assert_uint_eq(status(1), VIRTIO_BLK_S_OK);
}
END_TEST

/* Ends what flies when the device is being destroyed. */
static void *late_thread(void *unused)
{
	(void)unused;
	poll(NULL, 0, 20);
	fake_ring_end(0);
	return NULL;
}

START_TEST(end_of_the_machine_waits_for_all_that_flies)
{
	pthread_t thread;

	start_ring();
	put(0, VIRTIO_BLK_T_IN);
	fake_ring_await(1);
	ck_assert_int_eq(pthread_create(&thread, NULL, late_thread, NULL), 0);
	blk_device.destroy(blk);
	blk = NULL;
	pthread_join(thread, NULL);
	ck_assert_uint_eq(vmm.dma_now, 0);
}
END_TEST

START_TEST(driver_that_breaks_its_queue_gets_nothing_more_until_it_resets)
{
	const struct driver_piece no_status = {HEADER_GPA, 16, false};

	start_ring();
	put(0, VIRTIO_BLK_T_IN);
	fake_ring_await(1);
	driver_add(&driver, 0, &no_status, 1);
	put(1, VIRTIO_BLK_T_IN);
	for (unsigned int tries = 0; !(driver_status(&driver) & VIRTIO_CONFIG_S_NEEDS_RESET);
	     tries++) {
		ck_assert_uint_lt(tries, 20000);
		poll(NULL, 0, 1);
	}
	fake_ring_end(0);
	driver_start(&driver, FLUSH, 1);
	ck_assert_uint_eq(fake_ring_count(), 0);
	put(1, VIRTIO_BLK_T_IN);
	fake_ring_await(1);
	fake_ring_end(0);
	driver_wait_used(&driver, 0);
	ck_assert_uint_eq(status(1), VIRTIO_BLK_S_OK);
}
END_TEST

START_TEST(host_without_io_uring_serves_one_at_a_time)
{
	fake_ring_missing = EPERM;
	dio_align = 512;
	options.disk_direct[0] = true;
	start(false, SECTORS * 512);
	ck_assert_str_eq(report().aio, "sync");
	ck_assert(report().direct);
	ck_assert_uint_eq(request(VIRTIO_BLK_T_OUT, 8, PAGE, NULL), VIRTIO_BLK_S_OK);
	ck_assert_uint_eq(report().straight, 1);
}
END_TEST

/* Whether the tests' directory is on a file system that has O_DIRECT. */
static bool has_direct(void)
{
	char name[] = "/tmp/gmig-test-direct-XXXXXX";
	int fd = mkostemp(name, O_DIRECT);

	if (fd >= 0)
		close(fd);
	unlink(name);
	return fd >= 0;
}

int main(void)
{
	const TTest *const tests[] = {
	    requests_end_in_the_order_of_the_host,
	    flush_waits_for_all_that_flies_and_nothing_overtakes_it,
	    memory_that_is_not_to_be_pinned_flies_by_a_buffer,
	    request_that_lands_in_part_is_done_again,
	    errors_and_the_end_of_the_file_are_io_errors,
	    what_the_ring_refuses_goes_another_way,
	    full_disk_stops_the_guest_and_all_requests_go_on_later,
	    reset_waits_for_all_that_flies,
	    pause_waits_for_all_that_flies_and_takes_nothing_new,
	    end_of_the_machine_waits_for_all_that_flies,
	    driver_that_breaks_its_queue_gets_nothing_more_until_it_resets,
	    host_without_io_uring_serves_one_at_a_time,
	};

	if (!has_direct()) {
		printf("skipped: /tmp has no O_DIRECT\n");
		return 77;
	}
	return run_tests("virtio_blk_ring", setup, teardown, tests,
			 sizeof(tests) / sizeof(tests[0]));
}
