/* See balloon_give.h. */
#include "balloon_give.h"
#include "deadline.h"

#include <errno.h>
#include <poll.h>

static void keep(struct balloon_giver *giver, uint64_t gpa, unsigned int pages, int error)
{
	atomic_fetch_add(&giver->kept, pages);
	vmm_log_guest(GMIG_LOG_WARNING, "device=balloon kept=%u gpa=0x%llx errno=%s", pages,
		      (unsigned long long)gpa, gmig_errno_name(error));
}

static bool may_wait(struct balloon_giver *giver)
{
	if (!giver->wait_left_ms)
		return false;
	giver->wait_left_ms--;
	poll(NULL, 0, 1);
	return true;
}

/* ---- Collected blocks ------------------------------------------------------------------------ */

/* -EBUSY: not now, and it has the pages that are left. */
static int give(struct balloon_giver *giver, struct balloon_block *block)
{
	unsigned int first = 0, count;

	while ((count = bits_run(&block->pages, &first))) {
		uint64_t gpa = (block->gfn + first) * GMIG_PAGE_BYTES;
		size_t bytes = count * GMIG_PAGE_BYTES, done = 0;
		int ret = vmm_guest_discard(giver->vmm, vmm_guest_ptr(giver->vmm, gpa, bytes),
					    bytes, &done);
		unsigned int through = (unsigned int)(done / GMIG_PAGE_BYTES);

		atomic_fetch_add(&giver->given, through);
		bits_clear_range(&block->pages, first, through);
		if (ret == -EBUSY) {
			balloon_pages_renew(&giver->pages, block, deadline_now_ns());
			return ret;
		}
		if (ret)
			keep(giver, gpa + done, count - through, ret);
		first += count;
	}
	balloon_pages_drop(&giver->pages, block);
	return 0;
}

/* Whatever becomes of it: its place is free afterwards. */
static void give_or_keep(struct balloon_giver *giver, struct balloon_block *block)
{
	int ret;

	do
		ret = give(giver, block);
	while (ret && may_wait(giver));
	if (!ret)
		return;
	keep(giver, block->gfn * GMIG_PAGE_BYTES, bits_count(&block->pages), ret);
	balloon_pages_drop(&giver->pages, block);
}

void balloon_give_page(struct balloon_giver *giver, uint64_t gfn)
{
	uint64_t gpa = gfn * GMIG_PAGE_BYTES, now_ns = deadline_now_ns();
	struct balloon_block *block;

	if (!vmm_guest_ptr(giver->vmm, gpa, GMIG_PAGE_BYTES)) {
		atomic_fetch_add(&giver->strange, 1);
		vmm_log_guest(GMIG_LOG_WARNING,
			      "device=balloon gpa=0x%llx reason=\"given, but no guest RAM\"",
			      (unsigned long long)gpa);
		return;
	}
	block = balloon_pages_add(&giver->pages, gfn, now_ns);
	if (!block) {
		give_or_keep(giver, balloon_pages_oldest(&giver->pages));
		block = balloon_pages_add(&giver->pages, gfn, now_ns);
	}
	if (bits_full(&block->pages))
		give(giver, block);
}

void balloon_take_page(struct balloon_giver *giver, uint64_t gfn)
{
	balloon_pages_take(&giver->pages, gfn);
}

void balloon_give_all(struct balloon_giver *giver)
{
	struct balloon_block *block;

	while ((block = balloon_pages_oldest(&giver->pages)))
		give_or_keep(giver, block);
}

uint64_t balloon_settled_ns(struct balloon_giver *giver)
{
	const struct balloon_block *oldest = balloon_pages_oldest(&giver->pages);

	return oldest ? oldest->news_ns + BALLOON_SETTLE_MS * 1000000ull : UINT64_MAX;
}

void balloon_give_settled(struct balloon_giver *giver, unsigned int blocks)
{
	while (blocks-- && balloon_settled_ns(giver) <= deadline_now_ns())
		give(giver, balloon_pages_oldest(&giver->pages));
}

/* ---- Free memory ------------------------------------------------------------------------------- */

void balloon_give_run(struct balloon_giver *giver, void *start, size_t bytes)
{
	size_t skip = -(uintptr_t)start % GMIG_PAGE_BYTES, done, rest;
	uint8_t *at = (uint8_t *)start + skip;

	bytes = bytes > skip ? (bytes - skip) / GMIG_PAGE_BYTES * GMIG_PAGE_BYTES : 0;
	while (bytes) {
		int ret = vmm_guest_discard(giver->vmm, at, bytes, &done);

		atomic_fetch_add(&giver->given, done / GMIG_PAGE_BYTES);
		atomic_fetch_add(&giver->reported, done / GMIG_PAGE_BYTES);
		at += done;
		bytes -= done;
		if (!ret || (ret == -EBUSY && may_wait(giver)))
			continue;
		/* The rest of its block stays: blocks begin at the same places for the host. */
		rest = GMIG_BLOCK_BYTES - (uintptr_t)at % GMIG_BLOCK_BYTES;
		if (rest > bytes)
			rest = bytes;
		atomic_fetch_add(&giver->kept, rest / GMIG_PAGE_BYTES);
		at += rest;
		bytes -= rest;
	}
}
