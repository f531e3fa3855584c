/* Locks of names and of sockets' directories that cannot be had or seen: not by another VMM's doing, and not for its want. */
#include "control_wire.h"
#include "failing_open.h"

#include <errno.h>
#include <sys/file.h>
#include <sys/stat.h>

static int lock_error, stat_error; /* 0: none */

int __real_flock(int fd, int operation);
int __wrap_flock(int fd, int operation);

int __wrap_flock(int fd, int operation)
{
	if (!lock_error)
		return __real_flock(fd, operation);
	errno = lock_error;
	return -1;
}

int __real_lstat(const char *path, struct stat *st);
int __wrap_lstat(const char *path, struct stat *st);

int __wrap_lstat(const char *path, struct stat *st)
{
	if (!stat_error)
		return __real_lstat(path, st);
	errno = stat_error;
	return -1;
}

START_TEST(lock_that_cannot_be_had_is_no_vm_of_that_name)
{
	char path[160];

	setenv("XDG_RUNTIME_DIR", wire.directory, 1);
	lock_error = ENOLCK;
	ck_assert_int_eq(control_lock_name("vm1", &wire.err), -ENOLCK);
	ck_assert_ptr_nonnull(strstr(wire.err.text, "cannot lock '"));
	snprintf(path, sizeof(path), "rm -r %s/gmig", wire.directory);
	ck_assert_int_eq(system(path), 0);
}
END_TEST

/* Neither is it opened and locked again and again. */
START_TEST(lock_whose_file_cannot_be_looked_at_is_refused)
{
	setenv("XDG_RUNTIME_DIR", wire.directory, 1);
	stat_error = EIO;
	ck_assert_int_eq(control_lock_name("vm1", &wire.err), -EIO);
	ck_assert_ptr_nonnull(strstr(wire.err.text, "cannot look at '"));
	stat_error = 0;
	wire_expect_free("vm1");
}
END_TEST

START_TEST(directory_that_cannot_be_locked_is_not_another_programs)
{
	struct control_server_options options = wire_options();

	lock_error = ENOLCK;
	ck_assert_int_eq(control_server_create(&options, &wire.server, &wire.err), -ENOLCK);
	ck_assert_ptr_nonnull(strstr(wire.err.text, "cannot lock the directory"));
	wire.server = NULL;
}
END_TEST

START_TEST(vm_that_starts_is_not_said_to_be_none_if_nobody_can_tell)
{
	char path[160];
	int fd;

	setenv("XDG_RUNTIME_DIR", wire.directory, 1);
	snprintf(path, sizeof(path), "%s/gmig/vm1.sock", wire.directory);
	fd = control_lock_name("vm1", &wire.err);
	ck_assert_msg(fd >= 0, "%s", wire.err.text);
	unreadable = "/vm1.lock";
	ck_assert(control_is_starting(path));
	unreadable_error = ENOENT;
	ck_assert(!control_is_starting(path));
	unreadable = NULL;
	control_unlock_name("vm1", fd);
	snprintf(path, sizeof(path), "%s/gmig", wire.directory);
	rmdir(path);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("control_locks");
	TCase *tcase = case_with(suite, "locks", wire_setup);

	tcase_add_test(tcase, lock_that_cannot_be_had_is_no_vm_of_that_name);
	tcase_add_test(tcase, lock_whose_file_cannot_be_looked_at_is_refused);
	tcase_add_test(tcase, directory_that_cannot_be_locked_is_not_another_programs);
	tcase_add_test(tcase, vm_that_starts_is_not_said_to_be_none_if_nobody_can_tell);
	return run_suite(suite);
}
