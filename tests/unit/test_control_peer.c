/* Who may control a guest: peers of another uid are refused. Needs root, to become somebody else.
 */
#include "control_wire.h"

START_TEST(client_of_another_uid_is_refused)
{
	int status;
	pid_t child;

	/* The mode keeps others out; open everything, so that the check of the uid itself is seen.
	 */
	wire_start(wire_options());
	ck_assert_int_eq(chmod(wire.path, 0666), 0);
	ck_assert_int_eq(chmod(wire.directory, 0755), 0);
	*strrchr(wire.path, '/') = '\0';
	ck_assert_int_eq(chmod(wire.path, 0755), 0);
	wire.path[strlen(wire.path)] = '/';
	child = fork();
	if (!child) {
		struct control_client *client;
		int rc;

		if (setgid(65534) || setuid(65534))
			_exit(2);
		rc = control_connect(wire.path, 10000, &client, &wire.err);
		_exit(rc == -EPERM &&
			      strstr(wire.err.text, "uid 65534 may not control a guest of uid 0")
			  ? 0
			  : 1);
	}
	ck_assert_int_eq(waitpid(child, &status, 0), child);
	ck_assert_int_eq(status, 0);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("control_peer");
	TCase *tcase = case_with(suite, "peer", wire_setup);

	if (geteuid() != 0) {
		puts("skipped: only root can become another user");
		return 77;
	}
	tcase_add_test(tcase, client_of_another_uid_is_refused);
	return run_suite(suite);
}
