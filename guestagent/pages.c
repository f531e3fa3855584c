/* Pages of a process, see pages.h. */
#include "pages.h"
#include "../migrate/core/sys.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdlib.h>
#include <unistd.h>

/* An entry of pagemap: Documentation/admin-guide/mm/pagemap.rst. */
#define ENTRY_PRESENT (1ull << 63)
#define ENTRY_FRAME   ((1ull << 55) - 1)

#define CATEGORIES                                                                                 \
	(PAGE_IS_FILE | PAGE_IS_PRESENT | PAGE_IS_SWAPPED | PAGE_IS_PFNZERO | PAGE_IS_HUGE)

int agent_pages_open(pid_t pid, struct gmig_error *err)
{
	char path[PATH_MAX];
	int fd;

	snprintf(path, sizeof(path), "%s/%d/pagemap", agent_sys->proc, (int)pid);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	return fd < 0 ? agent_call_failed_pid(err, AGENT_CALL_READ, -errno, pid) : fd;
}

static void add_region(struct agent_pages *pages, uint64_t start, const struct page_region *region)
{
	uint32_t count = (uint32_t)((region->end - region->start) / AGENT_PAGE_BYTES);
	uint64_t first = (region->start - start) / AGENT_PAGE_BYTES;
	bool own = !(region->categories & (PAGE_IS_FILE | PAGE_IS_SWAPPED | PAGE_IS_PFNZERO));

	for (uint64_t page = first; own && page < first + count; page++)
		pages->own[page / 64] |= 1ull << (page % 64);
	if (region->categories & PAGE_IS_FILE)
		pages->file += count;
	else if (region->categories & PAGE_IS_SWAPPED)
		pages->swapped += count;
	else if (region->categories & PAGE_IS_PFNZERO)
		pages->zero += count;
	else if (region->categories & PAGE_IS_HUGE)
		pages->huge += count;
	else
		pages->small += count;
}

int agent_pages_scan(int pagemap, uint64_t start, struct agent_pages *pages)
{
	struct page_region regions[AGENT_BLOCK_PAGES];
	struct pm_scan_arg arg = {
	    .size = sizeof(arg),
	    .start = start,
	    .end = start + AGENT_HUGE_BYTES,
	    .vec = (uintptr_t)regions,
	    .vec_len = AGENT_BLOCK_PAGES,
	    .category_anyof_mask = PAGE_IS_PRESENT | PAGE_IS_SWAPPED,
	    .return_mask = CATEGORIES,
	};
	long found = agent_sys->pagemap_scan(pagemap, &arg);

	*pages = (struct agent_pages){0};
	for (long i = 0; i < found; i++)
		add_region(pages, start, &regions[i]);
	return found < 0 ? (int)found : 0;
}

static int add_block(struct agent_blocks *blocks, uint64_t block)
{
	/* Neighbours often lie together. */
	if (blocks->count && blocks->block[blocks->count - 1] == block)
		return 0;
	if (blocks->count == blocks->capacity) {
		size_t capacity = blocks->capacity ? 2 * blocks->capacity : 512;
		uint64_t *bigger = realloc(blocks->block, capacity * sizeof(*bigger));

		if (!bigger)
			return -ENOMEM;
		blocks->block = bigger;
		blocks->capacity = capacity;
	}
	blocks->block[blocks->count++] = block;
	return 0;
}

int agent_pages_blocks(int pagemap, uint64_t start, const struct agent_pages *pages,
		       struct agent_blocks *blocks)
{
	uint64_t entry[AGENT_BLOCK_PAGES] = {0};
	long got =
	    agent_sys->pagemap_read(pagemap, entry, AGENT_BLOCK_PAGES, start / AGENT_PAGE_BYTES);
	int rc = 0;

	if (got != (long)sizeof(entry))
		return -EPERM;
	for (size_t i = 0; !rc && i < AGENT_BLOCK_PAGES; i++) {
		if (!(pages->own[i / 64] >> (i % 64) & 1) || !(entry[i] & ENTRY_PRESENT))
			continue;
		/* A frame number that is hidden reads as 0. */
		rc = entry[i] & ENTRY_FRAME
			 ? add_block(blocks, (entry[i] & ENTRY_FRAME) / AGENT_BLOCK_PAGES)
			 : -EPERM;
	}
	return rc;
}

static int by_number(const void *a, const void *b)
{
	const uint64_t *one = a, *other = b;

	return (*one > *other) - (*one < *other);
}

size_t agent_blocks_distinct(struct agent_blocks *blocks)
{
	size_t distinct = 0;

	if (blocks->count)
		qsort(blocks->block, blocks->count, sizeof(*blocks->block), by_number);
	for (size_t i = 0; i < blocks->count; i++)
		distinct += !i || blocks->block[i] != blocks->block[i - 1];
	return distinct;
}
