/*
 * Which pages of a process there are in one block of 2 MiB of its addresses, by PAGEMAP_SCAN, and in which blocks of
 * guest-physical memory they lie, where the kernel lets that be seen. No state but the caller's; any thread.
 *
 * Source: Linux's Documentation/admin-guide/mm/pagemap.rst and fs/proc/task_mmu.c.
 */
#ifndef AGENT_PAGES_H
#define AGENT_PAGES_H

#include "sys.h"

#include <stddef.h>

#define AGENT_BLOCK_PAGES (AGENT_HUGE_BYTES / AGENT_PAGE_BYTES)

/* Each page is one of these, or a hole. */
struct agent_pages {
	uint32_t small; /* 4K pages with memory of their own */
	uint32_t huge;	/* of a huge page that is mapped as one */
	uint32_t zero;	/* the shared zero page */
	uint32_t swapped;
	uint32_t file;			      /* of a file */
	uint64_t own[AGENT_BLOCK_PAGES / 64]; /* bit n: page n is small or of a huge page */
};

/* Numbers of 2 MiB blocks of guest-physical memory, some of them more than once; free(block). */
struct agent_blocks {
	uint64_t *block;
	size_t count, capacity;
};

/* /proc/PID/pagemap. -EACCES, -ENOENT. */
int agent_pages_open(pid_t pid, struct gmig_error *err);
/* -ENOTTY, -EINVAL: the kernel has no PAGEMAP_SCAN (Linux 6.7). */
int agent_pages_scan(int pagemap, uint64_t start, struct agent_pages *pages);
/* Add the blocks in which the pages of memory of its own lie, as they were scanned. -EPERM: frame numbers are not to be seen by whoever opened pagemap, which takes
 * CAP_SYS_ADMIN, or not with the agent's filter; -ENOMEM. */
int agent_pages_blocks(int pagemap, uint64_t start, const struct agent_pages *pages,
		       struct agent_blocks *blocks);
/* How many different ones; their order changes. */
size_t agent_blocks_distinct(struct agent_blocks *blocks);

#endif
