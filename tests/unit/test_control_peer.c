/* Who may control a guest: peers of another uid are refused. Needs root, to become somebody else.
 */
#include "control_wire.h"

#include "../../cli/agent.h"

#include <grp.h>

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
	await_rest();
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

/* Everybody may reach the directory, so that the check of the uid itself is seen. */
static void open_to_all(void)
{
	char parent[128];

	ck_assert_int_eq(chmod(wire.path, 0666), 0);
	ck_assert_int_eq(chmod(wire.directory, 0755), 0);
	snprintf(parent, sizeof(parent), "%.*s", (int)(strrchr(wire.path, '/') - wire.path),
		 wire.path);
	ck_assert_int_eq(chmod(parent, 0755), 0);
}

static int connect_guest(void)
{
	struct control_client *client;
	int ret = control_connect(wire.path, 10000, &client, &wire.err);

	if (!ret)
		control_client_destroy(client);
	return ret;
}

/* The listener greets as a guest does, and never as an agent. Who is refused is refused at once. */
static int connect_agent(void)
{
	struct cli_agent *agent;

	cli_limits.connect_ms = geteuid() == 65534 ? 60000 : 200;
	return cli_agent_connect(wire.path, &agent, &wire.err);
}

/* What it ends in, as an errno; EPERM only with the right text; 255: something else. */
static int connect_as(uid_t uid, int (*connect_it)(void))
{
	int status;
	pid_t child;

	await_rest();
	child = fork();
	if (!child) {
		int rc;

		if (uid && (setgid(uid) || setuid(uid)))
			_exit(255);
		rc = connect_it();
		if (rc == -EPERM && !strstr(wire.err.text, "uid 65533 listens at '"))
			rc = -255;
		_exit(-rc);
	}
	ck_assert_int_eq(waitpid(child, &status, 0), child);
	ck_assert(WIFEXITED(status));
	return WEXITSTATUS(status);
}

/* A listener of uid 65533 that greets as a guest does: it listens when this returns. */
static pid_t serve_as_another(void)
{
	static const char greeting[] = "{\"QMP\":{}}\n";
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	int listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0), ready[2];
	pid_t child;
	char byte;

	snprintf(address.sun_path, sizeof(address.sun_path), "%s", wire.path);
	ck_assert_int_eq(pipe(ready), 0);
	child = fork();
	if (child) {
		close(listener);
		close(ready[1]);
		ck_assert_int_eq(read(ready[0], &byte, 1), 1);
		close(ready[0]);
		return child;
	}
	/* Clients are told who called listen(). */
	if (bind(listener, (struct sockaddr *)&address, sizeof(address)) ||
	    chmod(wire.path, 0666) || setgid(65533) || setuid(65533) || listen(listener, 8) ||
	    write(ready[1], "r", 1) != 1)
		_exit(1);
	for (;;) {
		int fd = accept(listener, NULL, NULL);

		if (fd < 0)
			_exit(1);
		send(fd, greeting, sizeof(greeting) - 1, MSG_NOSIGNAL);
	}
}

START_TEST(server_of_another_uid_is_no_guest_and_no_agent_of_ours)
{
	pid_t server;

	wire_start(wire_options());
	open_to_all();
	control_server_destroy(wire.server);
	wire.server = NULL;
	server = serve_as_another();
	ck_assert_int_eq(connect_as(0, connect_guest), 0);
	ck_assert_int_eq(connect_as(65533, connect_guest), 0);
	ck_assert_int_eq(connect_as(65534, connect_guest), EPERM);
	ck_assert_int_eq(connect_as(0, connect_agent), ETIMEDOUT);
	ck_assert_int_eq(connect_as(65533, connect_agent), ETIMEDOUT);
	ck_assert_int_eq(connect_as(65534, connect_agent), EPERM);
	kill(server, SIGKILL);
	waitpid(server, NULL, 0);
}
END_TEST

#define GROUP 54321

