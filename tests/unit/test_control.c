/* The control socket, over real sockets in a directory of its own. */
#include "../../control/control.h"

#include <check.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

static char directory[64], path[96];
static struct control_server *server;
static struct gmig_error err;

/* ---- Commands of the server under test ------------------------------------------------------- */

static int run_echo(void *opaque, const json_t *arguments, json_t **result,
		    struct gmig_error *error)
{
	(void)opaque;
	(void)error;
	*result = json_deep_copy(arguments);
	return 0;
}

static int run_fail(void *opaque, const json_t *arguments, json_t **result,
		    struct gmig_error *error)
{
	(void)opaque;
	(void)result;
	return gmig_fail(error, (int)-json_integer_value(json_object_get(arguments, "code")),
			 "as was asked");
}

static int run_fail_silently(void *opaque, const json_t *arguments, json_t **result,
			     struct gmig_error *error)
{
	(void)opaque;
	(void)arguments;
	(void)result;
	(void)error;
	return -EBUSY;
}

static int run_shout(void *opaque, const json_t *arguments, json_t **result,
		     struct gmig_error *error)
{
	(void)opaque;
	(void)arguments;
	(void)result;
	(void)error;
	control_server_event(server, "SHOUT", json_pack("{s:i}", "loud", 1));
	return 0;
}

/* A text that ends in the first half of a character. */
static int run_half_character(void *opaque, const json_t *arguments, json_t **result,
			      struct gmig_error *error)
{
	(void)opaque;
	(void)arguments;
	(void)result;
	return gmig_fail(error, -EINVAL, "half a letter: \xc3");
}

static const struct control_argument echo_arguments[] = {
    {.name = "text", .type = CONTROL_STRING},	{.name = "number", .type = CONTROL_INTEGER},
    {.name = "flag", .type = CONTROL_BOOL},	{.name = "list", .type = CONTROL_ARRAY},
    {.name = "object", .type = CONTROL_OBJECT}, {0},
};
static const struct control_argument fail_arguments[] = {
    {.name = "code", .type = CONTROL_INTEGER, .required = true},
    {0},
};
static const struct control_command commands[] = {
    {.name = "echo", .arguments = echo_arguments, .run = run_echo},
    {.name = "fail", .arguments = fail_arguments, .run = run_fail},
    {.name = "fail-silently", .run = run_fail_silently},
    {.name = "half-character", .run = run_half_character},
    {.name = "shout", .run = run_shout},
    {0},
};

static struct control_server_options options(void)
{
	return (struct control_server_options){.path = path, .name = "vm1", .commands = commands};
}

static void start(struct control_server_options opts)
{
	ck_assert_msg(!control_server_create(&opts, &server, &err), "%s", err.text);
}

static void setup(void)
{
	strcpy(directory, "/tmp/gmig-test-control-XXXXXX");
	ck_assert_ptr_nonnull(mkdtemp(directory));
	snprintf(path, sizeof(path), "%s/run/vm1.sock", directory);
	memset(&err, 0, sizeof(err));
	server = NULL;
}

static void teardown(void)
{
	char run[96];

	control_server_destroy(server);
	unlink(path);
	snprintf(run, sizeof(run), "%s/run", directory);
	rmdir(run);
	rmdir(directory);
}

static void setup_started(void)
{
	setup();
	start(options());
}

/* ---- A bare client: what is on the wire ------------------------------------------------------ */

static int dial_quietly(void)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	strcpy(address.sun_path, path);
	if (!connect(fd, (struct sockaddr *)&address, sizeof(address)))
		return fd;
	close(fd);
	return -1;
}

/* One line, without its LF; fails when none comes in 10 s. "" at the end of the stream. */
static const char *read_line(int fd)
{
	static char line[8192];
	size_t length = 0;

	for (;;) {
		struct pollfd poller = {.fd = fd, .events = POLLIN};
		const char *end;
		ssize_t got;

		ck_assert_msg(poll(&poller, 1, 10000) == 1, "no line came");
		got = recv(fd, line + length, sizeof(line) - 1 - length, MSG_PEEK);
		if (got <= 0)
			return "";
		end = memchr(line + length, '\n', (size_t)got);
		if (end)
			got = end - (line + length) + 1;
		ck_assert_int_eq(recv(fd, line + length, (size_t)got, 0), got);
		length += (size_t)got;
		if (end)
			break;
		ck_assert_uint_lt(length, sizeof(line) - 1);
	}
	line[length - 1] = '\0';
	return line;
}

