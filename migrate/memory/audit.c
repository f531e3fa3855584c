#include "audit.h"

#include "audit_block.h"
#include "frame.h"
#include "ledger.h"

#include <errno.h>
#include <string.h>

/*
 * Nothing of this GiB was ever touched, and the kernel shows nothing: of a large guest that has touched little, most is
 * looked at in this way. Not while entries are counted: what is touched meanwhile would be in no count.
 */
static bool is_hole(struct gmig *gmig, const struct region *region, uint64_t gfn, uint64_t end)
{
	return gfn % SHADOW_HOLE_PAGES == 0 && end - gfn >= SHADOW_HOLE_PAGES &&
	       !region->kind->kernel_fills && shadow_is_hole(gmig->shadow, gfn) &&
	       uffd_is_empty(gmig->sys, gmig->pagemap, region_hva(region, gfn),
			     SHADOW_HOLE_PAGES * GMIG_PAGE_BYTES);
}

void audit_run(struct gmig *gmig, struct region *region, uint64_t gfn, uint64_t pages,
	       const struct audit *audit)
{
	struct audit_block
	    block; /* too large to be cleared for each block: audit_block() fills it */
	uint64_t begin = gmig->sys->now_ns();

	block.gmig = gmig;
	block.region = region;
	block.check = audit->check;
	block.repair = NULL;
	bits_fill(&block.part);
	bits_clear_all(&block.rest);
	for (uint64_t at = gfn; at < gfn + pages; at += GMIG_BLOCK_PAGES) {
		if (audit->stop && audit->stop(audit->arg))
			return;
		if (!audit->count && is_hole(gmig, region, at, gfn + pages)) {
			at += SHADOW_HOLE_PAGES - GMIG_BLOCK_PAGES;
			continue;
		}
		block.gfn = at;
		block.stripe = engine_stripe(gmig, at);
		pthread_mutex_lock(&block.stripe->lock);
		audit_block(&block);
		if (audit->count)
			audit_block_count(&block, audit->count);
		pthread_mutex_unlock(&block.stripe->lock);
	}
	if (gfn == region->gfn && pages == region->pages)
		atomic_store(&region->audited_ns, begin);
}

bool audit_count_reached_all(struct gmig *gmig, struct ledger_count *count, unsigned int regions)
{
	bool all;

	/* A region that comes later has no memory yet, and from here on what it gets is counted. */
	pthread_mutex_lock(&gmig->lock);
	all = regions == atomic_load(&gmig->region_count);
	if (all)
		ledger_count_reached(count, UINT64_MAX);
	pthread_mutex_unlock(&gmig->lock);
	return all;
}

/* ---- All of memory ----------------------------------------------------------------------------- */

static uint64_t account_bytes(const struct gmig *gmig, unsigned int node,
			      enum ledger_account account)
{
	return (uint64_t)ledger_pages(gmig->ledger, node, account) * GMIG_PAGE_BYTES;
}

/* The accounts against the things themselves. */
void audit_accounts(struct gmig *gmig, struct ledger_count *count, bool correct,
		    struct gmig_check *check, struct audit_accounts *found)
{
	struct frame_audit *frames = &found->frames;
	uint64_t begin_ns = gmig->sys->now_ns();

	ledger_count_compare(count, correct, &found->entries);
	found->compare_ns = gmig->sys->now_ns() - begin_ns;
	if (found->entries.node != GMIG_NO_NODE)
		audit_breach(check, AUDIT_I4,
			     "node %u: %ld pages by the shadow table, but %ld in the books",
			     found->entries.node, found->entries.counted, found->entries.booked);
	pthread_mutex_lock(&gmig->check_lock);
	frame_audit(gmig->frames, correct ? FRAME_LOOK | FRAME_CORRECT : FRAME_LOOK, frames);
	pthread_mutex_unlock(&gmig->check_lock);
	if (frames->wrong_slots)
		audit_breach(check, AUDIT_I1, "%u free slots do not hold what the books say",
			     frames->wrong_slots);
	if (frames->written_slots)
		audit_breach(check, AUDIT_I2, "%u clean frames were written to",
			     frames->written_slots);
	if (frames->differing_node != GMIG_NO_NODE)
		audit_breach(check, AUDIT_I4,
			     "node %u: %ld pages in free slots, but %ld in the books",
			     frames->differing_node, frames->free_pages, frames->pool_pages);
	if (frames->flying_node != GMIG_NO_NODE)
		audit_breach(check, AUDIT_I4, "node %u: %ld pages in flight, but no slot is taken",
			     frames->flying_node, frames->flying_pages);
	check->corrected_pages += frames->moved_slots * GMIG_BLOCK_PAGES + frames->filled_pages;
	for (unsigned int node = 0; node < GMIG_MAX_NODES; node++) {
		check->mapped_bytes += account_bytes(gmig, node, LEDGER_MAPPED);
		check->pool_bytes += account_bytes(gmig, node, LEDGER_POOL);
		check->in_flight_bytes += account_bytes(gmig, node, LEDGER_FLIGHT);
		check->quarantine_bytes += account_bytes(gmig, node, LEDGER_QUARANTINE);
	}
}

int gmig_check(struct gmig *gmig, struct gmig_check *check, struct gmig_error *err)
{
	struct audit audit = {.check = check};
	struct audit_accounts found;
	unsigned int i = 0;
	int ret;

	memset(check, 0, sizeof(*check));
	if (gmig->plain)
		return gmig_fail(err, -EOPNOTSUPP, "%s", gmig->why_off);
	ret = ledger_count_begin(gmig->ledger, &audit.count);
	if (ret)
		return gmig_fail(err, ret, "no memory for a count of the shadow table");
	do {
		for (; i < atomic_load(&gmig->region_count); i++)
			audit_run(gmig, &gmig->regions[i], gmig->regions[i].gfn,
				  gmig->regions[i].pages, &audit);
	} while (!audit_count_reached_all(gmig, audit.count, i));
	audit_accounts(gmig, audit.count, false, check, &found);
	ledger_count_end(audit.count);
	return 0;
}
