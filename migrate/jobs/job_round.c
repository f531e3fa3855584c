#include "job_round.h"

#include <errno.h>

/* ---- Results --------------------------------------------------------------------------------- */

void round_note(struct gmig_job *job, uint64_t block_gfn, const struct bits *pages, int result)
{
	unsigned int first = 0, count;

	while ((count = bits_run(pages, &first))) {
		status_set(job->status, block_gfn + first, count, result);
		first += count;
	}
}

/* otherwise: of pages that the mover gives no error for */
static void note_errors(struct gmig_job *job, const struct mover_ticket *ticket,
			const struct bits *pages, int otherwise)
{
	const int16_t *error = ticket->error;
	unsigned int first = 0, count;

	while ((count = bits_run(pages, &first))) {
		unsigned int same = 1;

		while (same < count && error[first + same] == error[first])
			same++;
		status_set(job->status, ticket->block_gfn + first, same,
			   error[first] ? error[first] : otherwise);
		first += same;
	}
}

void round_finish_results(struct gmig_job *job, uint64_t block_gfn)
{
	if (!job->lazy || lazy_release(job->lazy, block_gfn))
		status_finish(job->status, block_gfn);
}

/* ---- Who moves it ------------------------------------------------------------------------------ */

/* Its region's owner, or the job's mover. */
static const struct mover *round_mover(const struct gmig_job *job,
				       const struct mover_ticket *ticket)
{
	struct memory *memory = job->memory;

	return memory->ops->is_own && memory->ops->is_own(memory, ticket->block_gfn) ? &mover_own
										     : job->mover;
}

void round_move(struct job_worker *worker, struct mover_ticket **tickets, unsigned int count)
{
	struct mover_ticket *rest[MOVER_TICKETS];
	unsigned int n = 0;

	for (unsigned int i = 0; i < count; i++)
		if (round_mover(worker->job, tickets[i]) == &mover_own)
			mover_own.move(&worker->mover, &tickets[i], 1);
		else
			rest[n++] = tickets[i];
	if (n)
		worker->job->mover->move(&worker->mover, rest, n);
}

void round_finish(struct job_worker *worker, struct mover_ticket *ticket)
{
	round_mover(worker->job, ticket)->finish(&worker->mover, ticket);
}

/* ---- The steps of a ticket --------------------------------------------------------------------- */

/* Why the first page stayed, unless nothing was tried. */
static int first_error(const struct mover_ticket *ticket)
{
	unsigned int i = bits_next(&ticket->pages, 0, true);

	if (bits_empty(&ticket->pages))
		return -EBUSY; /* another job was faster */
	while (i < GMIG_BLOCK_PAGES && (bits_get(&ticket->moved, i) || bits_get(&ticket->gone, i)))
		i = bits_next(&ticket->pages, i + 1, true);
	if (i >= GMIG_BLOCK_PAGES)
		return 0;
	return ticket->error[i] ? ticket->error[i] : -EIO;
}

void round_trace(const struct job_worker *worker, const struct mover_ticket *ticket,
		 uint64_t begin_ns, int ret)
{
	struct gmig_job *job = worker->job;
	struct gmig_trace_record record;

	if (!job->trace)
		return;
	record = (struct gmig_trace_record){
	    .gpa = ticket->block_gfn * GMIG_PAGE_BYTES,
	    .begin_ns = begin_ns - job->start_ns,
	    .end_ns = job->memory->sys->now_ns() - job->start_ns,
	    .blackout_read_ns = ticket->blackout_read_ns,
	    .blackout_write_ns = ticket->blackout_write_ns,
	    .pages = bits_count(&ticket->pages),
	    .moved_pages = bits_count(&ticket->moved),
	    .from = (uint16_t)ticket->from,
	    .to = (uint16_t)ticket->to,
	    .worker = (uint8_t)worker->mover.number,
	    .huge = ticket->huge,
	    .error = ret ? ret : first_error(ticket),
	};
	trace_add(job->trace, &record);
}

bool round_claim(struct job_worker *worker, struct mover_ticket *ticket)
{
	struct gmig_job *job = worker->job;
	struct bits refused;

	ticket->claim.block_gfn = ticket->block_gfn;
	ticket->claim.huge = ticket->huge;
	ticket->claim.from = ticket->from;
	ticket->claim.to = ticket->to;
	ticket->claim.owner = job->work.id;
	ticket->claim.memory = round_mover(job, ticket)->memory;
	ticket->claim.pages = ticket->pages;
	job->memory->ops->claim(job->memory, &ticket->claim, &refused);
	round_note(job, ticket->block_gfn, &refused, -EBUSY);
	ticket->pages = ticket->claim.pages;
	return !bits_empty(&ticket->pages);
}

void round_settle(struct job_worker *worker, struct mover_ticket *ticket)
{
	const struct claim_result result = {ticket->moved, ticket->gone, ticket->broken,
					    &worker->job->work.stall};
	struct gmig_job *job = worker->job;
	struct bits stayed = ticket->pages;

	bits_remove(&stayed, &ticket->moved);
	bits_remove(&stayed, &ticket->gone);
	if (ticket->lost)
		job->memory->ops->abandon(&ticket->claim);
	else
		job->memory->ops->settle(&ticket->claim, &result);
	round_note(job, ticket->block_gfn, &ticket->moved, (int)ticket->to);
	round_note(job, ticket->block_gfn, &ticket->gone, -ENOENT);
	note_errors(job, ticket, &stayed, -EIO);
}

int round_prepare(struct job_worker *worker, struct mover_ticket *ticket)
{
	struct gmig_job *job = worker->job;
	struct bits put_off = ticket->pages;
	int ret = round_mover(job, ticket)->prepare(&worker->mover, ticket);

	round_note(job, ticket->block_gfn, &ticket->brought, (int)ticket->to);
	bits_remove(&put_off, &ticket->pages);
	bits_remove(&put_off, &ticket->brought);
	note_errors(job, ticket, &put_off, -EAGAIN);
	return ret;
}