static void write_bytes(int fd, const char *bytes, size_t count)
{
	while (count) {
		ssize_t sent = send(fd, bytes, count, MSG_NOSIGNAL);

		ck_assert_int_gt(sent, 0);
		bytes += sent;
		count -= (size_t)sent;
	}
}

static void write_text(int fd, const char *text)
{
	write_bytes(fd, text, strlen(text));
}

static int dial(void)
{
	int fd = dial_quietly();

	ck_assert_int_ge(fd, 0);
	ck_assert_ptr_nonnull(strstr(read_line(fd), "\"QMP\""));
	return fd;
}

/* Send a line, the answer must hold `part`. */
static void ask(int fd, const char *line, const char *part)
{
	const char *answer;

	write_text(fd, line);
	write_text(fd, "\n");
	answer = read_line(fd);
	ck_assert_msg(strstr(answer, part), "sent %s got %s wanted %s", line, answer, part);
}

/* ---- Framing and JSON ------------------------------------------------------------------------ */

START_TEST(greeting_names_version_and_guest)
{
	int fd = dial_quietly();
	const char *line = read_line(fd);

	ck_assert_ptr_nonnull(strstr(line, "{\"QMP\":{\"version\":{\"gmig\":{\"major\":"));
	ck_assert_ptr_nonnull(strstr(line, "\"capabilities\":[]"));
	ck_assert_ptr_nonnull(strstr(line, "\"name\":\"vm1\""));
	close(fd);
}
END_TEST

START_TEST(request_is_answered)
{
	int fd = dial();

	ask(fd, "{\"execute\":\"qmp_capabilities\"}", "{\"return\":{}}");
	ask(fd,
	    "{\"execute\":\"echo\",\"arguments\":{\"text\":\"h\xc3\xa9\",\"number\":-7,\"list\":[1]"
	    "}}",
	    "{\"return\":{\"text\":\"h\xc3\xa9\",\"number\":-7,\"list\":[1]}}");
	close(fd);
}
END_TEST

START_TEST(request_with_crlf_and_blank_lines_is_answered)
{
	int fd = dial();

	write_text(fd, "\n\r\n  \t\r\n{\"execute\":\"echo\"}\r\n");
	ck_assert_str_eq(read_line(fd), "{\"return\":{}}");
	close(fd);
}
END_TEST

START_TEST(request_in_halves_is_answered_once_whole)
{
	int fd = dial(), other = dial();

	write_text(fd, "{\"execute\":");
	ask(other, "{\"execute\":\"echo\",\"id\":1}",
	    "\"id\":1"); /* the half line holds nobody up */
	write_text(fd, "\"echo\",\"id\":2}\n");
	ck_assert_str_eq(read_line(fd), "{\"return\":{},\"id\":2}");
	close(fd);
	close(other);
}
END_TEST

START_TEST(several_requests_in_one_write_are_answered_in_order)
{
	int fd = dial();

	write_text(fd, "{\"execute\":\"echo\",\"id\":1}\n{\"execute\":\"nope\",\"id\":2}\n{"
		       "\"execute\":\"echo\",\"id\":3}\n");
	ck_assert_str_eq(read_line(fd), "{\"return\":{},\"id\":1}");
	ck_assert_ptr_nonnull(strstr(read_line(fd), "\"id\":2"));
	ck_assert_str_eq(read_line(fd), "{\"return\":{},\"id\":3}");
	close(fd);
}
END_TEST

START_TEST(resync_byte_discards_half_a_request)
{
	int fd = dial();

	write_text(fd, "{{{{ garbage\xff{\"execute\":\"echo\"}\n");
	ck_assert_str_eq(read_line(fd), "{\"return\":{}}");
	close(fd);
}
END_TEST

START_TEST(id_of_any_type_is_echoed)
{
	static const char *const ids[] = {
	    "1",    "-1.5",	     "\"x\"",	   "true",
	    "null", "[1,{\"a\":2}]", "{\"a\":[]}", "9223372036854775807"};
	int fd = dial();

	for (size_t i = 0; i < sizeof(ids) / sizeof(ids[0]); i++) {
		char line[128], part[64];

		snprintf(line, sizeof(line), "{\"id\":%s,\"execute\":\"%s\"}", ids[i],
			 i & 1 ? "echo" : "nope");
		snprintf(part, sizeof(part), ",\"id\":%s}", ids[i]);
		ask(fd, line, part);
	}
	close(fd);
}
END_TEST

