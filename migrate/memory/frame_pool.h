/*
 * Inside of the frame pools: pools, slots and their lists. Of frame.h's promises this keeps the locking
 * and the books; frame_grow.c gets memory, frame_verify.c doubts it, frame.c decides.
 */
#ifndef GMIG_FRAME_POOL_H
#define GMIG_FRAME_POOL_H

#include "frame.h"

#include <stdatomic.h>

/* All but lock and the constants: guarded by lock. */
struct pool {
	pthread_mutex_t lock;
	unsigned int node; /* where its mapping prefers memory */
	bool huge;
	void *reserved;
	unsigned int count;
	struct slot *slots;
	struct slot *clean, *used, *empty; /* lists of slots that are not taken */
	unsigned int counted;		   /* the ledger's number of the count that was here last */
	/* frame_whole.c: fills for which no huge page is asked for; racy, and harmless */
	atomic_int rest, last_rest;
};

/* Of one node; made at its first use, since most of the nodes that may exist do not. */
struct node_pools {
	_Atomic(struct pool *) pool[FRAME_WORKERS][2];
};

/* A mapping for the bad frames of any slots (frame_retire.c). guarded by frames->lock */
struct store {
	struct store *next;
	void *reserved;
	uint8_t *memory;
	struct bits used;
};

struct frames {
	const struct gmig_sys *sys;
	struct ledger *ledger;
	struct policy *policy;
	bool fake;
	int uffd, pagemap;
	unsigned int slots_per_pool;
	long watermark_pages;
	unsigned int count;    /* the ledger's number of the count that runs; the audit's only */
	atomic_uint busy;      /* slots that are taken, without those in quarantine */
	atomic_uint takes;     /* counts them */
	atomic_ullong emptied; /* times that somebody else had filled a slot */
	atomic_uint
	    tables_stay; /* in a row: page tables that were still there when their pages had gone */
	atomic_ullong offlined; /* pages that the kernel has taken out of use */
	pthread_mutex_t lock;	/* creation of pools, and the next */
	struct store *stores;
	_Atomic(struct node_pools *) nodes[GMIG_MAX_NODES];
};

/* NULL: none was made yet. Of fake nodes, node 0 has the pools of all. */
struct pool *pool_at(struct frames *frames, unsigned int node, unsigned int worker, bool huge);
/* New memory of ours becomes such that frames can move into it. */
int frames_prepare(struct frames *frames, void *memory, size_t bytes, bool huge);
/* The pool that serves want; made at its first use. */
int pool_of(struct frames *frames, const struct frame_want *want, struct pool **out);
static inline unsigned int pool_place(const struct frames *frames, unsigned int node)
{
	return frames->fake ? 0 : node;
}

/* ---- Slots: callers hold pool->lock ---------------------------------------------------------- */

/* Has the slot all that is wanted? */
bool slot_serves(const struct slot *slot, const struct frame_want *want);
/* Into the list that it belongs to: it is free. */
void slot_put(struct frames *frames, struct slot *slot);
/* Out of the list that `link` is in: it is taken. */
void slot_unlink(struct frames *frames, struct slot **link);
/* Out of whichever list a free slot is in. */
void slot_pull(struct frames *frames, struct slot *slot);

/* ---- Slots that are taken: callers hold no lock ----------------------------------------------- */

/* Its memory to the kernel. What the kernel refuses to take stays in slot and books. */
void slot_release(struct frames *frames, struct slot *slot);
/*
 * A new mapping for an empty slot that held parts of a huge page: the kernel keeps the page table of those, and while
 * there is one no huge page can come in its place. -EBUSY: it is not empty.
 */
int slot_renew(struct frames *frames, struct slot *slot);
/* Pages that the books do not have go to the kernel. */
int slot_discard(struct frames *frames, const struct slot *slot, const struct bits *pages);
/* 0: it holds one huge page; -ENOSPC: it does not; else the kernel cannot be asked. */
int slot_is_huge(struct frames *frames, const struct slot *slot);
/* slot_put() with its lock; whoever waits for memory looks again. */
void slot_give(struct frames *frames, struct slot *slot);

/* ---- frame_grow.c ------------------------------------------------------------------------------ */

/*
 * A slot of the pool with the memory wanted, from the kernel. -EDQUOT: the policy allows none now; -EXDEV: POLICY_TOUCH,
 * and there was a huge page on another node only; else as frame_take().
 */
int pool_grow(struct frames *frames, struct pool *pool, const struct frame_want *want,
	      struct slot **out);

/* ---- frame_whole.c ------------------------------------------------------------------------------ */

/*
 * All pages of an empty small slot, out of one huge page. -ENOSPC: not this time, and the slot is empty; other errors: it
 * cannot be filled now.
 */
int whole_fill(struct frames *frames, struct slot *slot);

/* ---- frame_verify.c ---------------------------------------------------------------------------- */

/*
 * Slots of a list, from `from` on, that were not seen on their node lately: ask the kernel, a batch of them at once. Those
 * that are elsewhere are taken and chained to *moved. Caller holds pool->lock.
 */
void verify_batch(struct frames *frames, struct slot **from, struct slot **moved);
bool verify_is_due(const struct frames *frames, const struct slot *slot, uint64_t now);
/* Correct their labels, and give the memory back. Caller holds no lock. Returns how many there were. */
unsigned int verify_drop(struct frames *frames, struct slot *moved);
/*
 * A taken slot that is suspect: what of it cannot be touched goes to quarantine with the slot, the rest to the kernel. false:
 * all of it can be touched, and the slot is as it was. tried: pages that the kernel would not fill.
 */
bool quarantine(struct frames *frames, struct slot *slot, const struct bits *tried);
/* A taken slot goes to quarantine with these pages, and what else it has to the kernel. */
void slot_keep(struct frames *frames, struct slot *slot, struct bits *broken);

#endif
