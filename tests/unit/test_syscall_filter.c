/* Why a filter cannot be had: what the kernel said, in a child process in which a filter of its own says it. */
#include "../../control/syscall_filter.h"
#include "../support/suite.h"

#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#define NOT_TRIED 255

/* This call, if its first argument is `first`, fails with `error` from now on. */
static int break_call(int number, uint32_t mask, uint32_t first, int error)
{
	struct syscall_filter filter;

	syscall_filter_begin(&filter, SYSCALL_ALLOW);
	syscall_filter_call_if(&filter, number, 0, mask, first, SCMP_ACT_ERRNO((uint16_t)error));
	return syscall_filter_install(&filter, false);
}

/* -what the next filter's installation says, by a child that cannot make this call. */
static int said_without(int number, uint32_t mask, uint32_t first, int error)
{
	struct syscall_filter filter;
	int status;
	pid_t pid;

	syscall_filter_look();
	pid = fork();
	ck_assert_int_ge(pid, 0);
	if (!pid) {
		if (break_call(number, mask, first, error))
			_exit(NOT_TRIED);
		syscall_filter_begin(&filter, SYSCALL_ALLOW);
		syscall_filter_call(&filter, SYS_ptrace, SYSCALL_DENY);
		_exit(-syscall_filter_install(&filter, false));
	}
	ck_assert_int_eq(waitpid(pid, &status, 0), pid);
	ck_assert(WIFEXITED(status));
	ck_assert_int_ne(WEXITSTATUS(status), NOT_TRIED);
	return WEXITSTATUS(status);
}

START_TEST(filter_is_installed_where_nothing_fails)
{
	ck_assert_int_eq(said_without(SYS_ptrace, UINT32_MAX, 1, EIO), 0);
}
END_TEST

START_TEST(refusal_of_no_new_privs_is_told_as_what_it_was)
{
	ck_assert_int_eq(said_without(SYS_prctl, UINT32_MAX, PR_SET_NO_NEW_PRIVS, EPERM), EPERM);
	ck_assert_int_eq(said_without(SYS_prctl, UINT32_MAX, PR_SET_NO_NEW_PRIVS, EINVAL), EINVAL);
}
END_TEST

/* Some are on libseccomp's list of errors; each other one it calls EFAULT. */
START_TEST(refusal_of_the_filter_is_told_as_what_it_was)
{
	static const int errors[] = {EACCES, ENOMEM, EINVAL, ENOSYS, EPERM, EFAULT};

	for (size_t i = 0; i < sizeof(errors) / sizeof(errors[0]); i++)
		ck_assert_int_eq(said_without(SYS_seccomp, 0, 0, errors[i]), errors[i]);
}
END_TEST

START_TEST(filter_without_memory_says_so)
{
	struct syscall_filter filter = {.ret = -ENOMEM};

	syscall_filter_call(&filter, SYS_ptrace, SYSCALL_DENY);
	syscall_filter_first(&filter, SYS_ptrace);
	ck_assert_int_eq(syscall_filter_install(&filter, true), -ENOMEM);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("syscall_filter");
	TCase *tcase = tcase_create("syscall_filter");

	tcase_add_test(tcase, filter_is_installed_where_nothing_fails);
	tcase_add_test(tcase, refusal_of_no_new_privs_is_told_as_what_it_was);
	tcase_add_test(tcase, refusal_of_the_filter_is_told_as_what_it_was);
	tcase_add_test(tcase, filter_without_memory_says_so);
	suite_add_tcase(suite, tcase);
	return run_suite(suite);
}
