#include "fake_agent.h"

struct fake_agent fake_agent;

void fake_agent_answer(const char *command, const char *json)
{
	json_t *answer = json_loads(json, 0, NULL);

	ck_assert_msg(answer != NULL, "no JSON: %s", json);
	for (size_t i = 0; i < FAKE_AGENT_ANSWERS; i++) {
		if (fake_agent.answer[i].command &&
		    strcmp(fake_agent.answer[i].command, command) != 0)
			continue;
		fake_agent.answer[i].command = command;
		if (!fake_agent.answer[i].answers)
			fake_agent.answer[i].answers = json_array();
		json_array_append_new(fake_agent.answer[i].answers, answer);
		return;
	}
	ck_abort_msg("no room for an answer");
}

/* The next one of the script, a new reference. */
static json_t *fake_agent_next(const char *command)
{
	for (size_t i = 0; i < FAKE_AGENT_ANSWERS && fake_agent.answer[i].command; i++) {
		json_t *answers = fake_agent.answer[i].answers;
		size_t at = fake_agent.answer[i].given;

		if (strcmp(fake_agent.answer[i].command, command) != 0)
			continue;
		if (at + 1 < json_array_size(answers))
			fake_agent.answer[i].given++;
		return json_deep_copy(json_array_get(answers, at));
	}
	return json_pack("{s:{s:s, s:s}}", "error", "class", "CommandNotFound", "desc",
			 "it is not in the script");
}

static void fake_agent_write(int client, const char *text)
{
	size_t bytes = strlen(text);

	while (bytes) {
		ssize_t sent = send(client, text, bytes, MSG_NOSIGNAL);

		if (sent <= 0)
			return;
		text += sent;
		bytes -= (size_t)sent;
	}
}

static void fake_agent_say(int client, const char *prefix, json_t *answer)
{
	char *text = json_dumps(answer, JSON_COMPACT);

	fake_agent_write(client, prefix);
	fake_agent_write(client, text);
	fake_agent_write(client, "\n");
	free(text);
	json_decref(answer);
}

/* false: the connection ends. */
static bool fake_agent_obey(int client, const json_t *request)
{
	const char *command = cli_text(request, "execute");
	json_t *answer, *id = json_object_get(request, "id");

	if (!strcmp(command, "guest-sync-delimited")) {
		const json_t *arguments = json_object_get(request, "arguments");

		if (fake_agent.stale)
			fake_agent_write(client, fake_agent.stale);
		fake_agent_say(client, "\xff",
			       json_pack("{s:O}", "return", json_object_get(arguments, "id")));
		return true;
	}
	json_array_append_new(fake_agent.asked,
			      json_pack("{s:s, s:O*}", "execute", command, "arguments",
					json_object_get(request, "arguments")));
	if (fake_agent.signal_at && !strcmp(fake_agent.signal_at, command)) {
		fake_agent.signal_at = NULL;
		kill(getpid(), SIGINT);
	}
	if (fake_agent.end_at && !strcmp(fake_agent.end_at, command))
		return false;
	if (fake_agent.before)
		fake_agent_write(client, fake_agent.before);
	answer = fake_agent_next(command);
	if (id)
		json_object_set(answer, "id", id);
	fake_agent_say(client, "", answer);
	return true;
}

static void fake_agent_serve(int client)
{
	struct line_reader *reader = line_reader_create(1 << 20);
	char bytes[4096];
	ssize_t got;
	bool on = true;

	while (on && (got = recv(client, bytes, sizeof(bytes), 0)) > 0) {
		for (size_t at = 0; on && at < (size_t)got;) {
			enum line_result result = LINE_NONE;
			json_t *request;
			size_t length;
			const char *line;

			at += line_reader_feed(reader, bytes + at, (size_t)got - at, &result);
			if (result != LINE_READY || fake_agent.silent)
				continue;
			line = line_reader_line(reader, &length);
			request = json_loadb(line, length, 0, NULL);
			on = !request || fake_agent_obey(client, request);
			json_decref(request);
		}
	}
	line_reader_destroy(reader);
}

static void *fake_agent_main(void *opaque)
{
	int client;

	while ((client = accept4(fake_agent.listener, NULL, NULL, SOCK_CLOEXEC)) >= 0) {
		fake_agent_serve(client);
		close(client);
	}
	return opaque;
}

void fake_agent_setup(void)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};

	memset(&fake_agent, 0, sizeof(fake_agent));
	fake_agent.asked = json_array();
	snprintf(address.sun_path, sizeof(address.sun_path), "%s/agent.sock", fake.directory);
	strcpy(fake_agent.path, address.sun_path);
	fake.ports = json_pack("[{s:s, s:s}, {s:s, s:s}]", "name", "org.example.0", "path",
			       "/nowhere", "name", CLI_AGENT_PORT, "path", fake_agent.path);
	fake_agent.listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	ck_assert_int_ge(fake_agent.listener, 0);
	ck_assert_int_eq(bind(fake_agent.listener, (struct sockaddr *)&address, sizeof(address)),
			 0);
	ck_assert_int_eq(listen(fake_agent.listener, 4), 0);
	ck_assert_int_eq(pthread_create(&fake_agent.thread, NULL, fake_agent_main, NULL), 0);
}

void fake_agent_teardown(void)
{
	shutdown(fake_agent.listener, SHUT_RDWR);
	pthread_join(fake_agent.thread, NULL);
	close(fake_agent.listener);
	unlink(fake_agent.path);
	json_decref(fake_agent.asked);
	for (size_t i = 0; i < FAKE_AGENT_ANSWERS; i++)
		json_decref(fake_agent.answer[i].answers);
}

void ck_asked(size_t i, const char *command, const char *arguments)
{
	const json_t *request = json_array_get(fake_agent.asked, i);
	json_t *want = json_loads(arguments, 0, NULL);
	char *got = json_dumps(json_object_get(request, "arguments"), JSON_ENCODE_ANY);

	ck_assert_str_eq(cli_text(request, "execute"), command);
	ck_assert_msg(want != NULL, "no JSON: %s", arguments);
	ck_assert_msg(json_equal(want, json_object_get(request, "arguments")), "%s: %s, not %s",
		      command, got, arguments);
	free(got);
	json_decref(want);
}

TCase *fake_agent_case(Suite *suite, const char *name)
{
	TCase *tcase = fake_case(suite, name);

	tcase_add_checked_fixture(tcase, fake_agent_setup, fake_agent_teardown);
	return tcase;
}
