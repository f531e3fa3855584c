/* gmigd as systemd sees it: it starts, reads its configuration again when told, and ends. In a process of its own, on libvirt's test driver. */
#include "../../libvirt-hooks/daemon.h"
#include "../../libvirt-hooks/daemon_log.h"
#include "../../libvirt-hooks/log_name.h"
#include "../../libvirt-hooks/node_journal.h"
#include "../../libvirt-hooks/virt.h"
#include "fake_proc.h"
#include "suite.h"

#include <errno.h>
#include <grp.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <time.h>

static char conf_path[128], log_path[128], metrics[128];
static struct gmig_error err;
static pid_t gmigd;
static int notify_fd;
static unsigned int call_ms; /* 0: what it takes by itself */
static bool finish;
static const char *group, *uri;
static unsigned int rescan_ms; /* 0: as usual */
static bool
    short_of_threads; /* the second time that libvirt is asked for its domains; the first time it is not connected yet */

static void write_conf(const char *text)
{
	fake_file("gmigd.conf", "[gmigd]\nmetrics = %s\n%s", metrics, text);
}

int __real_virt_list(struct virt *virt, struct virt_domain **list, struct gmig_error *why);
int __wrap_virt_list(struct virt *virt, struct virt_domain **list, struct gmig_error *why);

int __wrap_virt_list(struct virt *virt, struct virt_domain **list, struct gmig_error *why)
{
	static int asked;

	if (!short_of_threads)
		return __real_virt_list(virt, list, why);
	asked++;
	if (asked > 2)
		fprintf(stderr, "asked again\n");
	if (asked > 3)
		return __real_virt_list(virt, list, why);
	return asked == 1 ? gmig_fail(why, -ENOTCONN, "not connected")
			  : gmig_fail(why, -EAGAIN, "no thread");
}

/* The child; never returns. */
static void serve(void)
{
	char socket_path[128], state[128];
	struct daemon_options options = {.config = conf_path,
					 .uri = uri,
					 .socket = socket_path,
					 .state = state,
					 .run_dir = "/nonexistent"};
	struct gmigd_conf *conf = NULL;
	sigset_t signals;
	int ret;

	snprintf(socket_path, sizeof(socket_path), "%s/gmigd.sock", tree_root);
	snprintf(state, sizeof(state), "%s/state", tree_root);
	if (!freopen(log_path, "a", stderr))
		_exit(9);
	setvbuf(stderr, NULL, _IOLBF, 0);
	sigfillset(&signals);
	sigprocmask(SIG_BLOCK, &signals, NULL);
	ret = gmigd_conf_read(conf_path, &conf, &err);
	options.conf = conf;
	options.call_ms = call_ms;
	options.rescan_ms = rescan_ms;
	options.finish = finish;
	options.group = group;
	if (!ret)
		ret = daemon_run(&options, &err);
	if (ret)
		fprintf(stderr, "%s\n", err.text);
	gmigd_conf_destroy(conf);
	_exit(ret ? 1 : 0);
}

static void setup(void)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	struct timeval limit = {.tv_sec = 50};

	umask(022);
	tree_create();
	snprintf(conf_path, sizeof(conf_path), "%s/gmigd.conf", tree_root);
	snprintf(log_path, sizeof(log_path), "%s/log", tree_root);
	snprintf(metrics, sizeof(metrics), "%s/gmig.prom", tree_root);
	snprintf(address.sun_path, sizeof(address.sun_path), "%s/notify", tree_root);
	notify_fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	ck_assert_int_eq(bind(notify_fd, (struct sockaddr *)&address, sizeof(address)), 0);
	setsockopt(notify_fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit));
	setenv("NOTIFY_SOCKET", address.sun_path, 1);
	unsetenv("WATCHDOG_USEC");
	gmigd = 0;
	call_ms = 0;
	finish = false;
	group = NULL;
	uri = "test:///default";
	rescan_ms = 0;
	short_of_threads = false;
}

static void start(void)
{
	fflush(NULL);
	gmigd = fork();
	ck_assert_int_ge(gmigd, 0);
	if (!gmigd)
		serve();
}

