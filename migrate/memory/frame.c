#include "frame.h"

#include "frame_pool.h"
#include "ledger.h"

#include <errno.h>

#define WAIT_NS 40000000ull /* for memory that others hold */

/* ---- Out of a pool ----------------------------------------------------------------------------- */

/* Slots that turn out to lie elsewhere are taken, too, and chained to *moved. */
static struct slot *list_take(struct frames *frames, struct slot **list,
			      const struct frame_want *want, struct slot **moved)
{
	uint64_t now = frames->sys->now_ns();
	struct slot **link = list;

	while (*link) {
		struct slot *slot = *link;

		if (!slot_serves(slot, want)) {
			link = &slot->next;
		} else if (verify_is_due(frames, slot, now)) {
			verify_batch(frames, link, moved);
		} else {
			slot_unlink(frames, link);
			return slot;
		}
	}
	return NULL;
}

static struct slot *pool_take(struct frames *frames, struct pool *pool,
			      const struct frame_want *want)
{
	struct slot *slot = NULL, *moved = NULL;

	pthread_mutex_lock(&pool->lock);
	if (!want->clean)
		slot = list_take(frames, &pool->used, want, &moved);
	if (!slot)
		slot = list_take(frames, &pool->clean, want, &moved);
	pthread_mutex_unlock(&pool->lock);
	verify_drop(frames, moved);
	return slot;
}

/* What other workers left on that node: used frames lie there for anyone. */
static struct slot *steal(struct frames *frames, const struct frame_want *want)
{
	if (ledger_pages(frames->ledger, want->node, LEDGER_POOL) <= 0)
		return NULL;
	for (unsigned int worker = 0; worker < FRAME_WORKERS; worker++) {
		struct pool *pool =
		    pool_at(frames, pool_place(frames, want->node), worker, want->huge);
		struct slot *slot = pool ? pool_take(frames, pool, want) : NULL;

		if (slot)
			return slot;
	}
	return NULL;
}

/* ---- Giving back ------------------------------------------------------------------------------- */

void frame_drop(struct frames *frames, struct slot *slot)
{
	struct bits none = {{0}};

	if (!slot)
		return;
	if (slot->suspect && quarantine(frames, slot, &none))
		return;
	slot_release(frames, slot);
	slot_give(frames, slot);
}

void frame_give(struct frames *frames, struct slot *slot)
{
	if (!slot)
		return;
	/* A huge frame of which a part has left serves nobody. */
	if (slot->huge && !bits_empty(&slot->have) && bits_count(&slot->have) < GMIG_BLOCK_PAGES)
		slot->split = true;
	if (slot->suspect || (slot->huge && slot->split)) {
		frame_drop(frames, slot);
		return;
	}
	if (!slot->clean)
		slot->verified_ns = 0;
	slot_give(frames, slot);
}

