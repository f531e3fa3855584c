#include "permute.h"

#define ROUNDS 4

/* The finalizer of splitmix64: each bit of the result depends on all bits of x. */
static uint64_t mix(uint64_t x)
{
	x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9ull;
	x = (x ^ (x >> 27)) * 0x94d049bb133111ebull;
	return x ^ (x >> 31);
}

void permute_init(struct permute *permute, uint64_t count, uint64_t seed)
{
	*permute = (struct permute){.count = count, .seed = seed, .half_bits = 1};
	while (permute->half_bits < 31 && 1ull << (2 * permute->half_bits) < count)
		permute->half_bits++;
}

static uint64_t network(const struct permute *permute, uint64_t i)
{
	uint64_t mask = (1ull << permute->half_bits) - 1;
	uint64_t left = i >> permute->half_bits, right = i & mask;

	for (uint64_t round = 0; round < ROUNDS; round++) {
		uint64_t next = left ^ (mix(right ^ mix(permute->seed + round)) & mask);

		left = right;
		right = next;
	}
	return left << permute->half_bits | right;
}

/* The network has at most four times as many values as are wanted, and each that is not leads on to another one. */
uint64_t permute_at(const struct permute *permute, uint64_t i)
{
	do {
		i = network(permute, i);
	} while (i >= permute->count);
	return i;
}
