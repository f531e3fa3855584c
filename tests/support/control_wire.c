#include "control_wire.h"

struct control_wire wire;

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
	control_server_event(wire.server, "SHOUT", json_pack("{s:i}", "loud", 1));
	return 0;
}

static int run_hold(void *opaque, const json_t *arguments, json_t **result,
		    struct gmig_error *error)
{
	(void)opaque;
	(void)arguments;
	(void)result;
	(void)error;
	sem_post(&wire.held);
	sem_wait(&wire.release);
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
    {.name = "hold", .run = run_hold},
    {0},
};

struct control_server_options wire_options(void)
{
	return (struct control_server_options){
	    .path = wire.path, .name = "vm1", .commands = commands};
}

void wire_start(struct control_server_options opts)
{
	ck_assert_msg(!control_server_create(&opts, &wire.server, &wire.err), "%s", wire.err.text);
}

void wire_setup(void)
{
	strcpy(wire.directory, "/tmp/gmig-test-control-XXXXXX");
	ck_assert_ptr_nonnull(mkdtemp(wire.directory));
	snprintf(wire.path, sizeof(wire.path), "%s/run/vm1.sock", wire.directory);
	memset(&wire.err, 0, sizeof(wire.err));
	wire.server = NULL;
	sem_init(&wire.held, 0, 0);
	sem_init(&wire.release, 0, 0);
}

void wire_teardown(void)
{
	char run[96];

	control_server_destroy(wire.server);
	unlink(wire.path);
	snprintf(run, sizeof(run), "%s/run", wire.directory);
	rmdir(run);
	rmdir(wire.directory);
}

void wire_setup_started(void)
{
	wire_setup();
	wire_start(wire_options());
}

/* ---- A bare client: what is on the wire ------------------------------------------------------ */

int dial_quietly(void)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	strcpy(address.sun_path, wire.path);
	if (!connect(fd, (struct sockaddr *)&address, sizeof(address)))
		return fd;
	close(fd);
	return -1;
}

const char *read_line(int fd)
{
	static char line[8192];
	size_t length = 0;

	for (;;) {
		struct pollfd poller = {.fd = fd, .events = POLLIN};
		const char *end;
		ssize_t got;

		ck_assert_msg(poll(&poller, 1, 60000) == 1, "no line came");
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

void write_bytes(int fd, const char *bytes, size_t count)
{
	while (count) {
		ssize_t sent = send(fd, bytes, count, MSG_NOSIGNAL);

		ck_assert_int_gt(sent, 0);
		bytes += sent;
		count -= (size_t)sent;
	}
}

void write_text(int fd, const char *text)
{
	write_bytes(fd, text, strlen(text));
}

int dial(void)
{
	int fd = dial_quietly();

	ck_assert_int_ge(fd, 0);
	ck_assert_ptr_nonnull(strstr(read_line(fd), "\"QMP\""));
	return fd;
}

void ask(int fd, const char *line, const char *part)
{
	const char *answer;

	write_text(fd, line);
	write_text(fd, "\n");
	answer = read_line(fd);
	ck_assert_msg(strstr(answer, part), "sent %s got %s wanted %s", line, answer, part);
}

TCase *case_with(Suite *suite, const char *name, void (*before)(void))
{
	TCase *tcase = tcase_create(name);

	tcase_add_checked_fixture(tcase, before, wire_teardown);
	tcase_set_timeout(tcase, 60);
	suite_add_tcase(suite, tcase);
	return tcase;
}

void wire_expect_free(const char *name)
{
	char path[160];
	int fd = control_lock_name(name, &wire.err);

	ck_assert_msg(fd >= 0, "%s", wire.err.text);
	control_unlock_name(name, fd);
	snprintf(path, sizeof(path), "%s/gmig", wire.directory);
	rmdir(path);
}
