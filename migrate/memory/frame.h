/*
 * Frames that no guest address uses, in pools: one mapping for each (node, worker, page size),
 * because UFFDIO_MOVE takes the source's anon_vma lock and moves out of one mapping would wait for
 * each other. A mapping is cut into slots of 2 MiB. A slot of a huge pool holds one 2M frame or
 * nothing; a slot of a small pool holds any of 512 single pages, each at the place that it has in
 * its block, so that a run of pages moves in one call.
 *
 * Any thread. A slot that was taken belongs to its taker until it is given back; everything else is
 * guarded by the pool's lock, a leaf: nothing else is taken under it. On fake nodes a slot's node
 * is only a label.
 *
 * Pools never wake the OOM killer: they grow by MPOL_PREFERRED, ask where the memory came from and
 * give the wrong back, and do not grow at all when the host is short of memory.
 */
#ifndef GMIG_FRAME_H
#define GMIG_FRAME_H

#include "../core/bits.h"
#include "../core/sys.h"

#define FRAME_WORKERS                                                                              \
	(GMIG_MAX_WORKERS + GMIG_MAX_VNODES) /* copy workers, then the fault threads */
#define FRAME_BATCH 8 /* slots that may be ahead of, or behind, a migration in one pool */

struct frames;
struct pool;

struct slot {
	struct pool *pool;
	uint8_t *hva;
	struct bits have; /* pages that hold memory; a huge slot: all or none */
	uint16_t node;
	bool huge;
	bool clean; /* what it has was never used and reads as zeros */
	bool busy;  /* taken; guarded by pool->lock like next */
	struct slot *next;
};

struct ledger;

struct frame_config {
	const struct gmig_sys *sys;
	struct ledger *ledger;		      /* not owned */
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
	bool clean;	  /* never used: fresh from the kernel, reads as zeros */
	struct bits need; /* small: these pages; huge: ignored */
};

/*
 * A slot with the memory wanted: out of a pool, else from the kernel (blocks while it is zeroed).
 * -ENOMEM: the node has none; -ENOBUFS: no slot; -ENOSPC: the kernel had memory, but no huge page.
 */
int frame_take(struct frames *frames, const struct frame_want *want, struct slot **out);
/* A slot without memory, to move a block into. -ENOBUFS. */
int frame_hole(struct frames *frames, const struct frame_want *want, struct slot **out);
/* Back to its pool, with what it has now. Cheap: no system call. */
void frame_give(struct frames *frames, struct slot *slot);
/* Back to its pool, its memory to the kernel. */
void frame_drop(struct frames *frames, struct slot *slot);
/* Fake nodes: the memory of a taken slot lies on `node` now. */
void frame_relabel(struct frames *frames, struct slot *slot, unsigned int node);

/* Give the kernel back what a node's pools hold above the watermark. Call between blocks, never
 * while one is closed. */
void frame_trim(struct frames *frames, unsigned int node);
/* The same, once they hold half a batch more: for who has a zeroer that should have done it. */
void frame_trim_late(struct frames *frames, unsigned int node);
/* All that a node's pools hold. */
void frame_drain(struct frames *frames, unsigned int node);
/* Make clean frames ahead, until want's pool holds `count`. 0: it does; 1: one was made; else as
 * frame_take. */
int frame_stock(struct frames *frames, const struct frame_want *want, unsigned int count);

/* What the pools of a node hold, in bytes. */
uint64_t frame_pool_bytes(const struct frames *frames, unsigned int node);

struct frame_audit {
	long free_pages[GMIG_MAX_NODES]; /* in free slots, as counted */
	long pool_pages[GMIG_MAX_NODES]; /* POOL, and FLIGHT, by the ledger */
	long flight_pages[GMIG_MAX_NODES];
	unsigned int busy_slots;
	unsigned int wrong_slots;   /* free, and the kernel shows other pages than the books */
	unsigned int written_slots; /* free and clean, and do not read as zeros */
};
/* One moment's state of all pools; look: compare free slots with the kernel. */
void frame_audit(struct frames *frames, bool look, struct frame_audit *audit);

#endif
