#include "hostile_server.h"

#include "../../control/line.h"

#include <poll.h>

json_t *hostile_poison(const json_t *json)
{
	json_t *copy, *value;
	const char *key;
	size_t i;

	if (json_is_string(json))
		return json_sprintf("%s" HOSTILE_TEXT, json_string_value(json));
	if (json_is_object(json)) {
		copy = json_object();
		json_object_foreach ((json_t *)json, key, value)
			json_object_set_new(copy, key, hostile_poison(value));
		json_object_set_new(copy, HOSTILE_TEXT, json_integer(1));
		return copy;
	}
	if (!json_is_array(json))
		return json_deep_copy(json);
	copy = json_array();
	json_array_foreach (json, i, value)
		json_array_append_new(copy, hostile_poison(value));
	return copy;
}

void ck_harmless(const char *text)
{
	static const char *const bad[] = {"\xc2\x9b", "\xe2\x80\xae", "\xe2\x80\xa8"};

	for (const char *at = text; *at; at++)
		ck_assert_msg((*at & 0x80) || *at == '\n' || (*at >= ' ' && *at != 0x7f),
			      "byte %02x in '%s'", (unsigned int)*at, text);
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		ck_assert_msg(!strstr(text, bad[i]), "bad character %zu in '%s'", i, text);
	ck_assert_msg(!strstr(text, "\nvm9"), "a row is forged: %s", text);
}

/* ---- The server ------------------------------------------------------------------------------ */

static bool say(int client, const char *prefix, const json_t *message)
{
	char *text = json_dumps(message, JSON_COMPACT);
	char *line;
	ssize_t length = asprintf(&line, "%s%s\n", prefix, text);
	bool on = true;

	for (ssize_t at = 0, sent; on && at < length; at += sent) {
		sent = send(client, line + at, (size_t)(length - at), MSG_NOSIGNAL);
		on = sent > 0;
	}
	free(line);
	free(text);
	return on;
}

static void greet(int client)
{
	json_t *greeting = json_pack("{s:{s:{}, s:[]}}", "QMP", "version", "capabilities");

	say(client, "", greeting);
	json_decref(greeting);
}

/* Until the client goes away. */
static void chatter(int client)
{
	json_t *event = json_pack("{s:s, s:{}}", "event", "NOISE", "data");

	while (say(client, "", event))
		;
	json_decref(event);
}

/* false: no more answers to this client. */
static bool obey(struct hostile_server *server, int client, const json_t *request)
{
	const char *command = json_string_value(json_object_get(request, "execute"));
	json_t *id = json_object_get(request, "id"), *answer, *poisoned;

	if (command && !strcmp(command, "guest-sync-delimited")) {
		answer = json_pack("{s:O}", "return",
				   json_object_get(json_object_get(request, "arguments"), "id"));
		say(client, "\xff", answer);
		json_decref(answer);
		return true;
	}
	if (!command)
		return false;
	if (server->way == HOSTILE_CHATTERS)
		chatter(client);
	if ((server->way != HOSTILE_ANSWERS && server->way != HOSTILE_ENDS) ||
	    (server->last_command && !strcmp(command, server->last_command)))
		return false;
	answer = server->answer(command);
	poisoned = server->exact ? json_incref(answer) : hostile_poison(answer);
	json_object_set(poisoned, "id", id);
	say(client, "", poisoned);
	json_decref(poisoned);
	json_decref(answer);
	return true;
}

static void await_hangup(int client)
{
	struct pollfd poller = {.fd = client, .events = POLLRDHUP};

	poll(&poller, 1, 20000);
}

static void serve(struct hostile_server *server, int client)
{
	struct line_reader *reader = line_reader_create(1 << 20);
	char bytes[4096];
	ssize_t got;
	bool on = true;

	if (!server->is_agent)
		greet(client);
	while (on && (got = recv(client, bytes, sizeof(bytes), 0)) > 0) {
		for (size_t at = 0; on && at < (size_t)got;) {
			enum line_result result;
			const char *line;
			size_t length;
			json_t *request;

			at += line_reader_feed(reader, bytes + at, (size_t)got - at, &result);
			if (result != LINE_READY)
				continue;
			line = line_reader_line(reader, &length);
			request = json_loadb(line, length, 0, NULL);
			on = !request || obey(server, client, request);
			json_decref(request);
		}
	}
	line_reader_destroy(reader);
	if (server->way != HOSTILE_ENDS)
		await_hangup(client);
}

static void *hostile_main(void *opaque)
{
	struct hostile_server *server = opaque;
	int client;

	while ((client = accept4(server->listener, NULL, NULL, SOCK_CLOEXEC)) >= 0) {
		if (server->way == HOSTILE_NO_GREETING)
			await_hangup(client);
		else
			serve(server, client);
		close(client);
	}
	return NULL;
}

/* Connections that nobody accepts, until there is no room for one more. */
static void fill_queue(struct hostile_server *server, const struct sockaddr_un *address)
{
	for (size_t i = 0; i < sizeof(server->fillers) / sizeof(server->fillers[0]); i++) {
		server->fillers[i] = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
		if (connect(server->fillers[i], (const struct sockaddr *)address, sizeof(*address)))
			return;
	}
	ck_abort_msg("the queue of the socket does not fill");
}

void hostile_start(struct hostile_server *server, const char *path)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};

	snprintf(server->path, sizeof(server->path), "%s", path);
	strcpy(address.sun_path, server->path);
	server->listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	ck_assert_int_ge(server->listener, 0);
	ck_assert_int_eq(bind(server->listener, (struct sockaddr *)&address, sizeof(address)), 0);
	ck_assert_int_eq(listen(server->listener, server->way == HOSTILE_FULL ? 0 : 16), 0);
	memset(server->fillers, -1, sizeof(server->fillers));
	if (server->way == HOSTILE_FULL)
		fill_queue(server, &address);
	else
		ck_assert_int_eq(pthread_create(&server->thread, NULL, hostile_main, server), 0);
}

void hostile_stop(struct hostile_server *server)
{
	shutdown(server->listener, SHUT_RDWR);
	if (server->way != HOSTILE_FULL)
		pthread_join(server->thread, NULL);
	for (size_t i = 0; i < sizeof(server->fillers) / sizeof(server->fillers[0]); i++)
		if (server->fillers[i] >= 0)
			close(server->fillers[i]);
	close(server->listener);
	unlink(server->path);
}
