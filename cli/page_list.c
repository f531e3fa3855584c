#include "page_list.h"
#include "../control/control.h"
#include "units.h"

#include <errno.h>
#include <jansson.h>
#include <stdlib.h>
#include <string.h>

#define LINE_TEXT 128

/* ---- Reading ----------------------------------------------------------------------------------- */

static int add(struct page_ranges *ranges, uint64_t gpa, uint64_t bytes, int node,
	       struct gmig_error *err)
{
	if (gpa % GMIG_PAGE_BYTES || bytes % GMIG_PAGE_BYTES || !bytes || gpa + bytes < gpa)
		return gmig_fail(err, -EINVAL, "0x%llx+%llu is not made of pages of 4K",
				 (unsigned long long)gpa, (unsigned long long)bytes);
	if (ranges->count == GMIG_MOVE_MAX)
		return gmig_fail(err, -E2BIG, "more than %u entries", GMIG_MOVE_MAX);
	if (ranges->count == ranges->room) {
		size_t room = ranges->room ? 2 * ranges->room : 64;
		struct gmig_move_range *range =
		    reallocarray(ranges->range, room, sizeof(*ranges->range));

		if (!range)
			return gmig_fail(err, -ENOMEM, "no memory for the list");
		ranges->range = range;
		ranges->room = room;
	}
	ranges->range[ranges->count++] =
	    (struct gmig_move_range){.gpa = gpa, .bytes = bytes, .node = node};
	return 0;
}

/* Changes the text. */
static int add_entry(struct page_ranges *ranges, char *text, int node, struct gmig_error *err)
{
	uint64_t gpa = 0, bytes = GMIG_PAGE_BYTES;
	char *plus = strchr(text, '+');
	int ret;

	if (plus)
		*plus = '\0';
	ret = units_parse_address(text, &gpa, err);
	if (!ret && plus)
		ret = units_parse_address(plus + 1, &bytes, err);
	return ret ? ret : add(ranges, gpa, bytes, node, err);
}

int page_ranges_add(struct page_ranges *ranges, const char *text, int node, struct gmig_error *err)
{
	char *copy = strdup(text), *rest = copy, *one;
	int ret = copy ? 0 : gmig_fail(err, -ENOMEM, "no memory for the list");

	while (!ret && (one = strsep(&rest, ",")))
		ret = add_entry(ranges, one, node, err);
	free(copy);
	return ret;
}

static int parse_node(const char *text, int *node, struct gmig_error *err)
{
	uint64_t value = 0;
	int ret = units_parse_count(text, GMIG_MAX_NODES - 1, &value, err);

	*node = (int)value;
	return ret;
}

static int add_line(struct page_ranges *ranges, char *line, int node, struct gmig_error *err)
{
	char *rest = NULL, *entry, *name;
	int ret = 0;

	line[strcspn(line, "#\n")] = '\0';
	entry = strtok_r(line, " \t\r", &rest);
	if (!entry)
		return 0;
	name = strtok_r(NULL, " \t\r", &rest);
	if (name)
		ret = parse_node(name, &node, err);
	if (!ret && node < 0)
		ret = gmig_fail(err, -EINVAL, "'%.40s' has no node, and --to is not given", entry);
	if (!ret && strtok_r(NULL, " \t\r", &rest))
		ret = gmig_fail(err, -EINVAL, "there is more than an address and a node");
	return ret ? ret : add_entry(ranges, entry, node, err);
}

static int add_object(struct page_ranges *ranges, const json_t *item, int node,
		      struct gmig_error *err)
{
	const json_t *gpa = json_object_get(item, "gpa"), *bytes = json_object_get(item, "bytes"),
		     *to = json_object_get(item, "node");
	json_int_t number = to ? json_integer_value(to) : node;

	if (!json_is_integer(gpa) || json_integer_value(gpa) < 0 ||
	    (bytes && (!json_is_integer(bytes) || json_integer_value(bytes) < 0)))
		return gmig_fail(err, -EINVAL,
				 "an entry is {\"gpa\": N, \"bytes\": N, \"node\": N}");
	if ((to && !json_is_integer(to)) || number < 0 || number >= (json_int_t)GMIG_MAX_NODES)
		return gmig_fail(err, -EINVAL, "it has no node from 0 to %u, and --to is not given",
				 GMIG_MAX_NODES - 1);
	return add(ranges, (uint64_t)json_integer_value(gpa),
		   bytes ? (uint64_t)json_integer_value(bytes) : GMIG_PAGE_BYTES, (int)number, err);
}

