/* See balloon_pages.h: a hash table with chains, and a list by age. */
#include "balloon_pages.h"

#include <string.h>

static uint16_t index_of(const struct balloon_pages *pages, const struct balloon_block *block)
{
	return (uint16_t)(block - pages->block + 1);
}

static struct balloon_block *at(struct balloon_pages *pages, uint16_t index)
{
	return index ? &pages->block[index - 1] : NULL;
}

/* Neighbours are given back together: they go to neighbouring buckets. */
static uint16_t *bucket_of(struct balloon_pages *pages, uint64_t block_gfn)
{
	return &pages->bucket[block_gfn / GMIG_BLOCK_PAGES % BALLOON_BLOCKS];
}

void balloon_pages_clear(struct balloon_pages *pages)
{
	memset(pages, 0, sizeof(*pages));
	for (unsigned int i = 0; i < BALLOON_BLOCKS; i++)
		pages->block[i].next = (uint16_t)(i + 1 < BALLOON_BLOCKS ? i + 2 : 0);
	pages->free = 1;
}

/* ---- By age ---------------------------------------------------------------------------------- */

static void age_remove(struct balloon_pages *pages, const struct balloon_block *block)
{
	uint16_t *before = block->older ? &pages->block[block->older - 1].newer : &pages->oldest;
	uint16_t *behind = block->newer ? &pages->block[block->newer - 1].older : &pages->newest;

	*before = block->newer;
	*behind = block->older;
}

static void age_append(struct balloon_pages *pages, struct balloon_block *block, uint64_t now_ns)
{
	struct balloon_block *newest = at(pages, pages->newest);

	block->news_ns = now_ns;
	block->older = pages->newest;
	block->newer = 0;
	if (newest)
		newest->newer = index_of(pages, block);
	else
		pages->oldest = index_of(pages, block);
	pages->newest = index_of(pages, block);
}

struct balloon_block *balloon_pages_oldest(struct balloon_pages *pages)
{
	return at(pages, pages->oldest);
}

void balloon_pages_renew(struct balloon_pages *pages, struct balloon_block *block, uint64_t now_ns)
{
	age_remove(pages, block);
	age_append(pages, block, now_ns);
}

/* ---- By address ------------------------------------------------------------------------------ */

static struct balloon_block *find(struct balloon_pages *pages, uint64_t block_gfn)
{
	struct balloon_block *block = at(pages, *bucket_of(pages, block_gfn));

	while (block && block->gfn != block_gfn)
		block = at(pages, block->next);
	return block;
}

static struct balloon_block *make(struct balloon_pages *pages, uint64_t block_gfn, uint64_t now_ns)
{
	struct balloon_block *block = at(pages, pages->free);
	uint16_t *bucket = bucket_of(pages, block_gfn);

	if (!block)
		return NULL;
	pages->free = block->next;
	*block = (struct balloon_block){.gfn = block_gfn, .next = *bucket};
	*bucket = index_of(pages, block);
	age_append(pages, block, now_ns);
	pages->count++;
	return block;
}

struct balloon_block *balloon_pages_add(struct balloon_pages *pages, uint64_t gfn, uint64_t now_ns)
{
	unsigned int page = (unsigned int)(gfn % GMIG_BLOCK_PAGES);
	struct balloon_block *block = find(pages, gfn - page);

	if (block)
		balloon_pages_renew(pages, block, now_ns);
	else
		block = make(pages, gfn - page, now_ns);
	if (block)
		bits_set(&block->pages, page);
	return block;
}

void balloon_pages_take(struct balloon_pages *pages, uint64_t gfn)
{
	unsigned int page = (unsigned int)(gfn % GMIG_BLOCK_PAGES);
	struct balloon_block *block = find(pages, gfn - page);

	if (!block)
		return;
	bits_clear_range(&block->pages, page, 1);
	if (bits_empty(&block->pages))
		balloon_pages_drop(pages, block);
}

void balloon_pages_drop(struct balloon_pages *pages, struct balloon_block *block)
{
	uint16_t *link = bucket_of(pages, block->gfn), index = index_of(pages, block);

	while (*link != index)
		link = &at(pages, *link)->next;
	*link = block->next;
	age_remove(pages, block);
	block->next = pages->free;
	pages->free = index;
	pages->count--;
}
