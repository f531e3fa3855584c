#include "frame.h"

#include "../core/room.h"
#include "../core/uffd.h"
#include "ledger.h"

#include <errno.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <sys/mman.h>

#define POPULATE_TRIES	 10
#define RESERVE_CHECK_NS 10000000ull

/* All but lock and the constants: guarded by lock. */
struct pool {
	pthread_mutex_t lock;
	unsigned int node; /* where its mapping prefers memory */
	bool huge;
	void *reserved;
	unsigned int count;
	struct slot *slots;
	struct slot *clean, *used, *empty; /* lists of slots that are not taken */
};

/* Of one node; made at its first use, since most of the nodes that may exist do not. */
struct node_pools {
	_Atomic(struct pool *) pool[FRAME_WORKERS][2];
};

struct frames {
	const struct gmig_sys *sys;
	struct ledger *ledger;
	bool fake;
	int uffd, pagemap;
	unsigned int slots_per_pool;
	long watermark_pages;
	pthread_mutex_t lock; /* creation of pools */
	_Atomic(struct node_pools *) nodes[GMIG_MAX_NODES];
	_Atomic uint64_t short_until_ns, plenty_until_ns;
};

/* ---- Pools --------------------------------------------------------------------------------- */

int frame_create(const struct frame_config *config, struct frames **out, struct gmig_error *err)
{
	struct frames *frames = calloc(1, sizeof(*frames));
	int ret;

	if (!frames)
		return gmig_fail(err, -ENOMEM, "no memory for the frame pools");
	frames->sys = config->sys;
	frames->ledger = config->ledger;
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
	if (frames->uffd >= 0)
		frames->sys->close(frames->uffd);
	pthread_mutex_destroy(&frames->lock);
	free(frames);
}

int frame_uffd(const struct frames *frames)
{
	return frames->uffd;
}