static int stop(int signal_number)
{
	int status = 0;

	kill(gmigd, signal_number);
	ck_assert_int_eq(waitpid(gmigd, &status, 0), gmigd);
	gmigd = 0;
	return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

static void teardown(void)
{
	if (gmigd)
		stop(SIGKILL);
	close(notify_fd);
	tree_remove();
}

/* The next message that has this in it. */
static const char *wait_message(const char *text)
{
	static char message[4096];

	do {
		ssize_t bytes;

		do /* a stop of this process ends a wait that has a limit */
			bytes = recv(notify_fd, message, sizeof(message) - 1, 0);
		while (bytes < 0 && errno == EINTR);
		ck_assert_msg(bytes > 0, "no message with %s", text);
		message[bytes] = '\0';
	} while (!strstr(message, text));
	return message;
}

static void read_file(const char *path, char *text, size_t bytes)
{
	FILE *file = fopen(path, "r");

	*text = '\0';
	if (!file)
		return;
	text[fread(text, 1, bytes - 1, file)] = '\0';
	fclose(file);
}

static void expect_log(const char *line)
{
	char text[16384];

	read_file(log_path, text, sizeof(text));
	ck_assert_msg(strstr(text, line) != NULL, "%s: %s", line, text);
}

static void expect_no_log(const char *line)
{
	char text[16384];

	read_file(log_path, text, sizeof(text));
	ck_assert_msg(!strstr(text, line), "%s: %s", line, text);
}

/* It is written by a thread of its own. */
static void wait_metrics(const char *path)
{
	const struct timespec pause = {.tv_nsec = 5000000};
	char text[16384];

	for (int i = 0; i < 10000; i++) {
		read_file(path, text, sizeof(text));
		if (strstr(text, "gmig_domains 0\n"))
			return;
		nanosleep(&pause, NULL);
	}
	ck_abort_msg("no metrics in %s", path);
}

START_TEST(reload_reads_the_configuration_whole_or_not_at_all)
{
	char other[160];

	write_conf("");
	start();
	wait_message("READY=1");
	wait_metrics(metrics);
	/* A wrong one: the old one holds, and both systemd and the log know why. */
	write_conf("[default]\nplacement = everywhere\n");
	kill(gmigd, SIGHUP);
	ck_assert_ptr_nonnull(strstr(wait_message("RELOADING=1"), "MONOTONIC_USEC="));
	ck_assert_ptr_nonnull(strstr(wait_message("READY=1"),
				     "STATUS=configuration is wrong, the old one holds: "
				     "gmigd.conf:4 [default]: placement = 'everywhere'"));
	expect_log("configuration is wrong, the old one holds: gmigd.conf:4");
	unlink(metrics);
	/* A good one: it holds from now on, and what is not done is said. */
	snprintf(other, sizeof(other), "%s/other.prom", tree_root);
	fake_file("gmigd.conf",
		  "[gmigd]\nmetrics = %s\nuri = qemu:///session\n[default]\nplacement = pack\n",
		  other);
	kill(gmigd, SIGHUP);
	wait_message("RELOADING=1");
	ck_assert_ptr_null(strstr(wait_message("READY=1"), "wrong"));
	wait_metrics(other);
	expect_log("configuration has been read again");
	expect_log("configuration: uri has changed: that needs a restart");
	expect_log("gmigd.conf:5 [default]: placement = pack is not kept by this version");
	ck_assert_int_eq(stop(SIGTERM), 0);
	wait_message("STOPPING=1");
}
END_TEST

static void await_lines(int wanted, const char *line)
{
	const struct timespec pause = {.tv_nsec = 5000000};
	char text[16384];
	int count = 0;

	for (int i = 0; i < 4000 && count < wanted; i++) {
		read_file(log_path, text, sizeof(text));
		count = 0;
		for (const char *at = text; (at = strstr(at, line)); at++)
			count++;
		nanosleep(&pause, NULL);
	}
	ck_assert_int_eq(count, wanted);
}

/* Its domains are not known meanwhile; nor is it told for each time that it cannot be asked. */
START_TEST(list_that_fails_for_want_of_a_thread_is_said_and_asked_for_again_soon)
{
	rescan_ms = 3600000;
	short_of_threads = true;
	write_conf("");
	start();
	wait_message("READY=1");
	await_lines(2, "asked again");
	await_lines(1, "gmigd: warning no thread");
	expect_no_log("not connected");
	ck_assert_int_eq(stop(SIGTERM), 0);
}
END_TEST

/* Without a descriptor to spare, poll fails, too: what it would have told is looked for all the same. */
START_TEST(poll_that_fails_does_not_end_it)
{
	struct rlimit files;

	write_conf("");
	start();
	wait_message("READY=1");
	ck_assert_int_eq(prlimit(gmigd, RLIMIT_NOFILE, NULL, &files), 0);
	ck_assert_int_eq(prlimit(gmigd, RLIMIT_NOFILE, &(struct rlimit){0, files.rlim_max}, NULL),
			 0);
	/* It ends a poll that has begun already. */
	kill(gmigd, SIGHUP);
	await_lines(1, "configuration is wrong");
	kill(gmigd, SIGHUP);
	await_lines(2, "configuration is wrong");
	ck_assert_int_eq(prlimit(gmigd, RLIMIT_NOFILE, &files, NULL), 0);
	kill(gmigd, SIGHUP);
	wait_message("RELOADING=1");
	ck_assert_ptr_null(strstr(wait_message("READY=1"), "wrong"));
	ck_assert_int_eq(stop(SIGTERM), 0);
	wait_message("STOPPING=1");
}
END_TEST

/* The kernel would hand out SIGHUP first: whoever sends it again and again would keep gmigd from its end. */
START_TEST(order_to_end_is_heard_before_a_reload)
{
	write_conf("");
	start();
	wait_message("READY=1");
	kill(gmigd, SIGSTOP);
	ck_assert_int_eq(waitpid(gmigd, NULL, WUNTRACED), gmigd);
	kill(gmigd, SIGHUP);
	kill(gmigd, SIGTERM);
	ck_assert_int_eq(stop(SIGCONT), 0);
	expect_log("started");
	expect_no_log("configuration has been read again");
}
END_TEST

START_TEST(start_warns_of_what_is_not_done)
{
	write_conf("[domain db*]\nplacement = spread\nstall-budget = 1ms\nslowdown = 5%\n");
	start();
	wait_message("READY=1");
	expect_log("gmigd.conf:4 [domain db*]: placement = spread is not kept by this version");
	ck_assert_int_eq(stop(SIGINT), 0);
}
END_TEST

START_TEST(call_to_libvirt_is_given_up_before_the_watchdog_bites)
{
	write_conf("");
	setenv("WATCHDOG_USEC", "60000000", 1);
	call_ms = 30000;
	start();
	wait_message("READY=1");
	ck_assert_int_eq(stop(SIGTERM), 0);
	expect_no_log("watchdog");
	call_ms = 600000;
	start();
	wait_message("READY=1");
	expect_log("libvirt-timeout is 30000 ms and not 600000: half of what systemd's watchdog");
	ck_assert_int_eq(stop(SIGTERM), 0);
}
END_TEST

/* A call may take ten minutes here, and a stop may not. */
START_TEST(libvirt_that_never_answers_does_not_hold_the_end_up)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	int listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	char silent[192];

	write_conf("");
	snprintf(address.sun_path, sizeof(address.sun_path), "%s/silent", tree_root);
	ck_assert_int_eq(bind(listener, (struct sockaddr *)&address, sizeof(address)), 0);
	ck_assert_int_eq(listen(listener, 8), 0);
	snprintf(silent, sizeof(silent), "qemu+unix:///system?socket=%s", address.sun_path);
	uri = silent;
	call_ms = 600000;
	start();
	wait_message("READY=1");
	/* It is asked already. */
	ck_assert_int_ge(accept4(listener, NULL, NULL, SOCK_CLOEXEC), 0);
	ck_assert_int_eq(stop(SIGTERM), 0);
	close(listener);
}
END_TEST

