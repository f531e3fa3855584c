/*
 * Where the pages of each node are: a ledger with double entry. Every page that the engine knows of
 * is in one account of one node, and each posting takes pages out of one account and puts them into
 * another: no account can change alone.
 *
 *   OUTSIDE      the kernel's: never asked for, or given back. Runs negative.
 *   MAPPED       at a guest address, by the shadow table; a claimed page counts where it lay
 *   POOL         in a free slot of a pool
 *   FLIGHT       in a slot that somebody has taken
 *   QUARANTINE   broken frames, never used again
 *   SWAPPED      a guest's, in swap: on no node. Counted for the node where it lay last
 *
 * Invariant I4: what the engine took from the kernel on a node (-OUTSIDE) is what it has there in
 * the other accounts, but for what is swapped. Double entry makes the sum true by construction, so the audit compares the
 * accounts with the things themselves: MAPPED with the shadow table, POOL and FLIGHT with the slots.
 *
 * MAPPED pages are also kept by vnode and by page size, so that statistics cost nothing per block.
 *
 * Any thread; guarded by a lock inside, a leaf. Single numbers are read without it.
 */
#ifndef GMIG_LEDGER_H
#define GMIG_LEDGER_H

#include "../gmig.h"

enum ledger_account {
	LEDGER_OUTSIDE,
	LEDGER_MAPPED,
	LEDGER_POOL,
	LEDGER_FLIGHT,
	LEDGER_QUARANTINE,
	LEDGER_SWAPPED,
	LEDGER_ACCOUNTS,
};

struct ledger;

/* -ENOMEM. */
int ledger_create(struct ledger **out);
/* NULL is legal. */
void ledger_destroy(struct ledger *ledger);
/* Before a vnode's first page. -ENOMEM. */
int ledger_add_vnode(struct ledger *ledger, unsigned int vnode);

/* `pages` of `node` leave one account for another; not MAPPED, which goes through ledger_map(). */
void ledger_post(struct ledger *ledger, unsigned int node, enum ledger_account from,
		 enum ledger_account to, long pages);
/* The same for a pool's pages, in or out of POOL; counted: the count of free frames that was at that pool last. */
void ledger_post_pool(struct ledger *ledger, unsigned int node, enum ledger_account from,
		      enum ledger_account to, long pages, unsigned int counted);
/* Pages of FLIGHT that lie on another node than was thought. */
void ledger_relabel(struct ledger *ledger, unsigned int from, unsigned int to, long pages);

/*
 * Pages of a vnode change place: out of MAPPED of node `from` into `from_to`, and out of `to_from`
 * into MAPPED of node `to`. GMIG_NO_NODE: that half does not happen (a first touch, a discard). Both
 * halves at once.
 */
struct ledger_map {
	unsigned int vnode;
	unsigned int from, to;
	enum ledger_account from_of; /* MAPPED, or SWAPPED */
	enum ledger_account from_to, to_from;
	long pages;
	bool huge;	   /* by page size: of one 2M entry */
	uint64_t position; /* in the audit's order: a count that is behind it follows */
};
void ledger_map(struct ledger *ledger, const struct ledger_map *map);
/* MAPPED pages change size, not place: a 2M entry was split (pages > 0) or joined (< 0). position: as in ledger_map. */
void ledger_split(struct ledger *ledger, uint64_t position, long pages);

long ledger_pages(const struct ledger *ledger, unsigned int node, enum ledger_account account);
/* Of all nodes. */
long ledger_total(const struct ledger *ledger, enum ledger_account account);
/*
 * Of all nodes, in these accounts together, at one moment: pages that just go from one of them to another, or come to
 * another node, are in the sum once.
 */
long ledger_sum(struct ledger *ledger, enum ledger_account a, enum ledger_account b);
/* MAPPED pages of a vnode on a node; 0 for a vnode that has none. */
long ledger_resident(const struct ledger *ledger, unsigned int vnode, unsigned int node);
/* SWAPPED pages of a vnode. */
long ledger_swapped(const struct ledger *ledger, unsigned int vnode);
/* MAPPED pages of 2M and of 4K entries. */
void ledger_sizes(const struct ledger *ledger, uint64_t *pages_2m, uint64_t *pages_4k);

/* ---- For the audit: counting while entries change --------------------------------------------- */

/*
 * A count of all entries of the shadow table, while they change: one behind the count's position is added to the tally by
 * ledger_map(), one ahead of it is met later. So at the end the tally is what an instantaneous count would have been. Any
 * number of counts at a time, each of one thread.
 */
struct ledger_count;

/* 0 from now on, and nothing is counted. -ENOMEM. */
int ledger_count_begin(struct ledger *ledger, struct ledger_count **out);
/* Before ledger_destroy(). NULL is legal. */
void ledger_count_end(struct ledger_count *count);

/* Pages of one vnode that were found on one node. */
struct ledger_run {
	unsigned int vnode, node;
	long pages;
	bool huge;    /* of one 2M entry */
	bool swapped; /* lay there last */
};
void ledger_count_add(struct ledger_count *count, const struct ledger_run *run);
/* Everything before `position` has been counted: what changes there from now on changes the tally. */
void ledger_count_reached(struct ledger_count *count, uint64_t position);

struct ledger_difference {
	unsigned int
	    node; /* the first one whose tally differs from MAPPED; GMIG_NO_NODE: none does */
	long counted, booked; /* its pages */
	/* Of all that tells where entries are: MAPPED, SWAPPED, pages by vnode, pages by size; each difference counts. */
	uint64_t pages;
};
/*
 * Compares the tally with the books, all of one moment. correct: what is booked becomes what was counted, at the cost of
 * OUTSIDE; that is all books of it at once.
 */
void ledger_count_compare(struct ledger_count *count, bool correct,
			  struct ledger_difference *difference);

/* The same of POOL, as frame_audit() counts it; one count at a time. Its number is for ledger_post_pool(). */
unsigned int ledger_pool_start(struct ledger *ledger);
void ledger_pool_add(struct ledger *ledger, unsigned int node, long pages);
/* correct: POOL becomes the tally, at the cost of OUTSIDE; *pages is by how much all nodes differ. */
unsigned int ledger_pool_end(struct ledger *ledger, bool correct, long *tally, long *pool,
			     uint64_t *pages);

#endif
