/*
 * A kernel's move_pages(2) over the pages of one process, for tests: FAKE_PAGES pages from
 * FAKE_START on, of which each has a node or is a hole, may be busy, shared or part of a huge page.
 * It moves as Linux does (do_pages_move() in mm/migrate.c): batch by batch, and a call stops at the
 * first batch in which a page fails, without a status for any page of that batch. One test program
 * includes it; threads may move at the same time.
 */
#ifndef FAKE_PAGES_H
#define FAKE_PAGES_H

#include <errno.h>
#include <linux/mempolicy.h>
#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/types.h>

#define FAKE_PID	77
#define FAKE_START	0x7f0000000000ull
#define FAKE_PAGES	10000
#define FAKE_PAGE_BYTES 4096ull
#define FAKE_NODES	4
#define FAKE_HOLE	(-2) /* -ENOENT */
#define FAKE_ZERO	(-3) /* the shared zero page */

struct fake_page {
	int node;
	bool busy, shared, huge; /* huge: 512 of them go together, with the first of 2 MiB */
	int busy_times;		 /* busy, but only so often */
};

static pthread_mutex_t fake_lock = PTHREAD_MUTEX_INITIALIZER;
static struct fake_page fake_page[FAKE_PAGES];
static size_t fake_node_free[FAKE_NODES]; /* pages that still fit */
static unsigned int fake_allowed;	  /* bit n: the process's cpuset has node n */
static bool fake_holes_are_bad;		  /* -EFAULT for a hole: Linux 4.3 to 6.11 */
static unsigned int fake_calls;		  /* of move_pages that move */
static int fake_refuse;			  /* -errno of the whole call */
static pid_t fake_thread_pid;		  /* another thread of the process; 0: there is none */
static pid_t fake_named;		  /* by the last call that moved */
static void (*fake_after_move)(void);	  /* lock held */

static inline void fake_pages_reset(void)
{
	memset(fake_page, 0, sizeof(fake_page));
	for (int node = 0; node < FAKE_NODES; node++)
		fake_node_free[node] = SIZE_MAX / 2;
	fake_allowed = ~0u;
	fake_holes_are_bad = false;
	fake_calls = 0;
	fake_refuse = 0;
	fake_thread_pid = fake_named = 0;
	fake_after_move = NULL;
}

static inline struct fake_page *fake_find(void *address)
{
	uint64_t at = (uint64_t)(uintptr_t)address;

	if (at < FAKE_START || at >= FAKE_START + FAKE_PAGES * FAKE_PAGE_BYTES)
		return NULL;
	return &fake_page[(at - FAKE_START) / FAKE_PAGE_BYTES];
}

/* A huge page that finds no room goes on as small ones. */
static inline void fake_split(struct fake_page *page)
{
	for (size_t i = 0; i < 512; i++)
		page[i].huge = false;
}

/* 0 it went, > 0 it did not, -ENOMEM. */
static inline int fake_move_one(struct fake_page *page, int node)
{
	size_t count = 1;

	if (page->busy || page->busy_times > 0) {
		page->busy_times--;
		return 1;
	}
	if (page->huge && fake_node_free[node] >= 512)
		count = 512;
	else if (page->huge)
		fake_split(page);
	if (!fake_node_free[node])
		return -ENOMEM;
	for (size_t i = 0; i < count; i++) {
		page[i].node = node;
		fake_node_free[node]--;
	}
	return 0;
}

/* The page is taken off its list: not the tail of a huge page. 1 yes, 0 it is there already. */
static inline int fake_isolate(const struct fake_page *page, int node, bool all)
{
	if (!page || page->node == FAKE_ZERO)
		return -EFAULT;
	if (page->node == FAKE_HOLE)
		return fake_holes_are_bad ? -EFAULT : -ENOENT;
	if (page->node == node)
		return 0;
	if (page->shared && !all)
		return -EACCES;
	if (page->huge && (page - fake_page) % 512)
		return -EBUSY;
	return 1;
}

static inline long fake_flush(size_t first, size_t end, void **pages, const int *nodes, int *status)
{
	long failed = 0;

	for (size_t i = first; i < end; i++) {
		int rc = fake_move_one(fake_find(pages[i]), nodes[i]);

		if (rc < 0)
			return rc;
		failed += rc;
	}
	for (size_t i = first; !failed && i < end; i++)
		status[i] = nodes[i];
	return failed;
}

static inline int fake_where(const struct fake_page *page)
{
	if (!page || page->node == FAKE_ZERO)
		return -EFAULT;
	if (page->node == FAKE_HOLE)
		return fake_holes_are_bad ? -EFAULT : -ENOENT;
	return page->node;
}

/* Batches of a call that moves; each ends where the node changes or a page is settled at once. */
static inline long fake_move(unsigned long count, void **pages, const int *nodes, int *status,
			     int flags)
{
	size_t first = 0;
	long rc;

	for (size_t i = 0; i < count; i++) {
		int isolated;

		if (nodes[i] < 0 || nodes[i] >= FAKE_NODES || !(fake_allowed >> nodes[i] & 1)) {
			rc = fake_flush(first, i, pages, nodes, status);
			if (rc < 0)
				return rc;
			return nodes[i] < 0 || nodes[i] >= FAKE_NODES ? -ENODEV : -EACCES;
		}
		if (i > first && nodes[i] != nodes[first]) {
			rc = fake_flush(first, i, pages, nodes, status);
			if (rc)
				return rc > 0 ? rc + (long)(count - i) : rc;
			first = i;
		}
		isolated = fake_isolate(fake_find(pages[i]), nodes[i], flags & MPOL_MF_MOVE_ALL);
		if (isolated == 1)
			continue;
		status[i] = isolated ? isolated : nodes[i];
		rc = fake_flush(first, i, pages, nodes, status);
		if (rc)
			return rc > 0 ? rc + (long)(count - i - 1) : rc;
		first = i + 1;
	}
	return fake_flush(first, count, pages, nodes, status);
}

static inline long fake_move_pages_locked(pid_t pid, unsigned long count, void **pages,
					  const int *nodes, int *status, int flags)
{
	long rc;

	if (pid != FAKE_PID && (!fake_thread_pid || pid != fake_thread_pid))
		return -ESRCH;
	if (!nodes) {
		for (size_t i = 0; i < count; i++)
			status[i] = fake_where(fake_find(pages[i]));
		return 0;
	}
	fake_calls++;
	fake_named = pid;
	if (fake_refuse)
		return fake_refuse;
	rc = fake_move(count, pages, nodes, status, flags);
	if (fake_after_move)
		fake_after_move();
	return rc;
}

static inline long fake_move_pages(pid_t pid, unsigned long count, void **pages, const int *nodes,
				   int *status, int flags)
{
	long rc;

	pthread_mutex_lock(&fake_lock);
	rc = fake_move_pages_locked(pid, count, pages, nodes, status, flags);
	pthread_mutex_unlock(&fake_lock);
	return rc;
}

#endif
