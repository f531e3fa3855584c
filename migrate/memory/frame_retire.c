/*
 * Bad frames that can still be read: nobody may get them again. The kernel can take them out of use, also for the time after this
 * process; who may not ask for that keeps them until it ends. They lie in mappings of their own, a page each, so that slots of the
 * pools are not lost to them.
 *
 * MADV_SOFT_OFFLINE copies the content to another frame, which is mapped in the bad one's place: what the slot has afterwards is
 * good, and may lie on another node.
 */
#include "../core/uffd.h"
#include "frame_pool.h"
#include "ledger.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/mman.h>

/* Caller holds frames->lock. NULL: no memory. */
static struct store *store_create(struct frames *frames)
{
	struct store *store = calloc(1, sizeof(*store));
	void *memory = NULL;

	if (!store)
		return NULL;
	if (gmig_sys_map_aligned(frames->sys, GMIG_BLOCK_BYTES, &store->reserved, &memory)) {
		free(store);
		return NULL;
	}
	store->memory = memory;
	if (frames_prepare(frames, memory, GMIG_BLOCK_BYTES, false)) {
		frames->sys->unmap(store->reserved, GMIG_BLOCK_BYTES + GMIG_SYS_GUARD_BYTES);
		free(store);
		return NULL;
	}
	store->next = frames->stores;
	frames->stores = store;
	return store;
}

/* A place for one frame; *number: of it. NULL: no memory. */
static struct store *place_take(struct frames *frames, unsigned int *number)
{
	struct store *store;

	pthread_mutex_lock(&frames->lock);
	store = frames->stores;
	while (store && bits_full(&store->used))
		store = store->next;
	if (!store)
		store = store_create(frames);
	if (store) {
		*number = bits_next(&store->used, 0, false);
		bits_set(&store->used, *number);
	}
	pthread_mutex_unlock(&frames->lock);
	return store;
}

/* A frame that is swapped out is somebody else's. Where no more may be locked it has to do without. */
static void hold(struct frames *frames, void *page)
{
	(void)frames->sys->lock(page, GMIG_PAGE_BYTES, true);
}

/* false: it has not left the slot. */
static bool put_away(struct frames *frames, struct slot *slot, unsigned int page)
{
	unsigned int number = 0;
	struct store *store = place_take(frames, &number);
	struct uffd_move move = {.fd = frames->uffd,
				 .from = slot->hva + page * GMIG_PAGE_BYTES,
				 .bytes = GMIG_PAGE_BYTES};
	size_t done = 0;

	if (!store)
		return false;
	move.to = store->memory + number * GMIG_PAGE_BYTES;
	if (frame_move(frames, slot, &move, &done) && !done) {
		pthread_mutex_lock(&frames->lock);
		bits_clear_range(&store->used, number, 1);
		pthread_mutex_unlock(&frames->lock);
		return false;
	}
	hold(frames, move.to);
	pthread_mutex_lock(&slot->pool->lock);
	ledger_post(frames->ledger, slot->node, LEDGER_FLIGHT, LEDGER_QUARANTINE, 1);
	bits_clear_range(&slot->have, page, 1);
	pthread_mutex_unlock(&slot->pool->lock);
	policy_freed(frames->policy);
	return true;
}

/* The books had it where it was: nothing but the slot tells of it now. */
void frame_broke(struct frames *frames, struct slot *slot)
{
	slot->suspect = true;
	ledger_post(frames->ledger, slot->node, LEDGER_OUTSIDE, LEDGER_FLIGHT, 1);
}

int frame_retire(struct frames *frames, struct slot **slot, unsigned int page, bool offline)
{
	struct slot *from = *slot;
	struct bits only = {{0}};
	int ret = -ECANCELED;

	/* Either way the kernel splits a huge page for it. */
	from->split |= from->huge;
	from->clean = false;
	if (offline)
		ret = frames->sys->advise(from->hva + page * GMIG_PAGE_BYTES, GMIG_PAGE_BYTES,
					  MADV_SOFT_OFFLINE);
	if (!ret) {
		atomic_fetch_add(&frames->offlined, 1);
		return 0;
	}
	if (!put_away(frames, from, page)) {
		bits_set(&only, page);
		hold(frames, from->hva + page * GMIG_PAGE_BYTES);
		slot_keep(frames, from, &only);
		*slot = NULL;
	}
	return ret;
}

uint64_t frame_offlined_bytes(const struct frames *frames)
{
	return atomic_load(&frames->offlined) * GMIG_PAGE_BYTES;
}
