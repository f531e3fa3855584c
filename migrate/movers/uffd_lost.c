#include "uffd_lost.h"

#include "../core/uffd.h"
#include "../memory/audit.h"
#include "mover.h"

#include <errno.h>

bool uffd_lost(struct gmig *gmig, const struct region *region, struct slot *slot, uint64_t gfn)
{
	if (frame_page_works(slot, (unsigned int)(gfn % GMIG_BLOCK_PAGES)) ||
	    uffd_poison(gmig->sys, gmig->vnodes[region->vnode].uffd, region_hva(region, gfn)))
		return false;
	frame_broke(gmig->frames, slot);
	engine_memory_broke(gmig, gfn);
	return true;
}

static bool is_swapped(const struct gmig *gmig, uint64_t gfn)
{
	struct shadow_entry entry;

	return !shadow_lookup(gmig->shadow, gfn, &entry) && entry.state == SHADOW_SWAPPED;
}

void uffd_tell_broken(struct gmig *gmig, const struct mover_ticket *ticket)
{
	struct region *region = engine_region_of_gfn(gmig, ticket->block_gfn);
	const struct audit audit = {.check = NULL};
	bool looked = false;

	for (unsigned int i = 0; i < GMIG_BLOCK_PAGES; i++) {
		if (!bits_get(&ticket->pages, i) || ticket->error[i] != -EIO)
			continue;
		if (!looked)
			audit_run(gmig, region, ticket->block_gfn, GMIG_BLOCK_PAGES, &audit);
		looked = true;
		if (is_swapped(gmig, ticket->block_gfn + i))
			engine_memory_broke(gmig, ticket->block_gfn + i);
	}
}
