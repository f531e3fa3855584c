#include "sample_block.h"

#include <errno.h>

struct choice {
	struct mover_ticket *ticket;
	unsigned int first; /* of small pages, those from here on */
	bool empty;
};

/* All of what is taken lies on one node. */
static int choose_visit(void *arg, uint64_t gfn, const struct shadow_entry *entry)
{
	struct choice *choice = arg;
	struct mover_ticket *ticket = choice->ticket;
	uint64_t page = gfn - ticket->block_gfn;

	choice->empty &= entry->state == SHADOW_NONE;
	if (entry->state != SHADOW_PRESENT || entry->node >= GMIG_MAX_NODES)
		return 0;
	if (entry->order) {
		ticket->huge = true;
		ticket->from = entry->node;
		bits_fill(&ticket->pages);
		return 1;
	}
	if (page < choice->first || page >= choice->first + SAMPLE_PAGES)
		return 0;
	if (bits_empty(&ticket->pages))
		ticket->from = entry->node;
	if (ticket->from == entry->node)
		bits_set(&ticket->pages, (unsigned int)page);
	return 0;
}

bool sample_choose(struct gmig *gmig, uint64_t block_gfn, unsigned int part, struct sample *sample,
		   bool *empty)
{
	struct choice choice = {&sample->ticket,
				part % (GMIG_BLOCK_PAGES / SAMPLE_PAGES) * SAMPLE_PAGES, true};

	*sample = (struct sample){.ticket = {.block_gfn = block_gfn, .mode = GMIG_MODE_LAZY}};
	shadow_walk(gmig->shadow, block_gfn, GMIG_BLOCK_PAGES, choose_visit, &choice);
	sample->ticket.to = sample->ticket.from;
	*empty = choice.empty;
	return !bits_empty(&sample->ticket.pages);
}

static void settle(struct mover_ticket *ticket)
{
	const struct claim_result result = {.gone = ticket->gone, .broken = ticket->broken};

	if (ticket->lost)
		claim_abandon(&ticket->claim);
	else
		claim_settle(&ticket->claim, &result);
}

bool sample_take(struct mover_worker *worker, struct sample *sample,
		 void (*touched)(void *arg, const struct claim_touch *touch), void *arg)
{
	struct mover_ticket *ticket = &sample->ticket;
	struct gmig *gmig = engine_of(worker->job->memory);
	struct bits refused;

	if (mover_uffd.prepare(worker, ticket))
		return false;
	ticket->claim = (struct claim){.gmig = gmig,
				       .region = engine_region_of_gfn(gmig, ticket->block_gfn),
				       .block_gfn = ticket->block_gfn,
				       .huge = ticket->huge,
				       .from = ticket->from,
				       .to = ticket->to,
				       .owner = worker->job->id,
				       .memory = mover_uffd.memory,
				       .pages = ticket->pages,
				       .touched = touched,
				       .touched_arg = arg};
	claim_take(&ticket->claim, &refused);
	ticket->pages = ticket->claim.pages;
	if (bits_empty(&ticket->pages)) {
		mover_uffd.finish(worker, ticket);
		return false;
	}
	mover_uffd.move(worker, &ticket, 1);
	sample->held_ns = ticket->held_ns;
	sample->out_ns = gmig->sys->now_ns();
	if (bits_empty(&ticket->out) || ticket->lost) {
		settle(ticket);
		mover_uffd.finish(worker, ticket);
		return false;
	}
	claim_wait(&ticket->claim, &ticket->out, &ticket->gone);
	return true;
}

void sample_return(struct mover_worker *worker, struct sample *sample)
{
	struct mover_ticket *ticket = &sample->ticket;

	claim_pick(&ticket->claim, &ticket->out, ticket->to);
	mover_uffd.give_back(worker, ticket, -EAGAIN);
	sample->held_ns += ticket->held_ns;
	settle(ticket);
	mover_uffd.finish(worker, ticket);
}