static const struct {
	const char *line, *text;
} bad_lines[] = {
    {"garbage", "is not JSON"},
    {"{\"execute\":\"echo\"", "ends too early"},
    {"{\"execute\":\"echo\"} x", "there is more after the request"},
    {"{'execute':'echo'}", "is not JSON"},
    {"[]", "a request is an object, this is an array"},
    {"7", "a request is an object, this is an integer"},
    {"\"echo\"", "a request is an object, this is a string"},
    {"null", "a request is an object, this is null"},
    {"{\"execute\":\"echo\",\"execute\":\"fail\"}", "a member is there twice"},
    {"{\"execute\":\"\xc3(\"}", "is not UTF-8"},
    {"{\"execute\":\"a\\u0000b\"}", "\\u0000 is not allowed"},
    {"{\"execute\":\"echo\",\"arguments\":{\"number\":99999999999999999999}}",
     "a number is out of range"},
    {"{\"execute\":\"echo\",\"arguments\":{\"number\":1e999}}", "a number is out of range"},
    {"{}", "has no member 'execute'"},
    {"{\"execute\":5}", "'execute' is a string, here it is an integer"},
    {"{\"execute\":\"echo\",\"arguments\":[]}", "'arguments' is an object, here it is an array"},
    {"{\"execute\":\"echo\",\"arguments\":null}", "'arguments' is an object, here it is null"},
    {"{\"execute\":\"echo\",\"when\":1}", "a request has no member 'when'"},
    {"{\"execute\":\"\"}", "there is no command ''"},
    {"{\"execute\":\"nope\"}", "there is no command 'nope'"},
    {"{\"execute\":\"shout\",\"arguments\":{\"a\":1}}", "'shout' takes no arguments, here is 'a'"},
    {"{\"execute\":\"echo\",\"arguments\":{\"a\":1}}", "'echo' has no argument 'a'"},
    {"{\"execute\":\"fail\"}", "argument 'code' of 'fail' is missing"},
    {"{\"execute\":\"fail\",\"arguments\":{\"code\":\"1\"}}",
     "argument 'code' of 'fail' is an integer, here it is a string"},
    {"{\"execute\":\"fail\",\"arguments\":{\"code\":1.5}}", "here it is a number with a fraction"},
    {"{\"execute\":\"fail\",\"arguments\":{\"code\":null}}", "here it is null"},
    {"{\"execute\":\"echo\",\"arguments\":{\"text\":[]}}", "is a string, here it is an array"},
    {"{\"execute\":\"echo\",\"arguments\":{\"flag\":1}}",
     "is true or false, here it is an integer"},
    {"{\"execute\":\"echo\",\"arguments\":{\"list\":{}}}", "is an array, here it is an object"},
    {"{\"execute\":\"echo\",\"arguments\":{\"object\":true}}",
     "is an object, here it is true or false"},
    {"{\"execute\":\"qmp_capabilities\",\"arguments\":{\"enable\":[\"oob\"]}}",
     "no capability is offered"},
};

START_TEST(bad_line_gets_its_own_text_and_the_connection_lives)
{
	int fd = dial();

	ask(fd, bad_lines[_i].line, bad_lines[_i].text);
	ask(fd, "{\"execute\":\"echo\"}", "{\"return\":{}}");
	close(fd);
}
END_TEST

START_TEST(nul_byte_in_a_line_is_named)
{
	static const char bytes[] = "{\"execute\":\0\"echo\"}\n";
	int fd = dial();

	write_bytes(fd, bytes, sizeof(bytes) - 1);
	ck_assert_ptr_nonnull(strstr(read_line(fd), "the request has a NUL byte, at byte 12"));
	ask(fd, "{\"execute\":\"echo\"}", "{\"return\":{}}");
	close(fd);
}
END_TEST

START_TEST(deep_nesting_is_refused)
{
	int fd = dial();

	for (int i = 0; i < 100000; i++)
		write_text(fd, "[");
	write_text(fd, "\n");
	ck_assert_ptr_nonnull(strstr(read_line(fd), "nested too deeply"));
	ask(fd, "{\"execute\":\"echo\"}", "{\"return\":{}}");
	close(fd);
}
END_TEST

START_TEST(line_of_ten_megabytes_is_refused_once)
{
	static char chunk[1 << 20];
	int fd = dial();

	memset(chunk, 'x', sizeof(chunk));
	for (int i = 0; i < 10; i++)
		write_bytes(fd, chunk, sizeof(chunk));
	write_text(fd, "\n");
	ck_assert_ptr_nonnull(
	    strstr(read_line(fd), "a request is one line of at most 1048576 bytes"));
	ask(fd, "{\"execute\":\"echo\"}", "{\"return\":{}}");
	close(fd);
}
END_TEST

