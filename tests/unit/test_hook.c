/* The program that libvirt runs: what it sends, and that nothing delays it or makes it fail. */
#include "suite.h"

#include "../../libvirt-hooks/hook_message.h"
#include "../../libvirt-hooks/hook_socket.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#define DOMAIN_BEGIN                                                                               \
	"<domain type='kvm'>\n  <name>web1</name>\n"                                               \
	"  <uuid>4dea22b3-1d52-d8f3-2516-782e98ab3fa0</uuid>\n"
#define DOMAIN DOMAIN_BEGIN "</domain>\n"

static char folder[] = "/tmp/gmig-hook-XXXXXX";
static struct sockaddr_un address = {.sun_family = AF_UNIX};
static int daemon_fd;
static char datagram[HOOK_MESSAGE_BYTES + 1];
static struct hook_message message;

static void setup(void)
{
	ck_assert_ptr_nonnull(mkdtemp(folder));
	snprintf(address.sun_path, sizeof(address.sun_path), "%s/hook.sock", folder);
	daemon_fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	ck_assert_int_ge(daemon_fd, 0);
	ck_assert_int_eq(bind(daemon_fd, (struct sockaddr *)&address, sizeof(address)), 0);
	ck_assert_int_eq(setenv("GMIG_HOOK_SOCKET", address.sun_path, 1), 0);
	signal(SIGPIPE, SIG_IGN);
}

static void teardown(void)
{
	close(daemon_fd);
	(void)unlink(address.sun_path);
	ck_assert_int_eq(rmdir(folder), 0);
	strcpy(folder + strlen(folder) - 6, "XXXXXX");
}

/* A run of the hook: what it was given, and what became of it. */
struct run {
	const char *const *arguments;
	int input;	    /* its stdin; -1: closed */
	bool closed_output; /* stdout and stderr are closed, else pipes that have to stay empty */
	bool no_files;	    /* it may open nothing */
	struct rusage usage;
};

static const char *const usual[] = {HOOK_PROGRAM, "web1", "prepare", "begin", "-", NULL};

static _Noreturn void become_hook(const struct run *run, int output)
{
	if (run->input >= 0)
		dup2(run->input, STDIN_FILENO);
	else
		close(STDIN_FILENO);
	if (run->closed_output) {
		close(STDOUT_FILENO);
		close(STDERR_FILENO);
	} else {
		dup2(output, STDOUT_FILENO);
		dup2(output, STDERR_FILENO);
	}
	if (run->no_files)
		setrlimit(RLIMIT_NOFILE, &(struct rlimit){3, 3});
	execv(HOOK_PROGRAM, (char *const *)run->arguments);
	_exit(99);
}

/* It ends with 0 and without a word; a hook that never ends runs into the test's time limit. */
static void run_hook(struct run *run)
{
	int output[2], status;
	char byte;
	pid_t pid;

	ck_assert_int_eq(pipe2(output, O_CLOEXEC), 0);
	pid = fork();
	ck_assert_int_ge(pid, 0);
	if (!pid)
		become_hook(run, output[1]);
	close(output[1]);
	ck_assert_int_eq(wait4(pid, &status, 0, &run->usage), pid);
	ck_assert_msg(WIFEXITED(status) && !WEXITSTATUS(status), "status %#x", status);
	ck_assert_int_eq(read(output[0], &byte, 1), 0);
	close(output[0]);
}

/* A file with this text, read from its start. */
static int file_of(const char *text, size_t bytes)
{
	int fd = memfd_create("stdin", MFD_CLOEXEC);

	ck_assert_int_ge(fd, 0);
	ck_assert_int_eq(write(fd, text, bytes), (ssize_t)bytes);
	ck_assert_int_eq(lseek(fd, 0, SEEK_SET), 0);
	return fd;
}

static void run_with(const char *const *arguments, const char *text, size_t bytes)
{
	struct run run = {.arguments = arguments, .input = file_of(text, bytes)};

	run_hook(&run);
	close(run.input);
}

/* Whether a message has come, and which. */
static bool was_told(void)
{
	ssize_t bytes = recv(daemon_fd, datagram, sizeof(datagram), 0);
	struct gmig_error err;

	if (bytes < 0 && errno == EAGAIN)
		return false;
	ck_assert_msg(!hook_message_read(datagram, (size_t)bytes, &message, &err), "%s", err.text);
	return true;
}