static int pool_map(struct frames *frames, struct pool *pool)
{
	size_t bytes = pool->count * GMIG_BLOCK_BYTES;
	void *memory;
	int ret = gmig_sys_map_aligned(frames->sys, bytes, &pool->reserved, &memory);

	if (ret)
		return ret;
	frames->sys->advise(memory, bytes, pool->huge ? MADV_HUGEPAGE : MADV_NOHUGEPAGE);
	frames->sys->advise(memory, bytes, MADV_UNMERGEABLE);
	ret = frames->sys->advise(memory, bytes, MADV_DONTFORK);
	if (!ret && !frames->fake)
		ret = frames->sys->prefer_node(memory, bytes, (int)pool->node);
	/* Write-protect only: registered for missing pages, our own first touch would sleep for
	 * ever. */
	if (!ret)
		ret = uffd_register(frames->sys, frames->uffd, memory, bytes,
				    UFFDIO_REGISTER_MODE_WP);
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

/* NULL: none was made yet. */
static struct pool *pool_at(struct frames *frames, unsigned int node, unsigned int worker,
			    bool huge)
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

/* The pool that serves want; made at its first use. On fake nodes all nodes share a worker's pool.
 */
static int pool_of(struct frames *frames, const struct frame_want *want, struct pool **out)
{
	unsigned int node = frames->fake ? 0 : want->node;
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

/* What all pools of a node hold. */
static long pool_pages(const struct frames *frames, unsigned int node)
{
	return ledger_pages(frames->ledger, node, LEDGER_POOL);
}

/* ---- Slots; callers hold pool->lock -------------------------------------------------------- */

static struct slot **slot_list(struct slot *slot)
{
	if (bits_empty(&slot->have))
		return &slot->pool->empty;
	return slot->clean ? &slot->pool->clean : &slot->pool->used;
}

static void slot_put(struct frames *frames, struct slot *slot)
{
	struct slot **list = slot_list(slot);

	slot->next = *list;
	*list = slot;
	slot->busy = false;
	ledger_post(frames->ledger, slot->node, LEDGER_FLIGHT, LEDGER_POOL,
		    bits_count(&slot->have));
}

static void slot_unlink(struct frames *frames, struct slot **link)
{
	struct slot *slot = *link;

	*link = slot->next;
	slot->next = NULL;
	slot->busy = true;
	ledger_post(frames->ledger, slot->node, LEDGER_POOL, LEDGER_FLIGHT,
		    bits_count(&slot->have));
}

static bool slot_has(const struct slot *slot, const struct frame_want *want)
{
	struct bits missing = want->need;

	if (slot->node != want->node)
		return false;
	if (slot->huge)
		return true;
	bits_remove(&missing, &slot->have);
	return bits_empty(&missing);
}

static struct slot *list_take(struct frames *frames, struct slot **list,
			      const struct frame_want *want)
{
	for (struct slot **link = list; *link; link = &(*link)->next) {
		struct slot *slot = *link;

		if (!slot_has(slot, want))
			continue;
		slot_unlink(frames, link);
		return slot;
	}
	return NULL;
}

static struct slot *pool_take(struct frames *frames, struct pool *pool,
			      const struct frame_want *want)
{
	struct slot *slot = NULL;

	pthread_mutex_lock(&pool->lock);
	if (!want->clean)
		slot = list_take(frames, &pool->used, want);
	if (!slot)
		slot = list_take(frames, &pool->clean, want);
	pthread_mutex_unlock(&pool->lock);
	return slot;
}

/* Give the memory of a taken slot back to the kernel. Caller does not hold the lock. */
static void slot_release(struct frames *frames, struct slot *slot)
{
	if (bits_empty(&slot->have))
		return;
	if (frames->sys->advise(slot->hva, GMIG_BLOCK_BYTES, MADV_DONTNEED))
		return; /* it keeps its memory and stays in the books */
	pthread_mutex_lock(&slot->pool->lock);
	ledger_post(frames->ledger, slot->node, LEDGER_FLIGHT, LEDGER_OUTSIDE,
		    bits_count(&slot->have));
	bits_clear_all(&slot->have);
	slot->clean = false;
	pthread_mutex_unlock(&slot->pool->lock);
}

/* ---- Growing ------------------------------------------------------------------------------- */

/* Asked at most every 10 ms: reading /proc/meminfo costs as much as a frame. */
static bool host_is_short(struct frames *frames)
{
	uint64_t now = frames->sys->now_ns();
	struct room room;

	if (now < frames->plenty_until_ns)
		return false;
	if (now < frames->short_until_ns)
		return true;
	frames->sys->room(&room);
	if (room.bytes < GMIG_BLOCK_BYTES) {
		frames->short_until_ns = now + RESERVE_CHECK_NS;
		return true;
	}
	frames->plenty_until_ns = now + RESERVE_CHECK_NS;
	return false;
}

/* Pages first..first+count of the slot are there now: are they on the pool's node? */
static int placement_check(struct frames *frames, const struct slot *slot, unsigned int first,
			   unsigned int count)
{
	void *pages[GMIG_BLOCK_PAGES];
	int status[GMIG_BLOCK_PAGES];
	int ret;

	if (frames->fake)
		return 0;
	if (slot->huge)
		count = 1;
	for (unsigned int i = 0; i < count; i++)
		pages[i] = slot->hva + (first + i) * GMIG_PAGE_BYTES;
	ret = frames->sys->query_nodes(count, pages, status);
	if (ret)
		return ret;
	for (unsigned int i = 0; i < count; i++)
		if (status[i] != (int)slot->pool->node)
			return -ENOMEM;
	return 0;
}

static int populate(struct frames *frames, uint8_t *start, size_t bytes)
{
	unsigned int tries = 0;
	int ret;

	do {
		ret = frames->sys->advise(start, bytes, MADV_POPULATE_WRITE);
	} while (ret == -EAGAIN && ++tries < POPULATE_TRIES);
	return ret;
}

static int run_populate(struct frames *frames, struct slot *slot, unsigned int first,
			unsigned int count)
{
	uint8_t *start = slot->hva + first * GMIG_PAGE_BYTES;
	size_t bytes = count * GMIG_PAGE_BYTES;
	int ret = 0;

	/*
	 * The kernel zeroes a huge page towards the 4K page that was touched, so that it ends in the
	 * cache. From the far end to the first page means downwards, which takes 2.7 times as long as
	 * upwards (Zen 4, rep stosb). Hence the last page first.
	 */
	if (slot->huge)
		ret = populate(frames, start + bytes - GMIG_PAGE_BYTES, GMIG_PAGE_BYTES);
	if (!ret)
		ret = populate(frames, start, bytes);
	if (!ret)
		ret = placement_check(frames, slot, first, count);
	if (ret) {
		frames->sys->advise(start, bytes, MADV_DONTNEED);
		return ret == -EFAULT || ret == -EHWPOISON ? -ENOMEM : ret;
	}
	pthread_mutex_lock(&slot->pool->lock);
	bits_set_range(&slot->have, first, count);
	ledger_post(frames->ledger, slot->node, LEDGER_OUTSIDE, LEDGER_FLIGHT, count);
	pthread_mutex_unlock(&slot->pool->lock);
	return 0;
}

static int huge_populate(struct frames *frames, struct slot *slot)
{
	struct uffd_scan scan;
	int ret = run_populate(frames, slot, 0, GMIG_BLOCK_PAGES);

	if (ret)
		return ret;
	ret = uffd_scan(frames->sys, frames->pagemap, slot->hva, &scan);
	if (!ret && scan.huge)
		return 0;
	slot_release(frames, slot);
	return ret ? ret : -ENOSPC;
}

/* Fill what `need` wants and the (taken) slot has not. On failure the slot keeps what it has. */
static int slot_populate(struct frames *frames, struct slot *slot, const struct frame_want *want)
{
	struct bits missing = want->need;
	unsigned int first = 0, count;
	int ret = 0;

	if (host_is_short(frames))
		return -ENOMEM;
	if (bits_empty(&slot->have)) {
		slot->node = (uint16_t)want->node;
		slot->clean = true;
	}
	if (slot->huge)
		return huge_populate(frames, slot);
	bits_remove(&missing, &slot->have);
	while (!ret && (count = bits_run(&missing, &first))) {
		ret = run_populate(frames, slot, first, count);
		first += count;
	}
	return ret;
}

/* A slot to grow: an empty one, else, for small pages, one that has some of them already; both of
 * want's pool. */
static struct slot *slot_to_grow(struct frames *frames, struct pool *pool,
				 const struct frame_want *want)
{
	struct slot *slot = NULL;

	pthread_mutex_lock(&pool->lock);
	if (!pool->huge)
		for (struct slot **link = want->clean ? &pool->clean : &pool->used; *link;
		     link = &(*link)->next)
			if ((*link)->node == want->node && !slot_has(*link, want)) {
				slot = *link;
				slot_unlink(frames, link);
				break;
			}
	if (!slot && pool->empty) {
		slot = pool->empty;
		slot_unlink(frames, &pool->empty);
	}
	pthread_mutex_unlock(&pool->lock);
	return slot;
}

static int pool_grow(struct frames *frames, struct pool *pool, const struct frame_want *want,
		     struct slot **out)
{
	struct slot *slot = slot_to_grow(frames, pool, want);
	int ret;

	if (!slot)
		return -ENOBUFS;
	ret = slot_populate(frames, slot, want);
	if (ret) {
		frame_give(frames, slot);
		return ret;
	}
	*out = slot;
	return 0;
}

/* ---- Taking and giving --------------------------------------------------------------------- */

/* What other workers left on that node: used frames lie there for anyone. */
static struct slot *steal(struct frames *frames, const struct frame_want *want)
{
	unsigned int node = frames->fake ? 0 : want->node;

	if (pool_pages(frames, want->node) <= 0)
		return NULL;
	for (unsigned int worker = 0; worker < FRAME_WORKERS; worker++) {
		struct pool *pool = pool_at(frames, node, worker, want->huge);
		struct slot *slot = pool ? pool_take(frames, pool, want) : NULL;

		if (slot)
			return slot;
	}
	return NULL;
}

int frame_take(struct frames *frames, const struct frame_want *want, struct slot **out)
{
	struct pool *pool;
	int ret = pool_of(frames, want, &pool);

	if (ret)
		return ret;
	*out = pool_take(frames, pool, want);
	if (*out)
		return 0;
	if (!want->clean) {
		*out = steal(frames, want);
		if (*out)
			return 0;
	}
	ret = pool_grow(frames, pool, want, out);
	if (!ret || !want->clean)
		return ret;
	*out = steal(frames, want);
	return *out ? 0 : ret;
}

int frame_hole(struct frames *frames, const struct frame_want *want, struct slot **out)
{
	struct slot *slot = NULL;
	struct pool *pool;
	int ret = pool_of(frames, want, &pool);

	if (ret)
		return ret;
	struct slot **lists[] = {&pool->empty, &pool->used, &pool->clean};

	pthread_mutex_lock(&pool->lock);
	for (unsigned int i = 0; i < 3 && !slot; i++) {
		slot = *lists[i];
		if (slot)
			slot_unlink(frames, lists[i]);
	}
	pthread_mutex_unlock(&pool->lock);
	if (!slot)
		return -ENOBUFS;
	slot_release(frames, slot);
	if (!bits_empty(&slot->have)) {
		frame_give(frames, slot);
		return -ENOBUFS;
	}
	slot->node = (uint16_t)want->node;
	slot->clean = false;
	*out = slot;
	return 0;
}

void frame_give(struct frames *frames, struct slot *slot)
{
	if (!slot)
		return;
	pthread_mutex_lock(&slot->pool->lock);
	slot_put(frames, slot);
	pthread_mutex_unlock(&slot->pool->lock);
}

void frame_drop(struct frames *frames, struct slot *slot)
{
	if (!slot)
		return;
	slot_release(frames, slot);
	frame_give(frames, slot);
}

void frame_relabel(struct frames *frames, struct slot *slot, unsigned int node)
{
	ledger_relabel(frames->ledger, slot->node, node, bits_count(&slot->have));
	slot->node = (uint16_t)node;
}

/* ---- Giving back --------------------------------------------------------------------------- */

/* Unlink up to FRAME_BATCH slots of `node` that exceed what is to be kept. */
static unsigned int trim_pick(struct frames *frames, struct pool *pool, unsigned int node,
			      long keep_pages, struct slot **picked)
{
	struct slot **lists[] = {&pool->used, &pool->clean};
	unsigned int count = 0;

	for (unsigned int i = 0; i < 2; i++) {
		struct slot **link = lists[i];

		while (*link && count < FRAME_BATCH && pool_pages(frames, node) > keep_pages) {
			if ((*link)->node != node) {
				link = &(*link)->next;
				continue;
			}
			picked[count++] = *link;
			slot_unlink(frames, link);
		}
	}
	return count;
}

static void pool_trim(struct frames *frames, struct pool *pool, unsigned int node, long keep_pages)
{
	struct slot *picked[FRAME_BATCH];
	unsigned int count;

	do {
		pthread_mutex_lock(&pool->lock);
		count = trim_pick(frames, pool, node, keep_pages, picked);
		pthread_mutex_unlock(&pool->lock);
		for (unsigned int i = 0; i < count; i++)
			frame_drop(frames, picked[i]);
	} while (count == FRAME_BATCH);
}

static void node_trim(struct frames *frames, unsigned int node, long keep_pages)
{
	unsigned int place = frames->fake ? 0 : node;

	/* A worker that has moved nothing yet knows no node. */
	if (node >= GMIG_MAX_NODES || pool_pages(frames, node) <= keep_pages)
		return;
	for (unsigned int worker = 0; worker < FRAME_WORKERS; worker++)
		for (unsigned int huge = 0; huge < 2; huge++) {
			struct pool *pool = pool_at(frames, place, worker, huge);

			if (pool)
				pool_trim(frames, pool, node, keep_pages);
		}
}

void frame_trim(struct frames *frames, unsigned int node)
{
	node_trim(frames, node, frames->watermark_pages);
}

void frame_trim_late(struct frames *frames, unsigned int node)
{
	long late = FRAME_BATCH / 2 * (long)GMIG_BLOCK_PAGES;

	if (node < GMIG_MAX_NODES && pool_pages(frames, node) > frames->watermark_pages + late)
		node_trim(frames, node, frames->watermark_pages);
}

void frame_drain(struct frames *frames, unsigned int node)
{
	node_trim(frames, node, 0);
}

int frame_stock(struct frames *frames, const struct frame_want *want, unsigned int count)
{
	struct pool *pool;
	struct slot *slot;
	unsigned int have = 0;
	int ret = pool_of(frames, want, &pool);

	if (ret)
		return ret;
	pthread_mutex_lock(&pool->lock);
	for (slot = pool->clean; slot; slot = slot->next)
		have += slot_has(slot, want);
	if (!want->clean)
		for (slot = pool->used; slot; slot = slot->next)
			have += slot_has(slot, want);
	pthread_mutex_unlock(&pool->lock);
	if (have >= count)
		return 0;
	ret = pool_grow(frames, pool, want, &slot);
	if (ret)
		return ret;
	frame_give(frames, slot);
	return 1;
}

/* ---- Books --------------------------------------------------------------------------------- */

uint64_t frame_pool_bytes(const struct frames *frames, unsigned int node)
{
	long pages = pool_pages(frames, node);

	return pages > 0 ? (uint64_t)pages * GMIG_PAGE_BYTES : 0;
}

static bool slot_is_wrong(struct frames *frames, const struct slot *slot)
{
	struct uffd_scan scan;

	if (uffd_scan(frames->sys, frames->pagemap, slot->hva, &scan))
		return false;
	return memcmp(&scan.present, &slot->have, sizeof(scan.present)) != 0;
}

/* A sample: the first word of each page. */
static bool slot_is_written(const struct slot *slot)
{
	if (!slot->clean)
		return false;
	for (unsigned int i = bits_next(&slot->have, 0, true); i < GMIG_BLOCK_PAGES;
	     i = bits_next(&slot->have, i + 1, true))
		if (*(const uint64_t *)(const void *)(slot->hva + i * GMIG_PAGE_BYTES))
			return true;
	return false;
}

/* What a visit of all pools carries along. */
struct audit_walk {
	struct frames *frames;
	struct frame_audit *audit;
	bool look;
};

typedef void pool_visit(struct audit_walk *walk, struct pool *pool);

/* All pools, in the order in which their locks are taken. Caller holds frames->lock. */
static void pools_visit(struct audit_walk *walk, pool_visit *visit)
{
	for (unsigned int node = 0; node < GMIG_MAX_NODES; node++) {
		if (!walk->frames->nodes[node])
			continue;
		for (unsigned int worker = 0; worker < FRAME_WORKERS; worker++)
			for (unsigned int huge = 0; huge < 2; huge++) {
				struct pool *pool = pool_at(walk->frames, node, worker, huge);

				if (pool)
					visit(walk, pool);
			}
	}
}

static void pool_lock(struct audit_walk *walk, struct pool *pool)
{
	(void)walk;
	pthread_mutex_lock(&pool->lock);
}

static void pool_unlock(struct audit_walk *walk, struct pool *pool)
{
	(void)walk;
	pthread_mutex_unlock(&pool->lock);
}

static void pool_audit(struct audit_walk *walk, struct pool *pool)
{
	struct frame_audit *audit = walk->audit;

	for (unsigned int i = 0; i < pool->count; i++) {
		struct slot *slot = &pool->slots[i];

		if (slot->busy) {
			audit->busy_slots++;
			continue;
		}
		audit->free_pages[slot->node] += bits_count(&slot->have);
		if (walk->look) {
			audit->wrong_slots += slot_is_wrong(walk->frames, slot);
			audit->written_slots += slot_is_written(slot);
		}
	}
}

void frame_audit(struct frames *frames, bool look, struct frame_audit *audit)
{
	struct audit_walk walk = {.frames = frames, .audit = audit, .look = look};

	memset(audit, 0, sizeof(*audit));
	pthread_mutex_lock(&frames->lock);
	pools_visit(&walk, pool_lock);
	for (unsigned int node = 0; node < GMIG_MAX_NODES; node++) {
		audit->pool_pages[node] = pool_pages(frames, node);
		audit->flight_pages[node] = ledger_pages(frames->ledger, node, LEDGER_FLIGHT);
	}
	pools_visit(&walk, pool_audit);
	pools_visit(&walk, pool_unlock);
	pthread_mutex_unlock(&frames->lock);
}