static void leave_note(enum node_journal_kind kind, uint64_t later)
{
	const struct qemu_host here = {.root = ""};
	struct node_journal journal = {.uuid = "6f1c5f5e-0f1b-4d1a-9d5c-2f6f3a0b7c11",
				       .pid = getpid()};
	char state[128];

	snprintf(state, sizeof(state), "%s/state", tree_root);
	mkdir(state, 0700);
	ck_assert_int_eq(qemu_process_start_time(&here, getpid(), &journal.start_time), 0);
	journal.start_time += later;
	gmig_node_set_add(&journal.nodes, 1);
	ck_assert_int_eq(node_journal_write(state, kind, &journal, &err), 0);
}

START_TEST(finish_says_what_libvirt_was_not_told)
{
	int status;

	write_conf("");
	finish = true;
	start();
	ck_assert_int_eq(waitpid(gmigd, &status, 0), gmigd);
	ck_assert_int_eq(status, 0);
	/* No domain of libvirt's is this process, so nobody can be told of it. */
	leave_note(NODE_JOURNAL_TELL, 0);
	start();
	ck_assert_int_eq(waitpid(gmigd, &status, 0), gmigd);
	ck_assert(WIFEXITED(status) && WEXITSTATUS(status) == 1);
	expect_log("connected to libvirt");
	expect_log("libvirt could not be told of 1 domain: ");
	leave_note(NODE_JOURNAL_TELL, 1); /* it has gone */
	start();
	ck_assert_int_eq(waitpid(gmigd, &status, 0), gmigd);
	gmigd = 0;
	ck_assert_int_eq(status, 0);
}
END_TEST

