/* Lists of numbers in libvirt's syntax, see id_list.h. */
#include "id_list.h"

#include <ctype.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

struct list {
	const char *text, *whole, *what;
	unsigned int limit;
};

static void skip_spaces(struct list *list)
{
	while (isspace((unsigned char)*list->text))
		list->text++;
}

static int parse_number(struct list *list, unsigned int *number, struct gmig_error *err)
{
	unsigned long value;
	char *end;

	skip_spaces(list);
	if (!isdigit((unsigned char)*list->text))
		return gmig_fail(err, -EINVAL, "%s are numbers, as in 0-3,^2,8: '%.60s'",
				 list->what, list->whole);
	value = strtoul(list->text, &end, 10);
	if (value >= list->limit)
		return gmig_fail(err, -ERANGE, "%s are numbered 0 to %u: '%.60s'", list->what,
				 list->limit - 1, list->whole);
	*number = (unsigned int)value;
	list->text = end;
	skip_spaces(list);
	return 0;
}

/* "^2": one number, never a range. */
static int parse_exclusion(struct list *list, uint64_t *words, struct gmig_error *err)
{
	unsigned int number;
	int ret;

	list->text++;
	ret = parse_number(list, &number, err);
	if (ret)
		return ret;
	if (*list->text == '-')
		return gmig_fail(err, -EINVAL, "^ takes one number out, not a range: '%.60s'",
				 list->whole);
	words[number / 64] &= ~(1ull << (number % 64));
	return 0;
}

static int parse_range(struct list *list, uint64_t *words, struct gmig_error *err)
{
	unsigned int first = 0, last;
	int ret = parse_number(list, &first, err);

	last = first;
	if (!ret && *list->text == '-') {
		list->text++;
		ret = parse_number(list, &last, err);
	}
	if (ret)
		return ret;
	if (last < first)
		return gmig_fail(err, -EINVAL, "a range of %s goes upwards: '%.60s'", list->what,
				 list->whole);
	for (; first <= last; first++)
		words[first / 64] |= 1ull << (first % 64);
	return 0;
}

static bool is_empty(const uint64_t *words, unsigned int limit)
{
	for (unsigned int i = 0; i < limit / 64; i++)
		if (words[i])
			return false;
	return true;
}

int id_list_parse(const char *text, const char *what, unsigned int limit, uint64_t *words,
		  struct gmig_error *err)
{
	struct list list = {text, text, what, limit};
	int ret;

	memset(words, 0, limit / 64 * sizeof(*words));
	for (;;) {
		skip_spaces(&list);
		ret = *list.text == '^' ? parse_exclusion(&list, words, err)
					: parse_range(&list, words, err);
		if (ret)
			return ret;
		if (!*list.text)
			break;
		if (*list.text++ != ',')
			return gmig_fail(err, -EINVAL,
					 "%s are divided by commas, as in 0-3,^2,8: '%.60s'", what,
					 text);
	}
	if (is_empty(words, limit))
		return gmig_fail(err, -EINVAL, "no %s remain: '%.60s'", what, text);
	return 0;
}

int id_list_nodes(const char *text, struct gmig_node_set *set, struct gmig_error *err)
{
	struct gmig_node_set parsed = {{0}};
	int ret = id_list_parse(text, "nodes", GMIG_MAX_NODES, parsed.word, err);

	if (!ret)
		*set = parsed;
	return ret;
}

int id_list_cpus(const char *text, struct cpu_mask *mask, struct gmig_error *err)
{
	uint64_t words[ID_LIST_CPU_WORDS];
	size_t used = ID_LIST_CPU_WORDS;
	uint64_t *copy;
	int ret = id_list_parse(text, "CPUs", ID_LIST_CPUS, words, err);

	if (ret)
		return ret;
	while (!words[used - 1])
		used--;
	copy = malloc(used * sizeof(*copy));
	if (!copy)
		return gmig_fail(err, -ENOMEM, "no memory for a set of CPUs");
	memcpy(copy, words, used * sizeof(*copy));
	mask->words = used;
	mask->word = copy;
	return 0;
}
