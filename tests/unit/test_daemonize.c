/* --daemonize: what the command that starts a guest gets. */
#include "../../vmm/daemon.h"
#include "failing_open.h"
#include "suite.h"

#include <errno.h>
#include <stdbool.h>
#include <sys/wait.h>
#include <unistd.h>

#define GOES_ON 50

/* The status of the command; the guest goes on for no longer than it takes to say so. */
static int daemonize(bool ready)
{
	int status, rc;
	pid_t pid = fork();

	if (!pid) {
		rc = vmm_daemonize();
		if (rc < 0 && ready)
			vmm_daemon_ready();
		_exit(rc < 0 ? GOES_ON : rc);
	}
	ck_assert_int_eq(waitpid(pid, &status, 0), pid);
	ck_assert(WIFEXITED(status));
	return WEXITSTATUS(status);
}

START_TEST(command_ends_with_the_guests_status_or_when_it_is_ready)
{
	ck_assert_int_eq(daemonize(true), 0);
	ck_assert_int_eq(daemonize(false), GOES_ON);
}
END_TEST

/* It would keep the command's output open. */
START_TEST(guest_that_cannot_leave_the_commands_streams_does_not_start)
{
	unreadable = "/dev/null";
	ck_assert_int_eq(daemonize(true), 1);
	unreadable_error = ENOENT;
	ck_assert_int_eq(daemonize(true), 0);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("daemonize");
	TCase *tcase = tcase_create("all");

	tcase_add_test(tcase, command_ends_with_the_guests_status_or_when_it_is_ready);
	tcase_add_test(tcase, guest_that_cannot_leave_the_commands_streams_does_not_start);
	suite_add_tcase(suite, tcase);
	return run_suite(suite);
}
