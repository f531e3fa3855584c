/*
 * Looks at all pools while they are used. A pool is counted under its lock, in one go, which takes
 * microseconds; a change in a pool that has been counted is added to the count by the ledger, so that
 * at the end it is what an instantaneous count would have been. Looking at the memory itself takes
 * longer, and is done some slots at a time.
 */
#include "../core/copy.h"
#include "../core/uffd.h"
#include "frame_pool.h"
#include "ledger.h"

#define LOOK_SLOTS 4 /* under one holding of the lock: some 50 us each */

/* ---- Locks: how long are they held? -------------------------------------------------------------- */

static uint64_t hold(const struct frames *frames, pthread_mutex_t *lock)
{
	pthread_mutex_lock(lock);
	return frames->sys->now_ns();
}

static void release(const struct frames *frames, pthread_mutex_t *lock, uint64_t since_ns,
		    struct frame_audit *audit)
{
	uint64_t held_ns = frames->sys->now_ns() - since_ns;

	pthread_mutex_unlock(lock);
	if (held_ns > audit->longest_hold_ns)
		audit->longest_hold_ns = held_ns;
}

/* ---- One slot: caller holds pool->lock --------------------------------------------------------- */

/* What is wrong with a slot; each is repaired once the slot was taken. */
struct look {
	struct slot *slot;
	bool missing;	 /* pages that the books have are not there */
	bool filled;	 /* pages are there that the books do not have */
	bool unreadable; /* then the rest was not looked for */
	bool written;
};

static void look_for_pages(struct frames *frames, struct look *look)
{
	struct bits missing = look->slot->have;
	struct uffd_scan scan;

	if (uffd_scan(frames->sys, frames->pagemap, look->slot->hva, &scan))
		return;
	bits_remove(&missing, &scan.present);
	bits_remove(&scan.present, &look->slot->have);
	look->missing = !bits_empty(&missing);
	look->filled = !bits_empty(&scan.present);
}

/* A sample: the first word of each page. */
static void look_for_writes(void *arg)
{
	struct look *look = arg;
	const struct slot *slot = look->slot;

	for (unsigned int i = bits_next(&slot->have, 0, true); i < GMIG_BLOCK_PAGES;
	     i = bits_next(&slot->have, i + 1, true))
		if (*(const volatile uint64_t *)(slot->hva + i * GMIG_PAGE_BYTES))
			look->written = true;
}

/* true: something is wrong. Reading fills what is missing. */
static bool slot_look(struct frames *frames, struct look *look)
{
	look_for_pages(frames, look);
	if (!look->missing)
		look->unreadable = !copy_try(look_for_writes, look);
	look->written &= look->slot->clean && !look->unreadable;
	return look->missing || look->filled || look->unreadable || look->written;
}

/* ---- One slot that was taken ------------------------------------------------------------------- */

static void slot_repair(struct frames *frames, const struct look *look, struct frame_audit *audit)
{
	struct slot *slot = look->slot;
	int filled = look->filled ? frame_empty(frames, slot) : 0;

	if (filled > 0)
		audit->filled_pages += (unsigned int)filled;
	audit->unmended_slots += filled < 0;
	audit->wrong_slots += look->missing;
	audit->written_slots += look->written;
	slot->suspect = look->unreadable;
	if (look->written)
		slot->clean = false;
	if (look->missing || look->unreadable)
		frame_drop(frames, slot);
	else
		frame_give(frames, slot);
}

/* ---- One pool ---------------------------------------------------------------------------------- */

static void pool_count(struct frames *frames, struct pool *pool, struct frame_audit *audit)
{
	uint64_t since_ns = hold(frames, &pool->lock);

	for (unsigned int i = 0; i < pool->count; i++) {
		struct slot *slot = &pool->slots[i];

		audit->broken_slots += slot->broken;
		audit->busy_slots += slot->busy && !slot->broken;
		if (!slot->busy)
			ledger_pool_add(frames->ledger, slot->node, bits_count(&slot->have));
	}
	pool->counted = frames->count;
	release(frames, &pool->lock, since_ns, audit);
}

