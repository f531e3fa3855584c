/*
 * The shadow table. A slot of a table is one 64-bit word, read and written atomically:
 *
 *    0                       hole: no guest RAM below this slot
 *    table's address | TABLE tables are 4096-byte aligned: the low 12 bits are free
 *                    | USED  of a level-2 table: (F)
 *    fields | LEAF           an entry: of order 9 in a level-2 table, of order 0 in a level-1 table
 *
 *    63   56 55        48 47    32 31    16 15        8 7   3   2      1      0
 *   | owner | generation | target |  node  |   state   |     |FROZEN| LEAF | TABLE |
 *
 * (A) A word changes only by compare-and-swap from the word that was looked at, so that of two
 *     writers one sees the other's word and starts again from it: no update is lost. ABA does no
 *     harm, as the word is all there is to an entry.
 * (B) Split: the new table is filled from the leaf's word, then the slot is swapped from just that
 *     word. Had the entry changed meanwhile, the swap fails and the table is filled anew.
 * (C) Collapse cannot be one swap, since 512 words become one. It first sets FROZEN in each, by
 *     (A). A frozen word reads as before, but nobody else changes it: writers get -EAGAIN and come
 *     again from the root. When all 512 are frozen and alike, nothing can change below the slot,
 *     and the slot is set to the leaf. A writer that still holds the old table finds its word
 *     frozen for ever and comes again, too. When one differs, the frozen ones are thawed. So a
 *     NONE page that is touched during a collapse is either seen by the collapse (-EBUSY), or the
 *     touch is refused with -EAGAIN and finds the 2M leaf when it comes again.
 * (D) A slot that points to a table is changed only by the collapse that froze the table's first
 *     word; of two collapses, the second finds that word frozen (-EBUSY).
 * (E) Only collapse unlinks tables, and they are freed after a grace period: who found a table in
 *     a read-side section can use it to the section's end. What he reads there was true at some
 *     time within the section, at the latest when the table was unlinked. A writer's section
 *     also keeps the address from being used again under its compare-and-swap.
 * (F) A slot that points to a level-2 table is marked USED before any of its 512 entries is touched
 *     or split for the first time, and stays so. Without the mark the table is one hole of 1 GiB: who
 *     looks for memory goes past it, and a guest of 12 TiB that has touched little is looked over in
 *     no time.
 */
#include "shadow_words.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define REFUSED UINT8_MAX

