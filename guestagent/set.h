/*
 * A set of small numbers: CPUs or memory nodes, as the kernel writes them ("0-3,8") and as JSON
 * (an array of integers, or such a string). Values only, no locks, any thread.
 */
#ifndef AGENT_SET_H
#define AGENT_SET_H

#include "../migrate/gmig_error.h"

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>

#define AGENT_SET_MAX	8192 /* CPUs; Linux's limit on x86-64 */
#define AGENT_MAX_NODES 1024 /* the kernel's own limit on x86-64 */
#define AGENT_LONG_BITS (8 * (int)sizeof(unsigned long))

struct agent_set {
	unsigned long bits[AGENT_SET_MAX / (8 * sizeof(unsigned long))];
};

static inline void agent_set_add(struct agent_set *set, int value)
{
	set->bits[value / AGENT_LONG_BITS] |= 1ul << (value % AGENT_LONG_BITS);
}

static inline bool agent_set_has(const struct agent_set *set, int value)
{
	return value >= 0 && value < AGENT_SET_MAX &&
	       set->bits[value / AGENT_LONG_BITS] >> (value % AGENT_LONG_BITS) & 1;
}

int agent_set_count(const struct agent_set *set);
/* The smallest member that is >= value; -1: there is none. */
int agent_set_next(const struct agent_set *set, int value);
/* How many members are smaller than value. */
int agent_set_rank(const struct agent_set *set, int value);
/* The member with that rank, -1: there is none. */
int agent_set_nth(const struct agent_set *set, int rank);
bool agent_set_intersects(const struct agent_set *a, const struct agent_set *b);

/* "0-3,8" with or without a newline; an empty text is the empty set. limit: the first number that
 * is too big. -EINVAL not such a list, -ERANGE. */
int agent_set_parse(const char *text, int limit, struct agent_set *set, struct gmig_error *err);
/* The same, or an array of integers. name: of the argument, for the text. */
int agent_set_from_json(const json_t *json, const char *name, int limit, struct agent_set *set,
			struct gmig_error *err);
/* "0-3,8"; cut when it does not fit. */
void agent_set_print(const struct agent_set *set, char *text, size_t bytes);
/* An array, a new reference. */
json_t *agent_set_json(const struct agent_set *set);

#endif
