/* Sets and lists of nodes as text. Needs only gmig_nodes.h, so that the agent may have it without the engine. */
#include "../gmig_nodes.h"

#include <ctype.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* One number; *text moves behind it. */
static int parse_node(const char **text, const char *whole, unsigned int *node,
		      struct gmig_error *err)
{
	unsigned long value;
	char *end;

	if (!isdigit((unsigned char)**text))
		return gmig_fail(err, -EINVAL, "nodes are numbers, as in 0,2-3: '%.60s'", whole);
	value = strtoul(*text, &end, 10);
	if (value >= GMIG_MAX_NODES)
		return gmig_fail(err, -ERANGE, "nodes are numbered 0 to %u: '%.60s'",
				 GMIG_MAX_NODES - 1, whole);
	*node = (unsigned int)value;
	*text = end;
	return 0;
}

/* "2" or "2-3" */
static int parse_range(const char **text, const char *whole, unsigned int *first,
		       unsigned int *last, struct gmig_error *err)
{
	int ret = parse_node(text, whole, first, err);

	if (ret)
		return ret;
	*last = *first;
	if (**text == '-') {
		(*text)++;
		ret = parse_node(text, whole, last, err);
	}
	if (!ret && *last < *first)
		return gmig_fail(err, -EINVAL, "a range of nodes goes upwards: '%.60s'", whole);
	return ret;
}

static bool is_end(const char *text)
{
	return !*text || (*text == '\n' && !text[1]);
}

/* After a range: 1 another one follows, 0 the end. */
static int parse_comma(const char **text, const char *whole, struct gmig_error *err)
{
	if (is_end(*text))
		return 0;
	if (*(*text)++ != ',')
		return gmig_fail(err, -EINVAL, "nodes are divided by commas, as in 0,2-3: '%.60s'",
				 whole);
	return 1;
}

int gmig_node_list_parse(const char *text, uint16_t *nodes, size_t max, struct gmig_error *err)
{
	const char *whole = text;
	unsigned int first, last;
	size_t count = 0;
	int ret;

	do {
		ret = parse_range(&text, whole, &first, &last, err);
		if (ret)
			return ret;
		for (; first <= last; first++) {
			if (count == max)
				return gmig_fail(err, -E2BIG, "more than %zu nodes: '%.60s'", max,
						 whole);
			nodes[count++] = (uint16_t)first;
		}
		ret = parse_comma(&text, whole, err);
	} while (ret > 0);
	return ret ? ret : (int)count;
}

int gmig_node_set_parse(const char *text, struct gmig_node_set *set, struct gmig_error *err)
{
	struct gmig_node_set parsed = {{0}};
	const char *whole = text;
	unsigned int first, last;
	int ret = !is_end(text);

	while (ret > 0) {
		ret = parse_range(&text, whole, &first, &last, err);
		if (ret)
			return ret;
		for (; first <= last; first++)
			gmig_node_set_add(&parsed, first);
		ret = parse_comma(&text, whole, err);
	}
	if (!ret)
		*set = parsed;
	return ret;
}

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
	char item[16];

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
