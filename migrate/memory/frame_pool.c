#include "frame_pool.h"

#include "../core/uffd.h"
#include "ledger.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/mman.h>

/* ---- All pools --------------------------------------------------------------------------------- */

int frame_create(const struct frame_config *config, struct frames **out, struct gmig_error *err)
{
	struct frames *frames = calloc(1, sizeof(*frames));
	int ret;

	if (!frames)
		return gmig_fail(err, -ENOMEM, "no memory for the frame pools");
	frames->sys = config->sys;
	frames->ledger = config->ledger;
	frames->policy = config->policy;
	frames->fake = gmig_topology_is_fake(config->topology);
	frames->pagemap = config->pagemap;
	frames->watermark_pages = (long)(config->watermark_bytes / GMIG_PAGE_BYTES);
	frames->slots_per_pool =
	    (unsigned int)(config->watermark_bytes / GMIG_BLOCK_BYTES) + 3 * FRAME_BATCH;
	pthread_mutex_init(&frames->lock, NULL);
	ret = uffd_open(frames->sys, UFFD_FEATURE_PAGEFAULT_FLAG_WP, &frames->uffd, NULL);
	if (ret) {
		frames->uffd = -1;
		frame_destroy(frames);
		return gmig_fail(err, ret, "cannot open a userfaultfd for the frame pools: %s",
				 gmig_errno_name(ret));
	}
	*out = frames;
	return 0;
}

static void pool_destroy(struct frames *frames, struct pool *pool)
{
	if (!pool)
		return;
	if (pool->reserved)
		frames->sys->unmap(pool->reserved,
				   pool->count * GMIG_BLOCK_BYTES + GMIG_SYS_GUARD_BYTES);
	pthread_mutex_destroy(&pool->lock);
	free(pool->slots);
	free(pool);
}

static void stores_destroy(struct frames *frames)
{
	while (frames->stores) {
		struct store *store = frames->stores;

		frames->stores = store->next;
		frames->sys->unmap(store->reserved, GMIG_BLOCK_BYTES + GMIG_SYS_GUARD_BYTES);
		free(store);
	}
}

void frame_destroy(struct frames *frames)
{
	if (!frames)
		return;
	for (unsigned int node = 0; node < GMIG_MAX_NODES; node++) {
		struct node_pools *pools = frames->nodes[node];

		for (unsigned int worker = 0; pools && worker < FRAME_WORKERS; worker++)
			for (unsigned int huge = 0; huge < 2; huge++)
				pool_destroy(frames, pools->pool[worker][huge]);
		free(pools);
	}
	stores_destroy(frames);
	if (frames->uffd >= 0)
		frames->sys->close(frames->uffd);
	pthread_mutex_destroy(&frames->lock);
	free(frames);
}

int frame_uffd(const struct frames *frames)
{
	return frames->uffd;
}

/* ---- One pool ---------------------------------------------------------------------------------- */

/* Write-protect only: registered for missing pages, our own first touch would sleep for ever. */
int frames_prepare(struct frames *frames, void *memory, size_t bytes, bool huge)
{
	int ret;

	frames->sys->advise(memory, bytes, huge ? MADV_HUGEPAGE : MADV_NOHUGEPAGE);
	frames->sys->advise(memory, bytes, MADV_UNMERGEABLE);
	/* Whoever reads empty memory for a core dump fills it; and what guests had in frames is not cleared before they are used again. */
	frames->sys->advise(memory, bytes, MADV_DONTDUMP);
	ret = frames->sys->advise(memory, bytes, MADV_DONTFORK);
	return ret ? ret
		   : uffd_register(frames->sys, frames->uffd, memory, bytes,
				   UFFDIO_REGISTER_MODE_WP);
}

static int memory_prepare(struct frames *frames, const struct pool *pool, void *memory,
			  size_t bytes)
{
	int ret = frames->fake ? 0 : frames->sys->prefer_node(memory, bytes, (int)pool->node);

	return ret ? ret : frames_prepare(frames, memory, bytes, pool->huge);
}

static int pool_map(struct frames *frames, struct pool *pool)
{
	size_t bytes = pool->count * GMIG_BLOCK_BYTES;
	void *memory;
	int ret = gmig_sys_map_aligned(frames->sys, bytes, &pool->reserved, &memory);

	if (!ret)
		ret = memory_prepare(frames, pool, memory, bytes);
	if (ret)
		return ret;
	for (unsigned int i = pool->count; i-- > 0;) {
		struct slot *slot = &pool->slots[i];

		slot->pool = pool;
		slot->hva = (uint8_t *)memory + i * GMIG_BLOCK_BYTES;
		slot->huge = pool->huge;
		slot->next = pool->empty;
		pool->empty = slot;
	}
	return 0;
}

static int pool_create(struct frames *frames, unsigned int node, bool huge, struct pool **out)
{
	struct pool *pool = calloc(1, sizeof(*pool));
	int ret = -ENOMEM;

	if (!pool)
		return ret;
	pthread_mutex_init(&pool->lock, NULL);
	pool->node = node;
	pool->huge = huge;
	pool->count = frames->slots_per_pool;
	pool->slots = calloc(pool->count, sizeof(*pool->slots));
	if (pool->slots)
		ret = pool_map(frames, pool);
	if (ret) {
		pool_destroy(frames, pool);
		return ret;
	}
	*out = pool;
	return 0;
}

