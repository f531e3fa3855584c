/*
 * Which pages of a process there are in one block of 2 MiB of its addresses, by move_pages(2); and in which blocks of
 * guest-physical memory they lie, where the kernel lets that be seen. No state but the caller's; any thread.
 *
 * PAGEMAP_SCAN would tell small pages from huge ones, too, but who opens /proc/PID/pagemap of another user's process needs
 * CAP_DAC_READ_SEARCH, with which the agent could read every file.
 *
 * Source: Linux's Documentation/admin-guide/mm/pagemap.rst, mm/migrate.c.
 */
#ifndef AGENT_PAGES_H
#define AGENT_PAGES_H

#include "sys.h"

#include <stddef.h>

#define AGENT_BLOCK_PAGES (AGENT_HUGE_BYTES / AGENT_PAGE_BYTES)

struct agent_pages {
	uint32_t
	    present; /* with memory of their own: no holes, nor what is swapped out, nor the zero page */
	uint64_t own[AGENT_BLOCK_PAGES / 64]; /* bit n: page n is one */
};

/* Numbers of 2 MiB blocks of guest-physical memory, some of them more than once; free(block). */
struct agent_blocks {
	uint64_t *block;
	size_t count, capacity;
};

/* -ESRCH: it has ended, whether or not its parent has waited for it; -EPERM. */
int agent_pages_scan(pid_t pid, uint64_t start, struct agent_pages *pages);
/* /proc/PID/pagemap. -EACCES, -ENOENT. */
int agent_pages_open(pid_t pid);
/* Add the blocks in which the pages of memory of its own lie, as they were scanned. -EPERM: frame numbers are not to be seen by whoever opened pagemap, which takes
 * CAP_SYS_ADMIN, or not with the agent's filter; -ENOMEM. */
int agent_pages_blocks(int pagemap, uint64_t start, const struct agent_pages *pages,
		       struct agent_blocks *blocks);
/* How many different ones; their order changes. */
size_t agent_blocks_distinct(struct agent_blocks *blocks);

#endif
