#include "audit_block.h"

#include "books.h"
#include "busy.h"
#include "claim.h"
#include "ledger.h"

#include <errno.h>
#include <string.h>

void audit_breach(struct gmig_check *check, enum audit_invariant invariant, const char *format, ...)
{
	va_list args;

	if (!check || check->breach[invariant])
		return;
	check->breach[invariant] = true;
	va_start(args, format);
	vsnprintf(check->detail[invariant], sizeof(check->detail[invariant]), format, args);
	va_end(args);
}

/* ---- What the table says ------------------------------------------------------------------------- */

static int block_visit(void *arg, uint64_t gfn, const struct shadow_entry *entry)
{
	struct audit_block *block = arg;
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

static void block_read(struct audit_block *block)
{
	bits_clear_all(&block->present);
	bits_clear_all(&block->none);
	bits_clear_all(&block->held);
	bits_clear_all(&block->swapped);
	shadow_walk(block->gmig->shadow, block->gfn, GMIG_BLOCK_PAGES, block_visit, block);
}

/* The entries that are compared: the first one is at 0 or after, the next ones after `page`. GMIG_BLOCK_PAGES: no more. */
static unsigned int entry_at(const struct audit_block *block, unsigned int from)
{
	if (block->whole)
		return from ? GMIG_BLOCK_PAGES : 0;
	return bits_next(&block->part, from, true);
}

/* NOLINTBEGIN(bugprone-macro-parentheses): `i` is declared by it */
#define each_entry(block, i)                                                                       \
	for (unsigned int i = entry_at(block, 0); i < GMIG_BLOCK_PAGES; i = entry_at(block, i + 1))
/* NOLINTEND(bugprone-macro-parentheses) */

static unsigned int entry_pages(const struct audit_block *block)
{
	return block->whole ? GMIG_BLOCK_PAGES : 1;
}

/* What is compared. */
static struct bits pages_of(const struct audit_block *block)
{
	struct bits pages = block->part;

	if (block->whole)
		bits_add(&pages, &block->rest);
	return pages;
}

/* Of these, the ones that are compared. */
static unsigned int count_part(const struct audit_block *block, const struct bits *bits)
{
	struct bits pages = pages_of(block);

	for (unsigned int i = 0; i < BITS_WORDS; i++)
		pages.word[i] &= bits->word[i];
	return bits_count(&pages);
}

/* Does the kernel show what the table says, so that page by page there is nothing to see? */
static bool block_agrees(const struct audit_block *block)
{
	for (unsigned int i = 0; i < BITS_WORDS; i++)
		if (block->present.word[i] & ~block->scan.present.word[i] ||
		    block->present.word[i] & block->scan.protected.word[i] ||
		    block->none.word[i] & block->scan.present.word[i] ||
		    block->present.word[i] & block->scan.swapped.word[i] || block->swapped.word[i])
			return false;
	return true;
}

/* ---- Changes ------------------------------------------------------------------------------------- */

/* A belief was wrong: not so where nobody was to tell the table of a first touch. */
static void differed(const struct audit_block *block, enum gmig_difference kind, uint64_t pages,
		     bool corrected)
{
	if (block->repair)
		block->repair->differed[kind] += pages;
	if (block->repair && corrected)
		block->repair->corrected[kind] += pages;
}

static void corrected(const struct audit_block *block, enum gmig_difference kind, uint64_t pages)
{
	if (block->check)
		block->check->corrected_pages += pages;
	differed(block, kind, pages, true);
}

static bool change(const struct audit_block *block, unsigned int page, enum shadow_event event,
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

	if (!books_change(block->gmig, &books, &err))
		return true;
	engine_log(block->gmig, GMIG_LOG_ERROR, "event=audit text=\"%s\"", err.text);
	return false;
}

static void change_differing(const struct audit_block *block, unsigned int page,
			     enum shadow_event event, enum gmig_difference kind)
{
	bool changed = change(block, page, event, block->entry[page].node);

	if (changed)
		corrected(block, kind, entry_pages(block));
	else
		differed(block, kind, entry_pages(block), false);
}

/* ---- Whether memory is there ---------------------------------------------------------------------- */

/* What is in swap lies on no node; what came back lies where the kernel put it: check_placement() asks which node it is. */
static void check_swap(const struct audit_block *block, unsigned int page)
{
	const struct shadow_entry *entry = &block->entry[page];
	bool swapped = bits_get(&block->scan.swapped, page);

	if (entry->state == SHADOW_PRESENT && swapped)
		change_differing(block, page, SHADOW_SWAP_OUT, GMIG_DIFFERS_SWAP);
	else if (entry->state == SHADOW_SWAPPED && !swapped)
		change_differing(block, page, SHADOW_CORRECT, GMIG_DIFFERS_SWAP);
}

/* Memory where the table has none. */
static void check_news(struct audit_block *block, unsigned int page)
{
	bool ours = !block->region->kind->kernel_fills, changed;

	if (ours)
		audit_breach(block->check, AUDIT_I1,
			     "gfn 0x%llx has memory that the table does not know of",
			     (unsigned long long)(block->gfn + page));
	else
		bits_set(&block->touched, page);
	changed =
	    change(block, page, SHADOW_TOUCH, atomic_load(&block->region->preferred_node)) &&
	    (!bits_get(&block->scan.swapped, page) || change(block, page, SHADOW_SWAP_OUT, 0));
	if (ours)
		differed(block, GMIG_DIFFERS_PRESENT, entry_pages(block), changed);
	else if (block->repair)
		block->repair->touched_pages += entry_pages(block);
}

static void check_presence(struct audit_block *block, unsigned int page)
{
	const struct shadow_entry *entry = &block->entry[page];
	bool present = bits_get(&block->scan.present, page);

	if ((entry->state == SHADOW_PRESENT || entry->state == SHADOW_SWAPPED) && !present)
		change_differing(block, page, SHADOW_DISCARD, GMIG_DIFFERS_ABSENT);
	else if (entry->state == SHADOW_NONE && present)
		check_news(block, page);
	else
		check_swap(block, page);
	if (entry->state != SHADOW_PRESENT || !bits_get(&block->scan.protected, page))
		return;
	audit_breach(block->check, AUDIT_I3, "gfn 0x%llx was left write-protected",
		     (unsigned long long)(block->gfn + page));
	bits_set_range(&block->stuck, page, entry_pages(block));
}

/* Page by page it would take a flush of the TLBs each. */
static void unprotect(const struct audit_block *block)
{
	const struct gmig *gmig = block->gmig;
	unsigned int first = 0, count;

	while ((count = bits_run(&block->stuck, &first))) {
		bool whole = block->region->kind->always_whole;
		uint64_t gfn = whole ? region_unit(block->region, block->gfn) : block->gfn + first;
		int ret = uffd_protect(
		    gmig->sys, gmig->vnodes[block->region->vnode].uffd,
		    region_hva(block->region, gfn),
		    (whole ? block->region->unit_pages : count) * GMIG_PAGE_BYTES, false);

		differed(block, GMIG_DIFFERS_PROTECTED, count, !ret);
		first += count;
	}
}

/* ---- Where it is ---------------------------------------------------------------------------------- */

static void is_unknown(const struct audit_block *block, uint64_t pages)
{
	if (block->repair)
		block->repair->unknown_pages += pages;
}

static unsigned int pages_to_ask(const struct audit_block *block, uint64_t *gfns)
{
	unsigned int count = 0;

	each_entry(block, i) if (block->entry[i].state == SHADOW_PRESENT) gfns[count++] =
	    block->gfn + i;
	return count;
}

static void check_placement(struct audit_block *block)
{
	uint64_t gfns[GMIG_BLOCK_PAGES];
	int status[GMIG_BLOCK_PAGES];
	unsigned int asked;

	if (block->check)
		block->check->checked_pages += count_part(block, &block->present);
	if (block->gmig->fake && !block->region->kind->own)
		return;
	asked = pages_to_ask(block, gfns);
	if (!asked)
		return;
	if (block->region->kind->query(block->gmig, block->region, asked, gfns, status)) {
		is_unknown(block, count_part(block, &block->present));
		return;
	}
	for (unsigned int i = 0; i < asked; i++) {
		unsigned int page = (unsigned int)(gfns[i] - block->gfn);
		bool changed;

		/* The zero page and what is in swap have no node. */
		if (status[i] < 0 || status[i] >= (int)GMIG_MAX_NODES ||
		    status[i] == block->entry[page].node)
			continue;
		changed = change(block, page, SHADOW_CORRECT, (unsigned int)status[i]);
		if (bits_get(&block->touched, page))
			continue;
		if (changed)
			corrected(block, GMIG_DIFFERS_NODE, entry_pages(block));
		else
			differed(block, GMIG_DIFFERS_NODE, entry_pages(block), false);
	}
}

/* ---- Who holds it --------------------------------------------------------------------------------- */

static void check_sleepers(struct audit_block *block)
{
	struct bits open;

	for (const struct sleeper *sleeper = block->stripe->sleepers; sleeper;
	     sleeper = sleeper->next) {
		uint64_t page = sleeper->gfn - block->gfn;

		if (page >= GMIG_BLOCK_PAGES || bits_get(&block->held, (unsigned int)page))
			continue;
		block->wake = block->repair != NULL;
		audit_breach(block->check, AUDIT_I3, "a thread sleeps on gfn 0x%llx, which is open",
			     (unsigned long long)sleeper->gfn);
	}
	if (!block->wake)
		return;
	bits_fill(&open);
	bits_remove(&open, &block->held);
	block->repair->woken_threads +=
	    engine_sleepers_woken(block->gmig, block->stripe, block->gfn, &open, NULL).threads;
}

static void check_devices(const struct audit_block *block)
{
	if (bits_empty(&block->held) || !busy_is(block->stripe, block->gfn))
		return;
	audit_breach(block->check, AUDIT_I2, "a device transfers to block 0x%llx while it is moved",
		     (unsigned long long)block->gfn);
	if (block->repair)
		block->repair->device_blocks++;
}

/* Whatever is held is held by a claim, and no device is at it; whoever sleeps sleeps on something that is held. */
static void check_holders(struct audit_block *block)
{
	bits_clear_all(&block->forgotten);
	bits_clear_all(&block->out);
	each_entry(block, i)
	{
		if (!bits_get(&block->held, i))
			continue;
		if (block->entry[i].state == SHADOW_HINT &&
		    claim_is_out(block->stripe, block->gfn + i))
			bits_set_range(&block->out, i, entry_pages(block));
		/* What waits for a touch may do so for long: nobody waits for it. */
		if (claim_holds(block->stripe, block->gfn + i)) {
			if (block->entry[i].state != SHADOW_HINT)
				bits_set_range(&block->busy, i, entry_pages(block));
			continue;
		}
		bits_set_range(&block->forgotten, i, entry_pages(block));
		audit_breach(block->check, AUDIT_I5, "gfn 0x%llx is %s and nobody holds it",
			     (unsigned long long)(block->gfn + i),
			     shadow_state_name(block->entry[i].state));
	}
	check_devices(block);
	check_sleepers(block);
}

/* What lies in a slot until it is touched must not lie in its place, too: the guest would see one, and lose the other. */
static void check_out(const struct audit_block *block)
{
	for (unsigned int i = bits_next(&block->out, 0, true); i < GMIG_BLOCK_PAGES;
	     i = bits_next(&block->out, i + 1, true))
		if (bits_get(&block->scan.present, i))
			audit_breach(block->check, AUDIT_I1,
				     "gfn 0x%llx has memory though its content is in a slot",
				     (unsigned long long)(block->gfn + i));
}

/*
 * What nobody holds goes back to where it lay, if its memory is at its place. If not, it may lie in a slot: whoever called it
 * a hole would have the guest read zeros.
 */
static void put_back(struct audit_block *block)
{
	each_entry(block, i)
	{
		if (!bits_get(&block->forgotten, i))
			continue;
		if (bits_get(&block->scan.present, i)) {
			block->wake = true;
			change_differing(block, i, SHADOW_PUTBACK, GMIG_DIFFERS_HELD);
		} else {
			differed(block, GMIG_DIFFERS_HELD, entry_pages(block), false);
		}
	}
	if (!block->wake)
		return;
	block->repair->woken_threads +=
	    engine_sleepers_woken(block->gmig, block->stripe, block->gfn, &block->forgotten, NULL)
		.threads;
	block_read(block);
	check_sleepers(block);
}

/* ---- Sizes ---------------------------------------------------------------------------------------- */

/* The kernel has it no longer as one huge page. false: no memory for that. */
static bool split(struct audit_block *block)
{
	if (books_split(block->gmig, block->region, block->gfn)) {
		differed(block, GMIG_DIFFERS_SIZE, GMIG_BLOCK_PAGES, false);
		return false;
	}
	if (!block->region->kind->kernel_fills || bits_empty(&block->none))
		corrected(block, GMIG_DIFFERS_SIZE, GMIG_BLOCK_PAGES);
	block_read(block);
	return true;
}

/* What the kernel made one huge page again is one entry again. */
static void join(struct audit_block *block)
{
	if (!block->whole && block->scan.huge &&
	    !books_join(block->gmig, block->region, block->gfn)) {
		corrected(block, GMIG_DIFFERS_SIZE, GMIG_BLOCK_PAGES);
		block_read(block);
	}
}

/* ---- All of it -------------------------------------------------------------------------------------- */

static bool has_to_ask(const struct audit_block *block)
{
	struct bits open = pages_of(block);

	if (block->repair && !bits_empty(&block->forgotten))
		return true;
	if (!bits_empty(&block->out))
		return true;
	bits_remove(&open, &block->held);
	return !bits_empty(&open);
}

static void count_compared(const struct audit_block *block)
{
	struct bits there = block->scan.present;

	if (!block->repair)
		return;
	bits_add(&there, &block->present);
	bits_add(&there, &block->swapped);
	bits_remove(&there, &block->held);
	block->repair->compared_pages += count_part(block, &there);
}

void audit_block(struct audit_block *block)
{
	struct gmig *gmig = block->gmig;

	bits_clear_all(&block->touched);
	bits_clear_all(&block->busy);
	bits_clear_all(&block->stuck);
	block->wake = false;
	block_read(block);
	check_holders(block);
	if (!has_to_ask(block))
		return;
	if (block->region->kind->scan(gmig, block->region, block->gfn, &block->scan)) {
		struct bits open;

		bits_fill(&open);
		bits_remove(&open, &block->held);
		is_unknown(block, count_part(block, &open));
		return;
	}
	check_out(block);
	if (block->repair && !bits_empty(&block->forgotten))
		put_back(block);
	if (block->whole && !bits_empty(&block->held))
		return;
	if (block->whole && !block->scan.huge && !bits_empty(&block->scan.present) && !split(block))
		return;
	count_compared(block);
	if (!block_agrees(block)) {
		each_entry(block, i) check_presence(block, i);
		unprotect(block);
		block_read(block);
	}
	check_placement(block);
	block_read(block);
	if (bits_empty(&block->rest))
		join(block);
}

/* Pages that follow each other and are alike. */
static struct ledger_run run_of(const struct audit_block *block, unsigned int page)
{
	const struct shadow_entry *entry = &block->entry[page];

	return (struct ledger_run){.vnode = block->region->vnode,
				   .node = entry->state == SHADOW_NONE ? GMIG_NO_NODE : entry->node,
				   .pages = entry_pages(block),
				   .huge = block->whole,
				   .swapped = entry->state == SHADOW_SWAPPED};
}

void audit_block_count(struct audit_block *block, struct ledger_count *count)
{
	unsigned int entries = block->whole ? 1 : GMIG_BLOCK_PAGES;
	struct ledger_run run = run_of(block, 0);

	for (unsigned int i = 1; i <= entries; i++) {
		struct ledger_run here = {.node = GMIG_NO_NODE};

		if (i < entries)
			here = run_of(block, i);
		if (i < entries && here.node == run.node && here.swapped == run.swapped) {
			run.pages += here.pages;
			continue;
		}
		if (run.node != GMIG_NO_NODE)
			ledger_count_add(count, &run);
		run = here;
	}
	ledger_count_reached(
	    count, engine_position(block->gmig, block->region, block->gfn + GMIG_BLOCK_PAGES));
}