/* The whole life of an entry: the state after [state][event]. */
static const uint8_t transitions[SHADOW_STATES][SHADOW_EVENTS] = {
    [SHADOW_NONE] =
	{
	    [SHADOW_TOUCH] = SHADOW_PRESENT,
	    [SHADOW_CLAIM] = REFUSED,
	    [SHADOW_CLOSE] = REFUSED,
	    [SHADOW_SETTLE] = REFUSED,
	    [SHADOW_PUTBACK] = REFUSED,
	    [SHADOW_DISCARD] = REFUSED,
	    [SHADOW_CORRECT] = REFUSED,
	    [SHADOW_SWAP_OUT] = REFUSED,
	    [SHADOW_WAIT] = REFUSED,
	    [SHADOW_PICK] = REFUSED,
	},
    [SHADOW_PRESENT] =
	{
	    [SHADOW_TOUCH] = REFUSED,
	    [SHADOW_CLAIM] = SHADOW_CLAIMED,
	    [SHADOW_CLOSE] = REFUSED,
	    [SHADOW_SETTLE] = REFUSED,
	    [SHADOW_PUTBACK] = REFUSED,
	    [SHADOW_DISCARD] = SHADOW_NONE,
	    [SHADOW_CORRECT] = SHADOW_PRESENT,
	    [SHADOW_SWAP_OUT] = SHADOW_SWAPPED,
	    [SHADOW_WAIT] = REFUSED,
	    [SHADOW_PICK] = REFUSED,
	},
    [SHADOW_CLAIMED] =
	{
	    [SHADOW_TOUCH] = REFUSED,
	    [SHADOW_CLAIM] = REFUSED,
	    [SHADOW_CLOSE] = SHADOW_COPYING,
	    [SHADOW_SETTLE] = REFUSED,
	    [SHADOW_PUTBACK] = SHADOW_PRESENT,
	    [SHADOW_DISCARD] = SHADOW_NONE,
	    [SHADOW_CORRECT] = REFUSED,
	    [SHADOW_SWAP_OUT] = REFUSED,
	    [SHADOW_WAIT] = REFUSED,
	    [SHADOW_PICK] = REFUSED,
	},
    [SHADOW_COPYING] =
	{
	    [SHADOW_TOUCH] = REFUSED,
	    [SHADOW_CLAIM] = REFUSED,
	    [SHADOW_CLOSE] = REFUSED,
	    [SHADOW_SETTLE] = SHADOW_PRESENT,
	    [SHADOW_PUTBACK] = SHADOW_PRESENT,
	    [SHADOW_DISCARD] = REFUSED,
	    [SHADOW_CORRECT] = REFUSED,
	    [SHADOW_SWAP_OUT] = REFUSED,
	    [SHADOW_WAIT] = SHADOW_HINT,
	    [SHADOW_PICK] = REFUSED,
	},
    [SHADOW_SWAPPED] =
	{
	    [SHADOW_TOUCH] = REFUSED,
	    [SHADOW_CLAIM] = REFUSED,
	    [SHADOW_CLOSE] = REFUSED,
	    [SHADOW_SETTLE] = REFUSED,
	    [SHADOW_PUTBACK] = REFUSED,
	    [SHADOW_DISCARD] = SHADOW_NONE,
	    [SHADOW_CORRECT] = SHADOW_PRESENT,
	    [SHADOW_SWAP_OUT] = REFUSED,
	    [SHADOW_WAIT] = REFUSED,
	    [SHADOW_PICK] = REFUSED,
	},
    [SHADOW_HINT] =
	{
	    [SHADOW_TOUCH] = REFUSED,
	    [SHADOW_CLAIM] = REFUSED,
	    [SHADOW_CLOSE] = REFUSED,
	    [SHADOW_SETTLE] = REFUSED,
	    [SHADOW_PUTBACK] = REFUSED,
	    [SHADOW_DISCARD] = REFUSED,
	    [SHADOW_CORRECT] = REFUSED,
	    [SHADOW_SWAP_OUT] = REFUSED,
	    [SHADOW_WAIT] = REFUSED,
	    [SHADOW_PICK] = SHADOW_COPYING,
	},
};

const char *shadow_state_name(enum shadow_state state)
{
	static const char *const names[] = {"none",    "present", "claimed",
					    "copying", "swapped", "hint"};

	return (unsigned int)state < SHADOW_STATES ? names[state] : "unknown";
}

const char *shadow_event_name(enum shadow_event event)
{
	static const char *const names[] = {"touch",   "claim",	  "close",    "settle", "putback",
					    "discard", "correct", "swap-out", "wait",	"pick"};

	return (unsigned int)event < SHADOW_EVENTS ? names[event] : "unknown";
}

int shadow_lookup(const struct shadow *shadow, uint64_t gfn, struct shadow_entry *entry)
{
	unsigned int order = BLOCK_ORDER, missing;
	struct table *table = find_level2(shadow, gfn, &missing);
	uint64_t *slot, word;

	if (!table)
		return -EFAULT;
	word = load(&table->slot[slot_index(gfn, 2)]);
	/* Only level-1 tables are ever freed: a 2M entry needs no section. */
	if (word & TABLE) {
		section_begin();
		slot = find_entry(shadow, gfn, &word, &order);
		section_end(shadow);
		if (!slot)
			return -EFAULT;
	}
	if (!word)
		return -EFAULT;
	unpack(word, order, entry);
	return 0;
}

/* ---- Set-up --------------------------------------------------------------------------------- */

int shadow_create(const struct shadow_alloc *alloc, struct shadow **out)
{
	struct shadow *shadow = calloc(1, sizeof(*shadow));

	if (!shadow)
		return -ENOMEM;
	shadow_tables_init(&shadow->tables, alloc);
	pthread_mutex_init(&shadow->reserve_lock, NULL);
	pthread_mutex_init(&shadow->retired_lock, NULL);
	pthread_cond_init(&shadow->none_retired, NULL);
	shadow->root = shadow_tables_get(&shadow->tables);
	if (!shadow->root) {
		shadow_destroy(shadow);
		return -ENOMEM;
	}
	*out = shadow;
	return 0;
}

/* At most ROOT_LEVEL deep. */
static void free_below(struct shadow *shadow, struct table *table)
{
	for (unsigned int i = 0; i < SLOTS; i++) {
		if (table->slot[i] & TABLE)
			free_below(shadow, table_of(table->slot[i]));
	}
	shadow_tables_put(&shadow->tables, table);
}