/*
 * The hook keeps its time whatever the machine does: on a very busy one it may give up ahead of its message, or of the end of its
 * input. It is run until it was in time; the test's time limit ends what never is.
 */
static void run_until_told(const char *const *arguments, const char *text, size_t bytes,
			   enum hook_xml which)
{
	do {
		run_with(arguments, text, bytes);
	} while (!was_told() || (message.which != which && message.which == HOOK_XML_CUT));
	ck_assert_int_eq(message.which, which);
}

/* The same with an input that does not end. */
static void run_until_cut(struct run *run)
{
	do {
		run_hook(run);
	} while (!was_told());
	ck_assert_int_eq(message.which, HOOK_XML_CUT);
}

static void expect_no_message(void)
{
	ck_assert_int_eq(recv(daemon_fd, datagram, sizeof(datagram), 0), -1);
	ck_assert_int_eq(errno, EAGAIN);
}

/* What libvirt calls its hooks with, from 9.0 on, and one that it may have some day. */
static const char *const operations[][3] = {
    {"prepare", "begin", "-"},	    {"start", "begin", "-"},	     {"started", "begin", "-"},
    {"stopped", "end", "-"},	    {"stopped", "end", "destroyed"}, {"release", "end", "-"},
    {"release", "end", "shutdown"}, {"migrate", "begin", "-"},	     {"restore", "begin", "-"},
    {"reconnect", "begin", "-"},    {"attach", "begin", "-"},	     {"hibernate", "middle", "x=y"},
};
#define OPERATIONS (int)(sizeof(operations) / sizeof(operations[0]))

START_TEST(operation_is_told_with_the_xml_and_nothing_is_printed)
{
	const char *const arguments[] = {
	    HOOK_PROGRAM, "web1", operations[_i][0], operations[_i][1], operations[_i][2], NULL};

	run_until_told(arguments, DOMAIN, strlen(DOMAIN), HOOK_XML_WHOLE);
	ck_assert_str_eq(message.name, "web1");
	ck_assert_str_eq(message.operation, operations[_i][0]);
	ck_assert_str_eq(message.sub_operation, operations[_i][1]);
	ck_assert_str_eq(message.extra, operations[_i][2]);
	ck_assert_str_eq(message.uuid, "4dea22b3-1d52-d8f3-2516-782e98ab3fa0");
	ck_assert_uint_eq(message.xml_bytes, strlen(DOMAIN));
	ck_assert_mem_eq(message.xml, DOMAIN, strlen(DOMAIN));
}
END_TEST

static char *document(size_t bytes)
{
	char *text = malloc(bytes);

	memset(text, ' ', bytes);
	memcpy(text, DOMAIN_BEGIN, sizeof(DOMAIN_BEGIN) - 1);
	return text;
}

START_TEST(xml_that_just_fits_is_sent_and_one_byte_more_is_a_digest)
{
	char *text = document(HOOK_XML_BYTES + 1);

	run_until_told(usual, text, HOOK_XML_BYTES, HOOK_XML_WHOLE);
	ck_assert_mem_eq(message.xml, text, HOOK_XML_BYTES);
	run_until_told(usual, text, HOOK_XML_BYTES + 1, HOOK_XML_DIGEST);
	ck_assert_uint_eq(message.xml_bytes, HOOK_XML_BYTES + 1);
	ck_assert_uint_eq(message.xml_digest,
			  hook_digest(HOOK_DIGEST_START, text, HOOK_XML_BYTES + 1));
	ck_assert_str_eq(message.uuid, "4dea22b3-1d52-d8f3-2516-782e98ab3fa0");
	free(text);
}
END_TEST

START_TEST(stdin_without_end_is_left_after_its_time_or_size)
{
	struct run run = {.arguments = usual, .input = open("/dev/zero", O_RDONLY | O_CLOEXEC)};

	run_until_cut(&run);
	close(run.input);
	ck_assert_uint_le(message.xml_bytes, (16u << 20) + 4096);
}
END_TEST

