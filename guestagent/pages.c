/* Pages of a process, see pages.h. */
#include "pages.h"
#include "move.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdlib.h>
#include <unistd.h>

/* An entry of pagemap: Documentation/admin-guide/mm/pagemap.rst. */
#define ENTRY_PRESENT (1ull << 63)
#define ENTRY_FRAME   ((1ull << 55) - 1)

int agent_pages_open(pid_t pid)
{
	char path[PATH_MAX];
	int fd;

	snprintf(path, sizeof(path), "%s/%d/pagemap", agent_sys->proc, (int)pid);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	return fd < 0 ? -errno : fd;
}

int agent_pages_scan(pid_t pid, uint64_t start, struct agent_pages *pages)
{
	void *address[AGENT_BLOCK_PAGES];
	int where[AGENT_BLOCK_PAGES];
	int rc;

	*pages = (struct agent_pages){0};
	for (size_t i = 0; i < AGENT_BLOCK_PAGES; i++)
		address[i] = (void *)(uintptr_t)(start + i * AGENT_PAGE_BYTES); // NOLINT
	rc = agent_move_exact(pid, AGENT_BLOCK_PAGES, address, NULL, where, AGENT_MPOL_MF_MOVE);
	/* It has no memory any more: its parent has not waited for it, so that there is a process still. */
	if (rc == -EINVAL)
		rc = -ESRCH;
	for (size_t i = 0; !rc && i < AGENT_BLOCK_PAGES; i++) {
		if (where[i] < 0)
			continue;
		pages->present++;
		pages->own[i / 64] |= 1ull << (i % 64);
	}
	return rc;
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
