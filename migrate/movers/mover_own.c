/*
 * Memory that its owner moves (gmig_region.h), in the rounds of whatever mover the job has for the rest: pages are claimed, and the
 * owner is asked, run by run. Nothing is kept from one call to the next, and nobody needs frames.
 */
#include "../gmig_region.h"
#include "../memory/region.h"
#include "mover.h"

#include <errno.h>

static int own_prepare(struct mover_worker *worker, struct mover_ticket *ticket)
{
	const struct region *region =
	    engine_region_of_gfn(engine_of(worker->job->memory), ticket->block_gfn);

	return region->own.ops.migrate ? 0 : -EPERM;
}

static void take(struct mover_ticket *ticket, unsigned int page, int status)
{
	if (status == (int)ticket->to)
		bits_set(&ticket->moved, page);
	else if (status == -ENOENT)
		bits_set(&ticket->gone, page);
	else /* on another node: the job looks for it */
		ticket->error[page] = (int16_t)(status < 0 ? status : -EAGAIN);
}

static void move_run(struct mover_ticket *ticket, unsigned int first, unsigned int count)
{
	const struct region *region = ticket->claim.region;
	uint64_t gfn = ticket->block_gfn + first;
	int status[GMIG_BLOCK_PAGES], ret;

	for (unsigned int i = 0; i < count; i++)
		status[i] = -EAGAIN; /* of an owner that forgets one */
	ret = region->own.ops.migrate(region->own.opaque, (gfn - region->gfn) * GMIG_PAGE_BYTES,
				      count, ticket->to, status);
	for (unsigned int i = 0; i < count; i++)
		take(ticket, first + i, region_own_says(ret < 0 ? ret : status[i]));
}

static void own_move(struct mover_worker *worker, struct mover_ticket **tickets, unsigned int count)
{
	(void)worker;
	for (unsigned int i = 0; i < count; i++) {
		unsigned int first = 0, pages;

		while ((pages = bits_run(&tickets[i]->pages, &first))) {
			move_run(tickets[i], first, pages);
			first += pages;
		}
	}
}

static void own_finish(struct mover_worker *worker, struct mover_ticket *ticket)
{
	(void)worker, (void)ticket;
}

const struct mover mover_own = {
    .name = "own",
    .memory = BOOKS_KERNEL,
    .prepare = own_prepare,
    .move = own_move,
    .finish = own_finish,
};