START_TEST(line_of_a_megabyte_is_answered)
{
	static char line[900000];
	int fd = dial();
	size_t length =
	    (size_t)sprintf(line, "{\"execute\":\"echo\",\"arguments\":{\"text\":\"\"}");

	memset(line + length, ' ', sizeof(line) - length);
	line[sizeof(line) - 2] = '}';
	line[sizeof(line) - 1] = '\n';
	write_bytes(fd, line, sizeof(line));
	ck_assert_str_eq(read_line(fd), "{\"return\":{\"text\":\"\"}}");
	close(fd);
}
END_TEST

/* ---- Errors ---------------------------------------------------------------------------------- */

START_TEST(error_has_class_desc_and_errno)
{
	int fd = dial();

	ask(fd, "{\"execute\":\"fail\",\"arguments\":{\"code\":1}}",
	    "{\"error\":{\"class\":\"GenericError\",\"desc\":\"as was "
	    "asked\",\"errno\":\"EPERM\"}}");
	ask(fd, "{\"execute\":\"nope\"}", "{\"error\":{\"class\":\"CommandNotFound\",");
	/* a known command that fails with ENOSYS is not an unknown command */
	ask(fd, "{\"execute\":\"fail\",\"arguments\":{\"code\":38}}",
	    "{\"error\":{\"class\":\"GenericError\",");
	close(fd);
}
END_TEST

START_TEST(error_without_text_gets_one)
{
	int fd = dial();

	ask(fd, "{\"execute\":\"fail-silently\"}", "fail-silently: Device or resource busy");
	close(fd);
}
END_TEST

START_TEST(error_text_cut_within_a_character_is_sent)
{
	int fd = dial();

	ask(fd, "{\"execute\":\"half-character\"}", "half a letter: ?");
	close(fd);
}
END_TEST

START_TEST(query_commands_lists_built_ins_and_arguments)
{
	int fd = dial();
	const char *line;

	write_text(fd, "{\"execute\":\"query-commands\"}\n");
	line = read_line(fd);
	ck_assert_ptr_nonnull(strstr(line, "\"query-commands\""));
	ck_assert_ptr_nonnull(strstr(line, "\"qmp_capabilities\""));
	ck_assert_ptr_nonnull(strstr(
	    line, "{\"name\":\"fail\",\"arguments\":[{\"name\":\"code\",\"type\":\"integer\","
		  "\"required\":true}]}"));
	close(fd);
}
END_TEST

/* ---- Several clients, bad clients ------------------------------------------------------------ */

START_TEST(event_goes_to_all_clients_and_before_the_answer)
{
	int fd = dial(), other = dial();

	write_text(fd, "{\"execute\":\"shout\",\"id\":1}\n");
	ck_assert_ptr_nonnull(
	    strstr(read_line(fd),
		   "{\"event\":\"SHOUT\",\"data\":{\"loud\":1},\"timestamp\":{\"seconds\":"));
	ck_assert_str_eq(read_line(fd), "{\"return\":{},\"id\":1}");
	ck_assert_ptr_nonnull(strstr(read_line(other), "\"SHOUT\""));
	close(fd);
	close(other);
}
END_TEST

START_TEST(event_without_clients_or_data_is_legal)
{
	int fd;

	control_server_event(server, "NOBODY", NULL);
	fd = dial();
	control_server_event(server, "PLAIN", NULL);
	ck_assert_ptr_nonnull(strstr(read_line(fd), "{\"event\":\"PLAIN\",\"data\":{}"));
	close(fd);
}
END_TEST

START_TEST(client_that_dies_with_half_a_line_harms_nobody)
{
	int other = dial();

	for (int i = 0; i < 200; i++) {
		int fd = dial();

		write_text(fd, i & 1 ? "{\"execute\":"
				     : "{\"execute\":\"shout\"}\n{\"execute\":\"shout\"}\n{");
		close(fd);
	}
	for (int i = 0; i < 200; i++)
		ck_assert_ptr_nonnull(strstr(read_line(other), "\"SHOUT\""));
	ask(other, "{\"execute\":\"echo\"}", "{\"return\":{}}");
	close(other);
}
END_TEST

START_TEST(client_that_shuts_its_side_gets_its_answers)
{
	int fd = dial();

	write_text(fd, "{\"execute\":\"echo\",\"id\":1}\n{\"execute\":\"echo\",\"id\":2}\n");
	shutdown(fd, SHUT_WR);
	ck_assert_str_eq(read_line(fd), "{\"return\":{},\"id\":1}");
	ck_assert_str_eq(read_line(fd), "{\"return\":{},\"id\":2}");
	ck_assert_str_eq(read_line(fd), "");
	close(fd);
}
END_TEST