struct pool *pool_at(struct frames *frames, unsigned int node, unsigned int worker, bool huge)
{
	struct node_pools *pools = atomic_load(&frames->nodes[node]);

	return pools ? atomic_load(&pools->pool[worker][huge]) : NULL;
}

/* Caller holds frames->lock. */
static int pool_add(struct frames *frames, unsigned int node, unsigned int worker, bool huge,
		    struct pool **out)
{
	struct node_pools *pools = atomic_load(&frames->nodes[node]);
	int ret;

	if (!pools) {
		pools = calloc(1, sizeof(*pools));
		if (!pools)
			return -ENOMEM;
		atomic_store(&frames->nodes[node], pools);
	}
	ret = pool_create(frames, node, huge, out);
	if (!ret)
		atomic_store(&pools->pool[worker][huge], *out);
	return ret;
}

int pool_of(struct frames *frames, const struct frame_want *want, struct pool **out)
{
	unsigned int node = pool_place(frames, want->node);
	struct pool *pool = pool_at(frames, node, want->worker, want->huge);
	int ret = 0;

	if (!pool) {
		pthread_mutex_lock(&frames->lock);
		pool = pool_at(frames, node, want->worker, want->huge);
		if (!pool)
			ret = pool_add(frames, node, want->worker, want->huge, &pool);
		pthread_mutex_unlock(&frames->lock);
	}
	*out = pool;
	return ret;
}

/* ---- Slots: callers hold pool->lock ---------------------------------------------------------- */

bool slot_serves(const struct slot *slot, const struct frame_want *want)
{
	struct bits missing = want->need;

	if (slot->node != want->node)
		return false;
	if (slot->huge)
		bits_fill(&missing);
	bits_remove(&missing, &slot->have);
	return bits_empty(&missing);
}

static struct slot **slot_list(struct slot *slot)
{
	if (bits_empty(&slot->have))
		return &slot->pool->empty;
	return slot->clean ? &slot->pool->clean : &slot->pool->used;
}

void slot_put(struct frames *frames, struct slot *slot)
{
	struct slot **list = slot_list(slot);

	slot->next = *list;
	*list = slot;
	slot->busy = false;
	ledger_post_pool(frames->ledger, slot->node, LEDGER_FLIGHT, LEDGER_POOL,
			 bits_count(&slot->have), slot->pool->counted);
	atomic_fetch_sub(&frames->busy, 1);
}

void slot_unlink(struct frames *frames, struct slot **link)
{
	struct slot *slot = *link;

	atomic_fetch_add(&frames->takes, 1);
	atomic_fetch_add(&frames->busy, 1);
	*link = slot->next;
	slot->next = NULL;
	slot->busy = true;
	ledger_post_pool(frames->ledger, slot->node, LEDGER_POOL, LEDGER_FLIGHT,
			 bits_count(&slot->have), slot->pool->counted);
}

void slot_pull(struct frames *frames, struct slot *slot)
{
	struct slot **link = slot_list(slot);

	while (*link != slot)
		link = &(*link)->next;
	slot_unlink(frames, link);
}

/* ---- Slots that are taken ---------------------------------------------------------------------- */

void slot_release(struct frames *frames, struct slot *slot)
{
	if (bits_empty(&slot->have))
		return;
	if (gmig_sys_discard(frames->sys, slot->hva, GMIG_BLOCK_BYTES))
		return;
	pthread_mutex_lock(&slot->pool->lock);
	ledger_post(frames->ledger, slot->node, LEDGER_FLIGHT, LEDGER_OUTSIDE,
		    bits_count(&slot->have));
	bits_clear_all(&slot->have);
	slot->clean = false;
	pthread_mutex_unlock(&slot->pool->lock);
}

int slot_renew(struct frames *frames, struct slot *slot)
{
	int ret = bits_empty(&slot->have) ? 0 : -EBUSY;

	if (!ret)
		ret = gmig_sys_map_empty(frames->sys, GMIG_BLOCK_BYTES, slot->hva);
	if (!ret)
		ret = memory_prepare(frames, slot->pool, slot->hva, GMIG_BLOCK_BYTES);
	if (!ret)
		slot->split = false;
	return ret;
}

int slot_is_huge(struct frames *frames, const struct slot *slot)
{
	struct uffd_scan scan;
	int ret = uffd_scan(frames->sys, frames->pagemap, slot->hva, &scan);

	return ret ? ret : scan.huge ? 0 : -ENOSPC;
}

void frame_relabel(struct frames *frames, struct slot *slot, unsigned int node)
{
	ledger_relabel(frames->ledger, slot->node, node, bits_count(&slot->have));
	slot->node = (uint16_t)node;
}

void slot_give(struct frames *frames, struct slot *slot)
{
	pthread_mutex_lock(&slot->pool->lock);
	slot_put(frames, slot);
	pthread_mutex_unlock(&slot->pool->lock);
	policy_freed(frames->policy);
}
