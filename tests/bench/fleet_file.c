#include "fleet_file.h"
#include "../../control/size.h"
#include "../../migrate/core/nodeset.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define MOST_NODES 64

struct reader {
	const char *name;
	unsigned int line, nodes, rows;
	struct fleet *fleet;
	char *rest; /* of the line, for strtok_r() */
	struct gmig_error *err;
};

/* A macro, because a static analyzer does not look into functions with "..." and would take the result for any number. */
#define wrong(reader, ...) (complain((reader), __VA_ARGS__), -EINVAL)

__attribute__((format(printf, 2, 3))) static void complain(struct reader *reader,
							   const char *format, ...)
{
	char text[160];
	va_list args;

	va_start(args, format);
	vsnprintf(text, sizeof(text), format, args);
	va_end(args);
	gmig_error_set(reader->err, -EINVAL, "%s:%u: %s", reader->name, reader->line, text);
}

static const char *next(struct reader *reader)
{
	return strtok_r(NULL, " \t\r\n", &reader->rest);
}

/* The word that must come now, and the one after it: *value. */
static int keyword(struct reader *reader, const char *word, const char **value)
{
	const char *got = next(reader);

	if (!got || strcmp(got, word) != 0)
		return wrong(reader, "'%s' where %s should be", got ? got : "", word);
	*value = next(reader);
	return *value ? 0 : wrong(reader, "%s needs a value", word);
}

static int number(struct reader *reader, const char *text, unsigned long most, unsigned int *value)
{
	char *end;
	unsigned long got = strtoul(text, &end, 10);

	if (*text < '0' || *text > '9' || *end || got > most)
		return wrong(reader, "'%.40s' is no number up to %lu", text, most);
	*value = (unsigned int)got;
	return 0;
}

static int size(struct reader *reader, const char *text, uint64_t *bytes)
{
	return control_size_parse(text, 1, bytes) ? wrong(reader, "'%.40s' is no size", text) : 0;
}

/* ---- Nodes ----------------------------------------------------------------------------------- */

static int pools(struct reader *reader, struct placement_node *node)
{
	const char *word, *value;
	uint64_t bytes;
	int rc = 0;

	while (!rc && (word = next(reader))) {
		value = next(reader);
		rc =
		    value ? size(reader, value, &bytes) : wrong(reader, "%.40s needs a size", word);
		if (rc)
			return rc;
		if (!strcmp(word, "2M"))
			node->free_bytes[PLACEMENT_2M] = bytes;
		else if (!strcmp(word, "1G"))
			node->free_bytes[PLACEMENT_1G] = bytes;
		else if (!strcmp(word, "reserved"))
			node->reserved_bytes = bytes;
		else
			return wrong(reader, "'%.40s' is nothing that a node has", word);
	}
	bytes = node->free_bytes[PLACEMENT_2M] + node->free_bytes[PLACEMENT_1G];
	if (bytes > node->total_bytes)
		return wrong(reader, "the pools are larger than the node's memory");
	node->free_bytes[PLACEMENT_4K] = node->total_bytes - bytes;
	return 0;
}

static int read_node(struct reader *reader)
{
	struct placement_node *node = &reader->fleet->nodes[reader->nodes];
	const char *text = next(reader);
	int rc;

	if (reader->nodes == MOST_NODES)
		return wrong(reader, "more than %u nodes", MOST_NODES);
	rc = text ? number(reader, text, GMIG_MAX_NODES - 1, &node->id)
		  : wrong(reader, "a node needs a number");
	if (!rc)
		rc = keyword(reader, "memory", &text);
	if (!rc)
		rc = size(reader, text, &node->total_bytes);
	if (!rc)
		rc = keyword(reader, "cpus", &text);
	if (!rc && strcmp(text, "-") != 0 &&
	    nodeset_parse_bits(text, PLACEMENT_MAX_CPUS, reader->fleet->cpus[reader->nodes].word,
			       NULL))
		rc = wrong(reader, "'%.40s' is no list of CPUs", text);
	if (!rc)
		rc = pools(reader, node);
	reader->nodes++;
	return rc;
}

static int read_distances(struct reader *reader)
{
	const char *text;
	unsigned int count = 0, value;

	if (reader->rows == reader->nodes)
		return wrong(reader, "more lines of distances than nodes");
	while ((text = next(reader))) {
		if (count == reader->nodes)
			return wrong(reader, "more distances than nodes");
		if (number(reader, text, 255, &value))
			return -EINVAL;
		reader->fleet->distance[(size_t)reader->rows * MOST_NODES + count++] =
		    (uint8_t)value;
	}
	reader->rows++;
	return count == reader->nodes ? 0
				      : wrong(reader, "%u distances, of %u", count, reader->nodes);
}

/* ---- Guests ---------------------------------------------------------------------------------- */

static int known_node(struct reader *reader, const char *text, unsigned int *rank)
{
	unsigned int id;
	int rc = number(reader, text, GMIG_MAX_NODES - 1, &id);

	if (rc)
		return rc;
	for (*rank = 0; *rank < reader->nodes; (*rank)++)
		if (reader->fleet->nodes[*rank].id == id)
			return 0;
	return wrong(reader, "there is no node %u", id);
}