START_TEST(random_garbage_harms_nobody)
{
	int other = dial();

	srand(1);
	for (int i = 0; i < 100; i++) {
		int fd = dial();
		char bytes[4096];

		for (size_t j = 0; j < sizeof(bytes); j++)
			bytes[j] = (char)rand();
		send(fd, bytes, sizeof(bytes), MSG_NOSIGNAL);
		close(fd);
	}
	ask(other, "{\"execute\":\"echo\"}", "{\"return\":{}}");
	close(other);
}
END_TEST

/* Read until the stream ends; how many bytes came. */
static size_t drain(int fd)
{
	static char bytes[65536];
	size_t total = 0;

	for (;;) {
		struct pollfd poller = {.fd = fd, .events = POLLIN};
		ssize_t got;

		ck_assert_msg(poll(&poller, 1, 20000) == 1, "the stream does not end");
		got = recv(fd, bytes, sizeof(bytes), 0);
		if (got <= 0)
			return total;
		total += (size_t)got;
	}
}

START_TEST(client_that_does_not_read_events_is_dropped_and_others_go_on)
{
	struct control_server_options opts = options();
	int slow, fd;
	json_t *data;

	opts.max_output_bytes = 256 << 10;
	start(opts);
	slow = dial();
	fd = dial();
	data = json_pack("{s:s}", "text",
			 "0123456789012345678901234567890123456789012345678901234567890123456789");
	for (int i = 0; i < 20000; i++) {
		control_server_event(server, "FLOOD", json_incref(data));
		ck_assert_ptr_nonnull(strstr(read_line(fd), "FLOOD"));
	}
	json_decref(data);
	ck_assert_uint_lt(drain(slow), 2 << 20);
	ask(fd, "{\"execute\":\"echo\"}", "{\"return\":{}}");
	close(slow);
	close(fd);
}
END_TEST

START_TEST(client_that_stalls_is_dropped_after_a_while)
{
	struct control_server_options opts = options();
	int slow, fd;

	opts.stall_ms = 300;
	start(opts);
	slow = dial();
	fd = dial();
	/* More than a socket's buffers hold, less than the queue's bound. */
	for (int i = 0; i < 8000; i++) {
		control_server_event(
		    server, "FLOOD",
		    json_pack("{s:s}", "t", "01234567890123456789012345678901234567"));
		read_line(fd);
	}
	for (int i = 0; i < 1000; i++) {
		struct pollfd poller = {.fd = slow, .events = 0};

		if (poll(&poller, 1, 20) == 1 && (poller.revents & POLLHUP))
			break;
		ck_assert_msg(i < 999, "the server keeps a client that takes nothing");
	}
	ask(fd, "{\"execute\":\"echo\"}", "{\"return\":{}}");
	close(slow);
	close(fd);
}
END_TEST

/* One process writes all requests, then reads: the server must stop reading, not drop it. */
START_TEST(client_that_pipelines_a_lot_and_reads_late_is_not_dropped)
{
	struct control_server_options opts = options();
	char text[512], line[640];
	int fd, sent = 0, got = 0, want = 20000;

	opts.max_output_bytes = 256 << 10;
	start(opts);
	fd = dial();
	memset(text, 'x', sizeof(text) - 1);
	text[sizeof(text) - 1] = '\0';
	snprintf(line, sizeof(line), "{\"execute\":\"echo\",\"arguments\":{\"text\":\"%s\"}}\n",
		 text);
	if (!fork()) {
		for (; sent < want; sent++)
			write_text(fd, line);
		_exit(0);
	}
	usleep(200000); /* let it fill every buffer on the way */
	for (; got < want; got++)
		ck_assert_ptr_nonnull(strstr(read_line(fd), "{\"return\":{\"text\":\"xxx"));
	wait(NULL);
	close(fd);
}
END_TEST

START_TEST(client_over_the_limit_is_told_so)
{
	struct control_server_options opts = options();
	struct control_client *client = NULL;
	int fds[3];

	opts.max_clients = 3;
	start(opts);
	for (int i = 0; i < 3; i++)
		fds[i] = dial();
	ck_assert_int_eq(control_connect(path, 10000, &client, &err), -EBUSY);
	ck_assert_str_eq(err.text, "there are 3 clients already");
	close(fds[0]);
	for (int i = 0; control_connect(path, 10000, &client, &err); i++)
		ck_assert_int_lt(i, 100);
	control_client_destroy(client);
	close(fds[1]);
	close(fds[2]);
}
END_TEST

