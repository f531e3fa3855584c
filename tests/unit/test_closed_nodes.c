/* The list of closed nodes: what is believed, and that a change is whole or not there. */
#include "../../control/closed_nodes.h"
#include "suite.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

static char base[64], own[96], system_directory[96];

/* Whoever runs the test. */
static uid_t somebody(void)
{
	return 1000;
}

static uid_t root(void)
{
	return 0;
}

static void setup(void)
{
	strcpy(base, "/tmp/gmig-closed.XXXXXX");
	ck_assert_ptr_nonnull(mkdtemp(base));
	setenv("XDG_RUNTIME_DIR", base, 1);
	snprintf(own, sizeof(own), "%s/gmig", base);
	snprintf(system_directory, sizeof(system_directory), "%s/system", base);
	closed_nodes_system = system_directory;
	closed_nodes_user = somebody;
	unsetenv("GMIG_SYSTEM_DIR");
}

static void teardown(void)
{
	char command[128];

	snprintf(command, sizeof(command), "rm -rf '%s'", base);
	ck_assert_int_eq(system(command), 0);
}

static void write_list(const char *directory, const char *text, mode_t mode)
{
	char path[160];
	FILE *file;

	mkdir(directory, 0700);
	snprintf(path, sizeof(path), "%s/closed-nodes", directory);
	file = fopen(path, "we");
	ck_assert_ptr_nonnull(file);
	fputs(text, file);
	fclose(file);
	chmod(path, mode);
}

static struct gmig_node_set set_of(unsigned int node)
{
	struct gmig_node_set set = {{0}};

	gmig_node_set_add(&set, node);
	return set;
}

static const struct gmig_node_set none;

static void expect(const char *want)
{
	struct gmig_node_set closed;
	struct gmig_error err;
	char list[64];

	ck_assert_msg(!closed_nodes_read(&closed, &err), "%s", err.text);
	ck_assert_str_eq(gmig_node_set_print(&closed, list, sizeof(list)), want);
}

START_TEST(nothing_is_closed_where_there_is_no_file)
{
	expect("");
	write_list(own, "", 0644);
	expect("");
	write_list(own, "\n", 0644);
	expect("");
}
END_TEST

START_TEST(both_files_count)
{
	write_list(own, "3,5-6\n", 0644);
	write_list(system_directory, "1023\n", 0644);
	expect("3,5-6,1023");
}
END_TEST

START_TEST(roots_list_is_to_be_reached_by_everybody)
{
	const struct gmig_node_set one = set_of(1);
	struct gmig_node_set closed;
	struct gmig_error err;
	struct stat st;

	/* A guest of root's made it first, for itself. */
	mkdir(own, 0700);
	closed_nodes_system = own;
	closed_nodes_user = root;
	ck_assert_int_eq(closed_nodes_change(&one, &none, &closed, &err), 0);
	ck_assert_int_eq(stat(own, &st), 0);
	ck_assert_int_eq(st.st_mode & 07777, 0711);
}
END_TEST

START_TEST(changes_add_and_take_away)
{
	const struct gmig_node_set one = set_of(1), two = set_of(2);
	struct gmig_node_set closed;
	struct gmig_error err;

	ck_assert_int_eq(closed_nodes_change(&one, &none, &closed, &err), 0);
	ck_assert_int_eq(closed_nodes_change(&two, &none, &closed, &err), 0);
	expect("1-2");
	ck_assert(gmig_node_set_has(&closed, 1));
	ck_assert_int_eq(closed_nodes_change(&none, &one, &closed, &err), 0);
	expect("2");
	/* Once more: it is so already. */
	ck_assert_int_eq(closed_nodes_change(&none, &one, &closed, &err), 0);
	expect("2");
}
END_TEST

START_TEST(all_nodes_fit)
{
	struct gmig_node_set even = {{0}}, closed;
	struct gmig_error err;

	for (unsigned int node = 0; node < GMIG_MAX_NODES; node += 2)
		gmig_node_set_add(&even, node);
	ck_assert_int_eq(closed_nodes_change(&even, &none, &closed, &err), 0);
	ck_assert_int_eq(closed_nodes_read(&closed, &err), 0);
	ck_assert_uint_eq(gmig_node_set_count(&closed), GMIG_MAX_NODES / 2);
}
END_TEST

