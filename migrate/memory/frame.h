/*
 * Frames that no guest address uses, in pools: one mapping for each (node, worker, page size),
 * because UFFDIO_MOVE takes the source's anon_vma lock and moves out of one mapping would wait for
 * each other. A mapping is cut into slots of 2 MiB. A slot of a huge pool holds one 2M frame or
 * nothing; a slot of a small pool holds any of 512 single pages, each at the place that it has in
 * its block, so that a run of pages moves in one call.
 *
 * Any thread. A slot that was taken belongs to its taker until it is given back; everything else is
 * guarded by the pool's lock, a leaf but for the ledger's. On fake nodes a slot's node is only a label.
 *
 * Frames for a node lie on that node, or are not given out:
 * - New memory comes by MPOL_PREFERRED, which never wakes the OOM killer; the kernel is asked where it
 *   came from. What came from elsewhere, since the node was full of page cache, is moved there by
 *   move_pages(2): that reclaims on the node and gives up without killing (__GFP_THISNODE).
 * - Frames that were used before are believed only after the kernel was asked, in batches: somebody else
 *   (migratepages, a cpuset, hot-remove, swap) may have moved them.
 * - A frame that cannot be touched goes to quarantine, and never comes back.
 * - What somebody else has put into a slot, a debugger that read it for example, is thrown away.
 *
 * How much there may be is policy.h's to say.
 */
#ifndef GMIG_FRAME_H
#define GMIG_FRAME_H

#include "../core/bits.h"
#include "../core/sys.h"
#include "policy.h"

#define FRAME_WORKERS                                                                              \
	(GMIG_MAX_WORKERS + GMIG_MAX_VNODES) /* copy workers, then the fault threads */
#define FRAME_BATCH 8 /* slots that may be ahead of, or behind, a migration in one pool */

struct frames;
struct pool;
struct uffd_move; /* core/uffd.h */

struct slot {
	struct pool *pool;
	uint8_t *hva;
	struct bits have; /* pages that hold memory; a huge slot: all or none */
	uint16_t node;
	bool huge;
	bool clean;   /* what it has was never used and reads as zeros */
	bool suspect; /* touching or moving its memory failed: looked at when it is given back */
	bool split;   /* needs a new mapping once empty; huge: has, or had, parts of a huge page */
	/* guarded by pool->lock */
	bool busy;   /* taken */
	bool broken; /* in quarantine: taken for ever */
	uint64_t
	    verified_ns; /* when its memory was last seen on its node; 0: not since it was given */
	struct slot *next;
};

struct ledger;

struct frame_config {
	const struct gmig_sys *sys;
	struct ledger *ledger;		      /* not owned */
	struct policy *policy;		      /* not owned */
	const struct gmig_topology *topology; /* read by frame_create() only */
	int pagemap;			      /* for looking; not owned */
	uint64_t watermark_bytes; /* free memory of a node above this goes back to the kernel */
};

int frame_create(const struct frame_config *config, struct frames **out, struct gmig_error *err);
/* No slot may be taken any more. NULL is legal. */
void frame_destroy(struct frames *frames);
/* The userfaultfd with which all pools are registered (write-protect only): move frames out of a
 * region with it. */
int frame_uffd(const struct frames *frames);

struct frame_want {
	unsigned int node, worker;
	bool huge;
	bool clean;  /* never used: fresh from the kernel, reads as zeros */
	bool pooled; /* what the pools have, and nothing new */
	/* MOVE: may wait up to 40 ms for what others hold; TOUCH: never waits, nor reclaims */
	enum policy_use use;
	bool hurry;	  /* MOVE: somebody sleeps until it is there: it does not wait either */
	struct bits need; /* small: these pages; huge: ignored */
};

/*
 * A slot with the memory wanted: out of a pool, else from the kernel (blocks while it is zeroed).
 * -ENOMEM: the node has none, or host, cgroup or extra_bytes_max allow none; -ENOBUFS: no slot; -ENOSPC: the node has
 * memory, but no huge page.
 */
