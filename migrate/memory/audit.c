#include "audit.h"

#include "books.h"
#include "busy.h"
#include "claim.h"
#include "frame.h"
#include "ledger.h"

#include <errno.h>
#include <string.h>

enum { I1, I2, I3, I4, I5 };

__attribute__((format(printf, 3, 4))) static void breach(struct gmig_check *check, unsigned int i,
							 const char *format, ...)
{
	va_list args;

	if (!check || check->breach[i])
		return;
	check->breach[i] = true;
	va_start(args, format);
	vsnprintf(check->detail[i], sizeof(check->detail[i]), format, args);
	va_end(args);
}

/* ---- One block: callers hold stripe->lock ---------------------------------------------------- */

struct block {
	struct gmig *gmig;
	struct region *region;
	struct stripe *stripe;
	uint64_t gfn;
	struct gmig_check *check;
	bool whole;				     /* one 2M entry */
	struct bits present, none, held, swapped;    /* pages, by the table */
	struct bits touched;			     /* by the kernel, as it may: seen now */
	struct shadow_entry entry[GMIG_BLOCK_PAGES]; /* whole: the first only */
	struct uffd_scan scan;
};

static int block_visit(void *arg, uint64_t gfn, const struct shadow_entry *entry)
{
	struct block *block = arg;
	unsigned int page = (unsigned int)(gfn - block->gfn);
	struct bits *bits = entry->state == SHADOW_PRESENT   ? &block->present
			    : entry->state == SHADOW_NONE    ? &block->none
			    : entry->state == SHADOW_SWAPPED ? &block->swapped
							     : &block->held;

	block->whole = entry->order;
	block->entry[page] = *entry;
	if (block->whole)
		bits_fill(bits);
	else
		bits_set(bits, page);
	return 0;
}

static void block_read(struct block *block)
{
	bits_clear_all(&block->present);
	bits_clear_all(&block->none);
	bits_clear_all(&block->held);
	bits_clear_all(&block->swapped);
	shadow_walk(block->gmig->shadow, block->gfn, GMIG_BLOCK_PAGES, block_visit, block);
}

static unsigned int block_entries(const struct block *block)
{
	return block->whole ? 1 : GMIG_BLOCK_PAGES;
}

/* Does the kernel show what the table says, so that page by page there is nothing to see? */
static bool block_agrees(const struct block *block)
{
	for (unsigned int i = 0; i < BITS_WORDS; i++)
		if (block->present.word[i] & ~block->scan.present.word[i] ||
		    block->present.word[i] & block->scan.protected.word[i] ||
		    block->none.word[i] & block->scan.present.word[i] ||
		    block->present.word[i] & block->scan.swapped.word[i] || block->swapped.word[i])
			return false;
	return true;
}

/* A belief was wrong: not so where nobody was to tell the table of a first touch. */
static void corrected(const struct block *block, uint64_t pages)
{
	if (block->check)
		block->check->corrected_pages += pages;
}

static void change(const struct block *block, unsigned int page, enum shadow_event event,
		   unsigned int node)
{
	struct books_event books = {
	    .region = block->region,
	    .change = {.gfn = block->gfn + page,
		       .order = block->whole ? 9 : 0,
		       .event = event,
		       .node = (uint16_t)node},
	    .memory = BOOKS_KERNEL,
	};
	struct gmig_error err;

	if (books_change(block->gmig, &books, &err))
		engine_log(block->gmig, GMIG_LOG_ERROR, "event=audit text=\"%s\"", err.text);
}

/* What is in swap lies on no node; what came back lies where the kernel put it. */
static void check_swap(const struct block *block, unsigned int page, unsigned int pages)
{
	const struct shadow_entry *entry = &block->entry[page];
	bool swapped = bits_get(&block->scan.swapped, page);

	if (entry->state == SHADOW_PRESENT && swapped)
		change(block, page, SHADOW_SWAP_OUT, 0);
	else if (entry->state == SHADOW_SWAPPED && !swapped)
		/* check_placement() asks which node it is */
		change(block, page, SHADOW_CORRECT, entry->node);
	else
		return;
	corrected(block, pages);
}