/* Slots first..first+LOOK_SLOTS. */
static void slots_look(struct frames *frames, struct pool *pool, unsigned int first,
		       struct frame_audit *audit)
{
	unsigned int end = first + LOOK_SLOTS < pool->count ? first + LOOK_SLOTS : pool->count;
	struct look taken[LOOK_SLOTS];
	uint64_t since_ns = hold(frames, &pool->lock);
	unsigned int count = 0;

	for (unsigned int i = first; i < end; i++) {
		struct look look = {.slot = &pool->slots[i]};

		if (look.slot->busy || !slot_look(frames, &look))
			continue;
		slot_pull(frames, look.slot);
		taken[count++] = look;
	}
	release(frames, &pool->lock, since_ns, audit);
	for (unsigned int i = 0; i < count; i++)
		slot_repair(frames, &taken[i], audit);
}

static void pool_look(struct frames *frames, struct pool *pool, struct frame_audit *audit)
{
	for (unsigned int first = 0; first < pool->count; first += LOOK_SLOTS)
		slots_look(frames, pool, first, audit);
}

/* Ask for all at once what is otherwise asked before a frame is used. */
static void pool_verify(struct frames *frames, struct pool *pool, struct frame_audit *audit)
{
	struct slot **const lists[] = {&pool->used, &pool->clean};
	struct slot *moved = NULL;
	uint64_t begin = frames->sys->now_ns();

	for (unsigned int i = 0; i < 2; i++) {
		struct slot **link;

		do {
			uint64_t since_ns = hold(frames, &pool->lock);

			link = lists[i];
			while (*link && (*link)->verified_ns >= begin)
				link = &(*link)->next;
			if (*link) {
				(*link)->verified_ns = 0;
				verify_batch(frames, link, &moved);
			}
			release(frames, &pool->lock, since_ns, audit);
		} while (*link);
	}
	audit->moved_slots += verify_drop(frames, moved);
}

/* ---- All pools --------------------------------------------------------------------------------- */

static void each_pool(struct frames *frames, struct frame_audit *audit,
		      void (*visit)(struct frames *frames, struct pool *pool,
				    struct frame_audit *audit))
{
	for (unsigned int node = 0; node < GMIG_MAX_NODES; node++) {
		if (!atomic_load(&frames->nodes[node]))
			continue;
		for (unsigned int i = 0; i < 2 * FRAME_WORKERS; i++) {
			struct pool *pool = pool_at(frames, node, i / 2, i % 2);

			if (pool)
				visit(frames, pool, audit);
		}
	}
}

/* While nothing is taken, nothing is in flight. */
static void flight_check(struct frames *frames, bool correct, struct frame_audit *audit)
{
	unsigned int takes = atomic_load(&frames->takes);

	if (atomic_load(&frames->busy))
		return;
	for (unsigned int node = 0; node < GMIG_MAX_NODES; node++) {
		long pages = ledger_pages(frames->ledger, node, LEDGER_FLIGHT);

		if (!pages || atomic_load(&frames->takes) != takes)
			continue;
		if (audit->flying_node == GMIG_NO_NODE) {
			audit->flying_node = node;
			audit->flying_pages = pages;
		}
		audit->flying_all += (uint64_t)(pages < 0 ? -pages : pages);
		/* Nothing was taken when it was read: so whatever is posted since then comes on top. */
		if (correct)
			ledger_post(frames->ledger, node, LEDGER_FLIGHT, LEDGER_OUTSIDE, pages);
	}
}

void frame_audit(struct frames *frames, unsigned int how, struct frame_audit *audit)
{
	uint64_t since_ns;

	memset(audit, 0, sizeof(*audit));
	audit->flying_node = GMIG_NO_NODE;
	if (how & FRAME_LOOK && !frames->fake)
		each_pool(frames, audit, pool_verify);
	if (how & FRAME_LOOK)
		each_pool(frames, audit, pool_look);
	/* A pool that is made behind the count would be in no count, and its pages in the books. */
	since_ns = hold(frames, &frames->lock);
	frames->count = ledger_pool_start(frames->ledger);
	each_pool(frames, audit, pool_count);
	audit->differing_node =
	    ledger_pool_end(frames->ledger, how & FRAME_CORRECT, &audit->free_pages,
			    &audit->pool_pages, &audit->differing_pages);
	release(frames, &frames->lock, since_ns, audit);
	flight_check(frames, how & FRAME_CORRECT, audit);
}
