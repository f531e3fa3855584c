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

#endif