void shadow_destroy(struct shadow *shadow)
{
	if (!shadow)
		return;
	pthread_mutex_lock(&shadow->retired_lock);
	while (shadow->retired)
		pthread_cond_wait(&shadow->none_retired, &shadow->retired_lock);
	pthread_mutex_unlock(&shadow->retired_lock);
	happens_after(&shadow->readers);
	if (shadow->root)
		free_below(shadow, shadow->root);
	shadow_tables_fini(&shadow->tables);
	pthread_cond_destroy(&shadow->none_retired);
	pthread_mutex_destroy(&shadow->retired_lock);
	pthread_mutex_destroy(&shadow->reserve_lock);
	free(shadow);
}

/* The level-2 table for gfn, built if need be. Caller holds reserve_lock. */
static struct table *build_level2(struct shadow *shadow, uint64_t gfn)
{
	struct table *table = shadow->root, *below;
	uint64_t *slot;

	for (unsigned int level = ROOT_LEVEL; level > 2; level--) {
		slot = &table->slot[slot_index(gfn, level)];
		if (!load(slot)) {
			below = shadow_tables_get(&shadow->tables);
			if (!below)
				return NULL;
			publish(slot, (uintptr_t)below | TABLE);
		}
		table = table_of(load(slot)); /* USED may come meanwhile */
	}
	return table;
}

/* Tables built before a failure stay, empty: they are used by a later attempt. */
static int build_range(struct shadow *shadow, uint64_t gfn, uint64_t end)
{
	struct table *table = NULL;

	for (uint64_t at = gfn; at < end; at += SLOTS) {
		if (!table || !slot_index(at, 2))
			table = build_level2(shadow, at);
		if (!table)
			return -ENOMEM;
		if (load(&table->slot[slot_index(at, 2)]))
			return -EEXIST;
	}
	return 0;
}

int shadow_reserve(struct shadow *shadow, uint64_t gfn, uint64_t pages)
{
	static const struct shadow_entry none = {
	    .state = SHADOW_NONE, .node = GMIG_NO_NODE, .target = GMIG_NO_NODE};
	uint64_t end = gfn + pages;
	int ret;

	if (!pages || gfn % SLOTS || pages % SLOTS || end < gfn || end > 1ull << GFN_BITS)
		return -EINVAL;
	pthread_mutex_lock(&shadow->reserve_lock);
	shadow_tables_expect(&shadow->tables, pages >> 2 * LEVEL_BITS);
	ret = build_range(shadow, gfn, end);
	shadow_tables_expect(&shadow->tables, 0);
	for (uint64_t at = gfn; !ret && at < end; at += SLOTS)
		publish(&build_level2(shadow, at)->slot[slot_index(at, 2)], pack(&none));
	pthread_mutex_unlock(&shadow->reserve_lock);
	return ret;
}

uint64_t shadow_table_bytes(const struct shadow *shadow)
{
	return __atomic_load_n(&shadow->tables.used_bytes, __ATOMIC_RELAXED);
}

/* ---- Change --------------------------------------------------------------------------------- */

static bool takes_node(enum shadow_event event)
{
	return event == SHADOW_TOUCH || event == SHADOW_CLAIM || event == SHADOW_CORRECT ||
	       event == SHADOW_PICK;
}

static bool is_change(const struct shadow_change *change)
{
	return (unsigned int)change->event < SHADOW_EVENTS &&
	       (!change->order || (change->order == BLOCK_ORDER && change->gfn % SLOTS == 0)) &&
	       (!takes_node(change->event) || change->node < GMIG_MAX_NODES);
}

/* The one function that changes a state. */
static int apply(struct shadow_entry *entry, const struct shadow_change *change,
		 struct gmig_error *err)
{
	uint8_t to = transitions[entry->state][change->event];

	if (to == REFUSED)
		return gmig_fail(err, -EPERM, "gfn 0x%llx (%s) is %s: refuses %s",
				 (unsigned long long)change->gfn, entry->order ? "2M" : "4K",
				 shadow_state_name(entry->state), shadow_event_name(change->event));
	switch (change->event) {
	case SHADOW_TOUCH:
	case SHADOW_CORRECT:
		entry->node = change->node;
		break;
	case SHADOW_CLAIM:
		entry->target = change->node;
		entry->owner = change->owner;
		break;
	case SHADOW_PICK:
		entry->target = change->node;
		break;
	case SHADOW_SETTLE:
		entry->node = entry->target;
		break;
	case SHADOW_DISCARD:
		entry->node = GMIG_NO_NODE;
		break;
	default:
		break;
	}
	if (to == SHADOW_NONE || to == SHADOW_PRESENT) {
		entry->target = GMIG_NO_NODE;
		entry->owner = 0;
	}
	entry->state = (enum shadow_state)to;
	entry->generation++;
	return 0;
}

