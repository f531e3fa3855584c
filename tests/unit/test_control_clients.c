/* Clients of the control socket: several, dead, stalled, greedy ones; and our own. */
#include "control_wire.h"

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

	control_server_event(wire.server, "NOBODY", NULL);
	fd = dial();
	control_server_event(wire.server, "PLAIN", NULL);
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
	struct control_server_options opts = wire_options();
	int slow, fd;
	json_t *data;

	opts.max_output_bytes = 256 << 10;
	wire_start(opts);
	slow = dial();
	fd = dial();
	data = json_pack("{s:s}", "text",
			 "0123456789012345678901234567890123456789012345678901234567890123456789");
	for (int i = 0; i < 20000; i++) {
		control_server_event(wire.server, "FLOOD", json_incref(data));
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
	struct control_server_options opts = wire_options();
	int slow, fd;

	opts.stall_ms = 300;
	wire_start(opts);
	slow = dial();
	fd = dial();
	/* More than a socket's buffers hold, less than the queue's bound. */
	for (int i = 0; i < 8000; i++) {
		control_server_event(
		    wire.server, "FLOOD",
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

/* Nor is the time that a command takes, during which the server sends nothing. */
START_TEST(client_of_a_server_that_is_busy_for_long_is_not_dropped)
{
	struct control_server_options opts = wire_options();
	int busy, fd;

	opts.stall_ms = 100;
	wire_start(opts);
	busy = dial();
	fd = dial();
	write_text(busy, "{\"execute\":\"hold\"}\n");
	while (sem_wait(&wire.held))
		;
	control_server_event(wire.server, "LATE", NULL);
	usleep(200000);
	sem_post(&wire.release);
	ck_assert_ptr_nonnull(strstr(read_line(fd), "LATE"));
	ask(fd, "{\"execute\":\"echo\"}", "{\"return\":{}}");
	close(busy);
	close(fd);
}
END_TEST

/* One process writes all requests, then reads: the server must stop reading, not drop it. */
START_TEST(client_that_pipelines_a_lot_and_reads_late_is_not_dropped)
{
	struct control_server_options opts = wire_options();
	char text[512], line[640];
	int fd, sent = 0, got = 0, want = 20000;

	opts.max_output_bytes = 256 << 10;
	wire_start(opts);
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
	struct control_server_options opts = wire_options();
	struct control_client *client = NULL;
	int fds[3];

	opts.max_clients = 3;
	wire_start(opts);
	for (int i = 0; i < 3; i++)
		fds[i] = dial();
	ck_assert_int_eq(control_connect(wire.path, 10000, &client, &wire.err), -EBUSY);
	ck_assert_str_eq(wire.err.text, "there are 3 clients already");
	close(fds[0]);
	for (int i = 0; control_connect(wire.path, 10000, &client, &wire.err); i++)
		ck_assert_int_lt(i, 100);
	control_client_destroy(client);
	close(fds[1]);
	close(fds[2]);
}
END_TEST
/* ---- The client ------------------------------------------------------------------------------ */

START_TEST(call_returns_the_result_and_keeps_events)
{
	struct control_client *client;
	json_t *result, *event;

	ck_assert_int_eq(control_connect(wire.path, 10000, &client, &wire.err), 0);
	ck_assert_int_eq(control_client_pid(client), getpid());
	ck_assert_int_eq(control_call(client, "shout", NULL, NULL, &wire.err), 0);
	ck_assert_int_eq(
	    control_call(client, "echo", json_pack("{s:i}", "number", 3), &result, &wire.err), 0);
	ck_assert_int_eq(json_integer_value(json_object_get(result, "number")), 3);
	json_decref(result);
	ck_assert_int_eq(control_next_event(client, 10000, &event, &wire.err), 0);
	ck_assert_str_eq(json_string_value(json_object_get(event, "event")), "SHOUT");
	json_decref(event);
	ck_assert_int_eq(control_next_event(client, 10, &event, &wire.err), -ETIMEDOUT);
	control_client_destroy(client);
}
END_TEST

START_TEST(client_of_one_guest_names_it_and_hears_of_no_other)
{
	struct control_client *client;
	json_t *event;

	ck_assert_int_eq(control_connect(wire.path, 10000, &client, &wire.err), 0);
	ck_assert_int_eq(control_client_set_guest(client, "ada"), 0);
	ck_assert_int_eq(control_call(client, "echo", NULL, NULL, &wire.err), -EINVAL);
	ck_assert_ptr_nonnull(strstr(wire.err.text, "'guest'"));
	control_server_event(wire.server, "ONE", json_pack("{s:s}", "guest", "bob"));
	control_server_event(wire.server, "TWO", json_pack("{s:s}", "guest", "ada"));
	control_server_event(wire.server, "THREE", NULL);
	ck_assert_int_eq(control_next_event(client, 10000, &event, &wire.err), 0);
	ck_assert_str_eq(json_string_value(json_object_get(event, "event")), "TWO");
	json_decref(event);
	ck_assert_int_eq(control_next_event(client, 10000, &event, &wire.err), 0);
	ck_assert_str_eq(json_string_value(json_object_get(event, "event")), "THREE");
	json_decref(event);
	ck_assert_int_eq(control_client_set_guest(client, NULL), 0);
	ck_assert_int_eq(control_call(client, "echo", NULL, NULL, &wire.err), 0);
	control_client_destroy(client);
}
END_TEST

START_TEST(call_error_gives_errno_and_text)
{
	struct control_client *client;
	json_t *result = NULL;

	ck_assert_int_eq(control_connect(wire.path, 10000, &client, &wire.err), 0);
	ck_assert_int_eq(
	    control_call(client, "fail", json_pack("{s:i}", "code", ENOMEM), &result, &wire.err),
	    -ENOMEM);
	ck_assert_str_eq(wire.err.text, "as was asked");
	ck_assert_int_eq(control_call(client, "nope", NULL, &result, &wire.err), -ENOSYS);
	ck_assert_int_eq(control_call(client, "echo", NULL, &result, &wire.err), 0);
	json_decref(result);
	control_client_destroy(client);
}
END_TEST

START_TEST(client_of_a_server_that_ends_gets_epipe)
{
	struct control_client *client;
	json_t *event;

	ck_assert_int_eq(control_connect(wire.path, 10000, &client, &wire.err), 0);
	control_server_event(wire.server, "LAST", NULL);
	control_server_destroy(wire.server);
	wire.server = NULL;
	ck_assert_int_eq(control_next_event(client, 10000, &event, &wire.err),
			 0); /* flushed at the end */
	json_decref(event);
	ck_assert_int_eq(control_next_event(client, 10000, &event, &wire.err), -EPIPE);
	ck_assert_int_eq(control_call(client, "echo", NULL, NULL, &wire.err), -EPIPE);
	control_client_destroy(client);
}
END_TEST

START_TEST(connect_tells_absent_from_stale_from_silent)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	struct control_client *client;
	int fd = socket(AF_UNIX, SOCK_STREAM, 0);

	ck_assert_int_eq(control_connect(wire.path, 1000, &client, &wire.err), -ENOENT);
	snprintf(wire.path, sizeof(wire.path), "%s/x.sock", wire.directory);
	strcpy(address.sun_path, wire.path);
	ck_assert_int_eq(bind(fd, (struct sockaddr *)&address, sizeof(address)), 0);
	ck_assert_int_eq(control_connect(wire.path, 1000, &client, &wire.err), -ECONNREFUSED);
	ck_assert_int_eq(listen(fd, 1), 0);
	ck_assert_int_eq(control_connect(wire.path, 50, &client, &wire.err), -ETIMEDOUT);
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

	ck_assert_int_eq(control_connect(wire.path, 10000, &client, &wire.err), 0);
	sigaction(SIGALRM, &action, NULL);
	ualarm(20000, 20000);
	ck_assert_int_eq(control_next_event(client, 10000, &event, &wire.err), -EINTR);
	ualarm(0, 0);
	ck_assert_int_eq(control_call(client, "echo", NULL, NULL, &wire.err), 0);
	control_client_destroy(client);
}
END_TEST

START_TEST(socket_path_checks_the_name)
{
	char longer[80], out[200];

	setenv("XDG_RUNTIME_DIR", "/run/user/7", 1);
	ck_assert_int_eq(control_socket_path("vm1", out, sizeof(out), &wire.err), 0);
	ck_assert_str_eq(out, "/run/user/7/gmig/vm1.sock");
	memset(longer, 'x', sizeof(longer));
	longer[65] = '\0';
	ck_assert_int_eq(control_socket_path(longer, out, sizeof(out), &wire.err), -EINVAL);
	ck_assert_int_eq(control_socket_path("", out, sizeof(out), &wire.err), -EINVAL);
	ck_assert_int_eq(control_socket_path(".x", out, sizeof(out), &wire.err), -EINVAL);
	ck_assert_int_eq(control_socket_path("gmigd", out, sizeof(out), &wire.err), -EINVAL);
	ck_assert_int_eq(control_socket_path("a/b", out, sizeof(out), &wire.err), -EINVAL);
	ck_assert_int_eq(control_socket_path("vm1", out, 20, &wire.err), -ENAMETOOLONG);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("control_clients");
	TCase *tcase = case_with(suite, "clients", wire_setup_started);
	TCase *own = case_with(suite, "limits", wire_setup);

	tcase_add_test(tcase, event_goes_to_all_clients_and_before_the_answer);
	tcase_add_test(tcase, event_without_clients_or_data_is_legal);
	tcase_add_test(tcase, client_of_one_guest_names_it_and_hears_of_no_other);
	tcase_add_test(tcase, client_that_dies_with_half_a_line_harms_nobody);
	tcase_add_test(tcase, client_that_shuts_its_side_gets_its_answers);
	tcase_add_test(tcase, random_garbage_harms_nobody);
	tcase_add_test(tcase, call_returns_the_result_and_keeps_events);
	tcase_add_test(tcase, call_error_gives_errno_and_text);
	tcase_add_test(tcase, client_of_a_server_that_ends_gets_epipe);
	tcase_add_test(tcase, next_event_is_interrupted_by_a_signal);
	tcase_add_test(own, client_that_does_not_read_events_is_dropped_and_others_go_on);
	tcase_add_test(own, client_that_stalls_is_dropped_after_a_while);
	tcase_add_test(own, client_of_a_server_that_is_busy_for_long_is_not_dropped);
	tcase_add_test(own, client_that_pipelines_a_lot_and_reads_late_is_not_dropped);
	tcase_add_test(own, client_over_the_limit_is_told_so);
	tcase_add_test(own, connect_tells_absent_from_stale_from_silent);
	tcase_add_test(own, socket_path_checks_the_name);
	return run_suite(suite);
}
