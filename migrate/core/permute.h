/*
 * A permutation of 0..count-1 that is computed and not stored: a Feistel network over the next even number of bits, walked
 * until it ends below count. The same count and seed give the same one. Constant once made: any thread.
 *
 * Source: Black and Rogaway, Ciphers with Arbitrary Finite Domains (CT-RSA 2002), cycle walking. It is to spread, not to hide.
 */
#ifndef GMIG_PERMUTE_H
#define GMIG_PERMUTE_H

#include <stdint.h>

struct permute {
	uint64_t count, seed;
	unsigned int half_bits;
};

/* count: up to 2^62 */
void permute_init(struct permute *permute, uint64_t count, uint64_t seed);
/* Where i < count goes: below count, and nobody else does. At most four walks through the network on average. */
uint64_t permute_at(const struct permute *permute, uint64_t i);

#endif