START_TEST(client_of_another_uid_is_refused)
{
	int status;
	pid_t child;

	if (geteuid() != 0) {
		fprintf(stderr, "skipped: needs root to become another user\n");
		return;
	}
	/* The mode keeps others out; open everything, so that the check of the uid itself is seen.
	 */
	start(options());
	ck_assert_int_eq(chmod(path, 0666), 0);
	ck_assert_int_eq(chmod(directory, 0755), 0);
	*strrchr(path, '/') = '\0';
	ck_assert_int_eq(chmod(path, 0755), 0);
	path[strlen(path)] = '/';
	child = fork();
	if (!child) {
		struct control_client *client;
		int rc;

		if (setgid(65534) || setuid(65534))
			_exit(2);
		rc = control_connect(path, 10000, &client, &err);
		_exit(rc == -EPERM && strstr(err.text, "uid 65534 may not control a guest of uid 0")
			  ? 0
			  : 1);
	}
	ck_assert_int_eq(waitpid(child, &status, 0), child);
	ck_assert_int_eq(status, 0);
}
END_TEST

/* ---- The socket file ------------------------------------------------------------------------- */

START_TEST(socket_has_mode_0600_whatever_the_umask_is)
{
	struct stat st;

	umask(0);
	start(options());
	ck_assert_int_eq(stat(path, &st), 0);
	ck_assert_int_eq(st.st_mode & 07777, 0600);
	*strrchr(path, '/') = '\0';
	ck_assert_int_eq(stat(path, &st), 0);
	ck_assert_int_eq(st.st_mode & 07777, 0700);
	path[strlen(path)] = '/';
}
END_TEST

START_TEST(socket_living_is_refused_and_lives_on)
{
	struct control_server_options opts = options();
	struct control_server *second = NULL;
	int fd;

	start(opts);
	ck_assert_int_eq(control_server_create(&opts, &second, &err), -EADDRINUSE);
	ck_assert_ptr_nonnull(strstr(err.text, "a server lives at"));
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
		start(options());
		_exit(0); /* leaves the file behind, as SIGKILL would */
	}
	waitpid(child, NULL, 0);
	ck_assert_int_eq(access(path, F_OK), 0);
	start(options());
	fd = dial();
	close(fd);
}
END_TEST

START_TEST(socket_stale_taken_by_many_at_once_has_one_owner)
{
	int winners = 0, status;
	int gate[2];
	pid_t child = fork();

	if (!child) {
		start(options());
		_exit(0);
	}
	waitpid(child, NULL, 0);
	ck_assert_int_eq(pipe(gate), 0);
	for (int i = 0; i < 8; i++) {
		char byte;

		if (fork())
			continue;
		close(gate[1]);
		if (read(gate[0], &byte, 1) != 0)
			_exit(2);
		struct control_server_options opts = options();
		int rc = control_server_create(&opts, &server, &err);

		if (!rc)
			usleep(500000); /* alive until all have tried */
		_exit(rc == -EADDRINUSE ? 1 : rc ? 3 : 0);
	}
	close(gate[0]);
	close(gate[1]);
	while (wait(&status) > 0) {
		ck_assert_int_le(WEXITSTATUS(status), 1);
		winners += WEXITSTATUS(status) == 0;
	}
	ck_assert_int_eq(winners, 1);
}
END_TEST

START_TEST(socket_is_removed_at_the_end)
{
	start(options());
	control_server_destroy(server);
	server = NULL;
	ck_assert_int_eq(access(path, F_OK), -1);
}
END_TEST

START_TEST(socket_of_somebody_else_is_not_removed_at_the_end)
{
	start(options());
	ck_assert_int_eq(unlink(path), 0);
	ck_assert_int_ge(open(path, O_CREAT | O_WRONLY, 0600), 0);
	control_server_destroy(server);
	server = NULL;
	ck_assert_int_eq(access(path, F_OK), 0);
}
END_TEST

START_TEST(socket_path_that_is_a_file_is_left_alone)
{
	struct control_server_options opts = options();

	start(opts);
	control_server_destroy(server);
	server = NULL;
	ck_assert_int_ge(open(path, O_CREAT | O_WRONLY, 0600), 0);
	ck_assert_int_eq(control_server_create(&opts, &server, &err), -EEXIST);
	ck_assert_ptr_nonnull(strstr(err.text, "is not a socket"));
	ck_assert_int_eq(access(path, F_OK), 0);
}
END_TEST

START_TEST(socket_path_too_long_or_empty_is_refused)
{
	struct control_server_options opts = options();
	char longer[200];

	memset(longer, 'a', sizeof(longer) - 1);
	longer[0] = '/';
	longer[sizeof(longer) - 1] = '\0';
	opts.path = longer;
	ck_assert_int_eq(control_server_create(&opts, &server, &err), -ENAMETOOLONG);
	opts.path = "";
	ck_assert_int_eq(control_server_create(&opts, &server, &err), -EINVAL);
}
END_TEST

