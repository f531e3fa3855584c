/*
 * Pages that cannot move while somebody holds them, as a device would. Exit 77 where nobody may pin
 * pages.
 */
#include "rig.h"

#include <errno.h>
#include <linux/io_uring.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

#define BYTES (16ull << 20)

/* Pin pages as a device would, for as long as the descriptor lives. -errno: this kernel lets
 * nobody. */
static int pin(void *memory, size_t bytes)
{
	struct io_uring_params params = {0};
	struct iovec iov = {memory, bytes};
	int ring = (int)syscall(SYS_io_uring_setup, 2, &params);

	if (ring < 0)
		return -errno;
	if (syscall(SYS_io_uring_register, ring, IORING_REGISTER_BUFFERS, &iov, 1)) {
		close(ring);
		return -errno;
	}
	return ring;
}

START_TEST(swap_with_a_pinned_page_moves_nothing_back)
{
	struct rig_options options = {.bytes = BYTES, .small_pages = true};
	struct gmig_job_spec swap = {.from = {0, 1}, .to = {1, 0}, .from_count = 2, .to_count = 2};
	struct gmig_job_info info;
	uint64_t bytes[GMIG_MAX_NODES];
	struct rig rig;
	int ring;

	rig_create(&rig, &options);
	ring = pin((void *)rig_page(&rig, 1000), GMIG_PAGE_BYTES);
	ck_assert_int_ge(ring, 0);
	rig_move(&rig, &swap, &info);
	ck_assert_uint_eq(info.passes, GMIG_MAX_PASSES);
	ck_assert_uint_eq(info.moved_bytes, BYTES - GMIG_PAGE_BYTES);
	gmig_residency(rig.gmig, 0, bytes);
	ck_assert_uint_eq(bytes[0], GMIG_PAGE_BYTES);
	close(ring);
	rig_assert_clean(&rig);
	rig_destroy(&rig);
}
END_TEST

START_TEST(pinned_page_stays_busy_and_moves_when_released)
{
	struct rig_options options = {.bytes = BYTES, .small_pages = _i};
	struct gmig_job_spec spec = rig_spec(0, 1);
	struct gmig_job_info info;
	struct rig rig;
	int ring;

	rig_create(&rig, &options);
	ring = pin((void *)rig_page(&rig, 1000), GMIG_PAGE_BYTES);
	ck_assert_int_ge(ring, 0);
	rig_start(&rig, 1);
	rig_move(&rig, &spec, &info);
	ck_assert_int_eq(info.state, GMIG_JOB_COMPLETED);
	ck_assert_uint_eq(info.remaining_bytes, rig.gmig->thp ? GMIG_BLOCK_BYTES : GMIG_PAGE_BYTES);
	ck_assert_uint_eq(info.passes, GMIG_MAX_PASSES);
	ck_assert_uint_eq(info.remaining_count, 1);
	ck_assert_int_eq(info.remaining[0].error, EBUSY);
	ck_assert_uint_eq(info.moved_bytes + info.remaining_bytes, BYTES);
	ck_assert_uint_eq(rig_stop(&rig), 0);
	close(ring);
	/* The kernel lets go of the pages a little later. */
	for (int tries = 0; tries < 200 && info.remaining_bytes; tries++) {
		usleep(50000);
		rig_move(&rig, &spec, &info);
	}
	ck_assert_uint_eq(info.remaining_bytes, 0);
	ck_assert_uint_eq(rig_check_all(&rig), 0);
	rig_assert_clean(&rig);
	rig_destroy(&rig);
}
END_TEST

/* Whether pages can be pinned here at all. */
static int pin_one(void)
{
	void *memory =
	    mmap(NULL, GMIG_PAGE_BYTES, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	int ring = memory == MAP_FAILED ? -errno : pin(memory, GMIG_PAGE_BYTES);

	if (memory != MAP_FAILED)
		munmap(memory, GMIG_PAGE_BYTES);
	if (ring < 0)
		return ring;
	close(ring);
	return 0;
}

int main(void)
{
	Suite *suite;
	TCase *tcase;
	int ret = pin_one();

	if (ret) {
		printf("skipped: pages cannot be pinned here, io_uring_setup(2) is refused: %s\n",
		       ret == -ENOSYS  ? "not in this kernel"
		       : ret == -EPERM ? "kernel.io_uring_disabled, or a seccomp filter"
				       : strerror(-ret));
		return 77;
	}
	suite = suite_create("pinned");
	tcase = tcase_create("pinned");
	tcase_set_timeout(tcase, 60);
	tcase_add_loop_test(tcase, pinned_page_stays_busy_and_moves_when_released, 0, 2);
	tcase_add_test(tcase, swap_with_a_pinned_page_moves_nothing_back);
	suite_add_tcase(suite, tcase);
	return rig_main(suite);
}