/* Unlink up to `most` slots of `node` that exceed what is to be kept. */
static unsigned int trim_pick(struct frames *frames, struct pool *pool, unsigned int node,
			      long keep_pages, struct slot **picked, unsigned int most)
{
	struct slot **lists[] = {&pool->used, &pool->clean};
	unsigned int count = 0;

	for (unsigned int i = 0; i < 2; i++) {
		struct slot **link = lists[i];

		while (*link && count < most &&
		       ledger_pages(frames->ledger, node, LEDGER_POOL) > keep_pages) {
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

/* Returns how many slots were emptied: at most `most`. What the kernel does not take stays. */
static unsigned int pool_trim(struct frames *frames, struct pool *pool, unsigned int node,
			      long keep_pages, unsigned int most)
{
	struct slot *picked[FRAME_BATCH];
	unsigned int count, emptied = 0;

	pthread_mutex_lock(&pool->lock);
	count = trim_pick(frames, pool, node, keep_pages, picked, most);
	pthread_mutex_unlock(&pool->lock);
	for (unsigned int i = 0; i < count; i++) {
		slot_release(frames, picked[i]);
		emptied += bits_empty(&picked[i]->have);
		slot_give(frames, picked[i]);
	}
	return emptied;
}

/* Returns how many slots were emptied: `most`, and then it ended early. */
static unsigned int node_trim(struct frames *frames, unsigned int node, long keep_pages,
			      unsigned int most)
{
	unsigned int place = pool_place(frames, node), count = 0, batch, emptied;

	/* A worker that has moved nothing yet knows no node. */
	if (node >= GMIG_MAX_NODES || ledger_pages(frames->ledger, node, LEDGER_POOL) <= keep_pages)
		return 0;
	for (unsigned int i = 0; i < 2 * FRAME_WORKERS && count < most; i++) {
		struct pool *pool = pool_at(frames, place, i / 2, i % 2);

		do {
			batch = most - count < FRAME_BATCH ? most - count : FRAME_BATCH;
			emptied = pool ? pool_trim(frames, pool, node, keep_pages, batch) : 0;
			count += emptied;
		} while (emptied == FRAME_BATCH && count < most);
	}
	return count;
}

#define ALL_SLOTS 1000000u

void frame_trim(struct frames *frames, unsigned int node)
{
	if (node < GMIG_MAX_NODES && ledger_pages(frames->ledger, node, LEDGER_POOL) > 0)
		node_trim(frames, node, policy_keep(frames->policy, frames->watermark_pages),
			  ALL_SLOTS);
}

void frame_trim_late(struct frames *frames, unsigned int node)
{
	long keep = policy_keep(frames->policy, frames->watermark_pages);

	if (node < GMIG_MAX_NODES && ledger_pages(frames->ledger, node, LEDGER_POOL) >
					 keep + FRAME_BATCH / 2 * (long)GMIG_BLOCK_PAGES)
		node_trim(frames, node, keep, ALL_SLOTS);
}

void frame_drain(struct frames *frames, unsigned int node)
{
	node_trim(frames, node, 0, ALL_SLOTS);
}

void frame_drain_all(struct frames *frames)
{
	for (unsigned int node = 0; node < GMIG_MAX_NODES; node++)
		node_trim(frames, node, 0, ALL_SLOTS);
}

/* ---- Taking ------------------------------------------------------------------------------------ */

/* Somebody needs memory more than the pools do: a free slot goes, of another node if there is one. */
static bool reclaim(struct frames *frames, const struct frame_want *want)
{
	unsigned int node = 0;

	while (node < GMIG_MAX_NODES && (node == want->node || !node_trim(frames, node, 0, 1)))
		node++;
	return node < GMIG_MAX_NODES || node_trim(frames, want->node, 0, 1);
}

/* The guest's first touch had a huge page of another node only: are there small ones on this one? */
static int small_instead(struct frames *frames, const struct frame_want *want)
{
	struct frame_want page = {.node = want->node, .worker = want->worker, .use = want->use};
	struct slot *slot;
	struct pool *pool;
	int ret = pool_of(frames, &page, &pool);

	if (ret)
		return ret;
	bits_set(&page.need, 0);
	slot = pool_take(frames, pool, &page);
	if (!slot)
		ret = pool_grow(frames, pool, &page, &slot);
	if (ret)
		return ret == -EDQUOT ? ret : -ENOMEM;
	frame_give(frames, slot);
	return -ENOSPC;
}

static int take_once(struct frames *frames, const struct frame_want *want, struct slot **out)
{
	struct pool *pool;
	int ret = pool_of(frames, want, &pool);

	if (ret)
		return ret;
	*out = pool_take(frames, pool, want);
	if (!*out && !want->clean)
		*out = steal(frames, want);
	if (*out)
		return 0;
	if (want->pooled)
		return -ENOMEM;
	ret = pool_grow(frames, pool, want, out);
	if (ret && want->clean) {
		*out = steal(frames, want);
		return *out ? 0 : ret;
	}
	return ret;
}

int frame_take(struct frames *frames, const struct frame_want *want, struct slot **out)
{
	uint64_t until_ns = 0, now;
	int ret;

	for (;;) {
		unsigned int serial = policy_serial(frames->policy);

		ret = take_once(frames, want, out);
		if (ret == -EXDEV)
			ret = small_instead(frames, want);
		if (ret != -EDQUOT)
			return ret;
		now = frames->sys->now_ns();
		if (!until_ns)
			until_ns = now + WAIT_NS;
		if (reclaim(frames, want) && now < until_ns)
			continue;
		if (want->use == POLICY_TOUCH || want->hurry ||
		    !policy_wait(frames->policy, serial, until_ns))
			return -ENOMEM;
	}
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
	frame_empty(frames, slot);
	if (!bits_empty(&slot->have) || (slot->split && slot_renew(frames, slot))) {
		frame_give(frames, slot);
		return -ENOBUFS;
	}
	slot->node = (uint16_t)want->node;
	slot->clean = false;
	*out = slot;
	return 0;
}

static unsigned int count_serving(const struct slot *slot, const struct frame_want *want)
{
	unsigned int count = 0;

	for (; slot; slot = slot->next)
		count += slot_serves(slot, want);
	return count;
}

int frame_stock(struct frames *frames, const struct frame_want *want, unsigned int count)
{
	struct frame_want ahead = *want;
	struct pool *pool;
	struct slot *slot;
	unsigned int have;
	int ret = pool_of(frames, want, &pool);

	if (ret)
		return ret;
	pthread_mutex_lock(&pool->lock);
	have = count_serving(pool->clean, want);
	if (!want->clean)
		have += count_serving(pool->used, want);
	pthread_mutex_unlock(&pool->lock);
	if (have >= count)
		return 0;
	ahead.use = POLICY_AHEAD;
	ret = pool_grow(frames, pool, &ahead, &slot);
	if (ret)
		return ret == -EDQUOT ? 0 : ret;
	frame_give(frames, slot);
	return 1;
}

uint64_t frame_pool_bytes(const struct frames *frames, unsigned int node)
{
	long pages = ledger_pages(frames->ledger, node, LEDGER_POOL);

	return pages > 0 ? (uint64_t)pages * GMIG_PAGE_BYTES : 0;
}