START_TEST(node_that_root_closed_stays_closed)
{
	const struct gmig_node_set seven = set_of(7);
	struct gmig_node_set closed;
	struct gmig_error err;

	write_list(system_directory, "7\n", 0644);
	ck_assert_int_eq(closed_nodes_change(&none, &seven, &closed, &err), -EACCES);
	ck_assert_str_eq(err.text, "node 7 is closed by root, for everybody");
	expect("7");
}
END_TEST

/* As pam_systemd sets it for each login, and not for a daemon. */
START_TEST(roots_list_is_where_gmigd_looks_whatever_its_login_has)
{
	const struct gmig_node_set one = set_of(1);
	struct gmig_node_set closed;
	struct gmig_error err;

	closed_nodes_user = root;
	ck_assert_int_eq(closed_nodes_change(&one, &none, &closed, &err), 0);
	ck_assert_int_eq(access(own, F_OK), -1);
	unsetenv("XDG_RUNTIME_DIR");
	expect("1"); /* gmigd */
	setenv("XDG_RUNTIME_DIR", base, 1);
	closed_nodes_user = somebody;
	expect("1");
	closed_nodes_user = root;
	ck_assert_int_eq(closed_nodes_change(&none, &one, &closed, &err), 0);
	expect("");
}
END_TEST

/* What closed_nodes_read() says to a user who does not own the directories. */
static int read_as_another(void)
{
	struct gmig_node_set closed;
	struct gmig_error err;
	int status;
	pid_t pid = fork();

	if (!pid) {
		if (setgid(65534) || setuid(65534))
			_exit(255);
		_exit(closed_nodes_read(&closed, &err) ? 1 : gmig_node_set_has(&closed, 1) * 2);
	}
	ck_assert_int_eq(waitpid(pid, &status, 0), pid);
	ck_assert(WIFEXITED(status));
	return WEXITSTATUS(status);
}

START_TEST(list_that_is_seen_and_cannot_be_read_is_an_error)
{
	char path[160];

	if (geteuid() != 0) {
		skip_case("only root can become another user");
		return;
	}
	ck_assert_int_eq(chmod(base, 0711), 0);
	write_list(system_directory, "1\n", 0644);
	/* Who may not enter the directory goes on as if there were none. */
	ck_assert_int_eq(read_as_another(), 0);
	ck_assert_int_eq(chmod(system_directory, 0711), 0);
	ck_assert_int_eq(read_as_another(), 2);
	snprintf(path, sizeof(path), "%s/closed-nodes", system_directory);
	ck_assert_int_eq(chmod(path, 0600), 0);
	ck_assert_int_eq(read_as_another(), 1);
	write_list(system_directory, "\n", 0600);
	ck_assert_int_eq(read_as_another(), 0);
}
END_TEST

static const char *const nonsense[] = {"x\n", "1;2\n", "4-2\n", "-1\n", "1024\n", "1,\n"};

START_TEST(list_that_says_nonsense_is_an_error_and_is_kept)
{
	const struct gmig_node_set one = set_of(1);
	struct gmig_node_set closed;
	struct gmig_error err;
	uint16_t node = 0;

	write_list(own, nonsense[_i], 0644);
	ck_assert_int_eq(closed_nodes_read(&closed, &err), -EIO);
	ck_assert_ptr_nonnull(strstr(err.text, "/closed-nodes is to have a list of nodes: "));
	ck_assert_int_eq(closed_nodes_change(&one, &none, &closed, &err), -EIO);
	/* Who does not know what is closed moves nothing. */
	ck_assert_int_eq(closed_nodes_check(&node, 1, "to", &err), -EIO);
}
END_TEST

START_TEST(list_that_others_may_write_is_not_believed)
{
	struct gmig_node_set closed;
	struct gmig_error err;

	write_list(own, "1\n", 0666);
	ck_assert_int_eq(closed_nodes_read(&closed, &err), -EPERM);
	ck_assert_ptr_nonnull(strstr(err.text, "can be written by others"));
}
END_TEST

