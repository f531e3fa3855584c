#include "first_touch.h"

#include "../core/copy.h"
#include "../core/uffd.h"
#include "frame.h"
#include "ledger.h"
#include "region.h"

#include <errno.h>

#define BROKEN_TRIES 4 /* frames that may turn out broken, one after the other */

/* A block that is being filled. */
struct hole {
	struct first_touch *from;
	struct region *region;
	uint64_t block_gfn;
	unsigned int page; /* the one that was touched */
	bool whole;	   /* the block is one entry */
};

void first_touch_note(struct first_touch *from, const struct books_event *event)
{
	unsigned long held;
	struct gmig_error err;

	if (books_change(from->gmig, event, &err) &&
	    log_limit_pass(&from->books, from->gmig->sys->now_ns(), &held))
		engine_log(from->gmig, GMIG_LOG_ERROR, "event=first-touch held=%lu text=\"%s\"",
			   held, err.text);
}

static void note(const struct hole *hole, unsigned int page, unsigned int order, unsigned int node,
		 enum books_memory memory)
{
	first_touch_note(hole->from, &(struct books_event){
					 .region = hole->region,
					 .change = {.gfn = hole->block_gfn + page,
						    .order = order,
						    .event = SHADOW_TOUCH,
						    .node = (uint16_t)node},
					 .memory = memory,
				     });
}

/* The table's one entry becomes 512, before single pages are noted. */
static int split(struct hole *hole)
{
	int ret = hole->whole ? books_split(hole->from->gmig, hole->region, hole->block_gfn) : 0;

	if (!ret)
		hole->whole = false;
	return ret;
}

/* ---- A huge page ------------------------------------------------------------------------------- */

/* A frame that reads as zeros, or none. A used one that cannot be cleared is broken: the next one. */
static int clean_frame(const struct hole *hole, unsigned int node, struct slot **out)
{
	struct frames *frames = hole->from->gmig->frames;
	struct frame_want want = {.node = node,
				  .worker = hole->from->worker,
				  .huge = true,
				  .clean = true,
				  .use = POLICY_TOUCH};
	int ret = frame_take(frames, &want, out);

	want.clean = false;
	want.pooled = true;
	for (unsigned int i = 0; ret && i < BROKEN_TRIES; i++) {
		int used = frame_take(frames, &want, out);

		if (used)
			return ret;
		if ((*out)->clean || copy_zero((*out)->hva, GMIG_BLOCK_BYTES) == GMIG_BLOCK_BYTES) {
			(*out)->clean = true;
			return 0;
		}
		(*out)->suspect = true;
		frame_give(frames, *out);
	}
	return ret;
}

/* The frame went in as far as page `pages`: from now on these are small ones of the block. */
static void note_part(struct hole *hole, unsigned int pages, unsigned int node)
{
	struct gmig *gmig = hole->from->gmig;

	if (!pages)
		return;
	/* Of what has no entries nobody would know, nor where its frames are. */
	if (split(hole)) {
		hole->region->kind->discard(gmig, hole->region, hole->block_gfn, pages);
		ledger_post(gmig->ledger, node, LEDGER_FLIGHT, LEDGER_OUTSIDE, pages);
		return;
	}
	for (unsigned int i = 0; i < pages; i++)
		note(hole, i, 0, node, BOOKS_SLOT);
}

static int move_in(struct hole *hole, struct slot *slot)
{
	struct gmig *gmig = hole->from->gmig;
	struct uffd_move move = {hole->from->uffd, region_hva(hole->region, hole->block_gfn),
				 slot->hva, GMIG_BLOCK_BYTES, false};
	unsigned int pages;
	size_t done;
	int ret = frame_move(gmig->frames, slot, &move, &done);

	pages = (unsigned int)(done / GMIG_PAGE_BYTES);
	bits_clear_range(&slot->have, 0, pages);
	if (!ret)
		note(hole, 0, 9, slot->node, BOOKS_SLOT);
	else
		note_part(hole, pages, slot->node);
	if (ret == -EFAULT)
		slot->suspect = true;
	if (ret)
		slot->split = true;
	return ret;
}

/* -ENOSPC: the node has small pages, but no huge one; -ENOMEM: it has nothing. */
static int fill_huge(struct hole *hole, unsigned int node)
{
	struct policy *policy = hole->from->gmig->policy;
	struct slot *slot;
	int ret;

	if (policy_is_hopeless(policy, node, false))
		return -ENOMEM;
	if (policy_is_hopeless(policy, node, true))
		return -ENOSPC;
	ret = clean_frame(hole, node, &slot);
	if (!ret || ret == -ENOSPC || ret == -ENOMEM) {
		policy_note(policy, node, true, !ret);
		policy_note(policy, node, false, ret != -ENOMEM);
	}
	if (ret)
		return ret;
	ret = move_in(hole, slot);
	frame_give(hole->from->gmig->frames, slot);
	return ret;
}

