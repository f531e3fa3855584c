#include "books.h"

#include "ledger.h"

#include <errno.h>

/* What an event does to the accounts; from: where the pages lie now. */
static void post(struct gmig *gmig, const struct books_event *event, unsigned int from,
		 bool swapped, long pages)
{
	const struct shadow_change *change = &event->change;
	enum ledger_account other = event->memory == BOOKS_SLOT ? LEDGER_FLIGHT : LEDGER_OUTSIDE;
	struct ledger_map map = {
	    .vnode = event->region->vnode,
	    .from = GMIG_NO_NODE,
	    .to = GMIG_NO_NODE,
	    .from_of = swapped ? LEDGER_SWAPPED : LEDGER_MAPPED,
	    .from_to = other,
	    .to_from = other,
	    .pages = pages,
	    .huge = change->order,
	    .position = engine_position(gmig, event->region, change->gfn),
	};

	switch (change->event) {
	case SHADOW_TOUCH:
		map.to = change->node;
		break;
	case SHADOW_SETTLE:
	case SHADOW_CORRECT:
		map.from = from;
		map.to = change->node;
		break;
	case SHADOW_DISCARD:
		map.from = from;
		break;
	case SHADOW_SWAP_OUT:
		map.from = from;
		map.from_to = LEDGER_SWAPPED;
		break;
	default:
		return; /* it stays where it is */
	}
	if (pages)
		ledger_map(gmig->ledger, &map);
}

int books_change(struct gmig *gmig, const struct books_event *event, struct gmig_error *err)
{
	struct shadow_entry before;
	int ret = shadow_lookup(gmig->shadow, event->change.gfn, &before);

	if (ret)
		return gmig_fail(err, ret, "gfn 0x%llx is not guest RAM",
				 (unsigned long long)event->change.gfn);
	/* Nobody else changes it between the two: the caller holds stripe.lock. */
	ret = shadow_change(gmig->shadow, &event->change, NULL, err);
	if (!ret)
		post(gmig, event, before.node, before.state == SHADOW_SWAPPED,
		     event->change.order ? GMIG_BLOCK_PAGES : 1);
	return ret;
}

void books_change_block(struct gmig *gmig, const struct books_event *event, unsigned int from,
			const struct bits *pages, struct bits *refused)
{
	struct bits done = *pages;

	bits_clear_all(refused);
	if (bits_empty(pages))
		return;
	shadow_change_block(gmig->shadow, &event->change, (uint16_t)from, pages, refused);
	bits_remove(&done, refused);
	post(gmig, event, from, false, bits_count(&done));
}

int books_split(struct gmig *gmig, const struct region *region, uint64_t block_gfn)
{
	struct shadow_entry before;
	int ret = shadow_lookup(gmig->shadow, block_gfn, &before);

	if (!ret)
		ret = shadow_split(gmig->shadow, block_gfn);
	if (!ret && before.state != SHADOW_NONE)
		ledger_split(gmig->ledger, engine_position(gmig, region, block_gfn),
			     GMIG_BLOCK_PAGES);
	return ret;
}

int books_join(struct gmig *gmig, const struct region *region, uint64_t block_gfn)
{
	struct shadow_change change = {.gfn = block_gfn, .event = SHADOW_CLAIM};
	struct bits all, refused, claimed;
	struct shadow_entry first;
	int ret = shadow_lookup(gmig->shadow, block_gfn, &first);

	if (ret)
		return ret;
	if (first.order)
		return -EEXIST;
	if (first.state != SHADOW_PRESENT)
		return -EBUSY;
	/* Only its owner may collapse a block, since changes to its entries fail meanwhile. */
	bits_fill(&all);
	change.node = first.node;
	shadow_change_block(gmig->shadow, &change, first.node, &all, &refused);
	ret = bits_empty(&refused) ? shadow_collapse(gmig->shadow, block_gfn) : -EBUSY;
	claimed = all;
	bits_remove(&claimed, &refused);
	change.event = SHADOW_PUTBACK;
	change.order = ret ? 0 : 9;
	shadow_change_block(gmig->shadow, &change, first.node, &claimed, &refused);
	if (!ret)
		ledger_split(gmig->ledger, engine_position(gmig, region, block_gfn),
			     -(long)GMIG_BLOCK_PAGES);
	return ret;
}
