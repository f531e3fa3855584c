#include "audit.h"

#include "../core/uffd.h"
#include "frame.h"

#include <errno.h>

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

/* ---- One block: callers hold the gate and stripe->lock ------------------------------------- */

struct block {
	struct gmig *gmig;
	struct region *region;
	uint64_t gfn;
	struct gmig_check *check;
	bool whole;				     /* one 2M entry */
	struct bits present, none;		     /* pages, by the table */
	struct shadow_entry entry[GMIG_BLOCK_PAGES]; /* whole: the first only */
	struct uffd_scan scan;
};

static int block_visit(void *arg, uint64_t gfn, const struct shadow_entry *entry)
{
	struct block *block = arg;
	unsigned int page = (unsigned int)(gfn - block->gfn);

	block->whole = entry->order;
	block->entry[page] = *entry;
	if (entry->state == SHADOW_PRESENT)
		bits_set(&block->present, page);
	else if (entry->state == SHADOW_NONE)
		bits_set(&block->none, page);
	if (block->whole && entry->state == SHADOW_PRESENT)
		bits_fill(&block->present);
	else if (block->whole && entry->state == SHADOW_NONE)
		bits_fill(&block->none);
	return 0;
}

static void block_read(struct block *block)
{
	bits_clear_all(&block->present);
	bits_clear_all(&block->none);
	shadow_walk(block->gmig->shadow, block->gfn, GMIG_BLOCK_PAGES, block_visit, block);
}

/* Does the kernel show what the table says, so that there is nothing to look at page by page? */
static bool block_agrees(const struct block *block)
{
	for (unsigned int i = 0; i < BITS_WORDS; i++)
		if (block->present.word[i] & ~block->scan.present.word[i] ||
		    block->present.word[i] & block->scan.protected.word[i] ||
		    block->none.word[i] & block->scan.present.word[i])
			return false;
	return true;
}

static void corrected(const struct block *block, uint64_t pages)
{
	if (block->check)
		block->check->corrected_pages += pages;
}

static void change(const struct block *block, unsigned int page, enum shadow_event event,
		   unsigned int node)
{
	struct shadow_change change = {.gfn = block->gfn + page,
				       .order = block->whole ? 9 : 0,
				       .event = event,
				       .node = (uint8_t)node};
	struct gmig_error err;

	if (shadow_change(block->gmig->shadow, &change, NULL, &err))
		engine_log(block->gmig, GMIG_LOG_ERROR, "event=audit text=\"%s\"", err.text);
}