/* Nodes by distance from the preferred node; each is tried for a whole block. */
static int fill_huge_elsewhere(struct hole *hole, unsigned int preferred_node)
{
	struct gmig_topology *topology = memory_topology(&hole->from->gmig->memory);
	struct gmig_node_set left = *gmig_topology_nodes(topology);
	int ret = -ENOMEM;

	gmig_node_set_and(&left, gmig_topology_allowed(topology));
	gmig_node_set_remove(&left, preferred_node);
	while ((ret == -ENOMEM || ret == -ENOSPC) && !gmig_node_set_empty(&left)) {
		unsigned int node = gmig_topology_nearest(topology, preferred_node, &left);

		gmig_node_set_remove(&left, node);
		ret = fill_huge(hole, node);
	}
	gmig_topology_put(topology);
	return ret;
}

/* ---- Small pages ------------------------------------------------------------------------------- */

/* Where the kernel put pages first..first+count; without an answer, where it was asked to. */
static void note_small(const struct hole *hole, unsigned int first, unsigned int count)
{
	struct gmig *gmig = hole->from->gmig;
	unsigned int preferred_node = atomic_load(&hole->region->preferred_node);
	uint64_t gfns[GMIG_BLOCK_PAGES];
	int status[GMIG_BLOCK_PAGES];
	bool known;

	for (unsigned int i = 0; i < count; i++)
		gfns[i] = hole->block_gfn + first + i;
	known = !gmig->fake && !hole->region->kind->query(gmig, hole->region, count, gfns, status);
	for (unsigned int i = 0; i < count; i++)
		note(hole, first + i, 0,
		     known && status[i] >= 0 && status[i] < (int)GMIG_MAX_NODES
			 ? (unsigned int)status[i]
			 : preferred_node,
		     BOOKS_KERNEL);
}

/*
 * Pages first..first+count that have no memory, by the region's policy: of its preferred node, of any other when that is
 * full.
 */
static int fill_run(struct hole *hole, unsigned int first, unsigned int count)
{
	struct gmig *gmig = hole->from->gmig;
	size_t done;
	int ret = uffd_copy(gmig->sys, hole->from->uffd,
			    region_hva(hole->region, hole->block_gfn + first), hole->from->zeros,
			    count * GMIG_PAGE_BYTES, &done);

	if (!done)
		return ret;
	/* Not before there is memory: while there is none, the block keeps its hope of a huge page. */
	if (split(hole)) {
		hole->region->kind->discard(gmig, hole->region, hole->block_gfn + first,
					    done / GMIG_PAGE_BYTES);
		return -ENOMEM;
	}
	note_small(hole, first, (unsigned int)(done / GMIG_PAGE_BYTES));
	return ret;
}

static int none_visit(void *arg, uint64_t gfn, const struct shadow_entry *entry)
{
	struct bits *none = arg;

	if (entry->state == SHADOW_NONE)
		bits_set_range(none, (unsigned int)(gfn % GMIG_BLOCK_PAGES),
			       entry->order ? GMIG_BLOCK_PAGES : 1);
	return 0;
}

/* All of the block that has no memory. What cannot be filled but is not what was touched is left. */
static int fill_rest(struct hole *hole)
{
	struct gmig *gmig = hole->from->gmig;
	unsigned int first = 0, count, pages;
	struct bits none = {{0}};
	int ret;

	shadow_walk(gmig->shadow, hole->block_gfn, GMIG_BLOCK_PAGES, none_visit, &none);
	pages = bits_count(&none);
	ret = policy_reserve(gmig->policy, POLICY_TOUCH, pages);
	if (ret)
		return -ENOMEM;
	while (!ret && (count = bits_run(&none, &first))) {
		ret = fill_run(hole, first, count);
		first += count;
	}
	policy_release(gmig->policy, pages);
	return ret;
}

static bool has_memory(const struct hole *hole)
{
	struct shadow_entry entry;

	return !shadow_lookup(hole->from->gmig->shadow, hole->block_gfn + hole->page, &entry) &&
	       entry.state != SHADOW_NONE;
}

