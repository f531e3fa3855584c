/* The control socket's file: mode, stale and living ones, who removes it. */
#include "control_wire.h"

START_TEST(socket_has_mode_0600_whatever_the_umask_is)
{
	struct stat st;

	umask(0);
	wire_start(wire_options());
	ck_assert_int_eq(stat(wire.path, &st), 0);
	ck_assert_int_eq(st.st_mode & 07777, 0600);
	*strrchr(wire.path, '/') = '\0';
	ck_assert_int_eq(stat(wire.path, &st), 0);
	ck_assert_int_eq(st.st_mode & 07777, 0700);
	wire.path[strlen(wire.path)] = '/';
}
END_TEST

START_TEST(socket_living_is_refused_and_lives_on)
{
	struct control_server_options opts = wire_options();
	struct control_server *second = NULL;
	int fd;

	wire_start(opts);
	ck_assert_int_eq(control_server_create(&opts, &second, &wire.err), -EADDRINUSE);
	ck_assert_ptr_nonnull(strstr(wire.err.text, "a server lives at"));
	fd = dial();
	ask(fd, "{\"execute\":\"echo\"}", "{\"return\":{}}");
	close(fd);
}
END_TEST

START_TEST(socket_stale_is_taken_over)
{
	pid_t child = fork();
	int fd;

	if (!child) {
		wire_start(wire_options());
		_exit(0); /* leaves the file behind, as SIGKILL would */
	}
	waitpid(child, NULL, 0);
	ck_assert_int_eq(access(wire.path, F_OK), 0);
	wire_start(wire_options());
	fd = dial();
	close(fd);
}
END_TEST

START_TEST(socket_stale_taken_by_many_at_once_has_one_owner)
{
	int winners = 0, status;
	int gate[2], told[2], end[2];
	pid_t child = fork();

	if (!child) {
		wire_start(wire_options());
		_exit(0);
	}
	waitpid(child, NULL, 0);
	ck_assert_int_eq(pipe(gate) | pipe(told) | pipe(end), 0);
	for (int i = 0; i < 8; i++) {
		char byte;

		if (fork())
			continue;
		close(gate[1]);
		close(end[1]);
		if (read(gate[0], &byte, 1) != 0)
			_exit(2);
		struct control_server_options opts = wire_options();
		int rc = control_server_create(&opts, &wire.server, &wire.err);

		/* Alive until all have tried. */
		if (write(told[1], "x", 1) != 1 || read(end[0], &byte, 1) != 0)
			_exit(2);
		_exit(rc == -EADDRINUSE ? 1 : rc ? 3 : 0);
	}
	close(gate[0]);
	close(gate[1]);
	for (int i = 0; i < 8; i++) {
		char byte;

		ck_assert_int_eq(read(told[0], &byte, 1), 1);
	}
	close(end[0]);
	close(end[1]);
	while (wait(&status) > 0) {
		ck_assert_int_le(WEXITSTATUS(status), 1);
		winners += WEXITSTATUS(status) == 0;
	}
	ck_assert_int_eq(winners, 1);
}
END_TEST

START_TEST(socket_is_removed_at_the_end)
{
	wire_start(wire_options());
	control_server_destroy(wire.server);
	wire.server = NULL;
	ck_assert_int_eq(access(wire.path, F_OK), -1);
}
END_TEST

START_TEST(socket_of_somebody_else_is_not_removed_at_the_end)
{
	wire_start(wire_options());
	ck_assert_int_eq(unlink(wire.path), 0);
	ck_assert_int_ge(open(wire.path, O_CREAT | O_WRONLY, 0600), 0);
	control_server_destroy(wire.server);
	wire.server = NULL;
	ck_assert_int_eq(access(wire.path, F_OK), 0);
}
END_TEST

