/* The io_uring of a disk: transfers, pokes, and that it can do nothing else. */
#include "../../vmm/blk_ring.h"
#include "suite.h"

#include <check.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/io_uring.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#define DEPTH 8u

static struct blk_ring *ring;
static int fd;
static char data[DEPTH][512];
static struct iovec iov[DEPTH];

static void setup(void)
{
	fd = fileno(tmpfile());
	ck_assert_int_eq(blk_ring_create(fd, DEPTH, &ring), 0);
}

static void teardown(void)
{
	blk_ring_destroy(ring);
	close(fd);
}

static int add(unsigned int tag, uint64_t offset, bool write)
{
	iov[tag] = (struct iovec){data[tag], sizeof(data[tag])};
	return blk_ring_add(
	    ring, &(struct blk_ring_io){
		      .tag = tag, .iov = &iov[tag], .pieces = 1, .offset = offset, .write = write});
}

static void expect(unsigned int tag, int result)
{
	unsigned int got_tag = DEPTH;
	int got;

	ck_assert_int_eq(blk_ring_next(ring, &got_tag, &got), 1);
	ck_assert_uint_eq(got_tag, tag);
	ck_assert_int_eq(got, result);
}

START_TEST(transfers_end_with_their_tag_and_result)
{
	memset(data[3], 'x', 512);
	ck_assert_int_eq(add(3, 512, true), 0);
	expect(3, 512);
	ck_assert_int_eq(add(5, 512, false), 0);
	expect(5, 512);
	ck_assert_mem_eq(data[5], data[3], 512);
	ck_assert_int_eq(add(1, 768, false), 0);
	expect(1, 256);
	ck_assert_int_eq(add(1, 4096, false), 0);
	expect(1, 0);
	ck_assert_int_eq(add(1, UINT64_MAX - 5000, false), 0);
	expect(1, -EINVAL);
}
END_TEST

START_TEST(as_many_as_its_depth_are_in_flight_at_once)
{
	bool ended[DEPTH] = {false};
	unsigned int tag;
	int result;

	for (unsigned int i = 0; i < DEPTH; i++)
		ck_assert_int_eq(add(i, i * 512, true), 0);
	for (unsigned int i = 0; i < DEPTH; i++) {
		ck_assert_int_eq(blk_ring_next(ring, &tag, &result), 1);
		ck_assert_int_eq(result, 512);
		ck_assert(!ended[tag]);
		ended[tag] = true;
	}
}
END_TEST

static void *poke_later(void *unused)
{
	(void)unused;
	usleep(10000);
	blk_ring_poke(ring);
	return NULL;
}

START_TEST(poke_ends_the_wait_before_it_and_after_it)
{
	pthread_t thread;
	unsigned int tag;
	int result;

	blk_ring_poke(ring);
	ck_assert_int_eq(blk_ring_next(ring, &tag, &result), 0);
	for (int i = 0; i < 3; i++) {
		ck_assert_int_eq(pthread_create(&thread, NULL, poke_later, NULL), 0);
		ck_assert_int_eq(blk_ring_next(ring, &tag, &result), 0);
		pthread_join(thread, NULL);
	}
	ck_assert_int_eq(add(0, 0, true), 0);
	expect(0, 512);
}
END_TEST

/* Of the ring, among this process's. */
static int ring_fd(void)
{
	DIR *all = opendir("/proc/self/fd");
	struct dirent *entry;
	int found = -1;

	ck_assert_ptr_nonnull(all);
	while (found < 0 && (entry = readdir(all))) {
		char target[64] = "";

		if (readlinkat(dirfd(all), entry->d_name, target, sizeof(target) - 1) > 0 &&
		    strstr(target, "[io_uring]"))
			found = atoi(entry->d_name);
	}
	closedir(all);
	return found;
}

START_TEST(ring_that_is_in_use_cannot_be_given_anything_else)
{
	const int files[] = {fd};

	ck_assert_int_ge(ring_fd(), 0);
	ck_assert_int_eq(
	    syscall(SYS_io_uring_register, ring_fd(), IORING_UNREGISTER_FILES, NULL, 0), -1);
	ck_assert_int_eq(errno, EACCES);
	ck_assert_int_eq(syscall(SYS_io_uring_register, ring_fd(), IORING_REGISTER_FILES, files, 1),
			 -1);
	ck_assert_int_eq(errno, EACCES);
}
END_TEST

START_TEST(descriptor_that_is_none_gives_no_ring)
{
	struct blk_ring *none = NULL;

	ck_assert_int_eq(blk_ring_create(-2, DEPTH, &none), -EBADF);
	ck_assert_ptr_null(none);
	blk_ring_destroy(none);
}
END_TEST

int main(void)
{
	const TTest *const tests[] = {
	    transfers_end_with_their_tag_and_result,
	    as_many_as_its_depth_are_in_flight_at_once,
	    poke_ends_the_wait_before_it_and_after_it,
	    ring_that_is_in_use_cannot_be_given_anything_else,
	    descriptor_that_is_none_gives_no_ring,
	};
	FILE *file = tmpfile();
	int ret = file ? blk_ring_create(fileno(file), DEPTH, &ring) : -errno;

	if (ret) {
		printf("skipped: no io_uring here: %s\n", strerror(-ret));
		return 77;
	}
	blk_ring_destroy(ring);
	return run_tests("blk_ring", setup, teardown, tests, sizeof(tests) / sizeof(tests[0]));
}