static void check_presence(struct block *block, unsigned int page, unsigned int pages)
{
	const struct shadow_entry *entry = &block->entry[page];
	bool present = bits_get(&block->scan.present, page);

	if ((entry->state == SHADOW_PRESENT || entry->state == SHADOW_SWAPPED) && !present) {
		change(block, page, SHADOW_DISCARD, 0);
		corrected(block, pages);
	} else if (entry->state == SHADOW_NONE && present) {
		if (block->region->kind->kernel_fills)
			bits_set(&block->touched, page);
		else
			breach(block->check, I1,
			       "gfn 0x%llx has memory that the table does not know of",
			       (unsigned long long)(block->gfn + page));
		change(block, page, SHADOW_TOUCH, atomic_load(&block->region->preferred_node));
		if (bits_get(&block->scan.swapped, page))
			change(block, page, SHADOW_SWAP_OUT, 0);
	} else {
		check_swap(block, page, pages);
	}
	if (entry->state == SHADOW_PRESENT && bits_get(&block->scan.protected, page)) {
		uint8_t *hva = region_hva(block->region, block->gfn + page);

		breach(block->check, I3, "gfn 0x%llx was left write-protected",
		       (unsigned long long)(block->gfn + page));
		uffd_protect(block->gmig->sys, block->gmig->vnodes[block->region->vnode].uffd, hva,
			     pages * GMIG_PAGE_BYTES, false);
	}
}

static void check_placement(struct block *block)
{
	unsigned int asked = 0, pages_each = block->whole ? GMIG_BLOCK_PAGES : 1;
	uint64_t gfns[GMIG_BLOCK_PAGES];
	int status[GMIG_BLOCK_PAGES];

	if (block->check)
		block->check->checked_pages += bits_count(&block->present);
	if (block->gmig->fake)
		return;
	for (unsigned int i = 0; i < block_entries(block); i++)
		if (block->entry[i].state == SHADOW_PRESENT)
			gfns[asked++] = block->gfn + i;
	if (!asked || block->region->kind->query(block->gmig, block->region, asked, gfns, status))
		return;
	for (unsigned int i = 0; i < asked; i++) {
		unsigned int page = (unsigned int)(gfns[i] - block->gfn);

		/* The zero page and what is in swap have no node. */
		if (status[i] < 0 || status[i] >= (int)GMIG_MAX_NODES ||
		    status[i] == block->entry[page].node)
			continue;
		change(block, page, SHADOW_CORRECT, (unsigned int)status[i]);
		if (!bits_get(&block->touched, page))
			corrected(block, pages_each);
	}
}

/* Whatever is held is held by a claim, and no device is at it; whoever sleeps sleeps on something that is held. */
static void check_holders(const struct block *block)
{
	for (unsigned int i = 0; i < block_entries(block); i++)
		if (bits_get(&block->held, i) && !claim_holds(block->stripe, block->gfn + i))
			breach(block->check, I5, "gfn 0x%llx is %s and nobody holds it",
			       (unsigned long long)(block->gfn + i),
			       shadow_state_name(block->entry[i].state));
	if (!bits_empty(&block->held) && busy_is(block->stripe, block->gfn))
		breach(block->check, I2, "a device transfers to block 0x%llx while it is moved",
		       (unsigned long long)block->gfn);
	for (const struct sleeper *sleeper = block->stripe->sleepers; sleeper;
	     sleeper = sleeper->next) {
		uint64_t page = sleeper->gfn - block->gfn;

		if (page < GMIG_BLOCK_PAGES && !bits_get(&block->held, (unsigned int)page))
			breach(block->check, I3, "a thread sleeps on gfn 0x%llx, which is open",
			       (unsigned long long)sleeper->gfn);
	}
}

/* Count the block, once all is corrected. Whatever changes in it from now on is counted by the books. */
static void count(const struct block *block)
{
	struct gmig *gmig = block->gmig;
	unsigned int run = 0, entries = block_entries(block), node = GMIG_NO_NODE;
	long pages_each = block->whole ? GMIG_BLOCK_PAGES : 1;

	for (unsigned int i = 0; i <= entries; i++) {
		unsigned int here = i < entries && block->entry[i].state != SHADOW_NONE &&
					    block->entry[i].state != SHADOW_SWAPPED
					? block->entry[i].node
					: GMIG_NO_NODE;

		if (i < entries && here == node) {
			run++;
			continue;
		}
		if (node != GMIG_NO_NODE)
			ledger_tally_add(gmig->ledger, node, run * pages_each);
		node = here;
		run = 1;
	}
	ledger_tally_reached(gmig->ledger,
			     engine_position(gmig, block->region, block->gfn + GMIG_BLOCK_PAGES));
}

/* What the kernel made one huge page again is one entry again. */
static void join(struct block *block)
{
	if (!block->whole && block->scan.huge &&
	    !books_join(block->gmig, block->region, block->gfn)) {
		corrected(block, GMIG_BLOCK_PAGES);
		block_read(block);
	}
}

