/* What is where, and how long things took: read from counters, whatever the guest's size. */
#include "catch_up.h"
#include "frame.h"
#include "ledger.h"
#include "policy.h"
#include "region.h"

#include <errno.h>
#include <string.h>

/* Plain regions: nobody told the table, the kernel has to be asked. */
static void plain_residency(struct gmig *gmig, const struct region *region, uint64_t *bytes)
{
	uint64_t gfns[GMIG_BLOCK_PAGES];
	int status[GMIG_BLOCK_PAGES];
	struct uffd_scan scan;

	for (uint64_t at = region->gfn; at < region->gfn + region->pages; at += GMIG_BLOCK_PAGES) {
		for (unsigned int i = 0; i < GMIG_BLOCK_PAGES; i++)
			gfns[i] = at + i;
		/* Of a file that others have: into our page tables with it first. */
		if (region->kind->kernel_fills)
			region->kind->scan(gmig, region, at, &scan);
		if (region->kind->query(gmig, region, GMIG_BLOCK_PAGES, gfns, status))
			continue;
		for (unsigned int i = 0; i < GMIG_BLOCK_PAGES; i++) {
			unsigned int node = gmig->fake && !region->kind->own
						? atomic_load(&region->preferred_node)
						: (unsigned int)status[i];

			if (status[i] >= 0 && node < GMIG_MAX_NODES)
				bytes[node] += GMIG_PAGE_BYTES;
		}
	}
}

static uint64_t bytes_of(long pages)
{
	return pages > 0 ? (uint64_t)pages * GMIG_PAGE_BYTES : 0;
}

int gmig_residency(struct gmig *gmig, unsigned int vnode, uint64_t bytes[GMIG_MAX_NODES])
{
	bool found = false;

	memset(bytes, 0, GMIG_MAX_NODES * sizeof(bytes[0]));
	catch_up(gmig);
	for (unsigned int i = 0; i < atomic_load(&gmig->region_count); i++) {
		if (gmig->regions[i].vnode != vnode)
			continue;
		found = true;
		if (gmig->plain)
			plain_residency(gmig, &gmig->regions[i], bytes);
	}
	if (!found)
		return -EINVAL;
	for (unsigned int node = 0; !gmig->plain && node < GMIG_MAX_NODES; node++)
		bytes[node] = bytes_of(ledger_resident(gmig->ledger, vnode, node));
	return 0;
}

int gmig_swapped(struct gmig *gmig, unsigned int vnode, uint64_t *bytes)
{
	if (vnode >= GMIG_MAX_VNODES)
		return -EINVAL;
	catch_up(gmig);
	*bytes = bytes_of(ledger_swapped(gmig->ledger, vnode));
	return 0;
}

/* Are all regions of the vnode in pages of hugetlbfs of that size? */
static bool is_of_hugetlb(struct gmig *gmig, unsigned int vnode, unsigned int unit_pages)
{
	bool found = false;

	for (unsigned int i = 0; i < atomic_load(&gmig->region_count); i++) {
		const struct region *region = &gmig->regions[i];

		if (region->vnode != vnode)
			continue;
		if (!region->kind->always_whole || region->unit_pages != unit_pages)
			return false;
		found = true;
	}
	return found;
}

static uint64_t hugetlb_bytes(struct gmig *gmig, unsigned int unit_pages)
{
	uint64_t bytes = 0;

	for (unsigned int vnode = 0; vnode < GMIG_MAX_VNODES; vnode++)
		if (is_of_hugetlb(gmig, vnode, unit_pages))
			for (unsigned int node = 0; node < GMIG_MAX_NODES; node++)
				bytes += bytes_of(ledger_resident(gmig->ledger, vnode, node));
	return bytes;
}

void gmig_stats(struct gmig *gmig, struct gmig_stats *stats)
{
	memset(stats, 0, sizeof(*stats));
	catch_up(gmig);
	ledger_sizes(gmig->ledger, &stats->page_bytes_2m, &stats->page_bytes_4k);
	stats->page_bytes_2m *= GMIG_PAGE_BYTES;
	stats->page_bytes_4k *= GMIG_PAGE_BYTES;
	stats->page_bytes_hugetlb_2m = hugetlb_bytes(gmig, GMIG_BLOCK_PAGES);
	stats->page_bytes_hugetlb_1g = hugetlb_bytes(gmig, gmig->giant_pages);
	for (unsigned int node = 0; node < GMIG_MAX_NODES; node++) {
		stats->pool_bytes[node] = bytes_of(ledger_pages(gmig->ledger, node, LEDGER_POOL));
		stats->quarantine_bytes[node] =
		    bytes_of(ledger_pages(gmig->ledger, node, LEDGER_QUARANTINE));
	}
	if (gmig->frames) {
		stats->slots_emptied = frame_emptied(gmig->frames);
		stats->offlined_bytes = frame_offlined_bytes(gmig->frames);
	}
	stats->offlined_bytes += atomic_load(&gmig->offlined_in_place);
	if (gmig->policy) {
		stats->extra_bytes = policy_extra(gmig->policy);
		stats->extra_bytes_peak = policy_extra_peak(gmig->policy);
		stats->extra_bytes_max = policy_extra_max(gmig->policy);
	}
	stats->sleepers = atomic_load(&gmig->sleepers);
	stats->starved_pages = atomic_load(&gmig->starved);
	stats->faults = atomic_load(&gmig->faults);
	stats->faults_known_thread = atomic_load(&gmig->faults_known_thread);
	stats->dma_begun = atomic_load(&gmig->dma_begun);
	stats->dma_refused = atomic_load(&gmig->dma_refused);
	stats->claims_busy = atomic_load(&gmig->claims_busy);
	stats->busy_blocks = atomic_load(&gmig->busy_blocks);
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