/* This process has no cpuset that allows node 1 and others: whatever a note says. */
START_TEST(finish_does_not_say_of_cpusets_that_they_keep_what_they_do_not)
{
	char path[256];
	int status;

	write_conf("");
	finish = true;
	leave_note(NODE_JOURNAL_KEPT, 0);
	start();
	ck_assert_int_eq(waitpid(gmigd, &status, 0), gmigd);
	gmigd = 0;
	ck_assert_int_eq(status, 0);
	snprintf(path, sizeof(path), "%s/state/6f1c5f5e-0f1b-4d1a-9d5c-2f6f3a0b7c11.kept",
		 tree_root);
	ck_assert_int_ne(access(path, F_OK), 0);
}
END_TEST

/* Of pins as of moves, whatever its number; and what libvirt was not asked to pin. */
START_TEST(finish_says_which_journals_are_left)
{
	static const char *const names[][2] = {
	    {"pins.bad-1", "1 journal cannot be understood"},
	    {"tell.bad-3", "1 journal cannot be understood"},
	    {"pins", "threads of 1 domain may be pinned"},
	};

	write_conf("");
	finish = true;
	for (size_t i = 0; i < 3; i++) {
		char name[96], path[256];
		int status;

		snprintf(name, sizeof(name), "state/6f1c5f5e-0f1b-4d1a-9d5c-2f6f3a0b7c11.%s",
			 names[i][0]);
		snprintf(path, sizeof(path), "%s/%s", tree_root, name);
		fake_file(name, "{");
		start();
		ck_assert_int_eq(waitpid(gmigd, &status, 0), gmigd);
		gmigd = 0;
		ck_assert(WIFEXITED(status) && WEXITSTATUS(status) == 1);
		expect_log(names[i][1]);
		unlink(path);
		unlink(log_path);
	}
}
END_TEST

START_TEST(lock_for_plans_is_for_those_who_may_use_the_socket)
{
	const struct group *own = getgrgid(getegid());
	char path[160];
	struct stat st;

	write_conf("");
	snprintf(path, sizeof(path), "%s/gmigd-plans.lock", tree_root);
	start();
	wait_message("READY=1");
	ck_assert_int_eq(stat(path, &st), 0);
	ck_assert_uint_eq(st.st_mode & 07777, 0600);
	ck_assert_int_eq(stop(SIGTERM), 0);
	if (!own) {
		skip_case("this user's group has no name");
		return;
	}
	group = own->gr_name;
	start();
	wait_message("READY=1");
	ck_assert_int_eq(stat(path, &st), 0);
	ck_assert_uint_eq(st.st_mode & 07777, 0660);
	ck_assert_uint_eq(st.st_gid, getegid());
	ck_assert_int_eq(stop(SIGTERM), 0);
}
END_TEST

static int group_error, lock_error;

