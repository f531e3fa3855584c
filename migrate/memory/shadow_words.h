/*
 * Inside the shadow table: the words, the way down to them, and read-side sections. For shadow*.c
 * only; how it holds together is told at the top of shadow.c.
 */
#ifndef GMIG_SHADOW_WORDS_H
#define GMIG_SHADOW_WORDS_H

#include "../core/happens.h"
#include "shadow.h"
#include "shadow_tables.h"

#include <pthread.h>

/*
 * The flavour that registers readers by itself, so that any thread may look up. Its read lock is
 * inlined, which saves some 8 ns a lookup; but not where a sanitizer or analyzer would judge
 * liburcu's code.
 */
#if !defined(GMIG_SANITIZED) && !defined(__clang_analyzer__)
#define _LGPL_SOURCE
#endif
#include <urcu-bp.h>

#define SLOTS	    512u
#define LEVEL_BITS  9
#define GFN_BITS    36
#define BLOCK_ORDER 9
#define ROOT_LEVEL  4

#define TABLE  (1ull << 0)
#define LEAF   (1ull << 1)
#define FROZEN (1ull << 2)
#define USED   (1ull << 3)

#define STATE_SHIFT	 8
#define NODE_SHIFT	 16
#define TARGET_SHIFT	 32
#define GENERATION_SHIFT 48
#define OWNER_SHIFT	 56

struct table {
	uint64_t slot[SLOTS]; /* RCU: writers compare and swap */
};

struct shadow {
	struct table *root; /* const */
	struct shadow_tables tables;
	pthread_mutex_t reserve_lock; /* before tables.lock; one shadow_reserve at a time */
	struct happens readers;
	pthread_mutex_t retired_lock; /* innermost; guards the two below */
	pthread_cond_t none_retired;
	unsigned long retired; /* tables that wait for the end of their grace period */
};

/* ---- Words ---------------------------------------------------------------------------------- */

static inline uint64_t pack(const struct shadow_entry *entry)
{
	return LEAF | (uint64_t)entry->state << STATE_SHIFT | (uint64_t)entry->node << NODE_SHIFT |
	       (uint64_t)entry->target << TARGET_SHIFT |
	       (uint64_t)entry->generation << GENERATION_SHIFT |
	       (uint64_t)entry->owner << OWNER_SHIFT;
}

static inline void unpack(uint64_t word, unsigned int order, struct shadow_entry *entry)
{
	entry->state = (enum shadow_state)(word >> STATE_SHIFT & 0xff);
	entry->order = order;
	entry->node = (uint16_t)(word >> NODE_SHIFT);
	entry->target = (uint16_t)(word >> TARGET_SHIFT);
	entry->generation = (uint8_t)(word >> GENERATION_SHIFT);
	entry->owner = (uint8_t)(word >> OWNER_SHIFT);
}

static inline struct table *table_of(uint64_t word)
{
	return (struct table *)(uintptr_t)(word & ~(uint64_t)(TABLE | USED));
}

/*
 * Acquire: a table's content, and what a changer did before the change, is seen with the word.
 * Pairs with publish() and swap().
 */
static inline uint64_t load(const uint64_t *slot)
{
	return __atomic_load_n(slot, __ATOMIC_ACQUIRE);
}

/* Only for a slot that nobody else can change: a hole under reserve_lock, or by (C) and (D). */
static inline void publish(uint64_t *slot, uint64_t word)
{
	__atomic_store_n(slot, word, __ATOMIC_RELEASE);
}

static inline bool swap(uint64_t *slot, uint64_t *old, uint64_t new)
{
	return __atomic_compare_exchange_n(slot, old, new, false, __ATOMIC_ACQ_REL,
					   __ATOMIC_ACQUIRE);
}

static inline unsigned int slot_index(uint64_t gfn, unsigned int level)
{
	return (unsigned int)(gfn >> (level - 1) * LEVEL_BITS) & (SLOTS - 1);
}

/* ---- Walk down ------------------------------------------------------------------------------ */

static inline void section_begin(void)
{
	urcu_bp_read_lock();
}

static inline void section_end(const struct shadow *shadow)
{
	happens_before(&shadow->readers);
	urcu_bp_read_unlock();
}

/* The slot of the level-2 table for gfn, or NULL and the level at which that is missing. Level-2 tables are never freed. */
static inline uint64_t *find_level2_slot(const struct shadow *shadow, uint64_t gfn,
					 unsigned int *missing)
{
	struct table *table = shadow->root;
	uint64_t *slot = NULL, word;

	if (gfn >> GFN_BITS) {
		*missing = ROOT_LEVEL + 1;
		return NULL;
	}
	for (unsigned int level = ROOT_LEVEL; level > 2; level--) {
		slot = &table->slot[slot_index(gfn, level)];
		word = load(slot);
		if (!word) {
			*missing = level;
			return NULL;
		}
		table = table_of(word);
	}
	return slot;
}

static inline struct table *find_level2(const struct shadow *shadow, uint64_t gfn,
					unsigned int *missing)
{
	uint64_t *slot = find_level2_slot(shadow, gfn, missing);

	return slot ? table_of(load(slot)) : NULL;
}

/* (F): before an entry below becomes anything but a hole. */
static inline void mark_used(const struct shadow *shadow, uint64_t gfn)
{
	unsigned int missing;
	uint64_t *slot = find_level2_slot(shadow, gfn, &missing);

	if (slot && !(load(slot) & USED))
		__atomic_fetch_or(slot, USED, __ATOMIC_ACQ_REL);
}

/* The slot of the entry that covers gfn, its word and order. Inside a read-side section. */
static inline uint64_t *find_entry(const struct shadow *shadow, uint64_t gfn, uint64_t *word,
				   unsigned int *order)
{
	unsigned int missing;
	struct table *table = find_level2(shadow, gfn, &missing);
	uint64_t *slot;

	if (!table)
		return NULL;
	slot = &table->slot[slot_index(gfn, 2)];
	*word = load(slot);
	*order = BLOCK_ORDER;
	if (*word & TABLE) {
		slot = &table_of(*word)->slot[slot_index(gfn, 1)];
		*word = load(slot);
		*order = 0;
	}
	return *word ? slot : NULL;
}

#endif
