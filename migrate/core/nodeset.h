/* Lists of small numbers as the kernel's files have them ("0-3,8"): of nodes (gmig_nodes.h), and of CPUs. */
#ifndef GMIG_NODESET_H
#define GMIG_NODESET_H

#include "../gmig_nodes.h"

/*
 * Bit n of words: n is in the list; `limit` (a multiple of 64) bits. With or without a newline; an empty text is the
 * empty set. -EINVAL, -ERANGE: words is then undefined.
 */
int nodeset_parse_bits(const char *text, unsigned int limit, uint64_t *words,
		       struct gmig_error *err);

/* What the words of a choice mean on a host. */
struct nodeset_choice {
	struct gmig_node_set all;     /* `all`, and what `!` takes from */
	struct gmig_node_set allowed; /* what `+` counts, from the lowest */
};

/* Is the text one that only a host can give a meaning: `all`, or begun by `!` or `+`? */
bool nodeset_is_choice(const char *text);
/*
 * A list (gmig_nodes.h), or a choice as numactl(8) writes it: `all`; `!LIST` all but these; `+LIST` relative, +0 is the lowest
 * allowed node; `!+LIST`. Lists keep their order, `all` and `!` give rising ones. choice NULL: only whether it can be read.
 * Returns how many. -EINVAL, -ERANGE, -E2BIG as gmig_node_list_parse(); -EINVAL no node is left; -ENODEV a node after `!` or `+`
 * is none of the choice.
 */
int nodeset_choose(const char *text, const struct nodeset_choice *choice, uint16_t *nodes,
		   size_t max, struct gmig_error *err);

#endif