static int read_json(struct page_ranges *ranges, FILE *file, int node, struct gmig_error *err)
{
	json_error_t where;
	json_t *list = json_loadf(file, 0, &where), *item;
	struct gmig_error why = {0};
	size_t i;
	int ret = 0;

	if (!list)
		return gmig_fail(err, -EINVAL, "line %d: this is no JSON: %s", where.line,
				 where.text);
	json_array_foreach (list, i, item) {
		ret = add_object(ranges, item, node, &why);
		if (ret)
			break;
	}
	if (ret)
		gmig_error_set(err, ret, "entry %zu: %.200s", i, why.text);
	json_decref(list);
	return ret;
}

int page_ranges_read(struct page_ranges *ranges, FILE *file, int node, struct gmig_error *err)
{
	struct gmig_error why = {0};
	char line[LINE_TEXT];
	size_t number = 0;
	int ret = 0, first = getc(file);

	if (first != EOF)
		ungetc(first, file);
	if (first == '[')
		return read_json(ranges, file, node, err);
	while (!ret && fgets(line, sizeof(line), file)) {
		number++;
		if (!strchr(line, '\n') && !feof(file))
			ret = gmig_fail(&why, -EINVAL, "it is too long");
		else
			ret = add_line(ranges, line, node, &why);
	}
	if (ret)
		return gmig_fail(err, ret, "line %zu: %.200s", number, why.text);
	return ferror(file) ? gmig_fail(err, -EIO, "cannot be read") : 0;
}

void page_ranges_free(struct page_ranges *ranges)
{
	free(ranges->range);
	*ranges = (struct page_ranges){.count = 0};
}

/* ---- Where they are ------------------------------------------------------------------------------ */

/* Pages that are asked about, and the run that is not printed yet. */
struct asked {
	uint64_t gpas[PAGE_RANGES_ASK];
	int status[PAGE_RANGES_ASK];
	size_t count;
	FILE *out;
	bool json, any;
	uint64_t gpa, bytes;
	int result;
};

static void print_run(struct asked *asked)
{
	char size[UNITS_TEXT];

	if (!asked->bytes)
		return;
	if (asked->json)
		fprintf(asked->out, "%s{\"gpa\":%llu,\"bytes\":%llu,", asked->any ? "," : "",
			(unsigned long long)asked->gpa, (unsigned long long)asked->bytes);
	else
		fprintf(asked->out, "0x%llx+%s ", (unsigned long long)asked->gpa,
			units_size(asked->bytes, size));
	if (asked->result >= 0)
		fprintf(asked->out, asked->json ? "\"node\":%d}" : "node %d\n", asked->result);
	else
		fprintf(asked->out, asked->json ? "\"error\":\"%s\"}" : "%s\n",
			gmig_errno_name(asked->result));
	asked->any = true;
	asked->bytes = 0;
}

static int answer(struct asked *asked, page_ranges_ask *ask, void *arg, struct gmig_error *err)
{
	const struct gmig_pages pages = {
	    .count = asked->count, .gpas = asked->gpas, .status = asked->status};
	int ret = asked->count ? ask(arg, &pages, err) : 0;

	for (size_t i = 0; i < asked->count && !ret; i++) {
		if (asked->bytes && (asked->gpas[i] != asked->gpa + asked->bytes ||
				     asked->status[i] != asked->result))
			print_run(asked);
		if (!asked->bytes) {
			asked->gpa = asked->gpas[i];
			asked->result = asked->status[i];
		}
		asked->bytes += GMIG_PAGE_BYTES;
	}
	asked->count = 0;
	return ret;
}

static int print_all(const struct page_ranges *ranges, struct asked *asked, page_ranges_ask *ask,
		     void *arg, struct gmig_error *err)
{
	int ret = 0;

	for (size_t i = 0; i < ranges->count && !ret; i++) {
		const struct gmig_move_range *range = &ranges->range[i];

		for (uint64_t at = 0; at < range->bytes && !ret; at += GMIG_PAGE_BYTES) {
			asked->gpas[asked->count++] = range->gpa + at;
			if (asked->count == PAGE_RANGES_ASK)
				ret = answer(asked, ask, arg, err);
		}
	}
	if (!ret)
		ret = answer(asked, ask, arg, err);
	print_run(asked);
	return ret;
}

/* Piece by piece: a million pages that all differ are no tree of JSON that fits everywhere. */
int page_ranges_report(const struct page_ranges *ranges, const json_t *result, page_ranges_ask *ask,
		       void *arg, struct gmig_error *err)
{
	struct asked *asked = calloc(1, sizeof(*asked));
	char *text = result ? json_dumps(result, CONTROL_DUMP_FLAGS) : NULL;
	int ret = asked && (text || !result) ? 0 : gmig_fail(err, -ENOMEM, "out of memory");

	if (!ret && text)
		printf("%.*s%s\"pages\":[", (int)strlen(text) - 1, text,
		       json_object_size(result) ? "," : "");
	if (!ret) {
		asked->out = stdout;
		asked->json = text;
		ret = print_all(ranges, asked, ask, arg, err);
		if (text)
			puts("]}");
	}
	free(text);
	free(asked);
	return ret;
}