struct group *__real_getgrnam(const char *name);
struct group *__wrap_getgrnam(const char *name);
int __real_flock(int fd, int operation);
int __wrap_flock(int fd, int operation);

struct group *__wrap_getgrnam(const char *name)
{
	errno = group_error;
	return group_error ? NULL : __real_getgrnam(name);
}

int __wrap_flock(int fd, int operation)
{
	errno = lock_error;
	return lock_error ? -1 : __real_flock(fd, operation);
}

static void expect_no_start(const char *why)
{
	int status;

	start();
	ck_assert_int_eq(waitpid(gmigd, &status, 0), gmigd);
	gmigd = 0;
	ck_assert(WIFEXITED(status) && WEXITSTATUS(status) == 1);
	expect_log(why);
	unlink(log_path);
}

/* Neither is there no such group, nor does another gmigd run. */
START_TEST(start_that_fails_for_want_of_descriptors_or_locks_says_so)
{
	write_conf("");
	lock_error = ENOLCK;
	expect_no_start("/state/lock' cannot be locked: No locks available");
	lock_error = EWOULDBLOCK;
	expect_no_start("another gmigd runs");
	lock_error = 0;
	group = "wheel";
	group_error = EMFILE;
	expect_no_start("which group 'wheel' is: Too many open files");
}
END_TEST

/* Of a line about the domain, "" if there is none. */
static const char *field(const char *name, const char *rest, size_t i)
{
	static char text[1024];
	char line[1024];

	snprintf(line, sizeof(line), "domain=%s %s", log_name(name).text, rest);
	*text = '\0';
	(void)daemon_log_field(line, i, text, sizeof(text));
	return text;
}

START_TEST(log_fields_are_the_lines_own_whatever_the_name)
{
	static const char rest[] = "job=7 state=hold reason=wait job=8";
	char name[2 * LOG_NAME_BYTES];

	ck_assert_str_eq(field("web1", rest, 0), "GMIG_DOMAIN=web1");
	ck_assert_str_eq(field("web1", rest, 1), "GMIG_JOB=7");
	ck_assert_str_eq(field("web1", rest, 2), "GMIG_STATE=hold");
	ck_assert_str_eq(field("web1", rest, 3), "GMIG_REASON=wait job=8");
	ck_assert_str_eq(field("web1", "reason=job=8 job=9", 1), "");
	/* Not those of web1. */
	ck_assert_str_eq(field("web1 job=9 reason=x", rest, 0), "GMIG_DOMAIN=web1 job=9 reason=x");
	ck_assert_str_eq(field("web1 job=9 reason=x", rest, 1), "GMIG_JOB=7");
	ck_assert_str_eq(field("a\" job=9", rest, 0), "GMIG_DOMAIN=a' job=9");
	ck_assert_str_eq(field("\"", rest, 1), "GMIG_JOB=7");
	memset(name, ' ', sizeof(name));
	name[sizeof(name) - 1] = '\0';
	ck_assert_str_eq(field(name, rest, 1), "GMIG_JOB=7");
}
END_TEST

int main(void)
{
	const TTest *const tests[] = {
	    reload_reads_the_configuration_whole_or_not_at_all,
	    list_that_fails_for_want_of_a_thread_is_said_and_asked_for_again_soon,
	    poll_that_fails_does_not_end_it,
	    order_to_end_is_heard_before_a_reload,
	    start_warns_of_what_is_not_done,
	    call_to_libvirt_is_given_up_before_the_watchdog_bites,
	    libvirt_that_never_answers_does_not_hold_the_end_up,
	    lock_for_plans_is_for_those_who_may_use_the_socket,
	    finish_says_what_libvirt_was_not_told,
	    finish_does_not_say_of_cpusets_that_they_keep_what_they_do_not,
	    finish_says_which_journals_are_left,
	    start_that_fails_for_want_of_descriptors_or_locks_says_so,
	    log_fields_are_the_lines_own_whatever_the_name,
	};

	if (UNDER_TSAN) {
		puts("skipped: ThreadSanitizer does not see the locks of glib, on which libvirt's "
		     "event loop runs");
		return 77;
	}
	return run_tests("daemon", setup, teardown, tests, sizeof(tests) / sizeof(tests[0]));
}