START_TEST(stdin_that_stays_open_and_silent_is_left_after_its_time)
{
	struct run run = {.arguments = usual};
	int input[2];

	ck_assert_int_eq(pipe2(input, O_CLOEXEC), 0);
	run.input = input[0];
	do { /* each run takes what is in the pipe */
		ck_assert_int_eq(write(input[1], DOMAIN, strlen(DOMAIN)), (ssize_t)strlen(DOMAIN));
		run_hook(&run);
	} while (!was_told() || message.xml_bytes != strlen(DOMAIN));
	close(input[0]);
	close(input[1]);
	ck_assert_int_eq(message.which, HOOK_XML_CUT);
	ck_assert_uint_eq(message.xml_bytes, strlen(DOMAIN));
	ck_assert_ptr_null(message.xml);
	ck_assert_str_eq(message.uuid, "4dea22b3-1d52-d8f3-2516-782e98ab3fa0");
}
END_TEST

START_TEST(descriptors_that_are_closed_do_no_harm)
{
	struct run run = {.arguments = usual, .input = -1, .closed_output = true};

	run_until_cut(&run);
	ck_assert_str_eq(message.operation, "prepare");
	ck_assert_uint_eq(message.xml_bytes, 0);
}
END_TEST

/* A dynamic loader would end it before its main(), which libvirt takes for a veto. */
START_TEST(host_without_descriptors_is_no_veto)
{
	struct run run = {
	    .arguments = usual, .input = file_of(DOMAIN, strlen(DOMAIN)), .no_files = true};

#ifdef GMIG_SANITIZED
	skip_case("sanitizers are shared libraries");
#else
	run_hook(&run);
	expect_no_message();
#endif
	close(run.input);
}
END_TEST

START_TEST(stdin_that_is_empty_or_a_directory_is_told_without_xml)
{
	struct run run = {.arguments = usual, .input = open("/", O_RDONLY | O_CLOEXEC)};

	run_until_cut(&run);
	close(run.input);
	run_until_told(usual, "", 0, HOOK_XML_NONE);
}
END_TEST

START_TEST(arguments_that_are_odd_are_told_empty)
{
	char *longest = malloc(130000);
	const char *const none[] = {HOOK_PROGRAM, NULL};
	const char *const odd[] = {HOOK_PROGRAM, "we\x1b[2Jb", "sta\nrt", longest,
				   "",		 "more",       NULL};
	const char *const no_name[] = {NULL};

	memset(longest, 'x', 129999);
	longest[129999] = '\0';
	run_until_told(none, "", 0, HOOK_XML_NONE);
	ck_assert_str_eq(message.operation, "");
	run_until_told(odd, DOMAIN, strlen(DOMAIN), HOOK_XML_WHOLE);
	ck_assert_str_eq(message.name, "");
	ck_assert_str_eq(message.operation, "");
	ck_assert_str_eq(message.sub_operation, "");
	ck_assert_str_eq(message.extra, "");
	ck_assert_str_eq(message.uuid, "4dea22b3-1d52-d8f3-2516-782e98ab3fa0");
	run_until_told(no_name, "", 0, HOOK_XML_NONE);
	free(longest);
}
END_TEST

START_TEST(hook_without_a_daemon_ends_well)
{
	close(daemon_fd);
	run_with(usual, DOMAIN, strlen(DOMAIN)); /* a socket that nobody holds */
	ck_assert_int_eq(unlink(address.sun_path), 0);
	run_with(usual, DOMAIN, strlen(DOMAIN)); /* none at all */
	ck_assert_int_eq(mkdir(address.sun_path, 0700), 0);
	run_with(usual, DOMAIN, strlen(DOMAIN)); /* something else */
	ck_assert_int_eq(rmdir(address.sun_path), 0);
	ck_assert_int_eq(setenv("GMIG_HOOK_SOCKET", "", 1), 0);
	run_with(usual, DOMAIN, strlen(DOMAIN));
}
END_TEST

START_TEST(daemon_that_hangs_with_a_full_socket_delays_nothing)
{
	int full = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0), count = 0;

	ck_assert_int_eq(connect(full, (struct sockaddr *)&address, sizeof(address)), 0);
	while (send(full, "x", 1, 0) == 1)
		count++;
	ck_assert_int_eq(errno, EAGAIN);
	run_with(usual, DOMAIN, strlen(DOMAIN));
	while (count--)
		ck_assert_int_eq(recv(daemon_fd, datagram, sizeof(datagram), 0), 1);
	expect_no_message();
	close(full);
}
END_TEST

