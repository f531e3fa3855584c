/*
 * The shadow table: gfn -> entry, what the VMM knows of each block. Four levels of 512-entry tables
 * as EPT has them; a leaf at level 2 is a 2M block, split to level 1 on demand.
 *
 * Readers (shadow_lookup, shadow_walk) never lock: they walk inside RCU read-side sections, which
 * the functions open and close themselves. Any thread may call: liburcu's bp flavour registers it
 * at its first section. Writers change one entry by compare-and-swap through shadow_change(), which
 * is the only way to change a state; freed tables go through call_rcu. How that holds together: top
 * of shadow.c.
 *
 *        touch              claim               close               settle
 *   NONE -------> PRESENT ----------> CLAIMED ----------> COPYING ----------> PRESENT (target node)
 *    ^            ^  |                |   |                 |
 *    |   discard  |  |    discard     |   |    putback      |
 *    +------------|--+----------------+   |                 |
 *                 +-----------------------+-----------------+
 *
 * PRESENT --swap-out--> SWAPPED --correct--> PRESENT, or --discard--> NONE: the kernel's doing, which the
 * audit notes. `node` is where the page lay last.
 *
 * COPYING --wait--> HINT --pick--> COPYING: a right has been taken away, and nothing else happens until somebody misses
 * it. The content is what it was, on `node`: in its place without the right to write, or in a slot.
 *
 * A refused change (wrong state for the event) is -EPERM with a text that names gfn, state and
 * event; -EAGAIN: the entry has another order than the caller thought, or is being joined with its
 * neighbours now (some us): look again.
 */
#ifndef GMIG_SHADOW_H
#define GMIG_SHADOW_H

#include "../core/bits.h"

enum shadow_state {
	SHADOW_NONE,
	SHADOW_PRESENT,
	SHADOW_CLAIMED,
	SHADOW_COPYING,
	SHADOW_SWAPPED,
	SHADOW_HINT,
	SHADOW_STATES,
};
enum shadow_event {
	SHADOW_TOUCH,	/* NONE -> PRESENT: a frame was put in */
	SHADOW_CLAIM,	/* PRESENT -> CLAIMED: a job owns it */
	SHADOW_CLOSE,	/* CLAIMED -> COPYING: a right is about to be taken away */
	SHADOW_SETTLE,	/* COPYING -> PRESENT on the target node */
	SHADOW_PUTBACK, /* CLAIMED, COPYING -> PRESENT on the source node */
	SHADOW_DISCARD, /* PRESENT, CLAIMED, SWAPPED -> NONE: the content is gone (hole, balloon) */
	SHADOW_CORRECT, /* PRESENT, SWAPPED -> PRESENT: node was believed wrongly, or it is back (audit) */
	SHADOW_SWAP_OUT, /* PRESENT -> SWAPPED: the kernel has it in swap (audit) */
	SHADOW_WAIT,	 /* COPYING -> HINT: until it is touched */
	SHADOW_PICK, /* HINT -> COPYING: it goes on, to a target that may be another one by now */
	SHADOW_EVENTS,
};

/* 64 bits in the table; unpacked here. order: 0 = 4K, 9 = 2M. */
struct shadow_entry {
	enum shadow_state state;
	unsigned int order;
	uint16_t node;	    /* where the content lies; GMIG_NO_NODE in NONE */
	uint16_t target;    /* CLAIMED, COPYING, HINT: where it goes */
	uint8_t generation; /* changes so far, modulo 256 */
	uint8_t owner;	    /* CLAIMED, COPYING, HINT: low byte of the job's id, for error texts */
};

struct shadow;

/* alloc(bytes) returns zeroed, page-aligned memory or NULL; release undoes it. Called a table. */
struct shadow_alloc {
	void *(*alloc)(size_t bytes);
	void (*release)(void *memory, size_t bytes);
};