/*
 * `word` is what the slot held, as an entry of `order`. Again from the word that beat us, as long as
 * it is an entry that may be changed. from: CLAIM only what lies there; GMIG_NO_NODE: anywhere.
 */
static int change_slot(uint64_t *slot, uint64_t word, unsigned int order,
		       const struct shadow_change *change, uint16_t from,
		       struct shadow_entry *entry, struct gmig_error *err)
{
	int ret;

	for (;;) {
		if (order != change->order || word & (TABLE | FROZEN))
			return gmig_fail(err, -EAGAIN,
					 "gfn 0x%llx is being split or joined: look again",
					 (unsigned long long)change->gfn);
		unpack(word, order, entry);
		if (change->event == SHADOW_CLAIM && from != GMIG_NO_NODE && entry->node != from)
			return gmig_fail(err, -EAGAIN, "gfn 0x%llx lies on node %u, not %u",
					 (unsigned long long)change->gfn, entry->node, from);
		ret = apply(entry, change, err);
		if (ret || swap(slot, &word, pack(entry)))
			return ret;
	}
}

/* Inside a read-side section. */
static int change_entry(struct shadow *shadow, const struct shadow_change *change,
			struct shadow_entry *entry, struct gmig_error *err)
{
	unsigned int order;
	uint64_t word, *slot;

	if (change->event == SHADOW_TOUCH)
		mark_used(shadow, change->gfn);
	slot = find_entry(shadow, change->gfn, &word, &order);
	if (!slot)
		return gmig_fail(err, -EFAULT, "gfn 0x%llx is not guest RAM",
				 (unsigned long long)change->gfn);
	return change_slot(slot, word, order, change, GMIG_NO_NODE, entry, err);
}

/* Inside a read-side section. The table stays readable in it, also when it is folded meanwhile. */
static void change_block(struct shadow *shadow, const struct shadow_change *change, uint16_t from,
			 const struct bits *pages, struct bits *refused)
{
	struct shadow_change one = *change;
	struct shadow_entry entry;
	unsigned int order;
	uint64_t word, *slot;

	if (change->event == SHADOW_TOUCH)
		mark_used(shadow, change->gfn);
	slot = find_entry(shadow, change->gfn, &word, &order);
	if (!slot || order || change->order) {
		if (!slot || change_slot(slot, word, order, change, from, &entry, NULL))
			*refused = *pages;
		return;
	}
	for (unsigned int i = bits_next(pages, 0, true); i < GMIG_BLOCK_PAGES;
	     i = bits_next(pages, i + 1, true)) {
		one.gfn = change->gfn + i;
		if (change_slot(slot + i, load(slot + i), 0, &one, from, &entry, NULL))
			bits_set(refused, i);
	}
}

int shadow_change(struct shadow *shadow, const struct shadow_change *change,
		  struct shadow_entry *after, struct gmig_error *err)
{
	struct shadow_entry entry;
	int ret;

	if (!is_change(change))
		return gmig_fail(err, -EINVAL,
				 "gfn 0x%llx: no such change: event %d, order %u, node %u",
				 (unsigned long long)change->gfn, (int)change->event, change->order,
				 change->node);
	section_begin();
	ret = change_entry(shadow, change, &entry, err);
	section_end(shadow);
	if (!ret && after)
		*after = entry;
	return ret;
}

void shadow_change_block(struct shadow *shadow, const struct shadow_change *change, uint16_t from,
			 const struct bits *pages, struct bits *refused)
{
	bits_clear_all(refused);
	if (!is_change(change) || change->gfn % SLOTS) {
		*refused = *pages;
		return;
	}
	section_begin();
	change_block(shadow, change, from, pages, refused);
	section_end(shadow);
}

/* ---- Visit all ------------------------------------------------------------------------------ */

struct walk {
	uint64_t end;
	bool present; /* blocks without memory are of no interest */
	shadow_visit *visit;
	void *arg;
};