START_TEST(socket_of_another_user_is_told_nothing)
{
	if (geteuid() != 0) {
		skip_case("only root can give a socket away");
		return;
	}
	ck_assert_int_eq(lchown(address.sun_path, 65534, 65534), 0);
	run_with(usual, DOMAIN, strlen(DOMAIN));
	expect_no_message();
}
END_TEST

START_TEST(socket_behind_a_symbolic_link_is_told_nothing)
{
	char link[128];

	snprintf(link, sizeof(link), "%s/link", folder);
	ck_assert_int_eq(symlink(address.sun_path, link), 0);
	ck_assert_int_eq(setenv("GMIG_HOOK_SOCKET", link, 1), 0);
	run_with(usual, DOMAIN, strlen(DOMAIN));
	expect_no_message();
	ck_assert_int_eq(unlink(link), 0);
}
END_TEST

START_TEST(socket_of_gmigd_is_told_and_drained)
{
	struct gmig_error err;

	close(daemon_fd);
	daemon_fd = hook_socket_open(address.sun_path, &err);
	ck_assert_msg(daemon_fd >= 0, "%s", err.text);
	run_until_told(usual, DOMAIN, strlen(DOMAIN), HOOK_XML_WHOLE);
	for (int i = 0; i < 20;
	     i++) /* more than any queue of datagrams that Linux has by default */
		run_with(usual, DOMAIN, strlen(DOMAIN));
	hook_socket_drain(daemon_fd);
	expect_no_message();
	run_until_told(usual, DOMAIN, strlen(DOMAIN), HOOK_XML_WHOLE);
}
END_TEST

static uint64_t usage_us(const struct rusage *usage)
{
	return (uint64_t)(usage->ru_utime.tv_sec + usage->ru_stime.tv_sec) * 1000000 +
	       (uint64_t)(usage->ru_utime.tv_usec + usage->ru_stime.tv_usec);
}

static int compare(const void *one, const void *other)
{
	uint64_t a = *(const uint64_t *)one, b = *(const uint64_t *)other;

	return (a > b) - (a < b);
}

#ifdef GMIG_INSTRUMENTED
#define MOST_US 250000 /* a sanitizer's start alone takes 20 ms */
#else
#define MOST_US 25000
#endif

/* Its own time, which no other program on this machine changes much; 50 ms is what a domain's start may lose. */
START_TEST(hook_takes_a_small_part_of_the_time_that_it_may)
{
	struct run run = {.arguments = usual};
	uint64_t us[11];

	for (size_t i = 0; i < 11; i++) {
		run.input = file_of(DOMAIN, strlen(DOMAIN));
		run_hook(&run);
		close(run.input);
		(void)was_told();
		us[i] = usage_us(&run.usage);
	}
	qsort(us, 11, sizeof(us[0]), compare);
	ck_assert_msg(us[5] < MOST_US, "median %llu us", (unsigned long long)us[5]);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("hook");
	TCase *tcase = tcase_create("hook");

	tcase_add_checked_fixture(tcase, setup, teardown);
	tcase_set_timeout(tcase, 60);
	tcase_add_loop_test(tcase, operation_is_told_with_the_xml_and_nothing_is_printed, 0,
			    OPERATIONS);
	tcase_add_test(tcase, xml_that_just_fits_is_sent_and_one_byte_more_is_a_digest);
	tcase_add_test(tcase, stdin_without_end_is_left_after_its_time_or_size);
	tcase_add_test(tcase, stdin_that_stays_open_and_silent_is_left_after_its_time);
	tcase_add_test(tcase, descriptors_that_are_closed_do_no_harm);
	tcase_add_test(tcase, host_without_descriptors_is_no_veto);
	tcase_add_test(tcase, stdin_that_is_empty_or_a_directory_is_told_without_xml);
	tcase_add_test(tcase, arguments_that_are_odd_are_told_empty);
	tcase_add_test(tcase, hook_without_a_daemon_ends_well);
	tcase_add_test(tcase, daemon_that_hangs_with_a_full_socket_delays_nothing);
	tcase_add_test(tcase, socket_of_another_user_is_told_nothing);
	tcase_add_test(tcase, socket_behind_a_symbolic_link_is_told_nothing);
	tcase_add_test(tcase, socket_of_gmigd_is_told_and_drained);
	tcase_add_test(tcase, hook_takes_a_small_part_of_the_time_that_it_may);
	suite_add_tcase(suite, tcase);
	return run_suite(suite);
}
