/*
 * A set of the 512 pages of one block. Plain values: no lock.
 */
#ifndef GMIG_BITS_H
#define GMIG_BITS_H

#include "../gmig.h"

#include <string.h>

#define BITS_WORDS (GMIG_BLOCK_PAGES / 64)

struct bits {
	uint64_t word[BITS_WORDS];
};

static inline void bits_clear_all(struct bits *bits)
{
	memset(bits, 0, sizeof(*bits));
}

static inline void bits_fill(struct bits *bits)
{
	memset(bits, 0xff, sizeof(*bits));
}

static inline bool bits_get(const struct bits *bits, unsigned int i)
{
	return bits->word[i / 64] >> (i % 64) & 1;
}

static inline void bits_set(struct bits *bits, unsigned int i)
{
	bits->word[i / 64] |= 1ull << (i % 64);
}

/* Of word i, the bits that lie in first..first + count. */
static inline uint64_t bits_mask(unsigned int i, unsigned int first, unsigned int count)
{
	unsigned int begin = first > i * 64 ? first - i * 64 : 0;
	unsigned int end = first + count < (i + 1) * 64 ? first + count - i * 64 : 64;

	return UINT64_MAX >> (64 - (end - begin)) << begin;
}

static inline void bits_set_range(struct bits *bits, unsigned int first, unsigned int count)
{
	for (unsigned int i = first / 64; count && i <= (first + count - 1) / 64; i++)
		bits->word[i] |= bits_mask(i, first, count);
}

static inline void bits_clear_range(struct bits *bits, unsigned int first, unsigned int count)
{
	for (unsigned int i = first / 64; count && i <= (first + count - 1) / 64; i++)
		bits->word[i] &= ~bits_mask(i, first, count);
}

static inline unsigned int bits_count(const struct bits *bits)
{
	unsigned int count = 0;

	for (unsigned int i = 0; i < BITS_WORDS; i++)
		count += (unsigned int)__builtin_popcountll(bits->word[i]);
	return count;
}

static inline bool bits_empty(const struct bits *bits)
{
	uint64_t any = 0;

	for (unsigned int i = 0; i < BITS_WORDS; i++)
		any |= bits->word[i];
	return !any;
}

static inline bool bits_full(const struct bits *bits)
{
	uint64_t all = UINT64_MAX;

	for (unsigned int i = 0; i < BITS_WORDS; i++)
		all &= bits->word[i];
	return all == UINT64_MAX;
}

/* into |= other */
static inline void bits_add(struct bits *into, const struct bits *other)
{
	for (unsigned int i = 0; i < BITS_WORDS; i++)
		into->word[i] |= other->word[i];
}

/* from &= other */
static inline void bits_keep(struct bits *from, const struct bits *other)
{
	for (unsigned int i = 0; i < BITS_WORDS; i++)
		from->word[i] &= other->word[i];
}

/* from &= ~other */
static inline void bits_remove(struct bits *from, const struct bits *other)
{
	for (unsigned int i = 0; i < BITS_WORDS; i++)
		from->word[i] &= ~other->word[i];
}

/* The next i >= from whose bit is `value`; GMIG_BLOCK_PAGES: none. */
static inline unsigned int bits_next(const struct bits *bits, unsigned int from, bool value)
{
	while (from < GMIG_BLOCK_PAGES) {
		uint64_t word = bits->word[from / 64];

		word = (value ? word : ~word) >> (from % 64);
		if (word)
			return from + (unsigned int)__builtin_ctzll(word);
		from = (from / 64 + 1) * 64;
	}
	return GMIG_BLOCK_PAGES;
}

/* The next run of set bits at or after *first: sets *first, returns its length, 0 = none. */
static inline unsigned int bits_run(const struct bits *bits, unsigned int *first)
{
	*first = bits_next(bits, *first, true);
	if (*first >= GMIG_BLOCK_PAGES)
		return 0;
	return bits_next(bits, *first, false) - *first;
}

#endif