static int visit_word(const struct walk *walk, uint64_t gfn, uint64_t word, unsigned int order)
{
	struct shadow_entry entry;

	unpack(word, order, &entry);
	return walk->visit(walk->arg, gfn, &entry);
}

/* One block: its 2M entry, or those of its 4K entries that are in gfn..end. */
static int walk_block(const struct walk *walk, const uint64_t *slot, uint64_t gfn)
{
	uint64_t word = load(slot), last = gfn | (SLOTS - 1);
	int ret = 0;

	if (word & LEAF)
		return visit_word(walk, gfn & ~(uint64_t)(SLOTS - 1), word, BLOCK_ORDER);
	if (!word)
		return 0;
	for (; !ret && gfn <= last && gfn < walk->end; gfn++)
		ret = visit_word(walk, gfn, load(&table_of(word)->slot[slot_index(gfn, 1)]), 0);
	return ret;
}

/* Neither a table nor memory: SHADOW_NONE is 0, and so is a slot outside of guest RAM. */
#define NO_HOLE (TABLE | 0xffull << STATE_SHIFT)

static bool is_hole(uint64_t word)
{
	return !(word & NO_HOLE);
}

#define STRIDE 8 /* slots of a cache line */

/* Slots i.. of a table, i being a multiple of STRIDE. One test for all of them is three times as fast as eight. */
static bool are_holes(const uint64_t *slot)
{
	uint64_t any = 0;

	for (unsigned int i = 0; i < STRIDE; i++)
		any |= load(&slot[i]);
	return is_hole(any);
}

/* The first block from gfn on that is not one hole, or the one behind the table. */
static uint64_t skip_holes(const struct table *table, uint64_t gfn)
{
	unsigned int i = slot_index(gfn, 2);

	while (i < SLOTS && is_hole(load(&table->slot[i]))) {
		i++;
		while (i % STRIDE == 0 && i < SLOTS && are_holes(&table->slot[i]))
			i += STRIDE;
	}
	return (gfn & ~((uint64_t)SLOTS * SLOTS - 1)) + (uint64_t)i * SLOTS;
}

_Static_assert(SHADOW_NONE == 0, "a hole is told by a mask");

static int walk_all(const struct shadow *shadow, uint64_t gfn, struct walk walk)
{
	unsigned int missing = ROOT_LEVEL;
	struct table *table;
	uint64_t *slot, word;
	int ret = 0;

	if (walk.end > 1ull << GFN_BITS)
		walk.end = 1ull << GFN_BITS;
	while (!ret && gfn < walk.end) {
		slot = find_level2_slot(shadow, gfn, &missing);
		word = slot ? load(slot) : 0;
		if (!slot || (walk.present && !(word & USED))) {
			unsigned int shift = (slot ? 2 : missing - 1) * LEVEL_BITS;

			gfn = ((gfn >> shift) + 1) << shift;
			continue;
		}
		table = table_of(word);
		if (walk.present && is_hole(load(&table->slot[slot_index(gfn, 2)]))) {
			gfn = skip_holes(table, gfn);
			continue;
		}
		/* A section of its own for each block: grace periods need not wait for the whole
		 * walk. */
		section_begin();
		ret = walk_block(&walk, &table->slot[slot_index(gfn, 2)], gfn);
		section_end(shadow);
		gfn = (gfn | (SLOTS - 1)) + 1;
	}
	return ret;
}

static uint64_t end_of(uint64_t gfn, uint64_t pages)
{
	return gfn + pages < gfn ? UINT64_MAX : gfn + pages;
}

int shadow_walk(const struct shadow *shadow, uint64_t gfn, uint64_t pages, shadow_visit *visit,
		void *arg)
{
	const struct walk walk = {.end = end_of(gfn, pages), .visit = visit, .arg = arg};

	return walk_all(shadow, gfn, walk);
}

int shadow_walk_present(const struct shadow *shadow, uint64_t gfn, uint64_t pages,
			shadow_visit *visit, void *arg)
{
	const struct walk walk = {
	    .end = end_of(gfn, pages), .present = true, .visit = visit, .arg = arg};

	return walk_all(shadow, gfn, walk);
}

bool shadow_is_hole(const struct shadow *shadow, uint64_t gfn)
{
	unsigned int missing;
	const uint64_t *slot = find_level2_slot(shadow, gfn, &missing);

	return slot && !(load(slot) & USED);
}
