/* Sets of CPUs and nodes, see set.h. */
#include "set.h"

#include <ctype.h>
#include <errno.h>
#include <string.h>

#define SET_LONGS (sizeof(((struct agent_set *)0)->bits) / sizeof(unsigned long))

int agent_set_count(const struct agent_set *set)
{
	int count = 0;

	for (size_t i = 0; i < SET_LONGS; i++)
		count += __builtin_popcountl(set->bits[i]);
	return count;
}

int agent_set_next(const struct agent_set *set, int value)
{
	for (; value < AGENT_SET_MAX; value++)
		if (agent_set_has(set, value))
			return value;
	return -1;
}

int agent_set_rank(const struct agent_set *set, int value)
{
	int rank = 0;

	for (int i = agent_set_next(set, 0); i >= 0 && i < value; i = agent_set_next(set, i + 1))
		rank++;
	return rank;
}

int agent_set_nth(const struct agent_set *set, int rank)
{
	int value = agent_set_next(set, 0);

	while (value >= 0 && rank-- > 0)
		value = agent_set_next(set, value + 1);
	return value;
}

bool agent_set_intersects(const struct agent_set *a, const struct agent_set *b)
{
	for (size_t i = 0; i < SET_LONGS; i++)
		if (a->bits[i] & b->bits[i])
			return true;
	return false;
}

/* A number at *text, which moves behind it. -1: there is none; limit: too big. */
static int parse_number(const char **text, int limit)
{
	const char *at = *text;
	int value = 0;

	if (!isdigit((unsigned char)*at))
		return -1;
	for (; isdigit((unsigned char)*at); at++)
		value = value >= limit ? limit : value * 10 + (*at - '0');
	*text = at;
	return value > limit ? limit : value;
}

int agent_set_parse(const char *text, int limit, struct agent_set *set, struct gmig_error *err)
{
	const char *at = text;

	memset(set, 0, sizeof(*set));
	if (!*at || *at == '\n')
		return 0;
	for (;; at++) {
		int first = parse_number(&at, limit), last = first;

		if (first >= 0 && *at == '-') {
			at++;
			last = parse_number(&at, limit);
		}
		if (first < 0 || last < first || (*at && *at != ',' && *at != '\n'))
			return gmig_fail(err, -EINVAL, "'%.40s' is not a list like 0-3,8", text);
		if (last >= limit)
			return gmig_fail(err, -ERANGE, "'%.40s' names a number over %d", text,
					 limit - 1);
		for (int value = first; value <= last; value++)
			agent_set_add(set, value);
		if (*at != ',')
			return 0;
	}
}

static int set_from_array(const json_t *json, const char *name, int limit, struct agent_set *set,
			  struct gmig_error *err)
{
	size_t i;
	json_t *item;

	json_array_foreach (json, i, item) {
		json_int_t value = json_integer_value(item);

		if (!json_is_integer(item))
			return gmig_fail(err, -EINVAL,
					 "argument '%s' has an item that is no number", name);
		if (value < 0 || value >= limit)
			return gmig_fail(err, -ERANGE, "argument '%s' names %lld, not 0 to %d",
					 name, (long long)value, limit - 1);
		agent_set_add(set, (int)value);
	}
	return 0;
}

int agent_set_from_json(const json_t *json, const char *name, int limit, struct agent_set *set,
			struct gmig_error *err)
{
	struct gmig_error reason = {0};
	int rc;

	memset(set, 0, sizeof(*set));
	if (json_is_array(json))
		rc = set_from_array(json, name, limit, set, err);
	else if (json_is_string(json)) {
		rc = agent_set_parse(json_string_value(json), limit, set, &reason);
		if (rc)
			gmig_fail(err, rc, "argument '%s': %s", name, reason.text);
	} else
		return gmig_fail(err, -EINVAL,
				 "argument '%s' is an array of numbers or a string like \"0-3,8\"",
				 name);
	if (!rc && !agent_set_count(set))
		return gmig_fail(err, -EINVAL, "argument '%s' is empty", name);
	return rc;
}

void agent_set_print(const struct agent_set *set, char *text, size_t bytes)
{
	size_t used = 0;

	text[0] = '\0';
	for (int first = agent_set_next(set, 0), last; first >= 0 && used < bytes;
	     first = agent_set_next(set, last + 1)) {
		const char *comma = used ? "," : "";

		for (last = first; agent_set_has(set, last + 1); last++)
			;
		if (last == first)
			used += (size_t)snprintf(text + used, bytes - used, "%s%d", comma, first);
		else
			used += (size_t)snprintf(text + used, bytes - used, "%s%d-%d", comma, first,
						 last);
	}
}

json_t *agent_set_json(const struct agent_set *set)
{
	json_t *list = json_array();

	for (int value = agent_set_next(set, 0); value >= 0; value = agent_set_next(set, value + 1))
		json_array_append_new(list, json_integer(value));
	return list;
}
