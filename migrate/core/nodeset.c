/* Sets and lists of nodes as text. Needs only gmig_nodes.h, so that the agent may have it without the engine. */
#include "nodeset.h"

#include <ctype.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* A list that is being read: what is left of it, and all of it for error texts. */
struct list {
	const char *text, *whole;
	unsigned int limit;
};

static int parse_number(struct list *list, unsigned int *number, struct gmig_error *err)
{
	unsigned long value;
	char *end;

	if (!isdigit((unsigned char)*list->text))
		return gmig_fail(err, -EINVAL, "nodes are numbers, as in 0,2-3: '%.60s'",
				 list->whole);
	value = strtoul(list->text, &end, 10);
	if (value >= list->limit)
		return gmig_fail(err, -ERANGE, "nodes are numbered 0 to %u: '%.60s'",
				 list->limit - 1, list->whole);
	*number = (unsigned int)value;
	list->text = end;
	return 0;
}

/* "2" or "2-3" */
static int parse_range(struct list *list, unsigned int *first, unsigned int *last,
		       struct gmig_error *err)
{
	int ret = parse_number(list, first, err);

	if (ret)
		return ret;
	*last = *first;
	if (*list->text == '-') {
		list->text++;
		ret = parse_number(list, last, err);
	}
	if (!ret && *last < *first)
		return gmig_fail(err, -EINVAL, "a range of nodes goes upwards: '%.60s'",
				 list->whole);
	return ret;
}

static bool is_end(const char *text)
{
	return !*text || (*text == '\n' && !text[1]);
}

/* After a range: 1 another one follows, 0 the end. */
static int parse_comma(struct list *list, struct gmig_error *err)
{
	if (is_end(list->text))
		return 0;
	if (*list->text++ != ',')
		return gmig_fail(err, -EINVAL, "nodes are divided by commas, as in 0,2-3: '%.60s'",
				 list->whole);
	return 1;
}

int gmig_node_list_parse(const char *text, uint16_t *nodes, size_t max, struct gmig_error *err)
{
	struct list list = {text, text, GMIG_MAX_NODES};
	unsigned int first, last;
	size_t count = 0;
	int ret;

	do {
		ret = parse_range(&list, &first, &last, err);
		if (ret)
			return ret;
		for (; first <= last; first++) {
			if (count == max)
				return gmig_fail(err, -E2BIG, "more than %zu nodes: '%.60s'", max,
						 text);
			nodes[count++] = (uint16_t)first;
		}
		ret = parse_comma(&list, err);
	} while (ret > 0);
	return ret ? ret : (int)count;
}

int nodeset_parse_bits(const char *text, unsigned int limit, uint64_t *words,
		       struct gmig_error *err)
{
	struct list list = {text, text, limit};
	unsigned int first, last;
	int ret = !is_end(text);

	memset(words, 0, limit / 64 * sizeof(*words));
	while (ret > 0) {
		ret = parse_range(&list, &first, &last, err);
		if (ret)
			return ret;
		for (; first <= last; first++)
			words[first / 64] |= 1ull << (first % 64);
		ret = parse_comma(&list, err);
	}
	return ret;
}

int gmig_node_set_parse(const char *text, struct gmig_node_set *set, struct gmig_error *err)
{
	struct gmig_node_set parsed = {{0}};
	int ret = nodeset_parse_bits(text, GMIG_MAX_NODES, parsed.word, err);

	if (!ret)
		*set = parsed;
	return ret;
}

/* ---- As numactl(8) has them ------------------------------------------------------------------------ */

bool nodeset_is_choice(const char *text)
{
	return *text == '!' || *text == '+' || !strcmp(text, "all");
}