static int read_times(struct reader *reader, size_t guest, char *list, unsigned int milli)
{
	unsigned int vcpus = reader->fleet->guests[guest].vcpus, ranks[MOST_NODES], count = 0;
	char *rest = NULL;
	int rc = 0;

	for (char *text = strtok_r(list, ",", &rest); text && !rc && count < MOST_NODES;
	     text = strtok_r(NULL, ",", &rest))
		rc = known_node(reader, text, &ranks[count++]);
	for (unsigned int v = 0; !rc && count && v < vcpus; v++)
		rc = fleet_add_time(reader->fleet, guest, v, ranks[v % count], milli);
	return rc;
}

static int read_memory(struct reader *reader, size_t guest, enum placement_page page,
		       const char *text)
{
	uint64_t bytes;
	unsigned int rank;
	char id[16];
	int rc;

	for (; text; text = next(reader)) {
		const char *colon = strchr(text, ':');

		if (!colon || (size_t)(colon - text) >= sizeof(id))
			return wrong(reader, "'%.40s' is not a node and a size", text);
		snprintf(id, sizeof(id), "%.*s", (int)(colon - text), text);
		rc = known_node(reader, id, &rank);
		if (!rc)
			rc = size(reader, colon + 1, &bytes);
		if (rc)
			return rc;
		if (bytes % placement_page_bytes(page))
			return wrong(reader, "%s is not in whole pages", text);
		if (bytes > reader->fleet->nodes[rank].free_bytes[page])
			return wrong(reader, "node %s has not so much %s memory", id,
				     placement_page_name(page));
		if (fleet_add_ram(reader->fleet, guest, rank, PLACEMENT_NO_VNODE, page, bytes, 0))
			return gmig_fail(reader->err, -ENOMEM, "no memory");
	}
	return 0;
}

static int read_page(struct reader *reader, const char *text, enum placement_page *page)
{
	for (*page = 0; *page < PLACEMENT_PAGES; (*page)++)
		if (text && !strcmp(text, placement_page_name(*page)))
			return 0;
	return wrong(reader, "'%.40s' is no size of pages", text ? text : "");
}

static int read_guest(struct reader *reader)
{
	const char *name = next(reader), *text = NULL;
	enum placement_page page = PLACEMENT_4K;
	unsigned int vcpus = 0, milli = 0;
	char *on = NULL;
	size_t guest = reader->fleet->count;
	int rc = name ? keyword(reader, "vcpus", &text) : wrong(reader, "a guest needs a name");

	if (!rc)
		rc = number(reader, text, 4096, &vcpus);
	if (!rc)
		rc = keyword(reader, "on", (const char **)&on);
	if (!rc)
		rc = keyword(reader, "load", &text);
	if (!rc)
		rc = number(reader, text, 1000, &milli);
	if (rc)
		return rc;
	if (!fleet_add(reader->fleet, name, vcpus))
		return gmig_fail(reader->err, -ENOMEM, "no memory");
	rc = read_times(reader, guest, on, milli);
	text = rc ? NULL : next(reader);
	if (!rc && text && !strcmp(text, "page")) {
		rc = read_page(reader, next(reader), &page);
		text = rc ? NULL : next(reader);
	}
	if (!rc && (!text || strcmp(text, "memory") != 0))
		rc = wrong(reader, "'%.40s' where memory should be", text ? text : "");
	return rc ? rc : read_memory(reader, guest, page, next(reader));
}

/* ---- The whole ------------------------------------------------------------------------------- */

static int read_line(struct reader *reader, char *line)
{
	const char *word;

	line[strcspn(line, "#")] = '\0';
	word = strtok_r(line, " \t\r\n", &reader->rest);
	if (!word)
		return 0;
	if (!strcmp(word, "node"))
		return reader->fleet->count || reader->rows
			   ? wrong(reader, "nodes come before distances and guests")
			   : read_node(reader);
	if (!strcmp(word, "distances"))
		return read_distances(reader);
	if (!strcmp(word, "guest"))
		return read_guest(reader);
	return wrong(reader, "'%.40s' is no node, distances or guest", word);
}

/* The table was made for the most nodes. */
static int finish(struct reader *reader)
{
	struct fleet *fleet = reader->fleet;
	size_t n = reader->nodes;

	if (!n || (reader->rows && reader->rows != n))
		return wrong(reader, "%u nodes and %u lines of distances", reader->nodes,
			     reader->rows);
	for (size_t a = 0; a < n; a++)
		memmove(&fleet->distance[a * n], &fleet->distance[a * MOST_NODES], n);
	fleet->host.node_count = n;
	return 0;
}

int fleet_read(FILE *in, const char *name, struct fleet *fleet, struct gmig_error *err)
{
	struct reader reader = {.name = name, .fleet = fleet, .err = err};
	char *line = NULL;
	size_t bytes = 0;
	int rc = fleet_init(fleet, MOST_NODES);

	if (rc)
		return gmig_fail(err, rc, "no memory");
	while (!rc && getline(&line, &bytes, in) >= 0) {
		reader.line++;
		rc = read_line(&reader, line);
	}
	if (!rc && ferror(in))
		rc = gmig_fail(err, -EIO, "%s: %s", name, strerror(errno));
	if (!rc)
		rc = finish(&reader);
	free(line);
	if (rc)
		fleet_destroy(fleet);
	return rc;
}
