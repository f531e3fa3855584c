/* Whose rights a peer has if they cannot be looked at: for want of descriptors nobody's. Needs root, to have rights. */
#include "../../control/control.h"
#include "../../control/internal.h"
#include "../support/failing_open.h"
#include "../support/suite.h"

#include <errno.h>
#include <linux/capability.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

static bool memory_is_out;

void *__real_malloc(size_t bytes);
void *__wrap_malloc(size_t bytes);
void *__wrap_malloc(size_t bytes)
{
	return memory_is_out ? NULL : __real_malloc(bytes);
}

static bool drop_capabilities(void)
{
	struct __user_cap_header_struct header = {.version = _LINUX_CAPABILITY_VERSION_3};
	struct __user_cap_data_struct none[2] = {{0}};

	return !syscall(SYS_capset, &header, none);
}

static bool enter_namespace(void)
{
	return !unshare(CLONE_NEWUSER);
}

static bool stay(void)
{
	return true;
}

static pid_t child;
static int peer = -1;

/* A child that has become what `become` makes of it connects and stays; false: it could not. */
static bool connect_as(bool (*become)(void))
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	socklen_t bytes = sizeof(address);
	int listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	char said = 0;

	ck_assert_int_eq(bind(listener, (struct sockaddr *)&address, sizeof(sa_family_t)), 0);
	ck_assert_int_eq(getsockname(listener, (struct sockaddr *)&address, &bytes), 0);
	ck_assert_int_eq(listen(listener, 1), 0);
	child = fork();
	if (!child) {
		int sock = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
		bool is_it = become();

		if (connect(sock, (struct sockaddr *)&address, bytes) ||
		    send(sock, is_it ? "y" : "n", 1, MSG_NOSIGNAL) != 1)
			_exit(1);
		for (;;)
			pause();
	}
	ck_assert_int_gt(child, 0);
	peer = accept(listener, NULL, NULL);
	ck_assert_int_ge(peer, 0);
	close(listener);
	ck_assert_int_eq(recv(peer, &said, 1, 0), 1);
	control_peer_asks(peer);
	return said == 'y';
}

static void teardown(void)
{
	control_peer_asks(-1);
	if (child > 0) {
		kill(child, SIGKILL);
		waitpid(child, NULL, 0);
	}
	close(peer);
}

static bool has_rights(void)
{
	ck_assert_int_eq(control_peer_is_privileged(), control_peer_is_administrator());
	return control_peer_is_administrator();
}

static void cannot_read(const char *end, int error)
{
	unreadable = end;
	unreadable_error = error;
}

START_TEST(root_of_his_own_namespace_has_no_rights_if_ours_cannot_be_read)
{
	if (!connect_as(enter_namespace)) {
		skip_case("no user namespace can be made here");
		return;
	}
	ck_assert(!has_rights());
	cannot_read("/self/uid_map", EMFILE);
	ck_assert(!has_rights());
	cannot_read("/self/uid_map", EACCES);
	ck_assert(!has_rights());
}
END_TEST

START_TEST(kernel_without_namespaces_has_no_files_of_them)
{
	ck_assert(connect_as(stay));
	if (!has_rights()) {
		skip_case("this process has no rights itself");
		return;
	}
	cannot_read("/uid_map", ENOENT);
	ck_assert(has_rights());
}
END_TEST

START_TEST(uid_stands_for_rights_only_where_they_are_never_to_be_read)
{
	if (!connect_as(drop_capabilities)) {
		skip_case("capabilities cannot be dropped here");
		return;
	}
	ck_assert(!has_rights());
	cannot_read("/status", EMFILE);
	ck_assert(!has_rights());
	/* As in a sandbox, and as with hidepid. */
	cannot_read("/status", EACCES);
	ck_assert(has_rights());
	cannot_read("/status", ENOENT);
	ck_assert(has_rights());
}
END_TEST

START_TEST(member_whose_groups_cannot_be_kept_is_not_said_to_be_none)
{
	const gid_t group = 54321;
	struct gmig_error err;
	int fds[2], ret;

	ck_assert_int_eq(seteuid(65534), 0);
	ck_assert_int_eq(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds), 0);
	ck_assert_int_eq(seteuid(0), 0);
	ck_assert_int_eq(control_check_client(fds[0], &group, &err), -EPERM);
	memory_is_out = true;
	ret = control_check_client(fds[0], &group, &err);
	memory_is_out = false;
	ck_assert_int_eq(ret, -ENOMEM);
	close(fds[0]);
	close(fds[1]);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("control_rights");
	TCase *tcase = tcase_create("all");

	if (geteuid() != 0) {
		puts("skipped: only root can become another user");
		return 77;
	}
	tcase_add_checked_fixture(tcase, NULL, teardown);
	tcase_add_test(tcase, root_of_his_own_namespace_has_no_rights_if_ours_cannot_be_read);
	tcase_add_test(tcase, kernel_without_namespaces_has_no_files_of_them);
	tcase_add_test(tcase, uid_stands_for_rights_only_where_they_are_never_to_be_read);
	tcase_add_test(tcase, member_whose_groups_cannot_be_kept_is_not_said_to_be_none);
	suite_add_tcase(suite, tcase);
	return run_suite(suite);
}