static void check_presence(const struct block *block, unsigned int page, unsigned int pages)
{
	const struct shadow_entry *entry = &block->entry[page];
	bool present = bits_get(&block->scan.present, page);

	if (entry->state == SHADOW_PRESENT && !present) {
		change(block, page, SHADOW_DISCARD, 0);
		frame_account(block->gmig->frames, entry->node, -(long)pages);
		corrected(block, pages);
	} else if (entry->state == SHADOW_NONE && present) {
		unsigned int preferred_node = atomic_load(&block->region->preferred_node);

		breach(block->check, I1, "gfn 0x%llx has memory that the table does not know of",
		       (unsigned long long)(block->gfn + page));
		change(block, page, SHADOW_TOUCH, preferred_node);
		frame_account(block->gmig->frames, preferred_node, pages);
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
	unsigned int count = block->whole ? 1 : GMIG_BLOCK_PAGES, asked = 0;
	unsigned int pages_each = block->whole ? GMIG_BLOCK_PAGES : 1;
	void *pages[GMIG_BLOCK_PAGES];
	int status[GMIG_BLOCK_PAGES];
	uint16_t index[GMIG_BLOCK_PAGES];

	if (block->check)
		block->check->checked_pages += bits_count(&block->present);
	if (block->gmig->fake)
		return;
	for (unsigned int i = 0; i < count; i++) {
		if (block->entry[i].state != SHADOW_PRESENT)
			continue;
		index[asked] = (uint16_t)i;
		pages[asked++] = region_hva(block->region, block->gfn + i);
	}
	if (!asked || block->gmig->sys->query_nodes(asked, pages, status))
		return;
	for (unsigned int i = 0; i < asked; i++) {
		uint8_t node = block->entry[index[i]].node;

		/* The zero page and what is in swap have no node. */
		if (status[i] < 0 || status[i] >= GMIG_MAX_NODES || status[i] == node)
			continue;
		change(block, index[i], SHADOW_CORRECT, (unsigned int)status[i]);
		frame_account(block->gmig->frames, node, -(long)pages_each);
		frame_account(block->gmig->frames, (unsigned int)status[i], pages_each);
		corrected(block, pages_each);
	}
}

static void check_block(struct block *block)
{
	struct gmig *gmig = block->gmig;
	const void *hva = region_hva(block->region, block->gfn);

	block_read(block);
	if (block->whole &&
	    (block->entry[0].state == SHADOW_CLAIMED || block->entry[0].state == SHADOW_COPYING))
		return;
	if (uffd_scan(gmig->sys, gmig->pagemap, hva, &block->scan))
		return;
	if (block->whole && !block->scan.huge && !bits_empty(&block->scan.present)) {
		if (shadow_split(gmig->shadow, block->gfn))
			return;
		corrected(block, GMIG_BLOCK_PAGES);
		block_read(block);
	}
	if (!block_agrees(block)) {
		if (block->whole)
			check_presence(block, 0, GMIG_BLOCK_PAGES);
		else
			for (unsigned int i = 0; i < GMIG_BLOCK_PAGES; i++)
				check_presence(block, i, 1);
		block_read(block);
	}
	check_placement(block);
}

void audit_correct(struct gmig *gmig, uint64_t gfn, uint64_t pages, struct gmig_check *check)
{
	struct block block;

	for (uint64_t at = gfn; at < gfn + pages; at += GMIG_BLOCK_PAGES) {
		struct stripe *stripe = engine_stripe(gmig, at);

		/* The rest of it is read from the table: too large to be cleared for each block. */
		block.gmig = gmig;
		block.gfn = at;
		block.check = check;
		block.whole = false;
		block.region = engine_region_of_gfn(gmig, at);
		if (!block.region)
			continue;
		engine_gate_enter(gmig);
		pthread_mutex_lock(&stripe->lock);
		check_block(&block);
		pthread_mutex_unlock(&stripe->lock);
		engine_gate_leave(gmig);
	}
}

/* ---- Counting: the gate is held for writing, so that nothing is under way ------------------ */

struct census {
	long pages[GMIG_MAX_NODES];
	uint64_t pages_2m, pages_4k;
	uint64_t held; /* pages of entries that somebody owns */
	uint64_t held_gfn;
};

static int census_visit(void *arg, uint64_t gfn, const struct shadow_entry *entry)
{
	struct census *census = arg;
	unsigned int pages = entry->order ? GMIG_BLOCK_PAGES : 1;

	if (entry->state == SHADOW_NONE || entry->node >= GMIG_MAX_NODES)
		return 0;
	census->pages[entry->node] += pages;
	if (entry->order)
		census->pages_2m += pages;
	else
		census->pages_4k += pages;
	if (entry->state != SHADOW_PRESENT) {
		census->held += pages;
		census->held_gfn = gfn;
	}
	return 0;
}

static void census_take(struct gmig *gmig, int vnode, struct census *census)
{
	memset(census, 0, sizeof(*census));
	for (unsigned int i = 0; i < atomic_load(&gmig->region_count); i++) {
		const struct region *region = &gmig->regions[i];

		if (vnode < 0 || (unsigned int)vnode == region->vnode)
			shadow_walk(gmig->shadow, region->gfn, region->pages, census_visit, census);
	}
}

static void check_books(const struct census *census, const struct frame_audit *frames,
			struct gmig_check *check)
{
	for (unsigned int node = 0; node < GMIG_MAX_NODES; node++) {
		long mapped = census->pages[node], free = frames->free_pages[node],
		     busy = frames->busy_pages[node];

		check->mapped_bytes += (uint64_t)mapped * GMIG_PAGE_BYTES;
		check->pool_bytes += (uint64_t)free * GMIG_PAGE_BYTES;
		check->in_flight_bytes += (uint64_t)busy * GMIG_PAGE_BYTES;
		if (mapped + free + busy != frames->total_pages[node])
			breach(check, I4,
			       "node %u: %ld pages mapped, %ld in pools, %ld in flight, but %ld in "
			       "the books",
			       node, mapped, free, busy, frames->total_pages[node]);
	}
}

static void check_counts(struct gmig *gmig, struct gmig_check *check)
{
	struct frame_audit frames;
	struct census census;
	unsigned long long sleepers;

	atomic_fetch_add(&gmig->gate_wanted, 1);
	pthread_rwlock_wrlock(&gmig->gate);
	census_take(gmig, -1, &census);
	frame_audit(gmig->frames, true, &frames);
	sleepers = atomic_load(&gmig->sleepers);
	pthread_rwlock_unlock(&gmig->gate);
	atomic_fetch_sub(&gmig->gate_wanted, 1);

	if (frames.wrong_slots)
		breach(check, I1, "%u free slots do not hold what the books say",
		       frames.wrong_slots);
	if (frames.written_slots)
		breach(check, I2, "%u clean frames were written to", frames.written_slots);
	if (sleepers && !atomic_load(&gmig->fatal))
		breach(check, I3, "%llu threads sleep and no block is closed", sleepers);
	check_books(&census, &frames, check);
	if (census.held)
		breach(check, I5, "%llu pages are held by nobody, one of them gfn 0x%llx",
		       (unsigned long long)census.held, (unsigned long long)census.held_gfn);
}

int gmig_check(struct gmig *gmig, struct gmig_check *check, struct gmig_error *err)
{
	memset(check, 0, sizeof(*check));
	if (gmig->plain)
		return gmig_fail(err, -EOPNOTSUPP, "%s", gmig->why_off);
	check_counts(gmig, check);
	for (unsigned int i = 0; i < atomic_load(&gmig->region_count); i++)
		audit_correct(gmig, gmig->regions[i].gfn, gmig->regions[i].pages, check);
	return 0;
}

/* ---- What is where ------------------------------------------------------------------------- */

/* Plain regions: nobody told the table, the kernel has to be asked. */
static void plain_residency(struct gmig *gmig, const struct region *region, uint64_t *bytes)
{
	void *pages[GMIG_BLOCK_PAGES];
	int status[GMIG_BLOCK_PAGES];

	for (uint64_t at = 0; at < region->pages; at += GMIG_BLOCK_PAGES) {
		for (unsigned int i = 0; i < GMIG_BLOCK_PAGES; i++)
			pages[i] = region->hva + (at + i) * GMIG_PAGE_BYTES;
		if (gmig->sys->query_nodes(GMIG_BLOCK_PAGES, pages, status))
			continue;
		for (unsigned int i = 0; i < GMIG_BLOCK_PAGES; i++) {
			unsigned int node = gmig->fake ? atomic_load(&region->preferred_node)
						       : (unsigned int)status[i];

			if (status[i] >= 0 && node < GMIG_MAX_NODES)
				bytes[node] += GMIG_PAGE_BYTES;
		}
	}
}

int gmig_residency(struct gmig *gmig, unsigned int vnode, uint64_t bytes[GMIG_MAX_NODES])
{
	struct census census;
	bool found = false;

	memset(bytes, 0, GMIG_MAX_NODES * sizeof(bytes[0]));
	for (unsigned int i = 0; i < atomic_load(&gmig->region_count); i++) {
		if (gmig->regions[i].vnode != vnode)
			continue;
		found = true;
		if (gmig->plain)
			plain_residency(gmig, &gmig->regions[i], bytes);
	}
	if (!found)
		return -EINVAL;
	if (gmig->plain)
		return 0;
	census_take(gmig, (int)vnode, &census);
	for (unsigned int node = 0; node < GMIG_MAX_NODES; node++)
		bytes[node] = (uint64_t)census.pages[node] * GMIG_PAGE_BYTES;
	return 0;
}

void gmig_stats(struct gmig *gmig, struct gmig_stats *stats)
{
	struct census census;

	memset(stats, 0, sizeof(*stats));
	census_take(gmig, -1, &census);
	stats->page_bytes_2m = census.pages_2m * GMIG_PAGE_BYTES;
	stats->page_bytes_4k = census.pages_4k * GMIG_PAGE_BYTES;
	for (unsigned int node = 0; gmig->frames && node < GMIG_MAX_NODES; node++) {
		stats->pool_bytes[node] = frame_pool_bytes(gmig->frames, node);
		stats->quarantine_bytes[node] = frame_quarantine_bytes(gmig->frames, node);
	}
	stats->sleepers = atomic_load(&gmig->sleepers);
	stats->faults = atomic_load(&gmig->faults);
	stats->faults_known_thread = atomic_load(&gmig->faults_known_thread);
	hist_summary(&gmig->blackout_read, &stats->blackout_read);
	hist_summary(&gmig->blackout_write, &stats->blackout_write);
	hist_summary(&gmig->stall, &stats->stall);
}

void gmig_histogram(struct gmig *gmig, enum gmig_times which, uint64_t count[GMIG_TIME_BUCKETS])
{
	const struct hist *const hists[] = {&gmig->blackout_read, &gmig->blackout_write,
					    &gmig->stall};
	uint64_t low, high, seen;

	memset(count, 0, GMIG_TIME_BUCKETS * sizeof(*count));
	for (unsigned int i = 0; i < HIST_BUCKETS; i++)
		if (hist_bucket(hists[which], i, &low, &high, &seen))
			count[low ? 63 - __builtin_clzll(low) : 0] += seen;
}
