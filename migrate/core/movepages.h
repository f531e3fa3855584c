/*
 * move_pages(2) with a true answer for every page. Used by libgmig, by gmig-agent in guests and by
 * the benchmark; needs libc alone.
 *
 * What the kernel leaves to its callers (do_pages_move() in Linux's mm/migrate.c):
 * - It moves batches: runs of pages for one node that it could isolate. At the first batch of which
 *   a page fails it stops. Nothing of that batch has a status then, although most of it has moved,
 *   and nothing behind the batch was tried. The result is positive and counts both.
 * - It writes no status that it does not know. An array that was not filled before shows the
 *   caller's own old values as results, so each status is set to MOVEPAGES_UNSET first.
 * - -EBUSY is also the answer for the tail pages of a huge page that goes with its head.
 * - Asked where a page lies, 4.3 to 6.11 answer -EFAULT for a hole, later ones -ENOENT; -EFAULT
 *   stays the answer for the shared zero page.
 * So these functions go on behind a failed batch, and ask again where each page lies.
 *
 * No state but the caller's; any thread.
 */
#ifndef GMIG_MOVEPAGES_H
#define GMIG_MOVEPAGES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#define MOVEPAGES_UNSET	     (-4096) /* no errno, no node */
#define MOVEPAGES_PAGE_BYTES 4096ull
#define MOVEPAGES_HUGE_PAGES 512u

struct movepages {
	/* The system call; returns -errno instead of -1. */
	long (*call)(pid_t pid, unsigned long count, void **pages, const int *nodes, int *status,
		     int flags);
	pid_t pid; /* or any of its threads; 0: our own process */
	int flags; /* MPOL_MF_MOVE, or MPOL_MF_MOVE_ALL for shared pages, too (CAP_SYS_NICE) */
};

/*
 * Where does each page lie? status[i]: its node, or -errno: -ENOENT or -EFAULT nowhere. 0, or -errno
 * when the call as a whole is refused: -ESRCH, -EPERM, -EINVAL no process with memory.
 */
int movepages_ask(const struct movepages *by, size_t count, void **pages, int *status);

/*
 * Move page i to nodes[i]. status[i]: that node; or why the page is not there: -EBUSY (in use: the
 * kernel tried ten times), -ENOMEM the node is full, or what else move_pages(2) says of a page. 0,
 * or -errno when the call as a whole is refused: besides the above -EACCES the process's cpuset
 * lacks the node, -ENODEV the node has no memory. Statuses that are not known then stay
 * MOVEPAGES_UNSET.
 */
int movepages_exact(const struct movepages *by, size_t count, void **pages, const int *nodes,
		    int *status);

/* ---- Chunks: some pages of a process, each to the node that is wanted for it ---------------- */

#define MOVEPAGES_CHUNK_UNITS 4096

enum movepages_result {
	MOVEPAGES_NOT_WANTED, /* it lies where it may stay, or nowhere */
	MOVEPAGES_MOVED,      /* it lies on the node that was wanted: the kernel was asked */
	MOVEPAGES_REMAINS,    /* why[i] */
	MOVEPAGES_GONE,	      /* it lies nowhere any more */
	MOVEPAGES_BY_OTHERS,  /* somebody else has moved it to where it may stay */
};

/* About 150 KiB. */
struct movepages_chunk {
	/* What to move, by the caller; ascending addresses. A unit is what the kernel moves at
	 * once, named by its first address. */
	size_t count;
	void *address[MOVEPAGES_CHUNK_UNITS];
	uint32_t pages[MOVEPAGES_CHUNK_UNITS]; /* of 4 KiB */
	/* What became of it. before, after: node, or -errno: nowhere. */
	int before[MOVEPAGES_CHUNK_UNITS], after[MOVEPAGES_CHUNK_UNITS];
	int why[MOVEPAGES_CHUNK_UNITS]; /* -errno of a unit that remains */
	uint8_t result[MOVEPAGES_CHUNK_UNITS];
	uint64_t moved_pages, remaining_pages;
	bool retry; /* some of what remains may move in a later pass */
	/* Scratch. */
	size_t chosen;
	void *todo[MOVEPAGES_CHUNK_UNITS];
	int nodes[MOVEPAGES_CHUNK_UNITS], status[MOVEPAGES_CHUNK_UNITS];
	uint16_t index[MOVEPAGES_CHUNK_UNITS]; /* of todo in address */
};

struct movepages_want {
	/* The node for the unit of that index when it lies on `node`; < 0: it may stay. */
	int (*target)(const void *opaque, size_t unit, int node);
	const void *opaque;
	/*
	 * Nobody knows which of the units (of one page each) are huge pages: move the heads of what
	 * may be one first, so that a huge page costs the kernel one step instead of 512.
	 */
	bool guess_huge;
	/* The caller has just asked where they lie, and filled in before[]. */
	bool known;
	/*
	 * Where the kernel says that a page has come is where it lies: the caller asks for all of them later. Asking costs
	 * a fifth of moving a page of 4 KiB. Only what did not come is asked for here.
	 */
	bool believe;
};

/*
 * Fill in the results of *chunk. 0, or -errno when the call as a whole was refused, as
 * movepages_exact; results are not filled in then.
 */
int movepages_chunk_move(const struct movepages *by, struct movepages_chunk *chunk,
			 const struct movepages_want *want);

#endif
