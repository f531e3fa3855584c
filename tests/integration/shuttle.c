/*
 * Moves parts of a guest's memory to and fro, again and again, over one connection.
 * usage: shuttle SOCKET ROUNDS SECONDS BYTES NODE NODE ADDRESS..
 * A round moves the BYTES (a page or a block) around each address to the second node, the next one back. Each page has to move: a page
 * that stays is an error. After SECONDS no round is begun. Prints `rounds=N seconds=N moved_bytes=N`, of what was done.
 */
#include "../../control/control.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define WAIT_MS 120000

static int fail(const char *what, const struct gmig_error *err)
{
	fprintf(stderr, "shuttle: %s: %s\n", what, err->text);
	return -1;
}

struct part {
	char **addresses;
	int count;
	uint64_t bytes; /* a power of two */
};

static json_t *list_of(const struct part *part, uint64_t node)
{
	json_t *pages = json_array();

	for (int i = 0; i < part->count; i++) {
		uint64_t gpa = strtoull(part->addresses[i], NULL, 0) & ~(part->bytes - 1);

		json_array_append_new(pages, json_integer((json_int_t)gpa));
		json_array_append_new(pages, json_integer((json_int_t)part->bytes));
		json_array_append_new(pages, json_integer((json_int_t)node));
	}
	return pages;
}

static bool has_ended(const json_t *job)
{
	const char *state = json_string_value(json_object_get(job, "state"));

	return state && (!strcmp(state, "completed") || !strcmp(state, "failed") ||
			 !strcmp(state, "cancelled"));
}

/* The bytes that moved; -1: the job failed, or left something. */
static int64_t outcome(const json_t *job)
{
	const char *state = json_string_value(json_object_get(job, "state"));
	json_int_t remaining = json_integer_value(json_object_get(job, "remaining_bytes"));

	if (strcmp(state, "completed") == 0 && !remaining)
		return json_integer_value(json_object_get(job, "moved_bytes"));
	json_dumpf(job, stderr, JSON_COMPACT);
	return -1;
}

static int64_t round_trip(struct control_client *client, json_t *pages)
{
	struct gmig_error err = {0};
	json_t *started, *event;
	int64_t moved = -2;
	const char *id;

	if (control_call(client, "move-pages", json_pack("{s:o}", "pages", pages), &started, &err))
		return fail("move-pages", &err);
	id = json_string_value(json_object_get(started, "id"));
	while (moved == -2) {
		const json_t *job;
		const char *whose;

		if (control_next_event(client, WAIT_MS, &event, &err)) {
			moved = fail("no event", &err);
			break;
		}
		job = json_object_get(json_object_get(event, "data"), "job");
		whose = json_string_value(json_object_get(job, "id"));
		if (id && whose && !strcmp(id, whose) && has_ended(job))
			moved = outcome(job);
		json_decref(event);
	}
	json_decref(started);
	return moved;
}

static uint64_t now_seconds(void)
{
	struct timespec time;

	clock_gettime(CLOCK_MONOTONIC, &time);
	return (uint64_t)time.tv_sec;
}

int main(int argc, char **argv)
{
	struct control_client *client;
	struct gmig_error err = {0};
	uint64_t node[2], moved = 0, begun = now_seconds(), seconds;
	unsigned long rounds, i;
	struct part part;
	bool failed = false;

	if (argc < 8) {
		fprintf(stderr, "usage: shuttle SOCKET ROUNDS SECONDS BYTES NODE NODE ADDRESS..\n");
		return 2;
	}
	rounds = strtoul(argv[2], NULL, 0);
	seconds = strtoull(argv[3], NULL, 0);
	part = (struct part){&argv[7], argc - 7, strtoull(argv[4], NULL, 0)};
	node[0] = strtoull(argv[5], NULL, 0);
	node[1] = strtoull(argv[6], NULL, 0);
	if (control_connect(argv[1], 10000, &client, &err)) {
		fail(argv[1], &err);
		return 1;
	}
	control_client_set_limit(client, WAIT_MS);
	for (i = 0; i < rounds && now_seconds() - begun < seconds; i++) {
		int64_t bytes = round_trip(client, list_of(&part, node[(i + 1) % 2]));

		failed = bytes < 0;
		if (failed)
			break;
		moved += (uint64_t)bytes;
	}
	printf("rounds=%lu seconds=%" PRIu64 " moved_bytes=%" PRIu64 "\n", i, now_seconds() - begun,
	       moved);
	control_client_destroy(client);
	return failed;
}