/* Each of the list as a number of a place among those allowed. */
static int count_places(const char *text, const struct gmig_node_set *allowed, uint16_t *nodes,
			int count, struct gmig_error *err)
{
	unsigned int there = gmig_node_set_count(allowed);

	for (int i = 0; i < count; i++) {
		unsigned int node = gmig_node_set_next(allowed, 0);

		if (nodes[i] >= there)
			return gmig_fail(err, -ENODEV,
					 "'%.60s': +%u is none of the %u nodes that "
					 "have memory and are allowed",
					 text, nodes[i], there);
		for (unsigned int place = 0; place < nodes[i]; place++)
			node = gmig_node_set_next(allowed, node + 1);
		nodes[i] = (uint16_t)node;
	}
	return count;
}

static int take_out(const char *text, const uint16_t *nodes, int count, struct gmig_node_set *all,
		    struct gmig_error *err)
{
	const struct gmig_node_set before = *all;

	for (int i = 0; i < count; i++) {
		if (!gmig_node_set_has(&before, nodes[i]))
			return gmig_fail(err, -ENODEV,
					 "'%.60s': node %u is offline, has no memory, "
					 "or is not allowed",
					 text, nodes[i]);
		gmig_node_set_remove(all, nodes[i]);
	}
	return 0;
}

static int list_set(const char *text, const struct gmig_node_set *set, uint16_t *nodes, size_t max,
		    struct gmig_error *err)
{
	size_t count = 0;

	if (gmig_node_set_empty(set))
		return gmig_fail(err, -EINVAL, "'%.60s' is no node at all here", text);
	gmig_node_set_each (node, set) {
		if (count == max)
			return gmig_fail(err, -E2BIG, "more than %zu nodes: '%.60s'", max, text);
		nodes[count++] = (uint16_t)node;
	}
	return (int)count;
}

int nodeset_choose(const char *text, const struct nodeset_choice *choice, uint16_t *nodes,
		   size_t max, struct gmig_error *err)
{
	bool inverted = *text == '!', relative = text[inverted] == '+';
	const char *list = text + inverted + relative;
	bool is_all = !relative && !strcmp(list, "all");
	struct gmig_node_set rest;
	int ret;

	if (is_all && inverted)
		return gmig_fail(err, -EINVAL, "'!all' is no node at all");
	ret = is_all ? 0 : gmig_node_list_parse(list, nodes, max, err);
	if (ret < 0 || !choice || !(inverted || relative || is_all))
		return ret;
	if (relative)
		ret = count_places(text, &choice->allowed, nodes, ret, err);
	if (ret < 0 || !(inverted || is_all))
		return ret;
	rest = choice->all;
	ret = take_out(text, nodes, ret, &rest, err);
	return ret ? ret : list_set(text, &rest, nodes, max, err);
}

/* ---- Printing -------------------------------------------------------------------------------------- */

/* The last of the run of members that begins at first. */
static unsigned int run_end(const struct gmig_node_set *set, unsigned int first)
{
	while (gmig_node_set_has(set, first + 1))
		first++;
	return first;
}

const char *gmig_node_set_print(const struct gmig_node_set *set, char *text, size_t bytes)
{
	unsigned int first = gmig_node_set_next(set, 0), last;
	size_t used = 0;
	char item[24];

	if (!bytes)
		return text;
	text[0] = '\0';
	for (; first < GMIG_MAX_NODES; first = gmig_node_set_next(set, last + 1)) {
		last = run_end(set, first);
		if (last > first)
			snprintf(item, sizeof(item), "%s%u-%u", used ? "," : "", first, last);
		else
			snprintf(item, sizeof(item), "%s%u", used ? "," : "", first);
		/* Room is kept for the "..." that says that the list goes on. */
		if (used + strlen(item) + sizeof("...") > bytes &&
		    (used + strlen(item) >= bytes ||
		     gmig_node_set_next(set, last + 1) < GMIG_MAX_NODES)) {
			snprintf(text + used, bytes - used, "...");
			break;
		}
		memcpy(text + used, item, strlen(item) + 1);
		used += strlen(item);
	}
	return text;
}