int frame_take(struct frames *frames, const struct frame_want *want, struct slot **out);
/* A slot without memory, to move a block into. -ENOBUFS. */
int frame_hole(struct frames *frames, const struct frame_want *want, struct slot **out);
/* Back to its pool, with what it has now. Cheap, no system call, unless it is suspect or split. */
void frame_give(struct frames *frames, struct slot *slot);
/* Back to its pool, its memory to the kernel. */
void frame_drop(struct frames *frames, struct slot *slot);
/* Fake nodes: the memory of a taken slot lies on `node` now. */
void frame_relabel(struct frames *frames, struct slot *slot, unsigned int node);
/* uffd_move() into a taken slot, or out of it; mlock()ed memory, too. -EPERM, -ENOMEM: RLIMIT_MEMLOCK. */
int frame_move(struct frames *frames, struct slot *slot, const struct uffd_move *move,
	       size_t *done);
/*
 * A page that was moved into a taken slot cannot be read, and never leaves it: the slot goes to quarantine with it when it is
 * given back.
 */
void frame_broke(struct frames *frames, struct slot *slot);
/* Can this page of a taken slot be touched? */
bool frame_page_works(const struct slot *slot, unsigned int page);
/*
 * What a taken slot holds beside slot->have was put there by somebody else: it goes to the kernel, and is counted. Call it
 * when the kernel says EEXIST. Returns the pages, or -errno: some are still there.
 */
int frame_empty(struct frames *frames, struct slot *slot);
/*
 * The frame of this page of a taken slot is bad, though it can be read, and is never to be used again. With `offline` the
 * kernel is asked to take it out of use (MADV_SOFT_OFFLINE of madvise(2)): 0: it has, and the slot has another frame in its
 * place. Else -errno: what the kernel said (-ECANCELED: it was not asked), and the frame is in quarantine. *slot NULL: the slot
 * is, too, and no longer the taker's.
 */
int frame_retire(struct frames *frames, struct slot **slot, unsigned int page, bool offline);
/* How many frames the kernel has taken, in bytes. */
uint64_t frame_offlined_bytes(const struct frames *frames);
/* How many times there was something to empty. */
uint64_t frame_emptied(const struct frames *frames);

/* Give the kernel back what a node's pools hold above the watermark. Call between blocks, never
 * while one is closed. */
void frame_trim(struct frames *frames, unsigned int node);
/* The same, once they hold half a batch more: for who has a zeroer that should have done it. */
void frame_trim_late(struct frames *frames, unsigned int node);
/* All that a node's pools hold. */
void frame_drain(struct frames *frames, unsigned int node);
/* All that all pools hold: the guest itself needs memory. */
void frame_drain_all(struct frames *frames);
/* Make clean frames ahead, until want's pool holds `count`. 0: it does, or there may be no more now; 1: one was
 * made; else as frame_take. */
int frame_stock(struct frames *frames, const struct frame_want *want, unsigned int count);

/* What the pools of a node hold, in bytes. */
uint64_t frame_pool_bytes(const struct frames *frames, unsigned int node);

struct frame_audit {
	/* The first node whose free slots do not hold what the ledger says, pages; GMIG_NO_NODE: none. */
	unsigned int differing_node;
	long free_pages, pool_pages;
	/* The first node with pages in flight though no slot is taken; GMIG_NO_NODE: none. */
	unsigned int flying_node;
	long flying_pages;
	unsigned int busy_slots;   /* taken, without those in quarantine */
	unsigned int broken_slots; /* in quarantine */
	unsigned int
	    wrong_slots; /* free, and pages that the books have are not there: given back */
	unsigned int written_slots; /* free and clean, and do not read as zeros: no longer clean */
	unsigned int filled_pages;  /* in free slots, and not in the books: given back */
	unsigned int moved_slots; /* free, and moved to another node by somebody else: given back */
	unsigned int unmended_slots; /* filled, and the kernel does not take the pages */
	uint64_t differing_pages;    /* of free slots in the books, on all nodes */
	uint64_t flying_all;	     /* pages in flight on all nodes, though no slot is taken */
	uint64_t longest_hold_ns;    /* of a lock that a fault may wait for */
};
enum frame_audit_how {
	FRAME_COUNT = 0,
	FRAME_LOOK = 1,	   /* compare free slots with the kernel */
	FRAME_CORRECT = 2, /* POOL and FLIGHT in the books become what is there */
};
/*
 * The state of all pools, while they are used: one pool's lock is held at a time, for less than 1 ms. how: enum
 * frame_audit_how. One at a time.
 */
void frame_audit(struct frames *frames, unsigned int how, struct frame_audit *audit);

#endif