/* alloc NULL: chunks of anonymous memory. */
int shadow_create(const struct shadow_alloc *alloc, struct shadow **out);
/* After the last reader. Waits for a grace period: not from an RCU callback. */
void shadow_destroy(struct shadow *shadow);

/*
 * Build the tables for gfn..gfn+pages (multiples of 512) with NONE 2M leaves. Before any other use
 * of that range. All or nothing. -EEXIST overlap; -EINVAL alignment, none, or beyond 2^36 pages;
 * -ENOMEM.
 */
int shadow_reserve(struct shadow *shadow, uint64_t gfn, uint64_t pages);

/* The entry that covers gfn. -EFAULT: not guest RAM. */
int shadow_lookup(const struct shadow *shadow, uint64_t gfn, struct shadow_entry *entry);

/*
 * Apply `event` to the entry at gfn, which must be the start of an entry of order `order` (-EAGAIN
 * when it is of another order now). It applies to the entry as it is then: a change that was beaten
 * by another one is tried again on the other's result. Returns 0 and the entry after the change in
 * *after (may be NULL). -EPERM, -EAGAIN: above; -EFAULT: not guest RAM; -EINVAL: event, order,
 * alignment or node.
 */
struct shadow_change {
	uint64_t gfn;
	unsigned int order;
	enum shadow_event event;
	uint16_t
	    node; /* TOUCH, CORRECT: where it lies; CLAIM, PICK: where it goes; others: ignored */
	uint8_t owner; /* CLAIM; others: ignored */
};
int shadow_change(struct shadow *shadow, const struct shadow_change *change,
		  struct shadow_entry *after, struct gmig_error *err);
/*
 * The same for a block, which begins at change->gfn: its 2M entry (order 9), or one by one those of its 4K entries that are
 * in `pages`, in one walk. CLAIM takes only what lies on node `from`. Pages of entries that refused, for whatever reason,
 * are in *refused.
 */
void shadow_change_block(struct shadow *shadow, const struct shadow_change *change, uint16_t from,
			 const struct bits *pages, struct bits *refused);

/*
 * 2M leaf -> 512 4K entries with the same content, in any state; by its owner when claimed.
 * -EEXIST: split already; -EFAULT; -ENOMEM.
 */
int shadow_split(struct shadow *shadow, uint64_t gfn);
/*
 * 512 4K entries -> one 2M leaf, with the first one's generation. All must be alike (state, node,
 * target, owner) and CLAIMED, COPYING, HINT (caller owns them) or NONE, else -EBUSY and nothing changed.
 * -EEXIST: a 2M leaf already; -EFAULT; -ENOMEM. Until it returns, changes to the 512 entries are
 * -EAGAIN: so do not collapse what another one claimed.
 */
int shadow_collapse(struct shadow *shadow, uint64_t gfn);

/*
 * Call visit for each entry that covers pages in gfn..gfn+pages, in order, each with its own first
 * gfn; visit must not block. Stops and returns at the first non-zero result. Holes in the table are
 * skipped. Each block is read inside a section of its own: the walk is not a snapshot.
 */
typedef int shadow_visit(void *arg, uint64_t gfn, const struct shadow_entry *entry);
int shadow_walk(const struct shadow *shadow, uint64_t gfn, uint64_t pages, shadow_visit *visit,
		void *arg);

/* The same without blocks that are one hole: what a sparse guest of a terabyte does not have costs a millisecond. */
int shadow_walk_present(const struct shadow *shadow, uint64_t gfn, uint64_t pages,
			shadow_visit *visit, void *arg);
/* Has nothing of this GiB (which begins at gfn, a multiple of SHADOW_HOLE_PAGES) ever been touched? */
#define SHADOW_HOLE_PAGES (1ull << 18)
bool shadow_is_hole(const struct shadow *shadow, uint64_t gfn);

/* Bytes of table memory now, for `scale` figures. */
uint64_t shadow_table_bytes(const struct shadow *shadow);
const char *shadow_state_name(enum shadow_state state);
const char *shadow_event_name(enum shadow_event event);

#endif
