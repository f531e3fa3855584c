/*
 * Repair: the shadow table, the books and the pools of a guest are compared with the kernel, and corrected. gmig_check() does
 * the same for beliefs and only tells of what else is broken; this corrects that, too, tells each kind of difference apart,
 * and goes in steps, so that nobody is held up.
 *
 * No lock that a fault or a job may wait for is held for longer than a step of comparing takes: it is at most a part of a block of
 * 2 MiB, which becomes smaller when it took long. longest_hold_ns tells what it came to by the clock; a thread that the scheduler
 * takes its CPU from meanwhile holds on to the lock, so longest_hold_cpu_ns tells what it was without that.
 *
 * May run while the guest runs, while jobs run, and several at a time. Pages that a job holds are not compared; they are
 * come back to, as long as there is hope.
 *
 * Threads and errors as in gmig.h. Source: xfs_scrub(8), which checks and repairs what is in use, by parts.
 */
#ifndef GMIG_REPAIR_H
#define GMIG_REPAIR_H

#include "gmig.h"

#ifdef __cplusplus
extern "C" {
#endif

#pragma GCC visibility push(default)

/* What of a page may differ between table and kernel. */
enum gmig_difference {
	GMIG_DIFFERS_NODE, /* it lies on another node: migratepages(8), a cpuset, NUMA balancing */
	GMIG_DIFFERS_ABSENT,  /* the table has it, the kernel has not */
	GMIG_DIFFERS_PRESENT, /* the kernel has it, the table has not */
	GMIG_DIFFERS_SWAP,    /* it is in swap and was not, or is back */
	GMIG_DIFFERS_SIZE, /* its block is one huge page and was not, or the reverse: khugepaged, reclaim */
	GMIG_DIFFERS_PROTECTED, /* it was left write-protected, and nobody moves it */
	GMIG_DIFFERS_HELD,	/* it is held as if it was being moved, and nobody moves it */
};
/* "node", "absent", .., as in JSON; NULL: there are no more. */
const char *gmig_difference_name(enum gmig_difference difference);

#define GMIG_DIFFERENCES_MAX 16

#define GMIG_REPAIRS 4 /* of a guest, at a time */

struct gmig_repair {
	bool done; /* nothing is left to do: the last answer */
	bool ok;   /* with done: all was compared, and all that differed is corrected */
	/* Pages of the guest, and how many of them it has been at. */
	uint64_t total_pages, visited_pages;
	uint64_t compared_pages; /* that the table or the kernel has */
	/* A page counts once for each kind in which it differed. */
	uint64_t differed[GMIG_DIFFERENCES_MAX], corrected[GMIG_DIFFERENCES_MAX];
	/* Of memory whose first touches the kernel serves (GMIG_REGION_MEMFD): they were news, and no difference. */
	uint64_t touched_pages;
	uint64_t busy_pages;	/* a job holds them: to be come back to; with done: not compared */
	uint64_t unknown_pages; /* the kernel could not be asked about them */
	uint64_t
	    device_blocks; /* a device transfers to them though they are moved (I2): nothing mends that */
	uint64_t woken_threads; /* slept on a page that nobody held */
	/*
	 * By how many pages books differed from what there is: where entries are (bytes of a node, of a vnode, by size), what
	 * free slots of the pools have, what is in flight. Each book that differs counts. All are corrected.
	 */
	uint64_t book_pages;
	uint64_t slot_pages; /* in free slots, and unknown to the books: given back */
	uint64_t
	    slots_corrected; /* free slots without what the books said, written to, or on another node */
	uint64_t slots_left;	      /* filled, and the kernel does not take the pages */
	struct gmig_percentiles hold; /* how long locks of blocks were held */
	uint64_t longest_hold_ns;     /* of any lock that a fault may wait for */
	uint64_t
	    longest_hold_cpu_ns; /* of a block's, by CPU time: what the host did not take away */
	struct gmig_check
	    check; /* invariants as they were found; pages as gmig_check() counts them */
	uint64_t reserved[16];
};

/*
 * Begin a repair (*id 0, which becomes its number), or go on with one, for about `ns`. *repair is the whole result so far; call
 * again with the same *id until it says `done`. Nothing goes on by itself: who stops calling has cancelled it, and keeps what
 * is corrected.
 *
 * -ESRCH: there is none of that number: it is done, nobody went on with it for a minute, or newer ones took its place;
 * -EBUSY: another thread goes on with it now, or with all that may be; -EOPNOTSUPP: plain memory has no table; -ENOMEM.
 */
int gmig_repair(struct gmig *gmig, uint64_t *id, uint64_t ns, struct gmig_repair *repair,
		struct gmig_error *err);

#pragma GCC visibility pop

#ifdef __cplusplus
}
#endif
#endif
