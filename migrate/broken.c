/* Memory that the kernel has given up: see gmig_retire.h. */
#include "gmig_retire.h"
#include "memory/audit.h"

#include <errno.h>

/* The kernel shows a broken page as it shows swap, and so does the table. */
static int look(struct gmig *gmig, struct region *region, uint64_t gfn)
{
	const struct audit audit = {.check = NULL};
	struct shadow_entry entry;

	audit_run(gmig, region, gfn / GMIG_BLOCK_PAGES * GMIG_BLOCK_PAGES, GMIG_BLOCK_PAGES,
		  &audit);
	if (shadow_lookup(gmig->shadow, gfn, &entry))
		return -EFAULT;
	/* A job that has it now will find out. */
	return entry.state == SHADOW_PRESENT || entry.state == SHADOW_NONE ? -ENOENT : 0;
}

int gmig_memory_broke(struct gmig *gmig, const void *address, uint64_t *gpa)
{
	struct region *region = engine_region_of_hva(gmig, (uintptr_t)address);
	uint64_t gfn;
	int ret;

	if (!region)
		return -EFAULT;
	gfn = region->gfn + (uint64_t)((const uint8_t *)address - region->hva) / GMIG_PAGE_BYTES;
	*gpa = gfn * GMIG_PAGE_BYTES;
	ret = gmig->plain ? 0 : look(gmig, region, gfn);
	if (!ret && !engine_memory_broke(gmig, gfn))
		ret = -EALREADY;
	return ret;
}

uint64_t gmig_broken_bytes(struct gmig *gmig)
{
	return atomic_load(&gmig->broken_ever) * GMIG_PAGE_BYTES;
}
