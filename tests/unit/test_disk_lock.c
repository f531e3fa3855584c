/* Disks are locked against a second guest and against a console's output: what is done where the lock cannot be had or seen. */
#include "../../vmm/blk_file.h"
#include "../../vmm/console_file.h"
#include "../support/suite.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define BYTES 4096

static char path[64], told[64];
static int lock_error, lock_fails; /* how many times */

int __real_fcntl(int fd, int command, ...);
int __wrap_fcntl(int fd, int command, ...);
int __wrap_fcntl64(int fd, int command, ...);

static int control_lock(int fd, int command, void *argument)
{
	if ((command == F_OFD_GETLK || command == F_OFD_SETLK) && lock_fails > 0) {
		lock_fails--;
		errno = lock_error;
		return -1;
	}
	return __real_fcntl(fd, command, argument);
}

int __wrap_fcntl(int fd, int command, ...)
{
	va_list args;
	void *argument;

	va_start(args, command);
	argument = va_arg(args, void *);
	va_end(args);
	return control_lock(fd, command, argument);
}

int __wrap_fcntl64(int fd, int command, ...)
{
	va_list args;
	void *argument;

	va_start(args, command);
	argument = va_arg(args, void *);
	va_end(args);
	return control_lock(fd, command, argument);
}

static void setup(void)
{
	int fd;

	strcpy(path, "/tmp/gmig-disk-lock.XXXXXX");
	fd = mkstemp(path);
	ck_assert_int_ge(fd, 0);
	ck_assert_int_eq(ftruncate(fd, BYTES), 0);
	close(fd);
	strcpy(told, "/tmp/gmig-disk-lock.XXXXXX");
	close(mkstemp(told));
}

static void teardown(void)
{
	unlink(path);
	unlink(told);
}

static off_t size_now(void)
{
	struct stat st;

	ck_assert_int_eq(stat(path, &st), 0);
	return st.st_size;
}

static void fail_lock(int error, int times)
{
	lock_error = error;
	lock_fails = times;
}

static const int unknown[] = {ENOLCK, EIO, ENOMEM};

START_TEST(file_of_which_nobody_can_tell_its_lock_is_not_emptied)
{
	struct gmig_error err;

	fail_lock(unknown[_i], 1);
	ck_assert_int_eq(console_file_open(path, false, &err), -unknown[_i]);
	ck_assert_ptr_nonnull(strstr(err.text, "cannot tell whether it is in use"));
	ck_assert_int_eq(size_now(), BYTES);
	/* Nor appended to. */
	fail_lock(unknown[_i], 1);
	ck_assert_int_eq(console_file_open(path, true, &err), -unknown[_i]);
}
END_TEST

/* A file that is just made, or empty, is nobody's disk. */
START_TEST(empty_file_is_a_console_whoever_can_tell)
{
	struct gmig_error err;
	int fd;

	ck_assert_int_eq(truncate(path, 0), 0);
	fail_lock(unknown[_i], 1);
	fd = console_file_open(path, false, &err);
	ck_assert_msg(fd >= 0, "%s", err.text);
	close(fd);
	ck_assert_int_eq(lock_fails, 1);
}
END_TEST

static const int without[] = {EINVAL, EOPNOTSUPP, ENOSYS};

START_TEST(file_where_there_are_no_locks_is_a_console)
{
	struct gmig_error err;
	int fd;

	fail_lock(without[_i], 1);
	fd = console_file_open(path, false, &err);
	ck_assert_msg(fd >= 0, "%s", err.text);
	ck_assert_int_eq(size_now(), 0);
	close(fd);
}
END_TEST

START_TEST(interrupted_look_is_repeated)
{
	struct blk_file disk, second;
	struct gmig_error err;

	fail_lock(EINTR, 2);
	ck_assert_int_eq(blk_file_open(&disk, path, false, &err), 0);
	fail_lock(EINTR, 2);
	ck_assert_int_eq(console_file_open(path, false, &err), -EBUSY);
	ck_assert_int_eq(size_now(), BYTES);
	ck_assert_int_eq(blk_file_open(&second, path, false, &err), -EBUSY);
	blk_file_close(&second);
	blk_file_close(&disk);
}
END_TEST

static const int passing[] = {EIO, ENOMEM};

START_TEST(disk_that_cannot_be_locked_now_is_refused)
{
	struct blk_file disk;
	struct gmig_error err;

	fail_lock(passing[_i], 1);
	ck_assert_int_eq(blk_file_open(&disk, path, false, &err), -passing[_i]);
	ck_assert_ptr_nonnull(strstr(err.text, "cannot be locked"));
	blk_file_close(&disk);
}
END_TEST

static const int lasting[] = {ENOLCK, EINVAL, EOPNOTSUPP};

START_TEST(disk_without_locks_is_used_and_a_warning_says_so)
{
	int file = open(told, O_RDWR), kept = dup(STDERR_FILENO);
	struct blk_file disk;
	struct gmig_error err;
	char text[512] = "";
	int ret;

	ck_assert_int_ge(dup2(file, STDERR_FILENO), 0);
	fail_lock(lasting[_i], 1);
	ret = blk_file_open(&disk, path, false, &err);
	ck_assert_int_ge(dup2(kept, STDERR_FILENO), 0);
	ck_assert_int_eq(ret, 0);
	ck_assert_int_ge(pread(file, text, sizeof(text) - 1, 0), 0);
	ck_assert_msg(strstr(text, "warning") && strstr(text, "lock=none"), "'%s'", text);
	blk_file_close(&disk);
	close(kept);
	close(file);
}
END_TEST

#define COUNT(array) (int)(sizeof(array) / sizeof((array)[0]))

int main(void)
{
	Suite *suite = suite_create("disk_lock");
	TCase *tcase = tcase_create("all");

	tcase_add_checked_fixture(tcase, setup, teardown);
	tcase_add_loop_test(tcase, file_of_which_nobody_can_tell_its_lock_is_not_emptied, 0,
			    COUNT(unknown));
	tcase_add_loop_test(tcase, empty_file_is_a_console_whoever_can_tell, 0, COUNT(unknown));
	tcase_add_loop_test(tcase, file_where_there_are_no_locks_is_a_console, 0, COUNT(without));
	tcase_add_test(tcase, interrupted_look_is_repeated);
	tcase_add_loop_test(tcase, disk_that_cannot_be_locked_now_is_refused, 0, COUNT(passing));
	tcase_add_loop_test(tcase, disk_without_locks_is_used_and_a_warning_says_so, 0,
			    COUNT(lasting));
	suite_add_tcase(suite, tcase);
	return run_suite(suite);
}