static void check_block(struct block *block)
{
	struct gmig *gmig = block->gmig;

	bits_clear_all(&block->touched);
	block_read(block);
	check_holders(block);
	if (bits_count(&block->held) == GMIG_BLOCK_PAGES ||
	    block->region->kind->scan(gmig, block->region, block->gfn, &block->scan))
		return;
	if (block->whole && !block->scan.huge && !bits_empty(&block->scan.present)) {
		if (books_split(gmig, block->region, block->gfn))
			return;
		if (!block->region->kind->kernel_fills || bits_empty(&block->none))
			corrected(block, GMIG_BLOCK_PAGES);
		block_read(block);
	}
	if (!block_agrees(block)) {
		for (unsigned int i = 0; i < block_entries(block); i++)
			check_presence(block, i, block->whole ? GMIG_BLOCK_PAGES : 1);
		block_read(block);
	}
	check_placement(block);
	block_read(block);
	join(block);
}

void audit_run(struct gmig *gmig, struct region *region, uint64_t gfn, uint64_t pages,
	       const struct audit *audit)
{
	struct block block; /* too large to be cleared for each block: block_read() fills it */
	uint64_t begin = gmig->sys->now_ns();

	block.gmig = gmig;
	block.region = region;
	block.check = audit->check;
	block.whole = false;
	for (uint64_t at = gfn; at < gfn + pages; at += GMIG_BLOCK_PAGES) {
		if (audit->stop && audit->stop(audit->arg))
			return;
		block.gfn = at;
		block.stripe = engine_stripe(gmig, at);
		pthread_mutex_lock(&block.stripe->lock);
		check_block(&block);
		if (audit->count)
			count(&block);
		pthread_mutex_unlock(&block.stripe->lock);
	}
	if (gfn == region->gfn && pages == region->pages)
		atomic_store(&region->audited_ns, begin);
}

/* ---- All of memory ----------------------------------------------------------------------------- */

static uint64_t account_bytes(const struct gmig *gmig, unsigned int node,
			      enum ledger_account account)
{
	return (uint64_t)ledger_pages(gmig->ledger, node, account) * GMIG_PAGE_BYTES;
}

/*
 * The accounts against the things themselves. Entries change while they are counted: a change behind
 * the count's position is added to the tally by books.c, one ahead of it is met later. So at the end
 * the tally is what an instantaneous count would have been.
 */
static void check_accounts(struct gmig *gmig, struct gmig_check *check)
{
	struct frame_audit frames;
	long tally, mapped;
	unsigned int node = ledger_tally_end(gmig->ledger, &tally, &mapped);

	if (node != GMIG_NO_NODE)
		breach(check, I4, "node %u: %ld pages by the shadow table, but %ld in the books",
		       node, tally, mapped);
	frame_audit(gmig->frames, true, &frames);
	if (frames.wrong_slots)
		breach(check, I1, "%u free slots do not hold what the books say",
		       frames.wrong_slots);
	if (frames.written_slots)
		breach(check, I2, "%u clean frames were written to", frames.written_slots);
	if (frames.differing_node != GMIG_NO_NODE)
		breach(check, I4, "node %u: %ld pages in free slots, but %ld in the books",
		       frames.differing_node, frames.free_pages, frames.pool_pages);
	if (frames.flying_node != GMIG_NO_NODE)
		breach(check, I4, "node %u: %ld pages in flight, but no slot is taken",
		       frames.flying_node, frames.flying_pages);
	check->corrected_pages += frames.moved_slots * GMIG_BLOCK_PAGES + frames.filled_pages;
	for (node = 0; node < GMIG_MAX_NODES; node++) {
		check->mapped_bytes += account_bytes(gmig, node, LEDGER_MAPPED);
		check->pool_bytes += account_bytes(gmig, node, LEDGER_POOL);
		check->in_flight_bytes += account_bytes(gmig, node, LEDGER_FLIGHT);
		check->quarantine_bytes += account_bytes(gmig, node, LEDGER_QUARANTINE);
	}
}

int gmig_check(struct gmig *gmig, struct gmig_check *check, struct gmig_error *err)
{
	struct audit audit = {.check = check, .count = true};

	memset(check, 0, sizeof(*check));
	if (gmig->plain)
		return gmig_fail(err, -EOPNOTSUPP, "%s", gmig->why_off);
	pthread_mutex_lock(&gmig->check_lock);
	ledger_tally_start(gmig->ledger);
	for (unsigned int i = 0; i < atomic_load(&gmig->region_count); i++)
		audit_run(gmig, &gmig->regions[i], gmig->regions[i].gfn, gmig->regions[i].pages,
			  &audit);
	check_accounts(gmig, check);
	pthread_mutex_unlock(&gmig->check_lock);
	return 0;
}