/*
 * The guest must have it: frames that nobody uses go first, and then it is between the kernel and whoever gave the guest
 * more memory than it may use.
 */
static int fill_one(struct hole *hole)
{
	struct gmig *gmig = hole->from->gmig;
	int ret = policy_reserve(gmig->policy, POLICY_TOUCH, 1);

	if (ret)
		frame_drain_all(gmig->frames);
	else
		policy_release(gmig->policy, 1);
	ret = fill_run(hole, hole->page, 1);
	/* It was there already, and no entry knew. */
	if (ret == -EEXIST && !split(hole))
		note_small(hole, hole->page, 1);
	return ret == -EEXIST ? 0 : ret;
}

int first_touch_huge(struct first_touch *from, struct region *region, uint64_t block_gfn,
		     unsigned int node)
{
	struct hole hole = {from, region, block_gfn, 0, true};

	return fill_huge(&hole, node);
}

int first_touch_one(struct first_touch *from, struct region *region, uint64_t gfn, bool whole)
{
	struct hole hole = {from, region, gfn / GMIG_BLOCK_PAGES * GMIG_BLOCK_PAGES,
			    (unsigned int)(gfn % GMIG_BLOCK_PAGES), whole};

	return fill_one(&hole);
}

/* ---- In which order ---------------------------------------------------------------------------- */

static int fill_block(struct hole *hole)
{
	unsigned int preferred_node = atomic_load(&hole->region->preferred_node);
	int ret = fill_huge(hole, preferred_node);

	if (ret == -ENOMEM)
		ret = fill_huge_elsewhere(hole, preferred_node);
	return ret;
}

int first_touch_fill(struct first_touch *from, struct region *region, uint64_t gfn,
		     const struct shadow_entry *entry)
{
	struct hole hole = {from, region, gfn / GMIG_BLOCK_PAGES * GMIG_BLOCK_PAGES,
			    (unsigned int)(gfn % GMIG_BLOCK_PAGES), entry->order};
	int ret = -ENOSPC;

	if (entry->order) {
		if (!from->gmig->options.small_pages)
			ret = fill_block(&hole);
		if (ret)
			ret = fill_rest(&hole);
		if (!ret || has_memory(&hole))
			return 0;
	}
	return fill_one(&hole);
}

/* ---- Ahead of all touches ---------------------------------------------------------------------- */

static int place_small(struct hole *hole, struct slot *slot, const struct bits *only)
{
	struct gmig *gmig = hole->from->gmig;
	unsigned int first = 0, count, pages;
	struct bits none = {{0}};
	int ret = 0;

	shadow_walk(gmig->shadow, hole->block_gfn, GMIG_BLOCK_PAGES, none_visit, &none);
	for (unsigned int i = 0; i < BITS_WORDS; i++)
		none.word[i] &= slot->have.word[i] & only->word[i];
	if (!bits_empty(&none) && split(hole))
		return -ENOMEM;
	while (!ret && (count = bits_run(&none, &first))) {
		struct uffd_move move = {
		    hole->from->uffd, region_hva(hole->region, hole->block_gfn + first),
		    slot->hva + first * GMIG_PAGE_BYTES, count * GMIG_PAGE_BYTES, false};
		size_t done;

		ret = frame_move(gmig->frames, slot, &move, &done);
		pages = (unsigned int)(done / GMIG_PAGE_BYTES);
		bits_clear_range(&slot->have, first, pages);
		for (unsigned int i = 0; i < pages; i++)
			note(hole, first + i, 0, slot->node, BOOKS_SLOT);
		first += count;
	}
	return ret;
}

int first_touch_place_some(struct first_touch *from, struct region *region, uint64_t block_gfn,
			   struct slot *slot, const struct bits *pages)
{
	struct hole hole = {from, region, block_gfn, 0, false};
	struct shadow_entry entry;
	int ret = shadow_lookup(from->gmig->shadow, block_gfn, &entry);

	if (ret)
		return ret;
	hole.whole = entry.order;
	return place_small(&hole, slot, pages);
}

int first_touch_place(struct first_touch *from, struct region *region, uint64_t block_gfn,
		      struct slot *slot)
{
	struct shadow_entry entry;
	struct hole hole = {from, region, block_gfn, 0, false};
	int ret = shadow_lookup(from->gmig->shadow, block_gfn, &entry);

	if (ret)
		return ret;
	hole.whole = entry.order;
	if (!slot->huge)
		return place_small(&hole, slot, &slot->have);
	return entry.order && entry.state == SHADOW_NONE ? move_in(&hole, slot) : 0;
}