START_TEST(what_is_no_file_is_an_error)
{
	struct gmig_node_set closed;
	struct gmig_error err;
	char path[160];

	write_list(system_directory, "1\n", 0644);
	mkdir(own, 0700);
	snprintf(path, sizeof(path), "%s/closed-nodes", own);
	ck_assert_int_eq(symlink("../system/closed-nodes", path), 0);
	ck_assert_int_eq(closed_nodes_read(&closed, &err), -EIO);
	unlink(path);
	ck_assert_int_eq(mkfifo(path, 0600), 0);
	ck_assert_int_eq(closed_nodes_read(&closed, &err), -EIO);
}
END_TEST

START_TEST(check_names_the_node_and_what_opens_it)
{
	const uint16_t nodes[] = {0, 4};
	struct gmig_error err;

	ck_assert_int_eq(closed_nodes_check(nodes, 2, "to", &err), 0);
	write_list(own, "4\n", 0644);
	ck_assert_int_eq(closed_nodes_check(nodes, 1, "to", &err), 0);
	ck_assert_int_eq(closed_nodes_check(nodes, 2, "to", &err), -EACCES);
	ck_assert_str_eq(err.text,
			 "to: host node 4 is closed; gmig drain --node 4 --undo opens it");
}
END_TEST

START_TEST(change_that_cannot_be_written_changes_nothing)
{
	const struct gmig_node_set one = set_of(1);
	struct gmig_node_set closed;
	struct gmig_error err;
	char path[160];

	write_list(own, "5\n", 0644);
	/* In the way of the file that is written aside; root may write anywhere else. */
	snprintf(path, sizeof(path), "%s/.closed-nodes", own);
	ck_assert_int_eq(mkdir(path, 0700), 0);
	ck_assert_int_eq(closed_nodes_change(&one, &none, &closed, &err), -EEXIST);
	expect("5");
}
END_TEST

START_TEST(lock_that_is_never_given_back_ends_the_change)
{
	const struct gmig_node_set one = set_of(1);
	struct gmig_node_set closed;
	struct gmig_error err;
	int fd;

	write_list(own, "5\n", 0644);
	fd = open(own, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	ck_assert_int_eq(flock(fd, LOCK_EX), 0);
	closed_nodes_wait_ms = 30;
	ck_assert_int_eq(closed_nodes_change(&one, &none, &closed, &err), -EBUSY);
	expect("5");
	close(fd);
	ck_assert_int_eq(closed_nodes_change(&one, &none, &closed, &err), 0);
	expect("1,5");
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("closed_nodes");
	TCase *tcase = tcase_create("all");

	tcase_add_checked_fixture(tcase, setup, teardown);
	tcase_add_test(tcase, nothing_is_closed_where_there_is_no_file);
	tcase_add_test(tcase, both_files_count);
	tcase_add_test(tcase, roots_list_is_to_be_reached_by_everybody);
	tcase_add_test(tcase, changes_add_and_take_away);
	tcase_add_test(tcase, all_nodes_fit);
	tcase_add_test(tcase, node_that_root_closed_stays_closed);
	tcase_add_test(tcase, roots_list_is_where_gmigd_looks_whatever_its_login_has);
	tcase_add_test(tcase, list_that_is_seen_and_cannot_be_read_is_an_error);
	tcase_add_loop_test(tcase, list_that_says_nonsense_is_an_error_and_is_kept, 0,
			    sizeof(nonsense) / sizeof(nonsense[0]));
	tcase_add_test(tcase, list_that_others_may_write_is_not_believed);
	tcase_add_test(tcase, what_is_no_file_is_an_error);
	tcase_add_test(tcase, check_names_the_node_and_what_opens_it);
	tcase_add_test(tcase, change_that_cannot_be_written_changes_nothing);
	tcase_add_test(tcase, lock_that_is_never_given_back_ends_the_change);
	suite_add_tcase(suite, tcase);
	return run_suite(suite);
}
