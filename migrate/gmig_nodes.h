/*
 * Sets of NUMA nodes, as wide as Linux has them (CONFIG_NODES_SHIFT is at most 10). Stands alone, so that control/ and
 * the agent may use it without the engine; parse and print are in migrate/core/nodeset.c, which needs nothing else.
 *
 * A set is a plain value: copy it with =, {{0}} is the empty set. No locks, any thread. A number that is not a node
 * (GMIG_NO_NODE, or anything from GMIG_MAX_NODES on) is in no set and adding it does nothing.
 */
#ifndef GMIG_NODES_H
#define GMIG_NODES_H

#include "gmig_error.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Exported; all else in the library is hidden (-fvisibility=hidden). */
#pragma GCC visibility push(default)

#define GMIG_MAX_NODES	1024u
#define GMIG_NO_NODE	0xffffu
#define GMIG_NODE_WORDS (GMIG_MAX_NODES / 64)

struct gmig_node_set {
	uint64_t word[GMIG_NODE_WORDS]; /* bit n % 64 of word n / 64: node n */
};

/* Add a node. */
static inline void gmig_node_set_add(struct gmig_node_set *set, unsigned int node)
{
	if (node < GMIG_MAX_NODES)
		set->word[node / 64] |= 1ull << (node % 64);
}

/* Take a node out. */
static inline void gmig_node_set_remove(struct gmig_node_set *set, unsigned int node)
{
	if (node < GMIG_MAX_NODES)
		set->word[node / 64] &= ~(1ull << (node % 64));
}

/* Whether the node is a member. */
static inline bool gmig_node_set_has(const struct gmig_node_set *set, unsigned int node)
{
	return node < GMIG_MAX_NODES && (set->word[node / 64] >> (node % 64) & 1);
}

/* How many members there are. */
static inline unsigned int gmig_node_set_count(const struct gmig_node_set *set)
{
	unsigned int count = 0;

	for (unsigned int i = 0; i < GMIG_NODE_WORDS; i++)
		count += (unsigned int)__builtin_popcountll(set->word[i]);
	return count;
}

/* Whether there is no member. */
static inline bool gmig_node_set_empty(const struct gmig_node_set *set)
{
	uint64_t any = 0;

	for (unsigned int i = 0; i < GMIG_NODE_WORDS; i++)
		any |= set->word[i];
	return !any;
}

/* The smallest member that is >= node; GMIG_MAX_NODES: there is none. */
static inline unsigned int gmig_node_set_next(const struct gmig_node_set *set, unsigned int node)
{
	unsigned int i = node / 64;
	uint64_t word;

	if (node >= GMIG_MAX_NODES)
		return GMIG_MAX_NODES;
	word = set->word[i] & ~0ull << (node % 64);
	while (!word) {
		if (++i == GMIG_NODE_WORDS)
			return GMIG_MAX_NODES;
		word = set->word[i];
	}
	return i * 64 + (unsigned int)__builtin_ctzll(word);
}

/* for each member, ascending: gmig_node_set_each (node, set) { .. } */
/* NOLINTBEGIN(bugprone-macro-parentheses): `node` is declared by it */
#define gmig_node_set_each(node, set)                                                              \
	for (unsigned int node = gmig_node_set_next((set), 0); node < GMIG_MAX_NODES;              \
	     node = gmig_node_set_next((set), node + 1))
/* NOLINTEND(bugprone-macro-parentheses) */

/* into = into AND other */
static inline void gmig_node_set_and(struct gmig_node_set *into, const struct gmig_node_set *other)
{
	for (unsigned int i = 0; i < GMIG_NODE_WORDS; i++)
		into->word[i] &= other->word[i];
}

/* into = into OR other */
static inline void gmig_node_set_or(struct gmig_node_set *into, const struct gmig_node_set *other)
{
	for (unsigned int i = 0; i < GMIG_NODE_WORDS; i++)
		into->word[i] |= other->word[i];
}

/* into = into without other */
static inline void gmig_node_set_minus(struct gmig_node_set *into,
				       const struct gmig_node_set *other)
{
	for (unsigned int i = 0; i < GMIG_NODE_WORDS; i++)
		into->word[i] &= ~other->word[i];
}

/*
 * "0,2-3" as the kernel's cpuset files have it (Documentation/admin-guide/cgroup-v2.rst, cpuset.mems), with or without
 * a newline; an empty text is the empty set. -EINVAL: not such a list; -ERANGE: a node from GMIG_MAX_NODES on. *set is
 * then as it was.
 */
int gmig_node_set_parse(const char *text, struct gmig_node_set *set, struct gmig_error *err);
/*
 * The same text as a list whose order and repetitions are kept: "1,0" is {1, 0}. At least one node, at most max.
 * Returns how many. -EINVAL, -ERANGE as above; -E2BIG: more than max.
 */
int gmig_node_list_parse(const char *text, uint16_t *nodes, size_t max, struct gmig_error *err);
/* "0,2-3", "" for the empty set; cut at a comma and ended by "..." when it does not fit. Returns text. */
const char *gmig_node_set_print(const struct gmig_node_set *set, char *text, size_t bytes);

#pragma GCC visibility pop

#ifdef __cplusplus
}
#endif
#endif