START_TEST(socket_path_that_is_a_file_is_left_alone)
{
	struct control_server_options opts = wire_options();

	wire_start(opts);
	control_server_destroy(wire.server);
	wire.server = NULL;
	ck_assert_int_ge(open(wire.path, O_CREAT | O_WRONLY, 0600), 0);
	ck_assert_int_eq(control_server_create(&opts, &wire.server, &wire.err), -EEXIST);
	ck_assert_ptr_nonnull(strstr(wire.err.text, "is not a socket"));
	ck_assert_int_eq(access(wire.path, F_OK), 0);
}
END_TEST

START_TEST(socket_path_too_long_or_empty_is_refused)
{
	struct control_server_options opts = wire_options();
	char longer[200];

	memset(longer, 'a', sizeof(longer) - 1);
	longer[0] = '/';
	longer[sizeof(longer) - 1] = '\0';
	opts.path = longer;
	ck_assert_int_eq(control_server_create(&opts, &wire.server, &wire.err), -ENAMETOOLONG);
	opts.path = "";
	ck_assert_int_eq(control_server_create(&opts, &wire.server, &wire.err), -EINVAL);
}
END_TEST

/* ---- A guest's name, before its socket ------------------------------------------------------- */

START_TEST(name_that_is_taken_is_refused_and_seen_as_starting)
{
	char path[120], lock_path[120];
	int fd;

	setenv("XDG_RUNTIME_DIR", wire.directory, 1);
	snprintf(path, sizeof(path), "%s/gmig/vm1.sock", wire.directory);
	snprintf(lock_path, sizeof(lock_path), "%s/gmig/vm1.lock", wire.directory);
	ck_assert(!control_is_starting(path));
	fd = control_lock_name("vm1", &wire.err);
	ck_assert_msg(fd >= 0, "%s", wire.err.text);
	ck_assert(control_is_starting(path));
	ck_assert(!control_is_starting("/tmp/vm1"));
	ck_assert_int_eq(control_lock_name("vm1", &wire.err), -EADDRINUSE);
	ck_assert_ptr_nonnull(strstr(wire.err.text, "a VM named 'vm1' is running or starting"));
	control_unlock_name("vm1", fd);
	ck_assert(!control_is_starting(path));
	ck_assert_int_eq(access(lock_path, F_OK), -1);
	snprintf(path, sizeof(path), "%s/gmig", wire.directory);
	rmdir(path);
}
END_TEST

START_TEST(name_of_a_killed_vmm_is_free_again)
{
	char path[120];
	int status;
	pid_t child = fork();

	setenv("XDG_RUNTIME_DIR", wire.directory, 1);
	if (!child) {
		control_lock_name("vm1", NULL);
		kill(getpid(), SIGKILL);
	}
	ck_assert_int_eq(waitpid(child, &status, 0), child);
	snprintf(path, sizeof(path), "%s/gmig/vm1.lock", wire.directory);
	ck_assert_int_eq(access(path, F_OK), 0);
	snprintf(path, sizeof(path), "%s/gmig/vm1.sock", wire.directory);
	ck_assert(!control_is_starting(path));
	wire_expect_free("vm1");
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("control_socket");
	TCase *tcase = case_with(suite, "files", wire_setup);

	tcase_add_test(tcase, socket_has_mode_0600_whatever_the_umask_is);
	tcase_add_test(tcase, socket_living_is_refused_and_lives_on);
	tcase_add_test(tcase, socket_stale_is_taken_over);
	tcase_add_test(tcase, socket_stale_taken_by_many_at_once_has_one_owner);
	tcase_add_test(tcase, socket_is_removed_at_the_end);
	tcase_add_test(tcase, socket_of_somebody_else_is_not_removed_at_the_end);
	tcase_add_test(tcase, socket_path_that_is_a_file_is_left_alone);
	tcase_add_test(tcase, socket_path_too_long_or_empty_is_refused);
	tcase_add_test(tcase, name_that_is_taken_is_refused_and_seen_as_starting);
	tcase_add_test(tcase, name_of_a_killed_vmm_is_free_again);
	return run_suite(suite);
}
