/*
 * A kernel's move_pages(2) over the pages of one process, for tests: FAKE_PAGES pages from
 * FAKE_START on, of which each has a node or is a hole, may be busy, shared or part of a huge page.
 * It moves as Linux does (do_pages_move() in mm/migrate.c): batch by batch, and a call stops at the
 * first batch in which a page fails, without a status for any page of that batch. Threads
 * may move at the same time.
 */
#ifndef FAKE_PAGES_H
#define FAKE_PAGES_H

#include <errno.h>
#include <linux/mempolicy.h>
#include <pthread.h>
#include <stdatomic.h>
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

/* Atomic: as with a real process, some look where pages are while others move them. */
struct fake_page {
	atomic_int node;
	atomic_bool busy, shared;
	atomic_bool huge; /* fake_huge_pages of them go together, with the first */
	int busy_times;	  /* busy, but only so often */
};

extern unsigned int fake_huge_pages; /* how many go together: 512 */
extern struct fake_page fake_page[FAKE_PAGES];
extern size_t fake_node_free[FAKE_NODES]; /* pages that still fit */
extern unsigned int fake_allowed;	  /* bit n: the process's cpuset has node n */
extern bool fake_holes_are_bad;		  /* -EFAULT for a hole: Linux 4.3 to 6.11 */
extern atomic_uint fake_calls;		  /* of move_pages that move */
extern atomic_ulong fake_told;		  /* pages, by these calls */
extern atomic_ulong fake_asked;		  /* pages, by calls that only ask */
extern int fake_refuse;			  /* -errno of the whole call */
extern pid_t fake_thread_pid;		  /* another thread of the process; 0: there is none */
extern pid_t fake_named;		  /* by the last call that moved */
extern void (*fake_after_move)(void);	  /* after each of these calls, under a lock */

/* Everything as at the start: all pages on node 0, nothing refused. */
void fake_pages_reset(void);
/* How many are on the node. */
size_t fake_pages_on(int node);

/* 0 it went, > 0 it did not, -ENOMEM. */
int fake_move_one(struct fake_page *page, int node);

/* move_pages(2) but for the result: -errno. */
long fake_move_pages(pid_t pid, unsigned long count, void **pages, const int *nodes, int *status,
		     int flags);

#endif