/* ---- The client ------------------------------------------------------------------------------ */

START_TEST(call_returns_the_result_and_keeps_events)
{
	struct control_client *client;
	json_t *result, *event;

	ck_assert_int_eq(control_connect(path, 10000, &client, &err), 0);
	ck_assert_int_eq(control_client_pid(client), getpid());
	ck_assert_int_eq(control_call(client, "shout", NULL, NULL, &err), 0);
	ck_assert_int_eq(
	    control_call(client, "echo", json_pack("{s:i}", "number", 3), &result, &err), 0);
	ck_assert_int_eq(json_integer_value(json_object_get(result, "number")), 3);
	json_decref(result);
	ck_assert_int_eq(control_next_event(client, 10000, &event, &err), 0);
	ck_assert_str_eq(json_string_value(json_object_get(event, "event")), "SHOUT");
	json_decref(event);
	ck_assert_int_eq(control_next_event(client, 10, &event, &err), -ETIMEDOUT);
	control_client_destroy(client);
}
END_TEST

START_TEST(call_error_gives_errno_and_text)
{
	struct control_client *client;
	json_t *result = NULL;

	ck_assert_int_eq(control_connect(path, 10000, &client, &err), 0);
	ck_assert_int_eq(
	    control_call(client, "fail", json_pack("{s:i}", "code", ENOMEM), &result, &err),
	    -ENOMEM);
	ck_assert_str_eq(err.text, "as was asked");
	ck_assert_int_eq(control_call(client, "nope", NULL, &result, &err), -ENOSYS);
	ck_assert_int_eq(control_call(client, "echo", NULL, &result, &err), 0);
	json_decref(result);
	control_client_destroy(client);
}
END_TEST

START_TEST(client_of_a_server_that_ends_gets_epipe)
{
	struct control_client *client;
	json_t *event;

	ck_assert_int_eq(control_connect(path, 10000, &client, &err), 0);
	control_server_event(server, "LAST", NULL);
	control_server_destroy(server);
	server = NULL;
	ck_assert_int_eq(control_next_event(client, 10000, &event, &err),
			 0); /* flushed at the end */
	json_decref(event);
	ck_assert_int_eq(control_next_event(client, 10000, &event, &err), -EPIPE);
	ck_assert_int_eq(control_call(client, "echo", NULL, NULL, &err), -EPIPE);
	control_client_destroy(client);
}
END_TEST

START_TEST(connect_tells_absent_from_stale_from_silent)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	struct control_client *client;
	int fd = socket(AF_UNIX, SOCK_STREAM, 0);

	ck_assert_int_eq(control_connect(path, 1000, &client, &err), -ENOENT);
	snprintf(path, sizeof(path), "%s/x.sock", directory);
	strcpy(address.sun_path, path);
	ck_assert_int_eq(bind(fd, (struct sockaddr *)&address, sizeof(address)), 0);
	ck_assert_int_eq(control_connect(path, 1000, &client, &err), -ECONNREFUSED);
	ck_assert_int_eq(listen(fd, 1), 0);
	ck_assert_int_eq(control_connect(path, 50, &client, &err), -ETIMEDOUT);
	close(fd);
}
END_TEST

static void on_alarm(int number)
{
	(void)number;
}

START_TEST(next_event_is_interrupted_by_a_signal)
{
	const struct sigaction action = {.sa_handler = on_alarm};
	struct control_client *client;
	json_t *event;

	ck_assert_int_eq(control_connect(path, 10000, &client, &err), 0);
	sigaction(SIGALRM, &action, NULL);
	ualarm(20000, 20000);
	ck_assert_int_eq(control_next_event(client, 10000, &event, &err), -EINTR);
	ualarm(0, 0);
	ck_assert_int_eq(control_call(client, "echo", NULL, NULL, &err), 0);
	control_client_destroy(client);
}
END_TEST

START_TEST(socket_path_checks_the_name)
{
	char longer[80], out[200];

	setenv("XDG_RUNTIME_DIR", "/run/user/7", 1);
	ck_assert_int_eq(control_socket_path("vm1", out, sizeof(out), &err), 0);
	ck_assert_str_eq(out, "/run/user/7/gmig/vm1.sock");
	memset(longer, 'x', sizeof(longer));
	longer[65] = '\0';
	ck_assert_int_eq(control_socket_path(longer, out, sizeof(out), &err), -EINVAL);
	ck_assert_int_eq(control_socket_path("", out, sizeof(out), &err), -EINVAL);
	ck_assert_int_eq(control_socket_path(".x", out, sizeof(out), &err), -EINVAL);
	ck_assert_int_eq(control_socket_path("a/b", out, sizeof(out), &err), -EINVAL);
	ck_assert_int_eq(control_socket_path("vm1", out, 20, &err), -ENAMETOOLONG);
}
END_TEST