/* Its exit status: 0 let in, EPERM refused with that text. */
static int connect_in_groups(gid_t gid, size_t count, const gid_t *groups, const char *refused)
{
	int status;
	pid_t child;

	await_rest();
	child = fork();
	if (!child) {
		int rc;

		if (setgroups(count, groups) || setgid(gid) || setuid(65534))
			_exit(255);
		rc = connect_guest();
		if (rc && (!refused || !strstr(wire.err.text, refused)))
			rc = -254;
		_exit(-rc);
	}
	ck_assert_int_eq(waitpid(child, &status, 0), child);
	ck_assert(WIFEXITED(status));
	return WEXITSTATUS(status);
}

START_TEST(server_of_a_group_lets_its_members_in_and_nobody_else)
{
	static const gid_t others[] = {1, 2}, members[] = {1, GROUP, 2};
	struct control_server_options options = wire_options();
	char parent[128];
	struct stat st;

	options.has_group = true;
	options.group = GROUP;
	wire_start(options);
	ck_assert_int_eq(chmod(wire.directory, 0755), 0);
	ck_assert_int_eq(stat(wire.path, &st), 0);
	ck_assert_int_eq(st.st_mode & 0777, 0660);
	ck_assert_uint_eq(st.st_gid, GROUP);
	snprintf(parent, sizeof(parent), "%.*s", (int)(strrchr(wire.path, '/') - wire.path),
		 wire.path);
	ck_assert_int_eq(stat(parent, &st), 0);
	ck_assert_int_eq(st.st_mode & 0777, 0711);
	ck_assert_int_eq(connect_in_groups(65534, 3, members, NULL), 0);
	ck_assert_int_eq(connect_in_groups(GROUP, 2, others, NULL), 0);
	ck_assert_int_eq(connect_in_groups(65534, 2, others, "another user"), EACCES);
	/* The check itself, where the mode lets everybody through. */
	ck_assert_int_eq(chmod(wire.path, 0666), 0);
	ck_assert_int_eq(connect_in_groups(65534, 2, others, "is not in group 54321"), EPERM);
	ck_assert_int_eq(connect_in_groups(65534, 0, NULL, "is not in group 54321"), EPERM);
}
END_TEST

static const struct {
	mode_t mode;
	uid_t owner;
	const char *refused; /* NULL: it is not */
} directories[] = {
    {0700, 0, NULL},
    {0755, 0, NULL},
    {01777, 0, NULL},
    {0770, 0, "others may write to the directory"},
    {0777, 0, "others may write to the directory"},
    {0700, 65533, "belongs to uid 65533"},
};

START_TEST(server_in_a_directory_of_others_is_refused)
{
	struct control_server_options options;
	struct control_server *server;
	char directory[128];
	int rc;

	options = wire_options();
	snprintf(directory, sizeof(directory), "%s/theirs", wire.directory);
	ck_assert_int_eq(mkdir(directory, 0700), 0);
	ck_assert_int_eq(chmod(directory, directories[_i].mode), 0);
	ck_assert_int_eq(chown(directory, directories[_i].owner, 0), 0);
	strcat(directory, "/vm.sock");
	options.path = directory;
	rc = control_server_create(&options, &server, &wire.err);
	if (directories[_i].refused) {
		ck_assert_int_eq(rc, -EPERM);
		ck_assert_ptr_nonnull(strstr(wire.err.text, directories[_i].refused));
	} else {
		ck_assert_msg(!rc, "%s", wire.err.text);
		control_server_destroy(server);
	}
	*strrchr(directory, '/') = '\0';
	ck_assert_int_eq(rmdir(directory), 0);
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
	tcase_add_test(tcase, server_of_another_uid_is_no_guest_and_no_agent_of_ours);
	tcase_add_test(tcase, server_of_a_group_lets_its_members_in_and_nobody_else);
	tcase_add_loop_test(tcase, server_in_a_directory_of_others_is_refused, 0,
			    sizeof(directories) / sizeof(directories[0]));
	return run_suite(suite);
}
