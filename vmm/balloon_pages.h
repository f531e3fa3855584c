/*
 * Pages that a balloon was given and that are not yet given back to the host: they are collected by block of 2 MiB, since a
 * block that goes as a whole costs the host and the guest no huge page. Of a fixed size, whatever the guest's: when all places
 * are taken the block that has had no news for longest makes room.
 *
 * Pure, no lock: its owner's thread alone.
 */
#ifndef VMM_BALLOON_PAGES_H
#define VMM_BALLOON_PAGES_H

#include "../migrate/core/bits.h"

#define BALLOON_BLOCKS 4096u /* of 2 MiB, of which a part was given: 8 GiB of them */

struct balloon_block {
	uint64_t gfn; /* its first page's */
	struct bits pages;
	uint64_t news_ns; /* when the last page came */
	/* Indices + 1; 0: none */
	uint16_t older, newer, next;
};

struct balloon_pages {
	struct balloon_block block[BALLOON_BLOCKS];
	uint16_t bucket[BALLOON_BLOCKS]; /* index + 1 of the first block */
	uint16_t oldest, newest, free;
	unsigned int count;
};

/* None. */
void balloon_pages_clear(struct balloon_pages *pages);
/* A page comes, once or again. Its block, whose news are now; NULL: there is no place, the oldest has to go first. */
struct balloon_block *balloon_pages_add(struct balloon_pages *pages, uint64_t gfn, uint64_t now_ns);
/* The page is the guest's again. Legal for one that is not here. */
void balloon_pages_take(struct balloon_pages *pages, uint64_t gfn);
/* The block that has had no news for longest. NULL: there is none. */
struct balloon_block *balloon_pages_oldest(struct balloon_pages *pages);
/* Its news are now: it cannot go yet. */
void balloon_pages_renew(struct balloon_pages *pages, struct balloon_block *block, uint64_t now_ns);
void balloon_pages_drop(struct balloon_pages *pages, struct balloon_block *block);

#endif