static TCase *case_with(Suite *suite, const char *name, void (*before)(void))
{
	TCase *tcase = tcase_create(name);

	tcase_add_checked_fixture(tcase, before, teardown);
	tcase_set_timeout(tcase, 60);
	suite_add_tcase(suite, tcase);
	return tcase;
}

static void add_wire(Suite *suite)
{
	TCase *tcase = case_with(suite, "wire", setup_started);

	tcase_add_test(tcase, greeting_names_version_and_guest);
	tcase_add_test(tcase, request_is_answered);
	tcase_add_test(tcase, request_with_crlf_and_blank_lines_is_answered);
	tcase_add_test(tcase, request_in_halves_is_answered_once_whole);
	tcase_add_test(tcase, several_requests_in_one_write_are_answered_in_order);
	tcase_add_test(tcase, resync_byte_discards_half_a_request);
	tcase_add_test(tcase, id_of_any_type_is_echoed);
	tcase_add_loop_test(tcase, bad_line_gets_its_own_text_and_the_connection_lives, 0,
			    sizeof(bad_lines) / sizeof(bad_lines[0]));
	tcase_add_test(tcase, nul_byte_in_a_line_is_named);
	tcase_add_test(tcase, deep_nesting_is_refused);
	tcase_add_test(tcase, line_of_ten_megabytes_is_refused_once);
	tcase_add_test(tcase, line_of_a_megabyte_is_answered);
	tcase_add_test(tcase, error_has_class_desc_and_errno);
	tcase_add_test(tcase, error_without_text_gets_one);
	tcase_add_test(tcase, error_text_cut_within_a_character_is_sent);
	tcase_add_test(tcase, query_commands_lists_built_ins_and_arguments);
}

static void add_clients(Suite *suite)
{
	TCase *tcase = case_with(suite, "clients", setup_started);
	TCase *own = case_with(suite, "limits", setup);

	tcase_add_test(tcase, event_goes_to_all_clients_and_before_the_answer);
	tcase_add_test(tcase, event_without_clients_or_data_is_legal);
	tcase_add_test(tcase, client_that_dies_with_half_a_line_harms_nobody);
	tcase_add_test(tcase, client_that_shuts_its_side_gets_its_answers);
	tcase_add_test(tcase, random_garbage_harms_nobody);
	tcase_add_test(tcase, call_returns_the_result_and_keeps_events);
	tcase_add_test(tcase, call_error_gives_errno_and_text);
	tcase_add_test(tcase, client_of_a_server_that_ends_gets_epipe);
	tcase_add_test(tcase, next_event_is_interrupted_by_a_signal);
	tcase_add_test(own, client_that_does_not_read_events_is_dropped_and_others_go_on);
	tcase_add_test(own, client_that_stalls_is_dropped_after_a_while);
	tcase_add_test(own, client_that_pipelines_a_lot_and_reads_late_is_not_dropped);
	tcase_add_test(own, client_over_the_limit_is_told_so);
	tcase_add_test(own, client_of_another_uid_is_refused);
	tcase_add_test(own, connect_tells_absent_from_stale_from_silent);
	tcase_add_test(own, socket_path_checks_the_name);
}

static void add_files(Suite *suite)
{
	TCase *tcase = case_with(suite, "files", setup);

	tcase_add_test(tcase, socket_has_mode_0600_whatever_the_umask_is);
	tcase_add_test(tcase, socket_living_is_refused_and_lives_on);
	tcase_add_test(tcase, socket_stale_is_taken_over);
	tcase_add_test(tcase, socket_stale_taken_by_many_at_once_has_one_owner);
	tcase_add_test(tcase, socket_is_removed_at_the_end);
	tcase_add_test(tcase, socket_of_somebody_else_is_not_removed_at_the_end);
	tcase_add_test(tcase, socket_path_that_is_a_file_is_left_alone);
	tcase_add_test(tcase, socket_path_too_long_or_empty_is_refused);
}

int main(void)
{
	Suite *suite = suite_create("control");
	SRunner *runner;
	int failed;

	add_wire(suite);
	add_clients(suite);
	add_files(suite);
	runner = srunner_create(suite);
	srunner_run_all(runner, CK_ENV);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
