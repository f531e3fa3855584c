#include "uffd_lost.h"

#include "../core/uffd.h"

bool uffd_lost(struct gmig *gmig, const struct region *region, struct slot *slot, uint64_t gfn)
{
	if (frame_page_works(slot, (unsigned int)(gfn % GMIG_BLOCK_PAGES)) ||
	    uffd_poison(gmig->sys, gmig->vnodes[region->vnode].uffd, region_hva(region, gfn)))
		return false;
	frame_broke(gmig->frames, slot);
	engine_memory_broke(gmig, gfn);
	return true;
}
