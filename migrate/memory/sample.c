/*
 * How far the engine's view of placement can be trusted: its age, and samples of it. Others move pages behind the
 * engine's back (migratepages, cpusets, khugepaged), and comparing all of memory takes long on a large guest.
 */
#include "audit.h"

#include <string.h>

#define SCATTER 0x9e3779b97f4a7c15ull /* 2^64 / golden ratio: multiples of it spread evenly */

uint64_t gmig_audit_age_ns(struct gmig *gmig)
{
	uint64_t now = gmig->sys->now_ns(), oldest = now;

	if (gmig->plain)
		return 0;
	for (unsigned int i = 0; i < atomic_load(&gmig->region_count); i++) {
		uint64_t audited = atomic_load(&gmig->regions[i].audited_ns);

		if (audited < oldest)
			oldest = audited;
	}
	return now - oldest;
}

static uint64_t count_blocks(struct gmig *gmig)
{
	uint64_t blocks = 0;

	for (unsigned int i = 0; i < atomic_load(&gmig->region_count); i++)
		blocks += gmig->regions[i].pages / GMIG_BLOCK_PAGES;
	return blocks;
}

/* The block that is number `at` of all regions' blocks. */
static void sample_block(struct gmig *gmig, uint64_t at, struct gmig_check *check)
{
	const struct audit audit = {.check = check};

	for (unsigned int i = 0; i < atomic_load(&gmig->region_count); i++) {
		struct region *region = &gmig->regions[i];
		uint64_t blocks = region->pages / GMIG_BLOCK_PAGES;

		if (at < blocks) {
			audit_run(gmig, region, region->gfn + at * GMIG_BLOCK_PAGES,
				  GMIG_BLOCK_PAGES, &audit);
			return;
		}
		at -= blocks;
	}
}

void gmig_sample(struct gmig *gmig, unsigned int blocks, struct gmig_sample *sample)
{
	uint64_t all = count_blocks(gmig);
	struct gmig_check check;

	memset(sample, 0, sizeof(*sample));
	if (gmig->plain || !all)
		return;
	memset(&check, 0, sizeof(check));
	if (blocks > all)
		blocks = (unsigned int)all;
	for (unsigned int i = 0; i < blocks; i++) {
		uint64_t spread = atomic_fetch_add(&gmig->sampled, 1) * SCATTER;

		sample_block(gmig, (uint64_t)((unsigned __int128)spread * all >> 64), &check);
	}
	sample->checked_pages = check.checked_pages;
	sample->corrected_pages = check.corrected_pages;
}
