/*
 * The one door through which an entry of the shadow table changes: the entry, the accounts of the
 * nodes, the residency of the vnode and a running audit's count change together, in here. Nobody
 * pairs them by hand.
 *
 * Caller holds the block's stripe.lock throughout, so that the books of a block and the audit's look
 * at it never interleave.
 */
#ifndef GMIG_BOOKS_H
#define GMIG_BOOKS_H

#include "engine.h"

/* Where the memory of a page that arrives comes from, and of one that leaves goes to. */
enum books_memory {
	BOOKS_SLOT,   /* a slot that the caller has taken from a pool */
	BOOKS_KERNEL, /* the kernel put it in, moved it, or took it back in place */
};

struct books_event {
	const struct region *region;
	struct shadow_change change;
	enum books_memory memory;
};

/* One entry: what shadow_change() says. */
int books_change(struct gmig *gmig, const struct books_event *event, struct gmig_error *err);
/*
 * The entries of a block that are in `pages` (order 9: its one entry), which all lie on node `from`; *refused as
 * shadow_change_block() gives it. SETTLE: they go to node event->change.node.
 */
void books_change_block(struct gmig *gmig, const struct books_event *event, unsigned int from,
			const struct bits *pages, struct bits *refused);

/* One 2M entry becomes 512: what shadow_split() says. */
int books_split(struct gmig *gmig, const struct region *region, uint64_t block_gfn);
/*
 * 512 PRESENT entries on one node become one; the kernel has one huge page there already. -EBUSY: they are not alike or
 * somebody holds one; -EEXIST: one entry already; -ENOMEM.
 */
int books_join(struct gmig *gmig, const struct region *region, uint64_t block_gfn);

#endif
