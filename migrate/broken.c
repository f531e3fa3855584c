/* Memory that the kernel has given up: see gmig_retire.h. */
#include "gmig_retire.h"
#include "memory/audit.h"

#include <errno.h>

/* The kernel shows a broken page as it shows swap, and so does the table. */
int gmig_memory_broke(struct gmig *gmig, const void *address, uint64_t *gpa)
{
	struct region *region = engine_region_of_hva(gmig, (uintptr_t)address);
	const struct audit audit = {.check = NULL};
	struct shadow_entry before, after;
	uint64_t gfn;

	if (!region)
		return -EFAULT;
	gfn = region->gfn + (uint64_t)((const uint8_t *)address - region->hva) / GMIG_PAGE_BYTES;
	*gpa = gfn * GMIG_PAGE_BYTES;
	if (gmig->plain) {
		engine_memory_broke(gmig, gfn);
		return 0;
	}
	if (shadow_lookup(gmig->shadow, gfn, &before))
		return -EFAULT;
	audit_run(gmig, region, gfn / GMIG_BLOCK_PAGES * GMIG_BLOCK_PAGES, GMIG_BLOCK_PAGES,
		  &audit);
	if (shadow_lookup(gmig->shadow, gfn, &after))
		return -EFAULT;
	if (before.state == SHADOW_SWAPPED)
		return -EALREADY;
	/* A job that has it now will find out. */
	if (after.state == SHADOW_PRESENT || after.state == SHADOW_NONE)
		return -ENOENT;
	engine_memory_broke(gmig, gfn);
	return 0;
}

uint64_t gmig_broken_bytes(struct gmig *gmig)
{
	return atomic_load(&gmig->broken_pages) * GMIG_PAGE_BYTES;
}
