#include "swap_in.h"

#include "../memory/audit.h"
#include "../memory/region.h"

#include <errno.h>
#include <sys/mman.h>

struct swapped {
	uint64_t block_gfn;
	struct bits out, on_target;
	unsigned int to;
};

static int swapped_visit(void *arg, uint64_t gfn, const struct shadow_entry *entry)
{
	struct swapped *swapped = arg;
	unsigned int first = (unsigned int)(gfn - swapped->block_gfn);

	if (entry->state == SHADOW_SWAPPED)
		bits_set_range(&swapped->out, first, 1u << entry->order);
	else if (entry->state == SHADOW_PRESENT && entry->node == swapped->to)
		bits_set_range(&swapped->on_target, first, 1u << entry->order);
	return 0;
}

static void find_swapped(struct gmig *gmig, const struct mover_ticket *ticket,
			 struct swapped *swapped)
{
	*swapped = (struct swapped){.block_gfn = ticket->block_gfn, .to = ticket->to};
	shadow_walk(gmig->shadow, ticket->block_gfn, GMIG_BLOCK_PAGES, swapped_visit, swapped);
}

void swap_read_in(struct gmig *gmig, const struct region *region, struct mover_ticket *ticket,
		  unsigned int first, unsigned int count)
{
	int ret = gmig->sys->advise(region_hva(region, ticket->block_gfn + first),
				    count * GMIG_PAGE_BYTES, MADV_POPULATE_READ);

	if (ret != -EHWPOISON && ret != -EFAULT)
		return;
	for (unsigned int i = first; count > 1 && i < first + count; i++)
		swap_read_in(gmig, region, ticket, i, 1);
	if (count == 1)
		ticket->error[first] = -EIO;
}

void swap_in(struct mover_worker *worker, struct mover_ticket *ticket)
{
	struct gmig *gmig = engine_of(worker->job->memory);
	struct region *region = engine_region_of_gfn(gmig, ticket->block_gfn);
	const struct audit audit = {.check = NULL};
	unsigned int first = 0, count;
	struct swapped swapped;
	struct bits before;

	/* Nobody has told the table of what the kernel and others did with a file. */
	if (region->kind->kernel_fills)
		audit_run(gmig, region, ticket->block_gfn, GMIG_BLOCK_PAGES, &audit);
	find_swapped(gmig, ticket, &swapped);
	if (bits_empty(&swapped.out) || worker->job->spec.swapped == GMIG_SWAPPED_SKIP)
		return;
	before = swapped.out;
	while ((count = bits_run(&swapped.out, &first))) {
		swap_read_in(gmig, region, ticket, first, count);
		first += count;
	}
	/* The books learn from the kernel where it put them. */
	audit_run(gmig, region, ticket->block_gfn, GMIG_BLOCK_PAGES, &audit);
	find_swapped(gmig, ticket, &swapped);
	bits_remove(&ticket->pages, &swapped.out);
	for (unsigned int i = bits_next(&before, 0, true); i < GMIG_BLOCK_PAGES;
	     i = bits_next(&before, i + 1, true)) {
		if (!bits_get(&swapped.out, i))
			ticket->error[i] = 0; /* it can be read after all */
		if (bits_get(&swapped.on_target, i) && bits_get(&ticket->pages, i))
			bits_set(&ticket->brought, i);
	}
	bits_remove(&ticket->pages, &ticket->brought);
}
